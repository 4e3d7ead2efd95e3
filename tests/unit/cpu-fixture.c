/*
 * cpu-fixture.c - see cpu-fixture.h.
 */
#include "cpu-fixture.h"

#include <math.h>
#include <string.h>

#include "codes.h"
#include "float16.h"
#include "iquant.h"

const char *const fixture_levels[] = {
#ifdef __aarch64__
	"scalar", "neon", "dotprod", NULL
#else
	"scalar", "avx2", "avxvnni", "avx512", "vnni", "avx512bf16", NULL
#endif
};

const uint32_t fixture_types[] = {
	WEIR_DTYPE_F32,   WEIR_DTYPE_F16,   WEIR_DTYPE_BF16,  WEIR_DTYPE_Q8_0,   WEIR_DTYPE_Q4_0,
	WEIR_DTYPE_Q4_1,  WEIR_DTYPE_Q5_0,  WEIR_DTYPE_Q5_1,  WEIR_DTYPE_Q2_K,   WEIR_DTYPE_Q3_K,
	WEIR_DTYPE_Q4_K,  WEIR_DTYPE_Q5_K,  WEIR_DTYPE_Q6_K,  WEIR_DTYPE_IQ4_NL, WEIR_DTYPE_IQ4_XS,
	WEIR_DTYPE_MXFP4, WEIR_DTYPE_TQ1_0, WEIR_DTYPE_TQ2_0, WEIR_DTYPE_IQ2_XS, WEIR_DTYPE_IQ3_XXS,
	WEIR_DTYPE_NVFP4,
};
const size_t fixture_n_types = G_N_ELEMENTS(fixture_types), fixture_n_float_types = 3;

gboolean fixture_rounds(const struct fixture *f, uint32_t type)
{
	return type == WEIR_DTYPE_BF16 && strcmp(f->data.cpu->kernels->name, "avx512bf16") == 0;
}

gboolean fixture_init(struct fixture *f, const char *level, unsigned n_threads)
{
	struct weir_error err = { 0 };
	weir_status status;

	memset(f, 0, sizeof(*f));
	g_setenv("WEIR_ISA", level, TRUE);
	status = weir_cpu_new(n_threads, false, &f->data.cpu, &err);
	g_unsetenv("WEIR_ISA");
	if (status == WEIR_E_UNSUPPORTED) {
		g_test_skip(err.text);
		return FALSE;
	}
	g_assert_cmpint(status, ==, WEIR_OK);
	f->data.cpu->alone_below = 0; /* however small: on all threads */
	f->instance = (struct weir_instance){ .size = sizeof(f->instance), .data = &f->data };
	f->device = weir_cpu_device();
	return TRUE;
}

void fixture_clear(struct fixture *f)
{
	weir_cpu_free(f->data.cpu);
}

void fill_random(GRand *rand, float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(g_rand_double_range(rand, -1, 1) + g_rand_double_range(rand, -1, 1) +
			       g_rand_double_range(rand, -1, 1));
}

static void put_f16(uint8_t *p, double x)
{
	uint16_t h = weir_f32_to_f16((float)x);

	memcpy(p, &h, 2);
}

/* What the f16 numbers of a block of each type are times, so that weights are of about unit
 * variance over sqrt(n_in). */
static const struct {
	float d, min;
} sizes[] = {
	[WEIR_DTYPE_Q8_0] = { 1 / 64.0f, 0 },
	[WEIR_DTYPE_Q4_0] = { 1 / 4.0f, 0 },
	[WEIR_DTYPE_Q4_1] = { 1 / 4.0f, -2 },
	[WEIR_DTYPE_Q5_0] = { 1 / 9.0f, 0 },
	[WEIR_DTYPE_Q5_1] = { 1 / 9.0f, -2 },
	[WEIR_DTYPE_Q2_K] = { 1 / 8.0f, 1 / 6.0f },
	[WEIR_DTYPE_Q3_K] = { 1 / 40.0f, 0 },
	[WEIR_DTYPE_Q4_K] = { 1 / 200.0f, 1 / 30.0f },
	[WEIR_DTYPE_Q5_K] = { 1 / 400.0f, 1 / 30.0f },
	[WEIR_DTYPE_Q6_K] = { 1 / 1000.0f, 0 },
	[WEIR_DTYPE_IQ4_NL] = { 1 / 60.0f, 0 },
	[WEIR_DTYPE_IQ4_XS] = { 1 / 1000.0f, 0 },
	[WEIR_DTYPE_TQ1_0] = { 1, 0 },
	[WEIR_DTYPE_TQ2_0] = { 1, 0 },
};

