/* SPDX-License-Identifier: MIT */
/*
 * test-line-rpc.c - what lines ask for and what is answered at once: the envelope, the params, the
 * field that is named. The gateway refuses every stream, so each line is over when it was read.
 */
#include <string.h>

#include "call.h"
#include "fake-gateway.h"

#define CHAT(more)                                                                                 \
	"{\"id\":1,\"method\":\"chat\",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":"  \
	"\"x\"}]" more "}}"
#define COMPLETE(more) "{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":\"x\"" more "}}"
#define MESSAGES(list) "{\"id\":1,\"method\":\"chat\",\"params\":{\"messages\":" list "}}"
#define TOOLS(list)    CHAT(",\"tools\":" list)
#define OPENED         -32066 /* as far as the gateway */

static struct fake_gateway gateway;
static struct line line;
static struct peer peer;

static weir_status refuse(struct fake_gateway *g, weir_request *r, struct weir_error *err)
{
	err->code = WEIR_E_RATE_LIMITED;
	g_strlcpy(err->text, "slow\ndown", sizeof(err->text));
	g_strlcpy(err->param, "user", sizeof(err->param));
	return err->code;
}

static void set_up(void)
{
	struct weir_error err;
	fake_gateway_init(&gateway);
	gateway.check = refuse;
	g_assert_cmpint(api_init(&line.api, &gateway.host, "line", &err), ==, WEIR_OK);
	line.api.log = NULL;
	line.api.config.max_tokens = 2000000;
	line.chat = *api_endpoint_find("chat");
	line.complete = *api_endpoint_find("completions");
	line.chat.format = line.complete.format = &call_events;
	line.config.max_requests = 64;
	api_loop_init(&line.loop, &line.api);
	peer.line = &line;
	peer.is_dirty = true; /* nobody settles it */
	peer.calls = g_hash_table_new(g_str_hash, g_str_equal);
}

/* The answer, or NULL; it is one line. */
static JsonNode *ask(const char *text, size_t len)
{
	struct json_fault fault;
	/* A block of the very size, so that a read behind it is seen. */
	g_autofree char *exact = g_memdup2(text, len);
	peer.output.len = peer.sent = 0;
	request_line(&peer, exact, len);
	g_assert_cmpuint(g_hash_table_size(peer.calls), ==, 0);
	if (!peer.output.len)
		return NULL;
	g_assert_cmpint(peer.output.data[peer.output.len - 1], ==, '\n');
	g_assert_true(memchr(peer.output.data, '\n', peer.output.len) ==
		      peer.output.data + peer.output.len - 1);
	JsonNode *root = json_tree_parse(peer.output.data, peer.output.len, true, &fault);
	g_assert_nonnull(root);
	return root;
}

static JsonObject *error_of(JsonNode *root)
{
	JsonObject *o = json_node_get_object(root);
	return json_object_has_member(o, "error") ? json_object_get_object_member(o, "error")
						  : NULL;
}

static const char *param_of(JsonObject *error)
{
	JsonObject *data = json_object_get_object_member(error, "data");
	return json_object_get_string_member_with_default(data, "param", "");
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
		{ CHAT(",\"max_tokens\":1e999"), -32602, "max_tokens", "between 1" },
		{ CHAT(",\"n\":129"), -32602, "n", "between 1 and 128" },
		{ CHAT(",\"logprobs\":3"), -32602, "logprobs", "true or false" },
		{ CHAT(",\"top_logprobs\":3"), -32602, "top_logprobs", "only when" },
		{ CHAT(",\"stream\":1"), -32602, "stream", "true or false" },
		{ CHAT(",\"flow\":\"none\""), -32602, "flow", "auto or manual" },
		{ CHAT(",\"flow\":\"manual\",\"stream\":false"), -32602, "flow", "needs stream" },
		{ CHAT(",\"credit\":0"), -32602, "credit", "at least 1" },
		{ CHAT(",\"credit\":1000001"), -32602, "credit", "between" },
		{ CHAT(",\"model\":\"\""), -32602, "model", "required" },
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
		  "1 to 128" },
		{ "{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":[-1]}}", -32602,
		  "prompt", "token ids" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":{}}}", -32602, "input",
		  "arrays of token ids" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[]}}", -32602, "input",
		  "required" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[\"a\",[]]}}", -32602,
		  "input", "required" },
		{ "{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[\"a\",1]}}", -32602,
		  "input", "arrays of token ids" },
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
		g_autofree char *shown = g_strescape(cases[i].line, NULL);
		g_autoptr(JsonNode) root = ask(cases[i].line, strlen(cases[i].line));
		JsonObject *error = error_of(root);
		g_test_message("%s -> %s", shown, json_object_get_string_member(error, "message"));
		g_assert_cmpint(json_object_get_int_member(error, "code"), ==, cases[i].code);
		g_assert_cmpstr(param_of(error), ==, cases[i].param);
		g_assert_nonnull(
			strstr(json_object_get_string_member(error, "message"), cases[i].text));
	}
}

