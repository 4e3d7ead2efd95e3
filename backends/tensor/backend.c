/*
 * backend.c - a GGUF file on a device, as a level-B backend; see backend.h.
 *
 * new and free on main, load on one worker, step on the step thread after load has succeeded,
 * interrupt (of either) and ext on any. The extensions find their backend as the first member of
 * what instance->data points to.
 */
#include "about.h"
#include "backend.h"
#include "answer.h"
#include "cache.h"
#include "drafter.h"
#include "embedder.h"
#include "fail.h"
#include "grammar-ext.h"
#include "graph.h"
#include "host-log.h"
#include "lora.h"
#include "options.h"
#include "step.h"
#include "vocab-ext.h"
#include "weights.h"

#include <weir/answer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_BYTES (64u << 20) /* of logits */
#define MIB         (1024.0 * 1024.0)

struct weir_tensor_backend {
	struct weir_instance *instance;
	const struct weir_device *device;
	struct weir_host_log log;
	struct weir_tensor_conf conf;
	/* From load() on, in the order in which they are made. */
	struct weir_gguf *gguf;
	struct weir_hparams hparams;
	struct weir_weights *weights;
	struct weir_cache_plan plan;
	struct weir_cache *cache;
	struct weir_lora *lora;          /* NULL: no adapters */
	weir_program *program, *adapted; /* adapted: for steps in which a row has an adapter */
	struct weir_vocab_ext *vocab;
	struct weir_drafter *drafter; /* or NULL */
	struct weir_grammar_engine *grammars;
	struct weir_stepper *stepper;
	struct weir_tensor_embedder *embedder; /* NULL: the device cannot; all that encoders have */
	struct weir_tokenizer tokenizer;
	struct weir_about about;
	char name[128], summary[96];
	atomic_bool loaded, interrupted; /* interrupted: before it was loaded */
};

static struct weir_tensor_backend *self(struct weir_instance *instance)
{
	return *(struct weir_tensor_backend **)instance->data;
}

static weir_status make_cache(struct weir_tensor_backend *b, struct weir_error *err)
{
	struct weir_device_info info = { .size = sizeof(info) };
	struct weir_cache_wish wish = { .n_ctx = b->conf.n_ctx,
					.max_sequences = b->conf.max_sequences,
					.block_tokens = b->conf.block_tokens,
					.type = b->conf.kv_type,
					.memory = b->conf.kv_memory };
	weir_status s;

	b->device->info(b->instance, &info);
	wish.memory_free = info.memory_free;
	s = weir_cache_plan(&b->hparams, &wish, &b->plan, err);
	if (s != WEIR_OK)
		return s;
	if (b->plan.n_ctx > b->hparams.n_ctx && b->hparams.arch->flags & WEIR_ARCH_POSITIONS)
		return weir_fail(err, WEIR_E_INVALID,
				 "context %u is longer than the %u positions that the model has "
				 "learned embeddings for",
				 b->plan.n_ctx, b->hparams.n_ctx);
	if (b->conf.n_ctx > b->hparams.n_ctx)
		weir_host_logf(&b->log, WEIR_LOG_WARNING,
			       "context %u is longer than the %u tokens that the model was trained "
			       "for: answers get worse beyond them",
			       b->conf.n_ctx, b->hparams.n_ctx);
	if (b->plan.n_ctx < b->hparams.n_ctx && b->conf.n_ctx == 0)
		weir_host_logf(&b->log, WEIR_LOG_WARNING,
			       "memory holds %u tokens of the model's %u: context is set to that",
			       b->plan.n_ctx, b->hparams.n_ctx);
	return weir_cache_new(&b->plan, &b->hparams, b->device, b->instance, &b->cache, err);
}

/* Guesses are tokens of a step, and each has an output. */
static uint32_t max_guesses(const struct weir_tensor_backend *b)
{
	uint32_t room = b->conf.max_batch_tokens - b->conf.max_sequences;

	return b->conf.guesses < room ? b->conf.guesses : room;
}

