/*
 * device-scalar.c - the plainest possible level-C device; see device-scalar.h. For tests.
 */
#include "device-scalar.h"
#include "fail.h"

#include <glib.h>
#include <math.h>
#include <string.h>

struct weir_buffer {
	uint32_t type, block_tokens;
	uint64_t n_in, n_out;
	float *data; /* own copy: nothing depends on the file after loading */
};

struct weir_program {
	struct weir_program_desc desc;
	struct weir_tensor *tensors;
	struct weir_op *ops;
	float **temp; /* [n_tensors] rows of TEMP and OUTPUT */
	const struct weir_device_batch *batch;
};

static struct device_scalar *self(struct weir_instance *i)
{
	return i->data;
}

void device_scalar_init(struct device_scalar *d)
{
	*d = (struct device_scalar){ .instance = { .size = sizeof(d->instance) } };
	d->instance.data = d;
}

static void info(struct weir_instance *i, struct weir_device_info *ret)
{
	ret->n_threads = 3; /* more samplers than one, to see that they agree */
	ret->memory_total = ret->memory_free = 1u << 30;
	g_strlcpy(ret->name, "scalar", sizeof(ret->name));
}

static bool supports(struct weir_instance *i, const struct weir_op *op,
		     const struct weir_tensor *tensors)
{
	return op->code >= WEIR_OP_EMBED && op->code <= WEIR_OP_GLU &&
	       op->code != self(i)->refuse_op;
}

static weir_status make_buffer(struct weir_instance *i, uint32_t type, uint64_t n_in,
			       uint64_t n_out, weir_buffer **ret)
{
	weir_buffer *b = g_new0(weir_buffer, 1);

	b->type = type;
	b->n_in = n_in;
	b->n_out = n_out;
	b->data = g_new0(float, n_in *n_out);
	self(i)->n_buffers++;
	*ret = b;
	return WEIR_OK;
}

static weir_status weight(struct weir_instance *i, uint32_t type, uint64_t n_in, uint64_t n_out,
			  uint32_t use, const void *src, weir_buffer **ret, struct weir_error *err)
{
	if (++self(i)->n_weights == self(i)->fail_weight)
		return weir_fail(err, WEIR_E_EXHAUSTED, "out of memory, as asked");
	if (type != WEIR_DTYPE_F32)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "F32 only");
	make_buffer(i, type, n_in, n_out, ret);
	memcpy((*ret)->data, src, n_in * n_out * sizeof(float));
	return WEIR_OK;
}

static weir_status kv(struct weir_instance *i, uint32_t type, uint32_t n_blocks,
		      uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
		      weir_buffer **ret, struct weir_error *err)
{
	if (type != WEIR_DTYPE_F32 && type != WEIR_DTYPE_F16)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "F32 and F16 only");
	make_buffer(i, type, (uint64_t)n_heads * head_size, (uint64_t)n_blocks * block_tokens, ret);
	(*ret)->block_tokens = block_tokens;
	return WEIR_OK;
}

static void buffer_free(struct weir_instance *i, weir_buffer *b)
{
	self(i)->n_buffers--;
	g_free(b->data);
	g_free(b);
}

static bool is_temp(const struct weir_tensor *t)
{
	return t->kind == WEIR_TENSOR_TEMP || t->kind == WEIR_TENSOR_OUTPUT;
}

static weir_status program_new(struct weir_instance *i, const struct weir_program_desc *desc,
			       weir_program **ret, struct weir_error *err)
{
	weir_program *p = g_new0(weir_program, 1);

	g_assert_cmpuint(desc->max_out, <=, desc->max_tokens);
	p->desc = *desc;
	p->tensors = g_memdup2(desc->tensors, desc->n_tensors * sizeof(*p->tensors));
	p->ops = g_memdup2(desc->ops, desc->n_ops * sizeof(*p->ops));
	p->temp = g_new0(float *, desc->n_tensors);
	for (uint32_t k = 0; k < desc->n_tensors; k++) {
		const struct weir_tensor *t = &p->tensors[k];

		if (is_temp(t))
			p->temp[k] = g_new0(float, t->width *(t->rows == WEIR_ROWS_TOKENS
								      ? desc->max_tokens
								      : desc->max_out));
	}
	self(i)->n_programs++;
	*ret = p;
	return WEIR_OK;
}

