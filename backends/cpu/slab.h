/* SPDX-License-Identifier: MIT */
/*
 * slab.h - memory for matrices, in mappings that many of them share. Thread-safe.
 */
#ifndef WEIR_CPU_SLAB_H
#define WEIR_CPU_SLAB_H

#include <stdbool.h>
#include <stddef.h>

struct weir_cpu_slabs;

/* NULL: no memory. [any] */
struct weir_cpu_slabs *weir_cpu_slabs_new(bool huge_pages);

/* With all that was not returned. NULL: nothing. [any] */
void weir_cpu_slabs_free(struct weir_cpu_slabs *s);

/* Zeroed memory at the beginning of a page; bytes > 0. NULL when there is none. [any] */
void *weir_cpu_slab_take(struct weir_cpu_slabs *s, size_t bytes);

/* What take() gave; NULL: nothing. [any] */
void weir_cpu_slab_return(struct weir_cpu_slabs *s, void *p);

#endif
