/*
 * grammar-schema-string.c - strings of a JSON Schema: length, pattern, format; see
 * grammar-schema.h.
 */
#include "fail.h"
#include "grammar-flat.h"
#include "grammar-schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TERMS 8

#define DATE                                                                                       \
	"[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"                          \
	"(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"                       \
	"|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29"
#define TIME                                                                                       \
	"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?"                             \
	"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 "(?:" BYTE "\\.){3}" BYTE
#define HEX4 "[0-9a-fA-F]{1,4}"
#define IPV6                                                                                       \
	"(?:(?:" HEX4 ":){7}" HEX4 "|(?:" HEX4 ":){1,7}:|(?:" HEX4 ":){1,6}:" HEX4 "|(?:" HEX4     \
	":){1,5}(?::" HEX4 "){1,2}|(?:" HEX4 ":){1,4}(?::" HEX4 "){1,3}|(?:" HEX4                  \
	":){1,3}(?::" HEX4 "){1,4}|(?:" HEX4 ":){1,2}(?::" HEX4 "){1,5}|" HEX4 ":(?::" HEX4        \
	"){1,6}|:(?::" HEX4 "){1,7}|::)"
/* At most 63 characters, written so that each text can be read in one way only. */
#define LABEL "[a-zA-Z0-9]{1,31}(?:-{1,2}[a-zA-Z0-9]{1,14}){0,2}"
#define HOST  LABEL "(?:\\." LABEL "){0,5}"
#define ATEXT "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define PCHAR "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"
#define DIGIT "[0-9]{1,9}"
#define CLOCK "T(?:" DIGIT "H(?:" DIGIT "M(?:" DIGIT "S)?)?|" DIGIT "M(?:" DIGIT "S)?|" DIGIT "S)"

/* RFC 3339, 4122, 791, 4291, 1123, 5321 and 3986, or a part of what they allow; each is the whole
 * text. */
static const struct {
	const char *name, *pattern;
} formats[] = {
	{ "date", "^(?:" DATE ")$" },
	{ "time", "^" TIME "$" },
	{ "date-time", "^(?:" DATE ")T" TIME "$" },
	{ "duration", "^P(?:" DIGIT "W|" CLOCK "|(?:" DIGIT "Y(?:" DIGIT "M(?:" DIGIT "D)?)?|" DIGIT
		      "M(?:" DIGIT "D)?|" DIGIT "D)(?:" CLOCK ")?)$" },
	{ "uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$" },
	{ "email", "^" ATEXT "(?:\\." ATEXT "){0,2}@" LABEL "(?:\\." LABEL "){1,5}$" },
	{ "hostname", "^" HOST "$" },
	{ "ipv4", "^" IPV4 "$" },
	{ "ipv6", "^" IPV6 "$" },
	{ "uri", "^[a-z][a-z0-9+.-]{0,15}://" HOST "(?::[0-9]{1,5})?(?:/" PCHAR "*)*(?:\\?(?:" PCHAR
		 "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?$" },
	{ "uri-reference", "^(?:/" PCHAR "+)+(?:\\?(?:" PCHAR "|[/?])*)?$" },
	{ "json-pointer", "^(?:/(?:[^~/]|~[01])*)*$" },
};

/* Formats that say nothing about a text, as OpenAPI has them. */
static const char *const remarks[] = { "password",  "binary",         "byte",  "path",
				       "file-path", "directory-path", "text",  "string",
				       "float",     "double",         "int32", "int64" };

bool weir_schema_count(struct weir_schema *sc, const struct weir_view *v, const char *keyword,
		       bool least, uint32_t *ret, bool *ret_there)
{
	*ret_there = false;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *k = weir_schema_get(sc, v->at[i].node, keyword);
		char *end;
		double x;

		if (!k)
			continue;
		x = k->type == WEIR_JSON_NUMBER ? strtod(k->text.data, &end) : -1;
		if (x < 0 || x != (double)(uint64_t)(x < 1e15 ? x : 1e15))
			return weir_schema_fail(sc, WEIR_E_INVALID, k,
						"a whole number that is not negative is needed");
		if (x > WEIR_TERM_MOST) {
			if (!least)
				return weir_schema_fail(sc, WEIR_E_EXHAUSTED, k,
							"more than a million");
			continue; /* no bound that matters */
		}
		if (!*ret_there || (least ? x < *ret : x > *ret))
			*ret = (uint32_t)x;
		*ret_there = true;
	}
	return sc->status == WEIR_OK;
}

bool weir_schema_pattern(struct weir_schema *sc, const struct weir_json *where,
			 struct weir_str text, struct weir_term **ret)
{
	struct weir_error why = { 0 };
	weir_status s = weir_regex_read(&sc->terms, text, true, ret, &why);

	return s == WEIR_OK || weir_schema_fail(sc, s, where, why.text);
}

static bool format_term(struct weir_schema *sc, const struct weir_json *k, struct weir_term **ret)
{
	char what[160];

	*ret = NULL;
	if (k->type != WEIR_JSON_STRING)
		return weir_schema_fail(sc, WEIR_E_INVALID, k, "format must be a string");
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (weir_json_is(k, formats[i].name))
			return weir_schema_pattern(
				sc, k,
				(struct weir_str){ formats[i].pattern, strlen(formats[i].pattern) },
				ret);
	for (size_t i = 0; i < sizeof(remarks) / sizeof(*remarks); i++)
		if (weir_json_is(k, remarks[i]))
			return true;
	snprintf(what, sizeof(what), "the format \"%s\" cannot be honoured",
		 weir_quote(k->text).text);
	return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, k, what);
}

