/* SPDX-License-Identifier: MIT */
/*
 * template-parser.c - parses the statements of a chat template into a syntax tree.
 *
 * Called by weir_template_parse(), on its thread. Always true: the tree is never deeper than
 * MAX_DEPTH, so that everything which walks it may recurse.
 */
#include "template-ast.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_DEPTH 300

static void parse_body(struct tpl_parser *p, struct tpl_nodes *ret, const char *const *end);

_Noreturn void tpl_syntax(struct tpl_parser *p, const struct tpl_token *at, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tpl_fail_at(p->r, WEIR_E_INVALID, at->line, at->column, "%s", text);
}

const char *tpl_token_name(int type)
{
	static const char *const name[] = {
		"end of template",
		"template text",
		"'{{'",
		"'}}'",
		"'{%'",
		"'%}'",
		"a name",
		"a string",
		"an integer",
		"a float",
		"'+'",
		"'-'",
		"'*'",
		"'/'",
		"'//'",
		"'%'",
		"'**'",
		"'~'",
		"'['",
		"']'",
		"'('",
		"')'",
		"'{'",
		"'}'",
		"'=='",
		"'!='",
		"'>'",
		"'>='",
		"'<'",
		"'<='",
		"'='",
		"'.'",
		"':'",
		"'|'",
		"','",
		"';'",
	};

	return type >= 0 && (size_t)type < TPL_LEN(name) ? name[type] : "something unknown";
}

void tpl_parse_down(struct tpl_parser *p)
{
	if (++p->depth > MAX_DEPTH)
		tpl_syntax(p, p->token, "nested too deeply");
}

void tpl_parse_up(struct tpl_parser *p)
{
	p->depth--;
}

struct tpl_node *tpl_node(struct tpl_parser *p, int kind, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_alloc(p->r, 1, sizeof(*node));

	node->kind = (uint8_t)kind;
	node->line = at->line;
	node->column = at->column;
	return node;
}

void tpl_add_node(struct tpl_parser *p, struct tpl_nodes *nodes, struct tpl_node *node)
{
	nodes->node = tpl_grow(p->r, nodes->node, nodes->n, &nodes->cap, sizeof(*nodes->node));
	nodes->node[nodes->n++] = node;
}

bool tpl_at_name(const struct tpl_token *t, const char *name)
{
	return t->type == TOK_NAME && t->len == strlen(name) && !memcmp(t->text, name, t->len);
}

bool tpl_skip_name(struct tpl_parser *p, const char *name)
{
	if (!tpl_at_name(p->token, name))
		return false;
	p->token++;
	return true;
}

bool tpl_skip(struct tpl_parser *p, int type)
{
	if (p->token->type != type)
		return false;
	p->token++;
	return true;
}

const struct tpl_token *tpl_expect(struct tpl_parser *p, int type)
{
	const struct tpl_token *t = p->token;

	if (t->type != type)
		tpl_syntax(p, t, "expected %s, got %s", tpl_token_name(type),
			   tpl_token_name(t->type));
	if (t->type != TOK_EOF)
		p->token++;
	return t;
}

struct tpl_text *tpl_token_text(struct tpl_parser *p, const struct tpl_token *t)
{
	struct tpl_text *s = tpl_alloc(p->r, 1, sizeof(*s));

	s->data = t->text;
	s->len = t->len;
	s->n_chars = SIZE_MAX;
	tpl_chars(s);
	return s;
}

static void expect_name(struct tpl_parser *p, const char *name)
{
	if (!tpl_skip_name(p, name))
		tpl_syntax(p, p->token, "expected '%s', got %s", name,
			   tpl_token_name(p->token->type));
}

/* The statements up to one of the names in `end`, which becomes the current token. */
static void parse_until(struct tpl_parser *p, struct tpl_nodes *ret, const char *const *end)
{
	tpl_skip(p, TOK_COLON);
	tpl_expect(p, TOK_BLOCK_END);
	tpl_parse_down(p);
	parse_body(p, ret, end);
	tpl_parse_up(p);
	if (p->token->type == TOK_EOF)
		tpl_syntax(p, p->token, "the template ends before '%s'", end[0]);
}

