/*
 * chain.c - middleware hooks; see chain.h.
 *
 * Level k + 1 of a channel is the handle above link k: what is emitted there goes through link k's
 * event(), which is given handle k as its `next`. Links that skip the request, or have no hook, are
 * left out when the links are made, so that they cost nothing later.
 */
#include "chain.h"

#include <stdatomic.h>
#include <string.h>

#include <glib.h>

#include "log.h"

struct member {
	struct weir_instance *instance;
	const struct weir_middleware *calls;
	char *name;
};

struct weir_chain {
	atomic_int refs;
	size_t n;
	struct member at[];
};

struct link {
	const struct member *member;
	void *scratch;
	uint32_t fanout;
	uint32_t quota; /* events that it may still send on; 0 outside its hooks */
	bool must_end;  /* inside its end(), before it has called end(next) */
};

struct weir_links {
	struct weir_chain *chain;
	uint32_t n, n_done;
	struct link *at;   /* with an event() or end() hook, first is nearest the client */
	struct link *done; /* everybody that said OK, in order */
	uint32_t *fanout;
};

weir_status weir_chain_new(struct weir_instance *const *members, const char *const *names, size_t n,
			   struct weir_chain **ret, struct weir_error *err)
{
	struct weir_chain *chain = g_malloc0(sizeof(*chain) + n * sizeof(chain->at[0]));

	atomic_init(&chain->refs, 1);
	chain->n = n;
	for (size_t i = 0; i < n; i++) {
		struct member *m = &chain->at[i];

		m->instance = members[i];
		m->name = names && names[i] ? g_strdup(names[i])
					    : g_strdup_printf("middleware %zu", i + 1);
		if (WEIR_HAS(struct weir_instance, m->instance, get_ext))
			m->calls = m->instance->get_ext(m->instance, WEIR_MIDDLEWARE);
		if (!m->calls) {
			weir_fail(err, WEIR_E_INVALID, "%s does not offer %s", m->name,
				  WEIR_MIDDLEWARE);
			weir_chain_unref(chain);
			return WEIR_E_INVALID;
		}
	}
	*ret = chain;
	return WEIR_OK;
}

struct weir_chain *weir_chain_ref(struct weir_chain *chain)
{
	atomic_fetch_add(&chain->refs, 1);
	return chain;
}

void weir_chain_unref(struct weir_chain *chain)
{
	if (!chain || atomic_fetch_sub(&chain->refs, 1) > 1)
		return;
	for (size_t i = 0; i < chain->n; i++)
		g_free(chain->at[i].name);
	g_free(chain);
}

/* --- one request --------------------------------------------------------------------------- */

static void links_free(struct weir_links *links)
{
	for (uint32_t i = 0; i < links->n_done; i++)
		g_free(links->done[i].scratch);
	g_free(links->at);
	g_free(links->done);
	g_free(links->fanout);
	weir_chain_unref(links->chain);
	g_free(links);
}

void weir_links_abandon(struct weir_links *links)
{
	if (!links)
		return;
	for (uint32_t i = links->n_done; i-- > 0;) {
		const struct member *m = links->done[i].member;

		if (WEIR_HAS(struct weir_middleware, m->calls, done))
			m->calls->done(m->instance, links->done[i].scratch);
	}
	links_free(links);
}

weir_status weir_chain_request(struct weir_chain *chain, weir_request *request,
			       struct weir_links **ret, struct weir_error *err)
{
	struct weir_links *links = g_new0(struct weir_links, 1);

