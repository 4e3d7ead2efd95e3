/*
 * test-cpu-program.c - how the CPU device arranges a program: norms that each thread does for
 * itself give the bits of those that are shared, and are done so only where nobody else needs the
 * result; matrices lie together in slabs. To be run under ThreadSanitizer too.
 */
#include <string.h>

#include "cpu-fixture.h"
#include "slab.h"

enum { MAX_ROWS = 6, N_OUT = 72 };

/* What else there is beside NORM y = x, LINEAR a, b = y. */
enum twist { PLAIN, READ_AGAIN, IN_PLACE, IS_OUTPUT, ADDED_TO, NORMED_AGAIN, N_TWISTS };

struct net {
	struct builder b;
	weir_buffer *buffers[8];
	unsigned n_buffers;
	uint32_t out[3];
	unsigned n_out;
};

static uint32_t keep(struct net *n, weir_buffer *buffer)
{
	n->buffers[n->n_buffers++] = buffer;
	return add_buffer(&n->b, WEIR_TENSOR_WEIGHT, buffer);
}

static void linear(struct net *n, uint32_t src, uint32_t dst, uint32_t w, uint32_t flags)
{
	struct weir_op *op = add_op(&n->b, WEIR_OP_LINEAR);

	op->src[0] = src;
	op->src[1] = w;
	op->dst[0] = dst;
	op->i[0] = 1;
	op->f[0] = 1;
	op->flags = flags;
}

static weir_program *make(struct fixture *f, struct net *n, enum twist twist, const float *x,
			  size_t width)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	g_autofree uint8_t *q = random_weights(rand, WEIR_DTYPE_Q8_0, width, N_OUT);
	g_autofree uint8_t *h = random_weights(rand, WEIR_DTYPE_F16, width, N_OUT);
	gboolean has_square = twist == IN_PLACE || twist == ADDED_TO;
	g_autofree uint8_t *s =
		has_square ? random_weights(rand, WEIR_DTYPE_Q4_0, width, width) : NULL;
	g_autofree uint8_t *v = random_weights(rand, WEIR_DTYPE_F32, width, 1);
	struct weir_op *op;
	uint32_t xs, y, square = 0, narrow;

	memset(n, 0, sizeof(*n));
	n->buffers[n->n_buffers++] = add_input(f, &n->b, x, MAX_ROWS, width, &xs);
	y = add_temp(&n->b, twist == IS_OUTPUT ? WEIR_TENSOR_OUTPUT : WEIR_TENSOR_TEMP,
		     WEIR_ROWS_TOKENS, width);
	for (int k = 0; k < 3; k++)
		n->out[k] = add_temp(&n->b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, N_OUT);
	op = add_op(&n->b, WEIR_OP_NORM);
	op->src[0] = xs;
	op->src[1] = keep(n, make_weight(f, WEIR_DTYPE_F32, width, 1, WEIR_WEIGHT_VECTOR, v));
	op->dst[0] = y;
	op->f[0] = 1e-5f;
	if (has_square)
		square = keep(n,
			      make_weight(f, WEIR_DTYPE_Q4_0, width, width, WEIR_WEIGHT_MATRIX, s));
	if (twist == IN_PLACE)
		linear(n, y, xs, square, 0);
	op = add_op(&n->b, WEIR_OP_LINEAR);
	op->src[0] = twist == IN_PLACE ? xs : y;
	narrow = keep(n, make_weight(f, WEIR_DTYPE_Q8_0, width, N_OUT, WEIR_WEIGHT_MATRIX, q));
	op->src[1] = narrow;
	op->src[2] = keep(n, make_weight(f, WEIR_DTYPE_F16, width, N_OUT, WEIR_WEIGHT_MATRIX, h));
	op->dst[0] = n->out[0];
	op->dst[1] = n->out[1];
	op->i[0] = 2;
	op->f[0] = 1;
	n->n_out = 2;
	if (twist == ADDED_TO)
		linear(n, xs, y, square, WEIR_LINEAR_ADD);
	if (twist == NORMED_AGAIN) { /* the same tensor, for another */
		op = add_op(&n->b, WEIR_OP_NORM);
		*op = n->b.ops[1];
		op->f[0] = 0.5f;
	}
	if (twist == READ_AGAIN || twist == NORMED_AGAIN || twist == ADDED_TO) {
		linear(n, y, n->out[2], narrow, 0);
		n->n_out = 3;
	}
	return build(f, &n->b, MAX_ROWS, MAX_ROWS);
}

static unsigned joined(const weir_program *p)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < p->n_steps; i++)
		n += p->steps[i].joins;
	return n;
}

