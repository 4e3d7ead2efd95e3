/*
 * grammar-schema-list.c - arrays and objects of a JSON Schema; see grammar-schema.h.
 *
 * An object's properties come in the order in which the schema has them. After each there is a node
 * for every number of properties so far, as far as that matters: 0 and 1 for the comma, more for
 * minProperties and maxProperties.
 */
#include "fail.h"
#include "grammar-flat.h"
#include "grammar-schema.h"

#include <stdlib.h>
#include <string.h>

static uint32_t byte(struct weir_net *net, uint32_t from, char c)
{
	uint32_t to = weir_net_node(net);

	weir_net_byte(net, from, to, (uint8_t)c, (uint8_t)c);
	return to;
}

static uint32_t comma(struct weir_net *net, uint32_t from)
{
	uint32_t to = weir_net_node(net);

	weir_prelude_space(net, byte(net, from, ','), to);
	return to;
}

static void close_with(struct weir_net *net, uint32_t from, uint32_t to, char c)
{
	uint32_t spaced = weir_net_node(net);

	weir_prelude_space(net, from, spaced);
	weir_net_byte(net, spaced, to, (uint8_t)c, (uint8_t)c);
}

/* --- arrays -------------------------------------------------------------------------------- */

static const struct weir_json *prefix_of(struct weir_schema *sc, const struct weir_json *part)
{
	const struct weir_json *list = weir_schema_get(sc, part, "prefixItems");
	const struct weir_json *items = weir_schema_get(sc, part, "items");

	if (!list && items && items->type == WEIR_JSON_ARRAY)
		list = items; /* drafts before 2020-12 */
	if (list && list->type != WEIR_JSON_ARRAY) {
		weir_schema_fail(sc, WEIR_E_INVALID, list, "a list of schemas is needed");
		return NULL;
	}
	return list;
}

/* What the item at a place must meet; UINT32_MAX: all behind the prefixes. */
static struct weir_view *item_view(struct weir_schema *sc, const struct weir_view *v, uint32_t at)
{
	struct weir_view *item = weir_view_new(sc);
	bool ok = item != NULL;

	for (uint32_t i = 0; ok && i < v->n; i++) {
		const struct weir_json *part = v->at[i].node, *list = prefix_of(sc, part), *s;

		s = weir_schema_get(sc, part, "items");
		if (s && s->type == WEIR_JSON_ARRAY)
			s = weir_schema_get(sc, part, "additionalItems");
		if (list && at < list->n) {
			s = list->first;
			for (uint32_t k = 0; k < at; k++, sc->work++)
				s = s->next;
		}
		ok = sc->status == WEIR_OK && (!s || weir_view_add(sc, item, s, 0));
	}
	if (!ok) {
		free(item);
		return NULL;
	}
	return item;
}

bool weir_schema_array(struct weir_schema *sc, const struct weir_view *v, uint32_t from,
		       uint32_t to)
{
	struct weir_net *net = sc->net;
	uint32_t min = 0, max = WEIR_NET_MANY, n_prefix = 0, at, opened, behind, rule;
	struct weir_view *item;
	bool there, ok;

	if (!weir_schema_count(sc, v, "minItems", false, &min, &there) ||
	    !weir_schema_count(sc, v, "maxItems", true, &max, &there))
		return false;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *list = prefix_of(sc, v->at[i].node);

		if (list && list->n > n_prefix)
			n_prefix = list->n;
	}
	if (n_prefix > WEIR_SCHEMA_PROPERTIES)
		return weir_schema_fail(sc, WEIR_E_EXHAUSTED, v->at[0].node,
					"prefixItems is too long");
	if (min > max)
		return sc->status == WEIR_OK; /* nothing */
	opened = byte(net, from, '[');
	if (min == 0) {
		uint32_t empty = weir_net_node(net);

		weir_prelude_space(net, opened, empty);
		weir_net_byte(net, empty, to, ']', ']');
	}
	at = weir_net_node(net);
	weir_prelude_space(net, opened, at);
	for (uint32_t i = 0; i < n_prefix && i < max; i++) {
		if (i > 0)
			at = comma(net, at);
		item = item_view(sc, v, i);
		behind = weir_net_node(net);
		ok = item && weir_view_emit(sc, item, at, behind);
		free(item);
		if (!ok)
			return false;
		at = behind;
		if (i + 1 >= min)
			close_with(net, at, to, ']');
	}
	if (max <= n_prefix)
		return true;
	item = item_view(sc, v, UINT32_MAX);
	if (!item || item->nothing) {
		free(item);
		return sc->status == WEIR_OK;
	}
	min = min > n_prefix ? min - n_prefix : 0;
	max = max == WEIR_NET_MANY ? max : max - n_prefix;
	if (n_prefix > 0)
		at = comma(net, at);
	if (min <= 1 && max == WEIR_NET_MANY) {
		behind = weir_net_node(net);
		ok = weir_view_emit(sc, item, at, behind);
		weir_net_empty(net, comma(net, behind), at);
		close_with(net, behind, to, ']');
		free(item);
		return ok;
	}
	rule = weir_net_rule(net, "item", 4);
	ok = !net->exhausted &&
	     weir_view_emit(sc, item, net->rules[rule].start, net->rules[rule].end);
	free(item);
	if (!ok)
		return false;
	behind = weir_net_node(net);
	weir_net_call(net, at, behind, rule);
	if (max > 1) {
		uint32_t more = weir_net_rule(net, "items", 5), end = weir_net_node(net);

		if (net->exhausted)
			return true;
		weir_net_call(net, comma(net, net->rules[more].start), net->rules[more].end, rule);
		weir_net_loop(net, behind, end, more, min > 0 ? min - 1 : 0,
			      max == WEIR_NET_MANY ? max : max - 1);
		behind = end;
	}
	close_with(net, behind, to, ']');
	return true;
}

