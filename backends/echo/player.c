/* SPDX-License-Identifier: MIT */
/*
 * player.c - plays the script on every stream: one thread, a heap of times, no thread per stream.
 *
 * submit() and wake() put a play on the inbox and ring; everything else happens on the thread. A
 * play is either in the heap (it waits for its time) or blocked (it waits for credit): then only
 * wake() brings it back. The lock is never held while the host is called.
 */
#include "echo.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURN             64 /* events in a row before the others have their turn */
#define NO_PLACE         SIZE_MAX
#define MAX_ECHO_CHOICES 128

struct play {
	weir_stream *out;
	weir_request *request;
	char *said; /* what ECHO_ECHO repeats */
	char clock[24];
	size_t n_said;
	uint32_t max_tokens, n_choices, n_prompt;

	int64_t due_ns;
	size_t place; /* in the heap */
	size_t all_at;
	size_t line; /* of the script */
	uint32_t time;
	size_t at; /* byte of the line's text */
	uint32_t choice;
	bool started, delayed;
	uint32_t finish;
	struct weir_choice_end ends[MAX_ECHO_CHOICES];

	struct play *next_in; /* the inbox; under lock */
	bool in_inbox;
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

	struct play **heap; /* the thread's own, as is what follows */
	size_t n_heap, cap_heap;
	struct play **all; /* every play, for the end */
	size_t n_all, cap_all;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- the heap ------------------------------------------------------------------------------ */

static void place(struct echo_player *p, size_t at, struct play *play)
{
	p->heap[at] = play;
	play->place = at;
}

static void sift_up(struct echo_player *p, size_t at)
{
	struct play *play = p->heap[at];

	while (at > 0 && p->heap[(at - 1) / 2]->due_ns > play->due_ns) {
		place(p, at, p->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(p, at, play);
}

static void sift_down(struct echo_player *p, size_t at)
{
	struct play *play = p->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < p->n_heap && p->heap[child + 1]->due_ns < p->heap[child]->due_ns)
			child++;
		if (child >= p->n_heap || p->heap[child]->due_ns >= play->due_ns)
			break;
		place(p, at, p->heap[child]);
		at = child;
	}
	place(p, at, play);
}

static void heap_remove(struct echo_player *p, struct play *play)
{
	size_t at = play->place;
	struct play *last;

	if (at == NO_PLACE)
		return;
	play->place = NO_PLACE;
	last = p->heap[--p->n_heap];
	if (last == play)
		return;
	place(p, at, last);
	sift_up(p, at);
	sift_down(p, last->place);
}

/* Room was made when the play came: see welcome(). */
static void heap_add(struct echo_player *p, struct play *play)
{
	place(p, p->n_heap++, play);
	sift_up(p, play->place);
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
		.text = text,
	};

