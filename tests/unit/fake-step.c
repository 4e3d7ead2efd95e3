/*
 * fake-step.c - see fake-step.h.
 */
#include "fake-step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static guint64 mix(guint64 h, guint64 x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static int32_t draw(const struct fake *f, guint64 h, bool no_end)
{
	h = mix(h, 0x1234567) >> 11;
	if (f->end_one_in > 0 && !no_end && h % f->end_one_in == 0)
		return 0;
	return (int32_t)(1 + h / 1000 % (f->memory == 1 ? 100 : f->memory ? 3 : FAKE_VOCAB - 1));
}

static guint64 begin_hash(guint64 seed)
{
	return mix(0xfeedface, seed);
}

/* What the next token hangs on. */
static guint64 hash_of(const struct fake *f, const int32_t *tokens, guint n, guint64 seed)
{
	guint64 h = begin_hash(seed);

	for (guint i = f->memory && n > f->memory ? n - f->memory : 0; i < n; i++)
		h = mix(h, (guint64)tokens[i]);
	return h;
}

GArray *fake_oracle(const struct fake *f, const int32_t *prompt, guint n_prompt, guint64 seed,
		    guint max, guint min)
{
	GArray *all = g_array_new(FALSE, FALSE, sizeof(int32_t));

	g_array_append_vals(all, prompt, n_prompt);
	while (all->len - n_prompt < max) {
		guint64 h = hash_of(f, (int32_t *)(void *)all->data, all->len, seed);
		int32_t token = draw(f, h, all->len - n_prompt < min);

		g_array_append_val(all, token);
		if (token == 0)
			break;
	}
	g_array_remove_range(all, 0, n_prompt);
	return all;
}

