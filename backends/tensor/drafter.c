/*
 * drafter.c - guesses by a second model; see drafter.h. Runs on the step thread.
 */
#include "drafter.h"
#include "fail.h"
#include "graph.h"
#include "sampler.h"
#include "weights.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How far a sequence has been computed: its tokens at positions 0 .. n - 1. Those from n on wait,
 * at most until a block is full: while guesses do not pay, a block's tokens are computed at one go.
 * Sorted by seq. */
struct place {
	uint64_t seq;
	uint32_t n, n_waiting;
	int32_t *waiting; /* [block_tokens]; NULL until some wait */
};

/* A row that makes guesses: its last token is at position pos. */
struct active {
	uint32_t row, pos, n, out;
	int32_t token;
};

struct weir_drafter {
	struct weir_drafter_config c;
	struct weir_gguf *gguf; /* while it loads */
	struct weir_hparams hparams;
	struct weir_weights *weights;
	struct weir_cache *cache;
	struct weir_cache_plan plan;
	weir_program *program;
	uint32_t logits;
	struct weir_sampler *sampler;
	struct place *places;
	size_t n_places, cap_places;
	bool failed;
	/* One run's arrays, as weir_device_batch has them. */
	uint32_t max_tokens, stride, n_tokens, n_rows, n_out;
	int32_t *token, *pos, *row;
	uint32_t *slot, *first, *kv_len, *blocks, *out_row;
	struct active *active;
	uint32_t n_active;
};

static const struct weir_row *row_at(const struct weir_batch *b, uint32_t i)
{
	return (const struct weir_row *)((const char *)b->rows + (size_t)i * b->row_size);
}

/* --- life ---------------------------------------------------------------------------------- */

static weir_status same_vocabulary(const struct weir_drafter *d, struct weir_error *err)
{
	static const char key[] = "tokenizer.ggml.tokens";
	struct weir_gguf_array a = { 0 }, b = { 0 };
	struct weir_error none;
	bool has_a = weir_gguf_get_array(d->c.model, key, WEIR_GGUF_ARRAY_OF_STRINGS, &a, &none) ==
		     WEIR_OK;
	bool has_b =
		weir_gguf_get_array(d->gguf, key, WEIR_GGUF_ARRAY_OF_STRINGS, &b, &none) == WEIR_OK;

	if (d->hparams.n_vocab != d->c.n_vocab || has_a != has_b || a.n != b.n)
		return weir_fail(
			err, WEIR_E_INVALID,
			"a draft model must have the model's vocabulary: it has %u tokens, "
			"the model %u",
			d->hparams.n_vocab, d->c.n_vocab);
	for (uint64_t i = 0; i < a.n; i++) {
		struct weir_str x = weir_gguf_array_string(&a, i);
		struct weir_str y = weir_gguf_array_string(&b, i);

		if (x.len != y.len || (x.len > 0 && memcmp(x.data, y.data, x.len) != 0))
			return weir_fail(
				err, WEIR_E_INVALID,
				"a draft model must have the model's vocabulary: token %llu "
				"differs",
				(unsigned long long)i);
	}
	return WEIR_OK;
}

static weir_status make_cache(struct weir_drafter *d, struct weir_error *err)
{
	struct weir_cache_wish wish = { .n_ctx = d->c.plan.n_ctx,
					.max_sequences = 1,
					.block_tokens = d->c.plan.block_tokens,
					.type = d->c.plan.type };
	weir_status s = weir_cache_plan(&d->hparams, &wish, &d->plan, err);

	if (s != WEIR_OK)
		return s;
	if (d->hparams.n_ctx < d->c.plan.n_ctx)
		return weir_fail(
			err, WEIR_E_INVALID,
			"the draft model was trained for %u tokens, the context is %u: lower "
			"context",
			d->hparams.n_ctx, d->c.plan.n_ctx);
	d->plan.n_blocks = d->c.plan.n_blocks;
	d->plan.bytes = d->plan.block_bytes * d->plan.n_blocks;
	return weir_cache_new(&d->plan, &d->hparams, d->c.device, d->c.instance, &d->cache, err);
}

