/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.c - encodes text around its special tokens and joins pieces to text; see tokenizer.h.
 *
 * Pure functions of an immutable vocabulary; any thread. One struct encoding holds all that a call
 * to weir_vocab_encode() allocates.
 */
#include "fail.h"
#include "vocab-internal.h"

#include <stdlib.h>
#include <string.h>

#include <weir/tokenizer.h>

/* The core's flags are handed through. */
WEIR_STATIC_ASSERT((int)WEIR_VOCAB_ADD_SPECIAL == (int)WEIR_ENCODE_ADD_SPECIAL, "flag");
WEIR_STATIC_ASSERT((int)WEIR_VOCAB_PARSE_SPECIAL == (int)WEIR_ENCODE_PARSE_SPECIAL, "flag");
WEIR_STATIC_ASSERT((int)WEIR_VOCAB_PIECE_SPECIAL == (int)WEIR_PIECE_SPECIAL, "flag");
WEIR_STATIC_ASSERT((int)WEIR_VOCAB_PIECE_FIRST == (int)WEIR_PIECE_FIRST, "flag");

enum {
	MAX_TEXT = 64 << 20,
	N_KNOWN_WORDS = 4096,
	WORTH_KNOWING = 512, /* bytes of text from which on words are remembered */
};

/* ---- what the encoders append ---- */

bool encoding_push(struct encoding *e, int32_t token)
{
	if (e->n == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 64;
		int32_t *bigger = realloc(e->tokens, cap * sizeof(*bigger));

		if (!bigger)
			return false;
		e->tokens = bigger;
		e->cap = cap;
	}
	e->tokens[e->n++] = token;
	return true;
}

bool encoding_push_unknown(struct encoding *e, size_t n_bytes)
{
	if (e->vocab->unk >= 0)
		return encoding_push(e, e->vocab->unk);
	e->n_lost += n_bytes;
	return true;
}

bool encoding_push_byte(struct encoding *e, unsigned char byte)
{
	int32_t token = e->vocab->byte_tokens[byte];

	return token >= 0 ? encoding_push(e, token) : encoding_push_unknown(e, 1);
}

static struct known_word *word_slot(struct encoding *e, const char *word, size_t len)
{
	uint32_t h = 2166136261u; /* FNV-1a; a collision costs nothing but the memory of a word */

	if (!e->words || len > sizeof(e->words->text))
		return NULL;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)word[i]) * 16777619u;
	return &e->words[(h ^ h >> 16) % N_KNOWN_WORDS];
}

bool encoding_recall(struct encoding *e, const char *word, size_t len, bool *ret_known)
{
	const struct known_word *w = word_slot(e, word, len);

	*ret_known = w && w->n > 0 && w->len == len && memcmp(w->text, word, len) == 0;
	if (*ret_known)
		for (uint32_t i = 0; i < w->n; i++)
			if (!encoding_push(e, e->tokens[w->at + i]))
				return false;
	return true;
}

void encoding_remember(struct encoding *e, const char *word, size_t len, size_t at)
{
	struct known_word *w = word_slot(e, word, len);

	/* Where bytes got lost the count has to go on. */
	if (!w || e->n_lost > 0 || at > UINT32_MAX)
		return;
	memcpy(w->text, word, len);
	w->len = (uint8_t)len;
	w->n = (uint8_t)(e->n - at); /* at most len, three times at most for spaces: fits */
	w->at = (uint32_t)at;
}

/* ---- special tokens in text ---- */

struct scan {
	const struct weir_vocab *vocab;
	struct weir_str text;
	uint32_t flags;
	const struct weir_vocab_span *plain; /* those that end behind the place of the scan */
	size_t n_plain;
};

static bool allowed(const struct scan *s, const struct vocab_token *t, size_t at, size_t len)
{
	if (!t->is_guarded)
		return true;
	return (s->flags & WEIR_VOCAB_PARSE_SPECIAL) &&
	       !(s->n_plain > 0 && s->plain[0].begin < at + len);
}

/* The byte of special token i at depth, or -1 where it has ended. */
static int byte_at(const struct weir_vocab *v, size_t i, size_t depth)
{
	const struct weir_str *text = &v->tokens[v->specials[i]].text;

	return depth < text->len ? (unsigned char)text->data[depth] : -1;
}

