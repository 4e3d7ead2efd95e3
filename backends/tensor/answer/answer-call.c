/*
 * answer-call.c - see answer-call.h. A small pushdown reader: the member names are looked at on the
 * object's own level (and within "function"), everything deeper is only counted.
 */
#include "answer-call.h"

#include <string.h>

#define MAX_NAME  256u
#define MAX_EARLY (1u << 20) /* arguments before the name */

enum where {
	START,
	KEY_OR_END, /* after { or , */
	KEY,
	COLON,
	VALUE,
	STRING, /* a value that is a string */
	NESTED, /* an object or a list */
	SCALAR,
	AFTER, /* a value: , or } */
};

enum use { IGNORED, NAME, ARGS, ID };

static bool is(const struct weir_text *t, const char *word)
{
	return t->len == strlen(word) && memcmp(t->data, word, t->len) == 0;
}

static enum use use_of(const struct weir_call *c)
{
	if (is(&c->key, "name") || is(&c->key, "tool_name") || is(&c->key, "function"))
		return NAME;
	if (is(&c->key, "arguments") || is(&c->key, "parameters"))
		return ARGS;
	if (is(&c->key, "id") || is(&c->key, "tool_call_id"))
		return ID;
	return IGNORED;
}

static bool is_space(char b)
{
	return b == ' ' || b == '\n' || b == '\t' || b == '\r';
}

void weir_call_clear(struct weir_call *c)
{
	weir_text_clear(&c->key);
	weir_text_clear(&c->value);
	weir_text_clear(&c->name);
	weir_text_clear(&c->id);
	weir_text_clear(&c->args);
}

void weir_call_begin(struct weir_call *c, bool bare)
{
	weir_call_clear(c);
	*c = (struct weir_call){ .bare = bare, .where = START };
}

static void put(struct weir_text *t, char b)
{
	weir_text_add(t, &b, 1);
}

/* The text of a string that was kept with its quotes; false: no JSON string. */
static bool decode(struct weir_text *quoted, struct weir_text *ret)
{
	struct weir_json_tree *tree = NULL;
	struct weir_error err;
	const struct weir_json *root;
	bool is_string;

	weir_text_clear(ret);
	if (weir_json_read((struct weir_str){ quoted->data, quoted->len }, &tree, &err) != WEIR_OK)
		return false;
	root = weir_json_root(tree);
	is_string = root->type == WEIR_JSON_STRING;
	if (is_string)
		weir_text_add(ret, root->text.data, root->text.len);
	weir_json_free(tree);
	return is_string;
}

static enum weir_call_state end_value(struct weir_call *c)
{
	enum use use = use_of(c);

	c->where = AFTER;
	if (use == NAME) {
		if (!decode(&c->value, &c->name) || c->name.len == 0 || c->name.len > MAX_NAME)
			return WEIR_CALL_BROKEN;
		c->has_name = true;
	} else if (use == ID) {
		(void)decode(&c->value, &c->id);
	} else if (use == ARGS && c->quoted_args) {
		/* Arguments as a string that holds JSON. */
		if (!decode(&c->value, &c->args))
			return WEIR_CALL_BROKEN;
	}
	c->quoted_args = false;
	c->value.len = 0;
	return WEIR_CALL_MORE;
}

/* Whether the value's bytes go to the arguments as they are; null arguments are none. */
static bool to_args(const struct weir_call *c)
{
	return c->bare || (use_of(c) == ARGS && !c->quoted_args && c->where != SCALAR);
}

static enum weir_call_state keep(struct weir_call *c, char b)
{
	if (to_args(c))
		put(&c->args, b);
	else if (use_of(c) != IGNORED)
		put(&c->value, b);
	if (c->args.failed || c->value.failed ||
	    (!c->has_name && !c->bare && c->args.len > MAX_EARLY) ||
	    (use_of(c) != ARGS && c->value.len > 6 * MAX_NAME) || c->value.len > MAX_EARLY)
		return WEIR_CALL_BROKEN;
	return WEIR_CALL_MORE;
}

static enum weir_call_state begin_value(struct weir_call *c, char b)
{
	enum use use = c->bare ? ARGS : use_of(c);

