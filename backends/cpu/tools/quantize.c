/* SPDX-License-Identifier: MIT */
/*
 * quantize.c - `weir model quantize`: the same model in other number formats. [main]
 *
 * Rows are converted by the pool, some megabytes at a time, and written in order.
 */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dequant.h"
#include "fail.h"
#include "gguf-write.h"
#include "mix.h"
#include "model.h"
#include "pool.h"
#include "quantise.h"
#include "tool.h"

enum { MAX_JOBS = 64, JOB_WEIGHTS = 1 << 16, MAX_TYPES = 64 };

static const char help[] =
	"weir model quantize IN OUT TYPE [--embedding TYPE] [--output TYPE] [--keep PATTERN]\n"
	"                    [--threads N] [--force]\n"
	"\n"
	"Writes the model of IN to OUT with its matrices in another number format. Norms, biases\n"
	"and other small tensors stay as they are.\n"
	"\n"
	"  TYPE              F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, "
	"Q5_K,\n"
	"                    Q6_K, IQ4_NL, IQ4_XS, MXFP4, NVFP4, TQ1_0, TQ2_0: every matrix is of\n"
	"                    that type. Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M: "
	"the\n"
	"                    matrices that bear rounding worst get more bits than the others.\n"
	"  --embedding TYPE  of token_embd\n"
	"  --output TYPE     of the matrix that makes the logits\n"
	"  --keep PATTERN    tensors whose names match (* and ?) are copied as they are; several\n"
	"                    patterns with commas between\n"
	"  --threads N       all cores when left out\n"
	"  --force           replaces OUT if it is there\n"
	"\n"
	"Examples\n"
	"  weir model quantize llama-f16.gguf llama-q4.gguf Q4_K_M\n"
	"  weir model quantize in.gguf out.gguf Q4_0 --output Q8_0 --keep 'blk.0.*'\n"
	"  weir model quantize part-00001-of-00003.gguf whole.gguf Q8_0    joins the parts as "
	"well\n"
	"\n"
	"Which type? Q8_0 loses nothing that can be seen, Q6_K and Q5_K_M hardly anything; Q4_K_M "
	"is\n"
	"the usual choice where memory is short; below it answers get worse. TQ1_0 and TQ2_0 are "
	"for\n"
	"models that were trained with three values. Begin from F16, BF16 or F32: what a file of\n"
	"fewer bits has lost does not come back. `weir model perplexity` measures it.\n"
	"\n"
	"A row that is no whole number of blocks gets the nearest type that has such rows: Q5_0 "
	"for\n"
	"Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K, IQ4_NL for the smaller ones, else F16. OUT appears\n"
	"when it is complete, and not at all after an error or ctrl-C.\n"
	"\n" TOOL_EXIT_HELP;

struct work {
	const struct tool *tool;
	struct weir_pool *pool;
	struct gguf_writer *writer;
	uint64_t done, total; /* weights */
	/* by the type that a tensor got */
	uint64_t bytes[MAX_TYPES], n_tensors[MAX_TYPES];
	double error[MAX_TYPES], squares[MAX_TYPES];
};

/* One slab of rows of one tensor. */
struct slab {
	const struct weir_cpu_type *from, *to;
	uint32_t type;
	uint8_t *src, *dst;
	uint64_t n_in, n_rows, rows_each;
	size_t src_row, dst_row;
	double error[MAX_JOBS], squares[MAX_JOBS];
	atomic_int bad, no_memory;
};

static void convert(void *data, uint32_t job)
{
	struct slab *s = data;
	uint64_t row = job * s->rows_each, end = row + s->rows_each;
	float *x = malloc(2 * (size_t)s->n_in * sizeof(*x)), *y = x + s->n_in;

	if (!x) {
		atomic_store(&s->no_memory, 1);
		return;
	}
	for (; row < end && row < s->n_rows; row++) {
		uint8_t *dst = s->dst + row * s->dst_row;

		s->from->row(s->src + row * s->src_row, (size_t)(s->n_in / s->from->block), x);
		if (!quantise_row(s->type, x, (size_t)s->n_in, dst)) {
			atomic_store(&s->bad, 1);
			break;
		}
		s->to->row(dst, (size_t)(s->n_in / s->to->block), y);
		for (uint64_t i = 0; i < s->n_in; i++) {
			s->error[job] += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
			s->squares[job] += (double)x[i] * (double)x[i];
		}
	}
	free(x);
}

static weir_status convert_slab(struct work *w, struct slab *s, const char *name, uint64_t n_rows,
				struct weir_error *err)
{
	uint32_t n_jobs = (uint32_t)((n_rows + s->rows_each - 1) / s->rows_each);

	s->n_rows = n_rows;
	memset(s->error, 0, sizeof(s->error));
	memset(s->squares, 0, sizeof(s->squares));
	weir_pool_each(w->pool, n_jobs, convert, s);
	if (s->no_memory)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for rows of %" PRIu64 " weights",
				 s->n_in);
	if (s->bad)
		return weir_fail(err, WEIR_E_INVALID,
				 "tensor '%s' holds numbers that are infinite, no numbers, or too "
				 "large for %s; the file is damaged, or needs BF16",
				 name, s->to->name);
	for (uint32_t i = 0; i < n_jobs; i++) {
		w->error[s->type] += s->error[i];
		w->squares[s->type] += s->squares[i];
	}
	return gguf_writer_put(w->writer, s->dst, (size_t)n_rows * s->dst_row, err);
}