/* Like parse_until with one end, which is swallowed. */
static void parse_to(struct tpl_parser *p, struct tpl_nodes *ret, const char *end)
{
	parse_until(p, ret, (const char *const[]){ end, NULL });
	p->token++;
}

/* A body that is a function of its own: break and continue do not reach out of it. */
static void parse_function(struct tpl_parser *p, struct tpl_nodes *ret, const char *end)
{
	uint32_t loops = p->loops;

	p->loops = 0;
	parse_to(p, ret, end);
	p->loops = loops;
}

static struct tpl_node *parse_set(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_SET, at);

	node->a = tpl_parse_target(p, true, NULL);
	if (tpl_skip(p, TOK_ASSIGN)) {
		node->b = tpl_parse_tuple(p, true, NULL, false);
		return node;
	}
	node->kind = NODE_SET_BLOCK;
	node->b = tpl_parse_filter(p, NULL, false);
	parse_to(p, &node->kids, "endset");
	return node;
}

static struct tpl_node *copy_target(struct tpl_parser *p, const struct tpl_node *target)
{
	struct tpl_node *copy = tpl_alloc(p->r, 1, sizeof(*copy));

	*copy = *target;
	copy->kids = (struct tpl_nodes){ 0 };
	for (size_t i = 0; i < target->kids.n; i++)
		tpl_add_node(p, &copy->kids, copy_target(p, target->kids.node[i]));
	return copy;
}

static struct tpl_node *parse_for(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_FOR, at);

	node->a = tpl_parse_target(p, false, "in");
	expect_name(p, "in");
	node->b = tpl_parse_tuple(p, false, "recursive", false);
	if (tpl_skip_name(p, "if")) {
		node->c = tpl_parse_expression(p, true);
		node->d = copy_target(p, node->a);
	}
	node->recursive = tpl_skip_name(p, "recursive");
	p->loops++;
	parse_until(p, &node->kids, (const char *const[]){ "endfor", "else", NULL });
	p->loops--;
	if (tpl_skip_name(p, "endfor"))
		return node;
	p->token++;
	if (node->recursive) {
		parse_function(p, &node->other, "endfor");
		return node;
	}
	parse_to(p, &node->other, "endfor");
	return node;
}

/* An elif becomes an if of its own in the else branch. `levels` deep, so not by recursion. */
static struct tpl_node *parse_if(struct tpl_parser *p, const struct tpl_token *at)
{
	static const char *const ends[] = { "elif", "else", "endif", NULL };
	struct tpl_node *first = tpl_node(p, NODE_IF, at), *node = first;
	uint32_t depth = p->depth;

	for (;;) {
		const struct tpl_token *t;

		node->a = tpl_parse_tuple(p, false, NULL, false);
		parse_until(p, &node->kids, ends);
		t = p->token++;
		if (tpl_at_name(t, "elif")) {
			struct tpl_node *next = tpl_node(p, NODE_IF, t);

			next->negated = true; /* is an elif */
			tpl_add_node(p, &first->other, next);
			node = next;
			continue;
		}
		if (tpl_at_name(t, "else")) {
			struct tpl_node *rest = tpl_node(p, NODE_SCOPE, t);

			parse_to(p, &rest->kids, "endif");
			first->c = rest;
		}
		p->depth = depth;
		return first;
	}
}

static struct tpl_node *parse_with(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_WITH, at);

	while (p->token->type != TOK_BLOCK_END) {
		if (node->other.n)
			tpl_expect(p, TOK_COMMA);
		tpl_add_node(p, &node->other, tpl_parse_target(p, false, NULL));
		tpl_expect(p, TOK_ASSIGN);
		tpl_add_node(p, &node->other, tpl_parse_expression(p, true));
	}
	parse_to(p, &node->kids, "endwith");
	return node;
}

