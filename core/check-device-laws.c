/*
 * core/check-device-laws.c - section device of `weir check`: what holds whatever the operation is.
 * Rows do not know their company, caches are pages in any order, refusals leave no trace. See
 * check-device.h.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check-device.h"

#define LONG_US 20000 /* a run in which an interrupt() cannot be missed */

enum { ROWS = 33, WIDTH = 256, HEADS = 4, SIZE = 64 };

static void law_interface(struct weir_check *check)
{
	struct weir_device_info info;
	struct weir_check_device d;

	if (!weir_check_device_open(&d, check))
		return;
	memset(&info, 0, sizeof(info));
	info.size = sizeof(info);
	memset(info.name, 'x', sizeof(info.name));
	d.api->info(d.instance, &info);
	if (!memchr(info.name, '\0', sizeof(info.name)) || !info.name[0])
		weir_check_fail(check, "info() leaves the name empty or without an end");
	else if (!g_utf8_validate(info.name, -1, NULL))
		weir_check_fail(check, "info()'s name is not UTF-8");
	else
		g_string_append_printf(check->text, "%s", info.name);
	if (info.memory_free > info.memory_total)
		weir_check_fail(check, "info() tells of %llu free bytes of %llu",
				(unsigned long long)info.memory_free,
				(unsigned long long)info.memory_total);
	weir_check_device_close(&d);
}

/* x, a norm of it, a gated pair of matrices, and a third one added to x: half a layer. */
static uint32_t half_layer(struct weir_check_plan *plan, uint32_t type)
{
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, WIDTH);
	uint32_t n = weir_check_plan_temp(plan, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, WIDTH);
	uint32_t h = weir_check_plan_temp(plan, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, WIDTH);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_NORM);

	op->src[0] = x;
	op->src[1] = weir_check_plan_vector(plan, WIDTH);
	op->dst[0] = n;
	op->f[0] = 1e-5f;
	op = weir_check_plan_op(plan, WEIR_OP_LINEAR);
	op->flags = WEIR_LINEAR_GLU | WEIR_ACT_SILU;
	op->src[0] = n;
	for (int k = 0; k < 2; k++)
		op->src[1 + k] =
			weir_check_plan_weight(plan, type, WIDTH, WIDTH, WEIR_WEIGHT_MATRIX);
	op->dst[0] = h;
	op->i[0] = 2;
	op = weir_check_plan_op(plan, WEIR_OP_LINEAR);
	op->flags = WEIR_LINEAR_ADD;
	op->src[0] = h;
	op->src[1] = weir_check_plan_weight(plan, type, WIDTH, WIDTH, WEIR_WEIGHT_MATRIX);
	op->dst[0] = x;
	op->i[0] = 1;
	return x;
}

/* q, k and v from tables, stored without turning, attended to. */
static uint32_t attend(struct weir_check_plan *plan, uint32_t type, uint32_t n_blocks)
{
	uint32_t q = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, HEADS * SIZE);
	uint32_t k = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, HEADS / 2 * SIZE);
	uint32_t v = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, HEADS / 2 * SIZE);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, HEADS * SIZE);
	struct weir_op *store = weir_check_plan_op(plan, WEIR_OP_ROPE_KV);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_ATTENTION);

	store->src[0] = op->src[0] = q;
	store->src[1] = k;
	store->src[2] = v;
	for (int side = 0; side < 2; side++)
		store->src[3 + side] = op->src[1 + side] =
			weir_check_plan_kv(plan, type, n_blocks, HEADS / 2, SIZE);
	store->i[0] = op->i[0] = HEADS;
	store->i[1] = op->i[1] = HEADS / 2;
	store->i[2] = op->i[2] = SIZE;
	op->dst[0] = y;
	op->f[0] = 0.3f;
	return y;
}

/* A step, and the output's rows put away. */
static bool keep(struct weir_check_made *made, struct weir_check_batch *batch, uint32_t tensor,
		 float *to)
{
	const float *x = weir_check_made_step(made, &batch->batch)
				 ? weir_check_made_output(made, tensor)
				 : NULL;

	if (x)
		memcpy(to, x, batch->batch.n_tokens * WIDTH * sizeof(float));
	weir_check_batch_free(batch);
	return x;
}

