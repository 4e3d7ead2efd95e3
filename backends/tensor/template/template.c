/* SPDX-License-Identifier: MIT */
/*
 * template.c - the chat template interpreter's two entries: parse and render.
 *
 * Called by backends, on any worker thread. Always true: whatever the template or the conversation
 * does, both come back here, with the arena of the call given back or handed to the result.
 */
#include "template.h"
#include "template-ast.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_SOURCE     ((size_t)1 << 20)
#define PARSE_MEMORY   ((size_t)512 << 20)
#define PARSE_STEPS    200000000u
#define DEFAULT_DEPTH  1200
#define DEFAULT_STEPS  20000000u
#define DEFAULT_OUTPUT ((size_t)32 << 20)
#define DEFAULT_MEMORY ((size_t)512 << 20)

static const char *const default_trusted[] = { "bos_token", "eos_token", "unk_token", "pad_token",
					       NULL };

/* A plain failure, before there is anything to jump back to. */
static weir_status refuse(struct weir_error *err, weir_status code, const char *text)
{
	err->code = code;
	snprintf(err->param, sizeof(err->param), "template");
	snprintf(err->text, sizeof(err->text), "chat template: %s", text);
	return code;
}

/* Everything between setjmp and a failure lives in *r, so no local can be lost. */
static weir_status parse_guarded(struct tpl_render *r, struct weir_str source,
				 struct weir_template **ret)
{
	struct weir_template *template;
	struct tpl_token *token;
	size_t n;

	if (setjmp(r->failed))
		return r->status;
	token = tpl_tokenize(r, source, &n);
	template = tpl_alloc(r, 1, sizeof(*template));
	tpl_parse(r, token, &template->body);
	template->scope = tpl_resolve(r, &template->body);
	template->arena = r->arena;
	*ret = template;
	return WEIR_OK;
}

weir_status weir_template_parse(struct weir_str source, struct weir_template **ret,
				struct weir_error *err)
{
	struct tpl_render r = { .err = err };
	weir_status status;

	if (source.len > MAX_SOURCE)
		return refuse(err, WEIR_E_EXHAUSTED, "the source is larger than 1 MiB");
	if (!tpl_utf8_valid(source.data, source.len))
		return refuse(err, WEIR_E_INVALID, "the source is not valid UTF-8");
	r.arena.max = PARSE_MEMORY;
	r.limits.max_steps = PARSE_STEPS;
	r.limits.max_output = MAX_SOURCE;
	r.limits.max_depth = DEFAULT_DEPTH;
	status = parse_guarded(&r, source, ret);
	if (status)
		tpl_arena_free(&r.arena);
	return status;
}

void weir_template_free(struct weir_template *template)
{
	struct tpl_arena arena;

	if (!template)
		return;
	arena = template->arena; /* which the template itself lies in */
	tpl_arena_free(&arena);
}

/* The caller's copy of the output, with a span for each run of input bytes. */
static weir_status hand_over(const struct tpl_buf *b, struct weir_template_out *ret,
			     struct weir_error *err)
{
	struct weir_template_out out = { .len = b->len };
	size_t n = 0;

	for (size_t i = 0; b->mark && i < b->len; i++)
		n += b->mark[i] && (!i || !b->mark[i - 1]);
	if (!b->mark)
		n = b->input && b->len;
	out.text = malloc(b->len + 1);
	out.span = n ? malloc(n * sizeof(*out.span)) : NULL;
	if (!out.text || (n && !out.span)) {
		weir_template_out_clear(&out);
		return refuse(err, WEIR_E_EXHAUSTED, "out of memory");
	}
	if (b->len)
		memcpy(out.text, b->data, b->len);
	out.text[b->len] = 0;
	for (size_t i = 0; b->mark && i < b->len; i++) {
		if (!b->mark[i])
			continue;
		out.span[out.n_spans].start = i;
		while (i < b->len && b->mark[i])
			i++;
		out.span[out.n_spans++].end = i;
	}
	if (!b->mark && n)
		out.span[out.n_spans++] = (struct weir_template_span){ 0, b->len };
	*ret = out;
	return WEIR_OK;
}

static weir_status render_guarded(struct tpl_render *r, struct weir_str context,
				  struct weir_template_out *ret)
{
	struct tpl_env *env;
	struct tpl_buf *out;

	if (setjmp(r->failed))
		return r->status;
	r->context = tpl_read_json(r, context.data, context.len, r->limits.trusted).u.d;
	r->exported = tpl_dict(r).u.d;
	out = tpl_alloc(r, 1, sizeof(*out));
	env = tpl_open(r, r->template->scope, NULL);
	tpl_exec(r, &r->template->body, env, out);
	return hand_over(out, ret, r->err);
}

#define TAKE(member, fallback)                                                                     \
	r.limits.member = limits && WEIR_HAS(struct weir_template_limits, limits, member)          \
				  ? limits->member                                                 \
				  : (fallback)

weir_status weir_template_render(const struct weir_template *template, struct weir_str context,
				 const struct weir_template_limits *limits,
				 struct weir_template_out *ret, struct weir_error *err)
{
	struct tpl_render r = { .err = err, .template = template };
	weir_status status;

	TAKE(max_depth, DEFAULT_DEPTH);
	TAKE(max_steps, DEFAULT_STEPS);
	TAKE(max_output, DEFAULT_OUTPUT);
	TAKE(max_memory, DEFAULT_MEMORY);
	TAKE(now_unix, 0);
	TAKE(trusted, default_trusted);
	r.arena.max = r.limits.max_memory;
	status = render_guarded(&r, context, ret);
	tpl_arena_free(&r.arena);
	return status;
}

void weir_template_out_clear(struct weir_template_out *out)
{
	if (!out)
		return;
	free(out->text);
	free(out->span);
	*out = (struct weir_template_out){ 0 };
}
