/*
 * core/check-rig.c - see check-rig.h.
 *
 * The backend gets the host's own stream functions through a thin spy that counts how often it asks
 * in vain. The spy's state is the one mutable static of the core: emit() carries no pointer of
 * ours, and the process runs one case only.
 */
#include "check-rig.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weir/middleware.h>

#include "check-producer.h"
#include "gateway.h"
#include "host.h"
#include "log.h"

#define GRACE_MS  2000
#define RIG_MODEL "check"

static struct {
	pthread_mutex_t lock;
	const struct weir_stream_api *real;
	struct weir_stream_api api;
	unsigned in_vain, most;
} spy = { .lock = PTHREAD_MUTEX_INITIALIZER };

static weir_status spy_emit(weir_stream *out, const struct weir_event *event)
{
	weir_status status = spy.real->emit(out, event);
	pthread_mutex_lock(&spy.lock);
	spy.in_vain = status == WEIR_E_NO_CREDIT ? spy.in_vain + 1 : 0;
	spy.most = MAX(spy.most, spy.in_vain);
	pthread_mutex_unlock(&spy.lock);
	return status;
}

static const void *spy_get_ext(const struct weir_host *host, const char *id)
{
	struct weir_host real;
	weir_host_init(&real, host->data, host->instance);
	if (!id || strcmp(id, WEIR_HOST_STREAM) != 0)
		return real.get_ext(&real, id);
	return &spy.api;
}

unsigned weir_check_rig_spins(void)
{
	pthread_mutex_lock(&spy.lock);
	unsigned most = spy.most;
	pthread_mutex_unlock(&spy.lock);
	return most;
}

static void ring(void *data)
{
	const struct weir_check_rig *rig = data;
	uint64_t one = 1;
	ssize_t n = write(rig->bell, &one, sizeof(one));
	(void)n;
}

static void dispatch(struct weir_check_rig *rig, int ms)
{
	struct pollfd poll_bell = { .fd = rig->bell, .events = POLLIN };
	uint64_t count;
	if (poll(&poll_bell, 1, ms) > 0 && read(rig->bell, &count, sizeof(count)) > 0)
		rig->gateway->dispatch(rig->loop);
}

static bool wait_ready(struct weir_check_rig *rig)
{
	int64_t end = g_get_monotonic_time() + (int64_t)rig->check->patience_s * 1000000;
	enum weir_router_state state;
	while ((state = weir_router_state(rig->check->core.router)) == WEIR_ROUTER_LOADING &&
	       g_get_monotonic_time() < end)
		usleep(2000);
	if (state == WEIR_ROUTER_READY)
		return true;
	weir_check_skip(rig->check, "the backend did not get ready: %s",
			state == WEIR_ROUTER_FAILED ? "load() failed (give --option model=FILE)"
						    : "still loading");
	return false;
}

static weir_status connect(struct weir_check_rig *rig, struct weir_error *err)
{
	static const char *const serves[] = { RIG_MODEL, NULL };
	struct weir_core *core = &rig->check->core;
	struct weir_instance *backend = rig->producer ? rig->producer : rig->part->instance;
	const struct weir_backend_binding binding = {
		.name = "backend.check",
		.component = rig->check->component->id,
		.instance = backend,
		.serves = serves,
	};
	weir_status status = rig->producer ? rig->producer->start(rig->producer, err) : WEIR_OK;
	if (status == WEIR_OK)
		status = weir_part_start(rig->part, err);
	if (status == WEIR_OK && rig->check->component->role == WEIR_ROLE_MIDDLEWARE)
		status = weir_router_set_chain(core->router, &rig->part->instance, 1, err);
	if (status == WEIR_OK)
		status = weir_router_add_backend(core->router, &binding, err);
	if (status == WEIR_OK)
		status = weir_router_start(core->router, err);
	return status;
}

static bool open_rig(struct weir_check_rig *rig, struct weir_check *check, bool any_role)
{
	const struct weir_router_options options = {
		.max_queue = 1000,
		.park_after_ms = 500,
		.cancel_grace_ms = GRACE_MS,
		.n_workers = 2,
	};
	struct weir_error err;
	memset(rig, 0, sizeof(*rig));
	rig->check = check;
	bool middle = check->component->role == WEIR_ROLE_MIDDLEWARE;
	bool front = check->component->role == WEIR_ROLE_FRONTEND;
	if (check->component->role != WEIR_ROLE_BACKEND && !middle && !(any_role && front)) {
		weir_check_absent(check);
		return false;
	}
	if (weir_router_new(&check->core, &options, &check->core.router, &err) != WEIR_OK) {
		weir_check_fail(check, "%s", err.text);
		return false;
	}
	spy.real = weir_gateway_extension(WEIR_HOST_STREAM);
	spy.api = *spy.real;
	spy.api.emit = spy_emit;
	struct weir_host host;
	weir_host_init(&host, &check->core, "check");
	host.get_ext = spy_get_ext;
	rig->part = weir_check_create(check, &host);
	if (!rig->part)
		return false;
	if (middle) {
		const struct weir_middleware *api = weir_part_ext(rig->part, WEIR_MIDDLEWARE);
		rig->fanout = api && api->fanout ? api->fanout : 1;
	}
	if (middle || front) {
		weir_host_init(&rig->host, &check->core, "backend.check");
		rig->producer = weir_check_producer_new(&rig->host);
	}
	if (connect(rig, &err) != WEIR_OK) {
		weir_check_skip(check, "%s", err.text);
		return false;
	}
	if (!wait_ready(rig))
		return false;
	weir_host_init(&rig->host, &check->core, "frontend.check");
	rig->gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	rig->streams = spy.real;
	rig->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig->loop = rig->gateway->loop_new(&rig->host, ring, rig);
	return true;
}

