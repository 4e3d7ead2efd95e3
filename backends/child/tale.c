/* SPDX-License-Identifier: MIT */
/*
 * backends/child/tale.c - see tale.h.
 */
#include "tale.h"

#include <inttypes.h>
#include <string.h>

#define MAX_TOKENS 16777216u /* of a choice, in a field from outside */

void tale_init(struct tale *t, uint32_t n, uint64_t seed)
{
	*t = (struct tale){ .seed = seed, .n = n, .choices = g_new0(struct tale_choice, n) };
}

void tale_clear(struct tale *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->choices[i].tokens)
			g_array_unref(t->choices[i].tokens);
	g_clear_pointer(&t->choices, g_free);
	g_clear_pointer(&t->vectors, g_hash_table_unref);
	t->n = 0;
}

static void add_token(struct tale_choice *c, int32_t token)
{
	if (!c->tokens)
		c->tokens = g_array_new(FALSE, FALSE, sizeof(int32_t));
	g_array_append_val(c->tokens, token);
}

void tale_add(struct tale *t, const struct weir_event *e)
{
	gint64 value = e->value;
	switch (e->type) {
	case WEIR_EVENT_STARTED:
		t->started = true;
		return;
	case WEIR_EVENT_PROMPT:
		t->prompt_events++;
		return;
	case WEIR_EVENT_JSON:
		t->result = true;
		return;
	case WEIR_EVENT_VECTOR:
		if (!t->vectors)
			t->vectors =
				g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
		g_hash_table_add(t->vectors, g_memdup2(&value, sizeof(value)));
		if (t->n)
			t->choices[0].events++;
		return;
	default:
		break;
	}
	if (e->index >= t->n)
		return;
	t->choices[e->index].events++;
	if (e->token >= 0) /* the first event of a token carries it */
		add_token(&t->choices[e->index], e->token);
}

bool tale_has(const struct tale *t, const struct weir_event *e)
{
	gint64 value = e->value;
	switch (e->type) {
	case WEIR_EVENT_STARTED:
		return t->started;
	case WEIR_EVENT_JSON:
		return t->result;
	case WEIR_EVENT_VECTOR:
		return t->vectors && g_hash_table_contains(t->vectors, &value);
	default:
		return false;
	}
}

bool tale_is_new(const struct tale *t)
{
	bool any = t->prompt_events > 0;
	for (uint32_t i = 0; i < t->n; i++)
		any |= t->choices[i].events > 0;
	return !any;
}

void tale_put(const struct tale *t, GString *out)
{
	g_string_append_printf(out,
			       "{\"seed\":\"%" PRIu64 "\",\"started\":%s,\"prompt_events\":%" PRIu64
			       ",\"choices\":[",
			       t->seed, t->started ? "true" : "false", t->prompt_events);
	for (uint32_t i = 0; i < t->n; i++) {
		const struct tale_choice *c = &t->choices[i];
		g_string_append(out, i ? ",{\"tokens\":[" : "{\"tokens\":[");
		for (guint k = 0; c->tokens && k < c->tokens->len; k++)
			g_string_append_printf(out, k ? ",%d" : "%d",
					       g_array_index(c->tokens, int32_t, k));
		g_string_append_printf(out, "],\"events\":%" PRIu64 "}", c->events);
	}
	g_string_append(out, "]}");
}

static bool read_choice(struct tale_choice *c, struct json_span from)
{
	struct json_span tokens, events, item;
	int64_t v;
	uint32_t n = 0;
	if (!span_member(from, "tokens", &tokens) || !span_is(tokens, '[') ||
	    !span_member(from, "events", &events) || !span_int(events, 0, INT64_MAX, &v))
		return false;
	c->events = (uint64_t)v;
	while (span_next_item(&tokens, &item)) {
		if (!span_int(item, 0, INT32_MAX, &v) || ++n > MAX_TOKENS)
			return false;
		add_token(c, (int32_t)v);
	}
	return true;
}

bool tale_read(struct tale *t, uint32_t n, const char *text, size_t len)
{
	struct json_span root = { text, text + len }, value, item;
	g_autoptr(GString) seed = g_string_new(NULL);
	guint64 number;
	int64_t v = 0;
	uint32_t i = 0;
	if (!span_check(text, len) || !span_member(root, "seed", &value) ||
	    !span_string(value, seed) ||
	    !g_ascii_string_to_unsigned(seed->str, 10, 0, G_MAXUINT64, &number, NULL))
		return false;
	if (span_member(root, "prompt_events", &value) && !span_int(value, 0, INT64_MAX, &v))
		return false;
	tale_init(t, n, number);
	t->prompt_events = (uint64_t)v;
	t->started = span_member(root, "started", &value) && span_bool(value);
	bool good = span_member(root, "choices", &value) && span_is(value, '[');
	while (good && span_next_item(&value, &item))
		good = i < n && read_choice(&t->choices[i++], item);
	if (!good || i != n) {
		tale_clear(t);
		return false;
	}
	return true;
}
