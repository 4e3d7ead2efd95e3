/*
 * tests/unit/test-api-params.c - what API bodies are accepted, and with what text the others are
 * refused (000-09..15, 001-02, 001-03, 001-13, 001-14, C1..C3).
 */
#include <math.h>
#include <string.h>

#include <glib.h>

#include <api/body.h>

static const struct api_config openai = { .profile = API_PROFILE_OPENAI, .max_tokens = 2000000 };
static const struct api_config fastapi = { .profile = API_PROFILE_FASTAPI, .max_tokens = 4096 };

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct api_body *parse(const struct api_config *c, enum api_kind kind, const char *text,
			      size_t len, struct api_error_list *errors)
{
	const struct api_endpoint *e = api_endpoints();
	while (e->kind != kind)
		e++;
	return api_body_parse(c, e, text, len, errors);
}

static struct api_body *chat(const char *members)
{
	struct api_error_list errors;
	g_autofree char *text = g_strdup_printf("{\"model\":\"m\"," HI "%s}", members);
	struct api_body *b = parse(&openai, API_KIND_CHAT, text, strlen(text), &errors);
	if (!b)
		g_error("%s: %s", text, errors.items[0].message);
	return b;
}

static void refused(const struct api_config *c, enum api_kind kind, const char *text,
		    const char *message)
{
	struct api_error_list errors;
	struct api_body *b = parse(c, kind, text, strlen(text), &errors);
	if (b)
		g_error("%s was accepted", text);
	g_assert_cmpint(errors.items[0].status, ==, c->profile == API_PROFILE_FASTAPI ? 422 : 400);
	if (strcmp(errors.items[0].message, message) != 0)
		g_error("%s: \"%s\", not \"%s\"", text, errors.items[0].message, message);
}

static void test_defaults(void)
{
	struct api_body *b = chat("");
	g_assert_cmpstr(b->model, ==, "m");
	g_assert_cmpfloat(b->params.sampling.temperature, ==, 1);
	g_assert_cmpfloat(b->params.sampling.top_p, ==, 1);
	g_assert_cmpuint(b->params.limits.n, ==, 1);
	g_assert_cmpuint(b->params.limits.max_tokens, ==, 0);
	g_assert_false(b->params.stream);
	g_assert_cmpstr(b->messages, ==, "[{\"role\":\"user\",\"content\":\"hi\"}]");
	api_body_free(b);
}

static void test_values(void)
{
	struct api_body *b = chat(
		",\"temperature\":0.7,\"top_p\":0.9,\"top_k\":50,\"repetition_penalty\":1.1,"
		"\"max_tokens\":100,\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"seed\":-5,\"n\":3,\"stop\":[\"a\",\"b\"],\"logprobs\":true,\"top_logprobs\":20,"
		"\"logit_bias\":{\"5\":-100,\"6\":1.5},\"presence_penalty\":-2,"
		"\"frequency_penalty\":2,\"ignore_eos\":true,\"min_tokens\":3,\"priority\":-4,"
		"\"user\":\"u\",\"unknown\":{\"x\":[]},\"temperature_\":9,\"min_p\":null,"
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
		"\"tool_choice\":\"auto\",\"response_format\":{\"type\":\"text\"}");
	const struct weir_sampling *s = &b->params.sampling;
	g_assert_cmpfloat_with_epsilon(s->temperature, 0.7, 1e-6);
	g_assert_cmpfloat_with_epsilon(s->repetition_penalty, 1.1, 1e-6);
	g_assert_cmpuint(s->top_k, ==, 50);
	g_assert_cmpuint(s->seed_set, ==, 1);
	g_assert_cmpuint(s->seed, ==, (uint64_t)-5);
	g_assert_cmpuint(s->logprobs, ==, 1);
	g_assert_cmpuint(s->top_logprobs, ==, 20);
	g_assert_cmpuint(s->n_logit_bias, ==, 2);
	g_assert_cmpint(s->logit_bias[0].token, ==, 5);
	g_assert_cmpfloat(s->logit_bias[0].bias, ==, -100);
	g_assert_cmpuint(b->params.limits.max_tokens, ==, 100);
	g_assert_cmpuint(b->params.limits.n, ==, 3);
	g_assert_cmpuint(b->params.limits.ignore_end, ==, 1);
	g_assert_cmpint(b->params.limits.priority, ==, -4);
	g_assert_true(b->params.stream && b->params.include_usage);
	g_assert_cmpstr(b->stop, ==, "[\"a\",\"b\"]");
	g_assert_cmpstr(b->tool_choice, ==, "\"auto\"");
	api_body_free(b);
	b = chat(",\"top_k\":-1,\"max_tokens\":2000000,\"max_completion_tokens\":7,\"stop\":\"x\"");
	g_assert_cmpuint(b->params.sampling.top_k, ==, 0);
	g_assert_cmpuint(b->params.limits.max_tokens, ==, 7);
	g_assert_cmpstr(b->stop, ==, "[\"x\"]");
	api_body_free(b);
	b = chat(",\"temperature\":0,\"max_tokens\":5.0,\"seed\":18446744073709551615");
	g_assert_cmpfloat(b->params.sampling.temperature, ==, 0);
	g_assert_cmpuint(b->params.limits.max_tokens, ==, 5);
	api_body_free(b);
}

