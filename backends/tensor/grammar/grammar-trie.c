/*
 * grammar-trie.c - see grammar-trie.h. Tokens are sorted by their bytes; each then adds to the path
 * of the one before what they do not have in common.
 */
#include "grammar-trie.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

struct word {
	const uint8_t *text;
	uint64_t key; /* the first eight bytes, big endian */
	uint32_t len;
	int32_t token;
};

static int compare(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	uint32_t n = x->len < y->len ? x->len : y->len;
	int c;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	c = memcmp(x->text, y->text, n);
	if (c != 0)
		return c;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->token < y->token ? -1 : 1;
}

static uint64_t key_of(const uint8_t *text, uint32_t len)
{
	uint64_t key = 0;

	for (uint32_t i = 0; i < 8; i++)
		key = key << 8 | (i < len ? text[i] : 0);
	return key;
}

static bool read_pieces(const struct weir_grammar_source *src, struct weir_trie *t)
{
	size_t cap = (size_t)src->n_vocab * 8 + WEIR_TRIE_DEPTH + 1, at = 0;

	t->text = malloc(cap);
	t->offset = calloc((size_t)src->n_vocab + 1, sizeof(*t->offset));
	t->ends = calloc((size_t)src->n_vocab + 1, sizeof(*t->ends));
	if (!t->text || !t->offset || !t->ends)
		return false;
	for (uint32_t i = 0; i < src->n_vocab; i++) {
		size_t n = 0;

		t->offset[i] = (uint32_t)at;
		if (src->is_end(src->ctx, (int32_t)i))
			t->ends[t->n_ends++] = (int32_t)i;
		else
			n = src->piece(src->ctx, (int32_t)i, t->text + at, WEIR_TRIE_DEPTH);
		if (n > 0 && n <= WEIR_TRIE_DEPTH) {
			at += n;
			t->n_tokens++;
		}
		if (cap - at <= WEIR_TRIE_DEPTH) {
			char *more = at > UINT32_MAX / 4 ? NULL : realloc(t->text, cap * 2);

			if (!more)
				return false;
			t->text = more;
			cap *= 2;
		}
	}
	t->offset[src->n_vocab] = (uint32_t)at;
	return true;
}

static struct word *sorted_words(const struct weir_trie *t)
{
	struct word *words = calloc((size_t)t->n_tokens + 1, sizeof(*words));
	uint32_t n = 0;

	for (uint32_t i = 0; words && i < t->n_vocab; i++) {
		const uint8_t *text = (const uint8_t *)t->text + t->offset[i];
		uint32_t len = t->offset[i + 1] - t->offset[i];

		if (len > 0)
			words[n++] = (struct word){ text, key_of(text, len), len, (int32_t)i };
	}
	if (n > 1)
		qsort(words, n, sizeof(*words), compare);
	return words;
}

static uint32_t in_common(const struct word *a, const struct word *b)
{
	uint32_t n = a->len < b->len ? a->len : b->len, i = 0;

	while (i < n && a->text[i] == b->text[i])
		i++;
	return i;
}

static bool build(struct weir_trie *t, const struct word *words)
{
	uint32_t path[WEIR_TRIE_DEPTH + 1] = { 0 }, depth = 0;
	uint64_t total = 1;

	for (uint32_t i = 0; i < t->n_tokens; i++)
		total += words[i].len - (i > 0 ? in_common(&words[i - 1], &words[i]) : 0);
	if (total >= UINT32_MAX)
		return false;
	t->nodes = calloc(total, sizeof(*t->nodes));
	t->same = calloc((size_t)t->n_vocab + 1, sizeof(*t->same));
	if (!t->nodes || !t->same)
		return false;
	memset(t->same, 0xff, t->n_vocab * sizeof(*t->same));
	t->n_nodes = 1;
	t->nodes[0].token = -1;
	for (uint32_t i = 0; i < t->n_tokens; i++) {
		const struct word *w = &words[i];
		uint32_t keep = i > 0 ? in_common(w - 1, w) : 0;

		for (; depth > keep; depth--)
			t->nodes[path[depth]].end = t->n_nodes;
		while (depth < w->len) {
			t->nodes[t->n_nodes] = (struct weir_trie_node){
				.token = -1, .depth = (uint16_t)(depth + 1), .byte = w->text[depth]
			};
			path[++depth] = t->n_nodes++;
		}
		t->longest = w->len > t->longest ? w->len : t->longest;
		t->same[w->token] = t->nodes[path[depth]].token;
		t->nodes[path[depth]].token = w->token;
	}
	for (; depth > 0; depth--)
		t->nodes[path[depth]].end = t->n_nodes;
	t->nodes[0].end = t->n_nodes;
	return true;
}

weir_status weir_trie_new(const struct weir_grammar_source *src, struct weir_trie **ret,
			  struct weir_error *err)
{
	struct weir_trie *t = calloc(1, sizeof(*t));
	struct word *words = NULL;
	bool ok;

	if (!t)
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	t->n_vocab = src->n_vocab;
	t->n_words = (src->n_vocab + 31) / 32;
	ok = read_pieces(src, t) && (words = sorted_words(t)) && build(t, words);
	free(words);
	if (!ok) {
		weir_trie_free(t);
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	}
	*ret = t;
	return WEIR_OK;
}

void weir_trie_free(struct weir_trie *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t->same);
	free(t->offset);
	free(t->text);
	free(t->ends);
	free(t);
}
