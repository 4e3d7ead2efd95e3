/*
 * grammar-net.c - building a network; see grammar-net.h. Linking is in grammar-link.c.
 */
#include "grammar-net.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* Room for one more element; doubles. */
static bool grow(void **array, uint32_t n, uint32_t *cap, uint32_t limit, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 64;
	void *more;

	if (n < *cap)
		return true;
	if (n >= limit)
		return false;
	if (want > limit)
		want = limit;
	more = realloc(*array, (size_t)want * size);
	if (!more)
		return false;
	*array = more;
	*cap = want;
	return true;
}

static bool grow_two(void **a, size_t size_a, void **b, size_t size_b, uint32_t n, uint32_t *cap,
		     uint32_t limit)
{
	uint32_t cap_a = *cap;

	if (n < *cap)
		return true;
	return grow(a, n, &cap_a, limit, size_a) && grow(b, n, cap, limit, size_b);
}

uint32_t weir_net_node(struct weir_net *net)
{
	void *head = net->head, *final = net->final;
	bool ok;

	if (net->exhausted)
		return WEIR_NODE_EXIT;
	ok = grow_two(&head, sizeof(*net->head), &final, sizeof(*net->final), net->n_nodes,
		      &net->cap_nodes, WEIR_NET_NODES);
	net->head = head;
	net->final = final;
	if (!ok) {
		net->exhausted = true;
		return WEIR_NODE_EXIT;
	}
	net->head[net->n_nodes] = NONE;
	net->final[net->n_nodes] = 0;
	return net->n_nodes++;
}

static void add_edge(struct weir_net *net, uint32_t from, struct weir_edge edge)
{
	void *edges = net->edges, *next = net->next;
	bool ok;

	if (net->exhausted)
		return;
	ok = grow_two(&edges, sizeof(*net->edges), &next, sizeof(*net->next), net->n_edges,
		      &net->cap_edges, WEIR_NET_EDGES);
	net->edges = edges;
	net->next = next;
	if (!ok) {
		net->exhausted = true;
		return;
	}
	net->edges[net->n_edges] = edge;
	net->next[net->n_edges] = net->head[from];
	net->head[from] = net->n_edges++;
}

struct weir_net *weir_net_new(void)
{
	struct weir_net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	weir_net_node(net);
	weir_net_node(net);
	return net;
}

struct weir_net *weir_net_new_on(const struct weir_net *prelude)
{
	struct weir_net *net = weir_net_new();

	if (!net)
		return NULL;
	for (uint32_t i = WEIR_NODE_FIRST; i < prelude->n_nodes; i++) {
		uint32_t n = weir_net_node(net);

		if (!net->exhausted)
			net->final[n] = prelude->final[i];
	}
	for (uint32_t i = 0; i < prelude->n_nodes; i++)
		for (uint32_t e = prelude->first[i]; e < prelude->first[i + 1]; e++)
			add_edge(net, i, prelude->edges[e]);
	net->rules = malloc((prelude->n_rules + 8) * sizeof(*net->rules));
	net->loops = malloc((prelude->n_loops + 8) * sizeof(*net->loops));
	if (!net->rules || !net->loops || net->exhausted) {
		weir_net_free(net);
		return NULL;
	}
	net->cap_rules = prelude->n_rules + 8;
	net->cap_loops = prelude->n_loops + 8;
	memcpy(net->rules, prelude->rules, prelude->n_rules * sizeof(*net->rules));
	if (prelude->n_loops > 0)
		memcpy(net->loops, prelude->loops, prelude->n_loops * sizeof(*net->loops));
	net->n_rules = prelude->n_rules;
	net->n_loops = prelude->n_loops;
	net->n_shared = prelude->n_nodes;
	return net;
}

void weir_net_free(struct weir_net *net)
{
	if (!net)
		return;
	free(net->edges);
	free(net->next);
	free(net->head);
	free(net->first);
	free(net->final);
	free(net->rules);
	free(net->loops);
	free(net);
}