static void test_seeds(void)
{
	static const struct {
		const char *text;
		uint64_t seed;
	} cases[] = {
		{ "7", 7 },
		{ "7.0", 7 },
		{ "-7.0", (uint64_t)-7 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", (uint64_t)INT64_MIN },
		{ "9223372036854775808", UINT64_C(1) << 63 },
		{ "13835058055282163712", UINT64_C(3) << 62 },
		{ "-9223372036854779904", (UINT64_C(1) << 63) - 4096 },
		{ "18446744073709551616", 0 },
		{ "1e400", 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *more = g_strdup_printf(",\"seed\":%s", cases[i].text);
		struct api_body *b = chat(more);
		g_assert_cmpuint(b->params.sampling.seed, ==, cases[i].seed);
		g_assert_cmpuint(b->params.sampling.seed_set, ==, 1);
		api_body_free(b);
	}
}

/* Every rule of the table, at and beyond its bounds. */
static void test_table(void)
{
	for (const struct param_rule *r = params_table(); r->name; r++) {
		if (!(r->kinds & PARAM_KIND_GENERATE) || r->type == PARAM_TYPE_SEED ||
		    r->type == PARAM_TYPE_BOOL || r->type == PARAM_TYPE_FLAG ||
		    r->type == PARAM_TYPE_NOT || r->type == PARAM_TYPE_OTHER)
			continue;
		bool is_chat = r->kinds & PARAM_KIND_CHAT;
		double max = r->max_configured ? 2000000 : r->max;
		double step = r->type == PARAM_TYPE_FLOAT ? 0.001 : 1;
		double values[] = { r->min, max, r->min - step, max + step };
		for (int i = 0; i < 4; i++) {
			char number[G_ASCII_DTOSTR_BUF_SIZE];
			g_ascii_formatd(number, sizeof(number), "%.15g", values[i]);
			g_autofree char *text =
				g_strdup_printf("{\"model\":\"m\",%s,\"logprobs\":%s,\"%s\":%s}",
						is_chat ? HI : "\"prompt\":\"p\",\"echo\":true",
						is_chat ? "true" : "1", r->name, number);
			bool good = i < 2 && !(r->min_excluded && i == 0);
			struct api_error_list errors;
			struct api_body *b =
				parse(&openai, is_chat ? API_KIND_CHAT : API_KIND_COMPLETION, text,
				      strlen(text), &errors);
			if (!!b != good && errors.n)
				g_error("%s: %s", text, errors.items[0].message);
			g_assert_cmpint(!!b, ==, good);
			if (!b)
				g_assert_cmpstr(errors.items[0].param, ==, r->name);
			api_body_free(b);
		}
	}
}

static void test_texts(void)
{
	static const struct {
		const char *members, *message;
	} cases[] = {
		{ "\"temperature\":3.0", "temperature must be between 0 and 2" },
		{ "\"temperature\":-0.1", "temperature must be between 0 and 2" },
		{ "\"temperature\":1e999", "temperature must be between 0 and 2" },
		{ "\"temperature\":\"1\"", "temperature must be a number" },
		{ "\"top_p\":1.01", "top_p must be between 0 and 1" },
		{ "\"max_tokens\":0", "max_tokens must be between 1 and 2000000" },
		{ "\"max_tokens\":2000001", "max_tokens must be between 1 and 2000000" },
		{ "\"max_tokens\":99999999999999999999",
		  "max_tokens must be between 1 and 2000000" },
		{ "\"max_tokens\":1.5", "max_tokens must be an integer" },
		{ "\"max_tokens\":true", "max_tokens must be an integer" },
		{ "\"top_k\":1001", "top_k must be between -1 and 1000" },
		{ "\"repetition_penalty\":2.1",
		  "repetition_penalty must be greater than 0 and at most 2" },
		{ "\"repetition_penalty\":0",
		  "repetition_penalty must be greater than 0 and at most 2" },
		{ "\"stream\":\"yes\"", "stream must be true or false" },
		{ "\"n\":0", "n must be between 1 and 128" },
		{ "\"top_logprobs\":2", "top_logprobs is allowed only when logprobs is true" },
		{ "\"stop\":[\"\"]",
		  "stop must be a non-empty string or an array of at most 16 of them" },
		{ "\"stop\":5",
		  "stop must be a non-empty string or an array of at most 16 of them" },
		{ "\"logit_bias\":{\"1\":101}", "logit_bias must be between -100 and 100" },
		{ "\"logit_bias\":{\"x\":1}", "logit_bias must map token ids to numbers" },
		{ "\"logit_bias\":[]", "logit_bias must be an object with at most 1024 members" },
		{ "\"stream_options\":{\"include_usage\":true}",
		  "stream_options is allowed only when stream is true" },
		{ "\"response_format\":{\"type\":\"xml\"}",
		  "response_format 'xml' is not supported: text, json_object and json_schema are" },
		{ "\"tools\":{}", "tools must be an array" },
		{ "\"tool_choice\":\"maybe\"",
		  "tool_choice must be none, auto, required or "
		  "{\"type\":\"function\",\"function\":{\"name\":...}}" },
		{ "\"tool_choice\":\"required\"",
		  "tool_choice is required only with tools to choose from" },
		{ "\"functions\":[]", "functions is not supported: use tools" },
		{ "\"lora\":\"\"", "lora must be the name of an adapter: 1 to 256 bytes" },
		{ "\"reasoning_effort\":\"much\"",
		  "reasoning_effort must be one of none, minimal, low, medium, high, xhigh" },
		{ "\"stream\":true,\"stream_options\":{\"batch_tokens\":0}",
		  "stream_options.batch_tokens must be an integer between 1 and 64" },
		{ "\"chat_template_kwargs\":1", "chat_template_kwargs must be an object" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text =
			g_strdup_printf("{\"model\":\"m\"," HI ",%s}", cases[i].members);
		refused(&openai, API_KIND_CHAT, text, cases[i].message);
	}
	refused(&openai, API_KIND_CHAT, "{" HI "}", "model is required");
	refused(&openai, API_KIND_CHAT, "{\"model\":\"\"," HI "}", "model is required");
	refused(&openai, API_KIND_CHAT, "{\"model\":null," HI "}", "model is required");
	refused(&openai, API_KIND_CHAT, "{\"model\":5," HI "}", "model must be a string");
	refused(&openai, API_KIND_CHAT, "{\"model\":\"m\"}", "messages is required");
	refused(&openai, API_KIND_CHAT, "[]", "the body must be a JSON object");
	refused(&openai, API_KIND_CHAT, "{\"a\":1,}",
		"the body is not valid JSON: a member name in quotes is expected at byte 7 (line "
		"1, "
		"column 8)");
	refused(&fastapi, API_KIND_CHAT, "{\"model\":\"m\"," HI ",\"max_tokens\":4097}",
		"max_tokens must be between 1 and 4096");
}

/* 001-09: several at once; fastapi reports all of them. */
static void test_several(void)
{
	static const char text[] =
		"{\"temperature\":3,\"top_p\":2,\"messages\":[{\"role\":\"x\"}]}";
	struct api_error_list errors;
	g_assert_null(parse(&fastapi, API_KIND_CHAT, text, strlen(text), &errors));
	g_assert_cmpuint(errors.n, ==, 4);
	g_assert_cmpstr(errors.items[0].param, ==, "model");
	g_assert_cmpstr(errors.items[1].param, ==, "temperature");
	g_assert_cmpstr(errors.items[2].param, ==, "top_p");
	g_assert_cmpstr(errors.items[3].param, ==, "messages[0].role");
}

static void test_messages(void)
{
	static const struct {
		const char *messages, *message; /* NULL: accepted */
	} cases[] = {
		{ "[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"\"}]",
		  NULL },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]", NULL },
		{ "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\","
		  "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
		  "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"ok\"}]",
		  NULL },
		{ "[{\"role\":\"user\",\"name\":\"n\",\"content\":\"x\"}]", NULL },
		{ "[]", "messages must be a non-empty array" },
		{ "\"hi\"", "messages must be a non-empty array" },
		{ "[5]", "messages[0] must be an object" },
		{ "[{\"content\":\"x\"}]", "messages[0].role is required" },
		{ "[{\"role\":\"king\",\"content\":\"x\"}]",
		  "messages[0].role must be one of system, developer, user, assistant, tool, "
		  "function" },
		{ "[{\"role\":\"user\"}]", "messages[0].content is required" },
		{ "[{\"role\":\"assistant\"}]", "messages[0].content is required" },
		{ "[{\"role\":\"user\",\"content\":5}]",
		  "messages[0].content must be a string or an array of parts" },
		{ "[{\"role\":\"user\",\"content\":[]}]", "messages[0].content must not be empty" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]",
		  "messages[0].content[0] has the type 'image_url': only text is supported" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
		  "messages[0].content[0].text must be a string" },
		{ "[{\"role\":\"user\",\"content\":\"a\",\"name\":1}]",
		  "messages[0].name must be a string" },
		{ "[{\"role\":\"tool\",\"content\":\"a\"}]",
		  "messages[0].tool_call_id is required" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text =
			g_strdup_printf("{\"model\":\"m\",\"messages\":%s}", cases[i].messages);
		struct api_error_list errors;
		if (cases[i].message) {
			refused(&openai, API_KIND_CHAT, text, cases[i].message);
			continue;
		}
		struct api_body *b = parse(&openai, API_KIND_CHAT, text, strlen(text), &errors);
		if (!b)
			g_error("%s: %s", text, errors.items[0].message);
		api_body_free(b);
	}
}

static void test_prompts(void)
{
	static const struct {
		const char *prompt;
		uint32_t n;
		bool tokens;
		const char *first;
	} cases[] = {
		{ "\"a\"", 1, false, "a" },        { "[\"a\",\"b\"]", 2, false, "a" },
		{ "[1,2,3]", 1, true, "[1,2,3]" }, { "[[1],[2,3]]", 2, true, "[1]" },
		{ "\"\"", 1, false, "" },
	};
	struct api_error_list errors;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text =
			g_strdup_printf("{\"model\":\"m\",\"prompt\":%s}", cases[i].prompt);
		struct api_body *b =
			parse(&openai, API_KIND_COMPLETION, text, strlen(text), &errors);
		g_assert_nonnull(b);
		g_assert_cmpuint(b->n_prompts, ==, cases[i].n);
		g_assert_cmpint(b->prompts[0].is_tokens, ==, cases[i].tokens);
		g_assert_cmpstr(b->prompts[0].text, ==, cases[i].first);
		g_assert_cmpuint(b->params.limits.max_tokens, ==, 16);
		api_body_free(b);
	}
	static const char shape[] =
		"prompt must be a string, an array of strings, or one or more arrays of token ids";
	refused(&openai, API_KIND_COMPLETION, "{\"model\":\"m\"}", "prompt is required");
	refused(&openai, API_KIND_COMPLETION, "{\"model\":\"m\",\"prompt\":[]}",
		"prompt must have 1 to 128 elements");
	refused(&openai, API_KIND_COMPLETION, "{\"model\":\"m\",\"prompt\":[1,\"a\"]}", shape);
	refused(&openai, API_KIND_COMPLETION, "{\"model\":\"m\",\"prompt\":[-1]}", shape);
	refused(&openai, API_KIND_COMPLETION, "{\"model\":\"m\",\"prompt\":{}}", shape);
	refused(&openai, API_KIND_COMPLETION,
		"{\"model\":\"m\",\"prompt\":\"a\",\"n\":3,\"best_of\":2}",
		"best_of must be at least n");
	refused(&openai, API_KIND_COMPLETION,
		"{\"model\":\"m\",\"prompt\":\"a\",\"best_of\":2,\"stream\":true}",
		"best_of cannot be streamed");
	refused(&openai, API_KIND_COMPLETION,
		"{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"x\",\"echo\":true}",
		"suffix needs a prompt of text and cannot be combined with echo");
	refused(&openai, API_KIND_TOKENIZE, "{}", "prompt is required");
	refused(&openai, API_KIND_DETOKENIZE, "{\"tokens\":[1.5]}",
		"tokens must be an array of token ids");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/params/seeds", test_seeds);
	g_test_add_func("/api/params/defaults", test_defaults);
	g_test_add_func("/api/params/values", test_values);
	g_test_add_func("/api/params/table", test_table);
	g_test_add_func("/api/params/texts", test_texts);
	g_test_add_func("/api/params/several", test_several);
	g_test_add_func("/api/params/messages", test_messages);
	g_test_add_func("/api/params/prompts", test_prompts);
	return g_test_run();
}