/* --- objects ------------------------------------------------------------------------------- */

struct property {
	struct weir_str name;
	bool required;
	uint32_t next; /* with the same hash */
};

struct object {
	struct weir_schema *sc;
	const struct weir_view *view;
	struct property *properties;
	uint32_t n, cap, min, max,
		cells; /* cells: numbers of properties that are told apart, less one */
	uint32_t buckets[256];
	bool counts;
	/* patternProperties of all parts, and their expressions */
	const struct weir_json *patterns[WEIR_FLAT_MAX];
	uint32_t n_patterns;
	struct weir_flat names; /* expressions: the patterns; then declared names; then anything */
	/* Where names lead, by what they match. */
	struct {
		uint64_t matched;
		uint32_t node;
	} classes[64];
	uint32_t n_classes, item, behind;
};

static struct property *property_of(struct object *o, struct weir_str name,
				    const struct weir_json *where)
{
	uint32_t hash = 2166136261u, *bucket;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
	bucket = &o->buckets[(hash ^ hash >> 16) & 255];
	for (uint32_t i = *bucket; i != UINT32_MAX; i = o->properties[i].next)
		if (o->properties[i].name.len == name.len &&
		    memcmp(o->properties[i].name.data, name.data, name.len) == 0)
			return &o->properties[i];
	if (o->n == WEIR_SCHEMA_PROPERTIES) {
		weir_schema_fail(o->sc, WEIR_E_EXHAUSTED, where,
				 "an object of more than 2000 properties");
		return NULL;
	}
	if (o->n == o->cap) {
		uint32_t cap = o->cap ? o->cap * 2 : 16;
		struct property *more = realloc(o->properties, cap * sizeof(*more));

		if (!more) {
			weir_schema_no_memory(o->sc);
			return NULL;
		}
		o->properties = more;
		o->cap = cap;
	}
	o->properties[o->n] = (struct property){ .name = name, .next = *bucket };
	*bucket = o->n;
	return &o->properties[o->n++];
}

static bool collect(struct object *o)
{
	struct weir_schema *sc = o->sc;

	for (uint32_t i = 0; i < o->view->n; i++) {
		const struct weir_json *part = o->view->at[i].node;
		const struct weir_json *list = weir_schema_get(sc, part, "properties");
		const struct weir_json *patterns = weir_schema_get(sc, part, "patternProperties");

		if ((list && list->type != WEIR_JSON_OBJECT) ||
		    (patterns && patterns->type != WEIR_JSON_OBJECT))
			return weir_schema_fail(sc, WEIR_E_INVALID, part,
						"properties and patternProperties must be objects");
		for (const struct weir_json *c = list ? list->first : NULL; c; c = c->next)
			if (!property_of(o, c->key, c))
				return false;
		for (const struct weir_json *c = patterns ? patterns->first : NULL; c;
		     c = c->next) {
			if (o->n_patterns == WEIR_FLAT_MAX - 2)
				return weir_schema_fail(sc, WEIR_E_EXHAUSTED, c,
							"too many patternProperties");
			o->patterns[o->n_patterns++] = c;
		}
	}
	for (uint32_t i = 0; i < o->view->n; i++) {
		const struct weir_json *list = weir_schema_get(sc, o->view->at[i].node, "required");

		if (list && list->type != WEIR_JSON_ARRAY)
			return weir_schema_fail(sc, WEIR_E_INVALID, list,
						"required must be a list of names");
		for (const struct weir_json *c = list ? list->first : NULL; c; c = c->next) {
			struct property *p;

			if (c->type != WEIR_JSON_STRING)
				return weir_schema_fail(sc, WEIR_E_INVALID, c,
							"required must be a list of names");
			p = property_of(o, c->text, c);
			if (!p)
				return false;
			p->required = true;
		}
	}
	return sc->status == WEIR_OK;
}

