/*
 * tape.c - see tape.h.
 */
#include "tape.h"

#include <math.h>
#include <string.h>

#include "text.h"

struct tape *tape_new(uint32_t grant_each)
{
	struct tape *t = g_new0(struct tape, 1);

	t->all = g_ptr_array_new_with_free_func(g_free);
	t->prompt = g_string_new(NULL);
	t->end = g_string_new(NULL);
	for (int i = 0; i < TAPE_CHOICES; i++)
		t->choice[i] = g_string_new(NULL);
	t->grant_each = grant_each;
	return t;
}

void tape_free(struct tape *t)
{
	g_ptr_array_unref(t->all);
	g_string_free(t->prompt, TRUE);
	g_string_free(t->end, TRUE);
	for (int i = 0; i < TAPE_CHOICES; i++)
		g_string_free(t->choice[i], TRUE);
	g_free(t->text);
	g_free(t);
}

static void write_bytes(GString *out, struct weir_str s)
{
	g_string_append_printf(out, "%zu:", s.len);
	for (size_t i = 0; i < s.len; i++)
		g_string_append_printf(out, "%02x", (unsigned char)s.data[i]);
	g_string_append_c(out, ' ');
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct tape *t = data;
	GString *out =
		e->type == WEIR_EVENT_PROMPT ? t->prompt : t->choice[e->index % TAPE_CHOICES];

	if (t->n_ends > 0 || e->seq != t->next_seq || !weir_text_valid(e->text) ||
	    e->index >= TAPE_CHOICES)
		t->n_wrong++;
	t->next_seq = e->seq + 1;
	if (e->type == WEIR_EVENT_STARTED) {
		if (t->n_started++ > 0)
			t->n_wrong++;
	} else {
		g_string_append_printf(out, "|%u %d %g %d ", e->type, e->token,
				       isnan(e->logprob) ? 99.0 : (double)e->logprob,
				       (int)e->value);
		write_bytes(out, e->text);
		write_bytes(out, e->raw);
		for (uint32_t i = 0; i < e->n_top; i++) {
			g_string_append_printf(out, "%d %g ", e->top[i].token,
					       (double)e->top[i].logprob);
			write_bytes(out, e->top[i].text);
		}
	}
	g_ptr_array_add(t->all, g_memdup2(&(struct tape_event){ e->type, e->index, e->token },
					  sizeof(struct tape_event)));
	if (t->cancel_at > 0 && t->all->len == t->cancel_at)
		weir_stream_cancel(stream, WEIR_E_CANCELLED);
	else if (t->grant_each)
		weir_stream_grant(stream, t->grant_each);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct tape *t = data;

	if (t->n_ends++ > 0)
		t->n_wrong++;
	t->status = end->status;
	t->n_cached = end->n_cached;
	t->text = g_strndup(end->text.data ? end->text.data : "", end->text.len);
	g_string_append_printf(t->end, "%d: %u prompt, %u output, %u reasoning", end->status,
			       end->n_prompt, end->n_output, end->n_reasoning);
	for (uint32_t i = 0; i < MAX(1, end->n_choices); i++) {
		struct weir_choice_end c = weir_end_choice(end, i);

		g_string_append_printf(t->end, "; %u %u %u %u", c.finish, c.n_output, c.stop,
				       c.n_reasoning);
	}
	t->stream = NULL;
}

const struct weir_sink tape_sink = {
	.size = sizeof(struct weir_sink),
	.event = on_event,
	.end = on_end,
};

struct tape *tape_open(struct harness *h, const struct tape_ask *ask, const char *resume)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct tape *t = tape_new(ask->grant_each);
	struct weir_error err = { 0 };
	struct weir_kv fields[12];
	size_t n = 0;

	for (; ask->fields[2 * n]; n++)
		fields[n] = (struct weir_kv){ ask->fields[2 * n], ask->fields[2 * n + 1] };
	if (resume)
		fields[n++] = (struct weir_kv){ "resume", resume };
	if (gateway->open(&h->host, h->loop,
			  gateway->request_new(&h->host, fields, n, &ask->sampling, &ask->limits),
			  &tape_sink, t, ask->credit, &t->stream, &err) < 0)
		g_error("%s", err.text);
	return t;
}

