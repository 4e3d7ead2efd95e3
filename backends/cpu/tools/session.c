/* SPDX-License-Identifier: MIT */
/*
 * session.c - see session.h. The device in between passes on what it is asked and counts.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "dequant.h"
#include "program.h"
#include "repack.h"

struct session {
	struct weir_cpu_instance data; /* first: the tensor backend finds itself there */
	struct weir_instance instance;
	struct tool_host host;
	struct weir_model model;
	struct session_bytes bytes;
	const struct weir_backend_step *step;
	uint64_t memory_free;
	bool plan;
	uint32_t n_last; /* not 0: what the run and its output are about */
	uint32_t out_row[SESSION_OUTPUTS];
	const float *logits;
	uint32_t *blocks; /* 0, 1, 2 ... */
};

static struct session *session_of(struct weir_instance *instance)
{
	return (struct session *)instance->data;
}

static void info(struct weir_instance *instance, struct weir_device_info *ret)
{
	struct session *s = session_of(instance);

	weir_cpu_device()->info(instance, ret);
	if (s->memory_free && ret->size >= offsetof(struct weir_device_info, name))
		ret->memory_free = s->memory_free;
}

/* As weir_cpu_weight() would make it, without the matrix itself. */
static weir_status plan_matrix(uint32_t type, uint64_t n_in, uint64_t n_out, uint32_t use,
			       weir_buffer **ret, struct weir_error *err)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	char buf[16];
	weir_buffer *b;
	size_t bytes;

	if (!t)
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED, "no kernel for %s",
				     weir_cpu_type_name(type, buf));
	if (!n_in || !n_out || n_in % t->block || n_in > UINT32_MAX || n_out > UINT32_MAX)
		return weir_cpu_fail(err, WEIR_E_INVALID,
				     "%s weights of %llu x %llu: rows must be whole blocks of %u",
				     t->name, (unsigned long long)n_out, (unsigned long long)n_in,
				     t->block);
	b = calloc(1, sizeof(*b));
	if (!b)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a weight");
	*b = (weir_buffer){ .type = type, .use = use, .n_in = n_in, .n_out = n_out };
	b->src_row = (size_t)(n_in / t->block * t->bytes);
	b->group_bytes = weir_cpu_group_bytes(type, n_in);
	b->n_groups = (size_t)((n_out + 15) / 16);
	if (!b->group_bytes || __builtin_mul_overflow(b->group_bytes, b->n_groups, &bytes)) {
		free(b);
		return weir_cpu_fail(err, WEIR_E_INVALID, "a matrix of %llu x %llu is too large",
				     (unsigned long long)n_out, (unsigned long long)n_in);
	}
	*ret = b;
	return WEIR_OK;
}

static void count_weight(struct session *s, const weir_buffer *b)
{
	if (b->use & WEIR_WEIGHT_MATRIX)
		s->bytes.matrices += s->plan ? b->n_groups * b->group_bytes : b->data_bytes;
	if (b->use & WEIR_WEIGHT_VECTOR)
		s->bytes.vectors += b->n_in * b->n_out * sizeof(float);
	if (weir_cpu_keeps_table(b->type, b->use))
		s->bytes.tables += b->src_row * b->n_out;
}

static weir_status weight_from(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			       uint64_t n_out, uint32_t use, const struct weir_source *src,
			       weir_buffer **ret, struct weir_error *err)
{
	struct session *s = session_of(instance);
	weir_status status;

	if (s->plan && !(use & WEIR_WEIGHT_VECTOR))
		status = plan_matrix(type, n_in, n_out, use, ret, err);
	else
		status = weir_cpu_weight_from(instance, type, n_in, n_out, use, src, ret, err);
	if (status == WEIR_OK)
		count_weight(s, *ret);
	return status;
}

/* Only vectors come so. */
static weir_status weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			  uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			  struct weir_error *err)
{
	weir_status status = weir_cpu_weight(instance, type, n_in, n_out, use, src, ret, err);

	if (status == WEIR_OK)
		count_weight(session_of(instance), *ret);
	return status;
}

