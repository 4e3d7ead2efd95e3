/* SPDX-License-Identifier: MIT */
/*
 * backends/child/plugin.c - the component that `isolation = process` uses: its options, which the
 * host sets, and its place in the plugin interface. See child.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "child.h"

static const struct weir_option option_profile = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_STRING,
	.flags = WEIR_OPTION_REQUIRED | WEIR_OPTION_SECRET,
	.key = "profile",
	.help = "The profile of the process. The host writes it, for isolation = process.",
};

static const struct weir_option option_settings = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_STRING,
	.flags = WEIR_OPTION_LIVE,
	.key = "settings",
	.fallback = "",
	.help = "Its first sections, which may change without another process.",
};

static const struct weir_option option_program = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_STRING,
	.key = "program",
	.fallback = "/proc/self/exe",
	.help = "The program to run: weir itself.",
};

static const struct weir_option option_hang_timeout = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_DURATION,
	.flags = WEIR_OPTION_LIVE,
	.key = "hang_timeout",
	.fallback = "60s",
	.help = "A process that does not answer for so long is ended.",
	.min = 500,
	.max = 86400000,
};

static const struct weir_option *const options[] = { &option_profile, &option_settings,
						     &option_program, &option_hang_timeout, NULL };

static weir_status fail(struct weir_error *err, weir_status code, const char *text)
{
	err->code = code;
	g_strlcpy(err->text, text, sizeof(err->text));
	return code;
}

/* ---- requests ---- */

/* False: it stops. */
static bool post(struct child *c, struct job *j)
{
	bool was_empty;
	pthread_mutex_lock(&c->lock);
	bool stop = c->stopping;
	was_empty = !c->inbox;
	if (!stop && !j->in_inbox) {
		j->in_inbox = true;
		j->next_in = NULL;
		if (c->inbox_last)
			c->inbox_last->next_in = j;
		else
			c->inbox = j;
		c->inbox_last = j;
	}
	pthread_mutex_unlock(&c->lock);
	if (!stop && was_empty)
		child_ring(c);
	return !stop;
}

static weir_status submit(struct weir_instance *i, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct child *c = i->data;
	struct job *j = job_new(c, request, out);
	if (!j)
		return fail(err, WEIR_E_INTERNAL, "the field resume does not fit the request");
	c->streams->set_data(out, j);
	if (post(c, j))
		return WEIR_OK;
	j->request = NULL; /* the host's still */
	job_free(c, j);
	return fail(err, WEIR_E_UNAVAILABLE, "the backend stops");
}

static void wake(struct weir_instance *i, weir_stream *out)
{
	struct child *c = i->data;
	struct job *j = c->streams->get_data(out);
	if (j)
		(void)post(c, j);
}

/* ---- life ---- */

static void make_metrics(struct child *c)
{
	const struct weir_metrics *m = c->metrics;
	if (!m)
		return;
	g_autofree char *labels = g_strdup_printf("backend=\"%s\"", c->host->instance);
	c->m_starts = m->counter(c->host, "weir_process_starts", labels,
				 "Processes that were started for an isolated backend.");
	c->m_deaths = m->counter(c->host, "weir_process_deaths", labels,
				 "Processes of it that ended, or were ended, by a fault.");
	c->m_resumed = m->counter(c->host, "weir_process_resumed", labels,
				  "Requests that went on in another process.");
	c->m_up = m->gauge(c->host, "weir_process_up", labels, "1: its process is ready.");
}

static weir_status start(struct weir_instance *i, struct weir_error *err)
{
	struct child *c = i->data;
	make_metrics(c);
	int code = pthread_create(&c->thread, NULL, child_run, c);
	if (code != 0)
		return fail(err, WEIR_E_UNAVAILABLE, g_strerror(code));
	c->running = true;
	return WEIR_OK;
}

static void stop(struct weir_instance *i)
{
	struct child *c = i->data;
	if (!c->running)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	child_ring(c);
	pthread_join(c->thread, NULL);
	c->running = false;
	if (c->m_up)
		c->metrics->set(c->m_up, 0);
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	g_free(text);
}

