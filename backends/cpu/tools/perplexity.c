/* SPDX-License-Identifier: MIT */
/*
 * perplexity.c - `weir model perplexity`: how well a model predicts a text. [main]
 *
 * As llama.cpp defines it, so that figures can be compared: the text is cut into windows of n
 * tokens, each begins anew (with the begin token in place of its first one, where the model has
 * that), and the second half of each is scored: positions n/2 .. n-2 predict the token after them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "session.h"

enum { BATCH = 512, DEFAULT_CONTEXT = 512 };

static const char help[] =
	"weir model perplexity FILE --text TEXT [--kl BASE] [--context N] [--special]\n"
	"                      [--windows N] [--kv TYPE] [--threads N] [--json]\n"
	"\n"
	"Measures how well a model predicts a text: the exponential of its mean loss for a token,\n"
	"so less is better. The text is cut into windows of N tokens, of each of which the second\n"
	"half is scored, as llama.cpp does it: the figures can be compared.\n"
	"\n"
	"  --text TEXT   a file with the text; - is standard input\n"
	"  --kl BASE     a second model with the same vocabulary, usually the same model in F16:\n"
	"                how far FILE's probabilities are from BASE's (mean Kullback-Leibler\n"
	"                divergence, in nats), and how often both find the same token most likely\n"
	"  --context N   tokens of a window; 512\n"
	"  --windows N   at most so many windows; all when left out\n"
	"  --special     control tokens that are written out in the text become tokens\n"
	"  --kv TYPE     numbers of the KV cache: f16, bf16, q8_0 or f32; f16\n"
	"  --threads N   all cores when left out\n"
	"  --json        the same for programs\n"
	"\n"
	"Examples\n"
	"  weir model perplexity llama-q4.gguf --text wiki.test.raw\n"
	"  weir model perplexity llama-q4.gguf --text book.txt --kl llama-f16.gguf --context 2048\n"
	"\n"
	"The number after +- is the standard error of the mean.\n"
	"\n" TOOL_EXIT_HELP;

struct figures {
	uint64_t n, same; /* scored tokens; both models' favourite is the same */
	double nll, nll2, base_nll, kl, kl_max;
	float *kls; /* [room] each token's, for the median and the like */
	size_t room;
};

struct job {
	const float *logits, *base; /* [n][n_vocab]; base NULL: none */
	const int32_t *next;
	uint32_t n_vocab;
	struct {
		double nll, base_nll, kl;
		bool same;
	} ret[SESSION_OUTPUTS];
};

/* log of the sum of e^x, and the place of the largest. */
static double log_sum(const float *x, uint32_t n, uint32_t *ret_best)
{
	uint32_t best = 0;
	double sum = 0;

	for (uint32_t i = 1; i < n; i++)
		if (x[i] > x[best])
			best = i;
	for (uint32_t i = 0; i < n; i++)
		sum += exp((double)x[i] - (double)x[best]);
	*ret_best = best;
	return (double)x[best] + log(sum);
}

static void score(void *data, uint32_t i)
{
	struct job *job = data;
	const float *x = job->logits + (size_t)i * job->n_vocab;
	const float *y = job->base ? job->base + (size_t)i * job->n_vocab : NULL;
	uint32_t best, base_best;
	double norm = log_sum(x, job->n_vocab, &best), base_norm, kl = 0;

	job->ret[i].nll = norm - (double)x[job->next[i]];
	if (!y)
		return;
	base_norm = log_sum(y, job->n_vocab, &base_best);
	for (uint32_t k = 0; k < job->n_vocab; k++) {
		double p = (double)y[k] - base_norm;

		if (p == -INFINITY) /* cannot be: its share is 0, whatever x says */
			continue;
		kl += exp(p) * (p - ((double)x[k] - norm));
	}
	job->ret[i].base_nll = base_norm - (double)y[job->next[i]];
	job->ret[i].kl = kl < 0 ? 0 : kl; /* rounding */
	job->ret[i].same = best == base_best;
}

