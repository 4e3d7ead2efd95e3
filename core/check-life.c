/*
 * core/check-life.c - sections scan and life of `weir check`: the table, and instances that come
 * and go.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weir/backend.h>
#include <weir/command.h>
#include <weir/middleware.h>

#include "check.h"
#include "host.h"
#include "options.h"
#include "registry.h"

#define REPEATS 100

/* Its text is the list of components that the parent goes through: "role id" lines. */
static void scan_table(struct weir_check *check)
{
	check->plugin = weir_check_load(check);
	for (size_t i = 0; check->plugin && check->plugin->components[i]; i++) {
		const struct weir_component *component = check->plugin->components[i];
		g_string_append_printf(check->text, "%s%s %s", i ? "\n" : "",
				       weir_role_name(component->role), component->id);
	}
}

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void scan_purity(struct weir_check *check)
{
	void *library = dlopen(check->path, RTLD_NOW | RTLD_LOCAL);
	const struct weir_plugin *(*query)(uint32_t) = NULL;
	if (library)
		*(void **)&query = dlsym(library, "weir_plugin_query");
	if (!query) {
		weir_check_absent(check); /* the case before has said it */
		return;
	}
	int threads = count_entries("/proc/self/task"), fds = count_entries("/proc/self/fd");
	const struct weir_plugin *first = query(WEIR_ABI);
	struct weir_plugin copy;
	memset(&copy, 0, sizeof(copy));
	if (first)
		copy = *first;
	const struct weir_plugin *second = query(WEIR_ABI);
	if (first != second)
		weir_check_fail(check,
				"weir_plugin_query() returned another table the second time");
	else if (first && memcmp(&copy, second, sizeof(copy)) != 0)
		weir_check_fail(check, "weir_plugin_query() changed its table the second time");
	query((WEIR_ABI_MAJOR + 1) << 16); /* a newer host: NULL or a table, no crash */
	if (count_entries("/proc/self/task") != threads)
		weir_check_fail(check, "weir_plugin_query() started a thread");
	if (count_entries("/proc/self/fd") != fds)
		weir_check_fail(check, "weir_plugin_query() opened a file");
}

static void life_probe(struct weir_check *check)
{
	struct weir_host host;
	struct weir_error why, again;
	if (!check->component->probe) {
		weir_check_absent(check);
		return;
	}
	weir_host_init(&host, &check->core, "");
	memset(&why, 0, sizeof(why));
	memset(&again, 0, sizeof(again));
	int32_t score = check->component->probe(&host, &why);
	if (score < 0 || score > 100)
		weir_check_fail(check, "probe() returned %d; 0 to 100 is allowed", score);
	if (!memchr(why.text, '\0', sizeof(why.text)))
		weir_check_fail(check, "probe() left its reason without an end");
	else if (score == 0 && !*why.text)
		weir_check_fail(check, "probe() says no and not why");
	if (check->component->probe(&host, &again) != score)
		weir_check_fail(check, "probe() changed its mind the second time");
}

static void life_create(struct weir_check *check)
{
	weir_part_destroy(weir_check_create(check, NULL));
}

