/* SPDX-License-Identifier: MIT */
/*
 * gguf.c - opens and checks GGUF files; see gguf.h. Runs on whatever thread loads a model.
 *
 * One forward walk over the header through a bounds-checked cursor. Nothing is allocated from a
 * count before that many smallest items were shown to fit what is left of the file.
 */
#include "fail.h"
#include "gguf-internal.h"
#include "unicode-tables.h"

#include <stdlib.h>
#include <string.h>

/* Far above every real model; they bound what a hostile header costs. */
#define MAX_ENTRIES ((uint64_t)1 << 20)
#define MAX_KEY     65535u
#define MAX_NAME    64u
#define MAX_DEPTH   4u
#define MAX_LABEL   200u

#define SMALLEST_KEY    14u /* 8 + 1 name, 4 type, 1 value */
#define SMALLEST_TENSOR 25u /* 8 + 1 name, 4 dimensions, 4 type, 8 offset */

struct cursor {
	struct weir_gguf *g;
	size_t at;
	size_t end;
	struct weir_error *err;
	const char *what; /* for messages: "key", "tensor" */
	struct weir_str name;
};

static weir_status broken(const struct cursor *c, const char *problem)
{
	if (c->name.len > 0)
		return weir_fail(c->err, WEIR_E_INVALID, "%s: %s '%s' (before byte %zu): %s",
				 c->g->path, c->what, weir_quote(c->name).text, c->at, problem);
	return weir_fail(c->err, WEIR_E_INVALID, "%s: byte %zu: %s", c->g->path, c->at, problem);
}

static weir_status truncated(const struct cursor *c)
{
	if (c->end < c->g->len)
		return broken(c, "the header is larger than 256 MiB");
	return broken(c, "the file ends here in the middle of its header; it is truncated, "
			 "fetch it again");
}

static weir_status take(struct cursor *c, uint64_t n_bytes, const uint8_t **ret)
{
	weir_status status;

	if (n_bytes > c->end - c->at)
		return truncated(c);
	status = gguf_file_need(c->g, c->at + (size_t)n_bytes, c->err);
	if (status < 0)
		return status;
	*ret = c->g->base + c->at;
	c->at += (size_t)n_bytes;
	return WEIR_OK;
}

static weir_status take_u32(struct cursor *c, uint32_t *ret)
{
	const uint8_t *p = NULL;
	weir_status status = take(c, 4, &p);

	if (status == WEIR_OK)
		*ret = (uint32_t)gguf_load(p, 4);
	return status;
}

static weir_status take_u64(struct cursor *c, uint64_t *ret)
{
	const uint8_t *p = NULL;
	weir_status status = take(c, 8, &p);

	if (status == WEIR_OK)
		*ret = gguf_load(p, 8);
	return status;
}

static weir_status take_string(struct cursor *c, struct weir_str *ret)
{
	const uint8_t *p = NULL;
	uint64_t len;
	weir_status status = take_u64(c, &len);

	if (status == WEIR_OK)
		status = take(c, len, &p);
	if (status == WEIR_OK)
		*ret = (struct weir_str){ (const char *)p, (size_t)len };
	return status;
}

static weir_status take_name(struct cursor *c, size_t max, struct weir_str *ret)
{
	weir_status status;

	c->name = (struct weir_str){ NULL, 0 };
	status = take_string(c, ret);
	if (status < 0)
		return status;
	if (ret->len == 0)
		return broken(c, "an empty name");
	c->name = *ret;
	if (ret->len > max)
		return broken(c, "its name is too long");
	if (memchr(ret->data, 0, ret->len))
		return broken(c, "its name holds a NUL byte");
	return WEIR_OK;
}

static weir_status check_bools(const struct cursor *c, const uint8_t *p, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (p[i] > 1)
			return broken(c, "a bool that is neither 0 nor 1");
	return WEIR_OK;
}

struct array_head {
	uint32_t type;
	uint64_t n;
	const uint8_t *data;
};

