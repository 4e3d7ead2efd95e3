/*
 * core/check-fuzz-model.c - section fuzz of `weir check`, level-B backends: damaged model files,
 * and hostile texts for what comes with a model (tokenizer, chat template, reader of answers,
 * grammars).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weir/answer.h>
#include <weir/backend.h>
#include <weir/grammar.h>
#include <weir/tokenizer.h>

#include "check-fuzz.h"

#define MAX_FILE ((size_t)256 << 20)
#define MAX_GROW ((uint64_t)4 << 30) /* of the process, over what it has */
#define MAX_CAP  64
#define CANARY   0x5a
#define N_CANARY 64

static const char *const hostile_chat =
	"{\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},"
	"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"What is 2 < 3?\"}]},"
	"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":"
	"\"function\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
	"{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"true\"}],"
	"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"description\":\"Adds\","
	"\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}}],"
	"\"add_generation_prompt\":true,\"tool_choice\":\"auto\",\"enable_thinking\":false}";

static const char *const specs[] = {
	"{\"type\":\"json_schema\",\"value\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
	"\"integer\",\"minimum\":-3,\"maximum\":999},\"b\":{\"type\":\"array\",\"items\":{\"enum\":"
	"[1,\"x\",null]},\"minItems\":1,\"maxItems\":5}},\"required\":[\"a\"]}}",
	"{\"type\":\"json_schema\",\"value\":{\"$defs\":{\"n\":{\"anyOf\":[{\"type\":\"null\"},{"
	"\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#/$defs/n\"}}}]}},\"$ref\":"
	"\"#/$defs/n\"}}",
	"{\"type\":\"json_object\"}",
	"{\"type\":\"gbnf\",\"value\":\"root ::= (\\\"a\\\" | [^b-d\\\\n]{2,7})+ tail?\\ntail ::= "
	"root "
	"\\\".\\\"\"}",
	"{\"type\":\"regex\",\"value\":\"^(\\\\d{1,4}|[a-f]+?)(foo|ba[rz])*$\"}",
	"{\"type\":\"choice\",\"value\":[\"yes\",\"no\",\"maybe\"]}",
};

struct loaded { /* the given model */
	struct weir_part *part;
	const struct weir_backend_step *api;
	struct weir_model model;
};

static const char *model_given(const struct weir_check *check)
{
	const char *path = NULL;

	for (unsigned i = 0; i < check->options->len; i++) {
		const char *text = g_ptr_array_index(check->options, i);

		if (g_str_has_prefix(text, "model="))
			path = text + strlen("model=");
	}
	return path;
}

static bool has_model(const struct weir_check *check)
{
	const struct weir_option *const *options = check->component->options;

	for (size_t i = 0; options && options[i]; i++)
		if (!strcmp(options[i]->key, "model"))
			return check->component->role == WEIR_ROLE_BACKEND;
	return false;
}

/* False after a skip or failure, or for a component that is no level-B backend. */
static bool load_given(struct loaded *l, struct weir_check *check)
{
	struct weir_error err;

	memset(l, 0, sizeof(*l));
	memset(&err, 0, sizeof(err));
	if (!has_model(check)) {
		weir_check_absent(check);
		return false;
	}
	if (!model_given(check)) {
		weir_check_skip(check, "needs --option model=FILE");
		return false;
	}
	l->part = weir_check_create(check, NULL);
	l->api = l->part ? weir_part_ext(l->part, WEIR_BACKEND_STEP) : NULL;
	if (l->part && !l->api)
		weir_check_absent(check);
	if (!l->api)
		return false;
	snprintf(check->trace, WEIR_CHECK_TRACE, "loading the model as it is");
	l->model.size = sizeof(l->model);
	if (weir_part_start(l->part, &err) == WEIR_OK &&
	    l->api->load(l->part->instance, &l->model, &err) >= 0)
		return true;
	weir_check_skip(check, "the model as it is: %s", err.text);
	weir_part_destroy(l->part);
	return false;
}

/* An address space that a runaway allocation meets before it meets the machine. */
static void bound_memory(size_t file)
{
	struct rlimit limit;
	unsigned long long kib = 0;
	char line[128];
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmData: %llu kB", &kib) == 1)
			break;
	if (status)
		fclose(status);
	/* A sanitizer's shadow memory counts as data: no bound then. */
	if (WEIR_SANITIZER != WEIR_SANITIZER_NONE || !kib || getrlimit(RLIMIT_DATA, &limit) != 0)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, kib * 1024 + MAX_GROW + 8 * (rlim_t)file);
	setrlimit(RLIMIT_DATA, &limit);
}

