/*
 * grammar-schema.c - views, references, types, enum and alternatives; see grammar-schema.h.
 */
#include "grammar-schema.h"
#include "fail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORK  ((uint64_t)30000000)
#define MAX_DEPTH 300

bool weir_schema_fail(struct weir_schema *sc, weir_status code, const struct weir_json *where,
		      const char *what)
{
	char pointer[200] = "#";

	if (sc->status != WEIR_OK)
		return false;
	weir_json_pointer(where, pointer, sizeof(pointer));
	/* The schema is within {"type": "json_schema", "value": ...}. */
	sc->status = weir_fail(sc->err, code, "schema, at %s%s: %s",
			       strncmp(pointer, "#/value", 7) == 0 ? "#" : "",
			       strncmp(pointer, "#/value", 7) == 0 ? pointer + 7 : pointer, what);
	return false;
}

bool weir_schema_no_memory(struct weir_schema *sc)
{
	if (sc->status == WEIR_OK)
		sc->status = weir_fail(sc->err, WEIR_E_EXHAUSTED, "schema: out of memory");
	return false;
}

const struct weir_json *weir_schema_find(struct weir_schema *sc, const struct weir_json *v,
					 struct weir_str name)
{
	if (!v || v->type != WEIR_JSON_OBJECT)
		return NULL;
	sc->work += v->n + 1;
	if (sc->work > MAX_WORK) {
		weir_schema_fail(sc, WEIR_E_EXHAUSTED, v,
				 "the schema takes too long to read: "
				 "it is too large");
		return NULL;
	}
	return weir_json_find(v, name);
}

const struct weir_json *weir_schema_get(struct weir_schema *sc, const struct weir_json *v,
					const char *name)
{
	return weir_schema_find(sc, v, (struct weir_str){ name, strlen(name) });
}

struct weir_view *weir_view_new(struct weir_schema *sc)
{
	struct weir_view *v = calloc(1, sizeof(*v));

	if (!v)
		weir_schema_no_memory(sc);
	return v;
}

/* --- references ---------------------------------------------------------------------------- */

const struct weir_json *weir_schema_target(struct weir_schema *sc, const struct weir_json *ref)
{
	const struct weir_json *at = sc->root;
	const char *p, *end;

	if (ref->type != WEIR_JSON_STRING) {
		weir_schema_fail(sc, WEIR_E_INVALID, ref, "$ref must be a string");
		return NULL;
	}
	p = ref->text.data;
	end = p + ref->text.len;
	if (p == end || *p != '#' || (p + 1 < end && p[1] != '/')) {
		weir_schema_fail(sc, WEIR_E_UNSUPPORTED, ref,
				 "$ref can only point into the same schema: \"#/...\"");
		return NULL;
	}
	for (p++; p < end && at;) {
		char name[512];
		size_t n = 0;

		for (p++; p < end && *p != '/' && n < sizeof(name); p++) {
			unsigned value;

			if (*p == '~' && p + 1 < end && (p[1] == '0' || p[1] == '1')) {
				name[n++] = *++p == '0' ? '~' : '/';
			} else if (*p == '%' && end - p > 2 &&
				   sscanf((char[]){ p[1], p[2], 0 }, "%2x", &value) == 1) {
				name[n++] = (char)value;
				p += 2;
			} else {
				name[n++] = *p;
			}
		}
		if (at->type == WEIR_JSON_ARRAY) {
			const struct weir_json *c = at->first;
			char *digits_end;
			unsigned long index;

			name[n < sizeof(name) ? n : sizeof(name) - 1] = '\0';
			index = strtoul(name, &digits_end, 10);
			sc->work += at->n;
			while (c && c->index != index)
				c = c->next;
			at = n > 0 && !*digits_end ? c : NULL;
		} else {
			at = weir_schema_find(sc, at, (struct weir_str){ name, n });
		}
	}
	if (!at)
		weir_schema_fail(sc, WEIR_E_INVALID, ref, "$ref points to nothing");
	return at;
}

