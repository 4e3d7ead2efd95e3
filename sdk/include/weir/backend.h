/* SPDX-License-Identifier: MIT */
/*
 * weir/backend.h - two levels of backend; an instance implements either.
 *
 * Level A, stream: a request in, a token stream out. For remote providers, other engines, tests.
 * Level B, step: the core owns sequences, batching, KV block allotment, prefix sharing and stop
 * rules; the backend owns KV memory and arithmetic.
 */
#ifndef WEIR_BACKEND_H
#define WEIR_BACKEND_H

#include <weir/plugin.h>
#include <weir/stream.h>

#define WEIR_BACKEND_STREAM "weir.backend.stream/1"
struct weir_backend_stream {
	uint32_t size, reserved;
	/* OK: the backend owns one reference of req, and out, until it calls end(out). Error: the
	 * host still owns both. [worker] */
	weir_status (*submit)(struct weir_instance *, weir_request *req, weir_stream *out,
			      struct weir_error *err);
	/* Credit or cancellation of out changed: look again. A level-triggered hint; never blocks,
	 * never emits from inside. May come at any time between submit() and end(). [any] */
	void (*wake)(struct weir_instance *, weir_stream *out);
};
WEIR_FROZEN(struct weir_backend_stream, wake);

#define WEIR_BACKEND_STEP "weir.backend.step/1"

struct weir_model { /* filled by load(); text lives as long as the instance */
	uint32_t size, flags;
	uint32_t n_vocab;
	uint32_t n_ctx;                   /* longest sequence, prompt + output */
	uint32_t max_rows;                /* sequences in a step */
	uint32_t max_tokens;              /* tokens in a step, over all rows */
	uint32_t block_tokens;            /* positions in a KV block */
	uint32_t n_blocks;                /* KV blocks in all */
	uint64_t bytes_weights, bytes_kv; /* for status and planning */
	const char *name;                 /* "weir-demo" */
	const char *summary;              /* "llama 3.6M Q8_0" */
	uint32_t max_guesses;             /* weir_row.n_draft of a step, over all rows; 0: none */
	uint32_t max_scores; /* tokens of a step in rows with targets; 0: it cannot score */
	/* What its users ask for; 0 and NULL: unknown, or none. */
	uint32_t n_embd, n_ctx_train; /* numbers of a position; tokens that it was trained for */
	uint64_t n_params;            /* weights, as numbers */
	const char *path;             /* of its file */
	const char *chat_template;    /* its source text */
	const char *bos, *eos;        /* the texts of these tokens */
};
WEIR_FROZEN(struct weir_model, eos);

#define WEIR_MAX_DRAFT 16u /* guesses of one row in one step */

enum weir_model_flag {
	WEIR_MODEL_ENCODER = 1u << 1, /* no generation: weir.embedder/1 only, no KV blocks */
	WEIR_MODEL_GUESSES = 1u << 2, /* makes guesses itself, by a draft model: weir_step.next */
};

struct weir_row {              /* one sequence's share of this step */
	uint64_t seq;          /* a number that stays with the sequence, never reused */
	uint32_t first, count; /* batch->tokens[first .. first+count) */
	uint32_t pos;          /* position of the first of them; KV holds 0 .. pos-1 */
	uint32_t n_blocks;
	const uint32_t *blocks; /* its KV blocks in order: the core allots, the backend stores */
	const struct weir_sampling *sampling; /* NULL: a prefill chunk, no output wanted */
	const int32_t *history; /* the sequence's tokens so far: prompt, output, this row's */
	uint32_t n_history, n_prompt;
	uint64_t seed;             /* with sampling: the draw depends on (seed, n_history) alone */
	const uint32_t *mask;      /* allowed tokens, bit t%32 of word t/32; NULL: all */
	uint32_t no_end, reserved; /* 1: end tokens may not be drawn (min_tokens, ignore_end) */
	/* The last n_draft of this row's tokens are guesses (they are in history as well, n_history
	 * counts them). The step draws after the last certain token as it would without guesses,
	 * and after each guess that equals the draw before it, with the history of that place: the
	 * text is the same as without guesses. Never with mask, logprobs or top_logprobs. */
	uint32_t n_draft;
	uint32_t adapter; /* 0: none; 1..: in the order of weir.adapters/1 */
	/* With WEIR_MODEL_GUESSES: so many guesses of what follows this step's last draw are
	 * welcome in weir_step.next. */
	uint32_t n_want;
	uint32_t n_target_top; /* alternatives wanted for each target, at most 20 */
	/* [count], or NULL: weir_step.score wants to know how likely this token was after each of
	 * the row's tokens, -1: not here. Never with guesses. */
	const int32_t *targets;
};
WEIR_FROZEN(struct weir_row, targets);

