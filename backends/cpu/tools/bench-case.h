/* SPDX-License-Identifier: MIT */
/*
 * bench-case.h - one thing that `weir bench model` measures, and what the machine allows. [main]
 */
#ifndef WEIR_CPU_BENCH_CASE_H
#define WEIR_CPU_BENCH_CASE_H

#include "ceilings.h"
#include "session.h"

enum { BENCH_MAX_REPEATS = 64, BENCH_MAX_CASES = 24, BENCH_BATCH = 512 };

/* What a step must read and compute at least, from the file's header. */
struct bench_cost {
	double bytes, expert_bytes;         /* of weights; experts apart */
	double expert_share;                /* of the experts that one token uses */
	double int8, bf16, f32;             /* weights of matrices that a token meets, by unit */
	double out_int8, out_bf16, out_f32; /* those of the logits, for outputs only */
	double kv_bytes, attention;         /* of one position: bytes; operations of a query */
};

weir_status bench_cost_read(const char *path, const struct weir_model *model,
			    struct bench_cost *ret, struct weir_error *err);

struct bench_case {
	bool prefill;
	uint32_t n_rows;                 /* sequences together; 1 for a prompt */
	uint32_t depth;                  /* positions that are in the cache already */
	uint32_t n_tokens;               /* of each sequence */
	double rate[BENCH_MAX_REPEATS];  /* tokens a second, over all sequences */
	double limit[BENCH_MAX_REPEATS]; /* with the read rate of that moment; 0: not known */
	bool by_memory;                  /* the limit is reading; else arithmetic */
};

struct bench_rig {
	struct session *session;
	int32_t *tokens;  /* [n_ctx + 1] */
	uint32_t *blocks; /* 0, 1, 2 ... */
	uint32_t n_ctx;
	int32_t *drawn; /* [max_rows] */
	struct weir_row *rows;
};

weir_status bench_rig_init(struct bench_rig *rig, struct session *s, uint32_t n_ctx,
			   uint32_t max_rows, struct weir_error *err);
void bench_rig_clear(struct bench_rig *rig);

/* Blocks of the cache that the case needs. */
uint32_t bench_case_blocks(const struct bench_case *c, uint32_t block_tokens);

/* One run: *ret_seconds. CANCELLED after ctrl-C. */
weir_status bench_case_run(struct bench_rig *rig, const struct bench_case *c, double *ret_seconds,
			   struct weir_error *err);

/* Tokens a second that the machine allows; 0: its arithmetic is not known. */
double bench_case_limit(const struct bench_case *c, const struct bench_cost *cost,
			const struct ceilings *ceilings, bool *ret_by_memory);

#endif
