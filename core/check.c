/*
 * core/check.c - `weir check`: goes through sections and cases, prints verdicts; see check.h.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "commands.h"
#include "nearest.h"

static const struct {
	const char *name;
	const struct weir_check_case *cases;
} sections[] = {
	{ "scan", weir_check_scan },
	{ "life", weir_check_life },
	{ "stream", weir_check_stream },
	{ "step", weir_check_step },
	{ "device", weir_check_device_laws },
	{ "device", weir_check_device_ops },
	{ "device", weir_check_device_refusals },
	{ "fuzz", weir_check_fuzz_models },
	{ "fuzz", weir_check_fuzz_requests },
};

struct report {
	JsonBuilder *json; /* NULL: lines */
	unsigned ok, failed, skipped, number;
	struct weir_check_terms terms;
	const char *only_case; /* names, with commas; NULL: all */
	bool dead;             /* create() failed: nothing further to ask of this component */
};

static void report(struct report *to, const struct weir_check_case *one, const char *about,
		   enum weir_check_verdict verdict, const char *text)
{
	const char *word = verdict == WEIR_CHECK_OK        ? "ok"
			   : verdict == WEIR_CHECK_SKIPPED ? "skipped"
							   : "not ok";
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	to->number++;
	to->ok += verdict == WEIR_CHECK_OK;
	to->skipped += verdict == WEIR_CHECK_SKIPPED;
	to->failed += verdict == WEIR_CHECK_FAILED;
	if (to->json) {
		json_builder_begin_object(to->json);
		json_builder_set_member_name(to->json, "section");
		json_builder_add_string_value(to->json, one->section);
		json_builder_set_member_name(to->json, "case");
		json_builder_add_string_value(to->json, one->name);
		json_builder_set_member_name(to->json, "component");
		json_builder_add_string_value(to->json, about);
		json_builder_set_member_name(to->json, "verdict");
		json_builder_add_string_value(to->json, word);
		json_builder_set_member_name(to->json, "text");
		json_builder_add_string_value(to->json, valid);
		json_builder_end_object(to->json);
		return;
	}
	printf("%s %u %s/%s%s%s%s\n", verdict == WEIR_CHECK_FAILED ? "not ok" : "ok", to->number,
	       one->section, one->name, *about ? " of " : "", about,
	       verdict == WEIR_CHECK_SKIPPED ? " # SKIP" : "");
	if (verdict == WEIR_CHECK_FAILED)
		printf("#   the law: %s\n", one->law);
	g_auto(GStrv) lines = g_strsplit(valid, "\n", -1);
	for (size_t i = 0; lines[i] && *valid; i++)
		printf("#   %s\n", lines[i]);
	fflush(stdout);
}

/* Is it in the list of --case? */
static bool is_wanted(const struct report *to, const char *name)
{
	g_auto(GStrv) names = g_strsplit(to->only_case ? to->only_case : name, ",", -1);
	return g_strv_contains((const char *const *)names, name);
}

static void check_component(struct report *to, const struct weir_check_case *one, int index,
			    const char *about)
{
	g_autoptr(GString) text = g_string_new(NULL);
	for (; one->name && !to->dead; one++) {
		if (!is_wanted(to, one->name))
			continue;
		enum weir_check_verdict verdict = weir_check_run(one, &to->terms, index, text);
		if (verdict != WEIR_CHECK_ABSENT)
			report(to, one, about, verdict, text->str);
		to->dead = verdict == WEIR_CHECK_FAILED && !strcmp(one->name, "create");
	}
}

static void check_plugin(struct report *to, const char *only)
{
	g_autoptr(GString) text = g_string_new(NULL);
	/* The table is looked at in any case: it names the components. */
	enum weir_check_verdict verdict = weir_check_run(&weir_check_scan[0], &to->terms, -1, text);
	g_auto(GStrv) components = g_strsplit(text->str, "\n", -1);
	bool fine = verdict == WEIR_CHECK_OK;
	bool scan = !only || !strcmp(only, "scan");
	if (!fine || (scan && is_wanted(to, "table")))
		report(to, &weir_check_scan[0], "", verdict, fine ? "" : text->str);
	if (fine && scan)
		check_component(to, weir_check_scan + 1, -1, "");
	for (int c = 0; fine && components[c]; c++) {
		to->dead = false;
		for (size_t s = 1; s < G_N_ELEMENTS(sections); s++)
			if (!only || !strcmp(only, sections[s].name))
				check_component(to, sections[s].cases, c, components[c]);
	}
}

static bool known_section(const char *name)
{
	const char *names[G_N_ELEMENTS(sections)];
	for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
		names[i] = sections[i].name;
		if (!strcmp(names[i], name))
			return true;
	}
	const char *near = weir_nearest(name, names, G_N_ELEMENTS(names));
	fprintf(stderr, "weir check: there is no section %s; %s%s\n", name,
		near ? "did you mean " : "there are scan, life, stream, step, device and fuzz",
		near ? near : "");
	return false;
}

