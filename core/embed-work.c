/*
 * embed-work.c - see embed-work.h. No state of its own.
 */
#include "embed-work.h"

struct weir_embed_work *weir_embed_work_new(void)
{
	struct weir_embed_work *w = g_new0(struct weir_embed_work, 1);
	uint32_t zero = 0;

	w->tokens = g_array_new(FALSE, FALSE, sizeof(int32_t));
	w->first = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	w->scores = g_array_new(FALSE, FALSE, sizeof(float));
	g_array_append_val(w->first, zero);
	return w;
}

void weir_embed_work_free(struct weir_embed_work *w)
{
	if (!w)
		return;
	g_array_unref(w->tokens);
	g_array_unref(w->first);
	g_array_unref(w->scores);
	g_free(w->query);
	g_free(w);
}

void weir_embed_work_add(struct weir_embed_work *w, const int32_t *tokens, uint32_t n)
{
	g_array_append_vals(w->tokens, tokens, n);
	g_array_append_val(w->first, w->tokens->len);
	w->n_texts++;
}

const int32_t *weir_embed_work_text(const struct weir_embed_work *w, uint32_t text, uint32_t *ret_n)
{
	uint32_t from = g_array_index(w->first, uint32_t, text);

	*ret_n = g_array_index(w->first, uint32_t, text + 1) - from;
	return &g_array_index(w->tokens, int32_t, from);
}
