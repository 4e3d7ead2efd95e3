/*
 * test-answer.c - answers of all families, in pieces of every size: reasoning, content and calls
 * come out the same, and nothing that only looks like a call is lost.
 */
#include <string.h>

#include <glib.h>

#include "answer.h"

#define TOOLS                                                                                      \
	"[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":"     \
	"\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":"            \
	"\"integer\"},"                                                                            \
	"\"exact\":{\"type\":\"boolean\"}},\"required\":[\"city\"]}}},{\"type\":\"function\","     \
	"\"function\":{\"name\":\"time\"}}]"

/* What tells the families apart in their templates. */
#define HERMES   "<tool_call> <think> </think>"
#define CODER    "<tool_call> <function= <parameter="
#define GLM      "<tool_call> <arg_key> <think> </think>"
#define MISTRAL  "[TOOL_CALLS]"
#define MISTRAL3 "[TOOL_CALLS] [ARGS] [THINK]"
#define KIMI     "<|tool_call_begin|> <|tool_call_argument_begin|>"
#define DEEPSEEK "<｜tool▁call▁begin｜> <｜tool▁sep｜> <think> </think>"
#define COMMAND  "<|START_ACTION|> <|START_THINKING|>"
#define GRANITE  "<|tool_call|> <think>"
#define LLAMA    "\"parameters\": dictionary <|python_tag|>"
#define HARMONY  "<|channel|> functions."

struct seen {
	GString *text, *reasoning, *order;
	GPtrArray *names, *args;
};

static void on_tool(struct seen *s, struct weir_str text)
{
	g_autofree char *json = g_strndup(text.data, text.len);
	const char *name = strstr(json, "\"name\":\""), *args = strstr(json, "\"arguments\":\"");
	guint index = (guint)g_ascii_strtoull(json + strlen("{\"index\":"), NULL, 10);
	g_autofree char *raw = NULL, *plain = NULL;

	g_assert_true(g_str_has_prefix(json, "{\"index\":"));
	g_assert_nonnull(args);
	if (name) {
		g_assert_cmpuint(index, ==, s->names->len);
		g_assert_nonnull(strstr(json, "\"id\":\""));
		name += 8;
		g_ptr_array_add(s->names, g_strndup(name, strcspn(name, "\"")));
		g_ptr_array_add(s->args, g_string_new(NULL));
		return;
	}
	g_assert_cmpuint(index, ==, s->names->len - 1);
	raw = g_strndup(args + 13, strlen(args + 13) - 3);
	plain = g_strcompress(raw);
	g_string_append(s->args->pdata[index], plain);
}

static void on_part(void *data, uint32_t kind, struct weir_str text)
{
	static const char marks[] = { 0, 'c', 'r', 't' };
	struct seen *s = data;

	g_assert_cmpuint(text.len, >, 0);
	if (s->order->len == 0 || s->order->str[s->order->len - 1] != marks[kind])
		g_string_append_c(s->order, marks[kind]);
	if (kind == WEIR_PART_CONTENT)
		g_string_append_len(s->text, text.data, (gssize)text.len);
	else if (kind == WEIR_PART_REASONING)
		g_string_append_len(s->reasoning, text.data, (gssize)text.len);
	else
		on_tool(s, text);
}

static void free_string(gpointer s)
{
	g_string_free(s, TRUE);
}

static void seen_init(struct seen *s)
{
	*s = (struct seen){ g_string_new(NULL), g_string_new(NULL), g_string_new(NULL),
			    g_ptr_array_new_with_free_func(g_free),
			    g_ptr_array_new_with_free_func(free_string) };
}

static void seen_clear(struct seen *s)
{
	g_string_free(s->text, TRUE);
	g_string_free(s->reasoning, TRUE);
	g_string_free(s->order, TRUE);
	g_ptr_array_unref(s->names);
	g_ptr_array_unref(s->args);
}

/* "name(args) name(args)" */
static char *calls_of(const struct seen *s)
{
	GString *out = g_string_new(NULL);

	for (guint i = 0; i < s->names->len; i++)
		g_string_append_printf(out, "%s%s(%s)", i ? " " : "", (char *)s->names->pdata[i],
				       ((GString *)s->args->pdata[i])->str);
	return g_string_free(out, FALSE);
}

