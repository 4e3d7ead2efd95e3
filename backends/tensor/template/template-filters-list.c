/* SPDX-License-Identifier: MIT */
/*
 * template-filters-list.c - the filters of chat templates that work on sequences and mappings.
 *
 * Called through tpl_find_filter() by the evaluator and by |map, on the thread of one render. What
 * is a generator in jinja2 is one here: it works when it is walked, and only once.
 */
#include "template-ast.h"
#include "template-value.h"

#define FILTER(NAME)                                                                               \
	static struct tpl_value f_##NAME(struct tpl_render *r, struct tpl_value self,              \
					 struct tpl_value *v, const struct tpl_args *args)

typedef bool next_fn(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret);

static struct tpl_iter *generator(struct tpl_render *r, next_fn *next, struct tpl_value src)
{
	struct tpl_iter *it = tpl_alloc(r, 1, sizeof(*it));

	it->next = next;
	it->src = src;
	return it;
}

/* Generators look at their source when they are first asked, not when they are made. */
static bool pull(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	if (!it->inner)
		it->inner = tpl_iter(r, it->src);
	return tpl_next(r, it->inner, ret);
}

FILTER(length)
{
	size_t n;

	if (!tpl_length(r, self, &n))
		tpl_fail(r, WEIR_E_INVALID, "object of type '%s' has no len()",
			 tpl_type_name(self));
	return tpl_int((int64_t)n);
}

FILTER(first)
{
	struct tpl_value item;

	if (tpl_next(r, tpl_iter(r, self), &item))
		return item;
	return tpl_undefined("No first item, sequence was empty.");
}

FILTER(last)
{
	struct tpl_value list;

	if (self.type == TPL_ITER)
		tpl_fail(r, WEIR_E_INVALID, "'generator' object is not reversible");
	list = tpl_to_list(r, self);
	if (list.u.l->n)
		return list.u.l->item[list.u.l->n - 1];
	return tpl_undefined("No last item, sequence was empty.");
}

FILTER(default)
{
	if (self.type == TPL_UNDEFINED || (tpl_truth(r, v[1]) && !tpl_truth(r, self)))
		return v[0].type == TPL_MISSING ? tpl_cstr(r, "") : v[0];
	return self;
}

FILTER(list)
{
	return tpl_to_list(r, self);
}

/* d, attribute */
FILTER(join)
{
	struct tpl_value sep = v[0].type == TPL_MISSING ? tpl_cstr(r, "") : tpl_to_str(r, v[0]);
	struct tpl_iter *it = tpl_iter(r, self);
	struct tpl_value none = { 0 }, item;
	struct tpl_buf b = { 0 };
	bool more = false;

	while (tpl_next(r, it, &item)) {
		if (more)
			tpl_put_text(r, &b, sep.u.s);
		tpl_print(r, &b, tpl_attr_path(r, item, v[1], none));
		more = true;
	}
	return tpl_buf_value(r, &b);
}

static bool next_reversed(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	if (!it->pos)
		return false;
	*ret = it->src.u.l->item[--it->pos];
	return true;
}

FILTER(reverse)
{
	struct tpl_slice back = { tpl_none(), tpl_none(), tpl_int(-1) };
	struct tpl_value list;
	struct tpl_iter *it;

	if (self.type == TPL_STR)
		return tpl_getitem(r, self,
				   (struct tpl_value){ .type = TPL_SLICE, .u.slice = &back });
	list = tpl_to_list(r, self);
	if (self.type != TPL_ITER && self.type != TPL_LOOP) {
		it = generator(r, next_reversed, list);
		it->pos = list.u.l->n;
		return tpl_generator(it);
	}
	return tpl_getitem(r, list, (struct tpl_value){ .type = TPL_SLICE, .u.slice = &back });
}

static bool next_of_items(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	const struct tpl_pair *p;

	if (it->src.type == TPL_UNDEFINED)
		return false;
	if (it->src.type != TPL_DICT)
		tpl_fail(r, WEIR_E_INVALID, "Can only get item pairs from a mapping.");
	if (it->pos >= it->src.u.d->n)
		return false;
	p = &it->src.u.d->pair[it->pos++];
	*ret = tpl_tuple2(r, p->key, p->value);
	return true;
}

