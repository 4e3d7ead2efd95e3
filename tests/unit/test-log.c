/*
 * tests/unit/test-log.c - log lines, level rules, JSON lines, hostile text, error texts.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "log.h"

struct fixture {
	int fd;
	char *path;
};

static void set_up(struct fixture *f, const void *data)
{
	f->fd = g_file_open_tmp("weir-log-XXXXXX", &f->path, NULL);
	g_assert_cmpint(f->fd, >=, 0);
}

static void tear_down(struct fixture *f, const void *data)
{
	close(f->fd);
	g_unlink(f->path);
	g_free(f->path);
}

static char *contents(const struct fixture *f)
{
	char *text = NULL;
	g_assert_true(g_file_get_contents(f->path, &text, NULL, NULL));
	return text;
}

static void test_levels(struct fixture *f, const void *data)
{
	static const struct {
		const char *spec, *topic;
		uint32_t level;
		bool on;
	} cases[] = {
		{ NULL, "http", WEIR_LOG_INFO, true },
		{ NULL, "http", WEIR_LOG_DEBUG, false },
		{ "debug", "http", WEIR_LOG_DEBUG, true },
		{ "warning,http=debug", "http", WEIR_LOG_DEBUG, true },
		{ "warning,http=debug", "http.conn", WEIR_LOG_DEBUG, true },
		{ "warning,http=debug", "httpd", WEIR_LOG_DEBUG, false },
		{ "warning,http=debug", "core", WEIR_LOG_INFO, false },
		{ "info, core=error, core.scheduler = debug", "core.scheduler", WEIR_LOG_DEBUG,
		  true },
		{ "info,core.scheduler=debug,core=error", "core.scheduler", WEIR_LOG_DEBUG, true },
		{ "info,core=error", "core.loop", WEIR_LOG_WARNING, false },
		{ "off", "core", WEIR_LOG_ERROR, false },
		{ "off", "core", WEIR_LOG_MISBEHAVING, true },
		{ "http=off", "http", WEIR_LOG_ERROR, false },
		{ "http=off", "core", WEIR_LOG_INFO, true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_logger *log = weir_logger_new(cases[i].spec, f->fd, false);
		g_test_message("case %zu", i);
		g_assert_cmpint(weir_logger_enabled(log, cases[i].level, cases[i].topic), ==,
				cases[i].on);
		weir_logger_free(log);
	}
	g_assert_false(weir_logger_enabled(NULL, WEIR_LOG_ERROR, "x"));
}

static void test_bad_spec(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new("info,http=loud", f->fd, false);
	g_autofree char *text = contents(f);
	g_assert_nonnull(strstr(text, "loud"));
	g_assert_true(weir_logger_enabled(log, WEIR_LOG_INFO, "http"));
	struct weir_error err;
	g_assert_cmpint(weir_logger_set_levels(log, "nonsense", &err), ==, WEIR_E_INVALID);
	g_assert_nonnull(strstr(err.text, "nonsense"));
	g_assert_true(weir_logger_enabled(log, WEIR_LOG_INFO, "http"));
	g_assert_cmpint(weir_logger_set_levels(log, "error", &err), ==, WEIR_OK);
	g_assert_false(weir_logger_enabled(log, WEIR_LOG_INFO, "http"));
	weir_logger_free(log);
}

static void test_text_line(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, false);
	weir_logf(log, WEIR_LOG_INFO, "gateway", "%s is ready", "backend.main");
	weir_logf(log, WEIR_LOG_DEBUG, "gateway", "unseen");
	g_autofree char *text = contents(f);
	g_assert_true(g_regex_match_simple(
		"^\\d\\d:\\d\\d:\\d\\d\\.\\d\\d\\d INFO  gateway: backend\\.main is ready\n$", text,
		0, 0));
	weir_logger_free(log);
}

static void test_hostile_text(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, false);
	weir_logf(log, WEIR_LOG_INFO, "a\nb", "x\r\n00:00:00.000 ERROR fake: \033[31m\xff\xc3 é");
	g_autofree char *text = contents(f);
	g_assert_nonnull(strstr(text, "a\\x0ab: x\\x0d\\x0a00:00:00.000 ERROR fake: "
				      "\\x1b[31m\\xff\\xc3 é\n"));
	g_assert_true(strchr(text, '\n') == text + strlen(text) - 1);
	weir_logger_free(log);

	g_autofree char *huge = g_strnfill(1 << 20, 'x');
	log = weir_logger_new(NULL, f->fd, false);
	weir_logf(log, WEIR_LOG_INFO, "big", "%s", huge);
	g_autofree char *all = contents(f);
	g_assert_cmpuint(strlen(all), <, 10000);
	weir_logger_free(log);
}

static void test_json_line(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, true);
	struct weir_core core = { .log = log };
	struct weir_host host = { .size = sizeof(host), .instance = "backend.main", .data = &core };
	const struct weir_log *api = weir_log_extension();
	api->write(&host, WEIR_LOG_WARNING, "cpu", "say \"hi\"\n\\ \xff end");
	g_assert_false(api->enabled(&host, WEIR_LOG_DEBUG, "cpu"));
	g_autofree char *text = contents(f);
	g_autoptr(JsonNode) node = json_from_string(text, NULL);
	g_assert_nonnull(node);
	JsonObject *object = json_node_get_object(node);
	g_assert_cmpstr(json_object_get_string_member(object, "level"), ==, "warning");
	g_assert_cmpstr(json_object_get_string_member(object, "topic"), ==, "cpu");
	g_assert_cmpstr(json_object_get_string_member(object, "instance"), ==, "backend.main");
	g_assert_cmpstr(json_object_get_string_member(object, "text"), ==,
			"say \"hi\"\n\\ \\xff end");
	weir_logger_free(log);
}

static void test_instance_names(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, false);
	struct weir_core core = { .log = log };
	struct weir_host host = { .size = sizeof(host),
				  .instance = "frontend.http",
				  .data = &core };
	weir_log_extension()->write(&host, WEIR_LOG_INFO, "http", "one");
	host.instance = "frontend.public";
	weir_log_extension()->write(&host, WEIR_LOG_INFO, "http", "two");
	g_autofree char *text = contents(f);
	g_assert_nonnull(strstr(text, "http: one\n"));
	g_assert_nonnull(strstr(text, "http[frontend.public]: two\n"));
	weir_logger_free(log);
}

static void test_progress(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, false);
	for (uint64_t i = 0; i <= 1000; i++)
		weir_logger_progress(log, "weights", i, 1000);
	g_autofree char *text = contents(f);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_assert_cmpuint(g_strv_length(lines), ==, 3); /* first, last, and after the last newline */
	g_assert_nonnull(strstr(lines[0], "weights: 0 %"));
	g_assert_nonnull(strstr(lines[1], "weights: done"));
	weir_logger_free(log);
}