/* Type and count; the count is known to fit afterwards. */
static weir_status take_array_head(struct cursor *c, struct array_head *ret)
{
	uint64_t smallest;
	weir_status status = take_u32(c, &ret->type);

	if (status == WEIR_OK)
		status = take_u64(c, &ret->n);
	if (status < 0)
		return status;
	smallest = ret->type == WEIR_GGUF_STRING  ? 8
		   : ret->type == WEIR_GGUF_ARRAY ? 12
						  : gguf_value_size(ret->type);
	if (smallest == 0)
		return broken(c, "an array of an unknown type");
	if (ret->n > (c->end - c->at) / smallest)
		return truncated(c);
	ret->data = c->g->base + c->at;
	return WEIR_OK;
}

/* Walks the elements after the head; notes where each begins when offsets is not NULL. */
static weir_status take_items(struct cursor *c, const struct array_head *a, uint64_t *offsets,
			      unsigned depth)
{
	unsigned size = gguf_value_size(a->type);
	weir_status status = WEIR_OK;
	struct array_head inner;
	struct weir_str string;
	const uint8_t *p = NULL;

	if (size > 0) {
		status = take(c, a->n * size, &p);
		if (status == WEIR_OK && a->type == WEIR_GGUF_BOOL)
			status = check_bools(c, p, a->n);
		return status;
	}
	if (depth >= MAX_DEPTH)
		return broken(c, "arrays nested deeper than 4");
	for (uint64_t i = 0; i < a->n && status == WEIR_OK; i++) {
		if (offsets)
			offsets[i] = (uint64_t)(c->g->base + c->at - a->data);
		if (a->type == WEIR_GGUF_STRING) {
			status = take_string(c, &string);
		} else {
			status = take_array_head(c, &inner);
			if (status == WEIR_OK)
				status = take_items(c, &inner, NULL, depth + 1);
		}
	}
	return status;
}

static weir_status take_array(struct cursor *c, struct gguf_key *k)
{
	struct array_head a;
	weir_status status = take_array_head(c, &a);

	if (status < 0)
		return status;
	if (gguf_value_size(a.type) == 0 && a.n > 0) {
		k->offsets = malloc((size_t)a.n * sizeof(*k->offsets));
		if (!k->offsets)
			return weir_fail(c->err, WEIR_E_EXHAUSTED, "%s: no memory to index '%s'",
					 c->g->path, weir_quote(k->name).text);
	}
	k->item_type = a.type;
	k->n = a.n;
	k->data = a.data;
	return take_items(c, &a, k->offsets, 0);
}

static weir_status take_key(struct cursor *c, struct gguf_key *k)
{
	struct weir_str string;
	weir_status status = take_name(c, MAX_KEY, &k->name);

	if (status == WEIR_OK)
		status = take_u32(c, &k->type);
	if (status < 0)
		return status;
	if (k->type == WEIR_GGUF_ARRAY)
		return take_array(c, k);
	if (k->type == WEIR_GGUF_STRING) {
		status = take_string(c, &string);
		if (status == WEIR_OK) {
			k->data = (const uint8_t *)string.data;
			k->n = string.len;
		}
		return status;
	}
	if (gguf_value_size(k->type) == 0)
		return broken(c, "a value of an unknown type");
	status = take(c, gguf_value_size(k->type), &k->data);
	if (status == WEIR_OK && k->type == WEIR_GGUF_BOOL)
		status = check_bools(c, k->data, 1);
	return status;
}

static weir_status take_keys(struct weir_gguf *g, struct cursor *c, uint64_t n)
{
	weir_status status;

	c->what = "key";
	g->keys = calloc((size_t)n + 1, sizeof(*g->keys));
	if (!g->keys || !weir_name_map_init(&g->key_map, g->keys, sizeof(*g->keys), (size_t)n))
		return weir_fail(c->err, WEIR_E_EXHAUSTED, "%s: no memory for %llu keys", g->path,
				 (unsigned long long)n);
	for (size_t i = 0; i < n; i++) {
		g->n_keys = i + 1; /* close() frees a half-read key's index too */
		status = take_key(c, &g->keys[i]);
		if (status < 0)
			return status;
		if (weir_name_map_add(&g->key_map, (uint32_t)i) != WEIR_NAME_MAP_NONE)
			return broken(c, "the same key a second time");
	}
	return WEIR_OK;
}

