/*
 * grammar-prelude.c - see grammar-prelude.h.
 */
#include "grammar-prelude.h"
#include "fail.h"

#define DIGITS 20

static uint32_t byte(struct weir_net *net, uint32_t from, uint8_t lo, uint8_t hi)
{
	uint32_t to = weir_net_node(net);

	weir_net_byte(net, from, to, lo, hi);
	return to;
}

static void hex(struct weir_net *net, uint32_t from, uint32_t to)
{
	weir_net_byte(net, from, to, '0', '9');
	weir_net_byte(net, from, to, 'a', 'f');
	weir_net_byte(net, from, to, 'A', 'F');
}

/* Two hexadecimal digits. */
static void two_hex(struct weir_net *net, uint32_t from, uint32_t to)
{
	uint32_t mid = weir_net_node(net);

	hex(net, from, mid);
	hex(net, mid, to);
}

void weir_prelude_character(struct weir_net *net, uint32_t from, uint32_t to, bool single)
{
	static const struct weir_rune_range plain[] = { { 0x20, 0x21 },
							{ 0x23, 0x5b },
							{ 0x5d, 0x10ffff } };
	static const char escapes[] = "\"\\/bfnrt";
	uint32_t escape, u, second, any, high, low;

	weir_net_runes(net, from, to, plain, 3);
	escape = byte(net, from, '\\', '\\');
	for (const char *e = escapes; *e; e++)
		weir_net_byte(net, escape, to, (uint8_t)*e, (uint8_t)*e);
	u = byte(net, escape, 'u', 'u');
	/* \uXXXX outside of d800 .. dfff */
	any = weir_net_node(net);
	weir_net_byte(net, u, any, '0', '9');
	weir_net_byte(net, u, any, 'a', 'c');
	weir_net_byte(net, u, any, 'A', 'C');
	weir_net_byte(net, u, any, 'e', 'f');
	weir_net_byte(net, u, any, 'E', 'F');
	second = weir_net_node(net);
	hex(net, any, second);
	two_hex(net, second, to);
	any = weir_net_node(net);
	weir_net_byte(net, u, any, 'd', 'd');
	weir_net_byte(net, u, any, 'D', 'D');
	weir_net_byte(net, any, second, '0', '7');
	if (single)
		return;
	high = weir_net_node(net);
	weir_net_byte(net, any, high, '8', '9');
	weir_net_byte(net, any, high, 'a', 'b');
	weir_net_byte(net, any, high, 'A', 'B');
	low = weir_net_node(net);
	two_hex(net, high, low);
	low = byte(net, byte(net, low, '\\', '\\'), 'u', 'u');
	any = weir_net_node(net);
	weir_net_byte(net, low, any, 'd', 'd');
	weir_net_byte(net, low, any, 'D', 'D');
	second = weir_net_node(net);
	weir_net_byte(net, any, second, 'c', 'f');
	weir_net_byte(net, any, second, 'C', 'F');
	two_hex(net, second, to);
}

void weir_prelude_digits(struct weir_net *net, uint32_t from, uint32_t to, unsigned n)
{
	weir_net_empty(net, from, to);
	for (unsigned i = 0; i < n; i++) {
		from = byte(net, from, '0', '9');
		weir_net_empty(net, from, to);
	}
}

void weir_prelude_space(struct weir_net *net, uint32_t from, uint32_t to)
{
	weir_net_byte(net, from, to, ' ', ' ');
	weir_net_empty(net, from, to);
}

static void integer(struct weir_net *net, uint32_t from, uint32_t to)
{
	uint32_t digit = weir_net_node(net);

	weir_net_byte(net, from, digit, '-', '-');
	for (int i = 0; i < 2; i++) {
		weir_net_byte(net, i ? digit : from, to, '0', '0');
		weir_prelude_digits(net, byte(net, i ? digit : from, '1', '9'), to, DIGITS - 1);
	}
}

