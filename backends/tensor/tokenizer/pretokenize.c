/* SPDX-License-Identifier: MIT */
/*
 * pretokenize.c - the scanners behind pretokenize.h. Pure functions of their input; any thread.
 *
 * A pre-tokenizer is a list of stages. Each stage finds its matches in each piece that the stage
 * before left; matches and what lies between them become the pieces of the next stage. A stage is a
 * function that tries to match at one place. Look-ahead and "end of text" in the published patterns
 * mean the end of the piece.
 */
#include "pretokenize.h"

#include "unicode-tables.h"

#include <string.h>

/* Does the pattern match at p (p < end)? True: *ret is the end of the match. False: *ret is the
 * next place worth trying; no match begins before it. */
typedef bool (*match_fn)(const char *p, const char *end, const char **ret);

enum {
	MAX_STAGES = 6,
};

struct weir_pretokenizer {
	const char *names; /* each with a blank before and after it */
	match_fn stages[MAX_STAGES];
	bool ignores_merges, adds_bos;
};

/* ---- runes ---- */

static bool is_letter(uint32_t rune)
{
	enum weir_rune_class c = weir_rune_class(rune);

	return c >= WEIR_RUNE_UPPER && c <= WEIR_RUNE_LETTER;
}

static bool is_letter_or_mark(uint32_t rune)
{
	enum weir_rune_class c = weir_rune_class(rune);

	return c >= WEIR_RUNE_UPPER && c <= WEIR_RUNE_MARK;
}

static bool is_number(uint32_t rune)
{
	return weir_rune_class(rune) == WEIR_RUNE_NUMBER;
}

static bool is_punct(uint32_t rune)
{
	return weir_rune_class(rune) == WEIR_RUNE_PUNCT;
}

static bool is_punct_or_symbol(uint32_t rune)
{
	enum weir_rune_class c = weir_rune_class(rune);

	return c == WEIR_RUNE_PUNCT || c == WEIR_RUNE_SYMBOL;
}

static bool is_newline(uint32_t rune)
{
	return rune == '\r' || rune == '\n';
}

/* What is neither space, letter nor number. */
static bool is_other(uint32_t rune)
{
	return !weir_rune_is_space(rune) && !is_letter(rune) && !is_number(rune);
}

static bool is_other_without_marks(uint32_t rune)
{
	return is_other(rune) && weir_rune_class(rune) != WEIR_RUNE_MARK;
}

static bool is_other_without_newlines(uint32_t rune)
{
	return is_other(rune) && !is_newline(rune);
}

typedef bool (*rune_fn)(uint32_t rune);

/* One rune of the kind, or p itself. */
static const char *one(const char *p, const char *end, rune_fn is)
{
	size_t len;

	return p < end && is(weir_rune_at(p, end, &len)) ? p + len : p;
}

static const char *run(const char *p, const char *end, rune_fn is)
{
	const char *next;

	while ((next = one(p, end, is)) > p)
		p = next;
	return p;
}

/* The usual end of a match_fn: it matched when the end moved. */
static bool matched(const char *p, const char *end, const char *to, const char **ret)
{
	size_t len;

	if (to > p) {
		*ret = to;
		return true;
	}
	weir_rune_at(p, end, &len);
	*ret = p + len;
	return false;
}

/* ---- parts that several patterns share ---- */

/* 's 't 're 've 'm 'll 'd; p itself when there is none. */
static const char *contraction(const char *p, const char *end, bool any_case)
{
	char a, b;

	if (end - p < 2 || *p != '\'')
		return p;
	a = p[1];
	b = end - p > 2 ? p[2] : '\0';
	if (any_case) {
		/* U+017F, the long s, folds to s. */
		if (end - p > 2 && memcmp(p + 1, "\xc5\xbf", 2) == 0)
			return p + 3;
		a |= a >= 'A' && a <= 'Z' ? 0x20 : 0;
		b |= b >= 'A' && b <= 'Z' ? 0x20 : 0;
	}
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return p + 2;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
		return p + 3;
	return p;
}

