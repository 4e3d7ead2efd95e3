/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - the echo backend's place in the plugin interface: options, instance, extension.
 */
#include "echo.h"

#include <stdlib.h>
#include <string.h>

#include <weir/backend.h>

struct echo {
	struct weir_instance base;
	struct echo_player *player;
};

static const struct weir_option option_rate = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_FLOAT,
	.key = "rate",
	.fallback = "0",
	.help = "Words a second for each stream; 0: as fast as the client reads.",
	.min = 0,
	.max = 1e6,
};

static const struct weir_option option_script = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_PATH,
	.key = "script",
	.help = "File of instructions, one a line: text, words, echo, reasoning, tool, clock, "
		"delay "
		"200ms, "
		"repeat N, finish WHY, error CODE TEXT. Without it the last user message is said.",
};

static const struct weir_option *const options[] = { &option_rate, &option_script, NULL };

static weir_status start(struct weir_instance *instance, struct weir_error *err)
{
	struct echo *echo = instance->data;

	return echo_player_start(echo->player, err);
}

static void stop(struct weir_instance *instance)
{
	struct echo *echo = instance->data;

	echo_player_stop(echo->player);
}

static void destroy(struct weir_instance *instance)
{
	struct echo *echo = instance->data;

	echo_player_free(echo->player);
	free(echo);
}

static weir_status submit(struct weir_instance *instance, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct echo *echo = instance->data;

	return echo_player_submit(echo->player, request, out, err);
}

static void wake(struct weir_instance *instance, weir_stream *out)
{
	struct echo *echo = instance->data;

	echo_player_wake(echo->player, out);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_stream calls = {
		.size = sizeof(calls),
		.submit = submit,
		.wake = wake,
	};

	return strcmp(id, WEIR_BACKEND_STREAM) == 0 ? &calls : NULL;
}

static int32_t probe(const struct weir_host *host, struct weir_error *why)
{
	echo_fail(why, WEIR_OK, "runs everywhere; repeats what it is told");
	return 10;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct echo_script script = { NULL, 0 };
	const char *path = NULL;
	struct echo *echo;
	double rate = 0;
	weir_status status;

	for (size_t i = 0; i < n_conf; i++) {
		if (strcmp(conf[i].key, "rate") == 0)
			rate = strtod(conf[i].value, NULL);
		else if (strcmp(conf[i].key, "script") == 0)
			path = conf[i].value;
	}
	status = echo_script_read(path, &script, err);
	if (status < 0)
		return status;
	echo = calloc(1, sizeof(*echo));
	status = echo ? echo_player_new(host, &script, rate, &echo->player, err)
		      : echo_fail(err, WEIR_E_EXHAUSTED, "out of memory");
	if (status < 0) {
		echo_script_clear(&script);
		free(echo);
		return status;
	}
	echo->base = (struct weir_instance){
		.size = sizeof(echo->base),
		.data = echo,
		.start = start,
		.stop = stop,
		.destroy = destroy,
		.get_ext = get_ext,
	};
	*ret = &echo->base;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "echo",
	.title = "Echo",
	.help = "Plays a script instead of a model: for trying a profile, for tests, for load. The "
		"default script repeats the last user message word by word, or the prompt and its "
		"suffix.",
	.options = options,
	.probe = probe,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "echo",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
