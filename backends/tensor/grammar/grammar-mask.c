/*
 * grammar-mask.c - see grammar-mask.h. The deterministic machine behind it is grammar-machine.c.
 */
#include "grammar-mask.h"
#include "fail.h"
#include "grammar-machine.h"

#include <stdlib.h>
#include <string.h>

/* What the nodes of one frame allow. */
struct weir_part {
	uint32_t *bits;   /* NULL: few tokens, in the list */
	uint32_t *tokens; /* the list; with rounds: all, by falling number of rounds */
	uint16_t *rounds; /* NULL unless with rounds */
	uint32_t n_tokens, n_exits;
	struct exit {
		uint32_t node, count;
	} * exits;
	/* Of many exits: what is one byte further down, by that byte; made when it is asked for. */
	struct below {
		struct exit *at;
		uint32_t n;
	} * below;
};

struct weir_masker {
	struct machine machine;
	const struct weir_trie *trie;
	struct weir_masker *prelude;
	uint32_t path[WEIR_TRIE_DEPTH + 1]; /* of the walk: a set for each depth */
	uint32_t *found;                    /* tokens of a walk, n_vocab */
	uint16_t *found_rounds;
	struct exit *exits;
	uint32_t n_found, n_exits, cap_exits;
	uint32_t *scratch; /* one mask */
	struct weir_configs configs;
};

#define FEW       256 /* tokens that are kept as a list */
#define FEW_EXITS 16  /* that are all gone down from */

static weir_status no_memory(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
}

void weir_part_free(struct weir_part *p)
{
	if (!p)
		return;
	free(p->bits);
	free(p->tokens);
	free(p->rounds);
	free(p->exits);
	for (unsigned i = 0; p->below && i < 256; i++)
		free(p->below[i].at);
	free(p->below);
	free(p);
}

weir_status weir_masker_new(const struct weir_net *net, const struct weir_trie *trie,
			    struct weir_masker *prelude, struct weir_masker **ret,
			    struct weir_error *err)
{
	struct weir_masker *m = calloc(1, sizeof(*m));
	weir_status s;

	if (!m)
		return no_memory(err);
	m->trie = trie;
	m->prelude = prelude;
	s = machine_init(&m->machine, net, err);
	if (s != WEIR_OK) {
		free(m);
		return s;
	}
	m->found = malloc((trie->n_vocab + 1) * sizeof(*m->found));
	m->found_rounds = malloc((trie->n_vocab + 1) * sizeof(*m->found_rounds));
	m->scratch = calloc(trie->n_words + 1, sizeof(*m->scratch));
	if (!m->found || !m->found_rounds || !m->scratch) {
		weir_masker_free(m);
		return no_memory(err);
	}
	*ret = m;
	return WEIR_OK;
}

void weir_masker_free(struct weir_masker *m)
{
	if (!m)
		return;
	machine_clear(&m->machine);
	free(m->found);
	free(m->found_rounds);
	free(m->exits);
	free(m->scratch);
	free(m->configs.at);
	free(m);
}

size_t weir_masker_bytes(struct weir_masker *m)
{
	size_t n;

	pthread_mutex_lock(&m->machine.lock);
	n = m->machine.bytes;
	pthread_mutex_unlock(&m->machine.lock);
	return n;
}

static void set_bit(uint32_t *mask, uint32_t token)
{
	mask[token / 32] |= 1u << (token % 32);
}

/* --- parts --------------------------------------------------------------------------------- */

static bool found_exit(struct weir_masker *m, uint32_t node, uint32_t count)
{
	if (m->n_exits == m->cap_exits) {
		uint32_t cap = m->cap_exits ? m->cap_exits * 2 : 256;
		struct exit *exits = realloc(m->exits, cap * sizeof(*exits));

		if (!exits)
			return false;
		m->exits = exits;
		m->cap_exits = cap;
	}
	m->exits[m->n_exits++] = (struct exit){ node, count };
	return true;
}

/* The rule ends at a node that has more below: the callers decide about that. */
static bool found_exits(struct weir_masker *m, uint32_t set, uint32_t node)
{
	const struct machine *a = &m->machine;
	const struct set *s = &a->sets[set];

	for (uint32_t i = 0; i < s->n; i++) {
		const struct weir_config *c = &a->configs[s->first + i];

		if (c->node == WEIR_NODE_EXIT && !found_exit(m, node, machine_count(a, c->frame)))
			return false;
	}
	return true;
}