/* \s+(?!\S)|\s+ : a run of space but for its last rune, when something follows that wants it. */
static const char *spaces(const char *p, const char *end)
{
	const char *last = p, *at = p, *next;

	while ((next = one(at, end, weir_rune_is_space)) > at) {
		last = at;
		at = next;
	}
	return at == end || last == p ? at : last;
}

/* \s*[\r\n]+ : through the last line end of a run of space. */
static const char *line_ends(const char *p, const char *end)
{
	const char *at = p, *next, *to = p;

	while ((next = one(at, end, weir_rune_is_space)) > at) {
		if (is_newline((unsigned char)*at))
			to = next;
		at = next;
	}
	return to;
}

/* " ?X+" */
static const char *spaced(const char *p, const char *end, rune_fn is)
{
	const char *from = *p == ' ' ? p + 1 : p;
	const char *to = run(from, end, is);

	return to > from ? to : p;
}

/* "\s?X+" */
static const char *any_spaced(const char *p, const char *end, rune_fn is)
{
	const char *from = one(p, end, weir_rune_is_space);
	const char *to = run(from, end, is);

	return to > from ? to : p;
}

/* [^\r\n\p{L}\p{N}]? : what may stand before the letters of a word. */
static bool is_prefix(uint32_t rune)
{
	return !is_newline(rune) && !is_letter(rune) && !is_number(rune);
}

/* \p{N}{1,max} */
static const char *numbers(const char *p, const char *end, unsigned max)
{
	const char *next;

	for (; max > 0 && (next = one(p, end, is_number)) > p; max--)
		p = next;
	return p;
}

/* ---- stages ---- */

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static bool match_gpt2(const char *p, const char *end, const char **ret)
{
	const char *to = contraction(p, end, false);

	if (to == p)
		to = spaced(p, end, is_letter);
	if (to == p)
		to = spaced(p, end, is_number);
	if (to == p)
		to = spaced(p, end, is_other);
	if (to == p)
		to = spaces(p, end);
	return matched(p, end, to, ret);
}

struct rules {
	unsigned max_numbers;
	rune_fn letters; /* of a word */
	rune_fn others;
	const char *tail; /* bytes that may follow others */
};

/* The end that the patterns since GPT-4 have in common, after their ways to match words:
 * \p{N}{1,max}| ?[others]+[tail]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const char *after_words(const char *p, const char *end, const struct rules *rules)
{
	const char *to = numbers(p, end, rules->max_numbers);

	if (to > p)
		return to;
	to = spaced(p, end, rules->others);
	if (to > p) {
		while (to < end && *to && strchr(rules->tail, *to))
			to++;
		return to;
	}
	to = line_ends(p, end);
	return to > p ? to : spaces(p, end);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[letters]+| ... */
static bool match_words(const char *p, const char *end, const struct rules *rules, const char **ret)
{
	const char *to = contraction(p, end, true), *from;

	if (to == p) {
		from = one(p, end, is_prefix);
		to = run(from, end, rules->letters);
		if (to == from) /* a mark can be a prefix and a letter */
			to = run(p, end, rules->letters);
	}
	if (to == p)
		to = after_words(p, end, rules);
	return matched(p, end, to, ret);
}

static bool match_llama3(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 3, is_letter, is_other, "\r\n" };

	return match_words(p, end, &rules, ret);
}

static bool match_qwen2(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, is_letter, is_other, "\r\n" };

	return match_words(p, end, &rules, ret);
}

static bool match_qwen35(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, is_letter_or_mark, is_other_without_marks, "\r\n" };

	return match_words(p, end, &rules, ret);
}

