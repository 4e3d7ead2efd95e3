/*
 * gateway-report.c - what the router knows of a backend that tells about itself (weir.report/1): a
 * level-A instance whose work is done elsewhere, as with isolation = process. Of the others it
 * knows by their scheduler. Any thread.
 */
#include "gateway-router.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "metrics-import.h"

const struct weir_report *weir_slot_report(const struct weir_slot *slot)
{
	return atomic_load(&((struct weir_slot *)slot)->phase) == WEIR_SLOT_BOUND ? slot->report
										  : NULL;
}

bool weir_slot_is_watched(const struct weir_slot *slot)
{
	return weir_slot_report(slot) != NULL;
}

void weir_slot_bind_report(struct weir_slot *slot)
{
	const struct weir_report *report = slot->instance->get_ext(slot->instance, WEIR_REPORT);

	if (!report || !WEIR_HAS(struct weir_report, report, info))
		return;
	slot->report = report;
	slot->adapters = slot->instance->get_ext(slot->instance, WEIR_ADAPTERS);
	if (slot->adapters && !WEIR_HAS(struct weir_adapters, slot->adapters, name))
		slot->adapters = NULL;
}

static void ask(const struct weir_slot *slot, struct weir_report_info *ret)
{
	*ret = (struct weir_report_info){ .size = sizeof(*ret), .state = WEIR_REPORT_READY };
	slot->report->info(slot->instance, ret);
	ret->error[sizeof(ret->error) - 1] = '\0';
}

enum weir_router_state weir_slot_reported(const struct weir_slot *slot, char *ret_error,
					  size_t error_size)
{
	struct weir_report_info info;

	ask(slot, &info);
	if (info.state == WEIR_REPORT_FAILED && ret_error)
		g_strlcpy(ret_error, info.error[0] ? info.error : "it failed without a reason",
			  error_size);
	return info.state == WEIR_REPORT_FAILED    ? WEIR_ROUTER_FAILED
	       : info.state == WEIR_REPORT_LOADING ? WEIR_ROUTER_LOADING
						   : WEIR_ROUTER_READY;
}

bool weir_slot_is_away(const struct weir_slot *slot)
{
	struct weir_report_info info;

	if (atomic_load(&((struct weir_slot *)slot)->hung))
		return true;
	if (!weir_slot_report(slot))
		return false;
	ask(slot, &info);
	return info.is_away;
}

bool weir_slot_report_model(const struct weir_slot *slot, struct weir_scheduler_status *ret)
{
	struct weir_report_info info;

	if (!weir_slot_report(slot))
		return false;
	ask(slot, &info);
	ret->model.n_ctx = info.n_ctx;
	ret->model.max_rows = info.max_rows;
	ret->model.bytes_weights = info.bytes_weights;
	ret->model.bytes_kv = info.bytes_kv;
	ret->waiting = info.n_waiting;
	return true;
}

const char *weir_slot_adapter(const struct weir_slot *slot, uint32_t i)
{
	const struct weir_scheduler *scheduler = weir_slot_scheduler(slot);

	if (scheduler)
		return weir_scheduler_adapter(scheduler, i);
	if (!weir_slot_report(slot) || !slot->adapters || i == 0 || i > 4096)
		return NULL;
	return slot->adapters->name(slot->instance, i);
}

void weir_slot_append_report(const struct weir_slot *slot, GString *json)
{
	const struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	char *members;

	/* A process that started this one asks for it. */
	if (atomic_load(&((struct weir_slot *)slot)->phase) != WEIR_SLOT_BOUND)
		return;
	if (scheduler || (!slot->report && slot->instance->get_ext(slot->instance, WEIR_RESUME)))
		g_string_append(json, ",\"resume\":true");
	if (!weir_slot_report(slot) || !WEIR_HAS(struct weir_report, slot->report, health))
		return;
	members = slot->report->health(slot->instance);
	if (members && *members)
		g_string_append_printf(json, ",%s", members);
	free(members);
}

void weir_slot_import(struct weir_slot *slot)
{
	char *text;
	uint64_t life = 0;

	if (!weir_slot_report(slot) || !WEIR_HAS(struct weir_report, slot->report, metrics))
		return;
	text = slot->report->metrics(slot->instance, &life);
	pthread_mutex_lock(&slot->lock);
	if (text && !slot->import)
		slot->import = weir_metric_import_new(slot->router->core->metrics);
	if (slot->import)
		weir_metric_import_take(slot->import, life, text ? text : "", slot->model);
	pthread_mutex_unlock(&slot->lock);
	free(text);
}
