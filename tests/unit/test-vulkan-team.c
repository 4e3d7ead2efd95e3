/*
 * test-vulkan-team.c - the host threads of the Vulkan device: every number once, side by side.
 * Needs no Vulkan, and is to be run under ThreadSanitizer too: what crosses threads here are plain
 * values.
 */
#include <glib.h>
#include <pthread.h>

#include "team.h"

enum { N_ITEMS = 1000 };

static void count(void *data, uint32_t i)
{
	((unsigned *)data)[i]++;
}

static void test_each(void)
{
	static const uint32_t sizes[] = { 1, 2, 3, 8 }, items[] = { 0, 1, 2, 7, N_ITEMS };

	for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++) {
		struct weir_vk_team *team = weir_vk_team_new(sizes[s]);

		g_assert_nonnull(team);
		g_assert_cmpuint(weir_vk_team_size(team), ==, sizes[s]);
		for (size_t k = 0; k < 10 * G_N_ELEMENTS(items); k++) {
			uint32_t n = items[k % G_N_ELEMENTS(items)];
			unsigned counts[N_ITEMS + 1] = { 0 };

			weir_vk_team_each(team, n, count, counts);
			for (uint32_t i = 0; i <= N_ITEMS; i++)
				g_assert_cmpuint(counts[i], ==, i < n ? 1 : 0);
		}
		weir_vk_team_free(team);
	}
}

struct meeting {
	pthread_mutex_t lock; /* not GLib's: ThreadSanitizer knows these */
	pthread_cond_t met;
	uint32_t here, wanted;
};

/* Returns only when all are inside at the same time. */
static void meet(void *data, uint32_t i)
{
	struct meeting *m = data;

	pthread_mutex_lock(&m->lock);
	if (++m->here == m->wanted)
		pthread_cond_broadcast(&m->met);
	while (m->here < m->wanted)
		pthread_cond_wait(&m->met, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

static void test_side_by_side(void)
{
	struct weir_vk_team *team = weir_vk_team_new(4);

	for (int again = 0; again < 50; again++) {
		struct meeting m = { .wanted = 4 };

		pthread_mutex_init(&m.lock, NULL);
		pthread_cond_init(&m.met, NULL);
		weir_vk_team_each(team, 4, meet, &m);
		g_assert_cmpuint(m.here, ==, 4);
		pthread_cond_destroy(&m.met);
		pthread_mutex_destroy(&m.lock);
	}
	weir_vk_team_free(team);
}

static void test_default(void)
{
	struct weir_vk_team *team = weir_vk_team_new(0);

	g_assert_nonnull(team);
	g_assert_cmpuint(weir_vk_team_size(team), >=, 1);
	g_assert_cmpuint(weir_vk_team_size(team), <=, 8);
	weir_vk_team_free(team);
	weir_vk_team_free(NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/team/each", test_each);
	g_test_add_func("/vulkan/team/side-by-side", test_side_by_side);
	g_test_add_func("/vulkan/team/default", test_default);
	return g_test_run();
}
