/*
 * core/serve.c - `weir serve`: a profile becomes a running server.
 *
 * [main]. Everything that can be known to be wrong is told before anything is created.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "metrics.h"
#include "profile.h"
#include "registry.h"
#include "profile-replicas.h"
#include "server.h"
#include "signals.h"
#include "trace.h"

struct serve {
	GPtrArray *sets, *folders; /* char *, NULL-terminated after parsing */
	GPtrArray *own;            /* char *, those of sets that nobody wrote */
	bool check_only;
	char *path;
	struct weir_ini *ini;
	struct weir_problems *problems;
	struct weir_registry *registry;
	struct weir_core core;
};

/* Ten thousand streams are ten thousand descriptors; the usual soft limit is 1024. */
static void raise_descriptor_limit(struct weir_logger *log)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, 1u << 20);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		weir_logf(log, WEIR_LOG_DEBUG, "server", "the descriptor limit stays as it is");
}

static int refuse_profile(struct serve *serve)
{
	g_autofree char *text = weir_problems_text(serve->problems);
	size_t n = weir_problems_count(serve->problems);
	fprintf(stderr, "%sweir serve: %s: %zu problem%s; nothing was started.\n", text,
		serve->path, n, n == 1 ? "" : "s");
	return WEIR_EXIT_PROFILE;
}

static void load_plugins(struct serve *serve, const struct weir_settings *settings)
{
	g_autoptr(GPtrArray) folders = g_ptr_array_new();
	for (unsigned i = 0; i < serve->folders->len; i++)
		g_ptr_array_add(folders, g_ptr_array_index(serve->folders, i));
	for (size_t i = 0; settings->plugin_path[i]; i++)
		g_ptr_array_add(folders, settings->plugin_path[i]);
	serve->registry = weir_commands_registry(folders);
	const struct weir_refusal *refusal;
	for (size_t i = 0; (refusal = weir_registry_refusal(serve->registry, i)); i++)
		weir_logf(serve->core.log, WEIR_LOG_WARNING, "registry", "%s: %s", refusal->path,
			  refusal->reason);
}

static void print_name(void *data, const char *name, const GPtrArray *sections)
{
	printf("  %s ->", name);
	for (unsigned i = 0; i < sections->len; i++)
		printf("%s %s", i ? "," : "", (const char *)sections->pdata[i]);
	printf("%s\n", sections->len > 1 ? " (replicas)" : "");
}

static int print_plan(const struct weir_profile *profile)
{
	const GPtrArray *groups[] = { profile->frontends, profile->middleware, profile->backends };
	printf("%s can be used:\n", profile->path);
	for (size_t g = 0; g < G_N_ELEMENTS(groups); g++) {
		for (unsigned i = 0; i < groups[g]->len; i++) {
			const struct weir_profile_part *part = g_ptr_array_index(groups[g], i);
			printf("  [%s] %s%s\n", part->section,
			       part->inner ? part->inner->id : part->component->id,
			       part->inner ? ", in a process of its own" : "");
		}
	}
	if (profile->backends->len > 0)
		printf("models:\n");
	weir_replicas_each(profile->backends, print_name, NULL);
	return WEIR_EXIT_OK;
}

static int run_server(struct serve *serve, struct weir_profile *profile,
		      struct weir_signals *signals)
{
	const struct weir_server_options options = {
		.registry = serve->registry,
		.sets = (const char *const *)serve->sets->pdata,
	};
	struct weir_server *server = NULL;
	struct weir_error err;
	weir_status status = weir_server_new(&serve->core, profile, &options, &server, &err);
	if (status == WEIR_OK) {
		weir_signals_connect(signals, server);
		status = weir_server_start(server, &err);
	}
	if (status == WEIR_OK)
		weir_server_run(server);
	else
		weir_logf(serve->core.log, WEIR_LOG_ERROR, "server", "%s", err.text);
	weir_signals_connect(signals, NULL);
	weir_server_free(server);
	if (status == WEIR_OK)
		weir_logf(serve->core.log, WEIR_LOG_INFO, "server", "stopped");
	return status == WEIR_OK ? WEIR_EXIT_OK : WEIR_EXIT_FAILED;
}

