/*
 * frontends/http/pages.c - see pages.h.
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <sys/stat.h>

#include "docs.h"
#include "routes.h"
#include "ui.h"

#define MAX_FILE  (64u << 20)
#define MAX_TOTAL (128u << 20)
#define MAX_FILES 256
/* Smaller files gain nothing; larger ones would keep the loop busy. */
#define MIN_GZIP 512
#define MAX_GZIP (4u << 20)

struct page {
	GBytes *bytes;
	GBytes *gzip; /* NULL: it is sent as it is */
	char etag[64];
};

struct pages {
	const struct http *http;
	GHashTable *files; /* name -> page */
	gsize size;
};

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
	struct api_error e;
	struct buf b = { NULL, 0, 0 };
	size_t n;
	api_error_set(&e, status, NULL, message);
	api_error_body(&b, &e, 1, h->api.config.profile);
	soup_server_message_set_status(m, (guint)status, api_status_text(status));
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
	put_html(&b, h->api.host->version ? h->api.host->version : "");
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

/* etag without its closing quote: of the file as it is, or compressed. */
static bool not_modified(SoupServerMessage *m, const char *etag)
{
	const char *given = soup_message_headers_get_list(
		soup_server_message_get_request_headers(m), "If-None-Match");
	if (!given || strcmp(given, "*") == 0)
		return given;
	const char *at = strstr(given, etag);
	size_t n = strlen(etag);
	return at && (at[n] == '"' || g_str_has_prefix(at + n, "-gzip\""));
}

static bool accepts_gzip(SoupServerMessage *m)
{
	SoupMessageHeaders *headers = soup_server_message_get_request_headers(m);
	const char *given = soup_message_headers_get_list(headers, "Accept-Encoding");
	if (!given || soup_message_headers_get_one(headers, "Range"))
		return false; /* a part is of the file as it is */
	GSList *unwelcome = NULL, *list = soup_header_parse_quality_list(given, &unwelcome);
	bool found = g_slist_find_custom(list, "gzip", (GCompareFunc)g_ascii_strcasecmp);
	soup_header_free_list(list);
	soup_header_free_list(unwelcome);
	return found;
}

/* NULL: not worth it. */
static GBytes *compress_file(const char *file, const char *data, gsize size)
{
	static const char *const plain[] = { "text/", "application/json", "application/yaml",
					     "image/svg+xml" };
	bool worth = false;
	for (size_t i = 0; i < G_N_ELEMENTS(plain); i++)
		worth |= g_str_has_prefix(type_of(file), plain[i]);
	if (!worth || size < MIN_GZIP || size > MAX_GZIP)
		return NULL;
	z_stream z = { 0 };
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	uLong room = deflateBound(&z, (uLong)size);
	guchar *packed = g_malloc(room);
	z.next_in = (guchar *)data;
	z.avail_in = (uInt)size;
	z.next_out = packed;
	z.avail_out = (uInt)room;
	int end = deflate(&z, Z_FINISH);
	gsize n = z.total_out;
	deflateEnd(&z);
	if (end == Z_STREAM_END && n < size)
		return g_bytes_new_take(g_realloc(packed, n), n);
	g_free(packed);
	return NULL;
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

static void page_free(gpointer data)
{
	struct page *page = data;
	g_bytes_unref(page->bytes);
	g_clear_pointer(&page->gzip, g_bytes_unref);
	g_free(page);
}

/* The file as it is now; lent until the next call. NULL: no such file. */
static const struct page *load(struct pages *p, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct stat st;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_FILE) {
		close(fd);
		return NULL;
	}
	char etag[64];
	g_snprintf(etag, sizeof(etag), "\"%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x",
		   (guint64)st.st_mtim.tv_sec * 1000000000u + (guint64)st.st_mtim.tv_nsec,
		   (guint64)st.st_size);
	struct page *page = g_hash_table_lookup(p->files, file);
	if (page && strcmp(page->etag, etag) == 0) {
		close(fd);
		return page;
	}
	gsize size = (gsize)st.st_size;
	char *copy = read_all(fd, &size);
	close(fd);
	if (!copy)
		return NULL;
	if (g_hash_table_size(p->files) >= MAX_FILES || p->size + size > MAX_TOTAL) {
		g_hash_table_remove_all(p->files);
		p->size = 0;
	}
	p->size += size; /* of replaced ones too: at worst the table is emptied too early */
	page = g_new0(struct page, 1);
	page->gzip = compress_file(file, copy, size);
	page->bytes = g_bytes_new_take(copy, size);
	g_strlcpy(page->etag, etag, sizeof(page->etag));
	g_hash_table_replace(p->files, g_strdup(file), page);
	return page;
}

