/* SPDX-License-Identifier: MIT */
/*
 * test-child.c - the protocol between a server and a backend in a process of its own: both sides'
 * readers and writers against each other, without a loss; whatever a process may write; tales of
 * answers; and another process's series among one's own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "metrics-import.h"
#include "relay.h"
#include "request.h"
#include "text.h"
#include "wire.h"

static const char *const words[] = { "",
				     "x",
				     "naïve 日本 🚀",
				     "\"\\/\b\f\n\r\t\x7f",
				     "\xe2\x80\xa8 \x01",
				     "{\"a\":[1,2]}",
				     " the quick brown fox jumps over the lazy dog" };
static const float odd_floats[] = {
	0, -0.0f, 1, 0.1f, 1e-45f, 3.4028235e38f, -1e-7f, 0.333333343f
};

static const char *any_word(void)
{
	return words[g_test_rand_int_range(0, G_N_ELEMENTS(words))];
}

static float any_float(void)
{
	return g_test_rand_bit() ? (float)g_test_rand_double_range(-100, 100)
				 : odd_floats[g_test_rand_int_range(0, G_N_ELEMENTS(odd_floats))];
}

static uint32_t any_u32(void)
{
	static const uint32_t odd[] = { 0, 1, 20, 0x7fffffff, 0xffffffff };
	return g_test_rand_bit() ? (uint32_t)g_test_rand_int() : odd[g_test_rand_int_range(0, 5)];
}

static uint64_t any_u64(void)
{
	return g_test_rand_bit() ? UINT64_MAX - any_u32() : (uint64_t)any_u32() << 32 | any_u32();
}

/* ---- requests ---- */

static void random_request(struct weir_sampling *s, struct weir_limits *l,
			   struct weir_logit_bias *bias)
{
	*s = (struct weir_sampling){
		.size = sizeof(*s),
		.seed_set = 1,
		.seed = any_u64(),
		.temperature = any_float(),
		.top_p = any_float(),
		.min_p = any_float(),
		.typical_p = any_float(),
		.top_k = any_u32(),
		.repeat_last_n = (int32_t)any_u32(),
		.repetition_penalty = any_float(),
		.presence_penalty = any_float(),
		.frequency_penalty = any_float(),
		.top_logprobs = any_u32() % 21,
		.logprobs = any_u32() % 2,
		.n_logit_bias = any_u32() % 4,
		.logit_bias = bias,
		.prompt_logprobs = any_u32() % 2,
		.prompt_top_logprobs = any_u32() % 21,
	};
	for (int i = 0; i < 3; i++)
		bias[i] = (struct weir_logit_bias){ (int32_t)any_u32(), any_float() };
	*l = (struct weir_limits){
		.size = sizeof(*l),
		.max_tokens = any_u32(),
		.min_tokens = any_u32(),
		.ignore_end = any_u32() % 2,
		.n = 1 + any_u32() % 128,
		.priority = (int32_t)any_u32(),
		.deadline_ns = (int64_t)any_u64(),
		.echo = any_u32() % 2,
		.no_output = any_u32() % 2,
	};
}

static char *submit_line(weir_request *r, const struct tale *tale)
{
	g_autoptr(GString) text = g_string_new(NULL);
	GString *line = g_string_new(NULL);
	wire_put_request(text, &weir_request_extension, r, tale);
	wire_put_submit(line, 77, 5, text);
	g_assert_cmpuint(line->str[line->len - 1], ==, '\n');
	g_assert_true(span_check(line->str, line->len));
	return g_string_free(line, FALSE);
}