static bool match_seed(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, is_letter, is_other_without_newlines, "" };

	return match_words(p, end, &rules, ret);
}

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}]: they overlap. */
static bool is_upper(uint32_t rune)
{
	return is_letter_or_mark(rune) && weir_rune_class(rune) != WEIR_RUNE_LOWER;
}

static bool is_lower(uint32_t rune)
{
	enum weir_rune_class c = weir_rune_class(rune);

	return c == WEIR_RUNE_LOWER || c == WEIR_RUNE_LETTER || c == WEIR_RUNE_MARK;
}

/* upper*lower+ : when nothing lower follows the run, it ends after the last rune that is both. */
static const char *mixed_word(const char *p, const char *end)
{
	const char *at = p, *both = p, *next, *to;

	while ((next = one(at, end, is_upper)) > at) {
		if (one(at, end, is_lower) > at)
			both = next;
		at = next;
	}
	to = run(at, end, is_lower);
	return to > at ? to : both;
}

/* upper+lower* */
static const char *upper_word(const char *p, const char *end)
{
	const char *to = run(p, end, is_upper);

	return to > p ? run(to, end, is_lower) : p;
}

/* [^\r\n\p{L}\p{N}]?upper*lower+|[^\r\n\p{L}\p{N}]?upper+lower* */
static const char *cased_word(const char *p, const char *end)
{
	const char *from = one(p, end, is_prefix);
	const char *to = mixed_word(from, end);

	if (to > from)
		return to;
	if ((to = mixed_word(p, end)) > p)
		return to;
	if ((to = upper_word(from, end)) > from)
		return to;
	return upper_word(p, end);
}

static bool match_tekken(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, NULL, is_other, "\r\n/" };
	const char *to = cased_word(p, end);

	return matched(p, end, to > p ? to : after_words(p, end, &rules), ret);
}

static bool match_gpt4o(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 3, NULL, is_other, "\r\n/" };
	const char *to = cased_word(p, end);

	if (to > p)
		to = contraction(to, end, true);
	return matched(p, end, to > p ? to : after_words(p, end, &rules), ret);
}

static bool is_ascii_letter(uint32_t rune)
{
	return (rune >= 'A' && rune <= 'Z') || (rune >= 'a' && rune <= 'z');
}

static bool is_ascii_punct(uint32_t rune)
{
	return rune > ' ' && rune < 0x7f && !is_ascii_letter(rune) && !(rune >= '0' && rune <= '9');
}

static bool is_deepseek_prefix(uint32_t rune)
{
	return !is_newline(rune) && !is_letter(rune) && !is_punct_or_symbol(rune);
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|
 * \s+(?!\S)|\s+ */
static bool match_deepseek3(const char *p, const char *end, const char **ret)
{
	const char *from = one(p, end, is_ascii_punct), *to = p;

	if (from > p && (to = run(from, end, is_ascii_letter)) == from)
		to = p;
	if (to == p) {
		from = one(p, end, is_deepseek_prefix);
		to = run(from, end, is_letter_or_mark);
		if (to == from)
			to = run(p, end, is_letter_or_mark);
	}
	if (to == p && (to = spaced(p, end, is_punct_or_symbol)) > p)
		to = run(to, end, is_newline);
	if (to == p)
		to = line_ends(p, end);
	if (to == p)
		to = spaces(p, end);
	return matched(p, end, to, ret);
}

static bool match_newline(const char *p, const char *end, const char **ret)
{
	return matched(p, end, one(p, end, is_newline), ret);
}

static bool match_number(const char *p, const char *end, const char **ret)
{
	return matched(p, end, numbers(p, end, 1), ret);
}

static bool match_3_numbers(const char *p, const char *end, const char **ret)
{
	return matched(p, end, numbers(p, end, 3), ret);
}

static bool match_numbers(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_number), ret);
}

/* [0-9][0-9][0-9] */
static bool match_3_digits(const char *p, const char *end, const char **ret)
{
	int n = 0;

	while (n < 3 && p + n < end && p[n] >= '0' && p[n] <= '9')
		n++;
	return matched(p, end, n == 3 ? p + 3 : p, ret);
}

