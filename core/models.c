/*
 * core/models.c - see models.h: who wants what of the backends, and is told what became of it.
 */
#include <string.h>

#include "log.h"
#include "models-inside.h"
#include "profile-replicas.h"

#define TOPIC   "models"
#define SOON_MS 10 /* between looks at a load or an end, which ring no bell */

struct weir_place *weir_models_find(const struct weir_models *m, const char *section)
{
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		if (p->section == section)
			return p;
	}
	return NULL;
}

static void ring(void *self)
{
	const struct weir_models *m = self;
	m->options.ring(m->options.data);
}

static weir_status change_model(void *self, const struct weir_host *host, const char *model,
				uint32_t change,
				void (*done)(void *data, const struct weir_model_result *),
				void *data, struct weir_error *err)
{
	struct weir_models *m = self;
	uint32_t what = change & ~(uint32_t)WEIR_MODEL_WAIT;
	struct weir_str name = { model, model ? strlen(model) : 0 };
	g_autoptr(GPtrArray) sections = weir_router_backends_of(m->options.core->router, name);
	if (what != WEIR_MODEL_LOAD && what != WEIR_MODEL_UNLOAD)
		return weir_fail(err, WEIR_E_INVALID, "change %u is unknown", change);
	if (sections->len == 0) {
		weir_fail(err, WEIR_E_NOT_FOUND, "model not found");
		g_strlcpy(err->param, "model", sizeof(err->param));
		return WEIR_E_NOT_FOUND;
	}
	struct weir_wish *wish = g_new0(struct weir_wish, 1);
	*wish = (struct weir_wish){
		.n_left = sections->len, .several = sections->len > 1, .done = done, .data = data
	};
	pthread_mutex_lock(&m->lock);
	bool draining = m->draining;
	for (unsigned i = 0; !draining && i < sections->len; i++) {
		struct weir_ask *ask = g_new0(struct weir_ask, 1);
		*ask = (struct weir_ask){ .section = sections->pdata[i],
					  .instance = host->instance,
					  .change = what,
					  .wait = change & WEIR_MODEL_WAIT,
					  .wish = wish };
		g_queue_push_tail(&m->asks, ask);
	}
	pthread_mutex_unlock(&m->lock);
	if (draining) {
		g_free(wish);
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the server is shutting down");
	}
	ring(m);
	return WEIR_OK;
}

struct weir_models *weir_models_new(const struct weir_models_options *options)
{
	struct weir_models *m = g_new0(struct weir_models, 1);
	m->options = *options;
	pthread_mutex_init(&m->lock, NULL);
	g_queue_init(&m->asks);
	m->places = g_ptr_array_new();
	m->leavers = g_ptr_array_new();
	m->waiters = g_ptr_array_new();
	weir_router_set_loader(options->core->router,
			       &(struct weir_loader){ ring, change_model, m });
	return m;
}

void weir_models_set_limits(struct weir_models *m, int64_t drain_timeout_ms, uint32_t max_loaded)
{
	m->options.drain_timeout_ms = drain_timeout_ms;
	m->options.max_loaded = max_loaded;
}

/* --- start and reload ---------------------------------------------------------------------- */

/* Who copied a section and forgot its name must be able to see it. before: told already, or NULL.
 */
static void tell_replicas(const struct weir_models *m, const GPtrArray *plans,
			  const GPtrArray *before)
{
	g_autoptr(GPtrArray) lines = weir_replicas_lines(plans);
	for (unsigned i = 0; i < lines->len; i++)
		if (!before || !g_ptr_array_find_with_equal_func(
				       (GPtrArray *)before, lines->pdata[i], g_str_equal, NULL))
			weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC, "%s",
				  (const char *)lines->pdata[i]);
}

static GPtrArray *present_replicas(const struct weir_models *m)
{
	g_autoptr(GPtrArray) plans = g_ptr_array_new();
	for (unsigned i = 0; i < m->places->len; i++)
		g_ptr_array_add(plans, ((struct weir_place *)m->places->pdata[i])->plan);
	return weir_replicas_lines(plans);
}

/* Takes the plan. */
static struct weir_place *add_place(struct weir_models *m, struct weir_profile_part *plan)
{
	struct weir_place *p = g_new0(struct weir_place, 1);
	p->section = g_intern_string(plan->section);
	p->plan = plan;
	p->now.slot = weir_place_slot(m, plan);
	return p;
}