/* The least and the most characters of a term; saturating. */
static void length_of(const struct weir_term *t, uint64_t *min, uint64_t *max)
{
	const uint64_t many = UINT32_MAX;
	uint64_t a, b;

	*min = *max = 0;
	if (t->kind == WEIR_TERM_RUNES)
		*min = *max = 1;
	for (const struct weir_term *c = t->first; c; c = c->next) {
		length_of(c, &a, &b);
		if (t->kind == WEIR_TERM_REPEAT) {
			*min = a * t->min;
			*max = b == 0                                 ? 0
			       : t->max == WEIR_NET_MANY || b >= many ? many
								      : b * t->max;
		} else if (t->kind == WEIR_TERM_SEQUENCE) {
			*min += a;
			*max += b;
		} else {
			*min = c == t->first || a < *min ? a : *min;
			*max = b > *max ? b : *max;
		}
	}
	*min = *min > many ? many : *min;
	*max = *max > many ? many : *max;
}

struct meet {
	uint64_t all;
	uint32_t to;
};

static uint32_t meets_all(void *data, uint64_t matched)
{
	const struct meet *m = data;

	return matched == m->all ? m->to : UINT32_MAX;
}

/* Texts that meet all terms and have min .. max characters, from .. to. */
static bool emit_together(struct weir_schema *sc, struct weir_term **terms, uint32_t n,
			  uint32_t min, uint32_t max, uint32_t from, uint32_t to)
{
	struct weir_flat all = { 0 }, one = { 0 };
	struct weir_net *into = sc->net;
	struct meet meet = { ((uint64_t)1 << n) - 1, to };
	bool counts = min > 0 || max != WEIR_NET_MANY;
	uint32_t a, b, start = from;
	weir_status s = weir_flat_init(&all, sc->err);

	if (s == WEIR_OK && counts)
		s = weir_flat_init(&one, sc->err);
	for (uint32_t i = 0; s == WEIR_OK && i < n; i++) {
		if (weir_flat_add(&all, &a, &b))
			weir_term_emit(all.net, terms[i], a, b, WEIR_TERM_JSON | WEIR_TERM_FLAT);
	}
	if (s == WEIR_OK && counts && weir_flat_add(&one, &a, &b)) {
		into = one.net;
		start = a;
		meet.to = b;
	}
	if (s == WEIR_OK && !all.net->exhausted)
		s = weir_flat_split(&all, into, start, meets_all, &meet, sc->err);
	if (s == WEIR_OK && counts && !all.net->exhausted)
		s = weir_flat_count(&one, sc->net, from, to, min, max, sc->err);
	if (s == WEIR_OK && all.net->exhausted)
		sc->net->exhausted = true;
	weir_flat_clear(&all);
	weir_flat_clear(&one);
	if (s != WEIR_OK && sc->status == WEIR_OK)
		sc->status = s;
	return s == WEIR_OK;
}

bool weir_schema_string(struct weir_schema *sc, const struct weir_view *v, uint32_t from,
			uint32_t to)
{
	struct weir_term *terms[MAX_TERMS], *term;
	struct weir_net *net = sc->net;
	uint32_t n = 0, min = 0, max = WEIR_NET_MANY, opened, behind;
	bool has_min, has_max;
	uint64_t least, most;

	if (!weir_schema_count(sc, v, "minLength", false, &min, &has_min) ||
	    !weir_schema_count(sc, v, "maxLength", true, &max, &has_max))
		return false;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *p = weir_schema_get(sc, v->at[i].node, "pattern");
		const struct weir_json *f = weir_schema_get(sc, v->at[i].node, "format");

		if (n + 2 > MAX_TERMS)
			return weir_schema_fail(sc, WEIR_E_EXHAUSTED, v->at[i].node,
						"too many patterns for one string");
		if (p && p->type != WEIR_JSON_STRING)
			return weir_schema_fail(sc, WEIR_E_INVALID, p, "pattern must be a string");
		if (p && !weir_schema_pattern(sc, p, p->text, &terms[n++]))
			return false;
		if (f && !format_term(sc, f, &term))
			return false;
		if (f && term)
			terms[n++] = term;
	}
	if (min > max)
		return true; /* nothing */
	if (n == 0 && min == 0 && max == WEIR_NET_MANY) {
		weir_net_call(net, from, to, sc->prelude->string);
		return true;
	}
	opened = weir_net_node(net);
	behind = weir_net_node(net);
	weir_net_byte(net, from, opened, '"', '"');
	weir_net_byte(net, behind, to, '"', '"');
	if (n == 0) {
		weir_net_loop(net, opened, behind, sc->prelude->character, min, max);
		return true;
	}
	if (n == 1) {
		length_of(terms[0], &least, &most);
		if (least >= min && (most <= max || max == WEIR_NET_MANY)) {
			weir_term_emit(net, terms[0], opened, behind, WEIR_TERM_JSON);
			return true;
		}
	}
	return emit_together(sc, terms, n, min, max, opened, behind);
}
