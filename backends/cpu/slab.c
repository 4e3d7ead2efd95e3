/* SPDX-License-Identifier: MIT */
/*
 * slab.c - memory for matrices: many small ones share large mappings.
 *
 * Called while weights are loaded or freed, on any thread. A mapping of its own is too small for
 * pages of 2 MiB where a model's matrices are, and then every step looks up thousands of pages. A
 * slab gives its bytes away once, in order, so that what it gives is always zero, and goes when its
 * last user has gone.
 */
#include "slab.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cpu.h"

enum { PAGE = 2 * 1024 * 1024, SLAB = 64 * 1024 * 1024, ALIGN = 4096 };

struct slab {
	struct slab *next;
	uint8_t *data;
	size_t bytes, used;
	size_t n_users;
};

struct weir_cpu_slabs {
	pthread_mutex_t lock;
	struct slab *first; /* the one that gives */
	bool huge_pages;
};

struct weir_cpu_slabs *weir_cpu_slabs_new(bool huge_pages)
{
	struct weir_cpu_slabs *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (pthread_mutex_init(&s->lock, NULL)) {
		free(s);
		return NULL;
	}
	s->huge_pages = huge_pages;
	return s;
}

static void slab_free(struct slab *slab)
{
	weir_cpu_unmap(slab->data, slab->bytes);
	free(slab);
}

void weir_cpu_slabs_free(struct weir_cpu_slabs *s)
{
	if (!s)
		return;
	while (s->first) {
		struct slab *slab = s->first;

		s->first = slab->next;
		slab_free(slab);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Of whole pages of 2 MiB, and begins with one; what is not written takes no memory. */
static struct slab *slab_new(size_t bytes, bool huge_pages)
{
	struct slab *slab = calloc(1, sizeof(*slab));
	size_t before, whole;
	uint8_t *data;

	if (!slab || __builtin_add_overflow(bytes, PAGE - 1, &whole))
		goto fail;
	whole -= whole % PAGE;
	if (__builtin_add_overflow(whole, PAGE, &bytes))
		goto fail;
	data = weir_cpu_map(bytes, false);
	if (!data)
		goto fail;
	before = (PAGE - (uintptr_t)data % PAGE) % PAGE;
	if (before)
		munmap(data, before);
	munmap(data + before + whole, PAGE - before);
	slab->data = data + before;
	slab->bytes = whole;
	if (huge_pages)
		madvise(slab->data, whole, MADV_HUGEPAGE); /* a wish */
	return slab;
fail:
	free(slab);
	return NULL;
}

void *weir_cpu_slab_take(struct weir_cpu_slabs *s, size_t bytes)
{
	struct slab *slab;
	uint8_t *p = NULL;

	if (bytes > SIZE_MAX - ALIGN)
		return NULL;
	bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	pthread_mutex_lock(&s->lock);
	slab = s->first;
	if (!slab || slab->bytes - slab->used < bytes) {
		slab = slab_new(bytes > SLAB ? bytes : SLAB, s->huge_pages);
		if (slab && s->first && s->first->bytes - s->first->used > slab->bytes - bytes) {
			slab->next = s->first->next; /* the first has more left to give */
			s->first->next = slab;
		} else if (slab) {
			slab->next = s->first;
			s->first = slab;
		}
	}
	if (slab) {
		p = slab->data + slab->used;
		slab->used += bytes;
		slab->n_users++;
	}
	pthread_mutex_unlock(&s->lock);
	return p;
}

void weir_cpu_slab_return(struct weir_cpu_slabs *s, void *p)
{
	struct slab **at, *gone = NULL;

	if (!p)
		return;
	pthread_mutex_lock(&s->lock);
	for (at = &s->first; *at; at = &(*at)->next) {
		uintptr_t from = (uintptr_t)(*at)->data;

		if ((uintptr_t)p < from || (uintptr_t)p - from >= (*at)->bytes)
			continue;
		if (--(*at)->n_users == 0) {
			gone = *at;
			*at = gone->next;
		}
		break;
	}
	pthread_mutex_unlock(&s->lock);
	if (gone)
		slab_free(gone);
}
