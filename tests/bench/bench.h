/*
 * bench.h - what the parts of bench-cpu share: clock, ceilings, records.
 */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <stdio.h>

#include "ceilings.h"
#include "cpu.h"

enum { BENCH_MAX_REPEATS = 32 };

struct bench {
	struct weir_cpu *cpu;
	struct weir_instance *instance;
	struct ceilings ceilings;
	size_t total;     /* bytes of weights to go through */
	unsigned repeats; /* of each measurement */
	FILE *json;       /* or NULL: a list of figures is being written to it */
	unsigned n_figures;
};

/* Seconds; CPU time of the caller where the pool has one thread, else wall time. */
double bench_now(const struct bench *b);
_Noreturn void bench_die(const char *what);

/* Bytes that are valid weights or cached values of every type: no scale is a NaN. */
void bench_fill(uint8_t *p, size_t n);

/* Seconds of b->repeats runs of a program. */
void bench_run(struct bench *b, weir_program *p, const struct weir_device_batch *batch,
	       double *ret_seconds);

/* `amount` was done in each of b->repeats times: writes the figure to the JSON list with its share
 * of `ceiling` (0: none), and returns the best rate. */
double bench_record(struct bench *b, const char *name, const char *unit, double amount,
		    const double *seconds, double ceiling);

void bench_linear(struct bench *b);
void bench_attention(struct bench *b);

#endif