static void test_norms(gconstpointer level)
{
	static const size_t widths[] = { 64, 352, 1056 };
	static const unsigned joins[N_TWISTS] = { [PLAIN] = 1, [NORMED_AGAIN] = 2 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);

	for (size_t i = 0; i < G_N_ELEMENTS(widths) * N_TWISTS; i++) {
		size_t width = widths[i / N_TWISTS], floats = MAX_ROWS * N_OUT;
		enum twist twist = (enum twist)(i % N_TWISTS);
		g_autofree float *x = g_new(float, MAX_ROWS *width);
		g_autofree float *want = g_new(float, 3 * MAX_ROWS * floats);

		fill_random(rand, x, MAX_ROWS * width);
		for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
			struct fixture f;
			struct net net;
			weir_program *p;

			if (!fixture_init(&f, level, n_threads))
				return;
			p = make(&f, &net, twist, x, width);
			g_assert_cmpuint(joined(p), ==, joins[twist]);
			for (unsigned n = 1; n <= MAX_ROWS; n++) {
				struct weir_device_batch *batch = simple_batch(n, 16);

				run_ok(&f, p, batch);
				for (unsigned k = 0; k < net.n_out; k++) {
					const float *y =
						f.device->output(&f.instance, p, net.out[k]);
					float *is = want + ((n - 1) * 3 + k) * floats;

					if (n_threads == 1)
						memcpy(is, y, n * N_OUT * sizeof(float));
					g_assert_cmpmem(y, n * N_OUT * sizeof(float), is,
							n * N_OUT * sizeof(float));
					for (size_t j = 0; j < n * N_OUT; j++)
						g_assert_true(y[j] == y[j]); /* no NaN */
				}
				simple_batch_free(batch);
			}
			f.device->program_free(&f.instance, p);
			for (unsigned k = 0; k < net.n_buffers; k++)
				f.device->buffer_free(&f.instance, net.buffers[k]);
			fixture_clear(&f);
		}
	}
}

static gboolean is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return FALSE;
	return TRUE;
}

/* Pieces are zero, apart from each other and on pages of their own; what is too large is refused.
 */
static void test_slabs(void)
{
	static const size_t sizes[] = { 1,        4096,     187 << 10, 3 << 20,   40 << 20,
					65 << 20, 20 << 20, 7 << 20,   100000000, (2 << 20) - 1 };
	enum { N = G_N_ELEMENTS(sizes), ROUNDS = 3 };
	struct weir_cpu_slabs *s = weir_cpu_slabs_new(true);
	uint8_t *p[N * ROUNDS];

	g_assert_nonnull(s);
	for (int i = 0; i < N * ROUNDS; i++) {
		size_t n = sizes[i % N];

		p[i] = weir_cpu_slab_take(s, n);
		g_assert_nonnull(p[i]);
		g_assert_cmpuint((uintptr_t)p[i] % 4096, ==, 0);
		g_assert_true(is_zero(p[i], n < 5000 ? n : 5000));
		g_assert_true(is_zero(p[i] + n - 1, 1));
		for (int j = 0; j < i; j++)
			g_assert_true(!p[j] || p[i] + n <= p[j] || p[j] + sizes[j % N] <= p[i]);
		memset(p[i], i + 1, n < 5000 ? n : 5000);
		p[i][n - 1] = (uint8_t)(i + 1);
		if (i % 4 == 3) { /* given back: never given away again while others use the slab */
			weir_cpu_slab_return(s, p[i - 2]);
			p[i - 2] = NULL;
		}
	}
	for (int i = 0; i < N * ROUNDS; i++)
		if (p[i])
			g_assert_cmpuint(p[i][sizes[i % N] - 1], ==, i + 1);
	g_assert_null(weir_cpu_slab_take(s, SIZE_MAX));
	g_assert_null(weir_cpu_slab_take(s, SIZE_MAX - (5 << 20)));
	g_assert_null(weir_cpu_slab_take(s, SIZE_MAX / 2));
	for (int i = N * ROUNDS; i-- > 1;)
		weir_cpu_slab_return(s, p[i]);
	weir_cpu_slab_return(s, NULL);
	weir_cpu_slabs_free(s); /* with one that was not returned */
	weir_cpu_slabs_free(NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (int i = 0; fixture_levels[i]; i++) {
		g_autofree char *path = g_strdup_printf("/cpu/program/norms/%s", fixture_levels[i]);

		g_test_add_data_func(path, fixture_levels[i], test_norms);
	}
	g_test_add_func("/cpu/program/slabs", test_slabs);
	return g_test_run();
}