guint64 fake_seed(guint64 seed, guint index)
{
	guint64 x = seed + index;

	if (index == 0)
		return seed;
	/* splitmix64, as the scheduler has it */
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void breach(struct fake *f, const char *what, guint64 a, guint64 b)
{
	if (g_atomic_int_add(&f->n_breaches, 1) == 0)
		snprintf(f->breach, sizeof(f->breach),
			 "%s (%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT ")", what, a, b);
}

static weir_status load(struct weir_instance *instance, struct weir_model *ret,
			struct weir_error *err)
{
	struct fake *f = instance->data;

	if (f->fail_load) {
		snprintf(err->text, sizeof(err->text), "no such file");
		return WEIR_E_NOT_FOUND;
	}
	*ret = f->model;
	return WEIR_OK;
}

static int32_t *cell(struct fake *f, const struct weir_row *row, uint32_t pos)
{
	uint32_t block = row->blocks[pos / f->model.block_tokens];

	return &f->kv[block * f->model.block_tokens + pos % f->model.block_tokens];
}

static void check_row(struct fake *f, const struct weir_batch *batch, const struct weir_row *row,
		      uint32_t *first)
{
	uint64_t need = (uint64_t)row->pos + row->count;

	if (row->first != *first || row->count == 0)
		breach(f, "rows do not divide the tokens", row->first, *first);
	*first += row->count;
	if (need > (uint64_t)row->n_blocks * f->model.block_tokens)
		breach(f, "too few blocks", need, row->n_blocks);
	if (row->n_history != need)
		breach(f, "history has another length", row->n_history, need);
	if (need > f->model.n_ctx)
		breach(f, "longer than the context", need, f->model.n_ctx);
	if (memcmp(row->history + row->pos, batch->tokens + row->first, row->count * 4))
		breach(f, "history has other tokens", row->seq, row->pos);
	if (g_hash_table_contains(f->gone, &row->seq))
		breach(f, "a number that was gone", row->seq, 0);
	for (uint32_t i = 0; i < row->n_blocks; i++)
		if (row->blocks[i] >= f->model.n_blocks)
			breach(f, "no such block", row->blocks[i], i);
}

static void write_row(struct fake *f, const struct weir_batch *batch, const struct weir_row *row)
{
	for (uint32_t i = 0; i < row->count; i++) {
		int32_t *to = cell(f, row, row->pos + i);

		if (f->written_in[to - f->kv] == (uint32_t)f->n_steps)
			breach(f, "two rows write to one place", row->seq, row->pos + i);
		f->written_in[to - f->kv] = (uint32_t)f->n_steps;
		*to = batch->tokens[row->first + i];
	}
}

/* Guesses that came true, and what is drawn after each. */
static void judge(struct fake *f, const struct weir_row *row, struct weir_step *ret, uint32_t slot,
		  guint64 seed)
{
	guint certain = row->n_history - row->n_draft;
	int32_t drawn = ret->token[slot];
	uint32_t n = 0;

	if (row->n_draft > f->model.max_guesses || row->n_draft >= row->count)
		breach(f, "too many guesses", row->n_draft, row->count);
	while (n < row->n_draft && drawn == row->history[certain + n]) {
		drawn = draw(f, hash_of(f, row->history, certain + n + 1, seed), row->no_end);
		ret->drawn[slot * WEIR_MAX_DRAFT + n++] = drawn;
	}
	ret->n_right[slot] = n;
	g_atomic_int_add(&f->n_guesses, (gint)row->n_draft);
	g_atomic_int_add(&f->n_right, (gint)n);
}

float fake_score(const struct fake *f, const int32_t *tokens, guint at, uint32_t *ret_rank)
{
	guint64 h = mix(hash_of(f, tokens, at, 99), (guint64)tokens[at]) >> 20;

	*ret_rank = 1 + (uint32_t)(h % 7);
	return -(float)(h / 7 % 1000) / 100;
}

/* At most max_scores tokens of a step are in rows with targets; *n_in_rows: so far. */
static void score_row(struct fake *f, const struct weir_row *row, struct weir_step *ret,
		      uint32_t *n_in_rows)
{
	for (uint32_t k = 0; row->targets && k < row->count; k++) {
		uint32_t at = row->pos + k + 1, slot = row->first + k;

		if (++*n_in_rows > f->model.max_scores)
			breach(f, "too many targets", *n_in_rows, row->count);
		if (row->targets[k] < 0)
			continue;
		/* The prompt lies behind the history as well. */
		if (at >= row->n_prompt || row->targets[k] != row->history[at])
			breach(f, "a target that is not in the prompt", at, row->n_prompt);
		ret->score[slot].logprob = fake_score(f, row->history, at, &ret->score[slot].rank);
		for (uint32_t i = 0; i < row->n_target_top; i++) {
			ret->score_top[slot].token[i] = i < 3 ? (int32_t)(2 + 'a' + i) : -1;
			ret->score_top[slot].logprob[i] = -1.0f - (float)i;
		}
		g_atomic_int_inc(&f->n_scored);
	}
}

static void compute_row(struct fake *f, const struct weir_row *row, struct weir_step *ret,
			uint32_t slot)
{
	guint64 seed = row->sampling && row->sampling->temperature > 0 ? row->seed : 0;
	guint certain = row->n_history - row->n_draft;

	for (uint32_t pos = 0; pos < row->pos + row->count; pos++)
		if (*cell(f, row, pos) != row->history[pos])
			breach(f, "KV holds another token", row->seq, pos);
	if (!row->sampling)
		return;
	ret->token[slot] = draw(f, hash_of(f, row->history, certain, seed), row->no_end);
	if (row->mask && row->n_draft > 0)
		breach(f, "guesses under a mask", row->n_draft, 0);
	if (row->mask && !f->heedless)
		while (!(row->mask[ret->token[slot] / 32] >> (ret->token[slot] % 32) & 1))
			ret->token[slot] = (ret->token[slot] + 1) % FAKE_VOCAB;
	judge(f, row, ret, slot, seed);
	if (g_atomic_int_get(&f->fail_row_at) == (gint)row->n_history) {
		ret->token[slot] = -1;
		ret->error[slot].code = WEIR_E_INVALID;
		snprintf(ret->error[slot].text, sizeof(ret->error[slot].text), "all banned");
	}
	if (row->sampling->logprobs)
		ret->logprob[slot] = -1.5f;
	for (uint32_t i = 0; i < row->sampling->top_logprobs; i++) {
		ret->top[slot].token[i] = i < 3 ? (int32_t)(2 + 'a' + i) : -1;
		ret->top[slot].logprob[i] = -1.0f - (float)i;
	}
}

/* Is this the step at which it is lost? Nothing may be asked of it after that. */
static bool loses(struct fake *f, gint n, struct weir_error *err)
{
	if (g_atomic_int_get(&f->lost))
		breach(f, "asked after its loss", (guint64)n, 0);
	if (!g_atomic_int_get(&f->lose) && g_atomic_int_get(&f->lose_at) != n)
		return false;
	g_atomic_int_set(&f->lost, 1);
	snprintf(err->text, sizeof(err->text), "the device was lost");
	g_atomic_int_add(&f->busy, -1);
	return true;
}

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	struct fake *f = instance->data;
	const struct weir_model *m = &f->model;
	uint32_t first = 0, n_in_rows = 0;

	if (g_atomic_int_add(&f->busy, 1) != 0)
		breach(f, "two steps at once", 0, 0);
	g_atomic_int_inc(&f->n_steps);
	while (g_atomic_int_get(&f->gate) && !g_atomic_int_get(&f->interrupted))
		g_usleep(200);
	if (f->pause_us)
		g_usleep(f->pause_us);
	if (loses(f, g_atomic_int_get(&f->n_steps), err))
		return WEIR_E_UNAVAILABLE;
	if (batch->n_rows == 0 || batch->n_rows > m->max_rows || batch->n_tokens > m->max_tokens)
		breach(f, "batch too large", batch->n_rows, batch->n_tokens);
	f->most_rows = MAX(f->most_rows, (gint)batch->n_rows);
	for (uint32_t i = 0; i < batch->n_gone; i++)
		g_hash_table_add(f->gone, g_memdup2(&batch->gone[i], sizeof(uint64_t)));
	for (uint32_t i = 0; i < batch->n_rows; i++)
		check_row(f, batch, &batch->rows[i], &first);
	if (first != batch->n_tokens)
		breach(f, "tokens that belong to no row", first, batch->n_tokens);
	if (f->n_breaches > 0 || g_atomic_int_get(&f->fail_steps) > 0 ||
	    g_atomic_int_get(&f->interrupted)) {
		g_atomic_int_add(&f->fail_steps, -1);
		/* A failed device: its memory is lost. */
		memset(f->kv, 0xff, (size_t)m->n_blocks * m->block_tokens * 4);
		snprintf(err->text, sizeof(err->text), "the device has failed");
		g_atomic_int_add(&f->busy, -1);
		return g_atomic_int_get(&f->interrupted) ? WEIR_E_CANCELLED : WEIR_E_INTERNAL;
	}
	/* Backwards: copies may be made in any order. */
	for (uint32_t i = batch->n_copies; i-- > 0;)
		memcpy(f->kv + batch->copies[2 * i + 1] * m->block_tokens,
		       f->kv + batch->copies[2 * i] * m->block_tokens, m->block_tokens * 4);
	g_atomic_int_add(&f->n_copies, (gint)batch->n_copies);
	g_atomic_int_add(&f->n_gone, (gint)batch->n_gone);
	g_atomic_int_add(&f->n_tokens, (gint)batch->n_tokens);
	for (uint32_t i = 0; i < batch->n_rows; i++)
		write_row(f, batch, &batch->rows[i]);
	for (uint32_t i = 0; i < batch->n_rows; i++)
		compute_row(f, &batch->rows[i], ret, i);
	for (uint32_t i = 0; i < batch->n_rows; i++)
		score_row(f, &batch->rows[i], ret, &n_in_rows);
	g_atomic_int_add(&f->busy, -1);
	return WEIR_OK;
}