static weir_status refuse_type(const struct cursor *c, uint32_t type)
{
	const char *whose = type == 36   ? "removed from GGUF; BitNet forks use it for I2_S"
			    : type < 43  ? "it was removed from GGUF"
			    : type > 136 ? "a private type of the ik_llama.cpp fork"
					 : "a newer or a private type";

	return weir_fail(c->err, WEIR_E_UNSUPPORTED,
			 "%s: tensor '%s' has type id %u (%s); convert or quantize the model with "
			 "the standard tools",
			 c->g->path, weir_quote(c->name).text, type, whose);
}

/* Shape and type of one tensor. t->file stays NULL; ret_offset is what the file says. */
static weir_status take_tensor(struct cursor *c, struct weir_gguf_tensor *t, uint64_t *ret_offset)
{
	const struct weir_gguf_type *type;
	uint64_t n_blocks;
	weir_status status = take_name(c, MAX_NAME, &t->name);

	if (status == WEIR_OK)
		status = take_u32(c, &t->n_dims);
	if (status < 0)
		return status;
	if (t->n_dims > 4)
		return broken(c, "more than 4 dimensions");
	for (unsigned i = 0; i < 4; i++) {
		t->ne[i] = 1;
		if (i < t->n_dims && (status = take_u64(c, &t->ne[i])) < 0)
			return status;
		if (t->ne[i] == 0)
			return broken(c, "a dimension of 0");
	}
	status = take_u32(c, &t->type);
	if (status == WEIR_OK)
		status = take_u64(c, ret_offset);
	if (status < 0)
		return status;
	type = weir_gguf_type(t->type);
	if (!type)
		return refuse_type(c, t->type);
	if (t->ne[0] % type->block_size != 0)
		return weir_fail(c->err, WEIR_E_INVALID,
				 "%s: tensor '%s': rows of %llu weights are no whole number of %s "
				 "blocks (%u weights each)",
				 c->g->path, weir_quote(t->name).text, (unsigned long long)t->ne[0],
				 type->name, type->block_size);
	n_blocks = t->ne[0] / type->block_size;
	for (unsigned i = 1; i < 4; i++)
		if (__builtin_mul_overflow(n_blocks, t->ne[i], &n_blocks))
			return broken(c, "its dimensions overflow");
	if (n_blocks > INT64_MAX / type->block_size ||
	    __builtin_mul_overflow(n_blocks, (uint64_t)type->block_bytes, &t->n_bytes))
		return broken(c, "its dimensions overflow");
	return WEIR_OK;
}

static weir_status take_tensors(struct weir_gguf *g, struct cursor *c, uint64_t n,
				uint64_t **ret_offsets)
{
	weir_status status;
	uint64_t *offsets;

	c->what = "tensor";
	g->tensors = calloc((size_t)n + 1, sizeof(*g->tensors));
	offsets = *ret_offsets = calloc((size_t)n + 1, sizeof(*offsets));
	if (!g->tensors || !offsets ||
	    !weir_name_map_init(&g->tensor_map, g->tensors, sizeof(*g->tensors), (size_t)n))
		return weir_fail(c->err, WEIR_E_EXHAUSTED, "%s: no memory for %llu tensors",
				 g->path, (unsigned long long)n);
	g->n_tensors = (size_t)n;
	for (size_t i = 0; i < n; i++) {
		status = take_tensor(c, &g->tensors[i], &offsets[i]);
		if (status < 0)
			return status;
		if (weir_name_map_add(&g->tensor_map, (uint32_t)i) != WEIR_NAME_MAP_NONE)
			return broken(c, "the same tensor a second time");
	}
	return WEIR_OK;
}

