/* SPDX-License-Identifier: MIT */
/*
 * weight-reader.c - see weight-reader.h.
 */
#include "weight-reader.h"
#include "fail.h"

#include <sys/mman.h>

#define PIECE_BYTES ((uint64_t)1 << 20) /* that one thread reads at a time */
#define ROOM_GRAIN  ((uint64_t)2 << 20) /* a huge page */

/* What a device reads from. */
struct source {
	struct weir_source base; /* first */
	const struct weir_host_log *log;
	const struct weir_gguf_tensor *t;
	uint64_t at, n;
	atomic_bool failed;
};

static weir_status read_source(const struct weir_source *base, uint64_t at, void *ret, size_t n,
			       struct weir_error *err)
{
	struct source *x = (struct source *)(uintptr_t)base;
	weir_status s = weir_host_go_on(x->log, err);

	if (s == WEIR_OK && (at > x->n || n > x->n - at))
		return weir_fail(err, WEIR_E_INVALID, "a weight has %llu bytes",
				 (unsigned long long)x->n);
	if (s == WEIR_OK)
		s = weir_gguf_read(x->t, x->at + at, ret, n, err);
	if (s != WEIR_OK)
		atomic_store(&x->failed, true);
	return s;
}

static bool make_room(struct weir_weight_reader *r, uint64_t n)
{
	uint64_t room = (n + ROOM_GRAIN - 1) / ROOM_GRAIN * ROOM_GRAIN;
	void *p;

	if (r->room >= n)
		return true;
	if (room > SIZE_MAX / 2)
		return false;
	weir_weight_reader_clear(r);
	p = mmap(NULL, (size_t)room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	/* a wish: without it all works the same */
	madvise(p, (size_t)room, MADV_HUGEPAGE);
	r->data = p;
	r->room = (size_t)room;
	return true;
}

struct reading {
	struct source *source;
	uint8_t *ret;
	atomic_int status;
	struct weir_error why; /* of who set the status */
};

static void read_piece(void *data, uint32_t i)
{
	struct reading *x = data;
	uint64_t first = i * PIECE_BYTES, left = x->source->n - first;
	struct weir_error why = { 0 };
	weir_status s;
	int none = WEIR_OK;

	if (atomic_load(&x->status) != WEIR_OK)
		return;
	s = read_source(&x->source->base, first, x->ret + first,
			(size_t)(left < PIECE_BYTES ? left : PIECE_BYTES), &why);
	if (s != WEIR_OK && atomic_compare_exchange_strong(&x->status, &none, s))
		x->why = why;
}

/* All of it, into the reader's memory. */
static weir_status read_all(struct weir_weight_reader *r, struct source *source,
			    struct weir_error *err)
{
	uint64_t n_pieces = (source->n + PIECE_BYTES - 1) / PIECE_BYTES;
	struct reading x = { .source = source };

	if (!make_room(r, source->n) || n_pieces > UINT32_MAX)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory to read %llu bytes",
				 (unsigned long long)source->n);
	x.ret = r->data;
	if (n_pieces > 1 && r->device->parallel)
		r->device->parallel(r->instance, (uint32_t)n_pieces, read_piece, &x);
	else
		for (uint32_t i = 0; i < n_pieces; i++)
			read_piece(&x, i);
	if (atomic_load(&x.status) != WEIR_OK && err)
		*err = x.why;
	return atomic_load(&x.status);
}

weir_status weir_weight_give(struct weir_weight_reader *r, const struct weir_gguf_tensor *t,
			     uint64_t at, uint64_t n, const struct weir_weight_shape *shape,
			     weir_buffer **ret, bool *ret_device, struct weir_error *err)
{
	const struct weir_device *d = r->device;
	struct source source = { .base = { .size = sizeof(source.base), .read = read_source },
				 .log = r->log,
				 .t = t,
				 .at = at,
				 .n = n };
	weir_status s;

	*ret_device = false;
	/* While this becomes a weight, the disk brings what is likely to be next. */
	weir_gguf_read_ahead(t, at + n, n);
	if (WEIR_HAS(struct weir_device, d, weight_from) && shape->divisor == 1.0f) {
		s = d->weight_from(r->instance, t->type, shape->n_in, shape->n_out, shape->use,
				   &source.base, ret, err);
		*ret_device = !atomic_load(&source.failed);
		return s;
	}
	s = read_all(r, &source, err);
	if (s != WEIR_OK)
		return s;
	for (uint64_t i = 0; shape->divisor != 1.0f && i < n / sizeof(float); i++)
		((float *)(void *)r->data)[i] /= shape->divisor;
	*ret_device = true;
	return d->weight(r->instance, t->type, shape->n_in, shape->n_out, shape->use, r->data, ret,
			 err);
}

void weir_weight_reader_clear(struct weir_weight_reader *r)
{
	if (r->data)
		munmap(r->data, r->room);
	r->data = NULL;
	r->room = 0;
}
