/* SPDX-License-Identifier: MIT */
/*
 * vocab.c - loads the tokenizer of a GGUF file and answers questions about its tokens.
 *
 * Load runs on the thread that loads a model; the questions on any. Everything is copied out of
 * the file, so that a vocabulary may outlive it.
 */
#include "charsmap.h"
#include "fail.h"
#include "vocab-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts that end a turn or an answer whatever the file says of them. In order of preference for
 * eot, as far as is_turn says. */
static const struct {
	const char *text;
	bool is_turn;
} ends[] = {
	{ "<|eot_id|>", true },
	{ "<|im_end|>", true },
	{ "<|end|>", true },
	{ "<end_of_turn>", true },
	{ "<turn|>", true },
	{ "<|EOT|>", true },
	{ "<|end_of_turn|>", true },
	{ "<|return|>", false },
	{ "<|call|>", false },
	{ "<|endoftext|>", false },
	{ "<|eom_id|>", false },
	{ "<|end_of_text|>", false },
	{ "<EOT>", false },
	{ "_<EOT>", false },
	{ "\xe2\x96\x81<EOT>", false },
	{ "[EOT]", false },
	{ "[EOS]", false },
	{ "<eos>", false },
	{ "</s>", false },
	{ "<end_of_utterance>", false },
	{ "<\xef\xbd\x9c"
	  "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
	  false },
};

static bool equals(struct weir_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool wrapped(struct weir_str s, const char *first, const char *last)
{
	size_t a = strlen(first), b = strlen(last);

	return s.len > a + b && memcmp(s.data, first, a) == 0 &&
	       memcmp(s.data + s.len - b, last, b) == 0;
}

static bool is_end_text(struct weir_str s)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (equals(s, ends[i].text))
			return true;
	return false;
}

/* <|so|>, also with the full-width bars of some models: nothing that a person writes by chance. */
static bool is_marker(struct weir_str s)
{
	return wrapped(s, "<|", "|>") || wrapped(s, "<\xef\xbd\x9c", "\xef\xbd\x9c>");
}

/* "<0x0A>", or -1. */
static int byte_of_text(struct weir_str s)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *high, *low;

	if (s.len != 6 || memcmp(s.data, "<0x", 3) != 0 || s.data[5] != '>')
		return -1;
	high = memchr(digits, s.data[3], 16);
	low = memchr(digits, s.data[4], 16);
	return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

/* What a token stands for, appended to the arena. */
static void decode_token(struct weir_vocab *v, struct vocab_token *t, char **arena)
{
	int byte = t->type == WEIR_VOCAB_BYTE ? byte_of_text(t->text) : -1;
	bool plain = t->type == WEIR_VOCAB_NORMAL || t->type == WEIR_VOCAB_UNUSED;
	bool in_alphabet;
	size_t n = 0;

	t->bytes = t->text;
	if (byte >= 0) {
		**arena = (char)byte;
		t->bytes = (struct weir_str){ *arena, 1 };
		*arena += 1;
	} else if (v->model == VOCAB_BPE) {
		in_alphabet = vocab_bpe_bytes(t->text, *arena, &n);
		t->piece = (struct weir_str){ *arena, in_alphabet ? n : 0 };
		if (plain && in_alphabet)
			t->bytes = t->piece;
		*arena += t->piece.len;
	} else if (plain) {
		for (size_t i = 0; i < t->text.len; i++, n++) {
			if (t->text.len - i >= 3 && memcmp(t->text.data + i, SPM_SPACE, 3) == 0) {
				(*arena)[n] = ' ';
				i += 2;
			} else {
				(*arena)[n] = t->text.data[i];
			}
		}
		t->bytes = (struct weir_str){ *arena, n };
		*arena += n;
	}
}

