/*
 * step.c - turns the core's batch into the device's, runs it, samples; see step.h.
 */
#include "step.h"
#include "drafter.h"
#include "fail.h"
#include "sampler.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* More threads than this gain nothing in sampling, and each has its scratch memory. */
#define MAX_SAMPLERS 32

struct weir_stepper {
	struct weir_stepper_config c;
	uint32_t block_stride;
	int32_t *token, *pos, *row;        /* [max_tokens] */
	uint32_t *slot;                    /* [max_tokens] */
	uint32_t *adapter;                 /* [max_rows] */
	uint32_t *first, *kv_len, *blocks; /* [max_rows + 1], [max_rows], [..][stride] */
	uint32_t *out_row, *out_of;        /* by output; out_of: row of the batch */
	int32_t *target;                   /* by output: to be scored; -1: a draw */
	int32_t *drawn;                    /* by output; -1: no token could be drawn */
	struct weir_sampler *sampler[MAX_SAMPLERS];
	uint32_t n_samplers;
};

/* What the sampling threads share. */
struct sampling {
	struct weir_stepper *s;
	const struct weir_batch *batch;
	const float *logits;
	uint32_t n_out;
	int32_t *drawn;
	struct weir_step *ret;
	bool may_fail_alone;
	_Atomic uint32_t next;
	_Atomic bool failed; /* whoever sets it first writes error */
	struct weir_error error;
};

static void *array(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

weir_status weir_stepper_new(const struct weir_stepper_config *config, struct weir_stepper **ret,
			     struct weir_error *err)
{
	struct weir_device_info info = { .size = sizeof(info) };
	struct weir_stepper *s = calloc(1, sizeof(*s));
	weir_status status;
	size_t n_out;

	if (!s)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the step's arrays");
	s->c = *config;
	s->block_stride = (config->n_ctx + config->block_tokens - 1) / config->block_tokens;
	s->token = array(config->max_tokens, sizeof(*s->token));
	s->pos = array(config->max_tokens, sizeof(*s->pos));
	s->row = array(config->max_tokens, sizeof(*s->row));
	s->slot = array(config->max_tokens, sizeof(*s->slot));
	s->first = array((size_t)config->max_rows + 1, sizeof(*s->first));
	s->kv_len = array(config->max_rows, sizeof(*s->kv_len));
	s->adapter = array(config->max_rows, sizeof(*s->adapter));
	s->blocks = array(config->max_rows, sizeof(*s->blocks) * s->block_stride);
	n_out = (size_t)config->max_rows + config->max_guesses + config->max_scores;
	s->out_row = array(n_out, sizeof(*s->out_row));
	s->out_of = array(n_out, sizeof(*s->out_of));
	s->target = array(n_out, sizeof(*s->target));
	s->drawn = array(n_out, sizeof(*s->drawn));
	if (!s->token || !s->pos || !s->row || !s->slot || !s->first || !s->kv_len || !s->adapter ||
	    !s->blocks || !s->out_row || !s->out_of || !s->target || !s->drawn) {
		status = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the step's arrays");
		goto fail;
	}
	config->device->info(config->instance, &info);
	s->n_samplers = info.n_threads < config->max_rows ? info.n_threads : config->max_rows;
	if (s->n_samplers > MAX_SAMPLERS)
		s->n_samplers = MAX_SAMPLERS;
	if (s->n_samplers == 0 || !WEIR_HAS(struct weir_device, config->device, parallel))
		s->n_samplers = 1;
	for (uint32_t i = 0; i < s->n_samplers; i++) {
		status = weir_sampler_new(config->n_vocab, &s->sampler[i], err);
		if (status != WEIR_OK)
			goto fail;
	}
	*ret = s;
	return WEIR_OK;
fail:
	weir_stepper_free(s);
	return status;
}

void weir_stepper_free(struct weir_stepper *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_samplers; i++)
		weir_sampler_free(s->sampler[i]);
	free(s->token);
	free(s->pos);
	free(s->row);
	free(s->slot);
	free(s->first);
	free(s->kv_len);
	free(s->adapter);
	free(s->blocks);
	free(s->out_row);
	free(s->out_of);
	free(s->target);
	free(s->drawn);
	free(s);
}

