/*
 * answer-read.c - the reader: text in, parts out; see answer.h and answer-inside.h.
 *
 * Text is held until it is understood. Each state looks at the held text from `at` on, takes what
 * it can, and says whether it got on; so a marker may come in any number of pieces.
 */
#include "answer-inside.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HEADER 512u

static bool is_space(char b)
{
	return b == ' ' || b == '\n' || b == '\t' || b == '\r';
}

static size_t left(const weir_answer *a)
{
	return a->held.len - a->at;
}

static const char *here(const weir_answer *a)
{
	return a->held.data + a->at;
}

size_t weir_answer_find(const weir_answer *a, const char *marker)
{
	const char *p = marker ? memmem(here(a), left(a), marker, strlen(marker)) : NULL;

	return p ? (size_t)(p - a->held.data) : SIZE_MAX;
}

static bool begins(const weir_answer *a, const char *marker)
{
	return marker && left(a) >= strlen(marker) && memcmp(here(a), marker, strlen(marker)) == 0;
}

/* How much of the end of the held text could be the beginning of the marker. */
static size_t overlap(const weir_answer *a, const char *marker)
{
	size_t n = strlen(marker) - 1, have = left(a);

	for (n = n < have ? n : have; n > 0; n--)
		if (memcmp(a->held.data + a->held.len - n, marker, n) == 0)
			return n;
	return 0;
}

/* Takes n bytes, which may turn out to be no call. */
static void take_raw(weir_answer *a, size_t n)
{
	if (!a->started)
		weir_text_add(&a->raw, here(a), n);
	a->at += n;
}

static void to_content(weir_answer *a)
{
	a->state = WEIR_READ_CONTENT;
	a->lead = a->closed = true;
}

/* It only looked like a call. */
static bool give_back(weir_answer *a)
{
	weir_answer_put(a, WEIR_PART_CONTENT, a->raw.data, a->raw.len);
	a->raw.len = 0;
	a->state = WEIR_READ_CONTENT;
	a->lead = false;
	return true;
}

/* --- content and thoughts ------------------------------------------------------------------ */

struct search {
	size_t at, hold;
	const char *marker;
};

static void look_for(const weir_answer *a, struct search *s, const char *marker)
{
	size_t at, hold;

	if (!marker)
		return;
	at = weir_answer_find(a, marker);
	if (at < s->at) {
		s->at = at;
		s->marker = marker;
	}
	hold = overlap(a, marker);
	if (hold > s->hold)
		s->hold = hold;
}

static void begin_calls(weir_answer *a)
{
	static const enum weir_answer_state first[] = {
		[WEIR_CALL_OBJECTS] = WEIR_READ_CALLS,
		[WEIR_CALL_HEADER] = WEIR_READ_NAME,
		[WEIR_CALL_FUNCTION] = WEIR_READ_NAME,
		[WEIR_CALL_KEYS] = WEIR_READ_NAME,
	};

	a->raw.len = 0;
	a->listed = a->closed = false;
	a->state = first[a->n.calls->style];
}

static bool read_marker(weir_answer *a, const char *marker)
{
	const struct weir_call_notation *c = a->n.calls;

	if (a->thinks && marker == a->n.thoughts->open) {
		a->at += strlen(marker);
		a->state = WEIR_READ_THOUGHT;
		a->lead = true;
		return true;
	}
	if (a->tools && marker == c->open) {
		begin_calls(a);
		take_raw(a, strlen(marker));
		return true;
	}
	a->at += strlen(marker); /* one to drop */
	a->lead = a->closed = true;
	return true;
}

