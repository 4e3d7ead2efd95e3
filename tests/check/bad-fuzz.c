/*
 * tests/check/bad-fuzz.c - a level-B backend with a tokenizer and a chat template that are
 * arithmetic, and the ways to trust what comes from outside: compiled once per kind with
 * BAD_<KIND> defined, to see that section fuzz of `weir check` finds them. Without any it keeps the
 * contract. The model is a file: TOY, a byte that says how many bytes of names follow, and these.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/backend.h>
#include <weir/tokenizer.h>

enum { VOCAB = 256, MAX_FILE = 1 << 16, MAX_DEPTH = 64 };

struct toy {
	struct weir_instance base;
	char path[256], names[256];
};

static weir_status refuse(struct weir_error *err, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	return WEIR_E_INVALID;
}

static weir_status load(struct weir_instance *base, struct weir_model *ret, struct weir_error *err)
{
	struct toy *toy = (struct toy *)base;
	static unsigned char data[MAX_FILE];
	FILE *file = fopen(toy->path, "r");
	size_t n = file ? fread(data, 1, sizeof(data), file) : 0;

	if (file)
		fclose(file);
	if (n < 4 || memcmp(data, "TOY", 3) != 0) {
#ifdef BAD_SILENT
		return WEIR_E_INVALID;
#endif
		return refuse(err, "not a toy");
	}
#ifdef BAD_TRUSTING
	if (data[3] > n - 4) /* as if it had been read */
		abort();
#endif
	if (data[3] > n - 4)
		return refuse(err, "the names are cut off");
	memcpy(toy->names, data + 4, data[3]);
	*ret = (struct weir_model){ .size = ret->size,
				    .n_vocab = VOCAB,
				    .n_ctx = 64,
				    .max_rows = 2,
				    .max_tokens = 64,
				    .block_tokens = 8,
				    .n_blocks = 64,
				    .name = "toy",
				    .summary = "arithmetic" };
	return WEIR_OK;
}

static weir_status step(struct weir_instance *base, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	(void)base;
	(void)err;
	for (uint32_t r = 0; r < batch->n_rows; r++)
		ret->token[r] = (int32_t)r;
	return WEIR_OK;
}

static weir_status encode(struct weir_instance *base, struct weir_str text, uint32_t flags,
			  int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	(void)base;
	(void)flags;
	(void)err;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = (unsigned char)text.data[i];

#ifdef BAD_BYTE
		if (byte == 0xff)
			abort();
#endif
#ifdef BAD_CAP
		if (i <= cap)
#else
		if (i < cap)
#endif
			out[i] = byte;
#ifdef BAD_RANGE
		if (i < cap && byte == 0)
			out[i] = VOCAB;
#endif
	}
	*ret_n = text.len;
	return WEIR_OK;
}

static weir_status encode_chat(struct weir_instance *base, struct weir_str context, int32_t *out,
			       size_t cap, size_t *ret_n, struct weir_error *err)
{
	unsigned depth = 0;

	for (size_t i = 0; i < context.len; i++) {
		depth += context.data[i] == '[';
		depth -= depth > 0 && context.data[i] == ']';
#ifdef BAD_HANG
		while (depth > MAX_DEPTH)
			i = i ? i - 1 : i; /* looks for the way out */
#endif
		if (depth > MAX_DEPTH)
			return refuse(err, "too deep");
	}
	return encode(base, context, 0, out, cap, ret_n, err);
}

static size_t piece(struct weir_instance *base, int32_t token, uint32_t flags, char *out,
		    size_t cap)
{
	(void)base;
	(void)flags;
#ifndef BAD_TOKEN
	if (token < 0 || token >= VOCAB)
		return 0;
#endif
	if (cap > 0)
		out[0] = (char)token;
	return 1;
}

static bool is_end(struct weir_instance *base, int32_t token)
{
	(void)base;
	return token == 0;
}

static void destroy(struct weir_instance *base)
{
	free(base);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_backend_step api = { sizeof(api), 0, load, step, NULL };
	static const struct weir_tokenizer tokenizer = { .size = sizeof(tokenizer),
							 .n_vocab = VOCAB,
							 .bos = -1,
							 .eos = 0,
							 .encode = encode,
							 .encode_chat = encode_chat,
							 .piece = piece,
							 .is_end = is_end };

	(void)base;
	if (!strcmp(id, WEIR_TOKENIZER))
		return &tokenizer;
	return strcmp(id, WEIR_BACKEND_STEP) ? NULL : &api;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct toy *toy = calloc(1, sizeof(*toy));

	(void)host;
	if (!toy)
		return refuse(err, "no memory");
	for (size_t i = 0; i < n_conf; i++)
		if (!strcmp(conf[i].key, "model"))
			snprintf(toy->path, sizeof(toy->path), "%s", conf[i].value);
	toy->base.size = sizeof(toy->base);
	toy->base.destroy = destroy;
	toy->base.get_ext = get_ext;
	*ret = &toy->base;
	return WEIR_OK;
}

static const struct weir_option option_model = {
	.size = sizeof(option_model),
	.type = WEIR_OPTION_PATH,
	.key = "model",
	.fallback = "",
	.help = "A file that begins with TOY.",
};

static const struct weir_option *const options[] = { &option_model, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = BAD_NAME,
	.title = "For tests",
	.help = "Trusts what comes from outside.",
	.options = options,
	.create = create,
};

WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static const struct weir_component *const components[] = { &component, NULL };
	static const struct weir_plugin plugin = {
		.size = sizeof(plugin),
		.abi = WEIR_ABI,
		.abi_min = WEIR_ABI,
		.sanitizer = WEIR_SANITIZER,
		.name = BAD_NAME,
		.version = "1.0",
		.components = components,
	};

	(void)host_abi;
	return &plugin;
}