/* A few tokens through a model that was taken. */
static void try_step(struct weir_check_fuzz *f, const struct loaded *l)
{
	const struct weir_model *m = &l->model;
	const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	const int32_t tokens[] = { 1, 0, 2 };
	const uint32_t block = 0;
	const struct weir_row row = { .seq = 1,
				      .count = 3,
				      .n_blocks = 1,
				      .blocks = &block,
				      .sampling = &greedy,
				      .history = tokens,
				      .n_history = 3,
				      .n_prompt = 3 };
	const struct weir_batch batch = { .size = sizeof(batch),
					  .row_size = sizeof(row),
					  .n_tokens = 3,
					  .n_rows = 1,
					  .tokens = tokens,
					  .rows = &row };
	struct weir_error err, row_error;
	struct weir_top top;
	float logprob;
	int32_t token = -2, drawn[WEIR_MAX_DRAFT];
	uint32_t n_right = 0;
	struct weir_step step = { .size = sizeof(step),
				  .token = &token,
				  .logprob = &logprob,
				  .top = &top,
				  .error = &row_error,
				  .n_right = &n_right,
				  .drawn = drawn };

	if (m->flags & WEIR_MODEL_ENCODER || m->n_vocab < 3 || m->max_tokens < 3 ||
	    m->block_tokens < 3 || !m->n_blocks || m->n_ctx < 3)
		return;
	memset(&err, 0, sizeof(err));
	memset(&row_error, 0, sizeof(row_error));
	weir_check_fuzz_at(f, "a step of a model that was taken");
	weir_status s = l->api->step(l->part->instance, &batch, &step, &err);
	if (s >= 0 && token >= (int32_t)m->n_vocab)
		weir_check_fuzz_fail(f, "a step draws token %d of %u", token, m->n_vocab);
	weir_check_fuzz_judge(f, "step()", s, &err);
}

static void try_file(struct weir_check_fuzz *f, const char *path, const char *what)
{
	struct weir_check *check = f->check;
	const GPtrArray *given = check->options;
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autofree char *model = g_strdup_printf("model=%s", path);
	struct loaded l = { .model = { .size = sizeof(l.model) } };
	struct weir_error err;
	weir_status s;

	for (unsigned i = 0; i < given->len; i++)
		g_ptr_array_add(options, g_ptr_array_index(given, i));
	g_ptr_array_add(options, model);
	memset(&err, 0, sizeof(err));
	weir_check_fuzz_at(f, "load() of the model with %s", what);
	check->options = options;
	l.part = weir_check_create(check, NULL);
	check->options = given;
	if (!l.part) { /* refused by create() with a reason */
		if (check->verdict == WEIR_CHECK_SKIPPED) {
			check->verdict = WEIR_CHECK_OK;
			g_string_truncate(check->text, 0);
		}
		return;
	}
	l.api = weir_part_ext(l.part, WEIR_BACKEND_STEP);
	s = weir_part_start(l.part, &err);
	if (s >= 0)
		s = l.api->load(l.part->instance, &l.model, &err);
	if (weir_check_fuzz_judge(f, "load()", s, &err) && s >= 0)
		try_step(f, &l);
	weir_part_destroy(l.part);
}

static void put_number(struct weir_check_fuzz *f, char *to)
{
	static const uint64_t numbers[] = { 0,
					    1,
					    0x7fffffff,
					    0x80000000u,
					    0xffffffffu,
					    (uint64_t)1 << 32,
					    (uint64_t)1 << 40,
					    INT64_MAX,
					    (uint64_t)1 << 63,
					    UINT64_MAX,
					    UINT64_MAX - 31 };
	uint64_t x = numbers[g_rand_int_range(f->rand, 0, G_N_ELEMENTS(numbers))];

	memcpy(to, &x, g_rand_boolean(f->rand) ? 8 : 4);
}

/* Damage, nearly all of it where the file begins: there its structure is. Returns the length. */
static size_t damage(struct weir_check_fuzz *f, char *data, size_t n, const char **ret_what)
{
	if (n < 64)
		return n;
	if (g_rand_int_range(f->rand, 0, 6) == 0) {
		*ret_what = "its end cut off";
		return weir_check_fuzz_size(f, n - 1);
	}
	*ret_what = "bytes changed";
	for (size_t k = 1 + weir_check_fuzz_size(f, 8); k > 0; k--) {
		size_t at = weir_check_fuzz_size(f, n - 16), from = weir_check_fuzz_size(f, n - 16);

		switch (g_rand_int_range(f->rand, 0, 4)) {
		case 0:
			data[at] = (char)(data[at] ^ 1 << g_rand_int_range(f->rand, 0, 8));
			break;
		case 1:
			data[at] = (char)g_rand_int(f->rand);
			break;
		case 2:
			memmove(data + at, data + from, 1 + weir_check_fuzz_size(f, 14));
			break;
		default:
			put_number(f, data + (g_rand_boolean(f->rand) ? at : at / 4 * 4));
			break;
		}
	}
	return n;
}

