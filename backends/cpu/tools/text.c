/* SPDX-License-Identifier: MIT */
/*
 * text.c - numbers, JSON strings and whole files for the commands; see tool.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "tool.h"

enum { MAX_FILE = 64 << 20, FIRST_ROOM = 1 << 16 };

struct tool_number tool_bytes(uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct tool_number ret;
	double x = (double)n / 1024;
	size_t unit = 0;

	if (n < 1024) {
		snprintf(ret.text, sizeof(ret.text), "%llu bytes", (unsigned long long)n);
		return ret;
	}
	for (; x >= 1024 && unit < 5; unit++)
		x /= 1024;
	snprintf(ret.text, sizeof(ret.text), "%.*f %s", x < 10 ? 2 : 1, x, units[unit]);
	return ret;
}

struct tool_number tool_count(uint64_t n)
{
	struct tool_number ret;
	double x = (double)n;
	size_t unit = 0;

	for (; x >= 1000 && unit < 4; unit++)
		x /= 1000;
	snprintf(ret.text, sizeof(ret.text), unit ? "%.2f%.1s" : "%.0f%.1s", x, &" KMBT"[unit]);
	if (!unit)
		ret.text[strcspn(ret.text, " ")] = '\0';
	return ret;
}

/* The length of the UTF-8 sequence at p, 0 when it is none (Unicode 15, table 3-7). */
static size_t rune_length(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80                   ? 1
		     : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		     : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		     : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						   : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

void tool_json_string(FILE *to, struct weir_str text)
{
	const unsigned char *p = (const unsigned char *)text.data;

	fputc('"', to);
	for (size_t i = 0; i < text.len;) {
		size_t n = rune_length(p + i, text.len - i);

		if (n == 0)
			fputs("\\ufffd", to);
		else if (p[i] == '"' || p[i] == '\\')
			fprintf(to, "\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] == 0x7f)
			fprintf(to, "\\u%04x", p[i]);
		else
			fwrite(p + i, 1, n, to);
		i += n ? n : 1;
	}
	fputc('"', to);
}

void tool_json_text(FILE *to, const char *text)
{
	tool_json_string(to, (struct weir_str){ text, strlen(text) });
}

const char *tool_printable(struct weir_str text, char *ret, size_t cap)
{
	const unsigned char *p = (const unsigned char *)text.data;
	size_t at = 0;

	for (size_t i = 0; i < text.len;) {
		size_t n = rune_length(p + i, text.len - i);
		bool plain = n > 1 ? !(p[i] == 0xc2 && p[i + 1] < 0xa0)
				   : n == 1 && p[i] >= 0x20 && p[i] != 0x7f;

		if (at + 4 + 4 > cap) {
			memcpy(ret + at, "...", 4);
			return ret;
		}
		if (plain) {
			memcpy(ret + at, p + i, n);
			at += n;
		} else {
			at += (size_t)snprintf(ret + at, cap - at, "\\x%02x", p[i]);
			n = 1;
		}
		i += n;
	}
	ret[at] = '\0';
	return ret;
}

weir_status tool_read(const char *path, char **ret, size_t *ret_len, struct weir_error *err)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : fopen(path, "re");
	const char *name = standard ? "standard input" : path;
	size_t len = 0, room = FIRST_ROOM;
	weir_status status = WEIR_OK;
	char *text = NULL;

	if (!file)
		return weir_fail(err, errno == ENOENT ? WEIR_E_NOT_FOUND : WEIR_E_DENIED,
				 "%.300s could not be opened: %s", path, strerror(errno));
	text = malloc(room + 1);
	while (text) {
		size_t n = fread(text + len, 1, room - len, file);
		char *larger;

		len += n;
		if (len < room)
			break;
		if (room >= MAX_FILE) {
			status = weir_fail(err, WEIR_E_OUT_OF_RANGE,
					   "%.300s is longer than 64 MiB; give it in parts", name);
			goto out;
		}
		room *= 2;
		larger = realloc(text, room + 1);
		if (!larger) {
			free(text);
			text = NULL;
		} else {
			text = larger;
		}
	}
	if (!text)
		status = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for %.300s", name);
	else if (ferror(file))
		status = weir_fail(err, WEIR_E_UNAVAILABLE, "%.300s could not be read: %s", name,
				   strerror(errno));
out:
	if (!standard)
		fclose(file);
	if (status != WEIR_OK) {
		free(text);
		return status;
	}
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	return WEIR_OK;
}
