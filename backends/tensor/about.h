/* SPDX-License-Identifier: MIT */
/*
 * about.h - the texts of a model that its users ask for: chat template, begin and end tokens.
 *
 * Read once by backend.c's load, on a worker; constant until it is cleared.
 */
#ifndef WEIR_TENSOR_ABOUT_H
#define WEIR_TENSOR_ABOUT_H

#include <weir/backend.h>

#include "gguf.h"
#include "vocab-ext.h"

struct weir_about {
	char *chat_template, *bos, *eos; /* NULL: none, or no memory for it */
};

/* Fills ret's three texts, which live as long as a. x may be without a vocabulary. */
void weir_about_read(const struct weir_gguf *g, const struct weir_vocab_ext *x,
		     struct weir_about *a, struct weir_model *ret);
void weir_about_clear(struct weir_about *a);

#endif