static weir_status convert_tensor(struct work *w, const struct weir_gguf_tensor *t, uint32_t type,
				  const char *name, struct weir_error *err)
{
	uint64_t n_rows = t->ne[1] * t->ne[2] * t->ne[3], step;
	struct slab s = { .from = weir_cpu_type(t->type),
			  .to = weir_cpu_type(type),
			  .type = type,
			  .n_in = t->ne[0] };
	weir_status status = WEIR_OK;

	s.src_row = (size_t)(s.n_in / s.from->block * s.from->bytes);
	s.dst_row = (size_t)(s.n_in / s.to->block * s.to->bytes);
	s.rows_each = JOB_WEIGHTS / s.n_in + 1;
	step = s.rows_each * MAX_JOBS;
	s.src = malloc((size_t)(step < n_rows ? step : n_rows) * s.src_row);
	s.dst = malloc((size_t)(step < n_rows ? step : n_rows) * s.dst_row);
	if (!s.src || !s.dst)
		status = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for tensor '%s'", name);
	for (uint64_t row = 0; row < n_rows && status == WEIR_OK; row += step) {
		uint64_t n = n_rows - row < step ? n_rows - row : step;

		if (tool_interrupted()) {
			status = weir_fail(err, WEIR_E_CANCELLED, "stopped");
			break;
		}
		tool_bar(name, w->done, w->total);
		weir_gguf_read_ahead(t, (row + n) * s.src_row, n * s.src_row);
		status = weir_gguf_read(t, row * s.src_row, s.src, (size_t)n * s.src_row, err);
		if (status == WEIR_OK)
			status = convert_slab(w, &s, name, n, err);
		w->done += n * s.n_in;
	}
	free(s.src);
	free(s.dst);
	return status;
}

static weir_status copy_tensor(struct work *w, const struct weir_gguf_tensor *t, const char *name,
			       struct weir_error *err)
{
	const size_t most = (size_t)4 << 20;
	uint8_t *bytes = malloc(most);
	weir_status s = WEIR_OK;

	if (!bytes)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for tensor '%s'", name);
	for (uint64_t at = 0; at < t->n_bytes && s == WEIR_OK; at += most) {
		size_t n = t->n_bytes - at < most ? (size_t)(t->n_bytes - at) : most;

		if (tool_interrupted()) {
			s = weir_fail(err, WEIR_E_CANCELLED, "stopped");
			break;
		}
		tool_bar(name, w->done, w->total);
		s = weir_gguf_read(t, at, bytes, n, err);
		if (s == WEIR_OK)
			s = gguf_writer_put(w->writer, bytes, n, err);
	}
	free(bytes);
	w->done += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
	return s;
}

static weir_status write_all(struct work *w, const struct weir_gguf *g, const uint32_t *types,
			     struct weir_error *err)
{
	char name[96];
	weir_status s;

	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(g, i);

		tool_printable(t->name, name, sizeof(name));
		s = types[i] == t->type ? copy_tensor(w, t, name, err)
					: convert_tensor(w, t, types[i], name, err);
		if (s == WEIR_OK)
			s = gguf_writer_tensor_end(w->writer, err);
		if (s != WEIR_OK)
			return s;
	}
	s = weir_gguf_check_unchanged(g, err);
	return s == WEIR_OK ? gguf_writer_finish(w->writer, err) : s;
}

/* The types of all tensors; refuses what cannot be read. */
static weir_status choose(struct work *w, const struct weir_gguf *g, const struct mix_wish *wish,
			  uint32_t *types, struct weir_error *err)
{
	uint64_t n_fell = 0, n_rounded = 0;
	char name[96];

	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(g, i);
		uint64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
		bool fell = false;

		types[i] = mix_type(wish, t, &fell);
		if (types[i] != t->type && !weir_cpu_type(t->type))
			return weir_fail(err, WEIR_E_UNSUPPORTED,
					 "tensor '%s' is of type %s, which cannot be read here; "
					 "begin from a file in F32, F16, BF16 or Q8_0",
					 tool_printable(t->name, name, sizeof(name)),
					 weir_gguf_type(t->type)->name);
		if (types[i] != t->type && t->type != WEIR_GGUF_TYPE_Q8_0)
			n_rounded += weir_cpu_type(t->type)->quantised;
		n_fell += fell;
		w->total += n;
		w->n_tensors[types[i]]++;
		w->bytes[types[i]] += types[i] == t->type ? t->n_bytes
							  : n / weir_cpu_type(types[i])->block *
								    weir_cpu_type(types[i])->bytes;
	}
	if (n_fell)
		tool_remark(w->tool,
			    "%" PRIu64 " tensors have rows that are no whole blocks of %s: they "
			    "get another type",
			    n_fell, wish->mix->name);
	if (n_rounded)
		tool_remark(w->tool,
			    "%" PRIu64 " tensors were of few bits already: rounding twice loses "
			    "more than beginning from F16, BF16 or F32",
			    n_rounded);
	return WEIR_OK;
}

