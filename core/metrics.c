/*
 * core/metrics.c - see metrics.h.
 *
 * A series lives until its set is freed and never moves, so plugins keep the pointer. What a plugin
 * gets wrong (a name of another type, label text that does not parse, ever new series) costs
 * numbers, never the exposition: such a series is handed out and not rendered, or its text mended.
 */
#include "metrics.h"

#include <math.h>
#include <string.h>

#include "metrics-series.h"

#define MAX_SERIES 20000
#define MAX_BOUNDS 256

static struct weir_metric *series_new(enum weir_metric_type type, char *labels,
				      const double *bounds, size_t n)
{
	struct weir_metric *metric = g_new0(struct weir_metric, 1);
	metric->type = type;
	metric->labels = labels;
	if (type == WEIR_METRIC_HISTOGRAM) {
		metric->bounds = g_new(double, MAX(n, 1));
		for (size_t i = 0; i < n && i < MAX_BOUNDS; i++) {
			bool ascends = !metric->n_bounds ||
				       bounds[i] > metric->bounds[metric->n_bounds - 1];
			if (isfinite(bounds[i]) && ascends)
				metric->bounds[metric->n_bounds++] = bounds[i];
		}
		metric->buckets = g_new0(atomic_ullong, metric->n_bounds + 1);
	}
	return metric;
}

static void series_free(void *data)
{
	struct weir_metric *metric = data;
	g_free(metric->labels);
	g_free(metric->bounds);
	g_free(metric->buckets);
	g_free(metric);
}

static void family_free(void *data)
{
	struct weir_metric_family *family = data;
	g_free(family->name);
	g_free(family->help);
	g_ptr_array_unref(family->series);
	g_free(family);
}

struct weir_metric_set *weir_metric_set_new(void)
{
	struct weir_metric_set *set = g_new0(struct weir_metric_set, 1);
	pthread_mutex_init(&set->lock, NULL);
	set->families = g_ptr_array_new_with_free_func(family_free);
	set->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	set->by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (int type = 0; type <= WEIR_METRIC_HISTOGRAM; type++)
		set->stray[type] = series_new((enum weir_metric_type)type, g_strdup(""), NULL, 0);
	return set;
}

void weir_metric_set_free(struct weir_metric_set *set)
{
	if (!set)
		return;
	g_hash_table_unref(set->by_key);
	g_hash_table_unref(set->by_name);
	g_ptr_array_unref(set->families);
	for (int type = 0; type <= WEIR_METRIC_HISTOGRAM; type++)
		series_free(set->stray[type]);
	pthread_mutex_destroy(&set->lock);
	g_free(set);
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, other bytes become '_'; a counter's name gets its "_total". */
static char *wire_name(enum weir_metric_type type, const char *name)
{
	GString *out = g_string_new(NULL);
	for (const char *p = name ? name : ""; *p; p++) {
		bool fits = g_ascii_isalpha(*p) || *p == '_' || *p == ':' ||
			    (g_ascii_isdigit(*p) && out->len > 0);
		g_string_append_c(out, fits ? *p : '_');
	}
	if (out->len == 0)
		g_string_append(out, "unnamed");
	if (type == WEIR_METRIC_COUNTER && !g_str_has_suffix(out->str, "_total"))
		g_string_append(out, "_total");
	return g_string_free(out, false);
}

static bool label_name_at(const char *p, size_t *ret_len)
{
	size_t n = 0;
	while (g_ascii_isalpha(p[n]) || p[n] == '_' || (n && g_ascii_isdigit(p[n])))
		n++;
	if (n == 0 || p[n] != '=' || p[n + 1] != '"')
		return false;
	*ret_len = n;
	return true;
}

/* One escaped label value: what is escaped already stays, the rest is escaped. */
static void append_value(GString *out, const char *text, size_t len)
{
	g_autofree char *valid = g_utf8_make_valid(text, (gssize)len);
	for (const char *p = valid; *p; p++) {
		if (*p == '\\' && p[1] && strchr("\\\"n", p[1])) {
			g_string_append_len(out, p++, 2);
		} else if (*p == '\\' || *p == '"') {
			g_string_append_c(out, '\\');
			g_string_append_c(out, *p);
		} else if (*p == '\n') {
			g_string_append(out, "\\n");
		} else {
			g_string_append_c(out, *p);
		}
	}
}

/* A value ends at the quote that is followed by the next label or the end, so that a raw quote
 * inside a value does no harm. */
static const char *value_end(const char *p)
{
	for (; *p; p++) {
		size_t n;
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '"' && (p[1] == '\0' || (p[1] == ',' && label_name_at(p + 2, &n))))
			return p;
	}
	return NULL;
}

static char *wire_labels(const char *labels)
{
	labels = labels ? labels : "";
	GString *out = g_string_new(NULL);
	const char *p = labels;
	while (*p) {
		size_t n;
		const char *end = NULL;
		if (label_name_at(p, &n))
			end = value_end(p + n + 2);
		if (!end) { /* no label text at all: keep it as the value of one label */
			g_string_assign(out, "text=\"");
			append_value(out, labels, strlen(labels));
			g_string_append_c(out, '"');
			break;
		}
		g_string_append_len(out, p, (gssize)n + 2);
		append_value(out, p + n + 2, (size_t)(end - (p + n + 2)));
		g_string_append_c(out, '"');
		p = end + 1;
		if (*p == ',') {
			g_string_append_c(out, ',');
			p++;
		}
	}
	return g_string_free(out, false);
}

