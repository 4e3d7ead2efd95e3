/* SPDX-License-Identifier: MIT */
/*
 * program.c - compiles a list of operations: checks it, decides in which forms activations are
 * kept, and lays everything out in one arena, so that a run allocates nothing.
 *
 * Called while a model loads. An activation that quantised matrices read is quantised once, by the
 * step that writes it; matrices of floats read it packed in tiles. A FORM step does it only where
 * the writer's shares are not whole blocks.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dequant.h"
#include "program.h"

/* A piece of the arena, in use from step first to step last. */
struct span {
	size_t bytes;
	uint32_t first, last;
	size_t *ret;
};

static bool add_size(size_t *sum, size_t a, size_t b)
{
	size_t n;

	return !__builtin_mul_overflow(a, b, &n) && !__builtin_add_overflow(*sum, n, sum);
}

/* First fit in order of appearance; placed spans are kept sorted by offset. */
static weir_status place_spans(struct span *spans, size_t n, size_t *ret_bytes,
			       struct weir_error *err)
{
	struct span **placed = calloc(n + 1, sizeof(*placed));
	size_t n_placed = 0, top = 0;

	if (!placed)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a program");
	for (size_t i = 0; i < n; i++) {
		struct span *s = &spans[i];
		size_t at = 0, where = n_placed;

		for (size_t j = 0; j < n_placed; j++) {
			struct span *other = placed[j];

			if (other->last < s->first || s->last < other->first)
				continue;
			if (*other->ret >= at && *other->ret - at >= s->bytes)
				break;
			if (*other->ret + other->bytes > at)
				at = *other->ret + other->bytes;
		}
		if (s->bytes > SIZE_MAX / 2 - at) {
			free(placed);
			return weir_cpu_fail(err, WEIR_E_INVALID, "a program is too large");
		}
		*s->ret = at;
		while (where > 0 && *placed[where - 1]->ret > at)
			where--;
		memmove(placed + where + 1, placed + where, (n_placed - where) * sizeof(*placed));
		placed[where] = s;
		n_placed++;
		if (at + s->bytes > top)
			top = at + s->bytes;
	}
	free(placed);
	*ret_bytes = top;
	return WEIR_OK;
}

static unsigned op_n_dst(const struct weir_op *op)
{
	if (op->code == WEIR_OP_ROPE_KV)
		return 0;
	return op->code == WEIR_OP_LINEAR && !(op->flags & WEIR_LINEAR_GLU) ? (unsigned)op->i[0]
									    : 1;
}

/* Does the op write tensor t? k of dst[k], 3 for q of ROPE_KV (and its k); -1: no. */
static int op_writes(const struct weir_op *op, uint32_t t)
{
	for (unsigned k = 0; k < op_n_dst(op); k++)
		if (op->dst[k] == t)
			return (int)k;
	return op->code == WEIR_OP_ROPE_KV && op->src[0] == t ? 3 : -1;
}

/* Can the op's step hand out dst in blocks of 32? */
static bool op_emits(const struct weir_op *op)
{
	if (op->code == WEIR_OP_ATTENTION || op->code == WEIR_OP_ATTENTION_PACKED)
		return weir_cpu_attention_heads(op) * (uint32_t)op->i[2] % 32 == 0 &&
		       op->i[0] / op->i[1] % (int32_t)weir_cpu_attention_heads(op) == 0;
	return op->code != WEIR_OP_ROPE_KV && op->code != WEIR_OP_MOE && op->code != WEIR_OP_LORA;
}

struct wish {
	bool q8[4], packed[4]; /* per dst; 3: q of ROPE_KV */
};

/* For each op, in which forms later LINEARs want what it writes. */
static weir_status find_wishes(const struct weir_program_desc *desc, struct wish *wishes,
			       struct weir_error *err)
{
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		int k = -1;
		uint32_t j = i;

