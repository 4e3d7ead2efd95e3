/*
 * scheduler-adapter.c - adapters of a loaded model: by number, by name, and which one a request
 * means. The list is constant once the model is loaded; any thread.
 */
#include "scheduler-inside.h"

#include <string.h>

#include "log.h"
#include "request.h"

#define MAX_ADAPTERS 4096u

const char *weir_scheduler_adapter(const struct weir_scheduler *s, uint32_t i)
{
	if (weir_scheduler_state(s) != WEIR_SCHEDULER_READY || !s->adapters || i == 0 ||
	    i > MAX_ADAPTERS)
		return NULL;
	return s->adapters->name(s->options.instance, i);
}

static uint32_t find(const struct weir_scheduler *s, struct weir_str wanted)
{
	const char *name;

	for (uint32_t i = 1; s->adapters && i <= MAX_ADAPTERS; i++) {
		name = s->adapters->name(s->options.instance, i);
		if (!name)
			return 0;
		if (strlen(name) == wanted.len && memcmp(name, wanted.data, wanted.len) == 0)
			return i;
	}
	return 0;
}

struct weir_str weir_scheduler_suffix(struct weir_str model)
{
	const char *colon = model.len > 0 ? memrchr(model.data, ':', model.len) : NULL;

	if (!colon)
		return (struct weir_str){ NULL, 0 };
	return (struct weir_str){ colon + 1, (size_t)(model.data + model.len - colon - 1) };
}

weir_status weir_scheduler_choose_adapter(const struct weir_scheduler *s, struct weir_job *job,
					  struct weir_error *err)
{
	struct weir_str wanted = weir_request_field(job->request, "adapter");
	struct weir_str tenant = weir_request_field(job->request, "tenant");
	g_autoptr(GString) salt = g_string_new_len(tenant.data, (gssize)tenant.len);
	struct weir_str suffix = weir_scheduler_suffix(weir_request_field(job->request, "model"));

	if (wanted.len > 0) {
		job->adapter = find(s, wanted);
		if (job->adapter == 0) {
			weir_fail(err, WEIR_E_INVALID, "this model has no adapter '%.*s'",
				  (int)MIN(wanted.len, 64), wanted.data);
			g_strlcpy(err->param, "lora", sizeof(err->param));
			return WEIR_E_INVALID;
		}
	} else if (suffix.len > 0) {
		job->adapter = find(s, suffix);
	}
	/* KV of one adapter is of no use to another: they never share a prefix. */
	if (job->adapter > 0) {
		g_string_append_c(salt, '\0');
		g_string_append(salt, s->adapters->name(s->options.instance, job->adapter));
	}
	job->root = weir_blocks_root(s->batcher->blocks, (struct weir_str){ salt->str, salt->len });
	return WEIR_OK;
}