static void classify(struct vocab_token *t, int64_t type)
{
	t->type = type >= WEIR_VOCAB_NORMAL && type <= WEIR_VOCAB_BYTE ? (uint8_t)type
								       : WEIR_VOCAB_NORMAL;
	/* Some files have their end tokens as normal ones; no text may produce them by merging. */
	if (t->type == WEIR_VOCAB_NORMAL && is_end_text(t->text) &&
	    (is_marker(t->text) || equals(t->text, "\xe2\x96\x81<EOT>")))
		t->type = WEIR_VOCAB_CONTROL;
	t->is_guarded = t->type == WEIR_VOCAB_CONTROL || t->type == WEIR_VOCAB_UNKNOWN ||
			(t->type == WEIR_VOCAB_USER_DEFINED && is_marker(t->text));
	t->is_special = (t->is_guarded || t->type == WEIR_VOCAB_USER_DEFINED) && t->text.len > 0;
	t->is_end = t->is_special && is_end_text(t->text);
}

static weir_status load_tokens(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err)
{
	struct weir_gguf_array texts, types = { 0 };
	bool typed = weir_gguf_has(g, "tokenizer.ggml.token_type");
	size_t total = 1;
	char *arena;
	weir_status status = weir_gguf_get_array(g, "tokenizer.ggml.tokens",
						 WEIR_GGUF_ARRAY_OF_STRINGS, &texts, err);

	if (status == WEIR_OK && typed)
		status = weir_gguf_get_array(g, "tokenizer.ggml.token_type",
					     WEIR_GGUF_ARRAY_OF_INTEGERS, &types, err);
	if (status < 0)
		return status;
	if (texts.n == 0 || texts.n > INT32_MAX)
		return weir_fail(err, WEIR_E_INVALID, "%s: tokenizer.ggml.tokens has %llu items",
				 weir_gguf_path(g), (unsigned long long)texts.n);
	if (typed && types.n != texts.n)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: tokenizer.ggml.token_type has %llu items for %llu tokens",
				 weir_gguf_path(g), (unsigned long long)types.n,
				 (unsigned long long)texts.n);
	for (uint64_t i = 0; i < texts.n; i++)
		total += weir_gguf_array_string(&texts, i).len * 2; /* of a map: cannot overflow */
	v->n_tokens = (size_t)texts.n;
	v->tokens = calloc(v->n_tokens, sizeof(*v->tokens));
	v->arena = arena = malloc(total);
	if (!v->tokens || !arena ||
	    !weir_name_map_init(&v->piece_map, v->tokens, sizeof(*v->tokens), v->n_tokens) ||
	    !weir_name_map_init(&v->text_map,
				(char *)v->tokens + offsetof(struct vocab_token, text),
				sizeof(*v->tokens), v->n_tokens))
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for %zu tokens",
				 weir_gguf_path(g), v->n_tokens);
	vocab_load_fim_ids(v, g);
	for (size_t i = 0; i < v->n_tokens; i++) {
		struct vocab_token *t = &v->tokens[i];
		struct weir_str s = weir_gguf_array_string(&texts, i);
		int byte;

		if (s.len > 0)
			memcpy(arena, s.data, s.len);
		t->text = (struct weir_str){ arena, s.len };
		arena += s.len;
		classify(t, vocab_take_fim(v, (int32_t)i, t->text) ? WEIR_VOCAB_CONTROL
			    : typed                                ? weir_gguf_array_i64(&types, i)
								   : WEIR_VOCAB_NORMAL);
		decode_token(v, t, &arena);
		weir_name_map_add(&v->text_map, (uint32_t)i);
		byte = t->type == WEIR_VOCAB_BYTE ? byte_of_text(t->text) : -1;
		if (byte >= 0 && v->byte_tokens[byte] < 0)
			v->byte_tokens[byte] = (int32_t)i;
	}
	return WEIR_OK;
}

struct special {
	const struct vocab_token *token;
	int32_t id;
};

