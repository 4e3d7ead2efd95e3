/* SPDX-License-Identifier: MIT */
/*
 * template-call.c - calling things: macros, methods, filters, tests, and the global functions.
 *
 * Called by the evaluator, on the thread of one render. Arguments are bound to parameters here, so
 * that a builtin sees its parameters in order, and errors read alike everywhere.
 */
#include "template-ast.h"

#include <stdio.h>
#include <locale.h>
#include <time.h>

#define MAX_PARAMS 8
#define MAX_RANGE  100000 /* as jinja2's sandbox */

int64_t tpl_need_int(struct tpl_render *r, struct tpl_value v, int64_t fallback, const char *what)
{
	int64_t i;

	if (v.type == TPL_MISSING || v.type == TPL_NONE)
		return fallback;
	if (!tpl_as_int(v, &i))
		tpl_fail(r, WEIR_E_INVALID, "%s: an integer is needed, not '%s'", what,
			 tpl_type_name(v));
	return i;
}

struct tpl_text *tpl_need_str(struct tpl_render *r, struct tpl_value v, const char *what)
{
	if (v.type != TPL_STR)
		tpl_fail(r, WEIR_E_INVALID, "%s: a str is needed, not '%s'", what,
			 tpl_type_name(v));
	return v.u.s;
}

