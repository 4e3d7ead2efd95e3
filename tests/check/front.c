/*
 * tests/check/front.c - a frontend without a network, for tests of the server: sends requests to
 * itself, counts how they end, and says so in the log and in the metrics.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weir/frontend.h>
#include <weir/services.h>

struct front {
	struct weir_instance base;
	const struct weir_host *host;
	const struct weir_gateway *gateway;
	const struct weir_log *log;
	weir_loop *loop;
	pthread_t thread;
	int bell, requests, open, fail_start, quit_after;
	int stopping; /* atomic */
	char model[64];
	char text[4096];
	size_t n_text;
	weir_status last;
};

static void ring(void *data)
{
	struct front *self = data;
	uint64_t one = 1;
	ssize_t n = write(self->bell, &one, sizeof(one));
	(void)n;
}

static void say(struct front *self, uint32_t level, const char *text)
{
	self->log->write(self->host, level, "front", text);
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *event)
{
	struct front *self = data;
	size_t room = sizeof(self->text) - self->n_text;
	size_t n = event->text.len < room ? event->text.len : room;
	if (n && !self->n_text)
		say(self, WEIR_LOG_INFO, "text comes");
	if (n)
		memcpy(self->text + self->n_text, event->text.data, n);
	self->n_text += n;
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct front *self = data;
	self->open--;
	self->last = end->status;
}

static const struct weir_sink sink = { sizeof(sink), 0, on_event, on_end };

static void open_all(struct front *self)
{
	const struct weir_kv fields[] = {
		{ "kind", "chat" },
		{ "id", "test-1" },
		{ "model", self->model },
		{ "messages", "[{\"role\":\"user\",\"content\":\"hello there\"}]" },
	};
	for (int i = 0; i < self->requests; i++) {
		struct weir_error err = { 0 };
		weir_stream *stream = NULL;
		weir_request *request =
			self->gateway->request_new(self->host, fields, 4, NULL, NULL);
		weir_status status = self->gateway->open(self->host, self->loop, request, &sink,
							 self, 1000, &stream, &err);
		if (status == WEIR_OK) {
			self->open++;
		} else {
			self->last = status;
			say(self, WEIR_LOG_WARNING, err.text);
		}
	}
}

static void *serve(void *data)
{
	struct front *self = data;
	char line[5000];
	open_all(self);
	say(self, WEIR_LOG_INFO, "all opened");
	while (self->open > 0 || !__atomic_load_n(&self->stopping, __ATOMIC_ACQUIRE)) {
		uint64_t count;
		if (self->open == 0 && self->requests > 0) {
			snprintf(line, sizeof(line), "all ended: status %d, text \"%.*s\"",
				 (int)self->last, (int)self->n_text, self->text);
			say(self, WEIR_LOG_INFO, line);
			self->requests = 0;
			if (self->quit_after) {
				const struct weir_status_api *status =
					self->host->get_ext(self->host, WEIR_HOST_STATUS);
				status->quit(self->host);
			}
		}
		if (read(self->bell, &count, sizeof(count)) > 0)
			self->gateway->dispatch(self->loop);
	}
	return NULL;
}

static weir_status start(struct weir_instance *base, struct weir_error *err)
{
	struct front *self = (struct front *)base;
	if (self->fail_start) {
		strcpy(err->text, "the port is in use (says the test)");
		return WEIR_E_UNAVAILABLE;
	}
	self->bell = eventfd(0, EFD_CLOEXEC);
	self->loop = self->gateway->loop_new(self->host, ring, self);
	if (pthread_create(&self->thread, NULL, serve, self))
		return WEIR_E_INTERNAL;
	return WEIR_OK;
}

static void drain(struct weir_instance *base)
{
	say((struct front *)base, WEIR_LOG_INFO, "draining");
}

static void stop(struct weir_instance *base)
{
	struct front *self = (struct front *)base;
	__atomic_store_n(&self->stopping, 1, __ATOMIC_RELEASE);
	ring(self);
	pthread_join(self->thread, NULL);
	self->gateway->loop_free(self->loop);
	close(self->bell);
	say(self, WEIR_LOG_INFO, "stopped");
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct front *self = calloc(1, sizeof(*self));
	self->host = host;
	self->gateway = host->get_ext(host, WEIR_HOST_GATEWAY);
	self->log = host->get_ext(host, WEIR_HOST_LOG);
	for (size_t i = 0; i < n_conf; i++) {
		if (!strcmp(conf[i].key, "requests"))
			self->requests = atoi(conf[i].value);
		else if (!strcmp(conf[i].key, "fail_start"))
			self->fail_start = !strcmp(conf[i].value, "true");
		else if (!strcmp(conf[i].key, "quit_after"))
			self->quit_after = !strcmp(conf[i].value, "true");
		else if (!strcmp(conf[i].key, "model"))
			snprintf(self->model, sizeof(self->model), "%s", conf[i].value);
	}
	self->base.size = sizeof(self->base);
	self->base.start = start;
	self->base.drain = drain;
	self->base.stop = stop;
	self->base.destroy = destroy;
	*ret = &self->base;
	return WEIR_OK;
}

#define OPTION(name, kind, otherwise)                                                              \
	static const struct weir_option option_##name = { .size = sizeof(struct weir_option),      \
							  .type = kind,                            \
							  .key = #name,                            \
							  .fallback = otherwise,                   \
							  .help = "For tests." }
OPTION(requests, WEIR_OPTION_INT, "0");
OPTION(model, WEIR_OPTION_STRING, "default");
OPTION(fail_start, WEIR_OPTION_BOOL, "false");
OPTION(quit_after, WEIR_OPTION_BOOL, "false");

static const struct weir_option *const options[] = { &option_requests, &option_model,
						     &option_fail_start, &option_quit_after, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "front",
	.title = "Frontend of tests",
	.help = "Sends requests to itself.",
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
		.name = "front",
		.version = "1.0",
		.components = components,
	};
	return &plugin;
}
