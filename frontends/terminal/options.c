/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/options.c - see options.h.
 */
#include "options.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
	"weir chat [--url URL | --profile NAME] [--model NAME] [--system TEXT] [--set "
	"NAME=VALUE]...\n"
	"\n"
	"Talks with a model in the terminal: with a running server, or with one that is started "
	"for\n"
	"the chat and ends with it.\n"
	"\n"
	"  --url URL         the server; any OpenAI-compatible one. " OPTIONS_DEFAULT_URL "\n"
	"                    when left out\n"
	"  --profile NAME    starts a server with this profile, on a free port\n"
	"  --model NAME      which of its models; the first one when left out. A path that ends "
	"in\n"
	"                    .gguf starts a server with that file\n"
	"  --system TEXT     the system message\n"
	"  --set NAME=VALUE  temperature, top_p, max_tokens, seed ...; may be given many times\n"
	"\n"
	"Examples\n"
	"  ./dev run         in one terminal, and in another one\n"
	"  weir chat\n"
	"  weir chat --model llama.gguf --set temperature=0.7\n"
	"  weir chat --url https://api.example.com --model some/model    with WEIR_API_KEY set\n"
	"  echo 'Name three rivers.' | weir chat    each line is a prompt, no colours, no editing\n"
	"\n"
	"In the chat\n"
	"  Enter sends. Alt-Enter, or a \\ at the end of a line, goes on in a new line; a line of "
	"\"\"\"\n"
	"  begins a longer text and ends it. The arrow keys bring back earlier prompts, ctrl-R "
	"looks\n"
	"  for one. ctrl-C stops an answer, or drops the line; ctrl-D or /quit ends. /help lists\n"
	"  what else there is.\n"
	"\n"
	"Environment\n"
	"  WEIR_API_KEY, OPENAI_API_KEY  the first that is set goes along as a bearer token\n"
	"  NO_COLOR                      when set: no colours\n"
	"\n"
	"The exit status is 0, or 1 when there was no server or, in a pipe, an answer failed.\n";

const char *options_help(void)
{
	return help;
}

static bool wrong(const char *format, const char *what)
{
	fputs("weir chat: ", stderr);
	fprintf(stderr, format, what);
	fputs("\n`weir chat --help` says more.\n", stderr);
	return false;
}

static bool read_setting(struct talk *talk, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals)
		return wrong("--set %s: write it as NAME=VALUE", text);
	g_autofree char *name = g_strndup(text, (size_t)(equals - text));
	g_autofree char *error = NULL;
	return talk_set(talk, name, equals + 1, &error) || wrong("--set: %s", error);
}

static bool take(struct options *o, struct talk *talk, const char *name, const char *value)
{
	if (strcmp(name, "--url") == 0)
		o->url = value;
	else if (strcmp(name, "--profile") == 0)
		o->profile = value;
	else if (strcmp(name, "--system") == 0)
		talk_set_system(talk, value);
	else if (strcmp(name, "--set") == 0)
		return read_setting(talk, value);
	else if (strcmp(name, "--model") == 0 && g_str_has_suffix(value, ".gguf"))
		o->model_file = value;
	else if (strcmp(name, "--model") == 0)
		o->model = value;
	return true;
}

static bool is_flag(const char *name)
{
	static const char *const flags[] = { "--url",    "--profile", "--model",
					     "--system", "--set",     NULL };
	return g_strv_contains(flags, name);
}

bool options_parse(int argc, char **argv, struct options *ret, struct talk *talk)
{
	*ret = (struct options){ .url = NULL };
	for (int i = 1; i < argc; i++) {
		const char *equals = g_str_has_prefix(argv[i], "--") ? strchr(argv[i], '=') : NULL;
		g_autofree char *name =
			equals ? g_strndup(argv[i], (size_t)(equals - argv[i])) : g_strdup(argv[i]);
		if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
			ret->help = true;
			return true;
		}
		if (!is_flag(name))
			return wrong("%s is not understood", argv[i]);
		if (!equals && i + 1 == argc)
			return wrong("%s needs a value", name);
		if (!take(ret, talk, name, equals ? equals + 1 : argv[++i]))
			return false;
	}
	if (ret->url && (ret->profile || ret->model_file))
		return wrong("%s and --url cannot go together: a server is either started or there "
			     "already",
			     ret->profile ? "--profile" : "--model FILE.gguf");
	if (ret->model_file && !g_file_test(ret->model_file, G_FILE_TEST_IS_REGULAR))
		return wrong("%s: there is no such file", ret->model_file);
	return true;
}
