/* SPDX-License-Identifier: MIT */
/*
 * backends/child/jobs.c - requests and their events: credit, cancellation, another process. See
 * child.h; everything but job_new() and job_free() on the instance's thread.
 */
#include <string.h>

#include "child.h"

#define CANCEL_MS   1000 /* then a cancelled stream ends here, whatever the process does */
#define MAX_CREDIT  (1u << 24)
#define MAX_UNKNOWN 4u
#define RETRY_MS    5000
#define MAX_CHOICES WIRE_MAX_CHOICES
#define DEATHS_TEXT "the backend's process ended %u times while it worked on this request"
#define NO_GOING_ON                                                                                \
	"the backend's process ended while it answered, and this backend cannot go on "            \
	"with an answer: ask again"

static bool is(struct weir_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* ---- life ---- */

struct job *job_new(struct child *c, weir_request *request, weir_stream *out)
{
	struct weir_str kind = c->requests->field(request, "kind");
	struct weir_str resume = c->requests->field(request, "resume");
	uint32_t n = CLAMP(c->requests->limits(request)->n, 1u, MAX_CHOICES);
	struct job *j = g_new0(struct job, 1);
	j->request = request;
	j->out = out;
	j->generates = is(kind, "chat") || is(kind, "completion");
	j->goes_on = j->generates || is(kind, "embed");
	if (!resume.len) {
		tale_init(&j->tale, n, c->requests->sampling(request)->seed);
	} else if (!tale_read(&j->tale, n, resume.data, resume.len)) {
		g_free(j);
		return NULL;
	} else {
		j->resumed = true;
	}
	if (!resume.len) {
		j->text = g_string_sized_new(512);
		wire_put_request(j->text, c->requests, request, NULL);
	}
	return j;
}

static void free_line(void *line)
{
	g_string_free(line, TRUE);
}

static void drop_held(struct job *j)
{
	if (j->held)
		g_queue_free_full(j->held, free_line);
	j->held = NULL;
}

void job_free(struct child *c, struct job *j)
{
	if (!j)
		return;
	c->requests->unref(j->request);
	if (j->text)
		g_string_free(j->text, TRUE);
	tale_clear(&j->tale);
	drop_held(j);
	g_free(j);
}

static void enlist(struct child *c, struct job *j)
{
	j->known = true;
	j->prev = c->jobs_last;
	if (j->prev)
		j->prev->next = j;
	else
		c->jobs = j;
	c->jobs_last = j;
}

static void unlist(struct child *c, struct job *j)
{
	if (j->prev)
		j->prev->next = j->next;
	else
		c->jobs = j->next;
	if (j->next)
		j->next->prev = j->prev;
	else
		c->jobs_last = j->prev;
}

static void leave_inbox(struct child *c, struct job *j)
{
	pthread_mutex_lock(&c->lock);
	if (j->in_inbox) {
		struct job **at = &c->inbox, *before = NULL;
		for (; *at != j; at = &(*at)->next_in)
			before = *at;
		*at = j->next_in;
		if (c->inbox_last == j)
			c->inbox_last = before;
		j->in_inbox = false;
	}
	pthread_mutex_unlock(&c->lock);
}

static void end_job(struct child *c, struct job *j, const struct weir_end *end)
{
	if (j->state == JOB_SENT)
		g_hash_table_remove(c->by_id, &j->id);
	if (c->bell)
		c->streams->end_with(j->out, end, c->bell);
	else
		c->streams->end(j->out, end);
	/* No wake() from here on: nobody puts it there again. */
	c->n_cancelled -= j->cancelled_at != 0;
	leave_inbox(c, j);
	unlist(c, j);
	job_free(c, j);
}

static void fail_job(struct child *c, struct job *j, weir_status status, const char *text)
{
	const struct weir_end end = {
		.size = sizeof(end),
		.status = status,
		.retry_after_ms = status == WEIR_E_UNAVAILABLE ? RETRY_MS : 0,
		.text = { text, strlen(text) },
	};
	end_job(c, j, &end);
}

/* ---- to the process ---- */

static void send_job(struct child *c, struct job *j)
{
	uint32_t credit = MIN(c->streams->credit(j->out), MAX_CREDIT);
	if (j->suspect.state == SUSPICION_TRIED)
		credit = MIN(credit, suspect_credit(&j->suspect));
	suspect_sent(&j->suspect, c->now);
	if (!j->text) {
		j->text = g_string_sized_new(512);
		wire_put_request(j->text, c->requests, j->request,
				 c->resumes && j->goes_on && j->tale.started ? &j->tale : NULL);
	}
	j->id = c->next_id++;
	j->state = JOB_SENT;
	j->next_seq = 0;
	j->outstanding = credit;
	wire_put_submit(c->out, j->id, credit, j->text);
	g_string_free(g_steal_pointer(&j->text), TRUE);
	g_hash_table_insert(c->by_id, &j->id, j);
}

/* Credit of the host's that the process does not know of, in portions: half of what there is. */
static void top_up(struct child *c, struct job *j)
{
	uint32_t credit;
	if (j->held || j->state != JOB_SENT || j->suspect.state != SUSPICION_NONE)
		return;
	credit = MIN(c->streams->credit(j->out), MAX_CREDIT);
	if (credit <= j->outstanding || j->outstanding > credit / 2)
		return;
	wire_put_grant(c->out, j->id, credit - j->outstanding);
	j->outstanding = credit;
}

static void cancel(struct child *c, struct job *j)
{
	static const struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };
	if (j->state == JOB_WAITS) {
		end_job(c, j, &end);
		return;
	}
	if (j->cancelled_at)
		return;
	j->cancelled_at = c->now;
	c->n_cancelled++;
	drop_held(j);
	wire_put_cancel(c->out, j->id);
}

