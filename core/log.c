/*
 * core/log.c - see log.h.
 *
 * A line is built in memory and leaves with one write(), under a lock that also keeps the progress
 * bar and the lines apart (a pthread mutex: ThreadSanitizer sees those of GLib not). Whether a
 * level is on is one atomic load in the usual case: `least` is the lowest level that any rule lets
 * through.
 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#define LEVEL_OFF        (WEIR_LOG_ERROR + 1) /* above every level but MISBEHAVING */
#define MAX_RULES        64
#define MAX_TEXT         8192 /* bytes of one line's text */
#define BAR_WIDTH        24
#define BAR_INTERVAL_US  100000
#define LINE_INTERVAL_US 5000000

struct rule {
	char *prefix;
	uint32_t level;
};

struct weir_logger {
	int fd;
	bool terminal;
	atomic_bool json;
	atomic_uint least;
	pthread_mutex_t lock; /* all below */
	uint32_t level;
	GArray *rules; /* struct rule */
	bool bar_shown;
	int64_t bar_time_us;
	char *bar_what;
};

static const char *const level_names[] = { "debug", "info", "warning", "error", "misbehaving" };
static const char *const level_marks[] = { "DEBUG", "INFO ", "WARN ", "ERROR", "MISBEHAVING" };

static void rule_clear(void *data)
{
	g_free(((struct rule *)data)->prefix);
}

static bool parse_level(const char *text, uint32_t *ret_level)
{
	static const struct {
		const char *name;
		uint32_t level;
	} names[] = {
		{ "debug", WEIR_LOG_DEBUG },     { "info", WEIR_LOG_INFO },
		{ "warning", WEIR_LOG_WARNING }, { "warn", WEIR_LOG_WARNING },
		{ "error", WEIR_LOG_ERROR },     { "off", LEVEL_OFF },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		if (!g_ascii_strcasecmp(text, names[i].name)) {
			*ret_level = names[i].level;
			return true;
		}
	}
	return false;
}

/* NULL with err when a part is no level. */
static GArray *parse_spec(const char *spec, uint32_t *ret_level, struct weir_error *err)
{
	uint32_t level = WEIR_LOG_INFO;
	GArray *rules = g_array_new(false, false, sizeof(struct rule));
	g_array_set_clear_func(rules, rule_clear);
	g_auto(GStrv) parts = g_strsplit(spec ? spec : "info", ",", MAX_RULES + 1);
	for (size_t i = 0; parts[i]; i++) {
		char *part = g_strstrip(parts[i]);
		if (!*part)
			continue;
		char *equals = strchr(part, '=');
		uint32_t value;
		const char *word = equals ? g_strstrip(equals + 1) : part;
		if (i >= MAX_RULES || !parse_level(word, &value)) {
			g_array_unref(rules);
			weir_fail(err, WEIR_E_INVALID,
				  "\"%s\" is not debug, info, warning, error or "
				  "off, nor topic=level (example: info,http=debug)",
				  part);
			return NULL;
		}
		if (!equals) {
			level = value;
			continue;
		}
		*equals = '\0';
		struct rule rule = { g_strdup(g_strstrip(part)), value };
		g_array_append_val(rules, rule);
	}
	*ret_level = level;
	return rules;
}

weir_status weir_logger_set_levels(struct weir_logger *log, const char *spec,
				   struct weir_error *err)
{
	uint32_t level = WEIR_LOG_INFO;
	GArray *rules = parse_spec(spec, &level, err);
	if (!rules)
		return WEIR_E_INVALID;
	uint32_t least = level;
	for (unsigned i = 0; i < rules->len; i++)
		least = MIN(least, g_array_index(rules, struct rule, i).level);
	pthread_mutex_lock(&log->lock);
	GArray *old = log->rules;
	log->rules = rules;
	log->level = level;
	atomic_store_explicit(&log->least, least, memory_order_relaxed);
	pthread_mutex_unlock(&log->lock);
	if (old)
		g_array_unref(old);
	return WEIR_OK;
}

void weir_logger_set_json(struct weir_logger *log, bool json)
{
	atomic_store_explicit(&log->json, json, memory_order_relaxed);
}

