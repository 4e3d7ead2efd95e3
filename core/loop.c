/*
 * loop.c - the queue of one frontend thread; see loop.h.
 *
 * `lock` guards the filling side and is held for a few copies only. `ring_lock` is apart, so that a
 * slow ring() never holds up a dispatch, and so that weir_loop_free() can wait for it.
 */
#include "loop.h"

#include <pthread.h>
#include <string.h>

#include <glib.h>

#define KEEP_BYTES   (4u << 20) /* more than this is given back after a burst */
#define KEEP_ENTRIES 65536u
#define AHEAD        4u /* entries: thousands of streams do not fit into a cache */

struct entry {
	const struct weir_loop_calls *calls;
	void *target;
	size_t at; /* where the entry's text lies in bytes */
	bool is_end;
	union {
		struct weir_event event;
		struct weir_end end;
	};
};

struct side {
	struct entry *entries;
	size_t n, cap;
	char *bytes;
	size_t n_bytes, cap_bytes;
};

struct weir_loop {
	int refs; /* atomic */
	void (*ring)(void *data);
	void *data;
	pthread_mutex_t lock;
	struct side filling; /* under lock */
	bool rung;           /* under lock: rung since the last dispatch */
	struct side draining;
	bool dispatching; /* the loop's thread only */
	pthread_mutex_t ring_lock;
	bool closed; /* under ring_lock */
};

weir_loop *weir_loop_new(void (*ring)(void *data), void *data)
{
	weir_loop *loop = g_new0(weir_loop, 1);

	loop->refs = 1;
	loop->ring = ring;
	loop->data = data;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_mutex_init(&loop->ring_lock, NULL);
	return loop;
}

weir_loop *weir_loop_ref(weir_loop *loop)
{
	g_atomic_int_inc(&loop->refs);
	return loop;
}

static void side_clear(struct side *side)
{
	g_free(side->entries);
	g_free(side->bytes);
	memset(side, 0, sizeof(*side));
}

void weir_loop_unref(weir_loop *loop)
{
	if (!loop || !g_atomic_int_dec_and_test(&loop->refs))
		return;
	side_clear(&loop->filling);
	side_clear(&loop->draining);
	pthread_mutex_destroy(&loop->lock);
	pthread_mutex_destroy(&loop->ring_lock);
	g_free(loop);
}

void weir_loop_free(weir_loop *loop)
{
	if (!loop)
		return;
	pthread_mutex_lock(&loop->ring_lock);
	loop->closed = true;
	pthread_mutex_unlock(&loop->ring_lock);
	weir_loop_unref(loop);
}

static void ring(weir_loop *loop)
{
	pthread_mutex_lock(&loop->ring_lock);
	if (!loop->closed && loop->ring)
		loop->ring(loop->data);
	pthread_mutex_unlock(&loop->ring_lock);
}

/* Room for n more bytes, aligned for any struct; returns their offset. */
static size_t side_reserve(struct side *side, size_t n)
{
	size_t at = (side->n_bytes + 7u) & ~(size_t)7u;

	if (at + n > side->cap_bytes) {
		side->cap_bytes = MAX(at + n, side->cap_bytes * 2);
		side->cap_bytes = MAX(side->cap_bytes, 4096u);
		side->bytes = g_realloc(side->bytes, side->cap_bytes);
	}
	side->n_bytes = at + n;
	return at;
}

static void put(struct side *side, size_t *at, const void *data, size_t n)
{
	if (n > 0)
		memcpy(side->bytes + *at, data, n);
	*at += n;
}

static struct entry *side_entry(struct side *side, const struct weir_loop_calls *calls,
				void *target)
{
	struct entry *e;

	if (side->n == side->cap) {
		side->cap = MAX(64u, side->cap * 2);
		side->entries = g_renew(struct entry, side->entries, side->cap);
	}
	e = &side->entries[side->n++];
	e->calls = calls;
	e->target = target;
	return e;
}

/* Adds the loop to the bell, or rings it if nobody has. Takes over the lock. */
static void filled(weir_loop *loop, struct weir_bell *bell)
{
	bool first = !loop->rung;

	if (!bell)
		loop->rung = true;
	pthread_mutex_unlock(&loop->lock);
	if (!bell) {
		if (first)
			ring(loop);
		return;
	}
	for (size_t i = bell->n; i-- > 0;)
		if (bell->loops[i] == loop)
			return;
	if (bell->n == bell->cap) {
		bell->cap = MAX(8u, bell->cap * 2);
		bell->loops = g_renew(weir_loop *, bell->loops, bell->cap);
	}
	bell->loops[bell->n++] = weir_loop_ref(loop);
}

