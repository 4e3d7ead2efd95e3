/*
 * core/inspect.c - `weir inspect`: what is loaded, what each component accepts, what was refused.
 *
 * [main]. Probes every component; creates nothing. Secrets have no fallback worth showing, and a
 * declared one is not shown.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json-glib/json-glib.h>

#include "commands.h"
#include "instance.h"
#include "log.h"
#include "metrics.h"
#include "nearest.h"
#include "options.h"
#include "profile.h"
#include "registry.h"

static const char *const host_sections[] = { "server", "chain", "frontend", "backend",
					     "middleware" };

static const char *shown_fallback(const struct weir_option *option)
{
	return option->flags & WEIR_OPTION_SECRET ? NULL : option->fallback;
}

/* Wraps at blanks, behind an indent. */
static void print_wrapped(const char *text, int indent)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);
	int column = 0;
	for (size_t i = 0; words[i]; i++) {
		int n = (int)g_utf8_strlen(words[i], -1);
		if (n == 0)
			continue;
		if (column > 0 && column + 1 + n > 92) {
			putchar('\n');
			column = 0;
		}
		if (column == 0)
			column = printf("%*s", indent, "");
		else
			column += printf(" ");
		printf("%s", words[i]);
		column += n;
	}
	putchar('\n');
}

static void print_option(const struct weir_option *option)
{
	g_autofree char *range = weir_option_range(option);
	g_autoptr(GString) head = g_string_new(NULL);
	const char *fallback = shown_fallback(option);
	g_string_append_printf(head, "  %s = ", option->key);
	if (option->flags & WEIR_OPTION_REQUIRED)
		g_string_append(head, "(required)");
	else if (fallback && *fallback)
		g_string_append(head, fallback);
	else
		g_string_append(head, "(unset)");
	printf("%-36s  %s%s%s%s\n", head->str, weir_option_type_name(option->type),
	       *range ? " " : "", range, option->flags & WEIR_OPTION_SECRET ? ", secret" : "");
	print_wrapped(option->help, 6);
}

static void print_options(const struct weir_option *const *options)
{
	if (!options || !options[0])
		printf("  no options\n");
	for (size_t i = 0; options && options[i]; i++)
		print_option(options[i]);
}

static void print_component(struct weir_core *core, const struct weir_registry_entry *entry)
{
	const struct weir_component *component = entry->component;
	struct weir_error why;
	int32_t score = weir_component_probe(core, component, &why);
	printf("%s %s: %s\n", weir_role_name(component->role), component->id, component->title);
	printf("  from %s (%s %s%s%s)\n", entry->path, entry->plugin->name, entry->plugin->version,
	       entry->plugin->license ? ", " : "",
	       entry->plugin->license ? entry->plugin->license : "");
	printf("  %s here (%d of 100)%s%s\n\n", score > 0 ? "can run" : "cannot run", score,
	       *why.text ? ": " : "", why.text);
	print_wrapped(component->help, 2);
	if (component->role == WEIR_ROLE_COMMAND) {
		printf("\n  a command: weir %s --help\n", component->id);
		return;
	}
	printf("\n[%s.NAME]\n  plugin = %s\n", weir_role_name(component->role), component->id);
	print_options(component->options);
}

static void print_refusals(const struct weir_registry *registry)
{
	const struct weir_refusal *refusal;
	for (size_t i = 0; (refusal = weir_registry_refusal(registry, i)); i++) {
		if (i == 0)
			printf("refused\n");
		printf("  %s\n", refusal->path);
		print_wrapped(refusal->reason, 6);
	}
}

