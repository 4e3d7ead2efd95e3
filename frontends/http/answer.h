/*
 * frontends/http/answer.h - API calls (frontends/api) over HTTP: a JSON body, or server-sent
 * events. [loop]
 */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include <api/call.h>

#include "conn.h"

/* Takes body. Answers the connection's request by a call; at once if that is refused. */
void answer_start(struct conn *, struct api_body *body);

#endif