static int by_text(const void *a, const void *b)
{
	const struct weir_str *s = &((const struct special *)a)->token->text;
	const struct weir_str *t = &((const struct special *)b)->token->text;
	int order = memcmp(s->data, t->data, s->len < t->len ? s->len : t->len);

	if (order == 0)
		order = (s->len > t->len) - (s->len < t->len);
	if (order == 0) /* of two tokens of one text the first is found */
		order = (((const struct special *)a)->id > ((const struct special *)b)->id) * 2 - 1;
	return order;
}

/* The sorted list in which tokenizer.c looks for the longest token at a place. */
static weir_status index_specials(struct weir_vocab *v, struct weir_error *err)
{
	struct special *list;
	size_t n = 0;

	for (size_t i = 0; i < v->n_tokens; i++)
		n += v->tokens[i].is_special;
	list = calloc(n + 1, sizeof(*list));
	v->specials = calloc(n + 1, sizeof(*v->specials));
	if (!list || !v->specials) {
		free(list);
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for %zu special tokens", n);
	}
	for (size_t i = 0; i < v->n_tokens; i++)
		if (v->tokens[i].is_special)
			list[v->n_specials++] = (struct special){ &v->tokens[i], (int32_t)i };
	qsort(list, n, sizeof(*list), by_text);
	for (size_t i = 0; i < n; i++) {
		v->specials[i] = list[i].id;
		v->special_first[(unsigned char)list[i].token->text.data[0] + 1]++;
	}
	for (unsigned b = 0; b < 256; b++)
		v->special_first[b + 1] += v->special_first[b];
	free(list);
	return WEIR_OK;
}

/* An id from the file; `otherwise` when it says nothing or no token of this vocabulary. */
static int32_t load_id(const struct weir_vocab *v, const struct weir_gguf *g, const char *name,
		       int32_t otherwise)
{
	char key[64];
	int64_t id;

	snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", name);
	if (weir_gguf_i64(g, key, &id, NULL) == WEIR_OK && id >= 0 && (uint64_t)id < v->n_tokens)
		return (int32_t)id;
	return (size_t)otherwise < v->n_tokens ? otherwise : -1;
}

static void mark_end(struct weir_vocab *v, int32_t token)
{
	if (token >= 0)
		v->tokens[token].is_end = true;
}

static int32_t find_text(const struct weir_vocab *v, const char *text)
{
	return weir_vocab_find(v, (struct weir_str){ text, strlen(text) });
}

static void load_ids(struct weir_vocab *v, const struct weir_gguf *g)
{
	/* SentencePiece's, BERT's and T5's own defaults; byte-level BPE has none. */
	static const struct {
		int32_t unk, bos, eos, sep, pad;
	} defaults[] = {
		[VOCAB_SPM] = { 0, 1, 2, -1, -1 },
		[VOCAB_BPE] = { -1, -1, -1, -1, -1 },
		[VOCAB_WORDPIECE] = { 100, 101, -1, 102, 0 },
		[VOCAB_UNIGRAM] = { 2, -1, 1, -1, 0 },
	};
	int32_t token;

	v->unk = load_id(v, g, "unknown", defaults[v->model].unk);
	v->bos = load_id(v, g, "bos", defaults[v->model].bos);
	v->eos = load_id(v, g, "eos", defaults[v->model].eos);
	v->sep = load_id(v, g, "seperator", defaults[v->model].sep);
	if (v->model == VOCAB_WORDPIECE) {
		v->bos = load_id(v, g, "cls", v->bos);
		/* What a text ends with. */
		v->eos = v->sep;
	}
	v->eot = load_id(v, g, "eot", -1);
	v->eom = load_id(v, g, "eom", -1);
	v->pad = load_id(v, g, "padding", defaults[v->model].pad);
	for (size_t i = 0; v->eot < 0 && i < sizeof(ends) / sizeof(ends[0]); i++) {
		token = ends[i].is_turn ? find_text(v, ends[i].text) : -1;
		if (token >= 0 && v->tokens[token].is_special)
			v->eot = token;
	}
	/* The "harmony" format ends a message within an answer with <|end|>, and goes on. */
	token = find_text(v, "<|end|>");
	if (token >= 0 && find_text(v, "<|return|>") >= 0 && find_text(v, "<|call|>") >= 0) {
		v->tokens[token].is_end = false;
		if (v->eot == token)
			v->eot = -1;
	}
	mark_end(v, v->eos);
	mark_end(v, v->eot);
	mark_end(v, v->eom);
	/* No model goes on behind these. */
	mark_end(v, v->fim[VOCAB_FIM_PAD]);
	mark_end(v, v->fim[VOCAB_FIM_REP]);
	mark_end(v, v->fim[VOCAB_FIM_SEP]);
}