FILTER(items)
{
	return tpl_generator(generator(r, next_of_items, self));
}

FILTER(attr)
{
	struct tpl_value ret;

	tpl_need_str(r, v[0], "attr");
	/* Attributes only: an item of that name does not count. */
	if (self.type == TPL_DICT && tpl_get(r, self.u.d, v[0])) {
		struct tpl_value empty = tpl_dict(r);

		ret = tpl_getattr(r, empty, v[0]);
		return ret.type == TPL_METHOD ? tpl_bind(r, self, ret.u.method->fn) : ret;
	}
	return tpl_getattr(r, self, v[0]);
}

/* -- map, select, reject -- */

static bool next_map(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	struct tpl_value item;

	if (it->src.type != TPL_ITER && !tpl_truth(r, it->src))
		return false;
	if (!it->fn && it->attr.type == TPL_MISSING) {
		struct tpl_text *name =
			it->args.n_pos ? tpl_need_str(r, it->args.pos[0], "map") : NULL;

		if (!name)
			tpl_fail(r, WEIR_E_INVALID, "map requires a filter argument");
		it->fn = tpl_find_filter(name->data, name->len);
		if (!it->fn)
			tpl_fail(r, WEIR_E_INVALID, "no filter named '%.*s'",
				 name->len > 60 ? 60 : (int)name->len, name->data);
		it->args.pos++;
		it->args.n_pos--;
	}
	if (!pull(r, it, &item))
		return false;
	*ret = it->fn ? tpl_call_builtin(r, it->fn, item, &it->args)
		      : tpl_attr_path(r, item, it->attr, it->fallback);
	return true;
}

FILTER(map)
{
	struct tpl_iter *it = generator(r, next_map, self);

	it->args = *args;
	if (args->n_pos)
		return tpl_generator(it);
	for (size_t i = 0; i < args->n_kw; i++) {
		struct tpl_value name = { .type = TPL_STR, .u.s = args->kw[i].name };

		if (tpl_is(name, "attribute"))
			it->attr = args->kw[i].value;
		else if (tpl_is(name, "default"))
			it->fallback = args->kw[i].value;
		else
			tpl_fail(r, WEIR_E_INVALID, "map: unexpected keyword argument");
	}
	return tpl_generator(it);
}

struct selection {
	bool reject, by_attr;
};

static bool next_selected(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	const struct selection *how = it->more;
	struct tpl_value none = { 0 }, v;
	size_t off = how->by_attr;

	if (it->src.type != TPL_ITER && !tpl_truth(r, it->src))
		return false;
	if (!it->flag) {
		struct tpl_text *name;

		it->flag = true;
		if (it->args.n_pos < off)
			tpl_fail(r, WEIR_E_INVALID, "missing parameter for attribute name");
		if (off)
			it->attr = it->args.pos[0];
		if (it->args.n_pos > off) {
			name = tpl_need_str(r, it->args.pos[off], "the name of a test");
			it->fn = tpl_find_test(name->data, name->len);
			if (!it->fn)
				tpl_fail(r, WEIR_E_INVALID, "no test named '%.*s'",
					 name->len > 60 ? 60 : (int)name->len, name->data);
			it->args.pos += off + 1;
			it->args.n_pos -= off + 1;
		}
	}
	while (pull(r, it, ret)) {
		v = how->by_attr ? tpl_attr_path(r, *ret, it->attr, none) : *ret;
		if (it->fn)
			v = tpl_call_builtin(r, it->fn, v, &it->args);
		if (tpl_truth(r, v) != how->reject)
			return true;
	}
	return false;
}

static struct tpl_value selected(struct tpl_render *r, struct tpl_value self,
				 const struct tpl_args *args, bool reject, bool by_attr)
{
	struct tpl_iter *it = generator(r, next_selected, self);
	struct selection *how = tpl_alloc(r, 1, sizeof(*how));

	how->reject = reject;
	how->by_attr = by_attr;
	it->args = *args;
	it->more = how;
	return tpl_generator(it);
}

