/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/chat.h - the chat itself. [main]
 */
#ifndef TERMINAL_CHAT_H
#define TERMINAL_CHAT_H

#include "client.h"
#include "input.h"
#include "screen.h"
#include "talk.h"

struct chat {
	struct screen screen;
	struct talk talk;
	struct client *client;
	struct input *input;
	bool over;   /* /quit */
	bool failed; /* an answer did */
};

/* `weir chat`; returns the exit status. */
int chat_main(int argc, char **argv);
/* commands.c: a line that begins with a slash. */
void chat_command(struct chat *, const char *line);
/* The models by name; NULL: it has been said why not. g_strfreev(). */
char **chat_models(struct chat *);

#endif