/* Of all jobs; the array's to free. */
static GPtrArray *suspects_of(const struct child *c)
{
	GPtrArray *all = g_ptr_array_new();
	for (struct job *j = c->jobs; j; j = j->next)
		g_ptr_array_add(all, &j->suspect);
	return all;
}

/* The next suspects may run, or everybody. */
static void go_on_with_trial(struct child *c)
{
	bool over;
	for (struct job *j = c->jobs; j; j = j->next)
		suspect_look(&j->suspect,
			     j->cancelled_at || (j->state == JOB_SENT && j->outstanding == 0),
			     c->now);
	g_autoptr(GPtrArray) all = suspects_of(c);
	(void)suspects_pick((struct suspect *const *)all->pdata, all->len, &over);
	if (!over)
		return;
	/* With the others it works: the deaths were not the backend's fault. */
	if (suspects_forget((struct suspect *const *)all->pdata, all->len, c->guilty) && c->guilty)
		c->n_fails = MIN(c->n_fails, 1);
	c->trial = c->guilty = false;
}

void jobs_send(struct child *c)
{
	bool trial = c->trial;
	for (struct job *j = c->jobs, *next; j; j = next) {
		next = j->next;
		if (j->state == JOB_WAITS && (j->again || j->resumed) && j->generates &&
		    !tale_is_new(&j->tale) && !c->resumes)
			fail_job(c, j, WEIR_E_UNAVAILABLE, NO_GOING_ON);
	}
	if (trial)
		go_on_with_trial(c);
	for (struct job *j = c->jobs; j; j = j->next) {
		if (j->state == JOB_WAITS && (!c->trial || j->suspect.state == SUSPICION_TRIED))
			send_job(c, j);
		else if (trial && !c->trial)
			top_up(c, j);
	}
}

/* ---- from the process ---- */

/* Was it told already by a process before? */
static bool is_repeated(const struct job *j, const struct weir_event *e)
{
	return (j->again || j->resumed) && tale_has(&j->tale, e);
}

/* False: it found no credit. */
static bool deliver(struct child *c, struct job *j, const struct weir_event *e)
{
	weir_status status = WEIR_OK;
	if (!is_repeated(j, e))
		status = c->bell ? c->streams->emit_with(j->out, e, c->bell)
				 : c->streams->emit(j->out, e);
	if (status == WEIR_E_NO_CREDIT)
		return false;
	j->outstanding--;
	if (e->type != WEIR_EVENT_STARTED)
		suspect_told(&j->suspect, c->now);
	if (status >= 0)
		tale_add(&j->tale, e);
	else
		cancel(c, j);
	return true;
}

static void hold(struct job *j, const char *line, size_t len)
{
	if (!j->held)
		j->held = g_queue_new();
	g_queue_push_tail(j->held, g_string_new_len(line, (gssize)len));
}

static void take_event(struct child *c, struct job *j, const char *line, size_t len,
		       const struct weir_event *e)
{
	guint n_held = j->held ? g_queue_get_length(j->held) : 0;
	if (e->seq != j->next_seq++) {
		child_give_up(c, "its events are out of order");
		return;
	}
	if (n_held >= j->outstanding) {
		child_give_up(c, "it sends more events than there is credit for");
		return;
	}
	if (j->cancelled_at) {
		j->outstanding--;
		return;
	}
	if (e->index >= j->tale.n) {
		child_give_up(c, "it sends an event of a choice that was not asked for");
		return;
	}
	if (j->held || !deliver(c, j, e))
		hold(j, line, len);
	else
		top_up(c, j);
}

void jobs_message(struct child *c, const char *line, size_t len, const struct wire_message *m)
{
	struct job *j = g_hash_table_lookup(c->by_id, &m->id);
	c->n_messages++;
	if (!j) {
		bool ours = g_hash_table_contains(c->left, &m->id);
		if (ours && m->kind == WIRE_END)
			g_hash_table_remove(c->left, &m->id);
		if (!ours && c->n_unknown++ < MAX_UNKNOWN)
			child_logf(c, WEIR_LOG_WARNING,
				   "its process speaks of request %" G_GUINT64_FORMAT
				   ", which nobody knows",
				   m->id);
		return;
	}
	if (m->kind == WIRE_EVENT) {
		take_event(c, j, line, len, &m->event);
	} else if (m->kind == WIRE_FAULT) {
		g_autofree char *text = g_strndup(m->text.data, m->text.len);
		child_logf(c, WEIR_LOG_MISBEHAVING, "its process does not understand a request: %s",
			   text);
		fail_job(c, j, WEIR_E_INTERNAL, text);
	} else if (j->held) {
		hold(j, line, len);
	} else {
		end_job(c, j, &m->end);
	}
}