/* The first of specials [low, high) whose byte at depth is not below `byte`. */
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

/* The longest special token at a place, or -1: narrows the sorted list byte by byte. */
static int32_t special_at(const struct scan *s, size_t at)
{
	const struct weir_vocab *v = s->vocab;
	unsigned first = (unsigned char)s->text.data[at];
	size_t low = v->special_first[first], high = v->special_first[first + 1];
	int32_t found = -1;

	for (size_t depth = 1; low < high; depth++) {
		int byte;

		/* Those that end here come first, and all have the same text. */
		for (; low < high && byte_at(v, low, depth) < 0; low++)
			if (allowed(s, &v->tokens[v->specials[low]], at, depth) &&
			    (found < 0 || v->tokens[found].text.len < depth))
				found = v->specials[low];
		if (at + depth >= s->text.len)
			break;
		byte = (unsigned char)s->text.data[at + depth];
		low = lower_bound(v, low, high, depth, byte);
		high = lower_bound(v, low, high, depth, byte + 1);
	}
	return found;
}

static bool encode_between(struct encoding *e, const struct scan *s, size_t from, size_t to)
{
	struct weir_str text = { s->text.data + from, to - from };

	if (from == to)
		return true;
	switch (e->vocab->model) {
	case VOCAB_SPM:
		return vocab_encode_spm(e, text);
	case VOCAB_BPE:
		return vocab_encode_bpe(e, text);
	case VOCAB_WORDPIECE:
		return vocab_encode_wordpiece(e, text);
	case VOCAB_UNIGRAM:
		return vocab_encode_unigram(e, text);
	}
	return false;
}

static bool encode_all(struct encoding *e, struct scan *s)
{
	const struct weir_vocab *v = e->vocab;
	size_t from = 0, at = 0;

	while (at < s->text.len) {
		unsigned first = (unsigned char)s->text.data[at];
		int32_t token = -1;

		while (s->n_plain > 0 && s->plain[0].end <= at) {
			s->plain++;
			s->n_plain--;
		}
		if (v->special_first[first] < v->special_first[first + 1])
			token = special_at(s, at);
		if (token < 0) {
			at++;
			continue;
		}
		if (!encode_between(e, s, from, at) || !encoding_push(e, token))
			return false;
		at += v->tokens[token].text.len;
		from = at;
	}
	return encode_between(e, s, from, at);
}

/* ---- encode ---- */

static weir_status check_spans(struct weir_str text, const struct weir_vocab_span *plain,
			       size_t n_plain, struct weir_error *err)
{
	size_t at = 0;

	for (size_t i = 0; i < n_plain; i++) {
		if (plain[i].begin < at || plain[i].end < plain[i].begin || plain[i].end > text.len)
			return weir_fail(err, WEIR_E_INVALID,
					 "span %zu (bytes %zu to %zu) of a text of %zu bytes is "
					 "out of order",
					 i, plain[i].begin, plain[i].end, text.len);
		at = plain[i].end;
	}
	return WEIR_OK;
}

static bool encode_with_ends(struct encoding *e, struct scan *s)
{
	const struct weir_vocab *v = e->vocab;
	bool bos = (s->flags & WEIR_VOCAB_ADD_SPECIAL) && weir_vocab_adds_bos(v);
	bool eos = (s->flags & WEIR_VOCAB_ADD_SPECIAL) && weir_vocab_adds_eos(v);

	if (bos && !encoding_push(e, v->bos))
		return false;
	if (!encode_all(e, s))
		return false;
	if (bos && e->n > 1 && e->tokens[1] == v->bos) {
		e->n--;
		memmove(e->tokens, e->tokens + 1, e->n * sizeof(*e->tokens));
	}
	if (eos && !(e->n > 0 && e->tokens[e->n - 1] == v->eos))
		return encoding_push(e, v->eos);
	return true;
}

