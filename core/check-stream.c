/*
 * core/check-stream.c - section stream of `weir check`: credit, cancellation, exactly one end, over
 * the real gateway. A level-B backend goes through the scheduler and must hold the same laws.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check-rig.h"
#include "gateway.h"

#define CANCEL_MS  8000 /* the host's grace is 2 s: by then it has reported the producer */
#define MAX_SPINS  200
#define MAX_TOKENS 24
#define N_MANY     64

/* What every stream must have shown by its end. */
static void judge(struct weir_check *check, const struct weir_check_stream *one)
{
	if (one->n_ends != 1)
		weir_check_fail(check, "%u ends instead of one", one->n_ends);
	if (one->gap)
		weir_check_fail(check, "event numbers have a gap");
	if (one->early)
		weir_check_fail(check, "content came before STARTED");
	if (one->status == WEIR_OK && !one->started)
		weir_check_fail(check, "an answer ended well without STARTED");
	if (one->status < 0 && one->status != WEIR_E_CANCELLED && one->error->len == 0)
		weir_check_fail(check, "the end has status %d and no text", one->status);
}

/* One whole answer with more credit than it needs; false: there is none to compare with. */
static bool answer(struct weir_check_rig *rig, struct weir_check_stream *one)
{
	struct weir_check *check = rig->check;
	snprintf(check->trace, WEIR_CHECK_TRACE, "a whole answer");
	if (!weir_check_ask(rig, one, 100000, MAX_TOKENS))
		return false;
	if (!weir_check_pump(one, check->patience_s * 1000)) {
		weir_check_fail(check, "no end within %d s", check->patience_s);
		return false;
	}
	weir_check_pump_all(rig, 30);
	judge(check, one);
	if (one->status < 0 && weir_check_going(check))
		weir_check_skip(check, "the request ended with an error: %s", one->error->str);
	return weir_check_going(check);
}

static void stream_answer(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream one;
	if (!weir_check_rig_open(&rig, check))
		return;
	if (answer(&rig, &one)) {
		weir_check_rig_close(&rig);
		weir_check_stream_clear(&one);
	}
}

static void stream_credit(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream whole, one;
	if (!weir_check_rig_open(&rig, check) || !answer(&rig, &whole))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "an answer without credit");
	if (!weir_check_ask(&rig, &one, 0, MAX_TOKENS))
		return;
	weir_check_pump_all(&rig, 300);
	if (one.n_events > 0)
		weir_check_fail(check, "%u events came without credit", one.n_events);
	unsigned granted = 0;
	while (one.n_ends == 0 && granted < 2 * whole.n_events + 100) {
		unsigned before = one.n_events;
		snprintf(check->trace, WEIR_CHECK_TRACE, "credit granted one by one, %u so far",
			 granted);
		rig.streams->grant(one.stream, 1);
		granted++;
		int64_t end = g_get_monotonic_time() + (int64_t)check->patience_s * 1000000;
		while (one.n_events == before && one.n_ends == 0 && g_get_monotonic_time() < end)
			weir_check_pump(&one, 5);
		if (one.n_events == before && one.n_ends == 0) {
			weir_check_fail(check,
					"credit was granted and nothing came: after NO_CREDIT the "
					"producer must look again at wake()");
			return;
		}
		if (one.n_events > granted + (one.n_ends ? rig.fanout : 0)) {
			weir_check_fail(check, "%u events came for %u granted", one.n_events,
					granted);
			return;
		}
	}
	judge(check, &one);
	if (one.n_events != whole.n_events || strcmp(one.text->str, whole.text->str) != 0)
		weir_check_fail(check,
				"with little credit the answer has %u events and %zu bytes, with "
				"much %u and %zu: what emit() does not take must be kept",
				one.n_events, one.text->len, whole.n_events, whole.text->len);
	if (weir_check_rig_spins() > MAX_SPINS)
		weir_check_fail(check,
				"emit() was called %u times in a row without credit; wait for "
				"wake() instead",
				weir_check_rig_spins());
	if (weir_check_going(check))
		weir_check_rig_close(&rig);
}

