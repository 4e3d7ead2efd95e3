/*
 * grammar-term.c - terms, sets of characters, and terms as networks; see grammar-term.h.
 */
#include "grammar-term.h"
#include "grammar-json.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)32 << 10)
#define MOST  (1u << 28)
/* Repetitions whose text written out is no longer than this are written out. */
#define WRITTEN_OUT 48u

struct weir_terms_chunk {
	struct weir_terms_chunk *next;
	size_t used, size;
	_Alignas(16) char data[];
};

static void *take(struct weir_terms *t, size_t size)
{
	struct weir_terms_chunk *c = t->chunks;
	void *at;

	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK ? size : CHUNK;

		c = malloc(sizeof(*c) + room);
		if (!c) {
			t->exhausted = true;
			return NULL;
		}
		*c = (struct weir_terms_chunk){ t->chunks, 0, room };
		t->chunks = c;
	}
	at = c->data + c->used;
	c->used += size;
	memset(at, 0, size);
	return at;
}

void weir_terms_clear(struct weir_terms *t)
{
	while (t->chunks) {
		struct weir_terms_chunk *next = t->chunks->next;

		free(t->chunks);
		t->chunks = next;
	}
}

struct weir_term *weir_term_new(struct weir_terms *t, enum weir_term_kind kind)
{
	struct weir_term *term = take(t, sizeof(*term));

	if (term) {
		term->kind = kind;
		term->size = 1;
	}
	return term;
}

struct weir_term *weir_term_runes(struct weir_terms *t, const struct weir_rune_range *r, size_t n)
{
	struct weir_term *term = weir_term_new(t, WEIR_TERM_RUNES);

	if (!term)
		return NULL;
	term->ranges = take(t, (n + 1) * sizeof(*r));
	if (!term->ranges)
		return NULL;
	if (n > 0)
		memcpy(term->ranges, r, n * sizeof(*r));
	term->n_ranges = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		term->size += r[i].hi < 0x80 ? 1 : 8;
	return term;
}

static uint32_t add_sizes(uint32_t a, uint32_t b)
{
	return a > MOST - b ? MOST : a + b;
}

struct weir_term *weir_term_repeat(struct weir_terms *t, struct weir_term *child, uint32_t min,
				   uint32_t max)
{
	struct weir_term *term = child ? weir_term_new(t, WEIR_TERM_REPEAT) : NULL;
	uint64_t rounds = max == WEIR_NET_MANY ? (uint64_t)min + 1 : max;

	if (!term)
		return NULL;
	term->min = min;
	term->max = max;
	term->first = term->last = child;
	term->size = rounds * child->size + 2 > MOST ? MOST : (uint32_t)rounds * child->size + 2;
	return term;
}

void weir_term_append(struct weir_term *parent, struct weir_term *child)
{
	if (!parent || !child)
		return;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->size = add_sizes(parent->size, child->size);
}

/* --- sets of characters -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct weir_rune_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

size_t weir_ranges_normalise(struct weir_rune_range *r, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(r, n, sizeof(*r), compare);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && r[i].lo <= r[kept - 1].hi + 1) {
			if (r[i].hi > r[kept - 1].hi)
				r[kept - 1].hi = r[i].hi;
		} else {
			r[kept++] = r[i];
		}
	}
	return kept;
}

size_t weir_ranges_negate(const struct weir_rune_range *r, size_t n, struct weir_rune_range *out)
{
	uint32_t next = 0;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (r[i].lo > next)
			out[kept++] = (struct weir_rune_range){ next, r[i].lo - 1 };
		next = r[i].hi + 1;
	}
	if (next <= 0x10ffff)
		out[kept++] = (struct weir_rune_range){ next, 0x10ffff };
	return kept;
}

static bool holds(const struct weir_term *t, uint32_t rune)
{
	for (uint32_t i = 0; i < t->n_ranges; i++)
		if (t->ranges[i].lo <= rune && rune <= t->ranges[i].hi)
			return true;
	return false;
}

/* Characters as they stand in a JSON string: those that need an escape have one spelling. */
static void emit_json_runes(struct weir_net *net, const struct weir_term *t, uint32_t from,
			    uint32_t to)
{
	static const struct weir_rune_range plain[] = { { 0x20, 0x21 },
							{ 0x23, 0x5b },
							{ 0x5d, 0x10ffff } };
	struct weir_str words[34];
	struct weir_text text[34];
	uint32_t first_edge = net->n_edges;
	size_t n = 0;

	for (uint32_t i = 0; i < t->n_ranges; i++) {
		for (int k = 0; k < 3; k++) {
			struct weir_rune_range both = t->ranges[i];

			both.lo = both.lo < plain[k].lo ? plain[k].lo : both.lo;
			both.hi = both.hi > plain[k].hi ? plain[k].hi : both.hi;
			if (both.lo <= both.hi)
				weir_net_runes(net, from, to, &both, 1);
		}
	}
	for (uint32_t rune = 0; rune <= 0x5c; rune = rune == 0x1f  ? '"'
						     : rune == '"' ? '\\'
								   : rune + 1) {
		char c = (char)rune;

		if (!holds(t, rune))
			continue;
		memset(&text[n], 0, sizeof(text[n]));
		weir_text_add_string(&text[n], (struct weir_str){ &c, 1 });
		if (text[n].failed)
			net->exhausted = true;
		else
			words[n] = (struct weir_str){ text[n].data + 1, text[n].len - 2 };
		n++;
	}
	if (n > 0 && !net->exhausted)
		weir_net_words(net, from, to, words, n);
	for (size_t i = 0; i < n; i++)
		weir_text_clear(&text[i]);
	if (net->exhausted)
		return;
	for (uint32_t e = net->head[from]; e != UINT32_MAX && e >= first_edge; e = net->next[e])
		net->edges[e].flags |= WEIR_EDGE_STARTS;
}

