/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/talk.h - the conversation so far and the settings it goes on with. Pure, but
 * for talk_save().
 */
#ifndef TERMINAL_TALK_H
#define TERMINAL_TALK_H

#include <stdbool.h>

#include <glib.h>

struct talk {
	char *model;      /* NULL: not chosen */
	char *system;     /* NULL: none */
	GPtrArray *turns; /* char *: user, assistant, user ... */
	GHashTable *set;  /* name -> number as JSON text */
};

void talk_init(struct talk *);
void talk_clear(struct talk *);
void talk_set_system(struct talk *, const char *text); /* "" or NULL: none */
void talk_add(struct talk *, const char *text);        /* the other side's turn */
void talk_drop_last(struct talk *);
void talk_reset(struct talk *); /* the turns only */

/* Parameters that can be set, ended by NULL. */
const char *const *talk_names(void);
/* value: a number, or "default". False: *ret_error, g_free(). */
bool talk_set(struct talk *, const char *name, const char *value, char **ret_error);

/* The body of POST /v1/chat/completions; g_free(). */
char *talk_body(const struct talk *);
/* Markdown, or the messages as JSON when the name ends in .json. */
bool talk_save(const struct talk *, const char *path, char **ret_error);

#endif
