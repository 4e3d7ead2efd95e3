/* SPDX-License-Identifier: MIT */
/*
 * bench.c - `weir bench model`: how fast a model runs, against what this machine allows. [main]
 *
 * The cases take turns, repeat by repeat, and the rate of reading is measured again before each:
 * on a machine that others use too, only what was measured side by side can be compared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench-case.h"
#include "model.h"

enum { BAR = 24, MAX_BATCHES = 12, PROBE_BYTES = 256 << 20 };

static const char help[] =
	"weir bench model FILE [-p N] [-n N] [-b LIST] [-c LIST] [-r N] [-t N] [--kv TYPE] "
	"[--json]\n"
	"\n"
	"Measures how fast a model runs on this processor: a prompt, answers to one and to many "
	"at\n"
	"once, answers deep in a context. Each figure comes with the share of what the machine\n"
	"allows, which is measured in the same run: how fast memory is read, how much arithmetic\n"
	"its units do.\n"
	"\n"
	"  -p N       tokens of the prompt; 512; 0: none\n"
	"  -n N       tokens of an answer; 64\n"
	"  -b LIST    sequences that are answered together; 1,4,8,16\n"
	"  -c LIST    positions that are in the cache before an answer begins, one sequence; none\n"
	"  -r N       repeats of each; 3\n"
	"  -t N       threads; all cores when left out\n"
	"  --kv TYPE  numbers of the KV cache: f16, bf16, q8_0 or f32; f16\n"
	"  --json     every repeat of every figure, for programs\n"
	"\n"
	"Examples\n"
	"  weir bench model llama-q4.gguf\n"
	"  weir bench model llama-q4.gguf -p 512 -n 128 -b 1,4,8,16 -c 8192 -r 5\n"
	"  weir bench model llama-q4.gguf --json >> history.jsonl\n"
	"\n"
	"A figure is the median of the repeats, +- half the distance between best and worst. The\n"
	"limit of an answer is reading all weights and the cache once for each step; that of a\n"
	"prompt is its multiplications. Other programs on the machine make both worse: look at\n"
	"shares rather than at tokens.\n"
	"\n" TOOL_EXIT_HELP;

struct bench {
	const struct tool *tool;
	const char *path, *kv;
	uint32_t prompt, answer, repeats, n_threads;
	bool json;
	uint32_t batches[MAX_BATCHES], depths[MAX_BATCHES], n_batches, n_depths;
	struct bench_case cases[BENCH_MAX_CASES];
	uint32_t n_cases;
	struct ceilings ceilings;
	double reads[BENCH_MAX_REPEATS * BENCH_MAX_CASES];
	uint32_t n_reads;
	double load_seconds;
	void *probe; /* PROBE_BYTES */
};

/* "1,4,8" */
static int read_list(const struct tool *tool, const char *name, const char *text, uint32_t max,
		     uint32_t *ret, uint32_t *ret_n)
{
	uint32_t n = 0;

	for (const char *p = text; *p;) {
		char *end;
		unsigned long v;

		errno = 0;
		v = strtoul(p, &end, 10);
		if (errno || end == p || v < 1 || v > max || (*end && *end != ',') ||
		    n == MAX_BATCHES)
			return tool_usage(tool,
					  "%s is '%.40s', it must be up to %d numbers from 1 to %u "
					  "with commas between",
					  name, text, MAX_BATCHES, max);
		ret[n++] = (uint32_t)v;
		p = end + (*end == ',');
	}
	*ret_n = n;
	return TOOL_GO_ON;
}

static void list_cases(struct bench *b)
{
	if (b->prompt)
		b->cases[b->n_cases++] =
			(struct bench_case){ .prefill = true, .n_rows = 1, .n_tokens = b->prompt };
	for (uint32_t i = 0; i < b->n_batches && b->answer && b->n_cases < BENCH_MAX_CASES; i++)
		b->cases[b->n_cases++] =
			(struct bench_case){ .n_rows = b->batches[i], .n_tokens = b->answer };
	for (uint32_t i = 0; i < b->n_depths && b->answer && b->n_cases < BENCH_MAX_CASES; i++)
		b->cases[b->n_cases++] = (struct bench_case){ .n_rows = 1,
							      .depth = b->depths[i],
							      .n_tokens = b->answer };
}

