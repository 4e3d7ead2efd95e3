/*
 * grammar-engine.c - grammars of one vocabulary and their states; see grammar-engine.h.
 */
#include "grammar-engine.h"
#include "fail.h"
#include "grammar-json.h"
#include "grammar-mask.h"
#include "grammar-prelude.h"
#include "grammar-schema.h"
#include "grammar-term.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct weir_grammar_engine {
	atomic_uint refs;
	struct weir_grammar_source source;
	pthread_mutex_t lock; /* of what follows; the vocabulary is constant once it is there */
	bool ready;
	struct weir_trie *trie;
	struct weir_prelude prelude;
	struct weir_net *prelude_net;
	struct weir_masker *prelude_masker;
	weir_grammar *kept[WEIR_GRAMMAR_KEPT]; /* the last used one first */
};

struct weir_grammar {
	atomic_uint refs;
	struct weir_grammar_engine *engine;
	struct weir_net *net;
	struct weir_masker *masker;
	char *text;
	size_t text_len;
};

struct weir_grammar_state {
	weir_grammar *grammar;
	struct weir_run run;
	struct weir_configs now, next;
	uint32_t tidy_at; /* frames, at which the run is copied without the old ones */
	bool ended;       /* an end token was taken */
};

static weir_status no_memory(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
}

/* --- the engine ---------------------------------------------------------------------------- */

weir_status weir_grammar_engine_new(const struct weir_grammar_source *source,
				    struct weir_grammar_engine **ret, struct weir_error *err)
{
	struct weir_grammar_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return no_memory(err);
	atomic_init(&e->refs, 1);
	e->source = *source;
	pthread_mutex_init(&e->lock, NULL);
	*ret = e;
	return WEIR_OK;
}