static bool read_content(weir_answer *a)
{
	const struct weir_call_notation *c = a->tools ? a->n.calls : NULL;
	struct search s = { .at = SIZE_MAX };
	size_t space = 0;

	if (a->lead) {
		while (space < left(a) && is_space(here(a)[space]))
			space++;
		if (space == left(a))
			return false;
	}
	if (a->thinks && a->lead && a->n_calls == 0 && !a->closed) {
		struct search first = { .at = SIZE_MAX };

		/* Only an answer's beginning is a thought. */
		look_for(a, &first, a->n.thoughts->open);
		if (first.at == a->at + space || first.hold == left(a) - space)
			s = first;
	}
	for (size_t i = 0; c && i < WEIR_MAX_MARKERS; i++)
		look_for(a, &s, c->drop[i]);
	if (c)
		look_for(a, &s, c->open);
	if (a->lead && s.at == a->at + space) {
		a->at += space;
		return read_marker(a, s.marker);
	}
	if (a->lead && s.at == SIZE_MAX && s.hold > 0 && s.hold == left(a) - space)
		return false; /* may become a marker: the space before it waits as well */
	if (a->lead && c && c->style == WEIR_CALL_OBJECTS && !c->open && here(a)[space] == '{') {
		begin_calls(a);
		take_raw(a, space);
		return true;
	}
	if (a->lead && a->closed)
		a->at += space; /* white space around markers is not the answer's */
	a->lead = false;
	if (s.at != SIZE_MAX) {
		weir_answer_put(a, WEIR_PART_CONTENT, here(a), s.at - a->at);
		a->at = s.at;
		return read_marker(a, s.marker);
	}
	weir_answer_put(a, WEIR_PART_CONTENT, here(a), left(a) - s.hold);
	a->at = a->held.len - s.hold;
	return false;
}

static bool read_thought(weir_answer *a)
{
	struct search s = { .at = SIZE_MAX };
	size_t end;

	while (a->lead && left(a) > 0 && is_space(*here(a)))
		a->at++;
	if (left(a) == 0)
		return false;
	a->lead = false;
	look_for(a, &s, a->n.thoughts->close);
	end = s.marker ? s.at : a->held.len - s.hold;
	/* The white space before the marker is not the thought's. */
	while (end > a->at && is_space(a->held.data[end - 1]))
		end--;
	weir_answer_put(a, WEIR_PART_REASONING, here(a), end - a->at);
	a->at = end;
	if (!s.marker)
		return false;
	a->at = s.at + strlen(s.marker);
	to_content(a);
	return true;
}

/* --- OBJECTS ------------------------------------------------------------------------------- */

static bool read_calls(weir_answer *a)
{
	const struct weir_call_notation *c = a->n.calls;
	char b = *here(a);

	if (begins(a, c->close)) {
		a->at += strlen(c->close);
		to_content(a);
		return true;
	}
	if (c->close && overlap(a, c->close) == left(a))
		return false;
	if (b == '{' && !(a->closed && a->listed)) {
		weir_call_begin(&a->call, false);
		a->n_params = 0;
		a->state = WEIR_READ_OBJECT;
		return true;
	}
	if (b == '[' && !a->listed)
		a->listed = true;
	else if (b == ']' && a->listed && !c->close)
		a->closed = true;
	else if (!is_space(b) && b != ',' && b != ';' && b != ']') {
		if (a->raw.len > 0)
			return give_back(a);
		to_content(a);
		return true;
	}
	take_raw(a, 1);
	if (a->closed && a->listed)
		to_content(a);
	return true;
}

/* Hands on what the call's arguments have become. */
static void send_args(weir_answer *a)
{
	if (!a->started || a->call.quoted_args)
		return;
	a->n_params |= a->call.args.len > 0;
	weir_answer_call_args(a, a->call.args.data, a->call.args.len);
	a->call.args.len = 0;
}

static void end_call(weir_answer *a)
{
	send_args(a);
	if (a->n_params == 0)
		weir_answer_call_args(a, "{}", 2);
	weir_answer_call_ends(a);
}