/* With all of the header read: where each tensor's data lies. Overlaps are legal (shared data). */
static weir_status place_tensors(struct weir_gguf *g, struct cursor *c, const uint64_t *offsets)
{
	uint64_t alignment = 32, start;

	if (weir_gguf_has(g, "general.alignment") &&
	    weir_gguf_u64(g, "general.alignment", &alignment, c->err) < 0)
		return WEIR_E_INVALID;
	if (alignment < 8 || alignment > (1u << 30) || (alignment & (alignment - 1)) != 0)
		return weir_fail(c->err, WEIR_E_INVALID,
				 "%s: general.alignment is %llu; a power of two from 8 on is "
				 "allowed",
				 g->path, (unsigned long long)alignment);
	start = ((uint64_t)c->at + alignment - 1) & ~(alignment - 1);
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct weir_gguf_tensor *t = &g->tensors[i];

		c->name = t->name;
		if (offsets[i] % alignment != 0)
			return broken(c, "its data is not aligned");
		if (start > g->len || offsets[i] > g->len - start ||
		    t->n_bytes > g->len - start - offsets[i])
			return weir_fail(
				c->err, WEIR_E_INVALID,
				"%s: tensor '%s' needs %llu bytes at offset %llu of the data, "
				"which "
				"begins at byte %llu, but the file has %llu bytes; it is "
				"truncated, fetch it again",
				g->path, weir_quote(t->name).text, (unsigned long long)t->n_bytes,
				(unsigned long long)offsets[i], (unsigned long long)start,
				(unsigned long long)g->len);
		t->offset = start + offsets[i];
		t->file = g;
	}
	return WEIR_OK;
}

static bool begins_with(const struct weir_gguf *g, const char *text)
{
	return g->n_head >= strlen(text) && memcmp(g->base, text, strlen(text)) == 0;
}

/* The usual mistakes have names. */
static weir_status not_gguf(const struct weir_gguf *g, struct weir_error *err)
{
	const char *what = "it does not begin with the bytes GGUF";
	bool text = true;

	for (size_t i = 0; i < g->n_head && i < 64; i++)
		text = text && (g->base[i] >= 0x20 || (g->base[i] >= 9 && g->base[i] <= 13));
	if (g->len == 0)
		what = "it is empty";
	else if (begins_with(g, "version https://git-lfs"))
		what = "it is a Git LFS pointer; fetch the file that it points to (git lfs pull)";
	else if (begins_with(g, "FUGG"))
		what = "it is a big-endian file; convert it to little endian";
	else if (begins_with(g, "lmgg") || begins_with(g, "fmgg") || begins_with(g, "tjgg"))
		what = "it is in a GGML format from before GGUF; convert the model again";
	else if (begins_with(g, "PK\x03\x04"))
		what = "it is a zip archive (perhaps a PyTorch checkpoint); convert it to GGUF";
	else if (g->n_head > 9 && g->base[8] == '{' && g->base[7] == 0)
		what = "it looks like a safetensors file; convert it to GGUF";
	else if (text)
		what = "it is a text file";
	return weir_fail(err, WEIR_E_INVALID, "%s: not a GGUF model file: %s", g->path, what);
}

static weir_status check_version(struct weir_gguf *g, struct weir_error *err)
{
	if (g->version == 2 || g->version == 3)
		return WEIR_OK;
	if (g->version == 1)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "%s: GGUF version 1 of 2023 is no longer read; convert the model "
				 "again",
				 g->path);
	if ((g->version & 0xffff) == 0)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "%s: a big-endian GGUF file; convert it to little endian",
				 g->path);
	return weir_fail(err, WEIR_E_UNSUPPORTED, "%s: GGUF version %u; versions 2 and 3 are read",
			 g->path, g->version);
}

static weir_status check_counts(const struct cursor *c, uint64_t n_tensors, uint64_t n_keys)
{
	size_t left = c->end - c->at;

	/* Each bounded first, so that the products below cannot overflow. */
	if (n_tensors <= MAX_ENTRIES && n_keys <= MAX_ENTRIES &&
	    n_tensors * SMALLEST_TENSOR + n_keys * SMALLEST_KEY <= left)
		return WEIR_OK;
	return weir_fail(c->err, WEIR_E_INVALID,
			 "%s: the header announces %llu tensors and %llu keys, which %s; the file "
			 "is broken or truncated",
			 c->g->path, (unsigned long long)n_tensors, (unsigned long long)n_keys,
			 n_tensors > MAX_ENTRIES || n_keys > MAX_ENTRIES
				 ? "is more than a million"
				 : "do not fit into the file");
}

