/*
 * frontends/http/lend.c - see lend.h.
 */
#include "lend.h"

#include <string.h>

#include <libsoup/soup.h>

#include "pages.h"

#define MAX_UNSENT (64u << 10)

struct lender {
	SoupServer *server;
	struct pages *pages;
	GSocketAddress *address; /* a name for both ends: libsoup only hands it on */
	struct lent_io *current; /* while soup_server_accept_iostream() runs */
};

/* ---- the two streams and their pair ---- */

typedef struct lent_input {
	GInputStream parent;
	struct buf bytes;
	size_t at;
} LentInput;
typedef struct {
	GInputStreamClass parent;
} LentInputClass;

typedef struct lent_output {
	GOutputStream parent;
	struct conn *conn; /* NULL: taken back, or gone */
	GSource *waiting;  /* libsoup waits for room */
} LentOutput;
typedef struct {
	GOutputStreamClass parent;
} LentOutputClass;

typedef struct lent_io {
	GIOStream parent;
	LentInput *in;
	LentOutput *out;
} LentIO;
typedef struct {
	GIOStreamClass parent;
} LentIOClass;

static GType lent_input_get_type(void);
static GType lent_output_get_type(void);
static GType lent_io_get_type(void);
static void input_pollable(GPollableInputStreamInterface *);
static void output_pollable(GPollableOutputStreamInterface *);

G_DEFINE_TYPE_WITH_CODE(LentInput, lent_input, G_TYPE_INPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, input_pollable))
G_DEFINE_TYPE_WITH_CODE(LentOutput, lent_output, G_TYPE_OUTPUT_STREAM,
			G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_OUTPUT_STREAM, output_pollable))
G_DEFINE_TYPE(LentIO, lent_io, G_TYPE_IO_STREAM)

static gssize would_block(GError **error)
{
	g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "lent: wait");
	return -1;
}

static gssize take(LentInput *s, void *to, gsize n, GError **error)
{
	n = MIN(n, s->bytes.len - s->at);
	if (n == 0)
		return would_block(error); /* the next request is not libsoup's business */
	memcpy(to, s->bytes.data + s->at, n);
	s->at += n;
	return (gssize)n;
}

static gssize input_read(GInputStream *s, void *to, gsize n, GCancellable *c, GError **error)
{
	return take((LentInput *)s, to, n, error);
}

static gssize input_read_nonblocking(GPollableInputStream *s, void *to, gsize n, GError **error)
{
	return take((LentInput *)s, to, n, error);
}

static gboolean input_is_readable(GPollableInputStream *p)
{
	LentInput *s = (LentInput *)p;
	return s->at < s->bytes.len;
}

static GSource *input_source(GPollableInputStream *s, GCancellable *c)
{
	GSource *source = g_pollable_source_new(G_OBJECT(s));
	if (input_is_readable(s))
		g_source_set_ready_time(source, 0);
	return source;
}

static void input_pollable(GPollableInputStreamInterface *i)
{
	i->read_nonblocking = input_read_nonblocking;
	i->is_readable = input_is_readable;
	i->create_source = input_source;
}

static void input_finalize(GObject *o)
{
	buf_free(&((LentInput *)o)->bytes);
	G_OBJECT_CLASS(lent_input_parent_class)->finalize(o);
}

static void lent_input_init(LentInput *s)
{
}

static void lent_input_class_init(LentInputClass *k)
{
	G_OBJECT_CLASS(k)->finalize = input_finalize;
	G_INPUT_STREAM_CLASS(k)->read_fn = input_read;
}

static gboolean output_is_writable(GPollableOutputStream *p)
{
	LentOutput *s = (LentOutput *)p;
	return !s->conn || conn_unsent(s->conn) < MAX_UNSENT;
}

static gssize put(LentOutput *s, const void *data, gsize n, GError **error)
{
	if (!s->conn) {
		g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "lent: taken back");
		return -1;
	}
	if (!output_is_writable((GPollableOutputStream *)s))
		return would_block(error);
	n = MIN(n, MAX_UNSENT);
	conn_write_raw(s->conn, data, n);
	plane_kick(s->conn->plane);
	return (gssize)n;
}

