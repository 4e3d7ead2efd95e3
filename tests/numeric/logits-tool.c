/*
 * logits-tool.c - runs a backend plugin as a host would, over given tokens, and writes the logits.
 *
 * Used by logits-oracle.py:  logits-tool PLUGIN.so COMPONENT OUT [key=value...] < script
 *
 * The script, one item a line:
 *   seq T T T ...     the next sequence, numbered from 0, and its tokens
 *   step S:N S:N ...  one step: the next N tokens of sequence S, and so on; every row has output
 * OUT receives n_vocab 32-bit floats for each row of each step in order; standard output a line
 * "row S END TOKEN LOGPROB" for each: END tokens of S were done, TOKEN was drawn (greedily, or with
 * draw=SEED at temperature 1). Where the next token of a sequence is known and the step is small
 * enough to be scored: "score S POS LOGPROB RANK BEST", what was found of it after POS tokens, and
 * the logprob of the likeliest. KV blocks are allotted in scrambled order.
 */
#include <weir/backend.h>
#include <weir/services.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEQS 64
#define MAX_CONF 32

struct seq {
	int32_t *token;
	uint32_t n_tokens, n_done, n_blocks;
	uint32_t *block;
};

struct tool {
	struct weir_instance *instance;
	const struct weir_backend_step *step;
	struct weir_model model;
	struct seq seq[MAX_SEQS];
	uint32_t n_seqs, n_allotted;
	struct weir_sampling sampling;
	FILE *out;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "logits-tool: %s: %s\n", what, why);
	exit(1);
}

static void *must(void *memory)
{
	if (!memory)
		die("memory", "none left");
	return memory;
}

static void log_write(const struct weir_host *host, uint32_t level, const char *topic,
		      const char *text)
{
	fprintf(stderr, "%u %s: %s\n", level, topic, text);
}

static bool log_enabled(const struct weir_host *host, uint32_t level, const char *topic)
{
	return true;
}

static void log_progress(const struct weir_host *host, const char *what, uint64_t done,
			 uint64_t total)
{
}

static const struct weir_log host_log = { .size = sizeof(host_log),
					  .write = log_write,
					  .enabled = log_enabled,
					  .progress = log_progress };

static const void *host_ext(const struct weir_host *host, const char *id)
{
	return strcmp(id, WEIR_HOST_LOG) == 0 ? &host_log : NULL;
}

static const struct weir_host host = { .size = sizeof(host),
				       .abi = WEIR_ABI,
				       .name = "logits-tool",
				       .version = "0",
				       .instance = "backend.tool",
				       .get_ext = host_ext };

static const struct weir_component *find_component(const char *path, const char *id)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct weir_plugin *(*query)(uint32_t);
	const struct weir_plugin *plugin;

	if (!so)
		die(path, dlerror());
	*(void **)&query = dlsym(so, "weir_plugin_query");
	plugin = query ? query(WEIR_ABI) : NULL;
	if (!plugin)
		die(path, "is no plugin for this host");
	for (size_t i = 0; plugin->components[i]; i++) {
		if (strcmp(plugin->components[i]->id, id) == 0)
			return plugin->components[i];
	}
	die(path, "lacks the component");
}

/* Every declared option: from the command line, else its fallback. */
static size_t configure(const struct weir_component *c, char **arg, int n_args,
			struct weir_kv conf[MAX_CONF])
{
	size_t n = 0;

	for (size_t i = 0; c->options[i]; i++) {
		const struct weir_option *o = c->options[i];
		size_t len = strlen(o->key);
		const char *value = o->fallback;

		for (int k = 0; k < n_args; k++) {
			if (strncmp(arg[k], o->key, len) == 0 && arg[k][len] == '=')
				value = arg[k] + len + 1;
		}
		if (value && n < MAX_CONF)
			conf[n++] = (struct weir_kv){ o->key, value };
	}
	return n;
}