static weir_status add(struct figures *f, const struct job *job, uint32_t n, struct weir_error *err)
{
	for (uint32_t i = 0; i < n; i++) {
		if (isnan(job->ret[i].nll) || isnan(job->ret[i].base_nll) || isnan(job->ret[i].kl))
			return weir_cpu_fail(err, WEIR_E_INTERNAL,
					     "the logits of a token are not numbers: the model's "
					     "arithmetic failed");
		f->nll += job->ret[i].nll;
		f->nll2 += job->ret[i].nll * job->ret[i].nll;
		f->base_nll += job->ret[i].base_nll;
		f->kl += job->ret[i].kl;
		f->kl_max = job->ret[i].kl > f->kl_max ? job->ret[i].kl : f->kl_max;
		f->same += job->ret[i].same;
		if (f->n < f->room)
			f->kls[f->n] = (float)job->ret[i].kl;
		f->n++;
	}
	return WEIR_OK;
}

/* Tokens [from, to) of a window, of which the last n_last are scored against what follows. */
static weir_status feed(struct session *s, struct session *base, const int32_t *window,
			uint32_t from, uint32_t to, uint32_t n_last, struct figures *f,
			struct weir_error *err)
{
	struct job job = { .next = window + to - n_last + 1, .n_vocab = session_model(s)->n_vocab };
	weir_status status;

	if (tool_interrupted())
		return weir_cpu_fail(err, WEIR_E_CANCELLED, "stopped");
	status = session_score(s, window + from, to - from, from, n_last, &job.logits, err);
	if (status == WEIR_OK && base)
		status =
			session_score(base, window + from, to - from, from, n_last, &job.base, err);
	if (status != WEIR_OK || n_last == 0)
		return status;
	weir_pool_each(session_cpu(s)->pool, n_last, score, &job);
	return add(f, &job, n_last, err);
}

static weir_status run_window(struct session *s, struct session *base, const int32_t *window,
			      uint32_t n_ctx, struct figures *f, struct weir_error *err)
{
	uint32_t first = n_ctx / 2, end = n_ctx - 1;
	weir_status status = WEIR_OK;

	for (uint32_t at = 0; at < first && status == WEIR_OK; at += BATCH)
		status = feed(s, base, window, at, at + BATCH < first ? at + BATCH : first, 0, f,
			      err);
	for (uint32_t at = first; at < end && status == WEIR_OK; at += SESSION_OUTPUTS) {
		uint32_t to = at + SESSION_OUTPUTS < end ? at + SESSION_OUTPUTS : end;

		status = feed(s, base, window, at, to, to - at, f, err);
	}
	return status;
}

struct wish {
	const char *text, *base, *kv;
	uint32_t n_ctx, n_windows, n_threads;
	bool special, json;
};

static weir_status tokens_of(struct session *s, const struct wish *w, int32_t **ret, size_t *ret_n,
			     struct weir_error *err)
{
	const struct weir_tokenizer *t = session_tokenizer(s);
	uint32_t flags = WEIR_ENCODE_ADD_SPECIAL | (w->special ? WEIR_ENCODE_PARSE_SPECIAL : 0u);
	char *text = NULL;
	size_t len = 0, n = 0;
	int32_t *ids = NULL;
	weir_status status = tool_read(w->text, &text, &len, err);

