/*
 * core/metrics-text.c - the documents of a metric set: Prometheus text 0.0.4 and JSON.
 *
 * Called on any thread. Values are read one by one while others write: a histogram's count is the
 * sum of the buckets that were read, so its parts always agree.
 */
#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics-series.h"

/* As short as it can be and still the same double; independent of the locale. */
static void append_number(GString *out, double value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	if (isnan(value)) {
		g_string_append(out, "NaN");
		return;
	}
	if (isinf(value)) {
		g_string_append(out, value > 0 ? "+Inf" : "-Inf");
		return;
	}
	g_ascii_formatd(text, sizeof(text), "%.15g", value);
	if (g_ascii_strtod(text, NULL) != value)
		g_ascii_dtostr(text, sizeof(text), value);
	g_string_append(out, text);
}

static void append_help(GString *out, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\')
			g_string_append(out, "\\\\");
		else if (*help == '\n')
			g_string_append(out, "\\n");
		else
			g_string_append_c(out, *help);
	}
}

static void append_sample(GString *out, const char *name, const char *suffix, const char *labels,
			  const char *extra, double value)
{
	g_string_append(out, name);
	g_string_append(out, suffix);
	if (*labels || *extra)
		g_string_append_printf(out, "{%s%s%s}", labels, *labels && *extra ? "," : "",
				       extra);
	g_string_append_c(out, ' ');
	append_number(out, value);
	g_string_append_c(out, '\n');
}

static void append_histogram(GString *out, const char *name, const struct weir_metric *metric)
{
	unsigned long long count = 0;
	for (size_t i = 0; i <= metric->n_bounds; i++) {
		count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
		g_autoptr(GString) bound = g_string_new("le=\"");
		append_number(bound, i < metric->n_bounds ? metric->bounds[i] : INFINITY);
		g_string_append_c(bound, '"');
		append_sample(out, name, "_bucket", metric->labels, bound->str, (double)count);
	}
	append_sample(out, name, "_sum", metric->labels, "",
		      atomic_load_explicit(&metric->value, memory_order_relaxed));
	append_sample(out, name, "_count", metric->labels, "", (double)count);
}

/* The caller frees with free(): GLib's allocator is not promised to be the C library's. */
static char *to_malloc(GString *text)
{
	char *copy = malloc(text->len + 1);
	if (copy)
		memcpy(copy, text->str, text->len + 1);
	g_string_free(text, true);
	return copy;
}

char *weir_metric_set_prometheus(const struct weir_metric_set *set)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	struct weir_metric_set *self = (struct weir_metric_set *)set;
	GString *out = g_string_new(NULL);
	pthread_mutex_lock(&self->lock);
	for (unsigned i = 0; i < set->families->len; i++) {
		const struct weir_metric_family *family = g_ptr_array_index(set->families, i);
		g_string_append_printf(out, "# HELP %s ", family->name);
		append_help(out, family->help);
		g_string_append_printf(out, "\n# TYPE %s %s\n", family->name, types[family->type]);
		for (unsigned k = 0; k < family->series->len; k++) {
			const struct weir_metric *metric = g_ptr_array_index(family->series, k);
			if (family->type == WEIR_METRIC_HISTOGRAM)
				append_histogram(out, family->name, metric);
			else
				append_sample(
					out, family->name, "", metric->labels, "",
					atomic_load_explicit(&metric->value, memory_order_relaxed));
		}
	}
	pthread_mutex_unlock(&self->lock);
	return to_malloc(out);
}

/* Linear inside the bucket that holds the rank, as Prometheus' histogram_quantile() does. */
static double quantile(const struct weir_metric *metric, const unsigned long long *buckets,
		       unsigned long long count, double q)
{
	if (count == 0 || metric->n_bounds == 0)
		return NAN;
	double rank = q * (double)count;
	double below = 0;
	for (size_t i = 0; i < metric->n_bounds; i++) {
		double here = (double)buckets[i];
		if (here > 0 && below + here >= rank) {
			double low = i ? metric->bounds[i - 1] : MIN(0, metric->bounds[0]);
			double part = (rank - below) / here;
			return low + (metric->bounds[i] - low) * part;
		}
		below += here;
	}
	return metric->bounds[metric->n_bounds - 1];
}

static void append_json_number(GString *out, double value)
{
	if (isfinite(value))
		append_number(out, value);
	else
		g_string_append(out, "null");
}

static void append_json_name(GString *out, const char *name, const char *labels)
{
	g_string_append_printf(out, "\"%s", name);
	if (*labels) {
		g_string_append_c(out, '{');
		for (const char *p = labels; *p; p++) {
			if (*p == '"' || *p == '\\')
				g_string_append_c(out, '\\');
			if ((unsigned char)*p < 0x20)
				g_string_append_printf(out, "\\u%04x", (unsigned char)*p);
			else
				g_string_append_c(out, *p);
		}
		g_string_append_c(out, '}');
	}
	g_string_append(out, "\":");
}

static void append_json_histogram(GString *out, const struct weir_metric *metric)
{
	g_autofree unsigned long long *buckets = g_new(unsigned long long, metric->n_bounds + 1);
	unsigned long long count = 0;
	for (size_t i = 0; i <= metric->n_bounds; i++)
		count += buckets[i] =
			atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
	g_string_append_printf(out, "{\"count\":%llu,\"sum\":", count);
	append_json_number(out, atomic_load_explicit(&metric->value, memory_order_relaxed));
	static const struct {
		const char *name;
		double q;
	} marks[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } };
	for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
		g_string_append_printf(out, ",\"%s\":", marks[i].name);
		append_json_number(out, quantile(metric, buckets, count, marks[i].q));
	}
	g_string_append_c(out, '}');
}

static void append_json_group(GString *out, const struct weir_metric_set *set,
			      enum weir_metric_type type)
{
	bool first = true;
	g_string_append_c(out, '{');
	for (unsigned i = 0; i < set->families->len; i++) {
		const struct weir_metric_family *family = g_ptr_array_index(set->families, i);
		for (unsigned k = 0; family->type == type && k < family->series->len; k++) {
			const struct weir_metric *metric = g_ptr_array_index(family->series, k);
			if (!first)
				g_string_append_c(out, ',');
			first = false;
			append_json_name(out, family->name, metric->labels);
			if (type == WEIR_METRIC_HISTOGRAM)
				append_json_histogram(out, metric);
			else
				append_json_number(out, atomic_load_explicit(&metric->value,
									     memory_order_relaxed));
		}
	}
	g_string_append_c(out, '}');
}

char *weir_metric_set_json(const struct weir_metric_set *set)
{
	struct weir_metric_set *self = (struct weir_metric_set *)set;
	GString *out = g_string_new("{\"counters\":");
	pthread_mutex_lock(&self->lock);
	append_json_group(out, set, WEIR_METRIC_COUNTER);
	g_string_append(out, ",\"gauges\":");
	append_json_group(out, set, WEIR_METRIC_GAUGE);
	g_string_append(out, ",\"histograms\":");
	append_json_group(out, set, WEIR_METRIC_HISTOGRAM);
	g_string_append_c(out, '}');
	pthread_mutex_unlock(&self->lock);
	return to_malloc(out);
}