		if (op->code != WEIR_OP_LINEAR)
			continue;
		while (j > 0 && k < 0)
			k = op_writes(&desc->ops[--j], op->src[0]);
		if (k < 0)
			return weir_cpu_fail(
				err, WEIR_E_INVALID,
				"program: operation %u reads tensor %u before any writes "
				"it",
				i, op->src[0]);
		for (int m = 0; m < op->i[0]; m++) {
			const weir_buffer *w = desc->tensors[op->src[1 + m]].buffer;

			if (weir_cpu_type(w->type)->quantised)
				wishes[j].q8[k] = true;
			else
				wishes[j].packed[k] = true;
		}
	}
	return WEIR_OK;
}

static uint32_t find_angles(weir_program *p, const struct weir_op *op,
			    const struct weir_tensor *tensors)
{
	weir_buffer *factors = op->src[7] == WEIR_NO_TENSOR ? NULL : tensors[op->src[7]].buffer;
	uint32_t a;

	for (a = 0; a < p->n_angles; a++)
		if (!memcmp(p->angles[a].op.f, op->f, 6 * sizeof(float)) &&
		    p->angles[a].op.i[3] == op->i[3] && p->angles[a].op.i[5] == op->i[5] &&
		    p->angles[a].factors == factors)
			return a;
	p->angles[a] = (struct weir_cpu_angles){ .op = *op,
						 .factors = factors,
						 .half = (size_t)op->i[3] / 2 };
	p->n_angles++;
	return a;
}

/* The frequencies of one rotary embedding, as Hugging Face's transformers compute them: linear
 * interpolation by f[1], mixed with none by YaRN's ramp where f[2] asks for it. */
static void fill_frequencies(struct weir_cpu_angles *a)
{
	const struct weir_op *op = &a->op;
	double dims = op->i[3], base = (double)op->f[0], log_base = log(base), low = 0, high = 0;

	if (op->f[2] != 0) {
		const double tau = 6.283185307179586;

		low = floor(dims * log(op->i[5] / ((double)op->f[4] * tau)) / (2 * log_base));
		high = ceil(dims * log(op->i[5] / ((double)op->f[5] * tau)) / (2 * log_base));
		low = fmax(low, 0);
		high = fmin(high, dims - 1);
	}
	for (size_t i = 0; i < a->half; i++) {
		double plain = pow(base, -2.0 * (double)i / dims), ramp;

		if (a->factors)
			plain /= (double)a->factors->vector[i];
		ramp = ((double)i - low) / fmax(high - low, 0.001);
		ramp = (1 - fmin(fmax(ramp, 0), 1)) * (double)op->f[2];
		a->frequency[i] = (float)(plain * (double)op->f[1] * (1 - ramp) + plain * ramp);
	}
}

/* The smaller of a count so far (0: none) and another. */
static uint32_t fewer(uint32_t n, uint64_t rows)
{
	return n && n < rows ? n : (uint32_t)(rows < UINT32_MAX ? rows : UINT32_MAX);
}

/* MOE in four steps; the last is the op's own. */
static void add_moe_steps(weir_program *p, const struct weir_op *op)
{
	static const uint32_t codes[] = { WEIR_CPU_STEP_ROUTE, WEIR_CPU_STEP_EXPERTS,
					  WEIR_CPU_STEP_UP };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		p->steps[p->n_steps++] = (struct weir_cpu_step){ .code = codes[i], .op = *op };
	for (int m = 0; m < 3; m++)
		p->matrix_bytes += p->temps[op->src[2 + m]].buffer->data_bytes / (size_t)op->i[0] *
				   (size_t)op->i[1];
}

/* How many LORA ops from op on, of n, may run side by side: none reads what another writes. */
static uint32_t lora_group(const struct weir_op *op, uint32_t n)
{
	uint32_t count = 0;

	for (; count < n && op[count].code == WEIR_OP_LORA; count++)
		for (uint32_t i = 0; i < count; i++)
			if (op[i].dst[0] == op[count].src[0])
				return count;
	return count;
}

/* All of them down, a barrier, all of them up, a barrier: two, however many adapters there are.
 * Neighbours that write the same rows are different adapters, which have different rows. */
