/*
 * core/profile-replicas.h - which names of a profile more than one backend serves: on purpose, they
 * are replicas of one model, or since a line was copied; so it is told. [main]
 */
#ifndef WEIR_CORE_PROFILE_REPLICAS_H
#define WEIR_CORE_PROFILE_REPLICAS_H

#include <glib.h>

/* Of the backends (struct weir_profile_part): calls each() for every name, in the order of the
 * profile, with the sections that serve it (char *, at least one). */
void weir_replicas_each(const GPtrArray *backends,
			void (*each)(void *data, const char *name, const GPtrArray *sections),
			void *data);
/* char *: `"m" is served by backend.a and backend.b`, for each name with several. Unref it. */
GPtrArray *weir_replicas_lines(const GPtrArray *backends);

#endif
