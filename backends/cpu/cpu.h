/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - what the files of the CPU device share: buffers, layouts, the table of kernels.
 *
 * A buffer never changes after it was made, KV caches excepted; an instance has one thread pool.
 *
 * Layout of a matrix (see repack.c): rows in groups of 16, one group after the other, padded with
 * zero rows. Within a group, float types are [k][16]; quantised ones have a plane of codes, in
 * 4-byte slices of k: [block][slice][row 0..15][4], and a plane of scales after it. So one 64-byte
 * load feeds 16 rows, and sums stay in 16 lanes.
 *
 * Layout of activations ("forms"): tiles of up to 16 rows (nc of them in the last tile).
 * Q8: per block of 32 one record of nc * WEIR_CPU_RECORD bytes: int8 [nc][32], then seven arrays
 * of nc words: scale d (f32), d * sum (f32), -8 * sum, -128 * sum, -32 * sum of the first and of
 * the second half (int32), the sums of both halves (two int16). PACKED: float [k][nc].
 */
#ifndef WEIR_CPU_H
#define WEIR_CPU_H

#include <stdatomic.h>
#include <stddef.h>

#include <weir/draft/device.h>

#include "pool.h"
#include "slab.h"

#define WEIR_CPU_TILE   16u  /* rows of activations in a full tile */
#define WEIR_CPU_KEYS   128u /* keys of one pass of attention, at most */
#define WEIR_CPU_RECORD 60u  /* bytes of one block of one row in Q8 form */

#define WEIR_CPU_N_TYPES 41 /* past the last weir_dtype of a weight */

/* Parameters of the last stage of LINEAR on a [nc][16] piece. */
struct weir_cpu_finish {
	const float *bias[2]; /* 16 floats at the piece's first row, or NULL */
	float scale, softcap;
	uint32_t flags; /* WEIR_LINEAR_*, WEIR_ACT_* */
	uint32_t n;     /* valid rows of the piece, 1..16 */
	size_t stride;  /* floats between two tokens of dst */
};

/* n_groups groups of 16 rows, group_stride bytes apart, times a Q8 tile of nc rows: out is
 * [group][nc][16]. n_blocks: of 32, whatever the type. */
typedef void (*weir_cpu_quant_fn)(const uint8_t *group, size_t n_groups, size_t group_stride,
				  size_t n_blocks, const uint8_t *tile, unsigned nc, float *out);

/* The same for float types and PACKED tiles: k columns of 16, k_stride bytes apart; out is added to
 * when `add`. */
typedef void (*weir_cpu_float_fn)(const uint8_t *group, size_t n_groups, size_t group_stride,
				  size_t k, size_t k_stride, const float *tile, unsigned nc,
				  bool add, float *out);

/* One block of keys of attention, as the softmax sees it. */
struct weir_cpu_softmax {
	float softcap; /* 0: none */
	uint32_t nc, n_groups;
	int32_t key0, end;           /* positions of the first key, and past the last */
	const int32_t *first, *last; /* [nc] visible keys: first <= key <= last */
};

/* One product of attention: n_groups groups of 16 lanes (keys, or dims of values), two and two side
 * by side, pair_stride bytes from one pair to the next, each k columns k_stride bytes apart, times
 * factors a [k / 16][nc][16]. out [group][nc][16], which is added to when `add`. ahead: bytes from
 * what is read to what will be read a while later; 0: nothing. */
typedef void (*weir_cpu_mix_fn)(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
				size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc,
				bool add, float *out);

/* Values in Q8_0 of n tokens, side by side: strips of 32 dims, `strip` bytes apart, of codes
 * [token / 2][32][2] and F16 scales [token]. ahead: see weir_cpu_mix_fn. */
struct weir_cpu_values {
	const uint8_t *codes, *scales; /* of the first strip */
	size_t strip, n_strips, n;
	ptrdiff_t ahead;
};

/* One ISA level. Every level computes the same bits: lanes, order and rounding are part of the
 * contract of each function (tests/unit/test-cpu-ops.c compares). But where the unit has a dot
 * product of BF16 (avx512bf16), bf16 and mix_bf16 round the other factor to BF16 too: relative
 * error up to 5e-3, bits of their own, still the same in whatever batch. */
