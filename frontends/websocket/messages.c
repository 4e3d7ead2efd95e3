/*
 * frontends/websocket/messages.c - what a client says: one JSON object each, told apart by its type
 * (docs/websocket-protocol.md). See session.h. [loop], but for parse(): a large message is parsed
 * and its body read in a thread of the carrier's, as bodies of POST are (a megabyte takes json-glib
 * milliseconds).
 */
#include "session.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include <api/body-private.h>
#include <api/body.h>
#include <api/format.h>
#include <api/json-tree.h>
#include <api/json-write.h>

#include "request.h"

#define MAX_CREDIT 1000000000
#define PARSE_HERE (64u << 10)

struct parsed {         /* a message, and the body of what it creates */
	JsonNode *root; /* NULL: fault */
	struct json_fault fault;
	const struct api_endpoint *endpoint; /* NULL: it creates nothing */
	bool read;                           /* body, or NULL and errors */
	struct api_body *body;
	struct api_error_list errors;
};

struct message {
	struct ws_session *session;
	JsonObject *object;
	const char *type, *id;  /* id NULL: none */
	const struct buf *text; /* all of it */
	struct parsed *parsed;
};

static JsonNode *member(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	return node && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

static bool holds(JsonNode *node, GType type)
{
	return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

static const char *text_member(JsonObject *o, const char *name)
{
	JsonNode *node = member(o, name);
	return holds(node, G_TYPE_STRING) ? json_node_get_string(node) : NULL;
}

static void refuse(const struct message *m, int status, const char *code, const char *param,
		   const char *text)
{
	struct api_error e;
	api_error_set(&e, status, code, text);
	if (param)
		g_strlcpy(e.param, param, sizeof(e.param));
	ws_session_error(m->session, m->id, &e);
}

/* 0..MAX_CREDIT; absent: fallback. false: it is something else, and the client has been told. */
static bool count_member(const struct message *m, const char *name, int64_t fallback,
			 int64_t *ret_value)
{
	JsonNode *node = member(m->object, name);
	*ret_value = fallback;
	if (!node)
		return true;
	if (holds(node, G_TYPE_INT64) && json_node_get_int(node) >= 0 &&
	    json_node_get_int(node) <= MAX_CREDIT) {
		*ret_value = json_node_get_int(node);
		return true;
	}
	g_autofree char *text =
		g_strdup_printf("%s must be an integer from 0 to %d", name, MAX_CREDIT);
	refuse(m, 400, "invalid_value", name, text);
	return false;
}

static struct ws_request *find(const struct message *m)
{
	struct ws_session *s = m->session;
	const char *response = text_member(m->object, "response_id");
	GHashTableIter iter;
	gpointer request;
	if (m->id)
		return g_hash_table_lookup(s->requests, m->id);
	if (!response)
		return s->newest;
	g_hash_table_iter_init(&iter, s->requests);
	while (g_hash_table_iter_next(&iter, NULL, &request))
		if (strcmp(((struct ws_request *)request)->call->id, response) == 0)
			return request;
	return NULL;
}

/* ---- types ---- */

static void refuse_body(const struct message *m, const struct api_error_list *errors)
{
	ws_session_error(m->session, m->id, &errors->items[0]);
}

static bool may_create(const struct message *m)
{
	const struct ws_session *s = m->session;
	if (s->hub->draining)
		refuse(m, 503, "server_draining", NULL,
		       "the server is going away: connect again for new requests");
	else if (m->id && g_hash_table_contains(s->requests, m->id))
		refuse(m, 400, "duplicate_id", "id", "a request with this id is under way");
	else if (g_hash_table_size(s->requests) >= s->hub->config->max_requests)
		refuse(m, 429, "too_many_requests", NULL,
		       "too many requests at once on this socket");
	else
		return true;
	return false;
}

static void create(const struct message *m)
{
	struct ws_create what = { .id = m->id };
	int64_t credit;
	JsonNode *resume = member(m->object, "resume");
	if (!may_create(m) || !count_member(m, "credit", -1, &credit))
		return;
	if (!m->parsed->read) {
		refuse(m, 400, "invalid_value", "body", "body must be an object");
		return;
	}
	if (resume && !holds(resume, G_TYPE_BOOLEAN)) {
		refuse(m, 400, "invalid_value", "resume", "resume must be true or false");
		return;
	}
	struct api_body *body = g_steal_pointer(&m->parsed->body);
	if (!body) {
		refuse_body(m, &m->parsed->errors);
		return;
	}
	if (body->params.background) {
		api_body_free(body);
		refuse(m, 400, "unsupported_value", "background",
		       "background is not supported on a WebSocket: use resume");
		return;
	}
	what.resume = resume && json_node_get_boolean(resume) && m->id;
	what.own_credit = credit >= 0;
	what.credit = credit >= 0 ? (uint32_t)credit : 0;
	ws_request_create(m->session, body, &what);
}

/* The thread that has the answer of the token, when it is another one. */
static struct ws_hub *elsewhere(const struct message *m, const char *token)
{
	struct ws_hub *here = m->session->hub;
	struct ws_hub *there = token ? ws_shared_find(here->shared, token) : NULL;
	return there != here ? there : NULL;
}

static void cancel(const struct message *m)
{
	struct ws_session *s = m->session;
	const char *token = text_member(m->object, "token");
	struct ws_hub *there = elsewhere(m, token);
	struct ws_request *r = token ? g_hash_table_lookup(s->hub->resumable, token) : find(m);
	if (there)
		s->carrier->cancel(s->data, there, token);
	else if (r && r->call)
		ws_request_cancel(r);
	else
		refuse(m, 404, "request_not_found", "id", "no such request is under way");
}

static void credit(const struct message *m)
{
	struct ws_request *r = find(m);
	int64_t n;
	if (!count_member(m, "n", 1, &n))
		return;
	/* It may have ended meanwhile: nothing is wrong then. */
	if (r)
		ws_request_credit(r, (uint32_t)n);
}

static void resume(const struct message *m)
{
	struct ws_session *s = m->session;
	const char *token = text_member(m->object, "token");
	struct ws_request *r = token ? g_hash_table_lookup(s->hub->resumable, token) : NULL;
	JsonNode *after = member(m->object, "after");
	struct ws_hub *there = elsewhere(m, token);
	int64_t from = 0, n;
	if (after && (!holds(after, G_TYPE_INT64) || json_node_get_int(after) < -1 ||
		      json_node_get_int(after) == G_MAXINT64)) {
		refuse(m, 400, "invalid_value", "after",
		       "after must be the last seq that came, or -1");
		return;
	}
	if (!count_member(m, "credit", -1, &n))
		return;
	if (after)
		from = json_node_get_int(after) + 1;
	if (there && g_hash_table_size(s->requests)) {
		refuse(m, 409, "resume_elsewhere", "token",
		       "this socket has requests under way, on another thread than this answer: "
		       "resume it on a socket of its own");
	} else if (there) { /* comes again there */
		s->held = g_memdup2(m->text->data, m->text->len);
		s->n_held = m->text->len;
		s->carrier->move(s->data, there);
	} else if (!r || (m->id && strcmp(m->id, r->id) != 0)) {
		refuse(m, 404, "resume_not_found", "token",
		       "nothing can be resumed by this token: it is wrong, or its time is over");
	} else if ((uint64_t)from > r->seq) {
		refuse(m, 400, "invalid_value", "after",
		       "after is a message that has not been sent");
	} else if ((uint64_t)from < replay_first(r->replay)) {
		refuse(m, 410, "events_lost", "after",
		       "the messages behind it are no longer kept: ask again from the beginning");
	} else if (r->session != s && g_hash_table_contains(s->requests, r->id)) {
		refuse(m, 400, "duplicate_id", "id", "a request with this id is under way");
	} else {
		if (n >= 0 && r->call) {
			r->own_credit = true;
			r->balance = n;
		}
		ws_request_resume(r, s, (uint64_t)from);
	}
}

static void ping(const struct message *m)
{
	struct buf *b = &m->session->hub->json;
	JsonNode *echo = member(m->object, "echo");
	buf_puts(b, "{\"type\":\"pong\"");
	if (m->id) {
		buf_puts(b, ",\"id\":");
		json_put_cstring(b, m->id);
	}
	if (echo) {
		g_autofree char *text = body_json(echo);
		buf_puts(b, ",\"echo\":");
		buf_puts(b, text);
	}
	buf_putc(b, '}');
	ws_session_send(m->session, b);
}

static const struct api_endpoint *endpoint_of(const char *type)
{
	const char *dot = strrchr(type, '.');
	if (strcmp(type, "response.create") == 0)
		return api_endpoint_find("responses");
	if (!dot || strcmp(dot, ".create") != 0)
		return NULL;
	g_autofree char *name = g_strndup(type, (gsize)(dot - type));
	return api_endpoint_find(name);
}

static void dispatch(const struct message *m)
{
	static const struct {
		const char *type;
		void (*take)(const struct message *);
	} types[] = { { "cancel", cancel },
		      { "response.cancel", cancel },
		      { "credit", credit },
		      { "resume", resume },
		      { "ping", ping } };
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		if (strcmp(m->type, types[i].type) == 0) {
			types[i].take(m);
			return;
		}
	}
	if (m->parsed->endpoint)
		create(m);
	else
		refuse(m, 400, "unknown_type", "type", "there is no message of this type");
}

/* Any thread. The body is a member, or the message itself as OpenAI has it. Unless it says
 * otherwise the answer is streamed: that is what a socket is for. */
static void parse(const struct api_config *conf, const struct buf *text, struct parsed *p)
{
	p->root = json_tree_parse(text->data, text->len, false, &p->fault);
	JsonObject *o =
		p->root && JSON_NODE_HOLDS_OBJECT(p->root) ? json_node_get_object(p->root) : NULL;
	const char *type = o ? text_member(o, "type") : NULL;
	p->endpoint = type ? endpoint_of(type) : NULL;
	if (!p->endpoint)
		return;
	JsonNode *body = member(o, "body");
	if (!body && strcmp(type, "response.create") == 0)
		body = member(o, "response");
	if (body && !JSON_NODE_HOLDS_OBJECT(body))
		return;
	o = body ? json_node_get_object(body) : o;
	if (p->endpoint->format->event && !member(o, "stream"))
		json_object_set_boolean_member(o, "stream", TRUE);
	p->body = api_body_read(conf, p->endpoint, o, &p->errors);
	p->read = true;
}

static void parsed_clear(struct parsed *p)
{
	g_clear_pointer(&p->root, json_node_unref);
	api_body_free(g_steal_pointer(&p->body));
}

static void take(struct ws_session *s, const struct buf *text, struct parsed *p)
{
	struct message m = { .session = s, .text = text, .parsed = p };
	const struct json_fault fault = p->fault;
	JsonNode *root = p->root;
	if (!root) {
		g_autofree char *why = g_strdup_printf("not JSON: %s, line %u, column %u",
						       fault.what, fault.line, fault.column);
		refuse(&m, 400, "invalid_json", NULL, why);
		return;
	}
	if (!JSON_NODE_HOLDS_OBJECT(root)) {
		refuse(&m, 400, "invalid_json", NULL, "a message must be a JSON object");
		return;
	}
	m.object = json_node_get_object(root);
	m.type = text_member(m.object, "type");
	JsonNode *id = member(m.object, "id");
	if (id && (!holds(id, G_TYPE_STRING) || strlen(json_node_get_string(id)) > WS_ID_MAX ||
		   !json_node_get_string(id)[0])) {
		refuse(&m, 400, "invalid_value", "id", "id must be a string of 1 to 128 bytes");
		return;
	}
	m.id = id ? json_node_get_string(id) : NULL;
	if (!m.type)
		refuse(&m, 400, "missing_required_parameter", "type", "type is required");
	else
		dispatch(&m);
}

/* ---- large ones ---- */

struct reading {
	struct ws_work work;
	struct ws_session *session;
	const struct api_config *conf;
	struct buf text;
	struct parsed parsed;
};

static void run(struct ws_work *work)
{
	struct reading *r = (struct reading *)work;
	parse(r->conf, &r->text, &r->parsed);
}

static void done(struct ws_work *work, bool gone)
{
	struct reading *r = (struct reading *)work;
	if (!gone) {
		r->session->busy = false;
		if (!ws_session_over(r->session))
			take(r->session, &r->text, &r->parsed);
	}
	parsed_clear(&r->parsed);
	buf_free(&r->text);
	g_free(r);
}

void ws_message_take(struct ws_session *s, struct buf *text)
{
	const struct api_config *conf = &s->hub->api->api->config;
	if (text->len > PARSE_HERE) {
		struct reading *r = g_new0(struct reading, 1);
		r->work = (struct ws_work){ text->cap, run, done };
		r->session = s;
		r->conf = conf;
		r->text = *text;
		*text = (struct buf){ NULL, 0, 0 };
		s->busy = true;
		s->carrier->work(s->data, &r->work);
		return;
	}
	struct parsed p = { .root = NULL };
	parse(conf, text, &p);
	take(s, text, &p);
	parsed_clear(&p);
}