/* --- emitting ------------------------------------------------------------------------------ */

static void emit_repeat(struct weir_net *net, const struct weir_term *t, uint32_t from, uint32_t to,
			unsigned mode)
{
	const struct weir_term *body = t->first;
	bool many = t->max == WEIR_NET_MANY;
	uint32_t rule, next;

	if (t->max == 0 || (many && t->min <= 1)) {
		next = weir_net_node(net);
		if (t->max == 0 || t->min == 0)
			weir_net_empty(net, from, t->max == 0 ? to : next);
		if (t->max == 0)
			return;
		if (t->min == 1)
			weir_term_emit(net, body, from, next, mode);
		weir_term_emit(net, body, next, next, mode);
		weir_net_empty(net, next, to);
		return;
	}
	if (t->size > WRITTEN_OUT && !(mode & WEIR_TERM_FLAT) && t->max > 1) {
		rule = weir_net_rule(net, "repetition", 10);
		if (net->exhausted)
			return;
		weir_term_emit(net, body, net->rules[rule].start, net->rules[rule].end, mode);
		weir_net_loop(net, from, to, rule, t->min, t->max);
		return;
	}
	for (uint32_t i = 0; i < (many ? t->min : t->max) && !net->exhausted; i++) {
		if (i >= t->min)
			weir_net_empty(net, from, to);
		next = weir_net_node(net);
		weir_term_emit(net, body, from, next, mode);
		from = next;
	}
	if (many)
		weir_term_emit(net, body, from, from, mode);
	weir_net_empty(net, from, to);
}

void weir_term_emit(struct weir_net *net, const struct weir_term *t, uint32_t from, uint32_t to,
		    unsigned mode)
{
	if (net->exhausted)
		return;
	switch (t->kind) {
	case WEIR_TERM_RUNES:
		if (mode & WEIR_TERM_JSON)
			emit_json_runes(net, t, from, to);
		else
			weir_net_runes(net, from, to, t->ranges, t->n_ranges);
		return;
	case WEIR_TERM_SEQUENCE:
		for (const struct weir_term *c = t->first; c; c = c->next) {
			uint32_t next = c->next ? weir_net_node(net) : to;

			weir_term_emit(net, c, from, next, mode);
			from = next;
		}
		if (!t->first)
			weir_net_empty(net, from, to);
		return;
	case WEIR_TERM_CHOICE:
		/* Ways of their own: a repetition that begins in one must not lead into another. */
		for (const struct weir_term *c = t->first; c; c = c->next) {
			uint32_t start = weir_net_node(net);

			weir_net_empty(net, from, start);
			weir_term_emit(net, c, start, to, mode);
		}
		return;
	case WEIR_TERM_REPEAT:
		emit_repeat(net, t, from, to, mode);
		return;
	case WEIR_TERM_RULE:
		weir_net_call(net, from, to, t->rule);
		return;
	case WEIR_TERM_EMPTY:
	case WEIR_TERM_BEGIN:
	case WEIR_TERM_END:
		weir_net_empty(net, from, to);
		return;
	}
}
