/*
 * request.c - fields, sampling and limits of one request; see request.h. No locks: the reference
 * count is the only thing that changes once a backend has the request.
 */
#include "request.h"

#include <math.h>
#include <string.h>
#include <sys/random.h>

#include <glib.h>

struct field {
	char *name;
	char *value;
	size_t len;
};

struct weir_request {
	int refs; /* atomic */
	uint32_t n_fields;
	struct field *fields;
	struct weir_sampling sampling;
	struct weir_limits limits;
};

static const struct weir_sampling default_sampling = {
	.size = sizeof(struct weir_sampling),
	.temperature = 1.0f,
	.top_p = 1.0f,
	.typical_p = 1.0f,
	.repeat_last_n = -1,
	.repetition_penalty = 1.0f,
};

static const struct weir_limits default_limits = {
	.size = sizeof(struct weir_limits),
	.n = 1,
};

static uint64_t draw_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uint64_t)g_get_monotonic_time() * 0x9e3779b97f4a7c15u;
	return seed;
}

static void keep_finite(float *value, float fallback)
{
	if (!isfinite(*value))
		*value = fallback;
}

static void copy_sampling(struct weir_sampling *to, const struct weir_sampling *from)
{
	const struct weir_sampling *d = &default_sampling;

	*to = *d;
	if (from)
		memcpy(to, from, MIN(from->size, sizeof(*to)));
	to->size = sizeof(*to);
	keep_finite(&to->temperature, d->temperature);
	keep_finite(&to->top_p, d->top_p);
	keep_finite(&to->min_p, d->min_p);
	keep_finite(&to->typical_p, d->typical_p);
	keep_finite(&to->repetition_penalty, d->repetition_penalty);
	keep_finite(&to->presence_penalty, d->presence_penalty);
	keep_finite(&to->frequency_penalty, d->frequency_penalty);
	to->top_logprobs = MIN(to->top_logprobs, 20u);
	to->prompt_top_logprobs = MIN(to->prompt_top_logprobs, 20u);
	if (!to->seed_set)
		to->seed = draw_seed();
	if (!to->logit_bias)
		to->n_logit_bias = 0;
	to->n_logit_bias = MIN(to->n_logit_bias, (uint32_t)WEIR_REQUEST_MAX_BIAS);
	if (to->n_logit_bias > 0)
		to->logit_bias = g_memdup2(to->logit_bias,
					   to->n_logit_bias * sizeof(struct weir_logit_bias));
	else
		to->logit_bias = NULL;
}

static void copy_limits(struct weir_limits *to, const struct weir_limits *from)
{
	*to = default_limits;
	if (from)
		memcpy(to, from, MIN(from->size, sizeof(*to)));
	to->size = sizeof(*to);
	to->n = CLAMP(to->n, 1u, (uint32_t)WEIR_REQUEST_MAX_N);
}

weir_request *weir_request_new(const struct weir_kv *fields, size_t n,
			       const struct weir_sampling *sampling,
			       const struct weir_limits *limits)
{
	weir_request *r = g_new0(weir_request, 1);

	r->refs = 1;
	copy_sampling(&r->sampling, sampling);
	copy_limits(&r->limits, limits);
	for (size_t i = 0; i < n; i++) {
		if (!fields[i].key || !fields[i].value)
			continue;
		(void)weir_request_set_field(
			r, fields[i].key,
			(struct weir_str){ fields[i].value, strlen(fields[i].value) });
	}
	return r;
}

weir_request *weir_request_copy(const weir_request *from)
{
	weir_request *r = g_new0(weir_request, 1);

	r->refs = 1;
	r->sampling = from->sampling;
	r->limits = from->limits;
	if (r->sampling.n_logit_bias > 0)
		r->sampling.logit_bias =
			g_memdup2(from->sampling.logit_bias,
				  from->sampling.n_logit_bias * sizeof(struct weir_logit_bias));
	for (uint32_t i = 0; i < from->n_fields; i++)
		(void)weir_request_set_field(
			r, from->fields[i].name,
			(struct weir_str){ from->fields[i].value, from->fields[i].len });
	return r;
}

weir_request *weir_request_ref(weir_request *r)
{
	g_atomic_int_inc(&r->refs);
	return r;
}

void weir_request_unref(weir_request *r)
{
	if (!r || !g_atomic_int_dec_and_test(&r->refs))
		return;
	for (uint32_t i = 0; i < r->n_fields; i++) {
		g_free(r->fields[i].name);
		g_free(r->fields[i].value);
	}
	g_free(r->fields);
	g_free((void *)r->sampling.logit_bias);
	g_free(r);
}

static struct field *find_field(const weir_request *r, const char *name)
{
	for (uint32_t i = 0; name && i < r->n_fields; i++)
		if (strcmp(r->fields[i].name, name) == 0)
			return &r->fields[i];
	return NULL;
}

struct weir_str weir_request_field(const weir_request *r, const char *name)
{
	const struct field *f = find_field(r, name);

	return f ? (struct weir_str){ f->value, f->len } : (struct weir_str){ NULL, 0 };
}

bool weir_request_is(const weir_request *r, const char *name, const char *value)
{
	const struct field *f = find_field(r, name);

	return f && f->len == strlen(value) && memcmp(f->value, value, f->len) == 0;
}

weir_status weir_request_set_field(weir_request *r, const char *name, struct weir_str value)
{
	struct field *f = find_field(r, name);
	char *copy;

	if (!name || !*name)
		return WEIR_E_INVALID;
	if (!value.data) {
		if (value.len > 0)
			return WEIR_E_INVALID;
		if (f) {
			g_free(f->name);
			g_free(f->value);
			*f = r->fields[--r->n_fields];
		}
		return WEIR_OK;
	}
	if (!f && r->n_fields >= WEIR_REQUEST_MAX_FIELDS)
		return WEIR_E_INVALID;
	/* NUL behind the text: some readers (JSON parsers, logs) want a C string. The copy comes
	 * first: value may be a part of the old one. */
	copy = g_malloc(value.len + 1);
	memcpy(copy, value.data, value.len);
	copy[value.len] = '\0';
	if (!f) {
		if ((r->n_fields & (r->n_fields - 1)) == 0)
			r->fields = g_renew(struct field, r->fields, MAX(8u, r->n_fields * 2));
		f = &r->fields[r->n_fields++];
		f->name = g_strdup(name);
		f->value = NULL;
	}
	g_free(f->value);
	f->value = copy;
	f->len = value.len;
	return WEIR_OK;
}

const struct weir_sampling *weir_request_sampling(const weir_request *r)
{
	return &r->sampling;
}

const struct weir_limits *weir_request_limits(const weir_request *r)
{
	return &r->limits;
}

static void each_field(const weir_request *r,
		       void (*fn)(void *data, const char *name, struct weir_str value), void *data)
{
	for (uint32_t i = 0; i < r->n_fields; i++)
		fn(data, r->fields[i].name,
		   (struct weir_str){ r->fields[i].value, r->fields[i].len });
}

const struct weir_request_api weir_request_extension = {
	.size = sizeof(struct weir_request_api),
	.ref = weir_request_ref,
	.unref = weir_request_unref,
	.field = weir_request_field,
	.set_field = weir_request_set_field,
	.sampling = weir_request_sampling,
	.limits = weir_request_limits,
	.each = each_field,
};