static weir_status kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
		      uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
		      weir_buffer **ret, struct weir_error *err)
{
	struct session *s = session_of(instance);
	weir_buffer *b = NULL;
	weir_status status;
	size_t bytes;

	/* a plan has one real block, which tells the size of the others */
	status = weir_cpu_kv(instance, type, s->plan && n_blocks ? 1 : n_blocks, block_tokens,
			     n_heads, head_size, &b, err);
	if (status != WEIR_OK)
		return status;
	if (__builtin_mul_overflow(b->block_bytes, n_blocks, &bytes)) {
		weir_cpu_buffer_free(instance, b);
		return weir_cpu_fail(err, WEIR_E_INVALID, "a KV cache is too large");
	}
	b->n_blocks = n_blocks;
	s->bytes.kv += s->plan ? bytes : b->data_bytes;
	*ret = b;
	return WEIR_OK;
}

static uint64_t program_lists(const weir_program *p)
{
	uint64_t n = sizeof(*p) + p->n_temps * sizeof(*p->temps) + p->n_steps * sizeof(*p->steps) +
		     p->n_angles * sizeof(*p->angles) + p->n_caches * sizeof(*p->caches) +
		     p->n_steps * sizeof(*p->next);

	for (uint32_t i = 0; i < p->n_angles; i++)
		n += p->angles[i].half * sizeof(float);
	for (uint32_t i = 0; i < p->n_tilings; i++)
		n += sizeof(*p->tilings) + p->max_tokens * sizeof(*p->tilings[i].pieces);
	return n;
}

static weir_status program_new(struct weir_instance *instance, const struct weir_program_desc *desc,
			       weir_program **ret, struct weir_error *err)
{
	struct session *s = session_of(instance);
	weir_program *p = NULL;
	/* its arena is mapped and, in a plan, never touched: no memory is taken for it */
	weir_status status = weir_cpu_program_new(instance, desc, &p, err);

	if (status != WEIR_OK)
		return status;
	s->bytes.arena += p->arena_bytes;
	s->bytes.program += program_lists(p);
	*ret = p;
	return WEIR_OK;
}

/* A step's row has one output; for scoring the last n_last tokens have one. */
static weir_status run(struct weir_instance *instance, weir_program *program,
		       const struct weir_device_batch *batch, struct weir_error *err)
{
	struct session *s = session_of(instance);
	struct weir_device_batch all = *batch;

	if (!s->n_last)
		return weir_cpu_run(instance, program, batch, err);
	for (uint32_t i = 0; i < s->n_last; i++)
		s->out_row[i] = batch->n_tokens - s->n_last + i;
	all.n_out = s->n_last;
	all.out_row = s->out_row;
	return weir_cpu_run(instance, program, &all, err);
}

static const float *output(struct weir_instance *instance, weir_program *program, uint32_t tensor)
{
	struct session *s = session_of(instance);

	s->logits = weir_cpu_output(instance, program, tensor);
	return s->logits;
}

/* The CPU's, with the members above in place of its own. */
static struct weir_device counting_device(void)
{
	struct weir_device device = *weir_cpu_device();

	device.info = info;
	device.weight = weight;
	device.weight_from = weight_from;
	device.kv = kv;
	device.program_new = program_new;
	device.run = run;
	device.output = output;
	return device;
}

/* The wish as a profile would say it. */
struct conf {
	struct weir_kv kv[8];
	char context[16], sequences[16], tokens[16], guesses[16], memory[24];
	size_t n;
};

static void put(struct conf *c, const char *key, const char *value)
{
	c->kv[c->n++] = (struct weir_kv){ key, value };
}

static void put_number(struct conf *c, const char *key, char *buf, size_t cap, uint64_t value)
{
	snprintf(buf, cap, "%llu", (unsigned long long)value);
	put(c, key, buf);
}

static void fill_conf(struct conf *c, const struct session_wish *w)
{
	put(c, "model", w->path);
	put_number(c, "context", c->context, sizeof(c->context), w->n_ctx);
	put_number(c, "max_sequences", c->sequences, sizeof(c->sequences), w->max_sequences);
	put_number(c, "max_batch_tokens", c->tokens, sizeof(c->tokens), w->max_tokens);
	put_number(c, "guesses", c->guesses, sizeof(c->guesses), w->guesses);
	if (w->kv_type)
		put(c, "kv_type", w->kv_type);
	if (w->kv_memory)
		put_number(c, "kv_memory", c->memory, sizeof(c->memory), w->kv_memory);
}

