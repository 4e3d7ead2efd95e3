/* SPDX-License-Identifier: MIT */
/*
 * weir/tokenizer.h - text to tokens and back, offered by a level-B backend beside its step().
 *
 * The core counts, cuts and forwards tokens with it and knows no format. Usable after load() has
 * succeeded; every call is thread-safe and pure. [worker]
 */
#ifndef WEIR_TOKENIZER_H
#define WEIR_TOKENIZER_H

#include <weir/plugin.h>

#define WEIR_TOKENIZER "weir.tokenizer/1"

enum weir_encode_flag {
	WEIR_ENCODE_ADD_SPECIAL = 1u << 0,   /* begin/end tokens, as the model wants them */
	WEIR_ENCODE_PARSE_SPECIAL = 1u << 1, /* control tokens in the text are recognised */
};

enum weir_piece_flag {
	WEIR_PIECE_SPECIAL = 1u << 0, /* control tokens as their text instead of as nothing */
	WEIR_PIECE_FIRST = 1u << 1,   /* the first token of a text: SPM drops its leading space */
};

struct weir_infill_file { /* another file of the project */
	struct weir_str name, text;
};

struct weir_infill { /* a text with a hole */
	uint32_t size, n_files;
	struct weir_str prefix, suffix;
	const struct weir_infill_file *files; /* n_files, most important last */
	size_t room; /* cut the files, then the text far from the hole, to so many tokens; 0: do not
		      */
};
WEIR_FROZEN(struct weir_infill, room);

struct weir_tokenizer {
	uint32_t size, reserved;
	uint32_t n_vocab;
	int32_t bos, eos; /* -1: none */
	uint32_t reserved2;
	/* Tokens of text. *ret_n is the number there are; at most cap are written to out. When
	 * *ret_n > cap the call still succeeds: give a larger array. */
	weir_status (*encode)(struct weir_instance *, struct weir_str text, uint32_t flags,
			      int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err);
	/* Tokens of a conversation through the model's chat template. context is a JSON object
	 * {messages, tools (null: none), add_generation_prompt, ...template_kwargs}. Text from
	 * messages and tools never becomes a control token. UNSUPPORTED: the model has no template.
	 */
	weir_status (*encode_chat)(struct weir_instance *, struct weir_str context, int32_t *out,
				   size_t cap, size_t *ret_n, struct weir_error *err);
	/* The bytes of one token, perhaps a part of a rune. Returns their number; at most cap are
	 * written. 0 for tokens out of range. */
	size_t (*piece)(struct weir_instance *, int32_t token, uint32_t flags, char *out,
			size_t cap);
	bool (*is_end)(struct weir_instance *,
		       int32_t token); /* ends an answer: eos, end of turn */
	/* The prompt after which the model writes what belongs into the hole, in the order that it
	 * was trained with. No text of it becomes a control token. out, cap, *ret_n as encode().
	 * UNSUPPORTED: the model was not trained for that. */
	weir_status (*encode_infill)(struct weir_instance *, const struct weir_infill *,
				     int32_t *out, size_t cap, size_t *ret_n,
				     struct weir_error *err);
	/* The conversation as the model's chat template writes it, which encode_chat() would make
	 * tokens of; context as there. UTF-8 without a NUL at its end; out, cap, *ret_n as
	 * encode(), in bytes. UNSUPPORTED: the model has no template. */
	weir_status (*render_chat)(struct weir_instance *, struct weir_str context, char *out,
				   size_t cap, size_t *ret_n, struct weir_error *err);
};
WEIR_FROZEN(struct weir_tokenizer, render_chat);

#endif
