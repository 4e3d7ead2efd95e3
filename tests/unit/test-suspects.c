/*
 * test-suspects.c - who ends the process (backends/child/suspects.c): crowds with poison among them
 * at random places, run as the instance's thread runs them. Innocents must come through, poison
 * must end, after few deaths.
 */
#include <glib.h>

#include "suspects.h"

struct one {
	struct suspect s;
	guint length, told; /* events of the whole answer; told so far, in all lives */
	gint fuse;          /* kills when it has told so many in one life; -1: never */
	guint at;           /* kills when it has told so many in all; 0: never */
	guint slow;         /* ticks for one event */
	guint wait;         /* until its next one */
	gboolean sent, ended, killed;
	guint credit;
};

struct crowd {
	struct one *ones;
	guint n, deaths;
	gint64 now;
	gboolean trial, guilty;
	struct suspect **list;
};

static guint listed(struct crowd *c, gboolean active)
{
	guint n = 0;
	for (guint i = 0; i < c->n; i++)
		if (!c->ones[i].ended && (!active || (c->ones[i].sent && c->ones[i].credit > 0)))
			c->list[n++] = &c->ones[i].s;
	return n;
}

static void send_those_that_may(struct crowd *c)
{
	bool over = false;
	if (c->trial) {
		for (guint i = 0; i < c->n; i++)
			suspect_look(&c->ones[i].s, c->ones[i].sent && c->ones[i].credit == 0,
				     c->now);
		suspects_pick(c->list, listed(c, FALSE), &over);
		if (over) {
			suspects_forget(c->list, listed(c, FALSE), c->guilty);
			c->trial = c->guilty = FALSE;
		}
	}
	for (guint i = 0; i < c->n; i++) {
		struct one *o = &c->ones[i];
		if (o->ended)
			continue;
		if (!o->sent && (!c->trial || o->s.state == SUSPICION_TRIED)) {
			o->sent = TRUE;
			o->wait = o->slow;
			o->credit = c->trial ? suspect_credit(&o->s) - 1 : 1000000;
			suspect_sent(&o->s, c->now);
		} else if (!c->trial) {
			o->credit = 1000000;
		}
	}
}

static void die(struct crowd *c)
{
	guint n = listed(c, TRUE);
	c->deaths++;
	c->guilty &= c->trial;
	suspects_lost(c->list, n, false, c->now);
	for (guint i = 0; i < c->n; i++) {
		struct one *o = &c->ones[i];
		o->sent = FALSE;
		if (o->ended || !o->s.ends)
			continue;
		o->ended = o->killed = c->guilty = TRUE;
	}
	for (guint i = 0; i < c->n; i++)
		c->trial |= !c->ones[i].ended && c->ones[i].s.state == SUSPICION_WAITS;
}

/* False: the process is dead. */
static gboolean run_one(struct crowd *c, struct one *o)
{
	if (o->ended || !o->sent || o->credit == 0)
		return TRUE;
	if (o->wait-- > 1)
		return TRUE;
	if ((o->fuse >= 0 && o->s.told == (guint)o->fuse) || (o->at > 0 && o->told >= o->at))
		return FALSE;
	o->wait = o->slow;
	o->told++;
	o->credit--;
	suspect_told(&o->s, c->now);
	o->ended = o->told == o->length;
	return TRUE;
}

static void run(struct crowd *c, guint most_ticks)
{
	guint left = 1;
	for (guint tick = 0; left > 0; tick++) {
		g_assert_cmpuint(tick, <, most_ticks);
		send_those_that_may(c);
		c->now += 10;
		left = 0;
		for (guint i = 0; i < c->n; i++)
			if (!run_one(c, &c->ones[i])) {
				die(c);
				break;
			}
		for (guint i = 0; i < c->n; i++)
			left += !c->ones[i].ended;
	}
}

static void crowd_init(struct crowd *c, guint n)
{
	*c = (struct crowd){ .n = n, .ones = g_new0(struct one, n), .now = 1000 };
	c->list = g_new0(struct suspect *, n);
	for (guint i = 0; i < n; i++) {
		c->ones[i].length = (guint)g_test_rand_int_range(1, 300);
		c->ones[i].fuse = -1;
		c->ones[i].slow = (guint)g_test_rand_int_range(1, 20);
	}
}

static void crowd_clear(struct crowd *c)
{
	g_free(c->ones);
	g_free(c->list);
}

static void assert_just(const struct crowd *c)
{
	for (guint i = 0; i < c->n; i++) {
		const struct one *o = &c->ones[i];
		gboolean poison = o->fuse >= 0 || o->at > 0;
		if (o->killed != poison)
			g_error("%u of %u: %s, fuse %d, at %u, %u of %u told", i, c->n,
				o->killed ? "an innocent ended" : "poison came through", o->fuse,
				o->at, o->told, o->length);
	}
}