FILTER(select)
{
	return selected(r, self, args, false, false);
}

FILTER(reject)
{
	return selected(r, self, args, true, false);
}

FILTER(selectattr)
{
	return selected(r, self, args, false, true);
}

FILTER(rejectattr)
{
	return selected(r, self, args, true, true);
}

/* -- order -- */

struct sort_key {
	struct tpl_value item;
	struct tpl_value *key;
};

struct sort {
	struct sort_key *a, *scratch;
	size_t n_keys;
	bool reverse;
};

static struct tpl_value folded(struct tpl_render *r, struct tpl_value v, bool keep)
{
	return v.type == TPL_STR && !keep ? tpl_case(r, v, 'l') : v;
}

/* n: how many keys make a list; 0: the key is a plain value. */
static bool key_less(struct tpl_render *r, const struct sort_key *a, const struct sort_key *b,
		     size_t n)
{
	/* |sort has lists of keys: there the first pair that differs decides. */
	for (size_t i = 0; i < n; i++)
		if (!tpl_equal(r, a->key[i], b->key[i]))
			return tpl_less(r, a->key[i], b->key[i], "<");
	return n ? false : tpl_less(r, a->key[0], b->key[0], "<");
}

/* A stable merge sort; reversed, equal items still keep their order. */
static void merge_sort(struct tpl_render *r, struct sort *s, size_t from, size_t to)
{
	size_t mid = from + (to - from) / 2, i = from, j = mid, k = from;

	if (to - from < 2)
		return;
	merge_sort(r, s, from, mid);
	merge_sort(r, s, mid, to);
	while (i < mid || j < to) {
		bool right = i == mid;

		if (!right && j < to)
			right = s->reverse ? key_less(r, &s->a[i], &s->a[j], s->n_keys)
					   : key_less(r, &s->a[j], &s->a[i], s->n_keys);
		s->scratch[k++] = right ? s->a[j++] : s->a[i++];
	}
	memcpy(s->a + from, s->scratch + from, (to - from) * sizeof(*s->a));
}

static struct tpl_value sorted(struct tpl_render *r, struct tpl_value list, struct tpl_value *attrs,
			       size_t n_attrs, bool as_list, bool keep_case, bool reverse)
{
	struct sort s = { .n_keys = as_list ? n_attrs : 0, .reverse = reverse };
	struct tpl_value none = { 0 }, ret = tpl_list(r, list.u.l->n);
	size_t n = list.u.l->n;

	s.a = tpl_alloc(r, n, sizeof(*s.a));
	s.scratch = tpl_alloc(r, n, sizeof(*s.a));
	for (size_t i = 0; i < n; i++) {
		s.a[i].item = list.u.l->item[i];
		s.a[i].key = tpl_alloc(r, n_attrs, sizeof(struct tpl_value));
		for (size_t k = 0; k < n_attrs; k++)
			s.a[i].key[k] =
				folded(r, tpl_attr_path(r, s.a[i].item, attrs[k], none), keep_case);
	}
	merge_sort(r, &s, 0, n);
	for (size_t i = 0; i < n; i++)
		tpl_push(r, ret, s.a[i].item);
	return ret;
}

/* reverse, case_sensitive, attribute */
FILTER(sort)
{
	struct tpl_value attrs = tpl_list(r, 1), list;

	if (v[2].type == TPL_STR) {
		size_t start = 0, len = v[2].u.s->len;

		for (size_t i = 0; i <= len; i++)
			if (i == len || v[2].u.s->data[i] == ',') {
				tpl_push(r, attrs, tpl_sub(r, v[2], start, i));
				start = i + 1;
			}
	} else {
		tpl_push(r, attrs, v[2]);
	}
	list = tpl_to_list(r, self);
	return sorted(r, list, attrs.u.l->item, attrs.u.l->n, true, tpl_truth(r, v[1]),
		      tpl_truth(r, v[0]));
}

