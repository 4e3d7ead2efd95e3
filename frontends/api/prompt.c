/*
 * frontends/api/prompt.c - the tokens of prompts in answers (echo with logprobs, vLLM's
 * prompt_logprobs), and how a token that may be a part of a rune is shown. See format.h. [loop]
 *
 * Facts: OpenAI's legacy completions (tokens, token_logprobs, top_logprobs, text_offset; null for
 * the first token; the token itself is always among its alternatives); vLLM's prompt_logprobs: for
 * each token an object by token id.
 */
#include <math.h>
#include <string.h>

#include "format.h"
#include "json-write.h"

uint32_t api_count_runes(struct weir_str text)
{
	uint32_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
	return n;
}

static bool is_text(struct weir_str s)
{
	for (size_t i = 0; i < s.len;) {
		size_t n = 1;
		if ((unsigned char)s.data[i] >= 0x80)
			n = json_rune_length(s.data + i, s.len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

void api_put_token(struct buf *b, const char *prefix, struct weir_str text, struct weir_str raw)
{
	if (raw.len == 0)
		raw = text;
	if (is_text(raw)) {
		json_put_string(b, raw.data, raw.len);
		return;
	}
	buf_putc(b, '"');
	buf_puts(b, prefix);
	for (size_t i = 0; i < raw.len; i++)
		buf_printf(b, "\\\\x%02x", (unsigned char)raw.data[i]);
	buf_putc(b, '"');
}

/* Two tokens may look alike: an object has the likelier one. */
static bool shown_before(const struct weir_event *e, uint32_t n, struct weir_str text)
{
	for (uint32_t i = 0; i < n; i++)
		if (e->top[i].text.len == text.len &&
		    (text.len == 0 || memcmp(e->top[i].text.data, text.data, text.len) == 0))
			return true;
	return false;
}

static bool is_listed(const struct weir_event *e, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (e->top[i].token == e->token)
			return true;
	return false;
}

void api_put_token_members(struct buf *b, struct weir_str text, struct weir_str raw, float logprob)
{
	struct weir_str bytes = raw.len ? raw : text;
	buf_puts(b, "\"token\":");
	api_put_token(b, "", text, raw);
	buf_puts(b, ",\"logprob\":");
	json_put_logprob(b, logprob);
	buf_puts(b, ",\"bytes\":");
	json_put_bytes(b, bytes.data, bytes.len);
}

void api_put_logprob(struct buf *b, const struct weir_event *e)
{
	struct weir_str none = { NULL, 0 };
	buf_putc(b, '{');
	api_put_token_members(b, e->text, e->raw, e->logprob);
	buf_puts(b, ",\"top_logprobs\":[");
	for (uint32_t i = 0; i < e->n_top; i++) {
		if (i)
			buf_putc(b, ',');
		buf_putc(b, '{');
		api_put_token_members(b, e->top[i].text, none, e->top[i].logprob);
		buf_putc(b, '}');
	}
	buf_puts(b, "]}");
}

void api_put_alternatives(struct buf *b, const struct weir_event *e, uint32_t n_top)
{
	struct weir_str none = { NULL, 0 }, own = e->raw.len ? e->raw : e->text;
	uint32_t n = MIN(n_top, e->n_top), written = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (shown_before(e, i, e->top[i].text))
			continue;
		if (written++)
			buf_putc(b, ',');
		api_put_token(b, "bytes:", e->top[i].text, none);
		buf_putc(b, ':');
		json_put_logprob(b, e->top[i].logprob);
	}
	if (is_listed(e, n) || shown_before(e, n, own))
		return;
	if (written)
		buf_putc(b, ',');
	api_put_token(b, "bytes:", e->text, e->raw);
	buf_putc(b, ':');
	json_put_logprob(b, e->logprob);
}

/* The runes of an event before those of its token: what was held until it was clear that no more of
 * a rune, or of a stop string, was coming. */
static uint32_t runes_before(const struct weir_event *e)
{
	struct weir_str before = { e->text.data, e->text.len - MIN(e->raw.len, e->text.len) };
	bool own = e->raw.len && before.len && ((unsigned char)e->raw.data[0] & 0xc0) != 0x80 &&
		   memcmp(e->text.data + before.len, e->raw.data, e->raw.len) == 0;
	return own ? api_count_runes(before) : 0;
}

void api_lp_add(struct buf lp[4], const struct weir_event *e, uint32_t n_top, uint32_t offset)
{
	for (int i = 0; lp[API_LP_TOKENS].len && i < 4; i++)
		buf_putc(&lp[i], ',');
	api_put_token(&lp[API_LP_TOKENS], "bytes:", e->text, e->raw);
	json_put_logprob(&lp[API_LP_LOGPROBS], e->logprob);
	if (isnan(e->logprob)) {
		buf_puts(&lp[API_LP_TOP], "null");
	} else {
		buf_putc(&lp[API_LP_TOP], '{');
		api_put_alternatives(&lp[API_LP_TOP], e, n_top);
		buf_putc(&lp[API_LP_TOP], '}');
	}
	json_put_uint(&lp[API_LP_OFFSETS], offset + runes_before(e));
}

void api_lp_put(struct buf *out, const struct buf *before, const struct buf lp[4])
{
	static const char *const names[] = { "{\"tokens\":[", "],\"token_logprobs\":[",
					     "],\"top_logprobs\":[", "],\"text_offset\":[" };
	for (int i = 0; i < 4; i++) {
		buf_puts(out, names[i]);
		if (before)
			buf_append(out, before[i].data, before[i].len);
		if (before && before[i].len && lp[i].len)
			buf_putc(out, ',');
		buf_append(out, lp[i].data, lp[i].len);
	}
	buf_puts(out, "]}");
}

/* ---- vLLM's list ---- */

static void put_listed(struct buf *b, int32_t token, float logprob, uint64_t rank,
		       struct weir_str text, struct weir_str raw)
{
	buf_printf(b, "\"%d\":{\"logprob\":", token);
	json_put_logprob(b, logprob);
	buf_printf(b, ",\"rank\":%" G_GUINT64_FORMAT ",\"decoded_token\":", rank);
	if (raw.len)
		text = raw;
	json_put_string(b, text.data, text.len);
	buf_putc(b, '}');
}

static void add_listed(struct buf *b, const struct weir_event *e, uint32_t n_top)
{
	struct weir_str none = { NULL, 0 };
	uint32_t n = MIN(n_top, e->n_top);
	if (b->len)
		buf_putc(b, ',');
	if (isnan(e->logprob)) {
		buf_puts(b, "null");
		return;
	}
	buf_putc(b, '{');
	if (!is_listed(e, n)) {
		put_listed(b, e->token, e->logprob, (uint64_t)e->value, e->text, e->raw);
		if (n)
			buf_putc(b, ',');
	}
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			buf_putc(b, ',');
		put_listed(b, e->top[i].token, e->top[i].logprob, i + 1, e->top[i].text, none);
	}
	buf_putc(b, '}');
}

void api_prompt_put_list(const struct api_call *k, const struct api_stream *s, struct buf *out)
{
	if (!k->body->lists_prompt)
		return;
	buf_puts(out, ",\"prompt_logprobs\":[");
	buf_append(out, s->prompt_list.data, s->prompt_list.len);
	buf_putc(out, ']');
}

void api_prompt_gather(struct api_call *k, struct api_stream *s, const struct weir_event *e)
{
	const struct api_params *p = &k->body->params;
	if (k->body->lists_prompt)
		add_listed(&s->prompt_list, e, p->prompt_top);
	if (!p->echo)
		return;
	if (p->sampling.logprobs)
		api_lp_add(s->prompt_lp, e, p->sampling.top_logprobs, s->prompt_runes);
	buf_append(&s->prompt_text, e->text.data, e->text.len);
	s->prompt_runes += api_count_runes(e->text);
}
