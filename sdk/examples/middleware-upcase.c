/* SPDX-License-Identifier: MIT */
/*
 * middleware-upcase.c - the smallest whole middleware: answers leave in capital letters.
 *
 * A template: copy it, rename "upcase", change request() and event(). It shows
 *   - SKIP: a request that a middleware has nothing to do with costs it nothing further;
 *   - an event is lent: change a copy of it, and pass emit()'s status on as it is;
 *   - end() must be handed on exactly once.
 *
 *     cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags weir-sdk) middleware-upcase.c \
 *        -o weir-upcase.so                          in this source tree: -Isdk/include instead
 *     weir check ./weir-upcase.so
 *     weir serve --plugin-path . --set chain.order=upcase
 */
#include <stdlib.h>
#include <string.h>

#include <weir/middleware.h>

struct upcase {
	struct weir_instance base; /* first: the host's pointer is ours */
	const struct weir_stream_api *streams;
	const struct weir_request_api *requests;
	int reasoning; /* change the reasoning channel too */
};

static weir_status request(struct weir_instance *base, void *scratch, weir_request *req,
			   struct weir_error *err)
{
	struct upcase *self = (struct upcase *)base;
	struct weir_str kind = self->requests->field(req, "kind");
	int talks = (kind.len == 4 && !memcmp(kind.data, "chat", 4)) ||
		    (kind.len == 10 && !memcmp(kind.data, "completion", 10));

	return talks ? WEIR_OK : WEIR_SKIP;
}

static weir_status event(struct weir_instance *base, void *scratch, weir_stream *next,
			 const struct weir_event *in)
{
	struct upcase *self = (struct upcase *)base;
	int changes = in->type == WEIR_EVENT_TOKEN || in->type == WEIR_EVENT_TEXT ||
		      (in->type == WEIR_EVENT_REASONING && self->reasoning);
	char small[256], *text = small;
	struct weir_event out;
	weir_status status;

	if (!changes || in->text.len == 0)
		return self->streams->emit(next, in);
	if (in->text.len > sizeof(small))
		text = malloc(in->text.len);
	if (!text)
		return WEIR_E_EXHAUSTED;
	for (size_t i = 0; i < in->text.len; i++) {
		char c = in->text.data[i];
		text[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
	}
	out = *in;
	out.size = sizeof(out);
	out.text.data = text;
	status = self->streams->emit(next, &out);
	if (text != small)
		free(text);
	return status;
}

static void end(struct weir_instance *base, void *scratch, weir_stream *next,
		const struct weir_end *in)
{
	((struct upcase *)base)->streams->end(next, in);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_middleware api = {
		.size = sizeof(api),
		.request = request,
		.event = event,
		.end = end,
	};

	return strcmp(id, WEIR_MIDDLEWARE) ? NULL : &api;
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct upcase *self = calloc(1, sizeof(*self));

	if (!self)
		return WEIR_E_EXHAUSTED;
	for (size_t i = 0; i < n_conf; i++)
		if (!strcmp(conf[i].key, "reasoning"))
			self->reasoning = !strcmp(conf[i].value, "true");
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	if (!self->streams || !self->requests) {
		strcpy(err->text, "the host offers no streams");
		free(self);
		return WEIR_E_UNSUPPORTED;
	}
	self->base.size = sizeof(self->base);
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_option option_reasoning = {
	.size = sizeof(option_reasoning),
	.type = WEIR_OPTION_BOOL,
	.key = "reasoning",
	.fallback = "false",
	.help = "Whether reasoning text is changed too.",
};

static const struct weir_option *const options[] = { &option_reasoning, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_MIDDLEWARE,
	.id = "upcase",
	.title = "Capital letters (SDK example)",
	.help = "Turns the ASCII letters of every answer into capitals.",
	.options = options,
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
		.name = "upcase",
		.version = "1.0",
		.vendor = "Weir",
		.license = "MIT",
		.components = components,
	};

	return &plugin;
}
