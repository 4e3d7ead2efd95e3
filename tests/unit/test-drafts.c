/*
 * test-drafts.c - a step that verifies guesses draws the very tokens that it draws without any,
 * and says how many were right; rows that cannot be are refused.
 */
#include "backend.h"
#include "device-scalar.h"
#include "model-writer.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#define N_PROMPT 5
#define N_TOTAL  60
#define GUESSES  6

static const struct weir_host host = { .size = sizeof(host) };
static const uint32_t blocks[] = { 5, 2, 9, 0, 7, 1, 3, 4 };

struct rig {
	struct device_scalar d;
	const struct weir_backend_step *step;
	struct weir_error err;
	char *path;
	int32_t token[2], drawn[2 * WEIR_MAX_DRAFT];
	uint32_t n_right[2], n_next[2];
	int32_t next[2 * WEIR_MAX_DRAFT];
	float logprob[2];
	struct weir_step ret;
};

static weir_status rig_try(struct rig *r, const char *guesses, const char *draft)
{
	struct weir_model model = { .size = sizeof(model) };
	struct model *m = model_new(&model_small);
	weir_status status;
	struct weir_kv conf[] = {
		{ "model", NULL },        { "block_tokens", "8" }, { "max_batch_tokens", "64" },
		{ "max_sequences", "2" }, { "guesses", guesses },  { "draft_model", draft }
	};

	memset(r, 0, sizeof(*r));
	device_scalar_init(&r->d);
	conf[0].value = r->path = model_write(m);
	g_assert_cmpint(weir_tensor_backend_new(&host, &r->d.instance, &device_scalar, conf,
						G_N_ELEMENTS(conf) - !draft, &r->d.backend,
						&r->err),
			==, WEIR_OK);
	r->step = weir_tensor_backend_ext(r->d.backend, WEIR_BACKEND_STEP);
	status = r->step->load(&r->d.instance, &model, &r->err);
	if (status == WEIR_OK) {
		g_assert_cmpuint(model.max_guesses, ==, (guint)g_ascii_strtoull(guesses, NULL, 10));
		g_assert_cmpuint(model.flags & WEIR_MODEL_GUESSES, ==,
				 draft ? WEIR_MODEL_GUESSES : 0);
	}
	r->ret = (struct weir_step){ .size = sizeof(r->ret),
				     .token = r->token,
				     .logprob = r->logprob,
				     .n_right = r->n_right,
				     .drawn = r->drawn,
				     .n_next = r->n_next,
				     .next = r->next };
	model_free(m);
	return status;
}

static void rig_open(struct rig *r, const char *guesses)
{
	if (rig_try(r, guesses, NULL) != WEIR_OK)
		g_error("%s", r->err.text);
}

static void rig_close(struct rig *r)
{
	weir_tensor_backend_free(r->d.backend);
	g_unlink(r->path);
	g_free(r->path);
}

static weir_status step_asking(struct rig *r, const struct weir_sampling *sampling,
			       const int32_t *tokens, uint32_t pos, uint32_t count,
			       uint32_t n_draft, const uint32_t *mask, uint32_t n_want)
{
	struct weir_row row = { .count = count,
				.pos = pos,
				.n_blocks = G_N_ELEMENTS(blocks),
				.blocks = blocks,
				.sampling = sampling,
				.history = tokens,
				.n_history = pos + count,
				.n_prompt = N_PROMPT,
				.seed = 99,
				.mask = mask,
				.n_draft = n_draft,
				.n_want = n_want };
	struct weir_batch b = { .size = sizeof(b),
				.row_size = sizeof(row),
				.n_rows = 1,
				.n_tokens = count,
				.tokens = tokens + pos,
				.rows = &row };

	r->n_next[0] = 0;
	return r->step->step(&r->d.instance, &b, &r->ret, &r->err);
}

static weir_status step(struct rig *r, const struct weir_sampling *sampling, const int32_t *tokens,
			uint32_t pos, uint32_t count, uint32_t n_draft, const uint32_t *mask)
{
	return step_asking(r, sampling, tokens, pos, count, n_draft, mask, 0);
}

static void generate(struct rig *r, const struct weir_sampling *sampling, int32_t *tokens)
{
	for (uint32_t n = N_PROMPT; n < N_TOTAL; n++) {
		uint32_t pos = n == N_PROMPT ? 0 : n - 1;

		g_assert_cmpint(step(r, sampling, tokens, pos, n - pos, 0, NULL), ==, WEIR_OK);
		tokens[n] = r->token[0];
	}
}

