/*
 * frontends/websocket/responses.h - response.create: OpenAI's Responses as an endpoint of calls.
 * [loop]
 *
 * A chat in another dress: `input`, `instructions`, `tools` and `text.format` become the members of
 * a chat and are checked as such; the answer becomes the named events of Responses. Nothing is
 * stored: previous_response_id, conversation and background are refused.
 */
#ifndef WEBSOCKET_RESPONSES_H
#define WEBSOCKET_RESPONSES_H

#include <api/format.h>

extern const struct api_endpoint ws_responses_endpoint;

/* responses-input.c: adds to the object what a chat needs. false: errors has something. */
bool ws_responses_to_chat(JsonObject *, struct api_error_list *errors);

#endif
