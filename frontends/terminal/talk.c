/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/talk.c - see talk.h.
 */
#include "talk.h"

#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

static const char *const names[] = {
	"temperature",
	"top_p",
	"top_k",
	"min_p",
	"typical_p",
	"max_tokens",
	"min_tokens",
	"repetition_penalty",
	"presence_penalty",
	"frequency_penalty",
	"seed",
	"priority",
	NULL,
};

static const char *const whole[] = {
	"top_k", "max_tokens", "min_tokens", "seed", "priority", NULL
};

void talk_init(struct talk *t)
{
	*t = (struct talk){
		.turns = g_ptr_array_new_with_free_func(g_free),
		.set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
	};
}

void talk_clear(struct talk *t)
{
	g_free(t->model);
	g_free(t->system);
	g_ptr_array_unref(t->turns);
	g_hash_table_unref(t->set);
	*t = (struct talk){ .model = NULL };
}

void talk_set_system(struct talk *t, const char *text)
{
	g_free(t->system);
	t->system = text && *text ? g_strdup(text) : NULL;
}

void talk_add(struct talk *t, const char *text)
{
	g_ptr_array_add(t->turns, g_strdup(text));
}

void talk_drop_last(struct talk *t)
{
	if (t->turns->len)
		g_ptr_array_set_size(t->turns, (gint)t->turns->len - 1);
}

void talk_reset(struct talk *t)
{
	g_ptr_array_set_size(t->turns, 0);
}

const char *const *talk_names(void)
{
	return names;
}

bool talk_set(struct talk *t, const char *name, const char *value, char **ret_error)
{
	char *end, text[G_ASCII_DTOSTR_BUF_SIZE];
	double v = g_ascii_strtod(value, &end);
	bool is_whole = g_strv_contains(whole, name);
	if (!g_strv_contains(names, name)) {
		g_autofree char *all = g_strjoinv(", ", (char **)names);
		*ret_error = g_strdup_printf("there is no '%s' to set; there are %s", name, all);
		return false;
	}
	if (strcmp(value, "default") == 0) {
		g_hash_table_remove(t->set, name);
		return true;
	}
	if (end == value || *end || !isfinite(v) ||
	    (is_whole && (v != floor(v) || fabs(v) > 1e15))) {
		*ret_error = g_strdup_printf("%s must be %s, or the word default", name,
					     is_whole ? "a whole number" : "a number");
		return false;
	}
	g_ascii_formatd(text, sizeof(text), is_whole ? "%.0f" : "%.9g", v);
	g_hash_table_insert(t->set, g_strdup(name), g_strdup(text));
	return true;
}

static void put_message(JsonBuilder *b, const char *role, const char *content)
{
	json_builder_begin_object(b);
	json_builder_set_member_name(b, "role");
	json_builder_add_string_value(b, role);
	json_builder_set_member_name(b, "content");
	json_builder_add_string_value(b, content);
	json_builder_end_object(b);
}

static void put_messages(const struct talk *t, JsonBuilder *b)
{
	json_builder_begin_array(b);
	if (t->system)
		put_message(b, "system", t->system);
	for (guint i = 0; i < t->turns->len; i++)
		put_message(b, i % 2 ? "assistant" : "user", g_ptr_array_index(t->turns, i));
	json_builder_end_array(b);
}

static char *build_text(JsonBuilder *b, bool pretty)
{
	g_autoptr(JsonNode) root = json_builder_get_root(b);
	return json_to_string(root, pretty);
}

static void put_settings(const struct talk *t, JsonBuilder *b)
{
	for (size_t i = 0; names[i]; i++) {
		const char *value = g_hash_table_lookup(t->set, names[i]);
		if (!value)
			continue;
		json_builder_set_member_name(b, names[i]);
		if (g_strv_contains(whole, names[i]))
			json_builder_add_int_value(b, g_ascii_strtoll(value, NULL, 10));
		else
			json_builder_add_double_value(b, g_ascii_strtod(value, NULL));
	}
}

char *talk_body(const struct talk *t)
{
	g_autoptr(JsonBuilder) b = json_builder_new();
	json_builder_begin_object(b);
	json_builder_set_member_name(b, "model");
	json_builder_add_string_value(b, t->model ? t->model : "default");
	json_builder_set_member_name(b, "messages");
	put_messages(t, b);
	put_settings(t, b);
	json_builder_set_member_name(b, "stream");
	json_builder_add_boolean_value(b, TRUE);
	json_builder_set_member_name(b, "stream_options");
	json_builder_begin_object(b);
	json_builder_set_member_name(b, "include_usage");
	json_builder_add_boolean_value(b, TRUE);
	json_builder_end_object(b);
	json_builder_end_object(b);
	return build_text(b, false);
}

static char *as_markdown(const struct talk *t)
{
	GString *out = g_string_new(NULL);
	g_string_append_printf(out, "# A chat with %s\n", t->model ? t->model : "a model");
	if (t->system)
		g_string_append_printf(out, "\n**system**\n\n%s\n", t->system);
	for (guint i = 0; i < t->turns->len; i++)
		g_string_append_printf(out, "\n**%s**\n\n%s\n", i % 2 ? "assistant" : "user",
				       (const char *)g_ptr_array_index(t->turns, i));
	return g_string_free(out, FALSE);
}

static char *as_json(const struct talk *t)
{
	g_autoptr(JsonBuilder) b = json_builder_new();
	put_messages(t, b);
	return build_text(b, true);
}

bool talk_save(const struct talk *t, const char *path, char **ret_error)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = g_str_has_suffix(path, ".json") ? as_json(t) : as_markdown(t);
	if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
		return true;
	*ret_error = g_strdup(error->message);
	return false;
}
