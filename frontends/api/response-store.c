/*
 * frontends/api/response-store.c - see response-store.h.
 */
#include "response-store.h"

#include <pthread.h>
#include <string.h>

#include <glib.h>

#define OVERHEAD 512 /* of an entry: list, table, allocator */

struct entry {
	struct stored_response r;
	GList link; /* in store->order */
	char *id;
	size_t bytes;
	uint64_t expires_ms;
};

struct response_store {
	pthread_mutex_t lock; /* not a GMutex: ThreadSanitizer sees this one */
	GHashTable *entries;
	GQueue order; /* oldest first */
	size_t bytes, max_bytes;
	uint64_t ttl_ms;
};

static uint64_t now_ms(void)
{
	return (uint64_t)g_get_monotonic_time() / 1000;
}

void stored_response_clear(struct stored_response *r)
{
	g_clear_pointer(&r->object, g_free);
	g_clear_pointer(&r->items, g_free);
	g_clear_pointer(&r->output, g_free);
}

static void entry_free(gpointer data)
{
	struct entry *e = data;
	stored_response_clear(&e->r);
	g_free(e->id);
	g_free(e);
}

struct response_store *response_store_new(size_t max_bytes, uint64_t ttl_ms)
{
	struct response_store *s = g_new0(struct response_store, 1);
	pthread_mutex_init(&s->lock, NULL);
	s->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
	s->max_bytes = max_bytes;
	s->ttl_ms = ttl_ms;
	return s;
}

void response_store_free(struct response_store *s)
{
	if (!s)
		return;
	g_hash_table_unref(s->entries);
	pthread_mutex_destroy(&s->lock);
	g_free(s);
}

static void drop(struct response_store *s, struct entry *e)
{
	s->bytes -= e->bytes;
	g_queue_unlink(&s->order, &e->link);
	g_hash_table_remove(s->entries, e->id);
}

static size_t cost(const struct stored_response *r)
{
	return OVERHEAD + strlen(r->object) + strlen(r->items) + strlen(r->output);
}

/* Room for n bytes more; keep stays. */
static bool make_room(struct response_store *s, size_t n, const struct entry *keep)
{
	uint64_t now = now_ms();
	GList *next;
	if (n > s->max_bytes)
		return false;
	for (GList *i = s->order.head; i; i = next) {
		struct entry *e = i->data;
		next = i->next;
		bool full = s->bytes > s->max_bytes - n;
		if (!full && e->expires_ms > now)
			break;
		if (e->r.done && e != keep)
			drop(s, e);
	}
	return s->bytes <= s->max_bytes - n;
}

bool response_store_add(struct response_store *s, const char *id, const struct stored_response *r)
{
	size_t n = cost(r);
	pthread_mutex_lock(&s->lock);
	bool ok = !g_hash_table_contains(s->entries, id) && make_room(s, n, NULL);
	if (ok) {
		struct entry *e = g_new0(struct entry, 1);
		e->r = (struct stored_response){ .object = g_strdup(r->object),
						 .items = g_strdup(r->items),
						 .output = g_strdup(r->output),
						 .background = r->background,
						 .done = r->done };
		e->id = g_strdup(id);
		e->bytes = n;
		e->expires_ms = now_ms() + s->ttl_ms;
		e->link.data = e;
		s->bytes += n;
		g_queue_push_tail_link(&s->order, &e->link);
		g_hash_table_insert(s->entries, e->id, e);
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool response_store_update(struct response_store *s, const char *id, const char *object,
			   const char *output, bool done)
{
	pthread_mutex_lock(&s->lock);
	struct entry *e = g_hash_table_lookup(s->entries, id);
	bool ok = e != NULL;
	if (e) {
		struct stored_response r = { (char *)object, e->r.items, (char *)output, false,
					     done };
		size_t n = cost(&r);
		ok = n <= e->bytes || make_room(s, n - e->bytes, e);
		if (ok) {
			s->bytes += n - e->bytes;
			e->bytes = n;
			g_free(e->r.object);
			g_free(e->r.output);
			e->r.object = g_strdup(object);
			e->r.output = g_strdup(output);
			e->r.done = done;
		} else {
			drop(s, e);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool response_store_get(struct response_store *s, const char *id, struct stored_response *ret)
{
	pthread_mutex_lock(&s->lock);
	struct entry *e = g_hash_table_lookup(s->entries, id);
	if (e && e->r.done && e->expires_ms <= now_ms()) {
		drop(s, e);
		e = NULL;
	}
	if (e)
		*ret = (struct stored_response){ .object = g_strdup(e->r.object),
						 .items = g_strdup(e->r.items),
						 .output = g_strdup(e->r.output),
						 .background = e->r.background,
						 .done = e->r.done };
	pthread_mutex_unlock(&s->lock);
	return e != NULL;
}

bool response_store_remove(struct response_store *s, const char *id)
{
	pthread_mutex_lock(&s->lock);
	struct entry *e = g_hash_table_lookup(s->entries, id);
	if (e)
		drop(s, e);
	pthread_mutex_unlock(&s->lock);
	return e != NULL;
}

size_t response_store_bytes(struct response_store *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->bytes;
	pthread_mutex_unlock(&s->lock);
	return n;
}