bool weir_check_rig_open(struct weir_check_rig *rig, struct weir_check *check)
{
	return open_rig(rig, check, false);
}

bool weir_check_rig_open_frontend(struct weir_check_rig *rig, struct weir_check *check)
{
	return open_rig(rig, check, true);
}

void weir_check_rig_close(struct weir_check_rig *rig)
{
	weir_router_stop(rig->check->core.router);
	weir_check_pump_all(rig, 20);
	weir_part_stop(rig->part);
	rig->gateway->loop_free(rig->loop);
	weir_router_free(rig->check->core.router);
	rig->check->core.router = NULL;
	if (rig->producer) {
		rig->producer->stop(rig->producer);
		rig->producer->destroy(rig->producer);
	}
	weir_part_destroy(rig->part);
	close(rig->bell);
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *event)
{
	struct weir_check_stream *one = data;
	if (event->type == WEIR_EVENT_STARTED)
		one->started = true;
	else if (!one->started)
		one->early = true;
	if (event->seq != one->next_seq)
		one->gap = true;
	one->next_seq = event->seq + 1;
	one->n_events++;
	if (event->text.len > 0)
		g_string_append_len(one->text, event->text.data, (gssize)event->text.len);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct weir_check_stream *one = data;
	one->n_ends++;
	one->stream = NULL;
	one->status = end->status;
	if (end->text.len > 0)
		g_string_append_len(one->error, end->text.data, (gssize)end->text.len);
}

weir_status weir_check_open(struct weir_check_rig *rig, struct weir_check_stream *one,
			    weir_request *request, uint32_t credit, struct weir_error *err)
{
	static const struct weir_sink sink = { sizeof(sink), 0, on_event, on_end };
	memset(one, 0, sizeof(*one));
	memset(err, 0, sizeof(*err));
	one->rig = rig;
	one->text = g_string_new(NULL);
	one->error = g_string_new(NULL);
	return rig->gateway->open(&rig->host, rig->loop, request, &sink, one, credit, &one->stream,
				  err);
}

bool weir_check_ask(struct weir_check_rig *rig, struct weir_check_stream *one, uint32_t credit,
		    uint32_t max_tokens)
{
	static const struct weir_kv fields[] = {
		{ "kind", "chat" },
		{ "id", "check-1" },
		{ "model", RIG_MODEL },
		{ "messages",
		  "[{\"role\":\"user\",\"content\":\"one two three four five six seven eight\"}]" },
	};
	const struct weir_sampling sampling = {
		.size = sizeof(sampling),
		.seed_set = 1,
		.seed = 1,
		.top_p = 1,
		.typical_p = 1,
		.repetition_penalty = 1,
	};
	const struct weir_limits limits = { .size = sizeof(limits),
					    .max_tokens = max_tokens,
					    .n = 1 };
	struct weir_error err;
	weir_request *request = rig->gateway->request_new(&rig->host, fields, G_N_ELEMENTS(fields),
							  &sampling, &limits);
	if (weir_check_open(rig, one, request, credit, &err) == WEIR_OK)
		return true;
	weir_check_fail(rig->check, "the request was refused: %s", err.text);
	return false;
}

bool weir_check_pump(struct weir_check_stream *one, int ms)
{
	int64_t end = g_get_monotonic_time() + (int64_t)ms * 1000;
	while (one->n_ends == 0 && g_get_monotonic_time() < end)
		dispatch(one->rig, 5);
	return one->n_ends > 0;
}

void weir_check_pump_all(struct weir_check_rig *rig, int ms)
{
	int64_t end = g_get_monotonic_time() + (int64_t)ms * 1000;
	do
		dispatch(rig, 5);
	while (g_get_monotonic_time() < end);
}

void weir_check_stream_clear(struct weir_check_stream *one)
{
	g_string_free(one->text, true);
	g_string_free(one->error, true);
}