/* All tokens along the tree from a set, into found and exits. */
static weir_status walk_part(struct weir_masker *m, uint32_t set, struct weir_error *err)
{
	const struct weir_trie_node *nodes = m->trie->nodes;
	struct machine *a = &m->machine;
	uint32_t end = nodes[0].end;

	m->n_found = m->n_exits = 0;
	m->path[0] = set;
	for (uint32_t i = 1; i < end;) {
		const struct weir_trie_node *n = &nodes[i];
		uint32_t next = machine_peek(a, m->path[n->depth - 1], n->byte);

		if (next == MACHINE_UNKNOWN) {
			weir_status s = machine_step(a, m->path[n->depth - 1], n->byte, &next, err);

			if (s != WEIR_OK)
				return s;
		}
		if (next == MACHINE_DEAD) {
			i = n->end;
			continue;
		}
		m->path[n->depth] = next;
		for (int32_t t = n->token; t >= 0; t = m->trie->same[t]) {
			m->found[m->n_found] = (uint32_t)t;
			m->found_rounds[m->n_found++] = a->sets[next].rounds;
		}
		if ((a->sets[next].flags & SET_EXITS) && n->end > i + 1 && !found_exits(m, next, i))
			return no_memory(err);
		i++;
	}
	return WEIR_OK;
}

/* found by falling number of rounds: counting sort. */
static bool keep_by_rounds(struct weir_masker *m, struct weir_part *p)
{
	uint32_t starts[WEIR_TRIE_DEPTH + 3] = { 0 };

	p->rounds = malloc((p->n_tokens + 1) * sizeof(*p->rounds));
	if (!p->rounds)
		return false;
	for (uint32_t i = 0; i < p->n_tokens; i++)
		starts[WEIR_TRIE_DEPTH + 1 - m->found_rounds[i] + 1]++;
	for (uint32_t i = 1; i < WEIR_TRIE_DEPTH + 3; i++)
		starts[i] += starts[i - 1];
	for (uint32_t i = 0; i < p->n_tokens; i++) {
		uint32_t at = starts[WEIR_TRIE_DEPTH + 1 - m->found_rounds[i]]++;

		p->tokens[at] = m->found[i];
		p->rounds[at] = m->found_rounds[i];
	}
	return true;
}

static weir_status part_of(struct weir_masker *m, uint32_t set, bool rounds, struct weir_part **ret,
			   struct weir_error *err)
{
	struct weir_part *p = m->machine.sets[set].part;
	weir_status s;
	bool ok = true;

	if (p) {
		*ret = p;
		return WEIR_OK;
	}
	s = walk_part(m, set, err);
	if (s != WEIR_OK)
		return s;
	p = calloc(1, sizeof(*p));
	if (!p)
		return no_memory(err);
	p->n_tokens = m->n_found;
	p->n_exits = m->n_exits;
	if (p->n_tokens > FEW) {
		p->bits = calloc(m->trie->n_words, sizeof(*p->bits));
		ok = p->bits != NULL;
		for (uint32_t i = 0; ok && i < p->n_tokens; i++)
			set_bit(p->bits, m->found[i]);
	}
	if (ok && (rounds || !p->bits)) {
		p->tokens = malloc((p->n_tokens + 1) * sizeof(*p->tokens));
		ok = p->tokens != NULL;
		if (ok && !rounds)
			memcpy(p->tokens, m->found, p->n_tokens * sizeof(*p->tokens));
		ok = ok && (!rounds || keep_by_rounds(m, p));
	}
	if (ok && p->n_exits > 0) {
		p->exits = malloc(p->n_exits * sizeof(*p->exits));
		ok = p->exits != NULL;
		if (ok)
			memcpy(p->exits, m->exits, p->n_exits * sizeof(*p->exits));
	}
	if (!ok) {
		weir_part_free(p);
		return no_memory(err);
	}
	m->machine.sets[set].part = p;
	m->machine.bytes += sizeof(*p) + (p->bits ? m->trie->n_words * 4 : 0) +
			    (p->tokens ? p->n_tokens * 6 : 0) + p->n_exits * sizeof(*p->exits);
	*ret = p;
	return WEIR_OK;
}

