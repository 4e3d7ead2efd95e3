/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/plugin.c - the line component: its options and its life. [main]
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir/plugin.h>

#include "call.h"

#define MAX_TOKENS 2000000 /* as the http frontend has it */
#define MAX_ANSWER (8u << 20)

/* key, fallback, type, range, help */
#define OPTION(k, f, t, lo, hi, h)                                                                 \
	static const struct weir_option option_##k = { .size = sizeof(struct weir_option),         \
						       .type = WEIR_OPTION_##t,                    \
						       .key = #k,                                  \
						       .fallback = f,                              \
						       .help = h,                                  \
						       .min = lo,                                  \
						       .max = hi }

OPTION(listen, "127.0.0.1:8001", LIST, 0, 0,
       "Where to listen: host:port (port 0 takes a free one), unix:/path/of/socket, stdio, fd:N (a "
       "connected socket that was inherited).");
OPTION(max_line, "1MiB", SIZE, 1024, 268435456,
       "Longest request; a longer line gets an error and the connection is closed.");
OPTION(max_connections, "1000", INT, 1, 100000, "Connections at once; those above are refused.");
OPTION(max_requests, "64", INT, 1, 10000, "Requests at once on one connection.");
OPTION(idle_timeout, "10m", DURATION, 0, 86400000,
       "A connection without requests is closed after it; 0: never. Not for stdio.");
OPTION(write_timeout, "60s", DURATION, 10, 3600000,
       "A client that takes nothing for so long is cut off and its requests cancelled.");
OPTION(request_timeout, "300s", DURATION, 0, 86400000,
       "Deadline of a request in the backend; 0: none.");
OPTION(socket_mode, "600", STRING, 0, 0, "Permissions of unix sockets, octal.");
OPTION(half_close, "false", BOOL, 0, 0,
       "A TCP client that ends its input still gets its answers; otherwise it counts as gone.");
OPTION(quit_at_eof, NULL, BOOL, 0, 0,
       "The server ends when standard input has ended and all is answered; unset: if stdio is the "
       "only address.");

OPTION(relay, "false", BOOL, 0, 0,
       "Requests of a parent process as they are, unchecked; with fd:N as the only addresses.");

static const struct weir_option *const options[] = {
	&option_listen,       &option_max_line,      &option_max_connections, &option_max_requests,
	&option_idle_timeout, &option_write_timeout, &option_request_timeout, &option_socket_mode,
	&option_half_close,   &option_quit_at_eof,   &option_relay,           NULL,
};

struct frontend {
	struct weir_instance instance;
	struct line line;
};

void line_count(const struct line *line, weir_metric *m, double by)
{
	if (m)
		line->metrics->add(m, by);
}

bool line_is_ready(const struct line *line)
{
	return !line->status || strcmp(line->status->state(line->api.host), "initializing") != 0;
}

/* ---- options ---- */

static const char *get(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(conf[i].key, o->key) == 0)
			return conf[i].value;
	return NULL;
}

static uint64_t get_number(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = get(conf, n, o);
	return text ? strtoull(text, NULL, 10) : 0;
}

static bool get_bool(const struct weir_kv *conf, size_t n, const struct weir_option *o,
		     bool otherwise)
{
	const char *text = get(conf, n, o);
	return text ? strcmp(text, "true") == 0 : otherwise;
}

static char **get_list(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = get(conf, n, o);
	char **list = g_strsplit(text ? text : "", ",", -1);
	for (char **l = list; *l; l++)
		g_strstrip(*l);
	return list;
}

static weir_status refuse(struct weir_error *err, const char *param, const char *text)
{
	err->code = WEIR_E_INVALID;
	g_strlcpy(err->param, param, sizeof(err->param));
	g_snprintf(err->text, sizeof(err->text), "line: %s", text);
	return err->code;
}

static weir_status configure(struct line *line, const struct weir_kv *conf, size_t n,
			     struct weir_error *err)
{
	struct line_config *c = &line->config;
	const char *mode = get(conf, n, &option_socket_mode);
	guint64 bits = 0600;
	unsigned n_stdio = 0, n_inherited = 0;
	c->listen = get_list(conf, n, &option_listen);
	c->max_line = get_number(conf, n, &option_max_line);
	c->max_connections = (uint32_t)get_number(conf, n, &option_max_connections);
	c->max_requests = (uint32_t)get_number(conf, n, &option_max_requests);
	c->idle_timeout_ms = (uint32_t)get_number(conf, n, &option_idle_timeout);
	c->write_timeout_ms = (uint32_t)get_number(conf, n, &option_write_timeout);
	line->api.config.max_tokens = MAX_TOKENS;
	line->api.config.max_answer = MAX_ANSWER;
	line->api.config.request_timeout_ms =
		(uint32_t)get_number(conf, n, &option_request_timeout);
	c->half_close = get_bool(conf, n, &option_half_close, false);
	for (char **l = c->listen; *l; l++)
		n_stdio += strcmp(*l, "stdio") == 0, n_inherited += g_str_has_prefix(*l, "fd:");
	c->quit_at_eof = get_bool(conf, n, &option_quit_at_eof,
				  n_stdio + n_inherited == g_strv_length(c->listen));
	c->relay = get_bool(conf, n, &option_relay, false);
	if (c->relay && n_inherited != g_strv_length(c->listen))
		return refuse(err, "relay",
			      "relay trusts whoever speaks: every address in listen must be fd:N");
	if (!c->listen[0] || !c->listen[0][0])
		return refuse(err, "listen", "listen is empty: give at least one address");
	if (n_stdio > 1)
		return refuse(err, "listen", "listen names stdio more than once");
	if (mode && !g_ascii_string_to_unsigned(mode, 8, 0, 0777, &bits, NULL))
		return refuse(err, "socket_mode", "socket_mode must be octal, as in 660");
	c->socket_mode = (uint32_t)bits;
	return WEIR_OK;
}

