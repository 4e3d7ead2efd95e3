/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/options.h - the command line of `weir chat`.
 */
#ifndef TERMINAL_OPTIONS_H
#define TERMINAL_OPTIONS_H

#include "talk.h"

struct options {
	const char *url;     /* NULL: the default, or a server of our own */
	const char *profile; /* a server of our own; NULL: none, or default for model_file */
	const char *model;   /* a served name */
	const char *model_file;
	bool help;
};

#define OPTIONS_DEFAULT_URL "http://127.0.0.1:8000"

/* --system and --set go into talk. False: it has been explained on standard error. */
bool options_parse(int argc, char **argv, struct options *ret, struct talk *);
const char *options_help(void);

#endif
