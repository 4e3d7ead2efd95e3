/*
 * tests/check/bad-device.c - a level-C device around the scalar reference, and the ways to get one
 * wrong: compiled once per kind with BAD_<KIND> defined, to see that `weir check` says so, and
 * where. Without any it keeps the contract.
 *
 * The reference computes; here are the things that it leaves to its caller (what it must refuse,
 * Q8_0 weights) and the faults. Lists are static: one instance at a time, one thread.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device-check.h"
#include "device-scalar.h"
#include "fail.h"

enum { MAX_BUFFERS = 512, MAX_PROGRAMS = 8, MAX_TENSORS = 64 };

struct program { /* what is known of one */
	weir_program *program;
	uint32_t max_tokens, n_table, n_blocks, block_tokens;
	uint64_t width[MAX_TENSORS];
	uint32_t n_tokens, n_rows, n_out, n_runs;
	int32_t first_pos, first_token;
	bool again, changed[MAX_TENSORS];
	float *kept[MAX_TENSORS];
	uint32_t kept_key[MAX_TENSORS][3];
};

static struct {
	weir_buffer *buffer;
	struct weir_device_view view;
} buffers[MAX_BUFFERS];
static struct program programs[MAX_PROGRAMS];

static void view(const weir_buffer *buffer, struct weir_device_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < MAX_BUFFERS; i++)
		if (buffers[i].buffer == buffer)
			*ret = buffers[i].view;
}

static const struct weir_device_checker checker = { "the toy", view };

static void remember(weir_buffer *buffer, const struct weir_device_view *what)
{
	for (unsigned i = 0; i < MAX_BUFFERS; i++)
		if (!buffers[i].buffer) {
			buffers[i].buffer = buffer;
			buffers[i].view = *what;
			return;
		}
	abort();
}

static struct program *find(const weir_program *program)
{
	for (unsigned i = 0; i < MAX_PROGRAMS; i++)
		if (programs[i].program == program)
			return &programs[i];
	abort();
}

static void info(struct weir_instance *instance, struct weir_device_info *ret)
{
	device_scalar.info(instance, ret);
#ifdef BAD_NAMELESS
	ret->name[0] = '\0';
#endif
}

static bool supports(struct weir_instance *instance, const struct weir_op *op,
		     const struct weir_tensor *tensors)
{
	(void)instance;
#ifdef BAD_TAKES
	return true;
#endif
#ifdef BAD_SHY
	if (op->code == WEIR_OP_GLU)
		return false;
#endif
	return weir_device_check(&checker, op, tensors, NULL) == WEIR_OK;
}

static float half(const uint8_t *p)
{
	_Float16 x;

	memcpy(&x, p, sizeof(x));
	return (float)x;
}

static weir_status weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			  uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			  struct weir_error *err)
{
	struct weir_device_view what = { .type = type, .use = use, .n_in = n_in, .n_out = n_out };
	weir_status s;

	if (!n_in || !n_out || (type == WEIR_DTYPE_Q8_0 && n_in % 32))
		return weir_fail(err, WEIR_E_INVALID, "weights of %llu x %llu",
				 (unsigned long long)n_out, (unsigned long long)n_in);
	if (type == WEIR_DTYPE_Q8_0) {
		float *plain = malloc(n_in * n_out * sizeof(*plain));

		for (uint64_t i = 0; plain && i < n_in * n_out; i++) {
			const uint8_t *block = (const uint8_t *)src + i / 32 * 34;

			plain[i] = half(block) * (float)(int8_t)block[2 + i % 32];
#ifdef BAD_SIGNS
			if (use & WEIR_WEIGHT_MATRIX)
				plain[i] = half(block) * (float)block[2 + i % 32];
#endif
		}
		s = device_scalar.weight(instance, WEIR_DTYPE_F32, n_in, n_out, use, plain, ret,
					 err);
		free(plain);
	} else {
		s = device_scalar.weight(instance, type, n_in, n_out, use, src, ret, err);
	}
	if (s == WEIR_OK)
		remember(*ret, &what);
	return s;
}