static bool same(struct weir_check_made *made, const float *got, const float *want, uint32_t n,
		 const char *how)
{
	for (uint32_t r = 0; r < n; r++)
		if (memcmp(got + (size_t)r * WIDTH, want + (size_t)r * WIDTH,
			   WIDTH * sizeof(float)) != 0) {
			weir_check_device_fail(made->device, made->what,
					       "row %u is not the same bits %s", r, how);
			return false;
		}
	return true;
}

static void company_rows(struct weir_check_device *d, uint32_t type)
{
	static const uint32_t counts[] = { 2, 9, ROWS };
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t x = half_layer(plan, type);
	g_autofree float *alone = g_new0(float, ROWS *WIDTH),
			 *together = g_new0(float, ROWS *WIDTH);
	struct weir_check_seq seqs[ROWS];
	struct weir_check_made made;
	bool fine = true;
	g_autofree char *what =
		g_strdup_printf("NORM and LINEAR of %s", weir_check_type(type)->name);

	if (!weir_check_make(&made, d, plan, what))
		return;
	for (uint32_t r = 0; fine && r < ROWS; r++) {
		seqs[r] = (struct weir_check_seq){ .count = 1, .start = r };
		fine = keep(&made, weir_check_batch_new(&seqs[r], 1, 3, (int32_t)r), x,
			    alone + (size_t)r * WIDTH);
	}
	for (size_t i = 0; fine && i < 2 * G_N_ELEMENTS(counts); i++) {
		uint32_t n = counts[i / 2];
		g_autofree char *how = g_strdup_printf("alone and among %u %s", n,
						       i % 2 ? "sequences" : "of its own sequence");

		fine = keep(&made,
			    i % 2 ? weir_check_batch_new(seqs, n, 3, 0)
				  : weir_check_batch_one(n, 0),
			    x, together) &&
		       same(&made, together, alone, n, how);
		d->n_compared++;
	}
	weir_check_made_free(&made);
}

static void company_caches(struct weir_check_device *d, uint32_t type)
{
	enum { SEQS = 9, PROMPT = 3 };
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t y = attend(plan, type, SEQS);
	g_autofree float *alone = g_new0(float, ROWS *WIDTH),
			 *together = g_new0(float, ROWS *WIDTH);
	struct weir_check_seq prompts[SEQS], tokens[SEQS];
	struct weir_check_made made;
	bool fine = true;
	g_autofree char *what = g_strdup_printf("ATTENTION, %s", weir_check_type(type)->name);

	if (!weir_check_make(&made, d, plan, what))
		return;
	for (uint32_t r = 0; r < SEQS; r++) {
		prompts[r] = (struct weir_check_seq){ .count = PROMPT };
		tokens[r] = (struct weir_check_seq){ .count = 1, .start = PROMPT };
	}
	for (uint32_t r = 0; fine && r < SEQS; r++)
		fine = keep(&made, weir_check_batch_new(&prompts[r], 1, 1, PROMPT * (int32_t)r), y,
			    together) &&
		       keep(&made, weir_check_batch_new(&tokens[r], 1, 1, (int32_t)r), y,
			    alone + (size_t)r * WIDTH);
	fine = fine && keep(&made, weir_check_batch_new(prompts, SEQS, 1, 0), y, together) &&
	       keep(&made, weir_check_batch_new(tokens, SEQS, 1, 0), y, together) &&
	       same(&made, together, alone, SEQS, "alone and among 9 sequences");
	d->n_compared++;
	weir_check_made_free(&made);
}

static const uint32_t some_types[] = { WEIR_DTYPE_F32,  WEIR_DTYPE_F16,  WEIR_DTYPE_BF16,
				       WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_K,
				       WEIR_DTYPE_Q6_K };

static void law_company(struct weir_check *check)
{
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(some_types); i++)
		company_rows(&d, some_types[i]);
	for (size_t i = 0; i < 4; i++)
		company_caches(&d, some_types[i]);
	weir_check_device_close(&d);
}

