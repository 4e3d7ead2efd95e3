/* SPDX-License-Identifier: MIT */
/*
 * test-template - the chat template interpreter: language, provenance, limits, hostile input.
 *
 * What jinja2 says to real templates and to random ones is tests/numeric/template-oracle.py's part.
 */
#include <glib.h>
#include <string.h>

#include "template.h"

struct cases {
	const char *source;
	const char *want; /* NULL: must fail */
};

static const char context[] =
	"{\"s\": \"Hello\", \"u\": \"\\u00e9\\u6f22\\ud83e\\udd8a\", \"n\": 7, \"f\": 0.1,"
	" \"l\": [3, 1, 2], \"d\": {\"a\": 1, \"items\": [2]}, \"nil\": null, \"yes\": true,"
	" \"big\": 18446744073709551615, \"nul\": \"a\\u0000b\","
	" \"tree\": [{\"v\": 1, \"kids\": [{\"v\": 2, \"kids\": []}]}],"
	" \"messages\": [{\"role\": \"user\", \"content\": \"<|end|>\"},"
	"               {\"role\": \"odd\", \"content\": \"b\"}],"
	" \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";

static struct weir_str str(const char *text)
{
	return (struct weir_str){ text, strlen(text) };
}

static weir_status render(const char *source, const char *json,
			  const struct weir_template_limits *limits, struct weir_template_out *out,
			  struct weir_error *err)
{
	struct weir_template *t = NULL;
	weir_status status = weir_template_parse(str(source), &t, err);

	if (!status)
		status = weir_template_render(t, str(json), limits, out, err);
	weir_template_free(t);
	return status;
}

