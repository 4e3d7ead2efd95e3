/* SPDX-License-Identifier: MIT */
/*
 * mix.c - see mix.h. The names and file types are those that GGUF files of other programs carry.
 */
#include "mix.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define T(X)   WEIR_GGUF_TYPE_##X
#define ALL(X) T(X), T(X), T(X), T(X)
#define PURE(X, FILE)                                                                              \
	{                                                                                          \
#X, T(X), FILE, ALL(X)                                                             \
	}

static const struct mix mixes[] = {
	PURE(F32, 0),
	PURE(F16, 1),
	PURE(BF16, 32),
	PURE(Q8_0, 7),
	PURE(Q4_0, 2),
	PURE(Q4_1, 3),
	PURE(Q5_0, 8),
	PURE(Q5_1, 9),
	PURE(Q2_K, 10),
	PURE(Q3_K, 11),
	PURE(Q4_K, 14),
	PURE(Q5_K, 16),
	PURE(Q6_K, 18),
	PURE(IQ4_NL, 25),
	PURE(IQ4_XS, 30),
	PURE(MXFP4, 38),
	PURE(NVFP4, 39),
	PURE(TQ1_0, 36),
	PURE(TQ2_0, 37),
	{ "Q3_K_S", T(Q3_K), 11, T(Q3_K), T(Q3_K), T(Q3_K), T(Q6_K) },
	{ "Q3_K_M", T(Q3_K), 12, T(Q5_K), T(Q4_K), T(Q4_K), T(Q6_K) },
	{ "Q3_K_L", T(Q3_K), 13, T(Q5_K), T(Q5_K), T(Q5_K), T(Q6_K) },
	{ "Q4_K_S", T(Q4_K), 14, T(Q5_K), T(Q4_K), T(Q4_K), T(Q6_K) },
	{ "Q4_K_M", T(Q4_K), 15, T(Q6_K), T(Q4_K), T(Q4_K), T(Q6_K) },
	{ "Q5_K_S", T(Q5_K), 16, T(Q5_K), T(Q5_K), T(Q5_K), T(Q6_K) },
	{ "Q5_K_M", T(Q5_K), 17, T(Q6_K), T(Q5_K), T(Q5_K), T(Q6_K) },
};

const struct mix *mix_find(const char *name)
{
	for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++)
		if (strcasecmp(mixes[i].name, name) == 0)
			return &mixes[i];
	return NULL;
}

const char *mix_names(void)
{
	return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, "
	       "IQ4_NL, IQ4_XS, MXFP4, NVFP4, TQ1_0, TQ2_0, and mixed Q3_K_S, Q3_K_M, Q3_K_L, "
	       "Q4_K_S, "
	       "Q4_K_M, Q5_K_S, Q5_K_M";
}

static bool contains(const char *name, const char *what)
{
	return strstr(name, what) != NULL;
}

/* What loses most and weighs least stays as it is. */
static bool stays(const struct weir_gguf_tensor *t, const char *name)
{
	static const char *const small[] = { "norm",        "gate_inp", "position_embd",
					     "token_types", "rope_",    ".scale" };
	size_t len = strlen(name);

	if (t->n_dims < 2 || t->ne[1] < 2 || len < 7 || strcmp(name + len - 7, ".weight") != 0)
		return true;
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (contains(name, small[i]))
			return true;
	return false;
}

static bool kept(const char *patterns, const char *name)
{
	char one[128];

	for (const char *p = patterns; p && *p;) {
		size_t n = strcspn(p, ",");

		if (n < sizeof(one)) {
			memcpy(one, p, n);
			one[n] = '\0';
			if (n && fnmatch(one, name, 0) == 0)
				return true;
		}
		p += n + (p[n] == ',');
	}
	return false;
}

static uint32_t wanted(const struct mix_wish *w, const char *name)
{
	const struct mix *m = w->mix;
	unsigned layer = 0, eighth = w->n_layers / 8;

	if (strcmp(name, "output.weight") == 0)
		return w->output != UINT32_MAX ? w->output : m->output;
	if (strcmp(name, "token_embd.weight") == 0) {
		if (w->embedding != UINT32_MAX)
			return w->embedding;
		if (!w->tied)
			return m->base;
		return w->output != UINT32_MAX ? w->output : m->output;
	}
	if (contains(name, "attn_output"))
		return m->attn_output;
	if (!contains(name, "attn_v.") && !contains(name, "attn_qkv.") &&
	    !contains(name, "ffn_down"))
		return m->base;
	if (sscanf(name, "blk.%6u.", &layer) != 1 || layer < eighth ||
	    layer >= w->n_layers - eighth || (layer - eighth) % 3 == 2)
		return m->better;
	return m->rest;
}

/* Of a type with blocks of 256: the one with blocks of 32 that is next above. */
static uint32_t fall_back(uint32_t type, uint64_t width)
{
	const struct weir_gguf_type *t = weir_gguf_type(type);

	if (width % t->block_size == 0)
		return type;
	if (width % 32 != 0)
		return WEIR_GGUF_TYPE_F16;
	switch (type) {
	case WEIR_GGUF_TYPE_Q4_K:
		return WEIR_GGUF_TYPE_Q5_0;
	case WEIR_GGUF_TYPE_Q5_K:
		return WEIR_GGUF_TYPE_Q5_1;
	case WEIR_GGUF_TYPE_Q6_K:
		return WEIR_GGUF_TYPE_Q8_0;
	default:
		return WEIR_GGUF_TYPE_IQ4_NL;
	}
}

uint32_t mix_type(const struct mix_wish *w, const struct weir_gguf_tensor *t, bool *ret_fell_back)
{
	uint32_t type, want;
	char name[128];

	*ret_fell_back = false;
	if (t->name.len >= sizeof(name))
		return t->type;
	memcpy(name, t->name.data, t->name.len);
	name[t->name.len] = '\0';
	if (stays(t, name) || kept(w->keep, name))
		return t->type;
	want = wanted(w, name);
	type = fall_back(want, t->ne[0]);
	*ret_fell_back = type != want;
	return type;
}
