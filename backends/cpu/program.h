/* SPDX-License-Identifier: MIT */
/*
 * program.h - a compiled program: its steps and where everything lies in its one arena.
 *
 * Made by program.c; run by run.c, linear.c and attention*.c. Fixed after program_new() but for
 * what a run writes: the arena, the counters, the batch.
 */
#ifndef WEIR_CPU_PROGRAM_H
#define WEIR_CPU_PROGRAM_H

#include <stdatomic.h>

#include "cpu.h"

#define WEIR_CPU_NOWHERE       SIZE_MAX
#define WEIR_CPU_MAX_HEAD_SIZE 512u
#define WEIR_CPU_MAX_ADAPTERS  64u

enum weir_cpu_step_code {                           /* besides WEIR_OP_* */
			  WEIR_CPU_STEP_COPY = 100, /* batch.copies */
			  WEIR_CPU_STEP_ANGLES,     /* cos and sin of this batch's positions */
			  WEIR_CPU_STEP_FORM,  /* op.src[0] to the forms that its consumers want */
			  WEIR_CPU_STEP_ROUTE, /* MOE in four: experts are chosen, */
			  WEIR_CPU_STEP_EXPERTS,   /* rows brought together, */
			  WEIR_CPU_STEP_UP,        /* gate and up; down has the op's own code */
			  WEIR_CPU_STEP_LORA_DOWN, /* LORA in two: to the rank; up has the op's */
			  WEIR_CPU_STEP_MEET,      /* nothing but the barrier after LORA's */
};

/* A temporary, and the forms besides float rows in which a LINEAR wants it; offsets in the arena.
 */
struct weir_cpu_temp {
	uint32_t kind, rows;
	uint64_t width;
	weir_buffer *buffer;
	size_t values, q8, packed;
	uint32_t first, last; /* steps: written first, used last */
};

struct weir_cpu_step {
	uint32_t code;
	uint32_t angles, tiling;         /* ROPE_KV, ATTENTION: index into the program's */
	uint32_t low;                    /* LORA: where in a row of the ranks' vectors */
	uint64_t adapters;               /* LORA, MEET: idle unless a row has one of these */
	bool emit_q8[3], emit_packed[3]; /* after writing dst[k], also write these forms of it */
	bool joins;                      /* NORM: only the LINEAR after it reads what it writes */
	uint32_t big;                    /* the next LINEAR from here on, or n_steps */
	struct weir_op op;
};

/* One set of rotary frequencies and the tables of this batch: [n_tokens][half] */
struct weir_cpu_angles {
	struct weir_op op; /* the first op that asked for it */
	weir_buffer *factors;
	size_t half;
	float *frequency; /* [half] */
	float *cos, *sin; /* [max_tokens][half] */
};

/* A run of at most `tokens` tokens of one sequence, which attention takes together. */
struct weir_cpu_piece {
	uint32_t row, first, count;
};

struct weir_cpu_tiling {
	uint32_t tokens, n_pieces;
	struct weir_cpu_piece *pieces; /* [max_tokens] */
};

struct weir_program {
	struct weir_cpu *cpu;
	uint32_t n_temps, n_steps, n_angles, n_tilings, n_caches;
	uint32_t max_tokens, max_rows, max_out;
	struct weir_cpu_temp *temps;
	struct weir_cpu_step *steps;
	struct weir_cpu_angles *angles;
	struct weir_cpu_tiling *tilings;
	weir_buffer **caches;
	uint8_t *arena;
	size_t arena_bytes;
	atomic_uint *next;                      /* [n_steps] work handed out */
	size_t scratch, scratch_bytes;          /* of thread t: at scratch + t * scratch_bytes */
	size_t own, own_bytes;                  /* of thread t: what it normed for itself */
	size_t split, split_bytes;              /* partial results of split attention */
	uint32_t split_units;                   /* how many units may be split */
	uint32_t chunk;                         /* positions of one partial result */
	uint32_t n_vocab, n_positions, n_types; /* smallest tables of EMBEDs, 0: none */
	size_t packed, packed_bytes;            /* keys and values of ATTENTION_PACKED, tiled */
	uint32_t *row_tile, n_tiles;         /* this run: first tile of each sequence; all tiles */
	size_t matrix_bytes, position_bytes; /* of all matrices; of one position in all caches */
	size_t mixture, mixture_bytes;       /* moe.c's area */
	size_t low, low_width;               /* LORA: [rows][low_width] floats */
	uint64_t adapters;                   /* this run: bit i, some row has adapter i + 1 */
	bool alone;                          /* this run: one thread, no barriers */
	bool stop[2];
	const struct weir_device_batch *batch; /* during a run */
};

static inline uint32_t weir_cpu_rows(const weir_program *p, const struct weir_cpu_temp *t)
{
	return t->rows == WEIR_ROWS_OUT ? p->batch->n_out : p->batch->n_tokens;
}

