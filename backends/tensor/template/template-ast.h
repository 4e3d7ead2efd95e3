/* SPDX-License-Identifier: MIT */
/*
 * template-ast.h - tokens, syntax tree, variable scopes and run-time frames of a chat template.
 *
 * Private to this folder. Tokens, nodes and scopes are made by the thread that
 * parses and never change afterwards; frames, loops and macros belong to one render.
 */
#ifndef WEIR_TEMPLATE_AST_H
#define WEIR_TEMPLATE_AST_H

#include "template-value.h"

enum tpl_token_type {
	TOK_EOF,
	TOK_DATA,
	TOK_VARIABLE_BEGIN,
	TOK_VARIABLE_END,
	TOK_BLOCK_BEGIN,
	TOK_BLOCK_END,
	TOK_NAME,
	TOK_STRING,
	TOK_INTEGER,
	TOK_FLOAT,
	TOK_ADD,
	TOK_SUB,
	TOK_MUL,
	TOK_DIV,
	TOK_FLOORDIV,
	TOK_MOD,
	TOK_POW,
	TOK_TILDE,
	TOK_LBRACKET,
	TOK_RBRACKET,
	TOK_LPAREN,
	TOK_RPAREN,
	TOK_LBRACE,
	TOK_RBRACE,
	TOK_EQ,
	TOK_NE,
	TOK_GT,
	TOK_GE,
	TOK_LT,
	TOK_LE,
	TOK_ASSIGN,
	TOK_DOT,
	TOK_COLON,
	TOK_PIPE,
	TOK_COMMA,
	TOK_SEMICOLON,
	TOK_IN,     /* comparison only: never a token */
	TOK_NOT_IN, /* likewise */
};

struct tpl_token {
	uint8_t type;
	uint32_t line, column;
	const char *text; /* as written: names, data */
	size_t len;
	struct tpl_value value; /* of strings and numbers */
};

enum tpl_node_kind {
	/* expressions */
	NODE_CONST,   /* value */
	NODE_NAME,    /* value, up, slot */
	NODE_NSREF,   /* value.name: name, value = attribute */
	NODE_TUPLE,   /* kids */
	NODE_LIST,    /* kids */
	NODE_DICT,    /* kids: key, value, key, value ... */
	NODE_GETATTR, /* a . value */
	NODE_GETITEM, /* a [ b ] */
	NODE_SLICE,   /* a : b : c */
	NODE_CALL,    /* a ( call ) */
	NODE_FILTER,  /* a | value ( call ); a is NULL in set and filter blocks */
	NODE_TEST,    /* a is value ( call ) */
	NODE_NOT,
	NODE_UNARY,   /* op a */
	NODE_AND,     /* a and b */
	NODE_OR,      /* a or b */
	NODE_BINARY,  /* a op b */
	NODE_CONCAT,  /* kids */
	NODE_COMPARE, /* a, kids with their op */
	NODE_COND,    /* b if a else c */
	/* statements */
	NODE_DATA,         /* value */
	NODE_OUTPUT,       /* a */
	NODE_IF,           /* a, kids; other = else branch (an elif is an if in there) */
	NODE_FOR,          /* for a in b if c: kids, else other; d = a for the test's scope */
	NODE_SET,          /* a = b */
	NODE_SET_BLOCK,    /* a = kids | b */
	NODE_MACRO,        /* value = name, sig, kids */
	NODE_CALL_BLOCK,   /* sig, kids; a = the call */
	NODE_FILTER_BLOCK, /* kids | a */
	NODE_WITH,         /* targets = values: other: target, value, ...; kids */
	NODE_SCOPE,        /* kids */
	NODE_BLOCK,        /* value = name, kids */
	NODE_BREAK,
	NODE_CONTINUE,
};

struct tpl_nodes {
	size_t n, cap;
	struct tpl_node **node;
};

struct tpl_call {
	struct tpl_nodes pos;
	struct tpl_nodes kw; /* NODE_TUPLEs of nothing but value = name and a = expression */
	struct tpl_node *star, *star_star;
};

struct tpl_signature {
	struct tpl_nodes param;    /* NODE_NAME */
	struct tpl_nodes defaults; /* of the last parameters */
	bool wants_caller, wants_kwargs, wants_varargs, explicit_caller;
	uint32_t caller, kwargs, varargs; /* slots */
};

enum tpl_load { LOAD_PARAMETER, LOAD_RESOLVE, LOAD_ALIAS, LOAD_UNDEFINED };

struct tpl_symbol {
	struct tpl_text *name;
	uint8_t load;
	bool stored;
	uint32_t up, slot; /* LOAD_ALIAS: in the parent's frame and above */
};

struct tpl_scope {
	struct tpl_scope *parent;
	struct tpl_symbol *symbol;
	size_t n, cap;
	bool top; /* sets are exported */
};

