/* SPDX-License-Identifier: MIT */
/*
 * tokenizer-bpe.c - byte-level BPE ("gpt2"): bytes joined by the rank of their merge, within words.
 *
 * Called by vocab.c and tokenizer.c. The file writes bytes in GPT-2's alphabet of printable runes;
 * here tokens are bytes and merges are pairs of token ids, so encoding touches no strings.
 */
#include "fail.h"
#include "unicode-tables.h"
#include "vocab-internal.h"

#include <stdlib.h>
#include <string.h>

/* GPT-2's alphabet: printable Latin-1 stands for itself, U+0100.. for the other bytes in order. */
static int byte_of_rune(uint32_t rune)
{
	if ((rune >= 0x21 && rune <= 0x7e) || (rune >= 0xa1 && rune <= 0xac) ||
	    (rune >= 0xae && rune <= 0xff))
		return (int)rune;
	if (rune < 0x100 || rune > 0x143)
		return -1;
	rune -= 0x100;
	return (int)(rune <= 0x20 ? rune : rune <= 0x42 ? rune - 0x21 + 0x7f : 0xad);
}

bool vocab_bpe_bytes(struct weir_str text, char *out, size_t *ret_len)
{
	size_t n = 0, len;

	for (size_t at = 0; at < text.len; at += len) {
		int byte = byte_of_rune(weir_rune_at(text.data + at, text.data + text.len, &len));

		if (byte < 0)
			return false;
		out[n++] = (char)byte;
	}
	*ret_len = n;
	return true;
}

static size_t merge_slot(const struct weir_vocab *v, uint64_t pair)
{
	/* A finaliser in the manner of MurmurHash3, keyed: the pairs come out of a file. */
	uint64_t h = (pair ^ v->merge_seed) * 0xff51afd7ed558ccdu;
	size_t at;

	h = (h ^ h >> 32) * (v->merge_seed | 1);
	at = (size_t)(h >> 29) & v->merge_mask;
	while (v->merges[at].rank != MERGE_NONE && v->merges[at].pair != pair)
		at = (at + 1) & v->merge_mask;
	return at;
}

static bool join(const void *user, const struct merge_node *left, const struct merge_node *right,
		 uint32_t *ret_key, int32_t *ret_token)
{
	const struct weir_vocab *v = user;
	const struct vocab_merge *merge;

	if (left->token < 0 || right->token < 0)
		return false;
	merge = &v->merges[merge_slot(v, (uint64_t)left->token << 32 | (uint32_t)right->token)];
	*ret_key = merge->rank;
	*ret_token = merge->token;
	return merge->rank != MERGE_NONE;
}

static uint32_t find_piece(const struct weir_vocab *v, struct weir_str s, char *scratch)
{
	size_t len;

	if (!vocab_bpe_bytes(s, scratch, &len))
		return WEIR_NAME_MAP_NONE;
	return weir_name_map_find(&v->piece_map, scratch, len);
}

/* "left right" as token ids. False: one of the three is no token. */
static bool parse_merge(const struct weir_vocab *v, struct weir_str s, char *scratch,
			uint64_t *ret_pair, int32_t *ret_token)
{
	const char *space = s.len > 1 ? memchr(s.data + 1, ' ', s.len - 1) : NULL;
	uint32_t left, right, token;
	size_t n_left, n_right;

	if (!space)
		return false;
	n_left = (size_t)(space - s.data);
	n_right = s.len - n_left - 1;
	left = find_piece(v, (struct weir_str){ s.data, n_left }, scratch);
	right = find_piece(v, (struct weir_str){ space + 1, n_right }, scratch);
	if (left == WEIR_NAME_MAP_NONE || right == WEIR_NAME_MAP_NONE)
		return false;
	memcpy(scratch, v->tokens[left].piece.data, v->tokens[left].piece.len);
	memcpy(scratch + v->tokens[left].piece.len, v->tokens[right].piece.data,
	       v->tokens[right].piece.len);
	token = weir_name_map_find(&v->piece_map, scratch,
				   v->tokens[left].piece.len + v->tokens[right].piece.len);
	if (token == WEIR_NAME_MAP_NONE)
		return false;
	*ret_pair = (uint64_t)left << 32 | right;
	*ret_token = (int32_t)token;
	return true;
}