static void set_block(GRand *rand, uint32_t type, double unit, uint8_t *p)
{
	const struct weir_cpu_codes *codes = weir_cpu_codes(type);
	float x = (float)(g_rand_double_range(rand, -2, 2) * unit);
	double d = unit * g_rand_double_range(rand, 0.2, 2);
	uint16_t h;

	switch (type) {
	case WEIR_DTYPE_F32:
		memcpy(p, &x, 4);
		return;
	case WEIR_DTYPE_F16:
		put_f16(p, (double)x);
		return;
	case WEIR_DTYPE_BF16:
		h = weir_f32_to_bf16(x);
		memcpy(p, &h, 2);
		return;
	case WEIR_DTYPE_MXFP4:
		p[0] = (uint8_t)(128 + ilogb(d / 5));
		return;
	case WEIR_DTYPE_NVFP4: /* over three powers of two */
		for (int i = 0; i < 4; i++)
			p[i] = (uint8_t)CLAMP(44 + 8 * ilogb(d / 3) + p[i] % 24, 0, 126);
		return;
	case WEIR_DTYPE_IQ1_M: /* between 2^-7 and 2^-3 */
		p[55] = (uint8_t)((p[55] & 15) | 0x20);
		return;
	}
	if (weir_iquant_values(type)) {
		put_f16(p, d / (type == WEIR_DTYPE_IQ3_XXS ? 250 : 100));
		return;
	}
	for (int f = 0; f < 2; f++)
		for (int i = 0; codes->field[f].size == 2 && i < codes->field[f].count; i++)
			put_f16(p + codes->field[f].at + 2 * i,
				d * (double)(i ? sizes[type].min : sizes[type].d));
}

uint8_t *random_weights(GRand *rand, uint32_t type, size_t n_in, size_t n_out)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	size_t n = n_in * n_out / t->block;
	uint8_t *src = g_malloc(n * t->bytes);

	for (size_t i = 0; i < n * t->bytes; i++)
		src[i] = (uint8_t)g_rand_int(rand);
	for (size_t i = 0; i < n; i++)
		set_block(rand, type, 1 / sqrt((double)n_in), src + i * t->bytes);
	return src;
}

float *weights_as_floats(uint32_t type, const uint8_t *src, size_t n_in, size_t n_out)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	float *x = g_new(float, n_in *n_out);

	t->row(src, n_in * n_out / t->block, x);
	return x;
}

weir_buffer *make_weight(struct fixture *f, uint32_t type, size_t n_in, size_t n_out, uint32_t use,
			 const void *src)
{
	struct weir_error err = { 0 };
	weir_buffer *b = NULL;

	f->device->weight(&f->instance, type, n_in, n_out, use, src, &b, &err);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_nonnull(b);
	return b;
}

uint32_t add_temp(struct builder *b, uint32_t kind, uint32_t rows, size_t width)
{
	g_assert_cmpuint(b->n_tensors, <, G_N_ELEMENTS(b->tensors));
	b->tensors[b->n_tensors] =
		(struct weir_tensor){ .kind = kind, .rows = rows, .width = width };
	return b->n_tensors++;
}

uint32_t add_buffer(struct builder *b, uint32_t kind, weir_buffer *buffer)
{
	if (!buffer)
		return WEIR_NO_TENSOR;
	g_assert_cmpuint(b->n_tensors, <, G_N_ELEMENTS(b->tensors));
	b->tensors[b->n_tensors] = (struct weir_tensor){ .kind = kind, .buffer = buffer };
	return b->n_tensors++;
}

