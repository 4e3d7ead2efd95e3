/*
 * gateway-recover.c - requests whose backend was lost, or has given way: they go on elsewhere, and
 * their clients see a pause.
 *
 * A scheduler hands its requests back on its own thread (weir_slot_hand_back). A worker then looks
 * for each: another ready slot that serves the model and means the same by its tokens; else the
 * heir of its slot, which main names when it loads the backend again (core/models-lost.c), and
 * until then it waits where it was. Who waits can be cancelled, and its deadline holds.
 */
#include "gateway-ticket.h"

#include "log.h"
#include "request.h"
#include "text.h"

/* --- what fits ----------------------------------------------------------------------------- */

static bool resumes(const struct weir_slot *slot)
{
	const struct weir_instance *instance = slot->instance;

	return instance && WEIR_HAS(struct weir_instance, instance, get_ext) &&
	       instance->get_ext(slot->instance, WEIR_RESUME) != NULL;
}

bool weir_ticket_fits(const struct ticket *t, struct weir_slot *slot)
{
	const struct weir_scheduler *s = weir_slot_scheduler(slot);

	if (!t->resumed)
		return true;
	/* Of a level-A instance nobody knows what its tokens are. */
	if (!s)
		return !t->output && resumes(slot);
	/* One that cannot serve by now hands it on by itself. */
	return !t->output || weir_scheduler_state(s) != WEIR_SCHEDULER_READY ||
	       (t->print != 0 && weir_scheduler_print(s) == t->print &&
		weir_scheduler_longest(s) >= t->longest);
}

bool weir_slot_stands_in(struct weir_slot *slot, void *data)
{
	/* A remote provider is no substitute for what was asked of this machine. */
	return weir_slot_state(slot, NULL, 0) == WEIR_ROUTER_READY &&
	       (weir_slot_scheduler(slot) || resumes(slot));
}

static bool takes(struct weir_slot *slot, void *data)
{
	const struct ticket *t = data;

	return slot != t->slot && weir_slot_stands_in(slot, NULL) && weir_ticket_fits(t, slot);
}

/* --- ending -------------------------------------------------------------------------------- */

void weir_ticket_give_up(struct ticket *t)
{
	struct weir_router *r = t->slot->router;
	struct weir_error err;

	if (t->refused)
		(void)weir_slot_refusal(t->slot, &err);
	else if (t->replaced)
		weir_fail(&err, WEIR_E_NO_MODEL, "the model was unloaded");
	else if (t->output)
		weir_fail(&err, WEIR_E_UNAVAILABLE,
			  "the backend was lost, and no other can go on with the answer");
	else
		weir_fail(&err, WEIR_E_UNAVAILABLE, "the backend was lost");
	weir_metric_add(r->n_lost, 1);
	weir_stream_fail(t->out, &err, WEIR_RETRY_AFTER_MS, NULL);
}

static void end_cancelled(struct ticket *t)
{
	const struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };

	weir_stream_end(t->out, &end, NULL);
}

/* It may well be the reason. */
static void end_poison(struct ticket *t)
{
	struct weir_error err;

	weir_fail(&err, WEIR_E_INTERNAL,
		  "inference failed: the backend was lost %u times while it computed this request",
		  t->n_losses);
	weir_logf(t->slot->router->core->log, WEIR_LOG_WARNING, "gateway",
		  "%s: a request was alive in %u losses and ends", t->slot->name, t->n_losses);
	weir_metric_add(t->slot->router->n_lost, 1);
	weir_stream_fail(t->out, &err, 0, NULL);
}

/* --- moving -------------------------------------------------------------------------------- */

struct move {
	struct weir_slot *to, *from;
};

static void move(void *owner, void *data)
{
	struct ticket *t = owner;
	struct move *m = data;

	m->from = t->slot;
	weir_ticket_leave(t);
	t->slot = m->to;
	t->waited = t->refused = false;
	atomic_store(&t->state, TICKET_SUBMITTING);
	weir_ticket_enlist(t);
}

/* to: a reference and its count of requests are taken. */
static void transfer(struct ticket *t, struct weir_slot *to)
{
	struct move m = { to, NULL };

	if (!weir_channel_recall(t->channel, move, &m)) {
		atomic_fetch_sub(&to->n_inflight, 1);
		weir_slot_unref(to);
		end_cancelled(t); /* it was detached: the end that it owes */
		return;
	}
	if (t->resumed)
		weir_metric_add(to->router->n_recovered, 1);
	weir_ticket_admit(t);
	weir_slot_unref(m.from);
}

/* The heir of a slot, or that one's, with a reference and counted; NULL: none. */
static struct weir_slot *find_heir(struct weir_slot *slot)
{
	struct weir_slot *heir = weir_slot_ref(slot), *next;

	do {
		pthread_mutex_lock(&heir->lock);
		next = heir->heir ? weir_slot_ref(heir->heir) : NULL;
		pthread_mutex_unlock(&heir->lock);
		if (next) {
			weir_slot_unref(heir);
			heir = next;
		}
	} while (next);
	if (heir == slot) {
		weir_slot_unref(heir);
		return NULL;
	}
	atomic_fetch_add(&heir->n_inflight, 1);
	return heir;
}

