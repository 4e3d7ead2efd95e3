/*
 * frontends/api/items.c - see items.h.
 */
#include "items.h"

#include <string.h>

#include "format.h"
#include "json-write.h"
#include "tools.h"

#define MAX_ITEMS 4096 /* of one answer; what comes after them is not kept apart */

static void item_free(gpointer data)
{
	struct api_item *i = data;
	g_free(i->name);
	g_free(i->call_id);
	g_free(i);
}

void api_items_init(struct api_items *s, const struct api_item_sink *sink)
{
	*s = (struct api_items){ .sink = sink,
				 .prefixes = { "msg_", "rs_", "fc_" },
				 .list = g_ptr_array_new_with_free_func(item_free) };
}

void api_items_clear(struct api_items *s)
{
	g_clear_pointer(&s->list, g_ptr_array_unref);
}

void api_item_put_text(struct buf *out, const struct api_choice *c, const struct api_item *i)
{
	json_put_string(out, i->len ? c->text.data + i->start : "", i->len);
}

void api_item_put_logprobs(struct buf *out, const struct api_choice *c, const struct api_item *i,
			   bool only_piece)
{
	size_t from = only_piece ? i->lp_piece : i->lp_start, end = i->lp_start + i->lp_len;
	if (end > from)
		buf_append(out, c->lp[0].data + from, end - from);
}

static struct api_item *current(const struct api_items *s, enum api_item_type type)
{
	struct api_item *i = s->list->len ? s->list->pdata[s->list->len - 1] : NULL;
	return i && !i->closed && i->type == type ? i : NULL;
}

void api_items_close(struct api_call *k, struct api_items *s, struct api_choice *c)
{
	struct api_item *i = s->list->len ? s->list->pdata[s->list->len - 1] : NULL;
	if (!i || i->closed)
		return;
	i->closed = true;
	if (s->sink && s->sink->closed)
		s->sink->closed(k, c, i);
}

static struct api_item *open_item(struct api_call *k, struct api_items *s, struct api_choice *c,
				  enum api_item_type type)
{
	struct api_item *i = g_new0(struct api_item, 1);
	char random[25];
	api_items_close(k, s, c);
	api_random_id(k->loop, random);
	g_snprintf(i->id, sizeof(i->id), "%s%s", s->prefixes[type], random);
	i->type = type;
	i->index = s->list->len;
	i->start = c->text.len;
	i->lp_start = i->lp_piece = c->lp[0].len;
	if (type != API_ITEM_TEXT)
		c->lp[1].len = 0;
	g_ptr_array_add(s->list, i);
	return i;
}

static void announce(struct api_call *k, const struct api_items *s, const struct api_choice *c,
		     const struct api_item *i)
{
	if (s->sink && s->sink->opened)
		s->sink->opened(k, c, i);
}

static void add_text(struct api_call *k, const struct api_items *s, struct api_choice *c,
		     struct api_item *i, const char *text, size_t n)
{
	if (n == 0)
		return;
	buf_append(&c->text, text, n);
	i->len += n;
	if (s->sink && s->sink->added)
		s->sink->added(k, i, text, n);
}

static void add_call(struct api_call *k, struct api_items *s, struct api_choice *c,
		     struct weir_str text)
{
	struct tool_delta d;
	if (!tool_delta_read(text, &d))
		return;
	struct api_item *i = current(s, API_ITEM_CALL);
	if ((!i || i->tool != d.index) && s->list->len < MAX_ITEMS) {
		i = open_item(k, s, c, API_ITEM_CALL);
		i->tool = d.index;
		i->name = g_strdup(d.name ? d.name : "");
		i->call_id = g_strdup(d.id ? d.id : i->id);
		announce(k, s, c, i);
	}
	if (i && d.arguments)
		add_text(k, s, c, i, d.arguments, strlen(d.arguments));
	tool_delta_clear(&d);
}

/* A token goes with the text that shows it, which may come with a later token: until then it waits
 * in lp[1]. What no text will ever show (a marker, what belongs to a call) has no entry. */
static void note_logprob(struct api_choice *c, const struct api_item *open,
			 const struct weir_event *e)
{
	struct weir_str bytes = e->raw.len ? e->raw : e->text;
	bool part = !g_utf8_validate_len(bytes.data ? bytes.data : "", bytes.len, NULL);
	if (e->text.len == 0 && !open && !part)
		return;
	if (c->lp[1].len)
		buf_putc(&c->lp[1], ',');
	api_put_logprob(&c->lp[1], e);
}

static void settle_logprobs(struct api_choice *c, struct api_item *i)
{
	if (c->lp[1].len && i->lp_len) {
		buf_putc(&c->lp[0], ',');
		i->lp_len++;
	}
	i->lp_piece = c->lp[0].len;
	buf_append(&c->lp[0], c->lp[1].data, c->lp[1].len);
	i->lp_len += c->lp[1].len;
	c->lp[1].len = 0;
}

void api_items_take(struct api_call *k, struct api_items *s, struct api_choice *c,
		    const struct weir_event *e)
{
	enum api_item_type type =
		e->type == WEIR_EVENT_REASONING ? API_ITEM_REASONING : API_ITEM_TEXT;
	if (s->logprobs && e->type == WEIR_EVENT_TOKEN)
		note_logprob(c, current(s, API_ITEM_TEXT), e);
	if (e->text.len == 0 || (type == API_ITEM_REASONING && k->body->params.no_reasoning))
		return;
	if (e->type == WEIR_EVENT_TOOL) {
		add_call(k, s, c, e->text);
		return;
	}
	struct api_item *i = current(s, type);
	if (!i && s->list->len >= MAX_ITEMS)
		return;
	if (!i) {
		i = open_item(k, s, c, type);
		announce(k, s, c, i);
	}
	if (s->logprobs && type == API_ITEM_TEXT)
		settle_logprobs(c, i);
	add_text(k, s, c, i, e->text.data, e->text.len);
}
