/* SPDX-License-Identifier: MIT */
/*
 * template-expression.c - parses the expressions of a chat template.
 *
 * Called by template-parser.c, on the thread that parses. Recursive descent with jinja2's order of
 * operators: if/else, or, and, not, comparison, + -, ~, * / // %, **, unary, postfix, filters.
 * Recursion is bounded by tpl_parse_down().
 */
#include "template-ast.h"

static struct tpl_node *parse_or(struct tpl_parser *p);
static struct tpl_node *parse_unary(struct tpl_parser *p, bool with_filter);

static struct tpl_text *dotted_name(struct tpl_parser *p)
{
	struct tpl_text *name = tpl_token_text(p, tpl_expect(p, TOK_NAME));

	while (tpl_skip(p, TOK_DOT)) {
		struct tpl_buf b = { 0 };

		tpl_put_text(p->r, &b, name);
		tpl_puts(p->r, &b, ".");
		tpl_put_text(p->r, &b, tpl_token_text(p, tpl_expect(p, TOK_NAME)));
		name = tpl_buf_value(p->r, &b).u.s;
	}
	return name;
}

static struct tpl_call *parse_args(struct tpl_parser *p)
{
	struct tpl_call *call = tpl_alloc(p->r, 1, sizeof(*call));
	const struct tpl_token *open = tpl_expect(p, TOK_LPAREN);
	bool comma = false;

	while (p->token->type != TOK_RPAREN) {
		bool fine = !call->star_star;

		if (comma) {
			tpl_expect(p, TOK_COMMA);
			if (p->token->type == TOK_RPAREN)
				break;
		}
		comma = true;
		if (tpl_skip(p, TOK_MUL)) {
			fine = fine && !call->star;
			call->star = tpl_parse_expression(p, true);
		} else if (tpl_skip(p, TOK_POW)) {
			call->star_star = tpl_parse_expression(p, true);
		} else if (p->token->type == TOK_NAME && p->token[1].type == TOK_ASSIGN) {
			struct tpl_node *kw = tpl_node(p, NODE_TUPLE, p->token);

			kw->name = tpl_token_text(p, p->token);
			p->token += 2;
			kw->a = tpl_parse_expression(p, true);
			for (size_t i = 0; i < call->kw.n; i++) {
				const struct tpl_text *other = call->kw.node[i]->name;

				if (other->len == kw->name->len &&
				    !memcmp(other->data, kw->name->data, other->len))
					tpl_syntax(p, open, "keyword argument repeated: %.*s",
						   (int)other->len, other->data);
			}
			tpl_add_node(p, &call->kw, kw);
		} else {
			fine = fine && !call->star && !call->kw.n;
			tpl_add_node(p, &call->pos, tpl_parse_expression(p, true));
		}
		if (!fine)
			tpl_syntax(p, open, "invalid syntax for function call expression");
	}
	tpl_expect(p, TOK_RPAREN);
	return call;
}

static struct tpl_node *parse_subscript_part(struct tpl_parser *p)
{
	const struct tpl_token *at = p->token;
	struct tpl_node *first = NULL, *slice;

	if (p->token->type != TOK_COLON) {
		first = tpl_parse_expression(p, true);
		if (p->token->type != TOK_COLON)
			return first;
	}
	p->token++;
	slice = tpl_node(p, NODE_SLICE, at);
	slice->a = first;
	if (p->token->type != TOK_COLON && p->token->type != TOK_RBRACKET &&
	    p->token->type != TOK_COMMA)
		slice->b = tpl_parse_expression(p, true);
	if (tpl_skip(p, TOK_COLON) && p->token->type != TOK_RBRACKET && p->token->type != TOK_COMMA)
		slice->c = tpl_parse_expression(p, true);
	return slice;
}

static struct tpl_node *parse_subscript(struct tpl_parser *p, struct tpl_node *node)
{
	const struct tpl_token *at = p->token++;
	struct tpl_node *get;

	if (at->type == TOK_DOT) {
		const struct tpl_token *attr = p->token++;

		get = tpl_node(p, attr->type == TOK_NAME ? NODE_GETATTR : NODE_GETITEM, at);
		get->a = node;
		if (attr->type == TOK_NAME) {
			get->name = tpl_token_text(p, attr);
			get->value = (struct tpl_value){ .type = TPL_STR, .u.s = get->name };
		} else if (attr->type == TOK_INTEGER) {
			get->b = tpl_node(p, NODE_CONST, attr);
			get->b->value = attr->value;
		} else {
			tpl_syntax(p, attr, "expected name or number behind '.'");
		}
		return get;
	}
	get = tpl_node(p, NODE_GETITEM, at);
	get->a = node;
	while (p->token->type != TOK_RBRACKET) {
		if (get->kids.n)
			tpl_expect(p, TOK_COMMA);
		tpl_add_node(p, &get->kids, parse_subscript_part(p));
	}
	tpl_expect(p, TOK_RBRACKET);
	if (get->kids.n == 1) {
		get->b = get->kids.node[0];
	} else {
		get->b = tpl_node(p, NODE_TUPLE, at);
		get->b->kids = get->kids;
	}
	get->kids = (struct tpl_nodes){ 0 };
	return get;
}

