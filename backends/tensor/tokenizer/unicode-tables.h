/* SPDX-License-Identifier: MIT */
/*
 * unicode-tables.h - classes of code points, and a UTF-8 reader that takes any bytes. Any thread.
 */
#ifndef WEIR_TENSOR_UNICODE_TABLES_H
#define WEIR_TENSOR_UNICODE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* General categories as pre-tokenizers group them. As in unicode-tables.py. */
enum weir_rune_class {
	WEIR_RUNE_NONE = 0, /* C*, Z*, unassigned, invalid */
	WEIR_RUNE_UPPER = 1,
	WEIR_RUNE_LOWER = 2,
	WEIR_RUNE_TITLE = 3,
	WEIR_RUNE_LETTER = 4, /* Lm, Lo */
	WEIR_RUNE_MARK = 5,
	WEIR_RUNE_NUMBER = 6,
	WEIR_RUNE_PUNCT = 7,
	WEIR_RUNE_SYMBOL = 8,
};

/* Stage one: the block of each 128 code points, n_low entries from 0 on and, after an empty one,
 * n_high from WEIR_UNICODE_HIGH on. Stage two: 16 classes in each word, the first code point in the
 * lowest bits. */
#define WEIR_UNICODE_HIGH 0xe0000u
extern const uint32_t weir_unicode_n_low;
extern const uint32_t weir_unicode_n_high;
extern const uint8_t weir_unicode_block[];
extern const uint64_t weir_unicode_class[];

static inline enum weir_rune_class weir_rune_class(uint32_t rune)
{
	uint32_t at, n = weir_unicode_n_low, first = 0;
	uint64_t word;

	if (rune >= WEIR_UNICODE_HIGH) {
		first = weir_unicode_n_low + 1;
		n = weir_unicode_n_high;
		rune -= WEIR_UNICODE_HIGH;
	}
	at = rune >> 7 < n ? rune >> 7 : n;
	word = weir_unicode_class[weir_unicode_block[first + at] * 8u + (rune >> 4 & 7)];
	return (enum weir_rune_class)(word >> (rune & 15) * 4 & 15);
}

/* The property White_Space (PropList.txt), which is what \s means in the published patterns. */
static inline bool weir_rune_is_space(uint32_t rune)
{
	if (rune < 0x85)
		return rune == ' ' || (rune >= 9 && rune <= 13);
	return rune == 0x85 || rune == 0xa0 || rune == 0x1680 ||
	       (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 || rune == 0x2029 ||
	       rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

#define WEIR_RUNE_INVALID 0xffffffffu

/* The rune at p (p < end) and its length. A byte that begins no valid UTF-8 sequence (overlong and
 * surrogates included) counts as WEIR_RUNE_INVALID of length 1, whose class is NONE. */
static inline uint32_t weir_rune_at(const char *p, const char *end, size_t *ret_len)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t left = (size_t)(end - p), len;
	uint32_t rune;

	*ret_len = 1;
	if (s[0] < 0x80)
		return s[0];
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return WEIR_RUNE_INVALID;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (left < len)
		return WEIR_RUNE_INVALID;
	rune = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return WEIR_RUNE_INVALID;
		rune = rune << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && (rune < 0x800 || (rune >= 0xd800 && rune < 0xe000))) ||
	    (len == 4 && (rune < 0x10000 || rune > 0x10ffff)))
		return WEIR_RUNE_INVALID;
	*ret_len = len;
	return rune;
}

#endif
