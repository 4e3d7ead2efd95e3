/* SPDX-License-Identifier: MIT */
/*
 * backends/child/wire-read.c - see wire.h: what comes in. Every number is in its range, every text
 * UTF-8 and every type one of the SDK's before anything else sees it.
 */
#include "wire.h"

#include <math.h>
#include <string.h>

static const char *const type_names[] = {
	[WEIR_EVENT_STARTED] = "started", [WEIR_EVENT_TOKEN] = "token",
	[WEIR_EVENT_TEXT] = "text",       [WEIR_EVENT_REASONING] = "reasoning",
	[WEIR_EVENT_TOOL] = "tool",       [WEIR_EVENT_JSON] = "json",
	[WEIR_EVENT_VECTOR] = "vector",   [WEIR_EVENT_PROMPT] = "prompt",
};

void wire_scratch_init(struct wire_scratch *s)
{
	*s = (struct wire_scratch){ .text = g_string_new(NULL),
				    .raw = g_string_new(NULL),
				    .tops = g_string_new(NULL) };
}

void wire_scratch_clear(struct wire_scratch *s)
{
	g_string_free(s->text, TRUE);
	g_string_free(s->raw, TRUE);
	g_string_free(s->tops, TRUE);
}

static bool read_u32(struct json_span v, uint32_t max, uint32_t *ret)
{
	int64_t n;
	if (!span_int(v, 0, max, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool read_float(struct json_span v, float *ret)
{
	double d;
	if (!span_float(v, &d))
		return false;
	*ret = (float)d;
	return true;
}

static bool read_id(struct json_span v, uint64_t *ret)
{
	int64_t n;
	if (!span_int(v, 1, INT64_MAX, &n))
		return false;
	*ret = (uint64_t)n;
	return true;
}

static struct weir_str str(const GString *s)
{
	return (struct weir_str){ s->str, s->len };
}

/* ---- events ---- */

static bool read_type(struct json_span v, uint32_t *ret)
{
	if (!span_is(v, '"'))
		return false;
	struct json_span inside = { v.at + 1, v.end - 1 };
	for (uint32_t i = WEIR_EVENT_STARTED; i <= WEIR_EVENT_PROMPT; i++)
		if (span_same(inside, type_names[i])) {
			*ret = i;
			return true;
		}
	return false;
}

/* true: as the text; else base64. */
static bool read_raw(struct json_span v, struct wire_scratch *s, bool *ret_same)
{
	*ret_same = span_bool(v);
	if (*ret_same)
		return true;
	g_string_truncate(s->raw, 0);
	if (!span_string(v, s->raw) || s->raw->len % 4 != 0 || s->raw->len == 0)
		return false;
	size_t pad = 0;
	for (size_t i = 0; i < s->raw->len; i++) {
		char c = s->raw->str[i];
		if (c == '=' && i + 2 >= s->raw->len)
			pad++;
		else if (pad || !(g_ascii_isalnum(c) || c == '+' || c == '/'))
			return false;
	}
	gsize n;
	g_base64_decode_inplace(s->raw->str, &n);
	g_string_truncate(s->raw, n);
	return true;
}

static bool read_top(struct json_span list, struct wire_scratch *s, struct weir_event *e)
{
	struct json_span item, part;
	size_t starts[21] = { 0 };
	uint32_t n = 0;
	if (!span_is(list, '['))
		return false;
	g_string_truncate(s->tops, 0);
	while (span_next_item(&list, &item)) {
		int64_t token;
		if (n == 20 || !span_is(item, '[') || !span_next_item(&item, &part) ||
		    !span_int(part, INT32_MIN, INT32_MAX, &token) ||
		    !span_next_item(&item, &part) || !read_float(part, &s->top[n].logprob) ||
		    !span_next_item(&item, &part) || !span_string(part, s->tops) ||
		    span_next_item(&item, &part))
			return false;
		s->top[n].token = (int32_t)token;
		starts[++n] = s->tops->len;
	}
	for (uint32_t i = 0; i < n; i++)
		s->top[i].text =
			(struct weir_str){ s->tops->str + starts[i], starts[i + 1] - starts[i] };
	e->n_top = n;
	e->top = s->top;
	return true;
}

static const char *read_event_member(struct json_span key, struct json_span v,
				     struct wire_scratch *s, struct wire_message *m,
				     bool *raw_is_text)
{
	struct weir_event *e = &m->event;
	int64_t n;
	if (span_same(key, "id"))
		return read_id(v, &m->id) ? NULL : "an event's id is no number of ours";
	if (span_same(key, "seq")) {
		if (!span_int(v, 0, INT64_MAX, &n))
			return "an event's seq is no number";
		e->seq = (uint64_t)n;
	} else if (span_same(key, "type")) {
		if (!read_type(v, &e->type))
			return "an event of unknown type";
	} else if (span_same(key, "index")) {
		if (!read_u32(v, WIRE_MAX_CHOICES - 1, &e->index))
			return "an event's index is out of range";
	} else if (span_same(key, "token")) {
		if (!span_int(v, INT32_MIN, INT32_MAX, &n))
			return "an event's token is out of range";
		e->token = (int32_t)n;
	} else if (span_same(key, "value")) {
		if (!span_int(v, INT64_MIN, INT64_MAX, &e->value))
			return "an event's value is no number";
	} else if (span_same(key, "text")) {
		g_string_truncate(s->text, 0);
		if (!span_string(v, s->text))
			return "an event's text is no string";
		e->text = str(s->text);
	} else if (span_same(key, "raw")) {
		if (!read_raw(v, s, raw_is_text))
			return "an event's raw is not base64";
		if (!*raw_is_text)
			e->raw = str(s->raw);
	} else if (span_same(key, "logprob")) {
		if (!read_float(v, &e->logprob))
			return "an event's logprob is no number";
	} else if (span_same(key, "top")) {
		if (!read_top(v, s, e))
			return "an event's top is no list of [token, logprob, text]";
	}
	return NULL;
}

static const char *read_event(struct json_span from, struct wire_scratch *s, struct wire_message *m)
{
	struct json_span key, value;
	bool raw_is_text = false;
	const char *wrong = NULL;
	m->kind = WIRE_EVENT;
	m->event = (struct weir_event){ .size = sizeof(m->event), .token = -1, .logprob = NAN };
	if (!span_is(from, '{'))
		return "an event's params are no object";
	while (!wrong && span_next_member(&from, &key, &value))
		wrong = read_event_member(key, value, s, m, &raw_is_text);
	if (raw_is_text)
		m->event.raw = m->event.text;
	if (!wrong && (m->id == 0 || m->event.type == 0))
		wrong = "an event without id or type";
	if (!wrong && m->event.type == WEIR_EVENT_VECTOR && m->event.raw.len % sizeof(float))
		wrong = "a vector of a part of a float";
	return wrong;
}

/* ---- ends ---- */

static bool read_choices(struct json_span list, struct wire_scratch *s, struct weir_end *e)
{
	struct json_span item, part;
	uint32_t n = 0;
	if (!span_is(list, '['))
		return false;
	while (span_next_item(&list, &item)) {
		uint32_t *at = (uint32_t *)(void *)&s->choices[n];
		if (n == WIRE_MAX_CHOICES || !span_is(item, '['))
			return false;
		for (int i = 0; i < 4; i++)
			if (!span_next_item(&item, &part) || !read_u32(part, UINT32_MAX, &at[i]))
				return false;
		if (s->choices[n].finish > WEIR_FINISH_FILTER)
			return false;
		n++;
	}
	e->n_choices = n;
	e->choices = n ? s->choices : NULL;
	e->choice_size = n ? sizeof(s->choices[0]) : 0;
	return true;
}

static const char *read_end(struct json_span from, struct wire_scratch *s, struct wire_message *m)
{
	struct weir_end *e = &m->end;
	struct json_span key, v;
	int64_t n;
	bool has_status = false;
	const struct {
		const char *name;
		uint32_t *to, max;
	} numbers[] = {
		{ "finish", &e->finish, WEIR_FINISH_FILTER },
		{ "n_prompt", &e->n_prompt, UINT32_MAX },
		{ "n_cached", &e->n_cached, UINT32_MAX },
		{ "n_output", &e->n_output, UINT32_MAX },
		{ "retry_after_ms", &e->retry_after_ms, UINT32_MAX },
		{ "stop", &e->stop, UINT32_MAX },
		{ "n_reasoning", &e->n_reasoning, UINT32_MAX },
	};
	m->kind = WIRE_END;
	*e = (struct weir_end){ .size = sizeof(*e) };
	g_string_truncate(s->text, 0);
	g_string_truncate(s->raw, 0);
	while (span_next_member(&from, &key, &v)) {
		for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
			if (span_same(key, numbers[i].name) &&
			    !read_u32(v, numbers[i].max, numbers[i].to))
				return "an end's number is out of range";
		if (span_same(key, "status")) {
			if (!span_int(v, -255, 0, &n))
				return "an end's status is out of range";
			e->status = (weir_status)n;
			has_status = true;
		} else if (span_same(key, "choices") && !read_choices(v, s, e)) {
			return "an end's choices are no list of four numbers each";
		} else if (span_same(key, "text") &&
			   !span_string(v, g_string_truncate(s->text, 0))) {
			return "an end's text is no string";
		} else if (span_same(key, "param") &&
			   !span_string(v, g_string_truncate(s->raw, 0))) {
			return "an end's param is no string";
		}
	}
	e->text = str(s->text);
	e->param = str(s->raw);
	return has_status ? NULL : "an end without a status";
}

/* ---- lines ---- */

/* An id of ours is a number, or the name of a method that we have asked with. */
static bool read_answer_id(struct json_span v, struct wire_scratch *s, struct wire_message *m)
{
	if (read_id(v, &m->id))
		return true;
	g_string_truncate(s->text, 0);
	if (!span_string(v, s->text) || s->text->len == 0 || s->text->len >= sizeof(m->name))
		return false;
	memcpy(m->name, s->text->str, s->text->len + 1);
	return true;
}

static const char *read_fault(struct json_span error, struct wire_scratch *s,
			      struct wire_message *m)
{
	struct json_span text;
	m->kind = WIRE_FAULT;
	g_string_truncate(s->text, 0);
	if (!span_member(error, "message", &text) || !span_string(text, s->text))
		return "an error without a message";
	m->text = str(s->text);
	return NULL;
}

const char *wire_read(const char *line, size_t len, struct wire_scratch *s, struct wire_message *m)
{
	struct json_span root = { line, line + len }, v, id;
	memset(m, 0, sizeof(*m));
	if (!span_check(line, len))
		return "a line that is not JSON";
	if (!span_is(root, '{'))
		return "a line that is no object";
	if (span_member(root, "method", &v)) {
		if (!span_same(v, "\"event\""))
			return "a method that is no event";
		return span_member(root, "params", &v) ? read_event(v, s, m)
						       : "an event without params";
	}
	if (!span_member(root, "id", &id) || !read_answer_id(id, s, m))
		return "an answer to nothing that was asked";
	if (span_member(root, "error", &v))
		return read_fault(v, s, m);
	if (!span_member(root, "result", &m->result) || !span_is(m->result, '{'))
		return "an answer without a result";
	if (m->name[0]) {
		m->kind = WIRE_ANSWER;
		return NULL;
	}
	return read_end(m->result, s, m);
}
