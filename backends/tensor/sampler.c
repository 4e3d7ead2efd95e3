/*
 * sampler.c - draws one token from one row of logits; see sampler.h. One thread per struct.
 */
#include "sampler.h"
#include "fail.h"
#include "philox.h"
#include "select.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tokens whose probability is below e^-60 of the largest one's lie beneath the resolution of the
 * draw, even all together. */
#define NEGLIGIBLE -60.0f

#define MAX_TOP 20

/* Loops over a whole vocabulary go by this many at once, which a compiler makes vectors of. */
#define LANES 16

struct weir_sampler {
	uint32_t n_vocab;
	float *logit;    /* [n_vocab] the row, as it is being changed */
	uint32_t *count; /* [n_vocab] all zero between draws */
	uint8_t *mark;   /* [n_vocab] all zero between draws */
	/* Candidates, ascending by id. */
	size_t n;
	int32_t *id;
	float *x;   /* logit over temperature, the largest of all being 0 */
	double *p;  /* e^x */
	double sum; /* of p */
	struct weir_ranked *ranked;
};

weir_status weir_sampler_new(uint32_t n_vocab, struct weir_sampler **ret, struct weir_error *err)
{
	struct weir_sampler *s = calloc(1, sizeof(*s));

	if (!s)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for sampling");
	s->n_vocab = n_vocab;
	s->logit = calloc(n_vocab, sizeof(*s->logit));
	s->count = calloc(n_vocab, sizeof(*s->count));
	s->mark = calloc(n_vocab, sizeof(*s->mark));
	s->id = calloc(n_vocab, sizeof(*s->id));
	s->x = calloc(n_vocab, sizeof(*s->x));
	s->p = calloc(n_vocab, sizeof(*s->p));
	s->ranked = calloc(n_vocab, sizeof(*s->ranked));
	if (!s->logit || !s->count || !s->mark || !s->id || !s->x || !s->p || !s->ranked) {
		weir_sampler_free(s);
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for sampling");
	}
	*ret = s;
	return WEIR_OK;
}

void weir_sampler_free(struct weir_sampler *s)
{
	if (!s)
		return;
	free(s->logit);
	free(s->count);
	free(s->mark);
	free(s->id);
	free(s->x);
	free(s->p);
	free(s->ranked);
	free(s);
}

static bool known(const struct weir_sampler *s, int32_t token)
{
	return token >= 0 && (uint32_t)token < s->n_vocab;
}

static weir_status copy_logits(struct weir_sampler *s, const float *logits, struct weir_error *err)
{
	uint32_t n = s->n_vocab, whole = n - n % LANES;
	uint32_t good[LANES];
	bool bad = false;

	memset(good, 0xff, sizeof(good));
	memcpy(s->logit, logits, n * sizeof(*logits));
	for (uint32_t i = 0; i < whole; i += LANES) {
		for (uint32_t k = 0; k < LANES; k++)
			good[k] &= logits[i + k] <= FLT_MAX ? UINT32_MAX : 0;
	}
	for (uint32_t k = 0; k < LANES; k++)
		bad |= !good[k];
	for (uint32_t i = whole; i < n; i++)
		bad |= !(logits[i] <= FLT_MAX);
	for (uint32_t i = 0; bad && i < n; i++) {
		if (!(logits[i] <= FLT_MAX))
			return weir_fail(err, WEIR_E_INTERNAL,
					 "sampling: the logit of token %u is %s: the model's "
					 "arithmetic failed",
					 i, isnan(logits[i]) ? "not a number" : "infinite");
	}
	return WEIR_OK;
}

static void apply_mask(struct weir_sampler *s, const struct weir_draw *d)
{
	for (uint32_t i = 0; d->mask && i < s->n_vocab; i++) {
		if (!(d->mask[i / 32] >> (i % 32) & 1))
			s->logit[i] = -INFINITY;
	}
	for (uint32_t i = 0; i < d->n_end; i++) {
		if (known(s, d->end_tokens[i]))
			s->logit[d->end_tokens[i]] = -INFINITY;
	}
}