static void add_lora_steps(weir_program *p, const struct weir_op *op, uint32_t n)
{
	struct weir_cpu_step meet = { .code = WEIR_CPU_STEP_MEET };
	size_t low = 0;

	for (uint32_t i = 0; i < n; i++)
		meet.adapters |= (uint64_t)1 << (op[i].i[0] - 1);
	for (int up = 0; up < 2; up++) {
		low = 0;
		for (uint32_t i = 0; i < n; i++) {
			const weir_buffer *a = p->temps[op[i].src[1]].buffer;

			p->steps[p->n_steps++] = (struct weir_cpu_step){
				.code = up ? WEIR_OP_LORA : (uint32_t)WEIR_CPU_STEP_LORA_DOWN,
				.op = op[i],
				.low = (uint32_t)low,
				.adapters = (uint64_t)1 << (op[i].i[0] - 1)
			};
			low += ((size_t)a->n_out + 15) & ~(size_t)15;
		}
		p->steps[p->n_steps++] = meet;
	}
	p->low_width = low > p->low_width ? low : p->low_width;
}

static void add_form(weir_program *p, const struct wish *wish, unsigned k, uint32_t tensor)
{
	struct weir_cpu_step *step;

	if (!wish->q8[k] && !wish->packed[k])
		return;
	step = &p->steps[p->n_steps++];
	*step = (struct weir_cpu_step){ .code = WEIR_CPU_STEP_FORM };
	step->emit_q8[0] = wish->q8[k];
	step->emit_packed[0] = wish->packed[k];
	step->op.src[0] = step->op.dst[0] = tensor;
}

static weir_status copy_ops(weir_program *p, const struct weir_program_desc *desc,
			    const struct wish *wishes, struct weir_error *err)
{
	p->steps[p->n_steps++].code = WEIR_CPU_STEP_COPY;
	p->steps[p->n_steps++].code = WEIR_CPU_STEP_ANGLES;
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		uint32_t form = op->code == WEIR_OP_ROPE_KV ? 3 : 0, group;
		struct weir_cpu_step *step;

		if (op->code == WEIR_OP_LORA) {
			group = lora_group(op, desc->n_ops - i);
			add_lora_steps(p, op, group);
			for (; group > 0; group--, i++)
				add_form(p, &wishes[i], 0, desc->ops[i].dst[0]);
			i--;
			continue;
		}
		if (op->code == WEIR_OP_MOE)
			add_moe_steps(p, op);
		step = &p->steps[p->n_steps++];
		*step = (struct weir_cpu_step){ .code = op->code, .op = *op };
		if (op->code == WEIR_OP_ROPE_KV && op->i[3])
			step->angles = find_angles(p, op, desc->tensors);
		for (int m = 0; op->code == WEIR_OP_LINEAR && m < op->i[0]; m++)
			p->matrix_bytes += desc->tensors[op->src[1 + m]].buffer->data_bytes;
		if (op->code == WEIR_OP_EMBED) {
			uint64_t rows = desc->tensors[op->src[0]].buffer->n_out;

			if (op->flags & WEIR_EMBED_POSITION)
				p->n_positions = fewer(p->n_positions, rows - (uint64_t)op->i[0]);
			else if (op->flags & WEIR_EMBED_TYPE)
				p->n_types = fewer(p->n_types, rows);
			else if (!(op->flags & WEIR_EMBED_FIXED))
				p->n_vocab = fewer(p->n_vocab, rows);
		}
		if (op->code == WEIR_OP_ATTENTION || op->code == WEIR_OP_ATTENTION_PACKED) {
			uint32_t tokens = WEIR_CPU_TILE / weir_cpu_attention_heads(op), t = 0;

			while (t < p->n_tilings && p->tilings[t].tokens != tokens)
				t++;
			if (t == p->n_tilings)
				p->tilings[p->n_tilings++].tokens = tokens;
			step->tiling = t;
		}
		if (op_emits(op)) {
			memcpy(step->emit_q8, wishes[i].q8, sizeof(step->emit_q8));
			memcpy(step->emit_packed, wishes[i].packed, sizeof(step->emit_packed));
		} else {
			add_form(p, &wishes[i], form, form ? op->src[0] : op->dst[0]);
		}
	}
	return WEIR_OK;
}

static void touch(struct weir_cpu_temp *t, uint32_t step)
{
	if (t->kind != WEIR_TENSOR_TEMP && t->kind != WEIR_TENSOR_OUTPUT)
		return;
	if (t->first == UINT32_MAX)
		t->first = step;
	t->last = step;
}

