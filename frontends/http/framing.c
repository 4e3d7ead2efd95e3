/*
 * frontends/http/framing.c - see framing.h. The line rules are here, chunks in framing-chunk.c.
 */
#include "framing.h"

#include <string.h>

#include <glib.h>
#include <http_parser.h>

#include "framing-chunk.h"

struct framer {
	const struct frame_limits *limits;
	enum frame_state state;
	int status;
	const char *reason;
	struct http_request *req;
	http_parser parser;
	struct chunk_guard chunk;
	size_t line_start; /* in req->head */
	uint32_t n_lines, n_blank;
	bool seen_host, seen_length, seen_encoding, complete;
	const char *target; /* as http_parser saw it */
	size_t n_target;
};

static bool bad(struct framer *f, int status, const char *reason)
{
	f->state = FRAME_STATE_BAD;
	f->status = status;
	f->reason = reason;
	return false;
}

static bool is_token(unsigned char c) /* RFC 9110 5.6.2 */
{
	return g_ascii_isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool equals_nocase(const char *a, size_t n, const char *b)
{
	return strlen(b) == n && g_ascii_strncasecmp(a, b, n) == 0;
}

/* ---- lines ---- */

static bool check_version(struct framer *f, const char *v, size_t n)
{
	if (n != 8 || memcmp(v, "HTTP/", 5) || !g_ascii_isdigit(v[5]) || v[6] != '.' ||
	    !g_ascii_isdigit(v[7]))
		return bad(f, 400, "the request line does not end in an HTTP version");
	if (v[5] != '1' || v[7] > '1')
		return bad(f, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
	f->req->minor = (uint8_t)(v[7] - '0');
	return true;
}

static bool check_request_line(struct framer *f, const char *line, size_t n)
{
	size_t m = 0;
	while (m < n && is_token((unsigned char)line[m]))
		m++;
	if (m == 0 || m == n || line[m] != ' ')
		return bad(f, 400, "the request line does not begin with a method");
	if (m > 20)
		return bad(f, 501, "the request method is not implemented");
	size_t t = m + 1;
	while (t < n && (unsigned char)line[t] > ' ' && (unsigned char)line[t] < 0x7f)
		t++;
	if (t == m + 1 || t == n || line[t] != ' ')
		return bad(f, 400, "the request target is empty or holds a forbidden character");
	return check_version(f, line + t + 1, n - t - 1);
}

static bool check_length(struct framer *f, const char *v, size_t n)
{
	if (f->seen_length)
		return bad(f, 400, "more than one Content-Length header");
	f->seen_length = true;
	if (n == 0 || n > 18)
		return bad(f, n ? 413 : 400, "Content-Length is not a sensible number");
	uint64_t length = 0;
	for (size_t i = 0; i < n; i++) {
		if (!g_ascii_isdigit(v[i]))
			return bad(f, 400, "Content-Length must be decimal digits only");
		length = length * 10 + (uint64_t)(v[i] - '0');
	}
	f->req->content_length = length;
	return true;
}

static bool check_host(struct framer *f, const char *v, size_t n)
{
	if (f->seen_host)
		return bad(f, 400, "more than one Host header");
	f->seen_host = true;
	for (size_t i = 0; i < n; i++)
		if (!g_ascii_isalnum(v[i]) && !strchr(".-_~:[]%!$&'()*+;=", v[i]))
			return bad(f, 400, "the Host header holds a forbidden character");
	return true;
}

static bool check_header(struct framer *f, const char *name, size_t n_name, const char *v, size_t n)
{
	if (equals_nocase(name, n_name, "content-length"))
		return check_length(f, v, n);
	if (equals_nocase(name, n_name, "host"))
		return check_host(f, v, n);
	if (equals_nocase(name, n_name, "transfer-encoding")) {
		if (f->seen_encoding)
			return bad(f, 400, "more than one Transfer-Encoding header");
		f->seen_encoding = f->req->chunked = true;
		if (!equals_nocase(v, n, "chunked"))
			return bad(f, 501, "the only transfer encoding supported is chunked");
		return true;
	}
	if (equals_nocase(name, n_name, "expect")) {
		if (!equals_nocase(v, n, "100-continue"))
			return bad(f, 417, "the only expectation supported is 100-continue");
		f->req->expect_continue = true;
	}
	return true;
}

static bool check_header_line(struct framer *f, const char *line, size_t n)
{
	if (line[0] == ' ' || line[0] == '\t')
		return bad(f, 400, "folded header lines are not supported");
	size_t c = 0;
	while (c < n && is_token((unsigned char)line[c]))
		c++;
	if (c == 0 || c == n || line[c] != ':')
		return bad(f, 400, "a header name is empty or holds a forbidden character");
	for (size_t i = c + 1; i < n; i++) {
		unsigned char ch = (unsigned char)line[i];
		if ((ch < ' ' && ch != '\t') || ch == 0x7f)
			return bad(f, 400, "a header value holds a control character");
	}
	if (f->n_lines - 1 > f->limits->max_headers) /* the request line is one */
		return bad(f, 431, "too many headers");
	size_t v = c + 1, e = n;
	while (v < e && (line[v] == ' ' || line[v] == '\t'))
		v++;
	while (e > v && (line[e - 1] == ' ' || line[e - 1] == '\t'))
		e--;
	return check_header(f, line, c, line + v, e - v);
}

/* ---- http_parser: from here on the text is known to be clean ---- */

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct framer *f = p->data;
	if (!f->target)
		f->target = at;
	f->n_target += n;
	return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	struct framer *f = p->data;
	struct http_request *r = f->req;
	if (r->n_headers >= f->n_lines)
		return -1;
	char *name = r->head.data + (at - r->head.data);
	for (size_t i = 0; i < n; i++)
		name[i] = g_ascii_tolower(name[i]);
	r->headers[r->n_headers++] = (struct http_header){ .name = name };
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct framer *f = p->data;
	struct http_request *r = f->req;
	if (r->n_headers == 0 || r->headers[r->n_headers - 1].value)
		return -1;
	r->headers[r->n_headers - 1].value = n ? at : ""; /* empty: `at` is no place in it */
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	struct framer *f = p->data;
	f->req->keep_alive = http_should_keep_alive(p);
	if (!!(p->flags & F_CHUNKED) != f->req->chunked)
		return -1;
	if (f->seen_length && p->content_length != f->req->content_length)
		return -1;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct framer *f = p->data;
	if (n > f->limits->max_body - f->req->body.len) {
		bad(f, 413, "the request body is larger than this server allows");
		return -1;
	}
	buf_append(&f->req->body, at, n);
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct framer *f = p->data;
	f->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static bool parse(struct framer *f, const char *data, size_t n)
{
	size_t used = http_parser_execute(&f->parser, &settings, data, n);
	if (f->state == FRAME_STATE_BAD)
		return false;
	enum http_errno e = HTTP_PARSER_ERRNO(&f->parser);
	if (e == HPE_INVALID_METHOD)
		return bad(f, 501, "the request method is not implemented");
	if (e != HPE_OK && e != HPE_PAUSED)
		return bad(f, 400, http_errno_description(e));
	/* http_parser stops on the last byte of a message, before or after counting it. */
	if (used + (f->complete ? 1 : 0) < n)
		return bad(f, 400, "the message ends before its framing says so");
	return true;
}

/* Splits the target in place. An absolute form (RFC 9112 3.2.2) is cut down to its path. */
static bool split_target(struct framer *f)
{
	struct http_request *r = f->req;
	char *t = r->head.data + (f->target - r->head.data);
	t[f->n_target] = 0;
	if (t[0] != '/' && strcmp(t, "*") != 0) {
		struct http_parser_url u;
		http_parser_url_init(&u);
		if (strcmp(r->method, "CONNECT") == 0)
			return bad(f, 501, "this server is not a proxy");
		if (http_parser_parse_url(t, f->n_target, 0, &u) || !(u.field_set & 1 << UF_HOST))
			return bad(f, 400, "the request target is not a path");
		if (u.field_set & 1 << UF_PATH)
			t += u.field_data[UF_PATH].off;
		else
			t = strcpy(t, "/");
	}
	if (strcmp(t, "*") == 0 && strcmp(r->method, "OPTIONS") != 0)
		return bad(f, 400, "the target \"*\" is for OPTIONS only");
	char *hash = strchr(t, '#');
	if (hash)
		return bad(f, 400, "the request target holds a fragment");
	char *q = strchr(t, '?');
	if (q)
		*q++ = 0;
	r->path = t;
	r->query = q;
	return true;
}

static void terminate_headers(struct http_request *r)
{
	for (uint32_t i = 0; i < r->n_headers; i++) {
		struct http_header *h = &r->headers[i];
		char *name = r->head.data + (h->name - r->head.data);
		name[strcspn(name, ":")] = 0;
		if (!h->value || !h->value[0]) {
			h->value = "";
			continue;
		}
		char *value = r->head.data + (h->value - r->head.data);
		value[strcspn(value, "\r")] = 0;
		g_strchomp(value);
	}
}

static bool head_complete(struct framer *f)
{
	struct http_request *r = f->req;
	if (r->minor == 1 && !f->seen_host)
		return bad(f, 400, "an HTTP/1.1 request needs a Host header");
	if (f->seen_length && f->seen_encoding)
		return bad(f, 400, "Content-Length and Transfer-Encoding exclude each other");
	if (f->seen_encoding && r->minor == 0)
		return bad(f, 400, "an HTTP/1.0 request cannot be chunked");
	if (r->content_length > f->limits->max_body)
		return bad(f, 413, "the request body is larger than this server allows");
	r->headers = g_new0(struct http_header, f->n_lines);
	http_parser_init(&f->parser, HTTP_REQUEST);
	f->parser.data = f;
	/* QUERY is a method that http_parser does not know; it is framed as POST is. */
	static const char query[] = "QUERY ";
	size_t known = r->head.len > sizeof(query) && memcmp(r->head.data, query, 6) == 0 ? 6 : 0;
	if ((known && !parse(f, "POST ", 5)) ||
	    !parse(f, r->head.data + known, r->head.len - known))
		return false;
	if (!f->target || r->n_headers != f->n_lines - 1)
		return bad(f, 400, "the request head is malformed");
	r->method = known ? "QUERY" : http_method_str((enum http_method)f->parser.method);
	terminate_headers(r);
	if (!split_target(f))
		return false;
	if (r->minor == 0)
		r->expect_continue = false;
	if (f->complete)
		f->state = FRAME_STATE_DONE;
	else
		f->state = FRAME_STATE_BODY;
	return true;
}

static bool check_line(struct framer *f)
{
	struct http_request *r = f->req;
	const char *line = r->head.data + f->line_start;
	size_t n = r->head.len - f->line_start;
	if (n < 2 || line[n - 2] != '\r')
		return bad(f, 400, "a line of the request head does not end in CR LF");
	n -= 2;
	if (memchr(line, '\r', n) || memchr(line, 0, n))
		return bad(f, 400, "a line of the request head holds CR or NUL");
	if (n == 0 && f->n_lines == 0) { /* RFC 9112 2.2: a blank line or two before a request */
		r->head.len = 0;
		if (++f->n_blank > 2)
			return bad(f, 400, "the request begins with blank lines");
		return true;
	}
	if (n == 0)
		return head_complete(f);
	f->n_lines++;
	bool ok = f->n_lines == 1 ? check_request_line(f, line, n) : check_header_line(f, line, n);
	f->line_start = r->head.len;
	return ok;
}

static size_t feed_head(struct framer *f, const char *data, size_t len)
{
	struct http_request *r = f->req;
	size_t i = 0;
	while (i < len && f->state == FRAME_STATE_HEAD) {
		const char *lf = memchr(data + i, '\n', len - i);
		size_t n = lf ? (size_t)(lf - data) - i + 1 : len - i;
		size_t line = r->head.len - f->line_start;
		if (n > f->limits->max_line + 2 - MIN(line, f->limits->max_line + 2)) {
			if (f->n_lines == 0)
				bad(f, 414, "the request line is too long");
			else
				bad(f, 431, "a header line is too long");
			break;
		}
		if (n > f->limits->max_head - MIN(r->head.len, f->limits->max_head)) {
			bad(f, 431, "the request head is too large");
			break;
		}
		buf_append(&r->head, data + i, n);
		i += n;
		if (lf && !check_line(f))
			break;
	}
	return i;
}

static size_t feed_body(struct framer *f, const char *data, size_t len)
{
	if (!f->req->chunked) {
		size_t n = MIN((uint64_t)len, f->req->content_length - f->req->body.len);
		if (parse(f, data, n) && f->complete)
			f->state = FRAME_STATE_DONE;
		return n;
	}
	size_t n = 0;
	const char *why = chunk_guard_feed(&f->chunk, data, len, f->limits->max_body, &n);
	if (why) {
		bad(f, f->chunk.too_large ? 413 : 400, why);
		return n;
	}
	if (!parse(f, data, n))
		return n;
	if (f->complete != f->chunk.done)
		bad(f, 400, "the chunked body is malformed");
	else if (f->complete)
		f->state = FRAME_STATE_DONE;
	return n;
}

/* ---- public ---- */

struct framer *framer_new(const struct frame_limits *limits)
{
	struct framer *f = g_new0(struct framer, 1);
	f->limits = limits;
	f->req = g_new0(struct http_request, 1);
	return f;
}

void framer_free(struct framer *f)
{
	if (!f)
		return;
	http_request_free(f->req);
	g_free(f);
}

size_t framer_feed(struct framer *f, const char *data, size_t len)
{
	if (len && f->state == FRAME_STATE_IDLE)
		f->state = FRAME_STATE_HEAD;
	if (f->state == FRAME_STATE_HEAD)
		return feed_head(f, data, len);
	if (f->state == FRAME_STATE_BODY)
		return feed_body(f, data, len);
	return 0;
}

enum frame_state framer_state(const struct framer *f)
{
	return f->state;
}

int framer_status(const struct framer *f)
{
	return f->status;
}

const char *framer_reason(const struct framer *f)
{
	return f->reason;
}

const struct http_request *framer_peek(const struct framer *f)
{
	return f->req;
}

struct http_request *framer_take(struct framer *f)
{
	return g_steal_pointer(&f->req);
}

void http_request_free(struct http_request *r)
{
	if (!r)
		return;
	buf_free(&r->head);
	buf_free(&r->body);
	g_free(r->headers);
	g_free(r);
}

const char *http_request_header(const struct http_request *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_headers; i++)
		if (strcmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

bool http_request_has_body(const struct http_request *r)
{
	return r->chunked || r->content_length > 0;
}
