/*
 * tests/unit/http-harness.c - see http-harness.h.
 */
#include "http-harness.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <glib.h>
#include <netinet/in.h>
#include <sys/socket.h>

void harness_start(struct harness *h, ...)
{
	struct weir_kv conf[32] = { { "listen", "127.0.0.1:0" } };
	size_t n = 1;
	struct weir_error err = { .code = WEIR_OK };
	va_list ap;
	va_start(ap, h);
	const char *key;
	while ((key = va_arg(ap, const char *)))
		conf[n++] = (struct weir_kv){ key, va_arg(ap, const char *) };
	va_end(ap);
	const struct weir_plugin *plugin = weir_plugin_query(WEIR_ABI);
	const struct weir_component *component = plugin->components[0];
	g_assert_cmpstr(component->id, ==, "http");
	if (component->create(&h->gateway.host, conf, n, &h->instance, &err) < 0 ||
	    h->instance->start(h->instance, &err) < 0)
		g_error("%s", err.text);
	g_assert_cmpint(h->gateway.port, >, 0);
}

void harness_stop(struct harness *h)
{
	h->instance->stop(h->instance);
	h->instance->destroy(h->instance);
	g_assert_cmpint(h->gateway.n_opened, ==, h->gateway.n_ended);
}

int harness_connect(struct harness *h)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)h->gateway.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

void harness_send(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the server may close early: the answer tells */
		data += n;
		len -= (size_t)n;
	}
}

char *harness_read_all(int fd)
{
	GString *s = g_string_new(NULL);
	char buf[16384];
	ssize_t n;
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		g_string_append_len(s, buf, n);
	close(fd);
	return g_string_free(s, FALSE);
}

char *harness_read_until(int fd, const char *text)
{
	GString *s = g_string_new(NULL);
	char buf[16384];
	gsize looked = 0; /* no match begins before it */
	while (!strstr(s->str + looked, text)) {
		looked = s->len - MIN(s->len, strlen(text));
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			g_error("no \"%s\" in \"%s\"", text, s->str);
		g_string_append_len(s, buf, n);
	}
	return g_string_free(s, FALSE);
}

char *harness_get(struct harness *h, const char *path, const char *headers)
{
	int fd = harness_connect(h);
	g_autofree char *request = g_strdup_printf(
		"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path, headers);
	harness_send(fd, request, strlen(request));
	return harness_read_all(fd);
}

char *harness_post(struct harness *h, const char *path, const char *body)
{
	int fd = harness_connect(h);
	g_autofree char *request =
		g_strdup_printf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
				"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
				path, strlen(body), body);
	harness_send(fd, request, strlen(request));
	return harness_read_all(fd);
}

int harness_status(const char *answer)
{
	return g_str_has_prefix(answer, "HTTP/1.1 ") ? atoi(answer + 9) : -1;
}

const char *harness_body(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

/* Chunk lines of the server are "%08x\r\n"; data of ours never looks like that. */
char *harness_sse(const char *answer)
{
	GString *out = g_string_new(NULL);
	const char *end;
	for (const char *l = harness_body(answer); (end = strchr(l, '\n')); l = end + 1)
		if (strncmp(l, "data: ", 6) == 0)
			g_string_append_len(out, l + 6, end - l - 5);
	return g_string_free(out, FALSE);
}

void harness_await(const int *n, int at_least)
{
	for (int i = 0; i < 1000 && g_atomic_int_get(n) < at_least; i++)
		g_usleep(5000);
	g_assert_cmpint(g_atomic_int_get(n), >=, at_least);
}
