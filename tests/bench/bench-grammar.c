/*
 * bench-grammar.c - what grammars cost: compiling, the tree of the vocabulary, masks along random
 * walks (issue B: compile within 5 ms, masks of 100 us on average, of 2 ms at the 99th percentile).
 *
 *   bench-grammar VOCABULARY.gguf FILE...     *.json: schemas; *.gbnf, *.regex: as they are
 *
 * Every walk starts from a grammar that remembers what the walks before left in it, the first from
 * a fresh one, as requests do. `cold` is the first walk alone. Times are of the thread's CPU clock,
 * so that a busy machine changes less. Every mask counts, remembered ones too.
 */
#include "grammar-walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WALKS = 12, TOKENS = 120, MOST = 1500, MASKS = 2000000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct times {
	double *at;
	size_t n;
};

static void show(const struct times *t)
{
	double sum = 0;

	for (size_t i = 0; i < t->n; i++)
		sum += t->at[i];
	qsort(t->at, t->n, sizeof(*t->at), compare);
	if (t->n > 0)
		printf(" %8.1f %8.1f %8.1f %8.1f", sum / (double)t->n, t->at[t->n / 2],
		       t->at[t->n * 99 / 100], t->at[t->n - 1]);
}

/* The file as the request's field: {"type": ..., "value": ...}. */
static char *spec_of(const char *path)
{
	const char *dot = strrchr(path, '.');
	FILE *f = fopen(path, "rb");
	static char text[4 << 20], spec[10 << 20];
	size_t n, at;

	if (!f || !dot) {
		fprintf(stderr, "bench-grammar: %s cannot be read\n", path);
		exit(1);
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	if (strcmp(dot, ".json") == 0) {
		snprintf(spec, sizeof(spec), "{\"type\":\"json_schema\",\"value\":%s}", text);
		return spec;
	}
	while (strcmp(dot, ".regex") == 0 && n > 0 && text[n - 1] == '\n')
		n--;
	at = (size_t)snprintf(spec, sizeof(spec), "{\"type\":\"%s\",\"value\":\"", dot + 1);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(spec + at, sizeof(spec) - at,
				       text[i] == '"' || text[i] == '\\' ? "\\%c"
				       : (unsigned char)text[i] < 0x20   ? "\\u%04x"
									 : "%c",
				       text[i]);
	snprintf(spec + at, sizeof(spec) - at, "\"}");
	return spec;
}

static _Noreturn void die(const char *path, const struct weir_error *err)
{
	fprintf(stderr, "bench-grammar: %s: %s\n", path, err->text);
	exit(1);
}

static void walk(const struct walk_vocab *v, weir_grammar *g, const char *path, uint64_t *seed,
		 uint32_t *mask, struct times *a, struct times *b)
{
	weir_grammar_state *st = NULL;
	struct weir_error err = { 0 };

	if (weir_grammar_state_new(g, &st, &err) != WEIR_OK)
		die(path, &err);
	for (int i = 0; i < MOST && !weir_grammar_finished(st); i++) {
		double start = now(), took;
		int32_t token;

		if (weir_grammar_mask(st, mask, &err) != WEIR_OK)
			die(path, &err);
		took = now() - start;
		if (a->n < MASKS)
			a->at[a->n++] = took;
		if (b && b->n < MASKS)
			b->at[b->n++] = took;
		token = walk_pick(v, mask, seed, i > TOKENS);
		if (weir_grammar_accept(st, token, &err) != WEIR_OK)
			die(path, &err);
	}
	weir_grammar_state_free(st);
}

int main(int argc, char **argv)
{
	struct walk_vocab v;
	struct weir_grammar_engine *engine;
	struct weir_error err = { 0 };
	struct times all = { malloc(MASKS * sizeof(double)), 0 }, cold = all, one = all,
		     compiles = all;
	weir_grammar *g;
	uint32_t *mask;
	uint64_t seed = 88172645463325252u;
	double start;

	if (argc < 3) {
		fprintf(stderr, "usage: bench-grammar VOCABULARY.gguf FILE...\n");
		return 2;
	}
	cold.at = malloc(MASKS * sizeof(double));
	one.at = malloc(MASKS * sizeof(double));
	compiles.at = malloc(MASKS * sizeof(double));
	walk_open(&v, argv[1]);
	mask = calloc(v.source.n_vocab / 32 + 1, sizeof(*mask));
	if (!all.at || !cold.at || !one.at || !compiles.at || !mask ||
	    weir_grammar_engine_new(&v.source, &engine, &err) != WEIR_OK)
		return 1;
	start = now();
	if (weir_grammar_compile(engine, (struct weir_str){ "{\"type\":\"json_object\"}", 22 }, &g,
				 &err) != WEIR_OK)
		die("json_object", &err);
	printf("%u tokens; the tree and what JSON allows: %.1f ms, once for a model\n",
	       v.source.n_vocab, (now() - start) / 1e3);
	weir_grammar_unref(g);
	printf("%-28s %8s %8s %8s %8s %8s %8s %8s\n", "microseconds", "compile", "masks", "average",
	       "p50", "p99", "most", "KiB");
	for (int i = 2; i < argc; i++) {
		const char *name = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];
		char *spec = spec_of(argv[i]);

		start = now();
		if (weir_grammar_compile(engine, (struct weir_str){ spec, strlen(spec) }, &g,
					 &err) != WEIR_OK)
			die(argv[i], &err);
		compiles.at[compiles.n++] = now() - start;
		printf("%-28s %8.0f", name, compiles.at[compiles.n - 1]);
		one.n = 0;
		for (int k = 0; k < WALKS; k++) {
			size_t from = one.n;

			walk(&v, g, name, &seed, mask, &one, k == 0 ? &cold : NULL);
			for (; from < one.n && all.n < MASKS; from++)
				all.at[all.n++] = one.at[from];
		}
		printf(" %8zu", one.n);
		show(&one);
		printf(" %8zu\n", weir_grammar_bytes(g) / 1024);
		weir_grammar_unref(g);
	}
	printf("%-28s %8s %8zu", "all", "", all.n);
	show(&all);
	printf("\n%-28s %8s %8zu", "cold", "", cold.n);
	show(&cold);
	printf("\n%-28s %8s %8zu", "compile", "", compiles.n);
	show(&compiles);
	printf("\n");
	weir_grammar_engine_free(engine);
	free(all.at);
	free(cold.at);
	free(one.at);
	free(compiles.at);
	free(mask);
	walk_close(&v);
	return 0;
}