/* The node below `node` by a byte; 0: none. */
static uint32_t child_of(const struct weir_trie_node *nodes, uint32_t node, uint8_t byte)
{
	for (uint32_t i = node + 1; i < nodes[node].end; i = nodes[i].end)
		if (nodes[i].byte >= byte)
			return nodes[i].byte == byte ? i : 0;
	return 0;
}

/* Most exits of a part, as of any string, have nothing below that a quote or a comma begins. */
static weir_status below_of(struct machine *a, const struct weir_trie *trie, struct weir_part *p,
			    uint8_t byte, const struct below **ret, struct weir_error *err)
{
	struct below *b;
	uint32_t cap = 0;

	if (!p->below)
		p->below = calloc(256, sizeof(*p->below));
	if (!p->below)
		return no_memory(err);
	b = &p->below[byte];
	*ret = b;
	if (b->at)
		return WEIR_OK;
	for (uint32_t i = 0; i < p->n_exits; i++) {
		uint32_t child = child_of(trie->nodes, p->exits[i].node, byte);

		if (child == 0 && i + 1 < p->n_exits)
			continue;
		if (b->n == cap) {
			struct exit *at = realloc(b->at, (cap * 2 + 8) * sizeof(*at));

			if (!at) {
				free(b->at);
				*b = (struct below){ 0 };
				return no_memory(err);
			}
			b->at = at;
			cap = cap * 2 + 8;
		}
		if (child > 0)
			b->at[b->n++] = (struct exit){ child, p->exits[i].count };
	}
	a->bytes += cap * sizeof(*b->at);
	return WEIR_OK;
}

/* How many rounds are still needed, and may be made. */
struct bounds {
	bool rounds;
	uint32_t min, max, rule;
};

static void add_part(struct weir_masker *m, const struct weir_part *p, const struct bounds *b,
		     uint32_t *mask)
{
	uint32_t lo = 0, hi = p->n_tokens, words = m->trie->n_words;

	if (!b->rounds && !p->bits)
		for (uint32_t i = 0; i < p->n_tokens; i++)
			set_bit(mask, p->tokens[i]);
	if (!b->rounds && p->bits)
		for (uint32_t i = 0; i < words; i++)
			mask[i] |= p->bits[i];
	if (!b->rounds)
		return;
	while (lo < hi) { /* the first that needs no more than max rounds */
		uint32_t mid = lo + (hi - lo) / 2;

		if (p->rounds[mid] > b->max)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!p->bits || p->n_tokens - lo < lo) {
		for (uint32_t i = lo; i < p->n_tokens; i++)
			set_bit(mask, p->tokens[i]);
		return;
	}
	memcpy(m->scratch, p->bits, words * sizeof(*mask));
	for (uint32_t i = 0; i < lo; i++)
		m->scratch[p->tokens[i] / 32] &= ~(1u << (p->tokens[i] % 32));
	for (uint32_t i = 0; i < words; i++)
		mask[i] |= m->scratch[i];
}

/* --- the whole ----------------------------------------------------------------------------- */

/* The tokens below a node of the tree. */
static weir_status walk_below(struct weir_masker *m, uint32_t set, uint32_t node, uint32_t *mask,
			      struct weir_error *err)
{
	const struct weir_trie_node *nodes = m->trie->nodes;
	struct machine *a = &m->machine;
	uint32_t end = nodes[node].end;

	m->path[nodes[node].depth] = set;
	for (uint32_t i = node + 1; i < end;) {
		const struct weir_trie_node *n = &nodes[i];
		uint32_t next = machine_peek(a, m->path[n->depth - 1], n->byte);

		if (next == MACHINE_UNKNOWN) {
			weir_status s = machine_step(a, m->path[n->depth - 1], n->byte, &next, err);

			if (s != WEIR_OK)
				return s;
		}
		if (next == MACHINE_DEAD) {
			i = n->end;
			continue;
		}
		m->path[n->depth] = next;
		for (int32_t t = n->token; t >= 0; t = m->trie->same[t])
			set_bit(mask, (uint32_t)t);
		i++;
	}
	return WEIR_OK;
}