/* false: no such file. */
static bool answer_file(struct pages *p, SoupServerMessage *m, const char *file)
{
	const struct page *page = load(p, file);
	if (!page)
		return false;
	SoupMessageHeaders *headers = soup_server_message_get_response_headers(m);
	bool packed = page->gzip && accepts_gzip(m);
	g_autofree char *etag = g_strconcat(page->etag, packed ? "-gzip\"" : "\"", NULL);
	soup_message_headers_replace(headers, "ETag", etag);
	soup_message_headers_replace(headers, "Cache-Control", "no-cache");
	if (page->gzip)
		soup_message_headers_append(headers, "Vary", "Accept-Encoding");
	soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
	if (not_modified(m, page->etag)) {
		soup_server_message_set_status(m, 304, NULL);
		return true;
	}
	soup_server_message_set_status(m, 200, NULL);
	soup_message_headers_replace(headers, "Content-Type", type_of(file));
	if (packed)
		soup_message_headers_replace(headers, "Content-Encoding", "gzip");
	soup_message_body_append_bytes(soup_server_message_get_response_body(m),
				       packed ? page->gzip : page->bytes);
	return true;
}

/* false: it is not there. */
static bool answer_ui(struct pages *p, SoupServerMessage *m, const char *path)
{
	if (!ui_has(p->http, path))
		return false;
	g_autofree char *file =
		safe_path(p->http->config.ui, strcmp(path, "/") == 0 ? path : path + 3);
	if (!file || !answer_file(p, m, file))
		return false;
	SoupMessageHeaders *headers = soup_server_message_get_response_headers(m);
	soup_message_headers_replace(headers, "Content-Security-Policy", ui_policy());
	soup_message_headers_replace(headers, "Referrer-Policy", "no-referrer");
	return true;
}

static void answer_docs(struct pages *p, SoupServerMessage *m, const char *path)
{
	SoupMessageHeaders *headers = soup_server_message_get_response_headers(m);
	g_autofree char *file = docs_file(p->http, path);
	const char *type, *text = docs_text(p->http, path, &type);
	soup_message_headers_replace(headers, "Content-Security-Policy", docs_policy());
	if (text) {
		soup_server_message_set_status(m, 200, NULL);
		soup_server_message_set_response(m, type, SOUP_MEMORY_STATIC, text, strlen(text));
	} else if (!file || !answer_file(p, m, file)) {
		answer_error(p->http, m, 404, "endpoint not found");
	}
}

struct pages *pages_new(const struct http *h)
{
	struct pages *p = g_new0(struct pages, 1);
	p->http = h;
	p->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, page_free);
	return p;
}

void pages_free(struct pages *p)
{
	if (!p)
		return;
	g_hash_table_unref(p->files);
	g_free(p);
}

void pages_answer(struct pages *p, SoupServerMessage *m, const char *path)
{
	const struct http *h = p->http;
	const char *method = soup_server_message_get_method(m);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		soup_message_headers_append(soup_server_message_get_response_headers(m), "Allow",
					    "GET, HEAD");
		answer_error(h, m, 405, "method not allowed");
		return;
	}
	if (docs_has(path)) {
		answer_docs(p, m, path);
		return;
	}
	g_autofree char *file = h->config.www ? safe_path(h->config.www, path) : NULL;
	if ((file && answer_file(p, m, file)) || answer_ui(p, m, path))
		return;
	if (strcmp(path, "/") == 0)
		answer_index(h, m);
	else
		answer_error(h, m, 404, "endpoint not found");
}