static void print_all(struct weir_core *core, const struct weir_registry *registry)
{
	printf("weir %s, plugin ABI %u.%u\n\n", WEIR_VERSION, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
	size_t n = 0;
	for (uint32_t role = WEIR_ROLE_FRONTEND; role <= WEIR_ROLE_COMMAND; role++) {
		const struct weir_registry_entry *entry;
		bool first = true;
		for (size_t i = 0; (entry = weir_registry_entry(registry, i)); i++) {
			if (entry->component->role != role)
				continue;
			if (first)
				printf("%s\n", weir_role_name(role));
			first = false;
			n++;
			struct weir_error why;
			int32_t score = weir_component_probe(core, entry->component, &why);
			printf("  %-12s %s\n", entry->component->id, entry->component->title);
			printf("  %-12s %s%s%s\n", "",
			       score > 0 ? "can run here" : "cannot run here",
			       *why.text ? ": " : "", why.text);
		}
	}
	if (n == 0)
		printf("no plugin was found\n");
	printf("\nsearched\n");
	const char *folder;
	for (size_t i = 0; (folder = weir_registry_folder(registry, i)); i++)
		printf("  %s\n", folder);
	print_refusals(registry);
	printf("\n`weir inspect NAME` shows a component's options; NAME may also be server, "
	       "chain,\n"
	       "frontend, backend or middleware, for the keys of the host itself.\n");
}

static void json_string(JsonBuilder *out, const char *name, const char *value)
{
	g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;
	json_builder_set_member_name(out, name);
	if (valid)
		json_builder_add_string_value(out, valid);
	else
		json_builder_add_null_value(out);
}

static void json_options(JsonBuilder *out, const struct weir_option *const *options)
{
	json_builder_begin_array(out);
	for (size_t i = 0; options && options[i]; i++) {
		const struct weir_option *option = options[i];
		g_autofree char *range = weir_option_range(option);
		json_builder_begin_object(out);
		json_string(out, "key", option->key);
		json_string(out, "type", weir_option_type_name(option->type));
		json_string(out, "default", shown_fallback(option));
		json_string(out, "range", *range ? range : NULL);
		json_string(out, "help", option->help);
		json_builder_set_member_name(out, "required");
		json_builder_add_boolean_value(out, (option->flags & WEIR_OPTION_REQUIRED) != 0);
		json_builder_set_member_name(out, "secret");
		json_builder_add_boolean_value(out, (option->flags & WEIR_OPTION_SECRET) != 0);
		json_builder_end_object(out);
	}
	json_builder_end_array(out);
}

static void json_component(JsonBuilder *out, struct weir_core *core,
			   const struct weir_registry_entry *entry)
{
	struct weir_error why;
	int32_t score = weir_component_probe(core, entry->component, &why);
	json_builder_begin_object(out);
	json_string(out, "role", weir_role_name(entry->component->role));
	json_string(out, "id", entry->component->id);
	json_string(out, "title", entry->component->title);
	json_string(out, "help", entry->component->help);
	json_string(out, "plugin", entry->plugin->name);
	json_string(out, "version", entry->plugin->version);
	json_string(out, "vendor", entry->plugin->vendor);
	json_string(out, "license", entry->plugin->license);
	json_string(out, "path", entry->path);
	json_builder_set_member_name(out, "score");
	json_builder_add_int_value(out, score);
	json_string(out, "reason", why.text);
	json_builder_set_member_name(out, "options");
	json_options(out, entry->component->options);
	json_builder_end_object(out);
}

/* id NULL: everything. */
static void print_json(struct weir_core *core, const struct weir_registry *registry, const char *id)
{
	g_autoptr(JsonBuilder) out = json_builder_new();
	json_builder_begin_object(out);
	json_string(out, "version", WEIR_VERSION);
	g_autofree char *abi = g_strdup_printf("%u.%u", WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
	json_string(out, "abi", abi);
	json_builder_set_member_name(out, "components");
	json_builder_begin_array(out);
	const struct weir_registry_entry *entry;
	for (size_t i = 0; (entry = weir_registry_entry(registry, i)); i++)
		if (!id || !strcmp(entry->component->id, id))
			json_component(out, core, entry);
	json_builder_end_array(out);
	json_builder_set_member_name(out, "host");
	json_builder_begin_object(out);
	for (size_t i = 0; i < G_N_ELEMENTS(host_sections); i++) {
		json_builder_set_member_name(out, host_sections[i]);
		json_options(out, weir_host_options(host_sections[i]));
	}
	json_builder_end_object(out);
	json_builder_set_member_name(out, "searched");
	json_builder_begin_array(out);
	const char *folder;
	for (size_t i = 0; (folder = weir_registry_folder(registry, i)); i++)
		json_builder_add_string_value(out, folder);
	json_builder_end_array(out);
	json_builder_set_member_name(out, "refused");
	json_builder_begin_array(out);
	const struct weir_refusal *refusal;
	for (size_t i = 0; (refusal = weir_registry_refusal(registry, i)); i++) {
		json_builder_begin_object(out);
		json_string(out, "path", refusal->path);
		json_string(out, "reason", refusal->reason);
		json_builder_end_object(out);
	}
	json_builder_end_array(out);
	json_builder_end_object(out);
	g_autoptr(JsonNode) root = json_builder_get_root(out);
	g_autofree char *text = json_to_string(root, true);
	printf("%s\n", text);
}

static bool print_host_section(const char *name)
{
	const struct weir_option *const *options = weir_host_options(name);
	if (!options)
		return false;
	bool of_parts = strcmp(name, "server") != 0 && strcmp(name, "chain") != 0;
	printf("[%s%s]: keys of the host itself\n", name, of_parts ? ".NAME" : "");
	print_options(options);
	if (of_parts)
		printf("  and the options of the component that plugin names\n");
	return true;
}

static int print_one(struct weir_core *core, const struct weir_registry *registry, const char *name)
{
	g_autoptr(GPtrArray) known = g_ptr_array_new();
	bool found = print_host_section(name);
	const struct weir_registry_entry *entry;
	for (size_t i = 0; (entry = weir_registry_entry(registry, i)); i++) {
		g_ptr_array_add(known, (char *)entry->component->id);
		if (strcmp(entry->component->id, name) != 0)
			continue;
		if (found)
			putchar('\n');
		print_component(core, entry);
		found = true;
	}
	if (found)
		return WEIR_EXIT_OK;
	for (size_t i = 0; i < G_N_ELEMENTS(host_sections); i++)
		g_ptr_array_add(known, (char *)host_sections[i]);
	const char *near = weir_nearest(name, (const char *const *)known->pdata, known->len);
	fprintf(stderr, "weir inspect: no component is called %.80s%s%s%s\n", name,
		near ? "; did you mean " : ".", near ? near : "", near ? "?" : "");
	print_refusals(registry);
	return WEIR_EXIT_FAILED;
}

static int inspect_main(int argc, char **argv)
{
	bool json = false;
	g_autoptr(GPtrArray) rest = g_ptr_array_new();
	g_autoptr(GPtrArray) folders = g_ptr_array_new();
	const struct weir_flag flags[] = {
		{ .name = "--json", .on = &json },
		{ .name = "--plugin-path", .list = folders },
		{ NULL },
	};
	if (!weir_args_parse(argc, argv, flags, rest, 1))
		return WEIR_EXIT_USAGE;
	const char *name = rest->len ? g_ptr_array_index(rest, 0) : NULL;
	const char *levels = g_getenv("WEIR_LOG");
	struct weir_core core = {
		.log = weir_logger_new(levels ? levels : "warning", STDERR_FILENO, false),
		.metrics = weir_metric_set_new(),
	};
	struct weir_registry *registry = weir_commands_registry(folders);
	int code = WEIR_EXIT_OK;
	if (json)
		print_json(&core, registry, name);
	else if (name)
		code = print_one(&core, registry, name);
	else
		print_all(&core, registry);
	weir_registry_free(registry);
	weir_metric_set_free(core.metrics);
	weir_logger_free(core.log);
	return code;
}

const struct weir_builtin weir_builtin_inspect = {
	.name = "inspect",
	.summary = "list plugins and their options",
	.help = "weir inspect [NAME] [--json] [--plugin-path DIR]...\n"
		"\n"
		"Lists the plugins that were found, whether each can run on this machine and why, "
		"and\n"
		"every file that was refused with the reason. With NAME: one component's options, "
		"with\n"
		"their types, ranges and defaults; or those of the host: server, chain, frontend,\n"
		"backend, middleware.\n"
		"\n"
		"  --json             all of it for programs\n"
		"  --plugin-path DIR  looks for plugins there first; may be given many times\n"
		"\n"
		"Plugins are weir-*.so in --plugin-path, WEIR_PLUGIN_PATH (colons between), then "
		"beside\n"
		"the build tree that weir runs from, else in the installed folder.\n"
		"\n"
		"Examples\n"
		"  weir inspect cpu\n"
		"  weir inspect server\n"
		"  weir inspect --json | jq '.refused'\n",
	.run = inspect_main,
};
