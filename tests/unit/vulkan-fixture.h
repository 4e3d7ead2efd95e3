/*
 * vulkan-fixture.h - what the tests of the Vulkan device share: devices with and without features,
 * one program made for two devices, and its results compared.
 */
#ifndef WEIR_TEST_VULKAN_FIXTURE_H
#define WEIR_TEST_VULKAN_FIXTURE_H

#include <glib.h>

#include "program.h"
#include "vk.h"
#include "vulkan-reference.h"

/* A device that programs are made for. */
struct desk {
	struct weir_instance instance;
	const struct weir_device *device;
	struct weir_vk_instance data; /* of the Vulkan ones */
};

/* Pipelines are compiled when they are needed, since most tests need few of them.
 * The device that WEIR_VULKAN_DEVICE names, or the best; with the validation layer where it is
 * installed. False, and the test is skipped with the reason, where there is none. */
gboolean desk_open(struct desk *d, uint32_t without);
/* Half or a quarter of the rows at a time in the matrix-vector shaders: software renderers take far
 * less time to compile them. For tests of anything else than those; before the first program. */
void desk_small(struct desk *d);
/* Fails the test if the validation layer said anything. */
void desk_close(struct desk *d);
void desk_open_reference(struct desk *d);
void desk_close_reference(struct desk *d);

/* A program, told so that any device can make it. */
struct part {
	struct weir_tensor tensor;
	uint32_t type, use; /* weights; KV: use 0 */
	size_t n_in, n_out;
	const void *src;
	uint32_t n_blocks, block_tokens, n_heads, head_size;
};

struct recipe {
	struct part parts[64];
	struct weir_op ops[64];
	uint32_t n_parts, n_ops, max_tokens, max_out;
};

uint32_t recipe_temp(struct recipe *r, uint32_t kind, uint32_t rows, size_t width);
uint32_t recipe_weight(struct recipe *r, uint32_t type, size_t n_in, size_t n_out, uint32_t use,
		       const void *src);
uint32_t recipe_kv(struct recipe *r, uint32_t type, uint32_t n_blocks, uint32_t block_tokens,
		   uint32_t n_heads, uint32_t head_size);
struct weir_op *recipe_op(struct recipe *r, uint32_t code);
/* Rows of floats as a temporary: an EMBED of an F32 table by token. x must outlive the recipe. */
uint32_t recipe_input(struct recipe *r, const float *x, size_t n, size_t width);

/* The recipe on a device: its buffers and its program, all temporaries NaN. */
struct dish {
	struct desk *desk;
	const struct recipe *recipe;
	weir_buffer *buffers[64];
	weir_program *program;
};

void dish_make(struct dish *dish, struct desk *desk, const struct recipe *recipe);
void dish_free(struct dish *dish);
/* One step; an OUTPUT's first n rows, valid until the next one. */
void dish_step(struct dish *dish, const struct weir_device_batch *batch);
const float *dish_output(struct dish *dish, uint32_t tensor);

/* One sequence of n tokens at positions 0.., blocks in order, every token an output, tokens 0, 1,
 * ... Free with plain_batch_free(). */
struct weir_device_batch *plain_batch(unsigned n, unsigned block_tokens);
void plain_batch_free(struct weir_device_batch *batch);

/* |got - want| / |want|; infinite if anything is not finite. */
double distance(const float *got, const float *want, size_t n);

#endif
