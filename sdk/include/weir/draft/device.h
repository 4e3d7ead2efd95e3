/* SPDX-License-Identifier: MIT */
/*
 * weir/draft/device.h - level C (draft): a device = memory + programs of coarse, fused operations.
 *
 * backends/tensor builds one program for a model at load time: a list of tensors and a list of
 * operations over them, with row counts left symbolic. The device compiles it once
 * (program_new: choose kernels, lay out temporaries, decide in which form an activation is kept,
 * record command buffers or graphs for shape buckets) and then runs it for each step on the batch
 * that it is handed. Adding an operation never changes the vtable: supports() is asked.
 *
 * All numbers are little-endian; "row" is one token's (or one output's) vector, contiguous.
 *
 * A backend that is built on a device shows it: its instance's get_ext() answers WEIR_DEVICE with
 * a struct weir_device, whose functions take that instance. It is there from create() on (after
 * start(), where a backend has one) and needs no model: nothing is loaded for it. `weir check
 * --section device` creates the component so, with a path to no file for a model that is required,
 * and holds every operation that supports() says yes to against a reference in doubles; it brings
 * its inputs by EMBED of F32 tables. Such calls never come beside step() or load().
 *
 * Laws that it checks besides: a row's result is the same bits alone and among any others, and the
 * same bits when it is computed again; supports() and program_new() agree; what is refused is
 * refused with a reason, and the device goes on.
 */
#ifndef WEIR_DRAFT_DEVICE_H
#define WEIR_DRAFT_DEVICE_H

#include <weir/plugin.h>

#define WEIR_DEVICE "weir.device/1"

typedef struct weir_buffer weir_buffer;   /* device memory: a weight or a KV cache; opaque */
typedef struct weir_program weir_program; /* compiled by one device; opaque */

/* Element types: the ids of GGUF. Temporaries are F32 by contract: a device may keep one in any
 * form that its consumers accept within the tolerances of the operation test. */
enum weir_dtype {
	WEIR_DTYPE_F32 = 0,
	WEIR_DTYPE_F16 = 1,
	WEIR_DTYPE_Q4_0 = 2,
	WEIR_DTYPE_Q4_1 = 3,
	WEIR_DTYPE_Q5_0 = 6,
	WEIR_DTYPE_Q5_1 = 7,
	WEIR_DTYPE_Q8_0 = 8,
	WEIR_DTYPE_Q2_K = 10,
	WEIR_DTYPE_Q3_K = 11,
	WEIR_DTYPE_Q4_K = 12,
	WEIR_DTYPE_Q5_K = 13,
	WEIR_DTYPE_Q6_K = 14,
	WEIR_DTYPE_IQ2_XXS = 16,
	WEIR_DTYPE_IQ2_XS = 17,
	WEIR_DTYPE_IQ3_XXS = 18,
	WEIR_DTYPE_IQ1_S = 19,
	WEIR_DTYPE_IQ4_NL = 20,
	WEIR_DTYPE_IQ3_S = 21,
	WEIR_DTYPE_IQ2_S = 22,
	WEIR_DTYPE_IQ4_XS = 23,
	WEIR_DTYPE_I32 = 26,
	WEIR_DTYPE_IQ1_M = 29,
	WEIR_DTYPE_BF16 = 30,
	WEIR_DTYPE_TQ1_0 = 34,
	WEIR_DTYPE_TQ2_0 = 35,
	WEIR_DTYPE_MXFP4 = 39,
	WEIR_DTYPE_NVFP4 = 40,
};

enum weir_tensor_kind {
	WEIR_TENSOR_WEIGHT = 1, /* buffer from weight() */
	WEIR_TENSOR_KV = 2,     /* buffer from kv() */
	WEIR_TENSOR_TEMP = 3,   /* width x rows, F32, lives within a run; the device allocates */
	WEIR_TENSOR_OUTPUT = 4, /* as TEMP, and readable by output() after the run */
};

enum weir_rows {                       /* how many rows a temporary has in a step */
		 WEIR_ROWS_TOKENS = 1, /* batch.n_tokens */
		 WEIR_ROWS_OUT = 2,    /* batch.n_out */
};