static weir_status load_merges(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err)
{
	struct weir_gguf_array merges;
	size_t size = 8, n_odd = 0, longest = 1;
	uint64_t key[2];
	char *scratch;
	weir_status status = weir_gguf_get_array(g, "tokenizer.ggml.merges",
						 WEIR_GGUF_ARRAY_OF_STRINGS, &merges, err);

	if (status < 0)
		return status;
	for (uint64_t i = 0; i < merges.n; i++) {
		struct weir_str s = weir_gguf_array_string(&merges, i);

		if (s.len > longest)
			longest = s.len;
	}
	while (size < merges.n * 2)
		size *= 2;
	scratch = malloc(longest);
	v->merges = malloc(size * sizeof(*v->merges));
	if (!scratch || !v->merges || merges.n >= MERGE_NONE) {
		free(scratch);
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for %llu merges",
				 weir_gguf_path(g), (unsigned long long)merges.n);
	}
	for (size_t i = 0; i < size; i++)
		v->merges[i].rank = MERGE_NONE;
	weir_random_key(key);
	v->merge_seed = key[0];
	v->merge_mask = size - 1;
	for (uint64_t i = 0; i < merges.n; i++) {
		struct vocab_merge merge = { .rank = (uint32_t)i };
		struct vocab_merge *slot;

		if (!parse_merge(v, weir_gguf_array_string(&merges, i), scratch, &merge.pair,
				 &merge.token)) {
			n_odd++;
			continue;
		}
		slot = &v->merges[merge_slot(v, merge.pair)];
		if (slot->rank == MERGE_NONE)
			*slot = merge;
	}
	free(scratch);
	if (n_odd == 0)
		return WEIR_OK;
	weir_fail(err, WEIR_VOCAB_NOTE,
		  "%s: %zu of %llu merges name tokens that are not in the vocabulary; they are "
		  "ignored",
		  weir_gguf_path(g), n_odd, (unsigned long long)merges.n);
	return WEIR_VOCAB_NOTE;
}

static weir_status choose_pre(struct weir_vocab *v, const struct weir_gguf *g,
			      struct weir_error *err)
{
	struct weir_str name = { "", 0 };
	bool named = weir_gguf_string(g, "tokenizer.ggml.pre", &name, NULL) == WEIR_OK;

	v->pre = weir_pretokenizer_find(name);
	if (v->pre) {
		memcpy(v->pre_name, name.data, name.len);
		return WEIR_OK;
	}
	v->pre = weir_pretokenizer_fallback();
	if (named)
		weir_fail(err, WEIR_VOCAB_NOTE,
			  "%s: the pre-tokenizer '%s' is not known here; the default stands in, so "
			  "tokens, and answers with them, will be somewhat off",
			  weir_gguf_path(g), weir_quote(name).text);
	else
		weir_fail(err, WEIR_VOCAB_NOTE,
			  "%s: the file names no pre-tokenizer (tokenizer.ggml.pre); the default "
			  "stands in, so tokens, and answers with them, may be somewhat off",
			  weir_gguf_path(g));
	return WEIR_VOCAB_NOTE;
}

weir_status vocab_load_bpe(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err)
{
	weir_status merges, pre;

	/* Normal tokens first: where a user-defined one stands for the same bytes, they win. */
	for (size_t i = 0; i < v->n_tokens; i++)
		if (v->tokens[i].type == WEIR_VOCAB_NORMAL && v->tokens[i].piece.len > 0)
			weir_name_map_add(&v->piece_map, (uint32_t)i);
	for (size_t i = 0; i < v->n_tokens; i++)
		if (v->tokens[i].type == WEIR_VOCAB_USER_DEFINED && !v->tokens[i].is_guarded &&
		    v->tokens[i].piece.len > 1)
			weir_name_map_add(&v->piece_map, (uint32_t)i);
	for (unsigned b = 0; b < 256; b++) {
		char byte = (char)b;
		uint32_t i = weir_name_map_find(&v->piece_map, &byte, 1);

		if (i != WEIR_NAME_MAP_NONE)
			v->byte_tokens[b] = (int32_t)i;
	}
	merges = load_merges(v, g, err);
	if (merges < 0)
		return merges;
	pre = choose_pre(v, g, err);
	return pre != WEIR_OK ? pre : merges;
}

static bool encode_word(void *user, const char *text, size_t len)
{
	struct encoding *e = user;
	const struct weir_vocab *v = e->vocab;
	struct merger *m = &e->merger;
	size_t before = e->n;
	bool known;

	if (!encoding_recall(e, text, len, &known))
		return false;
	if (known)
		return true;
	if (weir_pretokenizer_ignores_merges(v->pre)) {
		uint32_t i = weir_name_map_find(&v->piece_map, text, len);

		if (i != WEIR_NAME_MAP_NONE)
			return encoding_push(e, (int32_t)i);
	}
	merger_clear(m);
	for (size_t i = 0; i < len; i++)
		if (!merger_add(m, (uint32_t)i, 1, v->byte_tokens[(unsigned char)text[i]]))
			return false;
	if (!merger_run(m, join, v))
		return false;
	for (int32_t i = 0; i >= 0; i = m->nodes[i].next) {
		const struct merge_node *node = &m->nodes[i];

		if (!(node->token >= 0 ? encoding_push(e, node->token)
				       : encoding_push_byte(e, (unsigned char)text[node->start])))
			return false;
	}
	encoding_remember(e, text, len, before);
	return true;
}

bool vocab_encode_bpe(struct encoding *e, struct weir_str text)
{
	return weir_pretokenize(e->vocab->pre, text, encode_word, e);
}