/* A step's tokens, what waited before those of one row, and the draw of each row behind them. */
static uint32_t most_tokens(const struct weir_drafter_config *c)
{
	return c->max_tokens + c->plan.block_tokens + c->max_rows;
}

static weir_status make_arrays(struct weir_drafter *d, struct weir_error *err)
{
	size_t rows = d->c.max_rows;

	d->max_tokens = most_tokens(&d->c);
	d->stride = (d->plan.n_ctx + d->plan.block_tokens - 1) / d->plan.block_tokens;
	d->token = calloc(d->max_tokens, sizeof(*d->token));
	d->pos = calloc(d->max_tokens, sizeof(*d->pos));
	d->row = calloc(d->max_tokens, sizeof(*d->row));
	d->slot = calloc(d->max_tokens, sizeof(*d->slot));
	d->first = calloc(rows + 1, sizeof(*d->first));
	d->kv_len = calloc(rows, sizeof(*d->kv_len));
	d->blocks = calloc(rows, sizeof(*d->blocks) * d->stride);
	d->out_row = calloc(rows, sizeof(*d->out_row));
	d->active = calloc(rows, sizeof(*d->active));
	if (!d->token || !d->pos || !d->row || !d->slot || !d->first || !d->kv_len || !d->blocks ||
	    !d->out_row || !d->active)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the draft model's arrays");
	return weir_sampler_new(d->c.n_vocab, &d->sampler, err);
}

weir_status weir_drafter_new(const struct weir_drafter_config *config, struct weir_drafter **ret,
			     struct weir_error *err)
{
	struct weir_drafter *d = calloc(1, sizeof(*d));
	struct weir_graph_limits limits;
	weir_status s;

	if (!d)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the draft model");
	d->c = *config;
	limits = (struct weir_graph_limits){ .max_tokens = most_tokens(config),
					     .max_rows = config->max_rows,
					     .max_out = config->max_rows,
					     .n_ctx = config->plan.n_ctx };
	weir_host_logf(config->log, WEIR_LOG_INFO, "the draft model is read from %s", config->path);
	if ((s = weir_gguf_open(config->path, &d->gguf, err)) ||
	    (s = weir_hparams_read(d->gguf, &d->hparams, err)) || (s = same_vocabulary(d, err)) ||
	    (s = weir_weights_load(d->gguf, &d->hparams, config->device, config->instance,
				   config->log, &d->weights, err)) ||
	    (s = make_cache(d, err)) ||
	    (s = weir_graph_build(&d->hparams, d->weights, d->cache, NULL, &limits, &d->program,
				  &d->logits, err)) ||
	    (s = make_arrays(d, err))) {
		const char *name = d->gguf ? weir_gguf_path(d->gguf) : NULL;

		if (err && name && strncmp(err->text, name, strlen(name)) != 0)
			weir_fail_prefix(err, name);
		weir_drafter_free(d);
		return s;
	}
	weir_gguf_close(d->gguf);
	d->gguf = NULL;
	d->c.model = NULL;
	*ret = d;
	return WEIR_OK;
}

void weir_drafter_free(struct weir_drafter *d)
{
	if (!d)
		return;
	weir_sampler_free(d->sampler);
	if (d->program)
		d->c.device->program_free(d->c.instance, d->program);
	weir_cache_free(d->cache);
	weir_weights_free(d->weights);
	weir_gguf_close(d->gguf);
	for (size_t i = 0; i < d->n_places; i++)
		free(d->places[i].waiting);
	free(d->places);
	free(d->token);
	free(d->pos);
	free(d->row);
	free(d->slot);
	free(d->first);
	free(d->kv_len);
	free(d->blocks);
	free(d->out_row);
	free(d->active);
	free(d);
}

