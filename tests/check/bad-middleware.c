/*
 * tests/check/bad-middleware.c - middleware that breaks the contract: BAD_MUTE keeps the end to
 * itself, BAD_TWICE hands it on twice, BAD_BEFORE sends text before STARTED.
 */
#include <stdlib.h>
#include <string.h>

#include <weir/middleware.h>

struct bad {
	struct weir_instance base;
	const struct weir_stream_api *streams;
};

static weir_status event(struct weir_instance *base, void *scratch, weir_stream *next,
			 const struct weir_event *in)
{
	struct weir_event out = *in;
#ifdef BAD_BEFORE
	if (in->type == WEIR_EVENT_STARTED)
		out.type = WEIR_EVENT_TEXT;
#endif
	return ((struct bad *)base)->streams->emit(next, &out);
}

static void end(struct weir_instance *base, void *scratch, weir_stream *next,
		const struct weir_end *in)
{
#ifndef BAD_MUTE
	((struct bad *)base)->streams->end(next, in);
#endif
#ifdef BAD_TWICE
	((struct bad *)base)->streams->end(next, in);
#endif
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_middleware api = { .size = sizeof(api),
						    .event = event,
						    .end = end };
	return strcmp(id, WEIR_MIDDLEWARE) ? NULL : &api;
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct bad *self = calloc(1, sizeof(*self));
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->base.size = sizeof(self->base);
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_MIDDLEWARE,
	.id = BAD_NAME,
	.title = "For tests",
	.help = "Breaks the contract in one way.",
	.create = create,
};

WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static const struct weir_component *const components[] = { &component, NULL };
	static const struct weir_plugin plugin = {
		.size = sizeof(plugin),
		.abi = WEIR_ABI,
		.abi_min = WEIR_ABI,
		.sanitizer = WEIR_SANITIZER,
		.name = BAD_NAME,
		.version = "1.0",
		.components = components,
	};
	return &plugin;
}
