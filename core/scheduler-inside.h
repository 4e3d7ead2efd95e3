/*
 * core/scheduler-inside.h - the inside of the scheduler, shared by scheduler*.c only.
 */
#ifndef WEIR_CORE_SCHEDULER_INSIDE_H
#define WEIR_CORE_SCHEDULER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

#include "batch.h"
#include "loop.h"
#include "metrics.h"
#include "scheduler-progress.h"
#include "scheduler.h"

#define WEIR_MAX_FAILURES 5 /* steps in a row that failed: the backend is given up */

enum weir_finish_reason {
	WEIR_REASON_STOP,
	WEIR_REASON_LENGTH,
	WEIR_REASON_ABORT,
	WEIR_REASON_ERROR
};

/* vLLM's series under their own names, and ours; see scheduler-metrics.c. */
struct weir_engine_metrics {
	weir_metric *running, *waiting, *kv_usage, *stalled;
	weir_metric *prompt_tokens, *prompt_cached, *prompt_recomputed, *generation_tokens;
	weir_metric *success[4]; /* by weir_finish_reason */
	weir_metric *preemptions, *prefix_queries, *prefix_hits, *orphaned;
	weir_metric *ttft, *inter_token, *per_output_token, *e2e, *queue, *inference, *prefill;
	weir_metric *decode, *request_prompt, *request_generation, *request_max_generation;
	weir_metric *request_computed, *params_n, *params_max_tokens, *iteration;
	weir_metric *queue_depth, *queue_wait;
	weir_metric *drafts, *draft_tokens, *accepted, *accepted_at[WEIR_MAX_DRAFT];
};

struct weir_embed_engine;       /* scheduler-embed.c */
struct weir_scheduler_grammars; /* scheduler-grammar.c */

struct weir_scheduler {
	struct weir_scheduler_options options;
	pthread_t thread;
	bool started;                    /* main only */
	atomic_bool ended;               /* the thread has nothing more to do */
	_Atomic uint32_t max_concurrent; /* of options, as a reload has changed them */
	_Atomic int64_t park_after_ms;

	/* Written by the thread before state becomes READY; read by everybody after. */
	struct weir_model model;
	const struct weir_tokenizer *tokenizer; /* NULL: the backend has none */
	const struct weir_adapters *adapters;   /* NULL: the backend has none */
	const struct weir_answer_api *answers;  /* NULL: all text is plain */
	uint32_t longest;                       /* positions: context, or all blocks if fewer */
	atomic_int state;
	atomic_size_t n_active, n_waiting;
	atomic_uint n_used, n_cached;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	char error[448];                     /* lock: why state is FAILED */
	struct weir_job *inbox, *inbox_last; /* lock */
	bool stop;                           /* lock */
	bool nudged;                         /* lock: look, though there is no message */
	atomic_bool released;                /* everybody is handed back */
	uint64_t print;                      /* constant once loaded */
	struct weir_progress progress;

	/* The thread's own. */
	struct weir_batcher *batcher;
	struct weir_tenants *tenants;
	GPtrArray *jobs; /* admitted */
	GPtrArray *dead; /* over; freed when nothing points into them any more */
	struct weir_bell bell;
	uint64_t next_order;
	uint32_t n_failures; /* in a row */
	struct weir_step step;
	struct weir_embed_engine *embed;          /* NULL: the backend makes no vectors */
	struct weir_scheduler_grammars *grammars; /* NULL: the backend knows no grammars */
	GString *text, *bytes;                    /* scratch of one token */
	GString *top_text;
	struct weir_engine_metrics metrics;
	uint64_t seen_preempted, seen_recomputed, seen_drafts, seen_guesses, seen_right;
	uint64_t seen_right_at[WEIR_MAX_DRAFT];
};

/* scheduler-prompt.c: fills prompt or reply from the request. [worker] */
weir_status weir_scheduler_prepare(struct weir_scheduler *, struct weir_job *,
				   struct weir_error *err);
/* The bytes of a token into out. */
void weir_scheduler_piece(const struct weir_scheduler *, int32_t token, uint32_t flags,
			  GString *out);

/* Tokens of a text; *ret is g_free()d by the caller. [worker] */
weir_status weir_scheduler_encode(const struct weir_scheduler *, struct weir_str text,
				  uint32_t flags, int32_t **ret, uint32_t *ret_n,
				  struct weir_error *err);

#define WEIR_SCHEDULER_MAX_TOKENS (1u << 24) /* of one text: no context is as long */

