/*
 * tests/unit/fake-gateway.c - see fake-gateway.h.
 */
#include "fake-gateway.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>
#include <pthread.h>

struct weir_request {
	int refs;
	GHashTable *fields;
	struct weir_sampling sampling;
	struct weir_limits limits;
	struct weir_logit_bias *bias;
};

struct weir_loop {
	void (*ring)(void *);
	void *data;
	pthread_mutex_t lock;
	GQueue items;
	int n_streams;
};

struct fake_stream {
	struct fake_gateway *gateway;
	struct weir_loop *loop;
	struct weir_request *request;
	struct weir_sink sink;
	void *sink_data;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t credit;
	uint64_t seq;
	bool cancelled;
};

struct item { /* an event, or the end */
	struct fake_stream *stream;
	bool is_end;
	struct weir_event event;
	struct weir_end end;
	char *text, *raw, *param;
	struct weir_top_logprob *top;
	struct weir_choice_end *choices;
};

static weir_loop *loop_new(const struct weir_host *h, void (*ring)(void *), void *data)
{
	struct weir_loop *l = g_new0(struct weir_loop, 1);
	l->ring = ring;
	l->data = data;
	pthread_mutex_init(&l->lock, NULL);
	g_queue_init(&l->items);
	return l;
}

static void loop_free(weir_loop *l)
{
	g_assert_cmpint(l->n_streams, ==, 0);
	g_assert_true(g_queue_is_empty(&l->items));
	pthread_mutex_destroy(&l->lock);
	g_free(l);
}

static void request_unref(weir_request *r)
{
	if (!g_atomic_int_dec_and_test(&r->refs))
		return;
	g_hash_table_unref(r->fields);
	g_free(r->bias);
	g_free(r);
}

static weir_request *request_new(const struct weir_host *h, const struct weir_kv *fields, size_t n,
				 const struct weir_sampling *sampling,
				 const struct weir_limits *limits)
{
	struct weir_request *r = g_new0(struct weir_request, 1);
	r->refs = 1;
	r->fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	for (size_t i = 0; i < n; i++)
		g_hash_table_insert(r->fields, g_strdup(fields[i].key), g_strdup(fields[i].value));
	r->sampling = *sampling;
	r->limits = *limits;
	r->bias = g_memdup2(sampling->logit_bias, sampling->n_logit_bias * sizeof(*r->bias));
	r->sampling.logit_bias = r->bias;
	return r;
}

static gpointer run_script(gpointer data)
{
	struct fake_stream *s = data;
	s->gateway->script(s->gateway, s);
	return NULL;
}

static weir_status open_stream(const struct weir_host *h, weir_loop *loop, weir_request *r,
			       const struct weir_sink *sink, void *sink_data, uint32_t credit,
			       weir_stream **ret, struct weir_error *err)
{
	struct fake_gateway *g = h->data;
	weir_status status = g->check ? g->check(g, r, err) : WEIR_OK;
	if (status < 0) {
		request_unref(r);
		return status;
	}
	struct fake_stream *s = g_new0(struct fake_stream, 1);
	s->gateway = g;
	s->loop = loop;
	s->request = r;
	s->sink = *sink;
	s->sink_data = sink_data;
	s->credit = credit;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	loop->n_streams++;
	g_atomic_int_inc(&g->n_opened);
	*ret = (weir_stream *)s;
	g_thread_unref(g_thread_new("fake-backend", run_script, s));
	return WEIR_OK;
}

static void queue_item(struct fake_stream *s, struct item *i)
{
	struct weir_loop *l = s->loop;
	i->stream = s;
	pthread_mutex_lock(&l->lock);
	bool was_empty = g_queue_is_empty(&l->items);
	g_queue_push_tail(&l->items, i);
	if (was_empty)
		l->ring(l->data); /* under the lock: the loop may go once the last end is out */
	pthread_mutex_unlock(&l->lock);
}

static void item_free(struct item *i)
{
	g_free(i->text);
	g_free(i->raw);
	g_free(i->param);
	for (uint32_t k = 0; k < i->event.n_top; k++)
		g_free((char *)i->top[k].text.data);
	g_free(i->top);
	g_free(i->choices);
	g_free(i);
}

static size_t dispatch(weir_loop *l)
{
	GQueue items = G_QUEUE_INIT;
	pthread_mutex_lock(&l->lock);
	GQueue t = l->items;
	l->items = items;
	items = t;
	pthread_mutex_unlock(&l->lock);
	size_t n = 0;
	struct item *i;
	while ((i = g_queue_pop_head(&items))) {
		struct fake_stream *s = i->stream;
		n++;
		if (!i->is_end) {
			s->sink.event(s->sink_data, (weir_stream *)s, &i->event);
		} else {
			struct fake_gateway *g = s->gateway;
			s->sink.end(s->sink_data, (weir_stream *)s, &i->end);
			l->n_streams--;
			request_unref(s->request);
			pthread_mutex_destroy(&s->lock);
			pthread_cond_destroy(&s->changed);
			g_free(s);
			g_atomic_int_inc(&g->n_ended);
		}
		item_free(i);
	}
	return n;
}

