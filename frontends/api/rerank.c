/*
 * frontends/api/rerank.c - the answer of /v1/rerank, in the shape of Cohere and Jina: the best
 * first. See format.h.
 */
#include <math.h>
#include <stdlib.h>

#include "format.h"
#include "json-check.h"
#include "json-write.h"

struct ranked {
	uint32_t index;
	double score;
};

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	buf_append(&c->text, e->text.data, e->text.len);
}

static int by_score(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* {"scores": [...], "n_tokens": N} of the backend. NULL: it is not that. */
static struct ranked *read_scores(struct api_call *k, uint64_t *ret_tokens)
{
	struct buf *text = &k->choices[0].text;
	struct json_fault fault;
	if (!text->len || !json_check(text->data, text->len, &fault))
		return NULL;
	g_autoptr(JsonNode) root = json_from_string(buf_terminate(text), NULL);
	JsonObject *o = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
	JsonNode *node = o ? json_object_get_member(o, "scores") : NULL;
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	guint n = k->body->n_inputs;
	if (!list || json_array_get_length(list) != n)
		return NULL;
	g_autofree struct ranked *r = g_new0(struct ranked, n);
	for (guint i = 0; i < n; i++) {
		JsonNode *score = json_array_get_element(list, i);
		if (!JSON_NODE_HOLDS_VALUE(score) || !isfinite(json_node_get_double(score)))
			return NULL;
		r[i] = (struct ranked){ i, json_node_get_double(score) };
	}
	JsonNode *tokens = json_object_get_member(o, "n_tokens");
	gint64 n_tokens = tokens && JSON_NODE_HOLDS_VALUE(tokens) ? json_node_get_int(tokens) : 0;
	*ret_tokens = n_tokens > 0 ? (uint64_t)n_tokens : 0;
	return g_steal_pointer(&r);
}

static void put_results(struct api_call *k, const struct ranked *r, uint32_t n, struct buf *out)
{
	g_autoptr(JsonNode) root = k->body->params.return_documents
					   ? json_from_string(k->body->documents, NULL)
					   : NULL;
	JsonArray *texts = root ? json_node_get_array(root) : NULL;
	char score[G_ASCII_DTOSTR_BUF_SIZE];
	for (uint32_t i = 0; i < n; i++) {
		buf_puts(out, i ? ",{\"index\":" : "{\"index\":");
		json_put_uint(out, r[i].index);
		buf_puts(out, ",\"relevance_score\":");
		buf_puts(out, g_ascii_formatd(score, sizeof(score), "%.9g", r[i].score));
		if (texts) {
			buf_puts(out, ",\"document\":{\"text\":");
			json_put_cstring(out, json_array_get_string_element(texts, r[i].index));
			buf_putc(out, '}');
		}
		buf_putc(out, '}');
	}
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	uint64_t n_tokens = 0;
	uint32_t n = k->body->n_inputs, top = k->body->params.top_n;
	g_autofree struct ranked *r = read_scores(k, &n_tokens);
	struct api_usage u;
	api_call_usage(k, &u);
	if (!r) {
		struct weir_str none = { NULL, 0 };
		api_error_from_status(ret_error, k->loop->api->config.profile, WEIR_E_INTERNAL,
				      none, none, 0);
		return false;
	}
	qsort(r, n, sizeof(*r), by_score);
	buf_puts(out, "{\"id\":");
	json_put_cstring(out, k->id);
	buf_puts(out, ",\"object\":\"list\",\"model\":");
	json_put_cstring(out, k->body->model);
	buf_puts(out, ",\"results\":[");
	put_results(k, r, top && top < n ? top : n, out);
	n_tokens = MAX(n_tokens, u.prompt);
	buf_printf(out, "],\"usage\":{\"prompt_tokens\":%" G_GUINT64_FORMAT, n_tokens);
	buf_printf(out, ",\"total_tokens\":%" G_GUINT64_FORMAT "}}", n_tokens);
	return true;
}

const struct api_format api_format_rerank = {
	.id_prefix = "rerank-",
	.events = API_EVENT(JSON),
	.gather = gather,
	.whole = whole,
};
