/* SPDX-License-Identifier: MIT */
/*
 * player.c - plays the script on every stream: one thread, a wheel of times, no thread per stream.
 *
 * submit() and wake() put a play on the inbox and ring; everything else happens on the thread. A
 * play is in the wheel (it waits for its time), ready (it goes on when the others have had their
 * turn) or in neither (it waits for credit): then only wake() brings it back. The lock is never
 * held while the host is called.
 *
 * What is due in one tick of the wheel is one batch, as a step of an engine is: the frontends are
 * told of it once, or every RING_AFTER events of a large one, so that sending begins meanwhile.
 */
#include "echo.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wheel.h"

#define TURN             64 /* events in a row before the others have their turn */
#define RING_AFTER       128
#define MAX_ECHO_CHOICES 128

struct play {
	struct echo_due due; /* first: lists lead to it; ns 0: has not been looked at */
	weir_stream *out;
	weir_request *request;
	char *said; /* what ECHO_ECHO repeats */
	char clock[24];
	size_t n_said;
	uint32_t max_tokens, n_choices, n_prompt;

	struct play *all_next, **all_link; /* p->all; link NULL: not there yet */
	size_t line;                       /* of the script */
	uint32_t time;
	size_t at; /* byte of the line's text */
	uint32_t choice;
	bool started, delayed, spread;
	uint32_t finish;

	struct play *next_in; /* the inbox; under lock */
	bool in_inbox;
	struct weir_choice_end ends[]; /* n_choices */
};

struct echo_player {
	const struct weir_request_api *requests;
	const struct weir_stream_api *streams;
	struct echo_script script;
	int64_t interval_ns;
	pthread_t thread;
	bool running; /* main only */

	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct play *inbox, *inbox_last; /* under lock */
	bool stop;                       /* under lock */

	struct echo_wheel wheel; /* the thread's own, as is what follows */
	struct echo_due ready;
	struct play *all; /* every play, for the end */
	weir_bell *bell;  /* NULL: the host has none */
	uint64_t n_spread;
	uint32_t n_silent; /* events since it was rung */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- one play ------------------------------------------------------------------------------ */

static void play_free(struct echo_player *p, struct play *play)
{
	p->requests->unref(play->request);
	free(play->said);
	free(play);
}

static void inbox_remove(struct echo_player *p, struct play *play)
{
	struct play **at, *before = NULL;

	pthread_mutex_lock(&p->lock);
	if (play->in_inbox) {
		for (at = &p->inbox; *at != play; at = &(*at)->next_in)
			before = *at;
		*at = play->next_in;
		if (p->inbox_last == play)
			p->inbox_last = before;
		play->in_inbox = false;
	}
	pthread_mutex_unlock(&p->lock);
}

/* The last of a play. No wake() comes once end() has returned. */
static void finish(struct echo_player *p, struct play *play, weir_status status,
		   struct weir_str text)
{
	struct weir_end end = {
		.size = sizeof(end),
		.status = status,
		.finish = status < 0 ? WEIR_FINISH_NONE : play->ends[0].finish,
		.n_prompt = play->n_prompt,
		.n_choices = play->n_choices,
		.choices = play->n_choices > 1 ? play->ends : NULL,
		.choice_size = sizeof(play->ends[0]),
		.text = text,
	};

	for (uint32_t i = 0; i < play->n_choices; i++)
		end.n_output += play->ends[i].n_output;
	echo_list_remove(&play->due);
	if (p->bell)
		p->streams->end_with(play->out, &end, p->bell);
	else
		p->streams->end(play->out, &end);
	inbox_remove(p, play);
	if (play->all_link) {
		*play->all_link = play->all_next;
		if (play->all_next)
			play->all_next->all_link = play->all_link;
	}
	play_free(p, play);
}

static size_t word_at(struct weir_str text, size_t at)
{
	size_t n = at;

	while (n < text.len && strchr(" \t\n", text.data[n]) && text.data[n])
		n++;
	while (n < text.len && !(strchr(" \t\n", text.data[n]) && text.data[n]))
		n++;
	return n - at;
}

static uint32_t count_words(struct weir_str text)
{
	uint32_t n = 0;

	for (size_t at = 0; at < text.len; at += word_at(text, at))
		n++;
	return n;
}

static struct weir_str put_clock(struct play *play, int64_t ns)
{
	char *end = play->clock + sizeof(play->clock), *at = end;

