/*
 * frontends/api/response-store.h - responses that can be asked for again: GET /v1/responses/{id},
 * previous_response_id. In memory, bounded in bytes and time. [any]: it has a lock.
 *
 * The oldest complete ones go first when there is no room; one in progress never goes. Ids are 128
 * random bits: who knows one may read it.
 */
#ifndef API_RESPONSE_STORE_H
#define API_RESPONSE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct response_store;

struct stored_response {
	char *object; /* JSON: the response */
	char *items;  /* JSON array: what it answers, conversation and all, oldest first */
	char *output; /* JSON array: its items; "[]" while in progress */
	bool background, done;
};

struct response_store *response_store_new(size_t max_bytes, uint64_t ttl_ms);
void response_store_free(struct response_store *);
/* Copies. A new entry; false: no room. */
bool response_store_add(struct response_store *, const char *id, const struct stored_response *);
/* Another object and output for an entry that is still there. False: gone, or no room any more: it
 * is removed then. */
bool response_store_update(struct response_store *, const char *id, const char *object,
			   const char *output, bool done);
/* A copy, to be cleared. */
bool response_store_get(struct response_store *, const char *id, struct stored_response *ret);
bool response_store_remove(struct response_store *, const char *id);
size_t response_store_bytes(struct response_store *);
void stored_response_clear(struct stored_response *);

#endif
