/* SPDX-License-Identifier: MIT */
/*
 * piece-index.c - the vocabulary's pieces in order of their bytes, for finding all that begin at a
 * place. Called by tokenizer-wordpiece.c and tokenizer-unigram.c; made at load, then constant.
 *
 * A walk narrows the sorted list byte by byte and ends where no piece goes on, so it costs no more
 * than the longest piece that the text spells.
 */
#include "fail.h"
#include "vocab-internal.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct weir_str piece;
	int32_t token;
};

static int by_piece(const void *a, const void *b)
{
	const struct entry *s = a, *t = b;
	size_t n = s->piece.len < t->piece.len ? s->piece.len : t->piece.len;
	int order = memcmp(s->piece.data, t->piece.data, n);

	if (order == 0)
		order = (s->piece.len > t->piece.len) - (s->piece.len < t->piece.len);
	return order ? order : (s->token > t->token) - (s->token < t->token);
}

weir_status vocab_index_pieces(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err)
{
	struct entry *list = calloc(v->n_tokens + 1, sizeof(*list));
	size_t n = 0;

	v->pieces = calloc(v->n_tokens + 1, sizeof(*v->pieces));
	if (!list || !v->pieces) {
		free(list);
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for %zu pieces",
				 weir_gguf_path(g), v->n_tokens);
	}
	for (size_t i = 0; i < v->n_tokens; i++) {
		struct weir_str piece = v->tokens[i].piece;

		if (piece.len > VOCAB_MAX_PIECE) {
			free(list);
			return weir_fail(err, WEIR_E_INVALID,
					 "%s: token %zu is %zu bytes long; pieces of this kind "
					 "of tokenizer have at most %d",
					 weir_gguf_path(g), i, piece.len, VOCAB_MAX_PIECE);
		}
		if (piece.len > 0)
			list[n++] = (struct entry){ piece, (int32_t)i };
	}
	qsort(list, n, sizeof(*list), by_piece);
	for (size_t i = 0; i < n; i++) {
		v->pieces[i] = list[i].token;
		v->piece_first[(unsigned char)list[i].piece.data[0] + 1]++;
	}
	for (unsigned b = 0; b < 256; b++)
		v->piece_first[b + 1] += v->piece_first[b];
	v->n_pieces = n;
	free(list);
	return WEIR_OK;
}

/* The byte of piece i at depth, or -1 where it has ended. */
static int byte_at(const struct weir_vocab *v, size_t i, size_t depth)
{
	const struct weir_str *piece = &v->tokens[v->pieces[i]].piece;

	return depth < piece->len ? (unsigned char)piece->data[depth] : -1;
}

static size_t lower_bound(const struct weir_vocab *v, size_t low, size_t high, size_t depth,
			  int byte)
{
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (byte_at(v, middle, depth) < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void piece_walk_begin(struct piece_walk *w, const struct weir_vocab *v, const char *p, size_t len)
{
	unsigned first = len > 0 ? (unsigned char)*p : 0;

	*w = (struct piece_walk){ .vocab = v, .p = p, .len = len, .depth = 1 };
	if (len > 0) {
		w->low = v->piece_first[first];
		w->high = v->piece_first[first + 1];
	}
}

int32_t piece_walk_next(struct piece_walk *w, size_t *ret_len)
{
	const struct weir_vocab *v = w->vocab;

	while (w->low < w->high) {
		size_t depth = w->depth++;
		int32_t found = -1;

		/* Those that end here come first; of equal ones the first counts. */
		if (byte_at(v, w->low, depth) < 0) {
			found = v->pieces[w->low];
			w->low = lower_bound(v, w->low, w->high, depth, 0);
		}
		if (depth < w->len) {
			int byte = (unsigned char)w->p[depth];

			w->low = lower_bound(v, w->low, w->high, depth, byte);
			w->high = lower_bound(v, w->low, w->high, depth, byte + 1);
		} else {
			w->high = w->low;
		}
		if (found >= 0) {
			*ret_len = depth;
			return found;
		}
	}
	return -1;
}
