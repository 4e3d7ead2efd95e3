/*
 * vulkan-fixture.c - see vulkan-fixture.h.
 */
#include "vulkan-fixture.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

static void on_log(void *data, uint32_t level, const char *text)
{
	g_test_message("%s", text);
}

gboolean desk_open(struct desk *d, uint32_t without)
{
	struct weir_vk_config config = { .device = g_getenv("WEIR_VULKAN_DEVICE"),
					 .validate = !g_getenv("WEIR_VULKAN_NO_VALIDATION"),
					 .without = without | WEIR_VK_WITHOUT_AHEAD,
					 .log = on_log };
	struct weir_error err = { 0 };
	weir_status s;

	/* Kept in memory, so that a leak report can name (and suppress) the driver's own leaks. */
	dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
	memset(d, 0, sizeof(*d));
	s = weir_vk_new(&config, &d->data.vk, &err);
	if (s == WEIR_E_UNSUPPORTED && config.validate && strstr(err.text, "is not installed")) {
		g_test_message("%s", err.text);
		config.validate = false;
		s = weir_vk_new(&config, &d->data.vk, &err);
	}
	if (s == WEIR_E_UNSUPPORTED || s == WEIR_E_NOT_FOUND) {
		g_test_skip(err.text);
		return FALSE;
	}
	g_assert_cmpstr(err.text, ==, "");
	d->instance = (struct weir_instance){ .size = sizeof(d->instance), .data = &d->data };
	d->device = weir_vk_device();
	return TRUE;
}

void desk_small(struct desk *d)
{
	d->data.vk->rows_each = 2;
}

void desk_close(struct desk *d)
{
	g_assert_cmpuint(d->data.vk->bytes_allocated - d->data.vk->staging.bytes, ==, 0);
	g_assert_cmpuint(d->data.vk->bytes_imported, ==, 0);
	g_assert_cmpuint(atomic_load(&d->data.vk->n_messages), ==, 0);
	weir_vk_free(d->data.vk);
}

void desk_open_reference(struct desk *d)
{
	memset(d, 0, sizeof(*d));
	reference_open(&d->instance, &d->device);
}

void desk_close_reference(struct desk *d)
{
	reference_close(&d->instance);
}

static struct part *add_part(struct recipe *r, uint32_t kind)
{
	struct part *p = &r->parts[r->n_parts++];

	g_assert_cmpuint(r->n_parts, <=, G_N_ELEMENTS(r->parts));
	*p = (struct part){ .tensor.kind = kind };
	return p;
}

uint32_t recipe_temp(struct recipe *r, uint32_t kind, uint32_t rows, size_t width)
{
	struct part *p = add_part(r, kind);

	p->tensor.rows = rows;
	p->tensor.width = width;
	return r->n_parts - 1;
}

uint32_t recipe_weight(struct recipe *r, uint32_t type, size_t n_in, size_t n_out, uint32_t use,
		       const void *src)
{
	struct part *p = add_part(r, WEIR_TENSOR_WEIGHT);

	p->type = type;
	p->n_in = n_in;
	p->n_out = n_out;
	p->use = use;
	p->src = src;
	return r->n_parts - 1;
}

uint32_t recipe_kv(struct recipe *r, uint32_t type, uint32_t n_blocks, uint32_t block_tokens,
		   uint32_t n_heads, uint32_t head_size)
{
	struct part *p = add_part(r, WEIR_TENSOR_KV);

	p->type = type;
	p->n_blocks = n_blocks;
	p->block_tokens = block_tokens;
	p->n_heads = n_heads;
	p->head_size = head_size;
	return r->n_parts - 1;
}

struct weir_op *recipe_op(struct recipe *r, uint32_t code)
{
	struct weir_op *op = &r->ops[r->n_ops++];

	g_assert_cmpuint(r->n_ops, <=, G_N_ELEMENTS(r->ops));
	memset(op, 0, sizeof(*op));
	op->code = code;
	for (int i = 0; i < 3; i++)
		op->dst[i] = WEIR_NO_TENSOR;
	for (int i = 0; i < 8; i++)
		op->src[i] = WEIR_NO_TENSOR;
	return op;
}

uint32_t recipe_input(struct recipe *r, const float *x, size_t n, size_t width)
{
	uint32_t table = recipe_weight(r, WEIR_DTYPE_F32, width, n, WEIR_WEIGHT_TABLE, x);
	uint32_t t = recipe_temp(r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, width);
	struct weir_op *op = recipe_op(r, WEIR_OP_EMBED);

	op->src[0] = table;
	op->dst[0] = t;
	op->f[0] = 1;
	return t;
}

