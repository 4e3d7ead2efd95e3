/*
 * core/isolation.h - `isolation = process`: a [backend.NAME] section as the profile of a server of
 * its own, which the component `child` runs (backends/child).
 *
 * [main]. The part keeps its section's name; its component becomes `child`, its options what that
 * one is told: the generated profile with this one section and a frontend for the parent. Values go
 * there as they were checked and normalised here, so the other process says nothing about them.
 */
#ifndef WEIR_CORE_ISOLATION_H
#define WEIR_CORE_ISOLATION_H

#include "profile.h"

/* The component that runs processes; NULL: not loaded. */
const struct weir_component *weir_isolation_component(const struct weir_registry *);
/* Turns the part into one that is isolated. hang_timeout_ms: of a process that does not answer.
 * INVALID: a value cannot be written into a profile; the part is as it was. */
weir_status weir_isolation_wrap(struct weir_profile_part *, const struct weir_settings *,
				const struct weir_registry *, int64_t hang_timeout_ms,
				struct weir_error *err);
/* The sections that a reload may change without another process, and the rest. g_free(). NULL: err.
 */
char *weir_isolation_settings(const struct weir_settings *, const struct weir_registry *);
char *weir_isolation_profile(const struct weir_profile_part *, struct weir_error *err);

#endif
