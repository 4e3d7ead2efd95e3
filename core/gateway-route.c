/*
 * gateway-route.c - from a model's name to the backend that gets a request.
 *
 * Names are looked up under the router's lock, which serves[] of a slot belongs to. A request is
 * counted in its slot before the lock is given back, so that whoever takes an idle slot out of the
 * table (weir_router_replace) can be sure of it. Of several backends of one name, replicas,
 * gateway-balance.c picks one.
 */
#include "gateway-router.h"

#include <string.h>

#include "log.h"
#include "request.h"

#define RETRY_NS                                                                                   \
	(10 * G_GINT64_CONSTANT(1000000000)) /* a failed load on demand, at most so often */

/* How well a pattern fits: 0 not, else 1 + the length of the match; exact beats every prefix. */
static size_t fit(const char *pattern, struct weir_str model)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*') {
		n--;
		return model.len >= n && memcmp(pattern, model.data, n) == 0 ? 1 + n : 0;
	}
	return model.len == n && memcmp(pattern, model.data, n) == 0 ? SIZE_MAX : 0;
}

/* What is not loaded yet may have it. */
static bool has_adapter(struct weir_slot *slot, struct weir_str wanted)
{
	enum weir_router_state state = weir_slot_state(slot, NULL, 0);
	const char *name;

	if (state != WEIR_ROUTER_READY && state != WEIR_ROUTER_FAILED)
		return true;
	for (uint32_t i = 1;; i++) {
		name = weir_slot_adapter(slot, i);
		if (!name)
			break;
		if (strlen(name) == wanted.len && memcmp(name, wanted.data, wanted.len) == 0)
			return true;
	}
	return false;
}

typedef bool (*takes_fn)(struct weir_slot *, void *data);

/* How well the best of its names fits. */
static size_t fit_of(struct weir_slot *slot, struct weir_str model)
{
	char *const *names = slot->serves;
	struct weir_scheduler_status status;
	char *own[2] = { NULL, NULL };
	size_t best = 0;

	if ((!names || !names[0]) && weir_slot_scheduler(slot)) {
		weir_scheduler_status(slot->scheduler, &status);
		own[0] = (char *)status.model.name;
		names = own;
	}
	for (; names && *names; names++)
		best = MAX(best, fit(*names, model));
	return best;
}

/* Into r->found: all of the best fit; with an adapter, only where it is; with takes, only where it
 * says so. Returns how well they fit. */
static size_t gather(struct weir_router *r, struct weir_str model, const struct weir_str *adapter,
		     takes_fn takes, void *data)
{
	size_t best = 0;

	g_ptr_array_set_size(r->found, 0);
	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];
		size_t f = fit_of(slot, model);

		if (f == 0 || f < best || (adapter && !has_adapter(slot, *adapter)) ||
		    (takes && !takes(slot, data)))
			continue;
		if (f > best)
			g_ptr_array_set_size(r->found, 0);
		best = f;
		g_ptr_array_add(r->found, slot);
	}
	return best;
}

/* What a request without a model's name asks for: the first backend's, or {NULL, 0}. */
static struct weir_str first_name(const struct weir_router *r)
{
	const struct weir_slot *first = r->slots->pdata[0];
	const char *name = first->serves ? first->serves[0] : NULL;

	if (!name || g_str_has_suffix(name, "*"))
		return (struct weir_str){ NULL, 0 };
	return (struct weir_str){ name, strlen(name) };
}

/* Into r->found: the backends that a model's name means; several are replicas of one model. */
static void find(struct weir_router *r, struct weir_str model, takes_fn takes, void *data)
{
	struct weir_str suffix;

	if (r->slots->len > 0 && (atomic_load(&r->single_model) || model.len == 0)) {
		model = first_name(r);
		g_ptr_array_set_size(r->found, 0);
		if (model.len > 0)
			gather(r, model, NULL, takes, data);
		else if (!takes || takes(r->slots->pdata[0], data))
			g_ptr_array_add(r->found, r->slots->pdata[0]);
		return;
	}
	if (gather(r, model, NULL, takes, data) > 0)
		return;
	suffix = weir_scheduler_suffix(model);
	if (suffix.len > 0)
		gather(r, (struct weir_str){ model.data, model.len - suffix.len - 1 }, &suffix,
		       takes, data);
}