static void place_free(struct weir_place *p)
{
	weir_profile_part_free(p->plan);
	weir_profile_part_free(p->coming);
	g_free(p);
}

static void fill_table(struct weir_models *m)
{
	g_autofree struct weir_slot **slots = g_new(struct weir_slot *, m->places->len + 1);
	for (unsigned i = 0; i < m->places->len; i++)
		slots[i] = ((struct weir_place *)m->places->pdata[i])->now.slot;
	weir_router_put(m->options.core->router, slots, m->places->len);
}

weir_status weir_models_create(struct weir_models *m, GPtrArray *plans, struct weir_error *err)
{
	unsigned n = 0, max = m->options.max_loaded;
	weir_status status = WEIR_OK;
	tell_replicas(m, plans, NULL);
	while (status == WEIR_OK && plans->len > 0) {
		struct weir_profile_part *plan = g_ptr_array_steal_index(plans, 0);
		struct weir_place *p = add_place(m, plan);
		g_ptr_array_add(m->places, p);
		if (!plan->life.autoload)
			continue;
		if (max > 0 && n == max) {
			weir_logf(m->options.core->log, WEIR_LOG_WARNING, TOPIC,
				  "%s is not loaded: max_loaded is %u", p->section, max);
			continue;
		}
		n++;
		status = weir_part_create(m->options.core, plan->section, plan->component,
					  (const struct weir_kv *)plan->conf->data, plan->conf->len,
					  &p->now.part, err);
	}
	return status;
}

weir_status weir_models_start(struct weir_models *m, struct weir_error *err)
{
	weir_status status = WEIR_OK;
	for (unsigned i = 0; status == WEIR_OK && i < m->places->len; i++) {
		struct weir_tenure *t = &((struct weir_place *)m->places->pdata[i])->now;
		if (!t->part)
			continue;
		status = weir_part_start(t->part, err);
		if (status == WEIR_OK)
			status = weir_slot_bind(t->slot, t->part->instance, err);
		t->since_us = g_get_monotonic_time();
		t->loading = true;
	}
	if (status == WEIR_OK)
		fill_table(m);
	return status;
}

/* The section stands in the profile as before, or with other names and habits. Takes the plan. */
static void keep(struct weir_models *m, struct weir_place *p, struct weir_profile_part *plan)
{
	struct weir_profile_part *old = p->plan;
	bool demand = old->life.on_demand != plan->life.on_demand;
	bool autoload = plan->life.autoload && !old->life.autoload;
	if (p->next.slot) {
		weir_place_drop_beside(m, p, false);
		weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC, "%s stays as it is after all",
			  p->section);
	}
	if (!g_strv_equal((const char *const *)old->serves, (const char *const *)plan->serves))
		weir_slot_rename(p->now.slot, (const char *const *)plan->serves);
	weir_slot_set_hang_timeout(p->now.slot, plan->life.hang_timeout_ms);
	p->plan = plan;
	weir_profile_part_free(old);
	if (demand && !p->now.part)
		weir_place_renew(m, p, false);
	if (autoload || weir_slot_state(p->now.slot, NULL, 0) == WEIR_ROUTER_FAILED)
		weir_place_want(m, p);
}

/* Its options, or its component, are others. Takes the plan. */
static void replace(struct weir_models *m, struct weir_place *p, struct weir_profile_part *plan)
{
	bool serves = weir_slot_state(p->now.slot, NULL, 0) == WEIR_ROUTER_READY;
	if (p->coming && weir_profile_part_same(p->coming, plan)) {
		weir_profile_part_free(plan); /* it is being loaded already */
		return;
	}
	if (serves && plan->life.beside) {
		weir_place_load_beside(m, p, plan);
		return;
	}
	weir_place_drop_beside(m, p, false);
	weir_profile_part_free(p->plan);
	p->plan = plan;
	p->wanted |= p->now.part || plan->life.autoload;
	weir_place_renew(m, p, false);
	weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC,
		  p->wanted ? "%s ends and is loaded again with its new options"
			    : "%s has new options, for when it is loaded",
		  p->section);
}

