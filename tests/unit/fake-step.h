/*
 * fake-step.h - a level-B backend whose arithmetic is a hash, for tests of the scheduler.
 *
 * Its KV blocks hold the tokens themselves. The next token is a hash of what the row's block table
 * says that positions 0 .. n - 1 hold, and of the seed: a wrong block, a lost token, a missed copy,
 * a stale prefix give another output than fake_oracle(), which hashes the tokens in order. It also
 * checks what it is given: shape of the batch, numbers that had been said to be gone, two rows that
 * write to one place; a breach is counted and described.
 *
 * Tokenizer: token 0 ends, token 1 is nothing, 2 + b is the byte b.
 */
#ifndef WEIR_TEST_FAKE_STEP_H
#define WEIR_TEST_FAKE_STEP_H

#include <glib.h>

#include <weir/answer.h>
#include <weir/backend.h>
#include <weir/grammar.h>
#include <weir/tokenizer.h>

#define FAKE_VOCAB 258

struct fake {
	struct weir_instance instance;
	struct weir_model model;
	int32_t *kv;          /* n_blocks * block_tokens; -1: never written */
	GHashTable *gone;     /* numbers that must not come again */
	uint32_t *written_in; /* the step that last wrote to a place */
	gboolean grammars;    /* offers weir.grammar/1: see fake_grammar in fake-step.c */
	gint n_places;        /* grammars' and places' that live; atomic */
	gint n_masks;         /* atomic */
	gboolean heedless;    /* draws what the mask forbids */
	gboolean answers;     /* offers weir.answer/1: see fake_answer in fake-step.c */
	uint32_t memory;      /* the next token hangs on so many last ones only; 0: on all */
	uint32_t end_one_in;  /* about one token in so many ends; 0: none */
	gint fail_load;       /* load() fails */
	gint fail_steps;      /* so many steps fail from now on; atomic */
	gint fail_row_at;     /* a row whose history is so long fails alone; 0: none; atomic */
	gint lose_at;     /* the instance is lost at this step, counted from 1; 0: never; atomic */
	gint lose;        /* 1: it is lost at the next step or batch of texts; atomic */
	gint lost;        /* it was; atomic */
	gint gate;        /* 1: step() waits until it is 0 or interrupted; atomic */
	gint interrupted; /* atomic */
	gint busy;        /* step() is running: never twice; atomic */
	gulong pause_us;  /* length of a step */

	/* weir.embedder/1, offered when n_dim > 0: fake_vector() of each text. */
	struct weir_embedder_info embed;
	gint fail_embeds;             /* so many fail; atomic */
	gint n_embeds, n_embed_texts; /* atomic */
	gint most_embed_tokens;

	gint n_steps, n_copies, n_gone, n_tokens, n_breaches; /* atomic */
	gint n_guesses, n_right;
	gint n_scored; /* atomic */
	gint most_rows;
	char breach[200]; /* the first one */
};

void fake_init(struct fake *, uint32_t n_ctx, uint32_t max_rows, uint32_t max_tokens,
	       uint32_t block_tokens, uint32_t n_blocks);
void fake_clear(struct fake *);

/* Output tokens that follow the prompt: at most max, the end token included. */
GArray *fake_oracle(const struct fake *, const int32_t *prompt, guint n_prompt, guint64 seed,
		    guint max, guint min);
/* What the model says of tokens[at] (at > 0) after those before it: log-probability and rank. */
float fake_score(const struct fake *, const int32_t *tokens, guint at, uint32_t *ret_rank);
/* The vector of a text, n_dim floats. */
void fake_vector(const struct fake *, const int32_t *tokens, guint n, float *ret);
/* The seed of a choice. */
guint64 fake_seed(guint64 seed, guint index);

#endif