	for (uint32_t i = 0; i < play->n_choices; i++)
		end.n_output += play->ends[i].n_output;
	heap_remove(p, play);
	p->streams->end(play->out, &end);
	inbox_remove(p, play);
	if (play->all_at != NO_PLACE) {
		p->all[play->all_at] = p->all[--p->n_all];
		p->all[play->all_at]->all_at = play->all_at;
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
		snprintf(play->clock, sizeof(play->clock), "%lld ",
			 (long long)(p->interval_ns ? play->due_ns : now_ns()));
		text = (struct weir_str){ play->clock, strlen(play->clock) };
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

static enum turn emit(struct echo_player *p, struct play *play, const struct weir_event *e)
{
	static const struct weir_str none = { NULL, 0 };
	weir_status status = p->streams->emit(play->out, e);

	if (status >= 0)
		return TURN_GOES_ON;
	if (status == WEIR_E_NO_CREDIT)
		return TURN_BLOCKED;
	finish(p, play, status, none);
	return TURN_OVER;
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
		play->due_ns = now + line->delay_ns;
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
	play->due_ns += p->interval_ns;
	if (play->due_ns + 1000000000 < now)
		play->due_ns = now;
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
	if (play->place != NO_PLACE && play->due_ns > now)
		return; /* woken before its time */
	heap_remove(p, play);
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
		play->due_ns = now + 1; /* after everybody else's turn */
	if (turn == TURN_GOES_ON || turn == TURN_WAITS)
		heap_add(p, play);
}

/* --- the thread ---------------------------------------------------------------------------- */

/* False: no memory for one more; the play must end. */
static bool welcome(struct echo_player *p, struct play *play)
{
	if (p->n_all == p->cap_all) {
		size_t cap = p->cap_all ? p->cap_all * 2 : 64;
		struct play **all = realloc(p->all, cap * sizeof(*all)), **heap;

		if (!all)
			return false;
		p->all = all;
		heap = realloc(p->heap, cap * sizeof(*heap));
		if (!heap)
			return false;
		p->heap = heap;
		p->cap_all = p->cap_heap = cap;
	}
	play->all_at = p->n_all;
	p->all[p->n_all++] = play;
	return true;
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
		if (play->due_ns == 0) {
			play->due_ns = now;
			if (!welcome(p, play)) {
				static const char text[] = "insufficient memory";

				finish(p, play, WEIR_E_EXHAUSTED,
				       (struct weir_str){ text, sizeof(text) - 1 });
				continue;
			}
		}
		play_on(p, play, now);
	}
}

static void *run(void *data)
{
	static const struct weir_str none = { NULL, 0 };
	struct echo_player *p = data;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct play *list;
		int64_t now;

		while (!p->inbox && !p->stop && (p->n_heap == 0 || p->heap[0]->due_ns > now_ns())) {
			struct timespec until;

			if (p->n_heap == 0) {
				pthread_cond_wait(&p->cond, &p->lock);
				continue;
			}
			until.tv_sec = p->heap[0]->due_ns / 1000000000;
			until.tv_nsec = p->heap[0]->due_ns % 1000000000;
			pthread_cond_timedwait(&p->cond, &p->lock, &until);
		}
		list = p->inbox;
		p->inbox = p->inbox_last = NULL;
		pthread_mutex_unlock(&p->lock);
		now = now_ns();
		take_inbox(p, list, now);
		while (p->n_heap > 0 && p->heap[0]->due_ns <= now)
			play_on(p, p->heap[0], now);
		pthread_mutex_lock(&p->lock);
	}
	/* Nobody posts any more. Those that never had a turn are in the inbox only. */
	for (struct play *play = p->inbox, *next; play; play = next) {
		next = play->next_in;
		play->in_inbox = false;
		if (play->due_ns == 0 && !welcome(p, play))
			play->all_at = NO_PLACE;
	}
	p->inbox = p->inbox_last = NULL;
	pthread_mutex_unlock(&p->lock);
	while (p->n_all > 0)
		finish(p, p->all[p->n_all - 1], WEIR_E_UNAVAILABLE, none);
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
	free(p->heap);
	free(p->all);
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

weir_status echo_player_submit(struct echo_player *p, weir_request *request, weir_stream *out,
			       struct weir_error *err)
{
	struct weir_str kind = p->requests->field(request, "kind");
	struct weir_str text = p->requests->field(request, "prompt");
	const struct weir_limits *limits = p->requests->limits(request);
	bool chat = kind.len == 4 && memcmp(kind.data, "chat", 4) == 0;
	bool completion = kind.len == 10 && memcmp(kind.data, "completion", 10) == 0;
	struct play *play;

	if (!chat && !completion && kind.len > 0)
		return echo_fail(err, WEIR_E_UNSUPPORTED,
				 "the echo backend answers chats and completions only");
	play = calloc(1, sizeof(*play));
	if (!play)
		return echo_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
	if (chat) {
		play->said = echo_last_user(p->requests->field(request, "messages"), &play->n_said);
	} else {
		play->said = malloc(text.len + 1);
		if (play->said && text.len > 0)
			memcpy(play->said, text.data, text.len);
		play->n_said = play->said ? text.len : 0;
	}
	play->out = out;
	play->request = request;
	play->place = play->all_at = NO_PLACE;
	play->max_tokens = limits->max_tokens;
	play->n_choices = limits->n < 1 ? 1 : limits->n;
	if (play->n_choices > MAX_ECHO_CHOICES)
		play->n_choices = MAX_ECHO_CHOICES;
	play->finish = WEIR_FINISH_STOP;
	play->n_prompt = count_words((struct weir_str){ play->said, play->n_said });
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