struct weir_tensor {
	uint32_t kind, rows;
	weir_buffer *buffer; /* WEIGHT, KV */
	uint64_t width;      /* TEMP, OUTPUT: elements in a row */
};

#define WEIR_NO_TENSOR UINT32_MAX

enum weir_op_code {
	/* dst0[t] = f0 * table(src0)[r], or dst0[t] += that with ADD; r: token[t], or pos[t] + i0
	 * with POSITION, or i0 with FIXED, or type[t] with TYPE (BERT's token types). A row outside
	 * of the table is the caller's error: the run is INVALID */
	WEIR_OP_EMBED = 1,
	/* dst0 = norm(src0) * src1 (+ src2), or dst0 += that with ADD. flags: WEIR_NORM_*; f0:
	 * epsilon; i0: width of the group that is normed (0: the row; head size: each head by
	 * itself). src1 and src2 have the width of the row, or that of a group and are used for
	 * each */
	WEIR_OP_NORM = 2,
	/* For k < i0 (1..3): y_k = src0 . W_k^T (+ b_k), W_k = src[1+k], b_k = src[4+k] or none.
	 * flags: WEIR_LINEAR_*. Without GLU: dst_k = act(y_k) (no WEIR_ACT flag: y_k itself), or
	 * dst_k += that with ADD. With GLU (i0 = 2): dst0 = act(y_0) * y_1. f0: multiplies the
	 * result (1), f1: softcap c > 0: c tanh(y / c) */
	WEIR_OP_LINEAR = 3,
	/* Rotary embedding of q and k, then k and v go to the KV cache at batch.slot[t].
	 * src0 q (in place), src1 k, src2 v, src3 K cache, src4 V cache, src5 q norm or none, src6
	 * k norm or none (per head RMS before rope, epsilon f6), src7 frequency factors [rope/2] or
	 * none i0 heads, i1 KV heads, i2 head size, i3 rope size (0: no turning), i4 WEIR_ROPE_*,
	 * i5 original context f0 base, f1 frequency scale (1/factor), f2 yarn extrapolation (0:
	 * plain), f3 attention factor: multiplies cos and sin as it is (a model that scales by
	 * YaRN's 0.1 ln(factor) + 1 has it in here), f4 beta fast, f5 beta slow: with f2 > 0 the
	 * angle is mixed, by a ramp over the pairs between floor and ceil of YaRN's correction
	 * range, from scaled to unscaled. Factors divide the unscaled frequency. Without caches
	 * (src3, src4 none) q and k are turned in place and src2 is not read: encoders. Su et al.
	 * 2021; Peng et al. 2023 (YaRN) */
	WEIR_OP_ROPE_KV = 4,
	/* dst0 = softmax(f0 * q k^T (softcap f1)) v over the paged cache; src0 q, src1 K, src2 V.
	 * i0 heads, i1 KV heads, i2 head size, i3 window (0: none). Causal by batch.pos */
	WEIR_OP_ATTENTION = 5,
	/* dst0[o] = src0[out_row[o]]: ROWS_TOKENS to ROWS_OUT */
	WEIR_OP_GATHER = 6,
	/* Attention of a step's tokens to the same sequence's tokens of the same step, without a
	 * cache: dst0 = softmax(f0 * q k^T (softcap f1)) v; src0 q, src1 k, src2 v (temporaries).
	 * i0 heads, i1 KV heads, i2 head size, i3 window (0: none; causal: the last i3 keys, as in
	 * ATTENTION; else keys at most i3 / 2 away), i4 1: causal. A sequence's result does not
	 * depend on the others of the step */
	WEIR_OP_ATTENTION_PACKED = 7,
	/* Mixture of experts, gated feed-forward: dst0 += f0 * sum over the i1 chosen of i0 experts
	 * of p_e * down_e . (act(gate_e . x) * (up_e . x)). src0 x, src1 router logits (a
	 * temporary, i0 wide), src2 gate, src3 up [i0 * i2][n_embd], src4 down [i0 * n_embd][i2]:
	 * the experts' matrices one after the other. i2: the feed-forward width. p: softmax over
	 * all logits, of which the i1 largest are taken (ties: the lower index); with WEIR_MOE_NORM
	 * divided by their sum. With WEIR_MOE_SIGMOID p is each logit's sigmoid: one expert of one
	 * is a shared expert behind a gate. Shazeer et al. 2017; Jiang et al. 2024 (Mixtral) */
	WEIR_OP_MOE = 8,
	/* Low-rank adapter: dst0[t] += f0 * src2 . (src1 . src0[t]) for tokens whose sequence has
	 * batch.adapter i0 (1..); src1 [rank][n_in], src2 [n_out][rank], for use as a MATRIX. Hu et
	 * al. 2021 (LoRA) */
	WEIR_OP_LORA = 9,
	/* dst0 = act(src0) * src1, rows alike; flags: WEIR_ACT_*. What LINEAR with GLU does in one,
	 * for a gate and an up that need something of their own before: adapters, factors. src1
	 * none: act(src0) alone. dst0 may be src0. */
	WEIR_OP_GLU = 10,
};

