/* SPDX-License-Identifier: MIT */
/*
 * tools/plugin.c - the commands `weir model` and `weir bench` as a plugin. [main]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/command.h>

#include "model.h"
#include "tool.h"

struct verb {
	const char *name, *summary;
	int (*run)(const struct weir_host *host, int argc, char **argv);
};

static const struct verb model_verbs[] = {
	{ "info", "what a file holds: architecture, sizes, tokenizer, tensors", model_info },
	{ "plan", "the memory that serving it takes, to the byte, and what fits here", model_plan },
	{ "tokenize", "text to token ids, and back", model_tokenize },
	{ "quantize", "the same model in another number format", model_quantize },
	{ "perplexity", "how well it predicts a text; how far it is from another file's model",
	  model_perplexity },
	{ NULL, NULL, NULL },
};

static const struct verb bench_verbs[] = {
	{ "model", "prompts and answers a second, against the machine's limits", bench_model },
	{ NULL, NULL, NULL },
};

static const char model_end[] = "\n`weir model VERB --help` tells more, with examples.\n";
static const char bench_end[] = "\n`weir bench VERB --help` tells more, with examples.\n";

static void list_verbs(FILE *to, const char *command, const struct verb *verbs, const char *end)
{
	fprintf(to, "weir %s VERB FILE [OPTION]...\n\n", command);
	for (; verbs->name; verbs++)
		fprintf(to, "  %-11s %s\n", verbs->name, verbs->summary);
	fputs(end, to);
}

static int run_verb(struct weir_instance *instance, const struct verb *verbs, const char *end,
		    int argc, char **argv)
{
	const struct weir_host *host = instance->data;
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name || !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		list_verbs(name ? stdout : stderr, argv[0], verbs, end);
		return name ? TOOL_DONE : TOOL_USAGE;
	}
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v->run(host, argc - 1, argv + 1);
	fprintf(stderr, "weir %s: there is no verb '%.40s'\n\n", argv[0], name);
	list_verbs(stderr, argv[0], verbs, end);
	return TOOL_USAGE;
}

static int run_model(struct weir_instance *instance, int argc, char **argv)
{
	return run_verb(instance, model_verbs, model_end, argc, argv);
}

static int run_bench(struct weir_instance *instance, int argc, char **argv)
{
	return run_verb(instance, bench_verbs, bench_end, argc, argv);
}

static const void *model_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_command command = {
		.size = sizeof(command),
		.summary = "look at, convert and measure model files",
		.run = run_model,
	};

	return strcmp(id, WEIR_COMMAND) == 0 ? &command : NULL;
}

static const void *bench_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_command command = {
		.size = sizeof(command),
		.summary = "measure how fast a model runs here",
		.run = run_bench,
	};

	return strcmp(id, WEIR_COMMAND) == 0 ? &command : NULL;
}

static void destroy(struct weir_instance *instance)
{
	free(instance);
}

static weir_status create(const struct weir_host *host,
			  const void *(*get_ext)(struct weir_instance *, const char *),
			  struct weir_instance **ret, struct weir_error *err)
{
	struct weir_instance *instance = calloc(1, sizeof(*instance));

	if (!instance) {
		err->code = WEIR_E_EXHAUSTED;
		snprintf(err->text, sizeof(err->text), "no memory for a command");
		return WEIR_E_EXHAUSTED;
	}
	*instance = (struct weir_instance){ .size = sizeof(*instance),
					    .data = (void *)host,
					    .destroy = destroy,
					    .get_ext = get_ext };
	*ret = instance;
	return WEIR_OK;
}

static weir_status create_model(const struct weir_host *host, const struct weir_kv *conf,
				size_t n_conf, struct weir_instance **ret, struct weir_error *err)
{
	return create(host, model_ext, ret, err);
}

static weir_status create_bench(const struct weir_host *host, const struct weir_kv *conf,
				size_t n_conf, struct weir_instance **ret, struct weir_error *err)
{
	return create(host, bench_ext, ret, err);
}

static const struct weir_component model_component = {
	.size = sizeof(model_component),
	.role = WEIR_ROLE_COMMAND,
	.id = "model",
	.title = "look at, convert and measure model files",
	.help = "weir model info, plan, tokenize, quantize or perplexity FILE: what a GGUF file "
		"holds, what memory it takes, its tokens, the same model in other number formats, "
		"and what those cost in quality.",
	.create = create_model,
};

static const struct weir_component bench_component = {
	.size = sizeof(bench_component),
	.role = WEIR_ROLE_COMMAND,
	.id = "bench",
	.title = "measure how fast a model runs here",
	.help = "weir bench model FILE: prompts and answers a second on this machine's processor, "
		"against what its memory and its arithmetic allow, measured in the same run.",
	.create = create_bench,
};

static const struct weir_component *const components[] = { &model_component, &bench_component,
							   NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "model",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