static void interrupt(struct weir_instance *instance)
{
	g_atomic_int_set(&((struct fake *)instance->data)->interrupted, 1);
}

static weir_status encode(struct weir_instance *instance, struct weir_str text, uint32_t flags,
			  int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	for (size_t i = 0; i < text.len && i < cap; i++)
		out[i] = 2 + (unsigned char)text.data[i];
	*ret_n = text.len;
	return WEIR_OK;
}

static weir_status encode_chat(struct weir_instance *instance, struct weir_str context,
			       int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	return encode(instance, context, 0, out, cap, ret_n, err);
}

/* Shows what it was given: "prefix|suffix", then "|name=text" for each file, "|room". */
static weir_status encode_infill(struct weir_instance *instance, const struct weir_infill *hole,
				 int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_len(text, hole->prefix.data, (gssize)hole->prefix.len);
	g_string_append_c(text, '|');
	g_string_append_len(text, hole->suffix.data, (gssize)hole->suffix.len);
	for (uint32_t i = 0; i < hole->n_files; i++)
		g_string_append_printf(text, "|%.*s=%.*s", (int)hole->files[i].name.len,
				       hole->files[i].name.data, (int)hole->files[i].text.len,
				       hole->files[i].text.data);
	g_string_append_printf(text, "|%zu", hole->room);
	return encode(instance, (struct weir_str){ text->str, text->len }, 0, out, cap, ret_n, err);
}

