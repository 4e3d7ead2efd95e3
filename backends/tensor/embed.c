/* SPDX-License-Identifier: MIT */
/*
 * embed.c - texts become batches of a device, rows become vectors; see embed.h. The step's thread.
 */
#include "embed.h"
#include "fail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_embed {
	struct weir_embed_config c;
	int32_t *token, *pos, *row, *type; /* [max_batch] */
	uint32_t *slot;                    /* [max_batch], zeros: there is no cache */
	uint32_t first[WEIR_EMBED_ROWS + 1], out_row[WEIR_EMBED_ROWS];
	uint32_t kv_len[WEIR_EMBED_ROWS], blocks[WEIR_EMBED_ROWS];
	double *sum; /* [n_dim] */
};

uint32_t weir_embed_pooling(const struct weir_gguf *g, const char *arch, uint32_t otherwise)
{
	char key[96];
	uint64_t x;

	snprintf(key, sizeof(key), "%s.pooling_type", arch);
	if (weir_gguf_u64(g, key, &x, NULL) != WEIR_OK || x < WEIR_POOLING_MEAN ||
	    x > WEIR_POOLING_RANK)
		return otherwise;
	return (uint32_t)x;
}

weir_status weir_embed_new(const struct weir_embed_config *config, struct weir_embed **ret,
			   struct weir_error *err)
{
	struct weir_embed *e = calloc(1, sizeof(*e));

	if (!e)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for embeddings");
	e->c = *config;
	e->token = calloc(config->max_batch, sizeof(*e->token));
	e->pos = calloc(config->max_batch, sizeof(*e->pos));
	e->row = calloc(config->max_batch, sizeof(*e->row));
	e->type = calloc(config->max_batch, sizeof(*e->type));
	e->slot = calloc(config->max_batch, sizeof(*e->slot));
	e->sum = calloc(config->n_dim, sizeof(*e->sum));
	if (!e->token || !e->pos || !e->row || !e->type || !e->slot || !e->sum) {
		weir_embed_free(e);
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for embeddings");
	}
	*ret = e;
	return WEIR_OK;
}

void weir_embed_free(struct weir_embed *e)
{
	if (!e)
		return;
	free(e->token);
	free(e->pos);
	free(e->row);
	free(e->type);
	free(e->slot);
	free(e->sum);
	free(e);
}

/* Mean of n rows, in their order: the same sum whatever stands beside them. */
static void mean(struct weir_embed *e, const float *rows, uint32_t n, float *ret)
{
	uint32_t n_dim = e->c.n_dim;

	memset(e->sum, 0, n_dim * sizeof(*e->sum));
	for (uint32_t t = 0; t < n; t++)
		for (uint32_t d = 0; d < n_dim; d++)
			e->sum[d] += (double)rows[(size_t)t * n_dim + d];
	for (uint32_t d = 0; d < n_dim; d++)
		ret[d] = (float)(e->sum[d] / n);
}

static void normalise(float *x, uint32_t n)
{
	double sum = 0, scale;

	for (uint32_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	scale = sum > 0 ? 1 / sqrt(sum) : 0;
	for (uint32_t i = 0; i < n; i++)
		x[i] = (float)((double)x[i] * scale);
}

static weir_status check(const struct weir_embed *e, const int32_t *tokens, const uint32_t *first,
			 uint32_t n_texts, struct weir_error *err)
{
	if (first[0] != 0)
		return weir_fail(err, WEIR_E_INVALID, "embed: the first text begins at %u",
				 first[0]);
	for (uint32_t i = 0; i < n_texts; i++) {
		uint32_t from = first[i], end = first[i + 1];

		if (end <= from || end - from > e->c.max_tokens)
			return weir_fail(err, WEIR_E_INVALID,
					 "embed: text %u has %lld tokens, it may have 1 to %u", i,
					 (long long)end - (long long)from, e->c.max_tokens);
		for (uint32_t t = from; t < end; t++)
			if (tokens[t] < 0 || (uint32_t)tokens[t] >= e->c.n_vocab)
				return weir_fail(err, WEIR_E_INVALID,
						 "embed: token %d in text %u is not below %u",
						 tokens[t], i, e->c.n_vocab);
	}
	return WEIR_OK;
}

/* Texts of one run: as many as fit, one at least. */
static uint32_t fill(struct weir_embed *e, const int32_t *tokens, const uint32_t *first,
		     uint32_t n_texts)
{
	uint32_t n = 0, at = 0;

	while (n < n_texts && n < WEIR_EMBED_ROWS && first[n + 1] - first[0] <= e->c.max_batch) {
		uint32_t len = first[n + 1] - first[n];

		int32_t type = 0;

		for (uint32_t t = 0; t < len; t++, at++) {
			e->token[at] = tokens[first[n] + t];
			e->pos[at] = (int32_t)t;
			e->row[at] = (int32_t)n;
			e->type[at] = type;
			if (e->token[at] == e->c.sep)
				type = 1;
		}
		e->out_row[n] = e->c.pooling == WEIR_POOLING_LAST ? at - 1 : at - len;
		e->kv_len[n] = len;
		e->first[++n] = at;
	}
	return n;
}

static weir_status run(struct weir_embed *e, uint32_t n, float *ret, struct weir_error *err)
{
	const struct weir_embed_config *c = &e->c;
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_tokens = e->first[n],
					   .n_rows = n,
					   .n_out = c->pooling == WEIR_POOLING_MEAN ? 0 : n,
					   .block_stride = 1,
					   .token = e->token,
					   .pos = e->pos,
					   .row = e->row,
					   .slot = e->slot,
					   .first = e->first,
					   .kv_len = e->kv_len,
					   .blocks = e->blocks,
					   .out_row = e->out_row,
					   .type = e->type };
	const float *rows;
	weir_status s;

	s = c->device->run(c->instance, c->program, &batch, err);
	if (s >= 0)
		s = c->device->wait(c->instance, c->program, err);
	if (s < 0)
		return s;
	rows = c->device->output(c->instance, c->program, c->output);
	if (!rows)
		return weir_fail(err, WEIR_E_INTERNAL, "embed: the device gave no result");
	for (uint32_t i = 0; i < n; i++) {
		float *x = ret + (size_t)i * c->n_dim;

		if (c->pooling == WEIR_POOLING_MEAN)
			mean(e, rows + (size_t)e->first[i] * c->n_dim,
			     e->first[i + 1] - e->first[i], x);
		else
			memcpy(x, rows + (size_t)i * c->n_dim, c->n_dim * sizeof(*x));
		if (c->pooling != WEIR_POOLING_RANK)
			normalise(x, c->n_dim);
	}
	return WEIR_OK;
}

weir_status weir_embed_run(struct weir_embed *e, const int32_t *tokens, const uint32_t *first,
			   uint32_t n_texts, float *ret, struct weir_error *err)
{
	weir_status s = check(e, tokens, first, n_texts, err);
	uint32_t done = 0;

	while (s >= 0 && done < n_texts) {
		uint32_t n = fill(e, tokens, first + done, n_texts - done);

		s = run(e, n, ret + (size_t)done * e->c.n_dim, err);
		done += n;
	}
	return s < 0 ? s : WEIR_OK;
}