static bool read_object(weir_answer *a)
{
	while (left(a) > 0) {
		enum weir_call_state state = weir_call_feed(&a->call, *here(a));

		if (state == WEIR_CALL_BROKEN) {
			if (!a->started)
				return give_back(a);
			send_args(a);
			weir_answer_call_ends(a);
			a->state = WEIR_READ_CONTENT;
			a->lead = false;
			return true;
		}
		take_raw(a, 1);
		if (a->call.has_name && !a->started &&
		    !weir_answer_call_starts(
			    a, (struct weir_str){ a->call.name.data, a->call.name.len },
			    (struct weir_str){ a->call.id.data, a->call.id.len }))
			return give_back(a);
		if (state == WEIR_CALL_DONE) {
			end_call(a);
			a->state = WEIR_READ_CALLS;
			return true;
		}
	}
	send_args(a);
	return false;
}

/* --- HEADER, FUNCTION, KEYS ---------------------------------------------------------------- */

/* "functions.f:0" is f. */
static struct weir_str plain_name(struct weir_str s)
{
	static const char prefix[] = "functions.";
	size_t end;

	while (s.len > 0 && is_space(*s.data))
		s.data++, s.len--;
	while (s.len > 0 && is_space(s.data[s.len - 1]))
		s.len--;
	if (s.len > sizeof(prefix) - 1 && memcmp(s.data, prefix, sizeof(prefix) - 1) == 0) {
		s.data += sizeof(prefix) - 1;
		s.len -= sizeof(prefix) - 1;
	}
	for (end = s.len; end > 0 && s.data[end - 1] >= '0' && s.data[end - 1] <= '9';)
		end--;
	if (end > 1 && end < s.len && s.data[end - 1] == ':')
		s.len = end - 1;
	return s;
}

/* Where the name ends, and where what follows it begins. SIZE_MAX: not known yet. */
static size_t name_end(const weir_answer *a, size_t *ret_next)
{
	const struct weir_call_notation *c = a->n.calls;
	const char *marker = c->style == WEIR_CALL_FUNCTION ? ">" : c->separator;
	size_t at, line;

	if (c->style == WEIR_CALL_KEYS) {
		at = weir_answer_find(a, "<arg_key>");
		line = weir_answer_find(a, c->close);
		at = line < at ? line : at;
		line = weir_answer_find(a, "\n");
		*ret_next = at = line < at ? line : at;
		return at;
	}
	at = weir_answer_find(a, marker);
	*ret_next = at == SIZE_MAX ? at : at + strlen(marker);
	/* DeepSeek V3 has a type before the separator, and the name on the line behind it. */
	if (at == a->at + 8 && memcmp(here(a), "function", 8) == 0) {
		line = weir_answer_find(a, "\n");
		*ret_next = line;
		return line;
	}
	return at;
}

static bool read_name(weir_answer *a)
{
	const struct weir_call_notation *c = a->n.calls;
	size_t next, end = name_end(a, &next), from = a->at;
	struct weir_str name;

	if (end == SIZE_MAX) {
		if (left(a) <= MAX_HEADER)
			return false;
		take_raw(a, left(a));
		return give_back(a);
	}
	if (c->style == WEIR_CALL_HEADER && end > weir_answer_find(a, c->separator))
		from = weir_answer_find(a, c->separator) + strlen(c->separator);
	name = plain_name((struct weir_str){ a->held.data + from, end - from });
	if (!weir_answer_call_starts(a, name, (struct weir_str){ NULL, 0 })) {
		take_raw(a, next - a->at);
		return give_back(a);
	}
	weir_call_begin(&a->call, true);
	weir_text_add(&a->call.name, name.data, name.len);
	a->at = next;
	a->state = c->style == WEIR_CALL_HEADER ? WEIR_READ_FENCE : WEIR_READ_PARAMETERS;
	return true;
}