static bool match_spaced_letters(const char *p, const char *end, const char **ret)
{
	return matched(p, end, any_spaced(p, end, is_letter), ret);
}

static bool match_spaced_punct(const char *p, const char *end, const char **ret)
{
	return matched(p, end, any_spaced(p, end, is_punct), ret);
}

static bool is_falcon_punct(uint32_t rune)
{
	return is_punct(rune) || (rune > 0 && rune < 0x80 && strchr("$+<=>^~|`", (int)rune));
}

static bool match_falcon_punct(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_falcon_punct), ret);
}

static bool is_default_punct(uint32_t rune)
{
	return rune != '`' && is_falcon_punct(rune);
}

static bool match_default_punct(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_default_punct), ret);
}

struct range {
	uint32_t first, last;
};

static bool in_ranges(uint32_t rune, const struct range *ranges, size_t n)
{
	size_t low = 0;

	while (n > 0) {
		size_t half = n / 2;

		if (rune > ranges[low + half].last) {
			low += half + 1;
			n -= half + 1;
		} else if (rune < ranges[low + half].first) {
			n = half;
		} else {
			return true;
		}
	}
	return false;
}

#define IN(rune, ranges) in_ranges(rune, ranges, sizeof(ranges) / sizeof((ranges)[0]))

static bool is_deepseek_cjk(uint32_t rune)
{
	return (rune >= 0x800 && rune <= 0x9fa5) || (rune >= 0xac00 && rune <= 0xd7ff);
}

static bool match_deepseek_cjk(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_deepseek_cjk), ret);
}

/* [一-龥぀-ゟ゠-ヿ]+ */
static bool is_deepseek3_cjk(uint32_t rune)
{
	return (rune >= 0x4e00 && rune <= 0x9fa5) || (rune >= 0x3040 && rune <= 0x30ff);
}

static bool match_deepseek3_cjk(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_deepseek3_cjk), ret);
}