static weir_status kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
		      uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
		      weir_buffer **ret, struct weir_error *err)
{
	const struct weir_device_view what = { .type = type,
					       .n_blocks = n_blocks,
					       .block_tokens = block_tokens,
					       .n_heads = n_heads,
					       .head_size = head_size };
	weir_status s;

	if (!n_heads || !head_size)
		return weir_fail(err, WEIR_E_INVALID, "a cache of nothing");
	s = device_scalar.kv(instance, type, n_blocks, block_tokens, n_heads, head_size, ret, err);
	if (s == WEIR_OK)
		remember(*ret, &what);
	return s;
}

static void buffer_free(struct weir_instance *instance, weir_buffer *buffer)
{
	for (unsigned i = 0; i < MAX_BUFFERS; i++)
		if (buffers[i].buffer == buffer)
			buffers[i].buffer = NULL;
#ifndef BAD_LEAK
	device_scalar.buffer_free(instance, buffer);
#endif
}

/* What the reference takes on trust. */
static weir_status check_program(const struct weir_program_desc *desc, struct weir_error *err)
{
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];
		weir_status s;

		for (int k = 0; k < 11; k++) {
			uint32_t t = k < 3 ? op->dst[k] : op->src[k - 3];

			if (t != WEIR_NO_TENSOR && t >= desc->n_tensors)
				return weir_fail(err, WEIR_E_INVALID, "tensor %u of %u", t,
						 desc->n_tensors);
		}
		s = weir_device_check(&checker, op, desc->tensors, err);
#ifdef BAD_ABORTS
		if (s && op->code == WEIR_OP_LINEAR)
			abort();
#endif
#ifdef BAD_LIES
		if (op->code == WEIR_OP_MOE)
			return weir_fail(err, WEIR_E_UNSUPPORTED, "no experts today");
#endif
		if (s)
			return s;
	}
	return WEIR_OK;
}

static void learn(struct program *p, const struct weir_program_desc *desc)
{
	p->max_tokens = desc->max_tokens;
	p->n_table = UINT32_MAX;
	for (uint32_t i = 0; i < desc->n_tensors; i++) {
		struct weir_device_view what;

		p->width[i] = desc->tensors[i].width;
		if (desc->tensors[i].kind != WEIR_TENSOR_KV)
			continue;
		view(desc->tensors[i].buffer, &what);
		p->n_blocks = what.n_blocks;
		p->block_tokens = what.block_tokens;
	}
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		struct weir_device_view what;

		if (desc->ops[i].code != WEIR_OP_EMBED || desc->ops[i].flags & ~16u)
			continue;
		view(desc->tensors[desc->ops[i].src[0]].buffer, &what);
		p->n_table = what.n_out < p->n_table ? (uint32_t)what.n_out : p->n_table;
	}
}

static weir_status program_new(struct weir_instance *instance, const struct weir_program_desc *desc,
			       weir_program **ret, struct weir_error *err)
{
	struct weir_op *ops = malloc(desc->n_ops * sizeof(*ops));
	struct weir_program_desc mine = *desc;
	struct program *p = find(NULL);
	weir_status s = check_program(desc, err);
	bool right = s == WEIR_OK;

#ifdef BAD_TAKES
	s = WEIR_OK;
#endif
	if (s || !ops) {
		free(ops);
		return s;
	}
	memcpy(ops, desc->ops, desc->n_ops * sizeof(*ops));
	mine.ops = ops;
	for (uint32_t i = 0; i < desc->n_ops; i++) {
#ifdef BAD_EPILOGUE
		if (ops[i].code == WEIR_OP_LINEAR)
			ops[i].flags &= ~(uint32_t)WEIR_LINEAR_ADD;
#endif
#ifdef BAD_ANGLES
		if (ops[i].code == WEIR_OP_ROPE_KV)
			ops[i].f[1] *= 1.001f;
#endif
	}
	s = device_scalar.program_new(instance, &mine, ret, err);
	free(ops);
	if (s == WEIR_OK) {
		memset(p, 0, sizeof(*p));
		p->program = *ret;
		if (right)
			learn(p, desc);
	}
	return s;
}