/* case_sensitive, by, reverse */
FILTER(dictsort)
{
	struct tpl_value by = tpl_int(0), list = tpl_list(r, 0);

	if (v[1].type != TPL_MISSING && !tpl_is(v[1], "key") && !tpl_is(v[1], "value"))
		tpl_fail(r, WEIR_E_INVALID, "You can only sort by either \"key\" or \"value\"");
	if (tpl_is(v[1], "value"))
		by = tpl_int(1);
	if (self.type != TPL_DICT)
		tpl_fail(r, WEIR_E_INVALID, "dictsort: a mapping is needed, not '%s'",
			 tpl_type_name(self));
	for (size_t i = 0; i < self.u.d->n; i++)
		tpl_push(r, list, tpl_tuple2(r, self.u.d->pair[i].key, self.u.d->pair[i].value));
	return sorted(r, list, &by, 1, false, tpl_truth(r, v[0]), tpl_truth(r, v[2]));
}

/* attribute, default, case_sensitive */
FILTER(groupby)
{
	struct tpl_value list = tpl_to_list(r, self), groups = tpl_list(r, 0), plain, order;
	bool keep = tpl_truth(r, v[2]);
	struct tpl_value index = tpl_int(0);

	/* Pairs (key, item), sorted by the key. */
	plain = tpl_list(r, list.u.l->n);
	for (size_t i = 0; i < list.u.l->n; i++)
		tpl_push(r, plain,
			 tpl_tuple2(r, tpl_attr_path(r, list.u.l->item[i], v[0], v[1]),
				    list.u.l->item[i]));
	order = sorted(r, plain, &index, 1, false, keep, false);
	for (size_t i = 0; i < order.u.l->n; i++) {
		struct tpl_value *pair = order.u.l->item[i].u.l->item;
		struct tpl_list *last =
			groups.u.l->n ? groups.u.l->item[groups.u.l->n - 1].u.l : NULL;

		if (!last ||
		    !tpl_equal(r, folded(r, last->item[0], keep), folded(r, pair[0], keep))) {
			struct tpl_value group = tpl_tuple2(r, pair[0], tpl_list(r, 0));

			group.u.l->grouped = true;
			tpl_push(r, groups, group);
			last = group.u.l;
		}
		tpl_push(r, last->item[1], pair[1]);
	}
	return groups;
}

static bool next_unique(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	struct tpl_dict *seen = it->more;
	struct tpl_value none = { 0 };

	while (pull(r, it, ret)) {
		struct tpl_value key = folded(r, tpl_attr_path(r, *ret, it->attr, none), it->flag);

		if (tpl_get(r, seen, key))
			continue;
		tpl_set(r, seen, key, tpl_none());
		return true;
	}
	return false;
}

/* case_sensitive, attribute */
FILTER(unique)
{
	struct tpl_iter *it = generator(r, next_unique, self);

	it->flag = tpl_truth(r, v[0]);
	it->attr = v[1];
	it->more = tpl_dict(r).u.d;
	return tpl_generator(it);
}

static struct tpl_value extreme(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				bool max)
{
	struct tpl_iter *it = tpl_iter(r, self);
	struct tpl_value none = { 0 }, item, best = { 0 }, best_key = { 0 };
	bool keep = tpl_truth(r, v[0]);

	while (tpl_next(r, it, &item)) {
		struct tpl_value key = folded(r, tpl_attr_path(r, item, v[1], none), keep);

		if (best.type == TPL_MISSING || (max ? tpl_order(r, key, best_key, ">") == 1
						     : tpl_less(r, key, best_key, "<"))) {
			best = item;
			best_key = key;
		}
	}
	return best.type == TPL_MISSING ? tpl_undefined("No aggregated item, sequence was empty.")
					: best;
}

FILTER(min)
{
	return extreme(r, self, v, false);
}

FILTER(max)
{
	return extreme(r, self, v, true);
}

/* attribute, start */
FILTER(sum)
{
	struct tpl_value total = v[1].type == TPL_MISSING ? tpl_int(0) : v[1];
	struct tpl_iter *it = tpl_iter(r, self);
	struct tpl_value none = { 0 }, item;

	if (total.type == TPL_STR)
		tpl_fail(r, WEIR_E_INVALID, "sum() can't sum strings [use |join instead]");
	while (tpl_next(r, it, &item))
		total = tpl_add(r, total, tpl_attr_path(r, item, v[0], none));
	return total;
}

