/*
 * frontends/api/replay.c - see replay.h.
 */
#include "replay.h"

#include <string.h>

#include <glib.h>
#include <sys/random.h>

#define FIRST_SLOTS 16u

struct event {
	size_t len;
	char data[];
};

struct replay {
	struct replay_budget *budget;
	size_t max_bytes, bytes;
	uint32_t max_events, n_slots; /* n_slots: a power of two, or 0 */
	struct event **slots;         /* number n is in slot n % n_slots */
	uint64_t first, next;
};

static size_t cost(size_t len)
{
	return len + sizeof(struct event) + sizeof(struct event *);
}

struct replay *replay_new(struct replay_budget *budget, uint32_t max_events, size_t max_bytes)
{
	struct replay *r = g_new0(struct replay, 1);
	r->budget = budget;
	r->max_events = MAX(max_events, 1);
	r->max_bytes = max_bytes;
	return r;
}

static void drop_first(struct replay *r)
{
	struct event **slot = &r->slots[r->first++ % r->n_slots];
	size_t n = cost((*slot)->len);
	g_clear_pointer(slot, g_free);
	r->bytes -= n;
	atomic_fetch_sub(&r->budget->used, n);
}

void replay_free(struct replay *r)
{
	if (!r)
		return;
	while (r->first < r->next)
		drop_first(r);
	g_free(r->slots);
	g_free(r);
}

static void grow(struct replay *r)
{
	uint32_t n = r->n_slots ? r->n_slots * 2 : FIRST_SLOTS;
	struct event **slots = g_new0(struct event *, n);
	for (uint64_t i = r->first; i < r->next; i++)
		slots[i % n] = r->slots[i % r->n_slots];
	g_free(r->slots);
	r->slots = slots;
	r->n_slots = n;
}

/* Takes n bytes of the budget; gives older events of this replay for them. */
static bool reserve(struct replay *r, size_t n)
{
	if (n > r->max_bytes)
		return false;
	while (r->first < r->next &&
	       (r->next - r->first >= r->max_events || r->bytes + n > r->max_bytes))
		drop_first(r);
	while (atomic_fetch_add(&r->budget->used, n) + n > r->budget->max) {
		atomic_fetch_sub(&r->budget->used, n);
		if (r->first == r->next)
			return false;
		drop_first(r);
	}
	return true;
}

uint64_t replay_push(struct replay *r, const void *data, size_t len)
{
	if (len >= SIZE_MAX / 2 || !reserve(r, cost(len))) {
		while (r->first < r->next)
			drop_first(r);
		r->first = r->next + 1;
		return r->next++;
	}
	if (r->next - r->first >= r->n_slots)
		grow(r);
	struct event *e = g_malloc(sizeof(*e) + len);
	e->len = len;
	if (len)
		memcpy(e->data, data, len);
	r->slots[r->next % r->n_slots] = e;
	r->bytes += cost(len);
	return r->next++;
}

uint64_t replay_first(const struct replay *r)
{
	return r->first;
}

uint64_t replay_next(const struct replay *r)
{
	return r->next;
}

bool replay_get(const struct replay *r, uint64_t number, const char **ret_data, size_t *ret_len)
{
	if (number < r->first || number >= r->next)
		return false;
	const struct event *e = r->slots[number % r->n_slots];
	*ret_data = e->data;
	*ret_len = e->len;
	return true;
}

bool replay_token(char token[REPLAY_TOKEN_SIZE])
{
	uint8_t raw[(REPLAY_TOKEN_SIZE - 1) / 2];
	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		return false;
	for (size_t i = 0; i < sizeof(raw); i++)
		g_snprintf(token + 2 * i, 3, "%02x", raw[i]);
	return true;
}
