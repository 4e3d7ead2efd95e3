/* SPDX-License-Identifier: MIT */
/*
 * template-value.h - the values that a chat template computes with, and one render's state.
 *
 * Private to this folder. All functions run on the thread of one render (or parse)
 * and allocate from its arena; nothing is freed singly. A failure does not return: tpl_fail() fills
 * the caller's weir_error and jumps back to weir_template_render() or _parse(), which gives the
 * arena back. So no function here may hold anything but arena memory across a call that can fail.
 *
 * Each byte of a text is either trusted (written by the template's author) or input (written by
 * somebody who talks to the model). The mark travels with the byte.
 */
#ifndef WEIR_TEMPLATE_VALUE_H
#define WEIR_TEMPLATE_VALUE_H

#include <setjmp.h>
#include <string.h>

#include "template.h"

#define TPL_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum tpl_type {
	TPL_MISSING,   /* no value at all: an argument that was not given, a variable not yet set */
	TPL_UNDEFINED, /* u.why: what was looked for, for error messages; may be NULL */
	TPL_NONE,
	TPL_BOOL,
	TPL_INT,
	TPL_BIG, /* an integer beyond 64 bits, as decimal text */
	TPL_FLOAT,
	TPL_STR,
	TPL_LIST,
	TPL_TUPLE,
	TPL_DICT,
	TPL_VIEW, /* dict.keys(), .values(), .items() */
	TPL_RANGE,
	TPL_SLICE, /* only as a subscript */
	TPL_ITER,  /* a generator: can be walked once */
	TPL_NAMESPACE,
	TPL_LOOP,
	TPL_MACRO,
	TPL_METHOD, /* a builtin bound to a value */
	TPL_FUNCTION,
	TPL_CYCLER,
	TPL_JOINER,
};

enum {
	TPL_INPUT = 1,  /* numbers and containers that came with the context as a whole */
	TPL_MARKUP = 2, /* strings that |safe or |escape made: jinja2's Markup */
};

struct tpl_render;
struct tpl_iter;
struct tpl_node;
struct tpl_env;

struct tpl_text {
	const char *data;    /* UTF-8 */
	const uint8_t *mark; /* one per byte, 1 = input; NULL: all bytes are as `input` says */
	size_t len;
	size_t n_chars; /* code points, SIZE_MAX = not counted yet */
	bool input;
};

struct tpl_value {
	uint8_t type;
	uint8_t flags;
	union {
		bool b;
		int64_t i;
		double f;
		struct tpl_text *s;
		struct tpl_list *l;
		struct tpl_dict *d; /* dict and namespace */
		struct tpl_view *view;
		struct tpl_range *range;
		struct tpl_slice *slice;
		struct tpl_iter *iter;
		struct tpl_loop *loop;
		struct tpl_macro *macro;
		struct tpl_method *method;
		const struct tpl_builtin *fn;
		struct tpl_cycler *cycler;
		struct tpl_joiner *joiner;
		const char *why;
	} u;
};

struct tpl_list { /* also a tuple */
	size_t n, cap;
	struct tpl_value *item;
	bool grouped; /* a tuple of groupby: has .grouper and .list */
};

struct tpl_pair {
	struct tpl_value key, value;
	uint64_t hash;
};

struct tpl_dict { /* keeps the order of insertion; nothing is ever removed */
	size_t n, cap;
	struct tpl_pair *pair;
	uint32_t *index; /* open addressing, position + 1; NULL while small */
	size_t n_index;
};

struct tpl_view {
	struct tpl_value dict;
	char what; /* 'k', 'v' or 'i' */
};

struct tpl_range {
	int64_t start, stop, step;
	size_t n;
};

struct tpl_slice {
	struct tpl_value start, stop, step; /* None where absent */
};

struct tpl_cycler {
	struct tpl_list *items;
	size_t pos;
};

struct tpl_joiner {
	struct tpl_value sep;
	bool used;
};

struct tpl_keyword {
	struct tpl_text *name;
	struct tpl_value value;
};

struct tpl_args {
	struct tpl_value *pos;
	size_t n_pos;
	struct tpl_keyword *kw;
	size_t n_kw;
};

/* A filter, test, method or global function. `v` holds the parameters that `params` names (space
 * separated, "/" in front: by position only, "*": not bound, read `args`), MISSING where absent. */
struct tpl_builtin {
	const char *name;
	struct tpl_value (*fn)(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			       const struct tpl_args *args);
	const char *params;
	uint8_t min; /* how many must be given */
};

struct tpl_method {
	struct tpl_value self;
	const struct tpl_builtin *fn;
};