static void find_lives(weir_program *p)
{
	for (uint32_t s = 0; s < p->n_steps; s++) {
		const struct weir_cpu_step *step = &p->steps[s];
		const struct weir_op *op = &step->op;

		if (step->code == WEIR_CPU_STEP_FORM) {
			touch(&p->temps[op->src[0]], s);
			continue;
		}
		if (step->code == WEIR_CPU_STEP_COPY || step->code == WEIR_CPU_STEP_ANGLES ||
		    step->code == WEIR_CPU_STEP_MEET)
			continue;
		for (unsigned k = 0; k < op_n_dst(op); k++)
			touch(&p->temps[op->dst[k]], s);
		for (unsigned k = 0; k < 8; k++)
			if (op->src[k] != WEIR_NO_TENSOR)
				touch(&p->temps[op->src[k]], s);
		/* the attention after it may do its work: no result may lie where k, v are */
		for (unsigned k = 1; op->code == WEIR_OP_ROPE_KV && k < 3; k++)
			if (op->src[k] != WEIR_NO_TENSOR)
				touch(&p->temps[op->src[k]], s + 1);
		if (step->joins) /* nor where x is */
			touch(&p->temps[op->src[0]], s + 1);
	}
}

static bool reads(const struct weir_op *op, uint32_t t)
{
	for (unsigned k = 0; k < 8; k++)
		if (op->src[k] == t)
			return true;
	return false;
}

/* Does the op need what its dst was before? */
static bool adds(const struct weir_op *op)
{
	switch (op->code) {
	case WEIR_OP_EMBED:
		return op->flags & WEIR_EMBED_ADD;
	case WEIR_OP_NORM:
		return op->flags & WEIR_NORM_ADD;
	case WEIR_OP_LINEAR:
		return op->flags & WEIR_LINEAR_ADD;
	default:
		return op->code == WEIR_OP_MOE || op->code == WEIR_OP_LORA;
	}
}

/* May each thread do this NORM for itself? Only if none but the LINEAR after it reads the result,
 * and that one writes neither what is normed nor what it reads. */
static bool may_join(const weir_program *p, uint32_t s)
{
	const struct weir_cpu_step *norm = &p->steps[s], *linear = norm + 1;
	uint32_t y = norm->op.dst[0];

	if (norm->code != WEIR_OP_NORM || norm->op.flags & WEIR_NORM_ADD || s + 1 >= p->n_steps ||
	    linear->code != WEIR_OP_LINEAR || linear->op.src[0] != y || norm->op.src[0] == y ||
	    p->temps[y].kind != WEIR_TENSOR_TEMP || op_writes(&linear->op, norm->op.src[0]) >= 0 ||
	    op_writes(&linear->op, y) >= 0)
		return false;
	for (uint32_t later = s + 2; later < p->n_steps; later++) {
		const struct weir_cpu_step *step = &p->steps[later];

		if (step->code == WEIR_CPU_STEP_MEET)
			continue;
		if (reads(&step->op, y) || (op_writes(&step->op, y) >= 0 && adds(&step->op)))
			return false;
		if (op_writes(&step->op, y) >= 0)
			break;
	}
	return true;
}

static void find_neighbours(weir_program *p)
{
	uint32_t big = p->n_steps;

	for (uint32_t s = p->n_steps; s-- > 0;) {
		struct weir_cpu_step *step = &p->steps[s];
		uint64_t width;

		step->big = big;
		if (step->code == WEIR_OP_LINEAR)
			big = s;
		step->joins = may_join(p, s);
		if (!step->joins)
			continue;
		width = p->temps[step->op.dst[0]].width;
		width = WEIR_CPU_OWN_ROWS * width * (2 * sizeof(float) + 2) + 4 * 64;
		if (width > p->own_bytes)
			p->own_bytes = (size_t)width & ~(size_t)63;
	}
}

