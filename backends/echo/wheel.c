/* SPDX-License-Identifier: MIT */
/*
 * wheel.c - see wheel.h. A bit of `filled` may outlive what was in its slot: it is cleared when the
 * slot is found empty.
 */
#include "wheel.h"

#include <stddef.h>

void echo_list_init(struct echo_due *list)
{
	list->next = list->prev = list;
}

bool echo_list_empty(const struct echo_due *list)
{
	return list->next == list;
}

void echo_list_add(struct echo_due *list, struct echo_due *d)
{
	d->next = list;
	d->prev = list->prev;
	list->prev->next = d;
	list->prev = d;
}

void echo_list_move(struct echo_due *list, struct echo_due *to)
{
	if (echo_list_empty(list))
		return;
	list->next->prev = to->prev;
	to->prev->next = list->next;
	list->prev->next = to;
	to->prev = list->prev;
	echo_list_init(list);
}

void echo_list_remove(struct echo_due *d)
{
	if (!d->next)
		return;
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->next = d->prev = NULL;
}

void echo_wheel_init(struct echo_wheel *w, int64_t now_ns)
{
	*w = (struct echo_wheel){ .tick = now_ns / ECHO_WHEEL_TICK_NS };
	for (int i = 0; i < ECHO_WHEEL_SLOTS; i++)
		echo_list_init(&w->slots[i]);
}

void echo_wheel_add(struct echo_wheel *w, struct echo_due *d)
{
	int64_t tick = d->ns / ECHO_WHEEL_TICK_NS + (d->ns % ECHO_WHEEL_TICK_NS != 0);
	uint64_t at;

	if (tick <= w->tick)
		tick = w->tick + 1;
	at = (uint64_t)tick % ECHO_WHEEL_SLOTS;
	w->filled[at / 64] |= UINT64_C(1) << at % 64;
	echo_list_add(&w->slots[at], d);
}

void echo_wheel_take(struct echo_wheel *w, int64_t now_ns, struct echo_due *list)
{
	int64_t now = now_ns / ECHO_WHEEL_TICK_NS;

	if (now - w->tick > ECHO_WHEEL_SLOTS)
		w->tick = now - ECHO_WHEEL_SLOTS;
	while (w->tick < now) {
		uint64_t at = (uint64_t)++w->tick % ECHO_WHEEL_SLOTS;

		if (!(w->filled[at / 64] >> at % 64 & 1))
			continue;
		echo_list_move(&w->slots[at], list);
		w->filled[at / 64] &= ~(UINT64_C(1) << at % 64);
	}
}

int64_t echo_wheel_next(struct echo_wheel *w)
{
	for (int64_t i = 1; i <= ECHO_WHEEL_SLOTS;) {
		uint64_t at = (uint64_t)(w->tick + i) % ECHO_WHEEL_SLOTS;
		uint64_t word = w->filled[at / 64] >> at % 64;

		if (word == 0) { /* on to the next word */
			i += 64 - (int64_t)(at % 64);
			continue;
		}
		i += __builtin_ctzll(word);
		at = (uint64_t)(w->tick + i) % ECHO_WHEEL_SLOTS;
		if (i <= ECHO_WHEEL_SLOTS && !echo_list_empty(&w->slots[at]))
			return (w->tick + i) * ECHO_WHEEL_TICK_NS;
		w->filled[at / 64] &= ~(UINT64_C(1) << at % 64);
		i++;
	}
	return INT64_MAX;
}
