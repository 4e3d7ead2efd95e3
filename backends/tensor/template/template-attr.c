/* SPDX-License-Identifier: MIT */
/*
 * template-attr.c - what stands behind a dot or in brackets: members, items, slices, methods.
 *
 * Called by the evaluator and by filters that take attribute paths, on the thread of one render.
 * jinja2's order: x.name looks for an attribute first and an item then, x['name'] the other way
 * round. Names that start with "_" and methods that would change a value do not exist here.
 */
#include "template-ast.h"

#include <stdio.h>

static struct tpl_value dict_get(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				 const struct tpl_args *args)
{
	struct tpl_value *found = tpl_get(r, self.u.d, v[0]);

	return found ? *found : v[1].type == TPL_MISSING ? tpl_none() : v[1];
}

static struct tpl_value dict_view(struct tpl_render *r, struct tpl_value self, char what)
{
	struct tpl_view *view = tpl_alloc(r, 1, sizeof(*view));

	view->dict = self;
	view->what = what;
	return (struct tpl_value){ .type = TPL_VIEW, .flags = self.flags, .u.view = view };
}

static struct tpl_value dict_keys(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				  const struct tpl_args *args)
{
	return dict_view(r, self, 'k');
}

static struct tpl_value dict_values(struct tpl_render *r, struct tpl_value self,
				    struct tpl_value *v, const struct tpl_args *args)
{
	return dict_view(r, self, 'v');
}

static struct tpl_value dict_items(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				   const struct tpl_args *args)
{
	return dict_view(r, self, 'i');
}

static struct tpl_value dict_copy(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				  const struct tpl_args *args)
{
	struct tpl_value copy = tpl_dict(r);

	for (size_t i = 0; i < self.u.d->n; i++)
		tpl_set(r, copy.u.d, self.u.d->pair[i].key, self.u.d->pair[i].value);
	copy.flags = self.flags;
	return copy;
}

static struct tpl_value list_index(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				   const struct tpl_args *args)
{
	int64_t n, from, to;

	if (self.type == TPL_RANGE)
		self = tpl_to_list(r, self);
	n = (int64_t)self.u.l->n;
	from = tpl_need_int(r, v[1], 0, "index");
	to = tpl_need_int(r, v[2], n, "index");

	from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
	to = to < 0 ? to + n : to > n ? n : to;
	for (int64_t i = from; i < to; i++)
		if (tpl_equal(r, self.u.l->item[i], v[0]))
			return tpl_int(i);
	tpl_fail(r, WEIR_E_INVALID, "the value is not in the list");
}

static struct tpl_value list_count(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				   const struct tpl_args *args)
{
	int64_t n = 0;

	if (self.type == TPL_RANGE)
		self = tpl_to_list(r, self);
	for (size_t i = 0; i < self.u.l->n; i++)
		n += tpl_equal(r, self.u.l->item[i], v[0]);
	return tpl_int(n);
}

static struct tpl_value list_copy(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				  const struct tpl_args *args)
{
	return self;
}

static struct tpl_value number_self(struct tpl_render *r, struct tpl_value self,
				    struct tpl_value *v, const struct tpl_args *args)
{
	return self;
}

static struct tpl_value cycler_next(struct tpl_render *r, struct tpl_value self,
				    struct tpl_value *v, const struct tpl_args *args)
{
	struct tpl_cycler *c = self.u.cycler;
	size_t pos = c->pos;

	c->pos = (pos + 1) % c->items->n;
	return c->items->item[pos];
}

static struct tpl_value cycler_reset(struct tpl_render *r, struct tpl_value self,
				     struct tpl_value *v, const struct tpl_args *args)
{
	self.u.cycler->pos = 0;
	return tpl_none();
}

static const struct tpl_builtin dict_methods[] = {
	{ "get", dict_get, "/key default", 1 }, { "keys", dict_keys, "", 0 },
	{ "values", dict_values, "", 0 },       { "items", dict_items, "", 0 },
	{ "copy", dict_copy, "", 0 },           { "fromkeys", NULL, "*", 0 },
};
static const struct tpl_builtin list_methods[] = {
	{ "index", list_index, "/value start stop", 1 },
	{ "count", list_count, "/value", 1 },
	{ "copy", list_copy, "", 0 },
};
static const struct tpl_builtin number_methods[] = {
	{ "conjugate", number_self, "", 0 }, { "bit_length", NULL, "*", 0 },
	{ "to_bytes", NULL, "*", 0 },        { "as_integer_ratio", NULL, "*", 0 },
	{ "is_integer", NULL, "*", 0 },      { "hex", NULL, "*", 0 },
};
static const struct tpl_builtin cycler_methods[] = {
	{ "next", cycler_next, "", 0 },
	{ "reset", cycler_reset, "", 0 },
};