static struct weir_metric *get(struct weir_metric_set *set, enum weir_metric_type type,
			       const char *name, const char *labels, const char *help,
			       const double *bounds, size_t n)
{
	g_autofree char *wire = wire_name(type, name);
	g_autofree char *text = wire_labels(labels);
	g_autofree char *key = g_strdup_printf("%s{%s}", wire, text);
	pthread_mutex_lock(&set->lock);
	struct weir_metric_family *family = g_hash_table_lookup(set->by_name, wire);
	struct weir_metric *metric = g_hash_table_lookup(set->by_key, key);
	if (family && family->type != type) {
		metric = set->stray[type];
	} else if (!metric && g_hash_table_size(set->by_key) >= MAX_SERIES) {
		metric = set->stray[type];
	} else if (!metric) {
		if (!family) {
			family = g_new0(struct weir_metric_family, 1);
			family->type = type;
			family->name = g_steal_pointer(&wire);
			family->help = g_utf8_make_valid(help ? help : "", -1);
			family->series = g_ptr_array_new_with_free_func(series_free);
			g_ptr_array_add(set->families, family);
			g_hash_table_insert(set->by_name, family->name, family);
		}
		/* All series of a family share bounds, else their sums mean nothing. */
		if (family->series->len > 0) {
			const struct weir_metric *first = g_ptr_array_index(family->series, 0);
			bounds = first->bounds;
			n = first->n_bounds;
		}
		metric = series_new(type, g_steal_pointer(&text), bounds, n);
		g_ptr_array_add(family->series, metric);
		g_hash_table_insert(set->by_key, g_steal_pointer(&key), metric);
	}
	pthread_mutex_unlock(&set->lock);
	return metric;
}

weir_metric *weir_metric_counter(struct weir_metric_set *set, const char *name, const char *labels,
				 const char *help)
{
	return get(set, WEIR_METRIC_COUNTER, name, labels, help, NULL, 0);
}

weir_metric *weir_metric_gauge(struct weir_metric_set *set, const char *name, const char *labels,
			       const char *help)
{
	return get(set, WEIR_METRIC_GAUGE, name, labels, help, NULL, 0);
}

weir_metric *weir_metric_histogram(struct weir_metric_set *set, const char *name,
				   const char *labels, const char *help, const double *bounds,
				   size_t n)
{
	return get(set, WEIR_METRIC_HISTOGRAM, name, labels, help, bounds, bounds ? n : 0);
}

static void add_double(_Atomic double *at, double by)
{
	double old = atomic_load_explicit(at, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(at, &old, old + by, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void weir_metric_add(weir_metric *metric, double by)
{
	if (!metric || !isfinite(by) || metric->type == WEIR_METRIC_HISTOGRAM)
		return;
	if (metric->type == WEIR_METRIC_COUNTER && by < 0)
		return;
	add_double(&metric->value, by);
}

void weir_metric_set_value(weir_metric *metric, double value)
{
	if (metric && metric->type == WEIR_METRIC_GAUGE)
		atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void weir_metric_observe(weir_metric *metric, double value)
{
	if (!metric || metric->type != WEIR_METRIC_HISTOGRAM || isnan(value))
		return;
	size_t low = 0, high = metric->n_bounds;
	while (low < high) { /* the first bound that is not below the value */
		size_t middle = (low + high) / 2;
		if (metric->bounds[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	atomic_fetch_add_explicit(&metric->buckets[low], 1, memory_order_relaxed);
	if (isfinite(value))
		add_double(&metric->value, value);
}

double weir_metric_set_sum(const struct weir_metric_set *set, const char *name)
{
	struct weir_metric_set *self = (struct weir_metric_set *)set;
	double sum = 0;
	pthread_mutex_lock(&self->lock);
	const struct weir_metric_family *family = g_hash_table_lookup(set->by_name, name);
	for (unsigned i = 0; family && i < family->series->len; i++) {
		const struct weir_metric *metric = g_ptr_array_index(family->series, i);
		sum += atomic_load_explicit(&metric->value, memory_order_relaxed);
	}
	pthread_mutex_unlock(&self->lock);
	return sum;
}

static struct weir_metric_set *set_of(const struct weir_host *host)
{
	const struct weir_core *core = host->data;
	return core->metrics;
}

static weir_metric *host_counter(const struct weir_host *host, const char *name, const char *labels,
				 const char *help)
{
	return weir_metric_counter(set_of(host), name, labels, help);
}

static weir_metric *host_gauge(const struct weir_host *host, const char *name, const char *labels,
			       const char *help)
{
	return weir_metric_gauge(set_of(host), name, labels, help);
}

static weir_metric *host_histogram(const struct weir_host *host, const char *name,
				   const char *labels, const char *help, const double *bounds,
				   size_t n)
{
	return weir_metric_histogram(set_of(host), name, labels, help, bounds, n);
}

const struct weir_metrics *weir_metrics_extension(void)
{
	static const struct weir_metrics api = {
		.size = sizeof(api),
		.counter = host_counter,
		.gauge = host_gauge,
		.histogram = host_histogram,
		.add = weir_metric_add,
		.set = weir_metric_set_value,
		.observe = weir_metric_observe,
	};
	return &api;
}