static gssize output_write(GOutputStream *s, const void *data, gsize n, GCancellable *c,
			   GError **error)
{
	return put((LentOutput *)s, data, n, error);
}

static gssize output_write_nonblocking(GPollableOutputStream *s, const void *data, gsize n,
				       GError **error)
{
	return put((LentOutput *)s, data, n, error);
}

static void forget_source(LentOutput *s)
{
	if (!s->waiting)
		return;
	g_source_unref(s->waiting);
	s->waiting = NULL;
}

static void wake_output(LentOutput *s)
{
	if (s->waiting)
		g_source_set_ready_time(s->waiting, 0);
	forget_source(s);
}

static GSource *output_source(GPollableOutputStream *p, GCancellable *c)
{
	LentOutput *s = (LentOutput *)p;
	GSource *source = g_pollable_source_new(G_OBJECT(p));
	forget_source(s);
	if (output_is_writable(p))
		g_source_set_ready_time(source, 0);
	else
		s->waiting = g_source_ref(source);
	return source;
}

static void output_pollable(GPollableOutputStreamInterface *i)
{
	i->write_nonblocking = output_write_nonblocking;
	i->is_writable = output_is_writable;
	i->create_source = output_source;
}

static void output_finalize(GObject *o)
{
	forget_source((LentOutput *)o);
	G_OBJECT_CLASS(lent_output_parent_class)->finalize(o);
}

static void lent_output_init(LentOutput *s)
{
}

static void lent_output_class_init(LentOutputClass *k)
{
	G_OBJECT_CLASS(k)->finalize = output_finalize;
	G_OUTPUT_STREAM_CLASS(k)->write_fn = output_write;
}

static GInputStream *io_input(GIOStream *s)
{
	return (GInputStream *)((LentIO *)s)->in;
}

static GOutputStream *io_output(GIOStream *s)
{
	return (GOutputStream *)((LentIO *)s)->out;
}

/* libsoup gives up: with the answer half written only a close is honest. */
static gboolean io_close(GIOStream *s, GCancellable *cancellable, GError **error)
{
	struct conn *c = ((LentIO *)s)->out->conn;
	if (c) {
		((LentIO *)s)->out->conn = NULL;
		conn_close(c);
		plane_kick(c->plane);
	}
	return TRUE;
}

static void io_finalize(GObject *o)
{
	LentIO *s = (LentIO *)o;
	g_object_unref(s->in);
	g_object_unref(s->out);
	G_OBJECT_CLASS(lent_io_parent_class)->finalize(o);
}

static void lent_io_init(LentIO *s)
{
	s->in = g_object_new(lent_input_get_type(), NULL);
	s->out = g_object_new(lent_output_get_type(), NULL);
}

static void lent_io_class_init(LentIOClass *k)
{
	G_OBJECT_CLASS(k)->finalize = io_finalize;
	G_IO_STREAM_CLASS(k)->get_input_stream = io_input;
	G_IO_STREAM_CLASS(k)->get_output_stream = io_output;
	G_IO_STREAM_CLASS(k)->close_fn = io_close;
}

/* ---- lending ---- */

static void waiter_gone(void *data)
{
	LentIO *io = data;
	io->out->conn = NULL;
	wake_output(io->out); /* the next write fails, and libsoup lets go */
	g_object_unref(io);
}

static void waiter_drained(void *data)
{
	LentIO *io = data;
	if (output_is_writable((GPollableOutputStream *)io->out))
		wake_output(io->out);
}

static const struct conn_waiter lent_waiter = { .gone = waiter_gone, .drained = waiter_drained };

static void on_wrote_body(SoupServerMessage *m, gpointer data)
{
	LentIO *io = data;
	struct conn *c = io->out->conn;
	if (!c)
		return;
	const char *connection = soup_message_headers_get_one(
		soup_server_message_get_response_headers(m), "Connection");
	if (connection && g_ascii_strcasecmp(connection, "close") == 0)
		conn_last(c);
	io->out->conn = NULL;
	g_object_ref(m);
	GIOStream *stolen = soup_server_message_steal_connection(m);
	int status = (int)soup_server_message_get_status(m);
	g_clear_object(&stolen);
	g_object_unref(m);
	conn_finish(c, status);
	plane_kick(c->plane);
	g_object_unref(io); /* the waiter's */
}

