/*
 * core/scheduler-progress.c - see scheduler-progress.h.
 */
#include "scheduler-progress.h"

#include "scheduler-inside.h"

void weir_progress_mark(struct weir_progress *p, const char *section)
{
	/* The time first: who reads the two in the other order never takes a section for older. */
	if (atomic_load_explicit(&p->section, memory_order_relaxed))
		atomic_fetch_add_explicit(&p->count, 1, memory_order_relaxed);
	atomic_store(&p->since_ns, weir_clock_ns());
	atomic_store(&p->section, section);
}

int weir_progress_enter(struct weir_progress *p)
{
	int64_t now = weir_clock_ns();

	for (int i = 0; i < WEIR_PROGRESS_PLACES; i++) {
		int64_t nobody = 0;

		if (atomic_compare_exchange_strong(&p->preparing[i], &nobody, now))
			return i;
	}
	return -1;
}

void weir_progress_leave(struct weir_progress *p, int place)
{
	if (place >= 0)
		atomic_store(&p->preparing[place], 0);
}

void weir_progress_look(const struct weir_progress *cp, struct weir_progress_view *ret)
{
	struct weir_progress *p = (struct weir_progress *)cp;
	int64_t now = weir_clock_ns(), since;

	ret->count = atomic_load(&p->count);
	ret->section = atomic_load(&p->section);
	ret->ns = ret->section ? MAX(now - atomic_load(&p->since_ns), 0) : 0;
	for (int i = 0; i < WEIR_PROGRESS_PLACES; i++) {
		since = atomic_load(&p->preparing[i]);
		if (since == 0 || (ret->section && now - since <= ret->ns))
			continue;
		ret->section = "prepare";
		ret->ns = MAX(now - since, 0);
	}
}

void weir_scheduler_look(const struct weir_scheduler *s, struct weir_progress_view *ret)
{
	weir_progress_look(&s->progress, ret);
}
