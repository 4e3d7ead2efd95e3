/*
 * grammar-regex.c - reads regular expressions; see grammar-term.h.
 */
#include "fail.h"
#include "grammar-json.h"
#include "grammar-term.h"

#include <string.h>

#define MAX_RANGES 2048

struct reader {
	struct weir_terms *terms;
	const char *text;
	size_t at, len;
	int depth;
	struct weir_error *err;
	weir_status status; /* the first failure */
};

static const struct weir_rune_range digits[] = { { '0', '9' } };
static const struct weir_rune_range words[] = {
	{ '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' }
};
/* What \s is everywhere, and what it is anywhere: \S must be none of these. */
static const struct weir_rune_range spaces[] = { { 9, 13 }, { ' ', ' ' } };
static const struct weir_rune_range all_spaces[] = {
	{ 9, 13 },          { 0x1c, 0x20 },     { 0x85, 0x85 },     { 0xa0, 0xa0 },
	{ 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f },
	{ 0x205f, 0x205f }, { 0x3000, 0x3000 }, { 0xfeff, 0xfeff }
};
static const struct weir_rune_range line_ends[] = { { '\n', '\n' },
						    { '\r', '\r' },
						    { 0x2028, 0x2029 } };
static const struct weir_rune_range everything[] = { { 0, 0x10ffff } };

static struct weir_term *fail(struct reader *r, weir_status code, const char *what)
{
	if (r->status == WEIR_OK)
		r->status = weir_fail(r->err, code, "regex, character %zu: %s", r->at + 1, what);
	return NULL;
}

static struct weir_term *no_memory(struct reader *r)
{
	if (r->status == WEIR_OK)
		r->status = weir_fail(r->err, WEIR_E_EXHAUSTED, "regex: out of memory");
	return NULL;
}

static bool sees(const struct reader *r, char c)
{
	return r->at < r->len && r->text[r->at] == c;
}

