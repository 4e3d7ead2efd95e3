/*
 * grammar-machine.c - see grammar-machine.h.
 */
#include "grammar-machine.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

static weir_status no_memory(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
}

weir_status machine_init(struct machine *m, const struct weir_net *net, struct weir_error *err)
{
	weir_status s;

	memset(m, 0, sizeof(*m));
	m->net = net;
	s = weir_run_init(&m->run, net, err);
	if (s == WEIR_OK)
		pthread_mutex_init(&m->lock, NULL);
	return s;
}

static void forget(struct machine *m)
{
	for (uint32_t i = 0; i < m->n_sets; i++) {
		weir_part_free(m->sets[i].part);
		free(m->sets[i].mask);
	}
	free(m->sets);
	free(m->configs);
	free(m->moves);
	free(m->buckets);
	m->sets = NULL;
	m->configs = NULL;
	m->moves = m->buckets = NULL;
	m->n_sets = m->cap_sets = m->n_configs = m->cap_configs = m->n_buckets = 0;
	m->bytes = 0;
}

void machine_clear(struct machine *m)
{
	forget(m);
	weir_run_clear(&m->run);
	free(m->in.at);
	free(m->out.at);
	pthread_mutex_destroy(&m->lock);
}

void machine_tidy(struct machine *m)
{
	if (m->bytes <= MACHINE_BYTES && m->run.n_entries < WEIR_RUN_ENTRIES / 2)
		return;
	forget(m);
	weir_run_reset(&m->run);
}

static uint32_t hash(const struct weir_config *c, uint32_t n)
{
	uint64_t h = n;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ h >> 31 ^ ((uint64_t)c[i].node << 32 | c[i].frame)) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

static bool more_sets(struct machine *m)
{
	uint32_t cap = m->cap_sets ? m->cap_sets * 2 : 64;
	size_t row = m->net->n_classes * sizeof(*m->moves);
	struct set *sets;
	uint32_t *moves, *buckets;

	if (m->n_sets < m->cap_sets)
		return true;
	sets = realloc(m->sets, cap * sizeof(*sets));
	if (!sets)
		return false;
	m->sets = sets;
	moves = realloc(m->moves, cap * row);
	if (!moves)
		return false;
	m->moves = moves;
	buckets = realloc(m->buckets, 2 * (size_t)cap * sizeof(*buckets));
	if (!buckets)
		return false;
	m->buckets = buckets;
	m->bytes += (cap - m->cap_sets) * (row + sizeof(*sets) + 2 * sizeof(*buckets));
	m->cap_sets = cap;
	m->n_buckets = 2 * cap;
	memset(buckets, 0xff, m->n_buckets * sizeof(*buckets));
	for (uint32_t i = 0; i < m->n_sets; i++) {
		uint32_t *b =
			&buckets[hash(m->configs + sets[i].first, sets[i].n) & (m->n_buckets - 1)];

		sets[i].next = *b;
		*b = i;
	}
	return true;
}

static bool more_configs(struct machine *m, uint32_t n)
{
	uint32_t cap = m->cap_configs ? m->cap_configs : 256;
	struct weir_config *configs;

	while (cap < m->n_configs + n)
		cap *= 2;
	if (cap == m->cap_configs)
		return true;
	configs = realloc(m->configs, (size_t)cap * sizeof(*configs));
	if (!configs)
		return false;
	m->bytes += (cap - m->cap_configs) * sizeof(*configs);
	m->configs = configs;
	m->cap_configs = cap;
	return true;
}

uint32_t machine_count(const struct machine *m, uint32_t frame)
{
	const struct weir_entry *e = &m->run.entries[m->run.frames[frame].first];

	return (e->to & WEIR_TO_KIND) == WEIR_TO_ROUND ? e->count : 0;
}

static void describe(const struct machine *m, struct set *s)
{
	uint32_t least = UINT16_MAX;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct weir_config *c = &m->configs[s->first + i];
		bool exit = c->node == WEIR_NODE_EXIT;
		uint32_t rounds = machine_count(m, c->frame) + !exit;

		s->flags |= exit ? SET_EXITS : 0;
		least = rounds < least ? rounds : least;
	}
	s->rounds = (uint16_t)least;
}

weir_status machine_set(struct machine *m, const struct weir_configs *c, uint32_t *ret,
			struct weir_error *err)
{
	uint32_t h = hash(c->at, c->n);
	struct set *s;

	for (uint32_t i = m->n_buckets ? m->buckets[h & (m->n_buckets - 1)] : NONE; i != NONE;
	     i = m->sets[i].next) {
		s = &m->sets[i];
		if (s->n == c->n &&
		    memcmp(m->configs + s->first, c->at, c->n * sizeof(*c->at)) == 0) {
			*ret = i;
			return WEIR_OK;
		}
	}
	if (m->bytes > MACHINE_MOST)
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "the grammar is too ambiguous: following it takes more than %zu "
				 "MiB of memory",
				 MACHINE_MOST >> 20);
	if (!more_sets(m) || !more_configs(m, c->n))
		return no_memory(err);
	s = &m->sets[m->n_sets];
	*s = (struct set){ .first = m->n_configs,
			   .n = c->n,
			   .next = m->buckets[h & (m->n_buckets - 1)] };
	if (c->n > 0)
		memcpy(m->configs + m->n_configs, c->at, c->n * sizeof(*c->at));
	m->n_configs += c->n;
	m->buckets[h & (m->n_buckets - 1)] = m->n_sets;
	memset(m->moves + (size_t)m->n_sets * m->net->n_classes, 0xff,
	       m->net->n_classes * sizeof(*m->moves));
	describe(m, s);
	*ret = m->n_sets++;
	return WEIR_OK;
}

weir_status machine_step(struct machine *m, uint32_t set, uint8_t byte, uint32_t *ret,
			 struct weir_error *err)
{
	uint32_t to = MACHINE_DEAD;
	weir_status s;

	m->in.n = 0;
	for (uint32_t i = 0; i < m->sets[set].n; i++)
		if (!weir_configs_add(&m->in, m->configs[m->sets[set].first + i]))
			return no_memory(err);
	s = weir_run_step(&m->run, &m->in, byte, &m->out, err);
	if (s == WEIR_OK && m->out.n > 0)
		s = machine_set(m, &m->out, &to, err);
	if (s != WEIR_OK)
		return s;
	m->moves[(size_t)set * m->net->n_classes + m->net->class_of[byte]] = to;
	*ret = to;
	return WEIR_OK;
}