static void program_free(struct weir_instance *i, weir_program *p)
{
	for (uint32_t k = 0; k < p->desc.n_tensors; k++)
		g_free(p->temp[k]);
	g_free(p->temp);
	g_free(p->tensors);
	g_free(p->ops);
	g_free(p);
	self(i)->n_programs--;
}

static uint32_t rows_of(const weir_program *p, uint32_t tensor)
{
	return p->tensors[tensor].rows == WEIR_ROWS_TOKENS ? p->batch->n_tokens : p->batch->n_out;
}

static float *row_of(const weir_program *p, uint32_t tensor, uint32_t row)
{
	return p->temp[tensor] + (size_t)row * p->tensors[tensor].width;
}

static const float *data_of(const weir_program *p, uint32_t tensor)
{
	return tensor == WEIR_NO_TENSOR ? NULL : p->tensors[tensor].buffer->data;
}

static void norm(const struct weir_op *op, const float *x, const float *w, const float *b, float *y,
		 uint64_t n)
{
	double mean = 0, sq = 0;

	for (uint64_t i = 0; op->flags & WEIR_NORM_LAYER && i < n; i++)
		mean += (double)x[i] / (double)n;
	for (uint64_t i = 0; i < n; i++)
		sq += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
	for (uint64_t i = 0; i < n; i++)
		y[i] = (float)(((double)x[i] - mean) / sqrt(sq + (double)op->f[0]) * (double)w[i] +
			       (b ? (double)b[i] : 0) +
			       (op->flags & WEIR_NORM_ADD ? (double)y[i] : 0));
}

static void run_norm(const weir_program *p, const struct weir_op *op)
{
	uint64_t width = p->tensors[op->src[0]].width;
	uint64_t group = op->i[0] ? (uint64_t)op->i[0] : width;
	const weir_buffer *weight = p->tensors[op->src[1]].buffer;
	const float *bias = data_of(p, op->src[2]);
	bool each = weight->n_in * weight->n_out == width; /* or one for all groups */

	for (uint32_t r = 0; r < rows_of(p, op->src[0]); r++) {
		for (uint64_t at = 0; at < width; at += group)
			norm(op, row_of(p, op->src[0], r) + at, weight->data + (each ? at : 0),
			     bias && each ? bias + at : bias, row_of(p, op->dst[0], r) + at, group);
	}
}

static double dot_row(const weir_program *p, const struct weir_op *op, uint32_t k, const float *x,
		      uint64_t out)
{
	const weir_buffer *w = p->tensors[op->src[1 + k]].buffer;
	const float *bias = data_of(p, op->src[4 + k]);
	double y = bias ? (double)bias[out] : 0;

	for (uint64_t i = 0; i < w->n_in; i++)
		y += (double)w->data[out * w->n_in + i] * (double)x[i];
	return y;
}

static double activate(uint32_t flags, double x)
{
	if (flags & WEIR_ACT_RELU2)
		return x > 0 ? x * x : 0;
	if (flags & WEIR_ACT_GELU_TANH)
		return 0.5 * x * (1 + tanh(sqrt(2 / G_PI) * (x + 0.044715 * x * x * x)));
	if (flags & WEIR_ACT_GELU_ERF)
		return 0.5 * x * erfc(-x / sqrt(2));
	if (flags & WEIR_ACT_RELU)
		return x > 0 ? x : 0;
	if (flags & WEIR_ACT_TANH)
		return tanh(x);
	if (flags & WEIR_ACT_SILU)
		return x / (1 + exp(-x));
	return x;
}

static void run_linear(const weir_program *p, const struct weir_op *op)
{
	bool glu = op->flags & WEIR_LINEAR_GLU;

	for (uint32_t r = 0; r < rows_of(p, op->src[0]); r++) {
		const float *x = row_of(p, op->src[0], r);

		for (uint32_t k = 0; k < (glu ? 1u : (uint32_t)op->i[0]); k++) {
			float *y = row_of(p, op->dst[k], r);

			for (uint64_t o = 0; o < p->tensors[op->dst[k]].width; o++) {
				/* Rounded as if stored: GLU in pieces gives the same bits. */
				double v = (double)(float)dot_row(p, op, k, x, o);

				v = activate(op->flags, v);
				if (glu)
					v *= (double)(float)dot_row(p, op, 1, x, o);
				v *= (double)op->f[0];
				if (op->f[1] > 0)
					v = (double)op->f[1] * tanh(v / (double)op->f[1]);
				y[o] = (float)(op->flags & WEIR_LINEAR_ADD ? (double)y[o] + v : v);
			}
		}
	}
}