static int use_profile(struct serve *serve, struct weir_signals *signals)
{
	struct weir_settings settings = { 0 };
	serve->ini = weir_profile_read(serve->path, (const char *const *)serve->sets->pdata,
				       serve->problems);
	if (!serve->ini)
		return refuse_profile(serve);
	/* Twice, because plugins are found with the help of [server]; told once. */
	struct weir_problems *early = weir_problems_new();
	weir_profile_settings(serve->ini, serve->path, &settings, NULL, early);
	weir_problems_free(early);
	const char *levels = g_getenv("WEIR_LOG");
	serve->core.log = weir_logger_new(levels ? levels : settings.log_level, STDERR_FILENO,
					  settings.log_json);
	serve->core.metrics = weir_metric_set_new();
	serve->core.trace = weir_trace_new();
	load_plugins(serve, &settings);
	weir_settings_clear(&settings);
	struct weir_profile *profile = weir_profile_check(serve->ini, serve->path, serve->registry,
							  &serve->core, serve->problems);
	if (!profile)
		return refuse_profile(serve);
	for (unsigned i = 0; i < profile->notes->len; i++)
		weir_logf(serve->core.log, WEIR_LOG_INFO, "profile", "%s",
			  (const char *)g_ptr_array_index(profile->notes, i));
	if (serve->check_only) {
		int code = print_plan(profile);
		weir_profile_free(profile);
		return code;
	}
	raise_descriptor_limit(serve->core.log);
	weir_logf(serve->core.log, WEIR_LOG_INFO, "server", "weir %s, profile %s, pid %d",
		  WEIR_VERSION, serve->path, (int)getpid());
	return run_server(serve, profile, signals);
}

/* SECTION.KEY=VALUE that --set may override. */
static void set_early(struct serve *serve, char *text)
{
	g_ptr_array_add(serve->own, text);
	g_ptr_array_insert(serve->sets, 0, text);
}

/* `weir serve llama.gguf`: the file in the place of the profile's model, under its own name. */
static void use_model(struct serve *serve, const char *path)
{
	g_autofree char *name = g_path_get_basename(path);
	name[strlen(name) - strlen(".gguf")] = '\0';
	g_strcanon(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');
	g_autoptr(GRegex) parts = g_regex_new("-\\d{5}-of-\\d{5}$", 0, 0, NULL);
	g_autofree char *whole = g_regex_replace_literal(parts, name, -1, 0, "", 0, NULL);
	set_early(serve, g_strconcat("backend.main.model=", path, NULL));
	set_early(serve,
		  g_strconcat("backend.main.serves=", *whole ? whole : "model", ",default", NULL));
}

/* [PROFILE] [FILE.gguf], in either order. */
static bool take_names(struct serve *serve, const GPtrArray *names, const char **ret_profile)
{
	const char *found[2] = { NULL, NULL }; /* profile, model */
	for (unsigned i = 0; i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i);
		const char **place = &found[g_str_has_suffix(name, ".gguf")];
		if (*place) {
			fprintf(stderr,
				"weir serve: %.150s is one argument too many: %.150s is the %s.\n"
				"Try `weir help serve`.\n",
				name, *place, place == found ? "profile" : "model");
			return false;
		}
		*place = name;
	}
	if (found[1])
		use_model(serve, found[1]);
	*ret_profile = found[0] ? found[0] : "default";
	return true;
}

#define HINT_LISTEN "--set frontend.http.listen=127.0.0.1:8000"

