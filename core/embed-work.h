/*
 * core/embed-work.h - the texts of a request for vectors, as tokens, and how far it has come.
 *
 * Built on a worker (scheduler-embed.c), then the scheduler thread's own. Always: n_done <= n_taken
 * <= n_texts; texts are taken and done in order.
 */
#ifndef WEIR_CORE_EMBED_WORK_H
#define WEIR_CORE_EMBED_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct weir_embed_work {
	uint32_t n_texts, n_taken, n_done;
	GArray *tokens; /* int32_t, of all texts */
	GArray *first;  /* uint32_t, n_texts + 1: where each begins, and the end */
	/* Rerank: one score for each document. */
	bool is_rerank;
	bool has_query; /* text 0 is the query, the documents are held against its vector */
	float *query;
	GArray *scores; /* float */
};

struct weir_embed_work *weir_embed_work_new(void);
void weir_embed_work_free(struct weir_embed_work *); /* NULL: nothing */
/* Appends a text. */
void weir_embed_work_add(struct weir_embed_work *, const int32_t *tokens, uint32_t n);
const int32_t *weir_embed_work_text(const struct weir_embed_work *, uint32_t text, uint32_t *ret_n);

#endif
