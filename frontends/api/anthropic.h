/*
 * frontends/api/anthropic.h - Anthropic's Messages: what its two files share.
 *
 * Facts: Anthropic's API reference, "Messages", "Streaming messages", "Errors" (version
 * 2023-06-01). A request is read as a chat; the answer becomes content blocks.
 */
#ifndef API_ANTHROPIC_H
#define API_ANTHROPIC_H

#include "body-private.h"

/* anthropic-input.c: the reader of /v1/messages and of /v1/messages/count_tokens. */
void messages_read(struct api_body *, JsonObject *, const struct api_config *,
		   struct api_error_list *errors);

#endif
