/*
 * core/check-step.c - section step of `weir check`: a level-B backend's load() and step(), called
 * as the scheduler calls them, compared with themselves: however a prompt is cut, batched, copied
 * or repeated, its logits must stay what they are.
 *
 * Kernels may add up in another order for another batch: logits may differ by TOLERANCE of their
 * spread, and the most likely token only where the two best are that near.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weir/backend.h>

#include "check.h"

#define TOLERANCE  0.02
#define MAX_PROMPT 48
#define MAX_ROWS   8

struct steps { /* a loaded model */
	struct weir_check *check;
	struct weir_part *part;
	const struct weir_backend_step *api;
	struct weir_model model;
	uint64_t next_seq;
	uint32_t next_block;
};

struct seq {
	uint64_t id;
	uint32_t *blocks, n_blocks;
	int32_t *tokens; /* what it is made of, and then what was drawn */
	uint32_t n_tokens, n_prompt, pos;
};

struct outcome { /* of one row */
	int32_t token;
	float *logits; /* n_vocab; NULL: none wanted */
};

static const struct weir_option *model_option(const struct weir_check *check)
{
	const struct weir_option *const *options = check->component->options;
	for (size_t i = 0; options && options[i]; i++)
		if (!strcmp(options[i]->key, "model"))
			return options[i];
	return NULL;
}

static bool is_step(struct weir_check *check, const struct weir_part *part)
{
	if (part && weir_part_ext(part, WEIR_BACKEND_STEP))
		return true;
	if (part)
		weir_check_absent(check);
	return false;
}

/* create() with another model, then load(): one of them must say no, and why. */
static void refuse_model(struct weir_check *check, const char *path, const char *what)
{
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	for (unsigned i = 0; i < check->options->len; i++)
		g_ptr_array_add(options, g_ptr_array_index(check->options, i));
	g_autofree char *model = g_strdup_printf("model=%s", path);
	g_ptr_array_add(options, model);
	struct weir_check other = *check;
	other.options = options;
	other.text = g_string_new(NULL);
	snprintf(check->trace, WEIR_CHECK_TRACE, "loading %s", what);
	struct weir_part *part = weir_check_create(&other, NULL);
	if (!part && other.verdict == WEIR_CHECK_FAILED)
		weir_check_fail(check, "%s: %s", what, other.text->str);
	g_string_free(other.text, true);
	if (!part)
		return; /* refused by create() with a reason */
	const struct weir_backend_step *api = weir_part_ext(part, WEIR_BACKEND_STEP);
	struct weir_model facts;
	struct weir_error err;
	memset(&facts, 0, sizeof(facts));
	memset(&err, 0, sizeof(err));
	facts.size = sizeof(facts);
	if (weir_part_start(part, &err) == WEIR_OK) {
		memset(&err, 0, sizeof(err));
		if (api->load(part->instance, &facts, &err) >= 0)
			weir_check_fail(check, "load() took %s for a model", what);
		else if (!err.text[0])
			weir_check_fail(check, "load() refused %s without a reason", what);
	}
	weir_part_destroy(part);
}

static char *temporary(struct weir_check *check, const char *data, size_t len)
{
	if (!check->folder)
		return NULL;
	char *path = g_build_filename(check->folder, "model-XXXXXX", NULL);
	int fd = g_mkstemp(path);
	if (fd < 0) {
		g_free(path);
		return NULL;
	}
	ssize_t n = write(fd, data, len);
	close(fd);
	if (n == (ssize_t)len)
		return path;
	unlink(path);
	g_free(path);
	return NULL;
}

static void step_bad_models(struct weir_check *check)
{
	if (check->component->role != WEIR_ROLE_BACKEND || !model_option(check)) {
		weir_check_absent(check);
		return;
	}
	refuse_model(check, "/nonexistent/model.gguf", "a file that is not there");
	refuse_model(check, "/", "a folder");
	char noise[4096];
	GRand *rand = g_rand_new_with_seed(1);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)g_rand_int(rand);
	g_rand_free(rand);
	const struct {
		const char *data, *what;
		size_t len;
	} files[] = { { noise, "noise", sizeof(noise) },
		      { "", "an empty file", 0 },
		      { "GGUF\3\0\0\0\377\377\377\377\377\377\377\377", "a cut GGUF header", 16 } };
	for (size_t i = 0; i < G_N_ELEMENTS(files) && weir_check_going(check); i++) {
		g_autofree char *path = temporary(check, files[i].data, files[i].len);
		if (!path)
			continue;
		refuse_model(check, path, files[i].what);
		unlink(path);
	}
}