/* Lines that have waited for credit. False: the job has ended. */
static bool release(struct child *c, struct job *j)
{
	GString *line;
	while (j->held && (line = g_queue_peek_head(j->held))) {
		struct wire_message m;
		if (wire_read(line->str, line->len, &c->scratch, &m) != NULL)
			return true; /* it has been read before */
		if (m.kind == WIRE_END) {
			end_job(c, j, &m.end);
			return false;
		}
		if (!deliver(c, j, &m.event))
			return true;
		if (!j->held) /* cancelled meanwhile */
			return true;
		g_string_free(g_queue_pop_head(j->held), TRUE);
		if (g_queue_is_empty(j->held))
			drop_held(j);
	}
	return true;
}

void job_look(struct child *c, struct job *j)
{
	if (!j->known) {
		enlist(c, j);
		if (c->phase == PHASE_FAILED) {
			fail_job(c, j, WEIR_E_UNAVAILABLE, c->info.error);
			return;
		}
		if (c->phase == PHASE_READY && !c->trial && !c->streams->cancelled(j->out))
			send_job(c, j);
	}
	if (c->streams->cancelled(j->out))
		cancel(c, j);
	else if (release(c, j))
		top_up(c, j);
}

/* ---- ends ---- */

/* Clients are told of no internals; the log is. */
static void fail_deadly(struct child *c, struct job *j)
{
	struct weir_str id = c->requests->field(j->request, "id");
	g_autofree char *text = g_strdup_printf(DEATHS_TEXT, j->suspect.deaths);
	child_logf(c, WEIR_LOG_ERROR, "request %.*s: %s", (int)MIN(id.len, 64), id.data, text);
	c->guilty = true;
	fail_job(c, j, WEIR_E_INTERNAL, text);
}

/* Who was computed when the process ended. Without credit nobody is, as those that are cleared. */
static void suspect_all(struct child *c)
{
	g_autoptr(GPtrArray) active = g_ptr_array_new(), sent = g_ptr_array_new();
	bool company = g_hash_table_size(c->left) > 0;
	for (struct job *j = c->jobs; j; j = j->next) {
		if (j->state != JOB_SENT)
			continue;
		company |= j->cancelled_at != 0;
		g_ptr_array_add(sent, &j->suspect);
		if (j->outstanding > 0 && !j->cancelled_at)
			g_ptr_array_add(active, &j->suspect);
	}
	GPtrArray *list = active->len > 0 ? active : sent;
	suspects_lost((struct suspect *const *)list->pdata, list->len, company, c->now);
}

void jobs_orphaned(struct child *c, const char *text)
{
	c->guilty &= c->trial;
	suspect_all(c);
	g_hash_table_remove_all(c->left);
	for (struct job *j = c->jobs, *next; j; j = next) {
		next = j->next;
		if (j->state != JOB_SENT)
			continue;
		g_hash_table_remove(c->by_id, &j->id);
		j->state = JOB_WAITS;
		drop_held(j);
		j->again = true;
		c->trial |= j->suspect.state == SUSPICION_WAITS && !j->suspect.ends;
		if (j->cancelled_at || c->streams->cancelled(j->out))
			cancel(c, j);
		else if (j->suspect.ends)
			fail_deadly(c, j);
		else if (c->m_resumed)
			c->metrics->add(c->m_resumed, 1);
	}
}

void jobs_end(struct child *c, weir_status status, const char *text)
{
	while (c->jobs)
		fail_job(c, c->jobs, status, text);
}

bool jobs_any_cancelled(const struct child *c)
{
	return c->n_cancelled > 0 || g_hash_table_size(c->left) > 0;
}

bool jobs_any_expected(const struct child *c)
{
	for (const struct job *j = c->jobs; j; j = j->next)
		if (j->state == JOB_SENT && !j->cancelled_at && !j->held && j->outstanding > 0)
			return true;
	return false;
}

bool jobs_overdue(struct child *c)
{
	static const struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };
	GHashTableIter it;
	gpointer value;
	for (struct job *j = c->n_cancelled ? c->jobs : NULL, *next; j; j = next) {
		next = j->next;
		if (!j->cancelled_at || c->now < j->cancelled_at + CANCEL_MS)
			continue;
		gint64 *key = g_memdup2(&j->id, sizeof(j->id));
		g_hash_table_insert(c->left, key, g_memdup2(&j->cancelled_at, sizeof(gint64)));
		end_job(c, j, &end);
	}
	g_hash_table_iter_init(&it, c->left);
	while (g_hash_table_iter_next(&it, NULL, &value))
		if (c->now >= *(gint64 *)value + c->hang_ms)
			return true;
	return false;
}
