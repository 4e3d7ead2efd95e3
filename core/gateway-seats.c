/*
 * gateway-seats.c - who runs where: weir_gateway.seats. [any]
 *
 * A request gets the seats of its choices when somebody first looks at it after its start, the
 * lowest that are free, and keeps them: who looks twice sees it at the same seat. Nobody pays for
 * this who does not look.
 */
#include "gateway-router.h"

#include <string.h>

#include "request.h"

#define MAX_CHOICES 1024u

struct busy { /* one seat that somebody has */
	struct weir_channel *channel;
	struct weir_seat seat;
};

struct listing {
	GArray *busy;      /* struct busy */
	GHashTable *taken; /* ids */
	uint32_t next;     /* none below it is free */
};

uint32_t weir_slot_seats(const struct weir_slot *slot)
{
	struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	size_t n = weir_slot_concurrency(slot);

	if (atomic_load(&((struct weir_slot *)slot)->phase) != WEIR_SLOT_BOUND)
		return 0;
	if (scheduler)
		n = MIN(n, weir_scheduler_rows(scheduler));
	return (uint32_t)MIN(n, UINT32_MAX);
}

static void note_taken(void *data, const struct weir_ticket_view *t)
{
	struct listing *l = data;

	for (uint32_t i = 0; i < t->seats->n; i++)
		g_hash_table_add(l->taken, GUINT_TO_POINTER(t->seats->ids[i]));
}

static void take_seats(struct listing *l, struct weir_seat_ids *p, uint32_t n)
{
	p->ids = g_new(uint32_t, n);
	for (p->n = 0; p->n < n; p->n++) {
		while (g_hash_table_contains(l->taken, GUINT_TO_POINTER(l->next)))
			l->next++;
		p->ids[p->n] = l->next++;
	}
}

static void note_busy(void *data, const struct weir_ticket_view *t)
{
	struct listing *l = data;
	weir_request *request = weir_channel_request(t->channel);
	uint32_t n_prompt, n_output;

	if (!weir_channel_progress(t->channel, &n_prompt, &n_output))
		return;
	if (!t->seats->ids)
		take_seats(l, t->seats, CLAMP(weir_request_limits(request)->n, 1u, MAX_CHOICES));
	for (uint32_t i = 0; i < t->seats->n; i++) {
		struct busy b = { .channel = weir_channel_ref(t->channel),
				  .seat = { .size = sizeof(b.seat),
					    .id = t->seats->ids[i],
					    .choice = i,
					    .request = weir_request_ref(request),
					    .task = t->task,
					    .opened_ns = t->opened_ns,
					    .n_prompt = n_prompt,
					    .n_output = n_output } };

		g_array_append_val(l->busy, b);
	}
}

static void busy_clear(gpointer data)
{
	struct busy *b = data;

	weir_request_unref(b->seat.request);
	weir_channel_unref(b->channel);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
	const struct busy *x = a, *y = b;

	return (x->seat.id > y->seat.id) - (x->seat.id < y->seat.id);
}

static void list_slot(struct weir_slot *slot, void (*each)(void *data, const struct weir_seat *),
		      void *data)
{
	struct listing l = { .busy = g_array_new(FALSE, FALSE, sizeof(struct busy)) };
	uint32_t n = weir_slot_seats(slot), id = 0;

	g_array_set_clear_func(l.busy, busy_clear);
	l.taken = g_hash_table_new(NULL, NULL);
	pthread_mutex_lock(&slot->lock);
	weir_slot_each_ticket(slot, note_taken, &l);
	weir_slot_each_ticket(slot, note_busy, &l);
	pthread_mutex_unlock(&slot->lock);
	g_array_sort(l.busy, by_id);
	for (guint i = 0; i <= l.busy->len; i++) {
		struct busy *b = i < l.busy->len ? &g_array_index(l.busy, struct busy, i) : NULL;
		struct weir_seat seat = { .size = sizeof(seat),
					  .backend = slot->name,
					  .context = weir_slot_context(slot) };

		for (; id < (b ? MIN(b->seat.id, n) : n); id++) {
			seat.id = id;
			each(data, &seat);
		}
		if (!b)
			break;
		b->seat.backend = seat.backend;
		b->seat.context = seat.context;
		each(data, &b->seat);
		id = b->seat.id + 1;
	}
	g_hash_table_unref(l.taken);
	g_array_unref(l.busy);
}

void weir_router_seats(const struct weir_host *host, const char *model,
		       void (*each)(void *data, const struct weir_seat *), void *data,
		       bool *ret_found)
{
	const struct weir_core *core = host->data;
	g_autoptr(GPtrArray) slots =
		core->router
			? weir_router_find(core->router, (struct weir_str){ model, strlen(model) })
			: NULL;

	*ret_found = slots && slots->len > 0;
	for (guint i = 0; slots && i < slots->len; i++)
		list_slot(slots->pdata[i], each, data);
}
