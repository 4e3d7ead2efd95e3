/*
 * batch.c - see batch.h. The plan only sets take, samples and blocks of sequences, so that one that
 * is already planned can still be thrown out in favour of one before it; build() writes the arrays.
 */
#include "batch.h"

#include <string.h>

#include "log.h"

static bool sane(const struct weir_model *m)
{
	return m->n_vocab > 0 && m->n_vocab <= INT32_MAX && m->n_ctx > 0 && m->n_ctx <= 1u << 30 &&
	       m->max_rows > 0 && m->max_rows <= 1u << 16 && m->max_tokens > 0 &&
	       m->max_tokens <= 1u << 24 && m->block_tokens > 0 && m->block_tokens <= 1u << 20 &&
	       m->n_blocks > 0;
}

weir_status weir_batcher_new(const struct weir_model *model, struct weir_batcher **ret,
			     struct weir_error *err)
{
	struct weir_batcher *b;
	struct weir_blocks *blocks = NULL;
	weir_status status;

	if (!sane(model))
		return weir_fail(
			err, WEIR_E_INTERNAL,
			"load() reports a model that cannot be: vocabulary %u, context %u, "
			"%u rows, %u tokens a step, %u blocks of %u tokens",
			model->n_vocab, model->n_ctx, model->max_rows, model->max_tokens,
			model->n_blocks, model->block_tokens);
	status = weir_blocks_new(model->n_blocks, model->block_tokens, &blocks, err);
	if (status < 0)
		return status;
	b = g_new0(struct weir_batcher, 1);
	b->blocks = blocks;
	b->max_rows = model->max_rows;
	b->max_tokens = model->max_tokens;
	b->n_blocks = model->n_blocks;
	b->max_guesses = MIN(model->max_guesses, 1u << 16);
	b->max_scores = MIN(model->max_scores, model->max_tokens);
	b->asks = b->max_guesses > 0 && model->flags & WEIR_MODEL_GUESSES;
	b->longest = (uint32_t)MIN((uint64_t)model->n_blocks * model->block_tokens, model->n_ctx);
	b->live = g_ptr_array_new();
	b->gone = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	b->next_number = 1;
	b->tokens = g_new(int32_t, b->max_tokens);
	b->targets = g_new(int32_t, b->max_tokens);
	b->rows = g_new0(struct weir_row, b->max_rows);
	b->row_of = g_new0(struct weir_sequence *, b->max_rows);
	*ret = b;
	return WEIR_OK;
}

void weir_batcher_free(struct weir_batcher *b)
{
	if (!b)
		return;
	weir_blocks_free(b->blocks);
	g_ptr_array_unref(b->live);
	g_array_unref(b->gone);
	g_free(b->tokens);
	g_free(b->targets);
	g_free(b->rows);
	g_free(b->row_of);
	g_free(b->copies);
	g_free(b);
}

uint32_t weir_batcher_blocks_for(const struct weir_batcher *b, uint32_t n_tokens)
{
	uint32_t size = weir_blocks_size(b->blocks);

	return n_tokens / size + (n_tokens % size != 0);
}

/* --- losing blocks ------------------------------------------------------------------------- */

static void unplan(struct weir_batcher *b, struct weir_sequence *s)
{
	if (s->take == 0)
		return;
	b->n_rows--;
	b->budget += s->take;
	b->score_budget += weir_sequence_scores(s) ? s->take : 0;
	s->job->credit += s->samples + s->n_guesses;
	s->take = s->n_guesses = 0;
	s->samples = false;
}

static void forget_number(struct weir_batcher *b, struct weir_sequence *s)
{
	if (s->known)
		g_array_append_val(b->gone, s->number);
	s->known = false;
	s->number = b->next_number++;
}

void weir_batcher_preempt(struct weir_batcher *b, struct weir_sequence *s)
{
	unplan(b, s);
	b->n_recomputed += s->n_kv;
	weir_sequence_drop_blocks(s, b->blocks);
	forget_number(b, s);
	s->state = WEIR_SEQUENCE_WAITS;
}

void weir_batcher_remove(struct weir_batcher *b, struct weir_sequence *s)
{
	unplan(b, s);
	weir_sequence_drop_blocks(s, b->blocks);
	forget_number(b, s);
	s->state = WEIR_SEQUENCE_DONE;
	g_ptr_array_remove(b->live, s);
}

