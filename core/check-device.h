/*
 * core/check-device.h - section device of `weir check`: a level-C device (weir/draft/device.h) and
 * an independent reference for it, in doubles, straight from the contract's sentences.
 *
 * A plan is a program that both can run: the device through its vtable, the reference by plain
 * loops (check-device-reference.c). It knows backends/ as little as any part of the core does.
 *
 * Main thread of a case's child only.
 */
#ifndef WEIR_CORE_CHECK_DEVICE_H
#define WEIR_CORE_CHECK_DEVICE_H

#include <weir/draft/device.h>

#include "check.h"

/* The bounds of |got - want|^2 / |want|^2 of a row; |want|^2 is at least the mean of all rows. */
#define WEIR_CHECK_EXACT  1e-7 /* F32 weights and caches, norms, angles, tables */
#define WEIR_CHECK_APPROX 5e-4 /* half floats; quantised weights with 8-bit activations */

enum {
	WEIR_CHECK_PARTS = 64,
	WEIR_CHECK_OPS = 64,
	WEIR_CHECK_BLOCK = 16, /* positions in a block of a cache */
};

struct weir_check_type { /* of weights */
	uint32_t type;
	const char *name;
	uint32_t n, bytes; /* elements and bytes of a block */
	void (*fill)(GRand *, uint8_t *block);
	/* NULL: no second implementation of the format here; what EMBED reads is believed. */
	void (*decode)(const uint8_t *block, double *ret);
};

extern const struct weir_check_type weir_check_types[];
extern const size_t weir_check_n_types;
const struct weir_check_type *weir_check_type(uint32_t type); /* NULL: unknown */
bool weir_check_is_float(uint32_t type);                      /* F32, F16, BF16 */
double weir_check_bound(uint32_t type);

struct weir_check_part { /* a tensor of a plan */
	struct weir_tensor tensor;
	uint32_t type, use;
	uint64_t n_in, n_out;
	uint8_t *bytes;                                      /* WEIGHT: in GGUF's form */
	double *values;                                      /* of any kind, for the reference */
	uint32_t n_blocks, block_tokens, n_heads, head_size; /* KV */
};

struct weir_check_plan {
	GRand *rand;
	uint32_t n_parts, n_ops;
	uint32_t max_rows; /* tokens, sequences and outputs of any batch */
	struct weir_check_part parts[WEIR_CHECK_PARTS];
	struct weir_op ops[WEIR_CHECK_OPS];
};

/* A plan's contents depend on the seed and nothing else. Freed by weir_check_plan_free(). */
struct weir_check_plan *weir_check_plan_new(uint64_t seed, uint32_t max_rows);
void weir_check_plan_free(void *plan);
uint32_t weir_check_plan_temp(struct weir_check_plan *, uint32_t kind, uint32_t rows,
			      uint64_t width);
/* Random weights. n_in is a multiple of the type's block. */
uint32_t weir_check_plan_weight(struct weir_check_plan *, uint32_t type, uint64_t n_in,
				uint64_t n_out, uint32_t use);
uint32_t weir_check_plan_vector(struct weir_check_plan *, uint64_t n);
uint32_t weir_check_plan_kv(struct weir_check_plan *, uint32_t type, uint32_t n_blocks,
			    uint32_t n_heads, uint32_t head_size);
/* An operation without tensors, numbers 0 but f[0] = 1. */
struct weir_op *weir_check_plan_op(struct weir_check_plan *, uint32_t code);
/* max_rows random rows; token t's is row token[t]. kind: TEMP or OUTPUT. */
uint32_t weir_check_plan_input(struct weir_check_plan *, uint32_t kind, uint64_t width);

struct weir_check_seq {        /* a sequence's part of a batch */
	uint32_t count, start; /* tokens, and the position of the first */
	uint32_t adapter;
	const uint32_t *blocks; /* NULL: those behind the sequence before */
};

