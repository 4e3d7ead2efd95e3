/*
 * core/check.h - `weir check`: does a plugin keep the contract?
 *
 * Each case runs in a forked child of its own with a time limit: a crash, a hang or a leak is a
 * verdict, not the end of the run. The parent never loads the plugin. A case gets a struct
 * weir_check, records what it finds and returns; what it created need not be torn down after a
 * failure, the child ends.
 */
#ifndef WEIR_CORE_CHECK_H
#define WEIR_CORE_CHECK_H

#include <stdbool.h>

#include <glib.h>

#include "core.h"
#include "instance.h"

enum weir_check_verdict {
	WEIR_CHECK_OK = 'o',
	WEIR_CHECK_FAILED = 'f',
	WEIR_CHECK_SKIPPED = 's', /* something is missing that the user could give */
	WEIR_CHECK_ABSENT = 'a',  /* does not concern this component; not shown */
};

#define WEIR_CHECK_TRACE 256 /* bytes of struct weir_check.trace */

struct weir_check {
	const char *path;
	const GPtrArray *options;         /* "key=value" of the command line */
	const struct weir_plugin *plugin; /* NULL in the scan section: it looks itself */
	const struct weir_component *component;
	struct weir_core core; /* log and metrics are there */
	int patience_s;        /* how long an answer may take */
	uint64_t seed;         /* of what is random */
	int effort_s;          /* how long a case of section fuzz goes on */
	bool log_read;
	int log_fd;         /* what was logged, to be looked through for MISBEHAVING */
	char *trace;        /* what the case is at: shown when it crashes or hangs */
	const char *folder; /* for a case's files; removed however the case ends. NULL: none */
	enum weir_check_verdict verdict;
	GString *text; /* what is wrong, or a note; lines */
};

struct weir_check_case {
	const char *section, *name;
	const char *law; /* one sentence: what must hold */
	void (*run)(struct weir_check *);
	unsigned waits; /* how many times a case may wait with that patience */
};

/* NULL-named at the end; each section's own file has them. */
extern const struct weir_check_case weir_check_scan[], weir_check_life[], weir_check_stream[],
	weir_check_step[], weir_check_device_laws[], weir_check_device_ops[],
	weir_check_device_refusals[], weir_check_fuzz_models[], weir_check_fuzz_requests[];

void weir_check_fail(struct weir_check *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void weir_check_skip(struct weir_check *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void weir_check_absent(struct weir_check *);
static inline bool weir_check_going(const struct weir_check *check)
{
	return check->verdict == WEIR_CHECK_OK;
}

/* struct weir_kv of every option that has a value: --option, else the fallback. NULL after a skip
 * that names what must be given. value strings belong to the array. */
GArray *weir_check_conf(struct weir_check *);
/* Creates an instance from that; NULL after a skip or a failure was recorded. host: NULL, or as in
 * weir_part_create_behind(). */
struct weir_part *weir_check_create(struct weir_check *, const struct weir_host *host);
/* Fails if the host had to report the plugin. */
void weir_check_log(struct weir_check *);

/* Loads the plugin as the registry does; NULL after a failure was recorded. */
const struct weir_plugin *weir_check_load(struct weir_check *);

struct weir_check_terms { /* of the command line; lent */
	const char *path;
	const GPtrArray *options;
	int patience_s, effort_s;
	uint64_t seed;
};

/* Forks, runs one case and returns its verdict; text gets what it said. component: index in the
 * plugin's list, or -1: the case is about the plugin as a whole. */
enum weir_check_verdict weir_check_run(const struct weir_check_case *,
				       const struct weir_check_terms *, int component,
				       GString *text);

#endif