/* The cased letters of Unicode 11, as the pattern of deepseek-llm lists them. */
static bool is_deepseek_letter(uint32_t rune)
{
	static const struct range ranges[] = {
		{ 0x41, 0x5a },       { 0x61, 0x7a },       { 0xb5, 0xb5 },
		{ 0xc0, 0xd6 },       { 0xd8, 0xf6 },       { 0xf8, 0x1ba },
		{ 0x1bc, 0x1bf },     { 0x1c4, 0x293 },     { 0x295, 0x2af },
		{ 0x370, 0x373 },     { 0x376, 0x377 },     { 0x37b, 0x37d },
		{ 0x37f, 0x37f },     { 0x386, 0x386 },     { 0x388, 0x38a },
		{ 0x38c, 0x38c },     { 0x38e, 0x3a1 },     { 0x3a3, 0x3f5 },
		{ 0x3f7, 0x481 },     { 0x48a, 0x52f },     { 0x531, 0x556 },
		{ 0x10a0, 0x10c5 },   { 0x13a0, 0x13f5 },   { 0x13f8, 0x13fd },
		{ 0x1c90, 0x1cba },   { 0x1cbd, 0x1cbf },   { 0x1d00, 0x1d2b },
		{ 0x1d6b, 0x1d77 },   { 0x1d79, 0x1d9a },   { 0x1e00, 0x1f15 },
		{ 0x1f18, 0x1f1d },   { 0x1f20, 0x1f45 },   { 0x1f48, 0x1f4d },
		{ 0x1f50, 0x1f57 },   { 0x1f59, 0x1f59 },   { 0x1f5b, 0x1f5b },
		{ 0x1f5d, 0x1f5d },   { 0x1f5f, 0x1f7d },   { 0x1f80, 0x1fb4 },
		{ 0x1fb6, 0x1fbc },   { 0x1fbe, 0x1fbe },   { 0x1fc2, 0x1fc4 },
		{ 0x1fc6, 0x1fcc },   { 0x1fd0, 0x1fd3 },   { 0x1fd6, 0x1fdb },
		{ 0x1fe0, 0x1fec },   { 0x1ff2, 0x1ff4 },   { 0x1ff6, 0x1ffc },
		{ 0x2102, 0x2102 },   { 0x2107, 0x2107 },   { 0x210a, 0x2113 },
		{ 0x2115, 0x2115 },   { 0x2119, 0x211d },   { 0x2124, 0x2124 },
		{ 0x2126, 0x2126 },   { 0x2128, 0x2128 },   { 0x212a, 0x212d },
		{ 0x212f, 0x2134 },   { 0x2139, 0x2139 },   { 0x213c, 0x213f },
		{ 0x2145, 0x2149 },   { 0x214e, 0x214e },   { 0x2183, 0x2184 },
		{ 0x2c00, 0x2c7b },   { 0x2c7e, 0x2ce4 },   { 0x2ceb, 0x2cee },
		{ 0x2cf2, 0x2cf3 },   { 0xa640, 0xa66d },   { 0xa680, 0xa69b },
		{ 0xa722, 0xa76f },   { 0xa771, 0xa787 },   { 0xa78b, 0xa78e },
		{ 0xab70, 0xabbf },   { 0xfb00, 0xfb06 },   { 0xfb13, 0xfb17 },
		{ 0xff21, 0xff3a },   { 0xff41, 0xff5a },   { 0x10400, 0x1044f },
		{ 0x104b0, 0x104d3 }, { 0x104d8, 0x104fb }, { 0x10c80, 0x10cb2 },
		{ 0x10cc0, 0x10cf2 }, { 0x118a0, 0x118df }, { 0x1e900, 0x1e943 },
	};

	return IN(rune, ranges);
}

static bool match_deepseek_letters(const char *p, const char *end, const char **ret)
{
	return matched(p, end, any_spaced(p, end, is_deepseek_letter), ret);
}

/* [!-/:-~！-／：-～‘-‟　-。] */
static bool is_deepseek_punct(uint32_t rune)
{
	static const struct range ranges[] = {
		{ 0x21, 0x2f },     { 0x3a, 0x7e },     { 0x2018, 0x201f },
		{ 0x3000, 0x3002 }, { 0xff01, 0xff0f }, { 0xff1a, 0xff5e },
	};

	return IN(rune, ranges);
}

static bool match_deepseek_punct(const char *p, const char *end, const char **ret)
{
	/* The ideographic space is a \s and in the class: \s? may have to give it back. */
	const char *to = any_spaced(p, end, is_deepseek_punct);

	return matched(p, end, to > p ? to : run(p, end, is_deepseek_punct), ret);
}

/* \s+$ */
static bool match_trailing_space(const char *p, const char *end, const char **ret)
{
	const char *to = run(p, end, weir_rune_is_space);

	if (to == end || to == p)
		return matched(p, end, to, ret);
	*ret = to; /* no place in this run reaches the end */
	return false;
}

/* [^(\s|.,!?…。，、।۔،)] */
static bool is_bloom_word(uint32_t rune)
{
	static const uint32_t excluded[] = { '(',    '|',    '.',    ',',    '!',   '?',   ')',
					     0x2026, 0x3002, 0xff0c, 0x3001, 0x964, 0x6d4, 0x60c };

	for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
		if (rune == excluded[i])
			return false;
	return !weir_rune_is_space(rune);
}

static bool match_bloom(const char *p, const char *end, const char **ret)
{
	return matched(p, end, spaced(p, end, is_bloom_word), ret);
}

/* ---- the families ---- */

