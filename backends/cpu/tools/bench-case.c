/* SPDX-License-Identifier: MIT */
/*
 * bench-case.c - see bench-case.h. The limits are rooflines (Williams et al. 2009): the larger of
 * the time to read what must be read and the time to compute what must be computed.
 */
#include "bench-case.h"

#include <stdlib.h>
#include <string.h>

#include "dequant.h"
#include "hparams.h"

static bool contains(struct weir_str s, const char *what)
{
	return memmem(s.data, s.len, what, strlen(what)) != NULL;
}

static bool is(struct weir_str s, const char *what)
{
	return s.len == strlen(what) && memcmp(s.data, what, s.len) == 0;
}

/* The unit that multiplies weights of this type. */
static double *unit(struct bench_cost *c, uint32_t type, bool output)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);

	if (t && t->quantised)
		return output ? &c->out_int8 : &c->int8;
	if (type == WEIR_DTYPE_BF16)
		return output ? &c->out_bf16 : &c->bf16;
	return output ? &c->out_f32 : &c->f32;
}

static void add_tensor(struct bench_cost *c, const struct weir_gguf_tensor *t, bool tied)
{
	double n = (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2];
	bool output = is(t->name, "output.weight") || (tied && is(t->name, "token_embd.weight"));

	if (!output && (contains(t->name, "token_embd") || contains(t->name, "position_embd")))
		return; /* a few rows are looked up */
	if (contains(t->name, "_exps.")) {
		c->expert_bytes += (double)t->n_bytes;
		*unit(c, t->type, false) += n * c->expert_share;
		return;
	}
	c->bytes += (double)t->n_bytes;
	if (t->n_dims > 1)
		*unit(c, t->type, output) += n;
}

weir_status bench_cost_read(const char *path, const struct weir_model *model,
			    struct bench_cost *ret, struct weir_error *err)
{
	struct weir_gguf *g = NULL;
	struct weir_hparams h;
	struct bench_cost c = { .expert_share = 1 };
	weir_status status = weir_gguf_open(path, &g, err);

	if (status != WEIR_OK)
		return status;
	status = weir_hparams_read(g, &h, err);
	if (status != WEIR_OK) {
		weir_gguf_close(g);
		return status;
	}
	if (h.n_experts)
		c.expert_share = (double)h.n_experts_used / h.n_experts;
	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++)
		add_tensor(&c, weir_gguf_tensor_at(g, i), h.tied);
	c.kv_bytes = (double)model->bytes_kv / model->n_blocks / model->block_tokens;
	c.attention = 4.0 * h.n_heads * h.head_size * h.n_layers;
	weir_gguf_close(g);
	*ret = c;
	return WEIR_OK;
}

weir_status bench_rig_init(struct bench_rig *rig, struct session *s, uint32_t n_ctx,
			   uint32_t max_rows, struct weir_error *err)
{
	const struct weir_model *m = session_model(s);

	*rig = (struct bench_rig){ .session = s, .n_ctx = n_ctx };
	rig->tokens = calloc((size_t)n_ctx + 1, sizeof(*rig->tokens));
	rig->blocks = calloc((size_t)m->n_blocks + 1, sizeof(*rig->blocks));
	rig->drawn = calloc(max_rows, sizeof(*rig->drawn));
	rig->rows = calloc(max_rows, sizeof(*rig->rows));
	if (!rig->tokens || !rig->blocks || !rig->drawn || !rig->rows)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory");
	for (uint32_t i = 0; i <= n_ctx; i++)
		rig->tokens[i] = (int32_t)((i * 7919u + 13) % m->n_vocab);
	for (uint32_t i = 0; i < m->n_blocks; i++)
		rig->blocks[i] = i;
	return WEIR_OK;
}

void bench_rig_clear(struct bench_rig *rig)
{
	free(rig->tokens);
	free(rig->blocks);
	free(rig->drawn);
	free(rig->rows);
}

static uint32_t blocks_each(const struct bench_case *c, uint32_t block_tokens)
{
	return (c->depth + c->n_tokens + block_tokens - 1) / block_tokens;
}

uint32_t bench_case_blocks(const struct bench_case *c, uint32_t block_tokens)
{
	return c->n_rows * blocks_each(c, block_tokens);
}

