/* SPDX-License-Identifier: MIT */
/*
 * weir/stream.h - requests and credit-controlled token streams. Both belong to the host.
 *
 * A stream has one producer (a backend, or the core for a step backend) and one consumer (a
 * frontend). The consumer grants credit; an event takes one; emit() beyond credit takes nothing and
 * says so. Whatever happens, the consumer sees exactly one end, as the last thing.
 *
 * Order of events on a stream:  STARTED?  PROMPT*  (TOKEN | TEXT | REASONING | TOOL | JSON)*  end
 * STARTED comes once validation, tokenising and admission have succeeded: a frontend may send its
 * success head from then on. An end with an error and no STARTED before it is a refused request.
 */
#ifndef WEIR_STREAM_H
#define WEIR_STREAM_H

#include <weir/base.h>

typedef struct weir_request weir_request; /* opaque, reference-counted */
typedef struct weir_stream weir_stream;   /* opaque */
typedef struct weir_bell weir_bell;       /* opaque */

struct weir_logit_bias {
	int32_t token;
	float bias; /* added to the logit; <= -100 bans the token, >= 100 forces it */
};

/* How to draw tokens. Filled by the frontend, checked there; a value that switches a step off is
 * given in brackets. */
struct weir_sampling {
	uint32_t size;
	uint32_t seed_set; /* 0: the host draws a seed */
	uint64_t seed;
	float temperature;     /* 0: greedy */
	float top_p;           /* [1] nucleus sampling, Holtzman et al. 2020 */
	float min_p;           /* [0] share of the most likely token's probability */
	float typical_p;       /* [1] locally typical sampling, Meister et al. 2023 */
	uint32_t top_k;        /* [0] */
	int32_t repeat_last_n; /* window of the three penalties below; -1: all, prompt included */
	float repetition_penalty; /* [1] CTRL, Keskar et al. 2019: logit / p if > 0, else * p */
	float presence_penalty;   /* [0] OpenAI: minus once, for each token generated so far */
	float frequency_penalty;  /* [0] OpenAI: minus count times */
	uint32_t top_logprobs;    /* [0] alternatives to report with each token, at most 20 */
	uint32_t n_logit_bias;
	uint32_t logprobs;                        /* report the chosen token's log-probability */
	const struct weir_logit_bias *logit_bias; /* owned by the request */
	uint32_t prompt_logprobs;     /* with limits.echo: PROMPT events tell log-probabilities */
	uint32_t prompt_top_logprobs; /* and so many alternatives, at most 20 */
};
WEIR_FROZEN(struct weir_sampling, prompt_top_logprobs);

struct weir_limits { /* of one request */
	uint32_t size;
	uint32_t max_tokens; /* output; 0: as many as the context holds */
	uint32_t min_tokens; /* no end token before */
	uint32_t ignore_end; /* go on past end tokens */
	uint32_t n;          /* choices, 1..; events carry their index */
	int32_t priority;    /* higher first; 0 is usual */
	int64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
	uint32_t echo;       /* a PROMPT event for each token of the prompt, before the output */
	uint32_t no_output;  /* 1: no token is drawn; every choice ends with LENGTH */
};
WEIR_FROZEN(struct weir_limits, no_output);

enum weir_event_type {
	WEIR_EVENT_STARTED = 1,   /* admitted; value = prompt tokens */
	WEIR_EVENT_TOKEN = 2,     /* one output token; text: what it adds, may be empty */
	WEIR_EVENT_TEXT = 3,      /* text without token identity (remote, echo) */
	WEIR_EVENT_REASONING = 4, /* text of a reasoning channel */
	WEIR_EVENT_TOOL = 5,      /* a JSON fragment of a tool call (OpenAI's delta object) */
	WEIR_EVENT_JSON = 6,      /* a whole result as JSON: tokenize, detokenize, rerank */
	WEIR_EVENT_VECTOR = 7,    /* embed: raw holds the floats of input `value`, in host order */
	/* limits.echo: the prompt's next token, once for all choices. text: what it adds to the
	 * prompt's text, nothing for a control token that the tokenizer put into a text; raw: its
	 * own bytes, a control token's too. logprob: NaN for the first token and when it was not
	 * asked for; value: how many tokens were at least as likely, itself included, or 0. A
	 * backend that does not know these events sends none. */
	WEIR_EVENT_PROMPT = 8,
};

