/*
 * grammar-walk.c - see grammar-walk.h.
 */
#include "grammar-walk.h"
#include "gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t piece(const void *ctx, int32_t token, char *out, size_t cap)
{
	return weir_vocab_is_text(ctx, token) ? weir_vocab_piece(ctx, token, 0, out, cap) : 0;
}

static bool is_end(const void *ctx, int32_t token)
{
	return weir_vocab_is_end(ctx, token);
}

void walk_open(struct walk_vocab *v, const char *path)
{
	struct weir_error err = { 0 };
	struct weir_gguf *file = NULL;
	weir_status s = weir_gguf_open(path, &file, &err);

	if (s >= 0)
		s = weir_vocab_load(file, &v->vocab, &err);
	weir_gguf_close(file);
	if (s < 0) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		exit(1);
	}
	v->source = (struct weir_grammar_source){ (uint32_t)weir_vocab_n_tokens(v->vocab), piece,
						  is_end, v->vocab };
	v->end = -1;
	memset(v->byte, 0xff, sizeof(v->byte));
	for (int32_t i = (int32_t)v->source.n_vocab - 1; i >= 0; i--) {
		char text[4];

		if (is_end(v->vocab, i))
			v->end = i;
		else if (piece(v->vocab, i, text, sizeof(text)) == 1)
			v->byte[(uint8_t)text[0]] = i;
	}
}

void walk_close(struct walk_vocab *v)
{
	weir_vocab_free(v->vocab);
}

uint64_t walk_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1du >> 16;
}

static bool has(const uint32_t *mask, int32_t token)
{
	return token >= 0 && (mask[token / 32] >> (token % 32) & 1);
}

/* What to take to come to an end: within a string of JSON anything but the quote goes on, elsewhere
 * brackets close, and of what remains short tokens that open nothing are best. */
static int32_t closing_one(const struct walk_vocab *v, const uint32_t *mask)
{
	static const char order[] = "}])\"0.";
	bool inside = has(mask, v->byte['{']) && has(mask, v->byte['}']) && has(mask, v->byte[',']);

	if (has(mask, v->end))
		return v->end;
	if (inside && has(mask, v->byte['"']))
		return v->byte['"'];
	for (const char *c = order; *c; c++)
		if (has(mask, v->byte[(uint8_t)*c]))
			return v->byte[(uint8_t)*c];
	return -1;
}

int32_t walk_pick(const struct walk_vocab *v, const uint32_t *mask, uint64_t *seed, bool closing)
{
	uint32_t n_words = (v->source.n_vocab + 31) / 32, n = 0, at;
	int32_t best = -1;

	for (uint32_t i = 0; i < n_words; i++)
		n += (uint32_t)__builtin_popcount(mask[i]);
	if (n == 0)
		return -1;
	/* Ends are few among many: without help, texts would hardly ever be over. */
	if (has(mask, v->end) && walk_random(seed) % 4 == 0)
		return v->end;
	if (closing && walk_random(seed) % 8 > 0)
		best = closing_one(v, mask);
	if (best >= 0)
		return best;
	at = (uint32_t)(walk_random(seed) % n);
	for (uint32_t i = 0; i < n_words; i++) {
		uint32_t w = mask[i], in_word = (uint32_t)__builtin_popcount(w);

		if (at >= in_word) {
			at -= in_word;
			continue;
		}
		for (; at > 0; at--)
			w &= w - 1;
		return (int32_t)(i * 32 + (uint32_t)__builtin_ctz(w));
	}
	return -1;
}