uint32_t weir_net_rule(struct weir_net *net, const char *name, size_t len)
{
	void *rules = net->rules;
	struct weir_net_rule *rule;
	bool ok = grow(&rules, net->n_rules, &net->cap_rules, WEIR_NET_NODES, sizeof(*rule));

	net->rules = rules;
	if (!ok) {
		net->exhausted = true;
		return 0;
	}
	rule = &net->rules[net->n_rules];
	memset(rule, 0, sizeof(*rule));
	if (len >= sizeof(rule->name))
		len = sizeof(rule->name) - 1;
	memcpy(rule->name, name, len);
	rule->start = weir_net_node(net);
	rule->end = weir_net_node(net);
	if (!net->exhausted)
		net->final[rule->end] = 1;
	return net->n_rules++;
}

void weir_net_byte(struct weir_net *net, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi)
{
	add_edge(net, from,
		 (struct weir_edge){ .target = to, .kind = WEIR_EDGE_BYTE, .lo = lo, .hi = hi });
}

void weir_net_empty(struct weir_net *net, uint32_t from, uint32_t to)
{
	add_edge(net, from, (struct weir_edge){ .target = to, .kind = WEIR_EDGE_EMPTY });
}

void weir_net_call(struct weir_net *net, uint32_t from, uint32_t to, uint32_t rule)
{
	add_edge(net, from,
		 (struct weir_edge){ .target = to, .kind = WEIR_EDGE_CALL, .arg = rule });
}

void weir_net_loop(struct weir_net *net, uint32_t from, uint32_t to, uint32_t rule, uint32_t min,
		   uint32_t max)
{
	void *loops = net->loops;
	bool ok = grow(&loops, net->n_loops, &net->cap_loops, WEIR_NET_NODES,
		       sizeof(struct weir_net_loop));

	net->loops = loops;
	if (!ok) {
		net->exhausted = true;
		return;
	}
	if (max == 0) {
		weir_net_empty(net, from, to);
		return;
	}
	net->loops[net->n_loops] = (struct weir_net_loop){ rule, min, max, to };
	add_edge(net, from,
		 (struct weir_edge){ .target = to, .kind = WEIR_EDGE_LOOP, .arg = net->n_loops++ });
}

void weir_net_literal(struct weir_net *net, uint32_t from, uint32_t to, const char *text,
		      size_t len)
{
	if (len == 0)
		weir_net_empty(net, from, to);
	for (size_t i = 0; i < len && !net->exhausted; i++) {
		uint32_t next = i + 1 == len ? to : weir_net_node(net);

		weir_net_byte(net, from, next, (uint8_t)text[i], (uint8_t)text[i]);
		from = next;
	}
}

/* --- characters ---------------------------------------------------------------------------- */

static unsigned encode(uint32_t r, uint8_t *out)
{
	unsigned n = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;

	if (n == 1) {
		out[0] = (uint8_t)r;
		return 1;
	}
	for (unsigned i = n - 1; i > 0; i--, r >>= 6)
		out[i] = (uint8_t)(0x80 | (r & 0x3f));
	out[0] = (uint8_t)((0xf00 >> n) | r);
	return n;
}

/* Both ends have n bytes. Cut where the range is no product of byte ranges. */
static void byte_range(struct weir_net *net, uint32_t from, uint32_t to, const uint8_t *lo,
		       const uint8_t *hi, unsigned n)
{
	static const uint8_t least[3] = { 0x80, 0x80, 0x80 }, most[3] = { 0xbf, 0xbf, 0xbf };
	uint32_t next;
	unsigned first = lo[0], last = hi[0];

	if (n == 1) {
		weir_net_byte(net, from, to, lo[0], hi[0]);
		return;
	}
	if (first == last) {
		next = weir_net_node(net);
		weir_net_byte(net, from, next, lo[0], lo[0]);
		byte_range(net, next, to, lo + 1, hi + 1, n - 1);
		return;
	}
	if (memcmp(lo + 1, least, n - 1) != 0) {
		next = weir_net_node(net);
		weir_net_byte(net, from, next, lo[0], lo[0]);
		byte_range(net, next, to, lo + 1, most, n - 1);
		first++;
	}
	if (memcmp(hi + 1, most, n - 1) != 0) {
		next = weir_net_node(net);
		weir_net_byte(net, from, next, hi[0], hi[0]);
		byte_range(net, next, to, least, hi + 1, n - 1);
		last--;
	}
	if (first > last)
		return;
	next = weir_net_node(net);
	weir_net_byte(net, from, next, (uint8_t)first, (uint8_t)last);
	byte_range(net, next, to, least, most, n - 1);
}

