/*
 * core/status.h - the server's documents: /health as JSON, metrics as Prometheus text and JSON.
 *
 * [any], and never slow: /health answers while models load (000-04) and touches no backend.
 */
#ifndef WEIR_CORE_STATUS_H
#define WEIR_CORE_STATUS_H

#include <weir/services.h>

#include "core.h"

/*
 * {"status":"initializing|ready|draining|failed","code":0 or a weir_status,"version","uptime":s,
 *  "gpus":{"healthy","total","summary":"0/0"},
 *  "queue":{"max_concurrent","max_queue_size","active","waiting"},
 *  "backends":[...see weir_router_status()],"authentication":{"enabled"}}
 * GPUs are the sums of the gauges gpus_healthy and gpus_total that backends set. free() it.
 */
char *weir_status_health(struct weir_core *core);

const struct weir_status_api *weir_status_extension(void); /* WEIR_HOST_STATUS [any] */

#endif