static void fuzz_model(struct weir_check *check)
{
	struct weir_check_fuzz f;
	struct loaded l;
	g_autofree char *data = NULL, *copy = NULL, *path = NULL;
	size_t n = 0;

	if (!load_given(&l, check))
		return;
	weir_part_destroy(l.part);
	if (!g_file_get_contents(model_given(check), &data, &n, NULL) || n > MAX_FILE) {
		weir_check_skip(check, "%s cannot be copied: one file of at most 256 MiB",
				model_given(check));
		return;
	}
	path = g_build_filename(check->folder ? check->folder : "", "model-XXXXXX", NULL);
	int fd = check->folder ? g_mkstemp(path) : -1;
	if (fd < 0) {
		weir_check_skip(check, "no place for a temporary file");
		return;
	}
	close(fd);
	copy = g_malloc(n + 16);
	bound_memory(n);
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		const char *what = "nothing changed";
		FILE *file = fopen(path, "w");

		memcpy(copy, data, n);
		size_t len = damage(&f, copy, n, &what);
		bool fine = file && fwrite(copy, 1, len, file) == len;
		if (file && fclose(file) == 0 && fine)
			try_file(&f, path, what);
	}
	weir_check_fuzz_end(&f);
	unlink(path);
}

/* The array was not written behind its cap. */
static bool canary_lives(struct weir_check_fuzz *f, const char *what, const void *data, size_t from,
			 size_t n)
{
	const uint8_t *bytes = data;

	for (size_t i = from; i < n; i++)
		if (bytes[i] != CANARY) {
			weir_check_fuzz_fail(f, "%s writes behind the end of its array", what);
			return false;
		}
	return true;
}

static void try_encode(struct weir_check_fuzz *f, struct weir_instance *instance,
		       const struct weir_tokenizer *t, const GString *text)
{
	int32_t out[MAX_CAP + N_CANARY];
	size_t cap = (size_t)g_rand_int_range(f->rand, 0, MAX_CAP + 1), n = SIZE_MAX;
	uint32_t flags = g_rand_int(f->rand) & 3;
	struct weir_error err;

	memset(&err, 0, sizeof(err));
	memset(out, CANARY, sizeof(out));
	weir_check_fuzz_at(f, "encode() of %zu bytes", text->len);
	weir_status s = t->encode(instance, (struct weir_str){ text->str, text->len }, flags, out,
				  cap, &n, &err);
	canary_lives(f, "encode()", out, cap * sizeof(*out), sizeof(out));
	if (!weir_check_fuzz_judge(f, "encode()", s, &err) || s < 0)
		return;
	if (n > text->len * 8 + 64)
		weir_check_fuzz_fail(f, "encode() makes %zu tokens of %zu bytes", n, text->len);
	for (size_t i = 0; i < MIN(n, cap); i++)
		if (out[i] < 0 || (uint32_t)out[i] >= t->n_vocab)
			weir_check_fuzz_fail(f, "encode() gives token %d of %u", out[i],
					     t->n_vocab);
}

static void try_pieces(struct weir_check_fuzz *f, struct weir_instance *instance,
		       const struct weir_tokenizer *t)
{
	char out[MAX_CAP + N_CANARY];

	for (int i = 0; i < 64; i++) {
		size_t cap = (size_t)g_rand_int_range(f->rand, 0, MAX_CAP + 1);
		int32_t token = g_rand_int_range(f->rand, 0, 4)
					? (int32_t)(g_rand_int(f->rand) % t->n_vocab)
					: (int32_t)g_rand_int(f->rand);
		uint32_t flags = g_rand_int(f->rand) & 3;

		memset(out, CANARY, sizeof(out));
		weir_check_fuzz_at(f, "piece() of token %d", token);
		size_t n = t->piece(instance, token, flags, out, cap);
		canary_lives(f, "piece()", out, cap, sizeof(out));
		t->is_end(instance, token);
		if (n > 0 && (token < 0 || (uint32_t)token >= t->n_vocab))
			weir_check_fuzz_fail(f, "piece() of token %d of %u is %zu bytes", token,
					     t->n_vocab, n);
	}
}