/* Somebody who must give way to the sequence at place `at`, or to a newcomer (at = live->len). */
static struct weir_sequence *victim(const struct weir_batcher *b, guint at, bool stalled_only)
{
	for (guint i = b->live->len; i-- > 0;) {
		struct weir_sequence *s = b->live->pdata[i];

		if (i != at && s->state == WEIR_SEQUENCE_RUNS && s->n_blocks > 0 && s->job->stalled)
			return s;
	}
	for (guint i = b->live->len; !stalled_only && i-- > at + 1;) {
		struct weir_sequence *s = b->live->pdata[i];

		if (s->state == WEIR_SEQUENCE_RUNS && s->n_blocks > 0)
			return s;
	}
	return NULL;
}

static bool make_room(struct weir_batcher *b, guint at, bool stalled_only)
{
	struct weir_sequence *s = victim(b, at, stalled_only);

	b->short_of_blocks = true;
	if (!s)
		return false;
	b->n_preempted++;
	weir_batcher_preempt(b, s);
	return true;
}

/* --- the plan ------------------------------------------------------------------------------ */

/* Gives the sequence at place `at` up to `want` tokens of the step. */
static void give(struct weir_batcher *b, guint at, uint32_t want, bool samples)
{
	struct weir_sequence *s = b->live->pdata[at];
	bool scores = weir_sequence_scores(s);
	uint32_t take = MIN(want, scores ? MIN(b->budget, b->score_budget) : b->budget);

	if (take == 0 || b->n_rows == b->max_rows)
		return;
	while (!weir_sequence_reserve(s, b->blocks, take)) {
		if (make_room(b, at, false))
			continue;
		/* Everybody else comes first: what there is room for, or nothing. */
		take = MIN(take, weir_sequence_room(s, b->blocks));
		if (take == 0 || !weir_sequence_reserve(s, b->blocks, take))
			return;
		break;
	}
	s->take = take;
	s->samples = samples && take == want;
	s->job->credit -= s->samples;
	b->budget -= take;
	b->score_budget -= scores ? take : 0;
	b->n_rows++;
}

static bool may_run(const struct weir_sequence *s)
{
	return s->state == WEIR_SEQUENCE_RUNS && s->take == 0 && !s->job->stalled;
}

static void plan_running(struct weir_batcher *b, bool decode)
{
	for (guint i = 0; i < b->live->len; i++) {
		struct weir_sequence *s = b->live->pdata[i];
		uint32_t pending;
		bool samples;

		if (!may_run(s))
			continue;
		pending = weir_sequence_pending(s, &samples);
		if (pending == 0 || (pending == 1 && samples) != decode)
			continue;
		if (samples && s->job->credit == 0)
			continue; /* other choices of the request have it all */
		give(b, i, pending, samples);
	}
}

static uint32_t reserve_of(const struct weir_batcher *b)
{
	uint32_t n = 0;

	/* Those that run will soon want a block more each. */
	for (guint i = 0; i < b->live->len; i++) {
		const struct weir_sequence *s = b->live->pdata[i];

		n += s->state == WEIR_SEQUENCE_RUNS && !s->job->stalled;
	}
	return MIN(n, b->n_blocks / 8);
}

/* The first choice has done the prompt: now there are as many as asked for. */
static void fork_if_due(struct weir_batcher *b, struct weir_job *job)
{
	if (!job->forked && job->seqs[job->lead].n_kv + 1 == job->n_prompt)
		weir_job_fork(job, b->blocks);
}

/* The sequence at place `at` begins, or begins again: what the cache has, and a first share. */
static void begin(struct weir_batcher *b, guint at)
{
	struct weir_sequence *s = b->live->pdata[at];
	uint32_t pending;
	bool samples;

	s->state = WEIR_SEQUENCE_RUNS;
	weir_sequence_match(s, b->blocks);
	fork_if_due(b, s->job);
	pending = weir_sequence_pending(s, &samples);
	if (pending > 0 && !s->job->stalled && (!samples || s->job->credit > 0))
		give(b, at, pending, samples);
}

