/*
 * answer-open.c - what a request wants of an answer's reader: tools, tool_choice, thoughts; and how
 * a call that tool_choice demands is begun. See answer.h.
 */
#include "answer-inside.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOOLS 1024u

static weir_status fail_at(struct weir_error *err, const char *param, const char *what)
{
	weir_status s = weir_fail(err, WEIR_E_INVALID, "%s", what);

	if (err)
		strncpy(err->param, param, sizeof(err->param) - 1);
	return s;
}

static void add(struct weir_text *t, const char *s)
{
	weir_text_add(t, s, strlen(s));
}

static const struct weir_json *function_of(const struct weir_json *tool)
{
	const struct weir_json *f = weir_json_get(tool, "function");

	return f ? f : tool;
}

/* What tool_choice demands: no call, any, or one of that name. */
enum demand { FREE, NONE, ANY, NAMED };

static weir_status read_choice(const struct weir_json *context, const struct weir_json *tools,
			       enum demand *ret, const struct weir_json **ret_function,
			       struct weir_error *err)
{
	const struct weir_json *choice = weir_json_get(context, "tool_choice"), *name, *f;

	*ret = FREE;
	*ret_function = NULL;
	if (!choice || choice->type == WEIR_JSON_NULL || weir_json_is(choice, "auto"))
		return WEIR_OK;
	if (weir_json_is(choice, "none")) {
		*ret = NONE;
		return WEIR_OK;
	}
	if (weir_json_is(choice, "required") || weir_json_is(choice, "any")) {
		if (!tools)
			return fail_at(err, "tool_choice",
				       "tool_choice asks for a call, but there are no tools");
		*ret = ANY;
		if (tools->n == 1)
			*ret_function = function_of(tools->first);
		return WEIR_OK;
	}
	f = weir_json_get(choice, "function");
	name = weir_json_get(f ? f : choice, "name");
	if (!name || name->type != WEIR_JSON_STRING)
		return fail_at(
			err, "tool_choice",
			"tool_choice must be none, auto, required or {\"type\": \"function\", "
			"\"function\": {\"name\": ...}}");
	*ret_function = weir_answer_function(tools, name->text);
	if (!*ret_function)
		return fail_at(err, "tool_choice",
			       "tool_choice names a function that is not in tools");
	*ret = NAMED;
	return WEIR_OK;
}

/* --- a demanded call ----------------------------------------------------------------------- */

/* A schema that refers into itself by "#/..." would lose its root in here. */
static bool refers(const struct weir_json *j)
{
	if (j->type == WEIR_JSON_OBJECT && weir_json_get(j, "$ref"))
		return true;
	for (const struct weir_json *c = j->first; c; c = c->next)
		if (refers(c))
			return true;
	return false;
}

static void put_schema(struct weir_text *t, const struct weir_json *function)
{
	const struct weir_json *p = weir_json_get(function, "parameters");

	if (p && p->type == WEIR_JSON_OBJECT && p->n > 0 && !refers(p))
		weir_text_add_json(t, p);
	else
		add(t, "{\"type\":\"object\"}");
}

