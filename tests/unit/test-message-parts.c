/*
 * test-message-parts.c - contents in parts become strings, and nothing else changes.
 */
#include <glib.h>
#include <string.h>

#include "message-parts.h"

static void test_join(void)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{ "[]", "[]" },
		{ "[ {\"role\" : \"user\", \"content\": \"a\"} ]",
		  "[ {\"role\" : \"user\", \"content\": \"a\"} ]" },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]",
		  "[{\"role\":\"user\",\"content\":\"a\"}]" },
		{ "[{\"role\":\"user\",\"content\" : "
		  "[{\"type\":\"text\",\"text\":\"a\\n\\u001f\\\"\"},"
		  "{\"text\":\"b\",\"type\":\"text\"}],\"name\":\"n\"},{\"role\":\"tool\","
		  "\"content\":\"c\"}]",
		  "[{\"role\":\"user\",\"content\":\"a\\u000a\\u001f\\\"\\u000ab\",\"name\":\"n\"},"
		  "{"
		  "\"role\":"
		  "\"tool\",\"content\":\"c\"}]" },
		{ "[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}],\"n\":[1,"
		  "-2.5,"
		  "true,null,{}]}]",
		  "[{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}],\"n\":[1,"
		  "-2.5,"
		  "true,null,{}]}]" },
		{ "[{\"content\":[]}]", "[{\"content\":\"\"}]" },
		{ "[{\"content\":[],\"n\":[1e21,0.1,1.0,1e-7]}]",
		  "[{\"content\":\"\",\"n\":[1e+21,0.1,1.0,1e-07]}]" },
		{ "[{\"content\":[}]", NULL },
		{ "{\"content\":[]}", NULL },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		bool ok = weir_messages_join((struct weir_str){ cases[i].in, strlen(cases[i].in) },
					     out);

		g_assert_cmpint(ok, ==, cases[i].out != NULL);
		g_assert_cmpstr(out->str, ==, cases[i].out ? cases[i].out : "");
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/message-parts/join", test_join);
	return g_test_run();
}
