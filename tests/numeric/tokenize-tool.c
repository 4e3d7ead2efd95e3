/* SPDX-License-Identifier: MIT */
/*
 * tokenize-tool.c - texts to token ids by a file's vocabulary, for tokenizer-oracle.py.
 *
 * tokenize-tool FILE.gguf < frames: a frame is a line with the text's number of bytes, and these
 * bytes. Standard output gets a line of ids for each.
 */
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "tokenize-tool: %s: %s\n", what, why);
	exit(1);
}

static void print_ids(const struct weir_vocab *v, const char *text, size_t len)
{
	struct weir_error err = { 0 };
	int32_t *ids = NULL;
	size_t n = 0;

	if (weir_vocab_encode(v, (struct weir_str){ text, len }, 0, NULL, 0, &ids, &n, &err) < 0)
		die("encode", err.text);
	for (size_t i = 0; i < n; i++)
		printf("%s%d", i ? " " : "", ids[i]);
	putchar('\n');
	free(ids);
}

int main(int argc, char **argv)
{
	struct weir_gguf *g;
	struct weir_vocab *v;
	struct weir_error err = { 0 };
	size_t len;

	if (argc != 2)
		die("usage", "tokenize-tool FILE.gguf < frames");
	if (weir_gguf_open(argv[1], &g, &err) < 0 || weir_vocab_load(g, &v, &err) < 0)
		die(argv[1], err.text);
	while (scanf("%zu", &len) == 1) {
		char *text = malloc(len + 1);

		if (getchar() != '\n' || !text || fread(text, 1, len, stdin) != len)
			die("frame", "cut short");
		print_ids(v, text, len);
		free(text);
	}
	weir_vocab_free(v);
	weir_gguf_close(g);
	return 0;
}
