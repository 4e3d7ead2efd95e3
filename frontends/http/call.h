/*
 * frontends/http/call.h - one API request on its way: its streams, its choices, its answer. [loop]
 *
 * A call has a weir_stream for each prompt. It outlives its connection: when that is gone, the
 * streams are cancelled and the call waits for their ends, which free it. Before the first STARTED
 * nothing is sent, so every refusal is a status line; after it a failure is one error event.
 */
#ifndef HTTP_CALL_H
#define HTTP_CALL_H

#include "body.h"
#include "conn.h"

struct call;

struct call_stream {
	struct call *call;
	weir_stream *stream; /* NULL: ended, or never opened */
	uint32_t prompt;
	uint32_t spent; /* events taken and not yet granted again */
	uint32_t n_prompt, n_cached, n_output;
	bool started;
};

/* What one choice has become; the buffers are used when the answer is not streamed. */
struct choice {
	uint32_t index;
	uint32_t finish; /* enum weir_finish */
	uint32_t offset; /* code points so far, for text_offset */
	uint32_t n_tokens;
	double logprob; /* sum over n_tokens */
	struct buf text, reasoning;
	struct buf tools; /* the tool call deltas, comma-separated */
	struct buf lp[4]; /* logprobs, as the format needs them */
	bool has_tools;
};

/* How chat and completions differ. out: SSE frames of a stream, or the body. */
struct call_format {
	const char *id_prefix, *object, *chunk_object;
	void (*start)(struct call *, struct choice *, struct buf *out); /* stream; may be NULL */
	void (*event)(struct call *, struct choice *, const struct weir_event *, struct buf *out);
	void (*finish)(struct call *, struct choice *, struct buf *out); /* stream */
	void (*collect)(struct call *, struct choice *, const struct weir_event *);
	/* One object of the body's choices. */
	void (*choice)(struct call *, struct choice *, uint32_t index, struct buf *out);
};

struct call {
	struct plane *plane;
	struct conn *conn; /* NULL: gone, or answered */
	enum api_kind kind;
	const struct call_format *format; /* NULL: tokenize, detokenize */
	struct api_body *body;            /* freed once all streams are open, but for model, echo */
	bool stream, include_usage, head_sent;
	uint32_t n_streams, n_open;
	uint32_t n_each;    /* choices of one prompt */
	uint32_t n_choices; /* of all prompts */
	size_t collected;   /* bytes in all choices' buffers */
	struct call_stream *streams;
	struct choice *choices;
	struct buf prefix; /* a chunk's JSON up to the choice's index */
	struct buf json;   /* the result of tokenize, detokenize */
	char id[40];
	int64_t created;
};

/* Takes body. Opens the streams; answers at once if that fails. */
void call_start(struct conn *, struct api_body *body);

extern const struct call_format chat_format, completion_format;

/* sse.c: what both formats put into chunks. */
/* `data: ` and the JSON up to behind "index":N */
void sse_begin(struct call *, const struct choice *, struct buf *out);
/* `,"finish_reason":X}]` , usage null if asked for, `}` and the blank line */
void sse_finish(struct call *, uint32_t finish, struct buf *out);
void sse_usage(struct call *, struct buf *out); /* the last chunk of include_usage */
void sse_error(struct buf *out, const struct http_error *);
void sse_done(struct buf *out);
void put_usage(const struct call *, struct buf *out); /* the object */
const char *finish_reason(uint32_t finish);           /* with quotes, or null */

#endif
