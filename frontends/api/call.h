/*
 * frontends/api/call.h - one API request on its way, from its checked body to its answer; knows no
 * transport. [loop] throughout: a call lives on the thread of its api_loop.
 *
 * A call has a weir_stream for each prompt, a format that writes JSON (format.h) and a transport
 * that carries it: HTTP frames it as a body or as server-sent events, WebSocket as messages of one
 * of many calls of a socket, a log keeps it for a client that comes back. Nothing is copied on the
 * way: a frame's JSON is written straight into the buffer that the transport lends.
 *
 *   api_call_new -> api_call_open -> begin? (frame frame_end)* -> end | error     when streamed
 *                                 -> whole | error                                when not
 *
 * Exactly one of whole(), end() and error() comes, unless the transport lets go first
 * (api_call_detach). With it the call is over for the transport: the pointer is dead when the
 * callback returns. Before begin() nothing is sent, so every refusal is an error() without begin().
 *
 * A call dies when its transport has gone and its streams have ended. A transport that outlives
 * its client (a log that is read again later) therefore keeps its call alive; the client of a
 * transport may change, or the transport itself (api_call_attach).
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "api.h"
#include "body.h"
#include "buf.h"

struct api_call;

/* How a frontend carries answers; static. data is what api_call_new() was given. */
struct api_transport {
	/* The request is admitted and its answer streams: the head of success, if there is one. */
	void (*begin)(void *data);
	/* A frame begins: what it appends to the buffer that is returned, up to frame_end(), is one
	 * JSON value. event: the name that the format gives it (Responses, Messages), or NULL. seq
	 * counts the frames of the call, from 0. */
	struct buf *(*frame)(void *data, const char *event, uint64_t seq);
	/* May write to the socket and find the client gone: api_call_detach() is allowed. */
	void (*frame_end)(void *data);
	/* The whole answer, a JSON object. Its memory may be taken (leave it empty). */
	void (*whole)(void *data, struct buf *body);
	/* The stream is complete. call->format->done_mark: OpenAI's SSE says [DONE] here. */
	void (*end)(void *data);
	/* Failed. After begin() the format can put the error into a last frame of its own shape:
	 * api_call_error_frame(). e->status is the HTTP status. */
	void (*error)(void *data, const struct api_error *e);
	/* An event came and its credit is spent, whether or not it became a frame: see that
	 * api_call_drained() is called when the output is empty, which it may be already. */
	void (*taken)(void *data);
};

struct api_usage {
	uint64_t prompt, cached, output; /* tokens, over all prompts and choices */
	uint64_t reasoning;              /* of the output */
};

struct api_stream { /* the call's part that belongs to one prompt */
	struct api_call *call;
	weir_stream *stream; /* NULL: ended, or never opened */
	uint32_t prompt;
	uint32_t outstanding; /* events that may still come */
	uint32_t n_prompt, n_cached, n_output;
	uint32_t n_tokens; /* TOKEN events so far */
	uint32_t n_reasoning;
	uint32_t n_told; /* PROMPT events so far */
	/* What they said: text, the arrays of a completion's logprobs, vLLM's list. */
	struct buf prompt_text, prompt_lp[4], prompt_list;
	uint32_t prompt_runes; /* of prompt_text */
	bool started;
};

/* What one choice has become. The buffers are for the format: where the answer is not streamed it
 * gathers there. */
struct api_choice {
	uint32_t index;
	uint32_t finish;             /* enum weir_finish; set before the format's finish() */
	uint32_t stop;               /* as weir_choice_end.stop; set with it */
	uint32_t offset;             /* code points so far, for text_offset */
	uint32_t n_tokens, n_output; /* n_output: once it has ended */
	double logprob;              /* sum over n_tokens */
	struct buf text, reasoning;
	struct buf tools; /* the tool call deltas, comma-separated */
	struct buf lp[4]; /* logprobs, as the format needs them */
	bool has_tools;
	struct buf held; /* token batching: text not yet in a frame */
	uint32_t n_held;
};

/* For formats and transports to read; call.c writes. */
struct api_call {
	struct api_loop *loop;
	const struct api_transport *transport; /* NULL: gone, or answered */
	void *data;
	const struct api_format *format;
	struct api_body *body; /* once open, only model, params and what `echo` needs remain */
	bool stream, begun;
	bool manual;             /* flow: only what api_call_grant() allows */
	bool inside, open_frame; /* guards */
	bool cut;                /* the format has enough: it ends here, with LENGTH */
	uint32_t n_streams, n_open;
	uint32_t n_each;    /* choices of one prompt */
	uint32_t n_choices; /* of all prompts */
	uint32_t window;    /* most events that are outstanding on a stream */
	uint64_t allowance; /* manual: events that the client still wants */
	uint64_t n_frames;
	size_t gathered; /* bytes in all choices' buffers */
	struct api_stream *streams;
	struct api_choice *choices;
	struct buf prefix;     /* the format's: what all its frames begin with */
	struct buf scratch;    /* takes the frames of a call without transport */
	void *state;           /* the format's own; its free() frees it */
	GList batch_link;      /* in loop->batching when its data is set */
	uint64_t batch_due_ms; /* 0: nothing is held back */
	char id[48];           /* "chatcmpl-..." */
	char *trace;           /* the client's request id, for logs; or NULL */
	int64_t created;       /* unix seconds */
};

/* Takes body. Opens nothing yet: set manual and allowance, remember the pointer. trace: copied. */
struct api_call *api_call_new(struct api_loop *, struct api_body *body, const char *trace,
			      const struct api_transport *, void *data);
/* Opens the streams. extra: further fields of the request (header.*), copied. May call error()
 * before it returns: the call is dead then, and it says false. */
bool api_call_open(struct api_call *, const struct weir_kv *extra, size_t n_extra);

/* The client has taken all frames so far: more events are welcome. Cheap; call it whenever the
 * output runs empty, also for answers that are not streamed. */
void api_call_drained(struct api_call *);
/* Manual flow: n more events (what comes before them is free). Takes effect when the output runs
 * empty: call api_call_drained() if it is. */
void api_call_grant(struct api_call *, uint32_t n);
/* Stop generating. error() will come with status 503 and code "cancelled", or the end that was on
 * its way; usage is known then. */
void api_call_cancel(struct api_call *);
/* The transport is gone: its callbacks will not be called again, the call is cancelled. */
void api_call_detach(struct api_call *);
/* Another transport from now on; the frames so far are the old one's business. */
void api_call_attach(struct api_call *, const struct api_transport *, void *data);
/* Inside error(), after begin(): appends the format's error frame through frame(). */
void api_call_error_frame(struct api_call *, const struct api_error *);
void api_call_usage(const struct api_call *, struct api_usage *ret);

/* For formats: a frame of the call. Always gives a buffer, also when nobody takes it any more. */
struct buf *api_call_frame(struct api_call *, const char *event);
void api_call_frame_end(struct api_call *);

#endif