/* What the API takes is taken here, by its own table. */
static void test_taken(void)
{
	static const char *const lines[] = {
		CHAT(""),
		CHAT(",\"temperature\":null,\"stop\":\"end\",\"n\":2,\"seed\":-3,\"priority\":-5"),
		CHAT(",\"response_format\":{\"type\":\"json_object\"},\"flow\":\"manual\","
		     "\"credit\":0"),
		CHAT(",\"stream\":false,\"logprobs\":true,\"top_logprobs\":2,\"api_key\":\"k\""),
		CHAT(",\"stream_options\":{\"include_usage\":true}"),
		COMPLETE(",\"logprobs\":0,\"echo\":false"),
		COMPLETE(",\"best_of\":3,\"n\":2,\"stream\":false,\"credit\":5"),
		"{\"id\":-4,\"method\":\"complete\",\"params\":{\"prompt\":[1, 2]}}",
		"{\"id\":1,\"method\":\"complete\",\"params\":{\"prompt\":[\"a\",\"b\"]}}",
		"{\"id\":1,\"method\":\"embed\",\"params\":{\"input\":[\"a\",\"b\"],\"dimensions\":"
		"3,"
		"\"encoding_format\":\"base64\"}}",
		"{\"id\":1,\"method\":\"rerank\",\"params\":{\"query\":\"q\",\"documents\":[\"a\"],"
		"\"top_n\":1}}",
		"{\"id\":1,\"method\":\"tokenize\",\"params\":{\"prompt\":\"a\"}}",
		"{\"id\":1,\"method\":\"detokenize\",\"params\":{\"tokens\":[1]}}",
	};
	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autoptr(JsonNode) root = ask(lines[i], strlen(lines[i]));
		JsonObject *error = error_of(root);
		g_test_message("%s: %s", lines[i], json_object_get_string_member(error, "message"));
		g_assert_cmpint(json_object_get_int_member(error, "code"), ==, OPENED);
	}
	g_autoptr(JsonNode) root = ask(CHAT(""), strlen(CHAT("")));
	static const char answer[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32066,\"message\":"
		"\"slow\\ndown\",\"data\":{\"status\":\"RATE_LIMITED\",\"code\":"
		"\"rate_limit_exceeded\",\"param\":\"user\",\"retry_after_ms\":5000}}}\n";
	g_assert_cmpmem(peer.output.data, peer.output.len, answer, sizeof(answer) - 1);
}