static void plan_returning(struct weir_batcher *b)
{
	for (guint i = 0; i < b->live->len; i++) {
		struct weir_sequence *s = b->live->pdata[i];
		uint32_t need;

		if (s->state != WEIR_SEQUENCE_WAITS || s->job->stalled ||
		    (!s->job->forked && s->index != s->job->lead))
			continue;
		if (b->n_rows == b->max_rows || b->budget == 0)
			return;
		need = weir_batcher_blocks_for(b, s->n_tokens);
		/* Alone, it fits: admission has made sure of that. */
		if (b->n_rows > 0 && (b->short_of_blocks ||
				      need + reserve_of(b) > weir_blocks_available(b->blocks))) {
			b->short_of_blocks = true;
			return;
		}
		begin(b, i);
	}
}

void weir_batcher_plan(struct weir_batcher *b)
{
	b->n_rows = 0;
	b->budget = b->max_tokens;
	b->score_budget = b->max_scores;
	b->short_of_blocks = false;
	for (guint i = 0; i < b->live->len; i++) {
		struct weir_sequence *s = b->live->pdata[i];

		s->take = s->n_guesses = s->n_want = 0;
		s->samples = false;
		if (s->state == WEIR_SEQUENCE_RUNS)
			fork_if_due(b, s->job);
	}
	plan_running(b, true);
	plan_running(b, false);
	plan_returning(b);
}

/* --- newcomers ----------------------------------------------------------------------------- */

bool weir_batcher_fits(struct weir_batcher *b, uint32_t n_tokens)
{
	uint32_t need = weir_batcher_blocks_for(b, n_tokens);

	if (b->n_rows == b->max_rows || b->budget == 0 || b->short_of_blocks)
		return false;
	while (need + reserve_of(b) > weir_blocks_available(b->blocks)) {
		if (b->n_rows == 0 && need <= weir_blocks_available(b->blocks))
			return true;
		if (!make_room(b, b->live->len, true))
			return false;
	}
	b->short_of_blocks = false;
	return true;
}

static bool comes_before(const struct weir_sequence *a, const struct weir_sequence *b)
{
	if (a->job->waiter.priority != b->job->waiter.priority)
		return a->job->waiter.priority > b->job->waiter.priority;
	if (a->job->order != b->job->order)
		return a->job->order < b->job->order;
	return a->index < b->index;
}

void weir_batcher_add(struct weir_batcher *b, struct weir_job *job)
{
	struct weir_sequence *first = &job->seqs[job->lead];
	guint at = b->live->len, n = 0;

	while (at > 0 && comes_before(first, b->live->pdata[at - 1]))
		at--;
	for (uint32_t i = 0; i < job->n; i++) {
		if (job->seqs[i].state == WEIR_SEQUENCE_DONE)
			continue;
		job->seqs[i].number = b->next_number++;
		g_ptr_array_insert(b->live, (gint)(at + n++), &job->seqs[i]);
	}
	begin(b, at);
	/* What begin() has not found in the cache has not been computed yet. */
	job->n_cached = MIN(first->n_kv, job->n_prompt);
}

/* --- guesses ------------------------------------------------------------------------------- */

/* As many as the request may still get, and as its end tokens are treated alike. */
static uint32_t most_guesses(const struct weir_batcher *b, const struct weir_sequence *s)
{
	const struct weir_sampling *sampling = s->job->sampling;
	const struct weir_limits *limits = s->job->limits;
	uint32_t most = MIN(WEIR_MAX_DRAFT, b->budget);

	if (s->place || sampling->logprobs || sampling->top_logprobs)
		return 0;
	most = MIN(most, s->job->credit);
	most = MIN(most, s->job->max_output - s->n_output - 1);
	most = MIN(most, b->longest - s->n_tokens);
	if (!limits->ignore_end && s->n_output < limits->min_tokens)
		most = MIN(most, limits->min_tokens - s->n_output - 1);
	return most;
}

/* The backend's guesses if it has made some of just this place, else what the text itself says. */
static uint32_t look_up(struct weir_sequence *s, uint32_t want)
{
	int32_t *tail = weir_sequence_tail(s, want); /* may move the tokens */

	if (s->n_offered == 0 || s->offered_at != s->n_tokens)
		return weir_guesser_find(s->guesser, s->tokens, s->n_tokens, want, tail);
	want = MIN(want, s->n_offered);
	memcpy(tail, s->offered, want * sizeof(*tail));
	return want;
}

