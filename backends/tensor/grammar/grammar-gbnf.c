/*
 * grammar-gbnf.c - reads GBNF, the notation of llama.cpp's grammars: `name ::= alternatives`, with
 * "literals", [classes], ., (groups), * + ? {m} {m,} {m,n}, and # comments. A rule goes on over the
 * end of a line where it cannot be over: within a group, and after | and ::=.
 */
#include "fail.h"
#include "grammar-json.h"
#include "grammar-term.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RANGES 1024

struct name {
	struct weir_str text;
	uint32_t rule, next;
	size_t first_use;
	bool defined;
};

struct reader {
	struct weir_net *net;
	struct weir_terms terms;
	const char *text;
	size_t at, len;
	int depth;
	struct name *names;
	uint32_t n_names, cap_names;
	uint32_t buckets[1024];
	struct weir_error *err;
	weir_status status;
};

static struct weir_term *fail_at(struct reader *r, weir_status code, size_t at, const char *what,
				 struct weir_str name)
{
	unsigned line = 1, column = 1;

	for (size_t i = 0; i < at && i < r->len; i++) {
		column = r->text[i] == '\n' ? 1 : column + 1;
		line += r->text[i] == '\n';
	}
	if (r->status == WEIR_OK)
		r->status = weir_fail(r->err, code, "grammar, line %u, column %u: %s%s", line,
				      column, what, name.data ? weir_quote(name).text : "");
	return NULL;
}

static struct weir_term *fail(struct reader *r, const char *what)
{
	return fail_at(r, WEIR_E_INVALID, r->at, what, (struct weir_str){ 0 });
}

static struct weir_term *no_memory(struct reader *r)
{
	if (r->status == WEIR_OK)
		r->status = weir_fail(r->err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	return NULL;
}

static bool sees(const struct reader *r, char c)
{
	return r->at < r->len && r->text[r->at] == c;
}

static bool eat(struct reader *r, char c)
{
	bool yes = sees(r, c);

	r->at += yes;
	return yes;
}

static void skip(struct reader *r, bool lines)
{
	while (r->at < r->len) {
		char c = r->text[r->at];

		if (c == '#') {
			while (r->at < r->len && r->text[r->at] != '\n')
				r->at++;
		} else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
			r->at++;
		} else {
			return;
		}
	}
}

/* --- names --------------------------------------------------------------------------------- */

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

static struct weir_str read_name(struct reader *r)
{
	size_t from = r->at;

	while (r->at < r->len && is_name(r->text[r->at]))
		r->at++;
	return (struct weir_str){ r->text + from, r->at - from };
}

static struct name *name_of(struct reader *r, struct weir_str text, size_t at)
{
	uint32_t hash = 2166136261u, *bucket;

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (uint8_t)text.data[i]) * 16777619u;
	bucket = &r->buckets[(hash ^ hash >> 16) & 1023];
	for (uint32_t i = *bucket; i != UINT32_MAX; i = r->names[i].next)
		if (r->names[i].text.len == text.len &&
		    memcmp(r->names[i].text.data, text.data, text.len) == 0)
			return &r->names[i];
	if (r->n_names == r->cap_names) {
		uint32_t cap = r->cap_names ? r->cap_names * 2 : 64;
		struct name *names = realloc(r->names, cap * sizeof(*names));

		if (!names) {
			no_memory(r);
			return NULL;
		}
		r->names = names;
		r->cap_names = cap;
	}
	r->names[r->n_names] = (struct name){ text, weir_net_rule(r->net, text.data, text.len),
					      *bucket, at, false };
	*bucket = r->n_names;
	return &r->names[r->n_names++];
}

/* --- characters ---------------------------------------------------------------------------- */

static bool read_hex(struct reader *r, int n, uint32_t *ret)
{
	*ret = 0;
	for (; n > 0; n--, r->at++) {
		char c = r->at < r->len ? r->text[r->at] : '\0';
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return fail(r, "hexadecimal digits are missing") != NULL;
		*ret = *ret * 16 + (uint32_t)digit;
	}
	return *ret <= 0x10ffff || fail(r, "no such character");
}