	if (status != WEIR_OK)
		return status;
	/* a token has at least a byte, but for the special ones at both ends */
	ids = malloc((len + 8) * sizeof(*ids));
	status = ids ? t->encode(session_instance(s), (struct weir_str){ text, len }, flags, ids,
				 len + 8, &n, err)
		     : weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for the text's tokens");
	free(text);
	if (status >= 0 && n > len + 8)
		status = weir_cpu_fail(err, WEIR_E_INTERNAL, "more tokens than bytes");
	if (status < 0) {
		free(ids);
		return status;
	}
	*ret = ids;
	*ret_n = n;
	return WEIR_OK;
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* JSON has no infinity, which the perplexity of a bad model may be. */
static void json_number(const char *name, double x, int digits)
{
	if (isfinite(x))
		printf("%s: %.*f", name, digits, x);
	else
		printf("%s: null", name);
}

static void report(const struct wish *w, const char *path, const struct figures *f, size_t windows)
{
	double n = (double)f->n, mean = f->nll / n, ppl = exp(mean), variance, error;

	variance = f->nll2 / n - mean * mean;
	error = f->n > 1 && variance > 0 ? ppl * sqrt(variance / (n - 1)) : 0;
	if (w->base && f->n <= f->room)
		qsort(f->kls, f->n, sizeof(*f->kls), ascending);
	if (w->json) {
		printf("{\"file\": ");
		tool_json_text(stdout, path);
		json_number(", \"perplexity\"", ppl, 6);
		json_number(", \"error\"", error, 6);
		json_number(", \"loss\"", mean, 6);
		printf(", \"tokens\": %llu, \"windows\": %zu, \"context\": %u",
		       (unsigned long long)f->n, windows, w->n_ctx);
		if (w->base) {
			printf(",\n \"base\": {\"file\": ");
			tool_json_text(stdout, w->base);
			json_number(", \"perplexity\"", exp(f->base_nll / n), 6);
			json_number("}, \"kl\": {\"mean\"", f->kl / n, 8);
			json_number(", \"median\"", (double)f->kls[f->n / 2], 8);
			json_number(", \"p99\"", (double)f->kls[f->n * 99 / 100], 8);
			json_number(", \"max\"", f->kl_max, 8);
			json_number("}, \"same_top\"", (double)f->same / n, 6);
		}
		printf("}\n");
		return;
	}
	printf("perplexity %.4f +- %.4f   (%llu tokens in %zu windows of %u)\n", ppl, error,
	       (unsigned long long)f->n, windows, w->n_ctx);
	if (!w->base)
		return;
	printf("base       %.4f   (%s)\n", exp(f->base_nll / n), w->base);
	printf("divergence %.6f nats a token in the mean; median %.6f, 99 %% are below %.6f, "
	       "largest %.6f\n",
	       f->kl / n, (double)f->kls[f->n / 2], (double)f->kls[f->n * 99 / 100], f->kl_max);
	printf("same most likely token: %.2f %%\n", 100 * (double)f->same / n);
}

/* The two must speak the same tokens. */
static weir_status check_base(struct session *s, struct session *base, const char *path,
			      struct weir_error *err)
{
	const struct weir_tokenizer *a = session_tokenizer(s), *b = session_tokenizer(base);
	uint32_t n = session_model(s)->n_vocab, m = session_model(base)->n_vocab;
	char x[64], y[64];

	if (n != m)
		return weir_cpu_fail(err, WEIR_E_INVALID,
				     "%.200s has a vocabulary of %u tokens, the other %u: only "
				     "models with the same tokens can be compared",
				     path, m, n);
	for (uint32_t i = 0; i < n; i += n / 512 + 1) {
		size_t len =
			a->piece(session_instance(s), (int32_t)i, WEIR_PIECE_SPECIAL, x, sizeof(x));
		size_t other = b->piece(session_instance(base), (int32_t)i, WEIR_PIECE_SPECIAL, y,
					sizeof(y));

		if (len != other || memcmp(x, y, len < sizeof(x) ? len : sizeof(x)) != 0)
			return weir_cpu_fail(err, WEIR_E_INVALID,
					     "%.200s: token %u is another text than in the other "
					     "model: only models with the same tokens can be "
					     "compared",
					     path, i);
	}
	return WEIR_OK;
}

static weir_status measure(const struct tool *tool, const char *path, struct wish *w,
			   struct session *s, struct session *base, struct weir_error *err)
{
	const struct weir_tokenizer *t = session_tokenizer(s);
	struct figures f = { .n = 0 };
	int32_t *ids = NULL, with_bos;
	size_t n = 0, windows;
	weir_status status = tokens_of(s, w, &ids, &n, err);

