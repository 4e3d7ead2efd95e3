/*
 * core/fail.c - fills a struct weir_error and hands its code back, so that a refusal is one line.
 *
 * Called on any thread. The text is always NUL-terminated and ends on a whole UTF-8 rune.
 */
#include "log.h"

#include <string.h>

/* Cuts a rune that the end of the buffer has split. */
static void trim_rune(char *text, size_t len)
{
	size_t start = len;
	while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (want > len - start + 1)
		text[start - 1] = '\0';
}

weir_status weir_fail(struct weir_error *err, weir_status code, const char *format, ...)
{
	if (!err)
		return code;
	err->code = code;
	err->param[0] = '\0';
	va_list args;
	va_start(args, format);
	int n = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (n < 0)
		err->text[0] = '\0';
	else if ((size_t)n >= sizeof(err->text))
		trim_rune(err->text, sizeof(err->text) - 1);
	return code;
}
