/*
 * frontends/http/models-change.c - POST /v1/models/{id}/load and /unload, and the same with the
 * model in the body: /v1/models/load, /models/load (llama-server's router has those). [loop]; only
 * changed() is called on the host's main thread.
 *
 * With option admin, from this machine, and not from another site's page in a browser: it changes
 * the server for everybody.
 */
#include <string.h>

#include <api/json-tree.h>
#include <api/json-write.h>
#include <json-glib/json-glib.h>

#include "handlers.h"
#include "models.h"
#include "resume.h"

#define MAX_BODY 65536

struct change {
	struct plane *plane;
	struct conn *conn; /* NULL: gone */
	char *id;
	weir_status status;
	const char *state; /* the host's constant */
	char *text;
};

static void change_free(struct change *change)
{
	g_free(change->id);
	g_free(change->text);
	g_free(change);
}

static void answered(struct plane *p, void *data)
{
	struct change *change = data;
	struct conn *c = change->conn;
	struct buf b = { NULL, 0, 0 };
	if (!c) {
		change_free(change);
		return;
	}
	switch (change->status) {
	case WEIR_OK:
		buf_puts(&b, "{\"success\":true,\"id\":");
		json_put_cstring(&b, change->id);
		buf_puts(&b, ",\"object\":\"model\",\"state\":");
		json_put_cstring(&b, change->state);
		models_put_status(&b, change->state);
		buf_putc(&b, '}');
		conn_respond_json(c, 200, &b);
		break;
	case WEIR_E_CANCELLED:
		conn_respond_error(c, 409, "conflict", change->text);
		break;
	case WEIR_E_NOT_FOUND:
		conn_respond_error(c, 404, "model_not_found", change->text);
		break;
	default:
		conn_respond_error(c, 503, "model_not_loaded", change->text);
		break;
	}
	change_free(change);
}

static void changed(void *data, const struct weir_model_result *result)
{
	struct change *change = data;
	change->status = result->status;
	change->state = g_intern_string(result->state);
	change->text = g_strdup(result->text);
	plane_post(change->plane, answered, change);
}

static void gone(void *data)
{
	struct change *change = data;
	change->conn = NULL;
}

static const struct conn_waiter waiter = { .gone = gone };

static bool may_change(struct conn *c)
{
	if (c->plane->http->config.admin)
		return handle_from_here(c);
	conn_respond_error(c, 403, "permission_denied",
			   "loading and unloading is off: set admin = true in this frontend's "
			   "section of the profile");
	return false;
}

/* The body's members; an empty one has none. False: answered. */
static bool read_body(struct conn *c, char **ret_model, bool *ret_wait)
{
	const struct buf *text = &c->req->body;
	struct json_fault fault;
	g_autoptr(JsonNode) root = NULL;
	const char *why = NULL;
	if (text->len == 0)
		return true;
	if (text->len <= MAX_BODY)
		root = json_tree_parse(text->data, text->len, true, &fault);
	JsonObject *body = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
	if (!body) {
		conn_respond_error(c, 400, "invalid_json", "the body must be a JSON object");
		return false;
	}
	JsonNode *model = json_object_get_member(body, "model");
	JsonNode *wait = json_object_get_member(body, "wait");
	if (model && json_node_get_value_type(model) != G_TYPE_STRING)
		why = "model must be a string";
	else if (wait && json_node_get_value_type(wait) != G_TYPE_BOOLEAN)
		why = "wait must be true or false";
	if (why) {
		conn_respond_error(c, 400, "invalid_type", why);
		return false;
	}
	if (model && !*ret_model)
		*ret_model = json_node_dup_string(model);
	if (wait)
		*ret_wait = json_node_get_boolean(wait);
	return true;
}

void models_change(struct conn *c, const char *model)
{
	const struct weir_gateway *gateway = c->plane->http->api.gateway;
	const struct weir_host *host = c->plane->http->api.host;
	g_autofree char *id = g_strdup(model);
	g_autofree char *query = resume_query(c->req, "wait");
	bool wait = query && !strcmp(query, "true");
	uint32_t what =
		g_str_has_suffix(c->req->path, "/unload") ? WEIR_MODEL_UNLOAD : WEIR_MODEL_LOAD;
	struct weir_error err;
	if (!may_change(c))
		return;
	if (query && !wait && strcmp(query, "false") != 0) {
		conn_respond_error(c, 400, "invalid_value", "wait must be true or false");
		return;
	}
	if (!read_body(c, &id, &wait))
		return;
	if (!id || !*id) {
		conn_respond_error(c, 400, "missing_field", "model is missing");
		return;
	}
	if (!WEIR_HAS(struct weir_gateway, gateway, change_model)) {
		conn_respond_error(c, 501, "not_supported", "this host cannot load models");
		return;
	}
	struct change *change = g_new0(struct change, 1);
	change->plane = c->plane;
	change->conn = c;
	change->id = g_strdup(id);
	weir_status status = gateway->change_model(host, id, what | (wait ? WEIR_MODEL_WAIT : 0),
						   changed, change, &err);
	if (status == WEIR_OK) {
		/* changed() runs elsewhere, but answered() here, later. */
		conn_wait(c, &waiter, change);
		return;
	}
	change_free(change);
	err.text[sizeof(err.text) - 1] = '\0';
	if (status == WEIR_E_NOT_FOUND)
		models_respond_not_found(c);
	else
		conn_respond_error(c, status == WEIR_E_UNSUPPORTED ? 501 : 503,
				   status == WEIR_E_UNSUPPORTED ? "not_supported" : "unavailable",
				   err.text);
}

void handle_change(struct conn *c)
{
	models_change(c, NULL);
}