static weir_status render_chat(struct weir_instance *instance, struct weir_str context, char *out,
			       size_t cap, size_t *ret_n, struct weir_error *err)
{
	memcpy(out, context.data, MIN(cap, context.len));
	*ret_n = context.len;
	return WEIR_OK;
}

static size_t piece(struct weir_instance *instance, int32_t token, uint32_t flags, char *out,
		    size_t cap)
{
	if (token < 2 || token >= FAKE_VOCAB)
		return 0;
	if (cap > 0)
		out[0] = (char)(token - 2);
	return 1;
}

static bool is_end(struct weir_instance *instance, int32_t token)
{
	return token == 0;
}

void fake_vector(const struct fake *f, const int32_t *tokens, guint n, float *ret)
{
	for (uint32_t d = 0; d < f->embed.n_dim; d++) {
		uint64_t h = d + 1;

		for (guint i = 0; i < n; i++)
			h = (h ^ (uint64_t)tokens[i]) * 0x9e3779b97f4a7c15ull ^ h >> 29;
		ret[d] = (float)((int64_t)(h >> 40) - (1 << 23)) / (1 << 23);
	}
}

static void embedder_info(struct weir_instance *instance, struct weir_embedder_info *ret)
{
	*ret = ((struct fake *)instance->data)->embed;
}

static weir_status embed(struct weir_instance *instance, const int32_t *tokens,
			 const uint32_t *first, uint32_t n_texts, float *ret,
			 struct weir_error *err)
{
	struct fake *f = instance->data;

	if (g_atomic_int_add(&f->busy, 1) != 0)
		breach(f, "a step and a batch of texts at once", 0, 0);
	while (g_atomic_int_get(&f->gate) && !g_atomic_int_get(&f->interrupted))
		g_usleep(200);
	if (f->pause_us)
		g_usleep(f->pause_us);
	if (loses(f, 1 + g_atomic_int_get(&f->n_embeds), err))
		return WEIR_E_UNAVAILABLE;
	if (n_texts == 0 || first[0] != 0 || first[n_texts] > f->embed.max_batch)
		breach(f, "batch of texts too large", n_texts, first[n_texts]);
	f->most_embed_tokens = MAX(f->most_embed_tokens, (gint)first[n_texts]);
	for (uint32_t i = 0; i < n_texts; i++) {
		uint32_t n = first[i + 1] - first[i];

		if (n == 0 || n > f->embed.max_tokens)
			breach(f, "a text of impossible length", i, n);
		fake_vector(f, tokens + first[i], n, ret + (size_t)i * f->embed.n_dim);
	}
	g_atomic_int_inc(&f->n_embeds);
	g_atomic_int_add(&f->n_embed_texts, (gint)n_texts);
	g_atomic_int_add(&f->busy, -1);
	if (g_atomic_int_get(&f->fail_embeds) > 0 || g_atomic_int_get(&f->interrupted)) {
		g_atomic_int_add(&f->fail_embeds, -1);
		snprintf(err->text, sizeof(err->text), "the device has failed");
		return g_atomic_int_get(&f->interrupted) ? WEIR_E_CANCELLED : WEIR_E_INTERNAL;
	}
	return WEIR_OK;
}

