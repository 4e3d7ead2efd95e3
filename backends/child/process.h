/* SPDX-License-Identifier: MIT */
/*
 * backends/child/process.h - one process: started with a socket, a log pipe and a profile that only
 * it can read; watched, ended, reaped.
 *
 * The thread that starts it must live as long as it does: the kernel ends the process when that
 * thread goes (PR_SET_PDEATHSIG), and so with the whole of its parent, however that one ended.
 */
#ifndef CHILD_PROCESS_H
#define CHILD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>
#include <weir/base.h>

struct process {
	pid_t pid; /* 0: none */
	int socket,
		output; /* -1: closed; output: what it writes to its standard output and error */
};

struct process_plan {
	const char *program; /* path of weir */
	const char *name;    /* what `ps` shows: "backend.main" */
	const char *profile; /* its text */
	const char *level;   /* log level */
};

void process_init(struct process *);
/* Runs `weir serve` with the profile, in a process group of its own, with no descriptor but what is
 * said above: 3 is the socket. On error nothing is left. */
weir_status process_start(struct process *, const struct process_plan *, struct weir_error *err);
void process_signal(const struct process *, int signal);
/* Has it ended? Its exit status as wait() gives it; the descriptors stay open. */
bool process_reap(struct process *, int *ret_status);
void process_close(struct process *); /* descriptors only */
/* "was killed by signal 11 (Segmentation fault)", "ended with status 1". g_free(). */
char *process_story(int status);

#endif