/* -- batch, slice -- */

static bool next_batch(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	int64_t count = tpl_need_int(r, it->attr, 0, "batch");
	struct tpl_value item, row = tpl_list(r, 0);

	if (it->flag) { /* an item that did not fit into the row before */
		tpl_push(r, row, it->args.pos[0]);
		it->flag = false;
	}
	while (pull(r, it, &item)) {
		if ((int64_t)row.u.l->n == count) {
			it->args.pos[0] = item;
			it->flag = true;
			break;
		}
		tpl_push(r, row, item);
	}
	if (!row.u.l->n && !it->flag)
		return false;
	*ret = row;
	if (it->flag || it->fallback.type == TPL_NONE || it->fallback.type == TPL_MISSING)
		return true;
	while ((int64_t)row.u.l->n < count) {
		tpl_step(r, 1);
		tpl_push(r, row, it->fallback);
	}
	return true;
}

/* linecount, fill_with */
FILTER(batch)
{
	struct tpl_iter *it = generator(r, next_batch, self);

	it->attr = v[0];
	it->fallback = v[1];
	it->args.pos = tpl_alloc(r, 1, sizeof(*it->args.pos));
	return tpl_generator(it);
}

static bool next_slice(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	int64_t slices = tpl_need_int(r, it->attr, 0, "slice"), n, each, extra, i, start;

	if (!it->flag) {
		it->src = tpl_to_list(r, it->src);
		it->flag = true;
	}
	if (!slices)
		tpl_fail(r, WEIR_E_INVALID, "integer division or modulo by zero");
	i = (int64_t)it->pos;
	if (i >= slices)
		return false;
	it->pos++;
	n = (int64_t)it->src.u.l->n;
	each = n / slices;
	extra = n % slices;
	start = i * each + (i < extra ? i : extra);
	*ret = tpl_list(r, 0);
	for (int64_t k = start; k < start + each + (i < extra); k++)
		tpl_push(r, *ret, it->src.u.l->item[k]);
	if (it->fallback.type != TPL_NONE && it->fallback.type != TPL_MISSING && i >= extra)
		tpl_push(r, *ret, it->fallback);
	return true;
}

/* slices, fill_with */
FILTER(slice)
{
	struct tpl_iter *it = generator(r, next_slice, self);

	it->attr = v[0];
	it->fallback = v[1];
	return tpl_generator(it);
}

const struct tpl_builtin tpl_list_filters[] = {
	{ "attr", f_attr, "name", 1 },
	{ "batch", f_batch, "linecount fill_with", 1 },
	{ "count", f_length, "/", 0 },
	{ "d", f_default, "default_value boolean", 0 },
	{ "default", f_default, "default_value boolean", 0 },
	{ "dictsort", f_dictsort, "case_sensitive by reverse", 0 },
	{ "first", f_first, "/", 0 },
	{ "groupby", f_groupby, "attribute default case_sensitive", 1 },
	{ "items", f_items, "/", 0 },
	{ "join", f_join, "d attribute", 0 },
	{ "last", f_last, "/", 0 },
	{ "length", f_length, "/", 0 },
	{ "list", f_list, "/", 0 },
	{ "map", f_map, "*", 0 },
	{ "max", f_max, "case_sensitive attribute", 0 },
	{ "min", f_min, "case_sensitive attribute", 0 },
	{ "reject", f_reject, "*", 0 },
	{ "rejectattr", f_rejectattr, "*", 0 },
	{ "reverse", f_reverse, "/", 0 },
	{ "select", f_select, "*", 0 },
	{ "selectattr", f_selectattr, "*", 0 },
	{ "slice", f_slice, "slices fill_with", 1 },
	{ "sort", f_sort, "reverse case_sensitive attribute", 0 },
	{ "sum", f_sum, "attribute start", 0 },
	{ "unique", f_unique, "case_sensitive attribute", 0 },
};
const size_t tpl_n_list_filters = TPL_LEN(tpl_list_filters);