static void destroy(struct weir_instance *i)
{
	if (!i)
		return;
	struct child *c = i->data;
	if (c->bell)
		c->streams->bell_free(c->bell);
	if (c->bell_fd >= 0)
		close(c->bell_fd);
	free_secret(c->profile);
	g_free(c->program);
	g_free(c->settings);
	g_free(c->place);
	g_free(c->why);
	g_free(c->last_words);
	g_string_free(c->health, TRUE);
	g_string_free(c->series, TRUE);
	g_string_free(c->out, TRUE);
	g_byte_array_unref(c->in);
	g_byte_array_unref(c->lines);
	g_ptr_array_unref(c->adapters);
	g_hash_table_unref(c->by_id);
	g_hash_table_unref(c->left);
	wire_scratch_clear(&c->scratch);
	pthread_mutex_destroy(&c->lock);
	g_free(c);
}

/* As far as the process has told. */
static bool resumes(struct child *c)
{
	pthread_mutex_lock(&c->lock);
	bool yes = c->shown.resumes;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

static const void *get_ext(struct weir_instance *i, const char *id)
{
	static const struct weir_backend_stream stream = { .size = sizeof(stream),
							   .submit = submit,
							   .wake = wake };
	static const struct weir_resume resume = { .size = sizeof(resume) };
	if (strcmp(id, WEIR_BACKEND_STREAM) == 0)
		return &stream;
	if (strcmp(id, WEIR_REPORT) == 0)
		return &report_calls;
	if (strcmp(id, WEIR_ADAPTERS) == 0)
		return &report_adapters;
	return strcmp(id, WEIR_RESUME) == 0 && resumes(i->data) ? &resume : NULL;
}

static struct child *new_child(const struct weir_host *host)
{
	struct child *c = g_new0(struct child, 1);
	const char *dot = strchr(host->instance, '.');
	c->base = (struct weir_instance){ .size = sizeof(c->base),
					  .data = c,
					  .start = start,
					  .stop = stop,
					  .destroy = destroy,
					  .get_ext = get_ext };
	c->host = host;
	c->log = host->get_ext(host, WEIR_HOST_LOG);
	c->metrics = host->get_ext(host, WEIR_HOST_METRICS);
	c->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	c->streams = host->get_ext(host, WEIR_HOST_STREAM);
	c->place = g_strdup(dot ? dot + 1 : host->instance);
	c->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->hang_ms = 60000;
	c->next_id = 1;
	c->phase = PHASE_DOWN;
	c->info =
		(struct weir_report_info){ .size = sizeof(c->info), .state = WEIR_REPORT_LOADING };
	c->health = g_string_new(NULL);
	c->series = g_string_new(NULL);
	c->out = g_string_new(NULL);
	c->in = g_byte_array_new();
	c->lines = g_byte_array_new();
	c->adapters = g_ptr_array_new();
	c->by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
	c->left = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	wire_scratch_init(&c->scratch);
	process_init(&c->process);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static weir_status check(struct child *c, struct weir_error *err)
{
	if (!c->requests || !c->streams || !WEIR_HAS(struct weir_request_api, c->requests, each))
		return fail(err, WEIR_E_UNSUPPORTED, "the host offers no requests or streams");
	if (c->bell_fd < 0)
		return fail(err, WEIR_E_UNAVAILABLE, g_strerror(errno));
	if (!c->profile)
		return fail(err, WEIR_E_INVALID,
			    "it is not for profiles: write isolation = process in the section of "
			    "the backend");
	if (WEIR_HAS(struct weir_stream_api, c->streams, ring))
		c->bell = c->streams->bell_new();
	return WEIR_OK;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct child *c = new_child(host);
	for (size_t i = 0; i < n_conf; i++) {
		const char *key = conf[i].key, *value = conf[i].value;
		if (strcmp(key, option_profile.key) == 0)
			c->profile = g_strdup(value);
		else if (strcmp(key, option_settings.key) == 0)
			c->settings = g_strdup(value);
		else if (strcmp(key, option_program.key) == 0)
			c->program = g_strdup(value);
		else if (strcmp(key, option_hang_timeout.key) == 0)
			c->hang_ms = g_ascii_strtoll(value, NULL, 10);
	}
	if (!c->program)
		c->program = g_strdup(option_program.fallback);
	if (!c->settings)
		c->settings = g_strdup("");
	weir_status status = check(c, err);
	if (status < 0)
		destroy(&c->base);
	else
		*ret = &c->base;
	return status;
}

static int32_t probe(const struct weir_host *host, struct weir_error *why)
{
	g_strlcpy(why->text, "runs another backend, for isolation = process", sizeof(why->text));
	return 1;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "child",
	.title = "A backend in a process of its own",
	.help = "What isolation = process in a [backend.NAME] section makes of the backend that it "
		"names: a supervised process behind the line protocol, started again when it ends. "
		"It is not named in profiles itself.",
	.options = options,
	.probe = probe,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "child",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