/* Outputs for a prompt that is scored: enough for a matrix product to be worth while, and few
 * enough that the logits of all outputs stay small. */
static uint32_t max_scores(const struct weir_tensor_backend *b)
{
	uint32_t others = b->conf.max_sequences + max_guesses(b);
	uint32_t room = b->conf.max_batch_tokens - others;
	uint64_t fit = SCORE_BYTES / sizeof(float) / b->hparams.n_vocab;
	uint32_t n = fit > others + 64u ? 64 : fit > others + 8u ? (uint32_t)fit - others : 8;

	return n < room ? n : room;
}

static weir_status make_drafter(struct weir_tensor_backend *b, const struct weir_stepper_config *c,
				struct weir_error *err)
{
	struct weir_drafter_config d = { .device = b->device,
					 .instance = b->instance,
					 .log = &b->log,
					 .path = b->conf.draft_model,
					 .model = b->gguf,
					 .plan = b->plan,
					 .n_vocab = c->n_vocab,
					 .max_rows = c->max_rows,
					 .max_tokens = c->max_tokens,
					 .end_tokens = c->end_tokens,
					 .n_end = c->n_end };
	weir_status s;

	if (!b->conf.draft_model || max_guesses(b) == 0)
		return WEIR_OK;
	s = weir_drafter_new(&d, &b->drafter, err);
	if (s == WEIR_OK)
		weir_host_logf(&b->log, WEIR_LOG_INFO, "draft model %s: %.1f MiB with its KV cache",
			       b->conf.draft_model, (double)weir_drafter_bytes(b->drafter) / MIB);
	return s;
}

static weir_status make_stepper(struct weir_tensor_backend *b, struct weir_error *err)
{
	struct weir_graph_limits limits = { .max_tokens = b->conf.max_batch_tokens,
					    .max_rows = b->conf.max_sequences,
					    .max_out = b->conf.max_sequences + max_guesses(b) +
						       max_scores(b),
					    .n_ctx = b->plan.n_ctx };
	struct weir_stepper_config c = { .device = b->device,
					 .instance = b->instance,
					 .n_vocab = b->hparams.n_vocab,
					 .n_ctx = b->plan.n_ctx,
					 .block_tokens = b->plan.block_tokens,
					 .n_blocks = b->plan.n_blocks,
					 .max_rows = b->conf.max_sequences,
					 .max_tokens = b->conf.max_batch_tokens,
					 .max_guesses = max_guesses(b),
					 .max_scores = max_scores(b) };
	weir_status s;

	s = weir_graph_build(&b->hparams, b->weights, b->cache, NULL, &limits, &b->program,
			     &c.logits, err);
	if (s == WEIR_OK && b->lora)
		s = weir_graph_build(&b->hparams, b->weights, b->cache, b->lora, &limits,
				     &b->adapted, &c.adapted_logits, err);
	if (s != WEIR_OK)
		return s;
	c.end_tokens = weir_vocab_ext_end_tokens(b->vocab, &c.n_end);
	c.program = b->program;
	c.adapted = b->adapted;
	c.n_adapters = weir_lora_n(b->lora);
	s = make_drafter(b, &c, err);
	if (s != WEIR_OK)
		return s;
	c.drafter = b->drafter;
	return weir_stepper_new(&c, &b->stepper, err);
}

/* "dir/weir-demo.gguf" is weir-demo. */
static void name_model(struct weir_tensor_backend *b, uint32_t main_type, uint64_t n_params)
{
	const char *base = strrchr(b->conf.model, '/');
	const struct weir_gguf_type *type = weir_gguf_type(main_type);
	double n = (double)n_params / 1000;
	int unit = 0;
	size_t len;

	base = base ? base + 1 : b->conf.model;
	len = strlen(base);
	if (len > 5 && strcmp(base + len - 5, ".gguf") == 0)
		len -= 5;
	if (len >= sizeof(b->name))
		len = sizeof(b->name) - 1;
	memcpy(b->name, base, len);
	b->name[len] = '\0';
	while (n >= 1000 && unit < 2) {
		n /= 1000;
		unit++;
	}
	snprintf(b->summary, sizeof(b->summary), "%s %.*f%c %s", b->hparams.arch->name, n < 10, n,
		 "KMB"[unit], type ? type->name : "?");
}