static void life_interfaces(struct weir_check *check)
{
	struct weir_part *part = weir_check_create(check, NULL);
	if (!part)
		return;
	if (weir_part_ext(part, "no.such.interface/1"))
		weir_check_fail(check, "get_ext() answers an id that nobody knows");
	const struct weir_backend_stream *stream = weir_part_ext(part, WEIR_BACKEND_STREAM);
	const struct weir_backend_step *step = weir_part_ext(part, WEIR_BACKEND_STEP);
	const struct weir_middleware *middleware = weir_part_ext(part, WEIR_MIDDLEWARE);
	const struct weir_command *command = weir_part_ext(part, WEIR_COMMAND);
	switch (check->component->role) {
	case WEIR_ROLE_BACKEND:
		if (!stream && !step)
			weir_check_fail(check, "a backend offers %s or %s; this one neither",
					WEIR_BACKEND_STREAM, WEIR_BACKEND_STEP);
		if (stream && (!WEIR_HAS(struct weir_backend_stream, stream, submit) ||
			       !WEIR_HAS(struct weir_backend_stream, stream, wake)))
			weir_check_fail(check, "%s lacks submit() or wake()", WEIR_BACKEND_STREAM);
		if (step && (!WEIR_HAS(struct weir_backend_step, step, load) ||
			     !WEIR_HAS(struct weir_backend_step, step, step)))
			weir_check_fail(check, "%s lacks load() or step()", WEIR_BACKEND_STEP);
		break;
	case WEIR_ROLE_MIDDLEWARE:
		if (!middleware || middleware->size < sizeof(uint32_t) * 4)
			weir_check_fail(check, "a middleware offers %s", WEIR_MIDDLEWARE);
		break;
	case WEIR_ROLE_COMMAND:
		if (!command || !WEIR_HAS(struct weir_command, command, run))
			weir_check_fail(check, "a command offers %s with run()", WEIR_COMMAND);
		break;
	default:
		break;
	}
	weir_part_destroy(part);
}

static void life_start(struct weir_check *check)
{
	struct weir_part *part = weir_check_create(check, NULL);
	struct weir_error err;
	if (!part)
		return;
	if (weir_part_start(part, &err) != WEIR_OK) {
		if (strstr(err.text, "without a reason"))
			weir_check_fail(check, "%s", err.text);
		else
			weir_check_skip(check, "start() says: %s", err.text);
	} else {
		usleep(20000);
		weir_part_drain(part);
		weir_part_stop(part);
	}
	weir_part_destroy(part);
}

/* create() with one option set to text; an error is fine if it has a reason. */
static void try_value(struct weir_check *check, GArray *conf, const char *key, const char *text)
{
	struct weir_part *part = NULL;
	struct weir_error err;
	g_autofree struct weir_kv *pairs = g_new(struct weir_kv, conf->len + 1);
	size_t n = 0;
	bool placed = false;
	for (unsigned i = 0; i < conf->len; i++) {
		pairs[n] = g_array_index(conf, struct weir_kv, i);
		if (!strcmp(pairs[n].key, key)) {
			pairs[n].value = text;
			placed = true;
		}
		n++;
	}
	if (!placed)
		pairs[n++] = (struct weir_kv){ key, text };
	snprintf(check->trace, WEIR_CHECK_TRACE, "create() with %s=\"%.100s\"", key, text);
	memset(&err, 0, sizeof(err));
	weir_status status =
		weir_part_create(&check->core, "check", check->component, pairs, n, &part, &err);
	if (status != WEIR_OK && strstr(err.text, "without a reason"))
		weir_check_fail(check, "%s=%s: create() failed without a reason", key, text);
	else if (status != WEIR_OK && strstr(err.text, "OK and no instance"))
		weir_check_fail(check, "%s=%s: create() returned OK and no instance", key, text);
	weir_part_destroy(part);
}

static void life_limits(struct weir_check *check)
{
	GArray *conf = weir_check_conf(check);
	const struct weir_option *const *options = check->component->options;
	if (!conf)
		return;
	for (size_t i = 0; options && options[i]; i++) {
		const struct weir_option *option = options[i];
		g_auto(GStrv) choices = g_strsplit(option->choices ? option->choices : "", "|", -1);
		bool ranged = option->min != 0 || option->max != 0;
		switch (option->type) {
		case WEIR_OPTION_BOOL:
			try_value(check, conf, option->key, "true");
			try_value(check, conf, option->key, "false");
			break;
		case WEIR_OPTION_CHOICE:
			for (size_t k = 0; choices[k]; k++)
				try_value(check, conf, option->key, choices[k]);
			break;
		case WEIR_OPTION_INT:
		case WEIR_OPTION_DURATION:
		case WEIR_OPTION_SIZE:
		case WEIR_OPTION_FLOAT:
			if (ranged) {
				g_autofree char *low = g_strdup_printf("%.0f", option->min);
				g_autofree char *high = g_strdup_printf("%.0f", option->max);
				try_value(check, conf, option->key, low);
				try_value(check, conf, option->key, high);
			}
			break;
		default:
			break;
		}
	}
	g_array_unref(conf);
}

