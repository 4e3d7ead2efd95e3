/* SPDX-License-Identifier: MIT */
/*
 * gguf-values.c - getters of an open GGUF file; see gguf.h. Reads only; any thread.
 */
#include "fail.h"
#include "gguf-internal.h"

#include <string.h>

static const char *type_name(uint32_t type)
{
	static const char *const names[] = { "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
					     "bool", "string", "array", "u64", "i64", "f64" };

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

static const struct gguf_key *find(const struct weir_gguf *g, const char *key)
{
	uint32_t i = weir_name_map_find(&g->key_map, key, strlen(key));

	return i == WEIR_NAME_MAP_NONE ? NULL : &g->keys[i];
}

static weir_status absent(struct weir_error *err, const struct weir_gguf *g, const char *key)
{
	return weir_fail(err, WEIR_E_NOT_FOUND, "%s: the model file has no key '%s'", g->path, key);
}

static weir_status mistyped(struct weir_error *err, const struct weir_gguf *g,
			    const struct gguf_key *k, const char *wanted)
{
	return weir_fail(err, WEIR_E_INVALID, "%s: key '%s' is of type %s%s%s, not %s", g->path,
			 weir_quote(k->name).text, type_name(k->type),
			 k->type == WEIR_GGUF_ARRAY ? " of " : "",
			 k->type == WEIR_GGUF_ARRAY ? type_name(k->item_type) : "", wanted);
}

/* Any integer as 64 bits of two's complement; is_big: a u64 that i64 cannot hold. */
static bool integer(uint32_t type, const uint8_t *p, int64_t *ret, bool *ret_big)
{
	unsigned size = gguf_value_size(type);
	uint64_t x;

	*ret_big = false;
	switch (type) {
	case WEIR_GGUF_U8:
	case WEIR_GGUF_U16:
	case WEIR_GGUF_U32:
		*ret = (int64_t)gguf_load(p, size);
		return true;
	case WEIR_GGUF_U64:
		x = gguf_load(p, size);
		*ret_big = x > INT64_MAX;
		*ret = (int64_t)x;
		return true;
	case WEIR_GGUF_I8:
		*ret = (int8_t)gguf_load(p, size);
		return true;
	case WEIR_GGUF_I16:
		*ret = (int16_t)gguf_load(p, size);
		return true;
	case WEIR_GGUF_I32:
		*ret = (int32_t)gguf_load(p, size);
		return true;
	case WEIR_GGUF_I64:
		*ret = (int64_t)gguf_load(p, size);
		return true;
	default:
		return false;
	}
}

static bool floating(uint32_t type, const uint8_t *p, float *ret)
{
	uint32_t bits32;
	uint64_t bits64;
	double wide;

	if (type == WEIR_GGUF_F32) {
		bits32 = (uint32_t)gguf_load(p, 4);
		memcpy(ret, &bits32, 4);
		return true;
	}
	if (type == WEIR_GGUF_F64) {
		bits64 = gguf_load(p, 8);
		memcpy(&wide, &bits64, 8);
		*ret = (float)wide;
		return true;
	}
	return false;
}

bool weir_gguf_has(const struct weir_gguf *g, const char *key)
{
	return find(g, key) != NULL;
}

weir_status weir_gguf_u64(const struct weir_gguf *g, const char *key, uint64_t *ret,
			  struct weir_error *err)
{
	const struct gguf_key *k = find(g, key);
	int64_t x;
	bool big;

	if (!k)
		return absent(err, g, key);
	if (!integer(k->type, k->data, &x, &big))
		return mistyped(err, g, k, "an integer");
	if (x < 0 && !big)
		return weir_fail(err, WEIR_E_INVALID, "%s: key '%s' is %lld, below 0", g->path, key,
				 (long long)x);
	*ret = (uint64_t)x;
	return WEIR_OK;
}

weir_status weir_gguf_u32(const struct weir_gguf *g, const char *key, uint32_t *ret,
			  struct weir_error *err)
{
	uint64_t x;
	weir_status status = weir_gguf_u64(g, key, &x, err);

	if (status < 0)
		return status;
	if (x > UINT32_MAX)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: key '%s' is %llu, more than 32 bits can hold", g->path, key,
				 (unsigned long long)x);
	*ret = (uint32_t)x;
	return WEIR_OK;
}

weir_status weir_gguf_i64(const struct weir_gguf *g, const char *key, int64_t *ret,
			  struct weir_error *err)
{
	const struct gguf_key *k = find(g, key);
	int64_t x;
	bool big;

	if (!k)
		return absent(err, g, key);
	if (!integer(k->type, k->data, &x, &big))
		return mistyped(err, g, k, "an integer");
	if (big)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: key '%s' is %llu, more than 63 bits can hold", g->path, key,
				 (unsigned long long)x);
	*ret = x;
	return WEIR_OK;
}

