/* SPDX-License-Identifier: MIT */
/*
 * test-line-params.c - frontends/line/rpc and params: envelopes, ranges, the field that is named.
 */
#include <string.h>

#include "params.h"

#define CHAT(more)                                                                                 \
	"{\"id\":1,\"method\":\"chat\",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":"  \
	"\"x\"}]" more "}}"
#define COMPLETE(more) "{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":\"x\"" more "}}"
#define MESSAGES(list) "{\"id\":1,\"method\":\"chat\",\"params\":{\"messages\":" list "}}"
#define TOOLS(list)    CHAT(",\"tools\":" list)

struct reading {
	bool ok;
	struct rpc_request request;
	struct params params;
	struct rpc_error err;
};

static void read_line(const char *line, struct reading *r)
{
	memset(r, 0, sizeof(*r));
	g_autofree char *shown = g_strescape(line, NULL);
	g_test_message("%s", shown);
	r->ok = rpc_parse(line, strlen(line), &r->request, &r->err) &&
		params_read(&r->params, &r->request, &r->err);
}

static void reading_clear(struct reading *r)
{
	params_clear(&r->params);
	rpc_request_clear(&r->request);
}

static void test_faults(void)
{
	static const struct {
		const char *line;
		int code;
		const char *param, *text; /* text: a part of it */
	} cases[] = {
		{ "", -32700, "", "not valid JSON" },
		{ "{\"id\":1", -32700, "", "at byte 7" },
		{ "\xff", -32700, "", "not valid JSON" },
		{ "[]", -32600, "", "batches" },
		{ "[{\"id\":1,\"method\":\"health\"}]", -32600, "", "batches" },
		{ "7", -32600, "", "object" },
		{ "{}", -32600, "method", "required" },
		{ "{\"id\":1,\"method\":7}", -32600, "method", "string" },
		{ "{\"id\":1,\"jsonrpc\":\"1.0\",\"method\":\"health\"}", -32600, "jsonrpc",
		  "2.0" },
		{ "{\"id\":1,\"jsonrpc\":2,\"method\":\"health\"}", -32600, "jsonrpc", "2.0" },
		{ "{\"id\":1,\"method\":\"Chat\"}", -32601, "method", "'Chat'" },
		{ "{\"id\":1.5,\"method\":\"health\"}", -32600, "id", "integer" },
		{ "{\"id\":{},\"method\":\"health\"}", -32600, "id", "integer" },
		{ "{\"id\":null,\"method\":\"health\"}", -32600, "id", "required" },
		{ "{\"method\":\"chat\",\"params\":{}}", -32600, "id", "required" },
		{ "{\"id\":1,\"method\":\"chat\",\"params\":[1]}", -32602, "params", "object" },
		{ "{\"id\":1,\"method\":\"chat\"}", -32602, "messages", "required" },
		{ "{\"id\":1,\"method\":\"complete\"}", -32602, "prompt", "required" },
		{ "{\"id\":1,\"method\":\"embed\"}", -32602, "input", "required" },
		{ "{\"id\":1,\"method\":\"detokenize\"}", -32602, "tokens", "required" },
		{ "{\"id\":1,\"method\":\"grant\",\"params\":{\"id\":2}}", -32602, "n",
		  "required" },
		{ "{\"method\":\"cancel\",\"params\":{\"n\":2}}", -32602, "n", "no parameter" },
		{ "{\"method\":\"cancel\",\"params\":{\"id\":[]}}", -32602, "id", "integer" },
		{ "{\"method\":\"grant\",\"params\":{\"id\":1,\"n\":0}}", -32602, "n", "between" },
		{ CHAT(",\"temprature\":1"), -32602, "temprature", "chat has no parameter" },
		{ CHAT(",\"prompt\":\"x\""), -32602, "prompt", "chat has no parameter" },
		{ CHAT(",\"temperature\":2.1"), -32602, "temperature",
		  "temperature must be between 0 and 2" },
		{ CHAT(",\"temperature\":\"1\""), -32602, "temperature", "must be a number" },
		{ CHAT(",\"typical_p\":0"), -32602, "typical_p", "greater than 0" },
		{ CHAT(",\"top_k\":-2"), -32602, "top_k", "between -1 and 1000" },
		{ CHAT(",\"max_tokens\":0"), -32602, "max_tokens", "between 1" },
		{ CHAT(",\"max_tokens\":1.5"), -32602, "max_tokens", "an integer" },
		{ CHAT(",\"max_tokens\":1e999"), -32602, "max_tokens", "an integer" },
		{ CHAT(",\"n\":129"), -32602, "n", "between 1 and 128" },
		{ CHAT(",\"logprobs\":3"), -32602, "logprobs", "true or false" },
		{ CHAT(",\"top_logprobs\":3"), -32602, "top_logprobs", "only when" },
		{ CHAT(",\"stream\":1"), -32602, "stream", "true or false" },
		{ CHAT(",\"flow\":\"none\""), -32602, "flow", "auto or manual" },
		{ CHAT(",\"flow\":\"manual\",\"stream\":false"), -32602, "flow", "needs stream" },
		{ CHAT(",\"credit\":0"), -32602, "credit", "at least 1" },
		{ CHAT(",\"credit\":1000001"), -32602, "credit", "between" },
		{ CHAT(",\"model\":\"\""), -32602, "model", "non-empty" },
		{ CHAT(",\"stop\":\"\""), -32602, "stop", "non-empty" },
		{ CHAT(",\"stop\":[\"a\",\"\"]"), -32602, "stop", "at most 16" },
		{ CHAT(",\"logit_bias\":[]"), -32602, "logit_bias", "an object" },
		{ CHAT(",\"logit_bias\":{\"a\":1}"), -32602, "logit_bias", "token ids" },
		{ CHAT(",\"logit_bias\":{\"1\":101}"), -32602, "logit_bias", "between -100" },
		{ CHAT(",\"tool_choice\":\"x\""), -32602, "tool_choice", "none, auto" },
		{ CHAT(",\"chat_template_kwargs\":1"), -32602, "chat_template_kwargs", "object" },
		{ TOOLS("{}"), -32602, "tools", "array" },
		{ TOOLS("[{\"type\":\"function\"}]"), -32602, "tools", "function" },
		{ COMPLETE(",\"logprobs\":21"), -32602, "logprobs", "between 0 and 20" },
		{ "{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":[]}}", -32602, "prompt",
		  "token ids" },
		{ "{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":[-1]}}", -32602,
		  "prompt", "token ids" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":{}}}", -32602, "input",
		  "an array of these" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[]}}", -32602, "input",
		  "an array of these" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[\"a\",[]]}}", -32602,
		  "input", "an array of these" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[\"a\",1]}}", -32602,
		  "input", "an array of these" },
		{ "{\"id\":1,\"method\":\"tokenize\",\"params\":{\"prompt\":[1]}}", -32602,
		  "prompt", "string" },
		{ "{\"id\":1,\"method\":\"detokenize\",\"params\":{\"tokens\":[\"a\"]}}", -32602,
		  "tokens", "token ids" },
		{ "{\"id\":1,\"method\":\"health\",\"params\":{\"x\":1}}", -32602, "x",
		  "no parameter" },
		{ MESSAGES("[]"), -32602, "messages", "non-empty" },
		{ MESSAGES("\"x\""), -32602, "messages", "non-empty array" },
		{ MESSAGES("[1]"), -32602, "messages[0]", "object" },
		{ MESSAGES("[{}]"), -32602, "messages[0].role", "required" },
		{ MESSAGES("[{\"role\":\"me\"}]"), -32602, "messages[0].role", "one of" },
		{ MESSAGES("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\"}]"), -32602,
		  "messages[1].content", "required" },
		{ MESSAGES("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]"), -32602,
		  "messages[0].content", "only text" },
		{ MESSAGES("[{\"role\":\"tool\",\"content\":\"a\"}]"), -32602,
		  "messages[0].tool_call_id", "required" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct reading r;
		read_line(cases[i].line, &r);
		g_assert_false(r.ok);
		g_assert_cmpint(r.err.code, ==, cases[i].code);
		g_assert_cmpstr(r.err.param, ==, cases[i].param);
		g_assert_nonnull(strstr(r.err.text, cases[i].text));
		reading_clear(&r);
	}
}

