/*
 * frontends/websocket/utf8.c - see utf8.h.
 */
#include "utf8.h"

#include <string.h>

static bool lead(struct ws_utf8 *u, uint8_t b)
{
	u->lo = 0x80;
	u->hi = 0xBF;
	if (b >= 0xC2 && b <= 0xDF) {
		u->need = 1;
	} else if (b >= 0xE0 && b <= 0xEF) {
		u->need = 2;
		if (b == 0xE0)
			u->lo = 0xA0;
		else if (b == 0xED)
			u->hi = 0x9F;
	} else if (b >= 0xF0 && b <= 0xF4) {
		u->need = 3;
		if (b == 0xF0)
			u->lo = 0x90;
		else if (b == 0xF4)
			u->hi = 0x8F;
	} else {
		return false;
	}
	return true;
}

bool ws_utf8_feed(struct ws_utf8 *u, const char *data, size_t n)
{
	const uint8_t *p = (const uint8_t *)data, *end = p + n;
	while (p < end) {
		if (u->need) {
			if (*p < u->lo || *p > u->hi)
				return false;
			u->lo = 0x80;
			u->hi = 0xBF;
			u->need--;
			p++;
			continue;
		}
		uint64_t eight;
		while (end - p >= 8) {
			memcpy(&eight, p, 8);
			if (eight & UINT64_C(0x8080808080808080))
				break;
			p += 8;
		}
		while (p < end && *p < 0x80)
			p++;
		if (p < end && !lead(u, *p++))
			return false;
	}
	return true;
}

bool ws_utf8_complete(const struct ws_utf8 *u)
{
	return u->need == 0;
}
