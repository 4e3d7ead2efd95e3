/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/plugin.c - the command `weir chat` as a plugin. [main]
 */
#include <string.h>

#include <glib.h>
#include <weir/command.h>

#include "chat.h"

static int run(struct weir_instance *instance, int argc, char **argv)
{
	return chat_main(argc, argv);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_command command = {
		.size = sizeof(command),
		.summary = "talk with a model in the terminal",
		.run = run,
	};
	return strcmp(id, WEIR_COMMAND) == 0 ? &command : NULL;
}

static void destroy(struct weir_instance *instance)
{
	g_free(instance);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct weir_instance *instance = g_new0(struct weir_instance, 1);
	*instance = (struct weir_instance){ .size = sizeof(*instance),
					    .destroy = destroy,
					    .get_ext = get_ext };
	*ret = instance;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_COMMAND,
	.id = "chat",
	.title = "talk with a model in the terminal",
	.help = "A client of OpenAI-compatible servers: streams answers, edits prompts with "
		"history, "
		"starts a server of its own for a profile or a GGUF file.",
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "terminal",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