static bool facts_are_sane(struct steps *s)
{
	const struct weir_model *m = &s->model;
	if (!m->n_vocab || !m->n_ctx || !m->max_rows || !m->max_tokens || !m->block_tokens ||
	    !m->n_blocks || !m->name || !*m->name)
		weir_check_fail(s->check,
				"load() left facts out: n_vocab %u, n_ctx %u, max_rows %u, "
				"max_tokens %u, block_tokens %u, n_blocks %u, name %s",
				m->n_vocab, m->n_ctx, m->max_rows, m->max_tokens, m->block_tokens,
				m->n_blocks, m->name ? m->name : "(NULL)");
	else if ((uint64_t)m->n_blocks * m->block_tokens < m->n_ctx)
		weir_check_fail(s->check, "%u blocks of %u positions do not hold n_ctx %u",
				m->n_blocks, m->block_tokens, m->n_ctx);
	return weir_check_going(s->check);
}

static bool steps_open(struct steps *s, struct weir_check *check)
{
	struct weir_error err;
	memset(s, 0, sizeof(*s));
	memset(&err, 0, sizeof(err));
	s->check = check;
	s->next_seq = 1;
	if (check->component->role != WEIR_ROLE_BACKEND) {
		weir_check_absent(check);
		return false;
	}
	s->part = weir_check_create(check, NULL);
	if (!is_step(check, s->part))
		return false;
	s->api = weir_part_ext(s->part, WEIR_BACKEND_STEP);
	s->model.size = sizeof(s->model);
	snprintf(check->trace, WEIR_CHECK_TRACE, "loading the model");
	if (weir_part_start(s->part, &err) != WEIR_OK) {
		weir_check_skip(check, "start() says: %s", err.text);
		return false;
	}
	if (s->api->load(s->part->instance, &s->model, &err) < 0) {
		weir_check_skip(check, "load() says: %s (give --option model=FILE)", err.text);
		return false;
	}
	return facts_are_sane(s);
}

static void steps_close(struct steps *s)
{
	weir_part_destroy(s->part);
}

static uint32_t prompt_length(const struct steps *s)
{
	uint32_t n = MIN(MAX_PROMPT, s->model.n_ctx / 4);
	/* Five sequences live at once at most, each with room for its answer. */
	uint32_t room = s->model.n_blocks / 6 * s->model.block_tokens;
	return MAX(2, MIN(n, room > 16 ? room - 16 : 2));
}

static struct seq *seq_new(struct steps *s, uint32_t salt)
{
	struct seq *seq = g_new0(struct seq, 1);
	uint32_t n = prompt_length(s);
	seq->id = s->next_seq++;
	seq->n_blocks = (n + 16 + s->model.block_tokens - 1) / s->model.block_tokens;
	seq->blocks = g_new(uint32_t, seq->n_blocks);
	for (uint32_t i = 0; i < seq->n_blocks; i++)
		seq->blocks[i] = s->next_block++ % s->model.n_blocks;
	seq->tokens = g_new0(int32_t, n + 16);
	for (uint32_t i = 0; i < n; i++)
		seq->tokens[i] = (int32_t)((i * 7919 + salt * 104729 + 3) % s->model.n_vocab);
	seq->n_tokens = seq->n_prompt = n;
	return seq;
}

static void seq_free(struct seq *seq)
{
	if (!seq)
		return;
	g_free(seq->blocks);
	g_free(seq->tokens);
	g_free(seq);
}

struct extras {
	const uint64_t *gone;
	uint32_t n_gone;
	const uint32_t *copies;
	uint32_t n_copies;
	const uint32_t *mask;
	bool no_logits;
	const struct weir_sampling *sampling; /* NULL: greedy */
	uint32_t n_draft;                     /* of the only row: its last tokens are guesses */
	uint32_t *n_right; /* of the only row, and the draws behind its guesses */
	int32_t *drawn;    /* WEIR_MAX_DRAFT */
	float *logprob;    /* of the only row */
};

/* One step: counts[i] tokens of seqs[i]. Rows that reach the end of their sequence draw a token,
 * which is appended. out has a slot for each row; false after a failure. */
