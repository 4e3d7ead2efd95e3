/*
 * frontends/api/batch.c - token batching when a client asks for it (001u-1: 3 tokens or 50 ms):
 * fewer frames, later text. See call-private.h. [loop]
 *
 * Text is held per choice; anything that is not plain text sends what is held first, so order never
 * changes. A call stays linked at the loop until a tick finds that it holds nothing.
 */
#include <math.h>

#include "call-private.h"
#include "format.h"

static uint64_t monotonic_ms(void)
{
	return (uint64_t)g_get_monotonic_time() / 1000;
}

void api_batch_flush(struct api_call *k, struct api_choice *c)
{
	if (c->n_held == 0)
		return;
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_TEXT,
				.token = -1,
				.index = c->index % k->n_each,
				.logprob = NAN,
				.text = { c->held.data, c->held.len } };
	k->format->event(k, c, &e);
	c->held.len = 0;
	c->n_held = 0;
}

static void hold(struct api_call *k)
{
	struct api_loop *l = k->loop;
	if (k->batch_due_ms)
		return;
	k->batch_due_ms = monotonic_ms() + k->body->params.batch_ms;
	if (!l->batch_due_ms || k->batch_due_ms < l->batch_due_ms)
		l->batch_due_ms = k->batch_due_ms;
	if (!k->batch_link.data) {
		k->batch_link.data = k;
		g_queue_push_tail_link(&l->batching, &k->batch_link);
	}
}

bool api_batch_take(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	const struct api_params *p = &k->body->params;
	bool text = e->type == WEIR_EVENT_TOKEN || e->type == WEIR_EVENT_TEXT;
	if (p->batch_tokens < 2)
		return false;
	if (!text || p->sampling.logprobs) {
		api_batch_flush(k, c);
		return false;
	}
	buf_append(&c->held, e->text.data, e->text.len);
	if (++c->n_held >= p->batch_tokens)
		api_batch_flush(k, c);
	else
		hold(k);
	return true;
}

void api_batch_forget(struct api_call *k)
{
	if (k->batch_link.data)
		g_queue_unlink(&k->loop->batching, &k->batch_link);
	k->batch_link.data = NULL;
}

uint64_t api_loop_due(const struct api_loop *l)
{
	return l->batch_due_ms;
}

static void tick_call(struct api_call *k)
{
	k->batch_due_ms = 0;
	api_batch_forget(k);
	k->inside = true;
	for (uint32_t i = 0; k->transport && i < k->n_choices; i++)
		api_batch_flush(k, &k->choices[i]);
	api_call_leave(k);
}

void api_loop_tick(struct api_loop *l, uint64_t now_ms)
{
	if (!l->batch_due_ms || now_ms < l->batch_due_ms)
		return;
	uint64_t next = 0;
	GList *after;
	for (GList *i = l->batching.head; i; i = after) {
		struct api_call *k = i->data;
		after = i->next; /* a flush frees at most the call itself */
		if (k->batch_due_ms <= now_ms)
			tick_call(k);
		else if (!next || k->batch_due_ms < next)
			next = k->batch_due_ms;
	}
	l->batch_due_ms = next;
}