	c->value.len = 0;
	c->quoted_args = use == ARGS && b == '"' && !c->bare;
	if (use == ARGS) {
		if (c->has_args)
			return WEIR_CALL_BROKEN;
		c->has_args = true;
	}
	if (b == '{' && use == NAME && is(&c->key, "function") && c->level == 1) {
		c->level = 2;
		c->has_args = false;
		c->where = KEY_OR_END;
		return WEIR_CALL_MORE;
	}
	if (b == '"') {
		c->where = STRING;
		c->escaped = false;
	} else if (b == '{' || b == '[') {
		c->where = NESTED;
		c->depth = 1;
		c->escaped = c->in_string = false;
	} else if (b == '-' || (b >= '0' && b <= '9') || b == 't' || b == 'f' || b == 'n') {
		c->where = SCALAR;
	} else {
		return WEIR_CALL_BROKEN;
	}
	if ((use == NAME && b != '"') ||
	    (use == ARGS && c->where != NESTED && !c->quoted_args && !(b == 'n' && !c->bare)))
		return WEIR_CALL_BROKEN;
	return keep(c, b);
}

/* Within an object or list: strings hide brackets. */
static enum weir_call_state nested(struct weir_call *c, char b)
{
	if (c->in_string) {
		if (c->escaped)
			c->escaped = false;
		else if (b == '\\')
			c->escaped = true;
		else if (b == '"')
			c->in_string = false;
	} else if (b == '"') {
		c->in_string = true;
	} else if (b == '{' || b == '[') {
		c->depth++;
	} else if (b == '}' || b == ']') {
		c->depth--;
	}
	if (keep(c, b) == WEIR_CALL_BROKEN)
		return WEIR_CALL_BROKEN;
	if (c->depth > 0)
		return WEIR_CALL_MORE;
	return c->bare ? WEIR_CALL_DONE : end_value(c);
}

static enum weir_call_state after(struct weir_call *c, char b)
{
	if (is_space(b))
		return WEIR_CALL_MORE;
	if (b == ',') {
		c->where = KEY_OR_END;
		return WEIR_CALL_MORE;
	}
	if (b != '}')
		return WEIR_CALL_BROKEN;
	if (--c->level > 0) {
		c->where = AFTER;
		c->key.len = 0;
		return WEIR_CALL_MORE;
	}
	return c->has_name ? WEIR_CALL_DONE : WEIR_CALL_BROKEN;
}

static enum weir_call_state key_or_end(struct weir_call *c, char b)
{
	if (is_space(b))
		return WEIR_CALL_MORE;
	if (b == '}')
		return after(c, b);
	if (b != '"')
		return WEIR_CALL_BROKEN;
	c->key.len = 0;
	c->where = KEY;
	return WEIR_CALL_MORE;
}

static enum weir_call_state string(struct weir_call *c, char b)
{
	bool ends = b == '"' && !c->escaped;

	c->escaped = b == '\\' && !c->escaped;
	if (keep(c, b) == WEIR_CALL_BROKEN)
		return WEIR_CALL_BROKEN;
	return ends ? end_value(c) : WEIR_CALL_MORE;
}

static enum weir_call_state start(struct weir_call *c, char b)
{
	if (is_space(b))
		return WEIR_CALL_MORE;
	if (b != '{')
		return WEIR_CALL_BROKEN;
	if (c->bare)
		return begin_value(c, b);
	c->level = 1;
	c->where = KEY_OR_END;
	return WEIR_CALL_MORE;
}

enum weir_call_state weir_call_feed(struct weir_call *c, char b)
{
	switch ((enum where)c->where) {
	case START:
		return start(c, b);
	case KEY_OR_END:
		return key_or_end(c, b);
	case KEY:
		if (b == '"')
			c->where = COLON;
		else if (b == '\\' || c->key.len > MAX_NAME)
			return WEIR_CALL_BROKEN;
		else
			put(&c->key, b);
		return WEIR_CALL_MORE;
	case COLON:
		if (b == ':')
			c->where = VALUE;
		return b == ':' || is_space(b) ? WEIR_CALL_MORE : WEIR_CALL_BROKEN;
	case VALUE:
		return is_space(b) ? WEIR_CALL_MORE : begin_value(c, b);
	case STRING:
		return string(c, b);
	case NESTED:
		return nested(c, b);
	case SCALAR:
		if (b == ',' || b == '}' || is_space(b)) {
			return end_value(c) == WEIR_CALL_BROKEN ? WEIR_CALL_BROKEN : after(c, b);
		}
		return keep(c, b);
	case AFTER:
		return after(c, b);
	}
	return WEIR_CALL_BROKEN;
}