/* The host never passes such values; a plugin that crashes on them trusts too much. */
static void life_garbage(struct weir_check *check)
{
	static const char *const texts[] = {
		"",         "garbage", "-1",  "99999999999999999999", "/nonexistent/file",
		"\xff\xfe", ",,,",     "%s%n"
	};
	GArray *conf = weir_check_conf(check);
	const struct weir_option *const *options = check->component->options;
	if (!conf)
		return;
	for (size_t i = 0; options && options[i]; i++)
		for (size_t k = 0; k < G_N_ELEMENTS(texts); k++)
			try_value(check, conf, options[i]->key, texts[k]);
	g_array_set_size(conf, 0);
	try_value(check, conf, "unknown_to_all", "1");
	g_array_unref(conf);
}

static void life_repeat(struct weir_check *check)
{
	int threads = 0, fds = 0;
	for (int i = 0; i < REPEATS && weir_check_going(check); i++) {
		weir_part_destroy(weir_check_create(check, NULL));
		if (i == 4) { /* what a plugin makes once for all is there by now */
			threads = count_entries("/proc/self/task");
			fds = count_entries("/proc/self/fd");
		}
	}
	if (!weir_check_going(check))
		return;
	int more = count_entries("/proc/self/fd") - fds;
	if (more > 0)
		weir_check_fail(check, "%d file descriptors are left after %d instances", more,
				REPEATS - 5);
	more = count_entries("/proc/self/task") - threads;
	if (more > 0)
		weir_check_fail(check, "%d threads are left after %d instances", more, REPEATS - 5);
}

static void life_restart(struct weir_check *check)
{
	int threads = 0, fds = 0;
	for (int i = 0; i < 10; i++) {
		struct weir_part *part = weir_check_create(check, NULL);
		struct weir_error err;
		if (!part)
			return;
		if (weir_part_start(part, &err) != WEIR_OK) {
			weir_check_skip(check, "start() says: %s", err.text);
			weir_part_destroy(part);
			return;
		}
		weir_part_destroy(part); /* stops first */
		if (i == 2) {
			threads = count_entries("/proc/self/task");
			fds = count_entries("/proc/self/fd");
		}
	}
	int more = count_entries("/proc/self/fd") - fds;
	if (more > 0)
		weir_check_fail(check, "%d file descriptors are left after 7 restarts", more);
	more = count_entries("/proc/self/task") - threads;
	if (more > 0)
		weir_check_fail(check, "%d threads are left after 7 restarts", more);
}

const struct weir_check_case weir_check_scan[] = {
	{ "scan", "table", "the exported table has sane sizes, ids and options", scan_table, 0 },
	{ "scan", "purity", "weir_plugin_query() returns the same table and does nothing else",
	  scan_purity, 0 },
	{ NULL },
};

const struct weir_check_case weir_check_life[] = {
	{ "life", "probe", "probe() gives 0 to 100 and a reason, twice the same", life_probe, 0 },
	{ "life", "create", "create() with the defaults, then destroy() without start()",
	  life_create, 1 },
	{ "life", "interfaces", "get_ext() offers what the role needs and no unknown id",
	  life_interfaces, 1 },
	{ "life", "start", "start(), drain(), stop(), destroy()", life_start, 1 },
	{ "life", "limits", "create() takes or refuses, with a reason, every option at its limits",
	  life_limits, 1 },
	{ "life", "garbage", "create() survives values that the host would never pass",
	  life_garbage, 1 },
	{ "life", "repeat", "a hundred instances leave no descriptor and no thread", life_repeat,
	  1 },
	{ "life", "restart", "started and stopped ten times: no descriptor, no thread is left",
	  life_restart, 1 },
	{ NULL },
};
