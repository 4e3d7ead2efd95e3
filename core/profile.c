/*
 * core/profile.c - see profile.h: from sections to components with normalised options.
 */
#include "profile.h"

#include <string.h>

#include "instance.h"
#include "isolation.h"
#include "log.h"
#include "nearest.h"
#include "profile-value.h"

extern char **environ;

struct check {
	struct weir_lookup lookup;
	const struct weir_registry *registry;
	struct weir_core *core;
	struct weir_profile *profile;
};

void weir_profile_part_free(struct weir_profile_part *part)
{
	if (!part)
		return;
	for (unsigned i = 0; i < part->conf->len; i++) {
		char *value = (char *)g_array_index(part->conf, struct weir_kv, i).value;
		explicit_bzero(value, strlen(value)); /* it may be a secret */
		g_free(value);
	}
	g_array_unref(part->conf);
	g_strfreev(part->serves);
	g_free(part->section);
	g_free(part);
}

void weir_profile_free(struct weir_profile *profile)
{
	if (!profile)
		return;
	g_ptr_array_unref(profile->backends);
	g_ptr_array_unref(profile->middleware);
	g_ptr_array_unref(profile->frontends);
	g_ptr_array_unref(profile->notes);
	weir_settings_clear(&profile->settings);
	g_free(profile->path);
	g_free(profile);
}

/* An option that may change without a new instance. */
static bool is_live(const struct weir_component *component, const char *key)
{
	for (size_t i = 0; component->options && component->options[i]; i++)
		if (!strcmp(component->options[i]->key, key))
			return component->options[i]->flags & WEIR_OPTION_LIVE;
	return false;
}

bool weir_profile_part_same(const struct weir_profile_part *a, const struct weir_profile_part *b)
{
	if (a->component != b->component || a->inner != b->inner || a->conf->len != b->conf->len)
		return false;
	for (unsigned i = 0; i < a->conf->len; i++) {
		const struct weir_kv *x = &g_array_index(a->conf, struct weir_kv, i);
		const struct weir_kv *y = &g_array_index(b->conf, struct weir_kv, i);
		if (strcmp(x->key, y->key) ||
		    (strcmp(x->value, y->value) && !is_live(a->component, x->key)))
			return false;
	}
	return true;
}

bool weir_profile_part_equal(const struct weir_profile_part *a, const struct weir_profile_part *b)
{
	if (!weir_profile_part_same(a, b))
		return false;
	const char *const *s = (const char *const *)a->serves, *const *t = (const char *const *)
										   b->serves;
	return (!s && !t) || (s && t && g_strv_equal(s, t));
}