enum weir_op_flag {
	WEIR_NORM_RMS = 0u,
	WEIR_NORM_LAYER = 1u << 0, /* subtract the mean */
	WEIR_NORM_ADD = 1u << 3,
	WEIR_LINEAR_ADD = 1u << 1,
	WEIR_LINEAR_GLU = 1u << 2,
	WEIR_ACT_SILU = 1u << 8,
	WEIR_ACT_GELU_TANH = 1u << 9,
	WEIR_ACT_RELU2 = 1u << 10,
	WEIR_ACT_GELU_ERF = 1u << 11,
	WEIR_ACT_RELU = 1u << 12,
	WEIR_ACT_TANH = 1u << 13,
	WEIR_EMBED_ADD = 1u << 4,
	WEIR_EMBED_POSITION = 1u << 5,
	WEIR_EMBED_FIXED = 1u << 6,
	WEIR_EMBED_TYPE = 1u << 20,
	WEIR_MOE_NORM = 1u << 7,
	WEIR_MOE_SIGMOID = 1u << 14,
};

enum weir_rope { WEIR_ROPE_NORM = 0, /* pairs (2i, 2i+1) */ WEIR_ROPE_NEOX = 1 /* (i, i+n/2) */ };

struct weir_op { /* dst and src are indices into the program's tensors, or WEIR_NO_TENSOR */
	uint32_t code, flags;
	uint32_t dst[3], src[8];
	float f[8];
	int32_t i[8];
	uint32_t reserved;
};

struct weir_program_desc { /* lent for program_new() */
	uint32_t size, n_tensors, n_ops;
	uint32_t max_tokens, max_rows, max_out; /* of any batch; max_out <= max_tokens */
	const struct weir_tensor *tensors;
	const struct weir_op *ops;
};
WEIR_FROZEN(struct weir_program_desc, ops);

/* One step, as the device sees it; host memory, lent for run(). Sequences are numbered 0..n_rows-1
 * within the batch, tokens are grouped by sequence in ascending position. */
struct weir_device_batch {
	uint32_t size, n_tokens, n_rows, n_out;
	uint32_t n_copies, block_stride; /* block_stride: entries of blocks per sequence */
	const int32_t *token;            /* [n_tokens] */
	const int32_t *pos;              /* [n_tokens] */
	const int32_t *row;              /* [n_tokens] sequence of a token */
	const uint32_t *slot;    /* [n_tokens] block * block_tokens + offset: where its K, V go */
	const uint32_t *first;   /* [n_rows + 1] first token of a sequence */
	const uint32_t *kv_len;  /* [n_rows] positions to attend to, this step's included */
	const uint32_t *blocks;  /* [n_rows][block_stride] */
	const uint32_t *out_row; /* [n_out] token index, ascending */
	const uint32_t *copies;  /* [n_copies][2] KV blocks (from, to), before any operation */
	const uint32_t *adapter; /* [n_rows] LORA: 0 none; NULL: none anywhere */
	const int32_t *type;     /* [n_tokens] EMBED with TYPE; NULL: 0 everywhere */
};
WEIR_FROZEN(struct weir_device_batch, type);

enum weir_weight_use {
	WEIR_WEIGHT_MATRIX = 1u << 0, /* operand of LINEAR */
	WEIR_WEIGHT_TABLE = 1u << 1,  /* rows looked up by EMBED */
	WEIR_WEIGHT_VECTOR = 1u << 2, /* norms, biases, factors; F32 after loading */
};

