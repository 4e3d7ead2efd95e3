/* SPDX-License-Identifier: MIT */
/*
 * echo.h - the parts of the echo backend: script (what to say), player (saying it in time), json
 * (finding the last user message).
 *
 * Echo is the smallest real level-A backend: it speaks without a model. It includes the SDK only.
 */
#ifndef WEIR_ECHO_H
#define WEIR_ECHO_H

#include <weir/plugin.h>
#include <weir/stream.h>

/* One line of a script, ready to be played. */
enum echo_verb {
	ECHO_TEXT = 0,      /* text in one event */
	ECHO_WORDS = 1,     /* text word by word, one event and one token each */
	ECHO_ECHO = 2,      /* the request's last user message or prompt, word by word */
	ECHO_REASONING = 3, /* text word by word in the reasoning channel */
	ECHO_TOOL = 4,      /* text as a fragment of a tool call */
	ECHO_DELAY = 5,
	ECHO_ERROR = 6,
	ECHO_FINISH = 7,
	ECHO_CLOCK = 8, /* the time at which this event was due, for measurements */
};

struct echo_line {
	enum echo_verb verb;
	uint32_t times; /* repeat */
	int64_t delay_ns;
	weir_status code; /* ECHO_ERROR */
	uint32_t finish;  /* ECHO_FINISH */
	char *text;
	size_t len;
};

struct echo_script {
	struct echo_line *lines;
	size_t n;
};

/* path NULL: the script is one line, "echo". err says file and line. [main] */
weir_status echo_script_read(const char *path, struct echo_script *ret, struct weir_error *err);
/* The same from memory; name is for messages. */
weir_status echo_script_parse(const char *name, const char *text, size_t len,
			      struct echo_script *ret, struct weir_error *err);
void echo_script_clear(struct echo_script *);

/* The content of the last message whose role is "user", decoded; of a content list, its text parts
 * joined. malloc()ed, NUL-terminated; NULL: there is none, or this is no array of messages. */
char *echo_last_user(struct weir_str messages, size_t *ret_len);

/* The members "text" of a JSON array of objects, decoded and joined; as above. */
char *echo_texts(struct weir_str parts, size_t *ret_len);

struct echo_player; /* one thread that plays all streams */

/* rate: events a second for each stream; 0: as fast as there is credit. script is taken over. */
weir_status echo_player_new(const struct weir_host *, struct echo_script *script, double rate,
			    struct echo_player **ret, struct weir_error *err);
weir_status echo_player_start(struct echo_player *, struct weir_error *err);
void echo_player_stop(struct echo_player *); /* ends what is left, joins */
void echo_player_free(struct echo_player *);
weir_status echo_player_submit(struct echo_player *, weir_request *, weir_stream *,
			       struct weir_error *);
void echo_player_wake(struct echo_player *, weir_stream *);

weir_status echo_fail(struct weir_error *err, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