static bool check_keywords(struct weir_schema *sc, const struct weir_json *node)
{
	static const char *const refused[] = {
		"not",
		"if",
		"then",
		"else",
		"dependentRequired",
		"dependentSchemas",
		"dependencies",
		"contains",
		"minContains",
		"maxContains",
		"propertyNames",
		"unevaluatedItems",
		"$dynamicRef",
		"$recursiveRef",
		"contentSchema",
		"extends",
		"disallow",
		"divisibleBy",
	};

	for (const struct weir_json *c = node->first; c; c = c->next) {
		char what[96];

		for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
			if (c->key.len != strlen(refused[i]) ||
			    memcmp(c->key.data, refused[i], c->key.len) != 0)
				continue;
			snprintf(what, sizeof(what), "the keyword \"%s\" cannot be honoured",
				 refused[i]);
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, c, what);
		}
		if (c->key.len == 11 && memcmp(c->key.data, "uniqueItems", 11) == 0 &&
		    c->type != WEIR_JSON_FALSE)
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, c,
						"the keyword \"uniqueItems\" cannot be honoured");
		if (c->key.len == 21 && memcmp(c->key.data, "unevaluatedProperties", 21) == 0 &&
		    c->type != WEIR_JSON_FALSE && c->type != WEIR_JSON_TRUE)
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, c,
						"the keyword \"unevaluatedProperties\" can only "
						"be true or false");
	}
	return sc->status == WEIR_OK;
}

bool weir_view_add(struct weir_schema *sc, struct weir_view *v, const struct weir_json *node,
		   uint32_t done)
{
	const struct weir_json *all, *ref, *target;

	if (node->type == WEIR_JSON_TRUE)
		return true;
	if (node->type == WEIR_JSON_FALSE) {
		v->nothing = true;
		return true;
	}
	if (node->type != WEIR_JSON_OBJECT)
		return weir_schema_fail(sc, WEIR_E_INVALID, node,
					"a schema must be an object, true or false");
	for (uint32_t i = 0; i < v->n; i++)
		if (v->at[i].node == node && v->at[i].done == done)
			return true;
	if (v->n == WEIR_VIEW_MAX || sc->depth > MAX_DEPTH)
		return weir_schema_fail(sc, WEIR_E_EXHAUSTED, node,
					"too many schemas for one value (allOf, $ref)");
	if (!check_keywords(sc, node))
		return false;
	ref = weir_schema_get(sc, node, "$ref");
	all = weir_schema_get(sc, node, "allOf");
	/* A bare reference says nothing itself. */
	if (!ref || node->n > 1)
		v->at[v->n++] = (struct weir_part_of_view){ .node = node, .done = done };
	sc->depth++;
	if (ref) {
		target = weir_schema_target(sc, ref);
		v->referred = true;
		if (!target)
			return false;
		if (target == node || (target->type == WEIR_JSON_OBJECT && target->n == 1 &&
				       weir_schema_get(sc, target, "$ref") && sc->depth > 100))
			return weir_schema_fail(sc, WEIR_E_INVALID, ref,
						"a $ref that comes back to itself");
		if (!weir_view_add(sc, v, target, 0))
			return false;
	}
	if (all && all->type != WEIR_JSON_ARRAY)
		return weir_schema_fail(sc, WEIR_E_INVALID, all, "allOf must be a list");
	for (const struct weir_json *c = all ? all->first : NULL; c; c = c->next)
		if (!weir_view_add(sc, v, c, 0))
			return false;
	sc->depth--;
	return sc->status == WEIR_OK;
}

/* --- types --------------------------------------------------------------------------------- */

#define NO_SUCH_TYPE                                                                               \
	"there is no such type: null, boolean, integer, number, string, array and object are"

static unsigned type_named(const struct weir_json *v)
{
	static const char *const names[] = { "null",   "boolean", "integer", "number",
					     "string", "array",   "object" };

	for (unsigned i = 0; i < 7; i++)
		if (weir_json_is(v, names[i]))
			return 1u << i;
	return 0;
}