/* Guesses of which about half are right. */
static void generate_guessing(struct rig *r, const struct weir_sampling *sampling, int32_t *tokens,
			      const int32_t *truth, GRand *rand)
{
	uint32_t n = N_PROMPT;

	while (n < N_TOTAL) {
		uint32_t pos = n == N_PROMPT ? 0 : n - 1, right = 0;
		uint32_t k = (uint32_t)g_rand_int_range(rand, 0, GUESSES + 1);

		k = MIN(k, N_TOTAL - n);
		for (uint32_t i = 0; i < k; i++) {
			gboolean wrong = g_rand_int_range(rand, 0, 5) == 0;

			tokens[n + i] = wrong ? (truth[n + i] + 1) % 50 : truth[n + i];
		}
		while (right < k && tokens[n + right] == truth[n + right])
			right++;
		if (n + right == N_TOTAL)
			right--, k--; /* the draw after the last guess would be beyond */
		g_assert_cmpint(step(r, sampling, tokens, pos, n - pos + k, k, NULL), ==, WEIR_OK);
		if (k > 0)
			g_assert_cmpuint(r->n_right[0], ==, right);
		tokens[n++] = r->token[0];
		for (uint32_t i = 0; i < right; i++)
			tokens[n++] = r->drawn[i];
	}
}

static void test_same(void)
{
	struct weir_sampling sampling[] = {
		{ .size = sizeof(sampling[0]),
		  .top_p = 1,
		  .typical_p = 1,
		  .repetition_penalty = 1 },
		{ .size = sizeof(sampling[0]),
		  .temperature = 1,
		  .top_p = 0.95f,
		  .typical_p = 1,
		  .repetition_penalty = 1.1f,
		  .repeat_last_n = 20,
		  .frequency_penalty = 0.3f },
	};
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	struct rig r;

	rig_open(&r, "6");
	for (gsize i = 0; i < G_N_ELEMENTS(sampling); i++) {
		int32_t truth[N_TOTAL] = { 1, 4, 9, 16, 25 }, tokens[N_TOTAL + GUESSES];

		generate(&r, &sampling[i], truth);
		for (int round = 0; round < 10; round++) {
			memset(tokens, 0, sizeof(tokens));
			memcpy(tokens, truth, N_PROMPT * sizeof(*tokens));
			generate_guessing(&r, &sampling[i], tokens, truth, rand);
			g_assert_cmpmem(tokens, sizeof(truth), truth, sizeof(truth));
		}
	}
	rig_close(&r);
}

static void test_refused(void)
{
	static const struct weir_sampling plain = { .size = sizeof(plain), .top_p = 1 };
	static const struct weir_sampling logprobs = { .size = sizeof(plain), .logprobs = 1 };
	static const struct weir_sampling top = { .size = sizeof(plain), .top_logprobs = 2 };
	static const uint32_t mask[2] = { 0xffffffff, 0xffffffff };
	static const struct {
		const struct weir_sampling *sampling;
		uint32_t count, n_draft;
		const uint32_t *mask;
	} cases[] = {
		{ NULL, 8, 2, NULL },   { &logprobs, 8, 2, NULL }, { &top, 8, 2, NULL },
		{ &plain, 8, 2, mask }, { &plain, 8, 7, NULL },    { &plain, 3, 3, NULL },
		{ &plain, 6, 2, NULL }, /* a guess in the prompt */
	};
	int32_t tokens[16] = { 1, 2, 3 };
	struct rig r;

	rig_open(&r, "6");
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpint(step(&r, cases[i].sampling, tokens, 0, cases[i].count,
				     cases[i].n_draft, cases[i].mask),
				==, WEIR_E_INVALID);
	g_assert_cmpint(step(&r, &plain, tokens, 0, 8, 2, NULL), ==, WEIR_OK);
	rig_close(&r);
	rig_open(&r, "0");
	g_assert_cmpint(step(&r, &plain, tokens, 0, 8, 1, NULL), ==, WEIR_E_INVALID);
	rig_close(&r);
}