/* One poison among 1 to 200: at once, later in each life, or at some place of its answer. */
static void test_one(void)
{
	for (guint round = 0; round < 180; round++) {
		struct crowd c;
		guint n = (guint)(round % 3 ? g_test_rand_int_range(1, 20)
					    : g_test_rand_int_range(1, 200));
		crowd_init(&c, n);
		struct one *bad = &c.ones[g_test_rand_int_range(0, (gint)n)];
		bad->length = 5000; /* it does not end before it kills */
		if (round % 2)
			bad->at = (guint)g_test_rand_int_range(1, 250);
		else
			bad->fuse = round % 4 ? 0 : g_test_rand_int_range(0, 100);
		run(&c, 10000000);
		assert_just(&c);
		g_assert_cmpuint(c.deaths, >=, 2);
		/* Below what a backend may die in a row. */
		g_assert_cmpuint(c.deaths, <=, 7);
		if (n <= 16 && bad->fuse == 0)
			g_assert_cmpuint(c.deaths, <=, 3);
		crowd_clear(&c);
	}
}

/* Several that kill at once, or at some place: each costs at most as much as if it were alone. */
static void test_several(void)
{
	for (guint round = 0; round < 80; round++) {
		struct crowd c;
		guint n = (guint)g_test_rand_int_range(2, 40);
		guint n_bad = (guint)g_test_rand_int_range(1, 6);
		crowd_init(&c, n);
		for (guint i = 0; i < n_bad; i++) {
			struct one *bad = &c.ones[g_test_rand_int_range(0, (gint)n)];
			bad->length = 5000; /* it does not end before it kills */
			bad->fuse = 0;
		}
		run(&c, 10000000);
		assert_just(&c);
		g_assert_cmpuint(c.deaths, <=, 3 + 3 * n_bad);
		crowd_clear(&c);
	}
}

/* Deaths that have nothing to do with anybody: nobody ends before the last resort, all come through
 * when they stop. */
static void test_from_outside(void)
{
	for (guint round = 0; round < 60; round++) {
		struct crowd c;
		crowd_init(&c, (guint)g_test_rand_int_range(2, 60));
		for (guint i = 0; i < 3; i++) {
			send_those_that_may(&c);
			c.now += 10;
			if (listed(&c, TRUE) > 1)
				die(&c);
		}
		run(&c, 10000000);
		assert_just(&c);
		crowd_clear(&c);
	}
}

/* Bounded, whatever happens: two that kill only together. */
static void test_together(void)
{
	struct suspect a = { 0 }, b = { 0 }, *both[] = { &a, &b };
	for (guint i = 1; !a.ends; i++) {
		bool over;
		g_assert_cmpuint(i, <=, SUSPECTS_MOST_DEATHS);
		suspect_sent(&a, i);
		suspect_sent(&b, i);
		suspects_lost(both, 2, false, i);
		while (suspects_pick(both, 2, &over) > 0)
			for (guint k = 0; k < 2; k++)
				suspect_look(both[k], true, i);
		g_assert_true(over);
		suspects_forget(both, 2, false);
	}
	g_assert_true(b.ends);
}

/* A slow one is waited for: as long as the killer may have taken, not for ever. */
static void test_patience(void)
{
	struct suspect a = { 0 }, b = { 0 }, *both[] = { &a, &b };
	bool over;
	for (guint i = 0; i < 2; i++) {
		suspect_sent(&a, 0);
		suspect_sent(&b, 0);
		suspects_lost(both, 2, false, 60000);
	}
	g_assert_cmpuint(suspects_pick(both, 2, &over), ==, 1);
	suspect_sent(&a, 100000);
	suspect_look(&a, false, 200000);
	g_assert_cmpint(a.state, ==, SUSPICION_TRIED);
	g_assert_cmpuint(suspects_pick(both, 2, &over), ==, 0);
	g_assert_false(over);
	suspect_look(&a, false, 240000);
	g_assert_cmpint(a.state, ==, SUSPICION_CLEARED);
	g_assert_cmpuint(suspects_pick(both, 2, &over), ==, 1);
	g_assert_cmpint(b.state, ==, SUSPICION_TRIED);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/suspects/one", test_one);
	g_test_add_func("/suspects/several", test_several);
	g_test_add_func("/suspects/from-outside", test_from_outside);
	g_test_add_func("/suspects/together", test_together);
	g_test_add_func("/suspects/patience", test_patience);
	return g_test_run();
}
