/*
 * core/check-device-reference.c - what the operations of weir/draft/device.h mean, in doubles: each
 * function is the sentence of its operation there and nothing else. See check-device.h.
 *
 * The plans are the check's own, so shapes are right; nothing here is made to be fast. Caches hold
 * doubles whatever their type is: rounding is the device's, and within the bounds.
 */
#include <math.h>
#include <string.h>

#include "check-device.h"

struct run {
	struct weir_check_plan *plan;
	const struct weir_device_batch *batch;
	const struct weir_op *op;
};

static const struct weir_check_part *part_of(const struct run *run, uint32_t i)
{
	return &run->plan->parts[i];
}

static uint32_t n_rows(const struct run *run, uint32_t tensor)
{
	return part_of(run, tensor)->tensor.rows == WEIR_ROWS_TOKENS ? run->batch->n_tokens
								     : run->batch->n_out;
}

static double *row_at(const struct run *run, uint32_t tensor, uint32_t row)
{
	const struct weir_check_part *part = part_of(run, tensor);
	uint64_t width = part->tensor.kind == WEIR_TENSOR_WEIGHT ? part->n_in : part->tensor.width;

	return part->values + row * width;
}

/* A vector, or NULL. */
static const double *vector(const struct run *run, uint32_t tensor)
{
	return tensor == WEIR_NO_TENSOR ? NULL : part_of(run, tensor)->values;
}

static double act(uint32_t flags, double x)
{
	if (flags & WEIR_ACT_SILU)
		return x / (1 + exp(-x));
	if (flags & WEIR_ACT_GELU_TANH)
		return 0.5 * x * (1 + tanh(sqrt(2 / G_PI) * (x + 0.044715 * x * x * x)));
	if (flags & WEIR_ACT_GELU_ERF)
		return 0.5 * x * erfc(-x / sqrt(2));
	if (flags & WEIR_ACT_RELU2)
		return x > 0 ? x * x : 0;
	if (flags & WEIR_ACT_RELU)
		return x > 0 ? x : 0;
	if (flags & WEIR_ACT_TANH)
		return tanh(x);
	return x;
}

static void embed(const struct run *run)
{
	const struct weir_op *op = run->op;

	for (uint32_t t = 0; t < run->batch->n_tokens; t++) {
		double *y = row_at(run, op->dst[0], t);
		int32_t r = op->flags & WEIR_EMBED_POSITION ? run->batch->pos[t] + op->i[0]
			    : op->flags & WEIR_EMBED_FIXED  ? op->i[0]
			    : op->flags & WEIR_EMBED_TYPE   ? run->batch->type[t]
							    : run->batch->token[t];
		const double *x = row_at(run, op->src[0], (uint32_t)r);

		for (uint64_t i = 0; i < part_of(run, op->dst[0])->tensor.width; i++)
			y[i] = (double)op->f[0] * x[i] + (op->flags & WEIR_EMBED_ADD ? y[i] : 0);
	}
}

/* y = (x - mean) / sqrt(mean square + epsilon) * w + b, y += that with `add`. */
static void norm_group(const double *x, const double *w, const double *b, double *y, uint64_t n,
		       bool layer, bool add, double epsilon)
{
	double mean = 0, square = 0;
	g_autofree double *z = g_memdup2(x, n * sizeof(*x)); /* x may be y */

	for (uint64_t i = 0; layer && i < n; i++)
		mean += z[i] / (double)n;
	for (uint64_t i = 0; i < n; i++)
		square += (z[i] - mean) * (z[i] - mean) / (double)n;
	for (uint64_t i = 0; i < n; i++) {
		double value = (z[i] - mean) / sqrt(square + epsilon) * w[i] + (b ? b[i] : 0);

		y[i] = add ? y[i] + value : value;
	}
}

static void norm(const struct run *run)
{
	const struct weir_op *op = run->op;
	uint64_t width = part_of(run, op->src[0])->tensor.width;
	uint64_t group = op->i[0] ? (uint64_t)op->i[0] : width;
	const double *w = vector(run, op->src[1]), *b = vector(run, op->src[2]);
	/* One weight for all groups, or one for the row. */
	bool shared = part_of(run, op->src[1])->n_in == group;

	for (uint32_t r = 0; r < n_rows(run, op->src[0]); r++)
		for (uint64_t at = 0; at < width; at += group) {
			uint64_t from = shared ? 0 : at;

			norm_group(row_at(run, op->src[0], r) + at, w + from, b ? b + from : NULL,
				   row_at(run, op->dst[0], r) + at, group,
				   op->flags & WEIR_NORM_LAYER, op->flags & WEIR_NORM_ADD,
				   (double)op->f[0]);
		}
}