static bool read_rune(struct reader *r, uint32_t *ret)
{
	char c;

	if (r->at >= r->len || r->text[r->at] == '\n')
		return fail(r, "a literal or a class has no end") != NULL;
	if (!eat(r, '\\')) {
		*ret = weir_rune_next(r->text, r->len, &r->at);
		return true;
	}
	c = r->at < r->len ? r->text[r->at++] : '\0';
	switch (c) {
	case 'x':
		return read_hex(r, 2, ret);
	case 'u':
		return read_hex(r, 4, ret);
	case 'U':
		return read_hex(r, 8, ret);
	case 't':
		*ret = '\t';
		return true;
	case 'r':
		*ret = '\r';
		return true;
	case 'n':
		*ret = '\n';
		return true;
	case '\\':
	case '"':
	case '[':
	case ']':
	case '-':
	case '^':
	case '\'':
		*ret = (uint32_t)c;
		return true;
	default:
		r->at--;
		return fail(r, "an escape that is not known") != NULL;
	}
}

static struct weir_term *read_literal(struct reader *r)
{
	struct weir_term *t = weir_term_new(&r->terms, WEIR_TERM_SEQUENCE), *one;
	struct weir_rune_range range;

	while (!eat(r, '"')) {
		if (!read_rune(r, &range.lo))
			return NULL;
		range.hi = range.lo;
		one = weir_term_runes(&r->terms, &range, 1);
		if (!one || !t)
			return no_memory(r);
		weir_term_append(t, one);
	}
	return t ? t : no_memory(r);
}

/* Not within the recursion, for the room it takes on the stack. */
__attribute__((noinline)) static struct weir_term *read_class(struct reader *r)
{
	struct weir_rune_range set[MAX_RANGES], other[MAX_RANGES + 1];
	struct weir_term *t;
	bool negate = eat(r, '^');
	size_t n = 0;

	while (!eat(r, ']')) {
		if (n == MAX_RANGES)
			n = weir_ranges_normalise(set, n);
		if (n == MAX_RANGES)
			return fail(r, "a class of too many characters");
		if (!read_rune(r, &set[n].lo))
			return NULL;
		set[n].hi = set[n].lo;
		if (sees(r, '-') && r->at + 1 < r->len && r->text[r->at + 1] != ']') {
			r->at++;
			if (!read_rune(r, &set[n].hi))
				return NULL;
			if (set[n].hi < set[n].lo)
				return fail(r, "a range that goes backwards");
		}
		n++;
	}
	n = weir_ranges_normalise(set, n);
	t = negate ? weir_term_runes(&r->terms, other, weir_ranges_negate(set, n, other))
		   : weir_term_runes(&r->terms, set, n);
	return t ? t : no_memory(r);
}

/* --- structure ----------------------------------------------------------------------------- */

static struct weir_term *read_choice(struct reader *r, bool inside);

static struct weir_term *read_atom(struct reader *r)
{
	static const struct weir_rune_range any = { 0, 0x10ffff };
	struct weir_term *t;
	struct weir_str text;
	struct name *name;
	size_t from = r->at;

	if (eat(r, '"'))
		return read_literal(r);
	if (eat(r, '['))
		return read_class(r);
	if (eat(r, '.')) {
		t = weir_term_runes(&r->terms, &any, 1);
		return t ? t : no_memory(r);
	}
	if (eat(r, '(')) {
		if (++r->depth > WEIR_TERM_DEPTH)
			return fail_at(r, WEIR_E_EXHAUSTED, r->at, "groups are nested too deeply",
				       (struct weir_str){ 0 });
		skip(r, true);
		t = read_choice(r, true);
		r->depth--;
		if (t && !eat(r, ')'))
			return fail(r, "a ) is missing");
		return t;
	}
	text = read_name(r);
	if (text.len == 0)
		return fail(r, "a literal, a class, a group or the name of a rule is missing");
	name = name_of(r, text, from);
	t = weir_term_new(&r->terms, WEIR_TERM_RULE);
	if (!name || !t)
		return no_memory(r);
	t->rule = name->rule;
	return t;
}

static bool read_count(struct reader *r, uint32_t *ret)
{
	size_t from = r->at;

	*ret = 0;
	while (r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9' &&
	       *ret <= WEIR_TERM_MOST)
		*ret = *ret * 10 + (uint32_t)(r->text[r->at++] - '0');
	return r->at > from;
}

static struct weir_term *read_piece(struct reader *r, bool inside)
{
	struct weir_term *t = read_atom(r);

