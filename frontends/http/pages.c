/*
 * frontends/http/pages.c - see pages.h.
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "routes.h"

#define MAX_FILE (64u << 20)

static const struct {
	const char *suffix, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".mjs", "text/javascript; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".yaml", "application/yaml" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".md", "text/markdown; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".ico", "image/x-icon" },
	{ ".wasm", "application/wasm" },
	{ ".woff2", "font/woff2" },
};

static void answer_error(const struct http *h, SoupServerMessage *m, int status,
			 const char *message)
{
	struct http_error e;
	struct buf b = { NULL, 0, 0 };
	size_t n;
	http_error_set(&e, status, NULL, message);
	http_error_body(&b, &e, 1, h->config.profile);
	soup_server_message_set_status(m, (guint)status, http_status_text(status));
	char *body = buf_steal(&b, &n);
	soup_server_message_set_response(m, "application/json", SOUP_MEMORY_TAKE, body, n);
}

static void put_html(struct buf *b, const char *text)
{
	g_autofree char *safe = g_markup_escape_text(text, -1);
	buf_puts(b, safe);
}

static void answer_index(const struct http *h, SoupServerMessage *m)
{
	struct buf b = { NULL, 0, 0 };
	size_t n;
	buf_puts(&b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		     "<title>Weir</title><style>body{font:16px/1.5 sans-serif;max-width:50em;"
		     "margin:2em auto;padding:0 1em}td{padding:.2em 1em .2em 0;"
		     "vertical-align:top}code{white-space:nowrap}</style></head><body>\n"
		     "<h1>Weir ");
	put_html(&b, h->host->version ? h->host->version : "");
	buf_puts(&b, "</h1>\n<p>An LLM inference server. OpenAI clients use this address with "
		     "<code>/v1</code> behind it.</p>\n<table>\n");
	for (const struct route *r = routes_table(); r->path; r++) {
		const char *method = r->methods & ROUTE_METHOD_POST ? "POST" : "GET";
		bool link = !(r->methods & ROUTE_METHOD_POST) && !r->prefix;
		buf_printf(&b, "<tr><td><code>%s ", method);
		if (link)
			buf_printf(&b, "<a href=\"%s\">", r->path);
		put_html(&b, r->path);
		buf_printf(&b, "%s%s</code></td><td>", link ? "</a>" : "", r->prefix ? "{id}" : "");
		put_html(&b, r->help);
		buf_puts(&b, "</td></tr>\n");
	}
	buf_puts(&b, "</table></body></html>\n");
	char *body = buf_steal(&b, &n);
	soup_server_message_set_status(m, 200, NULL);
	soup_server_message_set_response(m, "text/html; charset=utf-8", SOUP_MEMORY_TAKE, body, n);
}

/* The decoded path below the folder, or NULL: no empty, "." or hidden part, nothing that a file
 * system could read otherwise. */
static char *safe_path(const char *www, const char *path)
{
	g_autofree char *plain = g_uri_unescape_string(path, "/\\");
	if (!plain || plain[0] != '/' || strchr(plain, '\\') || !g_utf8_validate(plain, -1, NULL))
		return NULL;
	g_auto(GStrv) parts = g_strsplit(plain + 1, "/", -1);
	for (char **p = parts; *p; p++)
		if ((*p)[0] == '.' || (!(*p)[0] && p[1]))
			return NULL;
	size_t n = strlen(plain);
	return g_strconcat(www, plain, plain[n - 1] == '/' ? "index.html" : NULL, NULL);
}

static const char *type_of(const char *file)
{
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
		if (g_str_has_suffix(file, types[i].suffix))
			return types[i].type;
	return "application/octet-stream";
}

static bool not_modified(SoupServerMessage *m, const char *etag)
{
	const char *given = soup_message_headers_get_list(
		soup_server_message_get_request_headers(m), "If-None-Match");
	return given && (strcmp(given, "*") == 0 || strstr(given, etag));
}

/* Read, not mapped: a file that shrinks under a mapping would end the process. */
static char *read_all(int fd, gsize *size)
{
	char *data = g_malloc(*size + 1);
	gsize at = 0;
	while (at < *size) {
		ssize_t n = read(fd, data + at, *size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_free(data);
			return NULL;
		}
		if (n == 0)
			break;
		at += (gsize)n;
	}
	*size = at;
	return data;
}

/* false: no such file. */
static bool answer_file(SoupServerMessage *m, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;
	if (fd < 0)
		return false;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_FILE) {
		close(fd);
		return false;
	}
	gsize size = (gsize)st.st_size;
	char *copy = read_all(fd, &size);
	close(fd);
	if (!copy)
		return false;
	char etag[64];
	g_snprintf(etag, sizeof(etag), "\"%" G_GINT64_MODIFIER "x-%zx\"",
		   (guint64)st.st_mtim.tv_sec * 1000000000u + (guint64)st.st_mtim.tv_nsec, size);
	SoupMessageHeaders *headers = soup_server_message_get_response_headers(m);
	soup_message_headers_replace(headers, "ETag", etag);
	soup_message_headers_replace(headers, "Cache-Control", "no-cache");
	soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
	if (not_modified(m, etag)) {
		g_free(copy);
		soup_server_message_set_status(m, 304, NULL);
		return true;
	}
	soup_server_message_set_status(m, 200, NULL);
	soup_server_message_set_response(m, type_of(file), SOUP_MEMORY_TAKE, copy, size);
	return true;
}

void pages_answer(const struct http *h, SoupServerMessage *m, const char *path)
{
	const char *method = soup_server_message_get_method(m);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		soup_message_headers_append(soup_server_message_get_response_headers(m), "Allow",
					    "GET, HEAD");
		answer_error(h, m, 405, "method not allowed");
		return;
	}
	g_autofree char *file = h->config.www ? safe_path(h->config.www, path) : NULL;
	if (file && answer_file(m, file))
		return;
	if (strcmp(path, "/") == 0)
		answer_index(h, m);
	else
		answer_error(h, m, 404, "endpoint not found");
}
