/*
 * frontends/api/embed.c - the answer of /v1/embeddings. See format.h.
 *
 * Vectors may come in any order; the i-th input's is number i in `data`. `dimensions` cuts a vector
 * and makes it unit length again, as models trained for it want it (Kusupati et al. 2022).
 */
#include <math.h>
#include <string.h>

#include "format.h"
#include "json-write.h"

struct vectors {
	uint32_t n;  /* inputs */
	GBytes **of; /* floats, in host order; NULL: not come yet */
};

static void init(struct api_call *k)
{
	struct vectors *v = g_new0(struct vectors, 1);
	v->n = k->body->n_inputs;
	v->of = g_new0(GBytes *, MAX(v->n, 1));
	k->state = v;
}

static void clear(struct api_call *k)
{
	struct vectors *v = k->state;
	for (uint32_t i = 0; i < v->n; i++)
		g_clear_pointer(&v->of[i], g_bytes_unref);
	g_free(v->of);
	g_free(v);
}

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	struct vectors *v = k->state;
	bool ok = e->value >= 0 && e->value < v->n && e->raw.len >= sizeof(float) &&
		  e->raw.len % sizeof(float) == 0;
	if (ok && !v->of[e->value])
		v->of[e->value] = g_bytes_new(e->raw.data, e->raw.len);
	else
		api_logf(k->loop->api, WEIR_LOG_MISBEHAVING,
			 "request %s: a vector of %zu bytes for input %" G_GINT64_FORMAT " of %u",
			 k->id, e->raw.len, e->value, v->n);
}

/* NaN and infinity are no JSON, and no embedding. */
static bool cut(float *x, size_t n, bool normalise)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(x[i]))
			return false;
		sum += (double)x[i] * (double)x[i];
	}
	double scale = normalise && sum > 0 ? 1 / sqrt(sum) : 1;
	for (size_t i = 0; i < n && normalise; i++)
		x[i] = (float)((double)x[i] * scale);
	return true;
}

static void put_floats(struct buf *out, const float *x, size_t n)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	buf_putc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(out, ',');
		buf_puts(out, g_ascii_formatd(text, sizeof(text), "%.9g", (double)x[i]));
	}
	buf_putc(out, ']');
}

/* Little-endian float32, whatever the host has. */
static void put_base64(struct buf *out, const float *x, size_t n)
{
	g_autofree uint32_t *words = g_new(uint32_t, n);
	memcpy(words, x, n * sizeof(*words));
	for (size_t i = 0; i < n; i++)
		words[i] = GUINT32_TO_LE(words[i]);
	g_autofree char *text = g_base64_encode((const guchar *)words, n * sizeof(*words));
	buf_putc(out, '"');
	buf_puts(out, text);
	buf_putc(out, '"');
}

static bool fail(struct api_call *k, struct api_error *e, weir_status status, const char *param,
		 const char *text)
{
	api_error_from_status(e, k->loop->api->config.profile, status,
			      (struct weir_str){ text, strlen(text) },
			      (struct weir_str){ param, strlen(param) }, 0);
	return false;
}

static bool put_vector(struct api_call *k, uint32_t i, struct buf *out, struct api_error *ret_error)
{
	const struct vectors *v = k->state;
	const struct api_params *p = &k->body->params;
	gsize size = 0;
	const float *data = v->of[i] ? g_bytes_get_data(v->of[i], &size) : NULL;
	size_t n = size / sizeof(float);
	if (!data)
		return fail(k, ret_error, WEIR_E_INTERNAL, "", "an input has no vector");
	if (p->dimensions > n) {
		char text[100];
		g_snprintf(text, sizeof(text),
			   "dimensions must be at most %zu: this model has no more", n);
		return fail(k, ret_error, WEIR_E_INVALID, "dimensions", text);
	}
	bool shorter = p->dimensions && p->dimensions < n;
	if (shorter)
		n = p->dimensions;
	g_autofree float *x = g_memdup2(data, n * sizeof(*x));
	if (!cut(x, n, shorter))
		return fail(k, ret_error, WEIR_E_INTERNAL, "", "a vector is not finite");
	buf_puts(out, i ? ",{\"object\":\"embedding\",\"index\":"
			: "{\"object\":\"embedding\",\"index\":");
	json_put_uint(out, i);
	buf_puts(out, ",\"embedding\":");
	if (p->base64)
		put_base64(out, x, n);
	else
		put_floats(out, x, n);
	buf_putc(out, '}');
	return true;
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	const struct vectors *v = k->state;
	struct api_usage u;
	api_call_usage(k, &u);
	buf_puts(out, "{\"object\":\"list\",\"data\":[");
	for (uint32_t i = 0; i < v->n; i++)
		if (!put_vector(k, i, out, ret_error))
			return false;
	buf_puts(out, "],\"model\":");
	json_put_cstring(out, k->body->model);
	buf_printf(out, ",\"usage\":{\"prompt_tokens\":%" G_GUINT64_FORMAT, u.prompt);
	buf_printf(out, ",\"total_tokens\":%" G_GUINT64_FORMAT "}}", u.prompt);
	return true;
}

const struct api_format api_format_embed = {
	.id_prefix = "embd-",
	.events = API_EVENT(VECTOR),
	.init = init,
	.free = clear,
	.gather = gather,
	.whole = whole,
};
