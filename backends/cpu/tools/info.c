/* SPDX-License-Identifier: MIT */
/*
 * info.c - `weir model info`: what a GGUF file says of itself. [main]
 *
 * Reads the header only, so that also files of architectures that are not served here, vocabularies
 * without weights and adapters can be looked at.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arch.h"
#include "gguf.h"
#include "model.h"
#include "tool.h"

enum { MAX_TYPES = 64, N_GROUPS = 6 };

static const char help[] = "weir model info FILE [--tensors] [--keys] [--json]\n"
			   "\n"
			   "Prints what a GGUF file holds: architecture, parameters, sizes, "
			   "tokenizer, chat template.\n"
			   "Of a model in several files name the first (...-00001-of-0000N.gguf).\n"
			   "\n"
			   "  --tensors   also each tensor: name, type, shape, bytes\n"
			   "  --keys      also each key of the header with its value\n"
			   "  --json      all of it for programs\n"
			   "\n"
			   "Examples\n"
			   "  weir model info llama-8b.gguf\n"
			   "  weir model info llama-8b.gguf --tensors | grep ffn_down\n"
			   "  weir model info llama-8b.gguf --json | jq .parameters\n"
			   "\n" TOOL_EXIT_HELP;

static const char *const group_names[N_GROUPS] = { "embedding", "attention", "feed-forward",
						   "experts",   "norms",     "output" };

struct summary {
	const struct weir_gguf *g;
	char arch[64];
	uint64_t n_params, n_bytes;
	uint64_t type_bytes[MAX_TYPES], group_bytes[N_GROUPS], n_other;
	uint32_t type_count[MAX_TYPES];
	uint32_t n_files;
};

static bool contains(struct weir_str s, const char *what)
{
	return memmem(s.data, s.len, what, strlen(what)) != NULL;
}

static int group_of(struct weir_str name)
{
	if (contains(name, "norm"))
		return 4;
	if (contains(name, "_exps") || contains(name, "_shexp") || contains(name, "gate_inp"))
		return 3;
	if (contains(name, "embd") || contains(name, "token_types"))
		return 0;
	if (contains(name, "attn"))
		return 1;
	if (contains(name, "ffn"))
		return 2;
	return contains(name, "output") ? 5 : -1;
}

static void sum_up(struct summary *s)
{
	for (size_t i = 0; i < weir_gguf_n_tensors(s->g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(s->g, i);
		int group = group_of(t->name);

		s->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
		s->n_bytes += t->n_bytes;
		if (t->type < MAX_TYPES) {
			s->type_bytes[t->type] += t->n_bytes;
			s->type_count[t->type]++;
		}
		if (group >= 0)
			s->group_bytes[group] += t->n_bytes;
		else
			s->n_other += t->n_bytes;
	}
}

static bool number(const struct summary *s, const char *key, uint64_t *ret)
{
	char full[128];

	snprintf(full, sizeof(full), "%s.%s", s->arch, key);
	return weir_gguf_u64(s->g, full, ret, NULL) == WEIR_OK;
}

static struct weir_str string(const struct summary *s, const char *key)
{
	struct weir_str text = { "", 0 };

	weir_gguf_string(s->g, key, &text, NULL);
	return text;
}

static uint64_t vocabulary_size(const struct summary *s)
{
	struct weir_gguf_array tokens;
	uint64_t n = 0;

	if (weir_gguf_get_array(s->g, "tokenizer.ggml.tokens", WEIR_GGUF_ARRAY_OF_STRINGS, &tokens,
				NULL) == WEIR_OK)
		return tokens.n;
	number(s, "vocab_size", &n);
	return n;
}

/* By the marks that the template writes. */
static const char *find_mark(struct weir_str template, const char *const (*marks)[2], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (contains(template, marks[i][0]))
			return marks[i][1];
	return "none seen";
}