	if (status != WEIR_OK)
		return status;
	windows = n / w->n_ctx;
	/* Does the model want a begin token? Then encode() has put it first. */
	with_bos = n > 0 && t->bos >= 0 && ids[0] == t->bos ? t->bos : -1;
	if (windows == 0) {
		status = weir_cpu_fail(err, WEIR_E_INVALID,
				       "the text has %zu tokens, a window %u: give a longer text "
				       "or a smaller --context",
				       n, w->n_ctx);
		goto out;
	}
	if (w->n_windows && windows > w->n_windows)
		windows = w->n_windows;
	f.room = windows * w->n_ctx;
	f.kls = malloc(f.room * sizeof(*f.kls));
	if (!f.kls) {
		status = weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory");
		goto out;
	}
	for (size_t i = 0; i < windows && status == WEIR_OK; i++) {
		char what[96];

		snprintf(what, sizeof(what), "window %zu of %zu%s", i + 1, windows,
			 w->base ? ", both models" : "");
		tool_bar(what, i, windows);
		if (with_bos >= 0)
			ids[i * w->n_ctx] = with_bos;
		status = run_window(s, base, ids + i * w->n_ctx, w->n_ctx, &f, err);
	}
	tool_bar_end();
	if (status == WEIR_OK)
		report(w, path, &f, windows);
out:
	free(f.kls);
	free(ids);
	return status;
}

static weir_status open_session(const struct tool *tool, const char *path, struct wish *w,
				struct session **ret, struct weir_error *err)
{
	struct session_wish wish = { .path = path,
				     .n_ctx = w->n_ctx,
				     .max_sequences = 1,
				     .max_tokens = BATCH,
				     .guesses = SESSION_OUTPUTS - 1,
				     .n_threads = w->n_threads,
				     .kv_type = w->kv };
	weir_status status = session_new(tool, &wish, ret, err);

	if (status == WEIR_OK && session_model(*ret)->flags & WEIR_MODEL_ENCODER)
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
				     "%.300s is an embedding model: it predicts no text", path);
	return status;
}

int model_perplexity(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir model perplexity", help };
	struct wish w = { .n_ctx = DEFAULT_CONTEXT };
	const struct tool_flag flags[] = {
		{ "--text", TOOL_FLAG_TEXT, &w.text, 0, 0 },
		{ "--kl", TOOL_FLAG_TEXT, &w.base, 0, 0 },
		{ "--context", TOOL_FLAG_U32, &w.n_ctx, 8, 1u << 20 },
		{ "--windows", TOOL_FLAG_U32, &w.n_windows, 1, 1u << 30 },
		{ "--special", TOOL_FLAG_BOOL, &w.special, 0, 0 },
		{ "--kv", TOOL_FLAG_TEXT, &w.kv, 0, 0 },
		{ "--threads", TOOL_FLAG_U32, &w.n_threads, 1, 1024 },
		{ "--json", TOOL_FLAG_BOOL, &w.json, 0, 0 },
	};
	static const char *const names[] = { "FILE" };
	struct session *s = NULL, *base = NULL;
	struct weir_error err = { 0 };
	const char *path = NULL;
	weir_status status;
	int code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names, 1,
			      &path);

	if (code != TOOL_GO_ON)
		return code;
	if (!w.text)
		return tool_usage(&tool, "--text is missing: the file with the text to predict");
	status = open_session(&tool, path, &w, &s, &err);
	if (status == WEIR_OK && w.base)
		status = open_session(&tool, w.base, &w, &base, &err);
	if (status == WEIR_OK && base)
		status = check_base(s, base, w.base, &err);
	tool_catch_interrupt();
	if (status == WEIR_OK)
		status = measure(&tool, path, &w, s, base, &err);
	session_free(base);
	session_free(s);
	if (status != WEIR_OK)
		return tool_fail_error(&tool, &err);
	return tool_finish(&tool, TOOL_DONE);
}
