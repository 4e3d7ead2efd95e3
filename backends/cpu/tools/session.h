/* SPDX-License-Identifier: MIT */
/*
 * session.h - a model on the CPU device inside of a command, without a server; or only the plan of
 * one: the same code lists weights, caches and programs, on a device that counts and takes no
 * memory for them.
 *
 * Everything on main. A session that was planned can tell its plan and nothing else.
 */
#ifndef WEIR_CPU_SESSION_H
#define WEIR_CPU_SESSION_H

#include <weir/backend.h>
#include <weir/tokenizer.h>

#include "cpu.h"
#include "tool.h"

struct session_wish {
	const char *path;
	uint32_t n_ctx;         /* 0: the model's */
	uint32_t max_sequences; /* at least 1 */
	uint32_t max_tokens;    /* of a step */
	uint32_t guesses;       /* of a step; a server's profile says 32 unless told otherwise */
	uint32_t n_threads;     /* 0: all cores */
	const char *kv_type;    /* NULL: f16 */
	uint64_t kv_memory;     /* 0: not set */
	uint64_t memory_free;   /* what the plan takes for free; 0: what the machine has free */
	bool plan;
	bool quiet; /* no warnings */
};

/* Bytes that the device takes (or would). */
struct session_bytes {
	uint64_t matrices; /* in the kernels' own layout, padding included */
	uint64_t vectors;  /* norms, biases: F32 */
	uint64_t tables;   /* rows of embeddings, where no matrix has them */
	uint64_t kv;       /* K and V, all blocks */
	uint64_t arena;    /* temporaries of the compiled program(s) */
	uint64_t program;  /* its own lists */
};

struct session;

weir_status session_new(const struct tool *tool, const struct session_wish *wish,
			struct session **ret, struct weir_error *err);
void session_free(struct session *s); /* NULL is fine */

const struct weir_model *session_model(const struct session *s);
const struct session_bytes *session_bytes_of(const struct session *s);
struct weir_instance *session_instance(struct session *s);
const struct weir_tokenizer *session_tokenizer(const struct session *s);
struct weir_cpu *session_cpu(const struct session *s);
/* What the machine has free, as the device reports it; before or after loading. */
uint64_t session_memory_free(const struct session *s);

/* As weir_backend_step.step. */
weir_status session_step(struct session *s, const struct weir_batch *batch, struct weir_step *ret,
			 struct weir_error *err);

/* One sequence, whose blocks are the cache's in order: tokens at positions pos .., of which the
 * last n_last get logits: *ret_logits, [n_last][n_vocab], until the next step of this session. n at
 * most max_tokens, n_last at most SESSION_OUTPUTS with guesses = SESSION_OUTPUTS - 1 and one
 * sequence, n_last 0: none. */
#define SESSION_OUTPUTS 128u
weir_status session_score(struct session *s, const int32_t *tokens, uint32_t n, uint32_t pos,
			  uint32_t n_last, const float **ret_logits, struct weir_error *err);

#endif