static struct tpl_node *parse_param_name(struct tpl_parser *p)
{
	const struct tpl_token *t = tpl_expect(p, TOK_NAME);
	struct tpl_node *node = tpl_node(p, NODE_NAME, t);
	static const char *const constants[] = { "true", "false", "none", "True", "False", "None" };

	for (size_t i = 0; i < TPL_LEN(constants); i++)
		if (tpl_at_name(t, constants[i]))
			tpl_syntax(p, t, "cannot assign to '%s'", constants[i]);
	node->name = tpl_token_text(p, t);
	node->store = true;
	return node;
}

static struct tpl_signature *parse_signature(struct tpl_parser *p, bool optional)
{
	struct tpl_signature *sig = tpl_alloc(p->r, 1, sizeof(*sig));

	if (optional && p->token->type != TOK_LPAREN)
		return sig;
	tpl_expect(p, TOK_LPAREN);
	while (p->token->type != TOK_RPAREN) {
		struct tpl_node *param;

		if (sig->param.n)
			tpl_expect(p, TOK_COMMA);
		param = parse_param_name(p);
		for (size_t i = 0; i < sig->param.n; i++) {
			const struct tpl_text *other = sig->param.node[i]->name;

			if (other->len == param->name->len &&
			    !memcmp(other->data, param->name->data, other->len))
				tpl_syntax(p, p->token, "duplicate argument '%.*s'",
					   (int)other->len, other->data);
		}
		if (tpl_skip(p, TOK_ASSIGN))
			tpl_add_node(p, &sig->defaults, tpl_parse_expression(p, true));
		else if (sig->defaults.n)
			tpl_syntax(p, p->token, "non-default argument follows default argument");
		tpl_add_node(p, &sig->param, param);
	}
	tpl_expect(p, TOK_RPAREN);
	return sig;
}

static struct tpl_node *parse_macro(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_MACRO, at);

	node->a = parse_param_name(p);
	node->sig = parse_signature(p, false);
	parse_function(p, &node->kids, "endmacro");
	return node;
}

static struct tpl_node *parse_call_block(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_CALL_BLOCK, at);

	node->sig = parse_signature(p, true);
	node->a = tpl_parse_expression(p, true);
	if (node->a->kind != NODE_CALL)
		tpl_syntax(p, at, "expected call");
	parse_function(p, &node->kids, "endcall");
	return node;
}

/* transformers' {% generation %}: a call block whose caller is printed as it is. */
static struct tpl_node *parse_generation(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_CALL_BLOCK, at);

	node->sig = tpl_alloc(p->r, 1, sizeof(*node->sig));
	parse_function(p, &node->kids, "endgeneration");
	return node;
}

static struct tpl_node *parse_filter_block(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_FILTER_BLOCK, at);

	node->a = tpl_parse_filter(p, NULL, true);
	parse_to(p, &node->kids, "endfilter");
	return node;
}

static struct tpl_node *parse_block(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_BLOCK, at);

	node->name = tpl_token_text(p, tpl_expect(p, TOK_NAME));
	if (tpl_at_name(p->token, "scoped") || tpl_at_name(p->token, "required"))
		tpl_fail_at(p->r, WEIR_E_UNSUPPORTED, at->line, at->column,
			    "scoped and required blocks are not supported");
	for (size_t i = 0; i < p->blocks.n; i++)
		if (p->blocks.node[i]->name->len == node->name->len &&
		    !memcmp(p->blocks.node[i]->name->data, node->name->data, node->name->len))
			tpl_syntax(p, at, "block '%.*s' defined twice", (int)node->name->len,
				   node->name->data);
	tpl_step(p->r, p->blocks.n);
	tpl_add_node(p, &p->blocks, node);
	parse_function(p, &node->kids, "endblock");
	if (p->token->type == TOK_NAME && p->token->len == node->name->len &&
	    !memcmp(p->token->text, node->name->data, node->name->len))
		p->token++;
	return node;
}

