/* SPDX-License-Identifier: MIT */
/*
 * infill.c - prompts of models that were trained to fill a hole in a text (Bavarian et al. 2022).
 *
 * Loading asks which tokens stand around holes, encoding is [any]. Facts: the keys
 * tokenizer.ggml.fim_*_token_id of the GGUF specification, and the names that the models' own
 * papers and cards give their tokens. Prefix, suffix, middle is the order of all but Codestral,
 * which reads the suffix first and has no token for the middle.
 */
#include "fail.h"
#include "vocab-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "\xe2\x96\x81"
#define BAR   "\xef\xbd\x9c"

static const struct {
	enum vocab_fim what;
	const char *text;
} names[] = {
	{ VOCAB_FIM_PRE, "<|fim_prefix|>" }, /* Qwen, CodeGemma */
	{ VOCAB_FIM_SUF, "<|fim_suffix|>" },
	{ VOCAB_FIM_MID, "<|fim_middle|>" },
	{ VOCAB_FIM_PAD, "<|fim_pad|>" },
	{ VOCAB_FIM_REP, "<|repo_name|>" },
	{ VOCAB_FIM_SEP, "<|file_sep|>" },
	{ VOCAB_FIM_REP, "<|fim_repo|>" },
	{ VOCAB_FIM_PRE, "<fim_prefix>" }, /* StarCoder, Granite */
	{ VOCAB_FIM_SUF, "<fim_suffix>" },
	{ VOCAB_FIM_MID, "<fim_middle>" },
	{ VOCAB_FIM_PAD, "<fim_pad>" },
	{ VOCAB_FIM_REP, "<repo_name>" },
	{ VOCAB_FIM_REP, "<reponame>" },
	{ VOCAB_FIM_SEP, "<file_sep>" },
	{ VOCAB_FIM_PRE, "<fim-prefix>" }, /* SantaCoder */
	{ VOCAB_FIM_SUF, "<fim-suffix>" },
	{ VOCAB_FIM_MID, "<fim-middle>" },
	{ VOCAB_FIM_PAD, "<fim-pad>" },
	{ VOCAB_FIM_PRE, "<" BAR "fim" SPACE "begin" BAR ">" }, /* DeepSeek */
	{ VOCAB_FIM_SUF, "<" BAR "fim" SPACE "hole" BAR ">" },
	{ VOCAB_FIM_MID, "<" BAR "fim" SPACE "end" BAR ">" },
	{ VOCAB_FIM_PRE, "<|code_prefix|>" }, /* GLM */
	{ VOCAB_FIM_SUF, "<|code_suffix|>" },
	{ VOCAB_FIM_MID, "<|code_middle|>" },
	{ VOCAB_FIM_PRE, SPACE "<PRE>" }, /* Code Llama */
	{ VOCAB_FIM_SUF, SPACE "<SUF>" },
	{ VOCAB_FIM_MID, SPACE "<MID>" },
	{ VOCAB_FIM_PRE, "<PRE>" },
	{ VOCAB_FIM_SUF, "<SUF>" },
	{ VOCAB_FIM_MID, "<MID>" },
	{ VOCAB_FIM_PRE, "[PREFIX]" }, /* Codestral */
	{ VOCAB_FIM_SUF, "[SUFFIX]" },
	{ VOCAB_FIM_MID, "[MIDDLE]" },
};

static bool is_text(struct weir_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

void vocab_load_fim_ids(struct weir_vocab *v, const struct weir_gguf *g)
{
	/* The second names are those of older files. */
	static const char *const keys[VOCAB_N_FIM][2] = {
		[VOCAB_FIM_PRE] = { "fim_pre", "prefix" },
		[VOCAB_FIM_SUF] = { "fim_suf", "suffix" },
		[VOCAB_FIM_MID] = { "fim_mid", "middle" },
		[VOCAB_FIM_PAD] = { "fim_pad", NULL },
		[VOCAB_FIM_REP] = { "fim_rep", NULL },
		[VOCAB_FIM_SEP] = { "fim_sep", NULL },
	};

	for (int i = 0; i < VOCAB_N_FIM; i++) {
		v->fim[i] = -1;
		for (int k = 0; k < 2 && keys[i][k] && v->fim[i] < 0; k++) {
			char key[64];
			int64_t id;

			snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", keys[i][k]);
			if (weir_gguf_i64(g, key, &id, NULL) == WEIR_OK && id >= 0 &&
			    (uint64_t)id < v->n_tokens)
				v->fim[i] = (int32_t)id;
		}
	}
}

bool vocab_take_fim(struct weir_vocab *v, int32_t token, struct weir_str text)
{
	bool known = false;

	for (int i = 0; i < VOCAB_N_FIM; i++)
		known |= v->fim[i] == token;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!is_text(text, names[i].text))
			continue;
		if (v->fim[names[i].what] < 0)
			v->fim[names[i].what] = token;
		v->suffix_first |= is_text(text, "[SUFFIX]") && v->fim[VOCAB_FIM_SUF] == token;
		return true;
	}
	return known;
}

