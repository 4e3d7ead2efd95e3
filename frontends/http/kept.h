/*
 * frontends/http/kept.h - answers that outlive their connection: streams that a client may come
 * back to (X-Weir-Resume, stream_options.resume) and responses in the background.
 *
 * A kept answer is the transport of its call (api/call.h): it numbers the frames, keeps the last
 * ones (api/replay.h) and sends them to the connection that it has, if any, each with
 * "id: <call>:<number>". Whoever names the call's id, 128 random bits, may take it over. It lives
 * on the plane of its call; the table of ids is shared by all planes, and a connection that asks
 * for an answer of another plane is moved there (conn_move).
 *
 *   attached -> left (resume_grace) -> attached | gone: the call is cancelled
 *   over (all frames are there) -> kept for resume_grace, for a client that lost the end
 *
 * While nobody is there, events are taken until half of what the replay holds is new: then the
 * backend waits. A response in the background goes on. [loop] but for what says otherwise.
 */
#ifndef HTTP_KEPT_H
#define HTTP_KEPT_H

#include <api/call.h>

#include "conn.h"

struct kept;

void kept_ids_init(struct kept_ids *);  /* [main] */
void kept_ids_clear(struct kept_ids *); /* [main] */

/* Takes body; answers the connection. False: there is no room for one more; body is not taken. */
bool kept_start(struct conn *, struct api_body *body, const struct weir_kv *fields, size_t n);

/* The plane of the answer with that id; NULL: there is none. [any] */
struct plane *kept_plane(struct http *, const char *id);
/* These are for answers of the connection's own plane. false: there is none of that id. */
/* Answers the connection with the frames from number `from` on, or with an error. */
bool kept_resume(struct conn *, const char *id, uint64_t from);
bool kept_cancel(struct plane *, const char *id);
/* Nobody comes back to it any more; one in the background is cancelled. What is read just now may
 * be read to its end. */
void kept_forget(struct plane *, const char *id);
/* Has it frames, in the sense of kept_resume()? */
bool kept_streams(struct plane *, const char *id);

bool kept_waits(const struct plane *); /* kept_tick() is to be called */
void kept_tick(struct plane *);
void kept_drain(struct plane *); /* nobody will come back */
void kept_clear(struct plane *); /* all end now */

#endif