static void fuzz_tokenizer(struct weir_check *check)
{
	struct weir_check_fuzz f;
	struct loaded l;

	if (!load_given(&l, check))
		return;
	const struct weir_tokenizer *t = weir_part_ext(l.part, WEIR_TOKENIZER);
	if (!t || !WEIR_HAS(struct weir_tokenizer, t, is_end) || !t->encode || !t->n_vocab) {
		weir_check_absent(check);
		return;
	}
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		g_autoptr(GString) text =
			g_string_new("Ärger, 42 <|im_start|> naïve\n\tif (x) 日本語🙂");

		if (g_rand_int_range(f.rand, 0, 40) == 0) {
			g_string_truncate(text, 0);
			weir_check_fuzz_bytes(&f, text, 1 << 20);
		} else {
			weir_check_fuzz_text(&f, text);
		}
		try_encode(&f, l.part->instance, t, text);
		try_pieces(&f, l.part->instance, t);
	}
	weir_check_fuzz_end(&f);
	weir_part_destroy(l.part);
}

static void ignore_part(void *data, uint32_t kind, struct weir_str text)
{
	GString *all = data;

	if (kind < WEIR_PART_CONTENT || kind > WEIR_PART_TOOL || (text.len > 0 && !text.data))
		g_string_assign(all, "bad");
}

static void try_answer(struct weir_check_fuzz *f, struct weir_instance *instance,
		       const struct weir_answer_api *api, const GString *context)
{
	static const char *const said =
		"<think>So.</think>Yes <tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": "
		"[1, {\"b\": \"</tool_call>\"}]}}\n</tool_call> [TOOL_CALLS] <|python_tag|>x";
	g_autoptr(GString) text = g_string_new(said), state = g_string_new("fine");
	weir_answer *answer = NULL;
	char *prefix = NULL, *grammar = NULL;
	struct weir_error err;

	memset(&err, 0, sizeof(err));
	weir_check_fuzz_at(f, "open() of an answer to a conversation of %zu bytes", context->len);
	weir_status s =
		api->open(instance, (struct weir_str){ context->str, context->len },
			  (struct weir_str){ "chat-1", 6 }, &answer, &prefix, &grammar, &err);
	weir_check_fuzz_judge(f, "open() of an answer", s, &err);
	if (s < 0)
		return;
	free(prefix);
	free(grammar);
	if (!answer)
		return;
	for (int i = 0; i < 4; i++)
		weir_check_fuzz_text(f, text);
	weir_check_fuzz_at(f, "reading an answer of %zu bytes", text->len);
	for (size_t at = 0; at < text->len;) {
		size_t n = 1 + weir_check_fuzz_size(f, MIN(40, text->len - at - 1));

		api->feed(answer, (struct weir_str){ text->str + at, n }, ignore_part, state);
		at += n;
	}
	api->finish(answer, ignore_part, state);
	api->free(answer);
	if (strcmp(state->str, "fine") != 0)
		weir_check_fuzz_fail(f, "an answer has a part of no kind, or without a text");
}

static void try_chat(struct weir_check_fuzz *f, struct weir_instance *instance,
		     const struct weir_tokenizer *t, const GString *context)
{
	const struct weir_str lent = { context->str, context->len };
	int32_t out[MAX_CAP + N_CANARY];
	size_t n = 0;
	struct weir_error err;
	weir_status s;

	memset(out, CANARY, sizeof(out));
	memset(&err, 0, sizeof(err));
	weir_check_fuzz_at(f, "encode_chat() of %zu bytes", context->len);
	s = t->encode_chat(instance, lent, out, MAX_CAP, &n, &err);
	canary_lives(f, "encode_chat()", out, MAX_CAP * sizeof(*out), sizeof(out));
	weir_check_fuzz_judge(f, "encode_chat()", s, &err);
	if (!WEIR_HAS(struct weir_tokenizer, t, render_chat))
		return;
	memset(out, CANARY, sizeof(out));
	memset(&err, 0, sizeof(err));
	weir_check_fuzz_at(f, "render_chat() of %zu bytes", context->len);
	weir_status rendered = t->render_chat(instance, lent, (char *)out, MAX_CAP, &n, &err);
	canary_lives(f, "render_chat()", out, MAX_CAP, sizeof(out));
	weir_check_fuzz_judge(f, "render_chat()", rendered, &err);
	if (s >= 0 && rendered < 0)
		weir_check_fuzz_fail(f, "encode_chat() takes what render_chat() refuses: %s",
				     err.text);
}