static uint32_t guess(struct weir_batcher *b, struct weir_sequence *s, double price, uint32_t left)
{
	uint32_t want = MIN(most_guesses(b, s), left);

	want = want ? weir_guesser_worth(s->guesser, price, want) : 0;
	want = want ? look_up(s, want) : 0;
	s->n_offered = 0;
	if (want == 0 || weir_sequence_room(s, b->blocks) < 1 + want ||
	    !weir_sequence_reserve(s, b->blocks, 1 + want))
		return 0;
	s->n_guesses = want;
	s->take = 1 + want;
	s->job->credit -= want;
	b->budget -= want;
	return want;
}

/* Asks the backend for guesses for the step after this one. They take KV memory there, too. */
static void ask(struct weir_batcher *b, struct weir_sequence *s, double price)
{
	uint32_t most = MIN(most_guesses(b, s), b->max_guesses / b->n_rows);

	if (most <= s->n_guesses + 1)
		return;
	most = weir_guesser_worth(s->guesser, price, most - s->n_guesses - 1);
	if (most > 0 && weir_sequence_room(s, b->blocks) >= s->take + most &&
	    weir_sequence_reserve(s, b->blocks, s->take + most))
		s->n_want = most;
}

void weir_batcher_guess(struct weir_batcher *b)
{
	double price = weir_pace_price(&b->pace, b->n_rows), offer = price;
	bool decodes = b->max_tokens - b->budget == b->n_rows;
	uint32_t left = b->max_guesses;

	if (left == 0 || b->n_rows == 0)
		return;
	if (b->asks && b->offer_s > 0)
		offer += b->offer_s / MAX(weir_pace_token(&b->pace, b->n_rows), 1e-9);
	for (guint i = 0; i < b->live->len; i++) {
		struct weir_sequence *s = b->live->pdata[i];

		if (s->take == 0 || !s->samples)
			continue;
		if (!s->guesser)
			s->guesser = weir_guesser_new();
		/* While prompts are computed the step is busy enough. */
		if (decodes && s->n_output > 0 && left > 0)
			left -= guess(b, s, price, left);
		if (b->asks)
			ask(b, s, offer);
	}
}

void weir_batcher_offer(struct weir_batcher *b, const struct weir_batch *batch,
			const struct weir_step *step)
{
	for (uint32_t i = 0; i < batch->n_rows; i++) {
		struct weir_sequence *s = b->row_of[i];

		s->n_offered = MIN(step->n_next[i], s->n_want);
		s->offered_at = s->n_tokens;
		memcpy(s->offered, step->next + (size_t)i * WEIR_MAX_DRAFT,
		       s->n_offered * sizeof(*s->offered));
	}
}

void weir_batcher_timed(struct weir_batcher *b, const struct weir_batch *batch,
			const struct weir_step *step, int64_t ns)
{
	uint32_t n_next = 0;

	for (uint32_t i = 0; i < batch->n_rows; i++)
		n_next += step->n_next[i];
	if (n_next > 0)
		b->offer_s += 0.1 * ((double)step->next_ns / 1e9 / n_next - b->offer_s);
	ns -= (int64_t)MIN(step->next_ns, (uint64_t)MAX(ns, 0));
	for (uint32_t i = 0; i < batch->n_rows; i++)
		if (b->rows[i].count != 1 + b->rows[i].n_draft || !b->rows[i].sampling)
			return;
	weir_pace_observe(&b->pace, batch->n_tokens, (double)ns / 1e9);
}

/* A guess is right if the draw before it says so, whatever the backend has counted. */
static uint32_t count_right(const struct weir_sequence *s, const struct weir_step *step,
			    uint32_t row)
{
	const int32_t *guesses = s->tokens + s->n_tokens;
	uint32_t said = MIN(step->n_right[row], s->n_guesses), n = 0;
	int32_t drawn = step->token[row];

	while (n < said && drawn == guesses[n])
		drawn = step->drawn[(size_t)row * WEIR_MAX_DRAFT + n++];
	return n;
}