static void start(struct tool *t, const struct weir_component *c, char **arg, int n_args)
{
	struct weir_kv conf[MAX_CONF];
	struct weir_error err = { 0 };
	size_t n = configure(c, arg, n_args, conf);

	if (c->probe && c->probe(&host, &err) == 0)
		die("probe", err.text);
	if (c->create(&host, conf, n, &t->instance, &err) < 0)
		die("create", err.text);
	if (t->instance->start && t->instance->start(t->instance, &err) < 0)
		die("start", err.text);
	t->step = t->instance->get_ext(t->instance, WEIR_BACKEND_STEP);
	if (!t->step)
		die("get_ext", "no " WEIR_BACKEND_STEP);
	t->model.size = sizeof(t->model);
	if (t->step->load(t->instance, &t->model, &err) < 0)
		die("load", err.text);
}

static void read_seq(struct tool *t, char *text)
{
	struct seq *s = &t->seq[t->n_seqs];
	size_t room = strlen(text) / 2 + 1;
	char *save = NULL;

	if (t->n_seqs == MAX_SEQS)
		die("seq", "too many");
	s->token = must(calloc(room, sizeof(*s->token)));
	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		s->token[s->n_tokens++] = (int32_t)strtol(w, NULL, 10);
	s->block = must(calloc(s->n_tokens + 1, sizeof(*s->block)));
	t->n_seqs++;
}

/* Blocks go out by steps of a number that has no factor in common with theirs. */
static void allot(struct tool *t, struct seq *s, uint32_t n_tokens)
{
	uint32_t step = t->model.n_blocks / 2 + 1, a, b;

	for (;; step++) {
		for (a = step, b = t->model.n_blocks; b != 0;) {
			uint32_t r = a % b;

			a = b;
			b = r;
		}
		if (a == 1)
			break;
	}
	while (s->n_blocks * t->model.block_tokens < n_tokens) {
		if (t->n_allotted == t->model.n_blocks)
			die("step", "no KV blocks left");
		s->block[s->n_blocks++] =
			(uint32_t)((uint64_t)(t->n_allotted++) * step % t->model.n_blocks);
	}
}

static uint32_t read_rows(struct tool *t, char *text, struct weir_row *row, int32_t **tokens,
			  uint32_t *n_tokens)
{
	uint32_t n = 0;
	char *save = NULL;

	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		unsigned id, count;
		struct seq *s;

		if (sscanf(w, "%u:%u", &id, &count) != 2 || id >= t->n_seqs || n == MAX_SEQS)
			die("step", w);
		s = &t->seq[id];
		if (count > s->n_tokens - s->n_done)
			die("step: sequence is too short", w);
		allot(t, s, s->n_done + count);
		*tokens = must(realloc(*tokens, (*n_tokens + count) * sizeof(**tokens)));
		memcpy(*tokens + *n_tokens, s->token + s->n_done, count * sizeof(**tokens));
		row[n++] = (struct weir_row){ .seq = id,
					      .first = *n_tokens,
					      .count = count,
					      .pos = s->n_done,
					      .n_blocks = s->n_blocks,
					      .blocks = s->block,
					      .sampling = &t->sampling,
					      .history = s->token,
					      .n_history = s->n_done + count,
					      .n_prompt = s->n_done + count,
					      .seed = t->sampling.seed };
		*n_tokens += count;
		s->n_done += count;
	}
	return n;
}

/* What comes next in each sequence, for all tokens of the step. */
static int32_t *find_targets(const struct tool *t, const struct weir_batch *b, struct weir_row *row)
{
	int32_t *targets;

	if (b->n_tokens > t->model.max_scores)
		return NULL;
	targets = must(calloc(b->n_tokens, sizeof(*targets)));
	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct seq *s = &t->seq[row[i].seq];

		for (uint32_t k = 0; k < row[i].count; k++) {
			uint32_t next = row[i].pos + k + 1;

			targets[row[i].first + k] = next < s->n_tokens ? s->token[next] : -1;
		}
		row[i].targets = targets + row[i].first;
		row[i].n_target_top = 1;
	}
	return targets;
}

