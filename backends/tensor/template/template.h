/* SPDX-License-Identifier: MIT */
/*
 * template.h - chat templates: Weir's own Jinja interpreter.
 *
 * Called by the backends that share this library, when a model is loaded (parse) and once per chat
 * request (render). Thread: [worker]; a parsed template is immutable and may be rendered by any
 * number of threads at once. Each render owns its memory and gives all of it back before it
 * returns; nothing here is global.
 *
 * The language is jinja2 3.1 as the transformers package configures it (immutable sandbox,
 * trim_blocks, lstrip_blocks, loop controls, the generation tag, plain tojson, raise_exception,
 * strftime_now). What differs on purpose: include, import, extends and autoescape are refused;
 * lipsum, random, pprint, urlize, wordwrap and striptags are absent; integers beyond 64 bits can be
 * printed and compared, not computed with.
 */
#ifndef WEIR_TEMPLATE_H
#define WEIR_TEMPLATE_H

#include <weir/base.h>

struct weir_template;

/* What one render may use. Fill `size`; a member that is 0 or NULL has its default. */
struct weir_template_limits {
	uint32_t size;
	uint32_t max_depth; /* nesting of macro calls and of values; 1200 */
	uint64_t max_steps; /* expressions evaluated, items visited, 64 bytes of text copied; 2e7 */
	size_t max_output;  /* bytes of any one text, the result included; 32 MiB */
	size_t max_memory;  /* bytes in use during the render; 512 MiB */
	int64_t now_unix;   /* what strftime_now sees (local time); 0 = the present */
	const char *const *trusted; /* NULL-terminated names of context members that are not input;
				     * NULL = bos_token, eos_token, unk_token, pad_token */
};

/* Bytes [start, end) of the output came from input. */
struct weir_template_span {
	size_t start;
	size_t end;
};

struct weir_template_out {
	char *text; /* valid UTF-8, NUL-terminated (a NUL may also occur inside) */
	size_t len;
	struct weir_template_span *span; /* sorted, not empty, neither overlapping nor touching */
	size_t n_spans;
};

/* Parses `source` (UTF-8, at most 1 MiB). INVALID: syntax error, the text names line and column;
 * UNSUPPORTED: a tag that this interpreter refuses; EXHAUSTED: too large. */
weir_status weir_template_parse(struct weir_str source, struct weir_template **ret,
				struct weir_error *err);

void weir_template_free(struct weir_template *template); /* NULL is fine */

/*
 * Renders with `context`, the text of one JSON object whose members become the template's
 * variables: messages, tools, add_generation_prompt, bos_token, eos_token and whatever else the
 * caller passes on. A member that is absent is undefined in the template; transformers passes
 * "tools": null and "documents": null where there are none.
 *
 * Every string of the context is *input*, except the members that limits->trusted names, and
 * messages[i].role when it is one of the well-known roles. What a template makes of input by
 * concatenation, slicing, splitting, stripping, replacing, joining, case mapping, formatting or
 * tojson stays input and is covered by a span, so that a tokenizer which honours special tokens
 * outside of spans only can never be made to emit one by a user. The caller must not let a client
 * set a trusted member.
 *
 * INVALID: the template refused the conversation (raise_exception: its message, param "messages")
 * or failed on it (line, column, what; param "template"), or context is not a JSON object (param
 * "context"). EXHAUSTED: a limit was reached. err may not be NULL. *ret is the caller's, to be
 * cleared; it is written on success only.
 */
weir_status weir_template_render(const struct weir_template *template, struct weir_str context,
				 const struct weir_template_limits *limits,
				 struct weir_template_out *ret, struct weir_error *err);

void weir_template_out_clear(struct weir_template_out *out);

#endif