static void log_plan(const struct weir_tensor_backend *b)
{
	const struct weir_cache_plan *p = &b->plan;

	weir_host_logf(
		&b->log, WEIR_LOG_INFO,
		"%s: %s, %u layers; weights %llu bytes (%.1f MiB); KV cache %llu bytes "
		"(%.1f MiB) = %u blocks of %u tokens, %s; context %u, %u sequences and %u "
		"tokens in a step%s",
		b->name, b->summary, b->hparams.n_layers, (unsigned long long)b->weights->n_bytes,
		(double)b->weights->n_bytes / MIB, (unsigned long long)p->bytes,
		(double)p->bytes / MIB, p->n_blocks, p->block_tokens, weir_cache_type_name(p->type),
		p->n_ctx, b->conf.max_sequences, b->conf.max_batch_tokens,
		p->short_of_memory ? "; the cache does not hold all sequences at full length" : "");
}

static void unload(struct weir_tensor_backend *b)
{
	weir_stepper_free(b->stepper);
	weir_tensor_embedder_free(b->embedder);
	b->embedder = NULL;
	weir_drafter_free(b->drafter);
	if (b->program)
		b->device->program_free(b->instance, b->program);
	if (b->adapted)
		b->device->program_free(b->instance, b->adapted);
	weir_about_clear(&b->about);
	weir_grammar_engine_free(b->grammars);
	weir_vocab_ext_free(b->vocab);
	weir_cache_free(b->cache);
	weir_lora_free(b->lora);
	weir_weights_free(b->weights);
	weir_gguf_close(b->gguf);
	b->stepper = NULL;
	b->drafter = NULL;
	b->vocab = NULL;
	b->program = b->adapted = NULL;
	b->grammars = NULL;
	b->cache = NULL;
	b->lora = NULL;
	b->weights = NULL;
	b->gguf = NULL;
}

static bool is_encoder(const struct weir_tensor_backend *b)
{
	return b->hparams.arch && b->hparams.arch->flags & WEIR_ARCH_ENCODER;
}

static weir_status make_embedder(struct weir_tensor_backend *b, struct weir_error *err)
{
	struct weir_tensor_embedder_config c = { .gguf = b->gguf,
						 .hparams = &b->hparams,
						 .device = b->device,
						 .instance = b->instance,
						 .log = &b->log,
						 .n_ctx = b->conf.n_ctx,
						 .max_batch_tokens = b->conf.max_batch_tokens,
						 .sep = weir_vocab_ext_sep(b->vocab) };
	struct weir_error why = { 0 };
	weir_status s;

	if (is_encoder(b))
		return weir_tensor_embedder_encoder(&c, &b->embedder, err);
	c.n_ctx = b->plan.n_ctx;
	s = weir_tensor_embedder_decoder(&c, b->weights, &b->embedder, &why);
	if (s == WEIR_E_UNSUPPORTED) {
		weir_host_logf(&b->log, WEIR_LOG_INFO, "no embeddings: %s", why.text);
		return WEIR_OK;
	}
	if (s < 0 && err)
		*err = why;
	return s;
}

static void log_encoder(const struct weir_tensor_backend *b, const struct weir_embedder_info *info)
{
	uint64_t bytes = weir_tensor_embedder_bytes(b->embedder);

	weir_host_logf(&b->log, WEIR_LOG_INFO,
		       "%s: %s, %u layers; weights %llu bytes (%.1f MiB); %s of %u numbers; texts "
		       "of at most %u tokens, %u in a batch",
		       b->name, b->summary, b->hparams.n_layers, (unsigned long long)bytes,
		       (double)bytes / MIB,
		       info->pooling == WEIR_POOLING_RANK ? "scores" : "vectors", info->n_dim,
		       info->max_tokens, info->max_batch);
}

