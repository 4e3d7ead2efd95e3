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

#include "rune-sets.h"
#include "unicode-tables.h"

#include <limits.h>
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

static bool match_minicpm5(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { UINT_MAX, is_letter, is_other, "\r\n" };

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

/* What the words of a pattern are made of; the two kinds overlap. */
struct cases {
	rune_fn upper, lower;
};

static const struct cases all_cases = { is_upper, is_lower };

/* upper*lower+ : when nothing lower follows the run, it ends after the last rune that is both. */
static const char *mixed_word(const char *p, const char *end, const struct cases *is)
{
	const char *at = p, *both = p, *next, *to;

	while ((next = one(at, end, is->upper)) > at) {
		if (one(at, end, is->lower) > at)
			both = next;
		at = next;
	}
	to = run(at, end, is->lower);
	return to > at ? to : both;
}

/* upper+lower* */
static const char *upper_word(const char *p, const char *end, const struct cases *is)
{
	const char *to = run(p, end, is->upper);

	return to > p ? run(to, end, is->lower) : p;
}

/* [^\r\n\p{L}\p{N}]?upper*lower+|[^\r\n\p{L}\p{N}]?upper+lower* */
static const char *cased_word(const char *p, const char *end, const struct cases *is)
{
	const char *from = one(p, end, is_prefix);
	const char *to = mixed_word(from, end, is);

	if (to > from)
		return to;
	if ((to = mixed_word(p, end, is)) > p)
		return to;
	if ((to = upper_word(from, end, is)) > from)
		return to;
	return upper_word(p, end, is);
}

static bool match_tekken(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, NULL, is_other, "\r\n/" };
	const char *to = cased_word(p, end, &all_cases);

	return matched(p, end, to > p ? to : after_words(p, end, &rules), ret);
}

/* cased_word(?i:'s|'t|'re|'ve|'m|'ll|'d)?| ... */
static bool match_cased(const char *p, const char *end, const struct cases *is,
			const struct rules *rules, const char **ret)
{
	const char *to = cased_word(p, end, is);

	if (to > p)
		to = contraction(to, end, true);
	return matched(p, end, to > p ? to : after_words(p, end, rules), ret);
}

static bool match_gpt4o(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 3, NULL, is_other, "\r\n/" };

	return match_cased(p, end, &all_cases, &rules, ret);
}

static bool match_youtu(const char *p, const char *end, const char **ret)
{
	static const struct rules rules = { 1, NULL, is_other, "\r\n/" };

	return match_cased(p, end, &all_cases, &rules, ret);
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

/* Not matched by the scanner: split_piece() knows it. Runs of numbers in threes, counted from the
 * right: \p{N}+, then (?=(\p{N}{3})+(?!\p{N})). superbpe writes \d in the second: numbers that are
 * no decimal digits are grouped here as well. */
static bool match_threes(const char *p, const char *end, const char **ret)
{
	return matched(p, end, numbers(p, end, 3), ret);
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

static bool is_upper_not_han(uint32_t rune)
{
	return is_upper(rune) && !weir_rune_is_han(rune);
}

static bool is_lower_not_han(uint32_t rune)
{
	return is_lower(rune) && !weir_rune_is_han(rune);
}

/* \p{Han}+|words of gpt-4o without Han| ... */
static bool match_kimi(const char *p, const char *end, const char **ret)
{
	static const struct cases is = { is_upper_not_han, is_lower_not_han };
	static const struct rules rules = { 3, NULL, is_other, "\r\n" };
	const char *to = run(p, end, weir_rune_is_han);

	if (to > p)
		return matched(p, end, to, ret);
	return match_cased(p, end, &is, &rules, ret);
}

static bool match_afmoe_cjk(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, weir_rune_is_afmoe_cjk), ret);
}

/* The text's lines, and the line ends between them: [^\n]+|[\n]+ */
static bool is_line_feed(uint32_t rune)
{
	return rune == '\n';
}

static bool match_line_feeds(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, is_line_feed), ret);
}

/* [\t\n]|    |  : four spaces, or two */
static bool match_chameleon_space(const char *p, const char *end, const char **ret)
{
	const char *to = p;

	if (*p == '\t' || *p == '\n')
		to = p + 1;
	else if (end - p >= 4 && memcmp(p, "    ", 4) == 0)
		to = p + 4;
	else if (end - p >= 2 && memcmp(p, "  ", 2) == 0)
		to = p + 2;
	return matched(p, end, to, ret);
}

/* [\p{P}!-/:-@\[-`{-~] */
static bool is_chameleon_punct(uint32_t rune)
{
	return is_punct(rune) || is_ascii_punct(rune);
}

static bool match_chameleon_punct(const char *p, const char *end, const char **ret)
{
	return matched(p, end, one(p, end, is_chameleon_punct), ret);
}

static bool match_deepseek_cjk(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, weir_rune_is_deepseek_cjk), ret);
}

