/* SPDX-License-Identifier: MIT */
/*
 * backends/child/report.c - what the process tells of itself, kept for whoever asks: weir.report/1
 * and weir.adapters/1. See child.h.
 */
#include <stdlib.h>
#include <string.h>

#include "child.h"

#define MAX_MEMBER   65536u /* of the model's description in /health */
#define MAX_SERIES   (8u << 20)
#define MAX_ADAPTERS 4096u
#define SILENCE      10 /* of a backend without a scheduler, in hang_timeouts */

void report_state(struct child *c, enum weir_report_state state, const char *error)
{
	pthread_mutex_lock(&c->lock);
	c->info.state = state;
	c->info.is_away = state == WEIR_REPORT_READY && c->phase != PHASE_READY;
	g_strlcpy(c->info.error, error ? error : "", sizeof(c->info.error));
	c->shown.pid = (int)c->process.pid;
	c->shown.starts = c->lives;
	c->shown.phase = c->phase;
	c->shown.resumes = c->resumes;
	pthread_mutex_unlock(&c->lock);
	if (c->m_up)
		c->metrics->set(c->m_up, c->phase == PHASE_READY);
}

static uint64_t number(struct json_span from, const char *name, int64_t max)
{
	struct json_span v;
	int64_t n;
	return span_member(from, name, &v) && span_int(v, 0, max, &n) ? (uint64_t)n : 0;
}

/* `,"name":{...}` as it came. */
static void put_member(GString *out, struct json_span from, const char *name)
{
	struct json_span v;
	if (!span_member(from, name, &v) || !span_is(v, '{') || v.end - v.at > MAX_MEMBER)
		return;
	g_string_append_printf(out, "\"%s\":", name);
	g_string_append_len(out, v.at, v.end - v.at);
	g_string_append_c(out, ',');
}

static void keep_health(struct child *c, struct json_span backend)
{
	struct json_span model = { NULL, NULL }, queue = { NULL, NULL };
	bool has_model = span_member(backend, "model", &model);
	g_autoptr(GString) text = g_string_new(NULL);
	put_member(text, backend, "model");
	put_member(text, backend, "kv");
	put_member(text, backend, "progress");
	(void)span_member(backend, "queue", &queue);
	pthread_mutex_lock(&c->lock);
	if (has_model) {
		c->info.n_ctx = (uint32_t)number(model, "context", UINT32_MAX);
		c->info.max_rows = (uint32_t)number(model, "max_rows", UINT32_MAX);
		c->info.bytes_weights = number(model, "bytes_weights", INT64_MAX);
		c->info.bytes_kv = number(model, "bytes_kv", INT64_MAX);
	}
	c->info.n_waiting = (uint32_t)number(queue, "waiting", UINT32_MAX);
	g_string_assign(c->health, text->str);
	pthread_mutex_unlock(&c->lock);
}

static void become_ready(struct child *c)
{
	c->phase = PHASE_READY;
	c->ready_at = c->progress_at = c->now;
	c->ever_ready = true;
	g_clear_pointer(&c->last_words, g_free); /* of the start */
	wire_put_ask(c->out, "models");
	report_state(c, WEIR_REPORT_READY, NULL);
	if (c->lives > 1)
		child_logf(c, WEIR_LOG_INFO, "process %d is ready after %.1f s",
			   (int)c->process.pid, (double)(c->now - c->started_at) / 1000);
}

/* The backend in it cannot serve: as if the process had ended, with its own words. */
static void backend_failed(struct child *c, struct json_span backend)
{
	struct json_span v;
	g_autoptr(GString) text = g_string_new(NULL);
	if (!span_member(backend, "error", &v) || !span_string(v, text) || text->len == 0)
		g_string_assign(text, "it failed without a reason");
	g_free(c->last_words);
	c->last_words = g_strdup(text->str);
	child_give_up(c, "%.400s", text->str);
}

/* Does the backend get on? A scheduler counts, and tells where it is; of a backend without one
 * nothing is known but its events, and there may be none for long, as when a provider thinks. */
static bool gets_on(struct child *c, struct json_span backend)
{
	struct json_span progress, section;
	g_autoptr(GString) name = g_string_new(NULL);
	bool counts = span_member(backend, "progress", &progress);
	bool busy = counts ? span_member(progress, "section", &section) : jobs_any_expected(c);
	uint64_t count = counts ? number(progress, "count", INT64_MAX) : c->n_messages;
	int64_t patience = counts ? c->hang_ms : c->hang_ms * SILENCE;
	if (!busy || count != c->progress) {
		c->progress = count;
		c->progress_at = c->now;
		return true;
	}
	if (c->now < c->progress_at + patience)
		return true;
	if (counts && span_string(section, name))
		child_give_up(c, "%.40s did not return for %.1f s", name->str,
			      (double)patience / 1000);
	else
		child_give_up(c, "it told nothing of any request for %.1f s",
			      (double)patience / 1000);
	return false;
}

