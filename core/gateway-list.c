/*
 * gateway-list.c - weir_gateway.models: what is served, each name once. [any]
 *
 * Replicas, backends that serve one name, are one entry: the best of them, with how many there are.
 */
#include "gateway-router.h"

#include <string.h>

struct view { /* of one backend, at one moment */
	struct weir_slot *slot;
	enum weir_router_state state;
	struct weir_scheduler_status status;
	char why[448];
	struct weir_model_entry entry;
};

struct listing {
	GPtrArray *ids;    /* char *, in profile order */
	GHashTable *lines; /* id -> struct line */
};

struct line {
	struct weir_model_entry entry;
	enum weir_router_state state;
	const struct view *last; /* who was added last */
};

static struct view *view_new(struct weir_slot *slot)
{
	struct view *v = g_new0(struct view, 1);

	v->slot = slot;
	v->state = weir_slot_state(slot, v->why, sizeof(v->why));
	v->entry = (struct weir_model_entry){
		.size = sizeof(v->entry),
		.context = weir_slot_context(slot),
		.backend = slot->name,
		.state = weir_router_state_names[v->state],
		.created = slot->created,
		.bytes = weir_slot_bytes(slot),
		.error = v->state == WEIR_ROUTER_FAILED ? v->why : NULL,
		.load_ms = atomic_load(&slot->load_ms),
		.n_seats = weir_slot_seats(slot),
	};
	v->status.state = WEIR_SCHEDULER_LOADING;
	if (weir_slot_scheduler(slot))
		weir_scheduler_status(slot->scheduler, &v->status);
	if (v->status.state == WEIR_SCHEDULER_READY)
		v->entry.model = &v->status.model;
	return v;
}

static void add(struct listing *l, const struct view *v, const char *id)
{
	struct line *line = g_hash_table_lookup(l->lines, id);
	struct weir_model_entry before;

	if (!line) {
		char *key = g_strdup(id);

		line = g_new0(struct line, 1);
		line->entry = v->entry;
		line->entry.bytes = 0;
		line->state = v->state;
		g_ptr_array_add(l->ids, key);
		g_hash_table_insert(l->lines, key, line);
	} else if (line->last == v) {
		return; /* it has one name twice */
	}
	before = line->entry;
	if (weir_router_state_rank(v->state) > weir_router_state_rank(line->state)) {
		line->entry = v->entry;
		line->state = v->state;
	}
	line->last = v;
	line->entry.id = NULL;
	line->entry.created = MIN(before.created, v->entry.created);
	line->entry.bytes = before.bytes + v->entry.bytes;
	line->entry.n_replicas = before.n_replicas + 1;
	line->entry.n_ready = before.n_ready + (v->state == WEIR_ROUTER_READY);
}

/* Each adapter is a model of its own: "base:adapter". */
static void add_adapters(struct listing *l, const struct view *v, const char *base)
{
	const char *adapter;

	for (uint32_t i = 1;; i++) {
		g_autofree char *id = NULL;

		adapter = weir_slot_adapter(v->slot, i);
		if (!adapter)
			break;
		id = g_strdup_printf("%s:%s", base, adapter);
		add(l, v, id);
	}
}

static void add_backend(struct listing *l, const struct view *v)
{
	g_auto(GStrv) names = weir_slot_names(v->slot);

	for (char **name = names; *name; name++) {
		if (g_str_has_suffix(*name, "*"))
			continue; /* a pattern names no model */
		add(l, v, *name);
		add_adapters(l, v, *name);
	}
}

void weir_router_list(const struct weir_host *host,
		      void (*each)(void *data, const struct weir_model_entry *), void *data)
{
	const struct weir_core *core = host->data;
	g_autoptr(GPtrArray) slots = core->router ? weir_router_snapshot(core->router) : NULL;
	g_autoptr(GPtrArray) views = g_ptr_array_new_with_free_func(g_free);
	struct listing l = { g_ptr_array_new(),
			     g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };

	for (guint i = 0; slots && i < slots->len; i++) {
		struct view *v = view_new(slots->pdata[i]);

		g_ptr_array_add(views, v);
		add_backend(&l, v);
	}
	for (guint i = 0; i < l.ids->len; i++) {
		const struct line *line = g_hash_table_lookup(l.lines, l.ids->pdata[i]);
		struct weir_model_entry entry = line->entry;

		entry.id = l.ids->pdata[i];
		each(data, &entry);
	}
	g_ptr_array_unref(l.ids);
	g_hash_table_unref(l.lines);
}
