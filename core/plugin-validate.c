/*
 * core/plugin-validate.c - is the table that weir_plugin_query() returned one that we can use?
 *
 * Called by the registry and by `weir check` on main. Reads nothing beyond the sizes that the
 * plugin states, and trusts no string pointer before it has looked at it.
 */
#include "registry.h"

#include <string.h>

#include <glib.h>

#include "log.h"
#include "options.h"

#define MAX_COMPONENTS 64
#define MAX_OPTIONS    256

static const char *const role_names[] = { "role 0", "frontend", "backend", "middleware",
					  "command" };
static const char *const sanitizer_names[] = { "no sanitizer", "AddressSanitizer",
					       "ThreadSanitizer" };

const char *weir_role_name(uint32_t role)
{
	return role < G_N_ELEMENTS(role_names) ? role_names[role] : "unknown role";
}

static const char *sanitizer_name(uint32_t kind)
{
	return kind < G_N_ELEMENTS(sanitizer_names) ? sanitizer_names[kind]
						    : "an unknown sanitizer";
}

static weir_status validate_abi(const struct weir_plugin *plugin, struct weir_error *err)
{
	if (plugin->size < sizeof(*plugin))
		return weir_fail(err, WEIR_E_INVALID,
				 "struct weir_plugin is %u bytes, at least %zu: was size set?",
				 plugin->size, sizeof(*plugin));
	uint32_t major = plugin->abi >> 16, minor = plugin->abi & 0xffff;
	/* Major 0 promises nothing from one minor to the next. */
	bool same = major == WEIR_ABI_MAJOR && (WEIR_ABI_MAJOR > 0 || minor == WEIR_ABI_MINOR);
	if (!same)
		return weir_fail(err, WEIR_E_INVALID,
				 "built for ABI %u.%u, this is %u.%u: rebuild it with this "
				 "release's headers",
				 major, minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
	if (plugin->abi_min >> 16 != WEIR_ABI_MAJOR || plugin->abi_min > WEIR_ABI)
		return weir_fail(err, WEIR_E_INVALID,
				 "needs a host of ABI %u.%u or newer, this is %u.%u",
				 plugin->abi_min >> 16, plugin->abi_min & 0xffff, WEIR_ABI_MAJOR,
				 WEIR_ABI_MINOR);
	if (plugin->sanitizer != WEIR_SANITIZER)
		return weir_fail(err, WEIR_E_INVALID,
				 "built with %s, this host with %s: build both alike",
				 sanitizer_name(plugin->sanitizer), sanitizer_name(WEIR_SANITIZER));
	if (!plugin->name || !*plugin->name || !plugin->version)
		return weir_fail(err, WEIR_E_INVALID, "the plugin has no name or no version");
	if (!plugin->components || !plugin->components[0])
		return weir_fail(err, WEIR_E_INVALID, "the plugin has no components");
	return WEIR_OK;
}

static weir_status validate_options(const struct weir_component *component, struct weir_error *err)
{
	const struct weir_option *const *options = component->options;
	for (size_t i = 0; options && options[i]; i++) {
		struct weir_error why;
		if (i >= MAX_OPTIONS)
			return weir_fail(err, WEIR_E_INVALID, "%s: more than %d options",
					 component->id, MAX_OPTIONS);
		if (weir_option_check(options[i], &why) < 0)
			return weir_fail(err, WEIR_E_INVALID, "%s: %s", component->id, why.text);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(options[k]->key, options[i]->key))
				return weir_fail(err, WEIR_E_INVALID,
						 "%s: option %s is declared twice", component->id,
						 options[i]->key);
	}
	return WEIR_OK;
}

static weir_status validate_component(const struct weir_component *component,
				      struct weir_error *err)
{
	if (component->size < sizeof(*component))
		return weir_fail(err, WEIR_E_INVALID,
				 "a struct weir_component is %u bytes, at least %zu: was size set?",
				 component->size, sizeof(*component));
	const char *id = component->id;
	size_t n = id ? strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;
	if (n == 0 || n > 50 || id[n])
		return weir_fail(err, WEIR_E_INVALID,
				 "component id \"%.60s\": lower-case letters, digits and dashes",
				 id ? id : "(NULL)");
	if (component->role < WEIR_ROLE_FRONTEND || component->role > WEIR_ROLE_COMMAND)
		return weir_fail(err, WEIR_E_INVALID, "%s: role %u is unknown", id,
				 component->role);
	if (!component->create)
		return weir_fail(err, WEIR_E_INVALID, "%s: has no create()", id);
	if (!component->title || !component->help)
		return weir_fail(err, WEIR_E_INVALID, "%s: has no title or no help", id);
	return validate_options(component, err);
}

weir_status weir_plugin_validate(const struct weir_plugin *plugin, struct weir_error *err)
{
	weir_status status = validate_abi(plugin, err);
	for (size_t i = 0; status == WEIR_OK && plugin->components[i]; i++) {
		const struct weir_component *one = plugin->components[i];
		if (i >= MAX_COMPONENTS)
			return weir_fail(err, WEIR_E_INVALID, "more than %d components",
					 MAX_COMPONENTS);
		status = validate_component(one, err);
		for (size_t k = 0; status == WEIR_OK && k < i; k++) {
			const struct weir_component *other = plugin->components[k];
			if (other->role == one->role && !strcmp(other->id, one->id))
				status = weir_fail(err, WEIR_E_INVALID, "%s %s is listed twice",
						   weir_role_name(one->role), one->id);
		}
	}
	return status;
}
