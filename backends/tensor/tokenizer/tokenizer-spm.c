/* SPDX-License-Identifier: MIT */
/*
 * tokenizer-spm.c - SentencePiece BPE ("llama"): runes joined by the score of what they become.
 *
 * Called by vocab.c and tokenizer.c. A joined pair must itself be a piece of the vocabulary; the
 * highest score goes first, then the leftmost. Runes that are no piece become byte tokens.
 */
#include "fail.h"
#include "unicode-tables.h"
#include "vocab-internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACE_LEN 3 /* of SPM_SPACE */

/* Can a space stand behind something else within a piece? If not, words never join. */
static bool joins_words(struct weir_str piece)
{
	size_t at = 0;

	while (at + SPACE_LEN <= piece.len && memcmp(piece.data + at, SPM_SPACE, SPACE_LEN) == 0)
		at += SPACE_LEN;
	return piece.len > at && memmem(piece.data + at, piece.len - at, SPM_SPACE, SPACE_LEN);
}

weir_status vocab_load_spm(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err)
{
	struct weir_gguf_array scores;
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

		t->score = weir_gguf_array_f32(&scores, i) + 0.0f; /* no -0 */
		if (isnan(t->score))
			return weir_fail(err, WEIR_E_INVALID,
					 "%s: the score of token %zu is not a number",
					 weir_gguf_path(g), i);
		if (t->type == WEIR_VOCAB_NORMAL ||
		    (t->type == WEIR_VOCAB_USER_DEFINED && !t->is_guarded)) {
			t->piece = t->text;
			if (t->piece.len > 0)
				weir_name_map_add(&v->piece_map, (uint32_t)i);
			if (joins_words(t->piece))
				v->words_apart = false;
		}
	}
	return WEIR_OK;
}

static int32_t find_piece(const struct weir_vocab *v, const char *p, size_t len)
{
	uint32_t i = weir_name_map_find(&v->piece_map, p, len);

	return i == WEIR_NAME_MAP_NONE ? -1 : (int32_t)i;
}

/* A higher score is a smaller key. Floats order like their bits once the sign is taken care of. */
static uint32_t key_of_score(float score)
{
	uint32_t bits;

	memcpy(&bits, &score, 4);
	return bits >> 31 ? bits : ~(bits | 0x80000000u);
}

struct word {
	const struct weir_vocab *vocab;
	const char *text;
};

static bool join(const void *user, const struct merge_node *left, const struct merge_node *right,
		 uint32_t *ret_key, int32_t *ret_token)
{
	const struct word *w = user;
	int32_t token = find_piece(w->vocab, w->text + left->start, left->len + right->len);

	if (token < 0)
		return false;
	*ret_key = key_of_score(w->vocab->tokens[token].score);
	*ret_token = token;
	return true;
}

static bool push_symbol(struct encoding *e, const struct merge_node *node, const char *text)
{
	if (node->token >= 0)
		return encoding_push(e, node->token);
	if (e->vocab->byte_tokens[(unsigned char)text[node->start]] < 0)
		return encoding_push_unknown(e, node->len);
	for (uint32_t i = 0; i < node->len; i++)
		if (!encoding_push_byte(e, (unsigned char)text[node->start + i]))
			return false;
	return true;
}

static bool encode_word(struct encoding *e, const char *text, size_t len)
{
	struct word w = { e->vocab, text };
	struct merger *m = &e->merger;
	size_t before = e->n, rune_len;
	bool known;

	if (!encoding_recall(e, text, len, &known))
		return false;
	if (known)
		return true;
	merger_clear(m);
	for (size_t at = 0; at < len; at += rune_len) {
		weir_rune_at(text + at, text + len, &rune_len);
		if (!merger_add(m, (uint32_t)at, (uint32_t)rune_len,
				find_piece(e->vocab, text + at, rune_len)))
			return false;
	}
	if (!merger_run(m, join, &w))
		return false;
	for (int32_t i = 0; i >= 0; i = m->nodes[i].next)
		if (!push_symbol(e, &m->nodes[i], text))
			return false;
	encoding_remember(e, text, len, before);
	return true;
}

/* Every space as SPM_SPACE, and one in front when the model wants it. */
static bool escape(struct encoding *e, struct weir_str text, size_t *ret_len)
{
	bool space = e->vocab->add_space_prefix && !e->no_space;
	size_t n_spaces = space, at = 0, len;

	for (size_t i = 0; i < text.len; i++)
		n_spaces += text.data[i] == ' ';
	len = text.len + n_spaces * SPACE_LEN; /* a few too many */
	if (len > e->escaped_cap) {
		char *bigger = realloc(e->escaped, len);

		if (!bigger)
			return false;
		e->escaped = bigger;
		e->escaped_cap = len;
	}
	if (space) {
		memcpy(e->escaped, SPM_SPACE, SPACE_LEN);
		at = SPACE_LEN;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == ' ') {
			memcpy(e->escaped + at, SPM_SPACE, SPACE_LEN);
			at += SPACE_LEN;
		} else {
			e->escaped[at++] = text.data[i];
		}
	}
	*ret_len = at;
	return true;
}

/* The end of the word at p: its spaces, and what follows up to the next space. */
static const char *word_end(const char *p, const char *end)
{
	const char *space;

	while (end - p >= SPACE_LEN && memcmp(p, SPM_SPACE, SPACE_LEN) == 0)
		p += SPACE_LEN;
	space = memmem(p, (size_t)(end - p), SPM_SPACE, SPACE_LEN);
	return space ? space : end;
}

bool vocab_encode_spm(struct encoding *e, struct weir_str text)
{
	const char *p, *end, *next;
	size_t len;

	if (!escape(e, text, &len))
		return false;
	p = e->escaped;
	end = p + len;
	for (; p < end; p = next) {
		next = e->vocab->words_apart ? word_end(p, end) : end;
		if (!encode_word(e, p, (size_t)(next - p)))
			return false;
	}
	return true;
}
