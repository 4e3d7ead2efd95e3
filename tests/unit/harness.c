/*
 * harness.c - see harness.h.
 */
#include "harness.h"

#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "text.h"

static void on_ring(void *data)
{
	struct harness *h = data;
	uint64_t one = 1;

	g_atomic_int_inc(&h->n_rings);
	if (write(h->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		g_error("eventfd");
}

static const void *get_ext(const struct weir_host *host, const char *id)
{
	return weir_gateway_extension(id);
}

void harness_init(struct harness *h, const struct weir_router_options *options)
{
	static const struct weir_router_options defaults = {
		.park_after_ms = 1000,
		.cancel_grace_ms = 10000,
		.n_workers = 2,
	};
	struct weir_error err;

	memset(h, 0, sizeof(*h));
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->log_fd = memfd_create("log", MFD_CLOEXEC);
	h->core.log = weir_logger_new("warning", h->log_fd, false);
	h->core.metrics = weir_metric_set_new();
	g_assert_cmpint(
		weir_router_new(&h->core, options ? options : &defaults, &h->core.router, &err), ==,
		WEIR_OK);
	h->host = (struct weir_host){
		.size = sizeof(h->host),
		.abi = WEIR_ABI,
		.name = "weir",
		.version = "0",
		.instance = "test",
		.data = &h->core,
		.get_ext = get_ext,
	};
	h->loop = weir_loop_new(on_ring, h);
}

void harness_start(struct harness *h)
{
	struct weir_error err = { 0 };

	if (weir_router_start(h->core.router, &err) < 0)
		g_error("start: %s", err.text);
}

void harness_clear(struct harness *h)
{
	weir_router_stop(h->core.router);
	while (harness_dispatch(h, 0) > 0)
		;
	weir_loop_free(h->loop);
	weir_router_free(h->core.router);
	weir_metric_set_free(h->core.metrics);
	weir_logger_free(h->core.log);
	close(h->event_fd);
	close(h->log_fd);
}

char *harness_log(struct harness *h)
{
	off_t n = lseek(h->log_fd, 0, SEEK_END);
	char *text = g_malloc0((gsize)n + 1);

	g_assert_cmpint(pread(h->log_fd, text, (size_t)n, 0), ==, n);
	return text;
}

size_t harness_dispatch(struct harness *h, int timeout_ms)
{
	struct pollfd fd = { .fd = h->event_fd, .events = POLLIN };
	uint64_t n;

	if (poll(&fd, 1, timeout_ms) == 1)
		g_assert_cmpint(read(h->event_fd, &n, sizeof(n)), ==, sizeof(n));
	return weir_loop_dispatch(h->loop);
}

void harness_until(struct harness *h, const guint *flag)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	while (*flag == 0) {
		harness_dispatch(h, 20);
		if (g_get_monotonic_time() > give_up) {
			g_autofree char *log = harness_log(h);

			g_error("nothing came in a minute; log: %s", log);
		}
	}
}

struct seen *seen_new(uint32_t grant_each)
{
	struct seen *seen = g_new0(struct seen, 1);

	seen->text = g_string_new(NULL);
	seen->raw = g_string_new(NULL);
	seen->tops = g_string_new(NULL);
	seen->prompts = g_string_new(NULL);
	seen->tokens = g_array_new(FALSE, FALSE, sizeof(int32_t));
	seen->grant_each = grant_each;
	for (int i = 0; i < 8; i++) {
		seen->choice_text[i] = g_string_new(NULL);
		seen->choice_tokens[i] = g_array_new(FALSE, FALSE, sizeof(int32_t));
	}
	return seen;
}

void seen_free(struct seen *seen)
{
	g_string_free(seen->text, TRUE);
	g_string_free(seen->raw, TRUE);
	g_string_free(seen->tops, TRUE);
	g_string_free(seen->prompts, TRUE);
	g_array_unref(seen->tokens);
	for (int i = 0; i < 8; i++) {
		g_string_free(seen->choice_text[i], TRUE);
		g_array_unref(seen->choice_tokens[i]);
	}
	g_free(seen->end_text);
	g_free(seen->end_param);
	g_free(seen);
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *event)
{
	struct seen *seen = data;

	seen->n_events++;
	if (seen->n_ends > 0 || event->seq != seen->next_seq || !weir_text_valid(event->text))
		seen->n_wrong++;
	if (event->type == WEIR_EVENT_STARTED && (event->seq > 0 || seen->n_started > 0))
		seen->n_wrong++;
	seen->next_seq = event->seq + 1;
	if (event->type == WEIR_EVENT_STARTED) {
		seen->n_started++;
		seen->prompt = event->value;
	} else if (event->type == WEIR_EVENT_PROMPT) {
		if (seen->tokens->len > 0)
			seen->n_wrong++; /* they come before all output */
		seen->n_prompts++;
		g_string_append_printf(seen->prompts, "%.*s|%d|%.2f|%d|%u;", (int)event->text.len,
				       event->text.data, event->token, (double)event->logprob,
				       (int)event->value, event->n_top);
	} else {
		g_string_append_len(seen->text, event->text.data, (gssize)event->text.len);
		if (event->index < 8)
			g_string_append_len(seen->choice_text[event->index], event->text.data,
					    (gssize)event->text.len);
	}
	if (event->type == WEIR_EVENT_TOKEN && !isnan(event->logprob)) {
		g_string_append_printf(seen->tops, "%g", (double)event->logprob);
		for (uint32_t i = 0; i < event->n_top; i++)
			g_string_append_printf(seen->tops, " %.*s:%g", (int)event->top[i].text.len,
					       event->top[i].text.data,
					       (double)event->top[i].logprob);
		g_string_append_c(seen->tops, ';');
	}
	if (event->type != WEIR_EVENT_PROMPT)
		g_string_append_len(seen->raw, event->raw.data, (gssize)event->raw.len);
	if (event->type == WEIR_EVENT_TOKEN) {
		g_array_append_val(seen->tokens, event->token);
		if (event->index < 8)
			g_array_append_val(seen->choice_tokens[event->index], event->token);
	}
	if (seen->grant_each)
		weir_stream_grant(stream, seen->grant_each);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct seen *seen = data;

	if (seen->n_ends++ > 0)
		seen->n_wrong++;
	seen->end = *end;
	g_free(seen->end_text);
	g_free(seen->end_param);
	seen->end_text = g_strndup(end->text.data ? end->text.data : "", end->text.len);
	seen->end_param = g_strndup(end->param.data ? end->param.data : "", end->param.len);
	for (uint32_t i = 0; end->choices && i < end->n_choices && i < 8; i++)
		seen->choices[i] = end->choices[i];
	seen->end.text = seen->end.param = (struct weir_str){ NULL, 0 };
	seen->end.choices = NULL;
	seen->stream = NULL;
}

const struct weir_sink seen_sink = {
	.size = sizeof(struct weir_sink),
	.event = on_event,
	.end = on_end,
};

weir_status harness_open(struct harness *h, struct seen *seen, uint32_t credit,
			 const struct weir_sampling *sampling, const struct weir_limits *limits,
			 struct weir_error *err, const char *key, ...)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct weir_kv fields[16];
	size_t n = 0;
	va_list args;

	va_start(args, key);
	for (; key && n < 16; key = va_arg(args, const char *))
		fields[n++] = (struct weir_kv){ key, va_arg(args, const char *) };
	va_end(args);
	return gateway->open(&h->host, h->loop,
			     gateway->request_new(&h->host, fields, n, sampling, limits),
			     &seen_sink, seen, credit, &seen->stream, err);
}