/* The query's bytes, token 1, the document's. */
static weir_status encode_pair(struct weir_instance *instance, struct weir_str query,
			       struct weir_str document, int32_t *out, size_t cap, size_t *ret_n,
			       struct weir_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < query.len; i++, n++)
		if (n < cap)
			out[n] = 2 + (unsigned char)query.data[i];
	if (n < cap)
		out[n] = 1;
	n++;
	for (size_t i = 0; i < document.len; i++, n++)
		if (n < cap)
			out[n] = 2 + (unsigned char)document.data[i];
	*ret_n = n;
	return WEIR_OK;
}

/* A reader that makes three parts of each feed, and one more at the end: more events than tokens.
 */
struct weir_answer {
	guint n_fed;
};

static weir_status answer_open(struct weir_instance *instance, struct weir_str context,
			       struct weir_str id, weir_answer **ret, char **ret_prefix,
			       char **ret_grammar, struct weir_error *err)
{
	*ret = g_new0(weir_answer, 1);
	*ret_prefix = strdup("!");
	*ret_grammar = NULL;
	return WEIR_OK;
}

static bool answer_shows(struct weir_instance *instance, int32_t token)
{
	return false;
}

static void answer_feed(weir_answer *a, struct weir_str text,
			void (*part)(void *data, uint32_t kind, struct weir_str text), void *data)
{
	if (text.len == 0)
		return;
	a->n_fed++;
	part(data, WEIR_PART_REASONING, text);
	part(data, WEIR_PART_CONTENT, text);
	part(data, WEIR_PART_TOOL, (struct weir_str){ "{}", 2 });
}

static bool answer_finish(weir_answer *a,
			  void (*part)(void *data, uint32_t kind, struct weir_str text), void *data)
{
	part(data, WEIR_PART_CONTENT, (struct weir_str){ ".", 1 });
	return a->n_fed > 0;
}

static void answer_free(weir_answer *a)
{
	g_free(a);
}

static const struct weir_answer_api answer_api = {
	.size = sizeof(answer_api),
	.open = answer_open,
	.shows = answer_shows,
	.feed = answer_feed,
	.finish = answer_finish,
	.free = answer_free,
};

/* A grammar whose language is its value, in letters of either case: "ab" allows aB. '?' is a place
 * where the mask fails, a value that begins with '!' does not compile. */
struct weir_grammar {
	struct fake *fake;
	gint refs;
	GString *value;
};

struct weir_grammar_state {
	weir_grammar *grammar;
	gsize at;
};

static void grammar_unref(weir_grammar *g)
{
	if (!g_atomic_int_dec_and_test(&g->refs))
		return;
	g_atomic_int_add(&g->fake->n_places, -1);
	g_string_free(g->value, TRUE);
	g_free(g);
}

static weir_status grammar_compile(struct weir_instance *instance, struct weir_str spec,
				   weir_grammar **ret, struct weir_error *err)
{
	struct fake *f = instance->data;
	weir_grammar *g;

	if (spec.len > 0 && spec.data[0] == '!') {
		snprintf(err->text, sizeof(err->text), "no such language");
		return WEIR_E_INVALID;
	}
	g = g_new0(weir_grammar, 1);
	g->fake = f;
	g->refs = 1;
	g->value = g_string_new_len(spec.data, (gssize)spec.len);
	g_atomic_int_inc(&f->n_places);
	*ret = g;
	return WEIR_OK;
}

static weir_status grammar_state_new(weir_grammar *g, weir_grammar_state **ret,
				     struct weir_error *err)
{
	*ret = g_new0(weir_grammar_state, 1);
	(*ret)->grammar = g;
	g_atomic_int_inc(&g->refs);
	g_atomic_int_inc(&g->fake->n_places);
	return WEIR_OK;
}

static void grammar_state_free(weir_grammar_state *s)
{
	if (!s)
		return;
	g_atomic_int_add(&s->grammar->fake->n_places, -1);
	grammar_unref(s->grammar);
	g_free(s);
}