static void again_one(struct weir_check_device *d, uint32_t type, bool caches)
{
	static const uint32_t counts[] = { 1, 9, ROWS };
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t y = caches ? attend(plan, type, 3) : half_layer(plan, type);
	g_autofree float *first = g_new0(float, ROWS *WIDTH), *second = g_new0(float, ROWS *WIDTH);
	struct weir_check_made made;
	bool fine = true;
	g_autofree char *what = g_strdup_printf(
		"%s %s", caches ? "ATTENTION," : "NORM and LINEAR of", weir_check_type(type)->name);

	if (!weir_check_make(&made, d, plan, what))
		return;
	for (size_t i = 0; fine && i < G_N_ELEMENTS(counts); i++) {
		fine = keep(&made, weir_check_batch_one(counts[i], 0), y, first);
		for (int k = 0; fine && k < 3; k++)
			fine = keep(&made, weir_check_batch_one(counts[i], 0), y, second) &&
			       same(&made, second, first, counts[i], "the second time");
		d->n_compared++;
	}
	weir_check_made_free(&made);
}

static void law_again(struct weir_check *check)
{
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(some_types); i++)
		again_one(&d, some_types[i], false);
	for (size_t i = 0; i < 4; i++)
		again_one(&d, some_types[i], true);
	weir_check_device_close(&d);
}

/* Steps of several sequences, one after the other, each held against the reference. */
struct walk_step {
	uint32_t n;
	struct weir_check_seq seqs[4];
	uint32_t copies[4], n_copies;
	bool other; /* by the second program on the same buffers */
};

static void walk(struct weir_check_device *d, const struct walk_step *steps, size_t n,
		 uint32_t stride, const char *name)
{
	for (size_t c = 0; c < 4; c++) {
		uint32_t type = some_types[c];
		struct weir_check_plan *plan = weir_check_device_plan(d, 3 * ROWS);
		uint32_t y = attend(plan, type, 4 * stride);
		g_autofree char *what =
			g_strdup_printf("%s, %s caches", name, weir_check_type(type)->name);
		weir_program *programs[2] = { NULL, NULL };
		struct weir_check_made made;
		struct weir_error err;
		bool fine = true;

		if (!weir_check_make(&made, d, plan, what))
			continue;
		programs[0] = made.program;
		if (weir_check_made_program(&made, &programs[1], &err) < 0) {
			weir_check_device_fail(d, what, "a second program of the kind: %s",
					       err.text);
			fine = false;
		}
		for (size_t i = 0; fine && i < n; i++) {
			const struct walk_step *step = &steps[i];
			struct weir_check_batch *batch =
				weir_check_batch_new(step->seqs, step->n, stride, 7 * (int32_t)i);

			batch->batch.copies = step->copies;
			batch->batch.n_copies = step->n_copies;
			made.program = programs[step->other];
			fine = weir_check_made_both(&made, &batch->batch, y,
						    weir_check_bound(type));
			weir_check_batch_free(batch);
		}
		made.program = programs[0];
		if (programs[1])
			d->api->program_free(d->instance, programs[1]);
		weir_check_made_free(&made);
	}
}