static uint32_t window_start(const struct weir_draw *d)
{
	int32_t last_n = d->sampling->repeat_last_n;

	if (last_n < 0 || (uint32_t)last_n >= d->n_history)
		return 0;
	return d->n_history - (uint32_t)last_n;
}

static float clamped(float x, float min, float max)
{
	return x < min ? min : x > max ? max : x;
}

static void repetition(struct weir_sampler *s, const struct weir_draw *d, uint32_t start)
{
	float p = d->sampling->repetition_penalty;

	if (!(p > 0) || p == 1)
		return;
	p = clamped(p, 1e-3f, 1e3f);
	for (uint32_t i = start; i < d->n_history; i++) {
		int32_t t = d->history[i];

		if (!known(s, t) || s->mark[t])
			continue;
		s->mark[t] = 1;
		s->logit[t] = s->logit[t] > 0 ? s->logit[t] / p : s->logit[t] * p;
	}
	for (uint32_t i = start; i < d->n_history; i++) {
		if (known(s, d->history[i]))
			s->mark[d->history[i]] = 0;
	}
}

static void presence_frequency(struct weir_sampler *s, const struct weir_draw *d, uint32_t start)
{
	float presence = d->sampling->presence_penalty, frequency = d->sampling->frequency_penalty;

	presence = isfinite(presence) ? clamped(presence, -100, 100) : 0;
	frequency = isfinite(frequency) ? clamped(frequency, -100, 100) : 0;
	if (presence == 0 && frequency == 0)
		return;
	if (start < d->n_prompt)
		start = d->n_prompt;
	for (uint32_t i = start; i < d->n_history; i++) {
		if (known(s, d->history[i]))
			s->count[d->history[i]]++;
	}
	for (uint32_t i = start; i < d->n_history; i++) {
		int32_t t = d->history[i];

		if (!known(s, t) || s->count[t] == 0)
			continue;
		s->logit[t] -= presence + frequency * (float)s->count[t];
		s->count[t] = 0;
	}
}

static void apply_bias(struct weir_sampler *s, const struct weir_sampling *sampling)
{
	bool forced = false;

	for (uint32_t i = 0; sampling->logit_bias && i < sampling->n_logit_bias; i++) {
		struct weir_logit_bias b = sampling->logit_bias[i];

		if (!known(s, b.token) || isnan(b.bias))
			continue;
		if (b.bias <= -100)
			s->logit[b.token] = -INFINITY;
		else if (b.bias < 100)
			s->logit[b.token] += b.bias;
		else
			s->mark[b.token] = 1;
		forced |= b.bias >= 100;
	}
	if (!forced)
		return;
	for (uint32_t i = 0; i < s->n_vocab; i++) {
		if (!s->mark[i])
			s->logit[i] = -INFINITY;
		s->mark[i] = 0;
	}
}

static float maximum(const float *x, uint32_t n)
{
	uint32_t whole = n - n % LANES;
	float lane[LANES], max = -INFINITY;

	for (uint32_t k = 0; k < LANES; k++)
		lane[k] = -INFINITY;
	for (uint32_t i = 0; i < whole; i += LANES) {
		for (uint32_t k = 0; k < LANES; k++)
			lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
	}
	for (uint32_t k = 0; k < LANES; k++)
		max = lane[k] > max ? lane[k] : max;
	for (uint32_t i = whole; i < n; i++)
		max = x[i] > max ? x[i] : max;
	return max;
}

/* The lowest id of the largest logit; -1 when all are banned. */
static int32_t most_likely(const float *logit, uint32_t n)
{
	float max = maximum(logit, n);

	for (uint32_t i = 0; max > -INFINITY && i < n; i++) {
		if (logit[i] == max)
			return (int32_t)i;
	}
	return -1;
}

/* Keeps the candidates whose index is the id of one of ranked[0..n). */
static void keep_ranked(struct weir_sampler *s, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++)
		s->mark[s->ranked[i].id] = 1;
	s->sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (!s->mark[i])
			continue;
		s->mark[i] = 0;
		s->id[to] = s->id[i];
		s->x[to] = s->x[i];
		s->p[to] = s->p[i];
		s->sum += s->p[to++];
	}
	s->n = to;
}

