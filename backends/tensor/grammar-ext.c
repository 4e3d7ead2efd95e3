/*
 * grammar-ext.c - see grammar-ext.h.
 */
#include "grammar-ext.h"

static size_t piece(const void *ctx, int32_t token, char *out, size_t cap)
{
	return weir_vocab_ext_is_text(ctx, token) ? weir_vocab_ext_piece(ctx, token, 0, out, cap)
						  : 0;
}

static bool is_end(const void *ctx, int32_t token)
{
	return weir_vocab_ext_is_end(ctx, token);
}

weir_status weir_grammar_ext_new(const struct weir_vocab_ext *vocab, uint32_t n_vocab,
				 struct weir_grammar_engine **ret, struct weir_error *err)
{
	struct weir_grammar_source source = { n_vocab, piece, is_end, vocab };

	return weir_grammar_engine_new(&source, ret, err);
}