static const struct tpl_builtin *method_of(struct tpl_value v, const char *name, size_t len)
{
	const struct tpl_builtin *fn;

	switch (v.type) {
	case TPL_STR:
		fn = tpl_find(tpl_str_methods, tpl_n_str_methods, name, len);
		return fn ? fn : tpl_find(tpl_str_queries, tpl_n_str_queries, name, len);
	case TPL_DICT:
		return tpl_find(dict_methods, TPL_LEN(dict_methods), name, len);
	case TPL_LIST:
		return tpl_find(list_methods, 3, name, len);
	case TPL_TUPLE:
	case TPL_RANGE:
		return tpl_find(list_methods, 2, name, len);
	case TPL_BOOL:
	case TPL_INT:
		return tpl_find(number_methods, 4, name, len);
	case TPL_FLOAT:
		return tpl_find(number_methods, TPL_LEN(number_methods), name, len);
	case TPL_CYCLER:
		return tpl_find(cycler_methods, 2, name, len);
	default:
		return NULL;
	}
}

static bool number_attr(struct tpl_value v, const char *name, struct tpl_value *ret)
{
	int64_t i = 0;

	if (!tpl_is_number(v))
		return false;
	tpl_as_int(v, &i);
	if (!strcmp(name, "real"))
		*ret = v.type == TPL_BOOL ? tpl_int(i) : v;
	else if (!strcmp(name, "imag"))
		*ret = v.type == TPL_FLOAT ? tpl_float(0) : tpl_int(0);
	else if (v.type != TPL_FLOAT && !strcmp(name, "numerator"))
		*ret = v.type == TPL_BOOL ? tpl_int(i) : v;
	else if (v.type != TPL_FLOAT && !strcmp(name, "denominator"))
		*ret = tpl_int(1);
	else
		return false;
	return true;
}

static bool macro_attr(struct tpl_render *r, const struct tpl_macro *m, const char *name,
		       struct tpl_value *ret)
{
	const struct tpl_signature *sig = m->node->sig;

	if (!strcmp(name, "name")) {
		*ret = m->name;
	} else if (!strcmp(name, "arguments")) {
		*ret = tpl_list(r, sig->param.n);
		for (size_t i = 0; i < sig->param.n; i++)
			tpl_push(r, *ret,
				 (struct tpl_value){ .type = TPL_STR,
						     .u.s = sig->param.node[i]->name });
	} else if (!strcmp(name, "caller")) {
		*ret = tpl_bool(sig->wants_caller);
	} else if (!strcmp(name, "catch_kwargs")) {
		*ret = tpl_bool(sig->wants_kwargs);
	} else if (!strcmp(name, "catch_varargs")) {
		*ret = tpl_bool(sig->wants_varargs);
	} else {
		return false;
	}
	return true;
}

/* An attribute in Python's sense. */
static bool attribute(struct tpl_render *r, struct tpl_value v, const struct tpl_text *name,
		      struct tpl_value *ret)
{
	const struct tpl_builtin *fn;
	struct tpl_value *member;
	char text[40];

	if (v.type == TPL_NAMESPACE) {
		member = tpl_get_name(r, v.u.d, name->data, name->len);
		if (member && !(name->len && name->data[0] == '_'))
			*ret = *member;
		else if (member)
			*ret = tpl_undefined("access to a private attribute is unsafe");
		return member != NULL;
	}
	if (!name->len || name->len >= sizeof(text) || name->data[0] == '_')
		return false;
	fn = method_of(v, name->data, name->len);
	if (fn) {
		*ret = tpl_bind(r, v, fn);
		return true;
	}
	memcpy(text, name->data, name->len);
	text[name->len] = 0;
	if (number_attr(v, text, ret))
		return true;
	if (v.type == TPL_LOOP)
		return tpl_loop_attr(r, v, text, ret);
	if (v.type == TPL_MACRO)
		return macro_attr(r, v.u.macro, text, ret);
	if (v.type == TPL_CYCLER && !strcmp(text, "current"))
		*ret = v.u.cycler->items->item[v.u.cycler->pos];
	else if (v.type == TPL_CYCLER && !strcmp(text, "pos"))
		*ret = tpl_int((int64_t)v.u.cycler->pos);
	else if (v.type == TPL_TUPLE && v.u.l->grouped && !strcmp(text, "grouper"))
		*ret = v.u.l->item[0];
	else if (v.type == TPL_TUPLE && v.u.l->grouped && !strcmp(text, "list"))
		*ret = v.u.l->item[1];
	else if (v.type == TPL_RANGE && !strcmp(text, "start"))
		*ret = tpl_int(v.u.range->start);
	else if (v.type == TPL_RANGE && !strcmp(text, "stop"))
		*ret = tpl_int(v.u.range->stop);
	else if (v.type == TPL_RANGE && !strcmp(text, "step"))
		*ret = tpl_int(v.u.range->step);
	else
		return false;
	return true;
}