struct weir_batch {              /* lent for the length of step() */
	uint32_t size, row_size; /* row_size: stride of rows, so weir_row may grow */
	uint32_t n_tokens, n_rows, n_gone, n_copies;
	uint32_t want_logits, reserved; /* fill weir_step.logits: conformance and perplexity */
	const int32_t *tokens;
	const struct weir_row *rows;
	const uint64_t *gone;   /* sequences ended or parked since the last step */
	const uint32_t *copies; /* n_copies pairs (from, to) of KV blocks, copied before compute */
};
WEIR_FROZEN(struct weir_batch, copies);

struct weir_top { /* alternatives of one row, most likely first; token -1 ends the list early */
	int32_t token[20];
	float logprob[20];
};

struct weir_score { /* of a target, by the unmodified logits */
	float logprob;
	uint32_t rank; /* how many tokens were at least as likely, itself included */
};

struct weir_step { /* host arrays of n_rows slots each; slots of rows without sampling stay as is */
	uint32_t size, reserved;
	int32_t *token;       /* -1: this row failed alone, see error */
	float *logprob;       /* log-softmax of the unmodified logits at token; only if asked for */
	struct weir_top *top; /* only for rows whose sampling asks for top_logprobs */
	float *logits; /* n_rows * n_vocab, rows with sampling only; NULL unless want_logits */
	/* Why no token could be drawn (every token banned, logits that are not numbers), for rows
	 * whose token is -1; the other rows go on. NULL: such a row fails the whole step. */
	struct weir_error *error;
	/* Of rows with n_draft: how many guesses were right (0..n_draft), and the tokens drawn
	 * after each of them: drawn[row * WEIR_MAX_DRAFT + i] follows guess i, i < n_right[row].
	 * token[row] is the draw before the first guess. NULL: the host makes no guesses. */
	uint32_t *n_right;
	int32_t *drawn;
	/* The backend's own guesses of what comes after the row's last draw: next[row *
	 * WEIR_MAX_DRAFT + i], i < n_next[row] <= weir_row.n_want; next_ns: the time that they took
	 * within this step. NULL: the host wants none. */
	uint32_t *n_next;
	int32_t *next;
	uint64_t next_ns;
	/* Of rows with targets: score[first + k] of target k, and where alternatives are wanted
	 * score_top[first + k]; batch->n_tokens slots each. A logit that is not a number gives a
	 * logprob that is none. NULL: the batch has no targets. */
	struct weir_score *score;
	struct weir_top *score_top;
};
WEIR_FROZEN(struct weir_step, score_top);

struct weir_backend_step {
	uint32_t size, reserved;
	/* Reads the model that the instance's options name. Slow; progress through the host. Once
	 * interrupted it returns CANCELLED soon, and the instance is of no more use. [worker] */
	weir_status (*load)(struct weir_instance *, struct weir_model *ret, struct weir_error *err);
	/* One pass over the batch. Rows, blocks and positions are the core's and can be trusted in
	 * shape, tokens are < n_vocab. An error fails every row of the step. UNAVAILABLE is more:
	 * the instance is lost (its device, its process), no later call can succeed. The host then
	 * calls only interrupt(), stop() and destroy(), goes on with its requests on another
	 * instance, and makes a fresh one. So it does after five failed steps in a row. [step] */
	weir_status (*step)(struct weir_instance *, const struct weir_batch *,
			    struct weir_step *ret, struct weir_error *err);
	/* A running load() or step() returns CANCELLED soon. A load() that comes only after it may,
	 * too; a step() does its work. [any] */
	void (*interrupt)(struct weir_instance *);
};
WEIR_FROZEN(struct weir_backend_step, interrupt);

/* Beside step(), or alone for encoders: texts as vectors. */
#define WEIR_EMBEDDER "weir.embedder/1"

struct weir_embedder_info {
	uint32_t size, n_dim; /* of a vector; 1 with RANK */
	uint32_t max_tokens;  /* of one text, special tokens included */
	uint32_t max_batch;   /* tokens of one embed(), over all texts */
	uint32_t pooling;     /* enum weir_pooling: what the model was trained with */
	uint32_t normalize;   /* 1: vectors have length 1 */
};
WEIR_FROZEN(struct weir_embedder_info, normalize);