unsigned weir_schema_types(struct weir_schema *sc, const struct weir_json *part, bool gen)
{
	static const struct {
		const char *keyword;
		unsigned type;
	} hints[] = {
		{ "properties", WEIR_TYPE_OBJECT },
		{ "required", WEIR_TYPE_OBJECT },
		{ "additionalProperties", WEIR_TYPE_OBJECT },
		{ "patternProperties", WEIR_TYPE_OBJECT },
		{ "minProperties", WEIR_TYPE_OBJECT },
		{ "maxProperties", WEIR_TYPE_OBJECT },
		{ "items", WEIR_TYPE_ARRAY },
		{ "prefixItems", WEIR_TYPE_ARRAY },
		{ "minItems", WEIR_TYPE_ARRAY },
		{ "maxItems", WEIR_TYPE_ARRAY },
		{ "pattern", WEIR_TYPE_STRING },
		{ "minLength", WEIR_TYPE_STRING },
		{ "maxLength", WEIR_TYPE_STRING },
		{ "format", WEIR_TYPE_STRING },
		{ "minimum", WEIR_TYPE_NUMBER },
		{ "maximum", WEIR_TYPE_NUMBER },
		{ "exclusiveMinimum", WEIR_TYPE_NUMBER },
		{ "exclusiveMaximum", WEIR_TYPE_NUMBER },
		{ "multipleOf", WEIR_TYPE_NUMBER },
	};
	const struct weir_json *type = weir_schema_get(sc, part, "type");
	unsigned types = 0;

	if (type && type->type == WEIR_JSON_STRING)
		types = type_named(type);
	for (const struct weir_json *c = type && type->type == WEIR_JSON_ARRAY ? type->first : NULL;
	     c; c = c->next) {
		if (!type_named(c))
			weir_schema_fail(sc, WEIR_E_INVALID, c, NO_SUCH_TYPE);
		types |= type_named(c);
	}
	if (type) {
		if (!types)
			weir_schema_fail(sc, WEIR_E_INVALID, type, NO_SUCH_TYPE);
		return types;
	}
	for (size_t i = 0; gen && i < sizeof(hints) / sizeof(*hints); i++)
		if (weir_schema_get(sc, part, hints[i].keyword))
			types |= hints[i].type;
	return types ? types : WEIR_TYPE_ALL;
}

static unsigned both_types(unsigned a, unsigned b)
{
	unsigned both = a & b;

	if ((a & WEIR_TYPE_NUMBER) && (b & WEIR_TYPE_INTEGER))
		both |= WEIR_TYPE_INTEGER;
	if ((b & WEIR_TYPE_NUMBER) && (a & WEIR_TYPE_INTEGER))
		both |= WEIR_TYPE_INTEGER;
	if (both & WEIR_TYPE_NUMBER)
		both &= ~(unsigned)WEIR_TYPE_INTEGER;
	return both;
}

static unsigned view_types(struct weir_schema *sc, const struct weir_view *v)
{
	unsigned types = WEIR_TYPE_ALL, hints = WEIR_TYPE_ALL;

	for (uint32_t i = 0; i < v->n; i++) {
		unsigned gen = weir_schema_types(sc, v->at[i].node, true);

		types = both_types(types, weir_schema_types(sc, v->at[i].node, false));
		if (gen != WEIR_TYPE_ALL)
			hints = hints == WEIR_TYPE_ALL ? gen : hints | gen;
	}
	/* What the other keywords speak of is meant when nothing else is said. */
	return types == (WEIR_TYPE_ALL & ~(unsigned)WEIR_TYPE_INTEGER) || types == WEIR_TYPE_ALL
		       ? both_types(types, hints)
		       : types;
}

/* --- const and enum ------------------------------------------------------------------------ */