struct weir_check_batch {
	struct weir_device_batch batch; /* its arrays may be changed through these: */
	int32_t *token, *pos, *row, *type;
	uint32_t *slot, *first, *kv_len, *blocks, *out_row, *copies, *adapter;
};

/* Tokens are numbered from `token` on; every token is an output. stride: blocks of a sequence. */
struct weir_check_batch *weir_check_batch_new(const struct weir_check_seq *, uint32_t n,
					      uint32_t stride, int32_t token);
/* n tokens of one sequence from position 0. */
struct weir_check_batch *weir_check_batch_one(uint32_t n, int32_t token);
void weir_check_batch_free(struct weir_check_batch *);

/* Runs a plan in doubles. Afterwards parts[].values of temporaries and caches hold the results. */
void weir_check_reference(struct weir_check_plan *, const struct weir_device_batch *);

struct weir_check_device { /* of an instance that has been started, if it could be */
	struct weir_check *check;
	struct weir_part *part;
	struct weir_instance *instance;
	const struct weir_device *api;
	unsigned n_compared, n_failed;
	GString *without;  /* what the device says it has not */
	GString *believed; /* types of which there is no second implementation here */
	GPtrArray *plans;
};

/* False after a skip, a failure, or for a component that has no device. A path that the component
 * requires and nobody gave (a model) is one where there is no file: devices need none. */
bool weir_check_device_open(struct weir_check_device *, struct weir_check *);
/* The same, but a component that cannot be created is not told of: one case does that. */
bool weir_check_device_open_quietly(struct weir_check_device *, struct weir_check *);
/* Notes how much was compared; ends the instance. Not needed after a failure. */
void weir_check_device_close(struct weir_check_device *);
/* A plan of its own seed, which lives as long as the device. */
struct weir_check_plan *weir_check_device_plan(struct weir_check_device *, uint32_t max_rows);
/* A weight as in the plan; of a format that is not decoded here, the values are those that the
 * device itself reads from it as a table. False: it has none, or a failure was recorded. */
bool weir_check_device_values(struct weir_check_device *, struct weir_check_plan *,
			      uint32_t weight);
/* Has enough gone wrong? A case gives up then. */
bool weir_check_device_tired(const struct weir_check_device *);
/* Notes once what the device cannot do. */
void weir_check_device_without(struct weir_check_device *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Records a failure, with "what" before it. */
void weir_check_device_fail(struct weir_check_device *, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What is about to be done, for when it crashes. */
void weir_check_device_at(struct weir_check_device *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

struct weir_check_made { /* a plan on the device */
	struct weir_check_device *device;
	struct weir_check_plan *plan;
	char what[160];
	weir_buffer *buffers[WEIR_CHECK_PARTS];
	weir_program *program;
};

/* False: the device said that it cannot (noted as `what`), or a failure was recorded. plan must
 * live as long as the device, whose weights may stay in its memory. */
bool weir_check_make(struct weir_check_made *, struct weir_check_device *,
		     struct weir_check_plan *plan, const char *what);
/* program_new() of a plan whose buffers are there; parts beyond these have none. */
weir_status weir_check_made_program(struct weir_check_made *, weir_program **ret,
				    struct weir_error *);
void weir_check_made_free(struct weir_check_made *);
/* run() and wait(). False after a failure. */
bool weir_check_made_step(struct weir_check_made *, const struct weir_device_batch *);
/* An OUTPUT of the last step; NULL after a failure. */
const float *weir_check_made_output(struct weir_check_made *, uint32_t tensor);
/* Holds an OUTPUT of the last step against the reference's, row by row. */
bool weir_check_made_compare(struct weir_check_made *, const struct weir_device_batch *,
			     uint32_t tensor, double bound);
/* Step on both and compare. */
bool weir_check_made_both(struct weir_check_made *, const struct weir_device_batch *,
			  uint32_t tensor, double bound);

#endif
