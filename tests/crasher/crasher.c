/* SPDX-License-Identifier: MIT */
/*
 * tests/crasher/crasher.c - a level-A backend that does what the request's text says: SEGFAULT,
 * ABORT, FREEZE (the process stops), NEVER (no end, not even a cancelled one), GARBAGE (writes onto
 * the connection of its host), else max_tokens words, one every 20 ms. Option `at`: how create()
 * ends. For tests of isolation = process.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weir/backend.h>

struct backend {
	struct weir_instance base;
	const struct weir_stream_api *streams;
	const struct weir_request_api *requests;
	atomic_int n_running;
};

struct job {
	struct backend *b;
	weir_request *request;
	weir_stream *out;
};

static const struct weir_option option_at = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_CHOICE,
	.key = "at",
	.fallback = "never",
	.choices = "never|abort|error",
	.help = "What create() does.",
};
static const struct weir_option option_secret = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_STRING,
	.flags = WEIR_OPTION_SECRET,
	.key = "secret",
	.help = "What must be SHAKEN \"and\\not ${STIRRED}\" on its way here.",
};
static const struct weir_option *const options[] = { &option_at, &option_secret, NULL };

static bool has(const struct job *j, const char *word)
{
	struct weir_str m = j->b->requests->field(j->request, "messages");
	return memmem(m.data, m.len, word, strlen(word)) != NULL;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

/* False: cancelled. */
static bool say(struct job *j, uint32_t type, const char *text, int64_t value)
{
	const struct weir_event e = { .size = sizeof(e),
				      .type = type,
				      .token = -1,
				      .logprob = NAN,
				      .value = value,
				      .text = { text, text ? strlen(text) : 0 } };
	weir_status status;
	while ((status = j->b->streams->emit(j->out, &e)) == WEIR_E_NO_CREDIT)
		nap();
	return status >= 0;
}

/* A crash as users have them: a sanitizer's report would end the process in its own way. */
__attribute__((no_sanitize("undefined", "address", "thread"))) static void crash(void)
{
	volatile int *volatile nothing = NULL;
	(void)signal(SIGSEGV, SIG_DFL);
	*nothing = 1;
}

static void misbehave(const struct job *j)
{
	static const char garbage[] = "this is no line of ours\n";
	if (has(j, "SEGFAULT"))
		crash();
	if (has(j, "ABORT"))
		abort();
	if (has(j, "FREEZE"))
		raise(SIGSTOP);
	while (has(j, "NEVER"))
		nap();
	if (has(j, "GARBAGE") && write(3, garbage, sizeof(garbage) - 1) < 0)
		abort();
}

static void *answer(void *data)
{
	struct job *j = data;
	uint32_t n = j->b->requests->limits(j->request)->max_tokens;
	struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP, .n_prompt = 1 };
	bool goes_on = true;
	if (has(j, "EARLY"))
		misbehave(j);
	goes_on = say(j, WEIR_EVENT_STARTED, NULL, 1);
	for (; goes_on && end.n_output < n; end.n_output++) {
		char word[16];
		snprintf(word, sizeof(word), "w%u ", end.n_output);
		goes_on = say(j, WEIR_EVENT_TEXT, word, 0);
		if (end.n_output == 2)
			misbehave(j);
		nap();
	}
	end.status = goes_on ? WEIR_OK : WEIR_E_CANCELLED;
	j->b->streams->end(j->out, &end);
	j->b->requests->unref(j->request);
	atomic_fetch_sub(&j->b->n_running, 1);
	free(j);
	return NULL;
}

static weir_status submit(struct weir_instance *i, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct job *j = calloc(1, sizeof(*j));
	pthread_t thread;
	if (!j)
		return WEIR_E_EXHAUSTED;
	*j = (struct job){ i->data, request, out };
	atomic_fetch_add(&j->b->n_running, 1);
	if (pthread_create(&thread, NULL, answer, j) != 0) {
		atomic_fetch_sub(&j->b->n_running, 1);
		free(j);
		return WEIR_E_UNAVAILABLE;
	}
	pthread_detach(thread);
	return WEIR_OK;
}

static void destroy(struct weir_instance *i)
{
	struct backend *b = i->data;
	for (int n = 0; n < 50 && atomic_load(&b->n_running) > 0; n++)
		nap();
	if (atomic_load(&b->n_running) == 0) /* else one of them never ends */
		free(b);
}

static const void *get_ext(struct weir_instance *i, const char *id)
{
	static const struct weir_backend_stream calls = { .size = sizeof(calls), .submit = submit };
	return strcmp(id, WEIR_BACKEND_STREAM) == 0 ? &calls : NULL;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct backend *b;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(conf[i].value, "abort") == 0)
			abort();
		if (strcmp(conf[i].value, "error") == 0) {
			snprintf(err->text, sizeof(err->text), "crasher: it was told not to begin");
			return WEIR_E_INVALID;
		}
		if (strcmp(conf[i].key, "secret") == 0)
			fprintf(stderr, "the secret has %zu bytes, its sum is %d\n",
				strlen(conf[i].value), (int)conf[i].value[0]);
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return WEIR_E_EXHAUSTED;
	b->streams = host->get_ext(host, WEIR_HOST_STREAM);
	b->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	b->base = (struct weir_instance){
		.size = sizeof(b->base), .data = b, .destroy = destroy, .get_ext = get_ext
	};
	*ret = &b->base;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "crasher",
	.title = "What the text says",
	.help = "For tests.",
	.options = options,
	.create = create,
};
static const struct weir_component *const components[] = { &component, NULL };
static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "crasher",
	.version = "1",
	.vendor = "Weir's tests",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return &plugin;
}
