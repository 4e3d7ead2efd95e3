/* SPDX-License-Identifier: MIT */
/*
 * gguf-file.c - the bytes of a model file; see gguf.h. Opened and closed where a model loads, read
 * by any thread.
 *
 * Nothing is mapped: pages of a file that somebody shortens, or that a disk or a network cannot
 * bring, would end the process. The header grows in memory of ours as the parser asks for it, in
 * one reservation that takes no memory before it is written, so that pointers into it stay.
 */
#include "fail.h"
#include "gguf-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_AT_ONCE ((size_t)1 << 30)   /* below what one call of any system takes */
#define HEAD_STEP    ((size_t)256 << 10) /* of the header, at least */

static weir_status refuse_open(struct weir_error *err, const char *path, int why)
{
	weir_status code = why == ENOENT || why == ENOTDIR       ? WEIR_E_NOT_FOUND
			   : why == EACCES || why == EPERM       ? WEIR_E_DENIED
			   : why == ENOMEM || why == EMFILE      ? WEIR_E_EXHAUSTED
			   : why == ELOOP || why == ENAMETOOLONG ? WEIR_E_INVALID
								 : WEIR_E_UNAVAILABLE;

	return weir_fail(err, code, "%s: cannot open the model file: %s", path, strerror(why));
}

static size_t whole_pages(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

static weir_status reserve_head(struct weir_gguf *g, struct weir_error *err)
{
	size_t n = g->len < GGUF_MAX_HEADER ? (size_t)g->len : GGUF_MAX_HEADER;
	void *p;

	if (n == 0)
		return WEIR_OK;
	p = mmap(NULL, whole_pages(n), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return weir_fail(err, WEIR_E_EXHAUSTED, "%s: no address space for its header",
				 g->path);
	g->base = p;
	g->room = n;
	return WEIR_OK;
}

weir_status gguf_file_open(struct weir_gguf *g, const char *path, struct weir_error *err)
{
	struct stat info;

	/* Non-blocking, so that a FIFO is refused instead of waited for. */
	g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (g->fd < 0 || fstat(g->fd, &info) < 0)
		return refuse_open(err, g->path, errno);
	if (S_ISDIR(info.st_mode))
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: is a directory; name the .gguf file in it", g->path);
	if (!S_ISREG(info.st_mode))
		return weir_fail(err, WEIR_E_INVALID,
				 "%s: is not a regular file, which a model must be", g->path);
	g->len = (uint64_t)info.st_size;
	g->changed = info.st_mtim;
	return reserve_head(g, err);
}

static weir_status read_at(const struct weir_gguf *g, uint64_t at, void *ret, size_t n,
			   struct weir_error *err)
{
	uint8_t *to = ret;

	while (n > 0) {
		ssize_t got = pread(g->fd, to, n < READ_AT_ONCE ? n : READ_AT_ONCE, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return weir_fail(err, WEIR_E_UNAVAILABLE,
					 "%s: byte %" PRIu64 " cannot be read: %s", g->path, at,
					 strerror(errno));
		if (got == 0)
			return weir_fail(err, WEIR_E_UNAVAILABLE,
					 "%s: ended at byte %" PRIu64 " of %" PRIu64
					 "; the file was changed while it was read: load it again "
					 "when it is whole",
					 g->path, at, g->len);
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return WEIR_OK;
}

weir_status gguf_file_need(struct weir_gguf *g, size_t n, struct weir_error *err)
{
	size_t more;
	weir_status status;

	if (n <= g->n_head)
		return WEIR_OK;
	more = n - g->n_head < HEAD_STEP ? HEAD_STEP : n - g->n_head;
	if (more > g->room - g->n_head)
		more = g->room - g->n_head;
	status = read_at(g, g->n_head, (uint8_t *)(uintptr_t)g->base + g->n_head, more, err);
	if (status == WEIR_OK)
		g->n_head += more;
	return status;
}

void gguf_file_trim(struct weir_gguf *g, size_t n)
{
	size_t keep = whole_pages(n), all = whole_pages(g->room);

	if (keep >= all || munmap((void *)(uintptr_t)(g->base + keep), all - keep) < 0)
		return;
	g->room = keep;
	g->n_head = n;
}

void gguf_file_close(struct weir_gguf *g)
{
	if (g->room > 0)
		munmap((void *)(uintptr_t)g->base, whole_pages(g->room));
	if (g->fd >= 0)
		close(g->fd);
}

weir_status weir_gguf_read(const struct weir_gguf_tensor *t, uint64_t at, void *ret, size_t n,
			   struct weir_error *err)
{
	const struct weir_gguf *g = t->file;

	if (at > t->n_bytes || n > t->n_bytes - at)
		return weir_fail(err, WEIR_E_INVALID, "%s: tensor '%s' has %" PRIu64 " bytes",
				 g->path, weir_quote(t->name).text, t->n_bytes);
	if (g->fd >= 0)
		return read_at(g, t->offset + at, ret, n, err);
	if (n > 0)
		memcpy(ret, g->base + t->offset + at, n);
	return WEIR_OK;
}

void weir_gguf_read_ahead(const struct weir_gguf_tensor *t, uint64_t at, uint64_t n)
{
	const struct weir_gguf *g = t->file;

	if (g->fd >= 0 && at <= INT64_MAX / 2 && n > 0 && n <= INT64_MAX / 4)
		(void)posix_fadvise(g->fd, (off_t)(t->offset + at), (off_t)n, POSIX_FADV_WILLNEED);
}

weir_status weir_gguf_check_unchanged(const struct weir_gguf *g, struct weir_error *err)
{
	struct stat info;
	weir_status status = WEIR_OK;

	if (g->fd >= 0) {
		if (fstat(g->fd, &info) < 0)
			return refuse_open(err, g->path, errno);
		if ((uint64_t)info.st_size != g->len || info.st_mtim.tv_sec != g->changed.tv_sec ||
		    info.st_mtim.tv_nsec != g->changed.tv_nsec)
			return weir_fail(
				err, WEIR_E_UNAVAILABLE,
				"%s: the file was changed while it was read: load it again "
				"when it is whole",
				g->path);
	}
	for (size_t i = 0; i < g->n_parts && status == WEIR_OK; i++)
		status = weir_gguf_check_unchanged(g->parts[i], err);
	return status;
}