/* rows may be larger than the struct that we know: they are row_size bytes apart. */
static const struct weir_row *row_at(const struct weir_batch *b, uint32_t i)
{
	return (const struct weir_row *)((const char *)b->rows + (size_t)i * b->row_size);
}

static weir_status check_batch(const struct weir_stepper *s, const struct weir_batch *b,
			       const struct weir_step *ret, struct weir_error *err)
{
	if (b->size < sizeof(*b) || b->row_size < sizeof(struct weir_row) ||
	    b->row_size % _Alignof(struct weir_row) != 0)
		return weir_fail(err, WEIR_E_INVALID, "step: a batch of another ABI");
	if (b->n_rows > s->c.max_rows)
		return weir_fail(err, WEIR_E_INVALID, "step: %u sequences, the limit is %u",
				 b->n_rows, s->c.max_rows);
	if (b->n_tokens > s->c.max_tokens)
		return weir_fail(err, WEIR_E_INVALID, "step: %u tokens, the limit is %u",
				 b->n_tokens, s->c.max_tokens);
	if (b->want_logits && !WEIR_HAS(struct weir_step, ret, logits))
		return weir_fail(err, WEIR_E_INVALID, "step: logits are wanted, but no room given");
	for (size_t i = 0; i < 2 * (size_t)b->n_copies; i++) {
		if (b->copies[i] >= s->c.n_blocks)
			return weir_fail(err, WEIR_E_INVALID, "step: copy %zu names block %u of %u",
					 i / 2, b->copies[i], s->c.n_blocks);
	}
	return WEIR_OK;
}

static weir_status check_row(const struct weir_stepper *s, const struct weir_batch *b, uint32_t i,
			     uint32_t n_tokens, uint32_t n_guesses, const struct weir_step *ret,
			     struct weir_error *err)
{
	const struct weir_row *r = row_at(b, i);
	uint64_t end = (uint64_t)r->pos + r->count;

	if (r->count == 0 || (uint64_t)r->first + r->count > b->n_tokens ||
	    r->count > s->c.max_tokens - n_tokens)
		return weir_fail(err, WEIR_E_INVALID,
				 "step: row %u has tokens %u to %llu of %u, the limit is %u", i,
				 r->first, (unsigned long long)r->first + r->count, b->n_tokens,
				 s->c.max_tokens);
	if (end > s->c.n_ctx)
		return weir_fail(err, WEIR_E_OUT_OF_RANGE,
				 "step: row %u reaches position %llu of a context of %u", i,
				 (unsigned long long)end, s->c.n_ctx);
	if ((uint64_t)r->n_blocks * s->c.block_tokens < end || !r->blocks)
		return weir_fail(err, WEIR_E_INVALID,
				 "step: row %u has %u KV blocks for %llu positions", i, r->n_blocks,
				 (unsigned long long)end);
	if (r->adapter > s->c.n_adapters)
		return weir_fail(err, WEIR_E_INVALID, "step: row %u has adapter %u of %u", i,
				 r->adapter, s->c.n_adapters);
	if (r->sampling && (!WEIR_HAS(struct weir_step, ret, token) ||
			    (r->n_history > 0 && !r->history) || r->n_prompt > r->n_history ||
			    (r->sampling->logprobs && !WEIR_HAS(struct weir_step, ret, logprob)) ||
			    (r->sampling->top_logprobs && !WEIR_HAS(struct weir_step, ret, top))))
		return weir_fail(err, WEIR_E_INVALID,
				 "step: row %u wants a token without history or room for it", i);
	if (r->n_draft > 0 &&
	    (!r->sampling || r->n_draft >= r->count || r->n_draft > WEIR_MAX_DRAFT ||
	     r->n_draft > s->c.max_guesses - n_guesses || r->n_prompt > r->n_history - r->n_draft ||
	     r->mask || r->sampling->logprobs || r->sampling->top_logprobs ||
	     !WEIR_HAS(struct weir_step, ret, n_right) || !WEIR_HAS(struct weir_step, ret, drawn)))
		return weir_fail(err, WEIR_E_INVALID,
				 "step: row %u has %u guesses among %u tokens, which cannot be", i,
				 r->n_draft, r->count);
	return WEIR_OK;
}