static void law_blocks(struct weir_check *check)
{
	static const uint32_t a[] = { 5, 2, 7 }, b[] = { 0, 9, 3 };
	static const struct walk_step steps[] = {
		{ .n = 2, .seqs = { { 33, 0, 0, a }, { 33, 0, 0, b } } },
		{ .n = 2, .seqs = { { 1, 33, 0, a }, { 1, 33, 0, b } } },
		{ .n = 1, .seqs = { { 5, 34, 0, b } }, .other = true },
		{ .n = 1, .seqs = { { 1, 34, 0, a } } },
		{ .n = 1, .seqs = { { 1, 39, 0, b } } },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	walk(&d, steps, G_N_ELEMENTS(steps), 3, "blocks in another order");
	weir_check_device_close(&d);
}

static void law_lengths(struct weir_check *check)
{
	static const struct walk_step steps[] = {
		{ .n = 3, .seqs = { { 5, 0, 0, NULL }, { 17, 0, 0, NULL }, { 1, 0, 0, NULL } } },
		{ .n = 3, .seqs = { { 1, 5, 0, NULL }, { 3, 17, 0, NULL }, { 16, 1, 0, NULL } } },
		{ .n = 4,
		  .seqs = { { 1, 6, 0, NULL },
			    { 1, 20, 0, NULL },
			    { 1, 17, 0, NULL },
			    { 33, 0, 0, NULL } } },
		{ .n = 3, .seqs = { { 1, 7, 0, NULL }, { 1, 21, 0, NULL }, { 1, 18, 0, NULL } } },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	walk(&d, steps, G_N_ELEMENTS(steps), 3, "sequences of different lengths");
	weir_check_device_close(&d);
}

static void law_copies(struct weir_check *check)
{
	static const struct walk_step steps[] = {
		{ .n = 2, .seqs = { { 20, 0, 0, NULL }, { 20, 0, 0, NULL } } },
		{ .n = 1, .seqs = { { 1, 20, 0, NULL } }, .copies = { 2, 0, 3, 1 }, .n_copies = 2 },
		{ .n = 2, .seqs = { { 2, 21, 0, NULL }, { 2, 21, 0, NULL } } },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	walk(&d, steps, G_N_ELEMENTS(steps), 2, "copied blocks");
	weir_check_device_close(&d);
}

/* Three results of one program, read in any order, of this run and of no other. */
static void law_outputs(struct weir_check *check)
{
	struct weir_check_device d;
	struct weir_check_made made;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, 2 * ROWS);
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, 96);
	uint32_t y = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, 64);
	uint32_t z = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 96);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_GATHER);

	op->src[0] = x;
	op->dst[0] = z;
	if (weir_check_make(&made, &d, plan, "two results and a gathered one")) {
		for (int32_t run = 0; run < 4 && !weir_check_device_tired(&d); run++) {
			struct weir_check_batch *batch = weir_check_batch_one(9, 9 * run);
			const uint32_t order[] = { z, x, y, x, z };

			batch->out_row[0] = 2;
			batch->out_row[1] = 7;
			batch->batch.n_out = 2;
			if (!weir_check_made_step(&made, &batch->batch))
				break;
			weir_check_reference(plan, &batch->batch);
			for (size_t i = 0; i < G_N_ELEMENTS(order); i++)
				weir_check_made_compare(&made, &batch->batch, order[i],
							WEIR_CHECK_EXACT);
			const float *before = weir_check_made_output(&made, y);
			struct weir_device_info info;

			memset(&info, 0, sizeof(info));
			info.size = sizeof(info);
			d.api->info(d.instance, &info);
			if (before && before != weir_check_made_output(&made, y))
				weir_check_device_fail(&d, made.what,
						       "output() gives another place without "
						       "another run");
			weir_check_batch_free(batch);
		}
		weir_check_made_free(&made);
	}
	weir_check_device_close(&d);
}

/* Keeps the device from finishing. */
struct interrupter {
	struct weir_check_device *device;
	atomic_bool over;
};

static void *interrupt_on(void *data)
{
	struct interrupter *i = data;

	while (!atomic_load(&i->over)) {
		i->device->api->interrupt(i->device->instance);
		usleep(200);
	}
	return NULL;
}

/* A program of many large products, which takes long enough to be interrupted. */
static uint32_t long_program(struct weir_check_plan *plan, uint32_t width)
{
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, width);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, width);
	uint32_t w = weir_check_plan_weight(plan, WEIR_DTYPE_F32, width, width, WEIR_WEIGHT_MATRIX);

	while (plan->n_ops + 2 <= WEIR_CHECK_OPS) {
		struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_LINEAR);

		op->src[0] = plan->n_ops % 2 ? y : x;
		op->dst[0] = plan->n_ops % 2 ? x : y;
		op->src[1] = w;
		op->i[0] = 1;
		op->f[0] = 0.01f;
	}
	return x;
}

