/* SPDX-License-Identifier: MIT */
/*
 * tokenizer-unigram.c - SentencePiece unigram ("t5"): the most likely way to cut a text into
 * pieces.
 *
 * Called by vocab.c and tokenizer.c. Text is first normalised by the file's table
 * (charsmap.c), spaces are joined, and written as U+2581; then the path of the highest sum of
 * scores is found by dynamic programming (Kudo 2018), word by word where no piece crosses words.
 * Runes without a piece cost ten more than the worst piece, and a run of them is one unknown token,
 * or byte tokens where the vocabulary has these.
 */
#include "charsmap.h"
#include "fail.h"
#include "unicode-tables.h"
#include "vocab-internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	SPACE_LEN = 3,   /* of SPM_SPACE */
	MAX_GROWTH = 32, /* bytes of normalised text for each one of text: NFKC needs 11 */
};

#define UNKNOWN_PENALTY 10.0f

weir_status vocab_load_unigram(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err)
{
	struct weir_gguf_array scores, map;
	float least = FLT_MAX;
	weir_status status = weir_gguf_get_array(g, "tokenizer.ggml.scores",
						 WEIR_GGUF_ARRAY_OF_FLOATS, &scores, err);

	if (status < 0)
		return status;
	if (scores.n != v->n_tokens)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: tokenizer.ggml.scores has %llu items for %zu tokens",
				 weir_gguf_path(g), (unsigned long long)scores.n, v->n_tokens);
	v->words_apart = true;
	for (size_t i = 0; i < v->n_tokens; i++) {
		struct vocab_token *t = &v->tokens[i];

		t->score = weir_gguf_array_f32(&scores, i);
		if (!isfinite(t->score))
			return weir_fail(err, WEIR_E_INVALID,
					 "%s: the score of token %zu is not a finite number",
					 weir_gguf_path(g), i);
		if (t->type != WEIR_VOCAB_NORMAL || t->text.len == 0)
			continue;
		t->piece = t->text;
		least = t->score < least ? t->score : least;
		/* A space behind the first byte: that piece joins words. */
		if (t->piece.len > SPACE_LEN &&
		    memmem(t->piece.data + 1, t->piece.len - 1, SPM_SPACE, SPACE_LEN))
			v->words_apart = false;
	}
	v->unknown_score = (least == FLT_MAX ? 0 : least) - UNKNOWN_PENALTY;
	if (weir_gguf_has(g, "tokenizer.ggml.precompiled_charsmap")) {
		status = weir_gguf_get_array(g, "tokenizer.ggml.precompiled_charsmap",
					     WEIR_GGUF_ARRAY_OF_INTEGERS, &map, err);
		if (status == WEIR_OK)
			status = weir_charsmap_load(&map, &v->charsmap, err);
		if (status < 0) {
			weir_fail_prefix(err, weir_gguf_path(g));
			return status;
		}
	}
	return vocab_index_pieces(v, g, err);
}

/* ---- normalising ---- */

struct normal {
	struct encoding *e;
	size_t len, limit;
	bool squeeze; /* a space came last, or nothing yet: no other one may follow */
	bool pending; /* a space is due before the next rune */
};

static bool put(struct normal *n, const char *p, size_t len)
{
	struct encoding *e = n->e;

	if (len > n->limit - n->len)
		return false;
	if (n->len + len > e->escaped_cap) {
		size_t cap = (n->len + len) * 2;
		char *bigger = realloc(e->escaped, cap);

		if (!bigger)
			return false;
		e->escaped = bigger;
		e->escaped_cap = cap;
	}
	memcpy(e->escaped + n->len, p, len);
	n->len += len;
	return true;
}

/* Normalised text, its spaces still spaces. With remove_extra_whitespaces a space is written only
 * when something follows it. */
static bool put_text(struct normal *n, const char *p, size_t len)
{
	bool joins = n->e->vocab->joins_spaces;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == ' ' && joins) {
			n->pending |= !n->squeeze;
			n->squeeze = true;
			continue;
		}
		if (n->pending && !put(n, SPM_SPACE, SPACE_LEN))
			return false;
		n->pending = n->squeeze = false;
		if (!(p[i] == ' ' ? put(n, SPM_SPACE, SPACE_LEN) : put(n, p + i, 1)))
			return false;
	}
	return true;
}

