/*
 * test-chain.c - middleware: order, credit through fanout, what is held back, done() exactly once,
 * and members that break the rules.
 */
#include <string.h>

#include "chain.h"
#include "harness.h"

/* A middleware whose manners are told by letters, one hook each:
 *   u upcase   d double (fanout 2)   h hold everything until the end   s skip   r refuse
 *   m emits more than its fanout   n never ends   t ends twice   e ends inside event()
 *   x returns an error from event()   c cancels at the first event */
struct member {
	struct weir_instance instance;
	struct weir_middleware calls;
	char manner;
	int n_requests, n_done;
	GString *order;
};

struct scratch {
	GString *held;
	uint64_t zero[4];
};

static const struct weir_stream_api *const api = &weir_stream_extension;

static weir_status on_request(struct weir_instance *instance, void *data, weir_request *request,
			      struct weir_error *err)
{
	struct member *m = instance->data;
	struct scratch *s = data;

	m->n_requests++;
	g_string_append_c(m->order, m->manner);
	for (int i = 0; i < 4; i++)
		g_assert_cmpuint(s->zero[i], ==, 0);
	if (m->manner == 's')
		return WEIR_SKIP;
	if (m->manner == 'r')
		return weir_fail(err, WEIR_E_DENIED, "not you");
	s->held = g_string_new(NULL);
	return WEIR_OK;
}

static weir_status send(weir_stream *next, const char *text, gsize len)
{
	struct weir_event e = { .size = sizeof(e), .type = WEIR_EVENT_TEXT, .text = { text, len } };

	return api->emit(next, &e);
}

static weir_status on_event(struct weir_instance *instance, void *data, weir_stream *next,
			    const struct weir_event *event)
{
	struct member *m = instance->data;
	struct scratch *s = data;
	g_autofree char *up = NULL;
	struct weir_event e = *event;
	weir_status status;

	switch (m->manner) {
	case 'u':
		up = g_ascii_strup(event->text.data, (gssize)event->text.len);
		e.text.data = up;
		return api->emit(next, &e);
	case 'd':
		status = api->emit(next, event);
		return status < 0 ? status : api->emit(next, event);
	case 'h':
		g_string_append_len(s->held, event->text.data, (gssize)event->text.len);
		return WEIR_OK;
	case 'm':
		status = api->emit(next, event);
		g_assert_cmpint(api->emit(next, event), ==, WEIR_E_INVALID);
		return status;
	case 'e':
		api->end(next, &(struct weir_end){ .size = sizeof(struct weir_end) });
		return api->emit(next, event);
	case 'x':
		return WEIR_E_INTERNAL;
	case 'c':
		api->cancel(next, WEIR_E_RATE_LIMITED);
		return api->emit(next, event);
	default:
		return api->emit(next, event);
	}
}

static void on_end(struct weir_instance *instance, void *data, weir_stream *next,
		   const struct weir_end *end)
{
	struct member *m = instance->data;
	struct scratch *s = data;

	if (m->manner == 'h' && s->held->len > 0)
		g_assert_cmpint(send(next, s->held->str, s->held->len), ==, WEIR_OK);
	if (m->manner == 'n')
		return;
	api->end(next, end);
	if (m->manner == 't')
		api->end(next, end);
}

static void on_done(struct weir_instance *instance, void *data)
{
	struct member *m = instance->data;
	struct scratch *s = data;

	m->n_done++;
	g_string_free(s->held, TRUE);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	struct member *m = instance->data;

	return strcmp(id, WEIR_MIDDLEWARE) == 0 ? &m->calls : NULL;
}

static void on_wake(void *owner, weir_stream *out)
{
}

static const struct weir_producer producer = { on_wake, on_wake };

struct fixture {
	struct harness h;
	struct weir_streams *streams;
	struct seen *seen;
	struct member members[8];
	struct weir_chain *chain;
	GString *order;
	weir_stream *out; /* NULL: refused */
	struct weir_error err;
};

