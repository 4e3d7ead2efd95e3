/* SPDX-License-Identifier: MIT */
/*
 * charsmap.c - reads and walks SentencePiece's table of normalisation; see charsmap.h.
 *
 * Every unit of the array is data from a file: each step is held against its end.
 */
#include "charsmap.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MAP = 64 << 20, MAX_DEPTH = 256 };

struct weir_charsmap {
	uint32_t *units;
	size_t n_units, n_text;
	const char *text; /* NUL-terminated as a whole */
};

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

weir_status weir_charsmap_load(const struct weir_gguf_array *bytes, struct weir_charsmap **ret,
			       struct weir_error *err)
{
	size_t n = (size_t)bytes->n, n_array;
	struct weir_charsmap *map;
	uint8_t *all;

	if (bytes->n == 0) {
		*ret = NULL;
		return WEIR_OK;
	}
	if (bytes->n < 8 || bytes->n > MAX_MAP)
		return weir_fail(err, WEIR_E_INVALID,
				 "tokenizer.ggml.precompiled_charsmap has %llu bytes, it must have "
				 "8 to %d",
				 (unsigned long long)bytes->n, MAX_MAP);
	map = calloc(1, sizeof(*map));
	all = malloc(n + 1);
	if (!map || !all)
		goto no_memory;
	for (size_t i = 0; i < n; i++)
		all[i] = (uint8_t)weir_gguf_array_i64(bytes, i);
	all[n] = 0;
	n_array = u32_at(all);
	if (n_array < 4 || n_array % 4 != 0 || n_array > n - 4) {
		free(all);
		free(map);
		return weir_fail(err, WEIR_E_INVALID,
				 "tokenizer.ggml.precompiled_charsmap of %zu bytes says that its "
				 "table has %zu",
				 n, n_array);
	}
	map->n_units = n_array / 4;
	map->n_text = n - 4 - n_array;
	/* Units and text in one piece of memory. */
	map->units = malloc(n_array + map->n_text + 1);
	if (!map->units)
		goto no_memory;
	for (size_t i = 0; i < map->n_units; i++)
		map->units[i] = u32_at(all + 4 + 4 * i);
	memcpy((char *)(map->units + map->n_units), all + 4 + n_array, map->n_text + 1);
	map->text = (const char *)(map->units + map->n_units);
	free(all);
	*ret = map;
	return WEIR_OK;
no_memory:
	free(all);
	free(map);
	return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a table of %zu bytes", n);
}

void weir_charsmap_free(struct weir_charsmap *map)
{
	if (!map)
		return;
	free(map->units);
	free(map);
}

/* What a unit says: where its children begin, whether a text ends at it, its own byte. */
static uint32_t offset_of(uint32_t unit)
{
	return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

static bool has_leaf(uint32_t unit)
{
	return unit >> 8 & 1;
}

static uint32_t label_of(uint32_t unit)
{
	return unit & (1u << 31 | 0xff);
}

size_t weir_charsmap_match(const struct weir_charsmap *map, const char *p, size_t len,
			   struct weir_str *ret)
{
	size_t found = 0;
	uint32_t at;

	if (!map)
		return 0;
	at = offset_of(map->units[0]);
	for (size_t i = 0; i < len && i < MAX_DEPTH; i++) {
		unsigned char byte = (unsigned char)p[i];
		uint32_t unit, value;

		at ^= byte;
		if (byte == 0 || at >= map->n_units)
			break;
		unit = map->units[at];
		if (label_of(unit) != byte)
			break;
		at ^= offset_of(unit);
		if (!has_leaf(unit))
			continue;
		if (at >= map->n_units)
			break;
		value = map->units[at] & 0x7fffffffu;
		if (value >= map->n_text)
			continue;
		found = i + 1;
		*ret = (struct weir_str){ map->text + value, strlen(map->text + value) };
	}
	return found;
}
