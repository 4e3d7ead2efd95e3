/*
 * gateway-route.c - from a model's name to its backend, and the list of models.
 *
 * Names are looked up under the router's lock, which serves[] of a slot belongs to. A request is
 * counted in its slot before the lock is given back, so that whoever takes an idle slot out of the
 * table (weir_router_replace) can be sure of it.
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

/* The best fit; with an adapter, only where it is; with takes, only where it says so. */
static struct weir_slot *find_fit(const struct weir_router *r, struct weir_str model,
				  const struct weir_str *adapter, takes_fn takes, void *data)
{
	struct weir_slot *best = NULL;
	size_t best_fit = 0;

	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];
		char *const *names = slot->serves;
		struct weir_scheduler_status status;
		char *own[2] = { NULL, NULL };

		if ((adapter && !has_adapter(slot, *adapter)) || (takes && !takes(slot, data)))
			continue;
		if ((!names || !names[0]) && weir_slot_scheduler(slot)) {
			weir_scheduler_status(slot->scheduler, &status);
			own[0] = (char *)status.model.name;
			names = own;
		}
		for (; names && *names; names++) {
			size_t f = fit(*names, model);

			if (f > best_fit) {
				best = slot;
				best_fit = f;
			}
		}
	}
	return best;
}

static struct weir_slot *find_slot(const struct weir_router *r, struct weir_str model,
				   takes_fn takes, void *data)
{
	struct weir_slot *slot;
	struct weir_str suffix;

	if (r->slots->len > 0 && (atomic_load(&r->single_model) || model.len == 0))
		return takes && !takes(r->slots->pdata[0], data) ? NULL : r->slots->pdata[0];
	slot = find_fit(r, model, NULL, takes, data);
	if (slot)
		return slot;
	suffix = weir_scheduler_suffix(model);
	if (suffix.len == 0)
		return NULL;
	return find_fit(r, (struct weir_str){ model.data, model.len - suffix.len - 1 }, &suffix,
			takes, data);
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
	enum weir_router_state state;
	struct weir_slot *slot;
	bool all_failed = true;

	slot = find_slot(r, weir_request_field(request, "model"), NULL, NULL);
	state = slot ? weir_slot_state(slot, NULL, 0) : WEIR_ROUTER_FAILED;
	if (slot && state != WEIR_ROUTER_READY &&
	    (atomic_load(&slot->lost) || atomic_load(&slot->inherits))) {
		struct weir_slot *other = find_slot(r, weir_request_field(request, "model"),
						    weir_slot_stands_in, NULL);

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

struct weir_slot *weir_router_find(struct weir_router *r, struct weir_str model)
{
	struct weir_slot *slot;

	pthread_mutex_lock(&r->lock);
	slot = find_slot(r, model, NULL, NULL);
	if (slot)
		weir_slot_ref(slot);
	pthread_mutex_unlock(&r->lock);
	return slot;
}

struct weir_slot *weir_router_route_other(struct weir_router *r, const weir_request *request,
					  takes_fn takes, void *data)
{
	struct weir_slot *slot;

	pthread_mutex_lock(&r->lock);
	slot = find_slot(r, weir_request_field(request, "model"), takes, data);
	if (slot) {
		atomic_fetch_add(&slot->n_inflight, 1);
		atomic_store(&slot->used_ns, weir_clock_ns());
		weir_slot_ref(slot);
	}
	pthread_mutex_unlock(&r->lock);
	return slot;
}

const char *weir_router_backend_of(struct weir_router *r, struct weir_str model)
{
	struct weir_slot *slot;
	const char *name;

	pthread_mutex_lock(&r->lock);
	slot = r->slots->len > 0 && model.len > 0 ? find_slot(r, model, NULL, NULL) : NULL;
	name = slot ? slot->name : NULL; /* interned; the slot may be gone without the lock */
	pthread_mutex_unlock(&r->lock);
	return name;
}

/* --- the list ------------------------------------------------------------------------------ */

/* Each adapter is a model of its own: "base:adapter". */
static void list_adapters(const struct weir_slot *slot, const char *base,
			  struct weir_model_entry entry,
			  void (*each)(void *data, const struct weir_model_entry *), void *data)
{
	const char *adapter;

	for (uint32_t i = 1;; i++) {
		g_autofree char *id = NULL;

		adapter = weir_slot_adapter(slot, i);
		if (!adapter)
			break;
		entry.id = id = g_strdup_printf("%s:%s", base, adapter);
		each(data, &entry);
	}
}

void weir_router_list(const struct weir_host *host,
		      void (*each)(void *data, const struct weir_model_entry *), void *data)
{
	const struct weir_core *core = host->data;
	g_autoptr(GPtrArray) slots = core->router ? weir_router_snapshot(core->router) : NULL;

	for (guint i = 0; slots && i < slots->len; i++) {
		struct weir_slot *slot = slots->pdata[i];
		g_auto(GStrv) names = weir_slot_names(slot);
		char why[sizeof(slot->why)] = "";
		enum weir_router_state state = weir_slot_state(slot, why, sizeof(why));
		struct weir_scheduler_status status = { .state = WEIR_SCHEDULER_LOADING };
		struct weir_model_entry entry = {
			.size = sizeof(entry),
			.context = weir_slot_context(slot),
			.backend = slot->name,
			.state = weir_router_state_names[state],
			.created = slot->created,
			.bytes = weir_slot_bytes(slot),
			.error = state == WEIR_ROUTER_FAILED ? why : NULL,
			.load_ms = atomic_load(&slot->load_ms),
			.n_seats = weir_slot_seats(slot),
		};

		if (weir_slot_scheduler(slot))
			weir_scheduler_status(slot->scheduler, &status);
		if (status.state == WEIR_SCHEDULER_READY)
			entry.model = &status.model;

		for (char **name = names; *name; name++) {
			if (g_str_has_suffix(*name, "*"))
				continue; /* a pattern names no model */
			entry.id = *name;
			each(data, &entry);
			list_adapters(slot, *name, entry, each, data);
		}
	}
}
