/*
 * core/instance.c - see instance.h.
 */
#include "instance.h"

#include <string.h>

#include <glib.h>

#include "host.h"
#include "log.h"

/* A plugin may fail without a word, or with a text that lacks its end. */
static weir_status explain(const char *section, const char *what, weir_status status,
			   struct weir_error *why, struct weir_error *err)
{
	why->text[sizeof(why->text) - 1] = '\0';
	why->param[sizeof(why->param) - 1] = '\0';
	g_autofree char *text = g_utf8_make_valid(why->text, -1);
	g_autofree char *param = g_utf8_make_valid(why->param, -1);
	weir_fail(err, status, "[%s] %s%s%s", section, param, *param ? ": " : "",
		  *text ? text : what);
	return status;
}

weir_status weir_part_create(struct weir_core *core, const char *section,
			     const struct weir_component *component, const struct weir_kv *conf,
			     size_t n_conf, struct weir_part **ret, struct weir_error *err)
{
	struct weir_host host;
	weir_host_init(&host, core, section);
	return weir_part_create_behind(&host, section, component, conf, n_conf, ret, err);
}

weir_status weir_part_create_behind(const struct weir_host *host, const char *section,
				    const struct weir_component *component,
				    const struct weir_kv *conf, size_t n_conf,
				    struct weir_part **ret, struct weir_error *err)
{
	struct weir_part *part = g_new0(struct weir_part, 1);
	part->section = g_strdup(section);
	part->component = component;
	part->host = *host;
	part->host.instance = part->section;
	struct weir_error why;
	memset(&why, 0, sizeof(why));
	weir_status status = component->create(&part->host, conf, n_conf, &part->instance, &why);
	if (status < 0) {
		part->instance = NULL; /* set only on success, says the contract: do not trust it */
		status = explain(section, "create() failed without a reason", status, &why, err);
		goto fail;
	}
	const struct weir_instance *instance = part->instance;
	if (!instance) {
		status = weir_fail(err, WEIR_E_INTERNAL,
				   "[%s] plugin %s: create() returned OK and no instance", section,
				   component->id);
		goto fail;
	}
	if (instance->size < sizeof(*instance)) {
		status = weir_fail(err, WEIR_E_INTERNAL,
				   "[%s] plugin %s: struct weir_instance is %u bytes, at least "
				   "%zu: was size set?",
				   section, component->id, instance->size, sizeof(*instance));
		part->instance = NULL; /* its destroy() cannot be trusted either */
		goto fail;
	}
	if (!instance->destroy) {
		status = weir_fail(err, WEIR_E_INTERNAL,
				   "[%s] plugin %s: the instance has no destroy()", section,
				   component->id);
		part->instance = NULL;
		goto fail;
	}
	*ret = part;
	return WEIR_OK;
fail:
	weir_part_destroy(part);
	return status;
}

weir_status weir_part_start(struct weir_part *part, struct weir_error *err)
{
	struct weir_error why;
	memset(&why, 0, sizeof(why));
	if (part->state != WEIR_PART_CREATED)
		return WEIR_OK;
	if (part->instance->start) {
		weir_status status = part->instance->start(part->instance, &why);
		if (status < 0)
			return explain(part->section, "start() failed without a reason", status,
				       &why, err);
	}
	part->state = WEIR_PART_RUNNING;
	return WEIR_OK;
}

void weir_part_drain(struct weir_part *part)
{
	if (part->state != WEIR_PART_RUNNING)
		return;
	part->state = WEIR_PART_DRAINING;
	if (part->instance->drain)
		part->instance->drain(part->instance);
}

void weir_part_stop(struct weir_part *part)
{
	if (part->state != WEIR_PART_RUNNING && part->state != WEIR_PART_DRAINING)
		return;
	part->state = WEIR_PART_STOPPED;
	if (part->instance->stop)
		part->instance->stop(part->instance);
}

void weir_part_destroy(struct weir_part *part)
{
	if (!part)
		return;
	if (part->instance) {
		weir_part_stop(part);
		part->instance->destroy(part->instance);
	}
	g_free(part->section);
	g_free(part);
}

const void *weir_part_ext(const struct weir_part *part, const char *id)
{
	return part->instance->get_ext ? part->instance->get_ext(part->instance, id) : NULL;
}

int32_t weir_component_probe(struct weir_core *core, const struct weir_component *component,
			     struct weir_error *why)
{
	struct weir_host host;
	weir_host_init(&host, core, "");
	memset(why, 0, sizeof(*why));
	if (!component->probe)
		return 50;
	int32_t score = component->probe(&host, why);
	why->text[sizeof(why->text) - 1] = '\0';
	if (score <= 0 && !*why->text)
		g_strlcpy(why->text, "probe() gave no reason", sizeof(why->text));
	return CLAMP(score, 0, 100);
}