static const struct weir_json *additional_of(struct weir_schema *sc, const struct weir_json *part)
{
	const struct weir_json *a = weir_schema_get(sc, part, "additionalProperties");

	return a ? a : weir_schema_get(sc, part, "unevaluatedProperties");
}

/* Whether names that no part declares are written: if a part says so, or none says anything. */
static bool is_open(struct object *o)
{
	bool said = o->n_patterns > 0, declares = false;

	for (uint32_t i = 0; i < o->view->n; i++) {
		const struct weir_json *part = o->view->at[i].node;
		const struct weir_json *a = additional_of(o->sc, part);

		if (a && a->type == WEIR_JSON_FALSE &&
		    !weir_schema_get(o->sc, part, "patternProperties"))
			return false;
		said |= a != NULL && a->type != WEIR_JSON_FALSE;
		declares |= weir_schema_get(o->sc, part, "properties") != NULL;
	}
	return said || !declares;
}

/* What the value of a name must meet. matched: of the patterns. declared: the name, if it is. */
static struct weir_view *value_view(struct object *o, const struct weir_str *declared,
				    uint64_t matched)
{
	struct weir_schema *sc = o->sc;
	struct weir_view *value = weir_view_new(sc);
	bool ok = value != NULL, generous = false;

	for (uint32_t i = 0; ok && i < o->view->n; i++) {
		const struct weir_json *a = additional_of(sc, o->view->at[i].node);

		generous |= a && a->type != WEIR_JSON_FALSE;
	}
	for (uint32_t i = 0; ok && i < o->view->n; i++) {
		const struct weir_json *part = o->view->at[i].node, *s = NULL;
		bool known = false;

		if (declared)
			s = weir_schema_find(sc, weir_schema_get(sc, part, "properties"),
					     *declared);
		known = s != NULL;
		ok = !s || weir_view_add(sc, value, s, 0);
		for (uint32_t k = 0; ok && k < o->n_patterns; k++) {
			if (!(matched >> k & 1) || o->patterns[k]->parent->parent != part)
				continue;
			known = true;
			ok = weir_view_add(sc, value, o->patterns[k], 0);
		}
		s = additional_of(sc, part);
		if (ok && !known && s)
			ok = weir_view_add(sc, value, s, 0);
		else if (ok && !known && !declared && !matched && !generous && o->n_patterns > 0)
			value->nothing = true; /* patterns alone: other names are not written */
	}
	if (!ok) {
		free(value);
		return NULL;
	}
	return value;
}

/* The expressions of names. Declared names are words of one expression. */
static bool prepare_names(struct object *o)
{
	static const struct weir_rune_range any[] = { { 0, 0x10ffff } };
	struct weir_schema *sc = o->sc;
	struct weir_str *words = NULL;
	struct weir_text *texts = NULL;
	struct weir_term *term;
	uint32_t from, to;
	bool ok = true;

	if (weir_flat_init(&o->names, sc->err) != WEIR_OK)
		return weir_schema_no_memory(sc);
	for (uint32_t i = 0; ok && i < o->n_patterns; i++) {
		ok = weir_flat_add(&o->names, &from, &to) &&
		     weir_schema_pattern(sc, o->patterns[i], o->patterns[i]->key, &term);
		if (ok)
			weir_term_emit(o->names.net, term, from, to,
				       WEIR_TERM_JSON | WEIR_TERM_FLAT);
	}
	words = calloc((size_t)o->n + 1, sizeof(*words));
	texts = calloc((size_t)o->n + 1, sizeof(*texts));
	ok = ok && words && texts && weir_flat_add(&o->names, &from, &to);
	for (uint32_t i = 0; ok && i < o->n; i++) {
		weir_text_add_string(&texts[i], o->properties[i].name);
		ok = !texts[i].failed;
		words[i] = (struct weir_str){ texts[i].data + 1, texts[i].len - 2 };
	}
	if (ok)
		weir_net_words(o->names.net, from, to, words, o->n);
	ok = ok && weir_flat_add(&o->names, &from, &to);
	if (ok) {
		term = weir_term_repeat(&sc->terms, weir_term_runes(&sc->terms, any, 1), 0,
					WEIR_NET_MANY);
		ok = term != NULL;
		if (ok)
			weir_term_emit(o->names.net, term, from, to,
				       WEIR_TERM_JSON | WEIR_TERM_FLAT);
	}
	for (uint32_t i = 0; texts && i < o->n; i++)
		weir_text_clear(&texts[i]);
	free(texts);
	free(words);
	return ok || weir_schema_no_memory(sc);
}

