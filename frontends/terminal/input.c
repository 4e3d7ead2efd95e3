/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/input.c - see input.h.
 */
#include "input.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <sys/stat.h>

#ifdef HAVE_LIBEDIT
#include <histedit.h>
#endif

#define MAX_HISTORY 1000
#define MAX_PROMPT  (4u << 20)
#define QUOTES      "\"\"\""

struct input {
	bool terminal, colours;
	bool more;    /* the prompt is that of a line that continues */
	bool aborted; /* ctrl-C */
	char *line;   /* getline()'s */
	size_t cap;
#ifdef HAVE_LIBEDIT
	EditLine *edit;
	History *history;
	HistEvent event;
	char *history_path;
#endif
};

/* ---- libedit ---- */

#ifdef HAVE_LIBEDIT
static char *prompt(EditLine *edit)
{
	/* \1 begins and ends what takes no room on the screen. */
	static char plain[] = "> ", more[] = ". ";
	/* libedit loses such a sequence at the prompt's very end. */
	static char bold[] = "\1\033[1;36m\1>\1\033[0m\1 ", dots[] = "\1\033[2m\1.\1\033[0m\1 ";
	struct input *in;
	el_get(edit, EL_CLIENTDATA, &in);
	if (in->colours)
		return in->more ? dots : bold;
	return in->more ? more : plain;
}

static unsigned char on_newline(EditLine *edit, int key)
{
	return el_insertstr(edit, "\n") < 0 ? CC_ERROR : CC_REFRESH;
}

static unsigned char on_abort(EditLine *edit, int key)
{
	struct input *in;
	el_get(edit, EL_CLIENTDATA, &in);
	in->aborted = true;
	return CC_NEWLINE;
}

static unsigned char on_suspend(EditLine *edit, int key)
{
	el_set(edit, EL_PREP_TERM, 0);
	raise(SIGTSTP);
	el_set(edit, EL_PREP_TERM, 1);
	return CC_REDISPLAY;
}

static void open_history(struct input *in)
{
	g_autofree char *folder = g_build_filename(g_get_user_state_dir(), "weir", NULL);
	in->history = history_init();
	history(in->history, &in->event, H_SETSIZE, MAX_HISTORY);
	history(in->history, &in->event, H_SETUNIQUE, 1);
	el_set(in->edit, EL_HIST, history, in->history);
	if (g_mkdir_with_parents(folder, 0700) < 0)
		return; /* no home: the history ends with the program */
	in->history_path = g_build_filename(folder, "chat-history", NULL);
	history(in->history, &in->event, H_LOAD, in->history_path);
}

static bool open_edit(struct input *in)
{
	/* In the locale that knows ASCII only, libedit would drop what is typed of other letters.
	 */
	if (strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	in->edit = el_init("weir", stdin, stdout, stderr);
	if (!in->edit)
		return false;
	el_set(in->edit, EL_CLIENTDATA, in);
	el_set(in->edit, EL_PROMPT_ESC, prompt, '\1');
	el_set(in->edit, EL_EDITOR, "emacs");
	open_history(in);
	el_source(in->edit, NULL); /* the user's ~/.editrc */
	/* el_set() would copy the texts and never free them. */
	el_wset(in->edit, EL_ADDFN, L"weir-newline", L"Insert a newline", on_newline);
	el_wset(in->edit, EL_ADDFN, L"weir-abort", L"Drop the line", on_abort);
	el_set(in->edit, EL_BIND, "\033\r", "weir-newline", NULL);
	el_set(in->edit, EL_BIND, "\033\n", "weir-newline", NULL);
	el_set(in->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
	/* While a line is edited ctrl-C and ctrl-Z are keys like others, not signals. */
	el_set(in->edit, EL_SETTY, "-d", "-isig", NULL);
	/* A ctrl-D typed while an answer still comes waits as itself: as the line discipline's end
	 * of file it would be lost when editing begins. */
	el_set(in->edit, EL_SETTY, "-x", "eof=", NULL);
	el_set(in->edit, EL_BIND, "^C", "weir-abort", NULL);
	el_wset(in->edit, EL_ADDFN, L"weir-suspend", L"Stop until fg", on_suspend);
	el_set(in->edit, EL_BIND, "^Z", "weir-suspend", NULL);
	return true;
}

static void close_edit(struct input *in)
{
	if (in->history && in->history_path) {
		mode_t old = umask(0077);
		history(in->history, &in->event, H_SAVE, in->history_path);
		umask(old);
	}
	if (in->edit)
		el_end(in->edit);
	if (in->history)
		history_end(in->history);
	g_free(in->history_path);
}

static void remember(struct input *in, const char *text)
{
	history(in->history, &in->event, H_ENTER, text);
}

static const char *edit_line(struct input *in)
{
	int n = 0;
	in->aborted = false;
	/* libedit shows the prompt a moment before it changes the terminal's mode. */
	signal(SIGINT, SIG_IGN);
	const char *line = el_gets(in->edit, &n);
	if (!in->aborted)
		return n > 0 ? line : NULL;
	fputs("^C\n", stdout);
	return "";
}
#else
static bool open_edit(struct input *in)
{
	return false;
}

static void close_edit(struct input *in)
{
}

static void remember(struct input *in, const char *text)
{
}

static const char *edit_line(struct input *in)
{
	return NULL;
}
#endif

/* ---- either ---- */

struct input *input_new(bool colours)
{
	struct input *in = g_new0(struct input, 1);
	in->colours = colours;
	in->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && open_edit(in);
	return in;
}

void input_free(struct input *in)
{
	if (!in)
		return;
	close_edit(in);
	free(in->line);
	g_free(in);
}

bool input_is_terminal(const struct input *in)
{
	return in->terminal;
}

/* One line without its end; NULL: no more. */
static char *read_line(struct input *in)
{
	const char *line = NULL;
	if (in->terminal) {
		line = edit_line(in);
	} else if (getline(&in->line, &in->cap, stdin) > 0) {
		line = in->line;
	}
	if (!line)
		return NULL;
	size_t n = strlen(line);
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
		n--;
	return g_utf8_make_valid(line, (gssize)MIN(n, MAX_PROMPT));
}

/* What belongs to the line that was begun. False: ctrl-C. */
static bool read_rest(struct input *in, GString *text)
{
	bool quoted = strcmp(text->str, QUOTES) == 0;
	if (quoted)
		g_string_truncate(text, 0);
	in->more = true;
	for (;;) {
		bool goes_on = text->len && text->str[text->len - 1] == '\\';
		if (!quoted && !goes_on)
			return true;
		if (!quoted)
			text->str[text->len - 1] = '\n';
		g_autofree char *line = read_line(in);
		if (in->aborted)
			return false;
		if (!line || (quoted && strcmp(line, QUOTES) == 0))
			return true;
		if (quoted && text->len)
			g_string_append_c(text, '\n');
		if (text->len < MAX_PROMPT)
			g_string_append(text, line);
	}
}

char *input_read(struct input *in)
{
	for (;;) {
		g_autofree char *line = read_line(in);
		if (!line)
			return NULL;
		GString *text = g_string_new(in->aborted ? "" : line);
		bool whole = !in->terminal || in->aborted || read_rest(in, text);
		in->more = false;
		g_autofree char *stripped = g_strstrip(g_strdup(text->str));
		if (whole && *stripped) {
			if (in->terminal)
				remember(in, text->str);
			g_string_free(text, TRUE);
			return g_steal_pointer(&stripped);
		}
		g_string_free(text, TRUE);
	}
}