static void remove_place(struct weir_models *m, struct weir_place *p)
{
	weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC, "%s is gone from the profile",
		  p->section);
	weir_place_drop_beside(m, p, false);
	weir_models_leave(m, p->section, &p->now);
	place_free(p);
}

void weir_models_reload(struct weir_models *m, GPtrArray *plans)
{
	g_autoptr(GPtrArray) before = present_replicas(m);
	GPtrArray *next = g_ptr_array_new();
	tell_replicas(m, plans, before);
	while (plans->len > 0) {
		struct weir_profile_part *plan = g_ptr_array_steal_index(plans, 0);
		struct weir_place *p = weir_models_find(m, g_intern_string(plan->section));
		if (!p) {
			p = add_place(m, plan);
			if (plan->life.autoload)
				weir_place_want(m, p);
		} else {
			g_ptr_array_remove(m->places, p);
			if (weir_profile_part_same(p->plan, plan))
				keep(m, p, plan);
			else
				replace(m, p, plan);
		}
		g_ptr_array_add(next, p);
	}
	GPtrArray *gone = m->places;
	m->places = next;
	fill_table(m);
	for (unsigned i = 0; i < gone->len; i++)
		remove_place(m, gone->pdata[i]);
	g_ptr_array_unref(gone);
}

/* --- who asks ------------------------------------------------------------------------------ */

/* The worst of the answers is told; done() comes with the last one. */
static void answer(struct weir_models *m, struct weir_ask *ask, weir_status status,
		   const char *text)
{
	const struct weir_place *p = weir_models_find(m, ask->section);
	enum weir_router_state state =
		p ? weir_slot_state(p->now.slot, NULL, 0) : WEIR_ROUTER_UNLOADED;
	struct weir_wish *wish = ask->wish;
	int farther = weir_router_state_rank(wish->state) - weir_router_state_rank(state);
	if (ask->change == WEIR_MODEL_UNLOAD)
		farther = -farther;
	if (!wish->section || (wish->status == WEIR_OK && (status != WEIR_OK || farther > 0))) {
		wish->status = status;
		wish->section = ask->section;
		wish->state = state;
		g_snprintf(wish->text, sizeof(wish->text), "%s%s%s",
			   wish->several && *text ? ask->section : "",
			   wish->several && *text ? ": " : "", text);
	}
	g_free(ask);
	if (--wish->n_left > 0)
		return;
	const struct weir_model_result result = {
		.size = sizeof(result),
		.status = wish->status,
		.backend = wish->section,
		.state = weir_router_state_names[wish->state],
		.text = wish->text,
	};
	if (wish->done)
		wish->done(wish->data, &result);
	g_free(wish);
}

/* False: its time has not come. */
static bool try_answer(struct weir_models *m, struct weir_ask *ask)
{
	char why[448] = "";
	struct weir_place *p = weir_models_find(m, ask->section);
	if (!p) {
		answer(m, ask, WEIR_E_NOT_FOUND, "the backend is gone from the profile");
		return true;
	}
	enum weir_router_state state = weir_slot_state(p->now.slot, why, sizeof(why));
	if (!ask->wait) {
		answer(m, ask, WEIR_OK, "");
	} else if (ask->change == WEIR_MODEL_UNLOAD) {
		if (weir_models_leaving(m, ask->section))
			return false;
		bool again = state == WEIR_ROUTER_READY || state == WEIR_ROUTER_LOADING;
		answer(m, ask, again ? WEIR_E_CANCELLED : WEIR_OK,
		       again ? "it is loaded again" : "");
	} else if (state == WEIR_ROUTER_READY) {
		answer(m, ask, WEIR_OK, "");
	} else if (state == WEIR_ROUTER_FAILED) {
		answer(m, ask, WEIR_E_UNAVAILABLE, why);
	} else if (m->draining && !p->now.part) {
		answer(m, ask, WEIR_E_UNAVAILABLE, "the server is shutting down");
	} else if (state == WEIR_ROUTER_LOADING) {
		return false;
	} else {
		answer(m, ask, WEIR_E_CANCELLED, "the model was unloaded before it was ready");
	}
	return true;
}