struct weir_op *add_op(struct builder *b, uint32_t code)
{
	struct weir_op *op = &b->ops[b->n_ops++];

	g_assert_cmpuint(b->n_ops, <=, G_N_ELEMENTS(b->ops));
	memset(op, 0, sizeof(*op));
	op->code = code;
	for (int i = 0; i < 3; i++)
		op->dst[i] = WEIR_NO_TENSOR;
	for (int i = 0; i < 8; i++)
		op->src[i] = WEIR_NO_TENSOR;
	return op;
}

weir_program *build(struct fixture *f, struct builder *b, unsigned max_tokens, unsigned max_out)
{
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .n_tensors = b->n_tensors,
					  .n_ops = b->n_ops,
					  .max_tokens = max_tokens,
					  .max_rows = max_tokens,
					  .max_out = max_out,
					  .tensors = b->tensors,
					  .ops = b->ops };
	struct weir_error err = { 0 };
	weir_program *p = NULL;

	for (uint32_t i = 0; i < b->n_ops; i++)
		g_assert_true(f->device->supports(&f->instance, &b->ops[i], b->tensors));
	f->device->program_new(&f->instance, &desc, &p, &err);
	g_assert_cmpstr(err.text, ==, "");
	memset(p->arena, 0xff, p->arena_bytes);
	return p;
}

struct weir_device_batch *simple_batch(unsigned n, unsigned block_tokens)
{
	struct weir_device_batch *batch = g_new0(struct weir_device_batch, 1);
	int32_t *token = g_new0(int32_t, n), *pos = g_new0(int32_t, n), *row = g_new0(int32_t, n);
	uint32_t *slot = g_new0(uint32_t, n), *first = g_new0(uint32_t, 2);
	uint32_t *len = g_new0(uint32_t, 1), *out = g_new0(uint32_t, n);
	uint32_t *blocks = g_new0(uint32_t, n);

	for (unsigned i = 0; i < n; i++) {
		token[i] = pos[i] = (int32_t)i;
		slot[i] = out[i] = blocks[i] = i;
	}
	first[1] = len[0] = n;
	*batch = (struct weir_device_batch){ .size = sizeof(*batch),
					     .n_tokens = n,
					     .n_rows = 1,
					     .n_out = n,
					     .block_stride = n,
					     .token = token,
					     .pos = pos,
					     .row = row,
					     .slot = slot,
					     .first = first,
					     .kv_len = len,
					     .blocks = blocks,
					     .out_row = out };
	return batch;
}

void simple_batch_free(struct weir_device_batch *batch)
{
	g_free((void *)batch->token);
	g_free((void *)batch->pos);
	g_free((void *)batch->row);
	g_free((void *)batch->slot);
	g_free((void *)batch->first);
	g_free((void *)batch->kv_len);
	g_free((void *)batch->blocks);
	g_free((void *)batch->out_row);
	g_free(batch);
}

weir_buffer *add_input(struct fixture *f, struct builder *b, const float *x, size_t n, size_t width,
		       uint32_t *ret_tensor)
{
	weir_buffer *table = make_weight(f, WEIR_DTYPE_F32, width, n, WEIR_WEIGHT_TABLE, x);
	struct weir_op *op = add_op(b, WEIR_OP_EMBED);

	op->src[0] = add_buffer(b, WEIR_TENSOR_WEIGHT, table);
	op->dst[0] = *ret_tensor = add_temp(b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, width);
	op->f[0] = 1;
	return table;
}

void run_ok(struct fixture *f, weir_program *p, const struct weir_device_batch *batch)
{
	struct weir_error err = { 0 };

	f->device->run(&f->instance, p, batch, &err);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(f->device->wait(&f->instance, p, &err), ==, WEIR_OK);
}

double relative_error(const float *got, const double *want, size_t n)
{
	double diff = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isfinite(got[i]))
			return INFINITY;
		diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
		sum += want[i] * want[i];
	}
	return sum > 0 ? sqrt(diff / sum) : diff > 0 ? INFINITY : 0;
}