static bool normalise(struct encoding *e, struct weir_str text, size_t *ret_len)
{
	const struct weir_vocab *v = e->vocab;
	struct normal n = { .e = e, .limit = (text.len + 64) * MAX_GROWTH };
	const char *p = text.data, *end = p + text.len;

	/* The space in front is due like any other, so that none follows it. */
	n.squeeze = v->joins_spaces;
	n.pending = v->add_space_prefix;
	while (p < end) {
		struct weir_str out;
		size_t len = weir_charsmap_match(v->charsmap, p, (size_t)(end - p), &out);

		if (len == 0) {
			out = (struct weir_str){ p, 0 };
			if (weir_rune_at(p, end, &out.len) == WEIR_RUNE_INVALID)
				out = (struct weir_str){ "\xef\xbf\xbd", 3 };
			weir_rune_at(p, end, &len);
		}
		if (!put_text(&n, out.data, out.len))
			return false;
		p += len;
	}
	*ret_len = n.len;
	return true;
}

/* ---- the best path ---- */

static bool reserve_path(struct encoding *e, size_t n)
{
	struct path_node *bigger;

	if (n <= e->path_cap)
		return true;
	n += n / 4;
	bigger = realloc(e->path, n * sizeof(*bigger));
	if (!bigger)
		return false;
	e->path = bigger;
	e->path_cap = n;
	return true;
}

static void offer(struct path_node *to, size_t from, int32_t token, float score)
{
	if (to->from != PATH_NONE && score <= to->score)
		return;
	*to = (struct path_node){ .from = (uint32_t)from, .token = token, .score = score };
}

/* A run of unknown runes is one token, also across words; byte tokens stand one by one. */
static bool push_piece(struct encoding *e, const char *text, const struct path_node *node,
		       size_t end, bool *last_unknown)
{
	bool unknown = node->token < 0;

	if (!unknown) {
		*last_unknown = false;
		return encoding_push(e, node->token);
	}
	if (e->vocab->byte_tokens[(unsigned char)text[node->from]] >= 0) {
		for (size_t i = node->from; i < end; i++)
			if (!encoding_push_byte(e, (unsigned char)text[i]))
				return false;
		return true;
	}
	if (*last_unknown && e->vocab->unk >= 0)
		return true;
	*last_unknown = true;
	return encoding_push_unknown(e, end - node->from);
}

static bool encode_word(struct encoding *e, const char *text, size_t len, bool *last_unknown)
{
	const struct weir_vocab *v = e->vocab;
	size_t rune_len, at, next;

	if (len >= PATH_NONE || !reserve_path(e, len + 1))
		return false;
	for (size_t i = 0; i <= len; i++)
		e->path[i].from = PATH_NONE;
	e->path[0] = (struct path_node){ .from = 0 };
	for (at = 0; at < len; at += rune_len) {
		float so_far = e->path[at].score;
		struct piece_walk walk;
		bool single = false;
		int32_t token;
		size_t n;

		weir_rune_at(text + at, text + len, &rune_len);
		piece_walk_begin(&walk, v, text + at, len - at);
		while ((token = piece_walk_next(&walk, &n)) >= 0) {
			offer(&e->path[at + n], at, token, so_far + v->tokens[token].score);
			single |= n == rune_len;
		}
		if (!single)
			offer(&e->path[at + rune_len], at, -1, so_far + v->unknown_score);
	}
	/* Backwards: each node on the best path learns where the next one ends. */
	for (at = len, next = 0; at > 0; at = e->path[at].from) {
		e->path[at].next = (uint32_t)next;
		next = at;
	}
	for (at = next; at > 0; at = e->path[at].next)
		if (!push_piece(e, text, &e->path[at], at, last_unknown))
			return false;
	return true;
}

bool vocab_encode_unigram(struct encoding *e, struct weir_str text)
{
	const char *p, *end, *next;
	bool last_unknown = false;
	size_t len;

	if (!normalise(e, text, &len))
		return false;
	p = e->escaped;
	end = p + len;
	for (; p < end; p = next) {
		next = end;
		if (e->vocab->words_apart && end - p > SPACE_LEN) {
			next = memmem(p + 1, (size_t)(end - p - 1), SPM_SPACE, SPACE_LEN);
			next = next ? next : end;
		}
		if (!encode_word(e, p, (size_t)(next - p), &last_unknown))
			return false;
	}
	return true;
}
