/*
 * tests/check/bad-step.c - a level-B backend whose model is arithmetic, and the ways to get a step
 * wrong: compiled once per kind with BAD_<KIND> defined, to see that `weir check` says so. Without
 * any it keeps the contract. The model is a file that begins with TOY.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/backend.h>

enum { VOCAB = 64, CONTEXT = 128, BLOCK = 8, BLOCKS = 128, ROWS = 8 };

struct toy {
	struct weir_instance base;
	char path[256];
	uint32_t kv[BLOCKS * BLOCK]; /* a position's token, and one more */
	unsigned calls;
};

static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

static weir_status load(struct weir_instance *base, struct weir_model *ret, struct weir_error *err)
{
	const struct toy *toy = (const struct toy *)base;
	char head[3] = "";
	FILE *file = fopen(toy->path, "r");
	size_t n = file ? fread(head, 1, sizeof(head), file) : 0;

	if (file)
		fclose(file);
#ifndef BAD_TAKES_ALL
	if (n != sizeof(head) || memcmp(head, "TOY", 3)) {
#ifndef BAD_NO_REASON
		snprintf(err->text, sizeof(err->text), "%s: not a toy", toy->path);
#endif
		return WEIR_E_INVALID;
	}
#endif
	*ret = (struct weir_model){ .size = ret->size,
				    .n_vocab = VOCAB,
				    .n_ctx = CONTEXT,
				    .max_rows = ROWS,
				    .max_tokens = 64,
				    .block_tokens = BLOCK,
#ifdef BAD_FACTS
				    .n_blocks = 2,
#else
				    .n_blocks = BLOCKS,
#endif
				    .max_guesses = 16,
				    .name = "toy",
				    .summary = "arithmetic" };
	return WEIR_OK;
}

static uint32_t *place(struct toy *toy, const struct weir_row *row, uint32_t pos)
{
	return &toy->kv[row->blocks[pos / BLOCK] * BLOCK + pos % BLOCK];
}

/* The logits behind position pos. */
static void think(struct toy *toy, const struct weir_batch *batch, const struct weir_row *row,
		  uint32_t pos, float *logits)
{
	uint32_t state = 1, from = 0;

#ifdef BAD_CHUNKS /* forgets what earlier steps stored */
	from = row->pos;
#endif
	for (uint32_t p = from; p <= pos; p++)
		state = mix(state + *place(toy, row, p) * (p + 7));
#ifdef BAD_ROWS
	state += batch->n_rows - 1;
#endif
#ifdef BAD_MOODY
	state += toy->calls;
#endif
	for (uint32_t v = 0; v < VOCAB; v++)
		logits[v] = (float)(mix(state + 977 * v) % 10000) / 1000.0f;
#ifdef BAD_NAN
	logits[5] = NAN;
#endif
	(void)batch;
}

static double log_sum(const float *logits)
{
	double sum = 0;

	for (uint32_t v = 0; v < VOCAB; v++)
		sum += exp((double)logits[v]);
	return log(sum);
}

static int32_t draw(const struct weir_row *row, uint32_t n_history, const float *logits)
{
	double best = -1e30;
	int32_t token = -1;

	for (uint32_t v = 0; v < VOCAB; v++) {
		double x = (double)logits[v];

#ifndef BAD_MASK
		if (row->mask && !(row->mask[v / 32] >> v % 32 & 1))
			continue;
#endif
		if (row->sampling->temperature > 0) { /* Gumbel's trick */
			uint32_t r = mix(mix((uint32_t)row->seed + 31 * n_history) + v);

#ifdef BAD_SEED
			r = mix((uint32_t)rand());
#endif
			x = x / (double)row->sampling->temperature -
			    log(-log((r + 0.5) / 4294967296.0));
		}
		if (x > best) {
			best = x;
			token = (int32_t)v;
		}
	}
#ifdef BAD_RANGE
	return VOCAB;
#endif
	return token;
}

