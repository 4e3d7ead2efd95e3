/* SPDX-License-Identifier: MIT */
/*
 * frontend-ask.c - the smallest whole frontend: asks one question, writes the answer to standard
 * output and ends the server.
 *
 * A template: copy it, rename "ask", put your protocol where ask() is. It shows
 *   - requests are opened and their events delivered on one thread of the frontend's own, which
 *     sleeps until the host rings;
 *   - credit: an event that was written out is paid back with grant(), so that a slow reader slows
 *     its own answer and nothing else;
 *   - exactly one end() comes for every stream that open() gave, also after cancel(); only then may
 *     the loop be freed.
 *
 *     cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags weir-sdk) frontend-ask.c \
 *        -o weir-ask.so -pthread                    in this source tree: -Isdk/include instead
 *     weir check ./weir-ask.so --option question=Hello
 *     weir serve --plugin-path . --set frontend.ask.question='Tell me a story.'
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <weir/frontend.h>
#include <weir/services.h>

#define CREDIT 64 /* events that may wait for us */

struct ask {
	struct weir_instance base; /* first: the host's pointer is ours */
	const struct weir_host *host;
	const struct weir_gateway *gateway;
	const struct weir_stream_api *streams;
	const struct weir_log *log;
	const struct weir_status_api *status; /* may be absent */
	char *question, *model;
	pthread_t thread;
	int bell; /* an eventfd: the host rang, or stop() did */
	int stopping;
	int running; /* between open() and end() */
};

static void ring(void *data)
{
	struct ask *self = data;
	uint64_t one = 1;

	if (write(self->bell, &one, sizeof(one)) < 0)
		return; /* full: then it has rung already */
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *event)
{
	struct ask *self = data;

	if (event->type == WEIR_EVENT_TOKEN || event->type == WEIR_EVENT_TEXT) {
		fwrite(event->text.data, 1, event->text.len, stdout);
		fflush(stdout);
	}
	self->streams->grant(stream, 1);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct ask *self = data;

	self->running = 0;
	if (end->status == WEIR_OK) {
		putchar('\n');
	} else {
		char text[512]; /* end->text is not NUL-terminated */
		snprintf(text, sizeof(text), "%.*s", (int)end->text.len, end->text.data);
		self->log->write(self->host, WEIR_LOG_ERROR, "ask", text);
	}
	fflush(stdout);
}

/* A JSON string of any UTF-8 text; NULL: no memory. */
static char *quote(const char *text)
{
	char *out = malloc(6 * strlen(text) + 1), *to = out;

	for (; out && *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == '"' || c == '\\')
			to += sprintf(to, "\\u%04x", c);
		else
			*to++ = (char)c;
	}
	if (out)
		*to = '\0';
	return out;
}

static weir_status ask(struct ask *self, weir_loop *loop, weir_stream **ret, struct weir_error *err)
{
	static const struct weir_sink sink = { sizeof(sink), 0, on_event, on_end };
	static const char form[] = "[{\"role\":\"user\",\"content\":\"%s\"}]";
	char *quoted = quote(self->question);
	size_t size = quoted ? strlen(quoted) + sizeof(form) : 0;
	char *messages = quoted ? malloc(size) : NULL;
	weir_status status = WEIR_E_EXHAUSTED;

	if (messages) {
		snprintf(messages, size, form, quoted);
		const struct weir_kv fields[] = { { "kind", "chat" },
						  { "id", "ask-1" },
						  { "model", self->model },
						  { "messages", messages } };
		weir_request *request =
			self->gateway->request_new(self->host, fields, 4, NULL, NULL);
		status = self->gateway->open(self->host, loop, request, &sink, self, CREDIT, ret,
					     err);
	}
	free(messages);
	free(quoted);
	return status;
}

static int stopping(struct ask *self)
{
	return __atomic_load_n(&self->stopping, __ATOMIC_ACQUIRE);
}