static unsigned type_of(const struct weir_json *v)
{
	switch (v->type) {
	case WEIR_JSON_NULL:
		return WEIR_TYPE_NULL;
	case WEIR_JSON_TRUE:
	case WEIR_JSON_FALSE:
		return WEIR_TYPE_BOOLEAN;
	case WEIR_JSON_NUMBER:
		return strtod(v->text.data, NULL) == floor(strtod(v->text.data, NULL))
			       ? WEIR_TYPE_INTEGER
			       : WEIR_TYPE_NUMBER;
	case WEIR_JSON_STRING:
		return WEIR_TYPE_STRING;
	case WEIR_JSON_ARRAY:
		return WEIR_TYPE_ARRAY;
	case WEIR_JSON_OBJECT:
		break;
	}
	return WEIR_TYPE_OBJECT;
}

static bool in_list(struct weir_schema *sc, const struct weir_json *list,
		    const struct weir_json *value)
{
	for (const struct weir_json *c = list->first; c; c = c->next) {
		if (++sc->work > MAX_WORK)
			return weir_schema_fail(sc, WEIR_E_EXHAUSTED, list, "enum is too long");
		if (weir_json_equal(c, value))
			return true;
	}
	return false;
}

/* Does a value of an enum meet the rest of a part? Only what is easy to tell is asked. of: the enum
 * that it comes from, which need not be searched for it. */
static bool value_fits(struct weir_schema *sc, const struct weir_json *part,
		       const struct weir_json *value, const struct weir_json *of)
{
	static const char *const bounds[] = { "minimum", "maximum", "exclusiveMinimum",
					      "exclusiveMaximum" };
	static const char *const others[] = { "pattern",
					      "minLength",
					      "maxLength",
					      "format",
					      "items",
					      "prefixItems",
					      "properties",
					      "required",
					      "multipleOf",
					      "patternProperties",
					      "minItems",
					      "maxItems",
					      "additionalProperties" };
	static const unsigned kinds[] = { 16, 16, 16, 16, 32, 32, 64, 64, 12, 64, 32, 32, 64 };
	const struct weir_json *list = weir_schema_get(sc, part, "enum"), *k;
	unsigned type = type_of(value);

	if (!both_types(type, weir_schema_types(sc, part, false)))
		return false;
	if (list && list->type == WEIR_JSON_ARRAY && list != of && !in_list(sc, list, value))
		return false;
	k = weir_schema_get(sc, part, "const");
	if (k && !weir_json_equal(k, value))
		return false;
	for (int i = 0; value->type == WEIR_JSON_NUMBER && i < 4; i++) {
		double x = strtod(value->text.data, NULL), y;

		k = weir_schema_get(sc, part, bounds[i]);
		if (!k || k->type != WEIR_JSON_NUMBER)
			continue;
		y = strtod(k->text.data, NULL);
		if (i == 0 ? x < y : i == 1 ? x > y : i == 2 ? x <= y : x >= y)
			return false;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		k = weir_schema_get(sc, part, others[i]);
		if (k && (type & kinds[i]))
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, k,
						"this keyword beside enum or const cannot be "
						"honoured: leave out the values it excludes");
	}
	return true;
}

static bool emit_values(struct weir_schema *sc, const struct weir_view *v,
			const struct weir_json *first, uint32_t n, uint32_t from, uint32_t to)
{
	struct weir_str *words = calloc((size_t)n + 1, sizeof(*words));
	struct weir_text *texts = calloc((size_t)n + 1, sizeof(*texts));
	uint32_t n_words = 0, i = 0;

	for (const struct weir_json *c = first; words && texts && i < n; c = c->next, i++) {
		bool fits = true;

		for (uint32_t k = 0; fits && k < v->n; k++)
			fits = value_fits(sc, v->at[k].node, c, first->parent);
		if (sc->status != WEIR_OK)
			break;
		if (!fits)
			continue;
		weir_text_add_json(&texts[n_words], c);
		if (texts[n_words].failed)
			weir_schema_no_memory(sc);
		words[n_words] = (struct weir_str){ texts[n_words].data, texts[n_words].len };
		n_words++;
	}
	if (!words || !texts)
		weir_schema_no_memory(sc);
	else if (sc->status == WEIR_OK)
		weir_net_words(sc->net, from, to, words, n_words);
	for (uint32_t k = 0; texts && k < n_words; k++)
		weir_text_clear(&texts[k]);
	free(words);
	free(texts);
	return sc->status == WEIR_OK;
}