struct weir_cpu_kernels {
	const char *name;
	weir_cpu_quant_fn quant[WEIR_CPU_N_TYPES]; /* by weir_dtype; NULL: a float type */
	weir_cpu_float_fn f32, f16, bf16;
	/* x[32 * n_blocks] to column c of a Q8 tile's records from block 0 of `tile` on */
	void (*quantize)(const float *x, size_t n_blocks, uint8_t *tile, unsigned nc, unsigned c);
	/* y = norm(x) * w (+ b) (+ y when `add`), n wide; x and y may be the same */
	void (*norm)(const float *x, const float *w, const float *b, size_t n, float eps,
		     bool layer, bool add, float *y);
	/* The last stage of LINEAR: dst (+)= ... from y0 (and y1 with GLU), both [nc][16] */
	void (*finish)(const struct weir_cpu_finish *f, const float *y0, const float *y1,
		       unsigned nc, float *dst);
	/* Rotate x[2 * half] by cos, sin [half]; neox: pairs (i, i + half), else (2i, 2i + 1) */
	void (*rope)(float *x, const float *cos, const float *sin, size_t half, bool neox);
	/* f32 to F32, F16 or BF16 (weir_dtype), n values */
	void (*convert)(const float *x, size_t n, uint32_t type, void *dst);
	/* scores [group][nc][16] to weights p [key][nc]; updates m, l [nc] and scales
	 * o [n_o][nc][16] by what the maximum moved */
	void (*softmax)(const struct weir_cpu_softmax *s, float *scores, float *p, float *m,
			float *l, float *o, size_t n_o);
	/* (m, l, o) += (pm, pl, po), o: [n_o][nc][16] */
	void (*merge)(unsigned nc, size_t n_o, float *m, float *l, float *o, const float *pm,
		      const float *pl, const float *po);
	/* Attention over a cache of F32, F16 or BF16 */
	weir_cpu_mix_fn mix_f32, mix_f16, mix_bf16;
	/* Scores of keys in Q8_0 (see struct weir_buffer): what quant[Q8_0] does, with `ahead` as a
	 * weir_cpu_mix_fn */
	void (*mix_keys)(const uint8_t *group, size_t n_groups, size_t n_blocks, ptrdiff_t ahead,
			 const uint8_t *tile, unsigned nc, float *out);
	/* o [dims / 16][nc][16] += factor[c] * p / 32767 times values in Q8_0. p:
	 * [nc][WEIR_CPU_KEYS], 0 after v->n where that is odd, and followed by 32 that are not
	 * used. Weights times scales are int16 of the largest of all tokens, so sums are exact. */
	void (*mix_values)(const struct weir_cpu_values *v, const int16_t *p, const float *factor,
			   unsigned nc, float *o);
	/* As softmax, but p [group][nc][16] holds scores and then weights */
	void (*mix_softmax)(const struct weir_cpu_softmax *s, float *p, float *m, float *l,
			    float *o, size_t n_o);
	/* The same, but p holds only scores, and codes [nc][WEIR_CPU_KEYS] get weights: round(32767
	 * * weight / factor[nc]), which is the largest weight of the column */
	void (*mix_softmax_codes)(const struct weir_cpu_softmax *s, float *p, float *m, float *l,
				  float *o, size_t n_o, int16_t *codes, float *factor);
	/* x[32 * n_blocks] to signed codes and an F16 scale for each block */
	void (*mix_narrow)(const float *x, size_t n_blocks, int8_t *codes, uint16_t *scales);
};

/* The higher the better, where a processor has it. */
enum weir_cpu_level {
	WEIR_CPU_SCALAR = 0,
	WEIR_CPU_AVX2 = 1,
	WEIR_CPU_AVXVNNI = 2,
	WEIR_CPU_AVX512 = 3,
	WEIR_CPU_VNNI = 4,
	WEIR_CPU_BF16 = 5,
	WEIR_CPU_NEON = 6,
	WEIR_CPU_DOTPROD = 7,
	WEIR_CPU_N_LEVELS = 8,
};

extern const struct weir_cpu_kernels weir_cpu_scalar;
extern const struct weir_cpu_kernels weir_cpu_avx2;
extern const struct weir_cpu_kernels weir_cpu_avxvnni;      /* VEX instructions */
extern const struct weir_cpu_kernels weir_cpu_avxvnni_evex; /* the same code, in EVEX form */
extern const struct weir_cpu_kernels weir_cpu_avx512;
extern const struct weir_cpu_kernels weir_cpu_vnni;
extern const struct weir_cpu_kernels weir_cpu_neon;
extern const struct weir_cpu_kernels weir_cpu_dotprod;
extern const struct weir_cpu_kernels weir_cpu_avx512bf16;

/* level-bf16.c: members bf16 and mix_bf16 of weir_cpu_avx512bf16. */
void weir_cpu_bf16_linear(const uint8_t *group, size_t n_groups, size_t group_stride, size_t k,
			  size_t k_stride, const float *tile, unsigned nc, bool add, float *out);
void weir_cpu_bf16_mix(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		       size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		       float *out);

/* The kernels of a level, or NULL when this processor lacks it. Pure. [any] */
const struct weir_cpu_kernels *weir_cpu_level_kernels(enum weir_cpu_level level);