static enum weir_fitness fitness_of(struct weir_slot *slot)
{
	switch (weir_slot_state(slot, NULL, 0)) {
	case WEIR_ROUTER_READY:
		return weir_slot_is_away(slot) ? WEIR_FITNESS_AWAY : WEIR_FITNESS_READY;
	case WEIR_ROUTER_LOADING:
		return slot->on_demand ? WEIR_FITNESS_COMING : WEIR_FITNESS_LATER;
	case WEIR_ROUTER_FAILED:
		return WEIR_FITNESS_FAILED;
	default:
		/* Who waits there has asked for the load, whether or not main has begun it. */
		return !slot->on_demand                      ? WEIR_FITNESS_UNLOADED
		       : atomic_load(&slot->n_inflight) == 0 ? WEIR_FITNESS_ASLEEP
							     : WEIR_FITNESS_COMING;
	}
}

bool weir_slot_is_full(struct weir_slot *slot, size_t n_before)
{
	size_t limit = weir_slot_concurrency(slot);
	size_t max_queue = atomic_load(&slot->router->max_queue);

	return (limit > 0 || slot->on_demand) && max_queue > 0 && n_before >= limit + max_queue;
}

/* Of those that were found; NULL: none were. */
static struct weir_slot *choose(struct weir_router *r, const struct weir_affinity_keys *keys)
{
	struct weir_slot *slot;

	g_array_set_size(r->candidates, 0);
	for (guint i = 0; r->found->len > 1 && i < r->found->len; i++) {
		struct weir_candidate c = { .fitness = WEIR_FITNESS_READY };

		slot = r->found->pdata[i];
		c.fitness = fitness_of(slot);
		c.n_busy = atomic_load(&slot->n_inflight);
		c.full = weir_slot_is_full(slot, c.n_busy);
		c.n_seats = weir_slot_seats(slot);
		c.affinity = weir_affinity_find(r->affinity, keys, slot->name);
		c.picked = slot->picked;
		g_array_append_val(r->candidates, c);
	}
	if (r->found->len < 2)
		return r->found->len ? r->found->pdata[0] : NULL;
	slot = r->found->pdata[weir_balance_pick((struct weir_candidate *)r->candidates->data,
						 r->candidates->len)];
	slot->picked = ++r->n_picks;
	weir_affinity_note(r->affinity, keys, slot->name);
	return slot;
}

/* Router lock, which is given back for a moment if a long prompt has to be looked at. */
static struct weir_slot *find_slot(struct weir_router *r, const weir_request *request,
				   struct weir_affinity_keys *keys, takes_fn takes, void *data)
{
	struct weir_str model = weir_request_field(request, "model");

	find(r, model, takes, data);
	if (r->found->len > 1 && !keys->made) {
		pthread_mutex_unlock(&r->lock);
		weir_affinity_hash(r->affinity, request, keys);
		pthread_mutex_lock(&r->lock);
		find(r, model, takes, data);
	}
	return choose(r, keys);
}

/* A backend that will tell its model's name when it has loaded it. */
static bool name_is_coming(const struct weir_router *r)
{
	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		if ((!slot->serves || !slot->serves[0]) &&
		    weir_slot_state(slot, NULL, 0) == WEIR_ROUTER_LOADING)
			return true;
	}
	return false;
}

weir_status weir_slot_refusal(struct weir_slot *slot, struct weir_error *err)
{
	char why[sizeof(err->text)] = "";
	const char *id = slot->model ? slot->model : slot->name;

	switch (weir_slot_state(slot, why, sizeof(why))) {
	case WEIR_ROUTER_FAILED:
		return weir_fail(err, WEIR_E_UNAVAILABLE, "%s cannot serve: %s", slot->name, why);
	case WEIR_ROUTER_LOADING:
		if (!atomic_load(&slot->refused))
			return weir_fail(err, WEIR_E_UNAVAILABLE,
					 "the model is still loading, try again");
		return weir_fail(err, WEIR_E_NO_MODEL, "the model was unloaded");
	default:
		if (atomic_load(&slot->router->draining))
			return weir_fail(err, WEIR_E_UNAVAILABLE, "the server is shutting down");
		return weir_fail(err, WEIR_E_NO_MODEL,
				 "model %.80s is not loaded: POST /v1/models/%.80s/load", id, id);
	}
}

/* Wakes whoever loads. */
static void ask(struct weir_slot *slot)
{
	const struct weir_loader *loader = &slot->router->loader;

	if (!atomic_exchange(&slot->asked, true) && loader->ring)
		loader->ring(loader->self);
}