/* Meister et al. 2023: nearest to the expected information first. */
static void typical_p(struct weir_sampler *s, float p)
{
	double log_sum = log(s->sum), entropy = log_sum;

	if (!(p < 1))
		return;
	for (size_t i = 0; i < s->n; i++)
		entropy -= s->p[i] * (double)s->x[i] / s->sum;
	for (size_t i = 0; i < s->n; i++) {
		double far = fabs(log_sum - (double)s->x[i] - entropy);

		s->ranked[i] = (struct weir_ranked){ .key = (float)-far,
						     .id = (int32_t)i,
						     .weight = s->p[i] };
	}
	keep_ranked(s, weir_select_head(s->ranked, s->n, (double)p * s->sum));
}

/* Holtzman et al. 2020. All candidates below (1 - p) / n together cannot reach 1 - p: they lie
 * outside of the nucleus and need not be ranked. */
static void top_p(struct weir_sampler *s, float p)
{
	double least = (1.0 - (double)p) / (double)s->n * s->sum;
	size_t n = 0;

	if (!(p < 1))
		return;
	for (size_t i = 0; i < s->n; i++) {
		if (s->p[i] < least && s->x[i] < 0)
			continue;
		s->ranked[n++] =
			(struct weir_ranked){ .key = s->x[i], .id = (int32_t)i, .weight = s->p[i] };
	}
	if (n > 0)
		keep_ranked(s, weir_select_head(s->ranked, n, (double)p * s->sum));
}

static void min_p(struct weir_sampler *s, float p)
{
	double max = 0;
	size_t n = 0;

	if (!(p > 0))
		return;
	for (size_t i = 0; i < s->n; i++)
		max = s->p[i] > max ? s->p[i] : max;
	for (size_t i = 0; i < s->n; i++) {
		if (s->p[i] >= max * (double)clamped(p, 0, 1))
			s->ranked[n++].id = (int32_t)i;
	}
	keep_ranked(s, n);
}

/* Bans all but the k largest logits; dividing by a temperature would not change which. */
static void top_k(struct weir_sampler *s, uint32_t k)
{
	size_t n;

	if (k == 0 || k >= s->n_vocab)
		return;
	n = weir_select_top(s->logit, s->n_vocab, k, s->ranked);
	for (size_t i = 0; i < n; i++)
		s->mark[s->ranked[i].id] = 1;
	for (uint32_t i = 0; i < s->n_vocab; i++) {
		if (!s->mark[i])
			s->logit[i] = -INFINITY;
		s->mark[i] = 0;
	}
}

static void list_candidates(struct weir_sampler *s, float max, float temperature)
{
	float least = max + NEGLIGIBLE * temperature;

	s->n = 0;
	s->sum = 0;
	for (uint32_t i = 0; i < s->n_vocab; i++) {
		float x;

		if (!(s->logit[i] >= least))
			continue;
		x = (fminf(s->logit[i], FLT_MAX) - max) / temperature;
		if (!(x >= NEGLIGIBLE))
			continue;
		s->id[s->n] = (int32_t)i;
		s->x[s->n] = x;
		s->p[s->n] = (double)expf(x);
		s->sum += s->p[s->n++];
	}
}

static int32_t draw(struct weir_sampler *s, int32_t best, const struct weir_draw *d)
{
	const struct weir_sampling *sampling = d->sampling;
	double target, sum = 0;

	top_k(s, sampling->top_k);
	list_candidates(s, fminf(s->logit[best], FLT_MAX), sampling->temperature);
	typical_p(s, sampling->typical_p);
	top_p(s, sampling->top_p);
	min_p(s, sampling->min_p);
	target = weir_philox_uniform(d->seed, d->n_history) * s->sum;
	for (size_t i = 0; i < s->n; i++) {
		sum += s->p[i];
		if (sum > target)
			return s->id[i];
	}
	return s->n > 0 ? s->id[s->n - 1] : best;
}