/* The prompt of a chat, a completion, or what tokenize is asked about. context: empty; a chat's. */
weir_status weir_scheduler_read_prompt(const struct weir_scheduler *, const weir_request *,
				       uint32_t flags, GString *context, int32_t **ret,
				       uint32_t *ret_n, struct weir_error *err);
/* {kwargs..., "messages": ..., "tools": ...}: the template's own arguments never replace these. */
weir_status weir_scheduler_chat_context(const weir_request *, GString *out, struct weir_error *err);
/* "[1, 2, 3]", and nothing else. */
weir_status weir_scheduler_read_ids(struct weir_str json, uint32_t n_vocab, int32_t **ret,
				    uint32_t *ret_n, struct weir_error *err);

/* The answer's readers; what tool_choice demands is put behind the prompt. */
weir_status weir_scheduler_begin_answer(struct weir_scheduler *, struct weir_job *,
					struct weir_str context, struct weir_error *err);

/* scheduler-tokens.c: fill a job's reply. [worker] */
weir_status weir_scheduler_tokenize(struct weir_scheduler *, struct weir_job *,
				    struct weir_error *err);
weir_status weir_scheduler_detokenize(const struct weir_scheduler *, struct weir_job *,
				      struct weir_error *err);
/* The prompt of a completion with a suffix: what belongs between the two. */
weir_status weir_scheduler_encode_hole(const struct weir_scheduler *, const weir_request *,
				       int32_t **ret, uint32_t *ret_n, struct weir_error *err);

/* scheduler-embed.c */
/* After load(): is there an embedder, and is it whole? [the thread] */
weir_status weir_embed_engine_new(struct weir_scheduler *, struct weir_error *err);
void weir_embed_engine_free(struct weir_embed_engine *); /* NULL: nothing */
/* Fills embed of a job of the kind embed or rerank. [worker] */
weir_status weir_scheduler_prepare_embed(struct weir_scheduler *, struct weir_job *,
					 struct weir_error *err);
/* One batch of texts, if any are ready. False: none. [the thread] */
bool weir_scheduler_run_embeds(struct weir_scheduler *);
/* scheduler.c: a job's STARTED event. It is admitted, or over; or false: it has no credit. */
bool weir_scheduler_begin(struct weir_scheduler *, struct weir_job *);
/* Sends a job's reply and ends it, if there is credit; else wake() brings it back. */
void weir_scheduler_try_reply(struct weir_scheduler *, struct weir_job *);
/* A step or a batch of texts has failed; too many in a row, and the backend is given up. */
void weir_scheduler_failed(struct weir_scheduler *, const char *why);
/* The instance is lost: nothing is asked of it any more. */
void weir_scheduler_lose(struct weir_scheduler *, const char *why);
bool weir_scheduler_stopping(struct weir_scheduler *);

/* scheduler-lost.c, on the thread: everybody is handed back, or ends if nobody takes them. */
void weir_scheduler_hand_back(struct weir_scheduler *);
/* After load(). */
uint64_t weir_scheduler_find_print(const struct weir_scheduler *);

/* scheduler-grammar.c */
/* After load(): does the backend know grammars? [the thread] */
weir_status weir_scheduler_grammars_new(struct weir_scheduler *, struct weir_error *err);
void weir_scheduler_grammars_free(struct weir_scheduler_grammars *); /* NULL: nothing */
/* Compiles the request's grammar, if it has one, and gives each choice a place in it. [worker] */
weir_status weir_scheduler_prepare_grammar(struct weir_scheduler *, struct weir_job *,
					   struct weir_error *err);
/* Before a step: masks of the rows that draw. After it: rows without one have failed. */
void weir_scheduler_mask(struct weir_scheduler *, const struct weir_batch *);
void weir_scheduler_unmask(struct weir_scheduler *, const struct weir_batch *);
/* A token was drawn; then: may nothing but the end follow? */
weir_status weir_scheduler_accept(struct weir_sequence *, int32_t token, struct weir_error *err);
bool weir_scheduler_grammar_over(const struct weir_sequence *);

/* scheduler-answer.c: readers for a chat's choices, and what tool_choice demands. context: what the
 * template gets. *ret_prefix: text that goes behind the prompt, or NULL; free() it. [worker] */
weir_status weir_scheduler_open_answers(struct weir_scheduler *, struct weir_job *,
					struct weir_str context, char **ret_prefix,
					struct weir_error *err);
