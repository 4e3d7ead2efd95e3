/* SPDX-License-Identifier: MIT */
/*
 * embedder.c - a model's weights, program and pooling put together; see embedder.h.
 */
#include "embedder.h"
#include "embed.h"
#include "fail.h"
#include "graph-encoder.h"
#include "graph.h"

#include <stdlib.h>

/* A decoder's text may be as long as OpenAI's models take it, or as a step of the profile. */
#define DECODER_TOKENS 8192u

struct weir_tensor_embedder {
	struct weir_tensor_embedder_config c;
	struct weir_encoder_weights *weights; /* an encoder's own */
	const struct weir_weights *decoder;   /* or a decoder's, lent */
	uint32_t n_ctx;                       /* decoder: of the sequences that it generates */
	uint32_t capacity;                    /* decoder: tokens that its program takes; 0: none */
	weir_program *program;
	struct weir_embed *embed;
	struct weir_embedder_info info;
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* How long a text may be, and how much goes into one run. */
static void set_limits(struct weir_tensor_embedder *e, uint32_t n_possible)
{
	uint32_t n = e->c.n_ctx ? least(e->c.n_ctx, n_possible) : n_possible;

	e->info.max_tokens = n;
	e->info.max_batch = e->c.max_batch_tokens > n ? e->c.max_batch_tokens : n;
	if (e->c.n_ctx > n_possible)
		weir_host_logf(e->c.log, WEIR_LOG_WARNING,
			       "context %u is longer than the %u tokens that the model can see: "
			       "texts may have %u",
			       e->c.n_ctx, n_possible, n);
}

static weir_status make_embed(struct weir_tensor_embedder *e, uint32_t output, uint32_t max_batch,
			      struct weir_error *err)
{
	struct weir_embed_config c = { .device = e->c.device,
				       .instance = e->c.instance,
				       .program = e->program,
				       .output = output,
				       .n_dim = e->info.n_dim,
				       .n_vocab = e->c.hparams->n_vocab,
				       .max_tokens = e->info.max_tokens,
				       .max_batch = max_batch,
				       .pooling = e->info.pooling,
				       .sep = -1 };

	/* The second text of a pair is of another type where the model knows more than one. */
	if (e->info.pooling == WEIR_POOLING_RANK && e->weights && e->weights->n_types > 1)
		c.sep = e->c.sep;

	return weir_embed_new(&c, &e->embed, err);
}

static struct weir_tensor_embedder *make(const struct weir_tensor_embedder_config *c,
					 uint32_t pooling)
{
	struct weir_tensor_embedder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->c = *c;
	e->info = (struct weir_embedder_info){ .size = sizeof(e->info),
					       .n_dim = pooling == WEIR_POOLING_RANK
								? 1
								: c->hparams->n_embd,
					       .pooling = pooling,
					       .normalize = pooling != WEIR_POOLING_RANK };
	return e;
}

weir_status weir_tensor_embedder_encoder(const struct weir_tensor_embedder_config *c,
					 struct weir_tensor_embedder **ret, struct weir_error *err)
{
	uint32_t pooling = weir_embed_pooling(c->gguf, c->hparams->arch->name, WEIR_POOLING_MEAN);
	struct weir_graph_encoder_limits limits = { .pooling = pooling };
	struct weir_tensor_embedder *e = make(c, pooling);
	uint32_t output, n_possible = c->hparams->n_ctx;
	weir_status s;

	if (!e)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for an embedder");
	s = weir_encoder_weights_load(c->gguf, c->hparams, pooling == WEIR_POOLING_RANK, c->device,
				      c->instance, c->log, &e->weights, err);
	if (s < 0)
		goto fail;
	if (e->weights->n_positions)
		n_possible = least(n_possible, e->weights->n_positions);
	set_limits(e, n_possible);
	limits.max_tokens = e->info.max_batch;
	limits.max_rows =
		least(WEIR_EMBED_ROWS, limits.max_tokens); /* a text has a token at least */
	s = weir_graph_encoder_build(c->hparams, e->weights, &limits, &e->program, &output, err);
	if (s < 0)
		goto fail;
	s = make_embed(e, output, e->info.max_batch, err);
	if (s < 0)
		goto fail;
	*ret = e;
	return WEIR_OK;
fail:
	weir_tensor_embedder_free(e);
	return s;
}

/* What a decoder pools when its file does not say: texts that are trained to end with an end token
 * have their meaning in its row. */
static uint32_t decoder_pooling(const struct weir_gguf *g)
{
	bool ends = false;

	if (weir_gguf_boolean(g, "tokenizer.ggml.add_eos_token", &ends, NULL) != WEIR_OK)
		ends = false;
	return ends ? WEIR_POOLING_LAST : WEIR_POOLING_MEAN;
}

static weir_status build_decoder(const struct weir_tensor_embedder *e, uint32_t max_tokens,
				 weir_program **ret_program, uint32_t *ret_output,
				 struct weir_error *err)
{
	struct weir_graph_limits limits = { .max_tokens = max_tokens,
					    .max_rows = least(WEIR_EMBED_ROWS, max_tokens),
					    .max_out = least(WEIR_EMBED_ROWS, max_tokens),
					    .n_ctx = e->n_ctx };