/* Something that gives values one after the other; closures put their state behind it. */
struct tpl_iter {
	bool (*next)(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret);
	struct tpl_value src;
	size_t pos;
	struct tpl_iter *inner;
	const struct tpl_builtin *fn;
	struct tpl_args args;
	struct tpl_value attr, fallback; /* MISSING where unused */
	void *more;
	bool flag;
};

struct tpl_chunk;

struct tpl_arena {
	struct tpl_chunk *chunk;
	size_t used, total, max;
};

/* One parse or one render. */
struct tpl_render {
	struct tpl_arena arena;
	struct weir_template_limits limits;
	uint64_t steps;
	uint32_t depth;
	const struct tpl_node *at; /* where the interpreter is, for error messages */
	struct tpl_dict *context;  /* the caller's variables */
	struct tpl_dict *exported; /* what the top level has set: seen by blocks */
	const struct weir_template *template;
	struct weir_error *err;
	weir_status status;
	jmp_buf failed;
};

/* A text under construction. Zero-initialise. */
struct tpl_buf {
	char *data;
	uint8_t *mark; /* NULL while all bytes are of one kind */
	size_t len, cap;
	bool input; /* the kind, while mark is NULL */
};

/* -- template-arena.c: memory, failure, text building -- */

void *tpl_alloc(struct tpl_render *r, size_t n, size_t size); /* zeroed, n * size bytes */
void *tpl_grow(struct tpl_render *r, void *old, size_t n, size_t *cap, size_t size);
void tpl_arena_free(struct tpl_arena *arena);
_Noreturn void tpl_fail(struct tpl_render *r, weir_status code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void tpl_fail_at(struct tpl_render *r, weir_status code, uint32_t line, uint32_t column,
			   const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void tpl_step(struct tpl_render *r, uint64_t n);
void tpl_enter(struct tpl_render *r); /* one level deeper; tpl_leave() comes back */
void tpl_leave(struct tpl_render *r);

void tpl_put(struct tpl_render *r, struct tpl_buf *b, const char *data, size_t n, bool input);
void tpl_puts(struct tpl_render *r, struct tpl_buf *b, const char *text); /* trusted */
void tpl_put_text(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s);
void tpl_put_slice(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s, size_t start,
		   size_t end);
void tpl_put_char(struct tpl_render *r, struct tpl_buf *b, uint32_t c, bool input);
struct tpl_value tpl_buf_value(struct tpl_render *r, struct tpl_buf *b);

/* -- template-value.c: making, asking, walking -- */

struct tpl_value tpl_none(void);
struct tpl_value tpl_bool(bool b);
struct tpl_value tpl_int(int64_t i);
struct tpl_value tpl_float(double f);
struct tpl_value tpl_undefined(const char *why);
struct tpl_value tpl_undefinedf(struct tpl_render *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
struct tpl_value tpl_str(struct tpl_render *r, const char *data, size_t n, bool input);
struct tpl_value tpl_cstr(struct tpl_render *r, const char *text); /* trusted; kept, not copied */
struct tpl_value tpl_sub(struct tpl_render *r, struct tpl_value s, size_t start, size_t end);
struct tpl_value tpl_list(struct tpl_render *r, size_t cap);
struct tpl_value tpl_tuple2(struct tpl_render *r, struct tpl_value a, struct tpl_value b);
void tpl_push(struct tpl_render *r, struct tpl_value list, struct tpl_value item);
struct tpl_value tpl_dict(struct tpl_render *r);
void tpl_set(struct tpl_render *r, struct tpl_dict *d, struct tpl_value key, struct tpl_value v);
struct tpl_value *tpl_get(struct tpl_render *r, const struct tpl_dict *d, struct tpl_value key);
struct tpl_value *tpl_get_name(struct tpl_render *r, const struct tpl_dict *d, const char *name,
			       size_t len);
struct tpl_value tpl_bind(struct tpl_render *r, struct tpl_value self,
			  const struct tpl_builtin *fn);
bool tpl_is(struct tpl_value v, const char *text); /* a str that equals text */
bool tpl_is_number(struct tpl_value v);            /* int, big, float or bool */
bool tpl_as_int(struct tpl_value v, int64_t *ret); /* int and bool */
bool tpl_as_double(struct tpl_value v, double *ret);
bool tpl_truth(struct tpl_render *r, struct tpl_value v);
const char *tpl_type_name(struct tpl_value v);
bool tpl_is_input(struct tpl_value v);                                  /* any byte, or flagged */
bool tpl_length(struct tpl_render *r, struct tpl_value v, size_t *ret); /* false: it has none */
bool tpl_iterable(struct tpl_value v);
struct tpl_iter *tpl_iter(struct tpl_render *r, struct tpl_value v); /* fails if not iterable */
bool tpl_next(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret);
struct tpl_value tpl_to_list(struct tpl_render *r, struct tpl_value v);
struct tpl_value tpl_generator(struct tpl_iter *it);

/* -- template-compare.c -- */

bool tpl_equal(struct tpl_render *r, struct tpl_value a, struct tpl_value b);
int tpl_order(struct tpl_render *r, struct tpl_value a, struct tpl_value b, const char *op);
bool tpl_less(struct tpl_render *r, struct tpl_value a, struct tpl_value b, const char *op);
bool tpl_contains(struct tpl_render *r, struct tpl_value seq, struct tpl_value v);
bool tpl_same(struct tpl_value a, struct tpl_value b);
uint64_t tpl_hash(struct tpl_render *r, struct tpl_value v); /* fails if unhashable */

/* -- template-operator.c -- */

struct tpl_value tpl_add(struct tpl_render *r, struct tpl_value a, struct tpl_value b);
struct tpl_value tpl_binary(struct tpl_render *r, int op, struct tpl_value a, struct tpl_value b);
struct tpl_value tpl_unary(struct tpl_render *r, int op, struct tpl_value a);

/* -- template-print.c: str(), repr(), tojson -- */

void tpl_print(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v);
void tpl_repr(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v);
struct tpl_value tpl_to_str(struct tpl_render *r, struct tpl_value v); /* keeps a str as it is */
size_t tpl_format_double(char *ret, size_t cap, double f);             /* Python's repr */
struct tpl_value tpl_tojson(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			    const struct tpl_args *args);

/* -- template-format.c: str % values, str.format() -- */

struct tpl_value tpl_percent(struct tpl_render *r, struct tpl_value fmt, struct tpl_value values);
struct tpl_value tpl_format(struct tpl_render *r, struct tpl_value fmt,
			    const struct tpl_args *args);
struct tpl_value tpl_escape(struct tpl_render *r, struct tpl_value v); /* -> Markup */

/* -- template-unicode.c -- */

bool tpl_is_space(uint32_t c);
bool tpl_is_line_end(uint32_t c);
bool tpl_is_printable(uint32_t c);
uint32_t tpl_char(const char *p, const char *end, size_t *ret_len);
size_t tpl_chars(struct tpl_text *s);
size_t tpl_offset(struct tpl_text *s, size_t chars); /* code points -> bytes */
struct tpl_value tpl_case(struct tpl_render *r, struct tpl_value s, char how); /* u l t c s f */
struct tpl_value tpl_strip(struct tpl_render *r, struct tpl_value s, struct tpl_value chars,
			   char side); /* l r b */
bool tpl_utf8_valid(const char *p, size_t n);

/* -- template-json.c -- */

struct tpl_value tpl_read_json(struct tpl_render *r, const char *text, size_t len,
			       const char *const *trusted);

/* -- template-attr.c -- */

struct tpl_value tpl_getattr(struct tpl_render *r, struct tpl_value v, struct tpl_value name);
struct tpl_value tpl_getitem(struct tpl_render *r, struct tpl_value v, struct tpl_value key);
struct tpl_value tpl_attr_path(struct tpl_render *r, struct tpl_value v, struct tpl_value path,
			       struct tpl_value fallback);

/* -- template-call.c -- */

struct tpl_value tpl_call(struct tpl_render *r, struct tpl_value fn, const struct tpl_args *args);
struct tpl_value tpl_call_builtin(struct tpl_render *r, const struct tpl_builtin *fn,
				  struct tpl_value self, const struct tpl_args *args);
const struct tpl_builtin *tpl_find_filter(const char *name, size_t len);
const struct tpl_builtin *tpl_find_test(const char *name, size_t len);
const struct tpl_builtin *tpl_find_global(const char *name, size_t len);
const struct tpl_builtin *tpl_find(const struct tpl_builtin *table, size_t n, const char *name,
				   size_t len);
int64_t tpl_need_int(struct tpl_render *r, struct tpl_value v, int64_t fallback, const char *what);
struct tpl_text *tpl_need_str(struct tpl_render *r, struct tpl_value v, const char *what);

extern const struct tpl_builtin tpl_text_filters[];
extern const size_t tpl_n_text_filters;
extern const struct tpl_builtin tpl_list_filters[];
extern const size_t tpl_n_list_filters;
extern const struct tpl_builtin tpl_str_methods[];
extern const size_t tpl_n_str_methods;
extern const struct tpl_builtin tpl_str_queries[];
extern const size_t tpl_n_str_queries;

#endif
