/* SPDX-License-Identifier: MIT */
/*
 * embedder.c - a model's weights, program and pooling put together; see embedder.h.
 */
#include "embedder.h"
#include "embed.h"
#include "fail.h"
#include "graph-encoder.h"

#include <stdlib.h>

struct weir_tensor_embedder {
	struct weir_tensor_embedder_config c;
	struct weir_encoder_weights *weights;
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

static weir_status make_embed(struct weir_tensor_embedder *e, uint32_t output,
			      struct weir_error *err)
{
	struct weir_embed_config c = { .device = e->c.device,
				       .instance = e->c.instance,
				       .program = e->program,
				       .output = output,
				       .n_dim = e->info.n_dim,
				       .n_vocab = e->c.hparams->n_vocab,
				       .max_tokens = e->info.max_tokens,
				       .max_batch = e->info.max_batch,
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
	struct weir_graph_encoder_limits limits = { .max_rows = WEIR_EMBED_ROWS,
						    .pooling = pooling };
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
	s = weir_graph_encoder_build(c->hparams, e->weights, &limits, &e->program, &output, err);
	if (s < 0)
		goto fail;
	s = make_embed(e, output, err);
	if (s < 0)
		goto fail;
	*ret = e;
	return WEIR_OK;
fail:
	weir_tensor_embedder_free(e);
	return s;
}

void weir_tensor_embedder_free(struct weir_tensor_embedder *e)
{
	if (!e)
		return;
	weir_embed_free(e->embed);
	if (e->program)
		e->c.device->program_free(e->c.instance, e->program);
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
	return weir_embed_run(e->embed, tokens, first, n_texts, ret, err);
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
