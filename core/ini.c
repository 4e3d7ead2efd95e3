/*
 * core/ini.c - see ini.h.
 */
#include "ini.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE ((size_t)1 << 20)
#define MAX_NAME 128

struct reader {
	struct weir_ini *ini;
	struct weir_ini_section *section; /* NULL before the first, and after a broken one */
	bool skip;                        /* inside a broken section: its keys are not judged */
	const char *file;
	int line;
	struct weir_problems *problems;
};

static void key_free(void *data)
{
	struct weir_ini_key *key = data;
	g_free(key->name);
	g_free(key->value);
	g_free(key->file);
	g_free(key);
}

static void section_free(void *data)
{
	struct weir_ini_section *section = data;
	g_free(section->name);
	g_free(section->file);
	g_ptr_array_unref(section->keys);
	g_free(section);
}

static struct weir_ini *ini_new(void)
{
	struct weir_ini *ini = g_new0(struct weir_ini, 1);
	ini->sections = g_ptr_array_new_with_free_func(section_free);
	return ini;
}

void weir_ini_free(struct weir_ini *ini)
{
	if (!ini)
		return;
	g_ptr_array_unref(ini->sections);
	g_free(ini);
}

struct weir_ini_section *weir_ini_section(const struct weir_ini *ini, const char *name)
{
	for (unsigned i = 0; i < ini->sections->len; i++) {
		struct weir_ini_section *section = g_ptr_array_index(ini->sections, i);
		if (!strcmp(section->name, name))
			return section;
	}
	return NULL;
}

struct weir_ini_key *weir_ini_key(const struct weir_ini_section *section, const char *name)
{
	for (unsigned i = 0; section && i < section->keys->len; i++) {
		struct weir_ini_key *key = g_ptr_array_index(section->keys, i);
		if (!strcmp(key->name, name))
			return key;
	}
	return NULL;
}

static struct weir_ini_section *section_add(struct weir_ini *ini, const char *name,
					    struct weir_origin origin)
{
	struct weir_ini_section *section = g_new0(struct weir_ini_section, 1);
	section->name = g_strdup(name);
	section->file = g_strdup(origin.file);
	section->line = origin.line;
	section->keys = g_ptr_array_new_with_free_func(key_free);
	g_ptr_array_add(ini->sections, section);
	return section;
}

void weir_ini_set(struct weir_ini *ini, const char *section_name, const char *name,
		  const char *value, struct weir_origin origin)
{
	struct weir_ini_section *section = weir_ini_section(ini, section_name);
	if (!section)
		section = section_add(ini, section_name, origin);
	struct weir_ini_key *key = weir_ini_key(section, name);
	if (!key) {
		key = g_new0(struct weir_ini_key, 1);
		key->name = g_strdup(name);
		g_ptr_array_add(section->keys, key);
	}
	g_free(key->value);
	g_free(key->file);
	key->value = g_strdup(value);
	key->file = g_strdup(origin.file);
	key->line = origin.line;
}

static bool is_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"0123456789._-");
	return n > 0 && n <= MAX_NAME && text[n] == '\0';
}

static struct weir_origin here(const struct reader *r)
{
	return (struct weir_origin){ r->file, r->line };
}

static const char *section_name(const struct reader *r)
{
	return r->section ? r->section->name : NULL;
}

static void read_section(struct reader *r, char *line)
{
	r->section = NULL;
	r->skip = true;
	size_t len = strlen(line);
	if (line[len - 1] != ']') {
		weir_problem(r->problems, here(r), NULL, NULL,
			     "a section's name ends with ] and nothing follows it");
		return;
	}
	line[len - 1] = '\0';
	const char *name = g_strstrip(line + 1);
	if (!is_name(name)) {
		weir_problem(r->problems, here(r), NULL, NULL,
			     "a section's name is made of letters, digits, dots, dashes and "
			     "underscores, like [backend.main]");
		return;
	}
	const struct weir_ini_section *twin = weir_ini_section(r->ini, name);
	if (twin) {
		weir_problem(r->problems, here(r), name, NULL,
			     "this section is already in line %d; put its keys there", twin->line);
		return;
	}
	r->section = section_add(r->ini, name, here(r));
	r->skip = false;
}