/* Where a slice starts and how many items it takes, as Python's slice.indices(). */
static void slice_bounds(struct tpl_render *r, const struct tpl_slice *s, size_t len,
			 int64_t *start, int64_t *ret_stop, int64_t *step, size_t *count)
{
	int64_t n = (int64_t)len, stop;

	*step = tpl_need_int(r, s->step, 1, "slice indices");
	if (!*step)
		tpl_fail(r, WEIR_E_INVALID, "slice step cannot be zero");
	if (*step == INT64_MIN)
		*step = -INT64_MAX;
	*start = tpl_need_int(r, s->start, *step < 0 ? n - 1 : 0, "slice indices");
	stop = tpl_need_int(r, s->stop, *step < 0 ? -1 - n : n, "slice indices");
	if (s->start.type != TPL_NONE && *start < 0)
		*start = *start + n < 0 ? (*step < 0 ? -1 : 0) : *start + n;
	else if (*start >= n)
		*start = *step < 0 ? n - 1 : n;
	if (stop < 0)
		stop = stop + n < 0 ? (*step < 0 ? -1 : 0) : stop + n;
	else if (stop >= n)
		stop = *step < 0 ? n - 1 : n;
	*count = 0;
	if (*step > 0 && *start < stop)
		*count = (size_t)((stop - *start - 1) / *step + 1);
	if (*step < 0 && *start > stop)
		*count = (size_t)((*start - stop - 1) / -*step + 1);
	*ret_stop = stop;
}

static struct tpl_value slice_text(struct tpl_render *r, struct tpl_value v, int64_t start,
				   int64_t step, size_t count)
{
	struct tpl_text *s = v.u.s;
	struct tpl_buf b = { 0 };
	struct tpl_value ret;
	uint32_t *at;
	size_t n = 0;

	if (!count)
		return tpl_sub(r, v, 0, 0);
	tpl_step(r, s->len / 64);
	if (step == 1) {
		size_t from = tpl_offset(s, (size_t)start);

		return tpl_sub(r, v, from, tpl_offset(s, (size_t)start + count));
	}
	if (s->len > UINT32_MAX)
		tpl_fail(r, WEIR_E_EXHAUSTED, "the text is too long for a stepped slice");
	at = tpl_alloc(r, tpl_chars(s) + 1, sizeof(*at));
	for (size_t i = 0; i < s->len; i++)
		if (((uint8_t)s->data[i] & 0xc0) != 0x80)
			at[n++] = (uint32_t)i;
	at[n] = (uint32_t)s->len;
	tpl_step(r, count);
	for (size_t i = 0; i < count; i++) {
		size_t k = (size_t)(start + (int64_t)i * step);

		tpl_put_slice(r, &b, s, at[k], at[k + 1]);
	}
	ret = tpl_buf_value(r, &b);
	ret.flags = v.flags;
	return ret;
}

static struct tpl_value slice_of(struct tpl_render *r, struct tpl_value v,
				 const struct tpl_slice *slice)
{
	int64_t start, stop, step;
	size_t count, len = 0;
	struct tpl_value ret;

	tpl_length(r, v, &len);
	slice_bounds(r, slice, len, &start, &stop, &step, &count);
	if (v.type == TPL_STR)
		return slice_text(r, v, start, step, count);
	tpl_step(r, count);
	if (v.type == TPL_RANGE) {
		struct tpl_range *range = tpl_alloc(r, 1, sizeof(*range)), *old = v.u.range;

		/* Unsigned: a bound just outside of the range may not fit. */
		range->start = (int64_t)((uint64_t)old->start + (uint64_t)start * old->step);
		range->step = (int64_t)((uint64_t)old->step * (uint64_t)step);
		range->stop = (int64_t)((uint64_t)old->start + (uint64_t)stop * old->step);
		range->n = count;
		v.u.range = range;
		return v;
	}
	ret = tpl_list(r, count);
	for (size_t i = 0; i < count; i++)
		tpl_push(r, ret, v.u.l->item[start + (int64_t)i * step]);
	ret.type = v.type;
	ret.flags = v.flags;
	return ret;
}

/* An item in Python's sense; false: there is none, or the value has no items. */
static bool item(struct tpl_render *r, struct tpl_value v, struct tpl_value key,
		 struct tpl_value *ret)
{
	struct tpl_value *found;
	int64_t i;
	size_t n;