/* Guesses of the backend's own draft model; returns how many steps the text took. */
static uint32_t generate_drafted(struct rig *r, const struct weir_sampling *sampling,
				 int32_t *tokens, GRand *rand)
{
	uint32_t n = N_PROMPT, n_steps = 0, k = 0;

	while (n < N_TOTAL) {
		uint32_t pos = n == N_PROMPT ? 0 : n - 1;
		uint32_t want = (uint32_t)g_rand_int_range(rand, 0, 5), right;

		k = MIN(k, N_TOTAL - 1 - n);
		/* Sometimes a guess is spoilt on the way. */
		if (k > 1 && g_rand_int_range(rand, 0, 4) == 0)
			tokens[n + 1] = (tokens[n + 1] + 1) % 50;
		g_assert_cmpint(step_asking(r, sampling, tokens, pos, n - pos + k, k, NULL, want),
				==, WEIR_OK);
		right = k > 0 ? r->n_right[0] : 0;
		tokens[n++] = r->token[0];
		for (uint32_t i = 0; i < right; i++)
			tokens[n++] = r->drawn[i];
		g_assert_cmpuint(r->n_next[0], <=, want);
		k = r->n_next[0];
		memcpy(tokens + n, r->next, k * sizeof(*tokens));
		n_steps++;
	}
	return n_steps;
}

/* The model as its own draft model: every guess that is not spoilt is right, greedy or not. Another
 * one guesses otherwise, and the text is the same. */
static void test_drafter(void)
{
	struct weir_sampling sampling[] = {
		{ .size = sizeof(sampling[0]),
		  .top_p = 1,
		  .typical_p = 1,
		  .repetition_penalty = 1 },
		{ .size = sizeof(sampling[0]),
		  .temperature = 1,
		  .top_p = 0.9f,
		  .typical_p = 1,
		  .repetition_penalty = 1 },
	};
	struct model_spec spec = model_small;
	int32_t truth[2][N_TOTAL] = { { 1, 4, 9, 16, 25 }, { 1, 4, 9, 16, 25 } };
	struct rig r;

	rig_open(&r, "6");
	for (gsize i = 0; i < G_N_ELEMENTS(sampling); i++)
		generate(&r, &sampling[i], truth[i]);
	rig_close(&r);
	for (int other = 0; other < 2; other++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(5);
		g_autofree char *path = NULL;
		struct model *m;

		spec.seed += (guint32)other;
		spec.n_layers = 2 - (guint32)other;
		m = model_new(&spec);
		path = model_write(m);
		if (rig_try(&r, "6", path) != WEIR_OK)
			g_error("%s", r.err.text);
		for (gsize i = 0; i < G_N_ELEMENTS(sampling); i++) {
			int32_t tokens[N_TOTAL + WEIR_MAX_DRAFT];
			uint32_t n_steps = 0;

			for (int round = 0; round < 5; round++) {
				memcpy(tokens, truth[i], N_PROMPT * sizeof(*tokens));
				n_steps += generate_drafted(&r, &sampling[i], tokens, rand);
				g_assert_cmpmem(tokens, sizeof(truth[i]), truth[i],
						sizeof(truth[i]));
			}
			if (!other)
				g_assert_cmpuint(n_steps, <, 5 * (N_TOTAL - N_PROMPT) * 2 / 3);
		}
		rig_close(&r);
		g_unlink(path);
		model_free(m);
	}
}

static void test_wrong_drafter(void)
{
	struct model_spec spec = model_small;
	g_autofree char *path = NULL;
	struct model *m;
	struct rig r;

	g_assert_cmpint(rig_try(&r, "6", "no-such.gguf"), ==, WEIR_E_NOT_FOUND);
	g_assert_nonnull(strstr(r.err.text, "no-such.gguf"));
	rig_close(&r);
	spec.n_vocab = 51;
	m = model_new(&spec);
	path = model_write(m);
	g_assert_cmpint(rig_try(&r, "6", path), ==, WEIR_E_INVALID);
	g_assert_nonnull(strstr(r.err.text, "vocabulary"));
	g_assert_cmpint(r.d.n_buffers, ==, 0);
	rig_close(&r);
	/* Not asked for guesses: not even read. */
	g_assert_cmpint(rig_try(&r, "0", NULL), ==, WEIR_OK);
	rig_close(&r);
	g_unlink(path);
	model_free(m);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/drafts/same-tokens", test_same);
	g_test_add_func("/drafts/refused", test_refused);
	g_test_add_func("/drafts/drafter", test_drafter);
	g_test_add_func("/drafts/wrong-drafter", test_wrong_drafter);
	return g_test_run();
}
