/*
 * tests/unit/test-api-bodies.c - what the fields that are no scalars become: grammars from every
 * dialect, template variables, inputs of embeddings and reranking (001-04, 001-14, C11).
 */
#include <string.h>

#include <glib.h>

#include <api/body.h>

static const struct api_config openai = { .profile = API_PROFILE_OPENAI, .max_tokens = 2000000 };
static const struct api_config fastapi = { .profile = API_PROFILE_FASTAPI,
					   .max_tokens = 4096,
					   .max_input_chars = 8000 };

#define HI "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"

static struct api_body *parse(const struct api_config *c, const char *endpoint, const char *text,
			      struct api_error_list *errors)
{
	return api_body_parse(c, api_endpoint_find(endpoint), text, strlen(text), errors);
}

static struct api_body *good(const char *endpoint, const char *text)
{
	struct api_error_list errors;
	struct api_body *b = parse(&openai, endpoint, text, &errors);
	if (!b)
		g_error("%s: %s", text, errors.items[0].message);
	return b;
}

static void bad(const struct api_config *c, const char *endpoint, const char *text,
		const char *message)
{
	struct api_error_list errors;
	if (parse(c, endpoint, text, &errors))
		g_error("%s was accepted", text);
	if (strcmp(errors.items[0].message, message) != 0)
		g_error("%s: \"%s\", not \"%s\"", text, errors.items[0].message, message);
	g_assert_cmpint(errors.items[0].status, ==, c->profile == API_PROFILE_FASTAPI ? 422 : 400);
}