static void *write_lines(void *data)
{
	for (int i = 0; i < 200; i++) {
		weir_logf(data, WEIR_LOG_INFO, "thread", "line %d %s", i, "0123456789");
		if (i % 50 == 0)
			weir_logger_set_levels(data, "info,other=debug", NULL);
	}
	return NULL;
}

static void test_threads(struct fixture *f, const void *data)
{
	struct weir_logger *log = weir_logger_new(NULL, f->fd, false);
	GThread *threads[4];
	for (size_t i = 0; i < 4; i++)
		threads[i] = g_thread_new("log", write_lines, log);
	for (size_t i = 0; i < 4; i++)
		g_thread_join(threads[i]);
	g_autofree char *text = contents(f);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_assert_cmpuint(g_strv_length(lines), ==, 4 * 200 + 1);
	for (size_t i = 0; i < 800; i++)
		g_assert_true(g_str_has_suffix(lines[i], " 0123456789"));
	weir_logger_free(log);
}

static void test_fail(void)
{
	struct weir_error err;
	memset(&err, 'x', sizeof(err));
	g_assert_cmpint(weir_fail(&err, WEIR_E_INVALID, "%s: %d", "line", 3), ==, WEIR_E_INVALID);
	g_assert_cmpint(err.code, ==, WEIR_E_INVALID);
	g_assert_cmpstr(err.text, ==, "line: 3");
	g_assert_cmpstr(err.param, ==, "");
	g_assert_cmpint(weir_fail(NULL, WEIR_E_INTERNAL, "gone"), ==, WEIR_E_INTERNAL);
	/* A cut text stays UTF-8 wherever the cut falls: runes of 1 to 4 bytes, every offset. */
	static const char *const runes[] = { "a", "é", "€", "\xf0\x9f\x98\x80" };
	for (size_t r = 0; r < G_N_ELEMENTS(runes); r++) {
		for (int pad = 0; pad < 4; pad++) {
			g_autoptr(GString) text = g_string_new(NULL);
			for (int i = 0; i < pad; i++)
				g_string_append_c(text, '.');
			while (text->len < 2 * sizeof(err.text))
				g_string_append(text, runes[r]);
			weir_fail(&err, WEIR_E_INTERNAL, "%s", text->str);
			g_assert_true(g_utf8_validate(err.text, -1, NULL));
			g_assert_cmpuint(strlen(err.text), >, sizeof(err.text) - 5);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
	g_test_add("/log/" name, struct fixture, NULL, set_up, function, tear_down)
	ADD("levels", test_levels);
	ADD("bad-spec", test_bad_spec);
	ADD("text-line", test_text_line);
	ADD("hostile-text", test_hostile_text);
	ADD("json-line", test_json_line);
	ADD("instance-names", test_instance_names);
	ADD("progress", test_progress);
	ADD("threads", test_threads);
	g_test_add_func("/log/fail", test_fail);
	return g_test_run();
}