/* Waits in its slot for the heir. False: none will come, or one just has. */
static bool wait_here(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	bool waits;

	weir_ticket_hold(t);
	pthread_mutex_lock(&slot->lock);
	waits = slot->held && !slot->heir && !atomic_load(&slot->refused);
	if (waits)
		weir_ticket_enqueue(t);
	pthread_mutex_unlock(&slot->lock);
	if (waits)
		weir_channel_submitted(t->channel);
	weir_ticket_let_go(t);
	return waits;
}

bool weir_ticket_has_other(struct ticket *t)
{
	struct weir_slot *other = weir_router_route_other(
		t->slot->router, weir_channel_request(t->channel), takes, t);

	if (!other)
		return false;
	atomic_fetch_sub(&other->n_inflight, 1);
	weir_slot_unref(other);
	return true;
}

static void look_around(struct ticket *t)
{
	weir_request *request = weir_channel_request(t->channel);
	struct weir_slot *to;

	for (int i = 0; i < 2; i++) {
		to = weir_router_route_other(t->slot->router, request, takes, t);
		if (!to)
			to = find_heir(t->slot);
		if (to) {
			transfer(t, to);
			return;
		}
		if (wait_here(t))
			return;
	}
	weir_ticket_give_up(t);
}

static void recover(void *data)
{
	struct ticket *t = data;
	struct weir_channel *channel = t->channel;

	atomic_fetch_and(&t->holds, ~TICKET_HANDED);
	/* Who brought it to its last backend may have been the last to say that wake() can come. */
	(void)weir_channel_recall(channel, NULL, NULL);
	atomic_store(&t->state, TICKET_SUBMITTING);
	if (weir_stream_cancelled(t->out))
		end_cancelled(t);
	else if (t->n_losses > 1)
		end_poison(t);
	else
		look_around(t);
	weir_ticket_unref(t);
	weir_channel_unref(channel);
}

void weir_ticket_recover(struct ticket *t)
{
	atomic_fetch_add(&t->refs, 1);
	weir_channel_ref(t->channel);
	weir_workers_push(t->slot->router->workers, recover, t);
}

void weir_ticket_again(struct ticket *t)
{
	atomic_fetch_or(&t->holds, TICKET_HANDED);
}

/* --- the scheduler's side ------------------------------------------------------------------ */

struct note {
	const struct weir_handed *handed;
	struct ticket *ticket;
};

static void note(void *owner, void *data)
{
	struct note *n = data;
	struct ticket *t = owner;
	const struct weir_handed *h = n->handed;

	n->ticket = t;
	weir_ticket_hold(t);
	t->output = h->output;
	t->replaced = !h->lost;
	t->print = h->print;
	t->longest = h->longest;
	t->n_losses += h->lost && h->lived;
	if (!h->told)
		return;
	weir_request_unref(t->resumed);
	t->resumed = weir_request_copy(weir_channel_request(t->channel));
	(void)weir_request_set_field(t->resumed, "resume",
				     (struct weir_str){ h->told, strlen(h->told) });
}

bool weir_slot_hand_back(void *data, struct weir_channel *channel, const struct weir_handed *handed)
{
	struct note n = { handed, NULL };

	if (!weir_channel_recall(channel, note, &n))
		return false;
	weir_ticket_again(n.ticket);
	weir_ticket_let_go(n.ticket);
	return true;
}

void weir_slot_lost(void *data)
{
	struct weir_slot *slot = data;
	const struct weir_loader *loader = &slot->router->loader;

	weir_metric_add(slot->losses, 1);
	atomic_store(&slot->lost, true);
	/* Without a loader nobody would ever name an heir. */
	if (!loader->ring)
		return;
	pthread_mutex_lock(&slot->lock);
	slot->held = true;
	pthread_mutex_unlock(&slot->lock);
	loader->ring(loader->self);
}

/* --- main's side --------------------------------------------------------------------------- */

bool weir_slot_is_lost(const struct weir_slot *slot)
{
	return atomic_load(&((struct weir_slot *)slot)->lost);
}

void weir_slot_pass_on(struct weir_slot *old, struct weir_slot *heir)
{
	struct weir_slot *before;
	struct ticket *t;
	GQueue waiting;

	if (weir_slot_state(heir, NULL, 0) != WEIR_ROUTER_READY) {
		atomic_store(&heir->inherits, true);
		pthread_mutex_lock(&heir->lock);
		heir->held = true;
		pthread_mutex_unlock(&heir->lock);
	}
	pthread_mutex_lock(&old->lock);
	before = old->heir;
	old->heir = weir_slot_ref(heir);
	waiting = old->waiting;
	g_queue_init(&old->waiting);
	for (GList *l = waiting.head; l; l = l->next) {
		t = l->data;
		weir_ticket_hold(t);
		atomic_store(&t->state, TICKET_MOVING);
		weir_metric_add(old->router->queue_depth, -1);
	}
	pthread_mutex_unlock(&old->lock);
	weir_slot_unref(before);
	while ((t = g_queue_pop_head(&waiting)) != NULL) {
		weir_ticket_again(t);
		weir_ticket_let_go(t);
	}
}

void weir_slot_abandon(struct weir_slot *slot)
{
	weir_slot_release(slot, true);
}

bool weir_slot_evacuate(struct weir_slot *slot)
{
	struct weir_scheduler *s = weir_slot_scheduler(slot);

	if (!s || weir_scheduler_state(s) != WEIR_SCHEDULER_READY)
		return false;
	weir_scheduler_release(s);
	return true;
}
