/* SPDX-License-Identifier: MIT */
/*
 * backend-null.c - the smallest whole level-A backend: answers every request with a fixed text.
 *
 * A template: copy it, rename "null", put your engine where answer() is. It shows the three laws
 * that a level-A backend lives by:
 *   - submit() returns at once; the work is done on a thread of your own;
 *   - emit() may say NO_CREDIT (the client reads slowly): keep the event, try again after wake();
 *   - every stream that submit() accepted gets exactly one end(), also when it was cancelled and
 *     when stop() is called.
 *
 *     cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags weir-sdk) backend-null.c \
 *        -o weir-null.so -pthread                   in this source tree: -Isdk/include instead
 *     weir check ./weir-null.so
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <weir/backend.h>

struct job { /* one accepted request */
	struct job *next;
	weir_request *request;
	weir_stream *out;
	int step; /* 0: STARTED comes next, 1: the text, 2: the end */
};

struct backend {
	struct weir_instance base; /* first: the host's pointer is ours */
	const struct weir_stream_api *streams;
	const struct weir_request_api *requests;
	char *text;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *jobs;
	int dirty, stopping; /* look at the jobs (again); end them all and leave */
};

static struct weir_event next_event(const struct backend *self, const struct job *job)
{
	struct weir_event event = { .size = sizeof(event) };

	event.type = job->step == 0 ? WEIR_EVENT_STARTED : WEIR_EVENT_TEXT;
	event.token = -1;
	event.logprob = __builtin_nanf("");
	if (job->step == 1) {
		event.text.data = self->text;
		event.text.len = strlen(self->text);
	}
	return event;
}

/* Goes on with one job. Returns 1 when it has ended: the stream is gone then. */
static int answer(struct backend *self, struct job *job, int stopping)
{
	struct weir_end end = { .size = sizeof(end) };

	end.finish = WEIR_FINISH_STOP;
	while (job->step < 2) {
		struct weir_event event = next_event(self, job);
		weir_status status = self->streams->emit(job->out, &event);

		if (status == WEIR_E_NO_CREDIT && !stopping)
			return 0; /* wake() will tell */
		if (status != WEIR_OK) {
			end.status = stopping ? WEIR_E_UNAVAILABLE : WEIR_E_CANCELLED;
			end.finish = WEIR_FINISH_NONE;
			break;
		}
		job->step += self->text[0] ? 1 : 2;
	}
	self->streams->end(job->out, &end);
	self->requests->unref(job->request);
	return 1;
}

static void *work(void *data)
{
	struct backend *self = data;

	pthread_mutex_lock(&self->lock);
	while (!self->stopping || self->jobs) {
		while (!self->dirty && !self->stopping)
			pthread_cond_wait(&self->changed, &self->lock);
		/* The lock is not held while the host is called. */
		struct job *jobs = self->jobs, *waiting = NULL;
		self->jobs = NULL;
		int stopping = self->stopping;
		self->dirty = 0;
		pthread_mutex_unlock(&self->lock);
		while (jobs) {
			struct job *job = jobs;
			jobs = job->next;
			if (answer(self, job, stopping)) {
				free(job);
				continue;
			}
			job->next = waiting;
			waiting = job;
		}
		pthread_mutex_lock(&self->lock);
		while (waiting) {
			struct job *job = waiting;
			waiting = job->next;
			job->next = self->jobs;
			self->jobs = job;
		}
	}
	pthread_mutex_unlock(&self->lock);
	return NULL;
}

static void notify(struct backend *self)
{
	pthread_mutex_lock(&self->lock);
	self->dirty = 1;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
}

static weir_status submit(struct weir_instance *base, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct backend *self = (struct backend *)base;
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return WEIR_E_EXHAUSTED; /* the host still owns both */
	job->request = request;
	job->out = out;
	pthread_mutex_lock(&self->lock);
	job->next = self->jobs;
	self->jobs = job;
	self->dirty = 1;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
	return WEIR_OK;
}

static void wake(struct weir_instance *base, weir_stream *out)
{
	notify((struct backend *)base);
}

static weir_status start(struct weir_instance *base, struct weir_error *err)
{
	struct backend *self = (struct backend *)base;

	if (pthread_create(&self->thread, NULL, work, self)) {
		strcpy(err->text, "no thread could be started");
		return WEIR_E_EXHAUSTED;
	}
	return WEIR_OK;
}

static void stop(struct weir_instance *base)
{
	struct backend *self = (struct backend *)base;

	pthread_mutex_lock(&self->lock);
	self->stopping = 1;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
	pthread_join(self->thread, NULL);
}

static void destroy(struct weir_instance *base)
{
	struct backend *self = (struct backend *)base;

	pthread_cond_destroy(&self->changed);
	pthread_mutex_destroy(&self->lock);
	free(self->text);
	free(self);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_backend_stream api = { sizeof(api), 0, submit, wake };

	return strcmp(id, WEIR_BACKEND_STREAM) ? NULL : &api;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	const char *text = "";
	struct backend *self = calloc(1, sizeof(*self));

	for (size_t i = 0; i < n_conf; i++)
		if (!strcmp(conf[i].key, "text"))
			text = conf[i].value;
	if (self)
		self->text = malloc(strlen(text) + 1);
	if (!self || !self->text) {
		free(self);
		return WEIR_E_EXHAUSTED;
	}
	strcpy(self->text, text);
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	if (!self->streams || !self->requests) {
		strcpy(err->text, "the host offers no streams");
		free(self->text);
		free(self);
		return WEIR_E_UNSUPPORTED;
	}
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->changed, NULL);
	self->base.size = sizeof(self->base);
	self->base.start = start;
	self->base.stop = stop;
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_option option_text = {
	.size = sizeof(option_text),
	.type = WEIR_OPTION_STRING,
	.key = "text",
	.fallback = "",
	.help = "What every answer says; empty: nothing.",
};

static const struct weir_option *const options[] = { &option_text, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "null",
	.title = "Null backend (SDK example)",
	.help = "Answers every request with the same text and computes nothing.",
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
		.name = "null",
		.version = "1.0",
		.vendor = "Weir",
		.license = "MIT",
		.components = components,
	};

	return &plugin;
}
