/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/line.h - what the parts of the line frontend share: the instance, its options, its
 * one thread.
 *
 * Everything belongs to the thread once it runs, but for the flags that say so. A peer (peer.h)
 * that a dispatch touches is put on the dirty list; when all events of the dispatch are handled
 * each dirty peer is settled once. A closed peer is freed after that, so pointers stay good within
 * a dispatch.
 */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <weir/frontend.h>
#include <weir/services.h>

#include <api/body.h>

#define LINE_READ_SIZE 65536

struct peer;

enum line_tag { LINE_TAG_LISTENER, LINE_TAG_BELL, LINE_TAG_PEER, LINE_TAG_PEER_OUT };

struct line_config {
	char **listen; /* NULL-terminated, not empty */
	size_t max_line;
	uint32_t max_connections, max_requests;
	uint32_t idle_timeout_ms; /* 0: none */
	uint32_t write_timeout_ms;
	uint32_t socket_mode;
	bool half_close; /* TCP too: the end of a client's input lets its requests finish */
	bool quit_at_eof;
	bool relay; /* inherited connections: the methods for a parent */
};

struct listener {
	enum line_tag tag; /* first: epoll's data points at it */
	int fd;
	bool is_tcp;
	char *path; /* unix: to be unlinked; NULL: not bound by us */
	uint64_t device, inode;
};

struct line {
	struct api api;
	struct api_endpoint chat, complete; /* when streamed: the API's, with our events */
	const struct weir_metrics *metrics; /* may be NULL, as the one below */
	const struct weir_status_api *status;
	struct line_config config;
	weir_metric *m_connections, *m_requests, *m_refused, *m_gone, *m_stalled;

	GThread *thread;
	int want_drain, want_stop; /* atomic; then the bell is rung */
	pthread_mutex_t lock;      /* not GLib's: thread sanitizers see these */
	pthread_cond_t changed;
	bool drained; /* under lock: the listening sockets are closed */
	int epoll_fd, bell_fd, spare_fd;
	enum line_tag bell_tag;
	struct api_loop loop;
	struct listener *listeners;
	size_t n_listeners;
	GArray *inherited; /* int: descriptors of listen = fd:N; NULL: none */
	bool has_stdio, accepting, draining, stopping, quitting;
	uint64_t now_ms;    /* of this dispatch; CLOCK_MONOTONIC */
	uint64_t tick_at;   /* deadlines are looked at then */
	uint64_t accept_at; /* out of descriptors: accept again then; 0: as usual */
	uint64_t stop_at;   /* stopping: unsent output is dropped then */
	uint32_t n_peers;
	uint32_t n_unpollable; /* peers that read from a file: always ready */
	struct peer *peers, *dirty, *dead;
	char *rbuf; /* LINE_READ_SIZE */
};

/* [any] */
void line_count(const struct line *, weir_metric *, double by);
/* May peers ask already? False while the server still loads. */
bool line_is_ready(const struct line *);

/* thread.c. start: the listeners are there. [main] */
weir_status line_thread_start(struct line *, struct weir_error *);
void line_ring(void *line); /* [any] */

/* listen.c */
weir_status listen_open(struct line *, struct weir_error *); /* all addresses. [main] */
void listen_close(struct line *);
bool listen_watch(struct line *); /* false: errno */
void listen_resume(struct line *);
void listen_accept(struct line *, struct listener *);

#endif