struct weir_logger *weir_logger_new(const char *spec, int fd, bool json)
{
	struct weir_logger *log = g_new0(struct weir_logger, 1);
	log->fd = fd;
	log->terminal = !json && isatty(fd);
	atomic_init(&log->json, json);
	pthread_mutex_init(&log->lock, NULL);
	struct weir_error err;
	if (weir_logger_set_levels(log, spec, &err) < 0) {
		weir_logger_set_levels(log, "info", NULL);
		weir_logf(log, WEIR_LOG_WARNING, "log", "%s", err.text);
	}
	return log;
}

void weir_logger_free(struct weir_logger *log)
{
	if (!log)
		return;
	pthread_mutex_destroy(&log->lock);
	g_array_unref(log->rules);
	g_free(log->bar_what);
	g_free(log);
}

static bool prefix_matches(const char *prefix, size_t n, const char *topic)
{
	return !strncmp(prefix, topic, n) && (topic[n] == '\0' || topic[n] == '.');
}

bool weir_logger_enabled(const struct weir_logger *log, uint32_t level, const char *topic)
{
	if (!log)
		return false;
	if (level >= WEIR_LOG_MISBEHAVING)
		return true;
	if (level < atomic_load_explicit(&log->least, memory_order_relaxed))
		return false;
	struct weir_logger *self = (struct weir_logger *)log;
	pthread_mutex_lock(&self->lock);
	uint32_t floor = self->level;
	size_t best = 0;
	for (unsigned i = 0; i < self->rules->len; i++) {
		const struct rule *rule = &g_array_index(self->rules, struct rule, i);
		size_t n = strlen(rule->prefix);
		if (n >= best && prefix_matches(rule->prefix, n, topic ? topic : "")) {
			best = n;
			floor = rule->level;
		}
	}
	pthread_mutex_unlock(&self->lock);
	return level >= floor;
}

/* Only what stays on its line and is UTF-8; json also guards quotes and backslashes. */
static void append_clean(GString *out, const char *text, bool json)
{
	const char *end = text + strnlen(text, MAX_TEXT);
	bool cut = *end != '\0';
	while (text < end) {
		unsigned char c = (unsigned char)*text;
		gunichar rune = c < 0x80 ? c : g_utf8_get_char_validated(text, end - text);
		bool bad = rune == (gunichar)-1 || rune == (gunichar)-2;
		if (bad || rune < 0x20 || (rune >= 0x7f && rune < 0xa0)) {
			if (json && !bad)
				g_string_append_printf(out, "\\u%04x", rune);
			else
				g_string_append_printf(out, json ? "\\\\x%02x" : "\\x%02x", c);
			text = bad ? text + 1 : g_utf8_next_char(text);
			continue;
		}
		if (json && (c == '"' || c == '\\'))
			g_string_append_c(out, '\\');
		const char *next = g_utf8_next_char(text);
		g_string_append_len(out, text, next - text);
		text = next;
	}
	if (cut)
		g_string_append(out, " ...");
}

static void write_whole(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody listens: there is no better place to say so */
		data += n;
		len -= (size_t)n;
	}
}

static GString *build_text(uint32_t level, const char *topic, const char *instance,
			   const char *text)
{
	struct timespec now;
	struct tm local;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	GString *out = g_string_sized_new(128);
	g_string_append_printf(out, "%02d:%02d:%02d.%03ld %s ", local.tm_hour, local.tm_min,
			       local.tm_sec, now.tv_nsec / 1000000, level_marks[level]);
	append_clean(out, topic, false);
	/* "http: " says enough for frontend.http; two instances of one kind need their names. */
	const char *dot = strchr(instance, '.');
	size_t n = dot ? strlen(dot + 1) : 0;
	if (*instance && !(n && prefix_matches(dot + 1, n, topic)) &&
	    !prefix_matches(instance, strlen(instance), topic)) {
		g_string_append_c(out, '[');
		append_clean(out, instance, false);
		g_string_append_c(out, ']');
	}
	g_string_append(out, ": ");
	append_clean(out, text, false);
	g_string_append_c(out, '\n');
	return out;
}