/* The node behind the names that match these expressions, with the value behind it. */
static uint32_t leads(void *data, uint64_t matched)
{
	struct object *o = data;
	struct weir_net *net = o->sc->net;
	struct weir_view *value;
	uint32_t node = UINT32_MAX, colon;

	if (matched >> o->n_patterns & 1) /* declared */
		return UINT32_MAX;
	matched &= ((uint64_t)1 << o->n_patterns) - 1;
	for (uint32_t i = 0; i < o->n_classes; i++)
		if (o->classes[i].matched == matched)
			return o->classes[i].node;
	if (o->n_classes == 64) {
		weir_schema_fail(o->sc, WEIR_E_EXHAUSTED, o->patterns[0],
				 "patternProperties that overlap in too many ways");
		return UINT32_MAX;
	}
	value = value_view(o, NULL, matched);
	if (value && !value->nothing) {
		node = weir_net_node(net);
		colon = weir_net_node(net);
		weir_prelude_space(net, byte(net, byte(net, node, '"'), ':'), colon);
		weir_view_emit(o->sc, value, colon, o->behind);
	}
	free(value);
	o->classes[o->n_classes].matched = matched;
	o->classes[o->n_classes++].node = node;
	return node;
}

/* "name": value of names that are not declared, item .. behind. */
static bool emit_others(struct object *o, uint32_t item, uint32_t behind)
{
	struct weir_schema *sc = o->sc;
	uint32_t colon;
	weir_status s;

	o->item = item;
	o->behind = behind;
	if (o->n == 0 && o->n_patterns == 0) {
		struct weir_view *value = value_view(o, NULL, 0);
		uint32_t named = weir_net_node(sc->net);
		bool ok;

		colon = weir_net_node(sc->net);
		weir_net_call(sc->net, item, named, sc->prelude->string);
		weir_prelude_space(sc->net, byte(sc->net, named, ':'), colon);
		ok = value && weir_view_emit(sc, value, colon, behind);
		free(value);
		return ok;
	}
	s = weir_flat_split(&o->names, sc->net, byte(sc->net, item, '"'), leads, o, sc->err);
	if (s != WEIR_OK && sc->status == WEIR_OK)
		sc->status = s;
	return sc->status == WEIR_OK;
}

/* The numbers of properties so far, as nodes: cells[0] .. cells[o->cells]. */
static void new_cells(struct object *o, uint32_t *cells)
{
	for (uint32_t i = 0; i <= o->cells; i++)
		cells[i] = weir_net_node(o->sc->net);
}

static uint32_t cell_behind(const struct object *o, uint32_t c)
{
	return c < o->cells ? c + 1 : c;
}

/* A way from the cells to one item: with a comma unless it is the first. With counting, the item
 * is a rule and comes back to the right cell. */