static void models(const struct weir_host *h, void (*each)(void *, const struct weir_model_entry *),
		   void *data)
{
	static const struct weir_model_entry entries[] = {
		{ sizeof(entries[0]), 4096, "weir-demo", "backend.main", "ready", 1700000000, 0 },
		{ sizeof(entries[0]), 0, "cloud/*", "backend.cloud", "ready", 1700000000, 0 },
		{ sizeof(entries[0]), 0, "a/b", "backend.main", "loading", 1700000001, 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(entries); i++)
		each(data, &entries[i]);
}

static void grant(weir_stream *stream, uint32_t n)
{
	struct fake_stream *s = (struct fake_stream *)stream;
	pthread_mutex_lock(&s->lock);
	s->credit += n;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void cancel(weir_stream *stream, weir_status why)
{
	struct fake_stream *s = (struct fake_stream *)stream;
	pthread_mutex_lock(&s->lock);
	if (!s->cancelled)
		g_atomic_int_inc(&s->gateway->n_cancelled);
	s->cancelled = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static char *status_document(const struct weir_host *h, uint32_t which)
{
	switch (which) {
	case WEIR_STATUS_HEALTH:
		return strdup("{\"status\":\"ready\"}\n");
	case WEIR_STATUS_METRICS:
		return strdup("{\"counters\":{}}");
	default:
		return strdup("# HELP x y\n");
	}
}

static const char *status_state(const struct weir_host *h)
{
	struct fake_gateway *g = h->data;
	return g->state ? g->state : "ready";
}

static void log_write(const struct weir_host *h, uint32_t level, const char *topic,
		      const char *text)
{
	struct fake_gateway *g = h->data;
	const char *colon = strrchr(text, ':');
	if (g_str_has_prefix(text, "listening on ") && colon)
		g->port = atoi(colon + 1);
}

static bool log_enabled(const struct weir_host *h, uint32_t level, const char *topic)
{
	return level >= WEIR_LOG_INFO;
}

static const struct weir_log log_api = {
	.size = sizeof(log_api),
	.write = log_write,
	.enabled = log_enabled,
};
static const struct weir_gateway gateway = {
	.size = sizeof(gateway),
	.loop_new = loop_new,
	.loop_free = loop_free,
	.dispatch = dispatch,
	.request_new = request_new,
	.open = open_stream,
	.models = models,
};
static const struct weir_stream_api stream_api = {
	.size = sizeof(stream_api),
	.grant = grant,
	.cancel = cancel,
};
static const struct weir_status_api status_api = {
	.size = sizeof(status_api),
	.document = status_document,
	.state = status_state,
};

static const void *get_ext(const struct weir_host *h, const char *id)
{
	if (strcmp(id, WEIR_HOST_GATEWAY) == 0)
		return &gateway;
	if (strcmp(id, WEIR_HOST_STREAM) == 0)
		return &stream_api;
	if (strcmp(id, WEIR_HOST_LOG) == 0)
		return &log_api;
	if (strcmp(id, WEIR_HOST_STATUS) == 0)
		return &status_api;
	return NULL;
}

void fake_gateway_init(struct fake_gateway *g)
{
	*g = (struct fake_gateway){ .host = { .size = sizeof(g->host),
					      .abi = WEIR_ABI,
					      .name = "weir",
					      .version = "0.0",
					      .instance = "frontend.http",
					      .get_ext = get_ext } };
	g->host.data = g;
}

const char *fake_field(struct fake_stream *s, const char *name)
{
	return g_hash_table_lookup(s->request->fields, name);
}

const struct weir_sampling *fake_sampling(struct fake_stream *s)
{
	return &s->request->sampling;
}

const struct weir_limits *fake_limits(struct fake_stream *s)
{
	return &s->request->limits;
}

bool fake_cancelled(struct fake_stream *s)
{
	pthread_mutex_lock(&s->lock);
	bool cancelled = s->cancelled;
	pthread_mutex_unlock(&s->lock);
	return cancelled;
}

uint32_t fake_credit(struct fake_stream *s)
{
	pthread_mutex_lock(&s->lock);
	uint32_t credit = s->credit;
	pthread_mutex_unlock(&s->lock);
	return credit;
}

static char *copy_str(struct weir_str *s)
{
	char *copy = g_malloc(s->len + 1); /* bytes, perhaps with zeroes: vectors */
	if (s->len)
		memcpy(copy, s->data, s->len);
	copy[s->len] = 0;
	s->data = copy;
	return copy;
}

bool fake_emit(struct fake_stream *s, const struct weir_event *e)
{
	pthread_mutex_lock(&s->lock);
	while (s->credit == 0 && !s->cancelled)
		pthread_cond_wait(&s->changed, &s->lock);
	bool ok = !s->cancelled;
	if (ok)
		s->credit--;
	pthread_mutex_unlock(&s->lock);
	if (!ok)
		return false;
	struct item *i = g_new0(struct item, 1);
	i->event = *e;
	i->event.seq = s->seq++;
	i->text = copy_str(&i->event.text);
	i->raw = copy_str(&i->event.raw);
	i->top = g_memdup2(e->top, e->n_top * sizeof(*e->top));
	for (uint32_t k = 0; k < e->n_top; k++)
		copy_str(&i->top[k].text);
	i->event.top = i->top;
	queue_item(s, i);
	return true;
}

bool fake_started(struct fake_stream *s, int64_t n_prompt)
{
	struct weir_event e = { .size = sizeof(e), .type = WEIR_EVENT_STARTED, .value = n_prompt };
	return fake_emit(s, &e);
}

bool fake_token(struct fake_stream *s, uint32_t index, const char *text)
{
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_TOKEN,
				.token = 7,
				.index = index,
				.logprob = NAN,
				.text = { text, strlen(text) } };
	return fake_emit(s, &e);
}

void fake_end(struct fake_stream *s, const struct weir_end *end)
{
	struct item *i = g_new0(struct item, 1);
	i->is_end = true;
	i->end = *end;
	i->text = copy_str(&i->end.text);
	i->param = copy_str(&i->end.param);
	i->choices = g_memdup2(end->choices, end->n_choices * sizeof(*end->choices));
	i->end.choices = i->choices;
	queue_item(s, i);
}
