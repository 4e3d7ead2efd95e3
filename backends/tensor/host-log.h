/* SPDX-License-Identifier: MIT */
/*
 * host-log.h - the host's log, or silence where the host offers none. Any thread.
 */
#ifndef WEIR_TENSOR_HOST_LOG_H
#define WEIR_TENSOR_HOST_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

#include <weir/services.h>

struct weir_host_log { /* by value; valid as long as the host */
	const struct weir_host *host;
	const struct weir_log *log; /* NULL: silence */
	const atomic_bool *stop;    /* a load shall end; NULL: nobody asks for that */
};

struct weir_host_log weir_host_log_of(const struct weir_host *host);

/* One line under the topic "tensor". level: enum weir_log_level. */
void weir_host_logf(const struct weir_host_log *log, uint32_t level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void weir_host_progress(const struct weir_host_log *log, const char *what, uint64_t done,
			uint64_t total);

/* CANCELLED once a load shall end: asked between its parts. */
weir_status weir_host_go_on(const struct weir_host_log *log, struct weir_error *err);

#endif