/* n_scored: targets of the rows before this one. */
static weir_status check_targets(const struct weir_stepper *s, const struct weir_batch *b,
				 uint32_t i, uint32_t n_scored, const struct weir_step *ret,
				 struct weir_error *err)
{
	const struct weir_row *r = row_at(b, i);

	if (!r->targets)
		return WEIR_OK;
	if (r->count > s->c.max_scores - n_scored || r->n_draft > 0 ||
	    !WEIR_HAS(struct weir_step, ret, score) ||
	    (r->n_target_top > 0 && !WEIR_HAS(struct weir_step, ret, score_top)))
		return weir_fail(err, WEIR_E_INVALID,
				 "step: row %u has %u targets, beside %u and %u guesses; the limit "
				 "is %u",
				 i, r->count, n_scored, r->n_draft, s->c.max_scores);
	for (uint32_t k = 0; k < r->count; k++) {
		if (r->targets[k] >= 0 && (uint32_t)r->targets[k] >= s->c.n_vocab)
			return weir_fail(err, WEIR_E_INVALID,
					 "step: row %u asks for token %d, the vocabulary has %u", i,
					 r->targets[k], s->c.n_vocab);
	}
	return WEIR_OK;
}

/* The places of row i, whose tokens begin at n_tokens, of which logits are wanted. */
static uint32_t lay_out_outputs(struct weir_stepper *s, const struct weir_row *r, uint32_t i,
				uint32_t n_tokens, uint32_t n_out)
{
	for (uint32_t k = 0; r->targets && k < r->count; k++) {
		if (r->targets[k] < 0)
			continue;
		s->target[n_out] = r->targets[k];
		s->out_row[n_out] = n_tokens + k;
		s->out_of[n_out++] = i;
	}
	for (uint32_t k = 0; r->sampling && k <= r->n_draft; k++) {
		s->target[n_out] = -1;
		s->out_row[n_out] = n_tokens + r->count - 1 - r->n_draft + k;
		s->out_of[n_out++] = i;
	}
	return n_out;
}

/* One row's tokens into the device's arrays from n_tokens on. */
static weir_status lay_out_row(struct weir_stepper *s, const struct weir_batch *b, uint32_t i,
			       uint32_t n_tokens, struct weir_error *err)
{
	const struct weir_row *r = row_at(b, i);
	uint32_t bt = s->c.block_tokens, end = r->pos + r->count;
	uint32_t *blocks = s->blocks + (size_t)i * s->block_stride;
	uint32_t n_blocks = (end + bt - 1) / bt;

	for (uint32_t k = 0; k < n_blocks; k++) {
		if (r->blocks[k] >= s->c.n_blocks)
			return weir_fail(err, WEIR_E_INVALID, "step: row %u names block %u of %u",
					 i, r->blocks[k], s->c.n_blocks);
		blocks[k] = r->blocks[k];
	}
	memset(blocks + n_blocks, 0, (s->block_stride - n_blocks) * sizeof(*blocks));
	for (uint32_t k = 0; k < r->count; k++) {
		int32_t token = b->tokens[r->first + k];
		uint32_t pos = r->pos + k, at = n_tokens + k;

		if (token < 0 || (uint32_t)token >= s->c.n_vocab)
			return weir_fail(err, WEIR_E_INVALID,
					 "step: row %u holds token %d, the vocabulary has %u", i,
					 token, s->c.n_vocab);
		s->token[at] = token;
		s->pos[at] = (int32_t)pos;
		s->row[at] = (int32_t)i;
		s->slot[at] = blocks[pos / bt] * bt + pos % bt;
	}
	s->first[i] = n_tokens;
	s->kv_len[i] = end;
	s->adapter[i] = r->adapter;
	return WEIR_OK;
}