static double dot(const double *a, const double *b, uint64_t n)
{
	double sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* Element o of src0 . W_k^T + b_k. */
static double product(const struct run *run, uint32_t k, uint32_t row, uint64_t o)
{
	const struct weir_check_part *w = part_of(run, run->op->src[1 + k]);
	const double *b = vector(run, run->op->src[4 + k]);

	return dot(w->values + o * w->n_in, row_at(run, run->op->src[0], row), w->n_in) +
	       (b ? b[o] : 0);
}

static void linear(const struct run *run)
{
	const struct weir_op *op = run->op;
	bool glu = op->flags & WEIR_LINEAR_GLU;

	for (uint32_t k = 0; k < (glu ? 1u : (uint32_t)op->i[0]); k++)
		for (uint32_t r = 0; r < n_rows(run, op->src[0]); r++)
			for (uint64_t o = 0; o < part_of(run, op->dst[k])->tensor.width; o++) {
				double *y = row_at(run, op->dst[k], r) + o;
				double v = act(op->flags, product(run, k, r, o));

				if (glu)
					v *= product(run, 1, r, o);
				v *= (double)op->f[0];
				if (op->f[1] > 0)
					v = (double)op->f[1] * tanh(v / (double)op->f[1]);
				*y = op->flags & WEIR_LINEAR_ADD ? *y + v : v;
			}
}

/* YaRN: the pair that makes so many turns over the original context. */
static double pair_of_turns(const struct weir_op *op, double turns)
{
	return op->i[3] * log(op->i[5] / (2 * G_PI * turns)) / (2 * log((double)op->f[0]));
}

static double angle_of(const struct run *run, int32_t pos, int32_t pair)
{
	const struct weir_op *op = run->op;
	const double *factors = vector(run, op->src[7]);
	double plain =
		pow((double)op->f[0], -2.0 * pair / op->i[3]) / (factors ? factors[pair] : 1);
	double scaled = plain * (double)op->f[1], low, high, ramp;

	if (!(op->f[2] > 0))
		return pos * scaled;
	low = MAX(0, floor(pair_of_turns(op, (double)op->f[4])));
	high = MIN(op->i[3] - 1, ceil(pair_of_turns(op, (double)op->f[5])));
	ramp = CLAMP((pair - low) / MAX(high - low, 0.001), 0, 1);
	ramp = (1 - ramp) * (double)op->f[2]; /* the share that stays unscaled */
	return pos * (plain * ramp + scaled * (1 - ramp));
}

static void turn(const struct run *run, double *x, int32_t pos)
{
	const struct weir_op *op = run->op;
	int32_t n = op->i[3];

	for (int32_t i = 0; i < n / 2; i++) {
		double a = angle_of(run, pos, i);
		double c = cos(a) * (double)op->f[3], s = sin(a) * (double)op->f[3];
		double *p = x + (op->i[4] == WEIR_ROPE_NEOX ? i : 2 * i);
		double *q = p + (op->i[4] == WEIR_ROPE_NEOX ? n / 2 : 1);
		double u = *p, v = *q;

		*p = u * c - v * s;
		*q = u * s + v * c;
	}
}

static void heads(const struct run *run, uint32_t tensor, int32_t n, const double *weight)
{
	int32_t size = run->op->i[2];

	for (uint32_t t = 0; t < run->batch->n_tokens; t++)
		for (int32_t h = 0; h < n; h++) {
			double *x = row_at(run, tensor, t) + (size_t)h * (size_t)size;

			if (weight)
				norm_group(x, weight, NULL, x, (uint64_t)size, false, false,
					   (double)run->op->f[6]);
			turn(run, x, run->batch->pos[t]);
		}
}

static void rope_kv(const struct run *run)
{
	const struct weir_op *op = run->op;
	size_t width = (size_t)op->i[1] * (size_t)op->i[2];

	heads(run, op->src[0], op->i[0], vector(run, op->src[5]));
	heads(run, op->src[1], op->i[1], vector(run, op->src[6]));
	for (uint32_t t = 0; op->src[3] != WEIR_NO_TENSOR && t < run->batch->n_tokens; t++)
		for (int side = 0; side < 2; side++)
			memcpy(part_of(run, op->src[3 + side])->values +
				       run->batch->slot[t] * width,
			       row_at(run, op->src[1 + side], t), width * sizeof(double));
}

/* softmax(f0 * q k^T (softcap f1)) v over n keys. */
static void attend(const struct weir_op *op, const double *q, const double **k, const double **v,
		   uint32_t n, double *y)
{
	size_t size = (size_t)op->i[2];
	g_autofree double *p = g_new0(double, n);
	double most = -INFINITY, sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		p[i] = dot(q, k[i], size) * (double)op->f[0];
		if (op->f[1] > 0)
			p[i] = (double)op->f[1] * tanh(p[i] / (double)op->f[1]);
		most = MAX(most, p[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		sum += p[i] = exp(p[i] - most);
	memset(y, 0, size * sizeof(*y));
	for (uint32_t i = 0; i < n; i++)
		for (size_t d = 0; d < size; d++)
			y[d] += p[i] / sum * v[i][d];
}

/* Does the query at position p look at the key at position i? */
static bool sees(const struct weir_op *op, bool causal, int64_t p, int64_t i)
{
	int64_t window = op->i[3];

	if (causal)
		return i <= p && (!window || i > p - window);
	return !window || llabs(p - i) <= window / 2;
}

static void attention(const struct run *run, bool packed)
{
	const struct weir_op *op = run->op;
	const struct weir_device_batch *b = run->batch;
	size_t size = (size_t)op->i[2], width = (size_t)op->i[1] * size;
	const double *keys = part_of(run, op->src[1])->values;
	const double *values = part_of(run, op->src[2])->values;
	uint32_t most = 1;

	for (uint32_t r = 0; r < b->n_rows; r++)
		most = MAX(most, packed ? b->n_tokens : b->kv_len[r]);
	g_autofree const double **k = g_new0(const double *, most);
	g_autofree const double **v = g_new0(const double *, most);
	for (uint32_t t = 0; t < b->n_tokens; t++)
		for (int32_t h = 0; h < op->i[0]; h++) {
			uint32_t row = (uint32_t)b->row[t], n = 0;
			size_t at = (size_t)(h / (op->i[0] / op->i[1])) * size;
			uint32_t from = packed ? b->first[row] : 0;
			uint32_t end = packed ? b->first[row + 1] : b->kv_len[row];
			int64_t p = packed ? (int64_t)t : b->pos[t];

			for (uint32_t i = from; i < end; i++) {
				size_t place = i;

				if (!sees(op, !packed || op->i[4] == 1, p, i))
					continue;
				if (!packed)
					place = (size_t)b->blocks[row * b->block_stride +
								  i / WEIR_CHECK_BLOCK] *
							WEIR_CHECK_BLOCK +
						i % WEIR_CHECK_BLOCK;
				k[n] = keys + place * width + at;
				v[n++] = values + place * width + at;
			}
			attend(op, row_at(run, op->src[0], t) + (size_t)h * size, k, v, n,
			       row_at(run, op->dst[0], t) + (size_t)h * size);
		}
}

static void gather(const struct run *run)
{
	const struct weir_op *op = run->op;

	for (uint32_t o = 0; o < run->batch->n_out; o++)
		memcpy(row_at(run, op->dst[0], o), row_at(run, op->src[0], run->batch->out_row[o]),
		       part_of(run, op->dst[0])->tensor.width * sizeof(double));
}

static void expert(const struct run *run, uint32_t row, uint64_t e, double share)
{
	const struct weir_op *op = run->op;
	uint64_t n = part_of(run, op->src[0])->tensor.width, n_ff = (uint64_t)op->i[2];
	const double *gate = part_of(run, op->src[2])->values + e * n_ff * n;
	const double *up = part_of(run, op->src[3])->values + e * n_ff * n;
	const double *down = part_of(run, op->src[4])->values + e * n * n_ff;
	const double *x = row_at(run, op->src[0], row);
	double *y = row_at(run, op->dst[0], row);
	g_autofree double *h = g_new(double, n_ff);

	for (uint64_t i = 0; i < n_ff; i++)
		h[i] = act(op->flags, dot(gate + i * n, x, n)) * dot(up + i * n, x, n);
	for (uint64_t o = 0; o < n; o++)
		y[o] += (double)op->f[0] * share * dot(down + o * n_ff, h, n_ff);
}

static void moe(const struct run *run)
{
	const struct weir_op *op = run->op;
	int32_t n = op->i[0];
	g_autofree double *p = g_new(double, n);
	g_autofree bool *taken = g_new(bool, n);
	g_autofree int32_t *chosen = g_new(int32_t, op->i[1]);

	for (uint32_t r = 0; r < n_rows(run, op->src[0]); r++) {
		const double *logits = row_at(run, op->src[1], r);
		double most = -INFINITY, sum = 0, part = 0;

		for (int32_t e = 0; e < n; e++)
			most = MAX(most, logits[e]);
		for (int32_t e = 0; e < n; e++)
			sum += exp(logits[e] - most);
		for (int32_t e = 0; e < n; e++)
			p[e] = op->flags & WEIR_MOE_SIGMOID ? 1 / (1 + exp(-logits[e]))
							    : exp(logits[e] - most) / sum;
		memset(taken, 0, (size_t)n * sizeof(*taken));
		for (int32_t c = 0; c < op->i[1]; c++) {
			int32_t best = -1;

			for (int32_t e = 0; e < n; e++)
				if (!taken[e] && (best < 0 || logits[e] > logits[best]))
					best = e;
			taken[best] = true;
			chosen[c] = best;
			part += p[best];
		}
		for (int32_t c = 0; c < op->i[1]; c++)
			expert(run, r, (uint64_t)chosen[c],
			       op->flags & WEIR_MOE_NORM ? p[chosen[c]] / part : p[chosen[c]]);
	}
}

static void lora(const struct run *run)
{
	const struct weir_op *op = run->op;
	const struct weir_check_part *a = part_of(run, op->src[1]), *b = part_of(run, op->src[2]);
	g_autofree double *h = g_new(double, a->n_out);

	for (uint32_t r = 0; r < n_rows(run, op->src[0]); r++) {
		bool tokens = part_of(run, op->src[0])->tensor.rows == WEIR_ROWS_TOKENS;
		int32_t seq = run->batch->row[tokens ? r : run->batch->out_row[r]];

		if (!run->batch->adapter || run->batch->adapter[seq] != (uint32_t)op->i[0])
			continue;
		for (uint64_t i = 0; i < a->n_out; i++)
			h[i] = dot(a->values + i * a->n_in, row_at(run, op->src[0], r), a->n_in);
		for (uint64_t o = 0; o < b->n_out; o++)
			row_at(run, op->dst[0], r)[o] +=
				(double)op->f[0] * dot(b->values + o * b->n_in, h, b->n_in);
	}
}

static void glu(const struct run *run)
{
	const struct weir_op *op = run->op;

	for (uint32_t r = 0; r < n_rows(run, op->src[0]); r++)
		for (uint64_t i = 0; i < part_of(run, op->dst[0])->tensor.width; i++)
			row_at(run, op->dst[0], r)[i] =
				act(op->flags, row_at(run, op->src[0], r)[i]) *
				(op->src[1] == WEIR_NO_TENSOR ? 1 : row_at(run, op->src[1], r)[i]);
}

static void copy_blocks(const struct run *run)
{
	for (uint32_t i = 0; i < run->plan->n_parts; i++) {
		const struct weir_check_part *kv = part_of(run, i);
		size_t n = (size_t)kv->block_tokens * kv->n_heads * kv->head_size;

		for (uint32_t c = 0; kv->tensor.kind == WEIR_TENSOR_KV && c < run->batch->n_copies;
		     c++)
			memmove(kv->values + run->batch->copies[2 * c + 1] * n,
				kv->values + run->batch->copies[2 * c] * n, n * sizeof(double));
	}
}

void weir_check_reference(struct weir_check_plan *plan, const struct weir_device_batch *batch)
{
	struct run run = { plan, batch, NULL };

	copy_blocks(&run);
	for (uint32_t i = 0; i < plan->n_ops; i++) {
		run.op = &plan->ops[i];
		switch (run.op->code) {
		case WEIR_OP_EMBED:
			embed(&run);
			break;
		case WEIR_OP_NORM:
			norm(&run);
			break;
		case WEIR_OP_LINEAR:
			linear(&run);
			break;
		case WEIR_OP_ROPE_KV:
			rope_kv(&run);
			break;
		case WEIR_OP_ATTENTION:
			attention(&run, false);
			break;
		case WEIR_OP_GATHER:
			gather(&run);
			break;
		case WEIR_OP_ATTENTION_PACKED:
			attention(&run, true);
			break;
		case WEIR_OP_MOE:
			moe(&run);
			break;
		case WEIR_OP_LORA:
			lora(&run);
			break;
		case WEIR_OP_GLU:
			glu(&run);
			break;
		default:
			g_assert_not_reached();
		}
	}
}
