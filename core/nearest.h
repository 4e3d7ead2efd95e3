/*
 * core/nearest.h - the name that was probably meant. Pure, any thread.
 */
#ifndef WEIR_CORE_NEAREST_H
#define WEIR_CORE_NEAREST_H

#include <stddef.h>

/* The candidate with the smallest edit distance to word (insert, delete, replace, swap two
 * neighbours: Damerau 1964), or NULL when none is near: a third of the word's length, at least 1,
 * at most 3. Ties: the first. Case is ignored. */
const char *weir_nearest(const char *word, const char *const *candidates, size_t n);

#endif
