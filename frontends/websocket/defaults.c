/*
 * frontends/websocket/defaults.c - see defaults.h.
 */
#include "defaults.h"

void ws_config_init(struct ws_config *c)
{
	*c = (struct ws_config){
		.limits = { .max_message = 10u << 20,
			    .max_fragments = 65536,
			    .ping_ms = 20000,
			    .pong_ms = 20000,
			    .message_ms = 60000,
			    .close_ms = 5000,
			    .compress_above = 64 },
		.handshake = { .window_bits = 12 },
		.compression = WS_COMPRESSION_REMOTE,
		.max_compressed = 1000,
		.max_requests = 256,
		.replay_events = 1024,
		.replay_bytes = 1u << 20,
		.replay_budget = 64u << 20,
		.grace_ms = 60000,
	};
}