static void test_values(void)
{
	struct reading r;
	read_line("{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0062\",\"method\":\"chat\",\"params\":{"
		  "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"temperature\":0,"
		  "\"top_p\":0.5,\"top_k\":-1,\"max_tokens\":7,\"n\":2,\"seed\":-3,"
		  "\"repeat_last_n\":-1,\"priority\":-5,\"logprobs\":true,\"top_logprobs\":2,"
		  "\"stop\":\"end\",\"logit_bias\":{\"5\":-100,\"7\":1.5},\"credit\":3,"
		  "\"flow\":\"manual\",\"model\":\"m\",\"min_p\":null,\"api_key\":\"k\"}}",
		  &r);
	g_assert_true(r.ok);
	g_assert_cmpstr(r.request.id, ==, "\"ab\""); /* one spelling */
	const struct weir_sampling *s = &r.params.sampling;
	g_assert_cmpfloat(s->temperature, ==, 0);
	g_assert_cmpfloat(s->top_p, ==, 0.5f);
	g_assert_cmpuint(s->top_k, ==, 0);
	g_assert_cmpfloat(s->min_p, ==, 0);
	g_assert_cmpuint(s->seed_set, ==, 1);
	g_assert_cmpuint(s->seed, ==, (uint64_t)-3);
	g_assert_cmpint(s->repeat_last_n, ==, -1);
	g_assert_cmpuint(s->logprobs, ==, 1);
	g_assert_cmpuint(s->top_logprobs, ==, 2);
	g_assert_cmpuint(s->n_logit_bias, ==, 2);
	g_assert_cmpint(s->logit_bias[0].token, ==, 5);
	g_assert_cmpfloat(s->logit_bias[1].bias, ==, 1.5f);
	g_assert_cmpuint(r.params.limits.max_tokens, ==, 7);
	g_assert_cmpuint(r.params.limits.n, ==, 2);
	g_assert_cmpint(r.params.limits.priority, ==, -5);
	g_assert_cmpstr(r.params.stop, ==, "[\"end\"]");
	g_assert_cmpuint(r.params.credit, ==, 3);
	g_assert_true(r.params.manual);
	g_assert_cmpstr(r.params.messages, ==, "[{\"role\":\"user\",\"content\":\"x\"}]");
	reading_clear(&r);

	read_line(COMPLETE(",\"logprobs\":0"), &r);
	g_assert_true(r.ok);
	g_assert_cmpuint(r.params.limits.max_tokens, ==, 16);
	g_assert_cmpuint(r.params.sampling.logprobs, ==, 1);
	g_assert_true(r.params.stream);
	g_assert_cmpuint(r.params.credit, ==, PARAMS_CREDIT);
	reading_clear(&r);

	read_line("{\"id\":-4,\"method\":\"complete\",\"params\":{\"prompt\":[1, 2]}}", &r);
	g_assert_true(r.ok);
	g_assert_cmpstr(r.request.id, ==, "-4");
	g_assert_cmpstr(r.params.tokens, ==, "[1, 2]");
	g_assert_null(r.params.prompt);
	reading_clear(&r);

	read_line("{\"method\":\"grant\",\"params\":{\"id\":\"a\",\"n\":8}}", &r);
	g_assert_true(r.ok);
	g_assert_cmpstr(r.params.id, ==, "\"a\"");
	g_assert_cmpuint(r.params.credit, ==, 8);
	reading_clear(&r);
}