static struct tpl_node *parse_call(struct tpl_parser *p, struct tpl_node *node)
{
	struct tpl_node *call = tpl_node(p, NODE_CALL, p->token);

	call->a = node;
	call->call = parse_args(p);
	return call;
}

static struct tpl_node *parse_postfix(struct tpl_parser *p, struct tpl_node *node)
{
	uint32_t depth = p->depth;

	for (;;) {
		if (p->token->type == TOK_DOT || p->token->type == TOK_LBRACKET)
			node = parse_subscript(p, node);
		else if (p->token->type == TOK_LPAREN)
			node = parse_call(p, node);
		else
			break;
		tpl_parse_down(p); /* a chain is as deep a tree as brackets are */
	}
	p->depth = depth;
	return node;
}

struct tpl_node *tpl_parse_filter(struct tpl_parser *p, struct tpl_node *node, bool inline_start)
{
	uint32_t depth = p->depth;

	while (inline_start || p->token->type == TOK_PIPE) {
		struct tpl_node *filter;

		if (!inline_start)
			p->token++;
		filter = tpl_node(p, NODE_FILTER, p->token);
		filter->name = dotted_name(p);
		filter->fn = tpl_find_filter(filter->name->data, filter->name->len);
		filter->a = node;
		if (p->token->type == TOK_LPAREN)
			filter->call = parse_args(p);
		node = filter;
		inline_start = false;
		tpl_parse_down(p);
	}
	p->depth = depth;
	return node;
}

static struct tpl_node *parse_primary(struct tpl_parser *p, bool with_namespace)
{
	const struct tpl_token *t = p->token;
	struct tpl_node *node;

	switch (t->type) {
	case TOK_NAME:
		p->token++;
		node = tpl_node(p, NODE_CONST, t);
		if (tpl_at_name(t, "true") || tpl_at_name(t, "True")) {
			node->value = tpl_bool(true);
		} else if (tpl_at_name(t, "false") || tpl_at_name(t, "False")) {
			node->value = tpl_bool(false);
		} else if (tpl_at_name(t, "none") || tpl_at_name(t, "None")) {
			node->value = tpl_none();
		} else {
			node->kind = NODE_NAME;
			node->name = tpl_token_text(p, t);
			if (with_namespace && tpl_skip(p, TOK_DOT)) {
				struct tpl_text *attr = tpl_token_text(p, tpl_expect(p, TOK_NAME));

				node->kind = NODE_NSREF;
				node->value = (struct tpl_value){ .type = TPL_STR, .u.s = attr };
			}
		}
		return node;
	case TOK_STRING:
		p->token++;
		node = tpl_node(p, NODE_CONST, t);
		node->value = t->value;
		if (p->token->type == TOK_STRING) {
			struct tpl_buf b = { 0 };

			tpl_put_text(p->r, &b, t->value.u.s);
			while (p->token->type == TOK_STRING)
				tpl_put_text(p->r, &b, p->token++->value.u.s);
			node->value = tpl_buf_value(p->r, &b);
			tpl_chars(node->value.u.s);
		}
		return node;
	case TOK_INTEGER:
	case TOK_FLOAT:
		p->token++;
		node = tpl_node(p, NODE_CONST, t);
		node->value = t->value;
		return node;
	case TOK_LPAREN:
		p->token++;
		node = tpl_parse_tuple(p, true, NULL, true);
		tpl_expect(p, TOK_RPAREN);
		return node;
	case TOK_LBRACKET:
		p->token++;
		node = tpl_node(p, NODE_LIST, t);
		while (p->token->type != TOK_RBRACKET) {
			if (node->kids.n)
				tpl_expect(p, TOK_COMMA);
			if (p->token->type == TOK_RBRACKET)
				break;
			tpl_add_node(p, &node->kids, tpl_parse_expression(p, true));
		}
		tpl_expect(p, TOK_RBRACKET);
		return node;
	case TOK_LBRACE:
		p->token++;
		node = tpl_node(p, NODE_DICT, t);
		while (p->token->type != TOK_RBRACE) {
			if (node->kids.n)
				tpl_expect(p, TOK_COMMA);
			if (p->token->type == TOK_RBRACE)
				break;
			tpl_add_node(p, &node->kids, tpl_parse_expression(p, true));
			tpl_expect(p, TOK_COLON);
			tpl_add_node(p, &node->kids, tpl_parse_expression(p, true));
		}
		tpl_expect(p, TOK_RBRACE);
		return node;
	default:
		tpl_syntax(p, t, "unexpected %s", tpl_token_name(t->type));
	}
}

