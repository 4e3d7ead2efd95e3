/*
 * frontends/http/http.h - what the parts of the http frontend share: the instance and its options.
 *
 * One struct http for each instance, made on main and constant while its I/O threads run. Each I/O
 * thread is a struct plane (plane.h) with its connections (conn.h); nothing is shared between
 * planes but this, the counters and the pool that parses large bodies.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <api/api.h>
#include <websocket/hub.h>

#include "framing.h"

struct plane;
struct pool;

struct http_config {
	char **listen; /* "host:port", NULL-terminated */
	uint32_t n_threads;
	uint32_t max_connections;
	size_t max_bodies; /* bytes of all request bodies that are read or parsed at once */
	struct frame_limits frame;
	uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms;
	uint32_t resume_grace_ms;  /* an answer that may be resumed waits so long for its client */
	uint32_t ping_interval_ms; /* 0: no pings */
	char **cors_origins;       /* NULL: no CORS */
	bool cors_any;
	bool admin;
	char **admin_hosts;   /* names that it is answered under; NULL: the usual ones only */
	char *www;            /* NULL: none */
	char *ui;             /* folder of the browser interface; NULL: none */
	char *swagger_ui;     /* folder of the package swagger-ui-dist; NULL: none */
	char **health_listen; /* of the health port, as `listen`; NULL: none */
	bool websocket;       /* answer at /v1/ws ... */
	bool only_websocket;  /* ... and nowhere else */
};

struct kept_ids { /* answers that outlive their connection (kept.h), of all planes */
	pthread_mutex_t lock;
	GHashTable *table; /* id -> struct kept; its plane is constant */
};

struct http {
	struct api api;
	const struct weir_metrics *metrics; /* may be NULL, as the one below */
	const struct weir_status_api *status;
	struct http_config config;
	struct ws_config websocket;
	struct replay_budget replays; /* of all planes */
	struct kept_ids kept;
	struct ws_shared websockets;
	struct plane **planes; /* config.n_threads */
	struct pool *pool;     /* runs struct plane_job */
	char *openapi;         /* the document, constant; NULL: not served */
	struct health_port *health;
	int n_connections;    /* atomic, over all planes */
	atomic_size_t bodies; /* bytes charged, see conn_charge() */
	weir_metric *m_connections, *m_streams, *m_refused, *m_gone, *m_stalled, *m_websockets;
};

void http_count(const struct http *, weir_metric *, double by);

#endif
