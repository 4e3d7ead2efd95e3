/* SPDX-License-Identifier: MIT */
/*
 * gguf-write.c - see gguf-write.h. Source of the format: the public GGUF specification.
 */
#include "gguf-write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

enum { ALIGN = 32 };

struct gguf_writer {
	char *path, *temporary;
	int fd;
	bool replace, done;
	uint64_t at, total;
};

struct bytes {
	uint8_t *data;
	size_t len, room;
	bool failed;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	if (b->failed)
		return;
	if (n > b->room - b->len) {
		size_t room = b->room + n > 2 * b->room ? b->room + n : 2 * b->room;
		uint8_t *larger = realloc(b->data, room);

		if (!larger) {
			b->failed = true;
			return;
		}
		b->data = larger;
		b->room = room;
	}
	memcpy(b->data + b->len, data, n);
	b->len += n;
}

static void put_u32(struct bytes *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_u64(struct bytes *b, uint64_t v)
{
	put(b, &v, sizeof(v));
}

static void put_string(struct bytes *b, struct weir_str s)
{
	put_u64(b, s.len);
	put(b, s.data, s.len);
}

static void put_key_u32(struct bytes *b, const char *key, uint32_t value)
{
	put_string(b, (struct weir_str){ key, strlen(key) });
	put_u32(b, WEIR_GGUF_U32);
	put_u32(b, value);
}

static size_t scalar_bytes(uint32_t type)
{
	switch (type) {
	case WEIR_GGUF_U8:
	case WEIR_GGUF_I8:
	case WEIR_GGUF_BOOL:
		return 1;
	case WEIR_GGUF_U16:
	case WEIR_GGUF_I16:
		return 2;
	case WEIR_GGUF_U64:
	case WEIR_GGUF_I64:
	case WEIR_GGUF_F64:
		return 8;
	default:
		return 4;
	}
}

/* The length of a value that weir_gguf_open() has checked, depth included. */
static size_t value_bytes(uint32_t type, const uint8_t *p)
{
	uint64_t n;
	uint32_t of;
	size_t len;

	if (type == WEIR_GGUF_STRING) {
		memcpy(&n, p, sizeof(n));
		return sizeof(n) + (size_t)n;
	}
	if (type != WEIR_GGUF_ARRAY)
		return scalar_bytes(type);
	memcpy(&of, p, sizeof(of));
	memcpy(&n, p + sizeof(of), sizeof(n));
	len = sizeof(of) + sizeof(n);
	if (of != WEIR_GGUF_STRING && of != WEIR_GGUF_ARRAY)
		return len + (size_t)n * scalar_bytes(of);
	for (uint64_t i = 0; i < n; i++)
		len += value_bytes(of, p + len);
	return len;
}

/* Keys that speak of the file rather than of the model. */
static bool is_ours(struct weir_str key)
{
	static const char *const ours[] = { "general.file_type", "general.quantization_version",
					    "general.alignment", "split.no",
					    "split.count",       "split.tensors.count" };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (key.len == strlen(ours[i]) && memcmp(key.data, ours[i], key.len) == 0)
			return true;
	return false;
}

static uint64_t tensor_bytes(const struct weir_gguf_tensor *t, uint32_t type)
{
	const struct weir_gguf_type *to = weir_gguf_type(type);

	if (type == t->type)
		return t->n_bytes;
	/* cannot overflow: at most 4 bytes for each weight, of which the file has a few bits each
	 */
	return t->ne[0] / to->block_size * to->block_bytes * t->ne[1] * t->ne[2] * t->ne[3];
}

static uint64_t padded(uint64_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Everything before the data; *ret_total: the length of the whole file. */
static void build_head(const struct weir_gguf *g, const uint32_t *types, uint32_t file_type,
		       struct bytes *b, uint64_t *ret_total)
{
	static const uint8_t zeros[ALIGN];
	uint64_t n_keys = 2, offset = 0;

	for (size_t i = 0; i < weir_gguf_n_keys(g); i++)
		n_keys += !is_ours(weir_gguf_key_at(g, i, NULL));
	put(b, "GGUF", 4);
	put_u32(b, 3);
	put_u64(b, weir_gguf_n_tensors(g));
	put_u64(b, n_keys);
	for (size_t i = 0; i < weir_gguf_n_keys(g); i++) {
		uint32_t type;
		struct weir_str key = weir_gguf_key_at(g, i, &type);
		const uint8_t *value = (const uint8_t *)key.data + key.len + sizeof(type);

		if (is_ours(key))
			continue;
		put_string(b, key);
		put_u32(b, type);
		put(b, value, value_bytes(type, value));
	}
	put_key_u32(b, "general.file_type", file_type);
	put_key_u32(b, "general.quantization_version", 2);
	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(g, i);

		put_string(b, t->name);
		put_u32(b, t->n_dims);
		for (uint32_t d = 0; d < t->n_dims; d++)
			put_u64(b, t->ne[d]);
		put_u32(b, types[i]);
		put_u64(b, offset);
		offset += padded(tensor_bytes(t, types[i]));
	}
	put(b, zeros, (size_t)(padded(b->len) - b->len));
	*ret_total = b->len + offset;
}

static weir_status fail_errno(struct weir_error *err, const char *path, const char *what,
			      int number)
{
	weir_status code =
		number == ENOSPC || number == EDQUOT || number == EFBIG  ? WEIR_E_EXHAUSTED
		: number == EACCES || number == EPERM || number == EROFS ? WEIR_E_DENIED
									 : WEIR_E_UNAVAILABLE;

	return weir_fail(err, code, "%.300s could not be %s: %s", path, what, strerror(number));
}

static weir_status make_room(struct gguf_writer *w, struct weir_error *err)
{
	if (fallocate(w->fd, 0, 0, (off_t)w->total) == 0)
		return WEIR_OK;
	if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
		return WEIR_OK; /* a file system that cannot: writing will tell */
	return weir_fail(err, WEIR_E_EXHAUSTED,
			 "%.300s needs %" PRIu64 " bytes, for which there is no room: %s", w->path,
			 w->total, strerror(errno));
}

static weir_status open_temporary(struct gguf_writer *w, struct weir_error *err)
{
	mode_t mask = umask(0);

	umask(mask);
	if (asprintf(&w->temporary, "%s.part-XXXXXX", w->path) < 0) {
		w->temporary = NULL;
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	}
	w->fd = mkostemp(w->temporary, O_CLOEXEC);
	if (w->fd < 0) {
		int number = errno;

		free(w->temporary);
		w->temporary = NULL;
		return fail_errno(err, w->path, "made", number);
	}
	if (fchmod(w->fd, 0666 & ~mask) != 0)
		return fail_errno(err, w->path, "made", errno);
	return WEIR_OK;
}

weir_status gguf_writer_new(const char *path, bool replace, const struct weir_gguf *g,
			    const uint32_t *types, uint32_t file_type, struct gguf_writer **ret,
			    struct weir_error *err)
{
	struct gguf_writer *w;
	struct bytes head = { NULL, 0, 0, false };
	struct stat st;
	weir_status s;

	/* Renaming would put a file in the place of /dev/null. */
	if (replace && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return weir_fail(err, WEIR_E_INVALID,
				 "%.300s is %s, no file that could be replaced", path,
				 S_ISDIR(st.st_mode) ? "a directory" : "a device or the like");
	if (!replace && lstat(path, &st) == 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "%.300s is there already: name another file, or add --force to "
				 "replace it",
				 path);
	w = calloc(1, sizeof(*w));
	if (!w)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	w->fd = -1;
	w->replace = replace;
	w->path = strdup(path);
	build_head(g, types, file_type, &head, &w->total);
	if (!w->path || head.failed)
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the file's header");
	else if ((s = open_temporary(w, err)) == WEIR_OK && (s = make_room(w, err)) == WEIR_OK)
		s = gguf_writer_put(w, head.data, head.len, err);
	free(head.data);
	if (s != WEIR_OK) {
		gguf_writer_free(w);
		return s;
	}
	*ret = w;
	return WEIR_OK;
}

weir_status gguf_writer_put(struct gguf_writer *w, const void *data, size_t n,
			    struct weir_error *err)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t got = write(w->fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fail_errno(err, w->path, "written", got < 0 ? errno : EIO);
		p += got;
		n -= (size_t)got;
		w->at += (uint64_t)got;
	}
	return WEIR_OK;
}

weir_status gguf_writer_tensor_end(struct gguf_writer *w, struct weir_error *err)
{
	static const uint8_t zeros[ALIGN];

	return gguf_writer_put(w, zeros, (size_t)(padded(w->at) - w->at), err);
}

weir_status gguf_writer_finish(struct gguf_writer *w, struct weir_error *err)
{
	int got;

	if (w->at != w->total)
		return weir_fail(err, WEIR_E_INTERNAL, "%.300s: %" PRIu64 " bytes of %" PRIu64,
				 w->path, w->at, w->total);
	if (fsync(w->fd) != 0 || close(w->fd) != 0) {
		w->fd = -1;
		return fail_errno(err, w->path, "written", errno);
	}
	w->fd = -1;
	got = renameat2(AT_FDCWD, w->temporary, AT_FDCWD, w->path,
			w->replace ? 0 : RENAME_NOREPLACE);
	if (got != 0 && errno == EINVAL) /* a file system without that flag */
		got = rename(w->temporary, w->path);
	if (got != 0)
		return fail_errno(err, w->path, "put in place", errno);
	w->done = true;
	return WEIR_OK;
}

void gguf_writer_free(struct gguf_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	if (w->temporary && !w->done)
		unlink(w->temporary);
	free(w->temporary);
	free(w->path);
	free(w);
}

uint64_t gguf_writer_bytes(const struct gguf_writer *w)
{
	return w->total;
}