static bool eat(struct reader *r, const char *text)
{
	size_t n = strlen(text);

	if (r->len - r->at < n || memcmp(r->text + r->at, text, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* --- sets ---------------------------------------------------------------------------------- */

struct ranges {
	struct weir_rune_range at[MAX_RANGES];
	size_t n;
};

static bool add_range(struct reader *r, struct ranges *set, uint32_t lo, uint32_t hi)
{
	if (set->n == MAX_RANGES)
		set->n = weir_ranges_normalise(set->at, set->n);
	if (set->n == MAX_RANGES) {
		fail(r, WEIR_E_EXHAUSTED, "a class of too many characters");
		return false;
	}
	set->at[set->n++] = (struct weir_rune_range){ lo, hi };
	return true;
}

static bool add_ranges(struct reader *r, struct ranges *set, const struct weir_rune_range *from,
		       size_t n, bool negate)
{
	struct weir_rune_range other[16];

	if (negate) {
		n = weir_ranges_negate(from, n, other);
		from = other;
	}
	for (size_t i = 0; i < n; i++)
		if (!add_range(r, set, from[i].lo, from[i].hi))
			return false;
	return true;
}

static bool read_hex(struct reader *r, int n, uint32_t *ret)
{
	uint32_t value = 0;

	for (int i = 0; i < n; i++) {
		char c = r->at < r->len ? r->text[r->at] : '\0';
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return fail(r, WEIR_E_INVALID, "hexadecimal digits are missing") != NULL;
		value = value * 16 + (uint32_t)digit;
		r->at++;
	}
	*ret = value;
	return true;
}

static bool read_unicode(struct reader *r, uint32_t *ret)
{
	uint32_t low;

	if (eat(r, "{")) {
		uint32_t value = 0, digit;

		while (r->at < r->len && !sees(r, '}')) {
			if (!read_hex(r, 1, &digit))
				return false;
			value = value * 16 + digit;
			if (value > 0x10ffff)
				return fail(r, WEIR_E_INVALID, "no such character") != NULL;
		}
		*ret = value;
		return eat(r, "}") || fail(r, WEIR_E_INVALID, "a } is missing");
	}
	if (!read_hex(r, 4, ret))
		return false;
	if (*ret >= 0xd800 && *ret < 0xdc00 && eat(r, "\\u")) {
		if (!read_hex(r, 4, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(r, WEIR_E_INVALID, "half of a surrogate pair") != NULL;
		*ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
	}
	if (*ret >= 0xd800 && *ret < 0xe000)
		return fail(r, WEIR_E_INVALID, "half of a surrogate pair") != NULL;
	return true;
}

/* After a backslash: one character, or a class of them into set (*ret_class). */
static bool read_escape(struct reader *r, bool in_class, struct ranges *set, uint32_t *ret,
			bool *ret_class)
{
	static const char from[] = "tnrfv0", to[] = "\t\n\r\f\v";
	const char *found;
	char c = r->at < r->len ? r->text[r->at] : '\0';

	*ret_class = false;
	if (r->at >= r->len)
		return fail(r, WEIR_E_INVALID, "a backslash at the end") != NULL;
	if (strchr("dDwWsS", c)) {
		bool negate = c == 'D' || c == 'W' || c == 'S';

		r->at++;
		*ret_class = true;
		if (c == 'd' || c == 'D')
			return add_ranges(r, set, digits, 1, negate);
		if (c == 'w' || c == 'W')
			return add_ranges(r, set, words, 4, negate);
		if (c == 's')
			return add_ranges(r, set, spaces, 2, false);
		return add_ranges(r, set, all_spaces, 11, true);
	}
	if (c == 'b' && in_class) {
		r->at++;
		*ret = 8;
		return true;
	}
	if (c == 'b' || c == 'B')
		return fail(r, WEIR_E_UNSUPPORTED, "word boundaries cannot be honoured") != NULL;
	if (c == 'p' || c == 'P')
		return fail(r, WEIR_E_UNSUPPORTED,
			    "Unicode properties cannot be honoured: write ranges") != NULL;
	if (c == 'k' || (c >= '1' && c <= '9'))
		return fail(r, WEIR_E_UNSUPPORTED, "backreferences cannot be honoured") != NULL;
	found = strchr(from, c);
	if (found) {
		r->at++;
		*ret = (uint32_t)to[found - from];
		return true;
	}
	if (c == 'x' || c == 'u') {
		r->at++;
		return c == 'x' ? read_hex(r, 2, ret) : read_unicode(r, ret);
	}
	if (c == 'A' || c == 'Z' || c == 'z' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return fail(r, WEIR_E_UNSUPPORTED, "an escape that is not known") != NULL;
	*ret = weir_rune_next(r->text, r->len, &r->at);
	return true;
}

static bool read_class_item(struct reader *r, struct ranges *set, uint32_t *ret, bool *ret_class)
{
	*ret_class = false;
	if (r->at >= r->len)
		return fail(r, WEIR_E_INVALID, "a ] is missing") != NULL;
	if (eat(r, "\\"))
		return read_escape(r, true, set, ret, ret_class);
	*ret = weir_rune_next(r->text, r->len, &r->at);
	return true;
}

static struct weir_term *runes(struct reader *r, const struct weir_rune_range *ranges, size_t n)
{
	struct weir_term *t = weir_term_runes(r->terms, ranges, n);

	return t ? t : no_memory(r);
}

/* After the opening bracket. */
__attribute__((noinline)) static struct weir_term *read_class(struct reader *r)
{
	struct weir_rune_range other[MAX_RANGES + 1];
	struct ranges set = { .n = 0 };
	bool negate = eat(r, "^"), is_class;
	uint32_t lo, hi;

	while (!sees(r, ']')) {
		if (!read_class_item(r, &set, &lo, &is_class))
			return NULL;
		if (is_class)
			continue;
		hi = lo;
		if (sees(r, '-') && r->at + 1 < r->len && r->text[r->at + 1] != ']') {
			r->at++;
			if (!read_class_item(r, &set, &hi, &is_class))
				return NULL;
			if (is_class || hi < lo)
				return fail(r, WEIR_E_INVALID, "a range that goes backwards");
		}
		if (!add_range(r, &set, lo, hi))
			return NULL;
	}
	r->at++;
	set.n = weir_ranges_normalise(set.at, set.n);
	if (!negate)
		return runes(r, set.at, set.n);
	return runes(r, other, weir_ranges_negate(set.at, set.n, other));
}

/* --- structure ----------------------------------------------------------------------------- */

static struct weir_term *read_choice(struct reader *r);

static struct weir_term *read_group(struct reader *r)
{
	struct weir_term *t;

	if (eat(r, "?")) {
		if (sees(r, '=') || sees(r, '!') ||
		    (sees(r, '<') && r->at + 1 < r->len &&
		     (r->text[r->at + 1] == '=' || r->text[r->at + 1] == '!')))
			return fail(r, WEIR_E_UNSUPPORTED, "lookaround cannot be honoured");
		if (!eat(r, ":")) {
			(void)eat(r, "P");
			if (!eat(r, "<"))
				return fail(r, WEIR_E_UNSUPPORTED, "a group that is not known");
			while (r->at < r->len && !sees(r, '>'))
				r->at++;
			if (!eat(r, ">"))
				return fail(r, WEIR_E_INVALID, "a > is missing");
		}
	}
	if (++r->depth > WEIR_TERM_DEPTH)
		return fail(r, WEIR_E_EXHAUSTED, "groups are nested too deeply");
	t = read_choice(r);
	r->depth--;
	if (t && !eat(r, ")"))
		return fail(r, WEIR_E_INVALID, "a ) is missing");
	return t;
}

/* Not within the recursion, for the room it takes on the stack. */
__attribute__((noinline)) static struct weir_term *read_character(struct reader *r)
{
	struct weir_rune_range one;
	struct ranges set = { .n = 0 };
	bool is_class = false;

	if (eat(r, "\\")) {
		if (!read_escape(r, false, &set, &one.lo, &is_class))
			return NULL;
	} else {
		one.lo = weir_rune_next(r->text, r->len, &r->at);
	}
	if (is_class)
		return runes(r, set.at, set.n);
	one.hi = one.lo;
	return runes(r, &one, 1);
}

static struct weir_term *read_atom(struct reader *r)
{
	struct weir_rune_range other[8];
	struct weir_term *t;

	if (eat(r, "("))
		return read_group(r);
	if (eat(r, "["))
		return read_class(r);
	if (eat(r, "."))
		return runes(r, other, weir_ranges_negate(line_ends, 3, other));
	if (sees(r, '^') || sees(r, '$')) {
		t = weir_term_new(r->terms, sees(r, '^') ? WEIR_TERM_BEGIN : WEIR_TERM_END);
		r->at++;
		return t ? t : no_memory(r);
	}
	if (sees(r, '*') || sees(r, '+') || sees(r, '?'))
		return fail(r, WEIR_E_INVALID, "nothing to repeat");
	return read_character(r);
}

static bool read_count(struct reader *r, uint32_t *ret)
{
	size_t from = r->at;
	uint32_t n = 0;

	for (; r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9'; r->at++)
		if (n <= WEIR_TERM_MOST) /* beyond, it is too much whatever follows */
			n = n * 10 + (uint32_t)(r->text[r->at] - '0');
	*ret = n;
	return r->at > from;
}

/* {m}, {m,}, {m,n}; other braces stand for themselves. False: no quantifier. */
static bool read_braces(struct reader *r, uint32_t *min, uint32_t *max)
{
	size_t from = r->at;

	if (!eat(r, "{"))
		return false;
	if (read_count(r, min)) {
		*max = *min;
		if (eat(r, ",") && !read_count(r, max))
			*max = WEIR_NET_MANY;
		if (eat(r, "}"))
			return true;
	}
	r->at = from;
	return false;
}

static struct weir_term *read_piece(struct reader *r)
{
	struct weir_term *t = read_atom(r);
	uint32_t min = 1, max = 1;

	while (t) {
		if (eat(r, "*"))
			min = 0, max = WEIR_NET_MANY;
		else if (eat(r, "+"))
			min = 1, max = WEIR_NET_MANY;
		else if (eat(r, "?"))
			min = 0, max = 1;
		else if (!read_braces(r, &min, &max))
			return t;
		if (t->kind == WEIR_TERM_BEGIN || t->kind == WEIR_TERM_END)
			return fail(r, WEIR_E_INVALID, "nothing to repeat");
		if (max < min)
			return fail(r, WEIR_E_INVALID, "a repetition that goes backwards");
		if (min > WEIR_TERM_MOST || (max != WEIR_NET_MANY && max > WEIR_TERM_MOST))
			return fail(r, WEIR_E_EXHAUSTED, "more than a million repetitions");
		if (eat(r, "+"))
			return fail(r, WEIR_E_UNSUPPORTED,
				    "possessive quantifiers cannot be honoured");
		(void)eat(r, "?"); /* lazy: the same texts */
		t = weir_term_repeat(r->terms, t, min, max);
		if (!t)
			return no_memory(r);
		if (sees(r, '*') || sees(r, '+') || sees(r, '?'))
			return fail(r, WEIR_E_INVALID, "nothing to repeat");
		return t;
	}
	return NULL;
}

static struct weir_term *read_choice(struct reader *r)
{
	struct weir_term *choice = weir_term_new(r->terms, WEIR_TERM_CHOICE), *way;

	do {
		way = weir_term_new(r->terms, WEIR_TERM_SEQUENCE);
		if (!choice || !way)
			return no_memory(r);
		while (r->at < r->len && !sees(r, '|') && !sees(r, ')')) {
			struct weir_term *t = read_piece(r);

			if (!t)
				return NULL;
			weir_term_append(way, t);
		}
		weir_term_append(choice, way);
	} while (eat(r, "|"));
	return choice->first->next ? choice : choice->first;
}

/* --- anchors ------------------------------------------------------------------------------- */

static bool has_anchor(const struct weir_term *t)
{
	if (t->kind == WEIR_TERM_BEGIN || t->kind == WEIR_TERM_END)
		return true;
	for (const struct weir_term *c = t->first; c; c = c->next)
		if (has_anchor(c))
			return true;
	return false;
}

static struct weir_term *anything(struct reader *r)
{
	return weir_term_repeat(r->terms, weir_term_runes(r->terms, everything, 1), 0,
				WEIR_NET_MANY);
}

/* The term as it is at the beginning and the end of a text: anchors go, and what they do not hold
 * gets anything around it. */
static struct weir_term *settle(struct reader *r, struct weir_term *t, bool search)
{
	bool begins = !search, ends = !search;
	struct weir_term *out, *next;

	if (t->kind == WEIR_TERM_CHOICE) {
		out = weir_term_new(r->terms, WEIR_TERM_CHOICE);
		for (struct weir_term *c = t->first; c; c = next) {
			next = c->next;
			c->next = NULL;
			c = settle(r, c, search);
			if (!c || !out)
				return no_memory(r);
			weir_term_append(out, c);
		}
		return out;
	}
	out = weir_term_new(r->terms, WEIR_TERM_SEQUENCE);
	if (!out)
		return no_memory(r);
	if (t->kind == WEIR_TERM_SEQUENCE && t->first && !t->first->next &&
	    (t->first->kind == WEIR_TERM_CHOICE || t->first->kind == WEIR_TERM_SEQUENCE))
		return settle(r, t->first, search);
	if (t->kind != WEIR_TERM_SEQUENCE) {
		weir_term_append(out, t);
		t = out;
		out = weir_term_new(r->terms, WEIR_TERM_SEQUENCE);
		if (!out)
			return no_memory(r);
	}
	for (struct weir_term *c = t->first; c; c = c->next) {
		if (c->kind == WEIR_TERM_BEGIN && c == t->first)
			begins = true;
		else if (c->kind == WEIR_TERM_END && !c->next)
			ends = true;
		else if (has_anchor(c))
			return fail(r, WEIR_E_UNSUPPORTED,
				    "^ and $ are understood at the ends of the expression only");
	}
	if (!begins)
		weir_term_append(out, anything(r));
	for (struct weir_term *c = t->first; c; c = next) {
		next = c->next;
		c->next = NULL;
		if (c->kind != WEIR_TERM_BEGIN && c->kind != WEIR_TERM_END)
			weir_term_append(out, c);
	}
	if (!ends)
		weir_term_append(out, anything(r));
	return out;
}

weir_status weir_regex_read(struct weir_terms *terms, struct weir_str text, bool search,
			    struct weir_term **ret, struct weir_error *err)
{
	struct reader r = { .terms = terms, .text = text.data, .len = text.len, .err = err };
	struct weir_term *t = read_choice(&r);

	if (t && r.at < r.len)
		t = fail(&r, WEIR_E_INVALID, "a ) that closes nothing");
	if (t) {
		r.at = 0;
		t = settle(&r, t, search);
	}
	if (!t || terms->exhausted) {
		no_memory(&r);
		return r.status;
	}
	*ret = t;
	return WEIR_OK;
}
