/*
 * frontends/api/json-tree.c - see json-tree.h.
 */
#include "json-tree.h"

#include <string.h>

#include "json-write.h"

/* ---- text to tree ---- */

/* Checked JSON, with ".0" behind whole numbers that 64 bits do not hold. */
static void widen(const char *text, size_t len, struct buf *out)
{
	bool in_string = false;
	size_t i = 0;
	while (i < len) {
		size_t from = i;
		if (in_string || (text[i] != '-' && !g_ascii_isdigit(text[i]))) {
			if (text[i] == '\\')
				i++; /* within a string: what follows is no quote */
			else if (text[i] == '"')
				in_string = !in_string;
			i++;
			buf_append(out, text + from, i - from);
			continue;
		}
		while (i < len && (g_ascii_isdigit(text[i]) || strchr("+-.eE", text[i])))
			i++;
		buf_append(out, text + from, i - from);
		if (json_check_wide(text + from, i - from))
			buf_puts(out, ".0");
	}
}

JsonNode *json_tree_parse(const char *text, size_t len, bool immutable,
			  struct json_fault *ret_fault)
{
	struct buf wide = { NULL, 0, 0 };
	bool any_wide;
	if (!json_check_numbers(text, len, ret_fault, &any_wide))
		return NULL;
	if (any_wide) {
		widen(text, len, &wide);
		text = wide.data;
		len = wide.len;
	}
	g_autoptr(JsonParser) parser = immutable ? json_parser_new_immutable() : json_parser_new();
	JsonNode *root = NULL;
	if (len <= G_MAXSSIZE && json_parser_load_from_data(parser, text, (gssize)len, NULL))
		root = json_parser_steal_root(parser);
	buf_free(&wide);
	if (!root)
		*ret_fault = (struct json_fault){ "a value is expected", 0, 1, 1 };
	return root;
}

/* ---- tree to text ---- */

static void put_double(struct buf *b, double v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	v = CLAMP(v, -G_MAXDOUBLE, G_MAXDOUBLE);
	for (int digits = 15; digits <= 17; digits++) {
		char format[8];
		g_snprintf(format, sizeof(format), "%%.%dg", digits);
		g_ascii_formatd(text, sizeof(text), format, v);
		if (g_ascii_strtod(text, NULL) == v)
			break;
	}
	buf_puts(b, text);
	if (!strpbrk(text, ".e"))
		buf_puts(b, ".0");
}

static void put_value(struct buf *b, JsonNode *node)
{
	switch (json_node_get_value_type(node)) {
	case G_TYPE_STRING:
		json_put_cstring(b, json_node_get_string(node));
		break;
	case G_TYPE_INT64:
		json_put_int(b, json_node_get_int(node));
		break;
	case G_TYPE_BOOLEAN:
		buf_puts(b, json_node_get_boolean(node) ? "true" : "false");
		break;
	default:
		put_double(b, json_node_get_double(node));
		break;
	}
}

static void put_object(struct buf *b, JsonObject *o)
{
	JsonObjectIter it;
	const char *name;
	JsonNode *value;
	bool any = false;
	buf_putc(b, '{');
	json_object_iter_init_ordered(&it, o);
	while (json_object_iter_next_ordered(&it, &name, &value)) {
		if (any)
			buf_putc(b, ',');
		json_put_cstring(b, name);
		buf_putc(b, ':');
		json_tree_put(b, value);
		any = true;
	}
	buf_putc(b, '}');
}

void json_tree_put(struct buf *b, JsonNode *node)
{
	if (JSON_NODE_HOLDS_OBJECT(node)) {
		put_object(b, json_node_get_object(node));
	} else if (JSON_NODE_HOLDS_ARRAY(node)) {
		JsonArray *a = json_node_get_array(node);
		buf_putc(b, '[');
		for (guint i = 0; i < json_array_get_length(a); i++) {
			if (i)
				buf_putc(b, ',');
			json_tree_put(b, json_array_get_element(a, i));
		}
		buf_putc(b, ']');
	} else if (JSON_NODE_HOLDS_NULL(node)) {
		buf_puts(b, "null");
	} else {
		put_value(b, node);
	}
}