	while (t) {
		uint32_t min = 0, max = WEIR_NET_MANY;

		skip(r, inside);
		if (eat(r, '+')) {
			min = 1;
		} else if (eat(r, '?')) {
			max = 1;
		} else if (eat(r, '{')) {
			skip(r, true);
			if (!read_count(r, &min))
				return fail(r, "a number is missing");
			skip(r, true);
			max = min;
			if (eat(r, ',')) {
				skip(r, true);
				if (!read_count(r, &max))
					max = WEIR_NET_MANY;
				skip(r, true);
			}
			if (!eat(r, '}'))
				return fail(r, "a } is missing");
			if (max < min)
				return fail(r, "a repetition that goes backwards");
			if (min > WEIR_TERM_MOST || (max != WEIR_NET_MANY && max > WEIR_TERM_MOST))
				return fail(r, "more than a million repetitions");
		} else if (!eat(r, '*')) {
			return t;
		}
		/* Repetitions of repetitions: as deep as groups may be. */
		if (t->kind == WEIR_TERM_REPEAT && t->rule++ >= 16)
			return fail(r, "a repetition of a repetition");
		t = weir_term_repeat(&r->terms, t, min, max);
		if (!t)
			return no_memory(r);
		t->rule = t->first->kind == WEIR_TERM_REPEAT ? t->first->rule : 0;
	}
	return NULL;
}

static bool way_ends(const struct reader *r)
{
	return r->at >= r->len || sees(r, '|') || sees(r, ')') || sees(r, '\n') || sees(r, '\r');
}

static struct weir_term *read_choice(struct reader *r, bool inside)
{
	struct weir_term *choice = weir_term_new(&r->terms, WEIR_TERM_CHOICE), *way, *t;

	do {
		skip(r, true);
		way = weir_term_new(&r->terms, WEIR_TERM_SEQUENCE);
		if (!choice || !way)
			return no_memory(r);
		while (!way_ends(r)) {
			t = read_piece(r, inside);
			if (!t)
				return NULL;
			weir_term_append(way, t);
			skip(r, inside);
		}
		weir_term_append(choice, way);
	} while (eat(r, '|'));
	return choice->first->next ? choice : choice->first;
}

/* A `|` at the beginning of a line goes on with the rule before. */
static bool goes_on(struct reader *r)
{
	size_t from = r->at;

	skip(r, true);
	if (sees(r, '|'))
		return true;
	r->at = from;
	return false;
}

static bool read_rule(struct reader *r)
{
	size_t from = r->at;
	struct weir_str text = read_name(r);
	struct weir_term *t;
	struct name *name;
	uint32_t rule;

	if (text.len == 0)
		return fail(r, "the name of a rule is missing") != NULL;
	skip(r, false);
	if (r->len - r->at < 3 || memcmp(r->text + r->at, "::=", 3) != 0)
		return fail(r, "::= is missing") != NULL;
	r->at += 3;
	name = name_of(r, text, from);
	if (!name)
		return false;
	if (name->defined)
		return fail_at(r, WEIR_E_INVALID, from, "a rule for the second time: ", text) !=
		       NULL;
	name->defined = true;
	rule = name->rule;
	do {
		t = read_choice(r, false);
		if (!t || r->net->exhausted)
			return false;
		weir_term_emit(r->net, t, r->net->rules[rule].start, r->net->rules[rule].end, 0);
		weir_terms_clear(&r->terms);
	} while (goes_on(r) && eat(r, '|'));
	if (!way_ends(r) || sees(r, ')'))
		return fail(r, "a ) that closes nothing") != NULL;
	return true;
}

weir_status weir_gbnf_read(struct weir_net *net, struct weir_str text, struct weir_error *err)
{
	struct reader r = { .net = net, .text = text.data, .len = text.len, .err = err };
	bool ok = true;

	memset(r.buckets, 0xff, sizeof(r.buckets));
	skip(&r, true);
	while (ok && r.at < r.len) {
		ok = read_rule(&r);
		skip(&r, true);
	}
	for (uint32_t i = 0; ok && i < r.n_names; i++)
		if (!r.names[i].defined)
			ok = fail_at(&r, WEIR_E_INVALID, r.names[i].first_use, "there is no rule ",
				     r.names[i].text) != NULL;
	if (ok) {
		struct name *root = name_of(&r, (struct weir_str){ "root", 4 }, 0);

		if (root && !root->defined)
			fail_at(&r, WEIR_E_INVALID, r.len,
				"there is no rule named root, which is where a text begins",
				(struct weir_str){ 0 });
		else if (root)
			net->root = root->rule;
	}
	weir_terms_clear(&r.terms);
	free(r.names);
	/* An exhausted net says so when it is linked. */
	return r.status;
}