static const char *tools_of(struct weir_str template)
{
	static const char *const marks[][2] = {
		{ "<tool_call>", "<tool_call>...</tool_call>" },
		{ "[TOOL_CALLS]", "[TOOL_CALLS]" },
		{ "<|python_tag|>", "<|python_tag|> or bare JSON" },
		{ "<function=", "<function=name>" },
		{ "<|tool_call|>", "<|tool_call|>" },
		{ "<|channel|>", "channels (harmony)" },
		{ "tools", "tools are listed, calls have no mark" },
	};

	return find_mark(template, marks, sizeof(marks) / sizeof(marks[0]));
}

static const char *reasoning_of(struct weir_str template)
{
	static const char *const marks[][2] = {
		{ "<think>", "<think>...</think>" },
		{ "[THINK]", "[THINK]...[/THINK]" },
		{ "<reasoning>", "<reasoning>...</reasoning>" },
		{ "<|channel|>", "channels (harmony)" },
	};

	return find_mark(template, marks, sizeof(marks) / sizeof(marks[0]));
}

static void print_shape(FILE *to, const struct weir_gguf_tensor *t, const char *between)
{
	for (uint32_t d = 0; d < (t->n_dims ? t->n_dims : 1); d++)
		fprintf(to, "%s%" PRIu64, d ? between : "", t->ne[d]);
}

static void print_value(const struct summary *s, struct weir_str key, uint32_t type, bool json)
{
	char name[256], text[160];
	struct weir_gguf_array array;
	struct weir_str string_value;
	int64_t integer;
	bool boolean;
	float real;

	snprintf(name, sizeof(name), "%.*s", (int)(key.len < 255 ? key.len : 255), key.data);
	if (type == WEIR_GGUF_STRING && !weir_gguf_string(s->g, name, &string_value, NULL)) {
		if (json)
			tool_json_string(stdout, string_value);
		else
			fputs(tool_printable(string_value, text, sizeof(text)), stdout);
	} else if (type == WEIR_GGUF_BOOL && !weir_gguf_boolean(s->g, name, &boolean, NULL)) {
		fputs(boolean ? "true" : "false", stdout);
	} else if ((type == WEIR_GGUF_F32 || type == WEIR_GGUF_F64) &&
		   !weir_gguf_f32(s->g, name, &real, NULL)) {
		printf(json && real - real != 0 ? "null" : "%.9g", (double)real);
	} else if (type == WEIR_GGUF_ARRAY &&
		   !weir_gguf_get_array(s->g, name, WEIR_GGUF_ARRAY_ANY, &array, NULL)) {
		printf(json ? "{\"array_of\": %u, \"length\": %" PRIu64 "}"
			    : "array of type %u, %" PRIu64 " elements",
		       array.type, array.n);
	} else if (!weir_gguf_i64(s->g, name, &integer, NULL)) {
		printf("%" PRId64, integer);
	} else {
		fputs(json ? "null" : "?", stdout);
	}
}

