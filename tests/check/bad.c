/*
 * tests/check/bad.c - plugins that break the contract, each in one way: compiled once per kind with
 * BAD_<KIND> defined, to see that the registry and `weir check` say so. Without any it is a good
 * one, which proves that the rest of this file is not what is complained about.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir/backend.h>

struct bad {
	struct weir_instance base;
	const struct weir_stream_api *streams;
	const struct weir_request_api *requests;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned running, wakes;
	int stopping;
};

struct job {
	struct bad *self;
	weir_request *request;
	weir_stream *out;
};

static void wait_for_wake(struct bad *self, unsigned seen)
{
	pthread_mutex_lock(&self->lock);
	while (self->wakes == seen && !self->stopping)
		pthread_cond_wait(&self->changed, &self->lock);
	pthread_mutex_unlock(&self->lock);
}

static int emit(struct job *job, uint32_t type, const char *text)
{
	struct bad *self = job->self;
	struct weir_event event = { .size = sizeof(event), .type = type, .token = -1 };

	event.logprob = __builtin_nanf("");
	event.text.data = text;
	event.text.len = strlen(text);
	for (;;) {
		pthread_mutex_lock(&self->lock);
		unsigned seen = self->wakes;
		int stopping = self->stopping;
		pthread_mutex_unlock(&self->lock);
		weir_status status = self->streams->emit(job->out, &event);
#ifdef BAD_OVERRUN /* as if credit did not exist: the event is lost */
		return status != WEIR_E_CANCELLED && !stopping;
#endif
		if (status != WEIR_E_NO_CREDIT)
			return status == WEIR_OK;
		if (stopping)
			return 0;
#ifndef BAD_SPIN
		wait_for_wake(self, seen);
#endif
	}
}

static void *answer(void *data)
{
	struct job *job = data;
	struct bad *self = job->self;
	struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP };
	int fine = 1;

#ifndef BAD_NO_STARTED
	fine = emit(job, WEIR_EVENT_STARTED, "");
#endif
	for (int i = 0; fine && i < 20; i++)
		fine = emit(job, WEIR_EVENT_TEXT, "word ");
#ifdef BAD_NO_END
	for (;;)
		pause();
#endif
	if (!fine) {
		end.status = WEIR_E_CANCELLED;
		end.finish = WEIR_FINISH_NONE;
	}
	self->streams->end(job->out, &end);
#ifdef BAD_TWO_ENDS
	self->streams->end(job->out, &end);
#endif
	self->requests->unref(job->request);
	free(job);
	pthread_mutex_lock(&self->lock);
	self->running--;
	pthread_cond_broadcast(&self->changed);
	pthread_mutex_unlock(&self->lock);
	return NULL;
}

static weir_status submit(struct weir_instance *base, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct bad *self = (struct bad *)base;
	struct job *job = calloc(1, sizeof(*job));
	pthread_attr_t attributes;
	pthread_t thread;

#ifdef BAD_FIELD
	struct weir_str messages = self->requests->field(request, "messages");

	if (messages.len > 0 && strlen(messages.data) != messages.len) /* a NUL in it */
		__builtin_trap();
#endif
	*job = (struct job){ self, request, out };
	pthread_mutex_lock(&self->lock);
	self->running++;
	pthread_mutex_unlock(&self->lock);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	int failed = pthread_create(&thread, &attributes, answer, job);
	pthread_attr_destroy(&attributes);
	return failed ? WEIR_E_EXHAUSTED : WEIR_OK;
}

static void wake(struct weir_instance *base, weir_stream *out)
{
	struct bad *self = (struct bad *)base;

	pthread_mutex_lock(&self->lock);
	self->wakes++;
	pthread_cond_broadcast(&self->changed);
	pthread_mutex_unlock(&self->lock);
}

static void stop(struct weir_instance *base)
{
	struct bad *self = (struct bad *)base;

	pthread_mutex_lock(&self->lock);
	self->stopping = 1;
	pthread_cond_broadcast(&self->changed);
	while (self->running > 0)
		pthread_cond_wait(&self->changed, &self->lock);
	pthread_mutex_unlock(&self->lock);
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_backend_stream api = { sizeof(api), 0, submit, wake };

#ifdef BAD_ANY_EXT
	return &api;
#endif
	return strcmp(id, WEIR_BACKEND_STREAM) ? NULL : &api;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
#ifdef BAD_NULL_INSTANCE
	return WEIR_OK;
#endif
#ifdef BAD_CRASH
	*(volatile int *)(uintptr_t)n_conf = 1;
#endif
#ifdef BAD_SILENT
	return WEIR_E_INTERNAL;
#endif
#ifdef BAD_LEAK
	if (open("/dev/null", O_RDONLY) < 0)
		return WEIR_E_INTERNAL;
#endif
#ifdef BAD_LIMITS
	for (size_t i = 0; i < n_conf; i++)
		if (!strcmp(conf[i].key, "count") && !strcmp(conf[i].value, "64"))
			__builtin_trap();
#endif
	struct bad *self = calloc(1, sizeof(*self));
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->changed, NULL);
	self->base.size = sizeof(self->base);
	self->base.stop = stop;
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_option option_count = {
	.size = sizeof(option_count),
	.type = WEIR_OPTION_INT,
	.key = "count",
#ifdef BAD_OPTION
	.fallback = "65",
#else
	.fallback = "3",
#endif
	.help = "How many.",
	.min = 1,
	.max = 64,
};

static const struct weir_option *const options[] = { &option_count, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
#ifndef BAD_NULL_ID
	.id = BAD_NAME,
#endif
	.title = "For tests",
	.help = "Breaks the contract in one way.",
	.options = options,
	.create = create,
};

#ifndef BAD_NO_SYMBOL
WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static const struct weir_component *const components[] = { &component, NULL };
	static struct weir_plugin plugins[2];
	static int calls;
	struct weir_plugin *plugin = plugins;

#ifdef BAD_IMPURE
	plugin = &plugins[calls++ % 2];
#endif
	(void)calls;
	*plugin = (struct weir_plugin){
		.size = sizeof(*plugin),
		.abi = WEIR_ABI,
		.abi_min = WEIR_ABI,
		.sanitizer = WEIR_SANITIZER,
		.name = BAD_NAME,
		.version = "1.0",
		.components = components,
	};
#ifdef BAD_ABI
	plugin->abi = (WEIR_ABI_MAJOR + 7) << 16;
#endif
#ifdef BAD_ABI_MIN
	plugin->abi_min = WEIR_ABI + 1;
#endif
#ifdef BAD_SANITIZER
	plugin->sanitizer = WEIR_SANITIZER == 2 ? 1 : 2;
#endif
#ifdef BAD_SIZE
	plugin->size = 0;
#endif
	return plugin;
}
#endif
