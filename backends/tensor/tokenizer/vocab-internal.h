/* SPDX-License-Identifier: MIT */
/*
 * vocab-internal.h - what the files of the tokenizer share. Nobody else includes it.
 *
 * vocab.c loads and answers questions, tokenizer.c cuts text at special tokens and joins pieces,
 * tokenizer-spm.c, -bpe.c, -wordpiece.c and -unigram.c encode what lies between; merge.c is the
 * algorithm of the first two, piece-index.c what the others look pieces up in.
 */
#ifndef WEIR_TENSOR_VOCAB_INTERNAL_H
#define WEIR_TENSOR_VOCAB_INTERNAL_H

#include "name-map.h"
#include "pretokenize.h"
#include "tokenizer.h"

enum vocab_model {
	VOCAB_SPM,
	VOCAB_BPE,
	VOCAB_WORDPIECE,
	VOCAB_UNIGRAM,
};

struct vocab_token {
	struct weir_str piece; /* first: what merging looks up. SPM: the text, BPE: the bytes */
	struct weir_str text;  /* as in the file */
	struct weir_str bytes; /* what the token stands for; of special tokens their text */
	float score;
	uint8_t type;       /* enum weir_vocab_token_type */
	uint8_t is_special; /* recognised in text as a whole */
	uint8_t is_guarded; /* and that only with PARSE_SPECIAL, outside of plain spans */
	uint8_t is_end;
};

/* BPE: merges by pair of tokens, an open-addressing hash. */
struct vocab_merge {
	uint64_t pair; /* left << 32 | right */
	uint32_t rank; /* UINT32_MAX: a free slot */
	int32_t token;
};

/* Tokens around a hole that is to be filled; -1: none. */
enum vocab_fim {
	VOCAB_FIM_PRE, /* in front of the text before the hole */
	VOCAB_FIM_SUF, /* in front of the text behind it */
	VOCAB_FIM_MID, /* here the model begins to write */
	VOCAB_FIM_PAD,
	VOCAB_FIM_REP, /* in front of the project's name */
	VOCAB_FIM_SEP, /* in front of a file's */
	VOCAB_N_FIM,
};

struct weir_charsmap;

struct weir_vocab {
	enum vocab_model model;
	char pre_name[64];
	struct vocab_token *tokens;
	size_t n_tokens;
	char *arena;                    /* all text and bytes of the tokens */
	struct weir_name_map text_map;  /* every token, by text */
	struct weir_name_map piece_map; /* normal and unguarded user-defined ones, by piece */
	int32_t byte_tokens[256];       /* -1: none */
	int32_t *specials;              /* sorted by text: tokens that are recognised in text */
	size_t n_specials;
	uint32_t special_first[257]; /* specials that begin with byte b: [b] .. [b + 1] */
	int32_t bos, eos, eot, eom, unk, pad;
	int32_t sep; /* -1: none */
	int32_t fim[VOCAB_N_FIM];
	bool suffix_first; /* what is behind a hole goes before what is in front of it */
	bool add_bos, add_eos;
	bool add_space_prefix; /* all but BPE; WORDPIECE: in decoding only */
	bool words_apart;      /* SPM, UNIGRAM: no piece has a space after something else */
	bool keeps_case;       /* WORDPIECE: neither folded nor stripped of accents */
	bool joins_spaces;     /* UNIGRAM: remove_extra_whitespaces */
	float unknown_score;   /* UNIGRAM */
	struct weir_charsmap *charsmap; /* UNIGRAM; or NULL */
	int32_t *pieces;                /* WORDPIECE, UNIGRAM: tokens with a piece, by its bytes */
	size_t n_pieces;
	uint32_t piece_first[257];           /* pieces that begin with byte b: [b] .. [b + 1] */
	const struct weir_pretokenizer *pre; /* BPE */
	struct vocab_merge *merges;
	size_t merge_mask;
	uint64_t merge_seed;
};

/* ---- infill.c ---- */

/* The ids that the file names, before its tokens are read. */
void vocab_load_fim_ids(struct weir_vocab *v, const struct weir_gguf *g);
/* Is this a token around holes, by those ids or by its text? Then v knows it. */
bool vocab_take_fim(struct weir_vocab *v, int32_t token, struct weir_str text);

/* ---- merge.c ---- */

#define MERGE_NONE UINT32_MAX

struct merge_node {
	int32_t prev, next; /* -1: none */
	uint32_t start, len;
	int32_t token;  /* -1: none */
	uint32_t key;   /* of the pair that begins here: the smallest goes first; MERGE_NONE */
	int32_t result; /* the token that this pair would become */
};

