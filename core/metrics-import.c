/*
 * core/metrics-import.c - see metrics-import.h.
 */
#include "metrics-import.h"

#include <math.h>
#include <string.h>

#include "metrics-series.h"

#define MAX_SEEN    20000
#define MAX_BUCKETS 257

struct seen { /* one sample of the other's */
	double value;
	weir_metric *metric; /* ours */
	bool is_gauge;
};

struct weir_metric_import {
	struct weir_metric_set *set;
	GHashTable *seen; /* "name{labels}" -> struct seen */
	uint64_t life;
};

/* A histogram of the text, line by line until another one begins. */
struct histogram {
	char *name, *labels, *help;
	double bounds[MAX_BUCKETS], counts[MAX_BUCKETS];
	size_t n;
	double sum;
};

struct reader {
	struct weir_metric_import *import;
	const char *model;
	char *family, *help;
	enum weir_metric_type type;
	bool known; /* the family's type is one of ours */
	struct histogram h;
};

struct weir_metric_import *weir_metric_import_new(struct weir_metric_set *set)
{
	struct weir_metric_import *import = g_new0(struct weir_metric_import, 1);
	import->set = set;
	import->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return import;
}

static struct seen *find(struct weir_metric_import *import, const char *name, const char *labels)
{
	g_autofree char *key = g_strdup_printf("%s{%s}", name, labels);
	struct seen *seen = g_hash_table_lookup(import->seen, key);
	if (!seen && g_hash_table_size(import->seen) < MAX_SEEN) {
		seen = g_new0(struct seen, 1);
		g_hash_table_insert(import->seen, g_steal_pointer(&key), seen);
	}
	return seen;
}

/* What is new since the last look; a counter never falls within one life. */
static double advance(struct seen *seen, double value)
{
	double by = value - seen->value;
	if (!isfinite(by) || (!seen->is_gauge && by < 0))
		return 0;
	seen->value = value;
	return by;
}

static void take_plain(struct reader *r, const char *name, const char *labels, double value)
{
	struct weir_metric_import *import = r->import;
	struct seen *seen = find(import, name, labels);
	if (!seen)
		return;
	if (!seen->metric) {
		/* Counters are asked for without their end. */
		g_autofree char *base = g_str_has_suffix(name, "_total")
						? g_strndup(name, strlen(name) - strlen("_total"))
						: g_strdup(name);
		const char *help = r->help ? r->help : "";
		seen->is_gauge = r->type == WEIR_METRIC_GAUGE;
		seen->metric = seen->is_gauge
				       ? weir_metric_gauge(import->set, name, labels, help)
				       : weir_metric_counter(import->set, base, labels, help);
	}
	double by = advance(seen, value);
	if (by != 0)
		weir_metric_add(seen->metric, by);
}

static void add_double(_Atomic double *at, double by)
{
	double now = atomic_load(at);
	while (!atomic_compare_exchange_weak(at, &now, now + by))
		;
}

/* The buckets of the text are cumulated, ours are not; the sum comes last. */
static void end_histogram(struct reader *r)
{
	struct histogram *h = &r->h;
	struct weir_metric_import *import = r->import;
	if (h->name && h->n > 1) {
		size_t n = h->n - 1; /* without +Inf */
		weir_metric *metric = weir_metric_histogram(import->set, h->name, h->labels,
							    h->help ? h->help : "", h->bounds, n);
		bool fits = metric->type == WEIR_METRIC_HISTOGRAM && metric->n_bounds == n &&
			    !memcmp(metric->bounds, h->bounds, n * sizeof(double));
		double below = 0;
		for (size_t i = 0; fits && i <= n; i++) {
			g_autofree char *name = g_strdup_printf("%s#%zu", h->name, i);
			struct seen *seen = find(import, name, h->labels);
			double by = seen ? advance(seen, MAX(h->counts[i] - below, 0)) : 0;
			below = h->counts[i];
			if (by > 0 && by < 0x1p53)
				atomic_fetch_add(&metric->buckets[i], (unsigned long long)by);
		}
		struct seen *sum = fits ? find(import, h->name, h->labels) : NULL;
		if (sum) {
			double by = h->sum - sum->value;
			sum->value = isfinite(by) ? h->sum : sum->value;
			add_double(&metric->value, isfinite(by) ? by : 0);
		}
	}
	g_clear_pointer(&h->name, g_free);
	g_clear_pointer(&h->labels, g_free);
	g_clear_pointer(&h->help, g_free);
	h->n = 0;
	h->sum = 0;
}