/* Every range of the API's table holds at its ends and not behind them. */
static void test_ranges(void)
{
	unsigned n = 0;
	for (const struct param_rule *rule = params_table(); rule->name; rule++) {
		bool number = rule->type == PARAM_TYPE_FLOAT || rule->type == PARAM_TYPE_UINT ||
			      rule->type == PARAM_TYPE_INT || rule->type == PARAM_TYPE_COUNT;
		bool chat = rule->kinds & PARAM_KIND_CHAT;
		if (!number || !(rule->kinds & PARAM_KIND_GENERATE) ||
		    strcmp(rule->name, "best_of") == 0)
			continue;
		double step = rule->type == PARAM_TYPE_FLOAT ? 0.001 : 1;
		double max = rule->max_configured ? line.api.config.max_tokens : rule->max;
		double values[] = { rule->min, max, rule->min - step, max + step };
		for (size_t i = 0; i < 4; i++) {
			char text[G_ASCII_DTOSTR_BUF_SIZE];
			g_ascii_formatd(text, sizeof(text), "%.15g", values[i]);
			g_autofree char *asked = g_strdup_printf(
				chat ? CHAT(",\"stream\":false,\"%s\":%s%s")
				     : COMPLETE(",\"stream\":false,\"echo\":true,\"%s\":%s%s"),
				rule->name, text,
				strcmp(rule->name, "top_logprobs") ? "" : ",\"logprobs\":true");
			g_autoptr(JsonNode) root = ask(asked, strlen(asked));
			JsonObject *error = error_of(root);
			bool good = i < 2 && !(i == 0 && rule->min_excluded);
			g_assert_cmpint(json_object_get_int_member(error, "code"), ==,
					good ? OPENED : -32602);
			if (!good)
				g_assert_cmpstr(param_of(error), ==, rule->name);
			n++;
		}
	}
	g_assert_cmpuint(n, >, 50);
}

static void test_ids(void)
{
	static const struct {
		const char *id, *back;
	} ids[] = { { "\"a\\u0062\"", "\"ab\"" },
		    { "-7", "-7" },
		    { "9223372036854775807", "9223372036854775807" },
		    { "9223372036854775808", NULL },
		    { "1.0", NULL },
		    { "true", NULL },
		    { "\"\"", "\"\"" } };
	for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
		struct rpc_request r;
		struct rpc_error err;
		g_autofree char *text =
			g_strdup_printf("{\"id\":%s,\"method\":\"health\"}", ids[i].id);
		g_assert_cmpint(rpc_parse(text, strlen(text), &r, &err), ==, ids[i].back != NULL);
		g_assert_cmpstr(r.id, ==, ids[i].back);
		rpc_request_clear(&r);
	}
}

/* Whatever a line is made of, it is answered by one line or none; a sanitizer watches. */
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
		"{\"id\":1,\"method\":\"rerank\",\"params\":{\"query\":\"q\",\"documents\":[{"
		"\"text\":\"a\"}]}}",
		"{\"id\":\"m\",\"method\":\"models\"}",
	};
	static const char bytes[] = "\"\\{}[]:,0-9.eE+tfnu \t\xff\xc3\xed\x80\x01";
	unsigned n_opened = 0, n_refused = 0;
	for (int round = 0; round < 30000; round++) {
		const char *seed = seeds[round % (int)G_N_ELEMENTS(seeds)];
		size_t len = strlen(seed);
		g_autofree char *text = g_memdup2(seed, len);
		for (int edits = g_test_rand_int_range(0, 4); edits > 0; edits--) {
			gint32 at = g_test_rand_int_range(0, (gint32)len);
			gint32 with = g_test_rand_int_range(0, (gint32)sizeof(bytes) - 1);
			text[at] = bytes[with];
		}
		len -= (size_t)g_test_rand_int_range(0, 100) == 0 ? len / 2 : 0;
		g_autoptr(JsonNode) root = ask(text, len);
		JsonObject *error = root ? error_of(root) : NULL;
		if (!error)
			continue;
		g_assert_cmpint(*json_object_get_string_member(error, "message"), !=, 0);
		if (json_object_get_int_member(error, "code") == OPENED)
			n_opened++;
		else
			n_refused++;
	}
	g_assert_cmpuint(n_opened, >, 3000);
	g_assert_cmpuint(n_refused, >, 3000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	set_up();
	g_test_add_func("/line-rpc/faults", test_faults);
	g_test_add_func("/line-rpc/taken", test_taken);
	g_test_add_func("/line-rpc/ranges", test_ranges);
	g_test_add_func("/line-rpc/ids", test_ids);
	g_test_add_func("/line-rpc/mutations", test_mutations);
	return g_test_run();
}