static bool read_fence(weir_answer *a)
{
	static const char fence[] = "```json";
	size_t n = sizeof(fence) - 1;

	while (left(a) > 0 && is_space(*here(a)))
		a->at++;
	if (left(a) == 0)
		return false;
	if (*here(a) == '{') {
		a->state = WEIR_READ_ARGS;
		return true;
	}
	if (begins(a, fence)) {
		a->at += n;
		return true;
	}
	if (left(a) < n && memcmp(here(a), fence, left(a)) == 0)
		return false;
	end_call(a);
	a->state = WEIR_READ_TAIL;
	return true;
}

static bool read_args(weir_answer *a)
{
	while (left(a) > 0) {
		enum weir_call_state state = weir_call_feed(&a->call, *here(a));

		if (state != WEIR_CALL_BROKEN)
			a->at++;
		if (state == WEIR_CALL_MORE)
			continue;
		end_call(a);
		a->state = WEIR_READ_TAIL;
		return true;
	}
	send_args(a);
	return false;
}

static bool read_tail(weir_answer *a)
{
	const char *close = a->n.calls->close;

	while (left(a) > 0 && (is_space(*here(a)) || *here(a) == '`'))
		a->at++;
	if (left(a) == 0)
		return false;
	if (begins(a, close))
		a->at += strlen(close);
	else if (close && overlap(a, close) == left(a))
		return false;
	to_content(a);
	return true;
}

/* --- HARMONY ------------------------------------------------------------------------------- */

static bool has(struct weir_str s, const char *word, const char **ret_end)
{
	const char *p = memmem(s.data, s.len, word, strlen(word));

	if (p && ret_end)
		*ret_end = p + strlen(word);
	return p != NULL;
}

/* Who a message is for: "<|channel|>commentary to=functions.f <|constrain|>json". */
static void begin_body(weir_answer *a, struct weir_str header)
{
	const char *name, *end = header.data + header.len;
	struct weir_str f;

	a->state = WEIR_READ_BODY;
	a->lead = true;
	if (has(header, "to=functions.", &name)) {
		for (f = (struct weir_str){ name, 0 };
		     name < end && !is_space(*name) && *name != '<';)
			name++, f.len++;
		if (a->tools && weir_answer_call_starts(a, f, (struct weir_str){ NULL, 0 })) {
			a->body = WEIR_PART_TOOL;
			return;
		}
	}
	a->body = has(header, "analysis", NULL) && a->thinks ? WEIR_PART_REASONING
							     : WEIR_PART_CONTENT;
}

static bool read_header(weir_answer *a)
{
	static const char mark[] = "<|message|>";
	size_t at = weir_answer_find(a, mark), n = at == SIZE_MAX ? left(a) : at - a->at;

	/* The first message may come without one. */
	if ((*here(a) != '<' && *here(a) != ' ' && a->n_params == 0) || n > MAX_HEADER) {
		a->state = WEIR_READ_BODY;
		a->body = WEIR_PART_CONTENT;
		return true;
	}
	if (at == SIZE_MAX)
		return false;
	begin_body(a, (struct weir_str){ here(a), at - a->at });
	a->at = at + sizeof(mark) - 1;
	return true;
}

static bool read_body(weir_answer *a)
{
	static const char *const ends[] = { "<|end|>", "<|return|>", "<|call|>", "<|start|>",
					    "<|channel|>" };
	struct search s = { .at = SIZE_MAX };
	size_t end;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		look_for(a, &s, ends[i]);
	end = s.marker ? s.at : a->held.len - s.hold;
	if (a->body == WEIR_PART_TOOL)
		weir_answer_call_args(a, here(a), end - a->at);
	else
		weir_answer_put(a, a->body, here(a), end - a->at);
	a->at = end;
	if (!s.marker)
		return false;
	if (a->body == WEIR_PART_TOOL)
		weir_answer_call_ends(a);
	if (s.marker != ends[3] && s.marker != ends[4])
		a->at += strlen(s.marker);
	a->n_params = 1; /* from here on text needs a header */
	a->state = WEIR_READ_HEADER;
	return true;
}

/* --- all of it ----------------------------------------------------------------------------- */