/* ---- life ---- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void stop(struct weir_instance *i)
{
	struct frontend *f = i->data;
	struct line *line = &f->line;
	if (line->thread) {
		g_atomic_int_set(&line->want_drain, 1);
		g_atomic_int_set(&line->want_stop, 1);
		line_ring(line);
		g_thread_join(g_steal_pointer(&line->thread));
	}
	listen_close(line);
	for (guint k = 0; line->inherited && k < line->inherited->len; k++)
		close(g_array_index(line->inherited, int, k));
	g_clear_pointer(&line->inherited, g_array_unref);
	g_clear_pointer(&line->listeners, g_free);
	if (line->loop.loop)
		line->api.gateway->loop_free(g_steal_pointer(&line->loop.loop));
	close_fd(&line->epoll_fd);
	close_fd(&line->bell_fd);
	close_fd(&line->spare_fd);
}

/* Returns with the listening sockets closed: after a reload the next instance wants the addresses.
 */
static void drain(struct weir_instance *i)
{
	struct frontend *f = i->data;
	struct line *line = &f->line;
	if (!line->thread)
		return;
	g_atomic_int_set(&line->want_drain, 1);
	line_ring(line);
	pthread_mutex_lock(&line->lock);
	while (!line->drained)
		pthread_cond_wait(&line->changed, &line->lock);
	pthread_mutex_unlock(&line->lock);
}

static void make_metrics(struct line *line)
{
	const struct weir_metrics *m = line->metrics;
	if (!m)
		return;
	line->m_connections = m->gauge(line->api.host, "line_connections", "", "Open connections.");
	line->m_requests =
		m->counter(line->api.host, "line_requests", "", "Requests that open a stream.");
	line->m_refused = m->counter(line->api.host, "line_connections_refused", "",
				     "Connections over the limit, or without a descriptor.");
	line->m_gone = m->counter(line->api.host, "line_clients_gone", "",
				  "Clients that went away before their answers were complete.");
	line->m_stalled =
		m->counter(line->api.host, "line_clients_stalled", "",
			   "Clients that took nothing for write_timeout and were cut off.");
}

static weir_status start(struct weir_instance *i, struct weir_error *err)
{
	struct frontend *f = i->data;
	make_metrics(&f->line);
	weir_status status = listen_open(&f->line, err);
	if (status == WEIR_OK)
		status = line_thread_start(&f->line, err);
	if (status < 0)
		stop(i);
	return status;
}

static void destroy(struct weir_instance *i)
{
	if (!i)
		return;
	struct frontend *f = i->data;
	g_strfreev(f->line.config.listen);
	g_free(f->line.rbuf);
	pthread_mutex_destroy(&f->line.lock);
	pthread_cond_destroy(&f->line.changed);
	g_free(f);
}

static int32_t probe(const struct weir_host *host, struct weir_error *why)
{
	g_strlcpy(why->text, "runs everywhere", sizeof(why->text));
	return 50;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct frontend *f = g_new0(struct frontend, 1);
	weir_status status = api_init(&f->line.api, host, "line", err);
	if (status < 0) {
		g_free(f);
		return status;
	}
	f->instance = (struct weir_instance){ .size = sizeof(f->instance),
					      .data = f,
					      .start = start,
					      .drain = drain,
					      .stop = stop,
					      .destroy = destroy };
	f->line.chat = *api_endpoint_find("chat");
	f->line.complete = *api_endpoint_find("completions");
	f->line.chat.format = f->line.complete.format = &call_events;
	f->line.metrics = host->get_ext(host, WEIR_HOST_METRICS);
	f->line.status = host->get_ext(host, WEIR_HOST_STATUS);
	f->line.epoll_fd = f->line.bell_fd = f->line.spare_fd = -1;
	f->line.rbuf = g_malloc(LINE_READ_SIZE);
	pthread_mutex_init(&f->line.lock, NULL);
	pthread_cond_init(&f->line.changed, NULL);
	status = configure(&f->line, conf, n_conf, err);
	if (status < 0)
		destroy(&f->instance);
	else
		*ret = &f->instance;
	return status;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "line",
	.title = "Line protocol: JSON-RPC 2.0, one object a line",
	.help = "Speaks over TCP, unix sockets and standard input and output: chat, complete, "
		"embed, rerank, tokenize, detokenize, cancel, grant, models, health. For nc, for "
		"scripts, for "
		"programs that start a server as a child. See docs/line-protocol.md.",
	.options = options,
	.probe = probe,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "line",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