static void *work(void *data)
{
	struct ask *self = data;
	struct weir_error err = { 0, "", "no memory" };
	weir_loop *loop = self->gateway->loop_new(self->host, ring, self);
	weir_stream *stream = NULL;

	while (self->status && !strcmp(self->status->state(self->host), "initializing") &&
	       !stopping(self))
		usleep(10000); /* the model is still loading */
	self->running = 1;
	if (ask(self, loop, &stream, &err) != WEIR_OK) {
		self->running = 0;
		self->log->write(self->host, WEIR_LOG_ERROR, "ask", err.text);
	}
	while (self->running) {
		uint64_t count;
		if (read(self->bell, &count, sizeof(count)) < 0)
			continue; /* a signal */
		if (stopping(self))
			self->streams->cancel(stream, WEIR_E_UNAVAILABLE);
		self->gateway->dispatch(loop); /* the stream is gone once on_end() was called */
	}
	self->gateway->loop_free(loop);
	if (self->status)
		self->status->quit(self->host);
	return NULL;
}

static weir_status start(struct weir_instance *base, struct weir_error *err)
{
	struct ask *self = (struct ask *)base;

	if (pthread_create(&self->thread, NULL, work, self)) {
		strcpy(err->text, "no thread could be started");
		return WEIR_E_EXHAUSTED;
	}
	return WEIR_OK;
}

static void stop(struct weir_instance *base)
{
	struct ask *self = (struct ask *)base;

	__atomic_store_n(&self->stopping, 1, __ATOMIC_RELEASE);
	ring(self);
	pthread_join(self->thread, NULL);
}

static void destroy(struct weir_instance *base)
{
	struct ask *self = (struct ask *)base;

	if (self->bell >= 0)
		close(self->bell);
	free(self->question);
	free(self->model);
	free(self);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	return NULL; /* a frontend offers nothing: it asks the gateway */
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct ask *self = calloc(1, sizeof(*self));

	if (!self)
		return WEIR_E_EXHAUSTED;
	self->host = host;
	self->gateway = host->get_ext(host, WEIR_HOST_GATEWAY);
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->log = host->get_ext(host, WEIR_HOST_LOG);
	self->status = host->get_ext(host, WEIR_HOST_STATUS);
	self->bell = eventfd(0, EFD_CLOEXEC);
	for (size_t i = 0; i < n_conf; i++) {
		if (!strcmp(conf[i].key, "question"))
			self->question = strdup(conf[i].value);
		else if (!strcmp(conf[i].key, "model"))
			self->model = strdup(conf[i].value);
	}
	if (!self->gateway || !self->streams || !self->log || self->bell < 0 || !self->question ||
	    !self->model) {
		strcpy(err->text, "the host lacks a service, or memory is short");
		destroy(&self->base);
		return WEIR_E_UNSUPPORTED;
	}
	self->base.size = sizeof(self->base);
	self->base.start = start;
	self->base.stop = stop;
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_option option_question = {
	.size = sizeof(option_question),
	.type = WEIR_OPTION_STRING,
	.flags = WEIR_OPTION_REQUIRED,
	.key = "question",
	.help = "What is asked.",
};

static const struct weir_option option_model = {
	.size = sizeof(option_model),
	.type = WEIR_OPTION_STRING,
	.key = "model",
	.fallback = "default",
	.help = "Who is asked, by a name that a backend's `serves` has.",
};

static const struct weir_option *const options[] = { &option_question, &option_model, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "ask",
	.title = "One question (SDK example)",
	.help = "Asks one question, writes the answer to standard output and ends the server.",
	.options = options,
	.create = create,
};

WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static const struct weir_component *const components[] = { &component, NULL };
	static const struct weir_plugin plugin = {
		.size = sizeof(plugin),
		.abi = WEIR_ABI,
		.abi_min = WEIR_ABI,
		.sanitizer = WEIR_SANITIZER,
		.name = "ask",
		.version = "1.0",
		.vendor = "Weir",
		.license = "MIT",
		.components = components,
	};

	return &plugin;
}