/* --- alternatives -------------------------------------------------------------------------- */

static bool emit_ways(struct weir_schema *sc, const struct weir_view *v, uint32_t part,
		      const struct weir_json *list, uint32_t done, uint32_t from, uint32_t to)
{
	bool ok = true;

	if (list->type != WEIR_JSON_ARRAY || list->n == 0)
		return weir_schema_fail(sc, WEIR_E_INVALID, list, "a list of schemas is needed");
	if (done == WEIR_PART_ONE_DONE) {
		for (const struct weir_json *a = list->first; a; a = a->next)
			for (const struct weir_json *b = a->next; b; b = b->next) {
				if (sc->status != WEIR_OK)
					return false;
				if (!weir_schema_apart(sc, a, b, 0))
					return weir_schema_fail(
						sc, WEIR_E_UNSUPPORTED, b,
						"oneOf: a value could meet this one and another "
						"one too; make them differ by a type, a const or "
						"a required property, or use anyOf");
			}
	}
	for (const struct weir_json *c = list->first; ok && c; c = c->next) {
		struct weir_view *way = weir_view_new(sc);

		ok = way != NULL;
		if (ok) {
			way->referred = v->referred;
			for (uint32_t i = 0; i < v->n; i++) {
				struct weir_part_of_view one = v->at[i];
				uint32_t k = 0;

				one.done |= i == part ? done : 0;
				while (k < way->n &&
				       (way->at[k].node != one.node || way->at[k].done != one.done))
					k++;
				if (k == way->n)
					way->at[way->n++] = one;
			}
			ok = weir_view_add(sc, way, c, 0) && weir_view_emit(sc, way, from, to);
		}
		free(way);
	}
	return ok;
}

static bool emit_types(struct weir_schema *sc, const struct weir_view *v, uint32_t from,
		       uint32_t to)
{
	unsigned types = view_types(sc, v);
	bool ok = sc->status == WEIR_OK;

	if (v->n == 0) {
		weir_net_call(sc->net, from, to, sc->prelude->value);
		return true;
	}
	if (types & WEIR_TYPE_NULL)
		weir_net_literal(sc->net, from, to, "null", 4);
	if (types & WEIR_TYPE_BOOLEAN) {
		weir_net_literal(sc->net, from, to, "true", 4);
		weir_net_literal(sc->net, from, to, "false", 5);
	}
	if (types & (WEIR_TYPE_INTEGER | WEIR_TYPE_NUMBER))
		ok = ok && weir_schema_number(sc, v, !(types & WEIR_TYPE_NUMBER), from, to);
	if (types & WEIR_TYPE_STRING)
		ok = ok && weir_schema_string(sc, v, from, to);
	if (types & WEIR_TYPE_ARRAY)
		ok = ok && weir_schema_array(sc, v, from, to);
	if (types & WEIR_TYPE_OBJECT)
		ok = ok && weir_schema_object(sc, v, from, to);
	return ok;
}

static bool emit_inside(struct weir_schema *sc, const struct weir_view *v, uint32_t from,
			uint32_t to)
{
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *node = v->at[i].node;
		const struct weir_json *any = weir_schema_get(sc, node, "anyOf");
		const struct weir_json *one = weir_schema_get(sc, node, "oneOf");

		if (any && !(v->at[i].done & WEIR_PART_ANY_DONE))
			return emit_ways(sc, v, i, any, WEIR_PART_ANY_DONE, from, to);
		if (one && !(v->at[i].done & WEIR_PART_ONE_DONE))
			return emit_ways(sc, v, i, one, WEIR_PART_ONE_DONE, from, to);
	}
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *list = weir_schema_get(sc, v->at[i].node, "enum");
		const struct weir_json *value = weir_schema_get(sc, v->at[i].node, "const");

		if (value)
			return emit_values(sc, v, value, 1, from, to);
		if (list && (list->type != WEIR_JSON_ARRAY || list->n == 0))
			return weir_schema_fail(sc, WEIR_E_INVALID, list,
						"enum must be a list of values");
		if (list)
			return emit_values(sc, v, list->first, list->n, from, to);
	}
	return sc->status == WEIR_OK && emit_types(sc, v, from, to);
}

