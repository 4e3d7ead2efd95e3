/* SPDX-License-Identifier: MIT */
/*
 * tokenize.c - `weir model tokenize`: text to token ids and back, with a file's tokenizer. [main]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tokenizer.h"
#include "tool.h"

static const char help[] =
	"weir model tokenize FILE [--special] [--no-bos] [--pieces] [--json]\n"
	"weir model tokenize FILE --decode [--special] [--json]\n"
	"\n"
	"Reads text on standard input and prints its token ids on one line, as the model in FILE\n"
	"would be given them. A file that holds a vocabulary and no weights will do.\n"
	"\n"
	"  --special   control tokens that are written out (<|im_start|>, </s>) become tokens; "
	"with\n"
	"              --decode they are printed instead of left out\n"
	"  --no-bos    no begin and end tokens, even where the model wants them\n"
	"  --pieces    one token a line: id, and its text in quotes\n"
	"  --decode    the other way: ids on standard input, text on standard output, exactly\n"
	"  --json      an array: of ids, or with --pieces of [id, text]; with --decode a string\n"
	"\n"
	"Examples\n"
	"  echo -n 'Hello world' | weir model tokenize llama.gguf\n"
	"  weir model tokenize llama.gguf < book.txt | wc -w        how long is a text?\n"
	"  echo 1 15043 3186 | weir model tokenize llama.gguf --decode\n"
	"\n"
	"A line feed at the end of the text is text as well: echo -n leaves it out.\n"
	"\n" TOOL_EXIT_HELP;

struct wish {
	bool special, no_bos, pieces, decode, json;
};

static weir_status open_vocab(const struct tool *tool, const char *path, struct weir_vocab **ret,
			      struct weir_error *err)
{
	struct weir_gguf *gguf = NULL;
	weir_status status = weir_gguf_open(path, &gguf, err);

	if (status != WEIR_OK)
		return status;
	status = weir_vocab_load(gguf, ret, err);
	weir_gguf_close(gguf);
	if (status > 0)
		tool_remark(tool, "%s", err->text);
	return status < 0 ? status : WEIR_OK;
}

static char *piece_of(const struct weir_vocab *vocab, int32_t id, struct weir_str *ret)
{
	size_t n = weir_vocab_piece(vocab, id, WEIR_VOCAB_PIECE_SPECIAL, NULL, 0);
	char *text = malloc(n + 1);

	if (text)
		weir_vocab_piece(vocab, id, WEIR_VOCAB_PIECE_SPECIAL, text, n);
	*ret = (struct weir_str){ text, text ? n : 0 };
	return text;
}

static void print_ids(const struct weir_vocab *vocab, const int32_t *ids, size_t n,
		      const struct wish *w)
{
	const char *between = w->pieces ? (w->json ? ",\n " : "\n") : w->json ? ", " : " ";

	fputs(w->json ? "[" : "", stdout);
	for (size_t i = 0; i < n; i++) {
		struct weir_str text = { NULL, 0 };
		char *piece;

		fputs(i ? between : "", stdout);
		if (!w->pieces) {
			printf("%d", ids[i]);
			continue;
		}
		piece = piece_of(vocab, ids[i], &text);
		printf(w->json ? "[%d, " : "%6d  ", ids[i]);
		tool_json_string(stdout, text);
		fputs(w->json ? "]" : "", stdout);
		free(piece);
	}
	fputs(w->json ? "]\n" : "\n", stdout);
}

static int encode(const struct tool *tool, const struct weir_vocab *vocab, struct weir_str text,
		  const struct wish *w)
{
	uint32_t flags = (w->special ? WEIR_VOCAB_PARSE_SPECIAL : 0u) |
			 (w->no_bos ? 0u : WEIR_VOCAB_ADD_SPECIAL);
	struct weir_error err;
	int32_t *ids = NULL;
	size_t n = 0;
	weir_status status = weir_vocab_encode(vocab, text, flags, NULL, 0, &ids, &n, &err);

	if (status < 0)
		return tool_fail_error(tool, &err);
	if (status > 0)
		tool_remark(tool, "%s", err.text);
	print_ids(vocab, ids, n, w);
	free(ids);
	return tool_finish(tool, TOOL_DONE);
}

/* Ids between anything that is no digit: spaces, commas, brackets of a JSON array. */
static int read_ids(const struct tool *tool, const struct weir_vocab *vocab, const char *text,
		    size_t len, int32_t **ret, size_t *ret_n)
{
	size_t n = 0, vocab_size = weir_vocab_n_tokens(vocab);
	int32_t *ids = malloc((len / 2 + 1) * sizeof(*ids));

	if (!ids)
		return tool_fail(tool, "no memory for %zu bytes of ids", len);
	for (size_t i = 0; i < len;) {
		size_t digits = strspn(text + i, "0123456789");
		unsigned long long id;

		if (digits == 0 && strchr(" \t\r\n,[]", text[i]) && text[i]) {
			i++;
			continue;
		}
		id = digits && digits < 12 ? strtoull(text + i, NULL, 10) : vocab_size;
		if (id >= vocab_size) {
			char word[40];
			size_t n_word = strcspn(text + i, " \t\r\n,[]");

			free(ids);
			return tool_fail(tool,
					 "'%s' at byte %zu of standard input is no token: ids are "
					 "0 to %zu, with spaces or commas between",
					 tool_printable((struct weir_str){ text + i, n_word }, word,
							sizeof(word)),
					 i, vocab_size - 1);
		}
		ids[n++] = (int32_t)id;
		i += digits;
	}
	*ret = ids;
	*ret_n = n;
	return TOOL_GO_ON;
}

