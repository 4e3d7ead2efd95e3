/*
 * core/trace-read.c - a recording as trace-event JSON ("Trace Event Format", the object form with
 * complete events, phase X): what Perfetto, chrome://tracing and speedscope read.
 *
 * Process 1 is the server with a line for each thread. Process 2 are the requests: rows share as
 * few lines as they can without overlapping, so a line is read from left to right. The recording
 * may go on meanwhile: what it overwrites before it was read is left out.
 */
#include "trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "text.h"

#define PIECE   16384 /* bytes after which a piece is full */
#define SERVER  1
#define WANDERS 2

struct row {
	uint64_t number;
	int64_t from_ns, to_ns;
	uint32_t line;
};

struct weir_trace_reader {
	struct weir_trace *trace;
	struct weir_recording *recording;
	uint64_t next, end; /* numbers of spans */
	GHashTable *rows;   /* number -> struct row, of `all` */
	GArray *all;
	GHashTable *threads; /* numbers of those that recorded */
	uint32_t n_lines;
	bool begun, ended, any;
};

/* --- which line ---------------------------------------------------------------------------- */

static void note(struct weir_trace_reader *r, GHashTable *places, const struct weir_trace_event *e)
{
	struct row *row;
	gpointer at;

	if (e->row == 0) {
		g_hash_table_add(r->threads, GINT_TO_POINTER(e->thread));
		return;
	}
	if (!g_hash_table_lookup_extended(places, &e->row, NULL, &at)) {
		struct row new = { e->row, e->start_ns, e->start_ns, 0 };

		at = GUINT_TO_POINTER(r->all->len);
		g_array_append_val(r->all, new);
		g_hash_table_insert(places, g_memdup2(&e->row, sizeof(e->row)), at);
	}
	row = &g_array_index(r->all, struct row, GPOINTER_TO_UINT(at));
	row->from_ns = MIN(row->from_ns, e->start_ns);
	row->to_ns = MAX(row->to_ns, e->start_ns + e->duration_ns);
}

