/* SPDX-License-Identifier: MIT */
/*
 * tests/crasher/stepper.c - a level-B backend whose tokens are bytes, and whose step() does what a
 * prompt says: SEGFAULT or HANG (it never returns), at the fourth token of the answer; with EARLY
 * before the first, with LATE at the thirtieth. STUCK hangs in the tokenizer. Else the answer
 * spells letters that hang on the prompt alone. For tests of isolation = process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/backend.h>
#include <weir/tokenizer.h>

enum { VOCAB = 257, CONTEXT = 1024, BLOCK = 32, BLOCKS = 1024, ROWS = 32, END = 256 };

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* A crash as users have them: a sanitizer's report would end the process in its own way. */
__attribute__((no_sanitize("undefined", "address", "thread"))) static void crash(void)
{
	volatile int *volatile nothing = NULL;
	(void)signal(SIGSEGV, SIG_DFL);
	*nothing = 1;
}

/* ---- text ---- */

static weir_status encode(struct weir_instance *i, struct weir_str text, uint32_t flags,
			  int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	while (memmem(text.data, text.len, "STUCK", 5))
		nap(20);
	for (size_t k = 0; k < text.len && k < cap; k++)
		out[k] = (unsigned char)text.data[k];
	*ret_n = text.len;
	return WEIR_OK;
}

static weir_status encode_chat(struct weir_instance *i, struct weir_str context, int32_t *out,
			       size_t cap, size_t *ret_n, struct weir_error *err)
{
	return encode(i, context, 0, out, cap, ret_n, err);
}

static size_t piece(struct weir_instance *i, int32_t token, uint32_t flags, char *out, size_t cap)
{
	if (token < 0 || token >= END)
		return 0;
	if (cap > 0)
		out[0] = (char)token;
	return 1;
}

static bool is_end(struct weir_instance *i, int32_t token)
{
	return token == END;
}

/* ---- steps ---- */

static weir_status load(struct weir_instance *i, struct weir_model *ret, struct weir_error *err)
{
	*ret = (struct weir_model){ .size = ret->size,
				    .n_vocab = VOCAB,
				    .n_ctx = CONTEXT,
				    .max_rows = ROWS,
				    .max_tokens = 512,
				    .block_tokens = BLOCK,
				    .n_blocks = BLOCKS,
				    .name = "stepper",
				    .summary = "letters" };
	return WEIR_OK;
}

static bool says(const char *prompt, size_t n, const char *word)
{
	return memmem(prompt, n, word, strlen(word)) != NULL;
}

static int32_t letter(const struct weir_row *row)
{
	char prompt[CONTEXT];
	uint32_t n = row->n_prompt < CONTEXT ? row->n_prompt : CONTEXT, sum = row->n_history;
	uint32_t at = row->n_history - row->n_prompt, due = 3;
	for (uint32_t k = 0; k < n; k++) {
		prompt[k] = (char)row->history[k];
		sum = sum * 31 + (uint32_t)row->history[k];
	}
	due = says(prompt, n, "EARLY") ? 0 : says(prompt, n, "LATE") ? 30 : due;
	if (at == due && says(prompt, n, "SEGFAULT"))
		crash();
	while (at == due && says(prompt, n, "HANG"))
		nap(20);
	return 'a' + (int32_t)(sum % 26);
}

static weir_status step(struct weir_instance *i, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	const char *row = (const char *)batch->rows;
	nap(10);
	for (uint32_t r = 0; r < batch->n_rows; r++, row += batch->row_size) {
		const struct weir_row *at = (const struct weir_row *)(const void *)row;
		if (at->sampling)
			ret->token[r] = letter(at);
	}
	return WEIR_OK;
}

/* ---- life ---- */

static void destroy(struct weir_instance *i)
{
	free(i);
}

static const void *get_ext(struct weir_instance *i, const char *id)
{
	static const struct weir_backend_step calls = { .size = sizeof(calls),
							.load = load,
							.step = step };
	static const struct weir_tokenizer tokenizer = { .size = sizeof(tokenizer),
							 .n_vocab = VOCAB,
							 .bos = -1,
							 .eos = END,
							 .encode = encode,
							 .encode_chat = encode_chat,
							 .piece = piece,
							 .is_end = is_end };
	if (strcmp(id, WEIR_BACKEND_STEP) == 0)
		return &calls;
	return strcmp(id, WEIR_TOKENIZER) == 0 ? &tokenizer : NULL;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct weir_instance *i = calloc(1, sizeof(*i));
	if (!i)
		return WEIR_E_EXHAUSTED;
	*i = (struct weir_instance){
		.size = sizeof(*i), .data = i, .destroy = destroy, .get_ext = get_ext
	};
	*ret = i;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "stepper",
	.title = "What the prompt says, in steps",
	.help = "For tests.",
	.create = create,
};
static const struct weir_component *const components[] = { &component, NULL };
static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "stepper",
	.version = "1",
	.vendor = "Weir's tests",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return &plugin;
}