const struct tpl_builtin *tpl_find(const struct tpl_builtin *table, size_t n, const char *name,
				   size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(table[i].name) == len && !memcmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

const struct tpl_builtin *tpl_find_filter(const char *name, size_t len)
{
	const struct tpl_builtin *fn = tpl_find(tpl_text_filters, tpl_n_text_filters, name, len);

	return fn ? fn : tpl_find(tpl_list_filters, tpl_n_list_filters, name, len);
}

/* The place of a keyword among the words of `params`, or -1. */
static int param_index(const char *params, const struct tpl_text *name)
{
	int index = 0;

	for (const char *p = params; *p; index++) {
		size_t n = strcspn(p, " ");

		if (n == name->len && !memcmp(p, name->data, n))
			return index;
		p += n + (p[n] == ' ');
	}
	return -1;
}

struct tpl_value tpl_call_builtin(struct tpl_render *r, const struct tpl_builtin *fn,
				  struct tpl_value self, const struct tpl_args *args)
{
	struct tpl_value v[MAX_PARAMS] = { 0 };
	const char *params = fn->params;
	bool by_position = *params == '/';
	size_t n = 0;

	if (!fn->fn)
		tpl_fail(r, WEIR_E_UNSUPPORTED, "%s() is not supported", fn->name);
	if (*params == '*')
		return fn->fn(r, self, NULL, args);
	params += by_position;
	for (const char *p = params; *p; p++)
		n += *p == ' ';
	n += *params != 0;
	if (args->n_pos > n)
		tpl_fail(r, WEIR_E_INVALID, "%s: takes at most %zu argument(s), %zu given",
			 fn->name, n, args->n_pos);
	for (size_t i = 0; i < args->n_pos; i++)
		v[i] = args->pos[i];
	for (size_t i = 0; i < args->n_kw; i++) {
		int k = by_position ? -1 : param_index(params, args->kw[i].name);

		if (k < 0 || v[k].type != TPL_MISSING)
			tpl_fail(r, WEIR_E_INVALID, "%s: %s keyword argument '%.*s'", fn->name,
				 k < 0 ? "unexpected" : "repeated",
				 args->kw[i].name->len > 60 ? 60 : (int)args->kw[i].name->len,
				 args->kw[i].name->data);
		v[k] = args->kw[i].value;
	}
	for (size_t i = 0; i < fn->min; i++)
		if (v[i].type == TPL_MISSING)
			tpl_fail(r, WEIR_E_INVALID, "%s: an argument is missing", fn->name);
	return fn->fn(r, self, v, args);
}

struct tpl_value tpl_call(struct tpl_render *r, struct tpl_value fn, const struct tpl_args *args)
{
	struct tpl_joiner *j;
	struct tpl_value ret;

	switch (fn.type) {
	case TPL_MACRO:
		return tpl_call_macro(r, fn.u.macro, args);
	case TPL_METHOD:
		return tpl_call_builtin(r, fn.u.method->fn, fn.u.method->self, args);
	case TPL_FUNCTION:
		return tpl_call_builtin(r, fn.u.fn, tpl_none(), args);
	case TPL_LOOP:
		return tpl_loop_recurse(r, fn.u.loop, args);
	case TPL_JOINER:
		j = fn.u.joiner;
		if (args->n_pos || args->n_kw)
			tpl_fail(r, WEIR_E_INVALID, "a joiner takes no arguments");
		ret = j->used ? j->sep : tpl_cstr(r, "");
		j->used = true;
		return ret;
	case TPL_UNDEFINED:
	case TPL_MISSING:
		tpl_fail(r, WEIR_E_INVALID, "%s",
			 fn.type == TPL_UNDEFINED && fn.u.why ? fn.u.why
							      : "an undefined value is called");
	default:
		tpl_fail(r, WEIR_E_INVALID, "'%s' object is not callable", tpl_type_name(fn));
	}
}

/* -- global functions -- */

static struct tpl_value fn_range(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				 const struct tpl_args *args)
{
	struct tpl_range *range = tpl_alloc(r, 1, sizeof(*range));
	int64_t a = tpl_need_int(r, v[0], 0, "range"), b = tpl_need_int(r, v[1], 0, "range");
	int64_t step = tpl_need_int(r, v[2], 1, "range");
	__int128 n = 0;

	for (size_t i = 0; i < args->n_pos; i++)
		if (args->pos[i].type == TPL_NONE)
			tpl_fail(r, WEIR_E_INVALID, "range: an integer is needed, not 'NoneType'");
	if (!step)
		tpl_fail(r, WEIR_E_INVALID, "range() arg 3 must not be zero");
	range->start = v[1].type == TPL_MISSING ? 0 : a;
	range->stop = v[1].type == TPL_MISSING ? a : b;
	range->step = step;
	if (step > 0 && range->start < range->stop)
		n = ((__int128)range->stop - range->start - 1) / step + 1;
	if (step < 0 && range->start > range->stop)
		n = ((__int128)range->start - range->stop - 1) / -(__int128)step + 1;
	if (n > MAX_RANGE)
		tpl_fail(r, WEIR_E_INVALID, "range too big: more than %d items", MAX_RANGE);
	range->n = (size_t)n;
	return (struct tpl_value){ .type = TPL_RANGE, .u.range = range };
}

/* dict(mapping or pairs, **members); a namespace is filled alike. */
static struct tpl_value fill_dict(struct tpl_render *r, const struct tpl_args *args,
				  const char *what)
{
	struct tpl_value d = tpl_dict(r), item;

	if (args->n_pos > 1)
		tpl_fail(r, WEIR_E_INVALID, "%s expected at most 1 argument", what);
	if (args->n_pos && args->pos[0].type == TPL_DICT) {
		const struct tpl_dict *from = args->pos[0].u.d;

		for (size_t i = 0; i < from->n; i++)
			tpl_set(r, d.u.d, from->pair[i].key, from->pair[i].value);
	} else if (args->n_pos) {
		struct tpl_iter *it = tpl_iter(r, args->pos[0]);

		while (tpl_next(r, it, &item)) {
			struct tpl_value pair = tpl_to_list(r, item);

			if (pair.u.l->n != 2)
				tpl_fail(r, WEIR_E_INVALID, "%s: pairs are needed", what);
			tpl_set(r, d.u.d, pair.u.l->item[0], pair.u.l->item[1]);
		}
	}
	for (size_t i = 0; i < args->n_kw; i++)
		tpl_set(r, d.u.d, (struct tpl_value){ .type = TPL_STR, .u.s = args->kw[i].name },
			args->kw[i].value);
	return d;
}

static struct tpl_value fn_dict(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				const struct tpl_args *args)
{
	return fill_dict(r, args, "dict");
}

static struct tpl_value fn_namespace(struct tpl_render *r, struct tpl_value self,
				     struct tpl_value *v, const struct tpl_args *args)
{
	struct tpl_value ns = fill_dict(r, args, "namespace");

	ns.type = TPL_NAMESPACE;
	return ns;
}

static struct tpl_value fn_cycler(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				  const struct tpl_args *args)
{
	struct tpl_cycler *c = tpl_alloc(r, 1, sizeof(*c));
	struct tpl_value items = tpl_list(r, args->n_pos);

	if (!args->n_pos || args->n_kw)
		tpl_fail(r, WEIR_E_INVALID, "cycler: at least one item has to be provided");
	for (size_t i = 0; i < args->n_pos; i++)
		tpl_push(r, items, args->pos[i]);
	c->items = items.u.l;
	return (struct tpl_value){ .type = TPL_CYCLER, .u.cycler = c };
}

static struct tpl_value fn_joiner(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				  const struct tpl_args *args)
{
	struct tpl_joiner *j = tpl_alloc(r, 1, sizeof(*j));

	j->sep = v[0].type == TPL_MISSING ? tpl_cstr(r, ", ") : v[0];
	return (struct tpl_value){ .type = TPL_JOINER, .u.joiner = j };
}

/* The template refuses the conversation: its words are the error, without a position. */
static struct tpl_value fn_raise(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				 const struct tpl_args *args)
{
	struct tpl_text *s = tpl_to_str(r, v[0]).u.s;
	size_t n = s->len < sizeof(r->err->text) ? s->len : sizeof(r->err->text) - 1;

	while (n && n < s->len && ((uint8_t)s->data[n] & 0xc0) == 0x80)
		n--;
	memcpy(r->err->text, s->data, n);
	r->err->text[n] = 0;
	snprintf(r->err->param, sizeof(r->err->param), "messages");
	r->status = r->err->code = WEIR_E_INVALID;
	longjmp(r->failed, 1);
}

/* datetime.now().strftime(format), in the C locale whatever the process has set. */
static struct tpl_value fn_strftime(struct tpl_render *r, struct tpl_value self,
				    struct tpl_value *v, const struct tpl_args *args)
{
	const struct tpl_text *format = tpl_need_str(r, v[0], "strftime_now");
	time_t now = r->limits.now_unix ? (time_t)r->limits.now_unix : time(NULL);
	bool input = tpl_is_input(v[0]);
	struct tpl_buf fmt = { 0 };
	char text[1024];
	locale_t c_locale;
	struct tm tm;
	size_t n;

	if (format->len > 200 || memchr(format->data, 0, format->len))
		tpl_fail(r, WEIR_E_INVALID, "strftime_now: not a usable format");
	if (!localtime_r(&now, &tm))
		tpl_fail(r, WEIR_E_INTERNAL, "strftime_now: the time is out of range");
	for (size_t i = 0; i < format->len; i++) {
		char next = i + 1 < format->len ? format->data[i + 1] : 0;

		if (format->data[i] != '%' || !next) {
			tpl_put(r, &fmt, format->data + i, 1, input);
			continue;
		}
		i++;
		if (next == 'f')
			tpl_puts(r, &fmt, "000000");
		else if (next != 'z' && next != 'Z')
			tpl_put(r, &fmt, format->data + i - 1, 2, input);
	}
	if (!fmt.len)
		return tpl_cstr(r, "");
	tpl_put(r, &fmt, "\0", 1, input);
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	n = c_locale ? strftime_l(text, sizeof(text), fmt.data, &tm, c_locale) : 0;
	if (c_locale)
		freelocale(c_locale);
	return tpl_str(r, text, n, input);
}

static const struct tpl_builtin globals[] = {
	{ "range", fn_range, "/start stop step", 1 },
	{ "dict", fn_dict, "*", 0 },
	{ "namespace", fn_namespace, "*", 0 },
	{ "cycler", fn_cycler, "*", 0 },
	{ "joiner", fn_joiner, "sep", 0 },
	{ "raise_exception", fn_raise, "message", 1 },
	{ "strftime_now", fn_strftime, "format", 1 },
	{ "lipsum", NULL, "*", 0 },
};

const struct tpl_builtin *tpl_find_global(const char *name, size_t len)
{
	return tpl_find(globals, TPL_LEN(globals), name, len);
}
