/*
 * tests/check/spawn.h - runs the built `weir` for a test.
 */
#ifndef WEIR_TESTS_SPAWN_H
#define WEIR_TESTS_SPAWN_H

#include <glib.h>

struct run { /* of one weir process */
	GPid pid;
	int status; /* exit status; -1 while it runs, 128 + N after signal N */
	char *log;  /* path of what it wrote to stdout and stderr */
};

/* Path of something in the build tree; g_free(). */
char *built(const char *path);
/* Starts `weir ARGUMENTS`, split at blanks. "@" at the beginning of a word is the build tree. */
void run_start(struct run *, const char *arguments);
/* Waits; kills it after 60 s, then status is 128 + 9. */
void run_wait(struct run *);
/* Waits until its output has text; fails the test after 30 s or when it ends before. */
void run_expect(struct run *, const char *text);
/* What it wrote so far; g_free(). */
char *run_output(const struct run *);
void run_clear(struct run *);
/* All in one: output, with the exit status in *ret_status. g_free(). */
char *run_whole(const char *arguments, int *ret_status);

#endif