static void check_same(const weir_request *r, const struct relay_request *got)
{
	struct weir_sampling s = *weir_request_sampling(r), t = got->sampling;
	g_assert_cmpuint(s.n_logit_bias, ==, t.n_logit_bias);
	if (s.n_logit_bias)
		g_assert_cmpmem(s.logit_bias, s.n_logit_bias * sizeof(*s.logit_bias), t.logit_bias,
				t.n_logit_bias * sizeof(*t.logit_bias));
	s.logit_bias = t.logit_bias = NULL;
	g_assert_cmpmem(&s, sizeof(s), &t, sizeof(t));
	g_assert_cmpmem(weir_request_limits(r), sizeof(struct weir_limits), &got->limits,
			sizeof(got->limits));
	for (size_t i = 0; i < got->n_fields; i++) {
		struct weir_str v = weir_request_field(r, got->fields[i].key);
		g_assert_cmpmem(v.data, v.len, got->fields[i].value, strlen(got->fields[i].value));
	}
	g_assert_cmpuint(got->credit, ==, 5);
}

static void test_requests(void)
{
	for (int round = 0; round < 3000; round++) {
		struct weir_sampling s;
		struct weir_limits l;
		struct weir_logit_bias bias[3];
		struct weir_kv fields[] = { { "kind", "chat" },
					    { "prompt", any_word() },
					    { "header.x-\"odd\"", any_word() },
					    { "messages", any_word() },
					    { "raw", "\xff\xfe not UTF-8 \x80" } };
		struct rpc_request parsed;
		struct rpc_error err;
		struct relay_request got;
		random_request(&s, &l, bias);
		weir_request *r = weir_request_new(fields, G_N_ELEMENTS(fields), &s, &l);
		g_autofree char *line = submit_line(r, NULL);
		g_assert_true(rpc_parse(line, strlen(line), &parsed, &err));
		g_assert_cmpstr(parsed.id, ==, "77");
		g_assert_cmpint(parsed.method, ==, RPC_METHOD_SUBMIT);
		g_assert_true(relay_request_read(parsed.params, &got, &err));
		g_assert_cmpuint(got.n_fields, ==, G_N_ELEMENTS(fields));
		check_same(r, &got);
		relay_request_clear(&got);
		rpc_request_clear(&parsed);
		weir_request_unref(r);
	}
}

/* ---- events and ends ---- */

static struct weir_str str(const char *text)
{
	return (struct weir_str){ text, strlen(text) };
}

static void random_event(struct weir_event *e, struct weir_top_logprob *top)
{
	static const char bytes[] = "\x00\xff\x80 raw \xf0\x9f";
	*e = (struct weir_event){
		.size = sizeof(*e),
		.type = 1 + any_u32() % 8,
		.token = (int32_t)any_u32(),
		.index = any_u32() % 128,
		.logprob = g_test_rand_bit()   ? NAN
			   : g_test_rand_bit() ? -INFINITY
					       : any_float(),
		.n_top = any_u32() % 21,
		.value = (int64_t)any_u64(),
		.seq = any_u64() >> 1,
		.text = str(any_word()),
		.top = top,
	};
	e->raw = any_u32() % 3 == 0  ? e->text
		 : g_test_rand_bit() ? (struct weir_str){ bytes, sizeof(bytes) - 1 }
				     : (struct weir_str){ NULL, 0 };
	if (e->type == WEIR_EVENT_VECTOR)
		e->raw = (struct weir_str){ (const char *)odd_floats, sizeof(odd_floats) };
	for (uint32_t i = 0; i < 20; i++)
		top[i] = (struct weir_top_logprob){ (int32_t)any_u32(), any_float(),
						    str(any_word()) };
}

static void same_float(float a, float b)
{
	g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
}

static void same_text(struct weir_str a, struct weir_str b)
{
	g_assert_cmpmem(a.data, a.len, b.data, b.len);
}