/* Every range of the table holds at its ends and not behind them. */
static void test_ranges(void)
{
	unsigned n = 0;
	for (const struct param_rule *rule = params_table(); rule->name; rule++) {
		bool number = rule->type == PARAM_TYPE_FLOAT || rule->type == PARAM_TYPE_UINT ||
			      rule->type == PARAM_TYPE_INT || rule->type == PARAM_TYPE_COUNT;
		bool chat = rule->methods & RPC_METHOD_CHAT;
		if (!number || !(rule->methods & RPC_METHOD_GENERATE) ||
		    strcmp(rule->name, "credit") == 0)
			continue;
		double step = rule->type == PARAM_TYPE_FLOAT ? 0.001 : 1;
		double values[] = { rule->min, rule->max, rule->min - step, rule->max + step };
		for (size_t i = 0; i < 4; i++) {
			char text[G_ASCII_DTOSTR_BUF_SIZE];
			struct reading r;
			g_ascii_formatd(text, sizeof(text), "%.15g", values[i]);
			g_autofree char *line = g_strdup_printf(
				chat ? CHAT(",\"%s\":%s%s") : COMPLETE(",\"%s\":%s%s"), rule->name,
				text,
				strcmp(rule->name, "top_logprobs") ? "" : ",\"logprobs\":true");
			read_line(line, &r);
			g_assert_cmpint(r.ok, ==, i < 2 && !(i == 0 && rule->min_excluded));
			if (!r.ok)
				g_assert_cmpstr(r.err.param, ==, rule->name);
			reading_clear(&r);
			n++;
		}
	}
	g_assert_cmpuint(n, >, 50);
}

