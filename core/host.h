/*
 * core/host.h - the struct weir_host that one plugin instance sees.
 */
#ifndef WEIR_CORE_HOST_H
#define WEIR_CORE_HOST_H

#include <weir/plugin.h>

#include "core.h"

/* Fills *host. instance is lent for as long as host lives; "" in probe(). The core may lack parts:
 * a service whose part is absent is refused by get_ext(). */
void weir_host_init(struct weir_host *host, struct weir_core *core, const char *instance);

#endif