	*--at = ' ';
	do
		*--at = (char)('0' + ns % 10);
	while (ns /= 10);
	return (struct weir_str){ at, (size_t)(end - at) };
}

/* The event of the play's present line; false: the line has nothing (more) to say. */
static bool make_event(struct echo_player *p, struct play *play, struct weir_event *e)
{
	const struct echo_line *line = &p->script.lines[play->line];
	struct weir_str text = { line->text, line->len };
	bool by_word =
		line->verb == ECHO_WORDS || line->verb == ECHO_ECHO || line->verb == ECHO_REASONING;

	memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->token = -1;
	e->index = play->choice;
	e->logprob = __builtin_nanf("");
	e->type = line->verb == ECHO_REASONING ? WEIR_EVENT_REASONING
		  : line->verb == ECHO_TOOL    ? WEIR_EVENT_TOOL
					       : WEIR_EVENT_TEXT;
	if (line->verb == ECHO_ECHO)
		text = (struct weir_str){ play->said, play->n_said };
	if (line->verb == ECHO_CLOCK) {
		text = put_clock(play, p->interval_ns ? play->due.ns : now_ns());
	}
	if (play->at >= text.len)
		return false;
	e->text.data = text.data + play->at;
	e->text.len = by_word ? word_at(text, play->at) : text.len;
	return true;
}

static void next_line(struct echo_player *p, struct play *play)
{
	play->at = 0;
	play->delayed = false;
	if (++play->time < p->script.lines[play->line].times)
		return;
	play->time = 0;
	play->line++;
}

/* The choice is over: on to the next one. False: that was the last. */
static bool next_choice(struct play *play, uint32_t why)
{
	play->ends[play->choice].finish = why;
	play->line = play->at = 0;
	play->time = 0;
	play->delayed = false;
	play->finish = WEIR_FINISH_STOP;
	return ++play->choice < play->n_choices;
}

enum turn { TURN_GOES_ON, TURN_WAITS, TURN_BLOCKED, TURN_OVER };

static void ring(struct echo_player *p)
{
	if (p->bell)
		p->streams->ring(p->bell);
	p->n_silent = 0;
}

static enum turn emit(struct echo_player *p, struct play *play, const struct weir_event *e)
{
	static const struct weir_str none = { NULL, 0 };
	weir_status status = p->bell ? p->streams->emit_with(play->out, e, p->bell)
				     : p->streams->emit(play->out, e);

	if (p->bell && ++p->n_silent >= RING_AFTER)
		ring(p);
	if (status >= 0)
		return TURN_GOES_ON;
	if (status == WEIR_E_NO_CREDIT)
		return TURN_BLOCKED;
	finish(p, play, status, none);
	return TURN_OVER;
}

/* When the second event of a paced stream is due: half an interval to one and a half after the
 * first, so that streams that begin together do not stay together. Multiples of the golden ratio
 * fill the interval evenly, however many there are. */
static int64_t spread(struct echo_player *p, int64_t first_ns)
{
	uint64_t turn = ++p->n_spread * UINT64_C(0x9e3779b97f4a7c15);
	int64_t phase = (int64_t)((double)(turn >> 11) * 0x1p-53 * (double)p->interval_ns);
	int64_t from = first_ns + p->interval_ns / 2;

	return from + ((phase - from) % p->interval_ns + p->interval_ns) % p->interval_ns;
}

/* One thing that the play has to do now. */
static enum turn step(struct echo_player *p, struct play *play, int64_t now)
{
	static const struct weir_str none = { NULL, 0 };
	const struct echo_line *line;
	struct weir_event e;
	enum turn turn;

