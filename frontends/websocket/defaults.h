/*
 * frontends/websocket/defaults.h - a configuration to begin with.
 */
#ifndef WEBSOCKET_DEFAULTS_H
#define WEBSOCKET_DEFAULTS_H

#include "hub.h"

void ws_config_init(struct ws_config *);

#endif