static void describe_encoder(struct weir_tensor_backend *b, struct weir_model *ret)
{
	struct weir_embedder_info info = { .size = sizeof(info) };

	weir_tensor_embedder_info(b->embedder, &info);
	name_model(b, weir_tensor_embedder_type(b->embedder),
		   weir_tensor_embedder_params(b->embedder));
	log_encoder(b, &info);
	*ret = (struct weir_model){
		.size = ret->size,
		.flags = WEIR_MODEL_ENCODER,
		.n_vocab = b->hparams.n_vocab,
		.n_ctx = info.max_tokens,
		.max_rows = b->conf.max_sequences,
		.max_tokens = b->conf.max_batch_tokens,
		.bytes_weights = weir_tensor_embedder_bytes(b->embedder),
		.n_params = weir_tensor_embedder_params(b->embedder),
		.name = b->name,
		.summary = b->summary,
	};
}

static weir_status load(struct weir_instance *instance, struct weir_model *ret,
			struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);
	uint32_t size = ret->size;
	weir_status s;

	if (size < sizeof(*ret))
		return weir_fail(err, WEIR_E_INVALID, "load: a weir_model of another ABI");
	if (b->loaded)
		return weir_fail(err, WEIR_E_INVALID, "load: %s is loaded already", b->name);
	weir_host_logf(&b->log, WEIR_LOG_INFO, "the model is read from %s", b->conf.model);
	s = weir_gguf_open(b->conf.model, &b->gguf, err);
	if (s < 0) {
		if (err)
			snprintf(err->param, sizeof(err->param), "model");
		return s;
	}
	if ((s = weir_hparams_read(b->gguf, &b->hparams, err)) ||
	    (s = weir_vocab_ext_new(b->gguf, b->hparams.n_vocab, &b->log, &b->vocab, err)) ||
	    (s = weir_host_go_on(&b->log, err)))
		goto fail;
	if (is_encoder(b)) {
		s = make_embedder(b, err);
		if (s < 0)
			goto fail;
		describe_encoder(b, ret);
		goto loaded;
	}
	if ((s = weir_weights_load(b->gguf, &b->hparams, b->device, b->instance, &b->log,
				   &b->weights, err)) ||
	    (s = weir_lora_load(&b->conf, &b->hparams, b->device, b->instance, &b->log, &b->lora,
				err)) ||
	    (s = weir_host_go_on(&b->log, err)) || (s = make_cache(b, err)) ||
	    (s = weir_host_go_on(&b->log, err)) || (s = make_stepper(b, err)) ||
	    (s = weir_host_go_on(&b->log, err)) || (s = make_embedder(b, err)) ||
	    (s = weir_host_go_on(&b->log, err)) ||
	    (s = weir_grammar_ext_new(b->vocab, b->hparams.n_vocab, &b->grammars, err)))
		goto fail;
	/* A vocabulary without text is told to whoever brings a grammar. */
	(void)weir_grammar_engine_prepare(b->grammars, &(struct weir_error){ 0 });
	name_model(b, b->weights->main_type, b->weights->n_params);
	log_plan(b);
	*ret = (struct weir_model){
		.size = size,
		.flags = b->drafter ? WEIR_MODEL_GUESSES : 0,
		.n_vocab = b->hparams.n_vocab,
		.n_ctx = b->plan.n_ctx,
		.max_rows = b->conf.max_sequences,
		.max_tokens = b->conf.max_batch_tokens,
		.block_tokens = b->plan.block_tokens,
		.n_blocks = b->plan.n_blocks,
		.bytes_weights = b->weights->n_bytes + weir_lora_bytes(b->lora),
		.bytes_kv = b->plan.bytes,
		.name = b->name,
		.summary = b->summary,
		.max_guesses = max_guesses(b),
		.max_scores = max_scores(b),
		.n_params = b->weights->n_params,
	};