static bool match_deepseek3_cjk(const char *p, const char *end, const char **ret)
{
	return matched(p, end, run(p, end, weir_rune_is_deepseek3_cjk), ret);
}

static bool match_youtu_cjk(const char *p, const char *end, const char **ret)
{
	static const rune_fn kinds[] = { weir_rune_is_youtu_hangul, weir_rune_is_youtu_punct,
					 weir_rune_is_youtu_bopomofo, weir_rune_is_deepseek3_cjk };
	const char *to = p;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && to == p; i++)
		to = run(p, end, kinds[i]);
	return matched(p, end, to, ret);
}

static bool match_deepseek_letters(const char *p, const char *end, const char **ret)
{
	return matched(p, end, any_spaced(p, end, weir_rune_is_deepseek_letter), ret);
}

static bool match_deepseek_punct(const char *p, const char *end, const char **ret)
{
	/* The ideographic space is a \s and in the class: \s? may have to give it back. */
	const char *to = any_spaced(p, end, weir_rune_is_deepseek_punct);

	return matched(p, end, to > p ? to : run(p, end, weir_rune_is_deepseek_punct), ret);
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

static bool match_bloom(const char *p, const char *end, const char **ret)
{
	return matched(p, end, spaced(p, end, weir_rune_is_bloom_word), ret);
}

/* ---- the families ---- */

static const struct weir_pretokenizer families[] = {
	{ .names = " default ",
	  .stages = { match_default_punct, match_gpt2, match_numbers, match_3_digits } },
	{ .names = " gpt-2 phi-2 mpt olmo jais trillion granite-docling jina-es jina-de jina-v1-en "
		   "jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum exaone4 "
		   "modern-bert ",
	  .stages = { match_gpt2 } },
	{ .names = " starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ",
	  .stages = { match_number, match_gpt2 } },
	{ .names = " llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 "
		   "jina-v5-nano ",
	  .stages = { match_llama3 },
	  .ignores_merges = true,
	  .adds_bos = true },
	{ .names = " dbrx smaug-bpe glm4 chatglm-bpe ", .stages = { match_llama3 } },
	{ .names = " qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan grok-2 bailingmoe bailingmoe2 "
		   "llada-moe kormo f2llmv2 solar-open ",
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
	{ .names = " deepseek-v3 hunyuan-dense joyai-llm ",
	  .stages = { match_3_numbers, match_deepseek3_cjk, match_deepseek3 } },
	{ .names = " tekken ",
	  .stages = { match_tekken },
	  .ignores_merges = true,
	  .adds_bos = true },
	{ .names = " gpt-4o llama4 minimax-m2 kanana2 talkie ", .stages = { match_gpt4o } },
	{ .names = " granite-embed-multi-97m ", .stages = { match_gpt4o }, .ignores_merges = true },
	{ .names = " kimi-k2 ", .stages = { match_kimi } },
	{ .names = " youtu ", .stages = { match_youtu_cjk, match_youtu }, .ignores_merges = true },
	{ .names = " superbpe ", .stages = { match_threes } },
	{ .names = " afmoe ", .stages = { match_threes, match_afmoe_cjk, match_deepseek3 } },
	{ .names = " minicpm5 ",
	  .stages = { match_3_numbers, match_minicpm5 },
	  .ignores_merges = true },
	{ .names = " laguna ", .stages = { match_line_feeds, match_qwen2 } },
	/* Its patterns for sentinel and image tokens are left out: these are special tokens, which
	 * are cut out before. */
	{ .names = " chameleon ",
	  .stages = { match_chameleon_space, match_number, match_chameleon_punct, match_gpt2 },
	  .adds_bos = true },
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

static bool split_piece(const struct split *s, unsigned stage, const char *p, const char *end);

/* match_threes: where a group ends depends on the length of its run, which is counted once. */
static bool split_threes(const struct split *s, unsigned stage, const char *p, const char *end)
{
	while (p < end) {
		const char *from = p, *next;
		size_t n = 0;

		while (p < end && (next = one(p, end, is_number)) == p) {
			size_t len;

			weir_rune_at(p, end, &len);
			p += len;
		}
		if (!split_piece(s, stage, from, p))
			return false;
		for (next = p; (from = one(next, end, is_number)) > next; n++)
			next = from;
		while (n > 0) {
			unsigned group = n % 3 ? n % 3 : 3;

			next = numbers(p, end, group);
			if (!split_piece(s, stage, p, next))
				return false;
			p = next;
			n -= group;
		}
	}
	return true;
}

/* Recursion ends after MAX_STAGES. */
static bool split_piece(const struct split *s, unsigned stage, const char *p, const char *end)
{
	const char *gap = p, *next;

	if (p == end)
		return true;
	if (stage == MAX_STAGES || !s->pre->stages[stage])
		return s->word_fn(s->user, p, (size_t)(end - p));
	if (s->pre->stages[stage] == match_threes)
		return split_threes(s, stage + 1, p, end);
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