void weir_batcher_judge(struct weir_batcher *b, const struct weir_batch *batch,
			const struct weir_step *step)
{
	for (uint32_t i = 0; i < batch->n_rows; i++) {
		struct weir_sequence *s = b->row_of[i];
		uint32_t right;

		if (s->n_guesses == 0)
			continue;
		right = count_right(s, step, i);
		b->n_drafts++;
		b->n_guesses += s->n_guesses;
		b->n_right += right;
		for (uint32_t k = 0; k < right; k++)
			b->n_right_at[k]++;
		weir_guesser_learn(s->guesser, s->n_guesses, right);
		s->take -= s->n_guesses - right;
		s->n_guesses = right;
	}
}

/* --- the batch ----------------------------------------------------------------------------- */

static void add_copy(struct weir_batcher *b, struct weir_batch *batch,
		     const struct weir_sequence *s)
{
	uint32_t n = batch->n_copies++;

	if (batch->n_copies > b->n_copies_cap) {
		b->n_copies_cap = MAX(16u, b->n_copies_cap * 2);
		b->copies = g_renew(uint32_t, b->copies, 2 * (size_t)b->n_copies_cap);
	}
	b->copies[2 * n] = s->copy_from;
	b->copies[2 * n + 1] = s->copy_to;
}

/* What follows each of a row's tokens in the prompt, where that is not known yet. */
static const int32_t *add_targets(struct weir_batcher *b, uint32_t first,
				  const struct weir_sequence *s)
{
	const struct weir_job *job = s->job;

	if (!weir_sequence_scores(s))
		return NULL;
	for (uint32_t k = 0; k < s->take; k++) {
		uint32_t pos = s->n_kv + k;
		bool wanted = pos >= job->n_scored && pos + 1 < job->n_prompt;

		b->targets[first + k] = wanted ? job->prompt[pos + 1] : -1;
	}
	return b->targets + first;
}

static void add_row(struct weir_batcher *b, struct weir_batch *batch, struct weir_sequence *s)
{
	const struct weir_limits *limits = s->job->limits;

	memcpy(b->tokens + batch->n_tokens, s->tokens + s->n_kv, s->take * sizeof(*s->tokens));
	b->row_of[batch->n_rows] = s;
	b->rows[batch->n_rows++] = (struct weir_row){
		.seq = s->number,
		.first = batch->n_tokens,
		.count = s->take,
		.pos = s->n_kv,
		.n_blocks = s->n_blocks,
		.blocks = s->blocks,
		.sampling = s->samples ? s->job->sampling : NULL,
		.history = s->tokens,
		.n_history = s->n_kv + s->take,
		.n_prompt = s->job->n_prompt,
		.seed = s->seed,
		.no_end = limits->ignore_end || s->n_output < limits->min_tokens,
		.n_draft = s->n_guesses,
		.adapter = s->job->adapter,
		.n_want = s->n_want,
		.n_target_top = s->job->sampling->prompt_top_logprobs,
		.targets = add_targets(b, batch->n_tokens, s),
	};
	batch->n_tokens += s->take;
	s->known = true;
}

bool weir_batcher_build(struct weir_batcher *b, struct weir_batch *ret)
{
	*ret = (struct weir_batch){ .size = sizeof(*ret), .row_size = sizeof(struct weir_row) };
	if (b->n_rows == 0)
		return false;
	for (guint i = 0; i < b->live->len; i++) {
		struct weir_sequence *s = b->live->pdata[i];

		if (s->copy_to != WEIR_NO_BLOCK)
			add_copy(b, ret, s);
		if (s->take > 0)
			add_row(b, ret, s);
	}
	ret->tokens = b->tokens;
	ret->rows = b->rows;
	ret->copies = b->copies;
	ret->gone = (const uint64_t *)(void *)b->gone->data;
	ret->n_gone = b->gone->len;
	return true;
}

void weir_batcher_done(struct weir_batcher *b, const struct weir_batch *batch)
{
	for (guint i = 0; i < b->live->len; i++)
		weir_sequence_drop_copy(b->live->pdata[i], b->blocks);
	for (uint32_t i = 0; i < batch->n_rows; i++)
		weir_sequence_advance(b->row_of[i], b->blocks);
	g_array_set_size(b->gone, 0);
}
