/*
 * bench-vulkan.c - what the Vulkan device does in a second: bandwidth of a copy, matrix-vector
 * products of every type, products with many rows, the cost of a dispatch. Not a test.
 *
 *     build/tests/bench/bench-vulkan [DEVICE [ROWS OF A MATRIX [TYPES, "experts" or "coop"
 * [ROUNDS]]]]
 *
 * TYPES: names with commas between, or "all". With ROUNDS only one row of activations is measured,
 * so often for each type, the types in turns: the best, the median and the worst. Bandwidth is that
 * of the file's bytes, and of the bytes of the layout that shaders read. Otherwise the best of
 * several runs. coop: 128 rows by tile-q and by cooperative matrices, whose blocks are staged in
 * each way that tile-c.comp knows, in turns. Weights are random bits, since speed does not depend
 * on them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "layout.h"
#include "program.h"
#include "vk.h"

enum { N_IN = 4096, MAX_OPS = 128, ROUNDS = 5, MAX_ROUNDS = 1000, MAX_TYPES = 64 };

static struct weir_vk_instance data;
static struct weir_instance instance = { .size = sizeof(instance), .data = &data };

static void must(weir_status s, const struct weir_error *err)
{
	if (s < 0) {
		fprintf(stderr, "bench-vulkan: %s\n", err->text);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static weir_buffer *weight(uint32_t type, size_t n_in, size_t n_out, uint32_t use)
{
	const struct weir_vk_type *t = weir_vk_type(type);
	size_t bytes = n_in / t->block * t->bytes * n_out;
	uint8_t *src = malloc(bytes);
	struct weir_error err = { 0 };
	uint32_t seed = 1;
	weir_buffer *b;

	if (!src)
		exit(1);
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		src[i] = (uint8_t)(seed >> 24 & 0x3f); /* as halves: small and finite */
	}
	must(weir_vk_weight(&instance, type, n_in, n_out, use, src, &b, &err), &err);
	return b; /* src stays: the device may read it where it is */
}

/* Seconds of one step of n tokens; their numbers are 0, or 0 to n - 1. */
static double one_step(weir_program *p, uint32_t n, bool counts)
{
	int32_t zero[512] = { 0 }, token[512] = { 0 };
	uint32_t first[] = { 0, n }, len[] = { n }, none[512] = { 0 };
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_tokens = n,
					   .n_rows = 1,
					   .block_stride = 1,
					   .token = token,
					   .pos = zero,
					   .row = zero,
					   .slot = none,
					   .first = first,
					   .kv_len = len,
					   .blocks = none,
					   .out_row = none };
	struct weir_error err = { 0 };
	double t = now();

	for (uint32_t i = 0; counts && i < n; i++)
		token[i] = (int32_t)i;
	must(weir_vk_run(&instance, p, &batch, &err), &err);
	must(weir_vk_wait(&instance, p, &err), &err);
	return now() - t;
}

/* The same at best, the first not counted. */
static double step_seconds_of(weir_program *p, uint32_t n, bool counts, int rounds)
{
	double best = 1e9;

	for (int i = 0; i <= rounds; i++) {
		double t = one_step(p, n, counts);

		if (i > 0 && t < best)
			best = t;
	}
	return best;
}

static double step_seconds(weir_program *p, uint32_t n)
{
	return step_seconds_of(p, n, false, ROUNDS);
}

struct list {
	struct weir_tensor tensors[MAX_OPS + 8];
	struct weir_op ops[MAX_OPS + 1];
	uint32_t n_tensors, n_ops;
};

static uint32_t add_tensor(struct list *l, uint32_t kind, weir_buffer *b, uint64_t width)
{
	l->tensors[l->n_tensors] = (struct weir_tensor){
		.kind = kind, .rows = WEIR_ROWS_TOKENS, .buffer = b, .width = width
	};
	return l->n_tensors++;
}

static struct weir_op *add_op(struct list *l, uint32_t code, uint32_t dst, uint32_t src0,
			      uint32_t src1)
{
	struct weir_op *op = &l->ops[l->n_ops++];

	*op = (struct weir_op){ .code = code, .f = { 1 }, .i = { 1 } };
	memset(op->dst, 0xff, sizeof(op->dst));
	memset(op->src, 0xff, sizeof(op->src));
	op->dst[0] = dst;
	op->src[0] = src0;
	op->src[1] = src1;
	return op;
}