static void load_flags(struct weir_vocab *v, const struct weir_gguf *g)
{
	bool wordpiece = v->model == VOCAB_WORDPIECE;

	v->add_bos = wordpiece || v->model == VOCAB_SPM ||
		     (v->model == VOCAB_BPE && weir_pretokenizer_adds_bos(v->pre));
	v->add_eos = wordpiece || v->model == VOCAB_UNIGRAM;
	v->add_space_prefix = v->model != VOCAB_BPE;
	v->joins_spaces = true;
	weir_gguf_boolean(g, "tokenizer.ggml.add_bos_token", &v->add_bos, NULL);
	weir_gguf_boolean(
		g, wordpiece ? "tokenizer.ggml.add_sep_token" : "tokenizer.ggml.add_eos_token",
		&v->add_eos, NULL);
	weir_gguf_boolean(g, "tokenizer.ggml.remove_extra_whitespaces", &v->joins_spaces, NULL);
	if (v->model == VOCAB_SPM || v->model == VOCAB_UNIGRAM)
		weir_gguf_boolean(g, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix, NULL);
}

static weir_status choose_model(const struct weir_gguf *g, enum vocab_model *ret,
				struct weir_error *err)
{
	static const char *const names[] = { [VOCAB_SPM] = "llama",
					     [VOCAB_BPE] = "gpt2",
					     [VOCAB_WORDPIECE] = "bert",
					     [VOCAB_UNIGRAM] = "t5" };
	struct weir_str name;
	weir_status status = weir_gguf_string(g, "tokenizer.ggml.model", &name, err);

	if (status < 0)
		return status;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (equals(name, names[i])) {
			*ret = (enum vocab_model)i;
			return WEIR_OK;
		}
	return weir_fail(err, WEIR_E_UNSUPPORTED,
			 "%s: the tokenizer '%s'%s is not supported; llama, gpt2, bert and t5 are",
			 weir_gguf_path(g), weir_quote(name).text,
			 equals(name, "none") ? ": the file comes without one" : "");
}

static weir_status load_model(struct weir_vocab *v, const struct weir_gguf *g,
			      struct weir_error *err)
{
	switch (v->model) {
	case VOCAB_SPM:
		return vocab_load_spm(v, g, err);
	case VOCAB_BPE:
		return vocab_load_bpe(v, g, err);
	case VOCAB_WORDPIECE:
		return vocab_load_wordpiece(v, g, err);
	case VOCAB_UNIGRAM:
		return vocab_load_unigram(v, g, err);
	}
	return WEIR_E_INTERNAL;
}

weir_status weir_vocab_load(const struct weir_gguf *gguf, struct weir_vocab **ret,
			    struct weir_error *err)
{
	struct weir_vocab *v;
	enum vocab_model model = VOCAB_SPM;
	weir_status status = choose_model(gguf, &model, err), note;

	if (status < 0)
		return status;
	v = calloc(1, sizeof(*v));
	if (!v)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a vocabulary");
	v->model = model;
	for (unsigned i = 0; i < 256; i++)
		v->byte_tokens[i] = -1;
	status = load_tokens(v, gguf, err);
	if (status == WEIR_OK)
		status = index_specials(v, err);
	if (status < 0)
		goto fail;
	note = load_model(v, gguf, err);
	if (note < 0) {
		status = note;
		goto fail;
	}
	load_ids(v, gguf);
	load_flags(v, gguf);
	*ret = v;
	return note;
fail:
	weir_vocab_free(v);
	return status;
}