static weir_status parse(struct weir_gguf *g, struct weir_error *err)
{
	struct cursor c = { .g = g, .at = 4, .err = err, .what = "header" };
	uint64_t n_tensors = 0, n_keys = 0, *offsets = NULL;
	weir_status status;

	c.end = g->len < GGUF_MAX_HEADER ? (size_t)g->len : GGUF_MAX_HEADER;
	status = gguf_file_need(g, c.end < 64 ? c.end : 64, err);
	if (status < 0)
		return status;
	if (!begins_with(g, "GGUF"))
		return not_gguf(g, err);
	if ((status = take_u32(&c, &g->version)) < 0 || (status = check_version(g, err)) < 0 ||
	    (status = take_u64(&c, &n_tensors)) < 0 || (status = take_u64(&c, &n_keys)) < 0 ||
	    (status = check_counts(&c, n_tensors, n_keys)) < 0 ||
	    (status = take_keys(g, &c, n_keys)) < 0)
		return status;
	status = take_tensors(g, &c, n_tensors, &offsets);
	if (status == WEIR_OK)
		status = place_tensors(g, &c, offsets);
	if (status == WEIR_OK)
		gguf_file_trim(g, c.at);
	free(offsets);
	return status;
}

/* A path as it stands in messages: they hold 448 bytes of valid UTF-8, and the reason matters. */
static char *label(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len, at, n = 0, rune_len;
	char *text;

	if (slash && slash[1])
		path = slash + 1;
	len = strlen(path);
	at = len > MAX_LABEL ? len - MAX_LABEL : 0;
	text = malloc(len - at + 4);
	if (!text)
		return NULL;
	if (at > 0) {
		memcpy(text, "...", 3);
		n = 3;
		while (((unsigned char)path[at] & 0xc0) == 0x80)
			at++;
	}
	for (; at < len; at += rune_len, n += rune_len) {
		uint32_t rune = weir_rune_at(path + at, path + len, &rune_len);

		memcpy(text + n, path + at, rune_len);
		if (rune < 0x20 || rune == 0x7f || rune == WEIR_RUNE_INVALID)
			text[n] = '?';
	}
	text[n] = '\0';
	return text;
}

static weir_status new_gguf(const char *path, struct weir_gguf **ret, struct weir_error *err)
{
	struct weir_gguf *g = calloc(1, sizeof(*g));

	if (g)
		g->path = label(path);
	if (!g || !g->path) {
		free(g);
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory to open a model file");
	}
	g->fd = -1;
	*ret = g;
	return WEIR_OK;
}

weir_status gguf_open_one(const char *path, struct weir_gguf **ret, struct weir_error *err)
{
	struct weir_gguf *g;
	weir_status status = new_gguf(path, &g, err);

	if (status < 0)
		return status;
	status = gguf_file_open(g, path, err);
	if (status == WEIR_OK)
		status = parse(g, err);
	if (status < 0) {
		weir_gguf_close(g);
		return status;
	}
	*ret = g;
	return WEIR_OK;
}

weir_status weir_gguf_open(const char *path, struct weir_gguf **ret, struct weir_error *err)
{
	struct weir_gguf *g;
	weir_status status = gguf_open_one(path, &g, err);

	if (status < 0)
		return status;
	status = gguf_open_parts(g, path, err);
	if (status < 0) {
		weir_gguf_close(g);
		return status;
	}
	*ret = g;
	return WEIR_OK;
}

weir_status weir_gguf_open_memory(const void *data, size_t len, struct weir_gguf **ret,
				  struct weir_error *err)
{
	struct weir_gguf *g;
	weir_status status = new_gguf("memory", &g, err);

	if (status < 0)
		return status;
	g->base = data;
	g->n_head = len;
	g->len = len;
	status = parse(g, err);
	if (status == WEIR_OK)
		status = gguf_open_parts(g, NULL, err);
	if (status < 0) {
		weir_gguf_close(g);
		return status;
	}
	*ret = g;
	return WEIR_OK;
}

void weir_gguf_close(struct weir_gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_keys; i++)
		free(g->keys[i].offsets);
	free(g->keys);
	free(g->tensors);
	weir_name_map_clear(&g->key_map);
	weir_name_map_clear(&g->tensor_map);
	for (size_t i = 0; i < g->n_parts; i++)
		weir_gguf_close(g->parts[i]);
	free(g->parts);
	gguf_file_close(g);
	free(g->path);
	free(g);
}
