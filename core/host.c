/*
 * core/host.c - see host.h. get_ext() is called on any thread: it reads only what is constant.
 */
#include "host.h"

#include <string.h>

#include "gateway.h"
#include "log.h"
#include "metrics.h"
#include "status.h"
#include "trace.h"

static const void *get_ext(const struct weir_host *host, const char *id)
{
	const struct weir_core *core = host->data;
	if (!id)
		return NULL;
	if (!strcmp(id, WEIR_HOST_LOG))
		return core->log ? weir_log_extension() : NULL;
	if (!strcmp(id, WEIR_HOST_METRICS))
		return core->metrics ? weir_metrics_extension() : NULL;
	if (!strcmp(id, WEIR_HOST_STATUS))
		return core->server ? weir_status_extension() : NULL;
	if (!strcmp(id, WEIR_HOST_TRACE))
		return core->trace ? weir_trace_extension() : NULL;
	return weir_gateway_extension(id);
}

void weir_host_init(struct weir_host *host, struct weir_core *core, const char *instance)
{
	*host = (struct weir_host){
		.size = sizeof(*host),
		.abi = WEIR_ABI,
		.name = "weir",
		.version = WEIR_VERSION,
		.instance = instance,
		.data = core,
		.get_ext = get_ext,
	};
}
