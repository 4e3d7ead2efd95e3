/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/client.c - see client.h.
 *
 * libsoup's asynchronous calls on a main context of our own, which a SIGINT source wakes: blocking
 * calls could not be interrupted without threads.
 */
#include "client.h"

#include <signal.h>
#include <string.h>

#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

#include "sse.h"

#define READ_SIZE 16384
#define MAX_BODY  (16u << 20)

struct client {
	SoupSession *session;
	GMainContext *context;
	char *url; /* without /v1 and slash */
	char *bearer;
};

/* One exchange. */
struct exchange {
	struct client *client;
	SoupMessage *message;
	GCancellable *cancel;
	GInputStream *in;
	GString *body; /* NULL: an answer that is streamed */
	GError *error;
	bool done, interrupted;
	/* a chat's */
	struct sse sse;
	struct client_answer *answer;
	void (*text)(void *data, enum client_part, const char *text);
	void *data;
	char *fault; /* the server's error, in the stream */
	bool too_long;
};

bool client_new(const char *url, const char *key, struct client **ret, char **ret_error)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GUri) uri = g_uri_parse(url, SOUP_HTTP_URI_FLAGS, &error);
	const char *scheme = uri ? g_uri_get_scheme(uri) : NULL;
	bool web = scheme && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
	if (!web || !g_uri_get_host(uri) || !*g_uri_get_host(uri)) {
		*ret_error = g_strdup_printf("'%s' is no address of a server: write it as "
					     "http://127.0.0.1:8000",
					     url);
		return false;
	}
	struct client *c = g_new0(struct client, 1);
	c->url = g_strdup(url);
	for (size_t n = strlen(c->url); n && c->url[n - 1] == '/'; n--)
		c->url[n - 1] = 0;
	if (g_str_has_suffix(c->url, "/v1"))
		c->url[strlen(c->url) - 3] = 0;
	c->bearer = key && *key ? g_strconcat("Bearer ", key, NULL) : NULL;
	c->context = g_main_context_new();
	g_main_context_push_thread_default(c->context);
	c->session = soup_session_new_with_options("user-agent", "weir-chat/" WEIR_VERSION, NULL);
	g_autoptr(GInetAddress) address = g_inet_address_new_from_string(g_uri_get_host(uri));
	if (!strcmp(g_uri_get_host(uri), "localhost") ||
	    (address && g_inet_address_get_is_loopback(address)))
		soup_session_set_proxy_resolver(c->session, NULL);
	*ret = c;
	return true;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	soup_session_abort(c->session);
	g_object_unref(c->session);
	while (g_main_context_iteration(c->context, FALSE))
		;
	g_main_context_pop_thread_default(c->context);
	g_main_context_unref(c->context);
	g_free(c->url);
	g_free(c->bearer);
	g_free(c);
}

const char *client_url(const struct client *c)
{
	return c->url;
}

/* ---- one exchange ---- */

static void finish(struct exchange *x, GError *error)
{
	x->error = error;
	x->done = true;
}

static bool take(struct exchange *x, const char *bytes, size_t n)
{
	if (!x->body)
		return sse_feed(&x->sse, bytes, n);
	if (x->body->len + n > MAX_BODY)
		return false;
	g_string_append_len(x->body, bytes, (gssize)n);
	return true;
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
	struct exchange *x = data;
	GError *error = NULL;
	g_autoptr(GBytes) bytes =
		g_input_stream_read_bytes_finish(G_INPUT_STREAM(source), result, &error);
	size_t n = bytes ? g_bytes_get_size(bytes) : 0;
	if (error || n == 0) {
		finish(x, error);
		return;
	}
	if (!take(x, g_bytes_get_data(bytes, NULL), n)) {
		x->too_long = true;
		finish(x, NULL);
		return;
	}
	g_input_stream_read_bytes_async(x->in, READ_SIZE, G_PRIORITY_DEFAULT, x->cancel, on_read,
					x);
}

static void on_sent(GObject *source, GAsyncResult *result, gpointer data)
{
	struct exchange *x = data;
	GError *error = NULL;
	x->in = soup_session_send_finish(SOUP_SESSION(source), result, &error);
	if (!x->in) {
		finish(x, error);
		return;
	}
	if (soup_message_get_status(x->message) != SOUP_STATUS_OK && !x->body)
		x->body = g_string_new(NULL); /* an error: one object */
	g_input_stream_read_bytes_async(x->in, READ_SIZE, G_PRIORITY_DEFAULT, x->cancel, on_read,
					x);
}

static gboolean on_interrupt(gpointer data)
{
	struct exchange *x = data;
	x->interrupted = true;
	g_cancellable_cancel(x->cancel);
	return G_SOURCE_CONTINUE;
}

