/*
 * answer-xml.c - parameters that stand between tags become a JSON object of arguments. A value is
 * a string unless the function's schema says otherwise and the text is such a value.
 */
#include "answer-inside.h"

#include <string.h>

struct tags {
	const char *key, *key_end, *value, *value_end; /* value NULL: right behind key_end */
};

static const struct tags function_tags = { "<parameter=", ">", NULL, "</parameter>" };
static const struct tags key_tags = { "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>" };

static bool is_space(char b)
{
	return b == ' ' || b == '\n' || b == '\t' || b == '\r';
}

static bool has_type(const struct weir_json *schema, const char *type)
{
	const struct weir_json *t = weir_json_get(schema, "type");

	if (t && t->type == WEIR_JSON_ARRAY) {
		for (const struct weir_json *e = t->first; e; e = e->next)
			if (weir_json_is(e, type))
				return true;
		return false;
	}
	return t && weir_json_is(t, type);
}

/* Does the schema want the text as a JSON value rather than as a string? */
static bool is_value(weir_answer *a, struct weir_str key, struct weir_str text)
{
	struct weir_str name = { a->call.name.data, a->call.name.len };
	const struct weir_json *f = weir_answer_function(a->tools, name);
	const struct weir_json *p = f ? weir_json_get(f, "parameters") : NULL;
	const struct weir_json *schema = p ? weir_json_get(p, "properties") : NULL;
	struct weir_json_tree *tree = NULL;
	struct weir_error err;
	bool is = false;

	schema = schema ? weir_json_find(schema, key) : NULL;
	if (weir_json_read(text, &tree, &err) != WEIR_OK)
		return false;
	switch (weir_json_root(tree)->type) {
	case WEIR_JSON_OBJECT:
		is = !schema || has_type(schema, "object");
		break;
	case WEIR_JSON_ARRAY:
		is = !schema || has_type(schema, "array");
		break;
	case WEIR_JSON_NUMBER:
		is = !schema || has_type(schema, "number") || has_type(schema, "integer");
		break;
	case WEIR_JSON_TRUE:
	case WEIR_JSON_FALSE:
		is = !schema || has_type(schema, "boolean");
		break;
	case WEIR_JSON_NULL:
		is = !schema || has_type(schema, "null");
		break;
	case WEIR_JSON_STRING:
		break;
	}
	weir_json_free(tree);
	return is;
}

static void put_parameter(weir_answer *a, struct weir_str key, struct weir_str value)
{
	struct weir_text t = { 0 };

	weir_text_add(&t, a->n_params ? ", " : "{", a->n_params ? 2 : 1);
	a->n_params++;
	weir_text_add_string(&t, key);
	weir_text_add(&t, ": ", 2);
	if (is_value(a, key, value))
		weir_text_add(&t, value.data, value.len);
	else
		weir_text_add_string(&t, value);
	if (!t.failed)
		weir_answer_call_args(a, t.data, t.len);
	weir_text_clear(&t);
}

/* One line end at each side belongs to the notation. */
static struct weir_str trimmed(const char *from, const char *to)
{
	if (from < to && *from == '\n')
		from++;
	if (from < to && to[-1] == '\n')
		to--;
	return (struct weir_str){ from, (size_t)(to - from) };
}

bool weir_answer_parameters(weir_answer *a)
{
	const struct weir_call_notation *c = a->n.calls;
	const struct tags *t = c->style == WEIR_CALL_FUNCTION ? &function_tags : &key_tags;
	const char *base = a->held.data, *end = base + a->held.len, *at = base + a->at, *key,
		   *value;
	size_t left;

	while (at < end && is_space(*at))
		at++;
	a->at = (size_t)(at - base);
	left = (size_t)(end - at);
	if (left >= strlen(c->close) && memcmp(at, c->close, strlen(c->close)) == 0) {
		a->at += strlen(c->close);
		weir_answer_call_args(a, a->n_params ? "}" : "{}", a->n_params ? 1 : 2);
		weir_answer_call_ends(a);
		a->state = WEIR_READ_CONTENT;
		a->lead = a->closed = true;
		return true;
	}
	if (left < strlen(t->key) || memcmp(at, t->key, strlen(t->key)) != 0) {
		size_t longest =
			strlen(t->key) > strlen(c->close) ? strlen(t->key) : strlen(c->close);

		if (left >= longest)
			a->at++; /* not of the notation: left out, or the call would never end */
		return left >= longest;
	}
	key = at + strlen(t->key);
	at = memmem(key, (size_t)(end - key), t->key_end, strlen(t->key_end));
	if (!at)
		return false;
	left = (size_t)(at - key);
	at += strlen(t->key_end);
	if (t->value) {
		at = memmem(at, (size_t)(end - at), t->value, strlen(t->value));
		if (!at)
			return false;
		at += strlen(t->value);
	}
	value = at;
	at = memmem(value, (size_t)(end - value), t->value_end, strlen(t->value_end));
	if (!at)
		return false;
	put_parameter(a, (struct weir_str){ key, left }, trimmed(value, at));
	a->at = (size_t)(at - base) + strlen(t->value_end);
	return true;
}