	if (play->line >= p->script.n) {
		if (next_choice(play, play->finish))
			return TURN_GOES_ON;
		finish(p, play, WEIR_OK, none);
		return TURN_OVER;
	}
	line = &p->script.lines[play->line];
	if (line->verb == ECHO_ERROR) {
		finish(p, play, line->code, (struct weir_str){ line->text, line->len });
		return TURN_OVER;
	}
	if (line->verb == ECHO_FINISH || (line->verb == ECHO_DELAY && play->delayed)) {
		if (line->verb == ECHO_FINISH)
			play->finish = line->finish;
		next_line(p, play);
		return TURN_GOES_ON;
	}
	if (line->verb == ECHO_DELAY) {
		play->delayed = true;
		play->due.ns = now + line->delay_ns;
		return TURN_WAITS;
	}
	if (!make_event(p, play, &e)) {
		next_line(p, play);
		return TURN_GOES_ON;
	}
	if (play->max_tokens > 0 && play->ends[play->choice].n_output >= play->max_tokens) {
		if (next_choice(play, WEIR_FINISH_LENGTH))
			return TURN_GOES_ON;
		finish(p, play, WEIR_OK, none);
		return TURN_OVER;
	}
	turn = emit(p, play, &e);
	if (turn != TURN_GOES_ON)
		return turn;
	play->at += e.text.len;
	play->ends[play->choice].n_output++;
	if (p->interval_ns == 0)
		return TURN_GOES_ON;
	/* By the clock, not by the last event: a late one does not make the rest late. */
	play->due.ns = play->spread ? play->due.ns + p->interval_ns : spread(p, play->due.ns);
	play->spread = true;
	if (play->due.ns + 1000000000 < now)
		play->due.ns = now;
	return TURN_WAITS;
}

static void play_on(struct echo_player *p, struct play *play, int64_t now)
{
	static const struct weir_str none = { NULL, 0 };
	enum turn turn = TURN_GOES_ON;

	if (p->streams->cancelled(play->out)) {
		finish(p, play, WEIR_E_CANCELLED, none);
		return;
	}
	if (play->due.next && play->due.ns > now)
		return; /* woken before its time */
	echo_list_remove(&play->due);
	if (!play->started) {
		struct weir_event e = { .size = sizeof(e),
					.type = WEIR_EVENT_STARTED,
					.token = -1,
					.value = play->n_prompt };

		turn = emit(p, play, &e);
		if (turn == TURN_GOES_ON)
			play->started = true;
	}
	for (int i = 0; turn == TURN_GOES_ON && i < TURN; i++)
		turn = step(p, play, now);
	if (turn == TURN_GOES_ON)
		echo_list_add(&p->ready, &play->due); /* after everybody else's turn */
	else if (turn == TURN_WAITS)
		echo_wheel_add(&p->wheel, &play->due);
}

/* Each once, in this order; list is the caller's own. */
static void play_all(struct echo_player *p, struct echo_due *list, int64_t now)
{
	while (!echo_list_empty(list)) {
		struct play *play = (struct play *)list->next;

		/* Thousands of plays do not fit into a cache: the next ones are on their way. */
		__builtin_prefetch(play->due.next->next);
		if (play->due.next != list)
			__builtin_prefetch(((struct play *)play->due.next)->out);
		echo_list_remove(&play->due);
		if (play->due.ns > now)
			echo_wheel_add(&p->wheel, &play->due);
		else
			play_on(p, play, now);
	}
}

/* --- the thread ---------------------------------------------------------------------------- */

static void welcome(struct echo_player *p, struct play *play)
{
	play->all_next = p->all;
	play->all_link = &p->all;
	if (p->all)
		p->all->all_link = &play->all_next;
	p->all = play;
}

static void take_inbox(struct echo_player *p, struct play *list, int64_t now)
{
	while (list) {
		struct play *play = list;

		/* next_in belongs to the inbox again as soon as in_inbox is false. */
		pthread_mutex_lock(&p->lock);
		list = play->next_in;
		play->in_inbox = false;
		pthread_mutex_unlock(&p->lock);
		if (play->due.ns == 0) {
			play->due.ns = now;
			welcome(p, play);
		}
		play_on(p, play, now);
	}
}

/* Under the lock: until there is something to do. */
static void wait_for_work(struct echo_player *p)
{
	while (!p->inbox && !p->stop && echo_list_empty(&p->ready)) {
		int64_t next = echo_wheel_next(&p->wheel);
		struct timespec until = { .tv_sec = next / 1000000000,
					  .tv_nsec = next % 1000000000 };

		if (next == INT64_MAX)
			pthread_cond_wait(&p->cond, &p->lock);
		else if (next <= now_ns())
			return;
		else
			pthread_cond_timedwait(&p->cond, &p->lock, &until);
	}
}

static void *run(void *data)
{
	static const struct weir_str none = { NULL, 0 };
	struct echo_player *p = data;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct echo_due due;
		struct play *list;
		int64_t now;

		wait_for_work(p);
		list = p->inbox;
		p->inbox = p->inbox_last = NULL;
		pthread_mutex_unlock(&p->lock);
		now = now_ns();
		echo_list_init(&due);
		take_inbox(p, list, now);
		echo_list_move(&p->ready, &due);
		echo_wheel_take(&p->wheel, now, &due);
		play_all(p, &due, now);
		ring(p);
		pthread_mutex_lock(&p->lock);
	}
	/* Nobody posts any more. Those that never had a turn are in the inbox only. */
	for (struct play *play = p->inbox, *next; play; play = next) {
		next = play->next_in;
		play->in_inbox = false;
		if (play->due.ns == 0)
			welcome(p, play);
	}
	p->inbox = p->inbox_last = NULL;
	pthread_mutex_unlock(&p->lock);
	while (p->all)
		finish(p, p->all, WEIR_E_UNAVAILABLE, none);
	ring(p);
	return NULL;
}

/* --- the outside --------------------------------------------------------------------------- */