static void report(const struct work *w, const struct weir_gguf *g, const char *path)
{
	printf("%s: %s, %.2f bits a weight; the (first) input file has %s\n", path,
	       tool_bytes(gguf_writer_bytes(w->writer)).text,
	       8.0 * (double)gguf_writer_bytes(w->writer) / (double)(w->total ? w->total : 1),
	       tool_bytes(weir_gguf_file_bytes(g)).text);
	for (uint32_t i = 0; i < MAX_TYPES; i++) {
		if (!w->n_tensors[i])
			continue;
		printf("  %-7s %5" PRIu64 " tensors %14" PRIu64 " bytes", weir_gguf_type(i)->name,
		       w->n_tensors[i], w->bytes[i]);
		if (w->squares[i] > 0)
			printf("   error %.3f %%", 100 * sqrt(w->error[i] / w->squares[i]));
		putchar('\n');
	}
}

static int read_type(const struct tool *tool, const char *flag, const char *name, uint32_t *ret)
{
	const struct mix *mix = name ? mix_find(name) : NULL;

	if (!name)
		return TOOL_GO_ON;
	if (!mix || mix->base != mix->output || mix->base != mix->better)
		return tool_usage(tool, "%s is '%.30s', it must be one type, as Q6_K or F16", flag,
				  name);
	*ret = mix->base;
	return TOOL_GO_ON;
}

static int run(const struct tool *tool, struct weir_gguf *g, struct mix_wish *wish,
	       const char *path, uint32_t n_threads, bool force)
{
	struct work *w = calloc(1, sizeof(*w));
	uint32_t *types = calloc(weir_gguf_n_tensors(g) + 1, sizeof(*types));
	struct weir_error err = { 0 };
	int code = TOOL_DONE;
	char key[128];
	struct weir_str arch = { "", 0 };

	weir_gguf_string(g, "general.architecture", &arch, NULL);
	snprintf(key, sizeof(key), "%.*s.block_count", (int)(arch.len < 64 ? arch.len : 64),
		 arch.data);
	weir_gguf_u32(g, key, &wish->n_layers, NULL);
	wish->tied = weir_gguf_tensor(g, "output.weight") == NULL;
	tool_catch_interrupt();
	if (w)
		*w = (struct work){ .tool = tool,
				    .pool = weir_pool_new(
					    n_threads ? n_threads : weir_pool_default_threads()) };
	if (!w || !types || !w->pool)
		code = tool_fail(tool, "no memory, or no threads");
	else if (choose(w, g, wish, types, &err) != WEIR_OK ||
		 gguf_writer_new(path, force, g, types, wish->mix->file_type, &w->writer, &err) !=
			 WEIR_OK ||
		 write_all(w, g, types, &err) != WEIR_OK)
		code = tool_fail_error(tool, &err);
	tool_bar_end();
	if (code == TOOL_DONE) {
		report(w, g, path);
		code = tool_finish(tool, code);
	}
	if (w) {
		gguf_writer_free(w->writer);
		weir_pool_free(w->pool);
	}
	free(w);
	free(types);
	return code;
}

int model_quantize(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir model quantize", help };
	const char *embedding = NULL, *output = NULL, *words[3] = { NULL };
	struct mix_wish wish = { .embedding = UINT32_MAX, .output = UINT32_MAX };
	uint32_t n_threads = 0;
	bool force = false;
	const struct tool_flag flags[] = {
		{ "--embedding", TOOL_FLAG_TEXT, &embedding, 0, 0 },
		{ "--output", TOOL_FLAG_TEXT, &output, 0, 0 },
		{ "--keep", TOOL_FLAG_TEXT, &wish.keep, 0, 0 },
		{ "--threads", TOOL_FLAG_U32, &n_threads, 1, 1024 },
		{ "--force", TOOL_FLAG_BOOL, &force, 0, 0 },
	};
	static const char *const names[] = { "IN", "OUT", "TYPE" };
	struct weir_gguf *g = NULL;
	struct weir_error err;
	int code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names, 3,
			      words);

	if (code != TOOL_GO_ON)
		return code;
	wish.mix = mix_find(words[2]);
	if (!wish.mix)
		return tool_usage(&tool, "there is no type '%.30s'; there are %s", words[2],
				  mix_names());
	if ((code = read_type(&tool, "--embedding", embedding, &wish.embedding)) != TOOL_GO_ON ||
	    (code = read_type(&tool, "--output", output, &wish.output)) != TOOL_GO_ON)
		return code;
	if (weir_gguf_open(words[0], &g, &err) != WEIR_OK)
		return tool_fail_error(&tool, &err);
	if (weir_gguf_n_tensors(g) == 0)
		code = tool_fail(&tool, "%s holds no tensors: there is nothing to convert",
				 words[0]);
	else
		code = run(&tool, g, &wish, words[1], n_threads, force);
	weir_gguf_close(g);
	return code;
}