static void open_with(struct fixture *f, const char *manners, uint32_t credit)
{
	struct weir_channel_options options = { .sink = &seen_sink, .producer = &producer };
	struct weir_instance *instances[8];
	struct weir_links *links = NULL;
	size_t n = strlen(manners);
	struct weir_error err;

	memset(f, 0, sizeof(*f));
	harness_init(&f->h, NULL);
	f->streams = weir_streams_new(&f->h.core);
	f->seen = seen_new(0);
	f->order = g_string_new(NULL);
	for (size_t i = 0; i < n; i++) {
		struct member *m = &f->members[i];

		m->manner = manners[i];
		m->order = f->order;
		m->instance = (struct weir_instance){ .size = sizeof(m->instance),
						      .data = m,
						      .get_ext = get_ext };
		m->calls = (struct weir_middleware){
			.size = sizeof(m->calls),
			.scratch_size = sizeof(struct scratch),
			.fanout = manners[i] == 'd' ? 2 : 0,
			.request = on_request,
			.event = on_event,
			.end = on_end,
			.done = on_done,
		};
		if (manners[i] == '0')
			m->calls.event = NULL, m->calls.end = NULL;
		instances[i] = &m->instance;
	}
	g_assert_cmpint(weir_chain_new(instances, NULL, n, &f->chain, &err), ==, WEIR_OK);
	options.request = weir_request_new(NULL, 0, NULL, NULL);
	if (weir_chain_request(f->chain, options.request, &links, &f->err) == WEIR_OK) {
		struct weir_channel *c;

		options.loop = f->h.loop;
		options.sink_data = f->seen;
		options.credit = credit;
		options.name = "backend.test";
		weir_links_attach(links, &options);
		c = weir_channel_new(f->streams, &options);
		f->out = weir_channel_producer(c);
		f->seen->stream = weir_channel_handle(c, 0);
	}
	weir_request_unref(options.request);
}

static void close_it(struct fixture *f, const char *text, const char *complaint)
{
	g_autofree char *log = NULL;

	harness_dispatch(&f->h, 0);
	if (f->out) {
		g_assert_cmpuint(f->seen->n_ends, ==, 1);
		g_assert_cmpuint(f->seen->n_wrong, ==, 0);
		g_assert_cmpstr(f->seen->text->str, ==, text);
	}
	log = harness_log(&f->h);
	if (complaint ? !strstr(log, complaint) : *log)
		g_error("log: %s", log);
	for (int i = 0; i < 8; i++) {
		struct member *m = &f->members[i];
		bool ok = m->n_requests > 0 && m->manner != 's' && m->manner != 'r';

		g_assert_cmpint(m->n_done, ==, ok ? 1 : 0);
	}
	weir_chain_unref(f->chain);
	weir_streams_close(f->streams);
	harness_clear(&f->h);
	seen_free(f->seen);
	g_string_free(f->order, TRUE);
}

static void end_it(struct fixture *f)
{
	api->end(f->out, &(struct weir_end){ .size = sizeof(struct weir_end), .finish = 1 });
}