void weir_vocab_free(struct weir_vocab *vocab)
{
	if (!vocab)
		return;
	weir_name_map_clear(&vocab->text_map);
	weir_name_map_clear(&vocab->piece_map);
	free(vocab->tokens);
	free(vocab->arena);
	free(vocab->specials);
	free(vocab->merges);
	free(vocab->pieces);
	weir_charsmap_free(vocab->charsmap);
	free(vocab);
}

static const struct vocab_token *token_at(const struct weir_vocab *v, int32_t token)
{
	return token >= 0 && (size_t)token < v->n_tokens ? &v->tokens[token] : NULL;
}

size_t weir_vocab_n_tokens(const struct weir_vocab *vocab)
{
	return vocab->n_tokens;
}

int32_t weir_vocab_bos(const struct weir_vocab *vocab)
{
	return vocab->bos;
}

int32_t weir_vocab_eos(const struct weir_vocab *vocab)
{
	return vocab->eos;
}

int32_t weir_vocab_eot(const struct weir_vocab *vocab)
{
	return vocab->eot;
}

int32_t weir_vocab_eom(const struct weir_vocab *vocab)
{
	return vocab->eom;
}

int32_t weir_vocab_unk(const struct weir_vocab *vocab)
{
	return vocab->unk;
}

int32_t weir_vocab_sep(const struct weir_vocab *vocab)
{
	return vocab->sep;
}

int32_t weir_vocab_pad(const struct weir_vocab *vocab)
{
	return vocab->pad;
}

bool weir_vocab_adds_bos(const struct weir_vocab *vocab)
{
	return vocab->add_bos && vocab->bos >= 0;
}

bool weir_vocab_adds_eos(const struct weir_vocab *vocab)
{
	return vocab->add_eos && vocab->eos >= 0;
}

enum weir_vocab_token_type weir_vocab_token_type(const struct weir_vocab *vocab, int32_t token)
{
	const struct vocab_token *t = token_at(vocab, token);

	return t ? (enum weir_vocab_token_type)t->type : (enum weir_vocab_token_type)0;
}

float weir_vocab_token_score(const struct weir_vocab *vocab, int32_t token)
{
	const struct vocab_token *t = token_at(vocab, token);

	return t ? t->score : 0;
}

struct weir_str weir_vocab_token_text(const struct weir_vocab *vocab, int32_t token)
{
	const struct vocab_token *t = token_at(vocab, token);

	return t ? t->text : (struct weir_str){ NULL, 0 };
}

int32_t weir_vocab_find(const struct weir_vocab *vocab, struct weir_str text)
{
	uint32_t i = weir_name_map_find(&vocab->text_map, text.data, text.len);

	return i == WEIR_NAME_MAP_NONE ? -1 : (int32_t)i;
}

bool weir_vocab_is_end(const struct weir_vocab *vocab, int32_t token)
{
	const struct vocab_token *t = token_at(vocab, token);

	return t && t->is_end;
}

bool weir_vocab_is_text(const struct weir_vocab *vocab, int32_t token)
{
	const struct vocab_token *t = token_at(vocab, token);

	return t && !t->is_guarded && !t->is_end && t->type != WEIR_VOCAB_UNUSED;
}

const char *weir_vocab_model(const struct weir_vocab *vocab)
{
	switch (vocab->model) {
	case VOCAB_SPM:
		return "llama";
	case VOCAB_BPE:
		return "gpt2";
	case VOCAB_WORDPIECE:
		return "bert";
	case VOCAB_UNIGRAM:
		return "t5";
	}
	return "";
}

const char *weir_vocab_pre(const struct weir_vocab *vocab)
{
	return vocab->pre_name;
}