/* --- encoding ------------------------------------------------------------------------------ */

struct tokens {
	int32_t *at;
	size_t n;
};

static bool push(struct tokens *t, const int32_t *more, size_t n)
{
	int32_t *bigger = realloc(t->at, (t->n + n + 1) * sizeof(*bigger));

	if (!bigger)
		return false;
	if (n > 0)
		memcpy(bigger + t->n, more, n * sizeof(*more));
	t->at = bigger;
	t->n += n;
	return true;
}

static weir_status push_text(const struct weir_vocab *v, struct tokens *t, struct weir_str text,
			     uint32_t flags, struct weir_error *err)
{
	int32_t *more = NULL;
	size_t n = 0;
	weir_status s = weir_vocab_encode(v, text, flags, NULL, 0, &more, &n, err);

	if (s >= 0 && !push(t, more, n))
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a text's tokens");
	free(more);
	return s < 0 ? s : WEIR_OK;
}

/* The other files, each under its name, as the model was trained or else as a person would. */
static weir_status push_files(const struct weir_vocab *v, struct tokens *t,
			      const struct weir_infill *hole, struct weir_error *err)
{
	static const struct weir_str line = { "\n", 1 };
	int32_t sep = v->fim[VOCAB_FIM_SEP];
	weir_status s = WEIR_OK;

	for (uint32_t i = 0; i < hole->n_files && s == WEIR_OK; i++) {
		const struct weir_infill_file *f = &hole->files[i];

		if (sep >= 0 && !push(t, &sep, 1))
			return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a text's tokens");
		s = push_text(v, t, f->name, 0, err);
		if (s == WEIR_OK)
			s = push_text(v, t, line, WEIR_VOCAB_NO_SPACE, err);
		if (s == WEIR_OK)
			s = push_text(v, t, f->text, WEIR_VOCAB_NO_SPACE, err);
		if (s == WEIR_OK)
			s = push_text(v, t, line, WEIR_VOCAB_NO_SPACE, err);
	}
	return s;
}

/* What is farthest from the hole goes: files, then three parts of the text before it to one of the
 * text behind it. */
static void cut(struct tokens *files, struct tokens *prefix, struct tokens *suffix, size_t room)
{
	size_t text = prefix->n + suffix->n, keep, behind;

	if (text + files->n <= room)
		return;
	keep = room > text ? room - text : 0;
	if (files->n > keep)
		memmove(files->at, files->at + files->n - keep, keep * sizeof(*files->at));
	files->n = files->n > keep ? keep : files->n;
	if (text <= room)
		return;
	behind = suffix->n < room / 4 ? suffix->n : room / 4;
	if (prefix->n < room - behind)
		behind = room - prefix->n < suffix->n ? room - prefix->n : suffix->n;
	keep = room - behind < prefix->n ? room - behind : prefix->n;
	if (keep > 0)
		memmove(prefix->at, prefix->at + prefix->n - keep, keep * sizeof(*prefix->at));
	prefix->n = keep;
	suffix->n = behind;
}

weir_status weir_vocab_encode_infill(const struct weir_vocab *v, const struct weir_infill *hole,
				     int32_t *out, size_t cap, size_t *ret_n,
				     struct weir_error *err)
{
	struct tokens part[3] = { { NULL, 0 } }, *files = &part[0], all = { NULL, 0 };
	const struct tokens *second, *third;
	int32_t pre = v->fim[VOCAB_FIM_PRE], suf = v->fim[VOCAB_FIM_SUF];
	int32_t mid = v->fim[VOCAB_FIM_MID], bos = weir_vocab_bos(v);
	bool ok, first = v->suffix_first;
	weir_status s;

	if (pre < 0 || suf < 0 || (mid < 0 && !first))
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "this model was not trained to fill a hole in a text: its "
				 "vocabulary has no tokens for prefix, suffix and middle");
	s = push_files(v, files, hole, err);
	if (s == WEIR_OK)
		s = push_text(v, &part[1], hole->prefix, 0, err);
	if (s == WEIR_OK)
		s = push_text(v, &part[2], hole->suffix, WEIR_VOCAB_NO_SPACE, err);
	if (s < 0)
		goto out;
	if (hole->room > 0)
		cut(files, &part[1], &part[2], hole->room > 4 ? hole->room - 4 : 1);
	second = &part[first ? 2 : 1];
	third = &part[first ? 1 : 2];
	ok = (!weir_vocab_adds_bos(v) || push(&all, &bos, 1)) && push(&all, files->at, files->n) &&
	     push(&all, first ? &suf : &pre, 1) && push(&all, second->at, second->n) &&
	     push(&all, first ? &pre : &suf, 1) && push(&all, third->at, third->n) &&
	     (first || push(&all, &mid, 1));
	if (!ok) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a text's tokens");
		goto out;
	}
	if (cap > 0)
		memcpy(out, all.at, (all.n < cap ? all.n : cap) * sizeof(*out));
	*ret_n = all.n;
out:
	for (int i = 0; i < 3; i++)
		free(part[i].at);
	free(all.at);
	return s;
}