void weir_bell_ring(struct weir_bell *bell)
{
	for (size_t i = 0; i < bell->n; i++) {
		weir_loop *loop = bell->loops[i];
		bool need;

		pthread_mutex_lock(&loop->lock);
		need = !loop->rung && loop->filling.n > 0;
		loop->rung = loop->rung || need;
		pthread_mutex_unlock(&loop->lock);
		if (need)
			ring(loop);
		weir_loop_unref(loop);
	}
	bell->n = 0;
}

void weir_bell_clear(struct weir_bell *bell)
{
	weir_bell_ring(bell);
	g_free(bell->loops);
	memset(bell, 0, sizeof(*bell));
}

void weir_loop_push_event(weir_loop *loop, const struct weir_loop_calls *calls, void *target,
			  const struct weir_event *event, struct weir_bell *bell)
{
	size_t tops = event->n_top * sizeof(struct weir_top_logprob);
	size_t need = tops + event->text.len + event->raw.len;
	struct entry *e;
	size_t at;

	for (uint32_t i = 0; i < event->n_top; i++)
		need += event->top[i].text.len;
	pthread_mutex_lock(&loop->lock);
	e = side_entry(&loop->filling, calls, target);
	at = side_reserve(&loop->filling, need);
	e->is_end = false;
	e->at = at;
	e->event = *event;
	put(&loop->filling, &at, event->top, tops);
	put(&loop->filling, &at, event->text.data, event->text.len);
	put(&loop->filling, &at, event->raw.data, event->raw.len);
	for (uint32_t i = 0; i < event->n_top; i++)
		put(&loop->filling, &at, event->top[i].text.data, event->top[i].text.len);
	filled(loop, bell);
}

void weir_loop_push_end(weir_loop *loop, const struct weir_loop_calls *calls, void *target,
			const struct weir_end *end, struct weir_bell *bell)
{
	size_t choices = end->choices ? end->n_choices * sizeof(struct weir_choice_end) : 0;
	struct entry *e;
	size_t at;

	pthread_mutex_lock(&loop->lock);
	e = side_entry(&loop->filling, calls, target);
	at = side_reserve(&loop->filling, choices + end->text.len + end->param.len);
	e->is_end = true;
	e->at = at;
	e->end = *end;
	/* A producer's may be smaller: what leaves here is always ours. */
	if (choices > 0)
		e->end.choice_size = sizeof(struct weir_choice_end);
	for (uint32_t i = 0; choices > 0 && i < end->n_choices; i++) {
		struct weir_choice_end c = weir_end_choice(end, i);

		put(&loop->filling, &at, &c, sizeof(c));
	}
	put(&loop->filling, &at, end->text.data, end->text.len);
	put(&loop->filling, &at, end->param.data, end->param.len);
	filled(loop, bell);
}

static const char *take(const char **at, size_t n)
{
	const char *data = *at;

	*at += n;
	return n > 0 ? data : NULL;
}

static void deliver_event(struct entry *e, char *bytes)
{
	const char *at = bytes ? bytes + e->at : NULL;
	struct weir_event *event = &e->event;
	struct weir_top_logprob *top;

	top = (struct weir_top_logprob *)take(&at, event->n_top * sizeof(*top));
	event->text.data = take(&at, event->text.len);
	event->raw.data = take(&at, event->raw.len);
	for (uint32_t i = 0; i < event->n_top; i++)
		top[i].text.data = take(&at, top[i].text.len);
	event->top = top;
	e->calls->event(e->target, event);
}

static void deliver_end(struct entry *e, char *bytes)
{
	const char *at = bytes ? bytes + e->at : NULL;
	struct weir_end *end = &e->end;

	if (end->choices)
		end->choices = (const struct weir_choice_end *)take(
			&at, end->n_choices * sizeof(struct weir_choice_end));
	end->text.data = take(&at, end->text.len);
	end->param.data = take(&at, end->param.len);
	e->calls->end(e->target, end);
}

size_t weir_loop_dispatch(weir_loop *loop)
{
	struct side *side = &loop->draining;
	struct side swap;
	size_t n;

	if (loop->dispatching)
		return 0;
	loop->dispatching = true;
	pthread_mutex_lock(&loop->lock);
	swap = loop->filling;
	loop->filling = loop->draining;
	loop->draining = swap;
	loop->rung = false;
	pthread_mutex_unlock(&loop->lock);

	/* A sink may free the loop with its last stream. */
	weir_loop_ref(loop);
	for (size_t i = 0; i < side->n; i++) {
		if (i + AHEAD < side->n && side->entries[i + AHEAD].calls->soon)
			side->entries[i + AHEAD].calls->soon(side->entries[i + AHEAD].target);
		if (side->entries[i].is_end)
			deliver_end(&side->entries[i], side->bytes);
		else
			deliver_event(&side->entries[i], side->bytes);
	}
	n = side->n;
	side->n = side->n_bytes = 0;
	if (side->cap_bytes > KEEP_BYTES || side->cap > KEEP_ENTRIES)
		side_clear(side);
	loop->dispatching = false;
	weir_loop_unref(loop);
	return n;
}