weir_status weir_gguf_f32(const struct weir_gguf *g, const char *key, float *ret,
			  struct weir_error *err)
{
	const struct gguf_key *k = find(g, key);
	int64_t x;
	bool big;

	if (!k)
		return absent(err, g, key);
	if (floating(k->type, k->data, ret))
		return WEIR_OK;
	if (!integer(k->type, k->data, &x, &big))
		return mistyped(err, g, k, "a number");
	*ret = big ? (float)(uint64_t)x : (float)x;
	return WEIR_OK;
}

weir_status weir_gguf_boolean(const struct weir_gguf *g, const char *key, bool *ret,
			      struct weir_error *err)
{
	const struct gguf_key *k = find(g, key);

	if (!k)
		return absent(err, g, key);
	if (k->type != WEIR_GGUF_BOOL)
		return mistyped(err, g, k, "bool");
	*ret = k->data[0] != 0;
	return WEIR_OK;
}

weir_status weir_gguf_string(const struct weir_gguf *g, const char *key, struct weir_str *ret,
			     struct weir_error *err)
{
	const struct gguf_key *k = find(g, key);

	if (!k)
		return absent(err, g, key);
	if (k->type != WEIR_GGUF_STRING)
		return mistyped(err, g, k, "string");
	*ret = (struct weir_str){ (const char *)k->data, (size_t)k->n };
	return WEIR_OK;
}

static bool is_kind(uint32_t type, enum weir_gguf_array_kind kind)
{
	bool is_float = type == WEIR_GGUF_F32 || type == WEIR_GGUF_F64;

	switch (kind) {
	case WEIR_GGUF_ARRAY_ANY:
		return true;
	case WEIR_GGUF_ARRAY_OF_STRINGS:
		return type == WEIR_GGUF_STRING;
	case WEIR_GGUF_ARRAY_OF_FLOATS:
		return is_float;
	case WEIR_GGUF_ARRAY_OF_INTEGERS:
		return !is_float && type != WEIR_GGUF_STRING && type != WEIR_GGUF_ARRAY;
	}
	return false;
}

weir_status weir_gguf_get_array(const struct weir_gguf *g, const char *key,
				enum weir_gguf_array_kind kind, struct weir_gguf_array *ret,
				struct weir_error *err)
{
	static const char *const wanted[] = { "an array", "an array of strings",
					      "an array of integers", "an array of floats" };
	const struct gguf_key *k = find(g, key);

	if (!k)
		return absent(err, g, key);
	if (k->type != WEIR_GGUF_ARRAY || (k->n > 0 && !is_kind(k->item_type, kind)))
		return mistyped(err, g, k, wanted[kind]);
	ret->type = k->item_type;
	ret->n = k->n;
	ret->data = k->data;
	ret->offsets = k->offsets;
	return WEIR_OK;
}

struct weir_str weir_gguf_array_string(const struct weir_gguf_array *a, uint64_t i)
{
	const uint8_t *p;

	if (a->type != WEIR_GGUF_STRING || i >= a->n)
		return (struct weir_str){ NULL, 0 };
	p = a->data + a->offsets[i];
	return (struct weir_str){ (const char *)p + 8, (size_t)gguf_load(p, 8) };
}

int64_t weir_gguf_array_i64(const struct weir_gguf_array *a, uint64_t i)
{
	int64_t x;
	bool big;

	if (i >= a->n)
		return 0;
	if (a->type == WEIR_GGUF_BOOL)
		return a->data[i] != 0;
	if (!integer(a->type, a->data + i * gguf_value_size(a->type), &x, &big))
		return 0;
	return big ? INT64_MAX : x;
}

float weir_gguf_array_f32(const struct weir_gguf_array *a, uint64_t i)
{
	float x;

	if (i >= a->n || !floating(a->type, a->data + i * gguf_value_size(a->type), &x))
		return 0;
	return x;
}

size_t weir_gguf_n_keys(const struct weir_gguf *g)
{
	return g->n_keys;
}

struct weir_str weir_gguf_key_at(const struct weir_gguf *g, size_t i, uint32_t *ret_type)
{
	if (i >= g->n_keys)
		return (struct weir_str){ NULL, 0 };
	if (ret_type)
		*ret_type = g->keys[i].type;
	return g->keys[i].name;
}

size_t weir_gguf_n_tensors(const struct weir_gguf *g)
{
	return g->n_tensors;
}

const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i)
{
	return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name)
{
	uint32_t i = weir_name_map_find(&g->tensor_map, name, strlen(name));

	return i == WEIR_NAME_MAP_NONE ? NULL : &g->tensors[i];
}

const char *weir_gguf_path(const struct weir_gguf *g)
{
	return g->path;
}

uint64_t weir_gguf_file_bytes(const struct weir_gguf *g)
{
	return g->len;
}

uint32_t weir_gguf_version(const struct weir_gguf *g)
{
	return g->version;
}