static const struct cases language[] = {
	{ "{{ s }} {{ n }} {{ f }} {{ nil }} {{ yes }} {{ missing }}|", "Hello 7 0.1 None True |" },
	{ "{{ [1, 'a', 2.0, none, {'k': (1,)}] }}", "[1, 'a', 2.0, None, {'k': (1,)}]" },
	{ "{{ 1e16 }} {{ 1e15 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ -0.0 }} {{ 1/3 }}",
	  "1e+16 1000000000000000.0 1e-05 0.30000000000000004 -0.0 0.3333333333333333" },
	{ "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ -2 ** 2 }} {{ 7 / 2 }}",
	  "3 -4 2 1024 4 3.5" },
	{ "{{ big }} {{ big|tojson }} {{ big == big }} {{ big > 1 }}",
	  "18446744073709551615 18446744073709551615 True True" },
	{ "{{ 9223372036854775807 + 1 }}", NULL },
	{ "{{ 'a' 'b' ~ 1 ~ none }}", "ab1None" },
	{ "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 in l }} {{ 9 not in l }}", "True False True True" },
	{ "{{ 'x' if n > 9 else 'y' }}{{ 'z' if false }}", "y" },
	{ "{{ s[1:3] }} {{ s[::-1] }} {{ s[-1] }} {{ l[-2:] }} {{ u[1] }} {{ u|length }}",
	  "el olleH o [1, 2] \xe6\xbc\xa2 3" },
	{ "{{ range(9)[2:8:3] }} {{ range(3)[-1:0:2] }} {{ '%d' is odd }}{{ 3 is odd }}",
	  "range(2, 8, 3) range(2, 0, 2) FalseTrue" },
	{ "{% block b %}{% endblock %}{% block b %}{% endblock %}", NULL },
	{ "{{ l[9] is defined }} {{ d.q is defined }} {{ d['items'] }} {{ d.items()|list }}",
	  "False False [2] [('a', 1), ('items', [2])]" },
	{ "{{ missing.x }}", NULL },
	{ "{{ nil.x.y }}", NULL },
	{ "{{ s + 1 }}", NULL },
	{ "{{ '%s-%05d-%.2f-%x' % ('a', 42, 1.005, 255) }}", "a-00042-1.00-ff" },
	{ "{{ '{}-{x:>4}|{0!r}'.format('a', x=5) }}", NULL },
	{ "{{ '{0}-{x:>4}|{0!r}'.format('a', x=5) }}", "a-   5|'a'" },
	{ "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}",
	  "13,22" },
	{ "{% for x in [] %}{% else %}none{% endfor %}", "none" },
	{ "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}", "a=1;items=[2];" },
	{ "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "32" },
	{ "{% for x in l %}{{ x }}{% break %}{% endfor %}", "3" },
	{ "{% break %}", NULL },
	{ "{% for x in l %}{{ loop.previtem|default('-') }}{{ loop.nextitem|default('-') }}"
	  "{% endfor %}",
	  "-1321-" },
	{ "{% for k in tree recursive %}{{ k.v }}@{{ loop.depth }}({{ loop(k.kids) }}){% endfor %}",
	  "1@1(2@2())" },
	{ "{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "1" },
	{ "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2" },
	{ "{% set ns = namespace(v=0) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}"
	  "{{ ns.v }}",
	  "6" },
	{ "{% set n.v = 1 %}", NULL },
	{ "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21" },
	{ "{% set a, b = [1] %}", NULL },
	{ "{% set x %} a {{ n }} {% endset %}[{{ x }}]{% set y | trim | upper %} q {% endset %}{{ "
	  "y }}",
	  "[ a 7 ]Q" },
	{ "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
	  "{{ m(1) }}|{{ m(1, 3, 4, x=5) }}",
	  "12(){}|13(4,){'x': 5}" },
	{ "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", NULL },
	{ "{% macro m() %}<{{ caller('x') }}>{% endmacro %}{% call(v) m() %}{{ v }}{% endcall %}",
	  "<x>" },
	{ "{% filter upper %}a{{ s }}{% endfilter %}", "AHELLO" },
	{ "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3" },
	{ "{% generation %}x{% endgeneration %}", "x" },
	{ "{% block b %}{{ s }}{% endblock %}", "Hello" },
	{ "{% raw %}{{ x }}{% endraw %}", "{{ x }}" },
	{ "  {% if true %}\n a\n  {% endif %}\nb\n", " a\nb" },
	{ "a  {%- if true -%}  b  {%+ endif +%}\nc", "ab  \nc" },
	{ "a {#- c -#} b {{- 1 -}} c", "ab1c" },
	{ "{{ d|tojson }} {{ {'b': '<é\\n', 'a': []}|tojson(indent=2, sort_keys=true) }}",
	  "{\"a\": 1, \"items\": [2]} {\n  \"a\": [],\n  \"b\": \"<é\\n\"\n}" },
	{ "{{ missing|tojson }}", NULL },
	{ "{{ ('<a>'|safe) + '<b>' }} {{ ('<a>'|tojson|safe) ~ '<b>' }}",
	  "<a>&lt;b&gt; \"<a>\"<b>" },
	{ "{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list }}",
	  "['<|end|>']" },
	{ "{{ 'a<s>b'.split('<s>') }} {{ ' x y '.split() }} {{ 'ab'.replace('', '-') }}",
	  "['a', 'b'] ['x', 'y'] -a-b-" },
	{ "{{ 'STRASSE straße ΑΣ'.lower() }} {{ 'straße ﬁ'.upper() }} {{ \"it's a-b\"|title }}",
	  "strasse straße ας STRASSE FI It's A-B" },
	{ "{{ l|sort }} {{ l|sum }} {{ l|max }} {{ [1, 2, 3]|batch(2)|list }} {{ l|join('+') }}",
	  "[1, 2, 3] 6 3 [[1, 2], [3]] 3+1+2" },
	{ "{{ 2.5|round }} {{ 1.005|round(2) }} {{ '12'|int + 1 }} {{ 'x'|int(5) }}",
	  "2.0 1.0 13 5" },
	{ "{{ d.update({}) }}", NULL },
	{ "{{ ''.__class__ }}", "" },
	{ "{{ ''.__class__.__mro__ }}", NULL },
	{ "{{ x|nosuch }}", NULL },
	{ "{% if false %}{{ x|nosuch }}{% endif %}ok", "ok" },
	{ "{{ strftime_now('%Y-%m-%d %d %B') }}", "2025-07-26 26 July" },
	{ "{% include 'x' %}", NULL },
	{ "{% autoescape false %}{{ '<' }}{% endautoescape %}", "<" },
	{ "{% for x in 5 %}{% endfor %}", NULL },
	{ "{{ nul|length }}{{ nul|tojson }}", "3\"a\\u0000b\"" },
	/* jinja2's scopes are lexical: x is the template's, and not set yet in the loop */
	{ "{% for i in [1] %}[{{ s }}]{% endfor %}{% set s = 2 %}", "[]" },
	/* syntax */
	{ "{{ 1", NULL },
	{ "{% if", NULL },
	{ "{% if x %}", NULL },
	{ "{# x", NULL },
	{ "{% raw %} x", NULL },
	{ "{{ 'x }}", NULL },
	{ "{{ (1] }}", NULL },
	{ "{{ }}", NULL },
	{ "{% nosuch %}", NULL },
	{ "{% endif %}", NULL },
	{ "{{ a.b.c(", NULL },
	{ "{{ '\\ud800' }}", NULL },
	{ "{% set 1 = 2 %}", NULL },
	{ "{% set loop = 1 %}{% for x in l %}{% set loop = 2 %}{% endfor %}", NULL },
};

static void test_language(void)
{
	struct weir_template_limits limits = { .size = sizeof(limits), .now_unix = 1753526096 };

	for (size_t i = 0; i < G_N_ELEMENTS(language); i++) {
		struct weir_template_out out = { 0 };
		struct weir_error err = { 0 };
		weir_status status = render(language[i].source, context, &limits, &out, &err);

		if (!language[i].want) {
			g_assert_cmpint(status, <, 0);
			g_assert_cmpint(status, ==, err.code);
			g_assert_cmpint(status, !=, WEIR_E_INTERNAL);
			g_assert_cmpstr(err.text, !=, "");
			g_assert_true(g_utf8_validate(err.text, -1, NULL));
		} else {
			if (status)
				g_test_message("%s: %s", language[i].source, err.text);
			g_assert_cmpint(status, ==, WEIR_OK);
			g_assert_cmpstr(out.text, ==, language[i].want);
		}
		weir_template_out_clear(&out);
	}
}

static void test_errors(void)
{
	struct weir_template_out out = { 0 };
	struct weir_error err = { 0 };

	g_assert_cmpint(render("ok\n{{ 1 }}\n  {{ s + 1 }}", context, NULL, &out, &err), ==,
			WEIR_E_INVALID);
	g_assert_cmpstr(err.param, ==, "template");
	g_assert_nonnull(strstr(err.text, "line 3, column 8"));
	g_assert_nonnull(strstr(err.text, "can only concatenate str"));
	g_assert_cmpint(
		render("{{ raise_exception('roles must ' ~ s) }}", context, NULL, &out, &err), ==,
		WEIR_E_INVALID);
	g_assert_cmpstr(err.param, ==, "messages");
	g_assert_cmpstr(err.text, ==, "roles must Hello");
	g_assert_cmpint(render("a\n {% if x %}", context, NULL, &out, &err), ==, WEIR_E_INVALID);
	g_assert_nonnull(strstr(err.text, "line 2"));
	g_assert_cmpint(render("{% import 'x' as y %}", context, NULL, &out, &err), ==,
			WEIR_E_UNSUPPORTED);
}

/* The output with every span in guillemets. */
static char *marked(const struct weir_template_out *out)
{
	GString *s = g_string_new(NULL);
	size_t at = 0;

	for (size_t i = 0; i < out->n_spans; i++) {
		g_assert_cmpuint(out->span[i].start, >=, at);
		g_assert_cmpuint(out->span[i].end, >, out->span[i].start);
		g_string_append_len(s, out->text + at, (gssize)(out->span[i].start - at));
		g_string_append(s, "\xc2\xab");
		at = out->span[i].end;
		g_string_append_len(s, out->text + out->span[i].start,
				    (gssize)(at - out->span[i].start));
		g_string_append(s, "\xc2\xbb");
	}
	g_assert_cmpuint(at, <=, out->len);
	g_string_append_len(s, out->text + at, (gssize)(out->len - at));
	return g_string_free(s, FALSE);
}

static void test_provenance(void)
{
	static const struct cases table[] = {
		{ "{{ bos_token }}<|im_start|>{{ messages[0].role }}: {{ messages[0].content "
		  "}}<|e|>",
		  "<s><|im_start|>user: «<|end|>»<|e|>" },
		{ "<|{{ messages[1]['role'] }}|>", "<|«odd»|>" },
		{ "{{ '<|' + messages[0].content[2:5] + '|>' }}", "<|«end»|>" },
		{ "{{ ('<x>' ~ s ~ '</x>')|upper }}", "<X>«HELLO»</X>" },
		{ "{{ ('<x>' ~ s ~ '</x>')[2:6] }}", ">«Hel»" },
		{ "{{ ' <x> '.strip() }}{{ (' ' ~ s ~ ' ').strip() }}", "<x>«Hello»" },
		{ "{{ 'a-b'.replace('-', s) }}|{{ s.replace('l', '<|>') }}",
		  "a«Hello»b|«He»<|><|>«o»" },
		{ "{{ ['<a>', s]|join('<|>') }}|{{ s.split('l') | join('<|>') }}",
		  "<a><|>«Hello»|«He»<|><|>«o»" },
		{ "{{ d|tojson }}|{{ {'k': s}|tojson }}",
		  "«{\"a\": 1, \"items\": [2]}»|{\"k\": \"«Hello»\"}" },
		{ "{{ l }}|{{ [1, s] }}|{{ n }}|{{ n + 1 }}|{{ nil }}",
		  "«[3, 1, 2]»|[1, '«Hello»']|«7»|«8»|«None»" },
		{ "{{ '<%s>' % s }}|{{ '<{}>'.format(s) }}|{{ s|length }}",
		  "<«Hello»>|<«Hello»>|5" },
		{ "{% set x %}<b>{{ s }}{% endset %}{{ x|title }}", "<B>«hello»" },
		{ "{{ s|e ~ '<' ~ ('<' ~ s)|indent }}", "«Hello»<<«Hello»" },
		{ "{{ s|default('x') }}{{ missing|default('x') }}", "«Hello»x" },
		{ "{% for c in s %}{{ c }}-{% endfor %}", "«H»-«e»-«l»-«l»-«o»-" },
		{ "{{ s * 2 }}{{ '<' * 2 }}", "«HelloHello»<<" },
		{ "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
		  "«a»=«1»;«items»=«[2]»;" },
		{ "{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(s) ~ m('t') }}", "[«Hello»][t]" },
		{ "{{ s|urlencode ~ s|truncate(3, true, '', 0) ~ s.center(7, '*') }}",
		  "«HelloHel»*«Hello»*" },
		{ "{{ 'ab'.join(['x', s, 'y']) }}", "xab«Hello»aby" },
		{ "{{ messages }}",
		  "«[{'role': 'user', 'content': '<|end|>'}, {'role': 'odd', 'content': 'b'}]»" },
	};
	static const char *const trusted[] = { "s", NULL };
	struct weir_template_limits limits = { .size = sizeof(limits), .trusted = trusted };
	struct weir_template_out out = { 0 };
	struct weir_error err = { 0 };
	char *text;

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		g_assert_cmpint(render(table[i].source, context, NULL, &out, &err), ==, WEIR_OK);
		text = marked(&out);
		g_assert_cmpstr(text, ==, table[i].want);
		g_free(text);
		weir_template_out_clear(&out);
	}
	/* The caller decides whom to trust. */
	g_assert_cmpint(render("{{ bos_token }}{{ s }}", context, &limits, &out, &err), ==,
			WEIR_OK);
	text = marked(&out);
	g_assert_cmpstr(text, ==, "«<s>»Hello");
	g_free(text);
	weir_template_out_clear(&out);
}

static void test_limits(void)
{
	static const struct {
		const char *source;
		weir_status want;
	} table[] = {
		{ "{{ 'a' * 10**9 }}", WEIR_E_EXHAUSTED },
		{ "{{ 'a' * 10**18 }}", WEIR_E_EXHAUSTED },
		{ "{{ ([0] * 10**12)|length }}", WEIR_E_EXHAUSTED },
		{ "{{ [0] * 10**9 * 10**9 }}", WEIR_E_EXHAUSTED },
		{ "{{ range(10**12) }}", WEIR_E_INVALID },
		{ "{% for i in range(100000) %}{% for k in range(100000) %}{% endfor %}{% endfor "
		  "%}",
		  WEIR_E_EXHAUSTED },
		{ "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", WEIR_E_EXHAUSTED },
		{ "{% for x in tree recursive %}{{ loop(tree) }}{% endfor %}", WEIR_E_EXHAUSTED },
		{ "{% set ns = namespace(x='ab') %}{% for i in range(99) %}"
		  "{% set ns.x = ns.x + ns.x %}{% endfor %}",
		  WEIR_E_EXHAUSTED },
		{ "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}"
		  "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
		  WEIR_E_EXHAUSTED },
		{ "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}"
		  "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == [ns.x] }}{{ ns.x|tojson }}",
		  WEIR_E_EXHAUSTED },
		{ "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}"
		  "{% set ns.x = ns.x|map('abs') %}{% endfor %}{{ ns.x|list }}",
		  WEIR_E_EXHAUSTED },
		{ "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", WEIR_E_EXHAUSTED },
		{ "{{ 'a'.center(10**15) }}", WEIR_E_EXHAUSTED },
		{ "{{ '%*d' % (10**15, 1) }}", WEIR_E_EXHAUSTED },
		{ "{{ '{:9999999999}'.format(1) }}", WEIR_E_INVALID },
		{ "{{ 'a'|indent(10**15) }}", WEIR_E_EXHAUSTED },
		{ "{{ l|tojson(indent=10**15) }}", WEIR_E_EXHAUSTED },
		{ "{{ 2 ** 9999999999 }}", WEIR_E_INVALID },
		{ "{{ 1.5 ** 9999999999 }}", WEIR_E_INVALID },
		{ "{{ l|batch(10**15, 0)|list }}", WEIR_E_EXHAUSTED },
		{ "{{ 0|slice(10**15)|list }}", WEIR_E_INVALID },
		{ "{{ l|slice(10**15)|list }}", WEIR_E_EXHAUSTED },
		{ "{{ l[::-9223372036854775807 - 1] }}", WEIR_OK },
		{ "{{ s[9223372036854775807:] }}{{ s[-9223372036854775807 - 1:] }}", WEIR_OK },
		{ "{{ (-9223372036854775807 - 1) // -1 }}", WEIR_E_INVALID },
		{ "{{ (-9223372036854775807 - 1) % -1 }}", WEIR_OK },
		{ "{{ range(9223372036854775807, -9223372036854775807) }}", WEIR_OK },
		{ "{{ range(9223372036854775800, 9223372036854775807, 5)[5::4611686018427387904] "
		  "}}",
		  WEIR_OK },
		{ "{{ 1e308 * 10 }} {{ (1e308 * 10)|int(3) }} {{ 1e308|round(-400) }}", WEIR_OK },
	};
	struct weir_template_limits small = { .size = sizeof(small),
					      .max_steps = 2000000,
					      .max_output = 1000000,
					      .max_memory = 64 << 20 };
	struct weir_template_out out = { 0 };
	struct weir_error err = { 0 };

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		weir_status status = render(table[i].source, context, &small, &out, &err);

		if (status != table[i].want)
			g_test_message("%s: %d %s", table[i].source, status, err.text);
		g_assert_cmpint(status, ==, table[i].want);
		weir_template_out_clear(&out);
	}
	/* An older caller knows fewer limits. */
	small.size = offsetof(struct weir_template_limits, max_output);
	g_assert_cmpint(render("{{ 'a' * 2000000 }}", context, &small, &out, &err), ==,
			WEIR_E_EXHAUSTED);
	small.max_steps = 10;
	g_assert_cmpint(render("{{ l|join }}", context, &small, &out, &err), ==, WEIR_E_EXHAUSTED);
}