struct weir_device_info {
	uint32_t size, n_threads;
	uint64_t memory_total, memory_free; /* bytes */
	char name[128];                     /* "AMD EPYC, AVX-512 VNNI, 2 threads" */
};

/* Where the bytes of a weight come from; lent for the call. */
struct weir_source {
	uint32_t size, reserved;
	/* n bytes from byte `at` on; both within the weight. An error ends the weight, and is given
	 * on as it is. [any] */
	weir_status (*read)(const struct weir_source *, uint64_t at, void *ret, size_t n,
			    struct weir_error *);
};
WEIR_FROZEN(struct weir_source, read);

struct weir_device {
	uint32_t size, reserved;
	void (*info)(struct weir_instance *, struct weir_device_info *ret); /* [any] */
	/* Is this operation possible with these tensors (types, sizes)? No to whatever the contract
	 * does not have. op's indices are within tensors, or WEIR_NO_TENSOR. [any] */
	bool (*supports)(struct weir_instance *, const struct weir_op *,
			 const struct weir_tensor *);
	/* A weight of n_out rows of n_in elements in GGUF's row-major form of `type`, converted to
	 * the device's own layout. src is lent for the call: a device copies what it needs of it.
	 * UNSUPPORTED: no kernel for the type. [worker] */
	weir_status (*weight)(struct weir_instance *, uint32_t type, uint64_t n_in, uint64_t n_out,
			      uint32_t use, const void *src, weir_buffer **ret,
			      struct weir_error *);
	/* K or V of one layer: n_blocks * block_tokens positions, n_heads * head_size each. type:
	 * F32, F16, BF16, or Q8_0 (32-element blocks along the head; head_size a multiple of 32).
	 * [worker] */
	weir_status (*kv)(struct weir_instance *, uint32_t type, uint32_t n_blocks,
			  uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
			  weir_buffer **ret, struct weir_error *);
	void (*buffer_free)(struct weir_instance *, weir_buffer *);
	/* Takes what supports() says yes to, and nothing else: INVALID or UNSUPPORTED. Several
	 * programs may use the same buffers, in turns. [worker, step] */
	weir_status (*program_new)(struct weir_instance *, const struct weir_program_desc *,
				   weir_program **ret, struct weir_error *);
	void (*program_free)(struct weir_instance *, weir_program *);
	/* Queues one step; wait() ends it. CANCELLED after interrupt(). INVALID, and nothing is
	 * computed: more tokens, outputs or sequences than the program was made for, or none; a
	 * token, position, slot, block or output that lies outside of its table, cache or batch.
	 * [step] */
	weir_status (*run)(struct weir_instance *, weir_program *, const struct weir_device_batch *,
			   struct weir_error *);
	weir_status (*wait)(struct weir_instance *, weir_program *,
			    struct weir_error *); /* [step] */
	/* An OUTPUT tensor's rows after wait(), at the same place however often it is asked; valid
	 * until the next run() of the program. [step] */
	const float *(*output)(struct weir_instance *, weir_program *, uint32_t tensor);
	/* The run that goes on, if one does, ends soon and is CANCELLED, by run() or by wait(). One
	 * that comes between two runs is forgotten or cancels the next one, no more. Before the
	 * first run, while a model loads: weight() and program_new() return CANCELLED soon. [any]
	 */
	void (*interrupt)(struct weir_instance *);
	/* Runs fn(data, i) for i < n on the device's host threads, and returns when all are done:
	 * sampling and other host work of a step, and reading while a model loads. NULL: none.
	 * [worker, step] */
	void (*parallel)(struct weir_instance *, uint32_t n, void (*fn)(void *data, uint32_t i),
			 void *data);
	/* As weight(), of bytes that it reads as it needs them, on threads of its own too: so no
	 * more than a piece of a file is in memory beside what becomes of it. NULL: none, weight()
	 * is called with all of them. [worker] */
	weir_status (*weight_from)(struct weir_instance *, uint32_t type, uint64_t n_in,
				   uint64_t n_out, uint32_t use, const struct weir_source *src,
				   weir_buffer **ret, struct weir_error *);
};
WEIR_FROZEN(struct weir_device, weight_from);

#endif