weir_status weir_vocab_encode(const struct weir_vocab *vocab, struct weir_str text, uint32_t flags,
			      const struct weir_vocab_span *plain, size_t n_plain,
			      int32_t **ret_tokens, size_t *ret_n, struct weir_error *err)
{
	struct encoding e = { .vocab = vocab, .no_space = flags & WEIR_VOCAB_NO_SPACE };
	struct scan s = { vocab, text, flags, plain, n_plain };
	weir_status status = check_spans(text, plain, n_plain, err);

	if (status < 0)
		return status;
	if (text.len > MAX_TEXT)
		return weir_fail(err, WEIR_E_OUT_OF_RANGE,
				 "the text has %zu bytes; at most 64 MiB can be encoded at once",
				 text.len);
	if (text.len >= WORTH_KNOWING)
		e.words = calloc(N_KNOWN_WORDS, sizeof(*e.words)); /* works without, too */
	if (!encode_with_ends(&e, &s)) {
		free(e.tokens);
		status = weir_fail(err, WEIR_E_EXHAUSTED, "no memory to encode %zu bytes of text",
				   text.len);
	} else {
		if (e.n == 0) {
			free(e.tokens);
			e.tokens = NULL;
		}
		*ret_tokens = e.tokens;
		*ret_n = e.n;
		if (e.n_lost > 0) {
			status = WEIR_VOCAB_NOTE;
			weir_fail(err, status,
				  "%zu bytes of the text have no token in this vocabulary and "
				  "were left out",
				  e.n_lost);
		}
	}
	merger_free(&e.merger);
	free(e.words);
	free(e.escaped);
	free(e.path);
	return status;
}

/* ---- decode ---- */

static struct weir_str piece_of(const struct weir_vocab *v, int32_t token, uint32_t flags)
{
	const struct vocab_token *t;
	struct weir_str s = { NULL, 0 };

	if (token < 0 || (size_t)token >= v->n_tokens)
		return s;
	t = &v->tokens[token];
	if ((t->type == WEIR_VOCAB_CONTROL || t->type == WEIR_VOCAB_UNKNOWN) &&
	    !(flags & WEIR_VOCAB_PIECE_SPECIAL))
		return s;
	s = t->bytes;
	if ((flags & WEIR_VOCAB_PIECE_FIRST) && v->add_space_prefix && !t->is_special &&
	    t->type != WEIR_VOCAB_BYTE && s.len > 0 && s.data[0] == ' ') {
		s.data++;
		s.len--;
	}
	return s;
}

size_t weir_vocab_piece(const struct weir_vocab *vocab, int32_t token, uint32_t flags, char *out,
			size_t cap)
{
	struct weir_str s = piece_of(vocab, token, flags);
	size_t n = s.len < cap ? s.len : cap;

	if (n > 0)
		memcpy(out, s.data, n);
	return s.len;
}

/* The flags of token i of a sequence: encoding puts its space in front of each stretch of text. */
static uint32_t flags_at(const struct weir_vocab *v, const int32_t *tokens, size_t i,
			 uint32_t flags)
{
	bool first = i == 0 || (tokens[i - 1] >= 0 && (size_t)tokens[i - 1] < v->n_tokens &&
				v->tokens[tokens[i - 1]].is_special);

	return first ? flags | WEIR_VOCAB_PIECE_FIRST : flags & ~(uint32_t)WEIR_VOCAB_PIECE_FIRST;
}

weir_status weir_vocab_decode(const struct weir_vocab *vocab, const int32_t *tokens, size_t n,
			      uint32_t flags, char **ret_text, size_t *ret_len,
			      struct weir_error *err)
{
	size_t len = 0, at = 0;
	char *text;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(
			    len, piece_of(vocab, tokens[i], flags_at(vocab, tokens, i, flags)).len,
			    &len) ||
		    len == SIZE_MAX)
			return weir_fail(err, WEIR_E_OUT_OF_RANGE, "the text is too long");
	text = malloc(len + 1);
	if (!text)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for %zu bytes of text", len);
	for (size_t i = 0; i < n; i++) {
		struct weir_str s = piece_of(vocab, tokens[i], flags_at(vocab, tokens, i, flags));

		if (s.len > 0)
			memcpy(text + at, s.data, s.len);
		at += s.len;
	}
	text[at] = '\0';
	*ret_text = text;
	*ret_len = len;
	return WEIR_OK;
}
