/*
 * frontends/api/responses.h - /v1/responses: what its files share, and what a transport needs that
 * carries one in the background. [loop]
 *
 * A response is a chat in another dress: `input`, `instructions`, `tools` and `text.format` become
 * the members of a chat and are checked as such; the answer becomes items and named events
 * (OpenAI's API reference, "Responses" and "Responses, streaming events").
 */
#ifndef API_RESPONSES_H
#define API_RESPONSES_H

#include "body-private.h"
#include "call.h"

/* responses-input.c: the reader of the endpoint. */
void responses_read(struct api_body *, JsonObject *, const struct api_config *,
		    struct api_error_list *errors);
/* responses-items.c: messages of a chat from items; what is wrong is added to errors. */
void responses_add_items(JsonArray *messages, JsonArray *items, const char *at,
			 struct api_error_list *errors);
/* The items with ids, as they are stored and listed; text: instead of them. JSON, to be freed. */
char *responses_stored_items(JsonArray *earlier, JsonArray *earlier_output, JsonNode *input);

/* Is this call a response? The functions below are for those. */
bool api_call_is_response(const struct api_call *);
/* The response as it is now. */
void api_response_put(const struct api_call *, struct buf *out);
/* Somebody asked for its end: it will be reported as cancelled, and is stored so from now on. */
void api_response_cancelled(struct api_call *);

#endif