static weir_status lay_out(struct weir_stepper *s, const struct weir_batch *b,
			   const struct weir_step *ret, struct weir_device_batch *ret_batch,
			   struct weir_error *err)
{
	uint32_t n_tokens = 0, n_out = 0, n_guesses = 0, n_scored = 0;
	bool adapted = false;
	weir_status status = check_batch(s, b, ret, err);

	if (status != WEIR_OK)
		return status;
	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct weir_row *r = row_at(b, i);

		if ((status = check_row(s, b, i, n_tokens, n_guesses, ret, err)) ||
		    (status = check_targets(s, b, i, n_scored, ret, err)) ||
		    (status = lay_out_row(s, b, i, n_tokens, err)))
			return status;
		n_out = lay_out_outputs(s, r, i, n_tokens, n_out);
		n_scored += r->targets ? r->count : 0;
		n_tokens += r->count;
		adapted |= r->adapter > 0;
		n_guesses += r->n_draft;
	}
	s->first[b->n_rows] = n_tokens;
	*ret_batch = (struct weir_device_batch){
		.size = sizeof(*ret_batch),
		.n_tokens = n_tokens,
		.n_rows = b->n_rows,
		.n_out = n_out,
		.n_copies = b->n_copies,
		.block_stride = s->block_stride,
		.token = s->token,
		.pos = s->pos,
		.row = s->row,
		.slot = s->slot,
		.first = s->first,
		.kv_len = s->kv_len,
		.blocks = s->blocks,
		.out_row = s->out_row,
		.copies = b->copies,
		.adapter = adapted ? s->adapter : NULL,
	};
	return WEIR_OK;
}

static void score_row(const struct sampling *g, uint32_t out)
{
	const struct weir_stepper *s = g->s;
	uint32_t i = s->out_of[out];
	const struct weir_row *r = row_at(g->batch, i);
	uint32_t at = r->first + (s->out_row[out] - s->first[i]);

	weir_sampler_score(g->logits + (size_t)out * s->c.n_vocab, s->c.n_vocab, s->target[out],
			   r->n_target_top, &g->ret->score[at],
			   r->n_target_top > 0 ? &g->ret->score_top[at] : NULL);
}

/* The draw of one output. Of a row with guesses each place is drawn as if the guesses before it
 * were right; judge() finds out how many were. */
static void sample_row(struct sampling *g, struct weir_sampler *sampler, uint32_t out)
{
	const struct weir_stepper *s = g->s;
	uint32_t i = s->out_of[out];
	const struct weir_row *r = row_at(g->batch, i);
	const float *logits = g->logits + (size_t)out * s->c.n_vocab;
	uint32_t last = s->first[i + 1] - 1;
	struct weir_draw d = { .logits = logits,
			       .sampling = r->sampling,
			       .history = r->history,
			       .n_history = r->n_history - (last - s->out_row[out]),
			       .n_prompt = r->n_prompt,
			       .seed = r->seed,
			       .mask = r->mask,
			       .end_tokens = s->c.end_tokens,
			       .n_end = r->no_end ? s->c.n_end : 0 };
	bool first = s->out_row[out] + r->n_draft == last;
	struct weir_drawn drawn;
	struct weir_error error;
	weir_status status = weir_sampler_draw(sampler, &d, &drawn, &error);

	g->drawn[out] = status == WEIR_OK ? drawn.token : -1;
	if (!first)
		return;
	if (g->batch->want_logits)
		memcpy(g->ret->logits + (size_t)i * s->c.n_vocab, logits,
		       s->c.n_vocab * sizeof(*logits));
	if (status != WEIR_OK) {
		g->ret->token[i] = -1;
		if (g->may_fail_alone)
			g->ret->error[i] = error;
		else if (!atomic_exchange(&g->failed, true))
			g->error = error;
		return;
	}
	g->ret->token[i] = drawn.token;
	if (r->sampling->logprobs)
		g->ret->logprob[i] = drawn.logprob;
	if (r->sampling->top_logprobs)
		g->ret->top[i] = drawn.top;
}