/* Runs until all has been read, or ctrl-C. */
static void run(struct exchange *x, const char *method, const char *path, const char *body)
{
	struct client *c = x->client;
	g_autofree char *url = g_strconcat(c->url, path, NULL);
	GSource *interrupt = g_unix_signal_source_new(SIGINT);
	x->message = soup_message_new(method, url);
	x->cancel = g_cancellable_new();
	if (c->bearer)
		soup_message_headers_append(soup_message_get_request_headers(x->message),
					    "Authorization", c->bearer);
	if (body) {
		g_autoptr(GBytes) bytes = g_bytes_new(body, strlen(body));
		soup_message_set_request_body_from_bytes(x->message, "application/json", bytes);
	}
	g_source_set_callback(interrupt, on_interrupt, x, NULL);
	g_source_attach(interrupt, c->context);
	soup_session_send_async(c->session, x->message, G_PRIORITY_DEFAULT, x->cancel, on_sent, x);
	while (!x->done)
		g_main_context_iteration(c->context, TRUE);
	g_source_destroy(interrupt);
	g_source_unref(interrupt);
}

static void exchange_clear(struct exchange *x)
{
	bool unread = x->interrupted || x->too_long;
	g_clear_object(&x->in);
	g_clear_object(&x->message);
	/* A server goes on for as long as it has a connection to write to. */
	if (unread)
		soup_session_abort(x->client->session);
	while (g_main_context_iteration(x->client->context, FALSE))
		;
	g_clear_object(&x->cancel);
	g_clear_error(&x->error);
	if (x->body)
		g_string_free(x->body, TRUE);
	sse_clear(&x->sse);
	g_free(x->fault);
}

/* ---- errors ---- */

static const char *string_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	bool text = node && JSON_NODE_HOLDS_VALUE(node) &&
		    json_node_get_value_type(node) == G_TYPE_STRING;
	return text ? json_node_get_string(node) : NULL;
}

static JsonObject *object_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonArray *array_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* NULL where the list has none, or no object. */
static JsonObject *object_at(JsonArray *list, guint i)
{
	JsonNode *node =
		list && i < json_array_get_length(list) ? json_array_get_element(list, i) : NULL;
	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonObject *parse_object(JsonParser *parser, const char *text, size_t len)
{
	JsonNode *root = json_parser_load_from_data(parser, text, (gssize)len, NULL)
				 ? json_parser_get_root(parser)
				 : NULL;
	return root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
}

/* What the server itself says, or NULL. */
static char *server_text(const char *body, size_t len)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonObject *o = parse_object(parser, body, len);
	const char *text = string_member(object_member(o, "error"), "message");
	if (!text)
		text = string_member(o, "detail");
	return g_strdup(text);
}

static char *status_error(struct exchange *x)
{
	guint status = soup_message_get_status(x->message);
	g_autofree char *said = server_text(x->body->str, x->body->len);
	const char *hint = "";
	if (status == 401 || status == 403)
		hint = "\nSet WEIR_API_KEY to a key that this server accepts.";
	else if (status == 404 && !said)
		hint = "\nIs this the address of an OpenAI-compatible server? See --url.";
	else if (status == 429 || status == 503)
		hint = "\nTry again in a moment.";
	return g_strdup_printf("the server answers %u: %s%s", status,
			       said ? said : soup_status_get_phrase(status), hint);
}

