/*
 * grammar-tool.c - grammars over a real vocabulary, for grammar-oracle.py:
 *
 *   grammar-tool VOCABULARY.gguf < script
 *
 * One command a line, one line of answer each; texts in hexadecimal:
 *   grammar SPEC         the next grammar: "ok", or "refused CODE TEXT"
 *   walk SEED TOKENS     a random text by masks, brought to its end after TOKENS tokens: "whole
 *                        HEX", "open HEX" (it did not end), or "broken WHY HEX"
 *   accept HEX           the text by the model's own tokens: "yes", "no TOKEN" (its number)
 * Every step of a walk also checks that a token outside of the mask is not accepted.
 */
#include "grammar-walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3000, LINE = 16 << 20 };

static char line[LINE];
static char text[LINE];
static uint32_t *mask;
static size_t text_len;

static void put_text(const char *what)
{
	printf("%s ", what);
	for (size_t i = 0; i < text_len; i++)
		printf("%02x", (unsigned char)text[i]);
	printf("\n");
}

static bool get_text(const char *hex)
{
	unsigned byte;

	for (text_len = 0; sscanf(hex, "%2x", &byte) == 1 && text_len < sizeof(text); hex += 2)
		text[text_len++] = (char)byte;
	return *hex == '\0' || *hex == '\n';
}

/* A token that the mask leaves out is refused, and the place stays the same. */
static bool refuses_others(const struct walk_vocab *v, weir_grammar_state *st, uint64_t *seed)
{
	struct weir_error err;

	for (int tries = 0; tries < 20; tries++) {
		uint32_t token = (uint32_t)(walk_random(seed) % v->source.n_vocab);

		if (mask[token / 32] >> (token % 32) & 1)
			continue;
		return weir_grammar_accept(st, (int32_t)token, &err) != WEIR_OK;
	}
	return true;
}

static void walk(const struct walk_vocab *v, weir_grammar *g, uint64_t seed, int tokens)
{
	weir_grammar_state *st = NULL;
	struct weir_error err = { 0 };
	const char *why = NULL;
	int i;

	text_len = 0;
	seed = seed * 0x9e3779b97f4a7c15u | 1;
	if (weir_grammar_state_new(g, &st, &err) != WEIR_OK)
		why = "state";
	for (i = 0; !why && i < MOST && !weir_grammar_finished(st); i++) {
		int32_t token;

		if (weir_grammar_mask(st, mask, &err) != WEIR_OK) {
			why = "mask";
			break;
		}
		if (!refuses_others(v, st, &seed))
			why = "accepted-outside";
		token = walk_pick(v, mask, &seed, i > tokens);
		if (token < 0)
			why = "empty";
		else if (weir_grammar_accept(st, token, &err) != WEIR_OK)
			why = "refused-inside";
		else if (token != v->end)
			text_len += weir_vocab_piece(v->vocab, token, 0, text + text_len,
						     sizeof(text) - text_len);
	}
	if (why) {
		printf("broken %s:%.*s ", why, (int)strcspn(err.text, "\n"), err.text);
		put_text("");
	} else {
		put_text(weir_grammar_finished(st) ? "whole" : "open");
	}
	weir_grammar_state_free(st);
}

/* The tokens of a text as they come in the middle of an answer: the space that some vocabularies
 * put before a text is not there. */
static int32_t *tokens_of(const struct walk_vocab *v, size_t *ret_n)
{
	struct weir_error err = { 0 };
	int32_t *tokens = NULL;
	size_t n = 0, skip = 0, seen = 0;
	char *whole = malloc(text_len + 1), piece[512];

	whole[0] = '\n';
	memcpy(whole + 1, text, text_len);
	if (weir_vocab_encode(v->vocab, (struct weir_str){ whole, text_len + 1 }, 0, NULL, 0,
			      &tokens, &n, &err) < 0)
		n = 0;
	while (skip < n && seen == 0) {
		size_t len = weir_vocab_piece(v->vocab, tokens[skip++], 0, piece, sizeof(piece));

		if (len > 0 && memchr(piece, '\n', len < sizeof(piece) ? len : sizeof(piece)))
			seen = piece[len - 1] == '\n' ? 1 : 2;
	}
	if (seen != 1) { /* a token that goes on behind the line's end: then byte by byte */
		tokens = realloc(tokens, (text_len + 1) * sizeof(*tokens));
		for (n = 0; n < text_len; n++)
			tokens[n] = v->byte[(uint8_t)text[n]];
		skip = 0;
	}
	memmove(tokens, tokens + skip, (n - skip) * sizeof(*tokens));
	free(whole);
	*ret_n = n - skip;
	return tokens;
}

static void accept(const struct walk_vocab *v, weir_grammar *g)
{
	weir_grammar_state *st = NULL;
	struct weir_error err = { 0 };
	size_t n, i;
	int32_t *tokens = tokens_of(v, &n);
	bool ok = weir_grammar_state_new(g, &st, &err) == WEIR_OK;

	for (i = 0; ok && i < n; i++) {
		ok = weir_grammar_mask(st, mask, &err) == WEIR_OK && tokens[i] >= 0 &&
		     (mask[tokens[i] / 32] >> (tokens[i] % 32) & 1) &&
		     weir_grammar_accept(st, tokens[i], &err) == WEIR_OK;
		if (!ok)
			break;
	}
	if (ok && weir_grammar_complete(st))
		printf("yes\n");
	else
		printf("no %zu\n", i);
	weir_grammar_state_free(st);
	free(tokens);
}

int main(int argc, char **argv)
{
	struct walk_vocab v;
	struct weir_grammar_engine *engine;
	struct weir_error err = { 0 };
	weir_grammar *g = NULL;
	uint64_t seed;
	int tokens;

	if (argc != 2) {
		fprintf(stderr, "usage: grammar-tool VOCABULARY.gguf < script\n");
		return 2;
	}
	walk_open(&v, argv[1]);
	mask = calloc(v.source.n_vocab / 32 + 1, sizeof(*mask));
	if (!mask || weir_grammar_engine_new(&v.source, &engine, &err) != WEIR_OK)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		size_t len = strcspn(line, "\n");

		line[len] = '\0';
		if (strncmp(line, "grammar ", 8) == 0) {
			weir_status s;

			weir_grammar_unref(g);
			g = NULL;
			memset(&err, 0, sizeof(err));
			s = weir_grammar_compile(engine, (struct weir_str){ line + 8, len - 8 }, &g,
						 &err);
			if (s == WEIR_OK)
				printf("ok\n");
			else
				printf("refused %d %.*s\n", s, (int)strcspn(err.text, "\n"),
				       err.text);
		} else if (g && sscanf(line, "walk %" SCNu64 " %d", &seed, &tokens) == 2) {
			walk(&v, g, seed, tokens);
		} else if (g && strncmp(line, "accept ", 7) == 0 && get_text(line + 7)) {
			accept(&v, g);
		} else {
			printf("what\n");
		}
		fflush(stdout);
	}
	weir_grammar_unref(g);
	weir_grammar_engine_free(engine);
	free(mask);
	walk_close(&v);
	return 0;
}