loaded:
	ret->path = b->conf.model;
	ret->n_embd = b->hparams.n_embd;
	ret->n_ctx_train = b->hparams.n_ctx;
	weir_about_read(b->gguf, b->vocab, &b->about, ret);
	b->tokenizer.n_vocab = b->hparams.n_vocab;
	b->tokenizer.bos = weir_vocab_ext_bos(b->vocab);
	b->tokenizer.eos = weir_vocab_ext_eos(b->vocab);
	b->loaded = true;
	weir_gguf_close(b->gguf);
	b->gguf = NULL;
	return WEIR_OK;
fail:
	/* The reader of the file names it itself. Clients get to see this: the name, no folder. */
	if (err &&
	    strncmp(err->text, weir_gguf_path(b->gguf), strlen(weir_gguf_path(b->gguf))) != 0)
		weir_fail_prefix(err, weir_gguf_path(b->gguf));
	unload(b);
	return s;
}

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return weir_fail(err, WEIR_E_UNAVAILABLE, "step: no model is loaded");
	if (is_encoder(b))
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "step: %s is an embedding model and generates nothing", b->name);
	return weir_stepper_run(b->stepper, batch, ret, err);
}

static void interrupt(struct weir_instance *instance)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		b->interrupted = true;
	b->device->interrupt(instance);
}

static const struct weir_backend_step step_ext = {
	.size = sizeof(step_ext),
	.load = load,
	.step = step,
	.interrupt = interrupt,
};

static const char *adapter_name(struct weir_instance *instance, uint32_t i)
{
	struct weir_tensor_backend *b = self(instance);

	return b->loaded && i > 0 ? weir_lora_name(b->lora, i - 1) : NULL;
}

static const struct weir_adapters adapters_ext = {
	.size = sizeof(adapters_ext),
	.name = adapter_name,
};

static void embed_info(struct weir_instance *instance, struct weir_embedder_info *ret)
{
	struct weir_tensor_backend *b = self(instance);

	if (b->loaded && b->embedder)
		weir_tensor_embedder_info(b->embedder, ret);
}

static weir_status embed(struct weir_instance *instance, const int32_t *tokens,
			 const uint32_t *first, uint32_t n_texts, float *ret,
			 struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded || !b->embedder)
		return weir_fail(err, WEIR_E_UNAVAILABLE, "embed: no model is loaded");
	return weir_tensor_embedder_run(b->embedder, tokens, first, n_texts, ret, err);
}

static weir_status encode_pair(struct weir_instance *instance, struct weir_str query,
			       struct weir_str document, int32_t *out, size_t cap, size_t *ret_n,
			       struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);
	struct weir_embedder_info info = { .size = sizeof(info) };

	embed_info(instance, &info);
	if (!b->loaded || info.pooling != WEIR_POOLING_RANK)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "embed: not a model of pairs");
	return weir_vocab_ext_encode_pair(b->vocab, query, document, out, cap, ret_n, err);
}

static const struct weir_embedder embedder_ext = {
	.size = sizeof(embedder_ext),
	.info = embed_info,
	.embed = embed,
	.encode_pair = encode_pair,
};

static weir_status not_loaded(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_UNAVAILABLE, "tokenizer: no model is loaded");
}

static weir_status encode(struct weir_instance *instance, struct weir_str text, uint32_t flags,
			  int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return not_loaded(err);
	return weir_vocab_ext_encode(b->vocab, text, flags, out, cap, ret_n, err);
}

static weir_status encode_infill(struct weir_instance *instance, const struct weir_infill *hole,
				 int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return not_loaded(err);
	return weir_vocab_ext_encode_infill(b->vocab, hole, out, cap, ret_n, err);
}

static weir_status encode_chat(struct weir_instance *instance, struct weir_str context,
			       int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return not_loaded(err);
	return weir_vocab_ext_encode_chat(b->vocab, context, out, cap, ret_n, err);
}

static weir_status render_chat(struct weir_instance *instance, struct weir_str context, char *out,
			       size_t cap, size_t *ret_n, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return not_loaded(err);
	return weir_vocab_ext_render_chat(b->vocab, context, out, cap, ret_n, err);
}