struct tpl_node {
	uint8_t kind;
	uint8_t op;
	bool recursive, extended, negated, store, exported;
	uint32_t line, column;
	uint32_t up, slot;
	uint32_t loop_slot;
	struct tpl_value value;
	struct tpl_text *name;
	struct tpl_node *a, *b, *c, *d;
	struct tpl_nodes kids, other;
	struct tpl_call *call;
	struct tpl_signature *sig;
	const struct tpl_builtin *fn;
	struct tpl_scope *scope, *else_scope, *test_scope;
};

struct weir_template {
	struct tpl_arena arena;
	struct tpl_nodes body;
	struct tpl_scope *scope;
};

/* Variables of one scope while it runs. */
struct tpl_env {
	struct tpl_env *parent;
	const struct tpl_scope *scope;
	struct tpl_value slot[];
};

struct tpl_macro {
	const struct tpl_node *node;
	struct tpl_env *env;   /* where it was defined */
	struct tpl_value name; /* None for the caller of a call block */
};

struct tpl_loop {
	const struct tpl_node *node;
	struct tpl_env *outer; /* the frame around the loop */
	struct tpl_env *test_env;
	struct tpl_iter *source;
	struct tpl_value iterable;
	struct tpl_value *ahead; /* fetched already, not yet visited */
	size_t n_ahead, ahead_pos, ahead_cap;
	int64_t index0;
	int64_t length; /* -1 = not known yet */
	struct tpl_value before, current;
	struct tpl_value changed;
	uint32_t depth0;
};

/* template-lexer.c */
struct tpl_token *tpl_tokenize(struct tpl_render *r, struct weir_str source, size_t *ret_n);

/* template-parser.c: statements; template-expression.c: expressions */
struct tpl_parser {
	struct tpl_render *r;
	const struct tpl_token *token;
	uint32_t depth;
	uint32_t loops; /* inside how many for bodies of this function */
	struct tpl_nodes blocks;
};

void tpl_parse(struct tpl_render *r, const struct tpl_token *token, struct tpl_nodes *ret);
struct tpl_node *tpl_parse_expression(struct tpl_parser *p, bool with_cond);
struct tpl_node *tpl_parse_tuple(struct tpl_parser *p, bool with_cond, const char *end,
				 bool in_parens);
struct tpl_node *tpl_parse_target(struct tpl_parser *p, bool with_namespace, const char *end);
struct tpl_node *tpl_parse_filter(struct tpl_parser *p, struct tpl_node *node, bool inline_start);
struct tpl_node *tpl_node(struct tpl_parser *p, int kind, const struct tpl_token *at);
void tpl_add_node(struct tpl_parser *p, struct tpl_nodes *nodes, struct tpl_node *node);
bool tpl_at_name(const struct tpl_token *t, const char *name);
bool tpl_skip_name(struct tpl_parser *p, const char *name);
bool tpl_skip(struct tpl_parser *p, int type);
const struct tpl_token *tpl_expect(struct tpl_parser *p, int type);
struct tpl_text *tpl_token_text(struct tpl_parser *p, const struct tpl_token *t);
const char *tpl_token_name(int type);
void tpl_parse_down(struct tpl_parser *p);
void tpl_parse_up(struct tpl_parser *p);
_Noreturn void tpl_syntax(struct tpl_parser *p, const struct tpl_token *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* template-scope.c: decides for every name where its variable lives */
struct tpl_scope *tpl_resolve(struct tpl_render *r, struct tpl_nodes *body);

/* template-eval.c and template-exec.c */
enum tpl_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct tpl_value tpl_eval(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env);
void tpl_eval_args(struct tpl_render *r, const struct tpl_call *call, struct tpl_env *env,
		   struct tpl_args *ret);
struct tpl_value tpl_apply_filter(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_value v, struct tpl_env *env);
enum tpl_flow tpl_exec(struct tpl_render *r, const struct tpl_nodes *body, struct tpl_env *env,
		       struct tpl_buf *out);
struct tpl_env *tpl_open(struct tpl_render *r, const struct tpl_scope *scope,
			 struct tpl_env *parent);
void tpl_reset(struct tpl_render *r, struct tpl_env *env); /* runs the scope's loads again */
void tpl_assign(struct tpl_render *r, const struct tpl_node *target, struct tpl_env *env,
		struct tpl_value v);
struct tpl_value tpl_call_macro(struct tpl_render *r, const struct tpl_macro *macro,
				const struct tpl_args *args);

/* template-loop.c */
enum tpl_flow tpl_exec_for(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env,
			   struct tpl_buf *out);
bool tpl_loop_next(struct tpl_render *r, struct tpl_loop *loop);
size_t tpl_loop_length(struct tpl_render *r, struct tpl_loop *loop);
bool tpl_loop_attr(struct tpl_render *r, struct tpl_value loop, const char *name,
		   struct tpl_value *ret);
struct tpl_value tpl_loop_recurse(struct tpl_render *r, struct tpl_loop *loop,
				  const struct tpl_args *args);

#endif
