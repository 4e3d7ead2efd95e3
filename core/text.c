/*
 * text.c - UTF-8 and stop strings; see text.h. No locks: a cutter belongs to one thread.
 */
#include "text.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include "log.h"

static const char replacement[] = "\xef\xbf\xbd";

/* The rune at the start of n bytes (n > 0). Returns its length; 0: incomplete, all n bytes are a
 * proper prefix of a rune; negative: -k, the first k bytes are no rune. Table 3-7 of Unicode. */
static int rune_at(const unsigned char *s, size_t n)
{
	unsigned char c = s[0], low = 0x80, high = 0xbf;
	int want;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return -1;
	want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (int i = 1; i < want; i++) {
		if ((size_t)i >= n)
			return 0;
		if (s[i] < low || s[i] > high)
			return -i;
		low = 0x80;
		high = 0xbf;
	}
	return want;
}

bool weir_text_valid(struct weir_str s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	size_t at = 0;

	while (at < s.len) {
		int n;

		if (p[at] < 0x80) {
			at++;
			continue;
		}
		n = rune_at(p + at, s.len - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* Appends the runes of s; returns how many bytes at its end are an incomplete rune. */
static size_t append_runes(GString *to, struct weir_str s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	size_t at = 0, good = 0;

	while (at < s.len) {
		int n = rune_at(p + at, s.len - at);

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		g_string_append_len(to, s.data + good, (gssize)(at - good));
		if (n == 0)
			return s.len - at;
		g_string_append_len(to, replacement, 3);
		at += (size_t)-n;
		good = at;
	}
	if (at > good)
		g_string_append_len(to, s.data + good, (gssize)(at - good));
	return 0;
}

char *weir_text_repair(struct weir_str s, size_t *ret_len)
{
	GString *out = g_string_sized_new(s.len + 8);

	if (append_runes(out, s) > 0)
		g_string_append_len(out, replacement, 3);
	*ret_len = out->len;
	return g_string_free(out, FALSE);
}

void weir_text_append_json(GString *to, struct weir_str s)
{
	g_autofree char *fixed = NULL;

	if (!weir_text_valid(s)) {
		fixed = weir_text_repair(s, &s.len);
		s.data = fixed;
	}
	g_string_append_c(to, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '"' || c == '\\')
			g_string_append_c(to, '\\');
		if (c < 0x20 || c == 0x7f)
			g_string_append_printf(to, "\\u%04x", c);
		else
			g_string_append_c(to, (char)c);
	}
	g_string_append_c(to, '"');
}

bool weir_text_json_shallow(struct weir_str json, uint32_t depth)
{
	uint32_t open = 0;
	bool quoted = false;

	for (size_t i = 0; i < json.len; i++) {
		char c = json.data[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{') && ++open > depth)
			return false;
		else if (!quoted && (c == ']' || c == '}') && open > 0)
			open--;
	}
	return true;
}

/* --- stop strings -------------------------------------------------------------------------- */

struct stop {
	char *text;
	uint32_t len, place; /* place: in the list that was given, from 1 */
	uint32_t *fail;      /* fail[k]: longest proper border of the first k bytes */
};

struct weir_stops {
	uint32_t n;
	struct stop at[WEIR_STOPS_MAX];
};

static void stop_init(struct stop *s, const char *text, size_t len)
{
	uint32_t k = 0;

	s->text = g_strndup(text, len);
	s->len = (uint32_t)len;
	s->fail = g_new0(uint32_t, len + 1);
	for (uint32_t i = 1; i < s->len; i++) {
		while (k > 0 && text[i] != text[k])
			k = s->fail[k];
		if (text[i] == text[k])
			k++;
		s->fail[i + 1] = k;
	}
}

static weir_status add_stop(struct weir_stops *stops, JsonNode *node, uint32_t place,
			    struct weir_error *err)
{
	const char *text;
	size_t len;

	if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
		return weir_fail(err, WEIR_E_INVALID, "stop must be a string or a list of strings");
	text = json_node_get_string(node);
	len = strlen(text);
	if (len == 0)
		return WEIR_OK;
	if (len > WEIR_STOP_MAX_LEN)
		return weir_fail(err, WEIR_E_INVALID, "a stop string must not exceed %d bytes",
				 WEIR_STOP_MAX_LEN);
	if (stops->n == WEIR_STOPS_MAX)
		return weir_fail(err, WEIR_E_INVALID, "at most %d stop strings are allowed",
				 WEIR_STOPS_MAX);
	stop_init(&stops->at[stops->n], text, len);
	stops->at[stops->n++].place = place;
	return WEIR_OK;
}

weir_status weir_stops_new(struct weir_str json, struct weir_stops **ret, struct weir_error *err)
{
	struct weir_stops *stops = g_new0(struct weir_stops, 1);
	g_autoptr(JsonParser) parser = json_parser_new();
	weir_status status = WEIR_OK;
	JsonNode *root = NULL;

	if (json.len > 0 && weir_text_json_shallow(json, 2) &&
	    json_parser_load_from_data(parser, json.data, (gssize)json.len, NULL))
		root = json_parser_get_root(parser);
	if (root && JSON_NODE_HOLDS_ARRAY(root)) {
		JsonArray *array = json_node_get_array(root);

		for (guint i = 0; status == WEIR_OK && i < json_array_get_length(array); i++)
			status = add_stop(stops, json_array_get_element(array, i), i + 1, err);
	} else if (root && !JSON_NODE_HOLDS_NULL(root)) {
		status = add_stop(stops, root, 1, err);
	} else if (!root && json.len > 0) {
		status = weir_fail(err, WEIR_E_INVALID,
				   "stop must be a string or a list of strings");
	}
	if (status < 0) {
		if (err)
			g_strlcpy(err->param, "stop", sizeof(err->param));
		weir_stops_free(stops);
		return status;
	}
	*ret = stops;
	return WEIR_OK;
}

void weir_stops_free(struct weir_stops *stops)
{
	if (!stops)
		return;
	for (uint32_t i = 0; i < stops->n; i++) {
		g_free(stops->at[i].text);
		g_free(stops->at[i].fail);
	}
	g_free(stops);
}

/* --- the cutter ---------------------------------------------------------------------------- */

struct weir_cutter {
	const struct weir_stops *stops;
	GString *text;   /* whole runes; the first `given` bytes have been handed out */
	size_t given;    /* dropped at the next call */
	char partial[4]; /* of a rune */
	size_t n_partial;
	uint32_t longest; /* the longest state: so many bytes at the end of text are held */
	uint32_t *state;  /* for each stop: how much of it the end of the text is */
	uint32_t stop;    /* place of the one that was found */
	bool stopped;
};

struct weir_cutter *weir_cutter_new(const struct weir_stops *stops)
{
	struct weir_cutter *c = g_new0(struct weir_cutter, 1);

	c->stops = stops;
	c->text = g_string_new(NULL);
	if (stops && stops->n > 0)
		c->state = g_new0(uint32_t, stops->n);
	return c;
}

void weir_cutter_free(struct weir_cutter *c)
{
	if (!c)
		return;
	g_string_free(c->text, TRUE);
	g_free(c->state);
	g_free(c);
}

/* One byte through every automaton. Returns the length of the longest stop that ends here, or 0. */
static uint32_t advance(struct weir_cutter *c, char byte)
{
	uint32_t done = 0;

	c->longest = 0;
	for (uint32_t i = 0; i < c->stops->n; i++) {
		const struct stop *s = &c->stops->at[i];
		uint32_t k = c->state[i];

		while (k > 0 && s->text[k] != byte)
			k = s->fail[k];
		if (s->text[k] == byte)
			k++;
		if (k == s->len) {
			if (k > done)
				c->stop = s->place;
			done = MAX(done, k);
			k = s->fail[k];
		}
		c->state[i] = k;
		c->longest = MAX(c->longest, k);
	}
	return done;
}

static void drop_given(struct weir_cutter *c)
{
	g_string_erase(c->text, 0, (gssize)c->given);
	c->given = 0;
}

/* Runs the text from `from` on through the automata; true: a stop, the text is cut before it. */
static bool search(struct weir_cutter *c, size_t from)
{
	if (!c->state)
		return false;
	for (size_t i = from; i < c->text->len; i++) {
		uint32_t len = advance(c, c->text->str[i]);

		if (len > 0) {
			g_string_truncate(c->text, i + 1 - len);
			c->stopped = true;
			c->longest = 0;
			c->n_partial = 0;
			return true;
		}
	}
	return false;
}

/* A stop string may begin in the middle of a rune only if it is no UTF-8, which it cannot be: the
 * held part always begins at a rune. */
static struct weir_str give(struct weir_cutter *c)
{
	c->given = c->text->len - c->longest;
	return (struct weir_str){ c->text->str, c->given };
}

bool weir_cutter_push(struct weir_cutter *c, struct weir_str bytes, struct weir_str *ret)
{
	size_t from, rest;

	*ret = (struct weir_str){ NULL, 0 };
	if (c->stopped)
		return true;
	drop_given(c);
	from = c->text->len;
	if (c->n_partial > 0) {
		g_autofree char *joined = g_malloc(c->n_partial + bytes.len);

		memcpy(joined, c->partial, c->n_partial);
		if (bytes.len > 0)
			memcpy(joined + c->n_partial, bytes.data, bytes.len);
		bytes = (struct weir_str){ joined, bytes.len + c->n_partial };
		rest = append_runes(c->text, bytes);
		memcpy(c->partial, bytes.data + bytes.len - rest, rest);
	} else {
		rest = append_runes(c->text, bytes);
		if (rest > 0)
			memcpy(c->partial, bytes.data + bytes.len - rest, rest);
	}
	c->n_partial = rest;
	search(c, from);
	*ret = give(c);
	return c->stopped;
}

struct weir_str weir_cutter_flush(struct weir_cutter *c)
{
	drop_given(c);
	if (!c->stopped && c->n_partial > 0) {
		size_t from = c->text->len;

		c->n_partial = 0;
		g_string_append_len(c->text, replacement, 3);
		search(c, from);
	}
	c->longest = 0;
	return give(c);
}

uint32_t weir_cutter_stop(const struct weir_cutter *c)
{
	return c->stopped ? c->stop : 0;
}

size_t weir_cutter_held(const struct weir_cutter *c)
{
	return c->text->len - c->given + c->n_partial;
}