static void put_object_schema(struct weir_text *t, const struct weir_json *function,
			      const char *arguments)
{
	const struct weir_json *name = weir_json_get(function, "name");

	add(t, "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":");
	weir_text_add_string(t, name->text);
	add(t, "},\"");
	add(t, arguments);
	add(t, "\":");
	put_schema(t, function);
	add(t, "},\"required\":[\"name\",\"");
	add(t, arguments);
	add(t, "\"],\"additionalProperties\":false}");
}

static void objects_grammar(struct weir_text *t, const weir_answer *a,
			    const struct weir_json *function)
{
	const char *arguments = a->n.calls->arguments;
	const struct weir_json *tool = a->tools->first;

	add(t, "{\"type\":\"json_schema\",\"value\":");
	if (function) {
		put_object_schema(t, function, arguments);
	} else {
		add(t, "{\"anyOf\":[");
		for (; tool; tool = tool->next) {
			put_object_schema(t, function_of(tool), arguments);
			add(t, tool->next ? "," : "]}");
		}
	}
	add(t, "}");
}

/* What the model is made to have written, and what it may write then. */
static void force_call(weir_answer *a, const struct weir_json *function, struct weir_text *prefix,
		       struct weir_text *grammar)
{
	const struct weir_call_notation *c = a->n.calls;
	const struct weir_json *name = function ? weir_json_get(function, "name") : NULL;

	switch (c->style) {
	case WEIR_CALL_OBJECTS:
		add(prefix, c->open ? c->open : "");
		if (c->open && c->close && strchr(c->open, '|') == NULL)
			add(prefix, "\n");
		else if (c->open)
			add(prefix, "["); /* these write lists */
		objects_grammar(grammar, a, function);
		return;
	case WEIR_CALL_HEADER:
		add(prefix, c->drop[0] ? c->drop[0] : "");
		add(prefix, c->open);
		break;
	case WEIR_CALL_FUNCTION:
		add(prefix, c->drop[0]);
		add(prefix, "\n");
		add(prefix, c->open);
		break;
	case WEIR_CALL_KEYS:
		add(prefix, c->open);
		break;
	case WEIR_CALL_HARMONY:
		add(prefix, "<|channel|>commentary to=functions.");
		break;
	case WEIR_CALL_NONE:
		return;
	}
	if (!name)
		return;
	weir_text_add(prefix, name->text.data, name->text.len);
	if (c->style == WEIR_CALL_FUNCTION || c->style == WEIR_CALL_KEYS) {
		add(prefix, c->style == WEIR_CALL_FUNCTION ? ">\n" : "\n");
		return;
	}
	add(prefix, c->style == WEIR_CALL_HARMONY ? " <|constrain|>json" : "");
	add(prefix, c->separator);
	add(grammar, "{\"type\":\"json_schema\",\"value\":");
	put_schema(grammar, function);
	add(grammar, "}");
}

/* --- opening ------------------------------------------------------------------------------- */

static weir_status check_tools(const struct weir_json *tools, struct weir_error *err)
{
	if (tools->n > MAX_TOOLS)
		return fail_at(err, "tools", "there are too many tools");
	for (const struct weir_json *t = tools->first; t; t = t->next) {
		const struct weir_json *name = weir_json_get(function_of(t), "name");

		if (!name || name->type != WEIR_JSON_STRING || name->text.len == 0)
			return fail_at(err, "tools", "each tool must have a function with a name");
	}
	return WEIR_OK;
}

static bool ends_with(struct weir_str s, const char *end)
{
	size_t n = strlen(end);

	while (s.len > 0 && strchr(" \n\t\r", s.data[s.len - 1]))
		s.len--;
	return s.len >= n && memcmp(s.data + s.len - n, end, n) == 0;
}

static weir_status set_up(weir_answer *a, struct weir_str tail, struct weir_text *prefix,
			  struct weir_text *grammar, struct weir_error *err)
{
	/* A template that knows no tools may still come with a model that writes such objects. */
	static const struct weir_call_notation plain = { .style = WEIR_CALL_OBJECTS,
							 .arguments = "arguments" };
	const struct weir_json *context = weir_json_root(a->context), *function;
	const struct weir_json *tools = weir_json_get(context, "tools");
	const struct weir_json *parallel = weir_json_get(context, "parallel_tool_calls");
	const struct weir_json *reasoning = weir_json_get(context, "reasoning");
	bool thinking;
	enum demand demand;
	weir_status s;

	if (tools && tools->type == WEIR_JSON_ARRAY && tools->n > 0) {
		a->tools = tools;
		if ((s = check_tools(tools, err)))
			return s;
	}
	if ((s = read_choice(context, a->tools, &demand, &function, err)))
		return s;
	if (demand == NONE)
		a->tools = NULL;
	if (a->tools && !a->n.calls)
		a->n.calls = &plain;
	a->parallel = !parallel || parallel->type != WEIR_JSON_FALSE;
	a->thinks = (a->n.thoughts || (a->n.calls && a->n.calls->style == WEIR_CALL_HARMONY)) &&
		    !(reasoning && weir_json_is(reasoning, "none"));
	a->lead = true;
	thinking = a->n.thoughts && ends_with(tail, a->n.thoughts->open);
	if (a->n.calls && a->n.calls->style == WEIR_CALL_HARMONY)
		a->state = WEIR_READ_HEADER;
	else if (thinking && demand != ANY && demand != NAMED && a->thinks)
		a->state = WEIR_READ_THOUGHT;
	if (demand != ANY && demand != NAMED)
		return WEIR_OK;
	a->parallel = false;
	force_call(a, function, prefix, grammar);
	/* The reader begins where the model does: the prefix is read first. */
	weir_text_add(&a->held, prefix->data, prefix->len);
	if (thinking) {
		struct weir_text whole = { 0 };

		add(&whole, a->n.thoughts->close);
		add(&whole, "\n\n");
		weir_text_add(&whole, prefix->data, prefix->len);
		weir_text_clear(prefix);
		*prefix = whole;
	}
	return WEIR_OK;
}

static char *as_string(struct weir_text *t)
{
	if (t->len == 0)
		return NULL;
	weir_text_add(t, "", 1);
	return t->failed ? NULL : t->data;
}

weir_status weir_answer_open(const struct weir_answer_notation *n, struct weir_str context,
			     struct weir_str tail, struct weir_str id, weir_answer **ret,
			     char **ret_prefix, char **ret_grammar, struct weir_error *err)
{
	struct weir_text prefix = { 0 }, grammar = { 0 };
	weir_answer *a = calloc(1, sizeof(*a));
	size_t at = 0;
	weir_status s;

	*ret = NULL;
	*ret_prefix = *ret_grammar = NULL;
	if (!a)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for an answer");
	a->n = *n;
	/* Of "chatcmpl-1234" the number. */
	for (size_t i = 0; i < id.len; i++)
		if (id.data[i] == '-')
			at = i + 1;
	id.len -= at;
	if (id.len > 0)
		memcpy(a->id, id.data + at, id.len < sizeof(a->id) ? id.len : sizeof(a->id) - 1);
	s = weir_json_read(context, &a->context, err);
	if (s == WEIR_OK)
		s = set_up(a, tail, &prefix, &grammar, err);
	if (s == WEIR_OK && (prefix.failed || grammar.failed || a->held.failed))
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for an answer");
	if (s == WEIR_OK &&
	    (a->tools || a->thinks || (a->n.calls && a->n.calls->style == WEIR_CALL_HARMONY))) {
		*ret = a;
		*ret_prefix = as_string(&prefix);
		*ret_grammar = as_string(&grammar);
		return WEIR_OK;
	}
	weir_text_clear(&prefix);
	weir_text_clear(&grammar);
	weir_answer_free(a);
	return s;
}
