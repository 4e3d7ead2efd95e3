/*
 * frontends/api/tools.c - see tools.h.
 */
#include "tools.h"

#include <json-glib/json-glib.h>

#include "json-check.h"
#include "json-write.h"

#define MAX_CALLS 128

struct tool_call {
	GString *id, *name, *arguments;
};

bool tool_delta_valid(struct weir_str text)
{
	struct json_fault fault;
	return text.len && text.data[0] == '{' && json_check(text.data, text.len, &fault);
}

static char *dup_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	bool text = node && JSON_NODE_HOLDS_VALUE(node) &&
		    json_node_get_value_type(node) == G_TYPE_STRING;
	return text ? g_strdup(json_node_get_string(node)) : NULL;
}

bool tool_delta_read(struct weir_str text, struct tool_delta *ret)
{
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	if (!tool_delta_valid(text) ||
	    !json_parser_load_from_data(parser, text.data, (gssize)text.len, NULL))
		return false;
	JsonObject *o = json_node_get_object(json_parser_get_root(parser));
	JsonNode *f = json_object_get_member(o, "function");
	JsonObject *function = f && JSON_NODE_HOLDS_OBJECT(f) ? json_node_get_object(f) : NULL;
	JsonNode *index = json_object_get_member(o, "index");
	*ret = (struct tool_delta){
		.index = index && JSON_NODE_HOLDS_VALUE(index) ? json_node_get_int(index) : 0,
		.id = dup_member(o, "id"),
		.name = dup_member(function, "name"),
		.arguments = dup_member(function, "arguments"),
	};
	return true;
}

void tool_delta_clear(struct tool_delta *d)
{
	g_clear_pointer(&d->id, g_free);
	g_clear_pointer(&d->name, g_free);
	g_clear_pointer(&d->arguments, g_free);
}

static const char *text_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
	    json_node_get_value_type(node) != G_TYPE_STRING)
		return "";
	return json_node_get_string(node);
}

static void add_delta(struct tool_call *calls, guint *n_calls, JsonObject *delta)
{
	JsonNode *at = json_object_get_member(delta, "index");
	gint64 index = at && JSON_NODE_HOLDS_VALUE(at) ? json_node_get_int(at) : *n_calls;
	if (index < 0 || index >= MAX_CALLS)
		return;
	while (*n_calls <= index) {
		calls[*n_calls] = (struct tool_call){ g_string_new(NULL), g_string_new(NULL),
						      g_string_new(NULL) };
		++*n_calls;
	}
	JsonNode *f = json_object_get_member(delta, "function");
	JsonObject *function = f && JSON_NODE_HOLDS_OBJECT(f) ? json_node_get_object(f) : NULL;
	g_string_append(calls[index].id, text_member(delta, "id"));
	g_string_append(calls[index].name, text_member(function, "name"));
	g_string_append(calls[index].arguments, text_member(function, "arguments"));
}

void tool_deltas_merge(struct buf *deltas, struct buf *out)
{
	struct tool_call calls[MAX_CALLS];
	guint n_calls = 0;
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	g_autofree char *text = g_strdup_printf("[%.*s]", (int)MIN(deltas->len, G_MAXINT),
						deltas->data ? deltas->data : "");
	if (json_parser_load_from_data(parser, text, -1, NULL)) {
		JsonArray *list = json_node_get_array(json_parser_get_root(parser));
		for (guint i = 0; i < json_array_get_length(list); i++)
			add_delta(calls, &n_calls, json_array_get_object_element(list, i));
	}
	buf_putc(out, '[');
	for (guint i = 0; i < n_calls; i++) {
		buf_puts(out, i ? ",{\"id\":" : "{\"id\":");
		json_put_string(out, calls[i].id->str, calls[i].id->len);
		buf_puts(out, ",\"type\":\"function\",\"function\":{\"name\":");
		json_put_string(out, calls[i].name->str, calls[i].name->len);
		buf_puts(out, ",\"arguments\":");
		json_put_string(out, calls[i].arguments->str, calls[i].arguments->len);
		buf_puts(out, "}}");
		g_string_free(calls[i].id, TRUE);
		g_string_free(calls[i].name, TRUE);
		g_string_free(calls[i].arguments, TRUE);
	}
	buf_putc(out, ']');
}