static weir_status run_once(struct weir_check_made *made, const struct weir_device_batch *batch)
{
	const struct weir_device *api = made->device->api;
	struct weir_error err;
	weir_status s;

	memset(&err, 0, sizeof(err));
	s = api->run(made->device->instance, made->program, batch, &err);
	if (s >= 0)
		s = api->wait(made->device->instance, made->program, &err);
	if (s < 0 && !err.text[0])
		weir_check_device_fail(made->device, made->what,
				       "a run ends with %d and without a reason", s);
	return s;
}

/* False: the run is too short to tell, and this is not the last. True: done, or failed. */
static bool interrupt_long(struct weir_check_device *d, struct weir_check_made *made,
			   const struct weir_device_batch *batch, bool last)
{
	struct interrupter interrupter = { .device = d };
	int64_t before = g_get_monotonic_time(), plain;
	pthread_t thread;
	weir_status s;

	weir_check_device_at(d, "%s, a long run", made->what);
	if (!weir_check_made_step(made, batch))
		return true;
	plain = g_get_monotonic_time() - before;
	if (plain < LONG_US && !last)
		return false;
	atomic_init(&interrupter.over, false);
	if (pthread_create(&thread, NULL, interrupt_on, &interrupter) != 0)
		return true;
	weir_check_device_at(d, "%s, interrupted", made->what);
	s = run_once(made, batch);
	atomic_store(&interrupter.over, true);
	pthread_join(thread, NULL);
	if (s >= 0 && plain > LONG_US)
		weir_check_device_fail(d, made->what,
				       "a run of %.0f ms ends as if nobody had called interrupt()",
				       (double)plain / 1000);
	else if (s < 0 && s != WEIR_E_CANCELLED)
		weir_check_device_fail(d, made->what, "an interrupted run ends with %d", s);
	/* An interrupt() behind the end of a run may still be the next one's. */
	weir_check_device_at(d, "%s, the runs after an interrupt()", made->what);
	s = run_once(made, batch);
	if (s < 0 && s != WEIR_E_CANCELLED)
		weir_check_device_fail(d, made->what, "the run behind it ends with %d", s);
	s = run_once(made, batch);
	if (s < 0)
		weir_check_device_fail(d, made->what,
				       "two runs behind an interrupt() the device still ends with "
				       "%d",
				       s);
	return true;
}

static void law_interrupt(struct weir_check *check)
{
	static const uint32_t counts[] = { 1, 8, ROWS, 8 * ROWS };
	struct weir_check_device d;
	struct weir_check_made made, small;
	bool is_long = false;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
	uint32_t y = attend(plan, WEIR_DTYPE_F32, 1);
	struct weir_check_plan *large = weir_check_device_plan(&d, 8 * ROWS);

	long_program(large, 512);
	if (weir_check_make(&made, &d, large, "60 products of 512 x 512")) {
		/* The first number of rows that takes long enough, or the last. */
		for (size_t i = 0; !is_long && i < G_N_ELEMENTS(counts); i++) {
			struct weir_check_batch *batch = weir_check_batch_one(counts[i], 0);

			is_long = interrupt_long(&d, &made, &batch->batch,
						 i + 1 == G_N_ELEMENTS(counts));
			weir_check_batch_free(batch);
		}
		weir_check_made_free(&made);
	}
	if (weir_check_make(&small, &d, plan, "a program after an interrupt()")) {
		struct weir_check_batch *batch = weir_check_batch_one(9, 0);

		weir_check_made_both(&small, &batch->batch, y, WEIR_CHECK_EXACT);
		weir_check_batch_free(batch);
		weir_check_made_free(&small);
	}
	weir_check_device_close(&d);
}

static uint64_t resident(void)
{
	unsigned long long pages = 0, all = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file && fscanf(file, "%llu %llu", &all, &pages) != 2)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t memory_free(const struct weir_check_device *d)
{
	struct weir_device_info info;

	memset(&info, 0, sizeof(info));
	info.size = sizeof(info);
	d->api->info(d->instance, &info);
	return info.memory_free;
}