static void program_free(struct weir_instance *instance, weir_program *program)
{
	struct program *p = find(program);

	for (unsigned i = 0; i < MAX_TENSORS; i++)
		free(p->kept[i]);
	memset(p, 0, sizeof(*p));
	device_scalar.program_free(instance, program);
}

static weir_status check_batch(const struct program *p, const struct weir_device_batch *b,
			       struct weir_error *err)
{
	if (!b->n_tokens || b->n_tokens > p->max_tokens)
		return weir_fail(err, WEIR_E_INVALID, "%u tokens of %u", b->n_tokens,
				 p->max_tokens);
	for (uint32_t t = 0; t < b->n_tokens; t++)
		if (b->token[t] < 0 || (uint32_t)b->token[t] >= p->n_table ||
		    (p->n_blocks && b->slot[t] >= p->n_blocks * p->block_tokens))
			return weir_fail(err, WEIR_E_INVALID, "token %d or its slot %u",
					 b->token[t], b->slot[t]);
	for (uint32_t i = 0; i < b->n_out; i++)
		if (b->out_row[i] >= b->n_tokens)
			return weir_fail(err, WEIR_E_INVALID, "output of token %u", b->out_row[i]);
	for (uint32_t i = 0; p->n_blocks && i < 2 * b->n_copies; i++)
		if (b->copies[i] >= p->n_blocks)
			return weir_fail(err, WEIR_E_INVALID, "copy of block %u", b->copies[i]);
	for (uint32_t r = 0; p->n_blocks && r < b->n_rows; r++)
		for (uint32_t i = 0; i * p->block_tokens < b->kv_len[r]; i++)
			if (b->blocks[r * b->block_stride + i] >= p->n_blocks)
				return weir_fail(err, WEIR_E_INVALID, "block %u of %u",
						 b->blocks[r * b->block_stride + i], p->n_blocks);
	return WEIR_OK;
}

static weir_status run(struct weir_instance *instance, weir_program *program,
		       const struct weir_device_batch *given, struct weir_error *err)
{
	struct weir_device_batch b = *given;
	struct program *p = find(program);
	weir_status s = check_batch(p, given, err);
	uint32_t *blocks = calloc((size_t)b.n_rows * b.block_stride + 1, sizeof(*blocks));
	int32_t *pos = calloc(b.n_tokens + 1, sizeof(*pos));
	int32_t *token = calloc(b.n_tokens + 1, sizeof(*token));

	for (uint32_t i = 0; i < b.n_rows * b.block_stride; i++)
		blocks[i] = i;
	for (uint32_t t = 0; t < b.n_tokens; t++) {
		pos[t] = b.pos[0] + (int32_t)(t - b.first[b.row[t]]);
		token[t] = b.token[t] < 0 ? 0 : b.token[t];
	}
#ifdef BAD_TABLE
	b.blocks = blocks;
#endif
#ifdef BAD_LENGTHS
	b.pos = pos;
#endif
#ifdef BAD_COPIES
	b.n_copies = 0;
#endif
#ifdef BAD_TRUSTS
	b.token = token;
	s = check_batch(p, &b, err);
#endif
	if (s == WEIR_OK) {
		p->again = p->n_tokens == b.n_tokens && p->n_rows == b.n_rows &&
			   p->first_token == b.token[0];
		p->n_tokens = b.n_tokens;
		p->n_rows = b.n_rows;
		p->n_out = b.n_out;
		p->first_pos = b.pos[0];
		p->first_token = b.token[0];
		p->n_runs++;
		memset(p->changed, 0, sizeof(p->changed));
		s = device_scalar.run(instance, program, &b, err);
	}
	free(blocks);
	free(pos);
	free(token);
	return s;
}

static weir_status wait(struct weir_instance *instance, weir_program *program,
			struct weir_error *err)
{
#ifdef BAD_STICKS
	const struct device_scalar *d = instance->data;