static weir_program *compile(struct list *l, uint32_t max_tokens)
{
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .n_tensors = l->n_tensors,
					  .n_ops = l->n_ops,
					  .max_tokens = max_tokens,
					  .max_rows = 1,
					  .max_out = 1,
					  .tensors = l->tensors,
					  .ops = l->ops };
	struct weir_error err = { 0 };
	weir_program *p;

	must(weir_vk_program_new(&instance, &desc, &p, &err), &err);
	return p;
}

static void bench_copy(void)
{
	const uint64_t bytes = UINT64_C(64) << 20;
	struct weir_vk_memory from, to;
	struct weir_error err = { 0 };
	double best = 1e9;

	must(weir_vk_memory_new(data.vk, bytes, WEIR_VK_PLACE_DEVICE, "a bench", &from, &err),
	     &err);
	must(weir_vk_memory_new(data.vk, bytes, WEIR_VK_PLACE_DEVICE, "a bench", &to, &err), &err);
	for (int i = 0; i < ROUNDS; i++) {
		VkBufferCopy copy = { 0, 0, bytes };
		VkCommandBuffer commands;
		double t;

		must(weir_vk_once_begin(data.vk, &commands, &err), &err);
		data.vk->api.CmdCopyBuffer(commands, from.buffer, to.buffer, 1, &copy);
		t = now();
		must(weir_vk_once_end(data.vk, commands, &err), &err);
		t = now() - t;
		best = t < best ? t : best;
	}
	printf("copy: %.1f GB/s read and written\n", 2 * (double)bytes / best / 1e9);
	weir_vk_memory_free(data.vk, &from);
	weir_vk_memory_free(data.vk, &to);
}

static void bench_dispatch(void)
{
	weir_buffer *scale = weight(WEIR_DTYPE_F32, 64, 1, WEIR_WEIGHT_VECTOR);
	weir_buffer *rows = weight(WEIR_DTYPE_F32, 64, 1, WEIR_WEIGHT_TABLE);
	double seconds[2];

	for (int many = 0; many < 2; many++) {
		struct list l = { .n_ops = 0 };
		uint32_t x = add_tensor(&l, WEIR_TENSOR_OUTPUT, NULL, 64);
		uint32_t w = add_tensor(&l, WEIR_TENSOR_WEIGHT, scale, 0);
		weir_program *p;

		add_op(&l, WEIR_OP_EMBED, x, add_tensor(&l, WEIR_TENSOR_WEIGHT, rows, 0),
		       WEIR_NO_TENSOR)
			->i[0] = 0;
		for (int i = 0; i < (many ? 101 : 1); i++)
			add_op(&l, WEIR_OP_NORM, x, x, w)->i[0] = 0;
		p = compile(&l, 1);
		seconds[many] = step_seconds(p, 1);
		weir_vk_program_free(&instance, p);
	}
	printf("dispatch and barrier: %.1f us\n", (seconds[1] - seconds[0]) / 100 * 1e6);
	weir_vk_buffer_free(&instance, scale);
	weir_vk_buffer_free(&instance, rows);
}

struct product {
	const struct weir_vk_type *type;
	weir_buffer *w;
	weir_program *program;
	double file, read; /* bytes */
	double seconds[MAX_ROUNDS];
};

static void product_init(struct product *p, uint32_t type, uint32_t n_out, weir_buffer *table)
{
	struct list l = { .n_ops = 0 };
	uint32_t x = add_tensor(&l, WEIR_TENSOR_TEMP, NULL, N_IN);
	uint32_t y = add_tensor(&l, WEIR_TENSOR_OUTPUT, NULL, n_out);
	struct weir_vk_planes planes;

	p->type = weir_vk_type(type);
	p->w = weight(type, N_IN, n_out, WEIR_WEIGHT_MATRIX);
	p->file = (double)N_IN / p->type->block * p->type->bytes * n_out;
	weir_vk_planes(p->type, N_IN, n_out, &planes);
	p->read = (double)planes.bytes;
	add_op(&l, WEIR_OP_EMBED, x, add_tensor(&l, WEIR_TENSOR_WEIGHT, table, 0), WEIR_NO_TENSOR)
		->i[0] = 0;
	add_op(&l, WEIR_OP_LINEAR, y, x, add_tensor(&l, WEIR_TENSOR_WEIGHT, p->w, 0));
	p->program = compile(&l, 128);
}

static void product_clear(struct product *p)
{
	weir_vk_program_free(&instance, p->program);
	weir_vk_buffer_free(&instance, p->w);
}