static struct tpl_node *parse_test(struct tpl_parser *p, struct tpl_node *node)
{
	struct tpl_node *test = tpl_node(p, NODE_TEST, p->token++);
	const struct tpl_token *t;

	test->negated = tpl_skip_name(p, "not");
	test->name = dotted_name(p);
	test->fn = tpl_find_test(test->name->data, test->name->len);
	test->a = node;
	t = p->token;
	if (t->type == TOK_LPAREN) {
		test->call = parse_args(p);
	} else if ((t->type == TOK_NAME && !tpl_at_name(t, "else") && !tpl_at_name(t, "or") &&
		    !tpl_at_name(t, "and")) ||
		   t->type == TOK_STRING || t->type == TOK_INTEGER || t->type == TOK_FLOAT ||
		   t->type == TOK_LBRACKET || t->type == TOK_LBRACE) {
		if (tpl_at_name(t, "is"))
			tpl_syntax(p, t, "You cannot chain multiple tests with is");
		test->call = tpl_alloc(p->r, 1, sizeof(*test->call));
		tpl_add_node(p, &test->call->pos, parse_postfix(p, parse_primary(p, false)));
	}
	return test;
}

static struct tpl_node *parse_unary(struct tpl_parser *p, bool with_filter)
{
	const struct tpl_token *t = p->token;
	uint32_t depth = p->depth;
	struct tpl_node *node;

	tpl_parse_down(p);
	if (t->type == TOK_SUB || t->type == TOK_ADD) {
		p->token++;
		node = tpl_node(p, NODE_UNARY, t);
		node->op = t->type;
		node->a = parse_unary(p, false);
	} else {
		node = parse_primary(p, false);
	}
	node = parse_postfix(p, node);
	while (with_filter) {
		if (p->token->type == TOK_PIPE)
			node = tpl_parse_filter(p, node, false);
		else if (tpl_at_name(p->token, "is"))
			node = parse_test(p, node);
		else if (p->token->type == TOK_LPAREN)
			node = parse_call(p, node);
		else
			break;
		tpl_parse_down(p);
	}
	p->depth = depth;
	return node;
}

/* How tightly a binary operator binds; 0: none of them. ~ lies between + and *. */
static int binding(int type)
{
	switch (type) {
	case TOK_ADD:
	case TOK_SUB:
		return 1;
	case TOK_TILDE:
		return 2;
	case TOK_MUL:
	case TOK_DIV:
	case TOK_FLOORDIV:
	case TOK_MOD:
		return 3;
	case TOK_POW:
		return 4;
	default:
		return 0;
	}
}

static struct tpl_node *parse_math(struct tpl_parser *p, int level)
{
	struct tpl_node *left = parse_unary(p, true);
	uint32_t depth = p->depth;
	int found;

	while ((found = binding(p->token->type)) >= level && found) {
		const struct tpl_token *op = p->token++;
		struct tpl_node *right = parse_math(p, found + 1);
		struct tpl_node *node;

		if (op->type == TOK_TILDE && left->kind == NODE_CONCAT && left->recursive) {
			tpl_add_node(p, &left->kids, right);
			continue;
		}
		node = tpl_node(p, op->type == TOK_TILDE ? NODE_CONCAT : NODE_BINARY, op);
		node->op = op->type;
		if (op->type == TOK_TILDE) {
			node->recursive = true; /* still open: a ~ b ~ c is one node */
			tpl_add_node(p, &node->kids, left);
			tpl_add_node(p, &node->kids, right);
		} else {
			node->a = left;
			node->b = right;
			tpl_parse_down(p);
		}
		left = node;
	}
	if (left->kind == NODE_CONCAT)
		left->recursive = false;
	p->depth = depth;
	return left;
}

static struct tpl_node *parse_compare(struct tpl_parser *p)
{
	struct tpl_node *left = parse_math(p, 1), *compare = NULL;

