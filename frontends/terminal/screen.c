/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/screen.c - see screen.h.
 */
#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

void screen_init(struct screen *s)
{
	const char *no_color = g_getenv("NO_COLOR"), *term = g_getenv("TERM");
	*s = (struct screen){ .is_terminal = isatty(STDOUT_FILENO), .at_start = true };
	s->colours = s->is_terminal && !(no_color && *no_color) && g_strcmp0(term, "dumb") != 0;
}

/* Control characters of C0 and C1 but newline and tab, and the marks that turn text around. */
static bool is_harmful(gunichar c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static void write_safe(struct screen *s, FILE *to, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		if (is_harmful(g_utf8_get_char(p)))
			continue;
		fwrite(p, 1, (size_t)(g_utf8_next_char(p) - p), to);
		if (to == stdout)
			s->at_start = *p == '\n';
	}
	fflush(to);
}

void screen_text(struct screen *s, const char *text)
{
	write_safe(s, stdout, text);
}

void screen_dim(struct screen *s, bool on)
{
	if (s->colours && s->dim != on)
		fputs(on ? "\033[2m" : "\033[0m", stdout);
	s->dim = on;
}

void screen_newline(struct screen *s)
{
	if (!s->at_start)
		fputc('\n', stdout);
	s->at_start = true;
	fflush(stdout);
}

static void put_line(struct screen *s, const char *format, va_list ap)
{
	g_autofree char *text = g_strdup_vprintf(format, ap);
	screen_newline(s);
	write_safe(s, stdout, text);
	screen_newline(s);
}

void screen_note(struct screen *s, const char *format, ...)
{
	va_list ap;
	if (!s->is_terminal)
		return;
	va_start(ap, format);
	screen_dim(s, true);
	put_line(s, format, ap);
	screen_dim(s, false);
	fflush(stdout);
	va_end(ap);
}

void screen_say(struct screen *s, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	put_line(s, format, ap);
	va_end(ap);
}

void screen_error(struct screen *s, const char *text)
{
	bool red = isatty(STDERR_FILENO) && s->colours;
	screen_dim(s, false);
	screen_newline(s);
	fputs(red ? "\033[31mweir chat:\033[0m " : "weir chat: ", stderr);
	write_safe(s, stderr, text);
	fputc('\n', stderr);
}