static bool run(struct steps *s, struct seq **seqs, const uint32_t *counts, uint32_t n,
		const struct extras *extras, struct outcome *out)
{
	static const struct extras none;
	const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	struct weir_row rows[MAX_ROWS];
	int32_t token[MAX_ROWS];
	float logprob[MAX_ROWS];
	struct weir_top top[MAX_ROWS];
	struct weir_error errors[MAX_ROWS], err;
	uint32_t n_right[MAX_ROWS] = { 0 };
	int32_t behind[MAX_ROWS * WEIR_MAX_DRAFT];
	extras = extras ? extras : &none;
	g_autoptr(GArray) tokens = g_array_new(false, false, sizeof(int32_t));
	bool logits = !extras->no_logits;
	size_t n_vocab = s->model.n_vocab;
	g_autofree float *values = logits ? g_new0(float, n_vocab *n) : NULL;
	memset(rows, 0, sizeof(rows));
	memset(&err, 0, sizeof(err));
	memset(errors, 0, sizeof(errors));
	for (uint32_t i = 0; i < n; i++) {
		struct seq *seq = seqs[i];
		bool last = seq->pos + counts[i] == seq->n_tokens;
		token[i] = -2;
		rows[i] = (struct weir_row){
			.seq = seq->id,
			.first = tokens->len,
			.count = counts[i],
			.pos = seq->pos,
			.n_blocks = seq->n_blocks,
			.blocks = seq->blocks,
			.sampling = !last              ? NULL
				    : extras->sampling ? extras->sampling
						       : &greedy,
			.history = seq->tokens,
			.n_history = seq->pos + counts[i],
			.n_prompt = seq->n_prompt,
			.seed = 1,
			.mask = last ? extras->mask : NULL,
			.n_draft = extras->n_draft,
		};
		g_array_append_vals(tokens, seq->tokens + seq->pos, counts[i]);
	}
	const struct weir_batch batch = {
		.size = sizeof(batch),
		.row_size = sizeof(rows[0]),
		.n_tokens = tokens->len,
		.n_rows = n,
		.n_gone = extras->n_gone,
		.n_copies = extras->n_copies,
		.want_logits = logits,
		.tokens = (const int32_t *)tokens->data,
		.rows = rows,
		.gone = extras->gone,
		.copies = extras->copies,
	};
	struct weir_step step = { .size = sizeof(step),
				  .token = token,
				  .logprob = logprob,
				  .top = top,
				  .logits = values,
				  .error = errors,
				  .n_right = n_right,
				  .drawn = behind };
	weir_status status = s->api->step(s->part->instance, &batch, &step, &err);
	if (status < 0) {
		weir_check_fail(s->check, "step() failed with %d: %s", status, err.text);
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		bool drawn = rows[i].sampling != NULL;
		seqs[i]->pos += counts[i];
		out[i].token = token[i];
		out[i].logits = NULL;
		if (!drawn)
			continue;
		if (token[i] < 0 || (uint32_t)token[i] >= n_vocab) {
			weir_check_fail(s->check, "step() drew token %d of %zu: %s", token[i],
					n_vocab, token[i] == -1 ? errors[i].text : "");
			return false;
		}
		if (!extras->n_draft)
			seqs[i]->tokens[seqs[i]->n_tokens++] = token[i];
		for (size_t v = 0; logits && v < n_vocab; v++)
			if (!isfinite(values[n_vocab * i + v]))
				return weir_check_fail(s->check, "a logit is not a number"), false;
		if (logits)
			out[i].logits = g_memdup2(values + n_vocab * i, n_vocab * sizeof(float));
	}
	if (extras->n_right && n_right[0] > extras->n_draft)
		return weir_check_fail(s->check, "%u of %u guesses were right", n_right[0],
				       extras->n_draft),
		       false;
	if (extras->n_right) {
		*extras->n_right = n_right[0];
		memcpy(extras->drawn, behind, WEIR_MAX_DRAFT * sizeof(*behind));
	}
	if (extras->logprob)
		*extras->logprob = logprob[0];
	return true;
}

/* The whole prompt in pieces of `piece` tokens; the outcome of the last. */
static bool prefill(struct steps *s, struct seq *seq, uint32_t piece, struct outcome *out)
{
	while (seq->pos < seq->n_prompt) {
		uint32_t count = MIN(MIN(piece, s->model.max_tokens), seq->n_prompt - seq->pos);
		if (!run(s, &seq, &count, 1, NULL, out))
			return false;
	}
	return true;
}