/* What comes out for "ab", "c" going in. */
static void test_manners(void)
{
	static const struct {
		const char *manners, *text, *complaint;
	} cases[] = {
		{ "", "abc", NULL },
		{ "0", "abc", NULL },
		{ "u", "ABC", NULL },
		{ "du", "ABABCC", NULL },
		{ "ud", "ABABCC", NULL },
		{ "dd", "ababababcccc", NULL },
		{ "h", "abc", NULL },
		{ "uh", "ABC", NULL },
		{ "hd", "ababcc", NULL },
		{ "dh", "abcabc", NULL },
		{ "sus", "ABC", NULL },
		{ "m", "abc", "more events than its fanout" },
		{ "um", "ABC", "more events than its fanout" },
		{ "n", "abc", "did not pass the end on" },
		{ "unu", "ABC", "did not pass the end on" },
		{ "t", "abc", "ends a stream twice" },
		{ "ut", "ABC", "ends a stream twice" },
		{ "e", "abc", "outside its end()" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct fixture f;

		open_with(&f, cases[i].manners, 100);
		g_assert_cmpint(send(f.out, "ab", 2), ==, WEIR_OK);
		g_assert_cmpint(send(f.out, "c", 1), ==, WEIR_OK);
		end_it(&f);
		close_it(&f, cases[i].text, cases[i].complaint);
	}
}

static void test_order(void)
{
	struct fixture f;

	open_with(&f, "u0s", 1);
	g_assert_cmpstr(f.order->str, ==, "u0s");
	end_it(&f);
	close_it(&f, "", NULL);
	/* Refused by the third: the first two are told, the fourth has never heard of it. */
	open_with(&f, "udru", 1);
	g_assert_null(f.out);
	g_assert_cmpint(f.err.code, ==, WEIR_E_DENIED);
	g_assert_cmpstr(f.err.text, ==, "not you");
	g_assert_cmpint(f.members[0].n_done, ==, 1);
	g_assert_cmpint(f.members[1].n_done, ==, 1);
	g_assert_cmpint(f.members[3].n_requests, ==, 0);
	close_it(&f, "", NULL);
}

/* What a producer may emit is what the consumer can take, whatever stands between. */
static void test_credit(void)
{
	struct fixture f;

	open_with(&f, "ddu", 11); /* one event becomes four */
	g_assert_cmpuint(weir_stream_credit(f.out), ==, 2);
	g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_OK);
	g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_OK);
	g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_E_NO_CREDIT);
	harness_dispatch(&f.h, 0);
	g_assert_cmpuint(f.seen->n_events, ==, 8);
	weir_stream_grant(f.seen->stream, 1);
	g_assert_cmpuint(weir_stream_credit(f.out), ==, 1);
	g_assert_cmpint(send(f.out, "b", 1), ==, WEIR_OK);
	end_it(&f);
	close_it(&f, "AAAAAAAABBBB", NULL);
	/* What is held back leaves with the end, credit or not. */
	open_with(&f, "h", 1);
	for (int i = 0; i < 5; i++)
		g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_OK);
	weir_stream_grant(f.seen->stream, 0);
	end_it(&f);
	close_it(&f, "aaaaa", NULL);
}

static void test_errors(void)
{
	struct fixture f;

	open_with(&f, "x", 9);
	g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_E_CANCELLED);
	api->end(f.out,
		 &(struct weir_end){ .size = sizeof(struct weir_end), .status = WEIR_E_CANCELLED });
	harness_dispatch(&f.h, 0);
	g_assert_cmpint(f.seen->end.status, ==, WEIR_E_INTERNAL);
	close_it(&f, "", "refuses an event");

	open_with(&f, "c", 9); /* a quota */
	g_assert_cmpint(send(f.out, "a", 1), ==, WEIR_E_CANCELLED);
	g_assert_cmpint(send(f.out, "b", 1), ==, WEIR_E_CANCELLED);
	api->end(f.out,
		 &(struct weir_end){ .size = sizeof(struct weir_end), .status = WEIR_E_CANCELLED });
	harness_dispatch(&f.h, 0);
	g_assert_cmpint(f.seen->end.status, ==, WEIR_E_RATE_LIMITED);
	close_it(&f, "a", NULL);

	/* Outside its hooks a handle gives nothing. */
	open_with(&f, "u", 9);
	g_assert_cmpint(send(f.seen->stream, "a", 1), ==, WEIR_E_INVALID);
	api->end(f.seen->stream, NULL);
	end_it(&f);
	close_it(&f, "", "outside its event()");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/chain/manners", test_manners);
	g_test_add_func("/chain/order-and-refusal", test_order);
	g_test_add_func("/chain/credit", test_credit);
	g_test_add_func("/chain/errors", test_errors);
	return g_test_run();
}
