/* SPDX-License-Identifier: MIT */
/*
 * tokenizer.h - the tokenizer of one model: text to tokens and back, as its GGUF file says.
 *
 * Four models of tokenizer.ggml.model are known: "llama" (SentencePiece BPE: pieces merged greedily
 * by score, Kudo and Richardson 2018), "gpt2" (byte-level BPE: merges by rank within the words
 * of a pre-tokenizer, Sennrich et al. 2016, Radford et al. 2019), "bert" (WordPiece: the longest
 * piece first, Schuster and Nakajima 2012) and "t5" (SentencePiece unigram: the most likely pieces,
 * Kudo 2018). Others are refused with a sentence.
 *
 * A struct weir_vocab never changes after load and needs the GGUF file no longer; every function
 * but free is [any] thread-safe. Time is O(n log n) in the text whatever the text is (a long one
 * takes a while: keep it off a loop); memory about 40 bytes for each byte of the longest word.
 *
 * Text may hold any bytes. What is no UTF-8 becomes byte tokens where the vocabulary has them.
 */
#ifndef WEIR_TENSOR_TOKENIZER_H
#define WEIR_TENSOR_TOKENIZER_H

#include <weir/tokenizer.h>

#include "gguf.h"

struct weir_vocab;

/* A positive status: done, and err->text holds a remark for the log. */
#define WEIR_VOCAB_NOTE 2

enum weir_vocab_encode_flag {
	WEIR_VOCAB_ADD_SPECIAL = 1,   /* bos and eos as the file says, never a second one */
	WEIR_VOCAB_PARSE_SPECIAL = 2, /* control tokens in the text are recognised */
	WEIR_VOCAB_NO_SPACE = 4,      /* "llama": the text goes on, no space before it */
};

enum weir_vocab_piece_flag {
	WEIR_VOCAB_PIECE_SPECIAL = 1, /* control tokens as their text instead of as nothing */
	WEIR_VOCAB_PIECE_FIRST = 2,   /* begins a text: drop the space that encoding put there */
};

/* As in the file (tokenizer.ggml.token_type). */
enum weir_vocab_token_type {
	WEIR_VOCAB_NORMAL = 1,
	WEIR_VOCAB_UNKNOWN = 2,
	WEIR_VOCAB_CONTROL = 3,
	WEIR_VOCAB_USER_DEFINED = 4,
	WEIR_VOCAB_UNUSED = 5,
	WEIR_VOCAB_BYTE = 6,
};

/* Bytes [begin, end) of a text. */
struct weir_vocab_span {
	size_t begin, end;
};

/* Errors: NOT_FOUND (the file has no tokenizer), UNSUPPORTED (another model), INVALID (a broken
 * one), EXHAUSTED. WEIR_VOCAB_NOTE: loaded, but e.g. its pre-tokenizer is unknown here and the
 * default stands in; then *ret is set too. */
weir_status weir_vocab_load(const struct weir_gguf *gguf, struct weir_vocab **ret,
			    struct weir_error *err);
void weir_vocab_free(struct weir_vocab *vocab);

/*
 * Tokens of text, at most 64 MiB of it (else OUT_OF_RANGE). *ret_tokens is the caller's, free() it;
 * NULL when there are none.
 *
 * User-defined tokens are recognised anywhere, control tokens with PARSE_SPECIAL; at each place the
 * longest one counts, from left to right. `plain` are spans, sorted and without overlap, in which
 * no control token is recognised, not even one that only overlaps a span: what users wrote stays
 * text. User-defined tokens that are written as markers, <|so|>, count as control tokens here.
 * plain may be NULL when n_plain is 0.
 *
 * WEIR_VOCAB_NOTE: bytes were left out, as the vocabulary has neither a token for them nor one for
 * unknown text.
 */
weir_status weir_vocab_encode(const struct weir_vocab *vocab, struct weir_str text, uint32_t flags,
			      const struct weir_vocab_span *plain, size_t n_plain,
			      int32_t **ret_tokens, size_t *ret_n, struct weir_error *err);

/* The bytes of one token, perhaps a part of a rune. Returns their number; at most cap of them are
 * written. 0 for tokens out of range, and for control tokens without WEIR_VOCAB_PIECE_SPECIAL. */
size_t weir_vocab_piece(const struct weir_vocab *vocab, int32_t token, uint32_t flags, char *out,
			size_t cap);

/* The text of n tokens: all their pieces; undoes encode, the space that "llama" puts before text
 * included. *ret_text is the caller's, free() it; NUL-terminated beyond its length. */
weir_status weir_vocab_decode(const struct weir_vocab *vocab, const int32_t *tokens, size_t n,
			      uint32_t flags, char **ret_text, size_t *ret_len,
			      struct weir_error *err);

size_t weir_vocab_n_tokens(const struct weir_vocab *vocab);

/* Ids of special tokens, -1 when the vocabulary has none. eot: ends a turn, by the file's key or
 * else by its well-known text. */
int32_t weir_vocab_bos(const struct weir_vocab *vocab);
int32_t weir_vocab_eos(const struct weir_vocab *vocab);
int32_t weir_vocab_eot(const struct weir_vocab *vocab);
int32_t weir_vocab_eom(const struct weir_vocab *vocab);
int32_t weir_vocab_unk(const struct weir_vocab *vocab);
int32_t weir_vocab_pad(const struct weir_vocab *vocab);
bool weir_vocab_adds_bos(const struct weir_vocab *vocab);
bool weir_vocab_adds_eos(const struct weir_vocab *vocab);

/* A token as the file has it. Out of range: type 0, score 0, no text. Text lives as the vocab. */
enum weir_vocab_token_type weir_vocab_token_type(const struct weir_vocab *vocab, int32_t token);
float weir_vocab_token_score(const struct weir_vocab *vocab, int32_t token);
struct weir_str weir_vocab_token_text(const struct weir_vocab *vocab, int32_t token);

/* The token of exactly this text in the file, of whatever type; -1: none. */
int32_t weir_vocab_find(const struct weir_vocab *vocab, struct weir_str text);

/* Does the token end an answer? eos, eot, eom, and special tokens with well-known texts such as
 * <|im_end|>, <|eot_id|>, <end_of_turn>. */
bool weir_vocab_is_end(const struct weir_vocab *vocab, int32_t token);

/* May the token stand in an answer as what it spells? Not control, unknown and unused tokens, nor
 * user-defined ones that are written as markers. */
bool weir_vocab_is_text(const struct weir_vocab *vocab, int32_t token);

/* The separator that "bert" puts behind a text and between the two of a pair; -1: none. */
int32_t weir_vocab_sep(const struct weir_vocab *vocab);

/* As weir_tokenizer.encode_infill. */
weir_status weir_vocab_encode_infill(const struct weir_vocab *vocab, const struct weir_infill *hole,
				     int32_t *out, size_t cap, size_t *ret_n,
				     struct weir_error *err);

/* "llama", "gpt2", "bert" or "t5"; and the pre-tokenizer that the file names ("" when it does not).
 */
const char *weir_vocab_model(const struct weir_vocab *vocab);
const char *weir_vocab_pre(const struct weir_vocab *vocab);

#endif
