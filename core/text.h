/*
 * core/text.h - UTF-8 and stop strings of generated text.
 *
 * weir_cutter turns the bytes of tokens into whole runes and finds stop strings, however the tokens
 * divide them. It holds back only what may still become something else: an incomplete rune, and the
 * longest suffix that is a proper prefix of a stop string (Knuth, Morris and Pratt's automaton, one
 * state for each stop string, so that a byte costs the same however long they are). The stop string
 * that is complete first wins; of those that end at one byte, the longest. Bytes that are not UTF-8
 * become U+FFFD, one for each maximal part of a rune (Unicode 15, 3.9, practice for U+FFFD).
 */
#ifndef WEIR_CORE_TEXT_H
#define WEIR_CORE_TEXT_H

#include <glib.h>

#include <weir/base.h>

#define WEIR_STOPS_MAX    64
#define WEIR_STOP_MAX_LEN 1024

bool weir_text_valid(struct weir_str);
/* The text with U+FFFD for what is not UTF-8; g_free() the result, which is NUL-terminated. */
char *weir_text_repair(struct weir_str, size_t *ret_len);
/* Appends s as a JSON string with its quotes. s is repaired on the way. */
void weir_text_append_json(GString *, struct weir_str s);

/* Are brackets nested at most `depth` deep? json-glib 1.6 recurses without a limit: ask first. */
bool weir_text_json_shallow(struct weir_str json, uint32_t depth);

struct weir_stops; /* immutable; shared by the choices of a request */

/* INVALID: not a JSON array of strings (a lone string is one too), or too many, or too long. Empty
 * strings are left out. An absent list gives no stops. */
weir_status weir_stops_new(struct weir_str json, struct weir_stops **ret, struct weir_error *err);
void weir_stops_free(struct weir_stops *);

struct weir_cutter;

struct weir_cutter *weir_cutter_new(const struct weir_stops *); /* stops must outlive it */
void weir_cutter_free(struct weir_cutter *);
/* Takes the bytes of a token. *ret: text that is final now, lent until the next call. Returns true
 * when a stop string was found: *ret is then the last text, without it. */
bool weir_cutter_push(struct weir_cutter *, struct weir_str bytes, struct weir_str *ret);
/* The generation is over: what was held back. */
struct weir_str weir_cutter_flush(struct weir_cutter *);
/* The stop string that was found: its place in the request's list, from 1; 0: none was. */
uint32_t weir_cutter_stop(const struct weir_cutter *);
size_t weir_cutter_held(const struct weir_cutter *); /* bytes held back */

#endif