static void make_buffer(struct dish *dish, uint32_t i)
{
	const struct part *p = &dish->recipe->parts[i];
	const struct weir_device *d = dish->desk->device;
	struct weir_error err = { 0 };

	if (p->tensor.kind == WEIR_TENSOR_WEIGHT)
		d->weight(&dish->desk->instance, p->type, p->n_in, p->n_out, p->use, p->src,
			  &dish->buffers[i], &err);
	else if (p->tensor.kind == WEIR_TENSOR_KV)
		d->kv(&dish->desk->instance, p->type, p->n_blocks, p->block_tokens, p->n_heads,
		      p->head_size, &dish->buffers[i], &err);
	g_assert_cmpstr(err.text, ==, "");
}

void dish_make(struct dish *dish, struct desk *desk, const struct recipe *recipe)
{
	struct weir_tensor tensors[64];
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .n_tensors = recipe->n_parts,
					  .n_ops = recipe->n_ops,
					  .max_tokens = recipe->max_tokens,
					  .max_rows = recipe->max_tokens,
					  .max_out = recipe->max_out,
					  .tensors = tensors,
					  .ops = recipe->ops };
	struct weir_error err = { 0 };

	memset(dish, 0, sizeof(*dish));
	dish->desk = desk;
	dish->recipe = recipe;
	for (uint32_t i = 0; i < recipe->n_parts; i++) {
		make_buffer(dish, i);
		tensors[i] = recipe->parts[i].tensor;
		tensors[i].buffer = dish->buffers[i];
	}
	for (uint32_t i = 0; i < recipe->n_ops; i++)
		g_assert_true(desk->device->supports(&desk->instance, &recipe->ops[i], tensors));
	desk->device->program_new(&desk->instance, &desc, &dish->program, &err);
	g_assert_cmpstr(err.text, ==, "");
	if (desk->device == weir_vk_device() && dish->program->arena.mapped) {
		memset(dish->program->arena.mapped, 0xff, dish->program->arena.bytes);
		if (dish->program->outputs.mapped)
			memset(dish->program->outputs.mapped, 0xff, dish->program->outputs.bytes);
	}
}

void dish_free(struct dish *dish)
{
	dish->desk->device->program_free(&dish->desk->instance, dish->program);
	for (uint32_t i = 0; i < dish->recipe->n_parts; i++)
		if (dish->buffers[i])
			dish->desk->device->buffer_free(&dish->desk->instance, dish->buffers[i]);
}

void dish_step(struct dish *dish, const struct weir_device_batch *batch)
{
	struct weir_error err = { 0 };

	dish->desk->device->run(&dish->desk->instance, dish->program, batch, &err);
	g_assert_cmpstr(err.text, ==, "");
	g_assert_cmpint(dish->desk->device->wait(&dish->desk->instance, dish->program, &err), ==,
			WEIR_OK);
}

const float *dish_output(struct dish *dish, uint32_t tensor)
{
	const float *x = dish->desk->device->output(&dish->desk->instance, dish->program, tensor);

	g_assert_nonnull(x);
	return x;
}

struct weir_device_batch *plain_batch(unsigned n, unsigned block_tokens)
{
	struct weir_device_batch *batch = g_new0(struct weir_device_batch, 1);
	int32_t *token = g_new0(int32_t, n), *pos = g_new0(int32_t, n), *row = g_new0(int32_t, n);
	uint32_t *slot = g_new0(uint32_t, n), *first = g_new0(uint32_t, 2);
	uint32_t *len = g_new0(uint32_t, 1), *out = g_new0(uint32_t, n);
	uint32_t *blocks = g_new0(uint32_t, n);

	for (unsigned i = 0; i < n; i++) {
		token[i] = pos[i] = (int32_t)i;
		slot[i] = out[i] = blocks[i] = i;
	}
	first[1] = len[0] = n;
	*batch = (struct weir_device_batch){ .size = sizeof(*batch),
					     .n_tokens = n,
					     .n_rows = 1,
					     .n_out = n,
					     .block_stride = n,
					     .token = token,
					     .pos = pos,
					     .row = row,
					     .slot = slot,
					     .first = first,
					     .kv_len = len,
					     .blocks = blocks,
					     .out_row = out };
	return batch;
}

void plain_batch_free(struct weir_device_batch *batch)
{
	g_free((void *)batch->token);
	g_free((void *)batch->pos);
	g_free((void *)batch->row);
	g_free((void *)batch->slot);
	g_free((void *)batch->first);
	g_free((void *)batch->kv_len);
	g_free((void *)batch->blocks);
	g_free((void *)batch->out_row);
	g_free(batch);
}

double distance(const float *got, const float *want, size_t n)
{
	double diff = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		double d = (double)got[i] - (double)want[i];

		if (!isfinite(got[i]) || !isfinite(want[i]))
			return INFINITY;
		diff += d * d;
		sum += (double)want[i] * (double)want[i];
	}
	return sum > 0 ? sqrt(diff / sum) : diff > 0 ? INFINITY : 0;
}