static struct tpl_node *parse_print(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_SCOPE, at);

	while (p->token->type != TOK_BLOCK_END) {
		struct tpl_node *out = tpl_node(p, NODE_OUTPUT, p->token);

		if (node->kids.n)
			tpl_expect(p, TOK_COMMA);
		out->a = tpl_parse_expression(p, true);
		tpl_add_node(p, &node->kids, out);
	}
	return node;
}

static struct tpl_node *parse_autoescape(struct tpl_parser *p, const struct tpl_token *at)
{
	struct tpl_node *node = tpl_node(p, NODE_WITH, at);
	struct tpl_node *on = tpl_parse_expression(p, true);

	if (on->kind != NODE_CONST || on->value.type != TPL_BOOL || on->value.u.b)
		tpl_fail_at(p->r, WEIR_E_UNSUPPORTED, at->line, at->column,
			    "automatic escaping is not supported");
	parse_to(p, &node->kids, "endautoescape");
	return node;
}

static struct tpl_node *parse_jump(struct tpl_parser *p, const struct tpl_token *at)
{
	bool is_break = tpl_at_name(at, "break");

	if (!p->loops)
		tpl_syntax(p, at, "'%s' outside of a loop", is_break ? "break" : "continue");
	return tpl_node(p, is_break ? NODE_BREAK : NODE_CONTINUE, at);
}

static struct tpl_node *parse_refused(struct tpl_parser *p, const struct tpl_token *at)
{
	tpl_fail_at(p->r, WEIR_E_UNSUPPORTED, at->line, at->column,
		    "'%.*s' needs other template files: a chat template must stand alone",
		    (int)at->len, at->text);
}

static struct tpl_node *parse_statement(struct tpl_parser *p)
{
	static const struct {
		const char *name;
		struct tpl_node *(*parse)(struct tpl_parser *p, const struct tpl_token *at);
	} tags[] = {
		{ "set", parse_set },
		{ "if", parse_if },
		{ "for", parse_for },
		{ "macro", parse_macro },
		{ "call", parse_call_block },
		{ "filter", parse_filter_block },
		{ "with", parse_with },
		{ "print", parse_print },
		{ "block", parse_block },
		{ "autoescape", parse_autoescape },
		{ "generation", parse_generation },
		{ "break", parse_jump },
		{ "continue", parse_jump },
		{ "include", parse_refused },
		{ "import", parse_refused },
		{ "from", parse_refused },
		{ "extends", parse_refused },
	};
	const struct tpl_token *at = p->token;

	if (at->type != TOK_NAME)
		tpl_syntax(p, at, "tag name expected");
	for (size_t i = 0; i < TPL_LEN(tags); i++)
		if (tpl_at_name(at, tags[i].name)) {
			p->token++;
			return tags[i].parse(p, at);
		}
	tpl_syntax(p, at, "unknown tag '%.*s'", at->len > 60 ? 60 : (int)at->len, at->text);
}

static bool at_end_tag(const struct tpl_parser *p, const char *const *end)
{
	for (; end && *end; end++)
		if (tpl_at_name(p->token, *end))
			return true;
	return false;
}

static void parse_body(struct tpl_parser *p, struct tpl_nodes *ret, const char *const *end)
{
	for (;;) {
		const struct tpl_token *t = p->token;
		struct tpl_node *node;

		if (t->type == TOK_EOF)
			return;
		p->token++;
		if (t->type == TOK_DATA) {
			node = tpl_node(p, NODE_DATA, t);
			node->name = tpl_token_text(p, t);
		} else if (t->type == TOK_VARIABLE_BEGIN) {
			node = tpl_node(p, NODE_OUTPUT, p->token);
			node->a = tpl_parse_tuple(p, true, NULL, false);
			tpl_expect(p, TOK_VARIABLE_END);
		} else {
			if (at_end_tag(p, end))
				return;
			node = parse_statement(p);
			tpl_expect(p, TOK_BLOCK_END);
		}
		tpl_add_node(p, ret, node);
	}
}

void tpl_parse(struct tpl_render *r, const struct tpl_token *token, struct tpl_nodes *ret)
{
	struct tpl_parser p = { .r = r, .token = token };

	parse_body(&p, ret, NULL);
}
