/*
 * tests/unit/test-api-replay.c - the last events of an answer: numbers, limits, the shared budget.
 */
#include <string.h>

#include <glib.h>

#include <api/replay.h>

static uint64_t push(struct replay *r, const char *text)
{
	return replay_push(r, text, strlen(text));
}

static void has(const struct replay *r, uint64_t number, const char *text)
{
	const char *data = NULL;
	size_t n = 0;
	g_assert_true(replay_get(r, number, &data, &n));
	g_assert_cmpmem(data, n, text, strlen(text));
}

static void test_numbers(void)
{
	struct replay_budget budget = { .max = 1u << 20 };
	struct replay *r = replay_new(&budget, 100, 1u << 16);
	const char *data;
	size_t n;
	g_assert_cmpuint(replay_first(r), ==, 0);
	g_assert_cmpuint(replay_next(r), ==, 0);
	g_assert_false(replay_get(r, 0, &data, &n));
	for (int i = 0; i < 250; i++) {
		g_autofree char *text = g_strdup_printf("event %d", i);
		g_assert_cmpuint(push(r, i == 249 ? "" : text), ==, i);
	}
	g_assert_cmpuint(replay_first(r), ==, 150);
	g_assert_cmpuint(replay_next(r), ==, 250);
	for (uint64_t i = 150; i < 249; i++) {
		g_autofree char *text = g_strdup_printf("event %d", (int)i);
		has(r, i, text);
	}
	has(r, 249, "");
	g_assert_false(replay_get(r, 149, &data, &n));
	g_assert_false(replay_get(r, 250, &data, &n));
	replay_free(r);
	g_assert_cmpuint(budget.used, ==, 0);
}

static void test_bytes(void)
{
	struct replay_budget budget = { .max = 1u << 20 };
	struct replay *r = replay_new(&budget, 100, 1000);
	g_autofree char *large = g_strnfill(400, 'x');
	g_autofree char *huge = g_strnfill(1001, 'x');
	push(r, large);
	push(r, large);
	g_assert_cmpuint(replay_first(r), ==, 0);
	push(r, large);
	g_assert_cmpuint(replay_first(r), ==, 1);
	g_assert_cmpuint(budget.used, <=, 1000);
	/* It is numbered, but neither it nor what was before can be had. */
	g_assert_cmpuint(push(r, huge), ==, 3);
	g_assert_cmpuint(replay_first(r), ==, 4);
	g_assert_cmpuint(replay_next(r), ==, 4);
	g_assert_cmpuint(push(r, "small"), ==, 4);
	has(r, 4, "small");
	replay_free(r);
	g_assert_cmpuint(budget.used, ==, 0);
	replay_free(NULL);
}

/* One that would take more than is left gives of its own, never of the others. */
static void test_budget(void)
{
	struct replay_budget budget = { .max = 2000 };
	struct replay *a = replay_new(&budget, 100, 100000), *b = replay_new(&budget, 100, 100000);
	g_autofree char *text = g_strnfill(200, 'x');
	for (int i = 0; i < 4; i++)
		push(a, text);
	for (int i = 0; i < 100; i++)
		push(b, text);
	g_assert_cmpuint(replay_first(a), ==, 0);
	g_assert_cmpuint(replay_next(b), ==, 100);
	g_assert_cmpuint(replay_first(b), >=, 90);
	g_assert_cmpuint(replay_first(b), <, 100);
	g_assert_cmpuint(budget.used, <=, 2000);
	replay_free(a);
	replay_free(b);
	g_assert_cmpuint(budget.used, ==, 0);
}

static void test_token(void)
{
	char a[REPLAY_TOKEN_SIZE], b[REPLAY_TOKEN_SIZE];
	g_assert_true(replay_token(a) && replay_token(b));
	g_assert_cmpuint(strlen(a), ==, 32);
	g_assert_cmpuint(strspn(a, "0123456789abcdef"), ==, 32);
	g_assert_cmpstr(a, !=, b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/replay/numbers", test_numbers);
	g_test_add_func("/api/replay/bytes", test_bytes);
	g_test_add_func("/api/replay/budget", test_budget);
	g_test_add_func("/api/replay/token", test_token);
	return g_test_run();
}