void report_health(struct child *c, struct json_span result)
{
	struct json_span list, backend, v;
	c->asked_at = 0;
	if (!span_member(result, "backends", &list) || !span_is(list, '[') ||
	    !span_next_item(&list, &backend) || !span_member(backend, "state", &v)) {
		child_give_up(c, "its answer to health names no backend");
		return;
	}
	keep_health(c, backend);
	if (c->phase == PHASE_READY && !gets_on(c, backend))
		return;
	if (c->phase == PHASE_STARTING)
		c->phase = PHASE_LOADING;
	if (span_same(v, "\"failed\"")) {
		backend_failed(c, backend);
	} else if (span_same(v, "\"ready\"") && c->phase == PHASE_LOADING) {
		struct json_span resume;
		c->resumes = span_member(backend, "resume", &resume) && span_bool(resume);
		become_ready(c);
		jobs_send(c);
	}
}

/* Adapters are the models of the name "place:adapter". */
void report_models(struct child *c, struct json_span result)
{
	struct json_span list, item, v;
	size_t n = strlen(c->place);
	if (!span_member(result, "models", &list))
		return;
	pthread_mutex_lock(&c->lock);
	g_ptr_array_set_size(c->adapters, 0);
	while (span_next_item(&list, &item) && c->adapters->len < MAX_ADAPTERS) {
		g_autoptr(GString) id = g_string_new(NULL);
		if (span_member(item, "id", &v) && span_string(v, id) && id->len > n + 1 &&
		    memcmp(id->str, c->place, n) == 0 && id->str[n] == ':')
			g_ptr_array_add(c->adapters, (char *)g_intern_string(id->str + n + 1));
	}
	pthread_mutex_unlock(&c->lock);
}

void report_metrics(struct child *c, struct json_span result)
{
	struct json_span v;
	if (!span_member(result, "text", &v) || v.end - v.at > MAX_SERIES)
		return;
	pthread_mutex_lock(&c->lock);
	g_string_truncate(c->series, 0);
	(void)span_string(v, c->series);
	c->life = c->lives;
	pthread_mutex_unlock(&c->lock);
}

/* ---- for the host ---- */

static void info(struct weir_instance *i, struct weir_report_info *ret)
{
	struct child *c = i->data;
	uint32_t size = MIN(ret->size, (uint32_t)sizeof(*ret));
	pthread_mutex_lock(&c->lock);
	struct weir_report_info now = c->info;
	pthread_mutex_unlock(&c->lock);
	now.size = size;
	memcpy(ret, &now, size);
}

static const char *const phase_names[] = {
	[PHASE_DOWN] = "down",   [PHASE_STARTING] = "starting", [PHASE_LOADING] = "loading",
	[PHASE_READY] = "ready", [PHASE_ENDING] = "ending",     [PHASE_FAILED] = "failed",
};

static char *health(struct weir_instance *i)
{
	struct child *c = i->data;
	pthread_mutex_lock(&c->lock);
	g_autofree char *text = g_strdup_printf(
		"%s%s\"process\":{\"pid\":%d,\"starts\":%" G_GUINT64_FORMAT ",\"state\":\"%s\"}",
		c->health->str, c->shown.resumes ? "\"resume\":true," : "", c->shown.pid,
		c->shown.starts, phase_names[c->shown.phase]);
	pthread_mutex_unlock(&c->lock);
	return strdup(text); /* the host uses free() */
}

static char *metrics(struct weir_instance *i, uint64_t *ret_life)
{
	struct child *c = i->data;
	pthread_mutex_lock(&c->lock);
	char *text = c->series->len ? strdup(c->series->str) : NULL;
	*ret_life = c->life;
	pthread_mutex_unlock(&c->lock);
	return text;
}

const struct weir_report report_calls = {
	.size = sizeof(report_calls), .info = info, .health = health, .metrics = metrics
};

static const char *adapter_name(struct weir_instance *i, uint32_t n)
{
	struct child *c = i->data;
	pthread_mutex_lock(&c->lock);
	const char *name = n > 0 && n <= c->adapters->len ? c->adapters->pdata[n - 1] : NULL;
	pthread_mutex_unlock(&c->lock);
	return name;
}

const struct weir_adapters report_adapters = { .size = sizeof(report_adapters),
					       .name = adapter_name };
