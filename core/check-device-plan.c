/*
 * core/check-device-plan.c - plans and batches of section device, see check-device.h.
 */
#include <string.h>

#include "check-device.h"

struct weir_check_plan *weir_check_plan_new(uint64_t seed, uint32_t max_rows)
{
	const guint32 seeds[] = { (guint32)seed, (guint32)(seed >> 32) };
	struct weir_check_plan *plan = g_new0(struct weir_check_plan, 1);

	plan->rand = g_rand_new_with_seed_array(seeds, 2);
	plan->max_rows = max_rows;
	return plan;
}

void weir_check_plan_free(void *data)
{
	struct weir_check_plan *plan = data;

	if (!plan)
		return;
	for (uint32_t i = 0; i < plan->n_parts; i++) {
		g_free(plan->parts[i].bytes);
		g_free(plan->parts[i].values);
	}
	g_rand_free(plan->rand);
	g_free(plan);
}

static struct weir_check_part *add_part(struct weir_check_plan *plan, uint32_t kind)
{
	struct weir_check_part *part = &plan->parts[plan->n_parts++];

	g_assert(plan->n_parts <= WEIR_CHECK_PARTS);
	part->tensor.kind = kind;
	return part;
}

uint32_t weir_check_plan_temp(struct weir_check_plan *plan, uint32_t kind, uint32_t rows,
			      uint64_t width)
{
	struct weir_check_part *part = add_part(plan, kind);

	part->tensor.rows = rows;
	part->tensor.width = width;
	part->values = g_new0(double, plan->max_rows *width);
	return plan->n_parts - 1;
}

uint32_t weir_check_plan_weight(struct weir_check_plan *plan, uint32_t type, uint64_t n_in,
				uint64_t n_out, uint32_t use)
{
	const struct weir_check_type *t = weir_check_type(type);
	struct weir_check_part *part = add_part(plan, WEIR_TENSOR_WEIGHT);
	uint64_t n = n_in / t->n * n_out;

	g_assert(n_in % t->n == 0);
	part->type = type;
	part->n_in = n_in;
	part->n_out = n_out;
	part->use = use;
	part->bytes = g_malloc(n * t->bytes);
	part->values = g_new0(double, n_in *n_out);
	for (uint64_t i = 0; i < n; i++) {
		t->fill(plan->rand, part->bytes + i * t->bytes);
		if (t->decode)
			t->decode(part->bytes + i * t->bytes, part->values + i * t->n);
	}
	return plan->n_parts - 1;
}

uint32_t weir_check_plan_vector(struct weir_check_plan *plan, uint64_t n)
{
	return weir_check_plan_weight(plan, WEIR_DTYPE_F32, n, 1, WEIR_WEIGHT_VECTOR);
}

uint32_t weir_check_plan_kv(struct weir_check_plan *plan, uint32_t type, uint32_t n_blocks,
			    uint32_t n_heads, uint32_t head_size)
{
	struct weir_check_part *part = add_part(plan, WEIR_TENSOR_KV);

	part->type = type;
	part->n_blocks = n_blocks;
	part->block_tokens = WEIR_CHECK_BLOCK;
	part->n_heads = n_heads;
	part->head_size = head_size;
	part->values = g_new0(double, (size_t)n_blocks *WEIR_CHECK_BLOCK *n_heads *head_size);
	return plan->n_parts - 1;
}

struct weir_op *weir_check_plan_op(struct weir_check_plan *plan, uint32_t code)
{
	struct weir_op *op = &plan->ops[plan->n_ops++];

	g_assert(plan->n_ops <= WEIR_CHECK_OPS);
	memset(op, 0, sizeof(*op));
	op->code = code;
	op->f[0] = 1;
	for (size_t i = 0; i < G_N_ELEMENTS(op->dst); i++)
		op->dst[i] = WEIR_NO_TENSOR;
	for (size_t i = 0; i < G_N_ELEMENTS(op->src); i++)
		op->src[i] = WEIR_NO_TENSOR;
	return op;
}