static uint32_t best_of(const struct steps *s, const float *logits)
{
	uint32_t best = 0;
	for (uint32_t v = 1; v < s->model.n_vocab; v++)
		if (logits[v] > logits[best])
			best = v;
	return best;
}

static void compare(struct steps *s, const struct outcome *a, const struct outcome *b,
		    const char *what)
{
	float low = INFINITY, high = -INFINITY, most = 0;
	if (!a->logits || !b->logits) {
		weir_check_fail(s->check, "%s: want_logits gave none", what);
		return;
	}
	for (uint32_t v = 0; v < s->model.n_vocab; v++) {
		low = MIN(low, a->logits[v]);
		high = MAX(high, a->logits[v]);
		most = MAX(most, fabsf(a->logits[v] - b->logits[v]));
	}
	float allowed = (float)TOLERANCE * (high - low);
	if (most > allowed)
		weir_check_fail(s->check, "%s: logits differ by %g, %g is allowed", what,
				(double)most, (double)allowed);
	uint32_t x = best_of(s, a->logits), y = best_of(s, b->logits);
	if (x != y && a->logits[x] - a->logits[y] > 2 * allowed)
		weir_check_fail(s->check, "%s: token %u became %u", what, x, y);
	if ((uint32_t)a->token != x && a->logits[x] - a->logits[a->token] > 0)
		weir_check_fail(s->check, "%s: greedy drew %d, the most likely is %u", what,
				a->token, x);
}

static void step_greedy(struct weir_check *check)
{
	struct steps s;
	struct outcome first, second;
	if (!steps_open(&s, check))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "the same prompt twice");
	struct seq *a = seq_new(&s, 1), *b = seq_new(&s, 1);
	bool fine = prefill(&s, a, MAX_PROMPT, &first) && prefill(&s, b, MAX_PROMPT, &second);
	for (int i = 0; fine && i < 8; i++) {
		uint32_t one = 1;
		compare(&s, &first, &second, "the same prompt, again");
		if (first.token != second.token)
			weir_check_fail(check, "the same prompt drew %d, then %d", first.token,
					second.token);
		fine = weir_check_going(check) && run(&s, &a, &one, 1, NULL, &first) &&
		       run(&s, &b, &one, 1, NULL, &second);
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
	seq_free(b);
}