static bool read_seconds(const char *flag, const char *text, int *ret)
{
	int64_t seconds = 0;
	if (!g_ascii_string_to_signed(text, 10, 1, 3600, &seconds, NULL)) {
		fprintf(stderr, "weir check: %s %s: a number of seconds, 1 to 3600\n", flag, text);
		return false;
	}
	*ret = (int)seconds;
	return true;
}

static int check_main(int argc, char **argv)
{
	bool json = false;
	const char *only = NULL, *only_case = NULL, *patience = "60", *seed_text = "1",
		   *effort = "4";
	g_autoptr(GPtrArray) rest = g_ptr_array_new();
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	const struct weir_flag flags[] = {
		{ .name = "--json", .on = &json },
		{ .name = "--section", .text = &only },
		{ .name = "--case", .text = &only_case },
		{ .name = "--option", .list = options },
		{ .name = "--patience", .text = &patience },
		{ .name = "--seed", .text = &seed_text },
		{ .name = "--effort", .text = &effort },
		{ NULL },
	};
	if (!weir_args_parse(argc, argv, flags, rest, 1))
		return WEIR_EXIT_USAGE;
	if (rest->len == 0) {
		fprintf(stderr, "weir check: which plugin? Give the path of a .so file.\n");
		return WEIR_EXIT_USAGE;
	}
	if (only && !known_section(only))
		return WEIR_EXIT_USAGE;
	int seconds, effort_s;
	if (!read_seconds("--patience", patience, &seconds) ||
	    !read_seconds("--effort", effort, &effort_s))
		return WEIR_EXIT_USAGE;
	uint64_t seed = 0;
	if (!g_ascii_string_to_unsigned(seed_text, 10, 0, UINT64_MAX, &seed, NULL)) {
		fprintf(stderr, "weir check: --seed %s: a whole number\n", seed_text);
		return WEIR_EXIT_USAGE;
	}
	g_autofree char *path = g_canonicalize_filename(g_ptr_array_index(rest, 0), NULL);
	struct report to = { .only_case = only_case };
	to.terms = (struct weir_check_terms){ path, options, seconds, effort_s, seed };
	if (json) {
		to.json = json_builder_new();
		json_builder_begin_array(to.json);
	}
	check_plugin(&to, only);
	if (json) {
		json_builder_end_array(to.json);
		g_autoptr(JsonNode) root = json_builder_get_root(to.json);
		g_autofree char *text = json_to_string(root, true);
		printf("%s\n", text);
		g_object_unref(to.json);
	} else {
		printf("1..%u\n# %u ok, %u not ok, %u skipped\n", to.number, to.ok, to.failed,
		       to.skipped);
	}
	if (to.number == 0)
		fprintf(stderr, "weir check: no case of that name concerns this plugin\n");
	return to.failed || to.number == 0 ? WEIR_EXIT_FAILED : WEIR_EXIT_OK;
}

const struct weir_builtin weir_builtin_check = {
	.name = "check",
	.summary = "test whether a plugin keeps the contract",
	.help = "weir check PLUGIN.so [--section NAME] [--case NAME,...] [--option KEY=VALUE]...\n"
		"           [--patience SECONDS] [--seed NUMBER] [--effort SECONDS] [--json]\n"
		"\n"
		"Runs the conformance cases that concern the plugin's components, each in a "
		"process of\n"
		"its own with a time limit, and prints a line for each (TAP). What is not ok is\n"
		"explained with the law that it breaks.\n"
		"\n"
		"  --section NAME      scan: the table; life: create to destroy; stream: credit,\n"
		"                      cancellation, exactly one end; step: load and step;\n"
		"                      device: operations of a level-C device against a\n"
		"                      reference in doubles (no model is needed); fuzz: hostile\n"
		"                      model files, texts, conversations, grammars and requests,\n"
		"                      some seconds of each\n"
		"  --case NAME,...     only the cases of these names\n"
		"  --option KEY=VALUE  an option of the component, as in a profile; may be "
		"repeated\n"
		"  --patience SECONDS  how long one answer may take (60)\n"
		"  --seed NUMBER       of what is random in device and fuzz (1); a failure names\n"
		"                      the one that repeats it\n"
		"  --effort SECONDS    how long each case of fuzz goes on (4)\n"
		"  --json              the verdicts for programs\n"
		"\n"
		"Examples\n"
		"  weir check ./weir-mine.so\n"
		"  weir check build/backends/cpu/weir-cpu.so --option "
		"model=data/models/weir-demo.gguf\n"
		"  weir check ./weir-mine.so --section stream\n"
		"  weir check ./weir-mine.so --section device --case linear\n"
		"  weir check ./weir-mine.so --section fuzz --effort 600 --seed 1000000\n"
		"\n"
		"Exit status: 0 all ok or skipped, 1 something is not ok, 2 wrong usage.\n",
	.run = check_main,
};