uint32_t weir_check_plan_input(struct weir_check_plan *plan, uint32_t kind, uint64_t width)
{
	uint32_t table = weir_check_plan_weight(plan, WEIR_DTYPE_F32, width, plan->max_rows,
						WEIR_WEIGHT_TABLE);
	uint32_t temp = weir_check_plan_temp(plan, kind, WEIR_ROWS_TOKENS, width);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_EMBED);

	op->src[0] = table;
	op->dst[0] = temp;
	return temp;
}

struct weir_check_batch *weir_check_batch_new(const struct weir_check_seq *seqs, uint32_t n,
					      uint32_t stride, int32_t token)
{
	struct weir_check_batch *b = g_new0(struct weir_check_batch, 1);
	uint32_t n_tokens = 0, t = 0;

	for (uint32_t r = 0; r < n; r++)
		n_tokens += seqs[r].count;
	b->token = g_new0(int32_t, n_tokens);
	b->pos = g_new0(int32_t, n_tokens);
	b->row = g_new0(int32_t, n_tokens);
	b->type = g_new0(int32_t, n_tokens);
	b->slot = g_new0(uint32_t, n_tokens);
	b->out_row = g_new0(uint32_t, n_tokens);
	b->first = g_new0(uint32_t, n + 1);
	b->kv_len = g_new0(uint32_t, n);
	b->adapter = g_new0(uint32_t, n);
	b->blocks = g_new0(uint32_t, (size_t)n * stride);
	b->copies = g_new0(uint32_t, 2);
	for (uint32_t r = 0; r < n; r++) {
		uint32_t *blocks = b->blocks + (size_t)r * stride;

		for (uint32_t i = 0; i < stride; i++)
			blocks[i] = seqs[r].blocks ? seqs[r].blocks[i] : r * stride + i;
		b->first[r] = t;
		b->kv_len[r] = seqs[r].start + seqs[r].count;
		b->adapter[r] = seqs[r].adapter;
		for (uint32_t i = 0; i < seqs[r].count; i++, t++) {
			uint32_t pos = seqs[r].start + i;

			b->token[t] = token + (int32_t)t;
			b->pos[t] = (int32_t)pos;
			b->row[t] = (int32_t)r;
			b->out_row[t] = t;
			if (pos / WEIR_CHECK_BLOCK < stride)
				b->slot[t] = blocks[pos / WEIR_CHECK_BLOCK] * WEIR_CHECK_BLOCK +
					     pos % WEIR_CHECK_BLOCK;
		}
	}
	b->first[n] = t;
	b->batch = (struct weir_device_batch){
		.size = sizeof(b->batch),
		.n_tokens = n_tokens,
		.n_rows = n,
		.n_out = n_tokens,
		.block_stride = stride,
		.token = b->token,
		.pos = b->pos,
		.row = b->row,
		.slot = b->slot,
		.first = b->first,
		.kv_len = b->kv_len,
		.blocks = b->blocks,
		.out_row = b->out_row,
		.copies = b->copies,
		.adapter = b->adapter,
		.type = b->type,
	};
	return b;
}

struct weir_check_batch *weir_check_batch_one(uint32_t n, int32_t token)
{
	const struct weir_check_seq seq = { .count = n };

	return weir_check_batch_new(&seq, 1, n / WEIR_CHECK_BLOCK + 1, token);
}

void weir_check_batch_free(struct weir_check_batch *b)
{
	if (!b)
		return;
	g_free(b->token);
	g_free(b->pos);
	g_free(b->row);
	g_free(b->type);
	g_free(b->slot);
	g_free(b->first);
	g_free(b->kv_len);
	g_free(b->blocks);
	g_free(b->out_row);
	g_free(b->copies);
	g_free(b->adapter);
	g_free(b);
}