/* The three situations of conflict C4, told apart; router lock. */
static weir_status route(struct weir_router *r, const weir_request *request, struct weir_slot **ret,
			 struct weir_error *err)
{
	char why[sizeof(err->text)] = "";
	struct weir_affinity_keys keys = { .made = false };
	enum weir_router_state state;
	struct weir_slot *slot;
	bool all_failed = true;

	slot = find_slot(r, request, &keys, NULL, NULL);
	state = slot ? weir_slot_state(slot, NULL, 0) : WEIR_ROUTER_FAILED;
	if (slot && state != WEIR_ROUTER_READY &&
	    (atomic_load(&slot->lost) || atomic_load(&slot->inherits))) {
		struct weir_slot *other = find_slot(r, request, &keys, weir_slot_stands_in, NULL);

		if (other) {
			slot = other;
			state = WEIR_ROUTER_READY;
		}
	}
	if (state == WEIR_ROUTER_READY) {
		*ret = slot;
		return WEIR_OK;
	}
	for (guint i = 0; all_failed && i < r->slots->len; i++)
		all_failed =
			weir_slot_state(r->slots->pdata[i], why, sizeof(why)) == WEIR_ROUTER_FAILED;
	if (slot && slot->on_demand) {
		if (state != WEIR_ROUTER_FAILED) {
			ask(slot);
			*ret = slot;
			return WEIR_OK;
		}
		if (weir_clock_ns() - atomic_load(&slot->broken_ns) > RETRY_NS)
			ask(slot);
	}
	if (all_failed)
		return weir_fail(err, WEIR_E_NO_MODEL, "no model is loaded%s%s", *why ? ": " : "",
				 why);
	if (!slot && name_is_coming(r))
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the model is still loading, try again");
	if (!slot) {
		weir_fail(err, WEIR_E_NOT_FOUND, "model not found");
		g_strlcpy(err->param, "model", sizeof(err->param));
		return WEIR_E_NOT_FOUND;
	}
	return weir_slot_refusal(slot, err);
}

weir_status weir_router_route(struct weir_router *r, const weir_request *request,
			      struct weir_slot **ret, size_t *ret_n, struct weir_error *err)
{
	weir_status status;

	pthread_mutex_lock(&r->lock);
	status = route(r, request, ret, err);
	if (status == WEIR_OK) {
		*ret_n = atomic_fetch_add(&(*ret)->n_inflight, 1);
		atomic_store(&(*ret)->used_ns, weir_clock_ns());
		weir_slot_ref(*ret);
	}
	pthread_mutex_unlock(&r->lock);
	return status;
}

GPtrArray *weir_router_find(struct weir_router *r, struct weir_str model)
{
	GPtrArray *slots = g_ptr_array_new_with_free_func((GDestroyNotify)weir_slot_unref);

	pthread_mutex_lock(&r->lock);
	find(r, model, NULL, NULL);
	for (guint i = 0; i < r->found->len; i++)
		g_ptr_array_add(slots, weir_slot_ref(r->found->pdata[i]));
	pthread_mutex_unlock(&r->lock);
	return slots;
}

struct weir_slot *weir_router_route_other(struct weir_router *r, const weir_request *request,
					  takes_fn takes, void *data)
{
	struct weir_affinity_keys keys = { .made = false };
	struct weir_slot *slot;

	pthread_mutex_lock(&r->lock);
	slot = find_slot(r, request, &keys, takes, data);
	if (slot) {
		atomic_fetch_add(&slot->n_inflight, 1);
		atomic_store(&slot->used_ns, weir_clock_ns());
		weir_slot_ref(slot);
	}
	pthread_mutex_unlock(&r->lock);
	return slot;
}

/* Names are interned: the slots may be gone without the lock. */
GPtrArray *weir_router_backends_of(struct weir_router *r, struct weir_str model)
{
	GPtrArray *names = g_ptr_array_new();
	bool literal;

	pthread_mutex_lock(&r->lock);
	/* A section's name is below a model's, and above what a pattern would cover. */
	literal = model.len > 0 && gather(r, model, NULL, NULL, NULL) == SIZE_MAX;
	for (guint i = 0; !literal && i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		if (strlen(slot->name) == model.len &&
		    memcmp(slot->name, model.data, model.len) == 0)
			g_ptr_array_add(names, (char *)slot->name);
	}
	if (names->len == 0 && model.len > 0) {
		if (!literal)
			find(r, model, NULL, NULL);
		for (guint i = 0; i < r->found->len; i++)
			g_ptr_array_add(names,
					(char *)((struct weir_slot *)r->found->pdata[i])->name);
	}
	pthread_mutex_unlock(&r->lock);
	return names;
}