static void engine_unref(struct weir_grammar_engine *e)
{
	if (atomic_fetch_sub(&e->refs, 1) > 1)
		return;
	weir_masker_free(e->prelude_masker);
	weir_net_free(e->prelude_net);
	weir_trie_free(e->trie);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

void weir_grammar_engine_free(struct weir_grammar_engine *e)
{
	if (!e)
		return;
	for (int i = 0; i < WEIR_GRAMMAR_KEPT; i++)
		weir_grammar_unref(e->kept[i]);
	engine_unref(e);
}

/* The vocabulary as a tree, JSON as rules, and what strings allow: the costly part. lock. */
static weir_status make_ready(struct weir_grammar_engine *e, struct weir_error *err)
{
	weir_status s = WEIR_OK;

	if (e->ready)
		return WEIR_OK;
	if (!e->trie)
		s = weir_trie_new(&e->source, &e->trie, err);
	if (s == WEIR_OK && e->trie->n_tokens == 0)
		s = weir_fail(err, WEIR_E_UNSUPPORTED,
			      "grammar: the model's vocabulary has no tokens of text");
	if (s == WEIR_OK && !e->prelude_net) {
		e->prelude_net = weir_prelude_new(&e->prelude, err);
		if (!e->prelude_net)
			return WEIR_E_EXHAUSTED;
	}
	if (s == WEIR_OK && !e->prelude_masker)
		s = weir_masker_new(e->prelude_net, e->trie, NULL, &e->prelude_masker, err);
	if (s == WEIR_OK)
		s = weir_masker_warm(e->prelude_masker, e->prelude.in_string, 0, false, err);
	if (s == WEIR_OK)
		s = weir_masker_warm(e->prelude_masker,
				     e->prelude_net->rules[e->prelude.character].start,
				     e->prelude.character, true, err);
	e->ready = s == WEIR_OK;
	return s;
}

weir_status weir_grammar_engine_prepare(struct weir_grammar_engine *e, struct weir_error *err)
{
	weir_status s;

	pthread_mutex_lock(&e->lock);
	s = make_ready(e, err);
	pthread_mutex_unlock(&e->lock);
	return s;
}

/* --- compiling ----------------------------------------------------------------------------- */

static weir_status build_choice(struct weir_net *net, const struct weir_json *v,
				struct weir_error *err)
{
	struct weir_str *words;
	uint32_t rule = weir_net_rule(net, "choice", 6), n = 0;

	if (!v || v->type != WEIR_JSON_ARRAY || v->n == 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: choice needs a list of strings, one at least");
	words = calloc(v->n, sizeof(*words));
	if (!words)
		return no_memory(err);
	for (const struct weir_json *c = v->first; c; c = c->next) {
		if (c->type != WEIR_JSON_STRING) {
			free(words);
			return weir_fail(err, WEIR_E_INVALID, "grammar: choice %u is no string",
					 c->index + 1);
		}
		words[n++] = c->text;
	}
	net->root = rule;
	if (!net->exhausted)
		weir_net_words(net, net->rules[rule].start, net->rules[rule].end, words, n);
	free(words);
	return WEIR_OK;
}

static weir_status build_regex(struct weir_net *net, struct weir_str text, struct weir_error *err)
{
	struct weir_terms terms = { 0 };
	struct weir_term *term;
	uint32_t rule = weir_net_rule(net, "regex", 5);
	weir_status s = weir_regex_read(&terms, text, false, &term, err);

	net->root = rule;
	if (s == WEIR_OK && !net->exhausted)
		weir_term_emit(net, term, net->rules[rule].start, net->rules[rule].end, 0);
	weir_terms_clear(&terms);
	return s;
}

static weir_status build(const struct weir_grammar_engine *e, struct weir_net *net,
			 const struct weir_json *spec, struct weir_error *err)
{
	const struct weir_json *type = weir_json_get(spec, "type");
	const struct weir_json *value = weir_json_get(spec, "value");

	if (weir_json_is(type, "json_object")) {
		net->root = e->prelude.object;
		return WEIR_OK;
	}
	if (!type || !value)
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: an object {\"type\": ..., \"value\": ...} is needed");
	if (weir_json_is(type, "json_schema"))
		return weir_schema_build(net, &e->prelude, value, err);
	if (weir_json_is(type, "choice"))
		return build_choice(net, value, err);
	if (!weir_json_is(type, "gbnf") && !weir_json_is(type, "regex"))
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: type is one of json_schema, json_object, gbnf, regex, "
				 "choice");
	if (value->type != WEIR_JSON_STRING)
		return weir_fail(err, WEIR_E_INVALID, "grammar: the value must be a string");
	if (weir_json_is(type, "gbnf"))
		return weir_gbnf_read(net, value->text, err);
	return build_regex(net, value->text, err);
}

static weir_status compile(struct weir_grammar_engine *e, struct weir_str spec, weir_grammar **ret,
			   struct weir_error *err)
{
	weir_grammar *g = calloc(1, sizeof(*g));
	struct weir_json_tree *tree = NULL;
	weir_status s = WEIR_OK;

	if (!g)
		return no_memory(err);
	atomic_init(&g->refs, 1);
	g->engine = e;
	atomic_fetch_add(&e->refs, 1);
	g->text = malloc(spec.len + 1);
	g->net = weir_net_new_on(e->prelude_net);
	if (!g->text || !g->net) {
		s = no_memory(err);
		goto fail;
	}
	memcpy(g->text, spec.data, spec.len);
	g->text_len = spec.len;
	s = weir_json_read(spec, &tree, err);
	if (s == WEIR_OK)
		s = build(e, g->net, weir_json_root(tree), err);
	if (s == WEIR_OK)
		s = weir_net_link(g->net, err);
	if (s == WEIR_OK)
		s = weir_masker_new(g->net, e->trie, e->prelude_masker, &g->masker, err);
	weir_json_free(tree);
	if (s == WEIR_OK) {
		*ret = g;
		return WEIR_OK;
	}
fail:
	weir_grammar_unref(g);
	return s;
}

/* A reference of a kept grammar, which comes to the front. lock. */
static weir_grammar *find(struct weir_grammar_engine *e, struct weir_str spec)
{
	for (int i = 0; i < WEIR_GRAMMAR_KEPT && e->kept[i]; i++) {
		weir_grammar *g = e->kept[i];

		if (g->text_len != spec.len || memcmp(g->text, spec.data, spec.len) != 0)
			continue;
		memmove(e->kept + 1, e->kept, (size_t)i * sizeof(*e->kept));
		e->kept[0] = g;
		atomic_fetch_add(&g->refs, 1);
		return g;
	}
	return NULL;
}

weir_status weir_grammar_compile(struct weir_grammar_engine *e, struct weir_str spec,
				 weir_grammar **ret, struct weir_error *err)
{
	weir_grammar *g = NULL, *old = NULL, *same;
	weir_status s;

	if (spec.len == 0)
		return weir_fail(err, WEIR_E_INVALID, "grammar: it is empty");
	if (spec.len > WEIR_GRAMMAR_TEXT)
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: its text is longer than %zu MiB",
				 WEIR_GRAMMAR_TEXT >> 20);
	pthread_mutex_lock(&e->lock);
	s = make_ready(e, err);
	if (s == WEIR_OK)
		g = find(e, spec);
	pthread_mutex_unlock(&e->lock);
	if (s == WEIR_OK && !g) {
		s = compile(e, spec, &g, err);
		if (s != WEIR_OK)
			return s;
		pthread_mutex_lock(&e->lock);
		same = find(e, spec); /* another thread was quicker */
		if (same) {
			old = g;
			g = same;
		} else {
			old = e->kept[WEIR_GRAMMAR_KEPT - 1];
			memmove(e->kept + 1, e->kept, (WEIR_GRAMMAR_KEPT - 1) * sizeof(*e->kept));
			e->kept[0] = g;
			atomic_fetch_add(&g->refs, 1);
		}
		pthread_mutex_unlock(&e->lock);
		weir_grammar_unref(old);
	}
	if (s == WEIR_OK)
		*ret = g;
	return s;
}

void weir_grammar_unref(weir_grammar *g)
{
	if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
		return;
	weir_masker_free(g->masker);
	weir_net_free(g->net);
	free(g->text);
	engine_unref(g->engine);
	free(g);
}

size_t weir_grammar_bytes(weir_grammar *g)
{
	return sizeof(*g) + g->text_len + weir_net_bytes(g->net) + weir_masker_bytes(g->masker);
}

