/* SPDX-License-Identifier: MIT */
/*
 * script.c - reads what the echo backend says. One instruction a line; blank lines and lines that
 * begin with '#' do not count. In texts \n, \t and \\ are a newline, a tab and a backslash.
 *
 *   text TEXT         one event
 *   words TEXT        an event for each word, its leading space included
 *   echo              the last user message or the prompt, word by word
 *   reasoning TEXT    word by word, in the reasoning channel
 *   tool JSON         a fragment of a tool call (OpenAI's delta object)
 *   clock             when this event was due: nanoseconds of CLOCK_MONOTONIC
 *   delay 200ms       ms or s
 *   repeat N          the line before is played N times in all
 *   finish WHY        stop | length | tool | filter: how the answer ends
 *   error CODE TEXT   end with an error; CODE as in weir/base.h: INTERNAL, UNAVAILABLE, ...
 */
#include "echo.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE  (4u << 20)
#define MAX_TIMES 100000000

weir_status echo_fail(struct weir_error *err, weir_status code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	err->param[0] = '\0';
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

static const struct {
	const char *name;
	weir_status code;
} codes[] = {
	{ "CANCELLED", WEIR_E_CANCELLED },
	{ "INVALID", WEIR_E_INVALID },
	{ "DEADLINE", WEIR_E_DEADLINE },
	{ "NOT_FOUND", WEIR_E_NOT_FOUND },
	{ "DENIED", WEIR_E_DENIED },
	{ "EXHAUSTED", WEIR_E_EXHAUSTED },
	{ "OUT_OF_RANGE", WEIR_E_OUT_OF_RANGE },
	{ "UNSUPPORTED", WEIR_E_UNSUPPORTED },
	{ "INTERNAL", WEIR_E_INTERNAL },
	{ "UNAVAILABLE", WEIR_E_UNAVAILABLE },
	{ "UNAUTH", WEIR_E_UNAUTH },
	{ "QUEUE_FULL", WEIR_E_QUEUE_FULL },
	{ "RATE_LIMITED", WEIR_E_RATE_LIMITED },
	{ "NO_MODEL", WEIR_E_NO_MODEL },
};

static const char *const finishes[] = { "", "stop", "length", "tool", "filter" };

static const struct {
	const char *name;
	enum echo_verb verb;
	bool has_text;
} verbs[] = {
	{ "text", ECHO_TEXT, true },     { "words", ECHO_WORDS, true },
	{ "echo", ECHO_ECHO, false },    { "reasoning", ECHO_REASONING, true },
	{ "tool", ECHO_TOOL, true },     { "delay", ECHO_DELAY, true },
	{ "finish", ECHO_FINISH, true }, { "error", ECHO_ERROR, true },
	{ "clock", ECHO_CLOCK, false },
};

static void unescape(char *text, size_t *len)
{
	size_t to = 0;

	for (size_t i = 0; i < *len; i++) {
		char c = text[i];

		if (c == '\\' && i + 1 < *len) {
			c = text[++i];
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		text[to++] = c;
	}
	text[to] = '\0';
	*len = to;
}

static bool parse_delay(const char *text, int64_t *ret_ns)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || !(value >= 0) || value > 86400e3)
		return false;
	if (strcmp(end, "ms") == 0)
		*ret_ns = (int64_t)(value * 1e6);
	else if (strcmp(end, "s") == 0 && value <= 86400)
		*ret_ns = (int64_t)(value * 1e9);
	else
		return false;
	return true;
}

/* The instruction's argument, in line->text, becomes what its verb wants. NULL: fine. */
static const char *digest(struct echo_line *line)
{
	size_t n;

	switch (line->verb) {
	case ECHO_DELAY:
		return parse_delay(line->text, &line->delay_ns) ? NULL
								: "write a delay as 200ms or 1.5s";
	case ECHO_FINISH:
		for (uint32_t i = 1; i < sizeof(finishes) / sizeof(finishes[0]); i++)
			if (strcmp(line->text, finishes[i]) == 0)
				line->finish = i;
		return line->finish ? NULL : "finish is one of stop, length, tool, filter";
	case ECHO_ERROR:
		n = strcspn(line->text, " \t");
		for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
			if (strlen(codes[i].name) == n && memcmp(line->text, codes[i].name, n) == 0)
				line->code = codes[i].code;
		if (!line->code)
			return "error needs a code of weir/base.h, such as INTERNAL";
		n += strspn(line->text + n, " \t");
		memmove(line->text, line->text + n, line->len - n + 1);
		line->len -= n;
		unescape(line->text, &line->len);
		return NULL;
	default:
		unescape(line->text, &line->len);
		return NULL;
	}
}

