/* SPDX-License-Identifier: MIT */
/*
 * name-map.c - names to indices, safe against prepared collisions; see name-map.h.
 */
#include "name-map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t weir_siphash(const uint64_t key[2], const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
			  key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
	uint64_t word;
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void weir_random_key(uint64_t key[2])
{
	struct timespec now;

	if (getrandom(key, 16, GRND_NONBLOCK) == 16)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	key[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)now.tv_sec;
	key[1] = (uint64_t)(uintptr_t)key ^ rotate(key[0], 32);
}

bool weir_name_map_init(struct weir_name_map *map, const void *items, size_t stride, size_t n)
{
	size_t size = 8;

	memset(map, 0, sizeof(*map));
	if (n > INT32_MAX)
		return false;
	while (size < n * 2)
		size *= 2;
	map->slots = calloc(size, sizeof(*map->slots));
	if (!map->slots)
		return false;
	map->items = items;
	map->stride = stride;
	map->mask = size - 1;
	weir_random_key(map->key);
	return true;
}

void weir_name_map_clear(struct weir_name_map *map)
{
	free(map->slots);
	memset(map, 0, sizeof(*map));
}

static const struct weir_str *name_of(const struct weir_name_map *map, uint32_t i)
{
	return (const struct weir_str *)(const void *)(map->items + (size_t)i * map->stride);
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const struct weir_name_map *map, const char *name, size_t len)
{
	size_t at = (size_t)weir_siphash(map->key, name, len) & map->mask;

	while (map->slots[at]) {
		const struct weir_str *s = name_of(map, map->slots[at] - 1);

		if (s->len == len && (len == 0 || memcmp(s->data, name, len) == 0))
			break;
		at = (at + 1) & map->mask;
	}
	return at;
}

uint32_t weir_name_map_add(struct weir_name_map *map, uint32_t i)
{
	const struct weir_str *s = name_of(map, i);
	size_t at = slot_of(map, s->data, s->len);

	if (map->slots[at])
		return map->slots[at] - 1;
	map->slots[at] = i + 1;
	return WEIR_NAME_MAP_NONE;
}

uint32_t weir_name_map_find(const struct weir_name_map *map, const char *name, size_t len)
{
	/* Slot 0 means free, so the subtraction wraps to NONE by itself. */
	return map->slots ? map->slots[slot_of(map, name, len)] - 1 : WEIR_NAME_MAP_NONE;
}