/* The arena: temporaries, their forms, tables, scratch. */
static weir_status lay_out(weir_program *p, struct weir_error *err)
{
	uint32_t n_threads = weir_pool_n_threads(p->cpu->pool), end = p->n_steps;
	struct span *spans = calloc((size_t)p->n_temps * 3 + 2, sizeof(*spans));
	size_t n = 0, tables = 0, at = 0;
	weir_status status;

	if (!spans)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a program");
	for (uint32_t i = 0; i < p->n_temps; i++) {
		struct weir_cpu_temp *t = &p->temps[i];
		size_t rows = t->rows == WEIR_ROWS_OUT ? p->max_out : p->max_tokens, bytes = 64;
		bool q8 = false, packed = false;

		if (t->first == UINT32_MAX)
			continue;
		for (uint32_t s = 0; s < p->n_steps; s++)
			for (unsigned k = 0; k < 3; k++)
				if ((p->steps[s].emit_q8[k] || p->steps[s].emit_packed[k]) &&
				    p->steps[s].op.dst[k] == i) {
					q8 |= p->steps[s].emit_q8[k];
					packed |= p->steps[s].emit_packed[k];
				}
		if (t->kind == WEIR_TENSOR_OUTPUT)
			t->last = end;
		if (!add_size(&bytes, rows * sizeof(float), (size_t)t->width))
			goto too_large;
		bytes &= ~(size_t)63;
		spans[n++] = (struct span){ bytes, t->first, t->last, &t->values };
		if (packed)
			spans[n++] = (struct span){ bytes, t->first, t->last, &t->packed };
		if (q8)
			spans[n++] = (struct span){ bytes / 128 * WEIR_CPU_RECORD + 128, t->first,
						    t->last, &t->q8 };
	}
	for (size_t i = 0; i < n; i++)
		spans[i].bytes = (spans[i].bytes + 63) & ~(size_t)63;
	status = place_spans(spans, n, &at, err);
	if (status)
		goto out;
	for (uint32_t a = 0; a < p->n_angles; a++)
		tables += 2 * p->angles[a].half;
	p->scratch = at;
	if (!add_size(&at, p->scratch_bytes, n_threads))
		goto too_large;
	p->own = at;
	if (!add_size(&at, p->own_bytes, n_threads))
		goto too_large;
	p->split = at;
	if (!add_size(&at, p->split_bytes, p->split_units))
		goto too_large;
	p->packed = at;
	if (!add_size(&at, p->packed_bytes, 1))
		goto too_large;
	p->mixture = at;
	if (!add_size(&at, p->mixture_bytes, 1))
		goto too_large;
	p->low = at;
	if (!add_size(&at, p->low_width * sizeof(float), p->max_tokens))
		goto too_large;
	p->arena_bytes = at;
	if (!add_size(&p->arena_bytes, tables * sizeof(float), p->max_tokens) ||
	    !add_size(&p->arena_bytes, 1, 64))
		goto too_large;
	p->arena = weir_cpu_map(p->arena_bytes, p->cpu->huge_pages);
	if (!p->arena) {
		status = weir_cpu_fail(
			err, WEIR_E_EXHAUSTED,
			"no memory for %zu bytes of activations; set max_batch_tokens "
			"lower",
			p->arena_bytes);
		goto out;
	}
	for (uint32_t a = 0; a < p->n_angles; a++) {
		size_t table = p->angles[a].half * p->max_tokens;

		p->angles[a].cos = (float *)(p->arena + at);
		p->angles[a].sin = p->angles[a].cos + table;
		at += 2 * table * sizeof(float);
	}
out:
	free(spans);
	return status;
too_large:
	free(spans);
	return weir_cpu_fail(err, WEIR_E_INVALID, "a program is too large");
}

/* Sizes that depend on the attention operations; the list of caches. */
static weir_status plan_attention(weir_program *p, const struct weir_program_desc *desc,
				  struct weir_error *err)
{
	uint32_t n_threads = weir_pool_n_threads(p->cpu->pool);
	uint64_t positions = 0;
	size_t partial = 0;

	for (uint32_t i = 0; i < desc->n_tensors; i++) {
		weir_buffer *b = desc->tensors[i].buffer;

		if (desc->tensors[i].kind != WEIR_TENSOR_KV || !b || b->use)
			continue;
		if (p->n_caches && (b->n_blocks != p->caches[0]->n_blocks ||
				    b->block_tokens != p->caches[0]->block_tokens))
			return weir_cpu_fail(err, WEIR_E_INVALID,
					     "program: KV caches differ in their blocks");
		p->caches[p->n_caches++] = b;
		p->position_bytes += b->block_bytes / b->block_tokens;
		positions = (uint64_t)b->n_blocks * b->block_tokens;
	}
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		size_t bytes;