static bool emit_member(struct object *o, const struct property *p, const uint32_t *cells,
			const uint32_t *after)
{
	struct weir_schema *sc = o->sc;
	struct weir_net *net = sc->net;
	uint32_t item, behind, rule = 0, colon;
	struct weir_text text = { 0 };
	uint64_t matched = 0;
	struct weir_view *value;
	bool ok = true;

	if (o->counts) {
		rule = weir_net_rule(net, "member", 6);
		if (net->exhausted)
			return true;
		item = net->rules[rule].start;
		behind = net->rules[rule].end;
	} else {
		item = weir_net_node(net);
		behind = after[1];
	}
	if (p) {
		weir_text_add_string(&text, p->name);
		if (text.failed)
			return weir_schema_no_memory(sc);
		if (o->n_patterns > 0) {
			weir_status s = weir_flat_match(
				&o->names, (struct weir_str){ text.data + 1, text.len - 2 },
				&matched, sc->err);

			if (s != WEIR_OK)
				sc->status = s;
			matched &= ((uint64_t)1 << o->n_patterns) - 1;
		}
		value = value_view(o, &p->name, matched);
		ok = value != NULL;
		if (ok && !value->nothing) {
			uint32_t named = weir_net_node(net);

			weir_net_literal(net, item, named, text.data, text.len);
			colon = weir_net_node(net);
			weir_prelude_space(net, byte(net, named, ':'), colon);
			ok = weir_view_emit(sc, value, colon, behind);
		}
		weir_text_clear(&text);
		free(value);
	} else {
		ok = emit_others(o, item, behind);
	}
	for (uint32_t c = 0; ok && c <= o->cells; c++) {
		uint32_t at;

		if (o->max != WEIR_NET_MANY && c >= o->max)
			continue;
		at = c > 0 ? comma(net, cells[c]) : cells[c];
		if (o->counts)
			weir_net_call(net, at, after[cell_behind(o, c)], rule);
		else
			weir_net_empty(net, at, item);
	}
	return ok && sc->status == WEIR_OK;
}

static bool emit_object(struct object *o, uint32_t from, uint32_t to)
{
	struct weir_schema *sc = o->sc;
	struct weir_net *net = sc->net;
	uint32_t *cells = calloc((size_t)o->cells + 1, sizeof(*cells));
	uint32_t *after = calloc((size_t)o->cells + 1, sizeof(*after));
	uint32_t opened = byte(net, from, '{'), *swap;
	bool open = is_open(o), ok = cells && after;

	if (ok && (o->n_patterns > 0 || (open && o->n > 0)))
		ok = prepare_names(o);
	if (ok)
		new_cells(o, cells);
	if (ok)
		weir_prelude_space(net, opened, cells[0]);
	for (uint32_t i = 0; ok && i < o->n; i++) {
		new_cells(o, after);
		ok = emit_member(o, &o->properties[i], cells, after);
		for (uint32_t c = 0; ok && !o->properties[i].required && c <= o->cells; c++)
			weir_net_empty(net, cells[c], after[c]);
		swap = cells;
		cells = after;
		after = swap;
	}
	if (ok && open)
		ok = emit_member(o, NULL, cells, cells);
	for (uint32_t c = 0; ok && c <= o->cells; c++) {
		if (c < o->min)
			continue;
		if (c > 0)
			close_with(net, cells[c], to, '}');
		else
			weir_net_byte(net, cells[0], to, '}', '}');
	}
	free(cells);
	free(after);
	return ok ? true : sc->status != WEIR_OK ? false : weir_schema_no_memory(sc);
}

bool weir_schema_object(struct weir_schema *sc, const struct weir_view *v, uint32_t from,
			uint32_t to)
{
	struct object *o = calloc(1, sizeof(*o));
	uint32_t n_required = 0;
	bool has_min, has_max, ok;

	if (!o)
		return weir_schema_no_memory(sc);
	o->sc = sc;
	o->view = v;
	o->max = WEIR_NET_MANY;
	memset(o->buckets, 0xff, sizeof(o->buckets));
	ok = collect(o) && weir_schema_count(sc, v, "minProperties", false, &o->min, &has_min) &&
	     weir_schema_count(sc, v, "maxProperties", true, &o->max, &has_max);
	for (uint32_t i = 0; ok && i < o->n; i++)
		n_required += o->properties[i].required;
	if (ok) {
		if (o->min <= n_required)
			o->min = 0;
		if (o->max != WEIR_NET_MANY && o->max >= o->n && !is_open(o))
			o->max = WEIR_NET_MANY;
		/* Names that the schema does not have could be the same twice. */
		if (o->min > n_required + 1 && is_open(o))
			ok = weir_schema_fail(sc, WEIR_E_UNSUPPORTED, v->at[0].node,
					      "minProperties beyond the required ones cannot be "
					      "honoured where names are free");
		o->cells = o->min > 1 ? o->min : 1;
		if (o->max != WEIR_NET_MANY && o->max > o->cells)
			o->cells = o->max;
		o->counts = o->cells > 1 || o->max != WEIR_NET_MANY;
		if (ok && (uint64_t)o->cells * (o->n + 1) > 100000)
			ok = weir_schema_fail(sc, WEIR_E_EXHAUSTED, v->at[0].node,
					      "minProperties or maxProperties is too large");
	}
	ok = ok && emit_object(o, from, to);
	weir_flat_clear(&o->names);
	free(o->properties);
	free(o);
	return ok;
}