static void test_events(void)
{
	struct wire_scratch scratch;
	wire_scratch_init(&scratch);
	for (int round = 0; round < 5000; round++) {
		struct buf out = { NULL, 0, 0 };
		struct weir_top_logprob top[20];
		struct weir_event e;
		struct wire_message m;
		random_event(&e, top);
		relay_put_event(&out, "9007199254740993", &e);
		g_assert_cmpstr(wire_read(out.data, out.len - 1, &scratch, &m), ==, NULL);
		g_assert_cmpint(m.kind, ==, WIRE_EVENT);
		g_assert_cmpuint(m.id, ==, UINT64_C(9007199254740993));
		g_assert_cmpuint(m.event.type, ==, e.type);
		g_assert_cmpint(m.event.token, ==, e.token);
		g_assert_cmpuint(m.event.index, ==, e.index);
		g_assert_cmpint(m.event.value, ==, e.value);
		g_assert_cmpuint(m.event.seq, ==, e.seq);
		same_text(m.event.text, e.text);
		same_text(m.event.raw, e.raw);
		g_assert_cmpint(isnan(m.event.logprob), ==, isnan(e.logprob));
		if (!isnan(e.logprob))
			same_float(m.event.logprob, e.logprob);
		g_assert_cmpuint(m.event.n_top, ==, e.n_top);
		for (uint32_t i = 0; i < e.n_top; i++) {
			g_assert_cmpint(m.event.top[i].token, ==, top[i].token);
			same_float(m.event.top[i].logprob, top[i].logprob);
			same_text(m.event.top[i].text, top[i].text);
		}
		buf_free(&out);
	}
	wire_scratch_clear(&scratch);
}

static void test_ends(void)
{
	struct wire_scratch scratch;
	wire_scratch_init(&scratch);
	for (int round = 0; round < 3000; round++) {
		struct buf out = { NULL, 0, 0 };
		struct weir_choice_end choices[128];
		struct wire_message m;
		struct weir_end e = {
			.size = sizeof(e),
			.status = -(weir_status)(any_u32() % 80),
			.finish = any_u32() % 5,
			.n_prompt = any_u32(),
			.n_cached = any_u32(),
			.n_output = any_u32(),
			.retry_after_ms = any_u32(),
			.n_choices = any_u32() % 129,
			.choices = choices,
			.choice_size = sizeof(choices[0]),
			.stop = any_u32(),
			.n_reasoning = any_u32(),
			.text = str(any_word()),
			.param = str(any_word()),
		};
		for (int i = 0; i < 128; i++)
			choices[i] = (struct weir_choice_end){ any_u32() % 5, any_u32(), any_u32(),
							       any_u32() };
		relay_put_end(&out, "1", &e);
		g_assert_cmpstr(wire_read(out.data, out.len - 1, &scratch, &m), ==, NULL);
		g_assert_cmpint(m.kind, ==, WIRE_END);
		g_assert_cmpint(m.end.status, ==, e.status);
		g_assert_cmpuint(m.end.n_choices, ==, e.n_choices);
		for (uint32_t i = 0; i < e.n_choices; i++) {
			struct weir_choice_end a = weir_end_choice(&e, i);
			struct weir_choice_end b = weir_end_choice(&m.end, i);
			g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
		}
		same_text(m.end.text, e.text);
		same_text(m.end.param, e.param);
		m.end.text = e.text;
		m.end.param = e.param;
		m.end.choices = e.choices;
		m.end.choice_size = e.choice_size;
		g_assert_cmpmem(&m.end, sizeof(e), &e, sizeof(e));
		buf_free(&out);
	}
	wire_scratch_clear(&scratch);
}

/* ---- what is wrong ---- */