static void test_grammar(void)
{
	static const char *const same[][2] = {
		{ "\"response_format\":{\"type\":\"text\"}", NULL },
		{ "\"response_format\":null", NULL },
		{ "\"response_format\":{\"type\":\"json_object\"}", "{\"type\":\"json_object\"}" },
		{ "\"response_format\":{\"type\":\"json_object\",\"schema\":{\"type\":\"null\"}}",
		  "{\"type\":\"json_schema\",\"value\":{\"type\":\"null\"}}" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a_1\","
		  "\"strict\":true,\"schema\":{\"type\":\"null\"}}}",
		  "{\"type\":\"json_schema\",\"value\":{\"type\":\"null\"}}" },
		{ "\"guided_json\":{\"type\":\"null\"}",
		  "{\"type\":\"json_schema\",\"value\":{\"type\":\"null\"}}" },
		{ "\"guided_json\":\"{\\\"type\\\":\\\"null\\\"}\"",
		  "{\"type\":\"json_schema\",\"value\":{\"type\":\"null\"}}" },
		{ "\"guided_regex\":\"[a-z]+\"", "{\"type\":\"regex\",\"value\":\"[a-z]+\"}" },
		{ "\"guided_choice\":[\"yes\",\"no\"]",
		  "{\"type\":\"choice\",\"value\":[\"yes\",\"no\"]}" },
		{ "\"guided_grammar\":\"root ::= \\\"a\\\"\"",
		  "{\"type\":\"gbnf\",\"value\":\"root ::= \\\"a\\\"\"}" },
		{ "\"grammar\":\"root ::= [a]\"",
		  "{\"type\":\"gbnf\",\"value\":\"root ::= [a]\"}" },
		{ "\"json_schema\":{}", "{\"type\":\"json_schema\",\"value\":{}}" },
		{ "\"structured_outputs\":{\"regex\":\"a\"}",
		  "{\"type\":\"regex\",\"value\":\"a\"}" },
		{ "\"structured_outputs\":{\"json_object\":true}", "{\"type\":\"json_object\"}" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(same); i++) {
		g_autofree char *text = g_strdup_printf("{" HI "%s}", same[i][0]);
		struct api_body *b = good("chat", text);
		g_assert_cmpstr(b->grammar, ==, same[i][1]);
		api_body_free(b);
	}
}

static void test_grammar_refused(void)
{
	static const char *const cases[][2] = {
		{ "\"grammar\":\"a\",\"guided_regex\":\"b\"",
		  "grammar cannot be combined with guided_regex" },
		{ "\"structured_outputs\":{\"regex\":\"a\",\"json\":{}}",
		  "structured_outputs cannot be combined with structured_outputs" },
		{ "\"structured_outputs\":{}", "structured_outputs must hold json, regex, choice, "
					       "grammar or json_object: true" },
		{ "\"response_format\":{\"type\":\"json_schema\"}",
		  "response_format.json_schema.schema is required" },
		{ "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a b\","
		  "\"schema\":{}}}",
		  "response_format.json_schema.name must be 1 to 64 letters, digits, underscores "
		  "and dashes" },
		{ "\"response_format\":\"json\"", "response_format must be an object with a type" },
		{ "\"guided_json\":\"{\"", "guided_json must be a JSON Schema: an object" },
		{ "\"guided_json\":[]", "guided_json must be a JSON Schema: an object" },
		{ "\"guided_regex\":\"\"", "guided_regex must be a non-empty string" },
		{ "\"guided_choice\":[]",
		  "guided_choice must be an array of 1 to 1024 non-empty strings" },
		{ "\"guided_choice\":[1]",
		  "guided_choice must be an array of 1 to 1024 non-empty strings" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = g_strdup_printf("{" HI "%s}", cases[i][0]);
		bad(&openai, "chat", text, cases[i][1]);
		bad(&fastapi, "chat", text, cases[i][1]);
	}
}

static void test_chat_fields(void)
{
	struct api_body *b = good(
		"chat",
		"{" HI "\"reasoning_effort\":\"none\",\"chat_template_kwargs\":{\"x\":1,"
		"\"enable_thinking\":true},\"lora\":\"pirate\",\"parallel_tool_calls\":false,"
		"\"include_reasoning\":false,\"reasoning_format\":\"none\",\"tools\":[{\"type\":"
		"\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":"
		"\"function\",\"function\":{\"name\":\"f\"}},\"store\":true,\"user\":\"u\","
		"\"metadata\":{},\"stream\":true,\"stream_options\":{\"batch_tokens\":3,"
		"\"continuous_usage_stats\":true,\"include_usage\":true}}");
	g_assert_cmpstr(b->template_kwargs, ==,
			"{\"reasoning_effort\":\"none\",\"enable_thinking\":true,\"x\":1}");
	g_assert_cmpstr(b->adapter, ==, "pirate");
	g_assert_true(b->params.no_parallel_calls && b->params.no_reasoning && b->keep_reasoning);
	g_assert_true(b->params.continuous_usage && b->params.include_usage);
	g_assert_cmpuint(b->params.batch_tokens, ==, 3); /* 001u-1 */
	g_assert_cmpuint(b->params.batch_ms, ==, 50);
	api_body_free(b);
	bad(&openai, "chat",
	    "{" HI "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
	    "\"tool_choice\":{\"function\":{\"name\":\"g\"}}}",
	    "tool_choice names 'g', which is not among the tools");
}

static void test_embed(void)
{
	static const struct {
		const char *input, *inputs;
		uint32_t n;
	} cases[] = {
		{ "\"hi\"", "[\"hi\"]", 1 },
		{ "[\"a\",\"b\"]", "[\"a\",\"b\"]", 2 },
		{ "[1,2]", "[[1,2]]", 1 },
		{ "[[1],[2,3]]", "[[1],[2,3]]", 2 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text =
			g_strdup_printf("{\"model\":\"m\",\"input\":%s,\"dimensions\":7,"
					"\"encoding_format\":\"base64\"}",
					cases[i].input);
		struct api_body *b = good("embeddings", text);
		g_assert_cmpstr(b->inputs, ==, cases[i].inputs);
		g_assert_cmpuint(b->n_inputs, ==, cases[i].n);
		g_assert_true(b->params.base64);
		g_assert_cmpuint(b->params.dimensions, ==, 7);
		api_body_free(b);
	}
	bad(&openai, "embeddings", "{\"model\":\"m\"}", "input is required"); /* 001-14 */
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":\"\"}", "input is required");
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":[]}", "input is required");
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":[\"a\",\"\"]}", "input is required");
	bad(&openai, "embeddings", "{\"input\":\"a\"}", "model is required");
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":7}",
	    "input must be a string, an array of strings, or one or more arrays of token ids");
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":\"a\",\"encoding_format\":\"hex\"}",
	    "encoding_format must be float or base64");
	bad(&openai, "embeddings", "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":0}",
	    "dimensions must be between 1 and 65536");
}

