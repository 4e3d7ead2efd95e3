/*
 * options.c - the options that every tensor backend shares; see options.h. No state.
 */
#include "options.h"
#include "backend.h"
#include "fail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ADAPTERS = 64 }; /* as WEIR_MAX_ADAPTERS of lora.h */

#define OPTION(...)                                                                                \
	&(const struct weir_option)                                                                \
	{                                                                                          \
		.size = sizeof(struct weir_option), __VA_ARGS__                                    \
	}

const struct weir_option *const weir_tensor_options[] = {
	OPTION(.type = WEIR_OPTION_PATH, .flags = WEIR_OPTION_REQUIRED, .key = "model",
	       .help = "The GGUF file to serve."),
	OPTION(.type = WEIR_OPTION_INT, .key = "context", .fallback = "0", .max = 134217728,
	       .help = "Longest sequence, prompt and output, in tokens; 0: what the model was "
		       "trained for, or less when memory is short."),
	OPTION(.type = WEIR_OPTION_INT, .key = "max_sequences", .fallback = "8", .min = 1,
	       .max = 1024, .help = "How many sequences are computed in one step."),
	OPTION(.type = WEIR_OPTION_INT, .key = "max_batch_tokens", .fallback = "512", .min = 1,
	       .max = 65536,
	       .help = "How many tokens, prompts included, are computed in one step."),
	OPTION(.type = WEIR_OPTION_CHOICE, .key = "kv_type", .fallback = "f16",
	       .choices = "f16|bf16|q8_0|f32", .help = "Number format of the KV cache."),
	OPTION(.type = WEIR_OPTION_SIZE, .key = "kv_memory",
	       .help = "Bytes for the KV cache; unset: context for max_sequences, but no more than "
		       "half of the free memory.",
	       .min = 1024, .max = 1e15),
	OPTION(.type = WEIR_OPTION_INT, .key = "block_tokens", .fallback = "32", .min = 8,
	       .max = 512, .help = "Positions in a block of the KV cache; a power of two."),
	OPTION(.type = WEIR_OPTION_INT, .key = "guesses", .fallback = "32", .max = 1024,
	       .help = "How many tokens of a step may be guesses of what comes next, looked up in "
		       "the text so far and verified: faster where texts repeat themselves, never "
		       "different. 0: none."),
	OPTION(.type = WEIR_OPTION_PATH, .key = "draft_model",
	       .help = "A smaller GGUF file with the same vocabulary that makes the guesses; its "
		       "KV "
		       "memory comes on top."),
	OPTION(.type = WEIR_OPTION_LIST, .key = "lora",
	       .help = "Adapters that requests may choose: name=path or name=path:scale, separated "
		       "by commas; GGUF files, paths from the working directory."),
	NULL,
};

static weir_status bad(struct weir_error *err, const char *key, const char *value, const char *want)
{
	struct weir_str text = { value, strlen(value) };
	weir_status s = weir_fail(err, WEIR_E_INVALID, "%s is '%s', it must be %s", key,
				  weir_quote(text).text, want);

	if (err) {
		strncpy(err->param, key, sizeof(err->param) - 1);
		err->param[sizeof(err->param) - 1] = '\0';
	}
	return s;
}

static weir_status read_u64(const struct weir_kv *kv, uint64_t min, uint64_t max, const char *want,
			    uint64_t *ret, struct weir_error *err)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(kv->value, &end, 10);
	if (errno != 0 || end == kv->value || *end != '\0' || kv->value[0] == '-' || v < min ||
	    v > max)
		return bad(err, kv->key, kv->value, want);
	*ret = v;
	return WEIR_OK;
}

static weir_status read_u32(const struct weir_kv *kv, uint32_t min, uint32_t max, const char *want,
			    uint32_t *ret, struct weir_error *err)
{
	uint64_t v;
	weir_status s = read_u64(kv, min, max, want, &v, err);

	if (s == WEIR_OK)
		*ret = (uint32_t)v;
	return s;
}

static weir_status read_type(const struct weir_kv *kv, uint32_t *ret, struct weir_error *err)
{
	static const struct {
		const char *name;
		uint32_t type;
	} types[] = { { "f16", WEIR_DTYPE_F16 },
		      { "bf16", WEIR_DTYPE_BF16 },
		      { "q8_0", WEIR_DTYPE_Q8_0 },
		      { "f32", WEIR_DTYPE_F32 } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(kv->value, types[i].name) == 0) {
			*ret = types[i].type;
			return WEIR_OK;
		}
	}
	return bad(err, kv->key, kv->value, "f16, bf16, q8_0 or f32");
}

static bool is_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || c == '.'))
			return false;
	}
	return n > 0 && n < 64;
}

/* "name=path[:scale]", `item` its own memory. */
static weir_status read_adapter(const char *item, struct weir_tensor_conf *c,
				struct weir_error *err)
{
	const char *want = "name=path or name=path:scale, names of letters, digits, '-', '_', '.'";
	const char *path = strchr(item, '='), *colon, *end;
	struct weir_lora_conf *to;
	char *after;
	float scale = 1.0f, x;

