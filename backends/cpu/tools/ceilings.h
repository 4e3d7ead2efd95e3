/* SPDX-License-Identifier: MIT */
/*
 * ceilings.h - what this machine can do, measured: reading, int8, bf16 and float arithmetic. For
 * `weir bench` and tests/bench, so that every figure carries the limits of its own hour. [main]
 */
#ifndef WEIR_CPU_CEILINGS_H
#define WEIR_CPU_CEILINGS_H

#include "cpu.h"

enum { CEILINGS_LEAST = 64 << 20 }; /* bytes: more than caches hold */

/* Bytes or operations a second; 0: not known. */
struct ceilings {
	double read;            /* all threads of the pool */
	double read_one;        /* one thread */
	double int8, bf16, f32; /* dot products and fused multiply-adds, all threads */
};

/* Seconds: of wall time, or of the caller's own work. */
double ceilings_now(bool cpu_time);

/* The best of some rounds over at least `bytes`. False: no memory. */
bool ceilings_find(struct weir_cpu *cpu, size_t bytes, bool cpu_time, struct ceilings *ret);

/* Only reading, of data that is there: short, to be done between measurements. 0: no memory. */
double ceilings_read(struct weir_pool *pool, const void *data, size_t bytes, unsigned rounds,
		     bool cpu_time);

#endif