		if (op->code != WEIR_OP_ATTENTION_PACKED)
			continue;
		if (!weir_cpu_packed_bytes(op, p->max_tokens, p->max_rows, &bytes))
			return weir_cpu_fail(err, WEIR_E_INVALID, "a program is too large");
		bytes = (bytes + 63) & ~(size_t)63;
		p->packed_bytes = bytes > p->packed_bytes ? bytes : p->packed_bytes;
		bytes = weir_cpu_packed_scratch((uint32_t)op->i[2]);
		p->scratch_bytes = bytes > p->scratch_bytes ? bytes : p->scratch_bytes;
	}
	if (!p->n_caches)
		return WEIR_OK;
	if (positions > 1u << 30)
		return weir_cpu_fail(err, WEIR_E_INVALID, "program: more than 2^30 positions");
	p->chunk = (uint32_t)(positions / 64 > 512 ? positions / 64 : 512);
	p->chunk += p->caches[0]->block_tokens - 1;
	p->chunk -= p->chunk % p->caches[0]->block_tokens;
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		size_t bytes;

		if (op->code != WEIR_OP_ATTENTION)
			continue;
		bytes = weir_cpu_attention_scratch((uint32_t)op->i[2]);
		p->scratch_bytes = bytes > p->scratch_bytes ? bytes : p->scratch_bytes;
		bytes = weir_cpu_attention_partial((uint32_t)op->i[2]);
		partial = bytes > partial ? bytes : partial;
	}
	p->split_bytes = partial * (size_t)(positions / p->chunk + 1);
	p->split_units = n_threads > 1 && partial ? (n_threads < 4 ? 16 : 4 * n_threads) : 0;
	return WEIR_OK;
}

/* Memory of mixtures and adapters. */
static weir_status plan_experts(weir_program *p, const struct weir_program_desc *desc,
				struct weir_error *err)
{
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		size_t bytes;

		if (op->code == WEIR_OP_MOE) {
			if (!weir_cpu_moe_bytes(p, op, &bytes))
				return weir_cpu_fail(err, WEIR_E_INVALID, "a program is too large");
			p->mixture_bytes = bytes > p->mixture_bytes ? bytes : p->mixture_bytes;
		} else if (op->code == WEIR_OP_LORA) {
			bytes = weir_cpu_lora_scratch(p, op);
			p->scratch_bytes = bytes > p->scratch_bytes ? bytes : p->scratch_bytes;
		}
	}
	return WEIR_OK;
}

static weir_status check_desc(const struct weir_program_desc *desc, struct weir_error *err)
{
	struct weir_error why = { 0 };
	weir_status status;

	if (desc->size < sizeof(*desc))
		return weir_cpu_fail(err, WEIR_E_INVALID, "program: its description is too short");
	if (!desc->max_tokens || desc->max_tokens > 1u << 20 || desc->max_out > desc->max_tokens ||
	    !desc->n_ops || desc->n_ops > 1u << 20 || desc->n_tensors > 1u << 20)
		return weir_cpu_fail(
			err, WEIR_E_INVALID,
			"program: %u tokens, %u outputs, %u operations, %u tensors: out "
			"of range",
			desc->max_tokens, desc->max_out, desc->n_ops, desc->n_tensors);
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];

		for (int k = 0; k < 11; k++) {
			uint32_t t = k < 3 ? op->dst[k] : op->src[k - 3];

			if (t != WEIR_NO_TENSOR && t >= desc->n_tensors)
				return weir_cpu_fail(err, WEIR_E_INVALID,
						     "program: operation %u names tensor %u of %u",
						     i, t, desc->n_tensors);
		}
		status = weir_cpu_check(op, desc->tensors, &why);
		if (status)
			return weir_cpu_fail(err, status, "program: operation %u: %s", i, why.text);
	}
	return WEIR_OK;
}