weir_status echo_player_new(const struct weir_host *host, struct echo_script *script, double rate,
			    struct echo_player **ret, struct weir_error *err)
{
	struct echo_player *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return echo_fail(err, WEIR_E_EXHAUSTED, "out of memory");
	p->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	p->streams = host->get_ext(host, WEIR_HOST_STREAM);
	if (!p->requests || !p->streams) {
		free(p);
		return echo_fail(err, WEIR_E_UNSUPPORTED, "the host offers no %s or no %s",
				 WEIR_HOST_REQUEST, WEIR_HOST_STREAM);
	}
	if (WEIR_HAS(struct weir_stream_api, p->streams, ring))
		p->bell = p->streams->bell_new();
	echo_wheel_init(&p->wheel, now_ns());
	echo_list_init(&p->ready);
	p->interval_ns = rate > 0 ? (int64_t)(1e9 / rate) : 0;
	p->script = *script;
	memset(script, 0, sizeof(*script));
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->cond, &attr);
	pthread_condattr_destroy(&attr);
	*ret = p;
	return WEIR_OK;
}

weir_status echo_player_start(struct echo_player *p, struct weir_error *err)
{
	int code = pthread_create(&p->thread, NULL, run, p);

	if (code != 0)
		return echo_fail(err, WEIR_E_UNAVAILABLE, "cannot start a thread: %s",
				 strerror(code));
	p->running = true;
	return WEIR_OK;
}

void echo_player_stop(struct echo_player *p)
{
	if (!p->running)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	p->running = false;
}

void echo_player_free(struct echo_player *p)
{
	if (!p)
		return;
	echo_script_clear(&p->script);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->cond);
	if (p->bell)
		p->streams->bell_free(p->bell);
	free(p);
}

/* False: the player has stopped. */
static bool post(struct echo_player *p, struct play *play)
{
	bool stop;

	pthread_mutex_lock(&p->lock);
	stop = p->stop;
	if (!stop && !play->in_inbox) {
		play->in_inbox = true;
		play->next_in = NULL;
		if (p->inbox_last)
			p->inbox_last->next_in = play;
		else
			p->inbox = play;
		p->inbox_last = play;
		pthread_cond_signal(&p->cond);
	}
	pthread_mutex_unlock(&p->lock);
	return !stop;
}

/* What is before the hole and what is behind it: both have arrived. */
static char *said_of(struct weir_str prompt, struct weir_str suffix, size_t *ret_len)
{
	char *said =
		prompt.len < SIZE_MAX - suffix.len ? malloc(prompt.len + suffix.len + 1) : NULL;

	*ret_len = said ? prompt.len + suffix.len : 0;
	if (said && prompt.len > 0)
		memcpy(said, prompt.data, prompt.len);
	if (said && suffix.len > 0)
		memcpy(said + prompt.len, suffix.data, suffix.len);
	return said;
}

/* Other files are read, as a part of the prompt, and not repeated. */
static uint32_t count_files(struct weir_str files)
{
	size_t len = 0;
	char *texts = echo_texts(files, &len);
	uint32_t n = texts ? count_words((struct weir_str){ texts, len }) : 0;

	free(texts);
	return n;
}

weir_status echo_player_submit(struct echo_player *p, weir_request *request, weir_stream *out,
			       struct weir_error *err)
{
	struct weir_str kind = p->requests->field(request, "kind");
	struct weir_str text = p->requests->field(request, "prompt");
	const struct weir_limits *limits = p->requests->limits(request);
	bool chat = kind.len == 4 && memcmp(kind.data, "chat", 4) == 0;
	bool completion = kind.len == 10 && memcmp(kind.data, "completion", 10) == 0;
	uint32_t n = limits->n < 1 ? 1 : limits->n;
	struct play *play;

	if (!chat && !completion && kind.len > 0)
		return echo_fail(err, WEIR_E_UNSUPPORTED,
				 "the echo backend answers chats and completions only");
	if (n > MAX_ECHO_CHOICES)
		n = MAX_ECHO_CHOICES;
	play = calloc(1, sizeof(*play) + n * sizeof(play->ends[0]));
	if (!play)
		return echo_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
	if (chat) {
		play->said = echo_last_user(p->requests->field(request, "messages"), &play->n_said);
	} else {
		play->said = said_of(text, p->requests->field(request, "suffix"), &play->n_said);
	}
	play->out = out;
	play->request = request;
	play->max_tokens = limits->max_tokens;
	play->n_choices = n;
	play->finish = WEIR_FINISH_STOP;
	play->n_prompt = count_words((struct weir_str){ play->said, play->n_said }) +
			 count_files(p->requests->field(request, "files"));
	p->streams->set_data(out, play);
	if (!post(p, play)) {
		free(play->said);
		free(play);
		return echo_fail(err, WEIR_E_UNAVAILABLE, "the echo backend has stopped");
	}
	return WEIR_OK;
}

void echo_player_wake(struct echo_player *p, weir_stream *out)
{
	struct play *play = p->streams->get_data(out);

	if (play)
		(void)post(p, play);
}
