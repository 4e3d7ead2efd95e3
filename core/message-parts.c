/*
 * message-parts.c - see message-parts.h.
 */
#include "message-parts.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include "text.h"

#define MAX_DEPTH 64

/* Is there a content that is a list? Most chats have none, and are not parsed for it. */
static bool has_list(struct weir_str s)
{
	static const char name[] = "\"content\"";
	const char *at = s.data, *end = s.data + s.len;

	while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)) != NULL) {
		at += sizeof(name) - 1;
		while (at < end && strchr(" \t\r\n:", *at) && *at)
			at++;
		if (at < end && *at == '[')
			return true;
	}
	return false;
}

/* NULL: not only text. */
static char *joined(JsonArray *parts)
{
	g_autoptr(GString) all = g_string_new(NULL);

	for (guint i = 0; i < json_array_get_length(parts); i++) {
		JsonNode *node = json_array_get_element(parts, i), *type, *text;

		if (!JSON_NODE_HOLDS_OBJECT(node))
			return NULL;
		type = json_object_get_member(json_node_get_object(node), "type");
		text = json_object_get_member(json_node_get_object(node), "text");
		if (!type || !text || json_node_get_value_type(type) != G_TYPE_STRING ||
		    json_node_get_value_type(text) != G_TYPE_STRING ||
		    strcmp(json_node_get_string(type), "text") != 0)
			return NULL;
		if (i > 0)
			g_string_append_c(all, '\n');
		g_string_append(all, json_node_get_string(text));
	}
	return g_strdup(all->str);
}

static void join_message(JsonNode *node)
{
	JsonObject *message = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	JsonNode *content = message ? json_object_get_member(message, "content") : NULL;
	g_autofree char *text = NULL;

	if (!content || !JSON_NODE_HOLDS_ARRAY(content))
		return;
	text = joined(json_node_get_array(content));
	if (text)
		json_object_set_string_member(message, "content", text);
}

/* The shortest text that reads back the same, and is no whole number's. */
static void append_double(GString *out, double v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];

	v = CLAMP(v, -G_MAXDOUBLE, G_MAXDOUBLE);
	for (int digits = 15; digits <= 17; digits++) {
		g_autofree char *format = g_strdup_printf("%%.%dg", digits);

		g_ascii_formatd(text, sizeof(text), format, v);
		if (g_ascii_strtod(text, NULL) == v)
			break;
	}
	g_string_append(out, text);
	if (!strpbrk(text, ".e"))
		g_string_append(out, ".0");
}

void weir_json_append(GString *out, JsonNode *node)
{
	if (JSON_NODE_HOLDS_ARRAY(node)) {
		JsonArray *a = json_node_get_array(node);

		for (guint i = 0; i < json_array_get_length(a); i++) {
			g_string_append_c(out, i ? ',' : '[');
			weir_json_append(out, json_array_get_element(a, i));
		}
		g_string_append(out, json_array_get_length(a) ? "]" : "[]");
	} else if (JSON_NODE_HOLDS_OBJECT(node)) {
		JsonObjectIter iter;
		const char *name;
		JsonNode *value;
		bool any = false;

		json_object_iter_init_ordered(&iter, json_node_get_object(node));
		while (json_object_iter_next_ordered(&iter, &name, &value)) {
			g_string_append_c(out, any ? ',' : '{');
			weir_text_append_json(out, (struct weir_str){ name, strlen(name) });
			g_string_append_c(out, ':');
			weir_json_append(out, value);
			any = true;
		}
		g_string_append(out, any ? "}" : "{}");
	} else if (json_node_get_value_type(node) == G_TYPE_STRING) {
		const char *text = json_node_get_string(node);

		weir_text_append_json(out, (struct weir_str){ text, strlen(text) });
	} else if (json_node_get_value_type(node) == G_TYPE_DOUBLE) {
		append_double(out, json_node_get_double(node));
	} else {
		g_autofree char *text = json_to_string(node, FALSE);

		g_string_append(out, text);
	}
}

bool weir_messages_join(struct weir_str messages, GString *out)
{
	g_autoptr(JsonParser) parser = NULL;
	JsonNode *root;
	JsonArray *array;

	if (!has_list(messages)) {
		g_string_append_len(out, messages.data, (gssize)messages.len);
		return true;
	}
	parser = json_parser_new();
	if (!weir_text_json_shallow(messages, MAX_DEPTH) ||
	    !json_parser_load_from_data(parser, messages.data, (gssize)messages.len, NULL))
		return false;
	root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_ARRAY(root))
		return false;
	array = json_node_get_array(root);
	for (guint i = 0; i < json_array_get_length(array); i++)
		join_message(json_array_get_element(array, i));
	weir_json_append(out, root);
	return true;
}