uint64_t weir_drafter_bytes(const struct weir_drafter *d)
{
	return d->weights->n_bytes + d->plan.bytes;
}

/* --- how far each sequence is -------------------------------------------------------------- */

static size_t place_at(const struct weir_drafter *d, uint64_t seq)
{
	size_t lo = 0, hi = d->n_places;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->places[mid].seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void forget(struct weir_drafter *d, uint64_t seq)
{
	size_t at = place_at(d, seq);

	if (at == d->n_places || d->places[at].seq != seq)
		return;
	free(d->places[at].waiting);
	memmove(&d->places[at], &d->places[at + 1], (--d->n_places - at) * sizeof(*d->places));
}

static struct place *place_of(struct weir_drafter *d, uint64_t seq, uint32_t n)
{
	size_t at = place_at(d, seq);

	if (at < d->n_places && d->places[at].seq == seq)
		return &d->places[at];
	if (d->n_places == d->cap_places) {
		size_t cap = d->cap_places ? 2 * d->cap_places : 64;
		struct place *more = realloc(d->places, cap * sizeof(*more));

		if (!more)
			return NULL;
		d->places = more;
		d->cap_places = cap;
	}
	memmove(&d->places[at + 1], &d->places[at], (d->n_places++ - at) * sizeof(*d->places));
	d->places[at] = (struct place){ .seq = seq, .n = n };
	return &d->places[at];
}

/* --- runs ---------------------------------------------------------------------------------- */

static void begin_run(struct weir_drafter *d)
{
	d->n_tokens = d->n_rows = d->n_out = 0;
}

static void begin_row(struct weir_drafter *d, const struct weir_row *r)
{
	uint32_t n = r->n_blocks < d->stride ? r->n_blocks : d->stride;

	memcpy(d->blocks + (size_t)d->n_rows * d->stride, r->blocks, n * sizeof(*r->blocks));
	d->first[d->n_rows] = d->n_tokens;
}

static void add_token(struct weir_drafter *d, const struct weir_row *r, int32_t token, uint32_t pos)
{
	uint32_t bt = d->plan.block_tokens, at = d->n_tokens++;

	d->token[at] = token;
	d->pos[at] = (int32_t)pos;
	d->row[at] = (int32_t)d->n_rows;
	d->slot[at] = r->blocks[pos / bt] * bt + pos % bt;
	d->kv_len[d->n_rows] = pos + 1;
}

static void end_row(struct weir_drafter *d, bool wants_output)
{
	if (d->n_tokens == d->first[d->n_rows])
		return;
	if (wants_output)
		d->out_row[d->n_out++] = d->n_tokens - 1;
	d->first[++d->n_rows] = d->n_tokens;
}

static weir_status run(struct weir_drafter *d, const struct weir_batch *copies,
		       struct weir_error *err)
{
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_tokens = d->n_tokens,
					   .n_rows = d->n_rows,
					   .n_out = d->n_out,
					   .n_copies = copies ? copies->n_copies : 0,
					   .block_stride = d->stride,
					   .token = d->token,
					   .pos = d->pos,
					   .row = d->row,
					   .slot = d->slot,
					   .first = d->first,
					   .kv_len = d->kv_len,
					   .blocks = d->blocks,
					   .out_row = d->out_row,
					   .copies = copies ? copies->copies : NULL };
	weir_status s;

	if (batch.n_tokens == 0 && batch.n_copies == 0)
		return WEIR_OK;
	s = d->c.device->run(d->c.instance, d->program, &batch, err);
	return s < 0 ? s : d->c.device->wait(d->c.instance, d->program, err);
}

/* Can position pos be written for this row? */
static bool has_room(const struct weir_drafter *d, const struct weir_row *r, uint32_t pos)
{
	return pos < d->plan.n_ctx && (uint64_t)pos < (uint64_t)r->n_blocks * d->plan.block_tokens;
}

