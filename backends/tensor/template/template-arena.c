/* SPDX-License-Identifier: MIT */
/*
 * template-arena.c - memory, failure and text building of the chat template interpreter.
 *
 * Called by all template-*.c, on the thread of one parse or render. Always true: the arena never
 * holds more than limits.max_memory, and no text grows past limits.max_output.
 */
#include "template-ast.h"
#include "template-value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_SIZE ((size_t)64 << 10)

struct tpl_chunk {
	struct tpl_chunk *next;
	size_t cap;
	_Alignas(16) char data[];
};

void *tpl_alloc(struct tpl_render *r, size_t n, size_t size)
{
	struct tpl_arena *a = &r->arena;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > a->max)
		tpl_fail(r, WEIR_E_EXHAUSTED, "needs more than %zu bytes of memory", a->max);
	bytes = bytes ? (bytes + 15) & ~(size_t)15 : 16;
	if (!a->chunk || a->chunk->cap - a->used < bytes) {
		size_t cap = bytes > CHUNK_SIZE / 4 ? bytes : CHUNK_SIZE;
		struct tpl_chunk *c;

		if (cap > a->max - a->total)
			tpl_fail(r, WEIR_E_EXHAUSTED, "needs more than %zu bytes of memory",
				 a->max);
		c = calloc(1, sizeof(*c) + cap);
		if (!c)
			tpl_fail(r, WEIR_E_EXHAUSTED, "out of memory");
		a->total += cap;
		c->cap = cap;
		if (a->chunk && cap != CHUNK_SIZE) {
			/* A large block of its own; the current chunk stays in use. */
			c->next = a->chunk->next;
			a->chunk->next = c;
			return c->data;
		}
		c->next = a->chunk;
		a->chunk = c;
		a->used = 0;
	}
	a->used += bytes;
	return a->chunk->data + a->used - bytes;
}

/* Gives room for one more element behind `n`; the old block is left to the arena. */
void *tpl_grow(struct tpl_render *r, void *old, size_t n, size_t *cap, size_t size)
{
	void *p;

	if (n < *cap)
		return old;
	*cap = *cap ? *cap * 2 : 4;
	p = tpl_alloc(r, *cap, size);
	if (n)
		memcpy(p, old, n * size);
	return p;
}

void tpl_arena_free(struct tpl_arena *arena)
{
	while (arena->chunk) {
		struct tpl_chunk *next = arena->chunk->next;

		free(arena->chunk);
		arena->chunk = next;
	}
}

static void fail_text(struct tpl_render *r, weir_status code, uint32_t line, uint32_t column,
		      const char *fmt, va_list ap)
{
	struct weir_error *err = r->err;
	size_t n = 0;

	err->code = code;
	snprintf(err->param, sizeof(err->param), "template");
	if (line)
		n = (size_t)snprintf(err->text, sizeof(err->text),
				     "chat template line %u, column %u: ", line, column);
	else
		n = (size_t)snprintf(err->text, sizeof(err->text), "chat template: ");
	vsnprintf(err->text + n, sizeof(err->text) - n, fmt, ap);
	/* A cut may have hit the middle of a character. */
	n = strlen(err->text);
	while (n && !tpl_utf8_valid(err->text, n))
		err->text[--n] = 0;
	r->status = code;
}

_Noreturn void tpl_fail(struct tpl_render *r, weir_status code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_text(r, code, r->at ? r->at->line : 0, r->at ? r->at->column : 0, fmt, ap);
	va_end(ap);
	longjmp(r->failed, 1);
}

_Noreturn void tpl_fail_at(struct tpl_render *r, weir_status code, uint32_t line, uint32_t column,
			   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_text(r, code, line, column, fmt, ap);
	va_end(ap);
	longjmp(r->failed, 1);
}

void tpl_step(struct tpl_render *r, uint64_t n)
{
	r->steps += n;
	if (r->steps > r->limits.max_steps)
		tpl_fail(r, WEIR_E_EXHAUSTED, "takes more than %llu steps",
			 (unsigned long long)r->limits.max_steps);
}

