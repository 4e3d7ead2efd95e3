/*
 * test-sampler.c - backends/tensor/sampler.c and select.c: distributions against brute force, each
 * rule by itself, ties, determinism, hostile numbers. Requirements 000-09, 001-02, 001-03, 001-18.
 */
#include "philox.h"
#include "sampler.h"
#include "select.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#define V 40

static struct weir_sampling neutral(void)
{
	return (struct weir_sampling){ .size = sizeof(struct weir_sampling),
				       .temperature = 1,
				       .top_p = 1,
				       .typical_p = 1,
				       .repeat_last_n = -1,
				       .repetition_penalty = 1 };
}

/* Distinct logits in a scrambled order, -3 .. 3. */
static void fill(float *logits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		logits[i] = (float)((i * 17 + 5) % n) / (float)n * 6 - 3;
}

static weir_status draw_once(uint32_t n, const struct weir_draw *d, struct weir_drawn *ret,
			     struct weir_error *err)
{
	struct weir_sampler *s;
	weir_status status;

	g_assert_cmpint(weir_sampler_new(n, &s, NULL), ==, WEIR_OK);
	status = weir_sampler_draw(s, d, ret, err);
	weir_sampler_free(s);
	return status;
}

/* ---- the generator ---- */

static void test_philox(void)
{
	/* Known answers of the authors' reference code (Random123, kat_vectors, philox4x32 10). */
	static const struct {
		uint32_t key[2], counter[4], out[4];
	} cases[] = {
		{ { 0, 0 }, { 0, 0, 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { 0xffffffff, 0xffffffff },
		  { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0xa4093822, 0x299f31d0 },
		  { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint32_t out[4];

		weir_philox(cases[i].key, cases[i].counter, out);
		g_assert_cmpmem(out, sizeof(out), cases[i].out, sizeof(out));
	}
	for (uint64_t i = 0; i < 1000; i++) {
		double u = weir_philox_uniform(7, i);

		g_assert_true(u >= 0 && u < 1);
	}
}

/* ---- selection ---- */

static int by_rank(const void *a, const void *b)
{
	return weir_ranked_before(a, b) ? -1 : 1;
}

static void test_select(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (int round = 0; round < 500; round++) {
		gsize n = (gsize)g_rand_int_range(rand, 1, 200), want, got;
		g_autofree struct weir_ranked *item = g_new(struct weir_ranked, n);
		g_autofree struct weir_ranked *sorted = NULL;
		g_autofree float *x = g_new(float, n);
		double goal, sum = 0;

		for (gsize i = 0; i < n; i++) {
			/* Few distinct keys: many ties. Weights are whole: sums are exact. */
			x[i] = (float)g_rand_int_range(rand, 0, round % 2 ? 5 : 1000);
			item[i] = (struct weir_ranked){ x[i], (int32_t)i,
							(double)g_rand_int_range(rand, 0, 9) };
			sum += item[i].weight;
		}
		goal = (double)g_rand_int_range(rand, 0, (gint32)sum + 3);
		sorted = g_memdup2(item, n * sizeof(*item));
		qsort(sorted, n, sizeof(*sorted), by_rank);
		want = 0;
		for (double s = 0; want < n && (want == 0 || s < goal);)
			s += sorted[want++].weight;
		got = weir_select_head(item, n, goal);
		g_assert_cmpuint(got, ==, want);
		qsort(item, got, sizeof(*item), by_rank);
		for (gsize i = 0; i < got; i++)
			g_assert_cmpint(item[i].id, ==, sorted[i].id);

		want = (gsize)g_rand_int_range(rand, 0, 30);
		got = weir_select_top(x, n, want, item);
		g_assert_cmpuint(got, ==, MIN(n, want));
		if (got > 0)
			g_assert_cmpint(item[0].id, ==, sorted[got - 1].id);
		qsort(item, got, sizeof(*item), by_rank);
		for (gsize i = 0; i < got; i++)
			g_assert_cmpint(item[i].id, ==, sorted[i].id);
	}
}

/* ---- brute force: the distribution that sampler.h describes, by sorting ---- */

static int by_first(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return x[0] != y[0] ? (x[0] < y[0] ? 1 : -1) : (x[1] < y[1] ? -1 : 1);
}

/* Keeps the first of p by key, descending, until mass or count is reached; renormalises. */
static void keep_head(double *p, const double *key, double mass, uint32_t count)
{
	double order[V][2], sum = 0, total = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < V; i++) {
		if (p[i] > 0) {
			order[n][0] = key[i];
			order[n++][1] = i;
		}
	}
	qsort(order, n, sizeof(order[0]), by_first);
	for (uint32_t i = 0; i < n; i++) {
		double *at = &p[(int)order[i][1]];

		if (i > 0 && (i >= count || sum >= mass))
			*at = 0;
		sum += *at;
	}
	for (uint32_t i = 0; i < V; i++)
		total += p[i];
	for (uint32_t i = 0; i < V; i++)
		p[i] /= total;
}

static void reference(const float *logits, const struct weir_sampling *s, double *p)
{
	double key[V], sum = 0, entropy = 0, max = 0;

	for (int i = 0; i < V; i++)
		sum += p[i] = exp((double)logits[i] / (double)s->temperature);
	for (int i = 0; i < V; i++)
		p[i] /= sum;
	if (s->top_k > 0)
		keep_head(p, p, INFINITY, s->top_k);
	for (int i = 0; i < V; i++)
		entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
	for (int i = 0; i < V; i++)
		key[i] = -fabs(-log(p[i]) - entropy);
	if (s->typical_p < 1)
		keep_head(p, key, (double)s->typical_p, V);
	if (s->top_p < 1)
		keep_head(p, p, (double)s->top_p, V);
	for (int i = 0; i < V; i++)
		max = MAX(max, p[i]);
	sum = 0;
	for (int i = 0; i < V; i++)
		sum += p[i] = p[i] < max * (double)s->min_p ? 0 : p[i];
	for (int i = 0; i < V; i++)
		p[i] /= sum;
}

static void test_distribution(void)
{
	static const struct {
		const char *what;
		float temperature, top_p, min_p, typical_p;
		uint32_t top_k;
	} cases[] = {
		{ "plain", 1, 1, 0, 1, 0 },
		{ "cold", 0.5f, 1, 0, 1, 0 },
		{ "hot", 2, 1, 0, 1, 0 },
		{ "top_k 1", 1, 1, 0, 1, 1 },
		{ "top_k 7", 1, 1, 0, 1, 7 },
		{ "top_k all", 1, 1, 0, 1, 1000 },
		{ "top_p 0.9", 1, 0.9f, 0, 1, 0 },
		{ "top_p 0.3", 1, 0.3f, 0, 1, 0 },
		{ "top_p 0", 1, 0, 0, 1, 0 },
		{ "min_p 0.1", 1, 1, 0.1f, 1, 0 },
		{ "min_p 1", 1, 1, 1, 1, 0 },
		{ "typical 0.5", 1, 1, 0, 0.5f, 0 },
		{ "typical 0.1", 0.7f, 1, 0, 0.1f, 0 },
		{ "all at once", 1.3f, 0.8f, 0.05f, 0.95f, 25 },
	};
	struct weir_sampler *sampler;
	float logits[V];

	fill(logits, V);
	g_assert_cmpint(weir_sampler_new(V, &sampler, NULL), ==, WEIR_OK);
	for (gsize c = 0; c < G_N_ELEMENTS(cases); c++) {
		enum { N = 40000 };
		struct weir_sampling s = neutral();
		struct weir_draw d = { .logits = logits, .sampling = &s, .seed = 1234 + c };
		uint32_t seen[V] = { 0 };
		double p[V], chi2 = 0, freedom = -1;

		s.temperature = cases[c].temperature;
		s.top_p = cases[c].top_p;
		s.min_p = cases[c].min_p;
		s.typical_p = cases[c].typical_p;
		s.top_k = cases[c].top_k;
		reference(logits, &s, p);
		for (uint32_t i = 0; i < N; i++) {
			struct weir_drawn drawn;

			d.n_history = i;
			d.n_prompt = i;
			d.history = NULL;
			s.repeat_last_n = 0;
			g_assert_cmpint(weir_sampler_draw(sampler, &d, &drawn, NULL), ==, WEIR_OK);
			seen[drawn.token]++;
		}
		for (int i = 0; i < V; i++) {
			double want = p[i] * N;

			/* What the filters drop is never drawn. */
			if (p[i] == 0)
				g_assert_cmpuint(seen[i], ==, 0);
			if (want < 5)
				continue;
			chi2 += (seen[i] - want) * (seen[i] - want) / want;
			freedom++;
		}
		/* Mean k, variance 2k: five sigma; the seeds are fixed, so this never flickers. */
		g_test_message("%s: chi2 %.1f of %g", cases[c].what, chi2, freedom);
		g_assert_cmpfloat(chi2, <=, freedom + 5 * sqrt(2 * MAX(freedom, 1)));
	}
	weir_sampler_free(sampler);
}

/* A large vocabulary with ties at every edge: the same as filtering a sorted list. */
static void test_large(void)
{
	enum { N = 50000 };
	g_autofree float *logits = g_new(float, N);
	struct weir_sampling s = neutral();
	struct weir_draw d = { .logits = logits, .sampling = &s };
	struct weir_sampler *sampler;
	uint32_t n_low = 0;

	for (uint32_t i = 0; i < N; i++)
		logits[i] = i % 100 == 7 ? 5 : 0;
	g_assert_cmpint(weir_sampler_new(N, &sampler, NULL), ==, WEIR_OK);
	s.top_k = 600; /* the 500 high ones, and of the others the 100 lowest ids */
	for (uint32_t i = 0; i < 3000; i++) {
		struct weir_drawn drawn;

		d.seed = i;
		g_assert_cmpint(weir_sampler_draw(sampler, &d, &drawn, NULL), ==, WEIR_OK);
		g_assert_true(drawn.token % 100 == 7 || drawn.token <= 101);
		n_low += drawn.token % 100 != 7;
	}
	g_assert_cmpuint(n_low, >, 0); /* 3000 * 100 / (500 e^5 + 100), about 4 */
	s.top_k = 0;
	s.top_p = 0.25f; /* e^5 * 500 of e^5 * 500 + 49500 is 0.5999: about 209 high ones */
	for (uint32_t i = 0; i < 200; i++) {
		struct weir_drawn drawn;

		d.seed = i;
		g_assert_cmpint(weir_sampler_draw(sampler, &d, &drawn, NULL), ==, WEIR_OK);
		g_assert_cmpint(drawn.token % 100, ==, 7);
		g_assert_cmpint(drawn.token, <, 209 * 100);
	}
	weir_sampler_free(sampler);
}

/* ---- rules ---- */

struct rule {
	const char *what;
	float temperature, repetition, presence, frequency;
	int32_t last_n;
	struct weir_logit_bias bias[3];
	uint32_t n_bias;
	uint32_t mask; /* 0: none */
	bool no_end;
	int32_t token; /* -1: an error */
};

/* Logits 5 4 3 2 -1 -2 -3 -4; prompt 0 0, output 1 1 2; end tokens 0 and 6. */
static void test_rules(void)
{
	static const float logits[8] = { 5, 4, 3, 2, -1, -2, -3, -4 };
	static const int32_t history[5] = { 0, 0, 1, 1, 2 }, ends[3] = { 0, 6, 99 };
	static const struct rule rules[] = {
		{ "greedy", 0, 1, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "greedy, negative temperature", -3, 1, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "greedy, NaN temperature", NAN, 1, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "repetition counts the prompt", 0, 2, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		/* 2.5, 2, 1.5, 2: on the tie 0 wins with 2.5 above; with 3: 1.67 1.33 1 2 */
		{ "repetition 3", 0, 3, 0, 0, -1, { { 0 } }, 0, 0, false, 3 },
		{ "repetition in a window of 1", 0, 3, 0, 0, 1, { { 0 } }, 0, 0, false, 0 },
		{ "repetition in a window of 0", 0, 3, 0, 0, 0, { { 0 } }, 0, 0, false, 0 },
		{ "repetition NaN", 0, NAN, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "repetition 0", 0, 0, 0, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "presence spares the prompt", 0, 1, 2, 0, -1, { { 0 } }, 0, 0, false, 0 },
		/* without 0: 4 - 2, 3 - 2, 2: the tie goes to the lower id */
		{ "presence", 0, 1, 2, 0, -1, { { 0, -100 } }, 1, 0, false, 1 },
		{ "presence 2.1", 0, 1, 2.1f, 0, -1, { { 0, -100 } }, 1, 0, false, 3 },
		/* 4 - 2 * 0.6 = 2.8, 3 - 0.6 = 2.4 */
		{ "frequency 0.6", 0, 1, 0, 0.6f, -1, { { 0, -100 } }, 1, 0, false, 1 },
		/* 4 - 2 * 1.1 = 1.8, 3 - 1.1 = 1.9, 2 */
		{ "frequency 1.1", 0, 1, 0, 1.1f, -1, { { 0, -100 } }, 1, 0, false, 3 },
		{ "frequency in a window", 0, 1, 0, 1.1f, 1, { { 0, -100 } }, 1, 0, false, 1 },
		{ "presence infinite", 0, 1, INFINITY, 0, -1, { { 0 } }, 0, 0, false, 0 },
		{ "bias adds", 0, 1, 0, 0, -1, { { 4, 6.5f } }, 1, 0, false, 4 },
		{ "bias twice", 0, 1, 0, 0, -1, { { 4, 3.5f }, { 4, 3.5f } }, 2, 0, false, 4 },
		{ "bias bans", 0, 1, 0, 0, -1, { { 0, -100 }, { 1, -INFINITY } }, 2, 0, false, 2 },
		{ "bias forces", 0, 1, 0, 0, -1, { { 7, 100 } }, 1, 0, false, 7 },
		{ "bias forces two", 0, 1, 0, 0, -1, { { 7, 100 }, { 6, 200 } }, 2, 0, false, 6 },
		{ "bias forces, drawn", 1, 1, 0, 0, -1, { { 7, 100 } }, 1, 0, false, 7 },
		{ "bias NaN", 0, 1, 0, 0, -1, { { 0, NAN } }, 1, 0, false, 0 },
		{ "bias out of range",
		  0,
		  1,
		  0,
		  0,
		  -1,
		  { { -1, 100 }, { 8, 100 } },
		  2,
		  0,
		  false,
		  0 },
		{ "mask", 0, 1, 0, 0, -1, { { 0 } }, 0, 0x28, false, 3 },
		{ "mask, drawn", 5, 1, 0, 0, -1, { { 0 } }, 0, 0x20, false, 5 },
		{ "mask beats force", 0, 1, 0, 0, -1, { { 0, 100 } }, 1, 0x28, false, 3 },
		{ "mask beats bans", 1, 1, 0, 0, -1, { { 3, -100 } }, 1, 0x08, false, 3 },
		{ "no end", 0, 1, 0, 0, -1, { { 0 } }, 0, 0, true, 1 },
		{ "no end beats force", 0, 1, 0, 0, -1, { { 6, 100 } }, 1, 0, true, -1 },
		/* the end is the only one that the mask has, and it is banned by more than a bias
		 */
		{ "nothing left", 1, 1, 0, 0, -1, { { 0, -100 } }, 1, 0x01, true, -1 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
		const struct rule *r = &rules[i];
		struct weir_sampling s = neutral();
		struct weir_draw d = { .logits = logits,
				       .sampling = &s,
				       .history = history,
				       .n_history = 5,
				       .n_prompt = 2,
				       .mask = r->mask ? &r->mask : NULL,
				       .end_tokens = ends,
				       .n_end = r->no_end ? 3 : 0 };
		struct weir_drawn drawn = { .token = -7 };
		struct weir_error err = { 0 };
		weir_status status;

		g_test_message("%s", r->what);
		s.temperature = r->temperature;
		s.repetition_penalty = r->repetition;
		s.presence_penalty = r->presence;
		s.frequency_penalty = r->frequency;
		s.repeat_last_n = r->last_n;
		s.logit_bias = r->bias;
		s.n_logit_bias = r->n_bias;
		status = draw_once(8, &d, &drawn, &err);
		if (r->token >= 0) {
			g_assert_cmpint(status, ==, WEIR_OK);
			g_assert_cmpint(drawn.token, ==, r->token);
		} else {
			g_assert_cmpint(status, ==, WEIR_E_INVALID);
			g_assert_nonnull(strstr(err.text, "no token is allowed"));
			g_assert_cmpint(drawn.token, ==, -7);
		}
	}
}

/* Nobody has banned anything: the fault is the model's, not the request's. */
static void test_all_minus_infinity(void)
{
	static const float logits[3] = { -INFINITY, -INFINITY, -INFINITY };
	struct weir_sampling s = neutral();
	struct weir_draw d = { .logits = logits, .sampling = &s };
	struct weir_drawn drawn = { .token = -7 };
	struct weir_error err = { 0 };

	g_assert_cmpint(draw_once(3, &d, &drawn, &err), ==, WEIR_E_INTERNAL);
	g_assert_nonnull(strstr(err.text, "arithmetic failed"));
	g_assert_cmpint(drawn.token, ==, -7);
}

/* Negative logits are multiplied by the repetition penalty, and each token is hit once. */
static void test_repetition_negative(void)
{
	static const float logits[3] = { -1, -1.5f, -3 };
	static const int32_t history[5] = { 0, 0, 0, -5, 77 };
	struct weir_sampling s = neutral();
	struct weir_draw d = {
		.logits = logits, .sampling = &s, .history = history, .n_history = 5, .n_prompt = 5
	};
	struct weir_drawn drawn;

	s.temperature = 0;
	s.repetition_penalty = 1.4f; /* -1.4 stays above -1.5; hit thrice it would be -2.7 */
	g_assert_cmpint(draw_once(3, &d, &drawn, NULL), ==, WEIR_OK);
	g_assert_cmpint(drawn.token, ==, 0);
	s.repetition_penalty = 1.6f;
	g_assert_cmpint(draw_once(3, &d, &drawn, NULL), ==, WEIR_OK);
	g_assert_cmpint(drawn.token, ==, 1);
}

static void test_bad_logits(void)
{
	static const float values[] = { NAN, INFINITY };

	for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
		float logits[V];
		struct weir_sampling s = neutral();
		struct weir_draw d = { .logits = logits, .sampling = &s };
		struct weir_drawn drawn;
		struct weir_error err;

		fill(logits, V);
		logits[9] = values[i];
		g_assert_cmpint(draw_once(V, &d, &drawn, &err), ==, WEIR_E_INTERNAL);
		g_assert_nonnull(strstr(err.text, "token 9"));
	}
}

/* Whatever numbers come in, a token of the vocabulary comes out. Run under the sanitizers. */
static void test_hostile(void)
{
	static const float odd[] = { 0,        -1,   1e-45f,    1e-30f, 1e30f, NAN,
				     INFINITY, 0.5f, -INFINITY, 1,      2 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	struct weir_sampler *sampler;

	g_assert_cmpint(weir_sampler_new(V, &sampler, NULL), ==, WEIR_OK);
	for (int i = 0; i < 20000; i++) {
#define ODD odd[g_rand_int_range(rand, 0, G_N_ELEMENTS(odd))]
		struct weir_logit_bias bias = { g_rand_int_range(rand, -2, V + 2), ODD };
		int32_t history[6];
		float logits[V];
		struct weir_sampling s = { .size = sizeof(s),
					   .temperature = ODD,
					   .top_p = ODD,
					   .min_p = ODD,
					   .typical_p = ODD,
					   .top_k = g_rand_int(rand) % 50,
					   .repeat_last_n = (int32_t)g_rand_int(rand) % 9,
					   .repetition_penalty = ODD,
					   .presence_penalty = ODD,
					   .frequency_penalty = ODD,
					   .top_logprobs = g_rand_int(rand) % 40,
					   .logprobs = 1,
					   .n_logit_bias = 1,
					   .logit_bias = &bias };
		struct weir_draw d = { .logits = logits,
				       .sampling = &s,
				       .history = history,
				       .n_history = 6,
				       .n_prompt = 2,
				       .seed = g_rand_int(rand) };
		struct weir_drawn drawn;

		for (int k = 0; k < V; k++)
			logits[k] = i % 3                  ? (float)g_rand_double_range(rand, -9, 9)
				    : g_rand_boolean(rand) ? 3e38f
							   : -3e38f;
		for (int k = 0; k < 6; k++)
			history[k] = g_rand_int_range(rand, -3, V + 3);
		if (weir_sampler_draw(sampler, &d, &drawn, NULL) != WEIR_OK)
			continue; /* a forced token that is banned, or the like */
		g_assert_true(drawn.token >= 0 && drawn.token < V);
	}
#undef ODD
	weir_sampler_free(sampler);
}

/* 001-18: log-probabilities are of the model's own distribution, whatever the filters do. */
static void test_logprobs(void)
{
	float logits[V];
	double sum = 0;
	struct weir_logit_bias ban = { 0, -100 };
	struct weir_sampling s = neutral();
	struct weir_draw d = { .logits = logits, .sampling = &s };
	struct weir_drawn drawn;

	fill(logits, V);
	logits[3] = logits[20] = logits[0] = 3; /* ties */
	for (int i = 0; i < V; i++)
		sum += exp((double)logits[i]);
	s.temperature = 0;
	s.logprobs = 1;
	s.top_logprobs = 5;
	s.logit_bias = &ban;
	s.n_logit_bias = 1;
	g_assert_cmpint(draw_once(V, &d, &drawn, NULL), ==, WEIR_OK);
	g_assert_cmpint(drawn.token, ==, 3);
	g_assert_cmpfloat_with_epsilon((double)drawn.logprob, 3 - log(sum), 1e-6);
	g_assert_cmpint(drawn.top.token[0], ==, 0);
	g_assert_cmpint(drawn.top.token[1], ==, 3);
	g_assert_cmpint(drawn.top.token[2], ==, 20);
	g_assert_cmpint(drawn.top.token[5], ==, -1);
	for (int i = 0; i < 5; i++) {
		int32_t t = drawn.top.token[i];

		g_assert_true(t >= 0 && t < V);
		g_assert_cmpfloat_with_epsilon((double)drawn.top.logprob[i],
					       (double)logits[t] - log(sum), 1e-6);
		if (i > 0)
			g_assert_true(drawn.top.logprob[i] <= drawn.top.logprob[i - 1]);
	}
	s.logprobs = s.top_logprobs = 0;
	g_assert_cmpint(draw_once(V, &d, &drawn, NULL), ==, WEIR_OK);
	g_assert_true(isnan(drawn.logprob));
	g_assert_cmpint(drawn.top.token[0], ==, -1);
}

/* The draw depends on (seed, n_history) alone: scratch left by other draws does not matter. */
static void test_deterministic(void)
{
	float logits[V];
	struct weir_sampler *used;
	int32_t history[64] = { 0 };
	uint32_t n_same = 0;

	fill(logits, V);
	g_assert_cmpint(weir_sampler_new(V, &used, NULL), ==, WEIR_OK);
	for (uint32_t i = 0; i < 64; i++) {
		struct weir_sampling s = neutral();
		struct weir_draw d = { .logits = logits,
				       .sampling = &s,
				       .history = history,
				       .n_history = i,
				       .seed = 42 };
		struct weir_drawn a, b, c;

		s.top_p = i % 2 ? 0.8f : 1;
		s.top_k = i % 3 ? 12 : 0;
		s.repetition_penalty = 1.2f;
		s.frequency_penalty = 0.1f;
		g_assert_cmpint(weir_sampler_draw(used, &d, &a, NULL), ==, WEIR_OK);
		g_assert_cmpint(draw_once(V, &d, &b, NULL), ==, WEIR_OK);
		g_assert_cmpint(a.token, ==, b.token);
		d.seed = 43;
		g_assert_cmpint(weir_sampler_draw(used, &d, &c, NULL), ==, WEIR_OK);
		n_same += a.token == c.token;
		history[i] = a.token;
	}
	g_assert_cmpuint(n_same, <, 32); /* another seed is another text */
	weir_sampler_free(used);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sampler/philox", test_philox);
	g_test_add_func("/sampler/select", test_select);
	g_test_add_func("/sampler/distribution", test_distribution);
	g_test_add_func("/sampler/large", test_large);
	g_test_add_func("/sampler/rules", test_rules);
	g_test_add_func("/sampler/all-minus-infinity", test_all_minus_infinity);
	g_test_add_func("/sampler/repetition-negative", test_repetition_negative);
	g_test_add_func("/sampler/bad-logits", test_bad_logits);
	g_test_add_func("/sampler/hostile", test_hostile);
	g_test_add_func("/sampler/logprobs", test_logprobs);
	g_test_add_func("/sampler/deterministic", test_deterministic);
	return g_test_run();
}
