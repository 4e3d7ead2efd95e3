/*
 * embed-tool.c - runs a backend plugin's embedder as a host would, over given tokens, and writes
 * the vectors.
 *
 * Used by embed-oracle.py:  embed-tool PLUGIN.so COMPONENT OUT [key=value...] < script
 *
 * The script, one item a line:  text T T T ...  the tokens of a text;  run  all texts since the
 * last run, in one call. OUT receives their vectors as 32-bit floats; standard output first a line
 * "info DIM MAX_TOKENS MAX_BATCH POOLING ENCODER".
 */
#include <weir/backend.h>
#include <weir/services.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONF 32

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "embed-tool: %s: %s\n", what, why);
	exit(1);
}

static void log_write(const struct weir_host *host, uint32_t level, const char *topic,
		      const char *text)
{
	fprintf(stderr, "%u %s: %s\n", level, topic, text);
}

static bool log_enabled(const struct weir_host *host, uint32_t level, const char *topic)
{
	return true;
}

static void log_progress(const struct weir_host *host, const char *what, uint64_t done,
			 uint64_t total)
{
}

static const struct weir_log host_log = { .size = sizeof(host_log),
					  .write = log_write,
					  .enabled = log_enabled,
					  .progress = log_progress };

static const void *host_ext(const struct weir_host *host, const char *id)
{
	return strcmp(id, WEIR_HOST_LOG) == 0 ? &host_log : NULL;
}

static const struct weir_host host = { .size = sizeof(host),
				       .abi = WEIR_ABI,
				       .name = "embed-tool",
				       .version = "0",
				       .instance = "backend.tool",
				       .get_ext = host_ext };

static const struct weir_component *find_component(const char *path, const char *id)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct weir_plugin *(*query)(uint32_t);
	const struct weir_plugin *plugin;

	if (!so)
		die(path, dlerror());
	*(void **)&query = dlsym(so, "weir_plugin_query");
	plugin = query ? query(WEIR_ABI) : NULL;
	for (size_t i = 0; plugin && plugin->components[i]; i++)
		if (strcmp(plugin->components[i]->id, id) == 0)
			return plugin->components[i];
	die(path, "lacks the component");
}

/* Every declared option: from the command line, else its fallback. */
static size_t configure(const struct weir_component *c, char **arg, int n_args,
			struct weir_kv conf[MAX_CONF])
{
	size_t n = 0;

	for (size_t i = 0; c->options[i]; i++) {
		const struct weir_option *o = c->options[i];
		size_t len = strlen(o->key);
		const char *value = o->fallback;

		for (int k = 0; k < n_args; k++)
			if (strncmp(arg[k], o->key, len) == 0 && arg[k][len] == '=')
				value = arg[k] + len + 1;
		if (value && n < MAX_CONF)
			conf[n++] = (struct weir_kv){ o->key, value };
	}
	return n;
}

struct texts {
	int32_t *token;
	uint32_t *first;
	uint32_t n_texts, n_tokens;
};

static void *grow(void *memory, size_t bytes)
{
	memory = realloc(memory, bytes);
	if (!memory)
		die("memory", "none left");
	return memory;
}

static void add_text(struct texts *t, char *text)
{
	char *save = NULL;

	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		t->token = grow(t->token, (t->n_tokens + 1) * sizeof(*t->token));
		t->token[t->n_tokens++] = (int32_t)strtol(w, NULL, 10);
	}
	t->first = grow(t->first, (t->n_texts + 2) * sizeof(*t->first));
	t->first[0] = 0;
	t->first[++t->n_texts] = t->n_tokens;
}

static void run(const struct weir_embedder *e, struct weir_instance *instance, uint32_t n_dim,
		struct texts *t, FILE *out)
{
	float *vectors = grow(NULL, ((size_t)t->n_texts * n_dim + 1) * sizeof(*vectors));
	struct weir_error err = { 0 };

	if (e->embed(instance, t->token, t->first, t->n_texts, vectors, &err) < 0)
		die("embed", err.text);
	if (fwrite(vectors, sizeof(*vectors) * n_dim, t->n_texts, out) != t->n_texts)
		die("vectors", "cannot be written");
	free(vectors);
	t->n_texts = t->n_tokens = 0;
}

int main(int argc, char **argv)
{
	struct weir_embedder_info info = { .size = sizeof(info) };
	struct weir_model model = { .size = sizeof(model) };
	const struct weir_backend_step *step;
	const struct weir_embedder *embedder;
	const struct weir_component *c;
	struct weir_instance *instance;
	struct weir_kv conf[MAX_CONF];
	struct weir_error err = { 0 };
	struct texts texts = { 0 };
	char *line = NULL;
	size_t room = 0;
	FILE *out;

	if (argc < 4)
		die("usage", "embed-tool PLUGIN.so COMPONENT OUT [key=value...] < script");
	out = fopen(argv[3], "wb");
	if (!out)
		die(argv[3], "cannot be written");
	c = find_component(argv[1], argv[2]);
	if (c->create(&host, conf, configure(c, argv + 4, argc - 4, conf), &instance, &err) < 0)
		die("create", err.text);
	if (instance->start && instance->start(instance, &err) < 0)
		die("start", err.text);
	step = instance->get_ext(instance, WEIR_BACKEND_STEP);
	if (!step || step->load(instance, &model, &err) < 0)
		die("load", step ? err.text : "no " WEIR_BACKEND_STEP);
	embedder = instance->get_ext(instance, WEIR_EMBEDDER);
	if (!embedder)
		die("get_ext", "no " WEIR_EMBEDDER);
	embedder->info(instance, &info);
	printf("info %u %u %u %u %u\n", info.n_dim, info.max_tokens, info.max_batch, info.pooling,
	       (model.flags & WEIR_MODEL_ENCODER) != 0);
	while (getline(&line, &room, stdin) > 0) {
		if (strncmp(line, "text ", 5) == 0)
			add_text(&texts, line + 5);
		else if (strncmp(line, "run", 3) == 0)
			run(embedder, instance, info.n_dim, &texts, out);
		else
			die("script", line);
	}
	free(line);
	free(texts.token);
	free(texts.first);
	if (instance->stop)
		instance->stop(instance);
	instance->destroy(instance);
	if (fclose(out) != 0)
		die(argv[3], "cannot be written");
	return 0;
}