static struct weir_str str(const char *s)
{
	return (struct weir_str){ s, strlen(s) };
}

static weir_answer *open_answer(const char *family, const char *more, const char *tail)
{
	g_autofree char *context = g_strdup_printf("{\"messages\":[]%s}", more);
	struct weir_answer_notation n;
	struct weir_error err;
	char *prefix, *grammar;
	weir_answer *a;

	weir_answer_notation_of(str(family), &n);
	if (weir_answer_open(&n, str(context), str(tail), str("id"), &a, &prefix, &grammar, &err) <
	    0)
		g_error("%s", err.text);
	g_assert_null(prefix);
	g_assert_null(grammar);
	return a;
}

static void read_in_pieces(weir_answer *a, const char *text, gsize size, struct seen *s)
{
	gsize n = strlen(text);
	gboolean calls;

	for (gsize at = 0; at < n; at += size)
		weir_answer_feed(a, (struct weir_str){ text + at, MIN(size, n - at) }, on_part, s);
	calls = weir_answer_finish(a, on_part, s);
	g_assert_cmpint(calls, ==, s->names->len > 0);
	weir_answer_free(a);
}

struct reading {
	const char *family, *text, *content, *reasoning, *calls;
	const char *more, *tail; /* of the context; NULL: the tools */
};