static size_t piece(struct weir_instance *instance, int32_t token, uint32_t flags, char *out,
		    size_t cap)
{
	struct weir_tensor_backend *b = self(instance);

	return b->loaded ? weir_vocab_ext_piece(b->vocab, token, flags, out, cap) : 0;
}

static bool is_end(struct weir_instance *instance, int32_t token)
{
	struct weir_tensor_backend *b = self(instance);

	return b->loaded && weir_vocab_ext_is_end(b->vocab, token);
}

static weir_status compile(struct weir_instance *instance, struct weir_str spec, weir_grammar **ret,
			   struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return weir_fail(err, WEIR_E_UNAVAILABLE, "grammar: no model is loaded");
	return weir_grammar_compile(b->grammars, spec, ret, err);
}

static const struct weir_grammar_api grammar_ext = {
	.size = sizeof(grammar_ext),
	.compile = compile,
	.unref = weir_grammar_unref,
	.state_new = weir_grammar_state_new,
	.state_free = weir_grammar_state_free,
	.mask = weir_grammar_mask,
	.accept = weir_grammar_accept,
	.finished = weir_grammar_finished,
};

weir_status weir_tensor_backend_new(const struct weir_host *host, struct weir_instance *instance,
				    const struct weir_device *device, const struct weir_kv *conf,
				    size_t n_conf, struct weir_tensor_backend **ret,
				    struct weir_error *err)
{
	struct weir_tensor_backend *b = calloc(1, sizeof(*b));
	weir_status s;

	if (!b)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a backend");
	s = weir_tensor_conf_read(conf, n_conf, &b->conf, err);
	if (s != WEIR_OK) {
		free(b);
		return s;
	}
	b->instance = instance;
	b->device = device;
	b->log = weir_host_log_of(host);
	b->log.stop = &b->interrupted;
	b->tokenizer = (struct weir_tokenizer){ .size = sizeof(b->tokenizer),
						.bos = -1,
						.eos = -1,
						.encode = encode,
						.encode_chat = encode_chat,
						.encode_infill = encode_infill,
						.render_chat = render_chat,
						.piece = piece,
						.is_end = is_end };
	*ret = b;
	return WEIR_OK;
}

void weir_tensor_backend_free(struct weir_tensor_backend *b)
{
	if (!b)
		return;
	unload(b);
	weir_tensor_conf_clear(&b->conf);
	free(b);
}

static weir_status answer_open(struct weir_instance *instance, struct weir_str context,
			       struct weir_str id, weir_answer **ret, char **ret_prefix,
			       char **ret_grammar, struct weir_error *err)
{
	struct weir_tensor_backend *b = self(instance);

	if (!b->loaded)
		return not_loaded(err);
	return weir_vocab_ext_answer(b->vocab, context, id, ret, ret_prefix, ret_grammar, err);
}

static bool answer_shows(struct weir_instance *instance, int32_t token)
{
	struct weir_tensor_backend *b = self(instance);

	return b->loaded && weir_vocab_ext_shows(b->vocab, token);
}

static const struct weir_answer_api answer_ext = {
	.size = sizeof(answer_ext),
	.open = answer_open,
	.shows = answer_shows,
	.feed = weir_answer_feed,
	.finish = weir_answer_finish,
	.free = weir_answer_free,
	.thinks = weir_answer_thinks,
};

const void *weir_tensor_backend_ext(struct weir_tensor_backend *b, const char *id)
{
	if (strcmp(id, WEIR_BACKEND_STEP) == 0)
		return &step_ext;
	if (strcmp(id, WEIR_TOKENIZER) == 0)
		return &b->tokenizer;
	if (strcmp(id, WEIR_ADAPTERS) == 0)
		return &adapters_ext;
	if (strcmp(id, WEIR_EMBEDDER) == 0)
		return b->loaded && !b->embedder ? NULL : &embedder_ext;
	if (strcmp(id, WEIR_GRAMMAR) == 0)
		return &grammar_ext;
	if (strcmp(id, WEIR_ANSWER) == 0)
		return &answer_ext;
	return NULL;
}