static void print_scores(const struct weir_batch *b, const struct weir_row *row,
			 const struct weir_step *ret)
{
	for (uint32_t i = 0; i < b->n_rows; i++) {
		for (uint32_t k = 0; k < row[i].count; k++) {
			uint32_t at = row[i].first + k;

			if (row[i].targets[k] >= 0)
				printf("score %llu %u %.9g %u %.9g\n",
				       (unsigned long long)row[i].seq, row[i].pos + k + 1,
				       (double)ret->score[at].logprob, ret->score[at].rank,
				       (double)ret->score_top[at].logprob[0]);
		}
	}
}

static void run_step(struct tool *t, char *text)
{
	struct weir_row row[MAX_SEQS];
	int32_t token[MAX_SEQS], *tokens = NULL, *targets;
	float logprob[MAX_SEQS], *logits;
	struct weir_error err = { 0 }, error[MAX_SEQS];
	struct weir_batch b = {
		.size = sizeof(b), .row_size = sizeof(row[0]), .want_logits = 1, .rows = row
	};
	struct weir_step ret = {
		.size = sizeof(ret), .token = token, .logprob = logprob, .error = error
	};

	b.n_rows = read_rows(t, text, row, &tokens, &b.n_tokens);
	b.tokens = tokens;
	logits = must(calloc((size_t)b.n_rows * t->model.n_vocab, sizeof(*logits)));
	ret.logits = logits;
	targets = find_targets(t, &b, row);
	ret.score = must(calloc(b.n_tokens, sizeof(*ret.score)));
	ret.score_top = must(calloc(b.n_tokens, sizeof(*ret.score_top)));
	if (t->step->step(t->instance, &b, &ret, &err) < 0)
		die("step", err.text);
	for (uint32_t i = 0; i < b.n_rows; i++) {
		if (token[i] < 0)
			die("step", error[i].text);
		printf("row %llu %u %d %.9g\n", (unsigned long long)row[i].seq,
		       row[i].pos + row[i].count, token[i], (double)logprob[i]);
	}
	if (fwrite(logits, sizeof(*logits) * t->model.n_vocab, b.n_rows, t->out) != b.n_rows)
		die("logits", "cannot be written");
	if (targets)
		print_scores(&b, row, &ret);
	free(logits);
	free(tokens);
	free(targets);
	free(ret.score);
	free(ret.score_top);
}

static void run_script(struct tool *t, FILE *in)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, in) > 0) {
		if (strncmp(line, "seq ", 4) == 0)
			read_seq(t, line + 4);
		else if (strncmp(line, "step ", 5) == 0)
			run_step(t, line + 5);
		else
			die("script", line);
	}
	free(line);
}

int main(int argc, char **argv)
{
	struct tool t = { .sampling = { .size = sizeof(t.sampling),
					.top_p = 1,
					.typical_p = 1,
					.repetition_penalty = 1,
					.logprobs = 1 } };

	if (argc < 4)
		die("usage", "logits-tool PLUGIN.so COMPONENT OUT [key=value...] < script");
	for (int i = 4; i < argc; i++) {
		if (strncmp(argv[i], "draw=", 5) == 0) {
			t.sampling.temperature = 1;
			t.sampling.seed = strtoull(argv[i] + 5, NULL, 10);
		}
	}
	t.out = fopen(argv[3], "wb");
	if (!t.out)
		die(argv[3], "cannot be written");
	start(&t, find_component(argv[1], argv[2]), argv + 4, argc - 4);
	run_script(&t, stdin);
	if (t.instance->stop)
		t.instance->stop(t.instance);
	t.instance->destroy(t.instance);
	if (fclose(t.out) != 0)
		die(argv[3], "cannot be written");
	for (uint32_t i = 0; i < t.n_seqs; i++) {
		free(t.seq[i].token);
		free(t.seq[i].block);
	}
	return 0;
}