static const struct reading readings[] = {
	{ HERMES, "Hello.", "Hello.", "", "" },
	{ HERMES, "  Hello. ", "  Hello. ", "", "" },
	{ HERMES, "<think>\nI see.\n</think>\n\nHello.", "Hello.", "I see.", "" },
	{ HERMES, "I see </think>\nHi", "Hi", "I see", "", NULL,
	  "<|im_start|>assistant\n<think>\n" },
	{ HERMES, "Use <think> like this", "Use <think> like this", "", "" },
	{ HERMES, "<think>a < b </thin</think>c", "c", "a < b </thin", "" },
	{ HERMES, "<think>never ends\n", "", "never ends\n", "" },
	{ HERMES,
	  "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bonn\"}}\n</tool_call>",
	  "", "", "weather({\"city\": \"Bonn\"})" },
	{ HERMES,
	  "<think>\nx\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"weather\", "
	  "\"arguments\": "
	  "{\"city\": \"{\\\"}]\", \"days\": [1, {\"a\": "
	  "2}]}}\n</tool_call>\n<tool_call>\n{\"name\": "
	  "\"time\", \"arguments\": {}}\n</tool_call>",
	  "One moment.\n", "x",
	  "weather({\"city\": \"{\\\"}]\", \"days\": [1, {\"a\": 2}]}) time({})" },
	{ HERMES,
	  "<tool_call>{\"arguments\": {\"city\": \"A\"}, \"name\": \"weather\"}</tool_call>", "",
	  "", "weather({\"city\": \"A\"})" },
	{ HERMES, "<tool_call>{\"name\": \"time\"}</tool_call>done", "done", "", "time({})" },
	{ HERMES, "<tool_call>{\"name\": \"time\", \"arguments\": null}</tool_call>", "", "",
	  "time({})" },
	{ HERMES,
	  "<tool_call>{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": 1}\"}</tool_call>",
	  "", "", "weather({\"city\": 1})" },
	{ HERMES,
	  "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"time\", \"arguments\": "
	  "{\"a\": 1}}}</tool_call>",
	  "", "", "time({\"a\": 1})" },
	{ HERMES, "<tool_call>{\"name\": \"nobody\", \"arguments\": {}}</tool_call>",
	  "<tool_call>{\"name\": \"nobody\", \"arguments\": {}}</tool_call>", "", "" },
	{ HERMES, "The tag <tool_call> begins a call.", "The tag <tool_call> begins a call.", "",
	  "" },
	{ HERMES, "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Bo", "", "",
	  "weather({\"city\": \"Bo)" },
	{ HERMES, "a<tool_cal", "a<tool_cal", "", "" },
	{ HERMES, "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>",
	  "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>", "", "",
	  ",\"tools\":null" },
	{ HERMES, "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>",
	  "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>", "", "",
	  ",\"tools\":" TOOLS ",\"tool_choice\":\"none\"" },
	{ HERMES,
	  "<tool_call>{\"name\":\"time\",\"arguments\":{}}</"
	  "tool_call>\n<tool_call>{\"name\":\"time\","
	  "\"arguments\":{\"a\":1}}</tool_call>",
	  "", "", "time({})", ",\"tools\":" TOOLS ",\"parallel_tool_calls\":false" },
	{ CODER,
	  "<tool_call>\n<function=weather>\n<parameter=city>\nNew\nYork\n</"
	  "parameter>\n<parameter=days>\n3\n"
	  "</parameter>\n<parameter=exact>\ntrue\n</parameter>\n</function>\n</tool_call>",
	  "", "", "weather({\"city\": \"New\\nYork\", \"days\": 3, \"exact\": true})" },
	{ CODER, "<function=weather><parameter=city>7</parameter></function> ok", "ok", "",
	  "weather({\"city\": \"7\"})" },
	{ CODER, "<function=time></function>", "", "", "time({})" },
	{ CODER, "<function=none>x", "<function=none>x", "", "" },
	{ GLM,
	  "<think>hm</think>\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome</"
	  "arg_value>\n"
	  "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
	  "", "hm", "weather({\"city\": \"Rome\", \"days\": 2})" },
	{ GLM, "<tool_call>time</tool_call>", "", "", "time({})" },
	{ MISTRAL,
	  "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"A\"}, \"id\": "
	  "\"9Ae3bDc2F\"}, "
	  "{\"name\": \"time\", \"arguments\": {}}]",
	  "", "", "weather({\"city\": \"A\"}) time({})" },
	{ MISTRAL, "[TOOL_CALLS] [nonsense", "[TOOL_CALLS] [nonsense", "", "" },
	{ MISTRAL3,
	  "[THINK]hm[/THINK]ok[TOOL_CALLS]weather[ARGS]{\"city\": \"A\"}[TOOL_CALLS]time[ARGS]{}",
	  "ok", "hm", "weather({\"city\": \"A\"}) time({})" },
	{ KIMI,
	  "Let me see.<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0"
	  "<|tool_call_argument_begin|>{\"city\": \"A\"}<|tool_call_end|><|tool_call_begin|>"
	  "functions.time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|"
	  ">",
	  "Let me see.", "", "weather({\"city\": \"A\"}) time({})" },
	{ DEEPSEEK,
	  "so\n</"
	  "think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n"
	  "```json\n{\"city\": \"A\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
	  "", "so", "weather({\"city\": \"A\"})", NULL, "<think>\n" },
	{ DEEPSEEK,
	  "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"A\"}"
	  "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
	  "", "", "weather({\"city\": \"A\"})" },
	{ COMMAND,
	  "<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[\n {\"tool_call_id\": \"0\", "
	  "\"tool_name\": \"weather\", \"parameters\": {\"city\": \"A\"}}\n]<|END_ACTION|>",
	  "", "I look.", "weather({\"city\": \"A\"})" },
	{ COMMAND, "<|START_RESPONSE|>Hi.<|END_RESPONSE|>", "Hi.", "", "" },
	{ GRANITE, "<|tool_call|>[{\"name\": \"time\", \"arguments\": {}}]", "", "", "time({})" },
	{ LLAMA, "{\"name\": \"weather\", \"parameters\": {\"city\": \"A\"}}", "", "",
	  "weather({\"city\": \"A\"})" },
	{ LLAMA,
	  "<|python_tag|>{\"name\": \"time\", \"parameters\": {}}; {\"name\": \"time\", "
	  "\"parameters\": {\"a\": 1}}",
	  "", "", "time({}) time({\"a\": 1})" },
	{ LLAMA, "{\"answer\": 42}", "{\"answer\": 42}", "", "" },
	{ LLAMA, "{\"answer\": 42}", "{\"answer\": 42}", "", "", ",\"tools\":null" },
	{ HARMONY,
	  "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
	  "to=functions.weather <|constrain|>json<|message|>{\"city\": \"A\"}<|call|>",
	  "", "Hm.", "weather({\"city\": \"A\"})" },
	{ HARMONY,
	  "<|channel|>analysis<|message|>a "
	  "<b<|end|><|start|>assistant<|channel|>final<|message|>Hi <3"
	  "<|return|>",
	  "Hi <3", "a <b", "" },
	{ HARMONY,
	  "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
	  "b", "a", "", ",\"tools\":null" },
	{ HARMONY, "Plain text", "Plain text", "", "" },
	{ "a template without tools", "{\"name\": \"time\", \"arguments\": {}}", "", "",
	  "time({})" },
};