	if (v.type == TPL_DICT) {
		if (key.type == TPL_LIST || key.type == TPL_DICT || key.type == TPL_SLICE)
			return false;
		found = tpl_get(r, v.u.d, key);
		if (found)
			*ret = *found;
		return found != NULL;
	}
	if (v.type != TPL_STR && v.type != TPL_LIST && v.type != TPL_TUPLE && v.type != TPL_RANGE)
		return false;
	if (key.type == TPL_SLICE) {
		const struct tpl_slice *s = key.u.slice;

		if ((s->start.type != TPL_NONE && !tpl_as_int(s->start, &i)) ||
		    (s->stop.type != TPL_NONE && !tpl_as_int(s->stop, &i)) ||
		    (s->step.type != TPL_NONE && !tpl_as_int(s->step, &i)))
			return false;
		*ret = slice_of(r, v, s);
		return true;
	}
	if (!tpl_as_int(key, &i) || !tpl_length(r, v, &n))
		return false;
	if (i < 0)
		i += (int64_t)n;
	if (i < 0 || i >= (int64_t)n)
		return false;
	if (v.type == TPL_RANGE)
		*ret = tpl_int(v.u.range->start + i * v.u.range->step);
	else if (v.type == TPL_STR)
		*ret = slice_text(r, v, i, 1, 1);
	else
		*ret = v.u.l->item[i];
	return true;
}

static struct tpl_value no_member(struct tpl_render *r, struct tpl_value v, struct tpl_value name)
{
	const char *type = tpl_type_name(v);
	struct tpl_buf b = { 0 };

	if (name.type == TPL_STR)
		return tpl_undefinedf(r, "'%s%s' has no attribute '%.*s'",
				      v.type == TPL_NONE ? "None" : type,
				      v.type == TPL_NONE ? "" : " object",
				      name.u.s->len > 60 ? 60 : (int)name.u.s->len,
				      name.u.s->len ? name.u.s->data : "");
	tpl_repr(r, &b, name);
	return tpl_undefinedf(r, "%s object has no element %.*s", type,
			      b.len > 60 ? 60 : (int)b.len, b.data);
}

static void check_defined(struct tpl_render *r, struct tpl_value v)
{
	if (v.type == TPL_UNDEFINED || v.type == TPL_MISSING)
		tpl_fail(r, WEIR_E_INVALID, "%s",
			 v.type == TPL_UNDEFINED && v.u.why ? v.u.why : "a value is undefined");
}

struct tpl_value tpl_getattr(struct tpl_render *r, struct tpl_value v, struct tpl_value name)
{
	struct tpl_value ret;

	check_defined(r, v);
	if (attribute(r, v, name.u.s, &ret) || item(r, v, name, &ret))
		return ret;
	return no_member(r, v, name);
}

struct tpl_value tpl_getitem(struct tpl_render *r, struct tpl_value v, struct tpl_value key)
{
	struct tpl_value ret;

	check_defined(r, v);
	if (key.type == TPL_SLICE && !item(r, v, key, &ret))
		tpl_fail(r, WEIR_E_INVALID, "'%s' object cannot be sliced so", tpl_type_name(v));
	if (item(r, v, key, &ret) || (key.type == TPL_STR && attribute(r, v, key.u.s, &ret)))
		return ret;
	return no_member(r, v, key);
}

/* "a.b.0" as filters take it: parts of digits are numbers. */
struct tpl_value tpl_attr_path(struct tpl_render *r, struct tpl_value v, struct tpl_value path,
			       struct tpl_value fallback)
{
	bool has_fallback = fallback.type != TPL_MISSING && fallback.type != TPL_NONE;
	size_t start = 0, len;

	if (path.type == TPL_NONE || path.type == TPL_MISSING)
		return v;
	if (path.type != TPL_STR) {
		v = tpl_getitem(r, v, path);
		return has_fallback && v.type == TPL_UNDEFINED ? fallback : v;
	}
	len = path.u.s->len;
	for (size_t i = 0; i <= len; i++) {
		struct tpl_value part;
		bool number = i > start && i - start < 18;
		int64_t n = 0;

		if (i < len && path.u.s->data[i] != '.')
			continue;
		part = tpl_sub(r, path, start, i);
		for (size_t k = start; number && k < i; k++) {
			number = path.u.s->data[k] >= '0' && path.u.s->data[k] <= '9';
			n = n * 10 + (path.u.s->data[k] - '0');
		}
		v = tpl_getitem(r, v, number ? tpl_int(n) : part);
		if (has_fallback && v.type == TPL_UNDEFINED)
			v = fallback;
		start = i + 1;
	}
	return v;
}
