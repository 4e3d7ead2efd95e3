/*
 * scheduler-answer.c - what a chat's text means: the backend's readers (weir/answer.h) turn the
 * text of each choice into content, reasoning and tool calls. A token may become several events,
 * more than there is credit for: what is left waits in the job, which then counts as stalled.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

struct waiting { /* an event of its own, text and alternatives included */
	struct weir_event event;
	struct weir_top_logprob top[20];
	char bytes[];
};

weir_status weir_scheduler_open_answers(struct weir_scheduler *s, struct weir_job *job,
					struct weir_str context, char **ret_prefix,
					struct weir_error *err)
{
	struct weir_str id = weir_request_field(job->request, "id");

	*ret_prefix = NULL;
	if (!s->answers)
		return WEIR_OK;
	job->answers = s->answers;
	for (uint32_t i = 0; i < job->n; i++) {
		char *prefix = NULL, *grammar = NULL;
		weir_status status = s->answers->open(s->options.instance, context, id,
						      &job->seqs[i].answer, &prefix, &grammar, err);

		if (status < 0) {
			job->seqs[i].answer = NULL;
			free(*ret_prefix);
			*ret_prefix = NULL;
			err->text[sizeof(err->text) - 1] = err->param[sizeof(err->param) - 1] =
				'\0';
			return status;
		}
		if (!job->seqs[i].answer)
			return WEIR_OK;
		if (i == 0) {
			*ret_prefix = prefix;
			job->grammar = grammar;
		} else {
			free(prefix);
			free(grammar);
		}
	}
	return WEIR_OK;
}

static struct weir_str keep(char **at, struct weir_str text)
{
	char *to = *at;

	if (text.len > 0)
		memcpy(to, text.data, text.len);
	*at += text.len;
	return (struct weir_str){ to, text.len };
}

static void wait_for_credit(struct weir_job *job, const struct weir_event *e)
{
	size_t bytes = e->text.len + e->raw.len;
	struct waiting *w;
	char *at;

	for (uint32_t i = 0; i < e->n_top; i++)
		bytes += e->top[i].text.len;
	w = g_malloc(sizeof(*w) + bytes);
	at = w->bytes;
	w->event = *e;
	w->event.text = keep(&at, e->text);
	w->event.raw = keep(&at, e->raw);
	for (uint32_t i = 0; i < e->n_top; i++) {
		w->top[i] = e->top[i];
		w->top[i].text = keep(&at, e->top[i].text);
	}
	w->event.top = w->top;
	if (!job->pending)
		job->pending = g_queue_new();
	g_queue_push_tail(job->pending, w);
}

weir_status weir_scheduler_send(struct weir_scheduler *s, struct weir_job *job,
				const struct weir_event *e)
{
	weir_status status = WEIR_E_NO_CREDIT;

	if (weir_job_skips(job, e))
		return WEIR_OK;
	if (!job->pending && !job->replays)
		status = weir_stream_emit(job->out, e, &s->bell);
	if (status == WEIR_OK)
		weir_job_told(job, e);
	if (status != WEIR_E_NO_CREDIT)
		return status;
	wait_for_credit(job, e);
	return WEIR_OK;
}

/* One token's parts. The first event carries the token, the others only text. */
struct parts {
	struct weir_scheduler *s;
	struct weir_job *job;
	struct weir_event *event;
	uint32_t n, first; /* first: kind of the first one */
	weir_status status;
};

static void on_part(void *data, uint32_t kind, struct weir_str text)
{
	struct parts *p = data;
	struct weir_event e = *p->event;

	if (p->status < 0)
		return;
	if (p->n++ == 0) {
		p->first = kind;
	} else {
		e.token = -1;
		e.logprob = NAN;
		e.n_top = 0;
		e.raw = (struct weir_str){ NULL, 0 };
	}
	e.type = kind == WEIR_PART_REASONING ? WEIR_EVENT_REASONING
		 : kind == WEIR_PART_TOOL    ? WEIR_EVENT_TOOL
		 : e.token >= 0              ? WEIR_EVENT_TOKEN
					     : WEIR_EVENT_TEXT;
	e.text = text;
	p->status = weir_scheduler_send(p->s, p->job, &e);
}

/* Is the answer within a thought? */
static bool thinks(const struct weir_scheduler *s, const struct weir_sequence *seq)
{
	return WEIR_HAS(struct weir_answer_api, s->answers, thinks) &&
	       s->answers->thinks(seq->answer);
}

weir_status weir_scheduler_emit(struct weir_scheduler *s, struct weir_sequence *seq,
				struct weir_event *event)
{
	struct parts p = { .s = s, .job = seq->job, .event = event };
	bool thought;

	if (!seq->answer)
		return weir_scheduler_send(s, seq->job, event);
	thought = thinks(s, seq);
	s->answers->feed(seq->answer, event->text, on_part, &p);
	seq->n_reasoning += thought || thinks(s, seq) || p.first == WEIR_PART_REASONING;
	if (seq->finish != WEIR_FINISH_NONE && s->answers->finish(seq->answer, on_part, &p) &&
	    seq->finish == WEIR_FINISH_STOP)
		seq->finish = WEIR_FINISH_TOOL;
	if (p.n == 0) {
		event->text = (struct weir_str){ NULL, 0 };
		p.status = weir_scheduler_send(s, seq->job, event);
	}
	return p.status;
}

bool weir_scheduler_flush(struct weir_scheduler *s, struct weir_job *job)
{
	struct waiting *w;

	while ((w = g_queue_peek_head(job->pending)) != NULL) {
		weir_status status = weir_stream_emit(job->out, &w->event, &s->bell);

		if (status == WEIR_E_NO_CREDIT)
			return false;
		if (status == WEIR_OK)
			weir_job_told(job, &w->event);
		g_free(g_queue_pop_head(job->pending));
		if (status < 0)
			break; /* cancelled: whoever looks next ends it */
	}
	g_queue_free_full(job->pending, g_free);
	job->pending = NULL;
	if (job->n_live == 0)
		weir_scheduler_finish(s, job, NULL, 0);
	return true;
}
