/*
 * frontends/http/handle-api.c - from a request of an API route to its call: the body is parsed
 * here, or in the pool when it is large (a megabyte takes json-glib milliseconds).
 */
#include <string.h>

#include <api/body.h>

#include "answer.h"
#include "resume.h"
#include "handlers.h"
#include "routes.h"

#define PARSE_HERE (64u << 10)

struct parse_job {
	struct plane_job job;
	struct conn *conn; /* NULL: gone */
	const struct api_config *config;
	const struct api_endpoint *endpoint;
	struct buf text;
	atomic_bool gone; /* nobody waits: not worth the work */
	size_t charged;   /* taken over from the connection */
	struct api_body *body;
	struct api_error_list errors;
};

static void parsed(struct conn *c, struct api_body *body, const struct api_error_list *errors)
{
	if (!body)
		conn_respond_errors(c, errors->items, errors->n);
	else
		answer_start(c, body);
}

static void run_job(struct plane_job *job)
{
	struct parse_job *j = (struct parse_job *)job;
	if (!atomic_load(&j->gone))
		j->body = api_body_parse(j->config, j->endpoint, j->text.data, j->text.len,
					 &j->errors);
}

static void job_done(struct plane_job *job)
{
	struct parse_job *j = (struct parse_job *)job;
	atomic_fetch_sub(&job->plane->http->bodies, j->charged);
	if (j->conn)
		parsed(j->conn, g_steal_pointer(&j->body), &j->errors);
	api_body_free(j->body);
	buf_free(&j->text);
	g_free(j);
}

static void job_gone(void *data)
{
	struct parse_job *j = data;
	j->conn = NULL;
	atomic_store(&j->gone, true);
}

static const struct conn_waiter job_waiter = { .gone = job_gone };

void handle_api(struct conn *c)
{
	const struct api_config *config = &c->plane->http->api.config;
	const struct api_endpoint *endpoint = api_endpoint_find(c->route->handler);
	struct buf *text = &c->req->body;
	const char *encoding = http_request_header(c->req, "content-encoding");
	if (resume_again(c, endpoint))
		return;
	if (encoding && g_ascii_strcasecmp(encoding, "identity") != 0) {
		conn_respond_error(c, 415, NULL, "a request body cannot be compressed here");
		return;
	}
	if (text->len <= PARSE_HERE) {
		struct api_error_list errors;
		struct api_body *body =
			api_body_parse(config, endpoint, text->data, text->len, &errors);
		parsed(c, body, &errors);
		return;
	}
	struct parse_job *j = g_new0(struct parse_job, 1);
	j->job.run = run_job;
	j->job.done = job_done;
	j->conn = c;
	j->config = config;
	j->endpoint = endpoint;
	j->text = *text;
	j->charged = c->charged;
	c->charged = 0;
	*text = (struct buf){ NULL, 0, 0 };
	conn_wait(c, &job_waiter, j);
	plane_job_push(c->plane, &j->job);
}
