/* SPDX-License-Identifier: MIT */
/*
 * tokenizer-wordpiece.c - WordPiece ("bert"): words cut greedily into the longest pieces.
 *
 * Called by vocab.c and tokenizer.c. GGUF writes a piece that begins a word with U+2581 in front
 * and one that continues a word without BERT's "##". Text is cleaned as BERT's own tokenizer does
 * (Devlin et al. 2018): control characters go, each CJK character and each punctuation mark is a
 * word of its own; models without capitals in their vocabulary get lower case without accents. A
 * word that cannot be spelled, or is longer than 100 characters, becomes one unknown token.
 */
#include "fail.h"
#include "unicode-tables.h"
#include "vocab-internal.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

enum {
	MAX_WORD = 100,      /* runes */
	MAX_DECOMPOSED = 18, /* G_UNICHAR_MAX_DECOMPOSITION_LENGTH */
	SPACE_LEN = 3,       /* of SPM_SPACE */
};

WEIR_STATIC_ASSERT(G_UNICHAR_MAX_DECOMPOSITION_LENGTH == MAX_DECOMPOSED, "room");

static bool has_capital(struct weir_str piece)
{
	for (size_t i = 0; i < piece.len; i++)
		if (piece.data[i] >= 'A' && piece.data[i] <= 'Z')
			return true;
	return false;
}

/* "[CLS]", "[unused7]": files give these a type, but not always the right one. */
static bool is_bracketed(struct weir_str s)
{
	return s.len > 2 && s.data[0] == '[' && s.data[s.len - 1] == ']';
}

weir_status vocab_load_wordpiece(struct weir_vocab *v, const struct weir_gguf *g,
				 struct weir_error *err)
{
	v->keeps_case = false;
	for (size_t i = 0; i < v->n_tokens; i++) {
		struct vocab_token *t = &v->tokens[i];

		if (t->type != WEIR_VOCAB_NORMAL || is_bracketed(t->text))
			continue;
		t->piece = t->text;
		v->keeps_case |= has_capital(t->piece);
	}
	return vocab_index_pieces(v, g, err);
}

/* A word being gathered: SPM_SPACE and its runes. */
struct word {
	struct encoding *e;
	char text[SPACE_LEN + 4 * MAX_WORD];
	size_t len, n_runes;
};

static bool end_word(struct word *w)
{
	struct encoding *e = w->e;
	size_t before = e->n, at = 0, len = w->len;
	bool known;

	if (w->n_runes == 0)
		return true;
	w->len = SPACE_LEN;
	if (w->n_runes > MAX_WORD) {
		w->n_runes = 0;
		return encoding_push_unknown(e, len - SPACE_LEN);
	}
	w->n_runes = 0;
	if (!encoding_recall(e, w->text, len, &known))
		return false;
	if (known)
		return true;
	while (at < len) {
		struct piece_walk walk;
		int32_t token, longest = -1;
		size_t n, longest_len = 0;

		piece_walk_begin(&walk, e->vocab, w->text + at, len - at);
		while ((token = piece_walk_next(&walk, &n)) >= 0) {
			longest = token;
			longest_len = n;
		}
		if (longest < 0) {
			e->n = before;
			return encoding_push_unknown(e, len - SPACE_LEN);
		}
		if (!encoding_push(e, longest))
			return false;
		at += longest_len;
	}
	encoding_remember(e, w->text, len, before);
	return true;
}

static bool is_ascii_punct(gunichar r)
{
	return (r >= 33 && r <= 47) || (r >= 58 && r <= 64) || (r >= 91 && r <= 96) ||
	       (r >= 123 && r <= 126);
}

static bool is_word_by_itself(gunichar r)
{
	return is_ascii_punct(r) || weir_rune_class(r) == WEIR_RUNE_PUNCT;
}

static bool is_cjk(gunichar r)
{
	return (r >= 0x4e00 && r <= 0x9fff) || (r >= 0x3400 && r <= 0x4dbf) ||
	       (r >= 0x20000 && r <= 0x2a6df) || (r >= 0x2a700 && r <= 0x2b73f) ||
	       (r >= 0x2b740 && r <= 0x2b81f) || (r >= 0x2b820 && r <= 0x2ceaf) ||
	       (r >= 0xf900 && r <= 0xfaff) || (r >= 0x2f800 && r <= 0x2fa1f);
}

/* Cc, Cf, Cn, Co, but for the three that count as space. */
static bool is_dropped(gunichar r)
{
	if (r == '\t' || r == '\n' || r == '\r')
		return false;
	switch (g_unichar_type(r)) {
	case G_UNICODE_CONTROL:
	case G_UNICODE_FORMAT:
	case G_UNICODE_UNASSIGNED:
	case G_UNICODE_PRIVATE_USE:
	case G_UNICODE_SURROGATE:
		return true;
	default:
		return r == 0xfffd;
	}
}

static bool add_rune(struct word *w, gunichar r)
{
	bool alone = is_word_by_itself(r);

	if (alone && !end_word(w))
		return false;
	if (w->n_runes < MAX_WORD)
		w->len += (size_t)g_unichar_to_utf8(r, w->text + w->len);
	w->n_runes++;
	return !alone || end_word(w);
}

/* GLib knows the lower case of letters only: these are numbers and symbols. */
static gunichar to_lower(gunichar r)
{
	if (r >= 0x2160 && r <= 0x216f) /* Roman numerals */
		return r + 16;
	if (r >= 0x24b6 && r <= 0x24cf) /* letters in circles */
		return r + 26;
	return g_unichar_tolower(r);
}

/* Canonically decomposed, without marks, in lower case. */
static bool add_folded(struct word *w, gunichar r)
{
	gunichar parts[MAX_DECOMPOSED];
	gsize n = r < 0x80 ? 1 : g_unichar_fully_decompose(r, FALSE, parts, MAX_DECOMPOSED);

	if (r < 0x80)
		parts[0] = r;
	for (gsize i = 0; i < n; i++)
		if (g_unichar_type(parts[i]) != G_UNICODE_NON_SPACING_MARK &&
		    !add_rune(w, to_lower(parts[i])))
			return false;
	return true;
}

bool vocab_encode_wordpiece(struct encoding *e, struct weir_str text)
{
	struct word w = { .e = e, .len = SPACE_LEN };
	const char *end = text.data + text.len;
	size_t len;

	memcpy(w.text, SPM_SPACE, SPACE_LEN);
	for (const char *p = text.data; p < end; p += len) {
		uint32_t r = weir_rune_at(p, end, &len);
		bool alone;

		if (r == WEIR_RUNE_INVALID || is_dropped(r))
			continue;
		if (weir_rune_is_space(r)) {
			if (!end_word(&w))
				return false;
			continue;
		}
		alone = is_cjk(r);
		if ((alone && !end_word(&w)) ||
		    !(e->vocab->keeps_case ? add_rune(&w, r) : add_folded(&w, r)) ||
		    (alone && !end_word(&w)))
			return false;
	}
	return end_word(&w);
}