void tpl_enter(struct tpl_render *r)
{
	if (++r->depth > r->limits.max_depth)
		tpl_fail(r, WEIR_E_EXHAUSTED, "nested deeper than %u levels", r->limits.max_depth);
}

void tpl_leave(struct tpl_render *r)
{
	r->depth--;
}

/* Room for n more bytes, and a mark array once the buffer holds both kinds. */
static void buf_reserve(struct tpl_render *r, struct tpl_buf *b, size_t n, bool input, bool mixed)
{
	if (n > r->limits.max_output - b->len)
		tpl_fail(r, WEIR_E_EXHAUSTED, "makes a text of more than %zu bytes",
			 r->limits.max_output);
	tpl_step(r, n / 64);
	if (!b->len)
		b->input = input;
	if (b->len + n > b->cap) {
		size_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n + 32;
		char *data = tpl_alloc(r, cap, 1);

		if (b->len)
			memcpy(data, b->data, b->len);
		if (b->mark) {
			uint8_t *mark = tpl_alloc(r, cap, 1);

			memcpy(mark, b->mark, b->len);
			b->mark = mark;
		}
		b->data = data;
		b->cap = cap;
	}
	if (!b->mark && (mixed || input != b->input)) {
		b->mark = tpl_alloc(r, b->cap, 1);
		memset(b->mark, b->input, b->len);
	}
}

void tpl_put(struct tpl_render *r, struct tpl_buf *b, const char *data, size_t n, bool input)
{
	if (!n)
		return;
	buf_reserve(r, b, n, input, false);
	memcpy(b->data + b->len, data, n);
	if (b->mark)
		memset(b->mark + b->len, input, n);
	b->len += n;
}

void tpl_puts(struct tpl_render *r, struct tpl_buf *b, const char *text)
{
	tpl_put(r, b, text, strlen(text), false);
}

void tpl_put_slice(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s, size_t start,
		   size_t end)
{
	if (start >= end)
		return;
	if (!s->mark) {
		tpl_put(r, b, s->data + start, end - start, s->input);
		return;
	}
	buf_reserve(r, b, end - start, s->mark[start], true);
	memcpy(b->data + b->len, s->data + start, end - start);
	memcpy(b->mark + b->len, s->mark + start, end - start);
	b->len += end - start;
}

void tpl_put_text(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s)
{
	tpl_put_slice(r, b, s, 0, s->len);
}

void tpl_put_char(struct tpl_render *r, struct tpl_buf *b, uint32_t c, bool input)
{
	char utf8[4];
	size_t n;

	if (c < 0x80) {
		utf8[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		utf8[0] = (char)(0xc0 | c >> 6);
		utf8[1] = (char)(0x80 | (c & 63));
		n = 2;
	} else if (c < 0x10000) {
		utf8[0] = (char)(0xe0 | c >> 12);
		utf8[1] = (char)(0x80 | (c >> 6 & 63));
		utf8[2] = (char)(0x80 | (c & 63));
		n = 3;
	} else {
		utf8[0] = (char)(0xf0 | c >> 18);
		utf8[1] = (char)(0x80 | (c >> 12 & 63));
		utf8[2] = (char)(0x80 | (c >> 6 & 63));
		utf8[3] = (char)(0x80 | (c & 63));
		n = 4;
	}
	tpl_put(r, b, utf8, n, input);
}

struct tpl_value tpl_buf_value(struct tpl_render *r, struct tpl_buf *b)
{
	struct tpl_text *s = tpl_alloc(r, 1, sizeof(*s));

	s->data = b->len ? b->data : "";
	s->mark = b->mark;
	s->len = b->len;
	s->n_chars = SIZE_MAX;
	s->input = b->input;
	return (struct tpl_value){ .type = TPL_STR, .u.s = s };
}