/* NULL: all went well, or ctrl-C. */
static char *error_of(struct exchange *x)
{
	if (x->interrupted)
		return NULL;
	if (x->too_long)
		return g_strdup("the answer is larger than a chat can be");
	if (x->error && g_error_matches(x->error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
		return g_strdup_printf(
			"no server listens on %s.\nStart one with ./dev run (or weir "
			"serve), name another one with --url, or have one started for the "
			"chat: --profile default, --model FILE.gguf.",
			x->client->url);
	if (x->error)
		return g_strdup_printf("%s: %s", x->client->url, x->error->message);
	if (soup_message_get_status(x->message) != SOUP_STATUS_OK)
		return status_error(x);
	return g_steal_pointer(&x->fault);
}

/* ---- the calls ---- */

static char **model_names(JsonObject *o)
{
	JsonArray *list = array_member(o, "data");
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	if (!list)
		return NULL;
	for (guint i = 0; i < json_array_get_length(list); i++) {
		const char *id = string_member(object_at(list, i), "id");
		if (id)
			g_ptr_array_add(names, g_strdup(id));
	}
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_steal(names, NULL);
}

char **client_models(struct client *c, bool *ret_down, char **ret_error)
{
	struct exchange x = { .client = c, .body = g_string_new(NULL) };
	char **names = NULL;
	run(&x, "GET", "/v1/models", NULL);
	*ret_down = x.error && g_error_matches(x.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
	char *error = x.interrupted ? g_strdup("interrupted") : error_of(&x);
	if (!error) {
		g_autoptr(JsonParser) parser = json_parser_new();
		names = model_names(parse_object(parser, x.body->str, x.body->len));
		if (!names)
			error = g_strdup_printf("%s/v1/models does not answer as an "
						"OpenAI-compatible server does: see --url",
						c->url);
	}
	exchange_clear(&x);
	*ret_error = error;
	return names;
}

/* What the first backend that could not be loaded says of it. */
static char *load_error(JsonObject *health)
{
	JsonArray *backends = array_member(health, "backends");
	for (guint i = 0; backends && i < json_array_get_length(backends); i++) {
		const char *error = string_member(object_at(backends, i), "error");
		if (error)
			return g_strdup(error);
	}
	return g_strdup("its /health does not say why");
}

bool client_is_ready(struct client *c, char **ret_failed)
{
	struct exchange x = { .client = c, .body = g_string_new(NULL) };
	run(&x, "GET", "/health", NULL);
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonObject *health = x.error ? NULL : parse_object(parser, x.body->str, x.body->len);
	const char *status = string_member(health, "status");
	bool ready = g_strcmp0(status, "ready") == 0;
	*ret_failed = g_strcmp0(status, "failed") == 0 ? load_error(health) : NULL;
	exchange_clear(&x);
	return ready;
}

static void on_text(struct exchange *x, enum client_part part, const char *text)
{
	struct client_answer *a = x->answer;
	if (!text || !*text)
		return;
	a->last_us = g_get_monotonic_time();
	a->n_pieces++;
	if (!a->first_us)
		a->first_us = a->last_us;
	if (part == CLIENT_PART_TEXT)
		g_string_append(a->text, text);
	x->text(x->data, part, text);
}

static void on_choice(struct exchange *x, JsonObject *choice)
{
	JsonObject *delta = object_member(choice, "delta");
	const char *finish = string_member(choice, "finish_reason");
	on_text(x, CLIENT_PART_REASONING, string_member(delta, "reasoning_content"));
	on_text(x, CLIENT_PART_TEXT, string_member(delta, "content"));
	if (finish) {
		g_free(x->answer->finish);
		x->answer->finish = g_strdup(finish);
	}
}

static int64_t int_member(JsonObject *o, const char *name)
{
	JsonNode *node = o ? json_object_get_member(o, name) : NULL;
	bool number = node && JSON_NODE_HOLDS_VALUE(node) &&
		      json_node_get_value_type(node) == G_TYPE_INT64;
	return number ? json_node_get_int(node) : 0;
}

static void on_event(void *user, const char *data, size_t len)
{
	struct exchange *x = user;
	if (x->fault || x->interrupted || strcmp(data, "[DONE]") == 0)
		return;
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonObject *o = parse_object(parser, data, len);
	if (!o) {
		x->fault = g_strdup("the server sends something that is no chat");
		return;
	}
	if (object_member(o, "error")) {
		g_autofree char *said = server_text(data, len);
		x->fault = g_strdup(said ? said : "the server ended the answer with an error");
		return;
	}
	JsonObject *first = object_at(array_member(o, "choices"), 0);
	if (first)
		on_choice(x, first);
	JsonObject *usage = object_member(o, "usage");
	if (usage) {
		x->answer->n_prompt = int_member(usage, "prompt_tokens");
		x->answer->n_output = int_member(usage, "completion_tokens");
	}
}

bool client_chat(struct client *c, const char *body,
		 void (*text)(void *data, enum client_part, const char *text), void *data,
		 struct client_answer *ret, char **ret_error)
{
	struct exchange x = { .client = c, .answer = ret, .text = text, .data = data };
	*ret = (struct client_answer){ .text = g_string_new(NULL),
				       .start_us = g_get_monotonic_time() };
	sse_init(&x.sse, on_event, &x);
	run(&x, "POST", "/v1/chat/completions", body);
	ret->stopped = x.interrupted;
	char *error = error_of(&x);
	if (!error && !x.interrupted && !ret->finish)
		error = g_strdup("the answer broke off: the connection was closed early");
	exchange_clear(&x);
	*ret_error = error;
	return !error;
}

void client_answer_clear(struct client_answer *a)
{
	if (a->text)
		g_string_free(a->text, TRUE);
	g_free(a->finish);
	*a = (struct client_answer){ .text = NULL };
}