static void test_reading(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(readings); i++) {
		const struct reading *r = &readings[i];
		gsize n = strlen(r->text);

		for (gsize size = 1; size <= n; size = size < 20 ? size + 1 : size * 3 / 2) {
			struct seen s;
			g_autofree char *calls = NULL;
			weir_answer *a =
				open_answer(r->family, r->more ? r->more : ",\"tools\":" TOOLS,
					    r->tail ? r->tail : "");

			if (!a) { /* plain: nothing to be read out of it */
				g_assert_cmpstr(r->text, ==, r->content);
				continue;
			}
			seen_init(&s);
			read_in_pieces(a, r->text, size, &s);
			calls = calls_of(&s);
			if (strcmp(s.text->str, r->content) ||
			    strcmp(s.reasoning->str, r->reasoning) || strcmp(calls, r->calls))
				g_error("'%s' in pieces of %zu: content '%s', reasoning '%s', "
					"calls '%s'",
					r->text, size, s.text->str, s.reasoning->str, calls);
			seen_clear(&s);
		}
	}
}

static void test_plain(void)
{
	g_assert_null(open_answer("no markers", "", ""));
	g_assert_null(open_answer(HERMES, ",\"reasoning\":\"none\"", ""));
	weir_answer_free(NULL);
}

/* tool_choice: what the model is made to begin with, and that the reader knows of it. */
static void test_demand(void)
{
	static const struct {
		const char *family, *choice, *tail, *prefix, *rest, *calls;
		const char *grammar; /* a part of it; NULL: none */
	} cases[] = {
		{ HERMES, "\"required\"", "", "<tool_call>\n",
		  "{\"name\": \"time\", \"arguments\": {}}", "time({})", "\"anyOf\":[{" },
		{ HERMES, "{\"type\":\"function\",\"function\":{\"name\":\"weather\"}}",
		  "<think>\n", "</think>\n\n<tool_call>\n",
		  "{\"name\": \"weather\", \"arguments\": {\"city\": \"A\"}}",
		  "weather({\"city\": \"A\"})", "\"const\":\"weather\"" },
		{ MISTRAL, "\"required\"", "", "[TOOL_CALLS][",
		  "{\"name\": \"time\", \"arguments\": {}}", "time({})", "\"anyOf\"" },
		{ MISTRAL3, "{\"type\":\"function\",\"name\":\"weather\"}", "",
		  "[TOOL_CALLS]weather[ARGS]", "{\"city\": \"B\"}", "weather({\"city\": \"B\"})",
		  "\"required\":[\"city\"]" },
		{ CODER, "\"any\"", "", "<tool_call>\n<function=", "time>\n</function>", "time({})",
		  NULL },
		{ LLAMA, "\"required\"", "", NULL, "{\"name\": \"time\", \"parameters\": {}}",
		  "time({})", "\"parameters\"" },
		{ HARMONY, "{\"function\":{\"name\":\"time\"}}", "",
		  "<|channel|>commentary to=functions.time <|constrain|>json<|message|>",
		  "{\"a\": 1}", "time({\"a\": 1})", "{\"type\":\"object\"}" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *context = g_strdup_printf(
			"{\"tools\":" TOOLS ",\"tool_choice\":%s}", cases[i].choice);
		g_autofree char *calls = NULL;
		struct weir_answer_notation n;
		struct weir_error err;
		char *prefix, *grammar;
		weir_answer *a;
		struct seen s;

		weir_answer_notation_of(str(cases[i].family), &n);
		if (weir_answer_open(&n, str(context), str(cases[i].tail), str("x"), &a, &prefix,
				     &grammar, &err) < 0)
			g_error("%s", err.text);
		g_assert_cmpstr(prefix, ==, cases[i].prefix);
		g_assert_cmpint(grammar != NULL, ==, cases[i].grammar != NULL);
		if (grammar)
			g_assert_nonnull(strstr(grammar, cases[i].grammar));
		seen_init(&s);
		read_in_pieces(a, cases[i].rest, 3, &s);
		calls = calls_of(&s);
		g_assert_cmpstr(calls, ==, cases[i].calls);
		g_assert_cmpstr(s.text->str, ==, "");
		seen_clear(&s);
		free(prefix);
		free(grammar);
	}
}

static void test_refused(void)
{
	static const char *const cases[][2] = {
		{ "\"tool_choice\":\"required\"", "tool_choice" },
		{ "\"tools\":" TOOLS ",\"tool_choice\":{\"function\":{\"name\":\"nobody\"}}",
		  "tool_choice" },
		{ "\"tools\":" TOOLS ",\"tool_choice\":7", "tool_choice" },
		{ "\"tools\":[{}]", "tools" },
		{ "\"tools\":[{\"function\":{\"name\":3}}]", "tools" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *context = g_strdup_printf("{%s}", cases[i][0]);
		struct weir_answer_notation n;
		struct weir_error err = { 0 };
		char *prefix, *grammar;
		weir_answer *a;

		weir_answer_notation_of(str(HERMES), &n);
		g_assert_cmpint(weir_answer_open(&n, str(context), str(""), str(""), &a, &prefix,
						 &grammar, &err),
				==, WEIR_E_INVALID);
		g_assert_cmpstr(err.param, ==, cases[i][1]);
		g_assert_null(a);
	}
}

/* Whatever a model writes: no crash, and the parts in order hold all but markers. */
static void test_random(void)
{
	static const char *const words[] = {
		"<think>",
		"</think>",
		"<tool_call>",
		"</tool_call>",
		"{",
		"}",
		"[",
		"]",
		"\"name\"",
		": ",
		"\"weather\"",
		"\"time\"",
		", ",
		"\"arguments\"",
		"<function=",
		"weather",
		">",
		"<parameter=",
		"</parameter>",
		"</function>",
		"\n",
		" ",
		"text",
		"\\",
		"\"",
		"<",
		"<|channel|>",
		"<|message|>",
		"to=functions.time",
		"[TOOL_CALLS]",
		"[ARGS]",
		"<arg_key>",
		"</arg_key>",
		"<arg_value>",
		"</arg_value>",
		"null",
		"1",
		"\xc3\xa9",
	};
	static const char *const families[] = { HERMES,   CODER, GLM,      MISTRAL,
						MISTRAL3, KIMI,  DEEPSEEK, COMMAND,
						GRANITE,  LLAMA, HARMONY,  "none" };
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);

	for (int round = 0; round < 4000; round++) {
		g_autoptr(GString) text = g_string_new(NULL);
		const char *family = families[round % G_N_ELEMENTS(families)];
		struct seen whole, pieces;
		g_autofree char *a = NULL, *b = NULL;

		for (int n = g_rand_int_range(rand, 0, 25); n > 0; n--)
			g_string_append(text,
					words[g_rand_int_range(rand, 0, G_N_ELEMENTS(words))]);
		seen_init(&whole);
		seen_init(&pieces);
		read_in_pieces(open_answer(family, ",\"tools\":" TOOLS, ""), text->str, 10000,
			       &whole);
		read_in_pieces(open_answer(family, ",\"tools\":" TOOLS, ""), text->str,
			       (gsize)g_rand_int_range(rand, 1, 9), &pieces);
		a = calls_of(&whole);
		b = calls_of(&pieces);
		if (strcmp(a, b) || strcmp(whole.text->str, pieces.text->str) ||
		    strcmp(whole.reasoning->str, pieces.reasoning->str))
			g_error("%s: '%s' reads otherwise in pieces: '%s' '%s' '%s', '%s' '%s' "
				"'%s'",
				family, text->str, whole.text->str, whole.reasoning->str, a,
				pieces.text->str, pieces.reasoning->str, b);
		if (whole.names->len == 0 && !strchr(text->str, '<') && !strchr(text->str, '['))
			g_assert_cmpstr(whole.text->str, ==, text->str);
		seen_clear(&whole);
		seen_clear(&pieces);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/answer/reading", test_reading);
	g_test_add_func("/answer/plain", test_plain);
	g_test_add_func("/answer/demand", test_demand);
	g_test_add_func("/answer/refused", test_refused);
	g_test_add_func("/answer/random", test_random);
	return g_test_run();
}