static void test_refusals(void)
{
	static const char *const lines[] = {
		"",
		"nonsense",
		"[]",
		"7",
		"{}",
		"{\"id\":1}",
		"{\"id\":1,\"result\":7}",
		"{\"id\":1,\"result\":{}}",
		"{\"id\":0,\"result\":{\"status\":0}}",
		"{\"id\":1,\"result\":{\"status\":1}}",
		"{\"id\":1,\"result\":{\"status\":-256}}",
		"{\"id\":1,\"result\":{\"status\":0,\"finish\":5}}",
		"{\"id\":1,\"result\":{\"status\":0,\"n_output\":4294967296}}",
		"{\"id\":1,\"result\":{\"status\":0,\"choices\":[[1,2,3]]}}",
		"{\"id\":1,\"result\":{\"status\":0,\"choices\":[7]}}",
		"{\"id\":\"\",\"result\":{}}",
		"{\"id\":\"a name that is far too long\",\"result\":{}}",
		"{\"method\":\"event\"}",
		"{\"method\":\"other\",\"params\":{}}",
		"{\"method\":\"event\",\"params\":{}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"tokens\"}}",
		"{\"method\":\"event\",\"params\":{\"id\":-1,\"type\":\"token\"}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"token\",\"index\":128}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"token\",\"token\":1.5}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"token\",\"raw\":\"?\"}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"token\",\"raw\":\"a=bc\"}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"token\",\"top\":[[1,2]]}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"vector\",\"raw\":\"AAA=\"}}",
		"{\"method\":\"event\",\"params\":{\"id\":1,\"type\":\"text\",\"text\":\"\xff\"}}",
		"{\"id\":1,\"error\":{}}",
		"{\"id\":1,\"error\":7}",
	};
	struct wire_scratch scratch;
	struct wire_message m;
	g_autoptr(GString) deep = g_string_new(NULL);
	wire_scratch_init(&scratch);
	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
		if (!wire_read(lines[i], strlen(lines[i]), &scratch, &m))
			g_error("taken: %s", lines[i]);
	for (int i = 0; i < 100000; i++)
		g_string_append_c(deep, '[');
	g_assert_nonnull(wire_read(deep->str, deep->len, &scratch, &m));
	wire_scratch_clear(&scratch);
}

static void test_json(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "null", true },
		{ " [ ] ", true },
		{ "{ }", true },
		{ "[1,2]", true },
		{ "[1,]", false },
		{ "[,1]", false },
		{ "{\"a\":1,}", false },
		{ "{\"a\" : 1 }", true },
		{ "{a:1}", false },
		{ "{\"a\"}", false },
		{ "\"\\u12\"", false },
		{ "\"\\ud83d\\ude00\"", true },
		{ "\"\\x\"", false },
		{ "\"\n\"", false },
		{ "01", false },
		{ "-", false },
		{ "-0.5e+3", true },
		{ "1.", false },
		{ "1e", false },
		{ "tru", false },
		{ "[1]]", false },
		{ "[[1]", false },
		{ "1 2", false },
		{ "", false },
		{ "[{\"a\":[{}]}]", true },
		{ "]", false },
		{ "[}", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (span_check(cases[i].text, strlen(cases[i].text)) != cases[i].good)
			g_error("%s", cases[i].text);
}

static void mutate(GString *text)
{
	static const char bytes[] = "\"\\{}[]:,0-9.eE+tfnu \t\xff\xc3\xed\x80\x01";
	for (int edits = g_test_rand_int_range(0, 4); edits > 0 && text->len; edits--)
		text->str[g_test_rand_int_range(0, (gint32)text->len)] =
			bytes[g_test_rand_int_range(0, (gint32)sizeof(bytes) - 1)];
	if (g_test_rand_int_range(0, 20) == 0)
		g_string_truncate(text, text->len / 2);
}

/* What is taken is in range whatever the line is made of; a sanitizer watches. */
static void test_mutations(void)
{
	struct wire_scratch scratch;
	unsigned n_taken = 0, n_refused = 0;
	wire_scratch_init(&scratch);
	for (int round = 0; round < 40000; round++) {
		struct buf out = { NULL, 0, 0 };
		struct weir_top_logprob top[20];
		struct weir_event e;
		const struct weir_end end = { .size = sizeof(end), .text = str(any_word()) };
		struct wire_message m;
		random_event(&e, top);
		e.n_top %= 3;
		if (round % 4)
			relay_put_event(&out, "12", &e);
		else
			relay_put_end(&out, "12", &end);
		g_autoptr(GString) text = g_string_new_len(out.data, (gssize)out.len - 1);
		buf_free(&out);
		mutate(text);
		/* A block of the very size, so that a read behind it is seen. */
		g_autofree char *exact = g_memdup2(text->str, text->len);
		if (wire_read(exact, text->len, &scratch, &m)) {
			n_refused++;
			continue;
		}
		n_taken++;
		if (m.kind == WIRE_EVENT) {
			g_assert_cmpuint(m.event.type, >=, WEIR_EVENT_STARTED);
			g_assert_cmpuint(m.event.type, <=, WEIR_EVENT_PROMPT);
			g_assert_cmpuint(m.event.index, <, WIRE_MAX_CHOICES);
			g_assert_true(weir_text_valid(m.event.text));
		}
	}
	g_assert_cmpuint(n_taken, >, 2000);
	g_assert_cmpuint(n_refused, >, 2000);
	wire_scratch_clear(&scratch);
}

