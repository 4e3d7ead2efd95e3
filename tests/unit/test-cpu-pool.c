/*
 * test-cpu-pool.c - the CPU device's thread pool: jobs, barriers, sleeping and waking. To be run
 * under ThreadSanitizer too: every value that crosses threads here is a plain one.
 */
#include <glib.h>
#include <string.h>

#include "pool.h"

enum { N_ITEMS = 1000 };

struct job {
	struct weir_pool *pool;
	unsigned values[64], sums[64], rounds;
	gboolean wrong;
};

/* Each thread writes its slot, then reads all others' after the barrier. */
static void rounds(void *data, uint32_t thread, uint32_t n)
{
	struct job *job = data;

	for (unsigned r = 1; r <= job->rounds; r++) {
		unsigned sum = 0;

		job->values[thread] = r * (thread + 1);
		weir_pool_barrier(job->pool);
		for (uint32_t i = 0; i < n; i++)
			sum += job->values[i];
		if (sum != r * n * (n + 1) / 2)
			job->sums[thread]++;
		weir_pool_barrier_ahead(job->pool, job->values, r % 3 * 100);
	}
}

static void test_barrier(void)
{
	static const unsigned sizes[] = { 1, 2, 3, 8 };

	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct job job = { .pool = weir_pool_new(sizes[i]), .rounds = 200 };

		g_assert_nonnull(job.pool);
		g_assert_cmpuint(weir_pool_n_threads(job.pool), ==, sizes[i]);
		for (int again = 0; again < 5; again++)
			weir_pool_run(job.pool, rounds, &job);
		for (unsigned t = 0; t < sizes[i]; t++)
			g_assert_cmpuint(job.sums[t], ==, 0);
		weir_pool_free(job.pool);
	}
}

static void count(void *data, uint32_t i)
{
	((unsigned *)data)[i]++;
}

static void test_each(void)
{
	static const uint32_t sizes[] = { 0, 1, 2, 7, N_ITEMS };
	struct weir_pool *pool = weir_pool_new(4);
	unsigned items[N_ITEMS + 1];

	for (size_t s = 0; s < G_N_ELEMENTS(sizes); s++)
		for (unsigned round = 1; round <= 20; round++) {
			memset(items, 0, sizeof(items));
			weir_pool_each(pool, sizes[s], count, items);
			for (uint32_t i = 0; i <= N_ITEMS; i++)
				g_assert_cmpuint(items[i], ==, i < sizes[s]);
		}
	weir_pool_free(pool);
}

/* Threads that have gone to sleep between jobs take part in the next one. */
static void test_sleep(void)
{
	struct job job = { .pool = weir_pool_new(3), .rounds = 3 };

	for (int i = 0; i < 5; i++) {
		g_usleep(20 * 1000);
		weir_pool_run(job.pool, rounds, &job);
	}
	g_assert_cmpuint(job.sums[0] + job.sums[1] + job.sums[2], ==, 0);
	g_usleep(20 * 1000);
	weir_pool_free(job.pool);
}

/* More threads than cores: nothing may depend on all of them running at once. */
static void test_crowd(void)
{
	struct job job = { .pool = weir_pool_new(32), .rounds = 20 };

	weir_pool_run(job.pool, rounds, &job);
	for (int t = 0; t < 32; t++)
		g_assert_cmpuint(job.sums[t], ==, 0);
	weir_pool_free(job.pool);
}

static void test_limits(void)
{
	g_assert_null(weir_pool_new(0));
	g_assert_null(weir_pool_new(1025));
	weir_pool_free(NULL);
	g_assert_cmpuint(weir_pool_default_threads(), >=, 1);
	g_assert_cmpuint(weir_pool_default_threads(), <=, g_get_num_processors());
	for (int i = 0; i < 20; i++) /* made and freed at once */
		weir_pool_free(weir_pool_new(4));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpu/pool/barrier", test_barrier);
	g_test_add_func("/cpu/pool/each", test_each);
	g_test_add_func("/cpu/pool/sleep", test_sleep);
	g_test_add_func("/cpu/pool/crowd", test_crowd);
	g_test_add_func("/cpu/pool/limits", test_limits);
	return g_test_run();
}
