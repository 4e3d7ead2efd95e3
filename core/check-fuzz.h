/*
 * core/check-fuzz.h - section fuzz of `weir check`: what its cases share. Each is a row of rounds,
 * every round with a seed of its own, so that a crash names the one round that repeats it.
 *
 * Main thread of a case's child only.
 */
#ifndef WEIR_CORE_CHECK_FUZZ_H
#define WEIR_CORE_CHECK_FUZZ_H

#include <weir/base.h>

#include "check.h"

struct weir_check_fuzz {
	struct weir_check *check;
	uint64_t seed; /* of this round */
	unsigned n_rounds;
	int64_t end; /* of the case */
	GRand *rand;
};

void weir_check_fuzz_init(struct weir_check_fuzz *, struct weir_check *);
/* Begins a round; false: it was the last, or something has failed. */
bool weir_check_fuzz_round(struct weir_check_fuzz *);
/* Notes the number of rounds. */
void weir_check_fuzz_end(struct weir_check_fuzz *);
/* What is about to be done, and how to repeat it: for when it crashes or hangs. */
void weir_check_fuzz_at(struct weir_check_fuzz *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A failure, with how to repeat it. */
void weir_check_fuzz_fail(struct weir_check_fuzz *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* 0 .. n, small numbers as likely as large ones. */
size_t weir_check_fuzz_size(struct weir_check_fuzz *, size_t n);
void weir_check_fuzz_bytes(struct weir_check_fuzz *, GString *to, size_t n);
/* Some changes of a text: bytes, pieces, numbers, words that parsers fear; or all of it replaced:
 * by noise, by ten thousands of brackets, by a megabyte. */
void weir_check_fuzz_text(struct weir_check_fuzz *, GString *text);
/* After a call: an error needs a reason that ends. False after a failure. */
bool weir_check_fuzz_judge(struct weir_check_fuzz *, const char *what, weir_status,
			   const struct weir_error *);

#endif