static void unref_closure_data(gpointer data, GClosure *closure)
{
	g_object_unref(data);
}

static void on_request_started(SoupServer *server, SoupServerMessage *m, gpointer data)
{
	struct lender *l = data;
	if (!l->current)
		return;
	g_object_set_data_full(G_OBJECT(m), "lent", g_object_ref(l->current), g_object_unref);
	g_signal_connect_data(m, "wrote-body", G_CALLBACK(on_wrote_body), g_object_ref(l->current),
			      unref_closure_data, 0);
}

/* Header lines of conn_put_common(), for libsoup to send. */
static void add_common(struct conn *c, SoupMessageHeaders *headers)
{
	struct buf b = { NULL, 0, 0 };
	conn_put_common(c, &b);
	g_auto(GStrv) lines = g_strsplit(buf_terminate(&b), "\r\n", -1);
	for (char **l = lines; *l; l++) {
		char *colon = strstr(*l, ": ");
		if (!colon)
			continue;
		*colon = 0;
		soup_message_headers_append(headers, *l, colon + 2);
	}
	buf_free(&b);
}

static void on_request(SoupServer *server, SoupServerMessage *m, const char *path,
		       GHashTable *query, gpointer data)
{
	LentIO *io = g_object_get_data(G_OBJECT(m), "lent");
	if (!io || !io->out->conn) {
		soup_server_message_set_status(m, 500, NULL);
		return;
	}
	add_common(io->out->conn, soup_server_message_get_response_headers(m));
	pages_answer(((struct lender *)data)->pages, m, path);
}

/* Only what file answers look at is lent, and of ranges only a single one: RFC 9110 14.2 lets a
 * server ignore them, and many are a known way to exhaust memory. */
static bool is_lent(const struct http_header *h)
{
	static const char *const names[] = {
		"accept",          "host",  "if-modified-since",   "if-none-match",
		"accept-encoding", "range", "if-unmodified-since", "if-range",
		"user-agent"
	};
	if (strcmp(h->name, "range") == 0 && strchr(h->value, ','))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (strcmp(h->name, names[i]) == 0)
			return true;
	return false;
}

/* The request again, from its checked parts. */
static void put_request(const struct http_request *r, struct buf *b)
{
	buf_printf(b, "%s %s%s%s HTTP/1.1\r\n", r->method, r->path, r->query ? "?" : "",
		   r->query ? r->query : "");
	if (!http_request_header(r, "host"))
		buf_puts(b, "host: localhost\r\n");
	for (uint32_t i = 0; i < r->n_headers; i++)
		if (is_lent(&r->headers[i]))
			buf_printf(b, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
	buf_puts(b, "\r\n");
}

void lend(struct conn *c)
{
	struct lender *l = c->plane->lender;
	LentIO *io = g_object_new(lent_io_get_type(), NULL);
	put_request(c->req, &io->in->bytes);
	io->out->conn = c;
	c->handled = true;
	conn_wait(c, &lent_waiter, g_object_ref(io));
	g_autoptr(GError) error = NULL;
	LentIO *outer = l->current;
	l->current = io;
	bool ok = soup_server_accept_iostream(l->server, G_IO_STREAM(io), l->address, l->address,
					      &error);
	l->current = outer;
	if (!ok) {
		api_logf(&c->plane->http->api, WEIR_LOG_ERROR, "libsoup refused a request: %s",
			 error->message);
		g_io_stream_close(G_IO_STREAM(io), NULL, NULL);
	}
	g_object_unref(io);
}

struct lender *lender_new(struct plane *p)
{
	struct lender *l = g_new0(struct lender, 1);
	l->server = soup_server_new("raw-paths", TRUE, NULL);
	l->pages = pages_new(p->http);
	l->address = g_inet_socket_address_new_from_string("127.0.0.1", 80);
	soup_server_add_handler(l->server, NULL, on_request, l, NULL);
	g_signal_connect(l->server, "request-started", G_CALLBACK(on_request_started), l);
	return l;
}

void lender_free(struct lender *l)
{
	if (!l)
		return;
	soup_server_disconnect(l->server);
	g_object_unref(l->server);
	g_object_unref(l->address);
	pages_free(l->pages);
	g_free(l);
}