static void print_json(const struct summary *s, const char *path)
{
	static const char *const keys[] = { "context_length",       "embedding_length",
					    "block_count",          "feed_forward_length",
					    "attention.head_count", "attention.head_count_kv",
					    "expert_count",         "expert_used_count" };
	struct weir_str template = string(s, "tokenizer.chat_template");
	const char *between = "";
	uint64_t n;

	printf("{\"file\": ");
	tool_json_text(stdout, path);
	printf(", \"files\": %u, \"architecture\": ", s->n_files);
	tool_json_text(stdout, s->arch);
	printf(", \"name\": ");
	tool_json_string(stdout, string(s, "general.name"));
	printf(", \"served_here\": %s,\n \"parameters\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"tensors\": %zu, \"vocabulary\": %" PRIu64 ",\n \"tokenizer\": ",
	       weir_arch_find((struct weir_str){ s->arch, strlen(s->arch) }) ? "true" : "false",
	       s->n_params, s->n_bytes, weir_gguf_n_tensors(s->g), vocabulary_size(s));
	tool_json_string(stdout, string(s, "tokenizer.ggml.model"));
	printf(", \"pre_tokenizer\": ");
	tool_json_string(stdout, string(s, "tokenizer.ggml.pre"));
	printf(", \"template_bytes\": %zu", template.len);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (number(s, keys[i], &n))
			printf(", \"%s\": %" PRIu64, keys[i], n);
	printf(",\n \"types\": {");
	for (uint32_t i = 0; i < MAX_TYPES; i++)
		if (s->type_count[i]) {
			printf("%s\"%s\": {\"tensors\": %u, \"bytes\": %" PRIu64 "}", between,
			       weir_gguf_type(i)->name, s->type_count[i], s->type_bytes[i]);
			between = ", ";
		}
	printf("},\n \"keys\": {");
	for (size_t i = 0; i < weir_gguf_n_keys(s->g); i++) {
		uint32_t type;
		struct weir_str key = weir_gguf_key_at(s->g, i, &type);

		printf("%s\n  ", i ? "," : "");
		tool_json_string(stdout, key);
		printf(": ");
		print_value(s, key, type, true);
	}
	printf("},\n \"tensor_list\": [");
	for (size_t i = 0; i < weir_gguf_n_tensors(s->g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(s->g, i);

		printf("%s\n  {\"name\": ", i ? "," : "");
		tool_json_string(stdout, t->name);
		printf(", \"type\": \"%s\", \"shape\": [", weir_gguf_type(t->type)->name);
		print_shape(stdout, t, ", ");
		printf("], \"bytes\": %" PRIu64 "}", t->n_bytes);
	}
	printf("]}\n");
}

static void print_model(const struct summary *s)
{
	struct weir_arch const *arch =
		weir_arch_find((struct weir_str){ s->arch, strlen(s->arch) });
	uint64_t context, layers, width, heads, kv_heads, ff, experts, used;
	char text[160];

	if (string(s, "general.name").len)
		printf("  name          %s\n",
		       tool_printable(string(s, "general.name"), text, sizeof(text)));
	printf("  architecture  %s%s\n", s->arch[0] ? s->arch : "not said",
	       arch ? "" : " (not served here)");
	if (s->n_files > 1)
		printf("  files         %u\n", s->n_files);
	printf("  parameters    %s (%" PRIu64 ") in %zu tensors, %s", tool_count(s->n_params).text,
	       s->n_params, weir_gguf_n_tensors(s->g), tool_bytes(s->n_bytes).text);
	if (s->n_params)
		printf(", %.2f bits each", 8.0 * (double)s->n_bytes / (double)s->n_params);
	putchar('\n');
	if (number(s, "context_length", &context))
		printf("  context       %" PRIu64 " tokens\n", context);
	if (number(s, "block_count", &layers) && number(s, "embedding_length", &width))
		printf("  layers        %" PRIu64 ", %" PRIu64 " wide\n", layers, width);
	if (number(s, "attention.head_count", &heads)) {
		printf("  heads         %" PRIu64, heads);
		if (number(s, "attention.head_count_kv", &kv_heads) && kv_heads != heads)
			printf(", %" PRIu64 " for keys and values", kv_heads);
		putchar('\n');
	}
	if (number(s, "feed_forward_length", &ff))
		printf("  feed-forward  %" PRIu64 "\n", ff);
	if (number(s, "expert_count", &experts) && experts) {
		printf("  experts       %" PRIu64, experts);
		if (number(s, "expert_used_count", &used))
			printf(", %" PRIu64 " for a token", used);
		putchar('\n');
	}
}

static void print_text(const struct summary *s, const char *path)
{
	struct weir_str template = string(s, "tokenizer.chat_template");
	struct weir_str model = string(s, "tokenizer.ggml.model");
	struct weir_str pre = string(s, "tokenizer.ggml.pre");
	char text[160], other[160];

	printf("%s\n", path);
	print_model(s);
	if (model.len || vocabulary_size(s))
		printf("  vocabulary    %" PRIu64 " tokens, tokenizer %s%s%s\n", vocabulary_size(s),
		       model.len ? tool_printable(model, text, sizeof(text)) : "not said",
		       pre.len ? ", pre-tokenizer " : "",
		       pre.len ? tool_printable(pre, other, sizeof(other)) : "");
	if (template.len)
		printf("  template      %zu bytes; tools: %s; reasoning: %s\n", template.len,
		       tools_of(template), reasoning_of(template));
	else
		printf("  template      none\n");
	if (s->n_bytes == 0) {
		printf("  tensors       none: a vocabulary only\n");
		return;
	}
	printf("\n  by type       tensors            bytes\n");
	for (uint32_t i = 0; i < MAX_TYPES; i++)
		if (s->type_count[i])
			printf("    %-10s %8u %16" PRIu64 "  %5.1f %%\n", weir_gguf_type(i)->name,
			       s->type_count[i], s->type_bytes[i],
			       100.0 * (double)s->type_bytes[i] / (double)s->n_bytes);
	printf("\n  by part                          bytes\n");
	for (int i = 0; i < N_GROUPS; i++)
		if (s->group_bytes[i])
			printf("    %-19s %16" PRIu64 "  %5.1f %%\n", group_names[i],
			       s->group_bytes[i],
			       100.0 * (double)s->group_bytes[i] / (double)s->n_bytes);
	if (s->n_other)
		printf("    %-19s %16" PRIu64 "\n", "other", s->n_other);
}

static void print_tensors(const struct summary *s)
{
	char text[96];

	printf("\n  tensors\n");
	for (size_t i = 0; i < weir_gguf_n_tensors(s->g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(s->g, i);

		printf("    %-36s %-7s %14" PRIu64 "  ",
		       tool_printable(t->name, text, sizeof(text)), weir_gguf_type(t->type)->name,
		       t->n_bytes);
		print_shape(stdout, t, " x ");
		putchar('\n');
	}
}

static void print_keys(const struct summary *s)
{
	char text[96];

	printf("\n  keys\n");
	for (size_t i = 0; i < weir_gguf_n_keys(s->g); i++) {
		uint32_t type;
		struct weir_str key = weir_gguf_key_at(s->g, i, &type);

		printf("    %-44s ", tool_printable(key, text, sizeof(text)));
		print_value(s, key, type, false);
		putchar('\n');
	}
}

/* general.architecture; "" when the file does not say, or says it in a way that no name can be. */
static void read_arch(const struct weir_gguf *g, char ret[64])
{
	struct weir_str text = { NULL, 0 };

	ret[0] = '\0';
	if (weir_gguf_string(g, "general.architecture", &text, NULL) != WEIR_OK || text.len > 60)
		return;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < 0x21 || text.data[i] > 0x7e)
			return;
	memcpy(ret, text.data, text.len);
	ret[text.len] = '\0';
}

uint32_t model_trained_context(const char *path)
{
	struct summary s = { .n_files = 1 };
	struct weir_gguf *g = NULL;
	uint64_t n = 0;

	if (weir_gguf_open(path, &g, NULL) != WEIR_OK)
		return 0;
	s.g = g;
	read_arch(g, s.arch);
	number(&s, "context_length", &n);
	weir_gguf_close(g);
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

int model_info(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir model info", help };
	bool json = false, tensors = false, keys = false;
	const struct tool_flag flags[] = {
		{ "--json", TOOL_FLAG_BOOL, &json, 0, 0 },
		{ "--tensors", TOOL_FLAG_BOOL, &tensors, 0, 0 },
		{ "--keys", TOOL_FLAG_BOOL, &keys, 0, 0 },
	};
	static const char *const names[] = { "FILE" };
	struct summary s = { .n_files = 1 };
	struct weir_gguf *g = NULL;
	const char *path = NULL;
	struct weir_error err;
	uint64_t n_files;
	int code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names, 1,
			      &path);

	if (code != TOOL_GO_ON)
		return code;
	if (weir_gguf_open(path, &g, &err) != WEIR_OK)
		return tool_fail_error(&tool, &err);
	s.g = g;
	read_arch(g, s.arch);
	if (weir_gguf_u64(g, "split.count", &n_files, NULL) == WEIR_OK && n_files > 0 &&
	    n_files < UINT32_MAX)
		s.n_files = (uint32_t)n_files;
	sum_up(&s);
	if (json) {
		print_json(&s, path);
	} else {
		print_text(&s, path);
		if (tensors)
			print_tensors(&s);
		if (keys)
			print_keys(&s);
	}
	weir_gguf_close(g);
	return tool_finish(&tool, TOOL_DONE);
}