enum weir_pooling {
	WEIR_POOLING_MEAN = 1,
	WEIR_POOLING_CLS = 2,
	WEIR_POOLING_LAST = 3,
	WEIR_POOLING_RANK = 4, /* a cross-encoder's score of (query, document) */
};

struct weir_embedder {
	uint32_t size, reserved;
	/* After load(). [any] */
	void (*info)(struct weir_instance *, struct weir_embedder_info *ret);
	/* Vectors of n_texts texts: tokens[first[i] .. first[i + 1]), first[0] = 0; ret holds
	 * n_texts * n_dim floats. Touches no KV block. Same thread as step(), and UNAVAILABLE means
	 * the same. [step] */
	weir_status (*embed)(struct weir_instance *, const int32_t *tokens, const uint32_t *first,
			     uint32_t n_texts, float *ret, struct weir_error *err);
	/* The tokens of a RANK model's pair, as it was trained: as weir_tokenizer.encode.
	 * UNSUPPORTED: not such a model. [worker] */
	weir_status (*encode_pair)(struct weir_instance *, struct weir_str query,
				   struct weir_str document, int32_t *out, size_t cap,
				   size_t *ret_n, struct weir_error *err);
};
WEIR_FROZEN(struct weir_embedder, encode_pair);

/*
 * An instance of level A that can go on with an answer which another one has begun: it takes the
 * request's field `resume`. Level B needs nothing: the core does it. The field is
 *   {"seed": "N", "started": true, "prompt_events": N,
 *    "choices": [{"tokens": [id, ...], "events": N}, ...]}
 * seed: of the request, in decimal. started: STARTED was taken. prompt_events: so many PROMPT
 * events were. choices (n of them): the tokens whose first event was taken, in order, and the
 * number of events taken of the choice (the parts of a token are events, too; the last token's may
 * be incomplete). The producer computes prompt and tokens, draws nothing for them, does not tell
 * again what was told, and goes on: the client sees neither a gap nor a repetition. The end's
 * numbers are those of the whole answer. A field that does not fit the request ends it with
 * INTERNAL. Of an embed request, one choice: no tokens, and as many events as vectors were taken.
 */
#define WEIR_RESUME "weir.resume/1"
struct weir_resume {
	uint32_t size, reserved;
};
WEIR_FROZEN(struct weir_resume, reserved);

/*
 * An instance of level A that is not ready as soon as start() has returned, or that may lose and
 * regain what it works with: a process of its own, another machine. Without it such an instance is
 * ready from start() on.
 */
#define WEIR_REPORT "weir.report/1"

enum weir_report_state {
	WEIR_REPORT_LOADING = 1, /* not ready yet: requests are refused, or wait (load_on_demand) */
	WEIR_REPORT_READY = 2,   /* submit() is welcome; what must wait meanwhile waits inside */
	WEIR_REPORT_FAILED = 3,  /* for good: the host ends the instance; error says why */
};

struct weir_report_info {     /* what is not known is 0 */
	uint32_t size, state; /* enum weir_report_state */
	uint32_t n_ctx;       /* as in struct weir_model, as the next three */
	uint32_t max_rows;
	uint64_t bytes_weights, bytes_kv;
	uint32_t n_waiting; /* requests of the host's that have not begun */
	uint32_t is_away;   /* 1: ready, but what comes now waits until it is back: another backend
			     * that serves the same name is preferred */
	char error[448];    /* NUL-terminated UTF-8 */
};
WEIR_FROZEN(struct weir_report_info, error);

struct weir_report {
	uint32_t size, reserved;
	void (*info)(struct weir_instance *, struct weir_report_info *ret); /* [any] */
	/* Members of the backend's object in /health, `"model":{...},"process":{...}`, or "": to be
	 * freed with free(). [any] */
	char *(*health)(struct weir_instance *);
	/* The series of another process's host as text (Prometheus 0.0.4), to be freed with free();
	 * NULL: none. The host adds them to its own. *ret_life: another number when it is another
	 * process, whose counters begin at 0. [any] */
	char *(*metrics)(struct weir_instance *, uint64_t *ret_life);
};
WEIR_FROZEN(struct weir_report, metrics);

/* Adapters (LoRA) that were loaded with the model. Level A: together with weir.report/1. */
#define WEIR_ADAPTERS "weir.adapters/1"
struct weir_adapters {
	uint32_t size, reserved;
	/* The name of adapter i (1..), or NULL past the last one. After load(). [any] */
	const char *(*name)(struct weir_instance *, uint32_t i);
};
WEIR_FROZEN(struct weir_adapters, name);

#endif