/* The pair at which a frequency makes `turns` turns over the original context (YaRN, eq. 17 ff.) */
static double correction(const struct weir_op *op, double turns)
{
	return op->i[3] * log(op->i[5] / (turns * 2 * G_PI)) / (2 * log((double)op->f[0]));
}

static double angle(const weir_program *p, const struct weir_op *op, int32_t pos, int32_t pair)
{
	const float *factors = data_of(p, op->src[7]);
	double plain = pos * pow((double)op->f[0], -2.0 * pair / op->i[3]), scaled, ramp, low, high;

	if (factors)
		plain /= (double)factors[pair];
	scaled = plain * (double)op->f[1];
	if (op->f[2] == 0)
		return scaled;
	low = MAX(floor(correction(op, (double)op->f[4])), 0);
	high = MIN(ceil(correction(op, (double)op->f[5])), op->i[3] - 1);
	ramp = CLAMP((pair - low) / MAX(high - low, 0.001), 0, 1);
	ramp = (1 - ramp) * (double)op->f[2];
	return scaled * (1 - ramp) + plain * ramp;
}

static void rope(const weir_program *p, const struct weir_op *op, float *x, int32_t pos)
{
	int32_t half = op->i[3] / 2;

	for (int32_t i = 0; i < half; i++) {
		double a = angle(p, op, pos, i);
		float *x0 = op->i[4] == WEIR_ROPE_NEOX ? &x[i] : &x[2 * i];
		float *x1 = op->i[4] == WEIR_ROPE_NEOX ? &x[i + half] : &x[2 * i + 1];
		double c = cos(a) * (double)op->f[3], s = sin(a) * (double)op->f[3];
		double u = (double)*x0, v = (double)*x1;

		*x0 = (float)(u * c - v * s);
		*x1 = (float)(u * s + v * c);
	}
}

static void store(weir_buffer *cache, uint32_t slot, const float *x)
{
	for (uint64_t i = 0; i < cache->n_in; i++)
		cache->data[slot * cache->n_in + i] =
			cache->type == WEIR_DTYPE_F16 ? (float)(_Float16)x[i] : x[i];
}

static void run_rope_kv(const weir_program *p, const struct weir_op *op)
{
	const struct weir_op head_norm = { .f[0] = op->f[6] };
	const float *q_norm = data_of(p, op->src[5]), *k_norm = data_of(p, op->src[6]);
	int32_t size = op->i[2];

	for (uint32_t t = 0; t < p->batch->n_tokens; t++) {
		for (int32_t h = 0; h < op->i[0] + op->i[1]; h++) {
			bool is_q = h < op->i[0];
			float *x = row_of(p, op->src[is_q ? 0 : 1], t) +
				   (size_t)(is_q ? h : h - op->i[0]) * (size_t)size;
			const float *w = is_q ? q_norm : k_norm;

			if (w)
				norm(&head_norm, x, w, NULL, x, (uint64_t)size);
			rope(p, op, x, p->batch->pos[t]);
		}
		if (op->src[3] == WEIR_NO_TENSOR)
			continue;
		store(p->tensors[op->src[3]].buffer, p->batch->slot[t], row_of(p, op->src[1], t));
		store(p->tensors[op->src[4]].buffer, p->batch->slot[t], row_of(p, op->src[2], t));
	}
}