/* The token at position pos, of those that are certain of row i. */
static int32_t token_at(const struct weir_batch *b, const struct weir_row *r, const struct place *p,
			uint32_t pos)
{
	return pos < r->pos ? p->waiting[pos - p->n] : b->tokens[r->first + (pos - r->pos)];
}

/* Tokens up to `end` of a row that makes no guess: true if they wait. */
static bool wait(struct weir_drafter *d, const struct weir_batch *b, const struct weir_row *r,
		 struct place *p, uint32_t end)
{
	uint32_t bt = d->plan.block_tokens;

	if (r->count != 1 + r->n_draft || end < p->n || end / bt != p->n / bt)
		return false;
	if (!p->waiting && !(p->waiting = calloc(bt, sizeof(*p->waiting))))
		return false;
	for (uint32_t pos = p->n + p->n_waiting; pos < end; pos++)
		p->waiting[p->n_waiting++] = token_at(b, r, p, pos);
	return true;
}

/* What is certain of row i and not computed yet, and its last draw if guesses are wanted: of the
 * rows that do, or of the others, of which a run may be full before. copies: NULL once done. */
static weir_status catch_up(struct weir_drafter *d, const struct weir_batch *b,
			    const struct weir_step *ret, uint32_t i, bool wanting,
			    const struct weir_batch **copies, struct weir_error *err)
{
	const struct weir_row *r = row_at(b, i);
	uint32_t right = r->n_draft > 0 ? ret->n_right[i] : 0;
	uint32_t end = r->pos + r->count - r->n_draft + right;
	bool wants = r->n_want > 0 && r->sampling && ret->token[i] >= 0 && has_room(d, r, end);
	struct place *p;
	uint32_t from;

	if (wants != wanting)
		return WEIR_OK;
	p = place_of(d, r->seq, r->pos);
	if (!p)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	/* As a sequence that was begun again has it; then what waits is what is before the row. */
	if (p->n_waiting > 0 && p->n + p->n_waiting > r->pos)
		p->n_waiting = r->pos > p->n ? r->pos - p->n : 0;
	if (p->n + p->n_waiting < r->pos)
		*p = (struct place){ .seq = p->seq, .n = r->pos, .waiting = p->waiting };
	if (!wants && wait(d, b, r, p, end))
		return WEIR_OK;
	from = p->n < end ? p->n : end; /* behind `end` there are guesses that were wrong */
	if (end - from + wants > d->max_tokens - d->n_tokens) {
		if (!wants) {
			weir_status s = run(d, *copies, err);

			if (s != WEIR_OK)
				return s;
			*copies = NULL;
			begin_run(d);
		} else { /* these are lost to the guesses after them */
			p->n = end;
			p->n_waiting = 0;
			return WEIR_OK;
		}
	}
	begin_row(d, r);
	for (uint32_t pos = from; pos < end; pos++)
		add_token(d, r, token_at(b, r, p, pos), pos);
	if (wants) {
		int32_t last = right > 0 ? ret->drawn[(size_t)i * WEIR_MAX_DRAFT + right - 1]
					 : ret->token[i];

		add_token(d, r, last, end);
		d->active[d->n_active++] = (struct active){ .row = i, .pos = end, .out = d->n_out };
	}
	end_row(d, wants);
	p->n = end + wants;
	p->n_waiting = 0;
	return WEIR_OK;
}

/* The draft's draw of row a->row for position a->pos + 1; -1: none. */
static int32_t draw(struct weir_drafter *d, const struct weir_row *r, const struct active *a,
		    const float *logits)
{
	struct weir_sampling sampling = *r->sampling;
	struct weir_draw wish = { .logits = logits + (size_t)a->out * d->c.n_vocab,
				  .sampling = &sampling,
				  .n_history = a->pos + 1,
				  .n_prompt = a->pos + 1,
				  .seed = r->seed,
				  .end_tokens = d->c.end_tokens,
				  .n_end = r->no_end ? d->c.n_end : 0 };
	struct weir_drawn drawn;
	struct weir_error err;

	/* Without the penalties: the history is not at hand, and a guess need not be perfect. */
	sampling.repeat_last_n = 0;
	sampling.repetition_penalty = 1;
	sampling.presence_penalty = sampling.frequency_penalty = 0;
	sampling.logprobs = sampling.top_logprobs = 0;
	return weir_sampler_draw(d->sampler, &wish, &drawn, &err) == WEIR_OK ? drawn.token : -1;
}