struct weir_top_logprob {
	int32_t token;
	float logprob;
	struct weir_str text;
};

/* Lent for the length of the call that passes it. */
struct weir_event {
	uint32_t size, type;
	int32_t token;  /* id, or -1 */
	uint32_t index; /* which of n choices */
	float logprob;  /* natural logarithm; NaN: not asked for */
	uint32_t n_top;
	int64_t value;        /* see type */
	uint64_t seq;         /* number of this event in its stream, from 0; set by the host */
	struct weir_str text; /* whole UTF-8 runes only */
	struct weir_str raw;  /* the token's own bytes; may be a part of a rune */
	const struct weir_top_logprob *top; /* n_top, most likely first */
};
WEIR_FROZEN(struct weir_event, top);

enum weir_finish {
	WEIR_FINISH_NONE = 0,   /* ended with an error: see status */
	WEIR_FINISH_STOP = 1,   /* an end token or a stop string */
	WEIR_FINISH_LENGTH = 2, /* max_tokens or the context is full */
	WEIR_FINISH_TOOL = 3,
	WEIR_FINISH_FILTER = 4,
};

struct weir_choice_end { /* how one of the n choices ended */
	uint32_t finish, n_output;
	uint32_t stop;        /* the stop string that ended it: its place in `stop`, from 1; or 0 */
	uint32_t n_reasoning; /* tokens of n_output that are thoughts, their markers included */
};

struct weir_end {
	uint32_t size;
	weir_status status;
	uint32_t finish;                       /* of choice 0 */
	uint32_t n_prompt, n_cached, n_output; /* tokens; n_output over all choices */
	uint32_t retry_after_ms; /* with QUEUE_FULL, RATE_LIMITED, UNAVAILABLE: when to try again */
	uint32_t n_choices;
	const struct weir_choice_end *choices; /* n_choices, or NULL when n is 1 */
	struct weir_str text;                  /* error text, or empty */
	struct weir_str param;                 /* the request field that is at fault, or empty */
	uint32_t choice_size; /* of one of choices; 0: they hold finish and n_output only */
	uint32_t stop;        /* of choice 0: as in weir_choice_end */
	uint32_t n_reasoning; /* over all choices */
	uint32_t reserved;
};
WEIR_FROZEN(struct weir_end, reserved);

/* How choice i ended, whatever the producer has told of it. [any] */
static inline struct weir_choice_end weir_end_choice(const struct weir_end *e, uint32_t i)
{
	struct weir_choice_end c = { e->finish, i == 0 ? e->n_output : 0, 0, 0 };
	const uint32_t *at;
	size_t stride = 2;

	if (e->size >= sizeof(*e)) {
		c.stop = i == 0 ? e->stop : 0;
		c.n_reasoning = i == 0 && e->n_choices < 2 ? e->n_reasoning : 0;
		if (e->choice_size > 2 * sizeof(uint32_t))
			stride = e->choice_size / sizeof(uint32_t);
	}
	if (!e->choices || i >= e->n_choices)
		return c;
	at = (const uint32_t *)(const void *)e->choices + i * stride;
	c.finish = at[0];
	c.n_output = at[1];
	c.stop = stride > 2 ? at[2] : 0;
	c.n_reasoning = stride > 3 ? at[3] : 0;
	return c;
}