static void test_answers(void)
{
	struct rpc_error err;
	GString *out = g_string_new(NULL);
	static const char text[] = "slow\ndown";
	rpc_fail_status(&err, WEIR_E_RATE_LIMITED, (struct weir_str){ text, strlen(text) },
			(struct weir_str){ "user", 4 }, 1500);
	rpc_put_error(out, "\"x\"", &err);
	g_assert_cmpstr(out->str, ==,
			"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32066,"
			"\"message\":\"slow\\ndown\",\"data\":{\"status\":\"RATE_LIMITED\","
			"\"param\":\"user\",\"retry_after_ms\":1500}}}\n");
	g_string_truncate(out, 0);
	rpc_fail_status(&err, -12345, (struct weir_str){ NULL, 0 }, (struct weir_str){ NULL, 0 },
			0);
	rpc_put_error(out, NULL, &err);
	g_assert_cmpstr(out->str, ==,
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32013,"
			"\"message\":\"inference failed\",\"data\":{\"status\":\"INTERNAL\"}}}\n");
	g_string_free(out, TRUE);
}

/* Whatever a line is made of, it is read or refused with a reason; a sanitizer watches. */
static void test_mutations(void)
{
	static const char *const seeds[] = {
		CHAT(",\"stop\":[\"a\",\"b\\n\"],\"logit_bias\":{\"5\":-1.5e1},\"seed\":12,\"n\":"
		     "2"),
		COMPLETE(",\"logprobs\":3,\"flow\":\"manual\",\"credit\":0,\"model\":"
			 "\"\\ud83d\\ude00\""),
		TOOLS("[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
		"{\"method\":\"grant\",\"params\":{\"id\":\"\xc3\xa9\",\"n\":8}}",
		"{\"id\":1,\"method\":\"detokenize\",\"params\":{\"tokens\":[1,2,[],{}]}}",
	};
	static const char bytes[] = "\"\\{}[]:,0-9.eE+tfnu \t\xff\xc3\xed\x80\x01";
	unsigned n_ok = 0;
	for (int round = 0; round < 40000; round++) {
		const char *seed = seeds[round % (int)G_N_ELEMENTS(seeds)];
		size_t len = strlen(seed);
		/* A block of the very size, so that a read behind it is seen. */
		g_autofree char *line = g_memdup2(seed, len);
		for (int edits = g_test_rand_int_range(0, 4); edits > 0; edits--) {
			gint32 at = g_test_rand_int_range(0, (gint32)len);
			gint32 with = g_test_rand_int_range(0, (gint32)sizeof(bytes) - 1);
			line[at] = bytes[with];
		}
		len -= (size_t)g_test_rand_int_range(0, 100) == 0 ? len / 2 : 0;
		g_autofree char *exact = g_memdup2(line, len);
		struct reading r;
		memset(&r, 0, sizeof(r));
		r.ok = rpc_parse(exact, len, &r.request, &r.err) &&
		       params_read(&r.params, &r.request, &r.err);
		if (!r.ok) {
			g_assert_cmpint(r.err.code, <, 0);
			g_assert_cmpint(r.err.text[0], !=, 0);
			g_assert_true(g_utf8_validate(r.err.text, -1, NULL));
		}
		n_ok += r.ok;
		reading_clear(&r);
	}
	g_assert_cmpuint(n_ok, >, 5000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/line-params/faults", test_faults);
	g_test_add_func("/line-params/values", test_values);
	g_test_add_func("/line-params/ranges", test_ranges);
	g_test_add_func("/line-params/answers", test_answers);
	g_test_add_func("/line-params/mutations", test_mutations);
	return g_test_run();
}