static int serve_main(int argc, char **argv)
{
	struct serve serve = { .sets = g_ptr_array_new(),
			       .folders = g_ptr_array_new(),
			       .own = g_ptr_array_new_with_free_func(g_free) };
	g_autoptr(GPtrArray) rest = g_ptr_array_new();
	const struct weir_flag flags[] = {
		{ .name = "--set", .list = serve.sets },
		{ .name = "--plugin-path", .list = serve.folders },
		{ .name = "--check", .on = &serve.check_only },
		{ .name = "-m", .hint = "weir serve FILE.gguf" },
		{ .name = "--model", .hint = "weir serve FILE.gguf" },
		{ .name = "--port", .hint = HINT_LISTEN },
		{ .name = "--host", .hint = HINT_LISTEN },
		{ .name = "-c", .hint = "--set backend.main.context=4096" },
		{ .name = "--ctx-size", .hint = "--set backend.main.context=4096" },
		{ .name = "--max-model-len", .hint = "--set backend.main.context=4096" },
		{ .name = "-t", .hint = "--set backend.main.threads=8" },
		{ .name = "--threads", .hint = "--set backend.main.threads=8" },
		{ .name = "-np", .hint = "--set backend.main.max_sequences=8" },
		{ .name = "--parallel", .hint = "--set backend.main.max_sequences=8" },
		{ .name = "--max-num-seqs", .hint = "--set backend.main.max_sequences=8" },
		{ .name = "--alias", .hint = "--set backend.main.serves=NAME" },
		{ .name = "--served-model-name", .hint = "--set backend.main.serves=NAME" },
		{ .name = "-ngl", .hint = "weir serve vulkan FILE.gguf (all layers)" },
		{ .name = "--n-gpu-layers", .hint = "weir serve vulkan FILE.gguf (all layers)" },
		{ NULL },
	};
	struct weir_signals *signals = NULL;
	struct weir_error err;
	int code = WEIR_EXIT_USAGE;
	const char *name;
	if (weir_args_parse(argc, argv, flags, rest, 2) && take_names(&serve, rest, &name)) {
		g_ptr_array_add(serve.sets, NULL);
		serve.problems = weir_problems_new();
		code = WEIR_EXIT_PROFILE;
		weir_status status = weir_profile_find(name, &serve.path, &err);
		if (status == WEIR_OK) {
			code = WEIR_EXIT_FAILED;
			status = weir_signals_new(&signals, &err);
		}
		if (status == WEIR_OK)
			code = use_profile(&serve, signals);
		else
			fprintf(stderr, "weir serve: %s\n", err.text);
	}
	weir_signals_free(signals);
	weir_registry_free(serve.registry);
	weir_trace_free(serve.core.trace);
	weir_metric_set_free(serve.core.metrics);
	weir_logger_free(serve.core.log);
	weir_ini_free(serve.ini);
	weir_problems_free(serve.problems);
	g_ptr_array_unref(serve.sets);
	g_ptr_array_unref(serve.folders);
	g_ptr_array_unref(serve.own);
	g_free(serve.path);
	return code;
}

const struct weir_builtin weir_builtin_serve = {
	.name = "serve",
	.summary = "serve what a profile says",
	.help = "weir serve [PROFILE] [FILE.gguf] [--set SECTION.KEY=VALUE]... [--plugin-path "
		"DIR]...\n"
		"           [--check]\n"
		"\n"
		"Reads a profile, checks all of it, and serves until SIGTERM or ctrl-C. PROFILE is "
		"a\n"
		"path, or the name of a file in data/profiles; \"default\" when left out. "
		"FILE.gguf is\n"
		"served by its backend `main` in the place of the model there, under the file's "
		"name.\n"
		"\n"
		"  --set SECTION.KEY=VALUE  overrides the profile; may be given many times\n"
		"  --plugin-path DIR        looks for plugins there first; may be given many "
		"times\n"
		"  --check                  only says whether the profile can be used\n"
		"\n"
		"Examples\n"
		"  weir serve\n"
		"      the demo model on 127.0.0.1:8000\n"
		"  weir serve --set frontend.http.listen=127.0.0.1:8001\n"
		"      when port 8000 is in use\n"
		"  weir serve llama-8b.gguf\n"
		"      a model of your own; `curl localhost:8000/v1/models` lists its name, "
		"llama-8b\n"
		"  weir serve --set backend.main.model=llama.gguf --set backend.main.serves=llama\n"
		"      the same in full, with a name of your choice\n"
		"  WEIR_BACKEND_MAIN_MODEL=llama.gguf weir serve\n"
		"      the same by the environment: WEIR_, section, key, in upper case\n"
		"\n"
		"Signals\n"
		"  SIGTERM, SIGINT  lets running requests finish for server.drain_timeout, then "
		"ends;\n"
		"                   the second ends at once, the third leaves the process\n"
		"  SIGHUP           reads the profile again; a bad one is refused, the old goes "
		"on\n"
		"\n"
		"`weir inspect` lists plugins and their options, `weir inspect server` the host's "
		"own.\n"
		"WEIR_LOG=debug, or info,http=debug, sets log levels.\n",
	.run = serve_main,
};