static void bench_type(uint32_t type, uint32_t n_out, weir_buffer *table)
{
	static const uint32_t counts[] = { 1, 8, 128 };
	struct product p;
	double seconds[3];

	product_init(&p, type, n_out, table);
	for (int i = 0; i < 3; i++)
		seconds[i] = step_seconds(p.program, counts[i]);
	printf("%-7s 1 row %6.2f GB/s (%5.2f read)   8 rows take %4.1f x   128 rows %7.1f Gop/s\n",
	       p.type->name, p.file / seconds[0] / 1e9, p.read / seconds[0] / 1e9,
	       seconds[1] / seconds[0], 2.0 * 128 * N_IN * n_out / seconds[2] / 1e9);
	fflush(stdout);
	product_clear(&p);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One row, the types in turns. */
static void bench_rounds(const uint32_t *types, uint32_t n, uint32_t n_out, uint32_t rounds,
			 weir_buffer *table)
{
	struct product *p = calloc(n, sizeof(*p));

	if (!p)
		exit(1);
	for (uint32_t i = 0; i < n; i++) {
		product_init(&p[i], types[i], n_out, table);
		one_step(p[i].program, 1, false);
	}
	printf("        GB/s of the file, best  median  worst; read, best\n");
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < n; i++)
			p[i].seconds[r] = one_step(p[i].program, 1, false);
	for (uint32_t i = 0; i < n; i++) {
		double *s = p[i].seconds;

		qsort(s, rounds, sizeof(*s), compare);
		printf("%-7s %22.2f  %6.2f %6.2f  %10.2f\n", p[i].type->name,
		       p[i].file / s[0] / 1e9, p[i].file / s[rounds / 2] / 1e9,
		       p[i].file / s[rounds - 1] / 1e9, p[i].read / s[0] / 1e9);
		product_clear(&p[i]);
	}
	free(p);
}

static int is_wanted(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (!strncmp(p, name, n) && (p[n] == ',' || !p[n]))
			return 1;
	return !strcmp(list, "all");
}

/* A mixture's operation, Q4_0, experts of 1024 x 512: a prompt's rows by pairs of a row and a
 * choice, and in groups through tiles. */
static void bench_experts(int32_t n, int32_t k, uint32_t rows)
{
	enum { WIDTH = 1024, FF = 512 };
	size_t all = (size_t)n;
	weir_buffer *inputs = weight(WEIR_DTYPE_F32, WIDTH, rows, WEIR_WEIGHT_TABLE);
	weir_buffer *logits = weight(WEIR_DTYPE_F32, all, rows, WEIR_WEIGHT_TABLE);
	weir_buffer *w[3] = { weight(WEIR_DTYPE_Q4_0, WIDTH, all * FF, WEIR_WEIGHT_MATRIX),
			      weight(WEIR_DTYPE_Q4_0, WIDTH, all * FF, WEIR_WEIGHT_MATRIX),
			      weight(WEIR_DTYPE_Q4_0, FF, all * WIDTH, WEIR_WEIGHT_MATRIX) };
	double gops = 2.0 * 3 * WIDTH * FF * rows * k / 1e9, seconds[2];
	struct list l = { .n_ops = 0 };
	uint32_t x = add_tensor(&l, WEIR_TENSOR_TEMP, NULL, WIDTH);
	uint32_t y = add_tensor(&l, WEIR_TENSOR_OUTPUT, NULL, WIDTH);
	uint32_t router = add_tensor(&l, WEIR_TENSOR_TEMP, NULL, all);
	uint32_t table = add_tensor(&l, WEIR_TENSOR_WEIGHT, inputs, 0);
	struct weir_op *op;
	weir_program *p;

	add_op(&l, WEIR_OP_EMBED, x, table, WEIR_NO_TENSOR)->i[0] = 0;
	add_op(&l, WEIR_OP_EMBED, y, table, WEIR_NO_TENSOR)->i[0] = 0;
	add_op(&l, WEIR_OP_EMBED, router, add_tensor(&l, WEIR_TENSOR_WEIGHT, logits, 0),
	       WEIR_NO_TENSOR)
		->i[0] = 0;
	op = add_op(&l, WEIR_OP_MOE, y, x, router);
	op->flags = WEIR_ACT_SILU | WEIR_MOE_NORM;
	for (int i = 0; i < 3; i++)
		op->src[2 + i] = add_tensor(&l, WEIR_TENSOR_WEIGHT, w[i], 0);
	op->i[0] = n;
	op->i[1] = k;
	op->i[2] = FF;
	p = compile(&l, rows);
	for (int i = 1; i >= 0; i--) {
		for (uint32_t s = 0; s < p->n_steps && i == 0; s++)
			if (p->steps[s].code == WEIR_OP_MOE ||
			    p->steps[s].code == WEIR_VK_STEP_EXPERTS)
				p->steps[s].sorted = WEIR_NO_TENSOR;
		weir_vk_forget(p);
		seconds[i] = step_seconds_of(p, rows, true, 2);
	}
	printf("%3u rows, %d of %2d experts: by pairs %6.1f Gop/s   in tiles %6.1f Gop/s   %.2f "
	       "x\n",
	       rows, k, n, gops / seconds[0], gops / seconds[1], seconds[0] / seconds[1]);
	fflush(stdout);
	weir_vk_program_free(&instance, p);
	for (int i = 0; i < 3; i++)
		weir_vk_buffer_free(&instance, w[i]);
	weir_vk_buffer_free(&instance, inputs);
	weir_vk_buffer_free(&instance, logits);
}

