/*
 * frontends/http/results.c - see results.h.
 */
#include "results.h"

#include <json-glib/json-glib.h>

#include "json-check.h"
#include "json-write.h"

static JsonNode *parse(struct buf *json, JsonParser *parser)
{
	struct json_fault fault;
	if (!json_check(json->data ? json->data : "", json->len, &fault) ||
	    !json_parser_load_from_data(parser, json->data, (gssize)json->len, NULL))
		return NULL;
	return json_parser_get_root(parser);
}

static JsonNode *member(JsonNode *node, const char *name)
{
	return JSON_NODE_HOLDS_OBJECT(node)
		       ? json_object_get_member(json_node_get_object(node), name)
		       : NULL;
}

static void put_node(struct buf *out, JsonNode *node)
{
	g_autofree char *text = node ? json_to_string(node, FALSE) : NULL;
	buf_puts(out, text ? text : "null");
}

/* Pieces are strings, or arrays of bytes where a token is no whole UTF-8. */
static void put_pieces(struct buf *out, JsonNode *node)
{
	if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
		buf_puts(out, "null");
		return;
	}
	put_node(out, node);
}

bool result_tokenize(struct buf *json, struct buf *out)
{
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	JsonNode *root = parse(json, parser);
	if (!root)
		return false;
	JsonNode *tokens = JSON_NODE_HOLDS_ARRAY(root) ? root : member(root, "tokens");
	if (!tokens || !JSON_NODE_HOLDS_ARRAY(tokens))
		return false;
	JsonNode *pieces = member(root, "pieces");
	buf_puts(out, "{\"count\":");
	json_put_uint(out, json_array_get_length(json_node_get_array(tokens)));
	buf_puts(out, ",\"max_model_len\":");
	put_node(out, member(root, "max_model_len"));
	buf_puts(out, ",\"tokens\":");
	put_node(out, tokens);
	buf_puts(out, ",\"token_strs\":");
	put_pieces(out, pieces);
	buf_putc(out, '}');
	return true;
}

bool result_detokenize(struct buf *json, struct buf *out)
{
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	JsonNode *root = parse(json, parser);
	if (!root)
		return false;
	JsonNode *text = root;
	if (JSON_NODE_HOLDS_OBJECT(root)) {
		text = member(root, "text");
		if (!text)
			text = member(root, "prompt");
	}
	if (!text || !JSON_NODE_HOLDS_VALUE(text) ||
	    json_node_get_value_type(text) != G_TYPE_STRING)
		return false;
	buf_puts(out, "{\"prompt\":");
	json_put_cstring(out, json_node_get_string(text));
	buf_putc(out, '}');
	return true;
}