/* Undoes "..." in place. */
static const char *unquote(char *value)
{
	char *out = value, *p = value + 1;
	for (; *p && *p != '"'; p++) {
		if (*p != '\\') {
			*out++ = *p;
			continue;
		}
		p++;
		if (*p == 'n')
			*out++ = '\n';
		else if (*p == 't')
			*out++ = '\t';
		else if (*p == '"' || *p == '\\')
			*out++ = *p;
		else
			return "after \\ only \", \\, n and t are known";
	}
	if (*p != '"')
		return "the quote is not closed";
	if (p[1])
		return "nothing may follow the closing quote";
	*out = '\0';
	return NULL;
}

static const char *check_plain(const char *value)
{
	for (const char *p = value; *p; p++) {
		bool marks = (*p == '#' || *p == ';') && p > value && g_ascii_isspace(p[-1]);
		if (marks)
			return "a comment stands on a line of its own; a value with a # or ; after "
			       "a "
			       "space goes in \"quotes\"";
	}
	return NULL;
}

static void read_key(struct reader *r, char *line)
{
	char *equals = strchr(line, '=');
	if (!equals) {
		weir_problem(r->problems, here(r), section_name(r), NULL,
			     "neither [section] nor key = value nor # comment");
		return;
	}
	*equals = '\0';
	char *name = g_strstrip(line), *value = g_strstrip(equals + 1);
	if (!is_name(name)) {
		weir_problem(r->problems, here(r), section_name(r), NULL,
			     "a key is made of letters, digits, dots, dashes and underscores");
		return;
	}
	if (r->skip)
		return;
	if (!r->section) {
		weir_problem(r->problems, here(r), NULL, name,
			     "a key needs a [section] above it, like [server]");
		return;
	}
	const struct weir_ini_key *twin = weir_ini_key(r->section, name);
	if (twin) {
		weir_problem(r->problems, here(r), r->section->name, name, "already set in line %d",
			     twin->line);
		return;
	}
	const char *wrong = *value == '"' ? unquote(value) : check_plain(value);
	if (wrong) {
		weir_problem(r->problems, here(r), r->section->name, name, "%s", wrong);
		return;
	}
	weir_ini_set(r->ini, r->section->name, name, value, here(r));
}

static const char *check_bytes(const char *line, size_t len)
{
	if (memchr(line, '\0', len))
		return "a NUL byte; this is no text file";
	if (!g_utf8_validate(line, (gssize)len, NULL))
		return "bytes that are not UTF-8";
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return "a control character";
	return NULL;
}

struct weir_ini *weir_ini_parse(const char *text, size_t len, const char *name,
				struct weir_problems *problems)
{
	struct reader r = { .ini = ini_new(), .file = name, .problems = problems };
	if (len > MAX_FILE) {
		weir_problem(problems, here(&r), NULL, NULL,
			     "larger than 1 MiB; this is no profile");
		return r.ini;
	}
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	const char *end = text + len;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline ? newline : end) - text);
		const char *next = text + n + (newline ? 1 : 0);
		if (n > 0 && text[n - 1] == '\r')
			n--;
		r.line++;
		const char *wrong = check_bytes(text, n);
		if (wrong) {
			weir_problem(problems, here(&r), NULL, NULL, "%s", wrong);
		} else {
			g_autofree char *copy = g_strndup(text, n);
			char *line = g_strstrip(copy);
			if (*line == '[')
				read_section(&r, line);
			else if (*line && *line != '#' && *line != ';')
				read_key(&r, line);
		}
		text = next;
	}
	return r.ini;
}

/* Reads at most MAX_FILE + 1 bytes: a device or a pipe without end is cut, then refused. */
struct weir_ini *weir_ini_read(const char *path, struct weir_problems *problems)
{
	struct weir_origin origin = { path, 0 };
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &info) < 0) {
		weir_problem(problems, origin, NULL, NULL, "%s", g_strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (S_ISDIR(info.st_mode)) {
		weir_problem(problems, origin, NULL, NULL, "is a folder, not a profile");
		close(fd);
		return NULL;
	}
	g_autofree char *text = g_malloc(MAX_FILE + 1);
	size_t len = 0;
	while (len <= MAX_FILE) {
		ssize_t n = read(fd, text + len, MAX_FILE + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			weir_problem(problems, origin, NULL, NULL, "%s", g_strerror(errno));
			close(fd);
			return NULL;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	return weir_ini_parse(text, len, path, problems);
}