	links->chain = weir_chain_ref(chain);
	links->at = g_new0(struct link, chain->n + 1);
	links->done = g_new0(struct link, chain->n + 1);
	links->fanout = g_new0(uint32_t, chain->n + 1);
	for (size_t i = 0; i < chain->n; i++) {
		const struct member *m = &chain->at[i];
		struct link link = { .member = m, .fanout = MAX(1u, m->calls->fanout) };
		weir_status status = WEIR_OK;

		if (m->calls->scratch_size > 0)
			link.scratch = g_malloc0(m->calls->scratch_size);
		if (WEIR_HAS(struct weir_middleware, m->calls, request)) {
			if (err)
				err->text[0] = err->param[0] = '\0';
			status = m->calls->request(m->instance, link.scratch, request, err);
		}
		if (status < 0) {
			if (err) {
				err->code = status;
				err->text[sizeof(err->text) - 1] = '\0';
				err->param[sizeof(err->param) - 1] = '\0';
				if (!err->text[0])
					weir_fail(err, status, "%s refused the request", m->name);
			}
			g_free(link.scratch);
			weir_links_abandon(links);
			return status;
		}
		if (status == WEIR_SKIP) {
			g_free(link.scratch);
			continue;
		}
		links->done[links->n_done++] = link;
		if (WEIR_HAS(struct weir_middleware, m->calls, event) ||
		    WEIR_HAS(struct weir_middleware, m->calls, end)) {
			links->fanout[links->n] = link.fanout;
			links->at[links->n++] = link;
		}
	}
	*ret = links;
	return WEIR_OK;
}

/* --- the passage --------------------------------------------------------------------------- */

/* Through link `level - 1`, or the next one down that has the hook. */
static weir_status pass_event(struct weir_channel *c, struct weir_links *links, uint32_t level,
			      const struct weir_event *event)
{
	while (level > 0) {
		struct link *l = &links->at[level - 1];
		weir_status status;
		uint32_t before;

		level--;
		if (!WEIR_HAS(struct weir_middleware, l->member->calls, event))
			continue;
		before = l->quota;
		l->quota = l->fanout;
		status = l->member->calls->event(l->member->instance, l->scratch,
						 weir_channel_handle(c, level), event);
		l->quota = before;
		return status;
	}
	return weir_channel_deliver_event(c, event);
}

static weir_status on_event(struct weir_channel *c, uint32_t level, const struct weir_event *event)
{
	struct weir_links *links = weir_channel_passage_data(c);

	/* Handle `level` is the `next` of link `level`: has it a right to send? */
	if (level < links->n) {
		struct link *l = &links->at[level];

		if (l->quota == 0) {
			weir_channel_misbehaving(c, l->member->name,
						 "sends on more events than its fanout");
			return WEIR_E_INVALID;
		}
		l->quota--;
	}
	return pass_event(c, links, level, event);
}

static void pass_end(struct weir_channel *c, struct weir_links *links, uint32_t level,
		     const struct weir_end *end)
{
	while (level > 0) {
		struct link *l = &links->at[level - 1];

		level--;
		if (!WEIR_HAS(struct weir_middleware, l->member->calls, end))
			continue;
		l->quota = l->fanout;
		l->must_end = true;
		l->member->calls->end(l->member->instance, l->scratch,
				      weir_channel_handle(c, level), end);
		l->quota = 0;
		if (!l->must_end)
			return;
		l->must_end = false;
		weir_channel_misbehaving(c, l->member->name, "did not pass the end on");
	}
	weir_channel_deliver_end(c, end);
}

static void on_end(struct weir_channel *c, uint32_t level, const struct weir_end *end)
{
	struct weir_links *links = weir_channel_passage_data(c);

	if (level < links->n) {
		struct link *l = &links->at[level];

		if (!l->must_end) {
			weir_channel_misbehaving(c, l->member->name, "ends a stream twice");
			return;
		}
		l->must_end = false;
		l->quota = 0;
	}
	pass_end(c, links, level, end);
}

static void on_done(void *data)
{
	weir_links_abandon(data);
}

static const struct weir_passage passage = { on_event, on_end, on_done };

void weir_links_attach(struct weir_links *links, struct weir_channel_options *options)
{
	options->n_links = links->n;
	options->fanout = links->fanout;
	options->passage = &passage;
	options->passage_data = links;
}