static void test_submit_mutations(void)
{
	struct weir_kv fields[] = { { "kind", "chat" },
				    { "prompt", "a \"b\"" },
				    { "raw", "\xff" } };
	unsigned n_taken = 0, n_refused = 0;
	for (int round = 0; round < 15000; round++) {
		struct weir_sampling s;
		struct weir_limits l;
		struct weir_logit_bias bias[3];
		struct rpc_request parsed;
		struct rpc_error err;
		struct relay_request got = { .n_fields = 0 };
		random_request(&s, &l, bias);
		weir_request *r = weir_request_new(fields, G_N_ELEMENTS(fields), &s, &l);
		g_autofree char *line = submit_line(r, NULL);
		g_autoptr(GString) text = g_string_new(line);
		mutate(text);
		bool good = rpc_parse(text->str, text->len, &parsed, &err) &&
			    parsed.method == RPC_METHOD_SUBMIT;
		if (good) {
			good = relay_request_read(parsed.params, &got, &err);
			relay_request_clear(&got);
		}
		n_taken += good;
		n_refused += !good;
		rpc_request_clear(&parsed);
		weir_request_unref(r);
	}
	g_assert_cmpuint(n_taken, >, 1000);
	g_assert_cmpuint(n_refused, >, 1000);
}

/* ---- tales ---- */

static struct weir_event event(uint32_t type, uint32_t index, int32_t token, int64_t value)
{
	return (struct weir_event){ .size = sizeof(struct weir_event),
				    .type = type,
				    .index = index,
				    .token = token,
				    .value = value };
}

static void test_tales(void)
{
	const struct weir_event told[] = {
		event(WEIR_EVENT_STARTED, 0, -1, 3),  event(WEIR_EVENT_PROMPT, 0, 5, 0),
		event(WEIR_EVENT_TOKEN, 0, 7, 0),     event(WEIR_EVENT_TOKEN, 1, 8, 0),
		event(WEIR_EVENT_REASONING, 0, 9, 0), event(WEIR_EVENT_TEXT, 0, -1, 0),
		event(WEIR_EVENT_TOOL, 1, -1, 0),
	};
	struct tale t, back;
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GString) again = g_string_new(NULL);
	tale_init(&t, 2, UINT64_MAX);
	g_assert_true(tale_is_new(&t));
	for (size_t i = 0; i < G_N_ELEMENTS(told); i++)
		tale_add(&t, &told[i]);
	g_assert_false(tale_is_new(&t));
	tale_put(&t, text);
	g_assert_cmpstr(
		text->str, ==,
		"{\"seed\":\"18446744073709551615\",\"started\":true,\"prompt_events\":1,"
		"\"choices\":[{\"tokens\":[7,9],\"events\":3},{\"tokens\":[8],\"events\":2}]}");
	g_assert_true(tale_read(&back, 2, text->str, text->len));
	tale_put(&back, again);
	g_assert_cmpstr(again->str, ==, text->str);
	tale_clear(&back);
	g_assert_false(tale_read(&back, 3, text->str, text->len));
	for (int round = 0; round < 5000; round++) {
		g_autoptr(GString) odd = g_string_new(text->str);
		mutate(odd);
		if (tale_read(&back, 2, odd->str, odd->len))
			tale_clear(&back);
	}
	tale_clear(&t);
	/* What a level-A process would tell twice. */
	const struct weir_event vector = event(WEIR_EVENT_VECTOR, 0, -1, 4);
	const struct weir_event other = event(WEIR_EVENT_VECTOR, 0, -1, 5);
	tale_init(&t, 1, 1);
	tale_add(&t, &vector);
	g_assert_true(tale_has(&t, &vector));
	g_assert_false(tale_has(&t, &other));
	tale_clear(&t);
}

