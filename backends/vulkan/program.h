/* SPDX-License-Identifier: MIT */
/*
 * program.h - a compiled program: its steps, its memory, and command buffers that were recorded for
 * shapes of batches.
 *
 * Made by program.c; recorded by record.c; run by run.c. All variable data of a step is in memory
 * that the device reads (struct weir_vk_batch), so a command buffer serves every batch of its
 * bucket.
 */
#ifndef WEIR_VULKAN_PROGRAM_H
#define WEIR_VULKAN_PROGRAM_H

#include "vk.h"

#define WEIR_VK_MAX_HEAD    512u
#define WEIR_VK_MAX_CHOICES 64u /* experts for a token */

enum {
	WEIR_VK_MATVEC_ROWS = 8, /* more rows are multiplied in tiles */
	WEIR_VK_MAX_ANGLES = 6,
	WEIR_VK_CHUNK = 128, /* positions of one partial result of attention */
	WEIR_VK_MAX_BUCKETS = 48,
	WEIR_VK_MAX_SEGMENTS = 16,
};

/* common.glsl's Batch */
struct weir_vk_batch {
	uint32_t n_tokens, n_rows, n_out, n_pieces;
	uint32_t block_stride, reserved[3];
	VkDeviceAddress token, pos, row, slot, first, kv_len, blocks, out_row, pieces, adapter;
	VkDeviceAddress type, counters;
	VkDeviceAddress angles[WEIR_VK_MAX_ANGLES];
};

/* A run of at most program->piece_tokens tokens of one sequence, which attention takes together. */
struct weir_vk_piece {
	uint32_t row, first, count;
};

/* What a temporary of the device's own is for. */
enum weir_vk_own {
	WEIR_VK_OWN_NOT = 0,
	WEIR_VK_OWN_BETWEEN, /* two products of one operation */
	WEIR_VK_OWN_CHOICE,  /* route.glsl's */
	WEIR_VK_OWN_SORTED,  /* sort.comp's: the order of pairs, then groups */
	WEIR_VK_OWN_EACH,    /* the results of pairs, for mix.comp */
};

/* A temporary: float rows and the Q8 form, each where something reads it. */
struct weir_vk_temp {
	uint32_t kind, rows;
	uint64_t width, more; /* more: words behind the rows */
	weir_buffer *buffer;
	uint32_t own;      /* weir_vk_own */
	uint32_t multiple; /* rows for each row of tokens or of output; 0: 1 */
	bool want_f32, want_q8;
	uint32_t stride; /* floats between two rows */
	VkDeviceAddress f32, q8;
	uint32_t q8_meta; /* words before the scales of the Q8 form */
	uint64_t output;  /* OUTPUT: where it lies in the memory that the host reads */
	uint64_t offset;  /* and in the arena, when it must be copied there */
};

enum weir_vk_step_code {
	WEIR_VK_STEP_QUANTIZE = 100, /* dst0 to its Q8 form */
	WEIR_VK_STEP_NORM_CHAIN,     /* op and the NORM after it */
	WEIR_VK_STEP_LORA_DOWN,      /* to the step's temporary `between` */
	WEIR_VK_STEP_ROUTE,          /* MOE: to `choice` */
	WEIR_VK_STEP_EXPERTS,        /* MOE: gate and up, to `between` */
};

struct weir_vk_step {
	uint32_t code;
	uint32_t angles;          /* ROPE_KV: which table */
	uint32_t between, choice; /* temporaries of the device's own */
	uint32_t sorted, each;    /* MOE: the same; WEIR_NO_TENSOR: never in tiles */
	bool f32[3], q8[3];       /* which forms of dst[k] are read later */
	/* LINEAR, MOE: later steps, 0 none, that its last workgroup does where rows are few
	 * (tail.glsl): a NORM; of LINEAR, or the routes of one or two mixtures. Those have
	 * `tailed`.
	 */
	uint32_t tail[2];
	bool tailed;
	struct weir_op op, next;
};

/* One set of rotary frequencies. */
struct weir_vk_angles {
	struct weir_op op; /* the first op that asked for it */
	weir_buffer *factors;
	uint32_t half;
	float *frequency; /* [half] */
	float *table;     /* mapped: [max_tokens][half][2] */
};

struct weir_vk_bucket {
	uint32_t tokens, out, pieces, chunks; /* chunks 0: attention does not split */
	uint64_t last_used;
	/* A long step is several submits: segment k is steps first[k] .. first[k + 1]. Recorded
	 * when it is first needed, while the device does the ones before it. */
	uint32_t n_segments, n_recorded, first[WEIR_VK_MAX_SEGMENTS + 1];
	VkCommandBuffer commands[WEIR_VK_MAX_SEGMENTS];
	uint32_t n_dispatches; /* of the recorded ones */
};

struct weir_program {
	struct weir_vk *vk;
	uint32_t n_temps, n_steps, n_angles, n_caches, n_ops;
	uint32_t max_tokens, max_rows, max_out;
	uint32_t max_temps, n_types;
	uint32_t n_vocab, n_positions; /* smallest tables of EMBED by token, by position; 0: none */
	uint32_t piece_tokens, max_group; /* attention */
	uint64_t partial_bytes;           /* of one token and chunk, the largest op's */
	struct weir_vk_temp *temps;
	struct weir_vk_step *steps;
	struct weir_vk_angles angles[WEIR_VK_MAX_ANGLES];
	weir_buffer **caches;
	struct weir_vk_memory arena, outputs, batch, blocks, partial;
	struct weir_vk_memory counters; /* of a product's columns; zero between dispatches */
	bool outputs_in_place;          /* shaders write to `outputs` themselves */
	struct weir_vk_batch *header;
	uint32_t *token, *pos, *row, *slot, *first, *kv_len, *out_row, *adapter, *type; /* mapped */
	struct weir_vk_piece *pieces;
	struct weir_vk_bucket buckets[WEIR_VK_MAX_BUCKETS];
	uint32_t n_buckets;
	uint64_t n_runs;
	/* The step under way: its bucket, how many segments were submitted, the timeline's value
	 * after each. */
	bool running;
	struct weir_vk_bucket *bucket;
	uint32_t n_submitted;
	uint64_t done_at[WEIR_VK_MAX_SEGMENTS];
};

/* bucket.c: the bucket like `want`, cut into segments; made when there is none yet. [step] */
struct weir_vk_bucket *weir_vk_bucket_of(weir_program *p, const struct weir_vk_bucket *want);
/* record.c: records the bucket's next segment. [step] */
weir_status weir_vk_record(weir_program *p, struct weir_vk_bucket *bucket, struct weir_error *err);
/* Compiles the pipelines that buckets of the program can need: see weir_vk_pipeline_want().
 * [worker] */
weir_status weir_vk_prepare(weir_program *p, struct weir_error *err);
/* Forgets all command buffers: an address in them has changed. */
void weir_vk_forget(weir_program *p);

/* How many columns of one attention op share a workgroup, by its heads' size. */
uint32_t weir_vk_attention_tile(const struct weir_op *op);

#endif