static void cancel_after(struct weir_check *check, unsigned n_events)
{
	struct weir_check_rig rig;
	struct weir_check_stream one;
	if (!weir_check_rig_open(&rig, check) ||
	    !weir_check_ask(&rig, &one, n_events, MAX_TOKENS * 8))
		return;
	for (int i = 0; one.n_events < n_events && one.n_ends == 0 && i < check->patience_s * 200;
	     i++)
		weir_check_pump(&one, 5);
	if (n_events == 0)
		weir_check_pump_all(&rig, 50);
	snprintf(check->trace, WEIR_CHECK_TRACE, "cancelled after %u events", one.n_events);
	if (one.n_ends == 0) {
		rig.streams->cancel(one.stream, WEIR_E_CANCELLED);
		rig.streams->cancel(one.stream, WEIR_E_DEADLINE); /* idempotent */
	}
	if (!weir_check_pump(&one, CANCEL_MS)) {
		weir_check_fail(check, "a cancelled stream did not end within %d s",
				CANCEL_MS / 1000);
		return;
	}
	weir_check_pump_all(&rig, 30);
	judge(check, &one);
	weir_check_log(check); /* the host had to end it: no use to wait for the producer */
	if (weir_check_going(check))
		weir_check_rig_close(&rig);
}

static void stream_cancel_early(struct weir_check *check)
{
	cancel_after(check, 0);
}

static void stream_cancel_midway(struct weir_check *check)
{
	cancel_after(check, 2);
}

static void *grant_many(void *data)
{
	struct weir_check_stream *one = data;
	for (int i = 0; i < 500; i++)
		one->rig->streams->grant(one->stream, 1);
	return NULL;
}

/* The stream pointer stays good: nothing is dispatched while the threads run. */
static void stream_wake_storm(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream whole, one;
	pthread_t threads[4];
	if (!weir_check_rig_open(&rig, check) || !answer(&rig, &whole) ||
	    !weir_check_ask(&rig, &one, 0, MAX_TOKENS))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "four threads granting credit");
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		if (pthread_create(&threads[i], NULL, grant_many, &one) != 0)
			return weir_check_skip(check, "no thread could be started");
	for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	if (!weir_check_pump(&one, check->patience_s * 1000)) {
		weir_check_fail(check, "no end within %d s", check->patience_s);
		return;
	}
	judge(check, &one);
	if (strcmp(one.text->str, whole.text->str) != 0)
		weir_check_fail(check, "the answer differs from the one without a storm");
	if (weir_check_going(check))
		weir_check_rig_close(&rig);
}

static void stream_many(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream many[N_MANY];
	unsigned left = N_MANY;
	if (!weir_check_rig_open(&rig, check))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "%d streams at once", N_MANY);
	for (unsigned i = 0; i < N_MANY; i++)
		if (!weir_check_ask(&rig, &many[i], i % 5, 8))
			return;
	int64_t end = g_get_monotonic_time() + (int64_t)check->patience_s * 1000000;
	while (left > 0 && g_get_monotonic_time() < end) {
		left = 0;
		for (unsigned i = 0; i < N_MANY; i++) {
			if (many[i].n_ends > 0)
				continue;
			left++;
			if (i % 7 == 3 && many[i].n_events > 0)
				rig.streams->cancel(many[i].stream, WEIR_E_CANCELLED);
			else
				rig.streams->grant(many[i].stream, 1);
		}
		weir_check_pump_all(&rig, 5);
	}
	if (left > 0) {
		weir_check_fail(check, "%u of %d streams did not end within %d s", left, N_MANY,
				check->patience_s);
		return;
	}
	for (unsigned i = 0; i < N_MANY; i++)
		judge(check, &many[i]);
	if (weir_check_going(check))
		weir_check_rig_close(&rig);
}

static void stream_stop(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream some[8];
	if (!weir_check_rig_open(&rig, check))
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(some); i++)
		if (!weir_check_ask(&rig, &some[i], 1, MAX_TOKENS * 8))
			return;
	weir_check_pump_all(&rig, 50);
	snprintf(check->trace, WEIR_CHECK_TRACE, "stopping with running requests");
	weir_check_rig_close(&rig);
	for (unsigned i = 0; i < G_N_ELEMENTS(some); i++)
		if (some[i].n_ends != 1)
			weir_check_fail(check, "a stream had %u ends after the stop",
					some[i].n_ends);
}

const struct weir_check_case weir_check_stream[] = {
	{ "stream", "answer", "STARTED, content, exactly one end", stream_answer, 2 },
	{ "stream", "credit", "nothing beyond credit, nothing lost, no asking in a circle",
	  stream_credit, 4 },
	{ "stream", "cancel-early",
	  "a stream that was cancelled without credit ends within the grace", stream_cancel_early,
	  2 },
	{ "stream", "cancel-midway", "a stream that was cancelled midway ends within the grace",
	  stream_cancel_midway, 2 },
	{ "stream", "wake-storm", "wake() from many threads at any time does no harm",
	  stream_wake_storm, 3 },
	{ "stream", "many", "many streams at once, some cancelled: each ends once", stream_many,
	  2 },
	{ "stream", "stop", "stop() with running requests ends them all", stream_stop, 2 },
	{ NULL },
};