static char *repeat(const char *head, const char *middle, int n, const char *tail)
{
	GString *s = g_string_new(head);

	while (n--)
		g_string_append(s, middle);
	return g_string_append(s, tail), g_string_free(s, FALSE);
}

static void test_deep_sources(void)
{
	static const struct {
		const char *head, *middle, *tail;
		int n;
	} table[] = {
		{ "{{ ", "(", "1 }}", 100000 },          { "{{ ", "[", "1 }}", 100000 },
		{ "{{ ", "-", "1 }}", 100000 },          { "{{ ", "not ", "1 }}", 100000 },
		{ "{{ a", ".b", " }}", 100000 },         { "{{ a", "|abs", " }}", 100000 },
		{ "{{ a", " + 1", " }}", 100000 },       { "{{ a", "()", " }}", 100000 },
		{ "", "{% if 1 %}", "", 50000 },         { "", "{% for x in y %}", "", 50000 },
		{ "{{ a", " if a", " }}", 100000 },      { "{{ a", " if a else a", " }}", 50000 },
		{ "", "{% macro m() %}", "", 50000 },    { "{{ ", "{1:", "", 100000 },
		{ "{% set ", "(", "x = 1 %}", 100000 },  { "{{ a", " is b", " }}", 100000 },
		{ "{{ a", " and a or a", " }}", 50000 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
		g_autofree char *source =
			repeat(table[i].head, table[i].middle, table[i].n, table[i].tail);
		struct weir_template_out out = { 0 };
		struct weir_error err = { 0 };

		g_assert_cmpint(render(source, context, NULL, &out, &err), <, 0);
	}
}

static void test_bad_input(void)
{
	static const char *const json[] = {
		"",
		"[]",
		"{",
		"{\"a\"",
		"{\"a\":}",
		"{\"a\": 1,}",
		"{\"a\": 01}",
		"{\"a\": \"\\ud800\"}",
		"{\"a\": \"\\x\"}",
		"{\"a\": \"\n\"}",
		"{} {}",
		"{\"a\": nul}",
		"{\"a\": \"\xff\"}",
		"{\"a\": 1.}",
		"{\"a\": -}",
		"{\"a\": [1 2]}",
		"{a: 1}",
		"null",
	};
	g_autofree char *deep = repeat("{\"a\": ", "[", 100000, "");
	struct weir_template *t = NULL;
	struct weir_template_out out = { 0 };
	struct weir_error err = { 0 };

	for (size_t i = 0; i < G_N_ELEMENTS(json); i++) {
		memset(&err, 0, sizeof(err));
		g_assert_cmpint(render("x", json[i], NULL, &out, &err), ==, WEIR_E_INVALID);
		g_assert_cmpstr(err.param, ==, "context");
	}
	g_assert_cmpint(render("x", deep, NULL, &out, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_template_parse(str("a\xff"), &t, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_template_parse((struct weir_str){ "a\0{{ 1\0 }}", 11 }, &t, &err), ==,
			WEIR_E_INVALID);
	g_assert_null(t);
	weir_template_free(NULL);
	weir_template_out_clear(NULL);
	g_assert_cmpint(weir_template_parse((struct weir_str){ "a\0b", 3 }, &t, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_template_render(t, str("{}"), NULL, &out, &err), ==, WEIR_OK);
	g_assert_cmpmem(out.text, out.len, "a\0b", 3);
	weir_template_out_clear(&out);
	weir_template_free(t);
}

static gpointer render_many(gpointer data)
{
	for (int i = 0; i < 50; i++) {
		struct weir_template_out out = { 0 };
		struct weir_error err = { 0 };

		g_assert_cmpint(weir_template_render(data, str(context), NULL, &out, &err), ==,
				WEIR_OK);
		g_assert_cmpstr(out.text, ==, "é3/HELLO|1,2,3");
		weir_template_out_clear(&out);
	}
	return NULL;
}

static void test_threads(void)
{
	struct weir_template *t = NULL;
	struct weir_error err = { 0 };
	GThread *thread[4];

	g_assert_cmpint(weir_template_parse(str("{% set x = 'éé' %}{{ x[0] }}{{ u|length }}/"
						"{{ s|upper }}|{{ l|sort|join(',') }}"),
					    &t, &err),
			==, WEIR_OK);
	for (size_t i = 0; i < G_N_ELEMENTS(thread); i++)
		thread[i] = g_thread_new("render", render_many, t);
	for (size_t i = 0; i < G_N_ELEMENTS(thread); i++)
		g_thread_join(thread[i]);
	weir_template_free(t);
}

/* Real templates with bytes changed, dropped, doubled: an error or an output, never worse. */
static void test_mutations(void)
{
	const char *data = g_getenv("WEIR_TEST_DATA");
	g_autofree char *folder =
		g_build_filename(data ? data : "../shared/data", "templates", NULL);
	static const char pieces[] = "{}%#-+()[]'\"|.,:~ \n\\x0";
	g_autoptr(GRand) rand = g_rand_new_with_seed(20261120);
	struct weir_template_limits limits = { .size = sizeof(limits),
					       .max_steps = 200000,
					       .max_output = 1 << 20,
					       .max_memory = 32 << 20 };
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;
	int rounds = g_test_thorough() ? 5000 : 60;

	if (!dir) {
		g_test_skip("no folder of real templates: set WEIR_TEST_DATA");
		return;
	}
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_autofree char *text = NULL;
		gsize len;

		g_assert_true(g_file_get_contents(path, &text, &len, NULL));
		for (int i = 0; i < rounds; i++) {
			g_autoptr(GString) s = g_string_new_len(text, (gssize)len);
			struct weir_template_out out = { 0 };
			struct weir_template *t = NULL;
			struct weir_error err = { 0 };
			weir_status status;

			for (int k = g_rand_int_range(rand, 1, 6); k; k--) {
				gssize at = g_rand_int_range(rand, 0, (gint)s->len);
				gssize n = g_rand_int_range(rand, 1, 40);

				n = MIN(n, (gssize)s->len - at);
				switch (g_rand_int_range(rand, 0, 3)) {
				case 0:
					s->str[at] = pieces[g_rand_int_range(rand, 0,
									     sizeof(pieces) - 1)];
					break;
				case 1:
					g_string_erase(s, at, n);
					break;
				default: {
					g_autofree char *part = g_strndup(s->str + at, (gsize)n);

					g_string_insert(s, g_rand_int_range(rand, 0, (gint)s->len),
							part);
				}
				}
				if (!s->len)
					g_string_assign(s, "{");
			}
			status = weir_template_parse((struct weir_str){ s->str, s->len }, &t, &err);
			if (!status)
				status = weir_template_render(t, str(context), &limits, &out, &err);
			g_assert_cmpint(status, !=, WEIR_E_INTERNAL);
			if (status)
				g_assert_cmpstr(err.text, !=, "");
			weir_template_out_clear(&out);
			weir_template_free(t);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/template/language", test_language);
	g_test_add_func("/template/errors", test_errors);
	g_test_add_func("/template/provenance", test_provenance);
	g_test_add_func("/template/limits", test_limits);
	g_test_add_func("/template/deep-sources", test_deep_sources);
	g_test_add_func("/template/bad-input", test_bad_input);
	g_test_add_func("/template/threads", test_threads);
	g_test_add_func("/template/mutations", test_mutations);
	return g_test_run();
}