/* le="0.5" taken out of the labels; false: there is none. */
static bool split_bound(char *labels, double *ret)
{
	char *at = strstr(labels, "le=\"");
	while (at && at != labels && at[-1] != ',')
		at = strstr(at + 1, "le=\"");
	char *end = at ? strchr(at + 4, '"') : NULL;
	if (!end)
		return false;
	*ret = g_ascii_strtod(at + 4, NULL);
	if (!strncmp(at + 4, "+Inf", 4))
		*ret = INFINITY;
	if (at > labels)
		at--; /* the comma */
	memmove(at, end + 1, strlen(end + 1) + 1);
	return true;
}

static void take_histogram(struct reader *r, const char *suffix, char *labels, double value)
{
	struct histogram *h = &r->h;
	double bound = 0;
	bool is_bucket = !strcmp(suffix, "_bucket");
	if (is_bucket && !split_bound(labels, &bound))
		return;
	if (h->name && (strcmp(h->name, r->family) || strcmp(h->labels, labels)))
		end_histogram(r);
	if (!h->name) {
		h->name = g_strdup(r->family);
		h->labels = g_strdup(labels);
		h->help = g_strdup(r->help);
	}
	if (is_bucket && h->n < MAX_BUCKETS) {
		h->bounds[h->n] = bound;
		h->counts[h->n++] = isfinite(value) ? value : 0;
	} else if (!strcmp(suffix, "_sum")) {
		h->sum = value;
	}
}

/* model_name="..." with our name of the model. */
static char *rename_model(const char *labels, const char *model)
{
	static const char key[] = "model_name=\"";
	const char *at = model ? strstr(labels, key) : NULL, *end;
	if (!at || (at > labels && at[-1] != ','))
		return g_strdup(labels);
	for (end = at + strlen(key); *end && *end != '"'; end++)
		if (*end == '\\' && end[1])
			end++;
	if (!*end)
		return g_strdup(labels);
	g_autofree char *escaped = g_strescape(model, NULL);
	return g_strdup_printf("%.*s%s%s%s", (int)(at - labels), labels, key, escaped, end);
}

static bool is_wanted(const char *name)
{
	return !g_str_has_prefix(name, "line_") && !g_str_has_prefix(name, "weir_model_");
}

/* name{labels} value */
static void take_sample(struct reader *r, char *line)
{
	char *space = strrchr(line, ' '), *open = strchr(line, '{'), *end = NULL;
	char *close = open && space && space > open && space[-1] == '}' ? space - 1 : NULL;
	if (!space || !r->known || !r->family || (open && !close))
		return;
	double value = g_ascii_strtod(space + 1, &end);
	*space = '\0';
	if (open) {
		*close = '\0';
		*open++ = '\0';
	}
	if (end == space + 1 || !g_str_has_prefix(line, r->family) || !is_wanted(line))
		return;
	g_autofree char *labels = rename_model(open ? open : "", r->model);
	if (r->type == WEIR_METRIC_HISTOGRAM)
		take_histogram(r, line + strlen(r->family), labels, value);
	else if (!strcmp(line, r->family) && isfinite(value))
		take_plain(r, line, labels, value);
}

static void take_comment(struct reader *r, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 4); /* # HELP name text */
	if (g_strv_length(words) < 4)
		return;
	if (!strcmp(words[1], "HELP")) {
		g_free(r->help);
		r->help = g_strdup(words[3]);
	} else if (!strcmp(words[1], "TYPE")) {
		end_histogram(r);
		g_free(r->family);
		r->family = g_strdup(words[2]);
		r->type = !strcmp(words[3], "gauge")       ? WEIR_METRIC_GAUGE
			  : !strcmp(words[3], "histogram") ? WEIR_METRIC_HISTOGRAM
							   : WEIR_METRIC_COUNTER;
		r->known = r->type != WEIR_METRIC_COUNTER || !strcmp(words[3], "counter");
	}
}

/* The process of the values that were seen is gone. */
static void forget(struct weir_metric_import *import)
{
	GHashTableIter it;
	gpointer value;
	g_hash_table_iter_init(&it, import->seen);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct seen *seen = value;
		if (seen->is_gauge && seen->metric)
			weir_metric_add(seen->metric, -seen->value);
		seen->value = 0;
	}
}

void weir_metric_import_take(struct weir_metric_import *import, uint64_t life, const char *text,
			     const char *model)
{
	struct reader r = { .import = import, .model = model };
	if (life != import->life)
		forget(import);
	import->life = life;
	while (*text) {
		size_t n = strcspn(text, "\n");
		g_autofree char *line = g_strndup(text, n);
		if (line[0] == '#')
			take_comment(&r, line);
		else
			take_sample(&r, line);
		text += n + (text[n] == '\n');
	}
	end_histogram(&r);
	g_free(r.family);
	g_free(r.help);
}

void weir_metric_import_free(struct weir_metric_import *import)
{
	if (!import)
		return;
	forget(import);
	g_hash_table_unref(import->seen);
	g_free(import);
}