	if (!path || path[1] == '\0' || !is_name(item, (size_t)(path - item)))
		return bad(err, "lora", item, want);
	path++;
	end = path + strlen(path);
	colon = strrchr(path, ':');
	if (colon && colon > path && colon[1] != '\0') {
		x = strtof(colon + 1, &after);
		if (*after == '\0') { /* else the colon is the path's own */
			if (!(x >= -1e3f && x <= 1e3f))
				return bad(err, "lora", item, "scaled by -1000 to 1000");
			scale = x;
			end = colon;
		}
	}
	for (uint32_t i = 0; i < c->n_lora; i++) {
		if (strlen(c->lora[i].name) == (size_t)(path - 1 - item) &&
		    memcmp(c->lora[i].name, item, (size_t)(path - 1 - item)) == 0)
			return bad(err, "lora", item, "a name that no other adapter has");
	}
	if (c->n_lora == MAX_ADAPTERS)
		return bad(err, "lora", item, "one of 64 adapters at most");
	to = realloc(c->lora, (c->n_lora + 1) * sizeof(*to));
	if (!to)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	c->lora = to;
	to += c->n_lora++;
	*to = (struct weir_lora_conf){ .name = strndup(item, (size_t)(path - 1 - item)),
				       .path = strndup(path, (size_t)(end - path)),
				       .scale = scale };
	return to->name && to->path ? WEIR_OK : weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
}

static weir_status read_adapters(const char *list, struct weir_tensor_conf *c,
				 struct weir_error *err)
{
	weir_status s = WEIR_OK;
	size_t n;

	for (; *list && s == WEIR_OK; list += n + (list[n] == ',')) {
		char *item;

		while (*list == ' ' || *list == '\t')
			list++;
		n = strcspn(list, ",");
		if (n == 0)
			continue;
		item = strndup(list, n);
		if (!item)
			return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
		for (size_t len = n; len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t');)
			item[--len] = '\0';
		s = read_adapter(item, c, err);
		free(item);
	}
	return s;
}

static weir_status read_one(const struct weir_kv *kv, struct weir_tensor_conf *c,
			    struct weir_error *err)
{
	const char *key = kv->key;

	if (strcmp(key, "model") == 0) {
		free(c->model);
		c->model = strdup(kv->value);
		if (!c->model)
			return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
		return WEIR_OK;
	}
	if (strcmp(key, "draft_model") == 0) {
		free(c->draft_model);
		c->draft_model = strdup(kv->value);
		return c->draft_model ? WEIR_OK : weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	}
	if (strcmp(key, "lora") == 0)
		return read_adapters(kv->value, c, err);
	if (strcmp(key, "context") == 0)
		return read_u32(kv, 0, 1u << 27, "0 to 134217728", &c->n_ctx, err);
	if (strcmp(key, "max_sequences") == 0)
		return read_u32(kv, 1, 1024, "1 to 1024", &c->max_sequences, err);
	if (strcmp(key, "max_batch_tokens") == 0)
		return read_u32(kv, 1, 65536, "1 to 65536", &c->max_batch_tokens, err);
	if (strcmp(key, "guesses") == 0)
		return read_u32(kv, 0, 1024, "0 to 1024", &c->guesses, err);
	if (strcmp(key, "kv_type") == 0)
		return read_type(kv, &c->kv_type, err);
	if (strcmp(key, "kv_memory") == 0)
		return read_u64(kv, 1024, 1000000000000000, "1 KiB to 1 PB", &c->kv_memory, err);
	if (strcmp(key, "block_tokens") == 0) {
		weir_status s = read_u32(kv, 8, 512, "8 to 512", &c->block_tokens, err);

		if (s == WEIR_OK && (c->block_tokens & (c->block_tokens - 1)) != 0)
			return bad(err, key, kv->value, "a power of two");
		return s;
	}
	return WEIR_OK;
}

weir_status weir_tensor_conf_read(const struct weir_kv *conf, size_t n_conf,
				  struct weir_tensor_conf *ret, struct weir_error *err)
{
	struct weir_tensor_conf c = { .max_sequences = 8,
				      .max_batch_tokens = 512,
				      .block_tokens = 32,
				      .guesses = 32,
				      .kv_type = WEIR_DTYPE_F16 };
	weir_status s = WEIR_OK;

	for (size_t i = 0; i < n_conf && s == WEIR_OK; i++)
		s = read_one(&conf[i], &c, err);
	if (s == WEIR_OK && !c.model)
		s = bad(err, "model", "", "the path of a GGUF file");
	if (s != WEIR_OK) {
		weir_tensor_conf_clear(&c);
		return s;
	}
	/* Every running sequence must find room in a step. */
	if (c.max_batch_tokens < c.max_sequences)
		c.max_batch_tokens = c.max_sequences;
	*ret = c;
	return WEIR_OK;
}

void weir_tensor_conf_clear(struct weir_tensor_conf *conf)
{
	free(conf->model);
	free(conf->draft_model);
	conf->model = conf->draft_model = NULL;
	for (uint32_t i = 0; i < conf->n_lora; i++) {
		free(conf->lora[i].name);
		free(conf->lora[i].path);
	}
	free(conf->lora);
	conf->lora = NULL;
	conf->n_lora = 0;
}