/* A guess is right when the draw before it is the same token and the one after it succeeded. */
static void judge(const struct sampling *g)
{
	const struct weir_stepper *s = g->s;

	for (uint32_t out = 0; out < g->n_out;) {
		if (s->target[out] >= 0) {
			out++;
			continue;
		}
		uint32_t i = s->out_of[out], n = 0;
		const struct weir_row *r = row_at(g->batch, i);
		const int32_t *guesses = g->batch->tokens + r->first + r->count - r->n_draft;

		while (n < r->n_draft && g->drawn[out + n] == guesses[n] &&
		       g->drawn[out + n + 1] >= 0) {
			g->ret->drawn[(size_t)i * WEIR_MAX_DRAFT + n] = g->drawn[out + n + 1];
			n++;
		}
		if (r->n_draft > 0)
			g->ret->n_right[i] = n;
		out += 1 + r->n_draft;
	}
}

static void sample_some(void *data, uint32_t worker)
{
	struct sampling *g = data;

	for (;;) {
		uint32_t out = atomic_fetch_add(&g->next, 1);

		if (out >= g->n_out)
			return;
		if (g->s->target[out] >= 0)
			score_row(g, out);
		else
			sample_row(g, g->s->sampler[worker], out);
	}
}

static weir_status sample(struct weir_stepper *s, const struct weir_batch *b, uint32_t n_out,
			  bool adapted, struct weir_step *ret, struct weir_error *err)
{
	struct sampling g = { .s = s, .batch = b, .n_out = n_out, .drawn = s->drawn, .ret = ret };
	uint32_t n = n_out < s->n_samplers ? n_out : s->n_samplers;

	if (n_out == 0)
		return WEIR_OK;
	g.may_fail_alone = WEIR_HAS(struct weir_step, ret, error);
	g.logits = s->c.device->output(s->c.instance, adapted ? s->c.adapted : s->c.program,
				       adapted ? s->c.adapted_logits : s->c.logits);
	if (!g.logits)
		return weir_fail(err, WEIR_E_INTERNAL, "step: the device returned no logits");
	if (n > 1)
		s->c.device->parallel(s->c.instance, n, sample_some, &g);
	else
		sample_some(&g, 0);
	judge(&g);
	if (!g.failed)
		return WEIR_OK;
	if (err)
		*err = g.error;
	return g.error.code;
}

weir_status weir_stepper_run(struct weir_stepper *s, const struct weir_batch *b,
			     struct weir_step *ret, struct weir_error *err)
{
	struct weir_device_batch batch;
	weir_program *program;
	weir_status status = lay_out(s, b, ret, &batch, err);

	if (status != WEIR_OK)
		return status;
	if (batch.n_tokens == 0 && batch.n_copies == 0)
		return WEIR_OK;
	program = batch.adapter ? s->c.adapted : s->c.program;
	status = s->c.device->run(s->c.instance, program, &batch, err);
	if (status < 0)
		return status;
	status = s->c.device->wait(s->c.instance, program, err);
	if (status < 0)
		return status;
	status = sample(s, b, batch.n_out, batch.adapter != NULL, ret, err);
	if (status == WEIR_OK && s->c.drafter)
		weir_drafter_run(s->c.drafter, b, ret);
	return status;
}
