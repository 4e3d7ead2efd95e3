/*
 * tests/unit/test-api-store.c - stored responses: bounds in bytes and time, what may go and what
 * may not, several threads at once.
 */
#include <string.h>

#include <api/response-store.h>
#include <glib.h>

static bool add(struct response_store *s, const char *id, size_t n, bool done)
{
	g_autofree char *text = g_strnfill(n, 'x');
	struct stored_response r = { text, (char *)"[]", (char *)"[]", false, done };
	return response_store_add(s, id, &r);
}

static bool has(struct response_store *s, const char *id)
{
	struct stored_response r = { 0 };
	bool found = response_store_get(s, id, &r);
	stored_response_clear(&r);
	return found;
}

static void test_life(void)
{
	struct response_store *s = response_store_new(1 << 20, 60000);
	struct stored_response r = { 0 };
	g_assert_true(add(s, "a", 10, false));
	g_assert_false(add(s, "a", 10, false)); /* an id is there once */
	g_assert_true(response_store_update(s, "a", "{}", "[1]", true));
	g_assert_true(response_store_get(s, "a", &r));
	g_assert_cmpstr(r.object, ==, "{}");
	g_assert_cmpstr(r.output, ==, "[1]");
	g_assert_cmpstr(r.items, ==, "[]");
	g_assert_true(r.done);
	stored_response_clear(&r);
	g_assert_true(response_store_remove(s, "a"));
	g_assert_false(response_store_remove(s, "a"));
	g_assert_false(response_store_update(s, "a", "{}", "[]", true)); /* stays forgotten */
	g_assert_cmpuint(response_store_bytes(s), ==, 0);
	response_store_free(s);
	response_store_free(NULL);
}

static void test_bounds(void)
{
	struct response_store *s = response_store_new(10000, 60000);
	g_assert_false(add(s, "huge", 20000, true));
	g_assert_true(add(s, "running", 2000, false));
	for (int i = 0; i < 100; i++) {
		char id[20];
		g_snprintf(id, sizeof(id), "%d", i);
		g_assert_true(add(s, id, 1000, true));
		g_assert_cmpuint(response_store_bytes(s), <=, 10000);
	}
	g_assert_true(has(s, "running")); /* older than all of them */
	g_assert_true(has(s, "99"));
	g_assert_false(has(s, "0"));
	g_autofree char *large = g_strnfill(30000, 'x');
	g_assert_false(response_store_update(s, "running", large, "[]", true));
	g_assert_false(has(s, "running"));
	g_assert_cmpuint(response_store_bytes(s), <=, 10000);
	response_store_free(s);
}

static void test_time(void)
{
	struct response_store *s = response_store_new(10000, 20);
	g_assert_true(add(s, "done", 10, true));
	g_assert_true(add(s, "running", 10, false));
	g_usleep(40000);
	g_assert_false(has(s, "done"));
	g_assert_true(has(s, "running"));
	response_store_free(s);
}

static gpointer work(gpointer data)
{
	struct response_store *s = data;
	for (int i = 0; i < 500; i++) {
		char id[20];
		g_snprintf(id, sizeof(id), "%d", i % 50);
		add(s, id, 100, i % 3 == 0);
		response_store_update(s, id, "{}", "[]", true);
		has(s, id);
		if (i % 7 == 0)
			response_store_remove(s, id);
	}
	return NULL;
}

static void test_threads(void)
{
	struct response_store *s = response_store_new(20000, 60000);
	GThread *threads[4];
	for (int i = 0; i < 4; i++)
		threads[i] = g_thread_new("store", work, s);
	for (int i = 0; i < 4; i++)
		g_thread_join(threads[i]);
	g_assert_cmpuint(response_store_bytes(s), <=, 20000);
	response_store_free(s);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api-store/life", test_life);
	g_test_add_func("/api-store/bounds", test_bounds);
	g_test_add_func("/api-store/time", test_time);
	g_test_add_func("/api-store/threads", test_threads);
	return g_test_run();
}