/* --- states -------------------------------------------------------------------------------- */

weir_status weir_grammar_state_new(weir_grammar *g, weir_grammar_state **ret,
				   struct weir_error *err)
{
	weir_grammar_state *st = calloc(1, sizeof(*st));
	weir_status s;

	if (!st)
		return no_memory(err);
	atomic_fetch_add(&g->refs, 1);
	st->grammar = g;
	st->tidy_at = 512;
	s = weir_run_init(&st->run, g->net, err);
	if (s == WEIR_OK)
		s = weir_run_start(&st->run, &st->now, err);
	if (s != WEIR_OK) {
		weir_grammar_state_free(st);
		return s;
	}
	*ret = st;
	return WEIR_OK;
}

void weir_grammar_state_free(weir_grammar_state *st)
{
	if (!st)
		return;
	weir_run_clear(&st->run);
	free(st->now.at);
	free(st->next.at);
	weir_grammar_unref(st->grammar);
	free(st);
}

bool weir_grammar_complete(const weir_grammar_state *st)
{
	return st->ended || (st->now.n > 0 && st->now.at[0].node == WEIR_NODE_ACCEPT &&
			     st->now.at[0].frame == WEIR_FRAME_ROOT);
}

bool weir_grammar_finished(const weir_grammar_state *st)
{
	return st->ended || (st->now.n == 1 && weir_grammar_complete(st));
}

weir_status weir_grammar_mask(weir_grammar_state *st, uint32_t *ret_mask, struct weir_error *err)
{
	const struct weir_trie *t = st->grammar->engine->trie;

	if (!weir_grammar_finished(st))
		return weir_masker_mask(st->grammar->masker, &st->run, &st->now, ret_mask, err);
	if (t->n_ends == 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: the text is over, and the model has no end token");
	memset(ret_mask, 0, t->n_words * sizeof(*ret_mask));
	for (uint32_t i = 0; i < t->n_ends; i++)
		ret_mask[t->ends[i] / 32] |= 1u << (t->ends[i] % 32);
	return WEIR_OK;
}

/* Frames of what is past go when there are many. */
static weir_status tidy(weir_grammar_state *st, struct weir_error *err)
{
	struct weir_run fresh;
	weir_status s;

	if (st->run.n_frames < st->tidy_at)
		return WEIR_OK;
	s = weir_run_init(&fresh, st->run.net, err);
	if (s != WEIR_OK)
		return s;
	s = weir_run_import(&fresh, &st->run, &st->now, &st->next, err);
	if (s == WEIR_OK) {
		struct weir_configs now = st->now;

		fresh.too_deep = st->run.too_deep;
		weir_run_clear(&st->run);
		st->run = fresh;
		st->now = st->next;
		st->next = now;
		st->tidy_at = st->run.n_frames * 2 + 512;
	} else {
		weir_run_clear(&fresh);
	}
	return s;
}

weir_status weir_grammar_accept_bytes(weir_grammar_state *st, const char *bytes, size_t n,
				      struct weir_error *err)
{
	struct weir_configs was = { 0 }, now;
	weir_status s = WEIR_OK;
	size_t i = 0;

	if (st->ended)
		return weir_fail(err, WEIR_E_INVALID, "grammar: the text is over");
	for (uint32_t k = 0; k < st->now.n; k++) {
		if (!weir_configs_add(&was, st->now.at[k])) {
			free(was.at);
			return no_memory(err);
		}
	}
	for (; i < n && s == WEIR_OK && st->now.n > 0; i++) {
		s = weir_run_step(&st->run, &st->now, (uint8_t)bytes[i], &st->next, err);
		if (s != WEIR_OK)
			break;
		now = st->now;
		st->now = st->next;
		st->next = now;
	}
	if (s == WEIR_OK && st->now.n == 0)
		s = weir_fail(err, WEIR_E_INVALID,
			      "grammar: byte %zu of a token does not fit: the mask did not "
			      "allow the token",
			      i);
	if (s != WEIR_OK) { /* frames are never changed: the old place is still there */
		free(st->now.at);
		st->now = was;
		return s;
	}
	free(was.at);
	return tidy(st, err);
}

weir_status weir_grammar_accept(weir_grammar_state *st, int32_t token, struct weir_error *err)
{
	const struct weir_trie *t = st->grammar->engine->trie;

	if (token < 0 || (uint32_t)token >= t->n_vocab)
		return weir_fail(err, WEIR_E_INVALID, "grammar: there is no token %d", token);
	for (uint32_t i = 0; i < t->n_ends; i++) {
		if (t->ends[i] != token)
			continue;
		if (!weir_grammar_complete(st))
			return weir_fail(err, WEIR_E_INVALID,
					 "grammar: the end came where the text is not whole");
		st->ended = true;
		return WEIR_OK;
	}
	if (t->offset[token] == t->offset[token + 1])
		return weir_fail(err, WEIR_E_INVALID, "grammar: token %d is no text", token);
	return weir_grammar_accept_bytes(st, t->text + t->offset[token],
					 t->offset[token + 1] - t->offset[token], err);
}