static void attend(const weir_program *p, const struct weir_op *op, uint32_t t, int32_t head)
{
	const weir_buffer *kc = p->tensors[op->src[1]].buffer, *vc = p->tensors[op->src[2]].buffer;
	int32_t size = op->i[2], group = op->i[0] / op->i[1], last = p->batch->pos[t];
	int32_t start = op->i[3] > 0 ? MAX(last - op->i[3] + 1, 0) : 0;
	const uint32_t *blocks =
		p->batch->blocks + (size_t)p->batch->row[t] * p->batch->block_stride;
	const float *q = row_of(p, op->src[0], t) + (size_t)head * (size_t)size;
	float *y = row_of(p, op->dst[0], t) + (size_t)head * (size_t)size;
	size_t at = (size_t)(head / group) * (size_t)size;
	g_autofree double *w = g_new0(double, last + 1);
	double max = -INFINITY, sum = 0;

	for (int32_t i = start; i <= last; i++) {
		uint32_t bt = kc->block_tokens,
			 slot = blocks[(uint32_t)i / bt] * bt + (uint32_t)i % bt;

		for (int32_t k = 0; k < size; k++)
			w[i] += (double)q[k] * (double)kc->data[slot * kc->n_in + at + (size_t)k];
		w[i] *= (double)op->f[0];
		if (op->f[1] > 0)
			w[i] = (double)op->f[1] * tanh(w[i] / (double)op->f[1]);
		max = MAX(max, w[i]);
	}
	for (int32_t i = start; i <= last; i++)
		sum += w[i] = exp(w[i] - max);
	for (int32_t k = 0; k < size; k++) {
		double v = 0;

		for (int32_t i = start; i <= last; i++) {
			uint32_t bt = kc->block_tokens;
			uint32_t slot = blocks[(uint32_t)i / bt] * bt + (uint32_t)i % bt;

			v += w[i] * (double)vc->data[slot * vc->n_in + at + (size_t)k];
		}
		y[k] = (float)(v / sum);
	}
}

static void attend_packed(const weir_program *p, const struct weir_op *op, uint32_t t, int32_t head)
{
	const struct weir_device_batch *b = p->batch;
	uint32_t row = (uint32_t)b->row[t];
	size_t size = (size_t)op->i[2], at = (size_t)(head / (op->i[0] / op->i[1])) * size;
	const float *q = row_of(p, op->src[0], t) + (size_t)head * size;
	float *y = row_of(p, op->dst[0], t) + (size_t)head * size;
	double max = -INFINITY, sum = 0;
	g_autofree double *w = g_new0(double, b->n_tokens), *v = g_new0(double, size);

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = b->first[row]; i < b->first[row + 1]; i++) {
			int32_t away = (int32_t)t - (int32_t)i, reach = op->i[3];

			if (op->i[4] ? away < 0 || (reach && away >= reach)
				     : reach && ABS(away) > reach / 2)
				continue;
			if (pass == 0) {
				for (size_t k = 0; k < size; k++)
					w[i] += (double)q[k] *
						(double)row_of(p, op->src[1], i)[at + k];
				w[i] *= (double)op->f[0];
				if (op->f[1] > 0)
					w[i] = (double)op->f[1] * tanh(w[i] / (double)op->f[1]);
				max = MAX(max, w[i]);
				continue;
			}
			w[i] = exp(w[i] - max);
			sum += w[i];
			for (size_t k = 0; k < size; k++)
				v[k] += w[i] * (double)row_of(p, op->src[2], i)[at + k];
		}
	}
	for (size_t k = 0; k < size; k++)
		y[k] = (float)(v[k] / sum);
}

static void run_embed(const weir_program *p, const struct weir_op *op)
{
	const weir_buffer *w = p->tensors[op->src[0]].buffer;

	for (uint32_t t = 0; t < p->batch->n_tokens; t++) {
		int32_t row = op->flags & WEIR_EMBED_POSITION ? p->batch->pos[t] + op->i[0]
			      : op->flags & WEIR_EMBED_FIXED  ? op->i[0]
			      : op->flags & WEIR_EMBED_TYPE
				      ? (p->batch->type ? p->batch->type[t] : 0)
				      : p->batch->token[t];
		float *y = row_of(p, op->dst[0], t);

		for (uint64_t i = 0; i < w->n_in; i++)
			y[i] = op->f[0] * w->data[(uint64_t)row * w->n_in + i] +
			       (op->flags & WEIR_EMBED_ADD ? y[i] : 0);
	}
}