char *tape_field(const struct tape *t, guint n, guint64 seed, uint32_t n_choices)
{
	GString *out = g_string_new(NULL), *tokens[TAPE_CHOICES];
	guint n_prompt = 0, n_started = 0, n_events[TAPE_CHOICES] = { 0 };

	for (int i = 0; i < TAPE_CHOICES; i++)
		tokens[i] = g_string_new(NULL);
	for (guint i = 0; i < n; i++) {
		const struct tape_event *e = t->all->pdata[i];

		if (e->type == WEIR_EVENT_STARTED) {
			n_started++;
		} else if (e->type == WEIR_EVENT_PROMPT) {
			n_prompt++;
		} else {
			n_events[e->index]++;
			if (e->token >= 0)
				g_string_append_printf(tokens[e->index], "%s%d",
						       tokens[e->index]->len ? "," : "", e->token);
		}
	}
	g_string_append_printf(out,
			       "{\"seed\":\"%" G_GUINT64_FORMAT
			       "\",\"started\":%s,\"prompt_events\":%u,\"choices\":[",
			       seed, n_started ? "true" : "false", n_prompt);
	for (uint32_t i = 0; i < n_choices; i++)
		g_string_append_printf(out, "%s{\"tokens\":[%s],\"events\":%u}", i ? "," : "",
				       tokens[i]->str, n_events[i]);
	g_string_append(out, "]}");
	for (int i = 0; i < TAPE_CHOICES; i++)
		g_string_free(tokens[i], TRUE);
	return g_string_free(out, FALSE);
}

/* The first n events' words of a choice (index < 0: of the prompt). */
static char *head(const struct tape *t, guint n, int index)
{
	const GString *words = index < 0 ? t->prompt : t->choice[index];
	const char *at = words->str;
	guint count = 0;

	for (guint i = 0; i < n; i++) {
		const struct tape_event *e = t->all->pdata[i];

		if (e->type != WEIR_EVENT_STARTED &&
		    (index < 0 ? e->type == WEIR_EVENT_PROMPT
			       : e->type != WEIR_EVENT_PROMPT && (int)e->index == index))
			count++;
	}
	for (; count > 0; count--)
		at += 1 + strcspn(at + 1, "|");
	return g_strndup(words->str, (gsize)(at - words->str));
}

void tape_assert_joined(const struct tape *whole, guint n, const struct tape *rest)
{
	for (int i = -1; i < TAPE_CHOICES; i++) {
		g_autofree char *first = head(whole, n, i);
		g_autofree char *all =
			g_strconcat(first, i < 0 ? rest->prompt->str : rest->choice[i]->str, NULL);

		g_assert_cmpstr(all, ==, i < 0 ? whole->prompt->str : whole->choice[i]->str);
	}
	g_assert_cmpuint(rest->n_wrong, ==, 0);
	g_assert_cmpuint(rest->n_started, ==, n == 0);
	g_assert_cmpstr(rest->end->str, ==, whole->end->str);
}

void tape_assert_same(const struct tape *a, const struct tape *b)
{
	for (int i = 0; i < TAPE_CHOICES; i++)
		g_assert_cmpstr(a->choice[i]->str, ==, b->choice[i]->str);
	g_assert_cmpstr(a->prompt->str, ==, b->prompt->str);
	g_assert_cmpstr(a->end->str, ==, b->end->str);
	g_assert_cmpuint(a->n_wrong + b->n_wrong, ==, 0);
	g_assert_cmpuint(a->next_seq, ==, b->next_seq);
}