	if (d->interrupted)
		return weir_fail(err, WEIR_E_CANCELLED, "interrupted for ever");
#endif
	return device_scalar.wait(instance, program, err);
}

/* The last bit of every number. */
static void nudge(struct program *p, uint32_t tensor, float *x)
{
	for (uint64_t i = 0; !p->changed[tensor] && i < p->n_tokens * p->width[tensor]; i++)
		x[i] = nextafterf(x[i], 1);
	p->changed[tensor] = true;
}

#ifdef BAD_STALE
/* What a run of that shape gave first. */
static const float *stale(struct program *p, uint32_t tensor, const float *x)
{
	const uint32_t key[3] = { p->n_tokens, p->n_out, (uint32_t)p->first_pos };
	size_t n = p->max_tokens * p->width[tensor] * sizeof(*x);

	if (!p->kept[tensor])
		p->kept[tensor] = malloc(n);
	if (memcmp(p->kept_key[tensor], key, sizeof(key)) != 0)
		memcpy(p->kept[tensor], x, n);
	memcpy(p->kept_key[tensor], key, sizeof(key));
	return p->kept[tensor];
}
#endif

static const float *output(struct weir_instance *instance, weir_program *program, uint32_t tensor)
{
	float *x = (float *)device_scalar.output(instance, program, tensor);
	struct program *p = find(program);
	bool other = false;

#ifdef BAD_COMPANY
	other = p->n_tokens > 4; /* as if it had been added up in another order */
#endif
#ifdef BAD_MOODY
	other = p->again && p->n_runs % 2;
#endif
	if (other)
		nudge(p, tensor, x);
#ifdef BAD_STALE
	return stale(p, tensor, x);
#endif
	return x;
}

static void interrupt(struct weir_instance *instance)
{
#ifndef BAD_DEAF
	device_scalar.interrupt(instance);
#endif
	(void)instance;
}

static void parallel(struct weir_instance *instance, uint32_t n, void (*fn)(void *, uint32_t),
		     void *data)
{
#ifdef BAD_FORGETS
	n -= n > 3;
#endif
	device_scalar.parallel(instance, n, fn, data);
}

static const struct weir_device device = {
	.size = sizeof(device),
	.info = info,
	.supports = supports,
	.weight = weight,
	.kv = kv,
	.buffer_free = buffer_free,
	.program_new = program_new,
	.program_free = program_free,
	.run = run,
#ifndef BAD_LACKS
	.wait = wait,
#endif
	.output = output,
	.interrupt = interrupt,
	.parallel = parallel,
};

static weir_status load(struct weir_instance *instance, struct weir_model *ret,
			struct weir_error *err)
{
	(void)instance;
	(void)ret;
	return weir_fail(err, WEIR_E_UNSUPPORTED, "a toy without models");
}

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	(void)instance;
	(void)batch;
	(void)ret;
	return weir_fail(err, WEIR_E_UNSUPPORTED, "a toy without models");
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_step api = { sizeof(api), 0, load, step, NULL };

	(void)instance;
	(void)wait; /* of those that lack it */
	if (!strcmp(id, WEIR_BACKEND_STEP))
		return &api;
	return strcmp(id, WEIR_DEVICE) ? NULL : &device;
}

static void destroy(struct weir_instance *instance)
{
	free(instance->data);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct device_scalar *d = malloc(sizeof(*d));

	(void)host;
	(void)conf;
	(void)n_conf;
	if (!d)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory");
	device_scalar_init(d);
	d->instance.get_ext = get_ext;
	d->instance.destroy = destroy;
	*ret = &d->instance;
	return WEIR_OK;
}

static const struct weir_option option_model = {
	.size = sizeof(option_model),
	.type = WEIR_OPTION_PATH,
	.flags = WEIR_OPTION_REQUIRED,
	.key = "model",
	.help = "Needed as with every backend, and not read.",
};

static const struct weir_option *const options[] = { &option_model, NULL };

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = BAD_NAME,
	.title = "For tests",
	.help = "The scalar device.",
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