static int decode(const struct tool *tool, const struct weir_vocab *vocab, struct weir_str input,
		  const struct wish *w)
{
	struct weir_error err;
	int32_t *ids = NULL;
	char *text = NULL;
	size_t n = 0, len = 0;
	weir_status status;
	int code = read_ids(tool, vocab, input.data, input.len, &ids, &n);

	if (code != TOOL_GO_ON)
		return code;
	status = weir_vocab_decode(vocab, ids, n, w->special ? WEIR_VOCAB_PIECE_SPECIAL : 0, &text,
				   &len, &err);
	free(ids);
	if (status < 0)
		return tool_fail_error(tool, &err);
	if (w->json) {
		tool_json_string(stdout, (struct weir_str){ text, len });
		fputc('\n', stdout);
	} else {
		fwrite(text, 1, len, stdout);
	}
	free(text);
	return tool_finish(tool, TOOL_DONE);
}

int model_tokenize(const struct weir_host *host, int argc, char **argv)
{
	const struct tool tool = { host, "weir model tokenize", help };
	struct wish w = { false };
	const struct tool_flag flags[] = {
		{ "--special", TOOL_FLAG_BOOL, &w.special, 0, 0 },
		{ "--no-bos", TOOL_FLAG_BOOL, &w.no_bos, 0, 0 },
		{ "--pieces", TOOL_FLAG_BOOL, &w.pieces, 0, 0 },
		{ "--decode", TOOL_FLAG_BOOL, &w.decode, 0, 0 },
		{ "--json", TOOL_FLAG_BOOL, &w.json, 0, 0 },
	};
	static const char *const names[] = { "FILE" };
	struct weir_vocab *vocab = NULL;
	struct weir_error err = { 0 };
	const char *path = NULL;
	char *input = NULL;
	size_t len = 0;
	int code = tool_parse(&tool, argc, argv, flags, sizeof(flags) / sizeof(flags[0]), names, 1,
			      &path);

	if (code != TOOL_GO_ON)
		return code;
	if (w.decode && (w.pieces || w.no_bos))
		return tool_usage(&tool, "--decode goes with --special and --json only");
	if (open_vocab(&tool, path, &vocab, &err) != WEIR_OK)
		return tool_fail_error(&tool, &err);
	if (tool_read("-", &input, &len, &err) != WEIR_OK)
		code = tool_fail_error(&tool, &err);
	else if (w.decode)
		code = decode(&tool, vocab, (struct weir_str){ input, len }, &w);
	else
		code = encode(&tool, vocab, (struct weir_str){ input, len }, &w);
	free(input);
	weir_vocab_free(vocab);
	return code;
}