static void bounds_of(const struct weir_run *run, uint32_t frame, struct bounds *b)
{
	const struct weir_entry *e = &run->entries[run->frames[frame].first];
	const struct weir_net_loop *loop;

	*b = (struct bounds){ 0 };
	if (run->frames[frame].n != 1 || (e->to & WEIR_TO_KIND) != WEIR_TO_LOOP)
		return;
	loop = &run->net->loops[e->to & WEIR_TO_VALUE];
	b->rounds = run->net->rules[loop->rule].flat;
	b->rule = loop->rule;
	b->min = loop->min > e->count ? loop->min - e->count : 0;
	b->max = loop->max == WEIR_NET_MANY ? WEIR_NET_MANY : loop->max - e->count;
}

/* The set of a frame's nodes with nothing known below them. */
static weir_status alone(struct weir_masker *m, const struct weir_config *at, uint32_t n,
			 const struct bounds *b, uint32_t *ret, struct weir_error *err)
{
	struct weir_entry round = { WEIR_TO_ROUND | b->rule, 0, WEIR_FRAME_HOLE };
	uint32_t frame = WEIR_FRAME_HOLE;

	if (b->rounds)
		frame = weir_run_frame(&m->machine.run, &round, 1);
	if (frame == UINT32_MAX)
		return no_memory(err);
	m->configs.n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!weir_configs_add(&m->configs, (struct weir_config){ at[i].node, frame }))
			return no_memory(err);
	return machine_set(&m->machine, &m->configs, ret, err);
}

/* A node of the tree and all below, from the set before its byte. */
static weir_status walk_from(struct weir_masker *m, uint32_t set, uint32_t node, uint32_t *mask,
			     struct weir_error *err)
{
	const struct weir_trie_node *n = &m->trie->nodes[node];
	struct machine *a = &m->machine;
	uint32_t next = machine_peek(a, set, n->byte);

	if (next == MACHINE_UNKNOWN) {
		weir_status s = machine_step(a, set, n->byte, &next, err);

		if (s != WEIR_OK)
			return s;
	}
	if (next == MACHINE_DEAD)
		return WEIR_OK;
	for (int32_t t = n->token; t >= 0; t = m->trie->same[t])
		set_bit(mask, (uint32_t)t);
	return n->end > node + 1 ? walk_below(m, next, node, mask, err) : WEIR_OK;
}

static bool fits(const struct bounds *b, const struct exit *e)
{
	return !b->rounds || (e->count >= b->min && e->count <= b->max);
}

/* What goes on behind the exits of a part, in `rest`. */
static weir_status add_exits(struct weir_masker *m, struct weir_masker *owner, struct weir_part *p,
			     const struct bounds *b, uint32_t rest, uint32_t *mask,
			     struct weir_error *err)
{
	struct machine *a = &m->machine;
	bool few = p->n_exits <= FEW_EXITS;
	weir_status s = WEIR_OK;

	for (uint32_t i = 0; few && s == WEIR_OK && i < p->n_exits; i++)
		if (fits(b, &p->exits[i]))
			s = walk_below(m, rest, p->exits[i].node, mask, err);
	for (unsigned byte = 0; !few && s == WEIR_OK && byte < 256; byte++) {
		const struct below *below = NULL;
		uint32_t next = machine_peek(a, rest, (uint8_t)byte);

		if (next == MACHINE_UNKNOWN)
			s = machine_step(a, rest, (uint8_t)byte, &next, err);
		if (s != WEIR_OK || next == MACHINE_DEAD)
			continue;
		s = below_of(&owner->machine, m->trie, p, (uint8_t)byte, &below, err);
		for (uint32_t i = 0; s == WEIR_OK && i < below->n; i++)
			if (fits(b, &below->at[i]))
				s = walk_from(m, rest, below->at[i].node, mask, err);
	}
	return s;
}