static void answer(struct toy *toy, const struct weir_batch *batch, uint32_t r,
		   struct weir_step *ret)
{
	const struct weir_row *row = &batch->rows[r];
	uint32_t at = row->pos + row->count - 1 - row->n_draft, n = row->n_history - row->n_draft;
	float logits[VOCAB];
	int32_t token;

	think(toy, batch, row, at, logits);
	token = ret->token[r] = draw(row, n, logits);
	if (ret->logits)
		memcpy(ret->logits + (size_t)r * VOCAB, logits, sizeof(logits));
	if (row->sampling->logprobs) {
		ret->logprob[r] = token < 0 || token >= VOCAB
					  ? 0
					  : (float)((double)logits[token] - log_sum(logits));
#ifdef BAD_LOGPROB
		ret->logprob[r] = logf(0.5f);
#endif
	}
	if (!ret->n_right)
		return;
	ret->n_right[r] = 0;
	for (uint32_t i = 0; i < row->n_draft; i++) {
#ifndef BAD_GUESSES /* believes each guess */
		if (row->history[n + i] != token)
			return;
#endif
		think(toy, batch, row, at + 1 + i, logits);
		token = draw(row, n + 1 + i, logits);
		ret->drawn[r * WEIR_MAX_DRAFT + i] = token;
		ret->n_right[r]++;
	}
}

static weir_status step(struct weir_instance *base, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	struct toy *toy = (struct toy *)base;

	toy->calls++;
#ifndef BAD_COPIES
	for (uint32_t i = 0; i < batch->n_copies; i++)
		memcpy(&toy->kv[batch->copies[2 * i + 1] * BLOCK],
		       &toy->kv[batch->copies[2 * i] * BLOCK], BLOCK * sizeof(toy->kv[0]));
#endif
	for (uint32_t r = 0; r < batch->n_rows; r++)
		for (uint32_t i = 0; i < batch->rows[r].count; i++) {
			uint32_t *p = place(toy, &batch->rows[r], batch->rows[r].pos + i);
			uint32_t token = (uint32_t)batch->tokens[batch->rows[r].first + i] + 1;

#ifdef BAD_GONE /* keeps what was there first */
			*p = *p ? *p : token;
#else
			*p = token;
#endif
		}
	for (uint32_t r = 0; r < batch->n_rows; r++)
		if (batch->rows[r].sampling)
			answer(toy, batch, r, ret);
#ifdef BAD_FAILS
	snprintf(err->text, sizeof(err->text), "no mood");
	return WEIR_E_INTERNAL;
#endif
	(void)err;
	return WEIR_OK;
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_backend_step api = { sizeof(api), 0, load, step, NULL };

	(void)base;
	return strcmp(id, WEIR_BACKEND_STEP) ? NULL : &api;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct toy *toy = calloc(1, sizeof(*toy));

	(void)host;
	if (!toy) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return WEIR_E_EXHAUSTED;
	}
	for (size_t i = 0; i < n_conf; i++)
		if (!strcmp(conf[i].key, "model"))
			snprintf(toy->path, sizeof(toy->path), "%s", conf[i].value);
	toy->base.size = sizeof(toy->base);
	toy->base.destroy = destroy;
	toy->base.get_ext = get_ext;
	*ret = &toy->base;
	return WEIR_OK;
}

static const struct weir_option option_model = {
	.size = sizeof(option_model),
	.type = WEIR_OPTION_PATH,
	.key = "model",
	.fallback = "",
	.help = "A file that begins with TOY.",
};

static const struct weir_option *const options[] = { &option_model, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = BAD_NAME,
	.title = "For tests",
	.help = "A model that is arithmetic.",
	.options = options,
	.create = create,
};

WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static const struct weir_component *const components[] = { &component, NULL };
	static const struct weir_plugin plugin = {
		.size = sizeof(plugin),
		.abi = WEIR_ABI,
		.abi_min = WEIR_ABI,
		.sanitizer = WEIR_SANITIZER,
		.name = BAD_NAME,
		.version = "1.0",
		.components = components,
	};

	(void)host_abi;
	return &plugin;
}