/* The best level here, or the one that the environment variable WEIR_ISA names (scalar, avx2,
 * avxvnni, avx512, vnni, avx512bf16; neon, dotprod). INVALID: no such name; UNSUPPORTED: this
 * processor lacks it. [main] */
weir_status weir_cpu_kernels_select(const struct weir_cpu_kernels **ret, struct weir_error *err);

/* The processor's own name, e.g. "AMD EPYC 9454"; at most len - 1 bytes. [any] */
void weir_cpu_brand(char *ret, size_t len);

struct weir_buffer {
	uint32_t type, use;   /* use 0: a KV cache */
	uint64_t n_in, n_out; /* weights */
	size_t src_row;       /* bytes of a GGUF row */
	uint8_t *table;       /* TABLE: GGUF rows; NULL: the rows are read out of data; owned */
	uint8_t *data;        /* MATRIX groups or KV blocks; owned */
	size_t data_bytes;    /* as mapped */
	size_t group_bytes;   /* MATRIX: one group of 16 rows */
	size_t n_groups;      /* MATRIX */
	float *vector;        /* VECTOR: n_in * n_out floats; owned */
	/* KV: a block is [head][head_bytes]. K is kept [dim][key_stride], V in strips of 32 dims
	 * (the last one may have 16), [strip][token][32]: each is read at one go.
	 * Q8_0: K in groups of 16 tokens, F16 scales [dim / 32][16] and codes + 128 [dim /
	 * 4][16][4]; V in strips of 32 dims, F16 scales [key_stride] and signed codes [key_stride /
	 * 2][32][2]. */
	uint32_t n_blocks, block_tokens, n_heads, head_size;
	uint32_t key_stride, dim_stride; /* tokens, head size rounded up to 16 */
	size_t head_bytes, block_bytes;
};

struct weir_cpu {
	const struct weir_cpu_kernels *kernels;
	struct weir_cpu_slabs *slabs; /* where matrices lie */
	struct weir_pool *pool;
	atomic_int interrupted; /* set by interrupt(), cleared when a run begins */
	bool has_run;           /* before: weights heed it */
	size_t alone_below;     /* bytes: a step that reads less runs on its caller alone */
	bool huge_pages;
	char name[128];
};

/* What backends/tensor calls `struct weir_instance *`: its data points to a struct that begins with
 * the tensor backend's pointer and goes on with the device. */
struct weir_cpu_instance {
	void *tensor_backend;
	struct weir_cpu *cpu;
};

static inline struct weir_cpu *weir_cpu_of(struct weir_instance *instance)
{
	return ((struct weir_cpu_instance *)instance->data)->cpu;
}

/* n_threads 0: physical cores that this process may run on. INVALID: WEIR_ISA; EXHAUSTED. [main] */
weir_status weir_cpu_new(uint32_t n_threads, bool huge_pages, struct weir_cpu **ret,
			 struct weir_error *err);
void weir_cpu_free(struct weir_cpu *cpu);

/* The vtable for WEIR_DEVICE; its instances' data is a struct weir_cpu_instance. */
const struct weir_device *weir_cpu_device(void);

/* weight.c and buffer.c: the vtable's members of the same names. */
weir_status weir_cpu_weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			    uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			    struct weir_error *err);
weir_status weir_cpu_weight_from(struct weir_instance *instance, uint32_t type, uint64_t n_in,
				 uint64_t n_out, uint32_t use, const struct weir_source *src,
				 weir_buffer **ret, struct weir_error *err);
weir_status weir_cpu_kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
			uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
			weir_buffer **ret, struct weir_error *err);
void weir_cpu_buffer_free(struct weir_instance *instance, weir_buffer *buffer);

/* Has a weight of this type and use rows of its own to look up, besides a matrix's groups? */
bool weir_cpu_keeps_table(uint32_t type, uint32_t use);

/* Anonymous zeroed memory, 64-byte aligned at least; NULL when there is none. bytes > 0. [any] */
void *weir_cpu_map(size_t bytes, bool huge_pages);
void weir_cpu_unmap(void *p, size_t bytes);

/* program.c and run.c: the vtable's members of the same names. */
bool weir_cpu_supports(struct weir_instance *instance, const struct weir_op *op,
		       const struct weir_tensor *tensors);
weir_status weir_cpu_program_new(struct weir_instance *instance,
				 const struct weir_program_desc *desc, weir_program **ret,
				 struct weir_error *err);
void weir_cpu_program_free(struct weir_instance *instance, weir_program *program);
weir_status weir_cpu_run(struct weir_instance *instance, weir_program *program,
			 const struct weir_device_batch *batch, struct weir_error *err);
const float *weir_cpu_output(struct weir_instance *instance, weir_program *program,
			     uint32_t tensor);

/* Fills err and returns code. */
weir_status weir_cpu_fail(struct weir_error *err, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
