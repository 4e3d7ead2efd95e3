/*
 * bench-cpu.c - how fast the CPU device is against what this machine can do. Not a test.
 *
 *     bench-cpu [-t THREADS] [-m MIB] [-r REPEATS] [-o linear|attention] [--json FILE]
 *
 * First the ceilings: how fast memory is read, and how many int8, bf16 and float operations a
 * second the vector units do; then LINEAR and ATTENTION as shares of them. Shown is the best of
 * the repeats; with one thread the clock counts CPU time, so that a busy machine disturbs it less.
 * WEIR_ISA chooses the kernels. --json appends one line with every repeat to a history, which
 * compare.py reads.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

double bench_now(const struct bench *b)
{
	return ceilings_now(weir_pool_n_threads(b->cpu->pool) == 1);
}

_Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "bench-cpu: %s\n", what);
	exit(1);
}

void bench_fill(uint8_t *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24) & 0xbf;
	}
}

void bench_run(struct bench *b, weir_program *p, const struct weir_device_batch *batch,
	       double *ret_seconds)
{
	struct weir_error err = { 0 };

	for (unsigned i = 0; i < b->repeats; i++) {
		double t = bench_now(b);

		if (weir_cpu_run(b->instance, p, batch, &err))
			bench_die(err.text);
		ret_seconds[i] = bench_now(b) - t;
	}
}

double bench_record(struct bench *b, const char *name, const char *unit, double amount,
		    const double *seconds, double ceiling)
{
	double best = 0;

	for (unsigned i = 0; i < b->repeats; i++)
		best = amount / seconds[i] > best ? amount / seconds[i] : best;
	if (!b->json)
		return best;
	fprintf(b->json, "%s\"%s\": {\"unit\": \"%s\", \"best\": %.6g, \"share\": ",
		b->n_figures++ ? ", " : "", name, unit, best);
	if (ceiling > 0)
		fprintf(b->json, "%.4f, \"all\": [", best / ceiling);
	else
		fprintf(b->json, "null, \"all\": [");
	for (unsigned i = 0; i < b->repeats; i++)
		fprintf(b->json, "%s%.6g", i ? ", " : "", amount / seconds[i]);
	fprintf(b->json, "]}");
	return best;
}

static void write_head(struct bench *b)
{
	const struct ceilings *c = &b->ceilings;

	if (!b->json)
		return;
	/* the name is the processor's own: letters, digits and harmless signs */
	fprintf(b->json,
		"{\"time\": %lld, \"machine\": \"%s\", \"threads\": %u, \"ceilings\": {\"read\": "
		"%.6g, \"read_one\": %.6g, \"int8\": %.6g, \"bf16\": %.6g, \"f32\": %.6g}, "
		"\"figures\": {",
		(long long)time(NULL), b->cpu->name, weir_pool_n_threads(b->cpu->pool), c->read,
		c->read_one, c->int8, c->bf16, c->f32);
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || !n || n > max)
		bench_die("a number is out of range");
	return n;
}

int main(int argc, char **argv)
{
	struct weir_cpu_instance data = { NULL, NULL };
	struct weir_instance instance = { .size = sizeof(instance), .data = &data };
	struct bench b = { .instance = &instance, .total = 256u << 20, .repeats = 5 };
	const char *only = "", *json = NULL;
	struct weir_error err = { 0 };
	uint32_t n_threads = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!value)
			bench_die("usage: bench-cpu [-t THREADS] [-m MIB] [-r REPEATS] "
				  "[-o linear|attention] [--json FILE]");
		if (!strcmp(argv[i], "-t"))
			n_threads = (uint32_t)number(value, 1024);
		else if (!strcmp(argv[i], "-m"))
			b.total = number(value, 1 << 20) << 20;
		else if (!strcmp(argv[i], "-r"))
			b.repeats = (unsigned)number(value, BENCH_MAX_REPEATS);
		else if (!strcmp(argv[i], "-o"))
			only = value;
		else if (!strcmp(argv[i], "--json"))
			json = value;
		else
			bench_die("unknown option");
		i++;
	}
	if (weir_cpu_new(n_threads, true, &data.cpu, &err))
		bench_die(err.text);
	b.cpu = data.cpu;
	if (json && !(b.json = fopen(json, "ae")))
		bench_die("could not open the history");
	printf("%s%s\n", b.cpu->name, weir_pool_n_threads(b.cpu->pool) == 1 ? ", CPU time" : "");
	if (!ceilings_find(b.cpu, b.total, weir_pool_n_threads(b.cpu->pool) == 1, &b.ceilings))
		bench_die("no memory");
	write_head(&b);
	printf("ceilings: read %.1f GB/s (one thread %.1f), int8 dot %.0f Gop/s, bf16 dot %.0f, "
	       "float %.0f\n",
	       b.ceilings.read * 1e-9, b.ceilings.read_one * 1e-9, b.ceilings.int8 * 1e-9,
	       b.ceilings.bf16 * 1e-9, b.ceilings.f32 * 1e-9);
	if (strcmp(only, "attention"))
		bench_linear(&b);
	if (strcmp(only, "linear"))
		bench_attention(&b);
	if (b.json && (fprintf(b.json, "}}\n") < 0 || fclose(b.json)))
		bench_die("could not write the history");
	weir_cpu_free(data.cpu);
	return 0;
}