/* The nodes at[0 .. n) have the same frame. `at` stays where it is. */
static weir_status add_group(struct weir_masker *m, const struct weir_config *at, uint32_t n,
			     uint32_t *mask, struct weir_error *err)
{
	struct weir_masker *owner = m;
	struct weir_part *part;
	uint32_t frame = at[0].frame, set, rest;
	bool any = false;
	struct bounds b;
	weir_status s;

	if (at[0].node == WEIR_NODE_ACCEPT) {
		for (uint32_t i = 0; i < m->trie->n_ends; i++)
			set_bit(mask, (uint32_t)m->trie->ends[i]);
		at++;
		if (--n == 0)
			return WEIR_OK;
	}
	bounds_of(&m->machine.run, frame, &b);
	if (m->prelude && at[n - 1].node < m->machine.net->n_shared) /* sorted by node */
		owner = m->prelude;
	if (owner != m) {
		pthread_mutex_lock(&owner->machine.lock);
		machine_tidy(&owner->machine);
	}
	s = alone(owner, at, n, &b, &set, err);
	if (s == WEIR_OK)
		s = part_of(owner, set, b.rounds, &part, err);
	if (s != WEIR_OK)
		goto out;
	add_part(m, part, &b, mask);
	for (uint32_t i = 0; i < part->n_exits && !any; i++)
		any = fits(&b, &part->exits[i]);
	if (any)
		s = weir_run_return(&m->machine.run, frame, b.rounds, &m->configs, err);
	if (any && s == WEIR_OK)
		s = machine_set(&m->machine, &m->configs, &rest, err);
	if (any && s == WEIR_OK)
		s = add_exits(m, owner, part, &b, rest, mask, err);
out:
	if (owner != m)
		pthread_mutex_unlock(&owner->machine.lock);
	return s;
}

static weir_status make_mask(struct weir_masker *m, uint32_t set, uint32_t *mask,
			     struct weir_error *err)
{
	const struct machine *a = &m->machine;
	uint32_t first = a->sets[set].first, n = a->sets[set].n, any = 0;
	weir_status s = WEIR_OK;
	struct weir_config *at = malloc((n + 1) * sizeof(*at)); /* the machine's array moves */

	if (!at)
		return no_memory(err);
	memcpy(at, a->configs + first, n * sizeof(*at));
	memset(mask, 0, m->trie->n_words * sizeof(*mask));
	for (uint32_t i = 0, k; s == WEIR_OK && i < n; i = k) {
		for (k = i + 1; k < n && at[k].frame == at[i].frame;)
			k++;
		s = add_group(m, at + i, k - i, mask, err);
	}
	free(at);
	if (s != WEIR_OK)
		return s;
	for (uint32_t i = 0; i < m->trie->n_words; i++)
		any |= mask[i];
	if (!any && m->machine.run.too_deep)
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "grammar: the text is nested deeper than %u levels",
				 WEIR_RUN_DEPTH);
	if (!any)
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: no token of the model fits here: its vocabulary lacks "
				 "the characters that the grammar asks for");
	return WEIR_OK;
}

weir_status weir_masker_mask(struct weir_masker *m, const struct weir_run *run,
			     const struct weir_configs *configs, uint32_t *ret_mask,
			     struct weir_error *err)
{
	struct machine *a = &m->machine;
	size_t size = m->trie->n_words * sizeof(uint32_t);
	uint32_t set;
	weir_status s;

	pthread_mutex_lock(&a->lock);
	machine_tidy(a);
	s = weir_run_import(&a->run, run, configs, &m->configs, err);
	if (s == WEIR_OK)
		s = machine_set(a, &m->configs, &set, err);
	if (s == WEIR_OK && a->sets[set].mask) {
		memcpy(ret_mask, a->sets[set].mask, size);
	} else if (s == WEIR_OK) {
		s = make_mask(m, set, ret_mask, err);
		if (s == WEIR_OK && (a->sets[set].mask = malloc(size)) != NULL) {
			memcpy(a->sets[set].mask, ret_mask, size);
			a->bytes += size;
		}
	}
	pthread_mutex_unlock(&a->lock);
	return s;
}

weir_status weir_masker_warm(struct weir_masker *m, uint32_t node, uint32_t rule, bool rounds,
			     struct weir_error *err)
{
	struct bounds b = { .rounds = rounds, .rule = rule };
	struct weir_config at = { node, WEIR_FRAME_HOLE };
	struct weir_part *part;
	weir_status s;
	uint32_t set;

	pthread_mutex_lock(&m->machine.lock);
	s = alone(m, &at, 1, &b, &set, err);
	if (s == WEIR_OK)
		s = part_of(m, set, rounds, &part, err);
	pthread_mutex_unlock(&m->machine.lock);
	return s;
}