static void fuzz_chat(struct weir_check *check)
{
	struct weir_check_fuzz f;
	struct loaded l;
	struct weir_error err;
	size_t n;

	if (!load_given(&l, check))
		return;
	const struct weir_tokenizer *t = weir_part_ext(l.part, WEIR_TOKENIZER);
	const struct weir_answer_api *answers = weir_part_ext(l.part, WEIR_ANSWER);
	if (!t || !WEIR_HAS(struct weir_tokenizer, t, encode_chat)) {
		weir_check_absent(check);
		return;
	}
	if (t->encode_chat(l.part->instance, (struct weir_str){ "{}", 2 }, NULL, 0, &n, &err) ==
	    WEIR_E_UNSUPPORTED) {
		weir_check_skip(check, "the model has no chat template");
		return;
	}
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		g_autoptr(GString) context = g_string_new(hostile_chat);

		weir_check_fuzz_text(&f, context);
		try_chat(&f, l.part->instance, t, context);
		if (answers && WEIR_HAS(struct weir_answer_api, answers, free))
			try_answer(&f, l.part->instance, answers, context);
	}
	weir_check_fuzz_end(&f);
	weir_part_destroy(l.part);
}

/* A few draws within a language. */
static void walk_grammar(struct weir_check_fuzz *f, const struct weir_grammar_api *api,
			 weir_grammar *grammar, uint32_t n_vocab)
{
	uint32_t n_words = (n_vocab + 31) / 32;
	g_autofree uint32_t *mask = g_new0(uint32_t, n_words);
	weir_grammar_state *state = NULL;
	struct weir_error err;

	memset(&err, 0, sizeof(err));
	weir_status s = api->state_new(grammar, &state, &err);
	weir_check_fuzz_judge(f, "state_new()", s, &err);
	for (int i = 0; s >= 0 && i < 12 && !api->finished(state); i++) {
		uint32_t from = g_rand_int(f->rand) % n_vocab, k = 0;

		weir_check_fuzz_at(f, "mask() of token %d of a language", i);
		s = api->mask(state, mask, &err);
		weir_check_fuzz_judge(f, "mask()", s, &err);
		while (s >= 0 && k < n_vocab &&
		       !(mask[(from + k) % n_vocab / 32] >> (from + k) % n_vocab % 32 & 1))
			k++;
		if (s < 0)
			break;
		if (k == n_vocab) {
			weir_check_fuzz_fail(f, "mask() allows nothing");
			break;
		}
		s = api->accept(state, (int32_t)((from + k) % n_vocab), &err);
		if (s < 0)
			weir_check_fuzz_fail(f, "accept() refuses what mask() allowed: %s",
					     err.text);
	}
	api->state_free(state);
}

static void fuzz_grammar(struct weir_check *check)
{
	struct weir_check_fuzz f;
	struct loaded l;

	if (!load_given(&l, check))
		return;
	const struct weir_grammar_api *api = weir_part_ext(l.part, WEIR_GRAMMAR);
	if (!api || !WEIR_HAS(struct weir_grammar_api, api, finished) || !l.model.n_vocab) {
		weir_check_absent(check);
		return;
	}
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		g_autoptr(GString) spec =
			g_string_new(specs[g_rand_int_range(f.rand, 0, G_N_ELEMENTS(specs))]);
		weir_grammar *grammar = NULL;
		struct weir_error err;

		weir_check_fuzz_text(&f, spec);
		memset(&err, 0, sizeof(err));
		weir_check_fuzz_at(&f, "compile() of %zu bytes: %.80s", spec->len, spec->str);
		weir_status s =
			api->compile(l.part->instance, (struct weir_str){ spec->str, spec->len },
				     &grammar, &err);
		if (weir_check_fuzz_judge(&f, "compile()", s, &err) && s >= 0)
			walk_grammar(&f, api, grammar, l.model.n_vocab);
		if (s >= 0)
			api->unref(grammar);
	}
	weir_check_fuzz_end(&f);
	weir_part_destroy(l.part);
}

const struct weir_check_case weir_check_fuzz_models[] = {
	{ "fuzz", "model", "load() takes a damaged file or refuses it with a reason", fuzz_model,
	  1 },
	{ "fuzz", "tokenizer", "any bytes become tokens of the vocabulary, any token bytes",
	  fuzz_tokenizer, 1 },
	{ "fuzz", "chat", "any conversation is rendered, or refused with a reason", fuzz_chat, 1 },
	{ "fuzz", "grammar", "any grammar is compiled and followed, or refused with a reason",
	  fuzz_grammar, 1 },
	{ NULL },
};
