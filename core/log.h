/*
 * core/log.h - log lines and progress bars of the host.
 *
 * Called from every thread. One line a call, written whole to standard error:
 *   12:34:56.789 INFO  gateway: backend.main is ready        (or one JSON object with format json)
 * Levels per topic prefix come from WEIR_LOG, e.g. "info,http=debug,core.scheduler=debug": the
 * longest prefix that ends at a dot or at the topic's end wins; "off" leaves only MISBEHAVING.
 * Control characters and bytes that are no UTF-8 are written as \xNN: a line stays a line.
 */
#ifndef WEIR_CORE_LOG_H
#define WEIR_CORE_LOG_H

#include <stdarg.h>
#include <stdio.h>

#include <weir/services.h>

#include "core.h"

/* spec: as WEIR_LOG, NULL: "info". fd: where lines go. Never fails; a bad spec is reported as the
 * first line. */
struct weir_logger *weir_logger_new(const char *spec, int fd, bool json);
void weir_logger_free(struct weir_logger *);
/* Replaces the levels of a running logger; a bad spec changes nothing. [any] */
weir_status weir_logger_set_levels(struct weir_logger *, const char *spec, struct weir_error *err);
void weir_logger_set_json(struct weir_logger *, bool json); /* [any] */
bool weir_logger_enabled(const struct weir_logger *, uint32_t level, const char *topic);
void weir_logf(struct weir_logger *, uint32_t level, const char *topic, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A bar on a terminal, else a line now and then; done >= total ends it. [any] */
void weir_logger_progress(struct weir_logger *, const char *what, uint64_t done, uint64_t total);

/* Fills err (may be NULL) and returns code: return weir_fail(err, WEIR_E_INVALID, "...", ...). */
weir_status weir_fail(struct weir_error *err, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The plugins' side: WEIR_HOST_LOG. [any] */
const struct weir_log *weir_log_extension(void);

#endif