/* The i1 largest of logits, their shares in p; ties go to the lower index. */
static void choose(const struct weir_op *op, const float *logits, int32_t *ret, double *share)
{
	double max = -INFINITY, sum = 0, chosen = 0;
	g_autofree bool *taken = g_new0(bool, op->i[0]);

	for (int32_t e = 0; e < op->i[0]; e++)
		max = MAX(max, (double)logits[e]);
	for (int32_t e = 0; e < op->i[0]; e++)
		sum += exp((double)logits[e] - max);
	for (int32_t k = 0; k < op->i[1]; k++) {
		int32_t best = -1;

		for (int32_t e = 0; e < op->i[0]; e++)
			if (!taken[e] && (best < 0 || logits[e] > logits[best]))
				best = e;
		taken[best] = true;
		ret[k] = best;
		share[k] = op->flags & WEIR_MOE_SIGMOID ? 1 / (1 + exp(-(double)logits[best]))
							: exp((double)logits[best] - max) / sum;
		chosen += share[k];
	}
	for (int32_t k = 0; op->flags & WEIR_MOE_NORM && k < op->i[1]; k++)
		share[k] /= chosen;
}

static double dot(const float *w, const float *x, uint64_t n)
{
	double y = 0;

	for (uint64_t i = 0; i < n; i++)
		y += (double)w[i] * (double)x[i];
	return y;
}

static void run_moe(const weir_program *p, const struct weir_op *op)
{
	uint64_t n = p->tensors[op->src[0]].width, n_ff = (uint64_t)op->i[2];
	g_autofree int32_t *expert = g_new(int32_t, op->i[1]);
	g_autofree double *share = g_new(double, op->i[1]);
	g_autofree float *h = g_new(float, n_ff);

	for (uint32_t r = 0; r < rows_of(p, op->src[0]); r++) {
		const float *x = row_of(p, op->src[0], r);
		float *y = row_of(p, op->dst[0], r);

		choose(op, row_of(p, op->src[1], r), expert, share);
		for (int32_t k = 0; k < op->i[1]; k++) {
			uint64_t at = (uint64_t)expert[k] * n_ff;

			for (uint64_t i = 0; i < n_ff; i++)
				h[i] = (float)(activate(op->flags,
							dot(data_of(p, op->src[2]) + (at + i) * n,
							    x, n)) *
					       dot(data_of(p, op->src[3]) + (at + i) * n, x, n));
			for (uint64_t o = 0; o < n; o++)
				y[o] += (float)((double)op->f[0] * share[k] *
						dot(data_of(p, op->src[4]) +
							    ((uint64_t)expert[k] * n + o) * n_ff,
						    h, n_ff));
		}
	}
}

static uint32_t token_of(const weir_program *p, uint32_t tensor, uint32_t row)
{
	return p->tensors[tensor].rows == WEIR_ROWS_OUT ? p->batch->out_row[row] : row;
}

static void run_lora(const weir_program *p, const struct weir_op *op)
{
	const weir_buffer *a = p->tensors[op->src[1]].buffer, *b = p->tensors[op->src[2]].buffer;
	g_autofree float *h = g_new(float, a->n_out);

	for (uint32_t r = 0; p->batch->adapter && r < rows_of(p, op->src[0]); r++) {
		int32_t row = p->batch->row[token_of(p, op->src[0], r)];

		if (p->batch->adapter[row] != (uint32_t)op->i[0])
			continue;
		for (uint64_t i = 0; i < a->n_out; i++)
			h[i] = (float)dot(a->data + i * a->n_in, row_of(p, op->src[0], r), a->n_in);
		for (uint64_t o = 0; o < b->n_out; o++)
			row_of(p, op->dst[0], r)[o] +=
				(float)((double)op->f[0] * dot(b->data + o * b->n_in, h, b->n_in));
	}
}

static void run_glu(const weir_program *p, const struct weir_op *op)
{
	for (uint32_t r = 0; r < rows_of(p, op->src[0]); r++) {
		for (uint64_t i = 0; i < p->tensors[op->dst[0]].width; i++) {
			double y = activate(op->flags, (double)row_of(p, op->src[0], r)[i]);

			if (op->src[1] != WEIR_NO_TENSOR)
				y *= (double)row_of(p, op->src[1], r)[i];
			row_of(p, op->dst[0], r)[i] = (float)y;
		}
	}
}

