/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/commands.c - /help and its like. See chat.h.
 */
#include "chat.h"

#include <string.h>

static void do_help(struct chat *, const char *);

static void do_quit(struct chat *c, const char *rest)
{
	c->over = true;
}

static void do_reset(struct chat *c, const char *rest)
{
	talk_reset(&c->talk);
	screen_say(&c->screen, "The conversation begins anew.");
}

static void do_system(struct chat *c, const char *rest)
{
	talk_set_system(&c->talk, rest);
	if (*rest)
		screen_say(&c->screen, "The system message is set; /reset forgets what was said.");
	else
		screen_say(&c->screen, "There is no system message now.");
}

static void list_settings(struct chat *c)
{
	for (const char *const *name = talk_names(); *name; name++) {
		const char *value = g_hash_table_lookup(c->talk.set, *name);
		screen_say(&c->screen, "  %-20s %s", *name, value ? value : "default");
	}
}

static void do_set(struct chat *c, const char *rest)
{
	g_auto(GStrv) words = g_strsplit_set(rest, " \t=", 2);
	g_autofree char *error = NULL;
	if (!*rest)
		list_settings(c);
	else if (!words[1])
		screen_error(&c->screen, "write it as /set temperature 0.7");
	else if (!talk_set(&c->talk, words[0], g_strstrip(words[1]), &error))
		screen_error(&c->screen, error);
	else
		screen_say(&c->screen, "%s = %s", words[0], words[1]);
}

static void do_save(struct chat *c, const char *rest)
{
	g_autofree char *error = NULL;
	if (!*rest)
		screen_error(&c->screen, "write it as /save talk.md, or talk.json");
	else if (!talk_save(&c->talk, rest, &error))
		screen_error(&c->screen, error);
	else
		screen_say(&c->screen, "Saved in %s.", rest);
}

static void do_model(struct chat *c, const char *rest)
{
	g_auto(GStrv) names = chat_models(c);
	if (!names)
		return;
	if (*rest) {
		g_free(c->talk.model);
		c->talk.model = g_strdup(rest);
	}
	if (*rest && !g_strv_contains((const char *const *)names, rest))
		screen_error(&c->screen, "the server does not list that model; it is asked for "
					 "all the same");
	for (char **name = names; *name; name++)
		screen_say(&c->screen, "%s %s", strcmp(*name, c->talk.model) ? " " : "*", *name);
}

static const struct {
	const char *name, *argument, *help; /* help NULL: another name, which is not listed */
	void (*run)(struct chat *, const char *rest);
} commands[] = {
	{ "/help", "", "this list", do_help },
	{ "/reset", "", "forgets the conversation", do_reset },
	{ "/system", "TEXT", "sets the system message; without TEXT there is none", do_system },
	{ "/set", "NAME VALUE", "as in /set temperature 0.7; without NAME lists all", do_set },
	{ "/model", "NAME", "changes the model; without NAME lists them", do_model },
	{ "/save", "FILE", "writes the conversation, as Markdown or .json", do_save },
	{ "/quit", "", "ends, as ctrl-D does; so do /exit and /bye", do_quit },
	{ "/exit", "", NULL, do_quit },
	{ "/bye", "", NULL, do_quit },
};

static void do_help(struct chat *c, const char *rest)
{
	for (size_t i = 0; i < G_N_ELEMENTS(commands) && commands[i].help; i++)
		screen_say(&c->screen, "  %-8s%-12s%s", commands[i].name, commands[i].argument,
			   commands[i].help);
	screen_say(&c->screen, "Alt-Enter or a \\ at the end of a line goes on in a new line; "
			       "\"\"\" begins and ends a longer text.");
	screen_say(&c->screen,
		   "ctrl-C stops an answer. To begin a prompt with a slash, write two.");
}

void chat_command(struct chat *c, const char *line)
{
	size_t n = strcspn(line, " \t\n");
	const char *rest = line + n + strspn(line + n, " \t\n");
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (strlen(commands[i].name) == n && memcmp(commands[i].name, line, n) == 0) {
			commands[i].run(c, rest);
			return;
		}
	g_autofree char *error = g_strdup_printf("there is no %.*s; /help lists what there is",
						 (int)MIN(n, 40), line);
	screen_error(&c->screen, error);
}