static GString *build_json(uint32_t level, const char *topic, const char *instance,
			   const char *text)
{
	struct timespec now;
	struct tm utc;
	char stamp[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	GString *out = g_string_sized_new(192);
	g_string_append_printf(out, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"topic\":\"", stamp,
			       now.tv_nsec / 1000000, level_names[level]);
	append_clean(out, topic, true);
	if (*instance) {
		g_string_append(out, "\",\"instance\":\"");
		append_clean(out, instance, true);
	}
	g_string_append(out, "\",\"text\":\"");
	append_clean(out, text, true);
	g_string_append(out, "\"}\n");
	return out;
}

static void put_line(struct weir_logger *log, uint32_t level, const char *topic,
		     const char *instance, const char *text)
{
	bool json = atomic_load_explicit(&log->json, memory_order_relaxed);
	level = MIN(level, WEIR_LOG_MISBEHAVING);
	topic = topic ? topic : "";
	instance = instance ? instance : "";
	text = text ? text : "";
	g_autoptr(GString) line = json ? build_json(level, topic, instance, text)
				       : build_text(level, topic, instance, text);
	pthread_mutex_lock(&log->lock);
	if (log->bar_shown) {
		g_string_prepend(line, "\r\033[K");
		log->bar_shown = false;
	}
	write_whole(log->fd, line->str, line->len);
	pthread_mutex_unlock(&log->lock);
}

void weir_logf(struct weir_logger *log, uint32_t level, const char *topic, const char *format, ...)
{
	if (!weir_logger_enabled(log, level, topic))
		return;
	va_list args;
	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	put_line(log, level, topic, NULL, text);
}

static void draw_bar(struct weir_logger *log, const char *what, uint64_t done, uint64_t total)
{
	double share = total ? (double)done / (double)total : 0;
	int filled = (int)(share * BAR_WIDTH);
	g_autoptr(GString) line = g_string_new("\r\033[K");
	append_clean(line, what, false);
	g_string_append(line, " [");
	for (int i = 0; i < BAR_WIDTH; i++)
		g_string_append_c(line, i < filled ? '#' : '.');
	g_string_append_printf(line, "] %3d %%", (int)(share * 100));
	write_whole(log->fd, line->str, line->len);
	log->bar_shown = true;
}

void weir_logger_progress(struct weir_logger *log, const char *what, uint64_t done, uint64_t total)
{
	if (!weir_logger_enabled(log, WEIR_LOG_INFO, "progress"))
		return;
	what = what ? what : "";
	bool ended = done >= total;
	int64_t now = g_get_monotonic_time();
	pthread_mutex_lock(&log->lock);
	bool fresh = g_strcmp0(log->bar_what, what) != 0;
	if (fresh) {
		g_free(log->bar_what);
		log->bar_what = g_strdup(what);
	}
	bool bar = log->terminal && !atomic_load_explicit(&log->json, memory_order_relaxed);
	int64_t interval = bar ? BAR_INTERVAL_US : LINE_INTERVAL_US;
	bool due = fresh || ended || now - log->bar_time_us >= interval;
	if (due)
		log->bar_time_us = now;
	if (due && bar && !ended)
		draw_bar(log, what, done, total);
	if (ended)
		g_clear_pointer(&log->bar_what, g_free);
	pthread_mutex_unlock(&log->lock);
	if (!due || (bar && !ended))
		return;
	g_autofree char *text = ended ? g_strdup_printf("%s: done", what)
				      : g_strdup_printf("%s: %d %%", what,
							(int)((double)done / (double)total * 100));
	put_line(log, WEIR_LOG_INFO, "progress", NULL, text);
}

static struct weir_logger *logger_of(const struct weir_host *host)
{
	const struct weir_core *core = host ? host->data : NULL;
	return core ? core->log : NULL;
}

static void host_write(const struct weir_host *host, uint32_t level, const char *topic,
		       const char *text)
{
	struct weir_logger *log = logger_of(host);
	if (weir_logger_enabled(log, level, topic))
		put_line(log, level, topic, host->instance, text);
}

static bool host_enabled(const struct weir_host *host, uint32_t level, const char *topic)
{
	return weir_logger_enabled(logger_of(host), level, topic);
}

static void host_progress(const struct weir_host *host, const char *what, uint64_t done,
			  uint64_t total)
{
	weir_logger_progress(logger_of(host), what, done, total);
}

const struct weir_log *weir_log_extension(void)
{
	static const struct weir_log api = {
		.size = sizeof(api),
		.write = host_write,
		.enabled = host_enabled,
		.progress = host_progress,
	};
	return &api;
}