static void run_op(const weir_program *p, const struct weir_op *op)
{
	const struct weir_device_batch *b = p->batch;

	switch (op->code) {
	case WEIR_OP_EMBED:
		run_embed(p, op);
		break;
	case WEIR_OP_MOE:
		run_moe(p, op);
		break;
	case WEIR_OP_LORA:
		run_lora(p, op);
		break;
	case WEIR_OP_GLU:
		run_glu(p, op);
		break;
	case WEIR_OP_NORM:
		run_norm(p, op);
		break;
	case WEIR_OP_LINEAR:
		run_linear(p, op);
		break;
	case WEIR_OP_ROPE_KV:
		run_rope_kv(p, op);
		break;
	case WEIR_OP_ATTENTION:
		for (uint32_t t = 0; t < b->n_tokens; t++) {
			for (int32_t h = 0; h < op->i[0]; h++)
				attend(p, op, t, h);
		}
		break;
	case WEIR_OP_ATTENTION_PACKED:
		for (uint32_t t = 0; t < b->n_tokens; t++) {
			for (int32_t h = 0; h < op->i[0]; h++)
				attend_packed(p, op, t, h);
		}
		break;
	case WEIR_OP_GATHER:
		for (uint32_t o = 0; o < b->n_out; o++)
			memcpy(row_of(p, op->dst[0], o), row_of(p, op->src[0], b->out_row[o]),
			       p->tensors[op->dst[0]].width * sizeof(float));
		break;
	}
}

static void copy_blocks(const weir_program *p)
{
	for (uint32_t k = 0; k < p->desc.n_tensors; k++) {
		weir_buffer *c = p->tensors[k].buffer;
		uint64_t n;

		if (p->tensors[k].kind != WEIR_TENSOR_KV)
			continue;
		n = c->n_in * c->block_tokens;
		for (uint32_t i = 0; i < p->batch->n_copies; i++)
			memcpy(c->data + p->batch->copies[2 * i + 1] * n,
			       c->data + p->batch->copies[2 * i] * n, n * sizeof(float));
	}
}

static weir_status run(struct weir_instance *i, weir_program *p, const struct weir_device_batch *b,
		       struct weir_error *err)
{
	self(i)->n_runs++;
	p->batch = b;
	copy_blocks(p);
	for (uint32_t k = 0; k < p->desc.n_ops; k++)
		run_op(p, &p->ops[k]);
	return WEIR_OK;
}

static weir_status wait(struct weir_instance *i, weir_program *p, struct weir_error *err)
{
	if (self(i)->interrupted) {
		self(i)->interrupted = false;
		return weir_fail(err, WEIR_E_CANCELLED, "interrupted");
	}
	return WEIR_OK;
}

static const float *output(struct weir_instance *i, weir_program *p, uint32_t tensor)
{
	if (self(i)->poison)
		p->temp[tensor][1] = NAN;
	return p->temp[tensor];
}

static void interrupt(struct weir_instance *i)
{
	self(i)->interrupted = true;
}

struct task {
	void (*fn)(void *data, uint32_t i);
	void *data;
	uint32_t i;
};

static gpointer run_task(gpointer data)
{
	struct task *t = data;

	t->fn(t->data, t->i);
	return NULL;
}

static void parallel(struct weir_instance *instance, uint32_t n, void (*fn)(void *, uint32_t),
		     void *data)
{
	g_autofree struct task *tasks = g_new0(struct task, n);
	g_autofree GThread **threads = g_new0(GThread *, n);

	for (uint32_t i = 0; i < n; i++) {
		tasks[i] = (struct task){ .fn = fn, .data = data, .i = i };
		threads[i] = g_thread_new("task", run_task, &tasks[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		g_thread_join(threads[i]);
}

const struct weir_device device_scalar = {
	.size = sizeof(device_scalar),
	.info = info,
	.supports = supports,
	.weight = weight,
	.kv = kv,
	.buffer_free = buffer_free,
	.program_new = program_new,
	.program_free = program_free,
	.run = run,
	.wait = wait,
	.output = output,
	.interrupt = interrupt,
	.parallel = parallel,
};
