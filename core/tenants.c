/*
 * tenants.c - see tenants.h. A tenant exists as long as a request of his does.
 */
#include "tenants.h"

#include <string.h>

struct weir_tenant {
	char *name;
	uint64_t served; /* virtual time */
	size_t n_requests;
	GQueue waiting; /* highest priority first, then in order of arrival */
};

struct weir_tenants {
	GHashTable *by_name;
	uint64_t now; /* the largest virtual time at which somebody was let in */
	uint64_t next_order;
	size_t n_waiting;
};

static void tenant_free(gpointer data)
{
	struct weir_tenant *tenant = data;

	g_free(tenant->name);
	g_free(tenant);
}

struct weir_tenants *weir_tenants_new(void)
{
	struct weir_tenants *t = g_new0(struct weir_tenants, 1);

	t->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, tenant_free);
	return t;
}

void weir_tenants_free(struct weir_tenants *t)
{
	if (!t)
		return;
	g_hash_table_unref(t->by_name);
	g_free(t);
}

static void start_waiting(struct weir_tenants *t, struct weir_waiter *w)
{
	struct weir_tenant *tenant = w->tenant;
	GList *at;

	w->order = t->next_order++;
	w->waiting = true;
	w->link = (GList){ .data = w };
	for (at = tenant->waiting.tail; at; at = at->prev)
		if (((struct weir_waiter *)at->data)->priority >= w->priority)
			break;
	if (at)
		g_queue_insert_after_link(&tenant->waiting, at, &w->link);
	else
		g_queue_push_head_link(&tenant->waiting, &w->link);
	t->n_waiting++;
}

void weir_tenants_add(struct weir_tenants *t, struct weir_waiter *w, struct weir_str name)
{
	g_autofree char *key = g_strndup(name.data ? name.data : "", name.len);
	struct weir_tenant *tenant = g_hash_table_lookup(t->by_name, key);

	if (!tenant) {
		tenant = g_new0(struct weir_tenant, 1);
		tenant->name = g_steal_pointer(&key);
		tenant->served = t->now;
		g_queue_init(&tenant->waiting);
		g_hash_table_insert(t->by_name, tenant->name, tenant);
	}
	tenant->n_requests++;
	w->tenant = tenant;
	start_waiting(t, w);
}

static bool before(const struct weir_waiter *a, const struct weir_waiter *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->tenant->served != b->tenant->served)
		return a->tenant->served < b->tenant->served;
	return a->order < b->order;
}

struct weir_waiter *weir_tenants_next(struct weir_tenants *t,
				      bool (*ready)(struct weir_waiter *, void *data), void *data)
{
	struct weir_waiter *best = NULL;
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, t->by_name);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct weir_tenant *tenant = value;

		for (GList *at = tenant->waiting.head; at; at = at->next) {
			struct weir_waiter *w = at->data;

			if (best && !before(w, best))
				break; /* nor will those behind it */
			if (ready(w, data)) {
				best = w;
				break;
			}
		}
	}
	return best;
}

static void stop_waiting(struct weir_tenants *t, struct weir_waiter *w)
{
	if (!w->waiting)
		return;
	g_queue_unlink(&w->tenant->waiting, &w->link);
	w->waiting = false;
	t->n_waiting--;
}

void weir_tenants_requeue(struct weir_tenants *t, struct weir_waiter *w)
{
	if (!w->waiting)
		return;
	stop_waiting(t, w);
	start_waiting(t, w);
	t->now = MAX(t->now, w->tenant->served);
}

void weir_tenants_admit(struct weir_tenants *t, struct weir_waiter *w)
{
	stop_waiting(t, w);
	t->now = MAX(t->now, w->tenant->served);
}

void weir_tenants_charge(struct weir_waiter *w, uint32_t n_tokens)
{
	w->tenant->served += n_tokens;
}

void weir_tenants_leave(struct weir_tenants *t, struct weir_waiter *w)
{
	if (!w->tenant)
		return;
	stop_waiting(t, w);
	if (--w->tenant->n_requests == 0)
		g_hash_table_remove(t->by_name, w->tenant->name);
	w->tenant = NULL;
}

size_t weir_tenants_waiting(const struct weir_tenants *t)
{
	return t->n_waiting;
}

struct weir_waiter *weir_tenants_any(struct weir_tenants *t)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, t->by_name);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct weir_tenant *tenant = value;

		if (tenant->waiting.head)
			return tenant->waiting.head->data;
	}
	return NULL;
}