/* A work space; zero-initialised. One thread at a time. */
struct merger {
	struct merge_node *nodes;
	size_t n, cap;
	uint64_t *heap; /* key << 32 | node */
	size_t n_heap, heap_cap;
};

/* The key and the result of joining two neighbours; false: they do not join. key < MERGE_NONE. */
typedef bool (*merge_fn)(const void *user, const struct merge_node *left,
			 const struct merge_node *right, uint32_t *ret_key, int32_t *ret_token);

/* Append a symbol after those there are. False: no memory, or 2^31 symbols. */
bool merger_add(struct merger *m, uint32_t start, uint32_t len, int32_t token);

/* Join the best pair, the leftmost of equals, until none is left. The result: nodes[0] and what
 * follows by next. O(n log n). False: no memory. */
bool merger_run(struct merger *m, merge_fn merge, const void *user);

void merger_clear(struct merger *m); /* forget the symbols, keep the memory */
void merger_free(struct merger *m);

/* ---- piece-index.c ---- */

#define VOCAB_MAX_PIECE 1024 /* bytes */

weir_status vocab_index_pieces(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err);

/* The pieces that a text begins with, shortest first. */
struct piece_walk {
	const struct weir_vocab *vocab;
	const char *p;
	size_t len, depth, low, high;
};

void piece_walk_begin(struct piece_walk *w, const struct weir_vocab *v, const char *p, size_t len);
/* The next token and its piece's length; -1: no more. Of tokens with one piece the first. */
int32_t piece_walk_next(struct piece_walk *w, size_t *ret_len);

/* ---- the encoders ---- */

/* A word met before in this text: its tokens are tokens[at .. at + n). */
struct known_word {
	char text[30];
	uint8_t len, n;
	uint32_t at;
};

/* UNIGRAM: the best way to a place in a word. */
#define PATH_NONE UINT32_MAX
struct path_node {
	uint32_t from, next; /* where its piece begins; where the next one ends, once it is known */
	int32_t token;       /* -1: unknown */
	float score;
};

/* One call of weir_vocab_encode(). Zero but for vocab to begin with. */
struct encoding {
	const struct weir_vocab *vocab;
	bool no_space; /* WEIR_VOCAB_NO_SPACE */
	int32_t *tokens;
	size_t n, cap;
	size_t n_lost; /* bytes without any token */
	struct merger merger;
	struct known_word *words; /* by hash; NULL for short texts */
	char *escaped;            /* SPM, UNIGRAM: the text with its spaces replaced */
	size_t escaped_cap;
	struct path_node *path;
	size_t path_cap;
};

/* These give false when there is no memory. */
bool encoding_push(struct encoding *e, int32_t token);
bool encoding_push_byte(struct encoding *e, unsigned char byte); /* its token, unk or nothing */
bool encoding_push_unknown(struct encoding *e, size_t n_bytes);  /* unk or nothing */

/* Was the word met before? Then its tokens are appended (*ret_known). */
bool encoding_recall(struct encoding *e, const char *word, size_t len, bool *ret_known);
/* The word's tokens are those from index `at` to the end. */
void encoding_remember(struct encoding *e, const char *word, size_t len, size_t at);

/* Append the tokens of text that holds no special tokens. */
bool vocab_encode_spm(struct encoding *e, struct weir_str text);
bool vocab_encode_bpe(struct encoding *e, struct weir_str text);
bool vocab_encode_wordpiece(struct encoding *e, struct weir_str text);
bool vocab_encode_unigram(struct encoding *e, struct weir_str text);

/* Loading: their parts of the vocabulary, with tokens and their types read. May give a note. */
weir_status vocab_load_spm(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err);
weir_status vocab_load_bpe(struct weir_vocab *v, const struct weir_gguf *g, struct weir_error *err);
weir_status vocab_load_wordpiece(struct weir_vocab *v, const struct weir_gguf *g,
				 struct weir_error *err);
weir_status vocab_load_unigram(struct weir_vocab *v, const struct weir_gguf *g,
			       struct weir_error *err);

/* BPE: the bytes that a text in GPT-2's alphabet stands for. False: it has other runes. out takes
 * text.len bytes. */
bool vocab_bpe_bytes(struct weir_str text, char *out, size_t *ret_len);

/* ▁ (U+2581) in UTF-8: SentencePiece's space. */
#define SPM_SPACE "\xe2\x96\x81"

#endif