/* The event of a drawn token goes out as what its text means; what finds no credit waits. Errors:
 * as weir_stream_emit(), but for NO_CREDIT. [the thread] */
weir_status weir_scheduler_emit(struct weir_scheduler *, struct weir_sequence *,
				struct weir_event *);
/* An event, or it waits in the job. Errors: as weir_stream_emit(), but for NO_CREDIT. */
weir_status weir_scheduler_send(struct weir_scheduler *, struct weir_job *,
				const struct weir_event *);
/* Sends what waits, and ends a request that only waited for that. False: some still does; a wake()
 * will come. [the thread] */
bool weir_scheduler_flush(struct weir_scheduler *, struct weir_job *);

/* scheduler-score.c: a prompt's tokens as events, with log-probabilities where these are asked for.
 */
/* Is the request's echo possible? [worker] */
weir_status weir_scheduler_prepare_echo(const struct weir_scheduler *, struct weir_job *,
					struct weir_error *err);
/* Tells what can be told of the prompt without the model. False: credit ran out. [the thread] */
bool weir_scheduler_echo(struct weir_scheduler *, struct weir_job *);
/* What the step has found out of a row's targets. False: the request has ended with it. */
bool weir_scheduler_deliver_scores(struct weir_scheduler *, struct weir_sequence *,
				   const struct weir_row *);
/* The prompt's first n tokens have been told by another instance. [worker] */
void weir_scheduler_skip_echo(struct weir_scheduler *, struct weir_job *, uint32_t n);
/* Ends requests without output whose prompts have been told. True: there was one. */
bool weir_scheduler_end_silent(struct weir_scheduler *);

/* scheduler-resume.c: an answer that another instance has begun, by the request's field `resume`.
 * The job is prepared but for that; nothing without the field. INTERNAL: it does not fit. [worker]
 */
weir_status weir_scheduler_resume(struct weir_scheduler *, struct weir_job *,
				  struct weir_error *err);
/* The field for what the job's client has taken so far; g_free(). NULL: nothing was. The thread. */
char *weir_scheduler_told(const struct weir_job *);
uint32_t weir_job_told_vectors(const struct weir_job *);
/* An event of the output was taken. Was it, by an instance before this one? */
void weir_job_told(struct weir_job *, const struct weir_event *);
bool weir_job_skips(struct weir_job *, const struct weir_event *);

/* scheduler-output.c, on the thread. */
/* What a token adds to its choice's text, and whether the choice ends with it: a weir_finish.
 * bytes: the token's own. Also on a worker, before the job is handed over. */
uint32_t weir_scheduler_take_token(struct weir_scheduler *, struct weir_sequence *, int32_t token,
				   GString *text, GString *bytes);
/* A step's alternatives with their texts, lent until the next call. ret holds 20. */
uint32_t weir_scheduler_tops(struct weir_scheduler *, const struct weir_top *, uint32_t n_wanted,
			     struct weir_top_logprob *ret);
/* The stream took no event: the request ends. */
void weir_scheduler_refused(struct weir_scheduler *, struct weir_job *, weir_status);
/* What the step has drawn. */
void weir_scheduler_deliver(struct weir_scheduler *, const struct weir_batch *);
/* A job is this scheduler's no longer; it is freed at the end of the turn. */
void weir_scheduler_drop(struct weir_scheduler *, struct weir_job *);
/* Ends a job, admitted or not, and frees it. err NULL: every choice is done. */
void weir_scheduler_finish(struct weir_scheduler *, struct weir_job *, const struct weir_error *err,
			   uint32_t retry_after_ms);

/* scheduler-metrics.c */
void weir_engine_metrics_init(struct weir_engine_metrics *, struct weir_metric_set *,
			      const char *model_name, const struct weir_model *);
void weir_engine_metrics_admitted(struct weir_engine_metrics *, const struct weir_job *);
void weir_engine_metrics_token(struct weir_engine_metrics *, struct weir_sequence *,
			       int64_t now_ns);
void weir_engine_metrics_ended(struct weir_engine_metrics *, const struct weir_job *,
			       enum weir_finish_reason);
/* Gauges and counters of one turn of the loop. */
void weir_engine_metrics_turn(struct weir_scheduler *);

/* scheduler-adapter.c: the adapter that the job's request means, by its field `adapter` or by its
 * model's name, and the root of its prefixes. INVALID: there is none of that name. [worker] */
weir_status weir_scheduler_choose_adapter(const struct weir_scheduler *, struct weir_job *,
					  struct weir_error *err);

#endif