static bool is_end(const struct weir_drafter *d, int32_t token)
{
	for (uint32_t i = 0; i < d->c.n_end; i++)
		if (d->c.end_tokens[i] == token)
			return true;
	return false;
}

/* One more guess for each active row; those that go on are the input of the next run. */
static weir_status guess(struct weir_drafter *d, const struct weir_batch *b, struct weir_step *ret,
			 struct weir_error *err)
{
	const float *logits = d->c.device->output(d->c.instance, d->program, d->logits);
	uint32_t n_active = d->n_active;

	if (!logits)
		return weir_fail(err, WEIR_E_INTERNAL, "the device returned no logits");
	d->n_active = 0;
	begin_run(d);
	for (uint32_t i = 0; i < n_active; i++) {
		struct active a = d->active[i];
		const struct weir_row *r = row_at(b, a.row);

		a.token = draw(d, r, &a, logits);
		if (a.token < 0)
			continue;
		ret->next[(size_t)a.row * WEIR_MAX_DRAFT + a.n++] = a.token;
		ret->n_next[a.row] = a.n;
		a.pos++;
		if (a.n == r->n_want || a.n == WEIR_MAX_DRAFT || is_end(d, a.token) ||
		    !has_room(d, r, a.pos))
			continue;
		begin_row(d, r);
		add_token(d, r, a.token, a.pos);
		a.out = d->n_out;
		end_row(d, true);
		place_of(d, r->seq, a.pos)->n = a.pos + 1;
		d->active[d->n_active++] = a;
	}
	return d->n_active > 0 ? run(d, NULL, err) : WEIR_OK;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static weir_status all(struct weir_drafter *d, const struct weir_batch *b, struct weir_step *ret,
		       struct weir_error *err)
{
	const struct weir_batch *copies = b;
	weir_status s = WEIR_OK;

	d->n_active = 0;
	begin_run(d);
	for (uint32_t i = 0; i < b->n_gone; i++)
		forget(d, b->gone[i]);
	for (uint32_t i = 0; i < b->n_rows && s == WEIR_OK; i++)
		s = catch_up(d, b, ret, i, false, &copies, err);
	for (uint32_t i = 0; i < b->n_rows && s == WEIR_OK; i++)
		s = catch_up(d, b, ret, i, true, &copies, err);
	if (s == WEIR_OK)
		s = run(d, copies, err);
	while (s == WEIR_OK && d->n_active > 0)
		s = guess(d, b, ret, err);
	return s;
}

void weir_drafter_run(struct weir_drafter *d, const struct weir_batch *b, struct weir_step *ret)
{
	uint64_t began = now_ns();
	struct weir_error err;
	weir_status s;

	if (d->failed || !WEIR_HAS(struct weir_step, ret, n_next) ||
	    !WEIR_HAS(struct weir_step, ret, next) || !WEIR_HAS(struct weir_step, ret, token))
		return;
	s = all(d, b, ret, &err);
	ret->next_ns = now_ns() - began;
	if (s >= 0)
		return;
	for (uint32_t i = 0; i < b->n_rows; i++)
		ret->n_next[i] = 0;
	/* What was computed is no longer known: never again, or wrong guesses would be made. */
	d->failed = true;
	if (s != WEIR_E_CANCELLED)
		weir_host_logf(d->c.log, WEIR_LOG_WARNING,
			       "the draft model failed (%s): answers go on without its guesses",
			       err.text);
}