/* 8,000 code points pass, 8,001 do not, however many bytes they have. */
static void test_embed_length(void)
{
	GString *s = g_string_new("{\"model\":\"m\",\"input\":\"");
	struct api_error_list errors;
	for (int i = 0; i < 8000; i++)
		g_string_append(s, "\xc3\xa4");
	gsize at = s->len;
	g_string_append(s, "\"}");
	struct api_body *b = parse(&fastapi, "embeddings", s->str, &errors);
	g_assert_nonnull(b);
	api_body_free(b);
	g_string_insert(s, (gssize)at, "x");
	bad(&fastapi, "embeddings", s->str, "input length must not exceed 8000");
	api_body_free(good("embeddings", s->str));
	g_string_free(s, TRUE);
}

static void test_rerank(void)
{
	struct api_body *b =
		good("rerank", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\","
			       "{\"text\":\"b\"}],\"top_n\":1,\"return_documents\":true}");
	g_assert_cmpstr(b->query, ==, "q");
	g_assert_cmpstr(b->documents, ==, "[\"a\",\"b\"]");
	g_assert_cmpuint(b->n_inputs, ==, 2);
	g_assert_cmpuint(b->params.top_n, ==, 1);
	api_body_free(b);
	bad(&openai, "rerank", "{\"model\":\"m\",\"documents\":[\"a\"]}", "query is required");
	bad(&openai, "rerank", "{\"model\":\"m\",\"query\":\"q\"}", "documents is required");
	bad(&openai, "rerank", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[]}",
	    "documents must be an array of 1 to 2048 elements");
	bad(&openai, "rerank", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[{}]}",
	    "documents[0] must be a string or an object with a text");
}

/* The table and the readers agree: every required field is missed, every OTHER has a schema. */
static void test_table_is_whole(void)
{
	for (const struct api_endpoint *e = api_endpoints(); e->name; e++) {
		uint32_t bit = api_kind_bit(e->kind);
		struct api_error_list errors;
		g_assert_null(parse(&openai, e->name, "{}", &errors));
		for (const struct param_rule *r = params_table(); r->name; r++) {
			g_assert_true((r->type == PARAM_TYPE_OTHER) == !!r->schema);
			bool missed = false;
			for (uint32_t i = 0; i < errors.n; i++)
				missed |= errors.items[i].missing &&
					  strcmp(errors.items[i].param, r->name) == 0;
			/* One of three is required there. */
			if (e->kind == API_KIND_TOKENIZE)
				continue;
			if (r->kinds & bit && missed != !!(r->required & bit))
				g_error("%s: %s", e->name, r->name);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/bodies/grammar", test_grammar);
	g_test_add_func("/api/bodies/grammar-refused", test_grammar_refused);
	g_test_add_func("/api/bodies/chat-fields", test_chat_fields);
	g_test_add_func("/api/bodies/embed", test_embed);
	g_test_add_func("/api/bodies/embed-length", test_embed_length);
	g_test_add_func("/api/bodies/rerank", test_rerank);
	g_test_add_func("/api/bodies/table-is-whole", test_table_is_whole);
	return g_test_run();
}