static inline float *weir_cpu_values(const weir_program *p, const struct weir_cpu_temp *t)
{
	return (float *)(p->arena + t->values);
}

static inline bool weir_cpu_interrupted(const weir_program *p)
{
	return atomic_load_explicit(&p->cpu->interrupted, memory_order_relaxed);
}

/* Every thread of the run, at the end of a stage. */
static inline void weir_cpu_barrier(const weir_program *p)
{
	if (!p->alone)
		weir_pool_barrier(p->cpu->pool);
}

/* Rows of activations that a thread norms for itself, at most. */
#define WEIR_CPU_OWN_ROWS 4u

/* Where a thread keeps what it normed for itself: as temps[t], but in its own memory. */
static inline struct weir_cpu_temp weir_cpu_own(const weir_program *p, uint32_t t, uint32_t thread)
{
	struct weir_cpu_temp own = p->temps[t];
	size_t floats = WEIR_CPU_OWN_ROWS * (size_t)own.width * sizeof(float);

	own.values = p->own + thread * p->own_bytes;
	own.packed = own.values + ((floats + 63) & ~(size_t)63);
	own.q8 = own.packed + ((floats + 63) & ~(size_t)63);
	return own;
}

/* Columns of one attention tile: the heads of one KV head (at most 16 at a time) by tokens. */
static inline uint32_t weir_cpu_attention_heads(const struct weir_op *op)
{
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]);

	return group < WEIR_CPU_TILE ? group : WEIR_CPU_TILE;
}

/* After rows of dst[k] were written: elements from .. from + n of row t, in the forms wanted.
 * from and n are multiples of 32 where q8 is wanted. */
void weir_cpu_emit(weir_program *p, const struct weir_cpu_step *step, unsigned k, uint32_t t,
		   uint64_t from, uint64_t n);

/* The same for what is not in the program's temporaries: q8 and packed say which forms. */
void weir_cpu_form(const weir_program *p, const struct weir_cpu_temp *temp, bool q8, bool packed,
		   uint32_t t, uint64_t from, uint64_t n);

/* src: where the step's rows are, temps[op.src[0]] or a copy of it. */
void weir_cpu_step_linear(weir_program *p, const struct weir_cpu_step *step,
			  const struct weir_cpu_temp *src, atomic_uint *next, uint32_t thread,
			  uint32_t n_threads);
/* What this thread reads first of a LINEAR's matrices, for a few rows. */
const uint8_t *weir_cpu_linear_first(const weir_program *p, const struct weir_cpu_step *step,
				     uint32_t thread, uint32_t n_threads, size_t *ret_bytes);
void weir_cpu_step_rope_kv(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			   uint32_t n_threads);
/* Does the ATTENTION after this ROPE_KV do its work too, for each KV head just before it looks at
 * it? Where each sequence has one token and no two threads share a head. */
bool weir_cpu_rope_joins(const weir_program *p, const struct weir_cpu_step *step);
void weir_cpu_step_attention(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			     uint32_t thread, uint32_t n_threads);

void weir_cpu_step_packed(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			  uint32_t thread, uint32_t n_threads);
/* Before a run of a program that has such a step: counts the batch's tiles. */
void weir_cpu_packed_begin(weir_program *p, const struct weir_device_batch *batch);
size_t weir_cpu_packed_scratch(uint32_t head_size);
/* False: more than memory can address. */
bool weir_cpu_packed_bytes(const struct weir_op *op, uint32_t max_tokens, uint32_t max_rows,
			   size_t *ret);

/* linear.c: n_groups groups of w from g on, times a tile of nc rows in the form that w's type wants
 * (Q8, or PACKED floats): out [group][nc][16]. A column's result does not depend on the others. */
void weir_cpu_multiply(const struct weir_cpu *cpu, const weir_buffer *w, size_t g, size_t n_groups,
		       const void *tile, unsigned nc, float *out);

/* x[n] to column c of a PACKED tile of nc columns. */
static inline void weir_cpu_pack(const float *x, size_t n, float *tile, unsigned nc, unsigned c)
{
	for (size_t i = 0; i < n; i++)
		tile[i * nc + c] = x[i];
}

void weir_cpu_step_moe(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
		       uint32_t thread, uint32_t n_threads);
/* What a MOE op needs of the arena; false: more than memory can address. */
bool weir_cpu_moe_bytes(const weir_program *p, const struct weir_op *op, size_t *ret);

void weir_cpu_step_lora(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			uint32_t n_threads);
size_t weir_cpu_lora_scratch(const weir_program *p, const struct weir_op *op);

void weir_cpu_step_glu(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		       uint32_t n_threads);

/* Bytes of scratch of one thread, and of one unit's partial results, for an attention op. */
size_t weir_cpu_attention_scratch(uint32_t head_size);
size_t weir_cpu_attention_partial(uint32_t head_size);

#endif
