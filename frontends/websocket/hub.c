/*
 * frontends/websocket/hub.c - see hub.h.
 */
#include "hub.h"

#include "request.h"

void ws_shared_init(struct ws_shared *s)
{
	pthread_mutex_init(&s->lock, NULL);
	s->tokens = g_hash_table_new(g_str_hash, g_str_equal);
	atomic_init(&s->n_compressed, 0);
}

void ws_shared_clear(struct ws_shared *s)
{
	if (!s->tokens)
		return;
	g_assert(g_hash_table_size(s->tokens) == 0);
	g_clear_pointer(&s->tokens, g_hash_table_unref);
	pthread_mutex_destroy(&s->lock);
}

struct ws_hub *ws_shared_find(struct ws_shared *s, const char *token)
{
	pthread_mutex_lock(&s->lock);
	struct ws_hub *h = g_hash_table_lookup(s->tokens, token);
	pthread_mutex_unlock(&s->lock);
	return h;
}

void ws_hub_add(struct ws_hub *h, struct ws_request *r)
{
	g_hash_table_insert(h->resumable, r->token, r);
	pthread_mutex_lock(&h->shared->lock);
	g_hash_table_insert(h->shared->tokens, r->token, h);
	pthread_mutex_unlock(&h->shared->lock);
}

void ws_hub_remove(struct ws_hub *h, struct ws_request *r)
{
	pthread_mutex_lock(&h->shared->lock);
	g_hash_table_remove(h->shared->tokens, r->token);
	pthread_mutex_unlock(&h->shared->lock);
	g_hash_table_remove(h->resumable, r->token);
}

void ws_hub_init(struct ws_hub *h, struct api_loop *api, const struct ws_config *config,
		 struct replay_budget *budget, struct ws_shared *shared)
{
	*h = (struct ws_hub){ .api = api, .config = config, .budget = budget, .shared = shared };
	h->resumable = g_hash_table_new(g_str_hash, g_str_equal);
	g_queue_init(&h->leaving);
}

static void drop_first(struct ws_hub *h)
{
	struct ws_request *r = g_queue_peek_head(&h->leaving);
	if (r->call)
		api_call_detach(g_steal_pointer(&r->call));
	ws_request_free(r);
}

void ws_hub_clear(struct ws_hub *h)
{
	if (!h->resumable)
		return;
	while (!g_queue_is_empty(&h->leaving))
		drop_first(h);
	g_assert(g_hash_table_size(h->resumable) == 0);
	g_clear_pointer(&h->resumable, g_hash_table_unref);
	buf_free(&h->json);
}

uint64_t ws_hub_due(const struct ws_hub *h)
{
	const struct ws_request *r = h->leaving.head ? h->leaving.head->data : NULL;
	return r ? r->expires_ms : 0;
}

void ws_hub_tick(struct ws_hub *h, uint64_t now_ms)
{
	uint64_t due;
	while ((due = ws_hub_due(h)) && due <= now_ms)
		drop_first(h);
}

void ws_hub_drain(struct ws_hub *h)
{
	h->draining = true;
	while (!g_queue_is_empty(&h->leaving))
		drop_first(h);
}

void ws_hub_cancel(struct ws_hub *h, const char *token)
{
	struct ws_request *r = g_hash_table_lookup(h->resumable, token);
	if (r && r->call)
		ws_request_cancel(r);
}
