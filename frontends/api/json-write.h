/*
 * frontends/api/json-write.h - JSON text onto a buffer, for the paths where a tree would cost.
 *
 * Pure. Text from outside is made safe here: control characters are escaped, bytes that are not
 * UTF-8 become U+FFFD, so whatever a plugin emits the output stays valid JSON (RFC 8259).
 */
#ifndef API_JSON_WRITE_H
#define API_JSON_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Length of the well-formed UTF-8 sequence at text (Unicode 15 table 3-7) when it begins with a
 * byte of 0x80 or more; 0: there is none. */
size_t json_rune_length(const char *text, size_t n);
/* What a string holds between its quotes. */
void json_put_escaped(struct buf *, const char *text, size_t len);
void json_put_string(struct buf *, const char *text, size_t len); /* with quotes */
void json_put_cstring(struct buf *, const char *text);            /* NULL: null */
/* "name": with the colon; name needs no escape. */
void json_put_key(struct buf *, const char *name);
void json_put_uint(struct buf *, uint64_t value);
void json_put_int(struct buf *, int64_t value);
/* A log-probability: at least -9999, NaN is null. */
void json_put_logprob(struct buf *, float value);
/* An array of the byte values. */
void json_put_bytes(struct buf *, const char *data, size_t len);

#endif