weir_status session_new(const struct tool *tool, const struct session_wish *wish,
			struct session **ret, struct weir_error *err)
{
	struct weir_tensor_backend *backend = NULL;
	struct session *s = calloc(1, sizeof(*s) + sizeof(struct weir_device));
	struct weir_device *device = (struct weir_device *)(s + 1);
	struct conf conf = { .n = 0 };
	weir_status status;

	if (!s)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a session");
	tool_host_init(&s->host, tool);
	s->host.quiet = wish->quiet;
	s->plan = wish->plan;
	s->memory_free = wish->memory_free;
	s->instance = (struct weir_instance){ .size = sizeof(s->instance), .data = &s->data };
	*device = counting_device();
	fill_conf(&conf, wish);
	status = weir_cpu_new(wish->n_threads, true, &s->data.cpu, err);
	if (status == WEIR_OK)
		status = weir_tensor_backend_new(&s->host.base, &s->instance, device, conf.kv,
						 conf.n, &backend, err);
	if (status != WEIR_OK)
		goto fail;
	s->data.tensor_backend = backend;
	s->step = weir_tensor_backend_ext(backend, WEIR_BACKEND_STEP);
	s->model.size = sizeof(s->model);
	status = s->step->load(&s->instance, &s->model, err);
	if (status != WEIR_OK)
		goto fail;
	s->blocks = malloc(((size_t)s->model.n_blocks + 1) * sizeof(*s->blocks));
	if (!s->blocks) {
		status = weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a session");
		goto fail;
	}
	for (uint32_t i = 0; i < s->model.n_blocks; i++)
		s->blocks[i] = i;
	*ret = s;
	return WEIR_OK;
fail:
	session_free(s);
	return status;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	weir_tensor_backend_free(s->data.tensor_backend);
	weir_cpu_free(s->data.cpu);
	free(s->blocks);
	free(s);
}

const struct weir_model *session_model(const struct session *s)
{
	return &s->model;
}

const struct session_bytes *session_bytes_of(const struct session *s)
{
	return &s->bytes;
}

struct weir_instance *session_instance(struct session *s)
{
	return &s->instance;
}

const struct weir_tokenizer *session_tokenizer(const struct session *s)
{
	return weir_tensor_backend_ext(s->data.tensor_backend, WEIR_TOKENIZER);
}

struct weir_cpu *session_cpu(const struct session *s)
{
	return s->data.cpu;
}

uint64_t session_memory_free(const struct session *s)
{
	struct weir_device_info got = { .size = sizeof(got) };

	weir_cpu_device()->info((struct weir_instance *)&s->instance, &got);
	return got.memory_free;
}

weir_status session_step(struct session *s, const struct weir_batch *batch, struct weir_step *ret,
			 struct weir_error *err)
{
	if (s->plan)
		return weir_cpu_fail(err, WEIR_E_INVALID, "a plan computes nothing");
	return s->step->step(&s->instance, batch, ret, err);
}

weir_status session_score(struct session *s, const int32_t *tokens, uint32_t n, uint32_t pos,
			  uint32_t n_last, const float **ret_logits, struct weir_error *err)
{
	const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	struct weir_error row_error = { 0 };
	struct weir_row row = { .seq = 1,
				.count = n,
				.pos = pos,
				.n_blocks = s->model.n_blocks,
				.blocks = s->blocks,
				.sampling = n_last ? &greedy : NULL,
				.history = tokens,
				.n_history = n,
				.n_prompt = n };
	struct weir_batch batch = { .size = sizeof(batch),
				    .row_size = sizeof(row),
				    .n_tokens = n,
				    .n_rows = 1,
				    .tokens = tokens,
				    .rows = &row };
	int32_t token = 0;
	struct weir_step step = { .size = sizeof(step), .token = &token, .error = &row_error };
	weir_status status;

	if (n_last > SESSION_OUTPUTS || n_last > n)
		return weir_cpu_fail(err, WEIR_E_INVALID, "%u outputs of %u tokens", n_last, n);
	s->n_last = n_last;
	status = session_step(s, &batch, &step, err);
	s->n_last = 0;
	if (status != WEIR_OK)
		return status;
	if (n_last && token < 0) {
		*err = row_error;
		return row_error.code;
	}
	if (n_last)
		*ret_logits = s->logits;
	return WEIR_OK;
}