static weir_status allocate(weir_program *p, const struct weir_program_desc *desc)
{
	p->temps = calloc(desc->n_tensors + 1, sizeof(*p->temps));
	p->steps = calloc((size_t)desc->n_ops * 5 + 2, sizeof(*p->steps));
	p->angles = calloc(desc->n_ops, sizeof(*p->angles));
	p->tilings = calloc(WEIR_CPU_TILE + 1, sizeof(*p->tilings));
	p->caches = calloc(desc->n_tensors + 1, sizeof(*p->caches));
	p->next = calloc((size_t)desc->n_ops * 5 + 2, sizeof(*p->next));
	return p->temps && p->steps && p->angles && p->tilings && p->caches && p->next
		       ? WEIR_OK
		       : WEIR_E_EXHAUSTED;
}

static weir_status allocate_tables(weir_program *p)
{
	for (uint32_t a = 0; a < p->n_angles; a++) {
		p->angles[a].frequency = calloc(p->angles[a].half, sizeof(float));
		if (!p->angles[a].frequency)
			return WEIR_E_EXHAUSTED;
		fill_frequencies(&p->angles[a]);
	}
	if (p->packed_bytes) {
		p->row_tile = calloc(p->max_tokens, sizeof(*p->row_tile));
		if (!p->row_tile)
			return WEIR_E_EXHAUSTED;
	}
	for (uint32_t t = 0; t < p->n_tilings; t++) {
		p->tilings[t].pieces = calloc(p->max_tokens, sizeof(*p->tilings[t].pieces));
		if (!p->tilings[t].pieces)
			return WEIR_E_EXHAUSTED;
	}
	return WEIR_OK;
}

weir_status weir_cpu_program_new(struct weir_instance *instance,
				 const struct weir_program_desc *desc, weir_program **ret,
				 struct weir_error *err)
{
	struct wish *wishes = NULL;
	weir_program *p = NULL;
	weir_status status;

	status = check_desc(desc, err);
	if (status)
		return status;
	wishes = calloc(desc->n_ops, sizeof(*wishes));
	p = calloc(1, sizeof(*p));
	if (!wishes || !p || allocate(p, desc))
		goto no_memory;
	p->cpu = weir_cpu_of(instance);
	p->n_temps = desc->n_tensors;
	p->max_tokens = desc->max_tokens;
	p->max_rows = desc->max_rows;
	p->max_out = desc->max_out;
	for (uint32_t i = 0; i < desc->n_tensors; i++) {
		const struct weir_tensor *t = &desc->tensors[i];

		p->temps[i] = (struct weir_cpu_temp){ .kind = t->kind,
						      .rows = t->rows,
						      .width = t->width,
						      .buffer = t->buffer,
						      .values = WEIR_CPU_NOWHERE,
						      .q8 = WEIR_CPU_NOWHERE,
						      .packed = WEIR_CPU_NOWHERE,
						      .first = UINT32_MAX };
	}
	status = find_wishes(desc, wishes, err);
	if (!status)
		status = copy_ops(p, desc, wishes, err);
	if (!status)
		status = plan_attention(p, desc, err);
	if (!status)
		status = plan_experts(p, desc, err);
	if (status)
		goto fail;
	if (allocate_tables(p))
		goto no_memory;
	find_neighbours(p);
	find_lives(p);
	status = lay_out(p, err);
	if (status)
		goto fail;
	free(wishes);
	*ret = p;
	return WEIR_OK;
no_memory:
	status = weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a program of %u operations",
			       desc->n_ops);
fail:
	free(wishes);
	weir_cpu_program_free(instance, p);
	return status;
}

void weir_cpu_program_free(struct weir_instance *instance, weir_program *program)
{
	if (!program)
		return;
	for (uint32_t a = 0; a < program->n_angles; a++)
		free(program->angles[a].frequency);
	for (uint32_t t = 0; t < program->n_tilings; t++)
		free(program->tilings[t].pieces);
	weir_cpu_unmap(program->arena, program->arena_bytes);
	free(program->temps);
	free(program->steps);
	free(program->angles);
	free(program->tilings);
	free(program->caches);
	free(program->row_tile);
	free(program->next);
	free(program);
}
