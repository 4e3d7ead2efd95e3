/*
 * answer-parts.c - what a reader hands out: content, reasoning, and the fragments of calls in the
 * shape of OpenAI's chat.completion.chunk, choices[].delta.tool_calls[].
 */
#include "answer-inside.h"

#include <stdio.h>
#include <string.h>

static void add(struct weir_text *t, const char *s)
{
	weir_text_add(t, s, strlen(s));
}

void weir_answer_flush(weir_answer *a)
{
	struct weir_text fragment = { 0 };
	char index[48];

	if (a->out.len == 0 || a->out.failed)
		return;
	if (a->out_kind != WEIR_PART_TOOL) {
		a->part(a->data, a->out_kind, (struct weir_str){ a->out.data, a->out.len });
		a->out.len = 0;
		return;
	}
	snprintf(index, sizeof(index),
		 "{\"index\":%u,\"function\":{\"arguments\":", a->n_calls - 1);
	add(&fragment, index);
	weir_text_add_string(&fragment, (struct weir_str){ a->out.data, a->out.len });
	add(&fragment, "}}");
	a->out.len = 0;
	if (!fragment.failed)
		a->part(a->data, WEIR_PART_TOOL, (struct weir_str){ fragment.data, fragment.len });
	weir_text_clear(&fragment);
}

void weir_answer_put(weir_answer *a, uint32_t kind, const char *data, size_t len)
{
	if (len == 0)
		return;
	if (kind != a->out_kind)
		weir_answer_flush(a);
	a->out_kind = kind;
	weir_text_add(&a->out, data, len);
}

const struct weir_json *weir_answer_function(const struct weir_json *tools, struct weir_str name)
{
	for (const struct weir_json *t = tools ? tools->first : NULL; t; t = t->next) {
		const struct weir_json *f = weir_json_get(t, "function");
		const struct weir_json *n = weir_json_get(f ? f : t, "name");

		if (n && n->type == WEIR_JSON_STRING && n->text.len == name.len &&
		    memcmp(n->text.data, name.data, name.len) == 0)
			return f ? f : t;
	}
	return NULL;
}

bool weir_answer_call_starts(weir_answer *a, struct weir_str name, struct weir_str id)
{
	struct weir_text fragment = { 0 };
	char own[80];

	if (!weir_answer_function(a->tools, name))
		return false;
	weir_answer_flush(a);
	a->raw.len = 0;
	a->started = true;
	a->n_params = 0;
	a->muted = !a->parallel && a->n_calls > 0;
	if (a->muted)
		return true;
	snprintf(own, sizeof(own), "{\"index\":%u,\"id\":", a->n_calls++);
	add(&fragment, own);
	snprintf(own, sizeof(own), "call_%s_%u", a->id, a->n_calls - 1);
	weir_text_add_string(
		&fragment, id.len > 0 && id.len <= 64 ? id : (struct weir_str){ own, strlen(own) });
	add(&fragment, ",\"type\":\"function\",\"function\":{\"name\":");
	weir_text_add_string(&fragment, name);
	add(&fragment, ",\"arguments\":\"\"}}");
	if (!fragment.failed)
		a->part(a->data, WEIR_PART_TOOL, (struct weir_str){ fragment.data, fragment.len });
	weir_text_clear(&fragment);
	return true;
}

void weir_answer_call_args(weir_answer *a, const char *data, size_t len)
{
	if (!a->muted)
		weir_answer_put(a, WEIR_PART_TOOL, data, len);
}

void weir_answer_call_ends(weir_answer *a)
{
	weir_answer_flush(a);
	a->started = a->muted = false;
	a->raw.len = 0;
}
