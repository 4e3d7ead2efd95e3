/*
 * frontends/api/chunk.c - what chat and completions share: the chunks of a stream, and the object
 * around the choices of a whole answer. See format.h.
 */
#include <stdlib.h>

#include "format.h"
#include "json-write.h"

#define FINGERPRINT "\"system_fingerprint\":\"weir-" WEIR_VERSION "\""

static const char choices_key[] = ",\"choices\":[{\"index\":";

const char *api_finish_reason(uint32_t finish)
{
	switch (finish) {
	case WEIR_FINISH_STOP:
		return "\"stop\"";
	case WEIR_FINISH_LENGTH:
		return "\"length\"";
	case WEIR_FINISH_TOOL:
		return "\"tool_calls\"";
	case WEIR_FINISH_FILTER:
		return "\"content_filter\"";
	default:
		return "null";
	}
}

static void put_head(const struct api_call *k, const char *object, struct buf *b)
{
	buf_puts(b, "{\"id\":");
	json_put_cstring(b, k->id);
	buf_printf(b, ",\"object\":\"%s\",\"created\":%" G_GINT64_FORMAT ",\"model\":", object,
		   k->created);
	json_put_cstring(b, k->body->model);
}

void api_chunk_init(struct api_call *k, const char *object)
{
	put_head(k, object, &k->prefix);
	buf_puts(&k->prefix, "," FINGERPRINT);
	buf_puts(&k->prefix, choices_key);
}

struct buf *api_chunk_begin(struct api_call *k, const struct api_choice *c)
{
	struct buf *out = api_call_frame(k, NULL);
	buf_append(out, k->prefix.data, k->prefix.len);
	json_put_uint(out, c->index);
	return out;
}

char *api_stop_string(const struct api_call *k, const struct api_choice *c)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonArray *list;
	if (!c->stop || !k->body->stop ||
	    !json_parser_load_from_data(parser, k->body->stop, -1, NULL))
		return NULL;
	list = json_node_get_array(json_parser_get_root(parser));
	return c->stop <= json_array_get_length(list)
		       ? g_strdup(json_array_get_string_element(list, c->stop - 1))
		       : NULL;
}

void api_put_finish(const struct api_call *k, const struct api_choice *c, struct buf *out)
{
	g_autofree char *stop = api_stop_string(k, c);
	buf_puts(out, "\"finish_reason\":");
	buf_puts(out, api_finish_reason(c->finish));
	buf_puts(out, ",\"stop_reason\":");
	json_put_cstring(out, stop);
}

void api_chunk_end(struct api_call *k, struct buf *out, const struct api_choice *over)
{
	if (over) {
		buf_putc(out, ',');
		api_put_finish(k, over, out);
	} else {
		buf_puts(out, ",\"finish_reason\":null");
	}
	if (!k->body->params.include_usage) {
		buf_puts(out, "}]}");
	} else if (!k->body->params.continuous_usage) {
		buf_puts(out, "}],\"usage\":null}");
	} else {
		buf_puts(out, "}],\"usage\":");
		api_put_usage(k, out);
		buf_putc(out, '}');
	}
	api_call_frame_end(k);
}

void api_chunk_usage(struct api_call *k)
{
	if (!k->body->params.include_usage)
		return;
	struct buf *out = api_call_frame(k, NULL);
	buf_append(out, k->prefix.data, k->prefix.len - (sizeof(choices_key) - 1));
	buf_puts(out, ",\"choices\":[],\"usage\":");
	api_put_usage(k, out);
	buf_putc(out, '}');
	api_call_frame_end(k);
}

void api_chunk_error(struct api_call *k, const struct api_error *e)
{
	struct buf *out = api_call_frame(k, NULL);
	buf_puts(out, "{\"error\":");
	api_error_object(out, e);
	buf_putc(out, '}');
	api_call_frame_end(k);
}

void api_put_usage(const struct api_call *k, struct buf *out)
{
	struct api_usage u;
	api_call_usage(k, &u);
	buf_puts(out, "{\"prompt_tokens\":");
	json_put_uint(out, u.prompt);
	buf_puts(out, ",\"completion_tokens\":");
	json_put_uint(out, u.output);
	buf_puts(out, ",\"total_tokens\":");
	json_put_uint(out, u.prompt + u.output);
	buf_puts(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
	json_put_uint(out, u.cached);
	buf_puts(out, "},\"completion_tokens_details\":{\"reasoning_tokens\":");
	json_put_uint(out, u.reasoning);
	buf_puts(out, "}}");
}

static int by_likelihood(const void *a, const void *b)
{
	const struct api_choice *x = a, *y = b;
	double lx = x->n_tokens ? x->logprob / x->n_tokens : -1e30;
	double ly = y->n_tokens ? y->logprob / y->n_tokens : -1e30;
	return (lx < ly) - (lx > ly);
}

/* best_of: of each prompt's candidates the n most likely, by mean log-probability of a token. */
static void put_choices(struct api_call *k, struct buf *b,
			void (*each)(struct api_call *, struct api_choice *, uint32_t index,
				     struct buf *out))
{
	uint32_t n = k->body->params.limits.n, at = 0;
	for (uint32_t p = 0; p < k->n_streams; p++) {
		struct api_choice *first = &k->choices[p * k->n_each];
		if (n < k->n_each)
			qsort(first, k->n_each, sizeof(*first), by_likelihood);
		for (uint32_t i = 0; i < n; i++) {
			if (at)
				buf_putc(b, ',');
			each(k, &first[i], at++, b);
		}
	}
}

void api_chunk_whole(struct api_call *k, const char *object, struct buf *out,
		     void (*each)(struct api_call *, struct api_choice *, uint32_t index,
				  struct buf *out))
{
	put_head(k, object, out);
	buf_puts(out, ",\"choices\":[");
	put_choices(k, out, each);
	buf_putc(out, ']');
	if (k->body->endpoint->kind == API_KIND_CHAT)
		api_prompt_put_list(k, &k->streams[0], out);
	buf_puts(out, ",\"usage\":");
	api_put_usage(k, out);
	buf_puts(out, "," FINGERPRINT "}");
}