static void number(struct weir_net *net, uint32_t from, uint32_t to)
{
	uint32_t whole = weir_net_node(net), fraction = weir_net_node(net), e, sign;

	integer(net, from, whole);
	weir_net_empty(net, whole, to);
	weir_prelude_digits(net, byte(net, byte(net, whole, '.', '.'), '0', '9'), fraction,
			    DIGITS - 1);
	weir_net_empty(net, fraction, to);
	e = weir_net_node(net);
	for (int i = 0; i < 2; i++) {
		weir_net_byte(net, i ? fraction : whole, e, 'e', 'e');
		weir_net_byte(net, i ? fraction : whole, e, 'E', 'E');
	}
	sign = weir_net_node(net);
	weir_net_empty(net, e, sign);
	weir_net_byte(net, e, sign, '+', '+');
	weir_net_byte(net, e, sign, '-', '-');
	weir_prelude_digits(net, byte(net, sign, '0', '9'), to, 1);
}

static void list(struct weir_net *net, const struct weir_prelude *p, uint32_t rule, bool object)
{
	uint32_t start = net->rules[rule].start, end = net->rules[rule].end;
	uint32_t opened = byte(net, start, object ? '{' : '[', object ? '{' : '[');
	uint32_t inside = weir_net_node(net), item = weir_net_node(net),
		 behind = weir_net_node(net);
	uint32_t closing = weir_net_node(net), value = item;

	weir_prelude_space(net, opened, inside);
	weir_net_byte(net, inside, end, object ? '}' : ']', object ? '}' : ']');
	weir_net_empty(net, inside, item);
	if (object) {
		uint32_t named = weir_net_node(net);

		weir_net_call(net, item, named, p->string);
		value = weir_net_node(net);
		weir_prelude_space(net, byte(net, named, ':', ':'), value);
	}
	weir_net_call(net, value, behind, p->value);
	weir_prelude_space(net, byte(net, behind, ',', ','), item);
	weir_prelude_space(net, behind, closing);
	weir_net_byte(net, closing, end, object ? '}' : ']', object ? '}' : ']');
}

struct weir_net *weir_prelude_new(struct weir_prelude *p, struct weir_error *err)
{
	struct weir_net *net = weir_net_new();
	uint32_t s, e;

	if (!net) {
		weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
		return NULL;
	}
	p->value = weir_net_rule(net, "value", 5);
	p->object = weir_net_rule(net, "object", 6);
	p->array = weir_net_rule(net, "array", 5);
	p->string = weir_net_rule(net, "string", 6);
	p->number = weir_net_rule(net, "number", 6);
	p->integer = weir_net_rule(net, "integer", 7);
	p->character = weir_net_rule(net, "character", 9);
	if (net->exhausted) {
		weir_net_free(net);
		weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
		return NULL;
	}
	weir_prelude_character(net, net->rules[p->character].start, net->rules[p->character].end,
			       true);
	p->in_string = byte(net, net->rules[p->string].start, '"', '"');
	weir_prelude_character(net, p->in_string, p->in_string, false);
	weir_net_byte(net, p->in_string, net->rules[p->string].end, '"', '"');
	integer(net, net->rules[p->integer].start, net->rules[p->integer].end);
	number(net, net->rules[p->number].start, net->rules[p->number].end);
	list(net, p, p->object, true);
	list(net, p, p->array, false);
	s = net->rules[p->value].start;
	e = net->rules[p->value].end;
	weir_net_call(net, s, e, p->object);
	weir_net_call(net, s, e, p->array);
	weir_net_call(net, s, e, p->string);
	weir_net_call(net, s, e, p->number);
	weir_net_literal(net, s, e, "true", 4);
	weir_net_literal(net, s, e, "false", 5);
	weir_net_literal(net, s, e, "null", 4);
	net->root = p->value;
	if (weir_net_link(net, err) != WEIR_OK) {
		weir_net_free(net);
		return NULL;
	}
	return net;
}