	for (;;) {
		const struct tpl_token *t = p->token;
		struct tpl_node *right;
		int op = t->type;

		if (op >= TOK_EQ && op <= TOK_LE) {
			p->token++;
		} else if (tpl_at_name(t, "in")) {
			op = TOK_IN;
			p->token++;
		} else if (tpl_at_name(t, "not") && tpl_at_name(t + 1, "in")) {
			op = TOK_NOT_IN;
			p->token += 2;
		} else {
			return left;
		}
		if (!compare) {
			compare = tpl_node(p, NODE_COMPARE, t);
			compare->a = left;
			left = compare;
		}
		right = tpl_node(p, NODE_TUPLE, t);
		right->op = (uint8_t)op;
		right->a = parse_math(p, 1);
		tpl_add_node(p, &compare->kids, right);
	}
}

static struct tpl_node *parse_not(struct tpl_parser *p)
{
	const struct tpl_token *t = p->token;
	struct tpl_node *node;

	if (!tpl_at_name(t, "not"))
		return parse_compare(p);
	p->token++;
	tpl_parse_down(p);
	node = tpl_node(p, NODE_NOT, t);
	node->a = parse_not(p);
	tpl_parse_up(p);
	return node;
}

static struct tpl_node *parse_logic(struct tpl_parser *p, bool is_or)
{
	struct tpl_node *left = is_or ? parse_logic(p, false) : parse_not(p);
	uint32_t depth = p->depth;

	while (tpl_at_name(p->token, is_or ? "or" : "and")) {
		struct tpl_node *node = tpl_node(p, is_or ? NODE_OR : NODE_AND, p->token++);

		node->a = left;
		node->b = is_or ? parse_logic(p, false) : parse_not(p);
		left = node;
		tpl_parse_down(p);
	}
	p->depth = depth;
	return left;
}

static struct tpl_node *parse_or(struct tpl_parser *p)
{
	return parse_logic(p, true);
}

struct tpl_node *tpl_parse_expression(struct tpl_parser *p, bool with_cond)
{
	uint32_t depth = p->depth;
	struct tpl_node *node;

	tpl_parse_down(p);
	node = parse_or(p);
	while (with_cond && tpl_at_name(p->token, "if")) {
		struct tpl_node *cond = tpl_node(p, NODE_COND, p->token++);

		cond->b = node;
		cond->a = parse_or(p);
		if (tpl_skip_name(p, "else"))
			cond->c = tpl_parse_expression(p, true);
		node = cond;
		tpl_parse_down(p);
	}
	p->depth = depth;
	return node;
}

static bool tuple_ends(const struct tpl_parser *p, const char *end)
{
	return p->token->type == TOK_VARIABLE_END || p->token->type == TOK_BLOCK_END ||
	       p->token->type == TOK_RPAREN || (end && tpl_at_name(p->token, end));
}

/* One expression, or several with commas: a tuple. `end`: a name that ends it. */
static struct tpl_node *parse_list(struct tpl_parser *p, bool target, bool option, const char *end,
				   bool in_parens)
{
	const struct tpl_token *at = p->token;
	struct tpl_node *tuple = tpl_node(p, NODE_TUPLE, at);
	bool is_tuple = false;

	for (;;) {
		if (tuple->kids.n)
			tpl_expect(p, TOK_COMMA);
		if (tuple_ends(p, end))
			break;
		tpl_add_node(p, &tuple->kids,
			     target ? parse_primary(p, option) : tpl_parse_expression(p, option));
		if (p->token->type != TOK_COMMA)
			break;
		is_tuple = true;
	}
	if (!is_tuple && tuple->kids.n)
		return tuple->kids.node[0];
	if (!is_tuple && !in_parens)
		tpl_syntax(p, p->token, "expected an expression, got %s",
			   tpl_token_name(p->token->type));
	return tuple;
}

struct tpl_node *tpl_parse_tuple(struct tpl_parser *p, bool with_cond, const char *end,
				 bool in_parens)
{
	return parse_list(p, false, with_cond, end, in_parens);
}

static void make_target(struct tpl_parser *p, struct tpl_node *node, const struct tpl_token *at)
{
	if (node->kind == NODE_NAME) {
		node->store = true;
	} else if (node->kind == NODE_TUPLE) {
		for (size_t i = 0; i < node->kids.n; i++)
			make_target(p, node->kids.node[i], at);
	} else if (node->kind != NODE_NSREF) {
		tpl_syntax(p, at, "can only assign to names");
	}
}

struct tpl_node *tpl_parse_target(struct tpl_parser *p, bool with_namespace, const char *end)
{
	const struct tpl_token *at = p->token;
	struct tpl_node *node = parse_list(p, true, with_namespace, end, false);

	make_target(p, node, at);
	return node;
}
