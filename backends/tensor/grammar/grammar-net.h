/* SPDX-License-Identifier: MIT */
/*
 * grammar-net.h - a grammar as a network over bytes: rules of nodes and edges, which may call
 * rules.
 *
 * The front ends (GBNF, JSON Schema, regex, choice) build one on a worker; once linked it is
 * constant and any thread may read it. Edges take a byte of a range, nothing, a call of a rule, or
 * a counted repetition of one. Node 0 is the end of a sentence, node 1 the way out of a part that
 * is looked at alone (grammar-mask.c).
 *
 * Building never fails on the spot: an exhausted net stays so, takes nothing more and says it in
 * weir_net_link(). Bounds: WEIR_NET_NODES nodes, WEIR_NET_EDGES edges.
 */
#ifndef WEIR_TENSOR_GRAMMAR_NET_H
#define WEIR_TENSOR_GRAMMAR_NET_H

#include <weir/base.h>

#define WEIR_NET_NODES 400000u
#define WEIR_NET_EDGES 1000000u
#define WEIR_NET_MANY  UINT32_MAX /* a repetition without an end */

enum { WEIR_NODE_ACCEPT, WEIR_NODE_EXIT, WEIR_NODE_FIRST };

enum weir_edge_kind {
	WEIR_EDGE_NONE, /* taken out by link() */
	WEIR_EDGE_BYTE, /* lo .. hi */
	WEIR_EDGE_EMPTY,
	WEIR_EDGE_CALL, /* of rule arg */
	WEIR_EDGE_LOOP, /* of loop arg */
};

enum weir_edge_flag {
	WEIR_EDGE_TAIL = 1,  /* nothing is left to do after the call: the caller's frame will do */
	WEIR_EDGE_STARTS = 2 /* the byte begins a character of a string */
};

struct weir_edge {
	uint32_t target, arg;
	uint8_t kind, lo, hi, flags;
};

struct weir_net_rule {
	uint32_t start, end;
	uint32_t rank; /* a rule calls those of higher rank only before it has taken a byte */
	uint32_t flat; /* 1: it calls nothing */
	char name[36]; /* for messages */
};

struct weir_net_loop {
	uint32_t rule, min, max, target;
};

struct weir_net {
	struct weir_edge *edges; /* of node n: first[n] .. first[n + 1], once linked */
	uint32_t *next, *head;   /* while it is built: lists, UINT32_MAX ends one */
	uint32_t *first;
	uint8_t *final; /* node n ends its rule */
	struct weir_net_rule *rules;
	struct weir_net_loop *loops;
	uint32_t n_nodes, n_edges, n_rules, n_loops;
	uint32_t cap_nodes, cap_edges, cap_rules, cap_loops;
	uint32_t root;     /* a rule */
	uint32_t n_shared; /* nodes below come from the prelude, the same in every net of a model */
	uint32_t n_classes;
	uint8_t class_of[256], byte_of[256]; /* bytes that no edge tells apart */
	bool exhausted;
};

struct weir_rune_range {
	uint32_t lo, hi;
};

struct weir_net *weir_net_new(void); /* NULL: no memory */
/* A net that begins with all that the linked prelude has. */
struct weir_net *weir_net_new_on(const struct weir_net *prelude);
void weir_net_free(struct weir_net *); /* NULL is fine */

uint32_t weir_net_node(struct weir_net *);
uint32_t weir_net_rule(struct weir_net *, const char *name, size_t len);
void weir_net_byte(struct weir_net *, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi);
void weir_net_empty(struct weir_net *, uint32_t from, uint32_t to);
void weir_net_call(struct weir_net *, uint32_t from, uint32_t to, uint32_t rule);
/* min .. max (WEIR_NET_MANY: no end) times the rule. */
void weir_net_loop(struct weir_net *, uint32_t from, uint32_t to, uint32_t rule, uint32_t min,
		   uint32_t max);
void weir_net_literal(struct weir_net *, uint32_t from, uint32_t to, const char *text, size_t len);
/* One character of the ranges (sorted, apart), in UTF-8; surrogates are left out. */
void weir_net_runes(struct weir_net *, uint32_t from, uint32_t to,
		    const struct weir_rune_range *ranges, size_t n);
/* One of the texts, as a tree: the choice costs no more than its common beginnings differ. The
 * array is sorted. */
void weir_net_words(struct weir_net *, uint32_t from, uint32_t to, struct weir_str *words,
		    size_t n);

/* Takes out what cannot end, finds what may be empty, orders rules, packs edges. INVALID: no
 * sentence, or left recursion, with the rule's name. EXHAUSTED. */
weir_status weir_net_link(struct weir_net *, struct weir_error *err);

size_t weir_net_bytes(const struct weir_net *); /* of memory */

#endif
