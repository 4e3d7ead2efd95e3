/* SPDX-License-Identifier: MIT */
/*
 * template-render - renders chat templates for the oracle test, many in one process.
 *
 * Run by tests/numeric/template-oracle.py. One JSON object a line on stdin: {"template": text,
 * "context": text of a JSON object, "now": seconds}. One line a line on stdout: {"text": ...,
 * "spans": [[start, end], ...]} or {"error": text, "code": n}.
 */
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

#include "template.h"

static void put_text(const char *text, size_t len)
{
	putchar('"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void render(JsonObject *job)
{
	const char *source = json_object_get_string_member(job, "template");
	const char *context = json_object_get_string_member(job, "context");
	struct weir_template_limits limits = { .size = sizeof(limits) };
	struct weir_template_out out = { 0 };
	struct weir_template *template = NULL;
	struct weir_error err = { 0 };
	weir_status status;

	limits.now_unix = json_object_get_int_member(job, "now");
	status = weir_template_parse((struct weir_str){ source, strlen(source) }, &template, &err);
	if (!status)
		status = weir_template_render(template,
					      (struct weir_str){ context, strlen(context) },
					      &limits, &out, &err);
	if (status) {
		printf("{\"code\": %d, \"error\": ", status);
		put_text(err.text, strlen(err.text));
	} else {
		printf("{\"text\": ");
		put_text(out.text, out.len);
		printf(", \"spans\": [");
		for (size_t i = 0; i < out.n_spans; i++)
			printf("%s[%zu, %zu]", i ? ", " : "", out.span[i].start, out.span[i].end);
		printf("]");
	}
	printf("}\n");
	weir_template_out_clear(&out);
	weir_template_free(template);
}

int main(void)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		g_autoptr(GError) error = NULL;
		JsonNode *root;

		if (!json_parser_load_from_data(parser, line, -1, &error)) {
			printf("{\"code\": -3, \"error\": \"not a job\"}\n");
			continue;
		}
		root = json_parser_get_root(parser);
		render(json_node_get_object(root));
		fflush(stdout);
	}
	free(line);
	return 0;
}