static gint by_start(gconstpointer a, gconstpointer b)
{
	const struct row *x = a, *y = b;

	return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

static void give_lines(struct weir_trace_reader *r)
{
	g_autoptr(GArray) free_at = g_array_new(FALSE, FALSE, sizeof(int64_t));

	g_array_sort(r->all, by_start);
	for (guint i = 0; i < r->all->len; i++) {
		struct row *row = &g_array_index(r->all, struct row, i);
		uint32_t line = 0;

		while (line < free_at->len && g_array_index(free_at, int64_t, line) > row->from_ns)
			line++;
		if (line == free_at->len)
			g_array_append_val(free_at, row->to_ns);
		else
			g_array_index(free_at, int64_t, line) = row->to_ns;
		row->line = line + 1;
		g_hash_table_insert(r->rows, &row->number, row);
	}
	r->n_lines = free_at->len;
}

weir_trace_reader *weir_trace_open(struct weir_trace *t)
{
	g_autoptr(GHashTable) places =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	struct weir_recording *recording;
	struct weir_trace_reader *r;

	pthread_mutex_lock(&t->lock);
	recording = t->recording;
	if (!recording) {
		pthread_mutex_unlock(&t->lock);
		return NULL;
	}
	atomic_fetch_add(&recording->refs, 1);
	r = g_new0(struct weir_trace_reader, 1);
	r->trace = t;
	r->recording = recording;
	r->end = recording->n;
	r->next = r->end > recording->capacity ? r->end - recording->capacity : 0;
	r->rows = g_hash_table_new(g_int64_hash, g_int64_equal);
	r->all = g_array_new(FALSE, FALSE, sizeof(struct row));
	r->threads = g_hash_table_new(NULL, NULL);
	for (uint64_t i = r->next; i < r->end; i++)
		note(r, places, &recording->events[i % recording->capacity]);
	pthread_mutex_unlock(&t->lock);
	give_lines(r);
	return r;
}

void weir_trace_close(weir_trace_reader *r)
{
	if (!r)
		return;
	weir_recording_unref(r->recording);
	g_hash_table_unref(r->rows);
	g_hash_table_unref(r->threads);
	g_array_unref(r->all);
	g_free(r);
}

/* --- JSON ---------------------------------------------------------------------------------- */

static void put_text(GString *out, const char *text)
{
	weir_text_append_json(out, (struct weir_str){ text, strlen(text) });
}

static void put_comma(struct weir_trace_reader *r, GString *out)
{
	g_string_append(out, r->any ? ",\n" : "\n");
	r->any = true;
}

/* Microseconds; the format's unit. */
static void put_time(GString *out, const char *name, int64_t ns)
{
	g_string_append_printf(out, "\"%s\":%" PRId64 ".%03d,", name, ns / 1000, (int)(ns % 1000));
}

static void put_name(struct weir_trace_reader *r, GString *out, const char *what, int process,
		     int64_t thread, const char *name)
{
	put_comma(r, out);
	g_string_append_printf(out,
			       "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%" PRId64
			       ",\"args\":{\"name\":",
			       what, process, thread);
	put_text(out, name);
	g_string_append(out, "}}");
}

static void put_thread(struct weir_trace_reader *r, GString *out, int thread)
{
	g_autofree char *path = g_strdup_printf("/proc/self/task/%d/comm", thread);
	g_autofree char *name = NULL;

	if (g_file_get_contents(path, &name, NULL, NULL))
		g_strchomp(name);
	put_name(r, out, "thread_name", SERVER, thread, name ? name : "ended thread");
}

static void put_head(struct weir_trace_reader *r, GString *out)
{
	GHashTableIter it;
	gpointer thread;

	g_string_append(out,
			"{\"displayTimeUnit\":\"ms\",\"otherData\":{\"server\":\"weir " WEIR_VERSION
			"\"},\"traceEvents\":[");
	put_name(r, out, "process_name", SERVER, 0, "weir");
	if (r->n_lines > 0)
		put_name(r, out, "process_name", WANDERS, 0, "requests");
	g_hash_table_iter_init(&it, r->threads);
	while (g_hash_table_iter_next(&it, &thread, NULL))
		put_thread(r, out, GPOINTER_TO_INT(thread));
	for (uint32_t i = 1; i <= r->n_lines; i++) {
		char name[32];

		g_snprintf(name, sizeof(name), "line %u", i);
		put_name(r, out, "thread_name", WANDERS, i, name);
	}
}

static void put_event(struct weir_trace_reader *r, GString *out, const struct weir_trace_event *e)
{
	const struct row *row = e->row ? g_hash_table_lookup(r->rows, &e->row) : NULL;

	put_comma(r, out);
	g_string_append(out, "{\"ph\":\"X\",\"name\":");
	put_text(out, e->name);
	g_string_append(out, ",\"cat\":");
	put_text(out, e->category);
	g_string_append_c(out, ',');
	put_time(out, "ts", e->start_ns);
	put_time(out, "dur", e->duration_ns);
	g_string_append_printf(out, "\"pid\":%d,\"tid\":%" PRId64 ",\"args\":{",
			       row ? WANDERS : SERVER, row ? (int64_t)row->line : e->thread);
	for (uint32_t i = 0; i < e->n_args; i++) {
		put_text(out, e->args[i]);
		g_string_append_printf(out, ":%" PRId64 ",", e->values[i]);
	}
	g_string_append(out, row ? "\"id\":" : "\"of\":");
	put_text(out, e->label);
	g_string_append(out, "}}");
}

/* A copy of the next one that is still there. */
static bool take(struct weir_trace_reader *r, struct weir_trace_event *ret)
{
	const struct weir_recording *rec = r->recording;
	bool found;

	pthread_mutex_lock(&r->trace->lock);
	if (rec->n > rec->capacity)
		r->next = MAX(r->next, rec->n - rec->capacity);
	found = r->next < r->end;
	if (found)
		*ret = rec->events[r->next++ % rec->capacity];
	pthread_mutex_unlock(&r->trace->lock);
	return found;
}

char *weir_trace_next(weir_trace_reader *r)
{
	g_autoptr(GString) out = NULL;
	struct weir_trace_event e;

	if (r->ended)
		return NULL;
	out = g_string_sized_new(PIECE + 1024);
	if (!r->begun)
		put_head(r, out);
	r->begun = true;
	while (out->len < PIECE && !r->ended) {
		if (take(r, &e)) {
			put_event(r, out, &e);
		} else {
			g_string_append(out, "\n]}\n");
			r->ended = true;
		}
	}
	return strdup(out->str); /* the caller uses free() */
}