static void note(struct check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void note(struct check *check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	g_ptr_array_add(check->profile->notes, g_strdup_vprintf(format, args));
	va_end(args);
}

/* Why a component is not there: a file of its name that was refused, or a name that is near. */
static char *explain_missing(const struct check *check, uint32_t role, const char *id)
{
	g_autofree char *file = g_strdup_printf("weir-%s.so", id);
	const struct weir_refusal *refusal;
	for (size_t i = 0; (refusal = weir_registry_refusal(check->registry, i)); i++) {
		g_autofree char *base = g_path_get_basename(refusal->path);
		if (!strcmp(base, file))
			return g_strdup_printf("%s was refused: %s", refusal->path,
					       refusal->reason);
	}
	g_autoptr(GPtrArray) ids = g_ptr_array_new();
	const struct weir_registry_entry *entry;
	for (size_t i = 0; (entry = weir_registry_entry(check->registry, i)); i++)
		if (entry->component->role == role)
			g_ptr_array_add(ids, (char *)entry->component->id);
	const char *near = weir_nearest(id, (const char *const *)ids->pdata, ids->len);
	if (near)
		return g_strdup_printf("no %s of that name is loaded; did you mean %s?",
				       weir_role_name(role), near);
	return g_strdup_printf("no %s of that name is loaded (`weir inspect` lists what is)",
			       weir_role_name(role));
}

/* A lower score is a last resort: it runs, but the user would rather have the next in the list. */
enum { LAST_RESORT = 10 };

/* Does a candidate of the list from `rest` on have a better score than a last resort's? */
static bool has_better(struct check *check, uint32_t role, char *const *rest, int32_t score)
{
	for (; score < LAST_RESORT && *rest; rest++) {
		const struct weir_registry_entry *entry =
			weir_registry_find(check->registry, role, *rest);
		struct weir_error why;
		if (entry && weir_component_probe(check->core, entry->component, &why) > score)
			return true;
	}
	return false;
}

/* A section that names no plugin may be another one's name with a slip of the pen. */
static const char *near_section(const struct check *check, const char *name)
{
	const struct weir_ini *ini = check->lookup.ini;
	if (weir_ini_key(weir_ini_section(ini, name), "plugin"))
		return NULL;
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	for (unsigned i = 0; i < ini->sections->len; i++) {
		const struct weir_ini_section *other = g_ptr_array_index(ini->sections, i);
		if (strchr(other->name, '.') && strcmp(other->name, name) != 0)
			g_ptr_array_add(names, other->name);
	}
	return weir_nearest(name, (const char *const *)names->pdata, names->len);
}

/* The first of the candidates that can run; a last resort only where no later one is better.
 * *ret_all_known: every candidate is loaded. */
static const struct weir_component *choose(struct check *check, const char *section, uint32_t role,
					   char *const *candidates, struct weir_origin origin,
					   bool *ret_all_known)
{
	const struct weir_component *chosen = NULL;
	g_autoptr(GString) reasons = g_string_new(NULL);
	*ret_all_known = true;
	for (size_t i = 0; candidates[i]; i++) {
		const struct weir_registry_entry *entry =
			weir_registry_find(check->registry, role, candidates[i]);
		g_autofree char *reason = NULL;
		if (!entry) {
			*ret_all_known = false;
			reason = explain_missing(check, role, candidates[i]);
		} else if (!chosen) {
			struct weir_error why;
			int32_t score = weir_component_probe(check->core, entry->component, &why);
			if (score > 0 && !has_better(check, role, candidates + i + 1, score)) {
				chosen = entry->component;
				if (candidates[1])
					note(check, "[%s] uses %s%s%s", section, candidates[i],
					     *why.text ? ": " : "", why.text);
				continue;
			}
			reason = g_utf8_make_valid(why.text, -1);
		}
		if (!reason)
			continue;
		g_string_append_printf(reasons, "%s%s: %s", reasons->len ? "; " : "", candidates[i],
				       reason);
		if (!chosen)
			note(check, "[%s] not %s: %s", section, candidates[i], reason);
	}
	const char *near = chosen ? NULL : near_section(check, section);
	if (near)
		g_string_append_printf(reasons, "; did you mean the section [%s]?", near);
	if (!chosen)
		weir_problem(check->lookup.problems, origin, section, "plugin", "%s", reasons->str);
	return chosen;
}

static const struct weir_option *find_option(const struct weir_option *const *options,
					     const char *key)
{
	for (size_t i = 0; options && options[i]; i++)
		if (!strcmp(options[i]->key, key))
			return options[i];
	return NULL;
}

static void check_keys(struct check *check, const struct weir_ini_section *section, uint32_t role,
		       const struct weir_component *chosen, char *const *candidates, bool all_known)
{
	const struct weir_option *const *common = weir_host_options(weir_role_name(role));
	g_autoptr(GPtrArray) known = g_ptr_array_new();
	for (size_t i = 0; common[i]; i++)
		g_ptr_array_add(known, (char *)common[i]->key);
	for (size_t i = 0; chosen->options && chosen->options[i]; i++)
		g_ptr_array_add(known, (char *)chosen->options[i]->key);
	for (unsigned i = 0; section && i < section->keys->len; i++) {
		const struct weir_ini_key *key = g_ptr_array_index(section->keys, i);
		if (g_ptr_array_find_with_equal_func(known, key->name, g_str_equal, NULL))
			continue;
		bool elsewhere = false;
		for (size_t k = 0; candidates[k]; k++) {
			const struct weir_registry_entry *entry =
				weir_registry_find(check->registry, role, candidates[k]);
			elsewhere |= entry && find_option(entry->component->options, key->name);
		}
		if (elsewhere)
			continue;
		/* It may belong to a candidate that is not installed on this machine. */
		if (!all_known &&
		    !weir_nearest(key->name, (const char *const *)known->pdata, known->len))
			note(check, "[%s] %s is no option of %s; overlooked", section->name,
			     key->name, chosen->id);
		else
			weir_lookup_unknown(&check->lookup, section->name, key, known);
	}
}

static void read_conf(struct check *check, struct weir_profile_part *part)
{
	const struct weir_option *const *options = part->component->options;
	for (size_t i = 0; options && options[i]; i++) {
		char *value = weir_lookup_value(&check->lookup, part->section, options[i]);
		if (!value)
			continue;
		struct weir_kv pair = { options[i]->key, value };
		g_array_append_val(part->conf, pair);
	}
}

static char **read_list(struct check *check, const char *section, const struct weir_option *option,
			const char *otherwise)
{
	g_autofree char *text = weir_lookup_value(&check->lookup, section, option);
	return g_strsplit(text ? text : otherwise, ",", -1);
}

static void isolate(struct check *check, struct weir_profile_part *part,
		    const struct weir_ini_section *section, struct weir_origin origin)
{
	struct weir_error err;
	const struct weir_ini_key *key = section ? weir_ini_key(section, "isolation") : NULL;
	if (key)
		origin = weir_ini_key_origin(key);
	if (!weir_isolation_component(check->registry)) {
		g_autofree char *why = explain_missing(check, WEIR_ROLE_BACKEND, "child");
		weir_problem(check->lookup.problems, origin, part->section, "isolation",
			     "needs the component child: %s", why);
		return;
	}
	if (weir_isolation_wrap(part, &check->profile->settings, check->registry,
				part->life.hang_timeout_ms, &err) < 0)
		weir_problem(check->lookup.problems, origin, part->section, err.param, "%s",
			     err.text);
}

/* One [frontend.x], [backend.x] or middleware; section NULL: a middleware without one. */
static void add_part(struct check *check, const char *name, const struct weir_ini_section *section,
		     uint32_t role, struct weir_origin origin, GPtrArray *to)
{
	const struct weir_option *const *common = weir_host_options(weir_role_name(role));
	const char *tail = strchr(name, '.') + 1;
	g_auto(GStrv) candidates = read_list(check, name, find_option(common, "plugin"), tail);
	const struct weir_ini_key *key = section ? weir_ini_key(section, "plugin") : NULL;
	if (key)
		origin = weir_ini_key_origin(key);
	bool all_known;
	const struct weir_component *chosen =
		choose(check, name, role, candidates, origin, &all_known);
	if (!chosen)
		return;
	check_keys(check, section, role, chosen, candidates, all_known);
	struct weir_profile_part *part = g_new0(struct weir_profile_part, 1);
	part->section = g_strdup(name);
	part->component = chosen;
	part->conf = g_array_new(false, false, sizeof(struct weir_kv));
	if (role == WEIR_ROLE_BACKEND) {
		part->serves = read_list(check, name, find_option(common, "serves"), tail);
		weir_profile_life(&check->lookup, name, &part->life);
	}
	read_conf(check, part);
	if (part->life.isolated)
		isolate(check, part, section, origin);
	g_ptr_array_add(to, part);
}

static void add_chain(struct check *check)
{
	static const char *const known_key = "order";
	const struct weir_ini *ini = check->lookup.ini;
	const struct weir_ini_section *chain = weir_ini_section(ini, "chain");
	const struct weir_ini_key *order = weir_ini_key(chain, "order");
	g_autoptr(GPtrArray) known = g_ptr_array_new();
	g_ptr_array_add(known, (char *)known_key);
	for (unsigned i = 0; chain && i < chain->keys->len; i++) {
		const struct weir_ini_key *key = g_ptr_array_index(chain->keys, i);
		if (key != order)
			weir_lookup_unknown(&check->lookup, "chain", key, known);
	}
	struct weir_origin origin = order ? weir_ini_key_origin(order)
					  : (struct weir_origin){ check->profile->path, 0 };
	g_auto(GStrv) names = read_list(check, "chain", weir_host_options("chain")[0], "");
	for (size_t i = 0; names[i]; i++) {
		if (g_strv_contains((const char *const *)names + i + 1, names[i])) {
			weir_problem(check->lookup.problems, origin, "chain", "order",
				     "%s stands in it twice", names[i]);
			continue;
		}
		g_autofree char *name = g_strconcat("middleware.", names[i], NULL);
		add_part(check, name, weir_ini_section(ini, name), WEIR_ROLE_MIDDLEWARE, origin,
			 check->profile->middleware);
	}
	for (unsigned i = 0; i < ini->sections->len; i++) {
		const struct weir_ini_section *section = g_ptr_array_index(ini->sections, i);
		if (g_str_has_prefix(section->name, "middleware.") &&
		    !g_strv_contains((const char *const *)names, section->name + 11))
			weir_problem(check->lookup.problems, weir_ini_section_origin(section),
				     section->name, NULL,
				     "is not in [chain] order, so it would do nothing");
	}
	/* A deployment that asks for keys must not come up open because its profile has no auth. */
	const char *auth = g_getenv("AUTH_ENABLED");
	if (auth && !g_ascii_strcasecmp(auth, "true") &&
	    !g_strv_contains((const char *const *)names, "auth"))
		weir_problem(check->lookup.problems, origin, "chain", "order",
			     "AUTH_ENABLED=true is set and auth is not in the chain");
}

static void add_section(struct check *check, const struct weir_ini_section *section)
{
	static const char *const known[] = { "server", "chain", "frontend.NAME", "backend.NAME",
					     "middleware.NAME" };
	struct weir_origin origin = weir_ini_section_origin(section);
	const char *name = section->name;
	const char *dot = strchr(name, '.');
	bool named = dot && dot[1] && !strchr(dot + 1, '.');
	if (!strcmp(name, "server") || !strcmp(name, "chain"))
		return;
	if (named && g_str_has_prefix(name, "middleware."))
		return; /* the chain's turn */
	if (named && g_str_has_prefix(name, "frontend."))
		add_part(check, name, section, WEIR_ROLE_FRONTEND, origin,
			 check->profile->frontends);
	else if (named && g_str_has_prefix(name, "backend."))
		add_part(check, name, section, WEIR_ROLE_BACKEND, origin, check->profile->backends);
	else {
		static const char *const heads[] = { "server", "chain", "frontend", "backend",
						     "middleware" };
		g_autofree char *head =
			dot ? g_strndup(name, (size_t)(dot - name)) : g_strdup(name);
		const char *near = weir_nearest(head, heads, G_N_ELEMENTS(heads));
		size_t i = 0;
		while (near && near != heads[i])
			i++;
		weir_problem(check->lookup.problems, origin, name, NULL, "unknown section; %s%s%s",
			     near ? "did you mean [" : "known are ",
			     near ? known[i]
				  : "[server], [chain], [frontend.NAME], [backend.NAME] and "
				    "[middleware.NAME]",
			     near ? "]?" : "");
	}
}

/* WEIR_BACKEND_MIAN_MODEL=... would be lost without a word. */
static void note_unused_variables(struct check *check)
{
	static const char *const heads[] = { "WEIR_SERVER_", "WEIR_CHAIN_", "WEIR_FRONTEND_",
					     "WEIR_BACKEND_", "WEIR_MIDDLEWARE_" };
	for (char **one = environ; *one; one++) {
		for (size_t i = 0; i < G_N_ELEMENTS(heads); i++) {
			const char *equals = strchr(*one, '=');
			if (!equals || !g_str_has_prefix(*one, heads[i]))
				continue;
			g_autofree char *name = g_strndup(*one, (size_t)(equals - *one));
			if (!g_hash_table_contains(check->lookup.seen, name))
				note(check, "the environment's %s fits no section and option",
				     name);
		}
	}
}

struct weir_profile *weir_profile_check(const struct weir_ini *ini, const char *path,
					const struct weir_registry *registry,
					struct weir_core *core, struct weir_problems *problems)
{
	struct weir_profile *profile = g_new0(struct weir_profile, 1);
	profile->path = g_strdup(path);
	profile->backends = g_ptr_array_new_with_free_func((GDestroyNotify)weir_profile_part_free);
	profile->middleware =
		g_ptr_array_new_with_free_func((GDestroyNotify)weir_profile_part_free);
	profile->frontends = g_ptr_array_new_with_free_func((GDestroyNotify)weir_profile_part_free);
	profile->notes = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *folder = g_path_get_dirname(path);
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct check check = {
		.lookup = { .ini = ini, .folder = folder, .problems = problems, .seen = seen },
		.registry = registry,
		.core = core,
		.profile = profile,
	};
	weir_profile_settings(ini, path, &profile->settings, seen, problems);
	for (unsigned i = 0; i < ini->sections->len; i++)
		add_section(&check, g_ptr_array_index(ini->sections, i));
	add_chain(&check);
	if (profile->frontends->len == 0 && weir_problems_count(problems) == 0)
		weir_problem(problems, (struct weir_origin){ path, 0 }, NULL, NULL,
			     "nothing would listen: add a [frontend.http] section");
	if (profile->backends->len == 0)
		note(&check, "no [backend.NAME]: every request for a model will be refused");
	note_unused_variables(&check);
	if (weir_problems_count(problems) > 0)
		g_clear_pointer(&profile, weir_profile_free);
	return profile;
}