static weir_status grammar_mask(weir_grammar_state *s, uint32_t *mask, struct weir_error *err)
{
	const GString *v = s->grammar->value;
	char c = s->at < v->len ? v->str[s->at] : '\0';

	g_atomic_int_inc(&s->grammar->fake->n_masks);
	memset(mask, 0, (FAKE_VOCAB + 31) / 32 * 4);
	if (c == '?') {
		snprintf(err->text, sizeof(err->text), "the grammar is too large");
		err->code = WEIR_E_EXHAUSTED;
		return WEIR_E_EXHAUSTED;
	}
	for (int k = 0; k < 2 && c; k++) {
		guint t = 2u + (guchar)(k ? g_ascii_toupper(c) : c);

		mask[t / 32] |= 1u << (t % 32);
	}
	if (!c)
		mask[0] |= 1;
	return WEIR_OK;
}

static weir_status grammar_accept(weir_grammar_state *s, int32_t token, struct weir_error *err)
{
	const GString *v = s->grammar->value;

	if (s->at < v->len && token >= 2 &&
	    g_ascii_tolower((char)(token - 2)) == g_ascii_tolower(v->str[s->at])) {
		s->at++;
		return WEIR_OK;
	}
	if (s->at == v->len && token == 0)
		return WEIR_OK;
	snprintf(err->text, sizeof(err->text), "not in the language");
	return WEIR_E_INVALID;
}

static bool grammar_finished(const weir_grammar_state *s)
{
	return s->at == s->grammar->value->len;
}

static const struct weir_grammar_api fake_grammar = {
	.size = sizeof(fake_grammar),
	.compile = grammar_compile,
	.unref = grammar_unref,
	.state_new = grammar_state_new,
	.state_free = grammar_state_free,
	.mask = grammar_mask,
	.accept = grammar_accept,
	.finished = grammar_finished,
};

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_step calls = {
		.size = sizeof(calls),
		.load = load,
		.step = step,
		.interrupt = interrupt,
	};
	static const struct weir_tokenizer tokenizer = {
		.size = sizeof(tokenizer),
		.n_vocab = FAKE_VOCAB,
		.bos = -1,
		.eos = 0,
		.encode = encode,
		.encode_chat = encode_chat,
		.encode_infill = encode_infill,
		.render_chat = render_chat,
		.piece = piece,
		.is_end = is_end,
	};

	static const struct weir_embedder embedder = {
		.size = sizeof(embedder),
		.info = embedder_info,
		.embed = embed,
		.encode_pair = encode_pair,
	};

	if (strcmp(id, WEIR_BACKEND_STEP) == 0)
		return &calls;
	if (strcmp(id, WEIR_EMBEDDER) == 0)
		return ((struct fake *)instance->data)->embed.n_dim > 0 ? &embedder : NULL;
	if (strcmp(id, WEIR_GRAMMAR) == 0)
		return ((struct fake *)instance->data)->grammars ? &fake_grammar : NULL;
	if (strcmp(id, WEIR_ANSWER) == 0)
		return ((struct fake *)instance->data)->answers ? &answer_api : NULL;
	return strcmp(id, WEIR_TOKENIZER) == 0 ? &tokenizer : NULL;
}

void fake_init(struct fake *f, uint32_t n_ctx, uint32_t max_rows, uint32_t max_tokens,
	       uint32_t block_tokens, uint32_t n_blocks)
{
	memset(f, 0, sizeof(*f));
	f->instance = (struct weir_instance){ .size = sizeof(f->instance),
					      .data = f,
					      .get_ext = get_ext };
	f->model = (struct weir_model){
		.size = sizeof(f->model),
		.n_vocab = FAKE_VOCAB,
		.n_ctx = n_ctx,
		.max_rows = max_rows,
		.max_tokens = max_tokens,
		.block_tokens = block_tokens,
		.n_blocks = n_blocks,
		.name = "fake",
		.summary = "a hash",
	};
	f->kv = g_new(int32_t, (gsize)n_blocks * block_tokens);
	memset(f->kv, 0xff, (gsize)n_blocks * block_tokens * 4);
	f->written_in = g_new0(uint32_t, (gsize)n_blocks * block_tokens);
	f->gone = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void fake_clear(struct fake *f)
{
	g_free(f->kv);
	g_free(f->written_in);
	g_hash_table_unref(f->gone);
}