void weir_net_runes(struct weir_net *net, uint32_t from, uint32_t to,
		    const struct weir_rune_range *ranges, size_t n)
{
	/* Where the length in UTF-8 changes, and around the surrogates. */
	static const struct weir_rune_range parts[] = { { 0, 0x7f },
							{ 0x80, 0x7ff },
							{ 0x800, 0xd7ff },
							{ 0xe000, 0xffff },
							{ 0x10000, 0x10ffff } };
	uint32_t first_edge = net->n_edges;

	for (size_t i = 0; i < n && !net->exhausted; i++) {
		for (size_t k = 0; k < sizeof(parts) / sizeof(*parts); k++) {
			uint32_t lo = ranges[i].lo > parts[k].lo ? ranges[i].lo : parts[k].lo;
			uint32_t hi = ranges[i].hi < parts[k].hi ? ranges[i].hi : parts[k].hi;
			uint8_t a[4], b[4];

			if (lo > hi)
				continue;
			encode(hi, b);
			byte_range(net, from, to, a, b, encode(lo, a));
		}
	}
	for (uint32_t e = net->head[from]; e != NONE && e >= first_edge; e = net->next[e])
		net->edges[e].flags |= WEIR_EDGE_STARTS;
}

/* --- words --------------------------------------------------------------------------------- */

static int compare_words(const void *a, const void *b)
{
	const struct weir_str *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = n > 0 ? memcmp(x->data, y->data, n) : 0;

	return c ? c : x->len < y->len ? -1 : x->len > y->len;
}

void weir_net_words(struct weir_net *net, uint32_t from, uint32_t to, struct weir_str *words,
		    size_t n)
{
	/* The path of the word before, up to where the next one leaves it. */
	size_t longest = 0, kept = 0;
	uint32_t *path;

	for (size_t i = 0; i < n; i++)
		longest = words[i].len > longest ? words[i].len : longest;
	path = calloc(longest + 1, sizeof(*path));
	if (!path) {
		net->exhausted = true;
		return;
	}
	if (n > 1)
		qsort(words, n, sizeof(*words), compare_words);
	path[0] = from;
	for (size_t i = 0; i < n && !net->exhausted; i++) {
		if (i > 0) {
			size_t both =
				words[i - 1].len < words[i].len ? words[i - 1].len : words[i].len;

			for (kept = 0; kept < both; kept++)
				if (words[i - 1].data[kept] != words[i].data[kept])
					break;
			if (kept == words[i].len)
				continue; /* the same again */
		}
		for (size_t k = kept; k < words[i].len && !net->exhausted; k++) {
			path[k + 1] = weir_net_node(net);
			weir_net_byte(net, path[k], path[k + 1], (uint8_t)words[i].data[k],
				      (uint8_t)words[i].data[k]);
		}
		weir_net_empty(net, path[words[i].len], to);
	}
	free(path);
}

size_t weir_net_bytes(const struct weir_net *net)
{
	return sizeof(*net) + net->cap_edges * (sizeof(*net->edges) + sizeof(*net->next)) +
	       net->cap_nodes * (2 * sizeof(uint32_t) + 1) + net->cap_rules * sizeof(*net->rules) +
	       net->cap_loops * sizeof(*net->loops);
}