/*
 * Fields of a request, UTF-8 text each; absent ones are {NULL, 0}:
 *   kind      chat | completion | tokenize | detokenize | embed | rerank
 *   id        the frontend's id of the request ("chatcmpl-..."), for logs
 *   model     as the client named it
 *   messages  chat, tokenize: JSON array, OpenAI's shape (checked by the frontend)
 *   tools     chat: JSON array; tool_choice: JSON; template_kwargs: JSON object
 *   prompt    completion, tokenize: text;  tokens: detokenize, completion: JSON array of ids
 *   suffix    completion: the text behind what is to be written; the prompt is what is before it
 *   files     with a suffix: JSON array of {filename, text}, other files of the project, most
 *             important last. When it is there, what is far from the hole is cut to the context
 *   options   tokenize: JSON object {add_special, parse_special, with_pieces: token_strs beside
 *             the ids, token_objects: {id, piece} instead of ids, render: of messages their
 *             template's text {"prompt"} instead of tokens}
 *   stop      JSON array of strings
 *   grammar   JSON object {"type": T, "value": V}: the output must be in the language; T is
 *             json_schema (V: the schema), json_object (no V), gbnf, regex (V: text), choice (V:
 *             array of strings). See weir/grammar.h
 *   parallel_tool_calls  "false": at most one call
 *   reasoning "none": what the model thinks stays in its text; else it becomes REASONING events
 *   adapter   name of a LoRA adapter; absent: none
 *   inputs    embed: JSON array, each entry a string or an array of token ids
 *   query     rerank: text;  documents: rerank: JSON array of strings. The answer is one JSON event
 *             {"scores": [...], "n_tokens": N}
 *   resume    chat, completion, embed: what a lost instance has told of this (weir/backend.h,
 *             weir.resume/1); set by the host and by backends that restart one, never by clients
 *   tenant    who pays: fairness, limits and the prefix cache's salt hang on it
 *   header.<name>  a frontend's request header, name in lower case, when middleware may want it
 */
#define WEIR_HOST_REQUEST "weir.host.request/1"
struct weir_request_api { /* all [any] except set_field: only inside middleware.request() */
	uint32_t size, reserved;
	weir_request *(*ref)(weir_request *);
	void (*unref)(weir_request *);
	/* Lent until the last unref, or the next set_field of that name. */
	struct weir_str (*field)(const weir_request *, const char *name);
	weir_status (*set_field)(weir_request *, const char *name, struct weir_str value);
	const struct weir_sampling *(*sampling)(const weir_request *);
	const struct weir_limits *(*limits)(const weir_request *);
	/* Every field that is there, in no order; name and value are lent for the call. */
	void (*each)(const weir_request *,
		     void (*fn)(void *data, const char *name, struct weir_str value), void *data);
};
WEIR_FROZEN(struct weir_request_api, each);

#define WEIR_HOST_STREAM "weir.host.stream/1"
struct weir_stream_api {
	uint32_t size, reserved;
	/* Producer; one thread at a time. OK: taken. NO_CREDIT: not taken, wake() will tell when to
	 * look again. CANCELLED: not taken, end now. */
	weir_status (*emit)(weir_stream *, const struct weir_event *);
	/* Producer; exactly once, always taken. The stream is gone for the producer after it: no
	 * wake() runs or begins once end() has returned. It waits for one that is running: hold no
	 * lock that your wake() takes. */
	void (*end)(weir_stream *, const struct weir_end *);
	uint32_t (*credit)(const weir_stream *); /* events that emit() will now take. [any] */
	bool (*cancelled)(const weir_stream *);  /* [any] */
	/* The producer's own pointer, for wake(). Set before submit() returns. */
	void (*set_data)(weir_stream *, void *data);
	void *(*get_data)(const weir_stream *);
	/* Consumer. */
	void (*grant)(weir_stream *, uint32_t n);       /* n more events are welcome. [any] */
	void (*cancel)(weir_stream *, weir_status why); /* idempotent; the end still comes. [any] */
	/* A producer that has events of many streams at a time: emit_with() and end_with() are
	 * emit() and end(), but the frontends' threads are not told before ring(), which tells each
	 * of them once. A bell is used by one thread at a time; bell_free() rings it, too. All five
	 * are there, or none. */
	weir_bell *(*bell_new)(void);
	void (*bell_free)(weir_bell *);
	weir_status (*emit_with)(weir_stream *, const struct weir_event *, weir_bell *);
	void (*end_with)(weir_stream *, const struct weir_end *, weir_bell *);
	void (*ring)(weir_bell *);
};
WEIR_FROZEN(struct weir_stream_api, ring);

#endif