static const char *parse_line(char *s, struct echo_script *script)
{
	size_t word = strcspn(s, " \t"), rest = word + strspn(s + word, " \t");
	struct echo_line line = { .times = 1 }, *grown;
	bool known = false, has_text = false;

	if (word == 6 && memcmp(s, "repeat", 6) == 0) {
		char *end;
		long times = strtol(s + rest, &end, 10);

		if (script->n == 0)
			return "repeat needs a line before it";
		if (end == s + rest || *end || times < 1 || times > MAX_TIMES)
			return "repeat needs a number from 1 to 100000000";
		script->lines[script->n - 1].times = (uint32_t)times;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strlen(verbs[i].name) == word && memcmp(s, verbs[i].name, word) == 0) {
			line.verb = verbs[i].verb;
			has_text = verbs[i].has_text;
			known = true;
		}
	}
	if (!known)
		return "unknown instruction; there are text, words, echo, reasoning, tool, clock, "
		       "delay, repeat, finish and error";
	if (has_text != (s[rest] != '\0'))
		return has_text ? "this instruction needs an argument"
				: "this instruction takes no argument";
	if ((script->n & (script->n - 1)) == 0) {
		size_t cap = script->n ? script->n * 2 : 1;

		grown = realloc(script->lines, cap * sizeof(*grown));
		if (!grown)
			return "out of memory";
		script->lines = grown;
	}
	line.text = strdup(s + rest);
	if (!line.text)
		return "out of memory";
	line.len = strlen(line.text);
	script->lines[script->n++] = line;
	return digest(&script->lines[script->n - 1]);
}

void echo_script_clear(struct echo_script *script)
{
	for (size_t i = 0; i < script->n; i++)
		free(script->lines[i].text);
	free(script->lines);
	memset(script, 0, sizeof(*script));
}

weir_status echo_script_parse(const char *name, const char *text, size_t len,
			      struct echo_script *ret, struct weir_error *err)
{
	struct echo_script script = { NULL, 0 };
	char *copy = malloc(len + 1), *at, *next;
	const char *wrong = copy ? NULL : "out of memory";
	size_t number = 0;

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
		if (strlen(copy) != len)
			wrong = "the file holds a NUL byte";
	}
	for (at = copy; at && *at && !wrong; at = next) {
		size_t n = strcspn(at, "\n");

		next = at + n + (at[n] == '\n');
		at[n] = '\0';
		if (n > 0 && at[n - 1] == '\r')
			at[n - 1] = '\0';
		number++;
		at += strspn(at, " \t");
		if (*at && *at != '#')
			wrong = parse_line(at, &script);
	}
	free(copy);
	if (!wrong && script.n == 0)
		wrong = "the script says nothing: write at least one instruction";
	if (wrong) {
		echo_script_clear(&script);
		return echo_fail(err, WEIR_E_INVALID, "%s:%zu: %s", name, number, wrong);
	}
	*ret = script;
	return WEIR_OK;
}

weir_status echo_script_read(const char *path, struct echo_script *ret, struct weir_error *err)
{
	weir_status status;
	char *text;
	size_t len;
	FILE *f;

	if (!path || !*path)
		return echo_script_parse("default", "echo", 4, ret, err);
	f = fopen(path, "rb");
	if (!f)
		return echo_fail(err, WEIR_E_NOT_FOUND, "%s: %s", path, strerror(errno));
	text = malloc(MAX_FILE + 1);
	len = text ? fread(text, 1, MAX_FILE + 1, f) : 0;
	if (!text)
		status = echo_fail(err, WEIR_E_EXHAUSTED, "out of memory");
	else if (ferror(f))
		status = echo_fail(err, WEIR_E_INVALID, "%s: cannot be read", path);
	else if (len > MAX_FILE)
		status = echo_fail(err, WEIR_E_INVALID, "%s: longer than 4 MiB", path);
	else
		status = echo_script_parse(path, text, len, ret, err);
	free(text);
	fclose(f);
	return status;
}