static void unload(struct weir_models *m, struct weir_place *p)
{
	p->wanted = false;
	weir_place_drop_beside(m, p, true);
	enum weir_router_state state = weir_slot_state(p->now.slot, NULL, 0);
	if (p->now.part || state == WEIR_ROUTER_FAILED || weir_slot_inflight(p->now.slot) > 0)
		weir_place_renew(m, p, false);
	else
		weir_slot_mark(p->now.slot, false, weir_models_leaving(m, p->section));
}

/* Those who wait are asked after each wish, so that no end state between two wishes is missed. */
static void answer_waiters(struct weir_models *m)
{
	g_autoptr(GPtrArray) waiters = m->waiters;
	m->waiters = g_ptr_array_new();
	for (unsigned i = 0; i < waiters->len; i++)
		if (!try_answer(m, waiters->pdata[i]))
			g_ptr_array_add(m->waiters, waiters->pdata[i]);
}

static struct weir_ask *next_ask(struct weir_models *m)
{
	pthread_mutex_lock(&m->lock);
	struct weir_ask *ask = g_queue_pop_head(&m->asks);
	pthread_mutex_unlock(&m->lock);
	return ask;
}

int weir_models_step(struct weir_models *m)
{
	struct weir_ask *ask;
	int due_ms;
	while ((ask = next_ask(m))) {
		struct weir_place *p = weir_models_find(m, ask->section);
		if (p && ask->change == WEIR_MODEL_UNLOAD)
			unload(m, p);
		else if (p && !m->draining)
			weir_place_want(m, p);
		answer_waiters(m);
		g_ptr_array_add(m->waiters, ask);
	}
	bool busy = weir_models_run(m, &due_ms);
	answer_waiters(m);
	return busy ? SOON_MS : due_ms;
}

/* --- the end ------------------------------------------------------------------------------- */

void weir_models_drain(struct weir_models *m)
{
	pthread_mutex_lock(&m->lock);
	m->draining = true;
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		weir_place_drop_beside(m, p, false);
		if (p->now.part && p->now.loading)
			weir_logf(m->options.core->log, WEIR_LOG_INFO, "models",
				  weir_slot_inflight(p->now.slot) > 0
					  ? "%s still loads, for requests that wait for it"
					  : "%s still loads, which is interrupted",
				  p->section);
		if (p->now.part)
			continue;
		p->wanted = false;
		weir_slot_mark(p->now.slot, false, weir_models_leaving(m, p->section));
		weir_slot_close(p->now.slot);
	}
}

void weir_models_drain_parts(struct weir_models *m)
{
	for (unsigned i = 0; i < m->places->len; i++) {
		const struct weir_place *p = m->places->pdata[i];
		if (p->now.part)
			weir_part_drain(p->now.part);
	}
}

void weir_models_forget(struct weir_models *m, const struct weir_host *host)
{
	struct weir_ask *ask;
	if (!m)
		return;
	while ((ask = next_ask(m)))
		g_ptr_array_add(m->waiters, ask);
	g_autoptr(GPtrArray) waiters = m->waiters;
	m->waiters = g_ptr_array_new();
	for (unsigned i = 0; i < waiters->len; i++) {
		ask = waiters->pdata[i];
		if (!host || ask->instance == host->instance)
			answer(m, ask, WEIR_E_UNAVAILABLE, "the server is shutting down");
		else
			g_ptr_array_add(m->waiters, ask);
	}
}

static void tenure_clear(struct weir_tenure *t)
{
	weir_slot_unref(t->slot);
	weir_part_destroy(t->part);
}

void weir_models_free(struct weir_models *m)
{
	if (!m)
		return;
	weir_models_forget(m, NULL);
	weir_router_set_loader(m->options.core->router, NULL);
	weir_router_put(m->options.core->router, NULL, 0);
	/* A slot holds its heir: those who left first. */
	for (unsigned i = 0; i < m->leavers->len; i++) {
		struct weir_leaver *l = m->leavers->pdata[i];
		tenure_clear(&l->tenure);
		g_free(l);
	}
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		tenure_clear(&p->now);
		tenure_clear(&p->next);
		place_free(p);
	}
	g_ptr_array_unref(m->places);
	g_ptr_array_unref(m->leavers);
	g_ptr_array_unref(m->waiters);
	pthread_mutex_destroy(&m->lock);
	g_free(m);
}
