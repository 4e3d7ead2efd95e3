/*
 * core/sequence.h - a request inside a scheduler (job) and its choices (sequences).
 *
 * A sequence owns its tokens and references to KV blocks. Always true for one that is RUNNING: its
 * blocks hold positions 0 .. n_kv - 1 of its tokens, n_kv < n_tokens, and what is missing is in the
 * next batch that has room. One that WAITS has no blocks and n_kv = 0: nothing is lost, its tokens
 * (prompt and output so far) are computed again. Only the scheduler's thread touches sequences; a
 * job is built on a worker and handed over.
 */
#ifndef WEIR_CORE_SEQUENCE_H
#define WEIR_CORE_SEQUENCE_H

#include <weir/answer.h>
#include <weir/backend.h>
#include <weir/grammar.h>

#include "blocks.h"
#include "embed-work.h"
#include "guess.h"
#include "stream.h"
#include "tenants.h"
#include "text.h"

#define WEIR_NO_BLOCK UINT32_MAX

enum weir_sequence_state { WEIR_SEQUENCE_WAITS, WEIR_SEQUENCE_RUNS, WEIR_SEQUENCE_DONE };

struct weir_job;

struct weir_sequence {
	struct weir_job *job;
	uint32_t index; /* which of n choices */
	enum weir_sequence_state state;
	uint64_t number; /* the backend's name for it; a new one after each loss of its blocks */
	bool known;      /* the backend has seen this number */
	uint64_t seed;

	int32_t *tokens; /* prompt, output */
	uint32_t n_tokens, cap_tokens, n_output;
	uint32_t n_kv;
	uint32_t *blocks;
	uint32_t n_blocks, cap_blocks;
	uint32_t n_keyed;           /* so many of its blocks have keys */
	struct weir_prefix_key key; /* of the last of those */

	/* The plan for the next step; take 0: it is not in it. */
	uint32_t take;
	bool samples;
	uint32_t n_guesses;          /* the last of take: they stand behind n_tokens */
	uint32_t copy_from, copy_to; /* a shared block that it is about to write; or NO_BLOCK */

	struct weir_guesser *guesser; /* from its first use on */
	/* Guesses that the backend made of what follows tokens[0 .. offered_at). */
	int32_t offered[WEIR_MAX_DRAFT];
	uint32_t n_offered, offered_at, n_want;
	weir_grammar_state *place; /* in the request's grammar; NULL: it has none */
	struct weir_cutter *cutter;
	weir_answer *answer;                /* reads the text; NULL: it is plain */
	uint32_t finish, stop, n_reasoning; /* as weir_choice_end */
	/* What its client has taken: tokens whose first event was, and events. skip: so many more
	 * of the events to come were taken from an instance before this one. */
	uint32_t n_told;
	uint64_t n_told_events, skip;
	int64_t last_token_ns;
};

struct weir_job {
	struct weir_waiter waiter; /* first: tenants.h hands these out */
	struct weir_job *next_in;  /* the scheduler's inbox; its lock */
	bool in_inbox;             /* its lock */
	bool arrived;              /* the scheduler's thread has seen it */

	weir_stream *out;
	struct weir_channel *channel;
	weir_request *request;
	const struct weir_sampling *sampling;
	const struct weir_limits *limits;
	struct weir_stops *stops;
	const struct weir_answer_api *answers; /* of the sequences\' readers; NULL: none */
	char *grammar;   /* a spec that tool_choice demands, from malloc(); NULL: none */
	GQueue *pending; /* events that found no credit; NULL: none */
	char *reply;     /* tokenize, detokenize: the whole answer; no sequences */
	struct weir_embed_work *embed; /* embed, rerank: no sequences */

	const struct weir_grammar_api *grammar_api; /* of the places */

	int32_t *prompt;
	uint32_t n_prompt, max_output;
	/* limits.echo: so many of the prompt's tokens have been told; and, when they are told with
	 * their log-probabilities, those after positions 0 .. n_scored - 1 are known. */
	uint32_t n_echoed, n_scored,
		n_told_prompt;      /* n_told_prompt: their events that were taken */
	bool scores, own_text;      /* own_text: the prompt was text, not token ids */
	bool after_control;         /* the last one told was a control token */
	struct weir_cutter *echoed; /* of the prompt's text; NULL: no echo */
	uint32_t adapter;           /* 0: none */
	struct weir_prefix_key root;

	uint64_t seed; /* the request's, or that of the instance before */
	bool started;  /* STARTED was taken */
	bool replays;  /* scheduler-resume.c goes through what was told: nothing is sent */
	bool admitted, forked;
	bool over;    /* ended: only to be freed */
	bool stalled; /* no credit when last looked at: a wake() will come */
	int64_t stalled_ns;
	uint32_t credit; /* what is left for the step being planned */
	uint64_t order;  /* of admission */
	uint32_t n_cached;
	int64_t arrived_ns, admitted_ns, first_ns, last_ns;
	uint64_t trace_row; /* scheduler-trace.h; 0: none yet */

	uint32_t lead; /* the first choice that lives when it begins: it computes the prompt */
	uint32_t n, n_live;
	struct weir_sequence seqs[];
};

/* Takes references of both. */
struct weir_job *weir_job_new(struct weir_channel *, weir_request *);
/* The sequences must have lost their blocks. NULL: nothing. */
void weir_job_free(struct weir_job *);
/* Gives every choice its seed and cutter, the first one its tokens. The prompt must be there. */
void weir_job_prepare(struct weir_job *);
void weir_job_give_seeds(struct weir_job *, uint64_t seed);
/* Tokens that the job holds when it begins, of the choice that computes them first. */
uint32_t weir_job_size(const struct weir_job *);

/* Tokens that a prefill still has to compute before the sequence may draw: with several choices the
 * first one stops before the last prompt token, which each choice computes for itself. */
uint32_t weir_sequence_pending(const struct weir_sequence *, bool *ret_samples);
/* Is the prompt's log-probability wanted at what it computes next? */
bool weir_sequence_scores(const struct weir_sequence *);
void weir_sequence_append(struct weir_sequence *, int32_t token);
void weir_sequence_give_prompt(struct weir_sequence *);
/* Room for n guesses behind the tokens. */
int32_t *weir_sequence_tail(struct weir_sequence *, uint32_t n);

/* Takes what the cache has of a sequence that begins (again); the last token is always left to be
 * computed. Returns the number of tokens found. */
uint32_t weir_sequence_match(struct weir_sequence *, struct weir_blocks *);
/* Blocks for positions n_kv .. n_kv + count - 1, the first of them copied if others share it. Keeps
 * what it got when the blocks run out: false, and the next call goes on. */
bool weir_sequence_reserve(struct weir_sequence *, struct weir_blocks *, uint32_t count);
/* How many tokens the blocks that it has, and those that could be had, would hold beyond n_kv. */
uint32_t weir_sequence_room(const struct weir_sequence *, const struct weir_blocks *);
/* The step has computed `take` tokens: full blocks become known. */
void weir_sequence_advance(struct weir_sequence *, struct weir_blocks *);
/* Takes back the plan's copy; done before the blocks go, and after every step. */
void weir_sequence_drop_copy(struct weir_sequence *, struct weir_blocks *);
/* All blocks back, tail first. State, number and plan are the caller's. */
void weir_sequence_drop_blocks(struct weir_sequence *, struct weir_blocks *);
/* The other choices get their tokens and share the first one's blocks. */
void weir_job_fork(struct weir_job *, struct weir_blocks *);

#endif