/* Buffers and programs made, used and freed; how much less is there then? */
static uint64_t take_and_give(struct weir_check_device *d, struct weir_check_plan *plan,
			      uint64_t *ret_own)
{
	enum { TIMES = 12 };
	struct weir_check_batch *batch = weir_check_batch_one(1, 0);
	uint64_t own = resident(), before = memory_free(d), after;

	for (int i = 0; i < TIMES; i++) {
		struct weir_check_made made;

		if (!weir_check_make(&made, d, plan, "a matrix of 8 MiB and a cache") ||
		    !weir_check_made_step(&made, &batch->batch))
			break;
		weir_check_made_free(&made);
	}
	weir_check_batch_free(batch);
	after = memory_free(d);
	*ret_own = resident() > own ? resident() - own : 0;
	return before > after ? before - after : 0;
}

static void law_memory(struct weir_check *check)
{
	const uint64_t allowed = 48u << 20; /* half of what is taken, all in all */
	struct weir_check_device d;
	uint64_t own, less;
	int more_own = 0, more = 0;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, 1);
	struct weir_op *op;
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 1024);

	op = weir_check_plan_op(plan, WEIR_OP_LINEAR);
	op->src[0] = x;
	op->src[1] = weir_check_plan_weight(plan, WEIR_DTYPE_F32, 1024, 2048, WEIR_WEIGHT_MATRIX);
	op->dst[0] = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 2048);
	op->i[0] = 1;
	weir_check_plan_kv(plan, WEIR_DTYPE_F32, 64, 8, 64);
	take_and_give(&d, plan, &own); /* what is made once for all */
	/* Others use the machine too: only what is so every time is the device's. */
	for (int i = 0; i < 3 && weir_check_going(check); i++) {
		less = take_and_give(&d, plan, &own);
		more += less > allowed;
		more_own += own > allowed;
	}
	if (more == 3 || more_own == 3)
		weir_check_fail(check,
				"of 12 matrices of 8 MiB, all freed, most is not given back: %s",
				more == 3 ? "info() tells of less free memory each time"
					  : "the process grows each time");
	weir_check_device_close(&d);
}

static void count_task(void *data, uint32_t i)
{
	atomic_uint *counts = data;

	atomic_fetch_add(&counts[i], 1);
}

static void law_parallel(struct weir_check *check)
{
	enum { TASKS = 100 };
	struct weir_check_device d;
	atomic_uint counts[TASKS];

	if (!weir_check_device_open_quietly(&d, check))
		return;
	if (!WEIR_HAS(struct weir_device, d.api, parallel)) {
		weir_check_absent(check);
		return;
	}
	for (uint32_t n = 0; n <= TASKS; n = n < 4 ? n + 1 : n * 5) {
		for (uint32_t i = 0; i < TASKS; i++)
			atomic_init(&counts[i], 0);
		weir_check_device_at(&d, "parallel() of %u", n);
		d.api->parallel(d.instance, n, count_task, counts);
		for (uint32_t i = 0; i < TASKS; i++)
			if (atomic_load(&counts[i]) != (i < n)) {
				weir_check_fail(check, "parallel() of %u called %u %u times", n, i,
						atomic_load(&counts[i]));
				return;
			}
	}
	weir_check_device_close(&d);
}

const struct weir_check_case weir_check_device_laws[] = {
	{ "device", "interface", "the device offers every function and says what it is",
	  law_interface, 1 },
	{ "device", "company", "a row's result is the same bits alone and among others",
	  law_company, 1 },
	{ "device", "again", "the same program with the same batch gives the same bits", law_again,
	  1 },
	{ "device", "blocks",
	  "what one step writes to a cache the next ones read, in any order of the blocks",
	  law_blocks, 1 },
	{ "device", "lengths", "a step may have sequences of any lengths side by side", law_lengths,
	  1 },
	{ "device", "copies", "copies of blocks come before all operations", law_copies, 1 },
	{ "device", "outputs", "output() gives each result of the last run until the next one",
	  law_outputs, 1 },
	{ "device", "interrupt",
	  "interrupt() ends a long run with CANCELLED, and the next one works", law_interrupt, 1 },
	{ "device", "memory", "what is freed is given back", law_memory, 1 },
	{ "device", "parallel", "parallel() calls each index once", law_parallel, 1 },
	{ NULL },
};