/* Gop/s of 128 rows, in turns: without cooperative matrices; with them, by how blocks are staged.
 */
static void bench_coop(uint32_t type, uint32_t n_out, uint32_t rounds, weir_buffer *table)
{
	const struct weir_vk_coop coop = data.vk->coop;
	double best[4] = { 1e9, 1e9, 1e9, 1e9 };
	struct product p;

	product_init(&p, type, n_out, table);
	for (uint32_t r = 0; r <= rounds; r++)
		for (uint32_t way = 0; way < 4; way++) {
			double seconds;

			data.vk->coop.cols = way ? coop.cols : 0;
			data.vk->coop.halves = way ? way - 1 : 0;
			weir_vk_forget(p.program);
			one_step(p.program, 128, false);
			seconds = one_step(p.program, 128, false);
			best[way] = r && seconds < best[way] ? seconds : best[way];
		}
	data.vk->coop = coop;
	printf("%-7s tile-q %7.1f   tile-c %7.1f   ahead %7.1f   two halves %7.1f Gop/s\n",
	       p.type->name, 2.0 * 128 * N_IN * n_out / best[0] / 1e9,
	       2.0 * 128 * N_IN * n_out / best[1] / 1e9, 2.0 * 128 * N_IN * n_out / best[2] / 1e9,
	       2.0 * 128 * N_IN * n_out / best[3] / 1e9);
	fflush(stdout);
	product_clear(&p);
}

int main(int argc, char **argv)
{
	static const uint32_t in_coop[] = { WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K,
					    WEIR_DTYPE_Q8_0 };
	struct weir_vk_config config = { .device = argc > 1 ? argv[1] : NULL };
	uint32_t n_out = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4096;
	const char *wanted = argc > 3 ? argv[3] : "all";
	uint32_t rounds = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
	uint32_t types[MAX_TYPES], n = 0;
	struct weir_error err = { 0 };
	weir_buffer *table;

	if (!strcmp(wanted, "coop"))
		config.without = WEIR_VK_WITH_COOP;
	must(weir_vk_new(&config, &data.vk, &err), &err);
	printf("%s\n", data.vk->title);
	table = weight(WEIR_DTYPE_F32, N_IN, 1, WEIR_WEIGHT_TABLE);
	n_out = n_out ? n_out : 4096;
	for (uint32_t type = 0; type < MAX_TYPES; type++)
		if (weir_vk_type(type) && is_wanted(wanted, weir_vk_type(type)->name))
			types[n++] = type;
	if (!strcmp(wanted, "coop")) {
		for (size_t i = 0; data.vk->coop.cols && i < sizeof(in_coop) / sizeof(*in_coop);
		     i++)
			bench_coop(in_coop[i], n_out, rounds ? rounds : ROUNDS, table);
		if (!data.vk->coop.cols)
			printf("this device has no cooperative matrices of signed bytes\n");
	} else if (rounds) {
		bench_rounds(types, n, n_out, rounds < MAX_ROUNDS ? rounds : MAX_ROUNDS, table);
	} else {
		bench_copy();
		bench_dispatch();
		for (uint32_t rows = 32; rows <= 512 && is_wanted(wanted, "experts"); rows *= 4) {
			bench_experts(8, 2, rows);
			bench_experts(64, 8, rows);
		}
		for (uint32_t i = 0; i < n; i++)
			bench_type(types[i], n_out, table);
	}
	weir_vk_buffer_free(&instance, table);
	weir_vk_free(data.vk);
	return 0;
}
