/* SPDX-License-Identifier: MIT */
/*
 * plan.c - `weir model plan`: what a model takes of this machine's memory, to the byte. [main]
 *
 * The server's own code makes the plan, on a device that counts: see session.h.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "session.h"

static const char help[] =
	"weir model plan FILE [--context N] [--sequences N] [--batch N] [--guesses N]\n"
	"                     [--kv TYPE] [--threads N] [--json]\n"
	"\n"
	"Prints, to the byte, what serving a model takes of memory: weights as the processor's\n"
	"kernels keep them, the KV cache, the temporaries of a step. Nothing is loaded.\n"
	"\n"
	"  --context N     longest sequence, prompt and answer; the model's own when left out\n"
	"  --sequences N   how many are computed together (max_sequences of a profile); 8\n"
	"  --batch N       tokens of a step (max_batch_tokens of a profile); 512\n"
	"  --guesses N     guesses of a step (guesses of a profile); 32\n"
	"  --kv TYPE       numbers of the KV cache: f16, bf16, q8_0 or f32; f16\n"
	"  --threads N     threads that compute; all cores when left out\n"
	"  --json          the same for programs\n"
	"\n"
	"Examples\n"
	"  weir model plan llama-8b.gguf\n"
	"  weir model plan llama-8b.gguf --context 32768 --sequences 4 --kv q8_0\n"
	"  weir model plan llama-8b.gguf --json | jq .bytes.total\n"
	"\n"
	"A server whose profile does not set kv_memory gives the cache at most half of the memory\n"
	"that is free; the last lines say what fits here.\n"
	"\n" TOOL_EXIT_HELP;

struct plan {
	struct session_wish wish;
	struct weir_model model;
	struct session_bytes bytes;
	uint64_t total, memory_free, per_token;
	uint64_t tokens;  /* of cache that would fit, over all sequences */
	uint64_t longest; /* context that fits, at most the model's own */
};

static uint64_t total_of(const struct session_bytes *b)
{
	return b->matrices + b->tables + b->vectors + b->kv + b->arena + b->program;
}

static weir_status make(const struct tool *tool, struct plan *p, struct weir_error *err)
{
	struct session *s = NULL;
	weir_status status = session_new(tool, &p->wish, &s, err);

	if (status != WEIR_OK)
		return status;
	p->model = *session_model(s);
	p->model.name = p->model.summary = NULL; /* the session's */
	p->bytes = *session_bytes_of(s);
	p->memory_free = session_memory_free(s);
	p->total = total_of(&p->bytes);
	if (p->model.n_blocks)
		p->per_token = p->bytes.kv / p->model.n_blocks / p->model.block_tokens;
	session_free(s);
	return WEIR_OK;
}

/* What is left for the cache, shared out: first as many tokens as memory holds, then the longest
 * context up to the model's own, planned again because the arena grows with it. */
static void find_longest(const struct tool *tool, struct plan *p, uint32_t trained)
{
	uint64_t rest = p->total - p->bytes.kv, block = p->per_token * p->model.block_tokens;
	struct plan try = *p;
	struct weir_error err;

	if (!block || rest >= p->memory_free)
		return;
	p->tokens = (p->memory_free - rest) / block * p->model.block_tokens;
	try.wish.quiet = true;
	for (int i = 0; i < 4; i++) {
		uint64_t blocks = (p->memory_free - rest) / block / p->wish.max_sequences;
		uint64_t tokens = blocks * p->model.block_tokens;

		if (tokens > trained && trained)
			tokens = trained;
		try.wish.n_ctx = tokens < 1u << 27 ? (uint32_t)tokens : 1u << 27;
		if (tokens == 0 || make(tool, &try, &err) != WEIR_OK)
			return;
		if (try.total <= p->memory_free) {
			p->longest = try.wish.n_ctx;
			return;
		}
		rest = try.total - try.bytes.kv;
		if (rest >= p->memory_free)
			return;
	}
}

static void print_json(const struct plan *p, const char *path)
{
	const struct session_bytes *b = &p->bytes;

	printf("{\"file\": ");
	tool_json_text(stdout, path);
	printf(", \"context\": %u, \"sequences\": %u, \"batch_tokens\": %u, \"kv_blocks\": %u, "
	       "\"block_tokens\": %u,\n \"bytes\": {\"file_weights\": %llu, \"matrices\": %llu, "
	       "\"vectors\": %llu, \"tables\": %llu, \"kv\": %llu, \"arena\": %llu, "
	       "\"program\": %llu, \"total\": %llu},\n \"kv_bytes_per_token\": %llu, "
	       "\"memory_free\": %llu, \"fits\": %s, \"cache_tokens_free\": %llu, "
	       "\"longest_context\": ",
	       p->model.n_ctx, p->model.max_rows, p->model.max_tokens, p->model.n_blocks,
	       p->model.block_tokens, (unsigned long long)p->model.bytes_weights,
	       (unsigned long long)b->matrices, (unsigned long long)b->vectors,
	       (unsigned long long)b->tables, (unsigned long long)b->kv,
	       (unsigned long long)b->arena, (unsigned long long)b->program,
	       (unsigned long long)p->total, (unsigned long long)p->per_token,
	       (unsigned long long)p->memory_free, p->total <= p->memory_free ? "true" : "false",
	       (unsigned long long)p->tokens);
	if (p->per_token)
		printf("%llu}\n", (unsigned long long)p->longest);
	else
		printf("null}\n");
}

