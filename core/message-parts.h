/*
 * core/message-parts.h - contents of a chat that come as lists of text parts. Pure; any thread.
 */
#ifndef WEIR_CORE_MESSAGE_PARTS_H
#define WEIR_CORE_MESSAGE_PARTS_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <weir/base.h>

/* Messages (a JSON array, OpenAI's shape) into out, contents that are lists of text parts as one
 * string each, the parts on lines of their own: most chat templates know strings only. A list with
 * anything but text stays as it is. False: this is no JSON; out is unchanged. */
bool weir_messages_join(struct weir_str messages, GString *out);
/* Appends a value as JSON: as json-glib writes it, but for control characters in strings, of which
 * it leaves some raw, and doubles, to which it gives digits that mean nothing and exponents that
 * are no JSON. Recursive: the text that it was read from must be shallow. */
void weir_json_append(GString *out, JsonNode *);

#endif