	return weir_graph_build_embed(e->c.hparams, e->decoder, &limits, e->info.pooling,
				      ret_program, ret_output, err);
}

weir_status weir_tensor_embedder_decoder(const struct weir_tensor_embedder_config *c,
					 const struct weir_weights *w,
					 struct weir_tensor_embedder **ret, struct weir_error *err)
{
	uint32_t pooling =
		weir_embed_pooling(c->gguf, c->hparams->arch->name, decoder_pooling(c->gguf));
	struct weir_tensor_embedder *e;
	weir_status s;

	if (pooling == WEIR_POOLING_RANK)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "scores of pairs are supported of encoders only");
	e = make(c, pooling);
	if (!e)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for an embedder");
	e->decoder = w;
	e->n_ctx = c->n_ctx;
	e->info.max_tokens =
		least(c->n_ctx,
		      c->max_batch_tokens > DECODER_TOKENS ? c->max_batch_tokens : DECODER_TOKENS);
	e->info.max_batch =
		c->max_batch_tokens > e->info.max_tokens ? c->max_batch_tokens : e->info.max_tokens;
	s = build_decoder(e, e->info.max_batch, NULL, NULL, err);
	if (s < 0) {
		weir_tensor_embedder_free(e);
		return s;
	}
	*ret = e;
	return WEIR_OK;
}

static void drop_program(struct weir_tensor_embedder *e)
{
	weir_embed_free(e->embed);
	if (e->program)
		e->c.device->program_free(e->c.instance, e->program);
	e->embed = NULL;
	e->program = NULL;
	e->capacity = 0;
}

/* A program's memory grows with the tokens that it takes: it is made for a step's, and again when a
 * longer text comes. A device's result does not depend on it. */
static weir_status make_room(struct weir_tensor_embedder *e, const uint32_t *first,
			     uint32_t n_texts, struct weir_error *err)
{
	uint64_t capacity = e->c.max_batch_tokens, longest = 0;
	uint32_t output;
	weir_status s;

	for (uint32_t i = 0; i < n_texts; i++) {
		uint64_t n = first[i + 1] > first[i] ? first[i + 1] - first[i] : 0;

		/* Longer ones are refused by weir_embed_run(). */
		if (n > longest && n <= e->info.max_tokens)
			longest = n;
	}
	if (e->capacity >= longest && e->embed)
		return WEIR_OK;
	while (capacity < longest)
		capacity *= 2;
	if (capacity > e->info.max_batch)
		capacity = e->info.max_batch;
	drop_program(e);
	s = build_decoder(e, (uint32_t)capacity, &e->program, &output, err);
	if (s >= 0)
		s = make_embed(e, output, (uint32_t)capacity, err);
	if (s < 0) {
		drop_program(e);
		return s;
	}
	e->capacity = (uint32_t)capacity;
	weir_host_logf(e->c.log, WEIR_LOG_DEBUG, "embeddings: a program for %u tokens",
		       e->capacity);
	return WEIR_OK;
}

void weir_tensor_embedder_free(struct weir_tensor_embedder *e)
{
	if (!e)
		return;
	drop_program(e);
	weir_encoder_weights_free(e->weights);
	free(e);
}

void weir_tensor_embedder_info(const struct weir_tensor_embedder *e, struct weir_embedder_info *ret)
{
	uint32_t size = ret->size;

	*ret = e->info;
	ret->size = size;
}

weir_status weir_tensor_embedder_run(struct weir_tensor_embedder *e, const int32_t *tokens,
				     const uint32_t *first, uint32_t n_texts, float *ret,
				     struct weir_error *err)
{
	weir_status s = e->decoder ? make_room(e, first, n_texts, err) : WEIR_OK;

	return s < 0 ? s : weir_embed_run(e->embed, tokens, first, n_texts, ret, err);
}

uint64_t weir_tensor_embedder_bytes(const struct weir_tensor_embedder *e)
{
	return e->weights ? e->weights->n_bytes : 0;
}

uint64_t weir_tensor_embedder_params(const struct weir_tensor_embedder *e)
{
	return e->weights ? e->weights->n_params : 0;
}

uint32_t weir_tensor_embedder_type(const struct weir_tensor_embedder *e)
{
	return e->weights ? e->weights->main_type : 0;
}
