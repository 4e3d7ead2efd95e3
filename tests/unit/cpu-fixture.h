/*
 * cpu-fixture.h - what the tests of the CPU device share: an instance at a chosen ISA level, random
 * weights of every type, programs, poisoned arenas, comparisons.
 */
#ifndef WEIR_TEST_CPU_FIXTURE_H
#define WEIR_TEST_CPU_FIXTURE_H

#include <glib.h>

#include "cpu.h"
#include "dequant.h"
#include "program.h"

struct fixture {
	struct weir_instance instance;
	struct weir_cpu_instance data;
	const struct weir_device *device;
};

/* The names of the levels, scalar first, NULL-terminated. */
extern const char *const fixture_levels[];

/* Every type of weights, the float types first. */
extern const uint32_t fixture_types[];
extern const size_t fixture_n_types, fixture_n_float_types;

/* False, and the test is marked as skipped, where this processor lacks the level. */
gboolean fixture_init(struct fixture *f, const char *level, unsigned n_threads);
void fixture_clear(struct fixture *f);

/* Does this level round what it multiplies the type by, so that its bits are its own? Then results
 * are within 5e-3 of exact ones (reference/compute.md 6.5). */
gboolean fixture_rounds(const struct fixture *f, uint32_t type);

/* n random numbers of about unit variance. */
void fill_random(GRand *rand, float *x, size_t n);

/* n_out rows of n_in in GGUF's form, values of about unit variance / sqrt(n_in); g_free(). */
uint8_t *random_weights(GRand *rand, uint32_t type, size_t n_in, size_t n_out);

/* The same as floats, by the device's dequantiser (which test-cpu-dequant checks); g_free(). */
float *weights_as_floats(uint32_t type, const uint8_t *src, size_t n_in, size_t n_out);

weir_buffer *make_weight(struct fixture *f, uint32_t type, size_t n_in, size_t n_out, uint32_t use,
			 const void *src);

/* A program under construction: tensors and ops are appended. */
struct builder {
	struct weir_tensor tensors[64];
	struct weir_op ops[64];
	uint32_t n_tensors, n_ops;
};

uint32_t add_temp(struct builder *b, uint32_t kind, uint32_t rows, size_t width);
uint32_t add_buffer(struct builder *b, uint32_t kind, weir_buffer *buffer);
/* An op without operands; fill in the rest. */
struct weir_op *add_op(struct builder *b, uint32_t code);

/* Compiles, and fills the whole arena with NaN. */
weir_program *build(struct fixture *f, struct builder *b, unsigned max_tokens, unsigned max_out);

/* A batch of one sequence of n tokens at positions 0.., blocks in order, every token an output;
 * tokens 0, 1, ... Free with simple_batch_free(). */
struct weir_device_batch *simple_batch(unsigned n, unsigned block_tokens);
void simple_batch_free(struct weir_device_batch *batch);

/* Puts rows into a TEMP as if an operation had written them: an EMBED of an F32 table with n rows
 * of `width` values. The builder gets the op; the buffer is returned, x must outlive it. */
weir_buffer *add_input(struct fixture *f, struct builder *b, const float *x, size_t n, size_t width,
		       uint32_t *ret_tensor);

void run_ok(struct fixture *f, weir_program *p, const struct weir_device_batch *batch);

/* |got - want| / |want| over n values; infinite if any is not finite. */
double relative_error(const float *got, const double *want, size_t n);

#endif
