/* SPDX-License-Identifier: MIT */
/*
 * gguf-split.c - the other parts of a model in several files; see gguf.h. Runs where a model loads.
 *
 * The parts are called <prefix>-00001-of-0000N.gguf and so on. Each is a whole GGUF file with
 * split.no (from 0) and split.count; the first has the model's keys and split.tensors.count. Their
 * tensors become those of the first.
 */
#include "fail.h"
#include "gguf-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARTS 4096u
#define TAIL      "-00001-of-00002.gguf"

static weir_status read_number(const struct weir_gguf *g, const char *key, uint64_t *ret,
			       struct weir_error *err)
{
	if (!weir_gguf_has(g, key))
		return weir_fail(err, WEIR_E_INVALID, "%s: a part of a split model without %s",
				 g->path, key);
	return weir_gguf_u64(g, key, ret, err) < 0 ? WEIR_E_INVALID : WEIR_OK;
}

/* Is path named as part `no` (from 0) of `count`? Its tail: where the numbers begin. */
static bool is_named(const char *path, uint64_t no, uint64_t count, size_t *ret_tail)
{
	size_t len = strlen(path), n = sizeof(TAIL) - 1;
	char want[sizeof(TAIL) + 16];

	snprintf(want, sizeof(want), "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", no + 1, count);
	if (len < n || strcmp(path + len - n, want) != 0)
		return false;
	*ret_tail = len - n;
	return true;
}

static char *part_path(const char *path, size_t tail, uint64_t no, uint64_t count)
{
	char *text = malloc(tail + sizeof(TAIL) + 16);

	if (text)
		snprintf(text, tail + sizeof(TAIL) + 16, "%.*s-%05" PRIu64 "-of-%05" PRIu64 ".gguf",
			 (int)tail, path, no + 1, count);
	return text;
}

static weir_status open_part(struct weir_gguf *g, const char *path, uint64_t no, uint64_t count,
			     struct weir_error *err)
{
	uint64_t no_there, count_there;
	struct weir_gguf *part;
	weir_status status = gguf_open_one(path, &part, err);

	if (status == WEIR_E_NOT_FOUND)
		return weir_fail(err, status,
				 "%s: part %" PRIu64 " of %" PRIu64
				 " of the model is missing; all parts must lie in one folder",
				 strrchr(path, '/') ? strrchr(path, '/') + 1 : path, no + 1, count);
	if (status < 0)
		return status;
	g->parts[g->n_parts++] = part;
	if ((status = read_number(part, "split.no", &no_there, err)) ||
	    (status = read_number(part, "split.count", &count_there, err)))
		return status;
	if (no_there == no && count_there == count)
		return WEIR_OK;
	return weir_fail(err, WEIR_E_INVALID,
			 "%s: says that it is part %" PRIu64 " of %" PRIu64
			 ", it must be part %" PRIu64 " of %" PRIu64 ": is it another model's?",
			 part->path, no_there + 1, count_there, no + 1, count);
}

/* All parts' tensors as the first's. */
static weir_status join(struct weir_gguf *g, struct weir_error *err)
{
	struct weir_gguf_tensor *all;
	uint64_t expected;
	size_t n = g->n_tensors;
	weir_status status;

	for (size_t i = 0; i < g->n_parts; i++)
		n += g->parts[i]->n_tensors; /* a million each, thousands of parts: no overflow */
	status = read_number(g, "split.tensors.count", &expected, err);
	if (status != WEIR_OK)
		return status;
	if (expected != n || n > UINT32_MAX / 2)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: split.tensors.count is %" PRIu64
				 ", but the parts hold %zu tensors in all",
				 g->path, expected, n);
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for %zu tensors", g->path,
				 n);
	memcpy(all, g->tensors, g->n_tensors * sizeof(*all));
	n = g->n_tensors;
	for (size_t i = 0; i < g->n_parts; i++) {
		const struct weir_gguf *part = g->parts[i];

		memcpy(all + n, part->tensors, part->n_tensors * sizeof(*all));
		n += part->n_tensors;
	}
	free(g->tensors);
	g->tensors = all;
	g->n_tensors = n;
	weir_name_map_clear(&g->tensor_map);
	if (!weir_name_map_init(&g->tensor_map, all, sizeof(*all), n))
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for %zu tensors", g->path,
				 n);
	for (size_t i = 0; i < n; i++) {
		if (weir_name_map_add(&g->tensor_map, (uint32_t)i) != WEIR_NAME_MAP_NONE)
			return weir_fail(err, WEIR_E_INVALID,
					 "%s: tensor '%s' is in two parts of the model", g->path,
					 weir_quote(all[i].name).text);
	}
	return WEIR_OK;
}

weir_status gguf_open_parts(struct weir_gguf *g, const char *path, struct weir_error *err)
{
	uint64_t count = 1, no = 0;
	size_t tail = 0;
	weir_status status = WEIR_OK;

	if (!weir_gguf_has(g, "split.count"))
		return WEIR_OK;
	if ((status = read_number(g, "split.count", &count, err)))
		return status;
	if (count <= 1)
		return WEIR_OK;
	if (!path)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "%s: one of %" PRIu64
				 " parts of a split model; only files can be joined",
				 g->path, count);
	if (count > MAX_PARTS)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: split.count is %" PRIu64 ", the limit is %u", g->path, count,
				 MAX_PARTS);
	if ((status = read_number(g, "split.no", &no, err)))
		return status;
	if (no != 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: part %" PRIu64 " of %" PRIu64
				 " of a split model; name the first part, *-00001-of-%05" PRIu64
				 ".gguf",
				 g->path, no + 1, count, count);
	if (!is_named(path, no, count, &tail))
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: the first of %" PRIu64
				 " parts of a split model must be called *-00001-of-%05" PRIu64
				 ".gguf, or the others cannot be found",
				 g->path, count, count);
	g->parts = calloc((size_t)count, sizeof(*g->parts));
	if (!g->parts)
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory for its parts", g->path);
	for (uint64_t i = 1; i < count && status == WEIR_OK; i++) {
		char *other = part_path(path, tail, i, count);

		status = other ? open_part(g, other, i, count, err)
			       : weir_fail(err, WEIR_E_EXHAUSTED, "%s: no memory", g->path);
		free(other);
	}
	return status == WEIR_OK ? join(g, err) : status;
}
