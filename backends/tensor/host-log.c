/*
 * host-log.c - the host's log, or silence; see host-log.h. No state; any thread.
 */
#include "host-log.h"
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

struct weir_host_log weir_host_log_of(const struct weir_host *host)
{
	struct weir_host_log l = { .host = host };

	if (host && WEIR_HAS(struct weir_host, host, get_ext))
		l.log = host->get_ext(host, WEIR_HOST_LOG);
	return l;
}

void weir_host_logf(const struct weir_host_log *l, uint32_t level, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!l->log || !WEIR_HAS(struct weir_log, l->log, write))
		return;
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	l->log->write(l->host, level, "tensor", text);
}

void weir_host_progress(const struct weir_host_log *l, const char *what, uint64_t done,
			uint64_t total)
{
	if (l->log && WEIR_HAS(struct weir_log, l->log, progress))
		l->log->progress(l->host, what, done, total);
}

weir_status weir_host_go_on(const struct weir_host_log *l, struct weir_error *err)
{
	if (!l->stop || !atomic_load(l->stop))
		return WEIR_OK;
	return weir_fail(err, WEIR_E_CANCELLED, "the load was interrupted");
}
