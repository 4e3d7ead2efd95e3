/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/client.h - an OpenAI-compatible server, seen from its client. [main]
 *
 * Calls block until they are done or ctrl-C (SIGINT) was pressed. Errors are texts for people,
 * to be freed with g_free().
 */
#ifndef TERMINAL_CLIENT_H
#define TERMINAL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct client;

enum client_part { CLIENT_PART_TEXT, CLIENT_PART_REASONING };

struct client_answer {
	GString *text; /* without reasoning; made by the call, freed by client_answer_clear() */
	bool stopped;  /* by ctrl-C */
	char *finish;  /* finish_reason, or NULL */
	int64_t n_prompt, n_output;          /* tokens; 0: the server did not tell */
	int64_t n_pieces;                    /* of text, reasoning included */
	int64_t start_us, first_us, last_us; /* when asked, first and last text; 0: none came */
};

/* url: "http://127.0.0.1:8000", with or without /v1; key: NULL or an API key. */
bool client_new(const char *url, const char *key, struct client **ret, char **ret_error);
void client_free(struct client *);
const char *client_url(const struct client *);

/* The names of the models; g_strfreev(). *ret_down: nobody listens there. */
char **client_models(struct client *, bool *ret_down, char **ret_error);
/* Does /health say that it is ready? *ret_failed: why it never will be (g_free()), or NULL. */
bool client_is_ready(struct client *, char **ret_failed);
/* POST /v1/chat/completions, streamed. text() gets valid UTF-8, which may hold anything. False:
 * *ret_error; ret has what had come until then. client_answer_clear() in either case. */
bool client_chat(struct client *, const char *body,
		 void (*text)(void *data, enum client_part, const char *text), void *data,
		 struct client_answer *ret, char **ret_error);
void client_answer_clear(struct client_answer *);

#endif