static bool advance(weir_answer *a)
{
	switch (a->state) {
	case WEIR_READ_CONTENT:
		return read_content(a);
	case WEIR_READ_THOUGHT:
		return read_thought(a);
	case WEIR_READ_CALLS:
		return read_calls(a);
	case WEIR_READ_OBJECT:
		return read_object(a);
	case WEIR_READ_NAME:
		return read_name(a);
	case WEIR_READ_FENCE:
		return read_fence(a);
	case WEIR_READ_ARGS:
		return read_args(a);
	case WEIR_READ_TAIL:
		return read_tail(a);
	case WEIR_READ_PARAMETERS:
		return weir_answer_parameters(a);
	case WEIR_READ_HEADER:
		return read_header(a);
	case WEIR_READ_BODY:
		return read_body(a);
	}
	return false;
}

bool weir_answer_thinks(const weir_answer *a)
{
	return a->state == WEIR_READ_THOUGHT ||
	       (a->state == WEIR_READ_BODY && a->body == WEIR_PART_REASONING);
}

void weir_answer_feed(weir_answer *a, struct weir_str text, weir_part_fn part, void *data)
{
	a->part = part;
	a->data = data;
	weir_text_add(&a->held, text.data, text.len);
	while (a->at < a->held.len && advance(a))
		;
	if (a->at > 0)
		memmove(a->held.data, a->held.data + a->at, left(a));
	a->held.len -= a->at;
	a->at = 0;
	weir_answer_flush(a);
}

/* What is held when the text is over. */
static void finish_held(weir_answer *a)
{
	switch (a->state) {
	case WEIR_READ_CONTENT:
		if (!(a->lead && a->closed))
			weir_answer_put(a, WEIR_PART_CONTENT, here(a), left(a));
		break;
	case WEIR_READ_THOUGHT:
		weir_answer_put(a, WEIR_PART_REASONING, here(a), left(a));
		break;
	case WEIR_READ_CALLS:
		if (a->n_calls == 0)
			weir_answer_put(a, WEIR_PART_CONTENT, a->raw.data, a->raw.len);
		break;
	case WEIR_READ_OBJECT:
	case WEIR_READ_NAME:
		if (!a->started) {
			weir_answer_put(a, WEIR_PART_CONTENT, a->raw.data, a->raw.len);
			weir_answer_put(a, WEIR_PART_CONTENT, here(a), left(a));
			break;
		}
		send_args(a);
		weir_answer_call_ends(a);
		break;
	case WEIR_READ_FENCE:
		end_call(a);
		break;
	case WEIR_READ_ARGS:
		send_args(a);
		weir_answer_call_ends(a);
		break;
	case WEIR_READ_PARAMETERS:
		weir_answer_call_args(a, a->n_params ? "}" : "{}", a->n_params ? 1 : 2);
		weir_answer_call_ends(a);
		break;
	case WEIR_READ_BODY:
		if (a->body == WEIR_PART_TOOL)
			weir_answer_call_args(a, here(a), left(a));
		else
			weir_answer_put(a, a->body, here(a), left(a));
		break;
	case WEIR_READ_HEADER:
		if (left(a) > 0 && *here(a) != '<')
			weir_answer_put(a, WEIR_PART_CONTENT, here(a), left(a));
		break;
	case WEIR_READ_TAIL:
		break;
	}
}

bool weir_answer_finish(weir_answer *a, weir_part_fn part, void *data)
{
	weir_answer_feed(a, (struct weir_str){ "", 0 }, part, data);
	finish_held(a);
	weir_answer_flush(a);
	a->held.len = a->raw.len = 0;
	a->state = WEIR_READ_CONTENT;
	return a->n_calls > 0;
}

void weir_answer_free(weir_answer *a)
{
	if (!a)
		return;
	weir_json_free(a->context);
	weir_text_clear(&a->held);
	weir_text_clear(&a->raw);
	weir_text_clear(&a->out);
	weir_call_clear(&a->call);
	free(a);
}
