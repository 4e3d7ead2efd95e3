/*
 * frontends/api/call-private.h - what the files of a call share: call.c, open.c, batch.c.
 */
#ifndef API_CALL_PRIVATE_H
#define API_CALL_PRIVATE_H

#include "call.h"

extern const struct weir_sink api_call_sink;

/* Inside only: error() to the transport, the streams cancelled. */
void api_call_fail(struct api_call *, weir_status, struct weir_str text, struct weir_str param,
		   uint32_t retry_after_ms);
/* The end of inside: frees the call when nothing is left of it. */
void api_call_leave(struct api_call *);

/* batch.c: text that is held back until there are enough tokens or enough time has passed. */
/* True: held, nothing to do. Else what was held of this choice has been sent. */
bool api_batch_take(struct api_call *, struct api_choice *, const struct weir_event *);
void api_batch_flush(struct api_call *, struct api_choice *);
void api_batch_forget(struct api_call *); /* the call is being freed */

#endif