/* ---- series ---- */

static double value_of(const struct weir_metric_set *set, const char *sample)
{
	char *text = weir_metric_set_prometheus(set);
	const char *at = strstr(text, sample);
	double v = at ? g_ascii_strtod(at + strlen(sample), NULL) : NAN;
	free(text);
	return v;
}

static void take(struct weir_metric_import *import, uint64_t life,
		 const struct weir_metric_set *other)
{
	char *text = weir_metric_set_prometheus(other);
	weir_metric_import_take(import, life, text, "our \"model\"");
	free(text);
}

static void test_series(void)
{
	static const double bounds[] = { 0.1, 1, 2.5 };
	struct weir_metric_set *ours = weir_metric_set_new(), *theirs = weir_metric_set_new();
	struct weir_metric_import *import = weir_metric_import_new(ours);
	const char *labels = "model_name=\"main\",engine=\"0\"";
	weir_metric *tokens = weir_metric_counter(theirs, "vllm:tokens", labels, "help");
	weir_metric *running = weir_metric_gauge(theirs, "queue_depth", "", "help");
	weir_metric *ttft = weir_metric_histogram(theirs, "ttft", labels, "help", bounds, 3);
	weir_metric_add(weir_metric_gauge(ours, "queue_depth", "", "help"), 10);
	weir_metric_add(weir_metric_gauge(theirs, "line_connections", "", "help"), 1);
	weir_metric_add(tokens, 5);
	weir_metric_add(running, 2);
	weir_metric_observe(ttft, 0.05);
	weir_metric_observe(ttft, 2);
	weir_metric_observe(ttft, 99);
	take(import, 1, theirs);
	take(import, 1, theirs);
	const char *name = "vllm:tokens_total{model_name=\"our \\\"model\\\"\",engine=\"0\"} ";
	g_assert_cmpfloat(value_of(ours, name), ==, 5);
	g_assert_cmpfloat(value_of(ours, "\nqueue_depth "), ==, 12);
	g_assert_true(isnan(value_of(ours, "\nline_connections ")));
	const char *sum = "ttft_sum{model_name=\"our \\\"model\\\"\",engine=\"0\"} ";
	const char *bucket = "engine=\"0\",le=\"2.5\"} ";
	g_assert_cmpfloat(value_of(ours, sum), ==, 101.05);
	g_assert_cmpfloat(value_of(ours, bucket), ==, 2);
	weir_metric_add(tokens, 1);
	weir_metric_observe(ttft, 2);
	take(import, 1, theirs);
	g_assert_cmpfloat(value_of(ours, name), ==, 6);
	g_assert_cmpfloat(value_of(ours, bucket), ==, 3);
	take(import, 2, theirs); /* another process that has done as much */
	g_assert_cmpfloat(value_of(ours, name), ==, 12);
	g_assert_cmpfloat(value_of(ours, "\nqueue_depth "), ==, 12);
	weir_metric_import_take(import, 3, "", NULL);
	g_assert_cmpfloat(value_of(ours, "\nqueue_depth "), ==, 10);
	weir_metric_import_take(import, 3, "# TYPE x counter\nx{ 1\nx} 1\nx\n\n# TYPE\nle=\"",
				NULL);
	weir_metric_import_free(import);
	weir_metric_set_free(theirs);
	weir_metric_set_free(ours);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/child/requests", test_requests);
	g_test_add_func("/child/events", test_events);
	g_test_add_func("/child/ends", test_ends);
	g_test_add_func("/child/refusals", test_refusals);
	g_test_add_func("/child/json", test_json);
	g_test_add_func("/child/mutations", test_mutations);
	g_test_add_func("/child/submit-mutations", test_submit_mutations);
	g_test_add_func("/child/tales", test_tales);
	g_test_add_func("/child/series", test_series);
	return g_test_run();
}