static void print_line(const char *what, uint64_t bytes, const char *remark)
{
	printf("  %-12s %16llu  %10s  %s\n", what, (unsigned long long)bytes,
	       tool_bytes(bytes).text, remark);
}

static void print_text(const struct plan *p, const char *path, uint32_t trained)
{
	char cache[128] = "none: an encoder keeps no cache";

	printf("%s\n", path);
	if (p->model.n_blocks)
		snprintf(cache, sizeof(cache), "%u blocks of %u tokens, %s, %llu bytes a token",
			 p->model.n_blocks, p->model.block_tokens,
			 p->wish.kv_type ? p->wish.kv_type : "f16",
			 (unsigned long long)p->per_token);
	printf("  for %u tokens of context, %u sequences together, %u tokens in a step\n\n",
	       p->model.n_ctx, p->model.max_rows, p->model.max_tokens);
	print_line("matrices", p->bytes.matrices, "in the kernels' layout");
	print_line("tables", p->bytes.tables, "embeddings that are looked up");
	print_line("vectors", p->bytes.vectors, "norms and biases, F32");
	print_line("KV cache", p->bytes.kv, cache);
	print_line("arena", p->bytes.arena, "temporaries of a step, logits included");
	print_line("program", p->bytes.program, "lists of operations");
	print_line("together", p->total, "");
	printf("\n%s free here: ", tool_bytes(p->memory_free).text);
	if (p->total <= p->memory_free)
		printf("it fits.\n");
	else
		printf("%s too little. Lower --context or --sequences, take --kv q8_0, or a file "
		       "of fewer bits.\n",
		       tool_bytes(p->total - p->memory_free).text);
	if (!p->per_token)
		return;
	printf("Memory would hold %llu tokens of cache in all. ", (unsigned long long)p->tokens);
	if (p->longest == 0)
		printf("That is too little for %u sequences.\n", p->wish.max_sequences);
	else if (p->longest == trained)
		printf("The model's whole context of %u fits for %u sequences.\n", trained,
		       p->wish.max_sequences);
	else
		printf("The longest context that fits for %u sequences is %llu of the model's "
		       "%u:\ncontext = %llu, kv_memory = %llu\n",
		       p->wish.max_sequences, (unsigned long long)p->longest, trained,
		       (unsigned long long)p->longest,
		       (unsigned long long)(p->longest * p->wish.max_sequences * p->per_token));
}

int model_plan(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir model plan", help };
	struct plan p = { .wish = { .max_sequences = 8,
				    .max_tokens = 512,
				    .guesses = 32,
				    .memory_free = UINT64_MAX / 4,
				    .plan = true } };
	bool json = false;
	const struct tool_flag flags[] = {
		{ "--context", TOOL_FLAG_U32, &p.wish.n_ctx, 1, 1u << 27 },
		{ "--sequences", TOOL_FLAG_U32, &p.wish.max_sequences, 1, 1024 },
		{ "--batch", TOOL_FLAG_U32, &p.wish.max_tokens, 1, 65536 },
		{ "--guesses", TOOL_FLAG_U32, &p.wish.guesses, 0, 1024 },
		{ "--kv", TOOL_FLAG_TEXT, &p.wish.kv_type, 0, 0 },
		{ "--threads", TOOL_FLAG_U32, &p.wish.n_threads, 1, 1024 },
		{ "--json", TOOL_FLAG_BOOL, &json, 0, 0 },
	};
	static const char *const names[] = { "FILE" };
	const char *path = NULL;
	struct weir_error err;
	uint32_t trained = 0;
	int code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names, 1,
			      &path);

	if (code != TOOL_GO_ON)
		return code;
	p.wish.path = path;
	if (make(&tool, &p, &err) != WEIR_OK)
		return tool_fail_error(&tool, &err);
	trained = model_trained_context(path);
	find_longest(&tool, &p, trained);
	if (json)
		print_json(&p, path);
	else
		print_text(&p, path, trained);
	return tool_finish(&tool, TOOL_DONE);
}
