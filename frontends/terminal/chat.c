/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/chat.c - see chat.h.
 */
#include "chat.h"

#include <stdio.h>
#include <string.h>

#include "child.h"
#include "options.h"

#define READY_STEP_MS 100
#define MIN_RATE_S    0.02 /* what came at once has no rate */

/* ---- one turn ---- */

static void on_text(void *data, enum client_part part, const char *text)
{
	struct chat *c = data;
	bool reasoning = part == CLIENT_PART_REASONING;
	if (reasoning && !c->screen.is_terminal)
		return; /* a pipe wants the answer */
	if (c->screen.dim && !reasoning)
		screen_newline(&c->screen);
	screen_dim(&c->screen, reasoning);
	screen_text(&c->screen, text);
}

static void tell_speed(struct chat *c, const struct client_answer *a)
{
	double first_ms = (double)(a->first_us - a->start_us) / 1e3;
	double seconds = (double)(a->last_us - a->first_us) / 1e6;
	GString *note = g_string_new(a->stopped ? "(stopped" : "(");
	/* The count comes with the end; of an answer that was stopped, its pieces are known. */
	int64_t n = a->n_output ? a->n_output : a->n_pieces;
	if (n)
		g_string_append_printf(note, "%s%s%" G_GINT64_FORMAT " token%s",
				       a->stopped ? " after " : "", a->n_output ? "" : "about ", n,
				       n == 1 ? "" : "s");
	if (n > 1 && seconds >= MIN_RATE_S)
		g_string_append_printf(note, ", %.1f tokens/s", (double)(n - 1) / seconds);
	if (a->first_us)
		g_string_append_printf(note, "%sfirst after %.0f ms", note->len > 1 ? ", " : "",
				       first_ms);
	if (a->n_prompt)
		g_string_append_printf(note, ", %" G_GINT64_FORMAT " in the context",
				       a->n_prompt + a->n_output);
	if (g_strcmp0(a->finish, "length") == 0)
		g_string_append(note, ", cut off: see /set max_tokens");
	if (note->len > 1)
		screen_note(&c->screen, "%s)", note->str);
	g_string_free(note, TRUE);
}

static void ask(struct chat *c, const char *prompt)
{
	struct client_answer answer;
	g_autofree char *error = NULL;
	talk_add(&c->talk, prompt);
	g_autofree char *body = talk_body(&c->talk);
	client_chat(c->client, body, on_text, c, &answer, &error);
	screen_dim(&c->screen, false);
	screen_newline(&c->screen);
	/* What was said counts, even if it was not all; a question without an answer does not. */
	if (answer.text->len)
		talk_add(&c->talk, answer.text->str);
	else
		talk_drop_last(&c->talk);
	if (error) {
		screen_error(&c->screen, error);
		c->failed = true;
	} else {
		tell_speed(c, &answer);
	}
	client_answer_clear(&answer);
}

static void talk_on(struct chat *c)
{
	while (!c->over) {
		g_autofree char *line = input_read(c->input);
		if (!line)
			break;
		if (line[0] == '/' && line[1] != '/')
			chat_command(c, line);
		else
			ask(c, line[0] == '/' ? line + 1 : line);
	}
	if (!c->over && input_is_terminal(c->input))
		fputc('\n', stdout); /* behind the prompt that ctrl-D left */
}

/* ---- before the first turn ---- */

char **chat_models(struct chat *c)
{
	g_autofree char *error = NULL;
	bool down;
	char **names = client_models(c->client, &down, &error);
	if (!names)
		screen_error(&c->screen, error);
	return names;
}

static bool choose_model(struct chat *c, const char *wanted)
{
	g_auto(GStrv) names = chat_models(c);
	if (!names)
		return false;
	if (wanted && names[0] && !g_strv_contains((const char *const *)names, wanted)) {
		g_autofree char *all = g_strjoinv(", ", names);
		g_autofree char *note =
			g_strdup_printf("the server does not list '%s'; it lists %s", wanted, all);
		screen_error(&c->screen, note);
	}
	c->talk.model = g_strdup(wanted ? wanted : names[0]);
	return true;
}

/* Our own server listens before its model is loaded. */
static bool wait_until_ready(struct chat *c, struct child *child)
{
	bool told = false;
	g_autofree char *failed = NULL;
	while (!client_is_ready(c->client, &failed)) {
		g_autofree char *log = NULL;
		if (failed) {
			g_autofree char *error =
				g_strdup_printf("the model could not be loaded: %s", failed);
			screen_error(&c->screen, error);
			return false;
		}
		if (child_is_dead(child, &log)) {
			g_autofree char *error = g_strdup_printf("the server has ended:\n%s", log);
			screen_error(&c->screen, error);
			return false;
		}
		if (!told)
			screen_note(&c->screen, "Loading the model ...");
		told = true;
		g_usleep(READY_STEP_MS * 1000);
	}
	return true;
}

static const char *api_key(void)
{
	const char *key = g_getenv("WEIR_API_KEY");
	return key && *key ? key : g_getenv("OPENAI_API_KEY");
}

static bool connect_to(struct chat *c, const char *url, struct child *child, const char *model)
{
	g_autofree char *error = NULL;
	if (!client_new(url, api_key(), &c->client, &error)) {
		screen_error(&c->screen, error);
		return false;
	}
	return (!child || wait_until_ready(c, child)) && choose_model(c, model);
}

static bool run(struct chat *c, const struct options *o)
{
	struct child *child = NULL;
	const char *url = o->url ? o->url : OPTIONS_DEFAULT_URL;
	g_autofree char *error = NULL;
	if ((o->profile || o->model_file) && !child_start(o->profile ? o->profile : "default",
							  o->model_file, &child, &url, &error)) {
		screen_error(&c->screen, error);
		return false;
	}
	bool ok = connect_to(c, url, child, o->model);
	if (ok) {
		c->input = input_new(c->screen.colours);
		screen_note(&c->screen, "%s at %s. /help lists what there is, ctrl-D ends.",
			    c->talk.model ? c->talk.model : "The default model",
			    client_url(c->client));
		talk_on(c);
		/* On a terminal the person has seen what failed. */
		ok = !c->failed || input_is_terminal(c->input);
	}
	input_free(c->input);
	client_free(c->client);
	child_stop(child);
	return ok;
}

int chat_main(int argc, char **argv)
{
	struct chat c = { .over = false };
	struct options o;
	int code = 2;
	screen_init(&c.screen);
	talk_init(&c.talk);
	if (options_parse(argc, argv, &o, &c.talk)) {
		code = 0;
		if (o.help)
			fputs(options_help(), stdout);
		else if (!run(&c, &o))
			code = 1;
	}
	talk_clear(&c.talk);
	return code;
}