/* log(sum of e^logit) */
static double log_sum_of(const float *logits, uint32_t n)
{
	float max = maximum(logits, n);
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (double)expf(logits[i] - max);
	return (double)max + log(sum);
}

/* The most likely tokens in order, -1 behind the last. */
static void list_top(const float *logits, uint32_t n_vocab, uint32_t n_top, double log_sum,
		     struct weir_top *ret)
{
	struct weir_ranked top[MAX_TOP];

	n_top = n_top < MAX_TOP ? n_top : MAX_TOP;
	n_top = (uint32_t)weir_select_top(logits, n_vocab, n_top, top);
	for (uint32_t i = 0; i < n_top; i++) {
		uint32_t at = i;

		for (uint32_t k = i + 1; k < n_top; k++)
			at = weir_ranked_before(&top[k], &top[at]) ? k : at;
		ret->token[i] = top[at].id;
		ret->logprob[i] = (float)((double)top[at].key - log_sum);
		top[at] = top[i];
	}
	for (uint32_t i = n_top; i < MAX_TOP; i++)
		ret->token[i] = -1;
}

/* Alternatives and the chosen token's probability, as the model saw them. */
static void report(struct weir_sampler *s, const struct weir_draw *d, struct weir_drawn *ret)
{
	double log_sum = log_sum_of(d->logits, s->n_vocab);

	ret->logprob = (float)((double)d->logits[ret->token] - log_sum);
	list_top(d->logits, s->n_vocab, d->sampling->top_logprobs, log_sum, &ret->top);
}

void weir_sampler_score(const float *logits, uint32_t n_vocab, int32_t token, uint32_t n_top,
			struct weir_score *ret, struct weir_top *ret_top)
{
	double log_sum = log_sum_of(logits, n_vocab);
	float logit = logits[token];
	uint32_t rank = 0;

	for (uint32_t i = 0; i < n_vocab; i++)
		rank += logits[i] >= logit;
	*ret = (struct weir_score){ (float)((double)logit - log_sum), rank };
	if (n_top > 0)
		list_top(logits, n_vocab, isnan(ret->logprob) ? 0 : n_top, log_sum, ret_top);
}

/* Steps 1 to 3. Returns the most likely token of what they leave, or -1. */
static int32_t shape(struct weir_sampler *s, const struct weir_draw *d, bool biased)
{
	uint32_t start = window_start(d);

	apply_mask(s, d);
	repetition(s, d, start);
	presence_frequency(s, d, start);
	if (biased)
		apply_bias(s, d->sampling);
	return most_likely(s->logit, s->n_vocab);
}

weir_status weir_sampler_draw(struct weir_sampler *s, const struct weir_draw *d,
			      struct weir_drawn *ret, struct weir_error *err)
{
	const struct weir_sampling *sampling = d->sampling;
	struct weir_drawn drawn = { .logprob = NAN };
	weir_status status = copy_logits(s, d->logits, err);

	if (status != WEIR_OK)
		return status;
	drawn.token = shape(s, d, true);
	if (drawn.token < 0 && d->mask && copy_logits(s, d->logits, err) == WEIR_OK)
		drawn.token = shape(s, d, false);
	if (drawn.token < 0 && maximum(d->logits, s->n_vocab) == -INFINITY)
		return weir_fail(err, WEIR_E_INTERNAL,
				 "sampling: the logits of all tokens are minus infinity: the "
				 "model's arithmetic failed");
	if (drawn.token < 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "sampling: no token is allowed: the mask, logit_bias and "
				 "min_tokens together ban all %u",
				 s->n_vocab);
	if (sampling->temperature > 0)
		drawn.token = draw(s, drawn.token, d);
	for (int i = 0; i < MAX_TOP; i++)
		drawn.top.token[i] = -1;
	if (sampling->logprobs || sampling->top_logprobs)
		report(s, d, &drawn);
	*ret = drawn;
	return WEIR_OK;
}