/* The rule of a view that came by a $ref: made once, built later, so that it may call itself. */
static bool rule_of(struct weir_schema *sc, const struct weir_view *v, uint32_t *ret)
{
	uint64_t hash = v->n;
	struct weir_schema_rule *r;
	uint32_t *bucket;

	for (uint32_t i = 0; i < v->n; i++)
		hash = (hash ^ (uintptr_t)v->at[i].node ^ v->at[i].done) * 0x9e3779b97f4a7c15u;
	bucket = &sc->buckets[hash >> 56];
	for (uint32_t i = *bucket; i != UINT32_MAX; i = sc->rules[i].next) {
		const struct weir_view *w = sc->rules[i].view;

		sc->work++;
		if (w->n == v->n && memcmp(w->at, v->at, v->n * sizeof(*v->at)) == 0) {
			*ret = sc->rules[i].rule;
			return true;
		}
	}
	if (sc->n_rules == sc->cap_rules) {
		uint32_t cap = sc->cap_rules ? sc->cap_rules * 2 : 32;
		struct weir_schema_rule *more = realloc(sc->rules, cap * sizeof(*more));

		if (!more)
			return weir_schema_no_memory(sc);
		sc->rules = more;
		sc->cap_rules = cap;
	}
	if (sc->n_rules > 20000)
		return weir_schema_fail(sc, WEIR_E_EXHAUSTED, v->at[0].node,
					"too many different references");
	r = &sc->rules[sc->n_rules];
	r->view = malloc(sizeof(*r->view));
	if (!r->view)
		return weir_schema_no_memory(sc);
	*r->view = *v;
	r->view->referred = false; /* its own body goes in place */
	r->rule = weir_net_rule(sc->net, "reference", 9);
	r->next = *bucket;
	*bucket = sc->n_rules++;
	*ret = r->rule;
	return true;
}

bool weir_view_emit(struct weir_schema *sc, const struct weir_view *v, uint32_t from, uint32_t to)
{
	uint32_t rule = 0;
	bool ok;

	if (v->nothing)
		return true;
	if (sc->net->exhausted)
		return weir_schema_fail(sc, WEIR_E_EXHAUSTED, sc->root,
					"the schema is too large once it is written out");
	if (v->referred && v->n > 0) {
		if (!rule_of(sc, v, &rule))
			return false;
		weir_net_call(sc->net, from, to, rule);
		return true;
	}
	if (++sc->depth > MAX_DEPTH)
		return weir_schema_fail(sc, WEIR_E_EXHAUSTED, sc->root, "nested too deeply");
	ok = emit_inside(sc, v, from, to);
	sc->depth--;
	return ok;
}

weir_status weir_schema_build(struct weir_net *net, const struct weir_prelude *prelude,
			      const struct weir_json *schema, struct weir_error *err)
{
	struct weir_schema sc = { .net = net, .prelude = prelude, .root = schema, .err = err };
	struct weir_view *v = weir_view_new(&sc);
	uint32_t rule = weir_net_rule(net, "schema", 6);
	bool ok;

	memset(sc.buckets, 0xff, sizeof(sc.buckets));
	net->root = rule;
	ok = v && !net->exhausted && weir_view_add(&sc, v, schema, 0) &&
	     weir_view_emit(&sc, v, net->rules[rule].start, net->rules[rule].end);
	for (; ok && sc.n_built < sc.n_rules && !net->exhausted; sc.n_built++) {
		const struct weir_schema_rule r = sc.rules[sc.n_built];

		sc.depth = 0;
		ok = weir_view_emit(&sc, r.view, net->rules[r.rule].start, net->rules[r.rule].end);
	}
	free(v);
	for (uint32_t i = 0; i < sc.n_rules; i++)
		free(sc.rules[i].view);
	free(sc.rules);
	weir_terms_clear(&sc.terms);
	return sc.status;
}
