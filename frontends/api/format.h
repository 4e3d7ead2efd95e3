/*
 * frontends/api/format.h - how the answer of one endpoint is written; a file for each. [loop]
 *
 * A format sees events in the order of their streams. Streamed calls: begin, (event)*, finish for
 * each choice, end; each writes frames by api_call_frame(). Others: (gather)*, then whole. A format
 * never opens, grants or cancels, and does not care whether the client is still there. One that has
 * enough of its only choice says so in call->cut, in event or gather.
 */
#ifndef API_FORMAT_H
#define API_FORMAT_H

#include "call.h"

#define API_EVENT(type) (1u << WEIR_EVENT_##type)
#define API_EVENTS_TEXT                                                                            \
	(API_EVENT(TOKEN) | API_EVENT(TEXT) | API_EVENT(REASONING) | API_EVENT(TOOL))

struct api_format {
	const char *id_prefix; /* of the call's id: "chatcmpl-" */
	bool secret_id;        /* who knows the id may ask for the answer: it cannot be guessed */
	uint32_t events;       /* API_EVENT bits that may come; others are a backend's mistake */
	bool done_mark;        /* a stream of server-sent events ends with [DONE] */
	void (*init)(struct api_call *); /* id and created are set, nothing is open; may be NULL */
	void (*free)(struct api_call *); /* may be NULL */
	void (*admitted)(struct api_call *); /* its first event has come; may be NULL */
	/* It has failed, whether or not anything of it was sent; before error(). May be NULL. */
	void (*failed)(struct api_call *, const struct api_error *);
	const char *ping; /* of a silent stream of server-sent events; NULL: a comment */
	/* Streamed. All but event may be NULL. */
	void (*begin)(struct api_call *);
	void (*event)(struct api_call *, struct api_choice *, const struct weir_event *);
	void (*finish)(struct api_call *, struct api_choice *); /* the choice has ended */
	void (*end)(struct api_call *);                         /* all have */
	void (*error)(struct api_call *, const struct api_error *);
	/* A PROMPT event, streamed or not. May be NULL where they are never asked for. */
	void (*prompt)(struct api_call *, struct api_stream *, const struct weir_event *);
	/* Not streamed. */
	void (*gather)(struct api_call *, struct api_choice *, const struct weir_event *);
	/* The body. False: ret_error, which is sent instead. */
	bool (*whole)(struct api_call *, struct buf *out, struct api_error *ret_error);
};

extern const struct api_format api_format_chat, api_format_completion, api_format_plain;
extern const struct api_format api_format_responses, api_format_messages, api_format_count;
extern const struct api_format api_format_embed, api_format_rerank, api_format_infill;

/* chunk.c: what chat and completion chunks share. A chunk is one frame. */
void api_chunk_init(struct api_call *, const char *object); /* makes call->prefix */
/* The frame up to behind "index":N */
struct buf *api_chunk_begin(struct api_call *, const struct api_choice *);
/* `,"finish_reason":X}]`, usage when asked for, and the end of the frame. over: the choice whose
 * last chunk it is, or NULL. */
void api_chunk_end(struct api_call *, struct buf *, const struct api_choice *over);
void api_chunk_usage(struct api_call *); /* the last one of include_usage: format.end */
void api_chunk_error(struct api_call *, const struct api_error *); /* {"error":{...}} */
/* The whole answer around its choices; each(): one object of them. */
void api_chunk_whole(struct api_call *, const char *object, struct buf *out,
		     void (*each)(struct api_call *, struct api_choice *, uint32_t index,
				  struct buf *out));
void api_put_usage(const struct api_call *, struct buf *out); /* the object */
const char *api_finish_reason(uint32_t finish);               /* with quotes, or null */
/* `"finish_reason":X,"stop_reason":Y`, of a choice that is over; vLLM's is the stop string. */
void api_put_finish(const struct api_call *, const struct api_choice *, struct buf *out);
/* The stop string that ended a choice, to be g_free()d; NULL: none. */
char *api_stop_string(const struct api_call *, const struct api_choice *);

/* prompt.c: the tokens of prompts, and how tokens are shown. */
/* A token as a string of its own: text where its bytes are text, else OpenAI's \xe2\x82 behind
 * prefix, which is "bytes:" in completions and "" in chats. */
void api_put_token(struct buf *, const char *prefix, struct weir_str text, struct weir_str raw);
/* `"token":...,"logprob":...,"bytes":[...]`; raw empty: the text's. */
void api_put_token_members(struct buf *, struct weir_str text, struct weir_str raw, float logprob);
/* OpenAI's object of a TOKEN event, as chats and Responses have it: token, logprob, bytes,
 * top_logprobs. */
void api_put_logprob(struct buf *, const struct weir_event *);
/* `"a":-1.5,"b":-2`: the first n_top alternatives, and the token itself. */
void api_put_alternatives(struct buf *, const struct weir_event *, uint32_t n_top);
enum { API_LP_TOKENS, API_LP_LOGPROBS, API_LP_TOP, API_LP_OFFSETS }; /* of a completion's lp[] */
/* Appends the event to the four arrays. */
void api_lp_add(struct buf lp[4], const struct weir_event *, uint32_t n_top, uint32_t offset);
/* The object; more: what stands before it, or NULL. */
void api_lp_put(struct buf *out, const struct buf *before, const struct buf lp[4]);
/* Keeps the event in the stream's buffers. */
void api_prompt_gather(struct api_call *, struct api_stream *, const struct weir_event *);
/* `,"prompt_logprobs":[...]` if it was asked for. */
void api_prompt_put_list(const struct api_call *, const struct api_stream *, struct buf *out);
uint32_t api_count_runes(struct weir_str text);

#endif