static void name_case(const struct bench_case *c, char *ret, size_t cap)
{
	if (c->prefill)
		snprintf(ret, cap, "prompt of %u", c->n_tokens);
	else if (c->depth)
		snprintf(ret, cap, "answer after %u", c->depth);
	else if (c->n_rows == 1)
		snprintf(ret, cap, "answer of %u", c->n_tokens);
	else
		snprintf(ret, cap, "%u answers of %u", c->n_rows, c->n_tokens);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Sorts. */
static double median(double *x, uint32_t n)
{
	qsort(x, n, sizeof(*x), compare);
	return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

struct summary {
	double rate, low, high, share; /* share 0: not known */
};

static struct summary sum_up(const struct bench_case *c, uint32_t n)
{
	double rates[BENCH_MAX_REPEATS], shares[BENCH_MAX_REPEATS];
	struct summary s;

	for (uint32_t i = 0; i < n; i++) {
		rates[i] = c->rate[i];
		shares[i] = c->limit[i] > 0 ? c->rate[i] / c->limit[i] : 0;
	}
	s.rate = median(rates, n);
	s.low = rates[0];
	s.high = rates[n - 1];
	s.share = median(shares, n);
	return s;
}

static weir_status open_session(struct bench *b, struct session **ret, struct weir_error *err)
{
	struct session_wish w = { .path = b->path,
				  .n_ctx = 32,
				  .max_sequences = 1,
				  .max_tokens = BENCH_BATCH,
				  .n_threads = b->n_threads,
				  .kv_type = b->kv,
				  .memory_free = UINT64_MAX / 4,
				  .plan = true,
				  .quiet = true };
	struct session *plan = NULL;
	uint32_t n_blocks = 1;
	weir_status status;
	double start;

	for (uint32_t i = 0; i < b->n_cases; i++) {
		const struct bench_case *c = &b->cases[i];

		w.max_sequences = c->n_rows > w.max_sequences ? c->n_rows : w.max_sequences;
		if (c->depth + c->n_tokens > w.n_ctx)
			w.n_ctx = c->depth + c->n_tokens;
	}
	/* A plan first: it tells how large a block is, so that the cache is not larger than the
	 * cases need. */
	status = session_new(b->tool, &w, &plan, err);
	if (status != WEIR_OK)
		return status;
	if (session_model(plan)->flags & WEIR_MODEL_ENCODER) {
		session_free(plan);
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
				     "%.300s is an embedding model: it makes no answers", b->path);
	}
	for (uint32_t i = 0; i < b->n_cases; i++) {
		uint32_t n = bench_case_blocks(&b->cases[i], session_model(plan)->block_tokens);

		n_blocks = n > n_blocks ? n : n_blocks;
	}
	w.kv_memory = session_model(plan)->bytes_kv / session_model(plan)->n_blocks * n_blocks;
	session_free(plan);
	w.kv_memory = w.kv_memory > 1024 ? w.kv_memory : 1024;
	w.memory_free = 0;
	w.plan = false;
	start = ceilings_now(false);
	status = session_new(b->tool, &w, ret, err);
	b->load_seconds = ceilings_now(false) - start;
	return status;
}

static weir_status measure(struct bench *b, struct bench_rig *rig, const struct bench_cost *cost,
			   struct weir_error *err)
{
	struct weir_pool *pool = session_cpu(rig->session)->pool;
	uint32_t total = b->n_cases * (b->repeats + 1), done = 0;
	char name[64];

	for (uint32_t r = 0; r <= b->repeats; r++)
		for (uint32_t i = 0; i < b->n_cases; i++) {
			struct bench_case *c = &b->cases[i];
			struct bench_case warm = *c;
			struct ceilings now = b->ceilings;
			double seconds = 0;
			weir_status status;

			name_case(c, name, sizeof(name));
			tool_bar(name, done++, total);
			/* the first round wakes caches and clocks and counts for nothing */
			if (r == 0) {
				warm.n_tokens =
					warm.prefill || warm.n_tokens < 4 ? warm.n_tokens : 4;
				status = bench_case_run(rig, &warm, &seconds, err);
				if (status != WEIR_OK)
					return status;
				continue;
			}
			now.read = ceilings_read(pool, b->probe, PROBE_BYTES, 2, false);
			status = bench_case_run(rig, c, &seconds, err);
			if (status != WEIR_OK)
				return status;
			b->reads[b->n_reads++] = now.read;
			c->rate[r - 1] = (double)c->n_tokens * c->n_rows / seconds;
			c->limit[r - 1] =
				now.read > 0 ? bench_case_limit(c, cost, &now, &c->by_memory) : 0;
		}
	tool_bar_end();
	return WEIR_OK;
}

static void print_json(struct bench *b, struct session *s)
{
	const struct weir_model *m = session_model(s);
	const struct ceilings *k = &b->ceilings;
	char name[64];

	printf("{\"file\": ");
	tool_json_text(stdout, b->path);
	printf(", \"model\": ");
	tool_json_text(stdout, m->summary);
	printf(", \"machine\": ");
	tool_json_text(stdout, session_cpu(s)->name);
	printf(", \"threads\": %u, \"kernels\": ", weir_pool_n_threads(session_cpu(s)->pool));
	tool_json_text(stdout, session_cpu(s)->kernels->name);
	printf(", \"version\": \"%s\", \"load_seconds\": %.6f, \"bytes_weights\": %llu,"
	       " \"ceilings\": {\"read\": %.6g, \"read_one\": %.6g, \"read_between\": %.6g, "
	       "\"int8\": %.6g, \"bf16\": %.6g, \"f32\": %.6g}, \"cases\": [",
	       WEIR_VERSION, b->load_seconds, (unsigned long long)m->bytes_weights, k->read,
	       k->read_one, median(b->reads, b->n_reads), k->int8, k->bf16, k->f32);
	for (uint32_t i = 0; i < b->n_cases; i++) {
		const struct bench_case *c = &b->cases[i];
		struct summary sum = sum_up(c, b->repeats);

		name_case(c, name, sizeof(name));
		printf("%s{\"name\": \"%s\", \"kind\": \"%s\", \"sequences\": %u, \"depth\": "
		       "%u, \"tokens\": %u, \"unit\": \"tok/s\", \"median\": %.6g, \"min\": %.6g, "
		       "\"max\": %.6g, \"limited_by\": \"%s\", \"share\": ",
		       i ? ", " : "", name, c->prefill ? "prefill" : "decode", c->n_rows, c->depth,
		       c->n_tokens, sum.rate, sum.low, sum.high,
		       c->by_memory ? "memory" : "arithmetic");
		printf(sum.share > 0 ? "%.4f, \"all\": [" : "null, \"all\": [", sum.share);
		for (uint32_t r = 0; r < b->repeats; r++)
			printf("%s%.6g", r ? ", " : "", c->rate[r]);
		printf("]}");
	}
	printf("]}\n");
}

static void print_case(const struct bench_case *c, uint32_t repeats)
{
	struct summary s = sum_up(c, repeats);
	char name[64], bar[BAR + 1];

	name_case(c, name, sizeof(name));
	for (int i = 0; i < BAR; i++)
		bar[i] = i + 0.5 < s.share * BAR ? '#' : '.';
	bar[BAR] = '\0';
	printf("  %-22s %10.1f tok/s  +- %4.1f %%", name, s.rate,
	       s.rate > 0 ? 50 * (s.high - s.low) / s.rate : 0);
	if (s.share > 0)
		printf("  [%s] %3.0f %% of %s", bar, 100 * s.share,
		       c->by_memory ? "reading" : "arithmetic");
	putchar('\n');
}

static void print_text(struct bench *b, struct session *s)
{
	const struct weir_model *m = session_model(s);
	const struct ceilings *k = &b->ceilings;

	printf("%s: %s, %s; ready in %.2f s\n%s\n", m->name, m->summary,
	       tool_bytes(m->bytes_weights).text, b->load_seconds, session_cpu(s)->name);
	printf("limits: reading %.1f GB/s (one thread %.1f; between the runs %.1f)", k->read * 1e-9,
	       k->read_one * 1e-9, median(b->reads, b->n_reads) * 1e-9);
	if (k->f32 > 0)
		printf(", float %.0f", k->f32 * 1e-9);
	if (k->int8 > 0)
		printf(", int8 %.0f", k->int8 * 1e-9);
	if (k->bf16 > 0)
		printf(", bf16 %.0f", k->bf16 * 1e-9);
	printf("%s\n\n", k->f32 > 0 ? " Gop/s" : "");
	for (uint32_t i = 0; i < b->n_cases; i++)
		print_case(&b->cases[i], b->repeats);
	if (m->bytes_weights < CEILINGS_LEAST)
		printf("\n  These weights may stay in the processor's cache, from where they are "
		       "read "
		       "faster than the limit\n  says; it is memory's.\n");
}

static int run(struct bench *b)
{
	struct bench_rig rig = { NULL };
	struct bench_cost cost;
	struct session *s = NULL;
	struct weir_error err = { 0 };
	uint32_t n_ctx = 32, max_rows = 1;
	weir_status status;

	list_cases(b);
	if (b->n_cases == 0)
		return tool_usage(b->tool, "with -p 0 and -n 0 there is nothing to measure");
	for (uint32_t i = 0; i < b->n_cases; i++) {
		uint32_t end = b->cases[i].depth + b->cases[i].n_tokens;

		n_ctx = end > n_ctx ? end : n_ctx;
		max_rows = b->cases[i].n_rows > max_rows ? b->cases[i].n_rows : max_rows;
	}
	status = open_session(b, &s, &err);
	tool_catch_interrupt();
	b->probe = weir_cpu_map(PROBE_BYTES, true);
	if (status == WEIR_OK && b->probe)
		memset(b->probe, 1, PROBE_BYTES);
	tool_bar("limits of the machine", 0, 1);
	if (status == WEIR_OK &&
	    (!b->probe || !ceilings_find(session_cpu(s), PROBE_BYTES, false, &b->ceilings)))
		status = weir_cpu_fail(&err, WEIR_E_EXHAUSTED, "no memory for the probes");
	if (status == WEIR_OK)
		status = bench_cost_read(b->path, session_model(s), &cost, &err);
	if (status == WEIR_OK)
		status = bench_rig_init(&rig, s, n_ctx + max_rows, max_rows, &err);
	if (status == WEIR_OK)
		status = measure(b, &rig, &cost, &err);
	tool_bar_end();
	if (status == WEIR_OK && b->json)
		print_json(b, s);
	else if (status == WEIR_OK)
		print_text(b, s);
	bench_rig_clear(&rig);
	session_free(s);
	weir_cpu_unmap(b->probe, PROBE_BYTES);
	return status == WEIR_OK ? tool_finish(b->tool, TOOL_DONE) : tool_fail_error(b->tool, &err);
}

int bench_model(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir bench model", help };
	struct bench *b = calloc(1, sizeof(*b));
	const char *batches = "1,4,8,16", *depths = "";
	static const char *const names[] = { "FILE" };
	int code;

	if (!b)
		return tool_fail(&tool, "no memory");
	*b = (struct bench){ .tool = &tool, .prompt = 512, .answer = 64, .repeats = 3 };
	{
		const struct tool_flag flags[] = {
			{ "-p", TOOL_FLAG_U32, &b->prompt, 0, 1u << 17 },
			{ "-n", TOOL_FLAG_U32, &b->answer, 0, 1u << 17 },
			{ "-b", TOOL_FLAG_TEXT, &batches, 0, 0 },
			{ "-c", TOOL_FLAG_TEXT, &depths, 0, 0 },
			{ "-r", TOOL_FLAG_U32, &b->repeats, 1, BENCH_MAX_REPEATS },
			{ "-t", TOOL_FLAG_U32, &b->n_threads, 1, 1024 },
			{ "--kv", TOOL_FLAG_TEXT, &b->kv, 0, 0 },
			{ "--json", TOOL_FLAG_BOOL, &b->json, 0, 0 },
		};

		code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names,
				  1, &b->path);
	}
	if (code == TOOL_GO_ON)
		code = read_list(&tool, "-b", batches, 256, b->batches, &b->n_batches);
	if (code == TOOL_GO_ON)
		code = read_list(&tool, "-c", depths, 1u << 20, b->depths, &b->n_depths);
	if (code == TOOL_GO_ON)
		code = run(b);
	free(b);
	return code;
}