/* A step of n_rows sequences at pos, count tokens each. */
static weir_status step(struct bench_rig *rig, const struct bench_case *c, uint32_t pos,
			uint32_t count, bool output, const uint32_t *copies, uint32_t n_copies,
			struct weir_error *err)
{
	static const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	uint32_t each = blocks_each(c, session_model(rig->session)->block_tokens);
	struct weir_batch batch = { .size = sizeof(batch),
				    .row_size = sizeof(struct weir_row),
				    .n_tokens = c->n_rows * count,
				    .n_rows = c->n_rows,
				    .n_copies = n_copies,
				    .tokens = rig->tokens,
				    .rows = rig->rows,
				    .copies = copies };
	struct weir_step ret = { .size = sizeof(ret), .token = rig->drawn };

	if (tool_interrupted())
		return weir_cpu_fail(err, WEIR_E_CANCELLED, "stopped");
	for (uint32_t i = 0; i < c->n_rows; i++)
		rig->rows[i] = (struct weir_row){ .seq = i + 1,
						  .first = i * count,
						  .count = count,
						  .pos = pos,
						  .n_blocks = each,
						  .blocks = rig->blocks + i * each,
						  .sampling = output ? &greedy : NULL,
						  .history = rig->tokens,
						  .n_history = pos + count,
						  .n_prompt = pos + count };
	return session_step(rig->session, &batch, &ret, err);
}

/* Positions 0 .. depth-1 get keys and values: one block is computed, the others are its copies. Not
 * part of what is measured; memory that was never written would read as if it were in cache. */
static weir_status fill(struct bench_rig *rig, const struct bench_case *c, struct weir_error *err)
{
	uint32_t bt = session_model(rig->session)->block_tokens, n = bench_case_blocks(c, bt);
	struct bench_case one = { .n_rows = 1, .n_tokens = bt };
	uint32_t *copies;
	weir_status status = step(rig, &one, 0, bt, false, NULL, 0, err);

	if (status != WEIR_OK || n < 2)
		return status;
	copies = calloc(n, 2 * sizeof(*copies));
	if (!copies)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory");
	for (uint32_t i = 1; i < n; i++)
		copies[2 * (i - 1) + 1] = i;
	one.n_tokens = 1;
	status = step(rig, &one, 0, 1, false, copies, n - 1, err);
	free(copies);
	return status;
}

weir_status bench_case_run(struct bench_rig *rig, const struct bench_case *c, double *ret_seconds,
			   struct weir_error *err)
{
	weir_status status = WEIR_OK;
	double start;

	if (c->depth)
		status = fill(rig, c, err);
	start = ceilings_now(false);
	for (uint32_t at = 0; at < c->n_tokens && status == WEIR_OK;) {
		uint32_t left = c->n_tokens - at, n = c->prefill ? left : 1;

		n = n > BENCH_BATCH ? BENCH_BATCH : n;
		status = step(rig, c, c->depth + at, n, !c->prefill || n == left, NULL, 0, err);
		at += n;
	}
	if (status == WEIR_OK)
		*ret_seconds = ceilings_now(false) - start;
	return status;
}

/* Seconds for so many multiplications and additions; sets *unknown where a unit's rate is not. */
static double compute(double weights, double rate, bool *unknown)
{
	if (weights > 0 && !(rate > 0))
		*unknown = true;
	return weights > 0 && rate > 0 ? 2 * weights / rate : 0;
}

double bench_case_limit(const struct bench_case *c, const struct bench_cost *k,
			const struct ceilings *m, bool *ret_by_memory)
{
	double n_tokens = (double)c->n_tokens * c->n_rows, steps, together, used, outputs;
	double middle = c->depth + c->n_tokens / 2.0, read, work, bf16 = m->bf16;
	bool unknown = false;

	if (!(bf16 > 0))
		bf16 = m->f32;
	steps = c->prefill ? (c->n_tokens + BENCH_BATCH - 1) / BENCH_BATCH : c->n_tokens;
	together = n_tokens / steps; /* tokens of a step */
	used = together * k->expert_share < 1 ? together * k->expert_share : 1;
	outputs = c->prefill ? 1 : n_tokens;
	read = steps * (k->bytes + used * k->expert_bytes);
	read += c->prefill ? k->kv_bytes * c->n_tokens : n_tokens * middle * k->kv_bytes;
	read /= m->read;
	work = compute(n_tokens * k->int8 + outputs * k->out_int8, m->int8, &unknown) +
	       compute(n_tokens * k->bf16 + outputs * k->out_bf16, bf16, &unknown) +
	       compute(n_tokens * k->f32 + outputs * k->out_f32, m->f32, &unknown);
	if (m->f32 > 0)
		work += n_tokens * middle * k->attention / m->f32;
	*ret_by_memory = read >= work;
	if (unknown && c->prefill)
		return 0;
	return n_tokens / (read > work ? read : work);
}