static const struct weir_pretokenizer families[] = {
	{ .names = " default ",
	  .stages = { match_default_punct, match_gpt2, match_numbers, match_3_digits } },
	{ .names =
		  " gpt-2 phi-2 mpt olmo jais trillion granite-docling jina-es jina-de jina-v1-en "
		  "jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum exaone4 ",
	  .stages = { match_gpt2 } },
	{ .names = " starcoder refact command-r smollm codeshell exaone minerva-7b ",
	  .stages = { match_number, match_gpt2 } },
	{ .names = " llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
	  .stages = { match_llama3 },
	  .ignores_merges = true,
	  .adds_bos = true },
	{ .names = " dbrx smaug-bpe glm4 chatglm-bpe ", .stages = { match_llama3 } },
	{ .names = " qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan grok-2 bailingmoe bailingmoe2 "
		   "llada-moe ",
	  .stages = { match_qwen2 } },
	{ .names = " qwen35 ", .stages = { match_qwen35 } },
	{ .names = " seed-coder ", .stages = { match_seed } },
	{ .names = " falcon ", .stages = { match_falcon_punct, match_gpt2, match_3_digits } },
	{ .names = " deepseek-coder ",
	  .stages = { match_newline, match_spaced_letters, match_spaced_punct, match_deepseek_cjk,
		      match_number } },
	{ .names = " deepseek-llm ",
	  .stages = { match_newline, match_deepseek_letters, match_deepseek_punct,
		      match_trailing_space, match_deepseek_cjk, match_numbers } },
	{ .names = " deepseek-v3 hunyuan-dense ",
	  .stages = { match_3_numbers, match_deepseek3_cjk, match_deepseek3 } },
	{ .names = " tekken ",
	  .stages = { match_tekken },
	  .ignores_merges = true,
	  .adds_bos = true },
	{ .names = " gpt-4o llama4 minimax-m2 ", .stages = { match_gpt4o } },
	{ .names = " bloom poro-chat gpt3-finnish ", .stages = { match_bloom } },
	{ .names = " viking ", .stages = { match_bloom, match_number } },
};

const struct weir_pretokenizer *weir_pretokenizer_find(struct weir_str name)
{
	char wanted[34] = " ";

	if (name.len == 0 || name.len > 31 || memchr(name.data, ' ', name.len) ||
	    memchr(name.data, '\0', name.len))
		return NULL;
	memcpy(wanted + 1, name.data, name.len);
	wanted[name.len + 1] = ' ';
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (strstr(families[i].names, wanted))
			return &families[i];
	return NULL;
}

const struct weir_pretokenizer *weir_pretokenizer_fallback(void)
{
	return &families[0];
}

bool weir_pretokenizer_ignores_merges(const struct weir_pretokenizer *pre)
{
	return pre->ignores_merges;
}

bool weir_pretokenizer_adds_bos(const struct weir_pretokenizer *pre)
{
	return pre->adds_bos;
}

struct split {
	const struct weir_pretokenizer *pre;
	weir_word_fn word_fn;
	void *user;
};

/* Recursion ends after MAX_STAGES. */
static bool split_piece(const struct split *s, unsigned stage, const char *p, const char *end)
{
	const char *gap = p, *next;

	if (p == end)
		return true;
	if (stage == MAX_STAGES || !s->pre->stages[stage])
		return s->word_fn(s->user, p, (size_t)(end - p));
	while (p < end) {
		if (s->pre->stages[stage](p, end, &next)) {
			if (!split_piece(s, stage + 1, gap, p) ||
			    !split_piece(s, stage + 1, p, next))
				return false;
			gap = next;
		}
		p = next;
	}
	return split_piece(s, stage + 1, gap, end);
}

bool weir_pretokenize(const struct weir_pretokenizer *pre, struct weir_str text,
		      weir_word_fn word_fn, void *user)
{
	struct split s = { pre, word_fn, user };

	return text.len == 0 || split_piece(&s, 0, text.data, text.data + text.len);
}