static void step_chunks(struct weir_check *check)
{
	struct steps s;
	struct outcome whole, cut;
	if (!steps_open(&s, check))
		return;
	const uint32_t pieces[] = { 1, 3, s.model.block_tokens, s.model.block_tokens + 1 };
	struct seq *a = seq_new(&s, 2);
	bool fine = prefill(&s, a, MAX_PROMPT, &whole);
	for (size_t i = 0; fine && i < G_N_ELEMENTS(pieces); i++) {
		g_autofree char *what = g_strdup_printf("prefill in pieces of %u", pieces[i]);
		g_strlcpy(check->trace, what, WEIR_CHECK_TRACE);
		struct seq *b = seq_new(&s, 2);
		fine = prefill(&s, b, pieces[i], &cut);
		if (fine)
			compare(&s, &whole, &cut, what);
		seq_free(b);
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
}

/* Prefill, decode and other sequences in one step, against each alone. */
static void step_rows(struct weir_check *check)
{
	struct steps s;
	struct outcome alone, mixed[2];
	if (!steps_open(&s, check))
		return;
	struct seq *a = seq_new(&s, 3), *b = seq_new(&s, 3), *other = seq_new(&s, 4);
	uint32_t one = 1;
	bool fine = s.model.max_rows >= 2 && prefill(&s, a, MAX_PROMPT, &alone) &&
		    run(&s, &a, &one, 1, NULL, &alone) && prefill(&s, b, MAX_PROMPT, &mixed[0]);
	if (fine) {
		struct seq *rows[] = { b, other };
		uint32_t counts[] = { 1, MIN(5, other->n_prompt - 1) };
		snprintf(check->trace, WEIR_CHECK_TRACE, "decode and prefill in one step");
		b->tokens[b->n_tokens - 1] = a->tokens[a->n_prompt]; /* as alone, even in a tie */
		fine = run(&s, rows, counts, 2, NULL, mixed);
		if (fine)
			compare(&s, &alone, &mixed[0], "beside another sequence");
	}
	if (weir_check_going(check) && s.model.max_rows < 2)
		weir_check_skip(check, "max_rows is 1");
	if (fine)
		steps_close(&s);
	seq_free(a);
	seq_free(b);
	seq_free(other);
}

static void step_copies(struct weir_check *check)
{
	struct steps s;
	struct outcome origin, copied;
	if (!steps_open(&s, check))
		return;
	struct seq *a = seq_new(&s, 5), *b = seq_new(&s, 5);
	g_autofree uint32_t *copies = g_new(uint32_t, 2 * a->n_blocks);
	uint32_t one = 1;
	bool fine = prefill(&s, a, MAX_PROMPT, &origin);
	if (fine) {
		snprintf(check->trace, WEIR_CHECK_TRACE, "going on from copied blocks");
		for (uint32_t i = 0; i < a->n_blocks; i++) {
			copies[2 * i] = a->blocks[i];
			copies[2 * i + 1] = b->blocks[i];
		}
		b->pos = b->n_prompt; /* its KV is the copy */
		b->tokens[b->n_tokens++] = a->tokens[a->n_prompt];
		const struct extras extras = { .copies = copies, .n_copies = a->n_blocks };
		fine = run(&s, &b, &one, 1, &extras, &copied) &&
		       run(&s, &a, &one, 1, NULL, &origin);
		if (fine)
			compare(&s, &origin, &copied, "from copied blocks");
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
	seq_free(b);
}

static void step_gone(struct weir_check *check)
{
	struct steps s;
	struct outcome fresh, reused;
	if (!steps_open(&s, check))
		return;
	struct seq *a = seq_new(&s, 6), *gone = seq_new(&s, 7), *b = seq_new(&s, 6);
	bool fine = prefill(&s, a, MAX_PROMPT, &fresh) && prefill(&s, gone, MAX_PROMPT, &reused);
	if (fine) {
		uint32_t count = MIN(b->n_prompt, s.model.max_tokens);
		const uint64_t ids[] = { gone->id, 999999 };
		const struct extras extras = { .gone = ids, .n_gone = 2 };
		snprintf(check->trace, WEIR_CHECK_TRACE, "blocks of a sequence that is gone");
		memcpy(b->blocks, gone->blocks, b->n_blocks * sizeof(*b->blocks));
		fine = run(&s, &b, &count, 1, &extras, &reused) &&
		       prefill(&s, b, MAX_PROMPT, &reused);
		if (fine)
			compare(&s, &fresh, &reused, "in the blocks of a sequence that is gone");
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
	seq_free(gone);
	seq_free(b);
}

static void step_mask(struct weir_check *check)
{
	struct steps s;
	struct outcome out;
	if (!steps_open(&s, check))
		return;
	size_t words = ((size_t)s.model.n_vocab + 31) / 32;
	g_autofree uint32_t *mask = g_new0(uint32_t, words);
	const uint32_t allowed[] = { 0, s.model.n_vocab / 2, s.model.n_vocab - 1 };
	struct seq *a = seq_new(&s, 8);
	bool fine = prefill(&s, a, MAX_PROMPT, &out);
	for (size_t i = 0; fine && i < G_N_ELEMENTS(allowed); i++) {
		uint32_t one = 1;
		const struct extras extras = { .mask = mask, .no_logits = true };
		snprintf(check->trace, WEIR_CHECK_TRACE, "only token %u allowed", allowed[i]);
		memset(mask, 0, words * sizeof(*mask));
		mask[allowed[i] / 32] = 1u << (allowed[i] % 32);
		fine = run(&s, &a, &one, 1, &extras, &out);
		if (fine && (uint32_t)out.token != allowed[i])
			weir_check_fail(check, "only token %u was allowed, %d was drawn",
					allowed[i], out.token);
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
}

/* What a seed draws, and what the draws cost, after the same prompt. */
static void step_draws(struct weir_check *check)
{
	const struct weir_sampling warm = { .size = sizeof(warm),
					    .seed_set = 1,
					    .temperature = 1,
					    .top_p = 1,
					    .typical_p = 1,
					    .repetition_penalty = 1,
					    .logprobs = 1 };
	struct steps s;
	struct outcome first, second;
	uint32_t one = 1;
	if (!steps_open(&s, check))
		return;
	struct seq *a = seq_new(&s, 9), *b = seq_new(&s, 9);
	bool fine = prefill(&s, a, MAX_PROMPT, &first) && prefill(&s, b, MAX_PROMPT, &second);
	for (int i = 0; fine && i < 8; i++) {
		float logprob = NAN, other = NAN;
		double sum = 0;
		struct extras extras = { .sampling = &warm, .logprob = &logprob };
		snprintf(check->trace, WEIR_CHECK_TRACE, "draw %d at temperature 1", i + 1);
		fine = run(&s, &a, &one, 1, &extras, &first);
		extras.logprob = &other;
		fine = fine && run(&s, &b, &one, 1, &extras, &second);
		if (!fine || !first.logits)
			break;
		for (uint32_t v = 0; v < s.model.n_vocab; v++)
			sum += exp((double)(first.logits[v] - first.logits[first.token]));
		if (first.token != second.token)
			weir_check_fail(check, "the same seed drew %d, then %d", first.token,
					second.token);
		else if (!(fabs((double)logprob + log(sum)) < 0.01))
			weir_check_fail(check,
					"the log-probability of what was drawn is %g, by its "
					"logits it is %g",
					(double)logprob, -log(sum));
		fine = weir_check_going(check);
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
	seq_free(b);
}

/* What steps without guesses draw is guessed, right or with one wrong guess: the same draws come.
 */
static void step_guesses(struct weir_check *check)
{
	enum { GUESSES = 4 };
	struct steps s;
	struct outcome out;
	int32_t drawn[WEIR_MAX_DRAFT];
	uint32_t one = 1, n_right = 0;
	if (!steps_open(&s, check))
		return;
	if (s.model.max_guesses < GUESSES || s.model.max_tokens <= GUESSES) {
		weir_check_skip(check, "the model takes no guesses");
		steps_close(&s);
		return;
	}
	struct seq *a = seq_new(&s, 10);
	bool fine = prefill(&s, a, MAX_PROMPT, &out);
	for (int i = 0; fine && i < GUESSES + 1; i++)
		fine = run(&s, &a, &one, 1, NULL, &out);
	for (uint32_t wrong = 0; fine && wrong <= GUESSES; wrong++) { /* GUESSES: none is */
		const struct extras extras = {
			.n_draft = GUESSES, .no_logits = true, .n_right = &n_right, .drawn = drawn
		};
		struct seq *b = seq_new(&s, 10);
		uint32_t count = GUESSES + 1, n = b->n_prompt;
		snprintf(check->trace, WEIR_CHECK_TRACE, "%u guesses, %u of them right", GUESSES,
			 wrong);
		fine = prefill(&s, b, MAX_PROMPT, &out);
		memcpy(b->tokens + n, a->tokens + n, (GUESSES + 1) * sizeof(*b->tokens));
		if (wrong < GUESSES) {
			int32_t *guess = &b->tokens[n + 1 + wrong];
			*guess = (*guess + 1) % (int32_t)s.model.n_vocab;
		}
		b->n_tokens = n + 1 + GUESSES;
		fine = fine && run(&s, &b, &count, 1, &extras, &out);
		if (fine && (n_right != wrong || out.token != a->tokens[n + 1]))
			weir_check_fail(check, "%u of %u guesses were said to be right, %u were",
					n_right, GUESSES, wrong);
		for (uint32_t i = 0; fine && i < wrong; i++)
			if (drawn[i] != a->tokens[n + 2 + i])
				weir_check_fail(check,
						"behind guess %u token %d was drawn, without "
						"guesses %d",
						i + 1, drawn[i], a->tokens[n + 2 + i]);
		fine = fine && weir_check_going(check);
		seq_free(b);
	}
	if (fine)
		steps_close(&s);
	seq_free(a);
}

const struct weir_check_case weir_check_step[] = {
	{ "step", "bad-models", "load() refuses files that are no model, with a reason",
	  step_bad_models, 3 },
	{ "step", "greedy", "the same prompt gives the same tokens, in range, from finite logits",
	  step_greedy, 3 },
	{ "step", "chunks", "however a prompt is cut into chunks, the logits stay", step_chunks,
	  3 },
	{ "step", "rows", "a row's logits do not depend on its neighbours", step_rows, 3 },
	{ "step", "copies", "a sequence goes on from copied blocks", step_copies, 3 },
	{ "step", "gone", "blocks of a sequence that is gone serve another", step_gone, 3 },
	{ "step", "mask", "only tokens of the mask are drawn", step_mask, 3 },
	{ "step", "draws", "a seed draws the same; log-probabilities are the logits' own",
	  step_draws, 3 },
	{ "step", "guesses", "guesses change no draw, right or wrong", step_guesses, 3 },
	{ NULL },
};
