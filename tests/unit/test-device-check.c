/*
 * test-device-check.c - what every device refuses: a sound operation of each kind, and what makes
 * it unsound, one change at a time.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "device-check.h"

/* The check knows nothing of buffers but what view() tells. */
struct weir_buffer {
	struct weir_device_view view;
};

static void view(const weir_buffer *buffer, struct weir_device_view *ret)
{
	*ret = buffer->view;
}

static const struct weir_device_checker checker = { "a test", view };

#define M WEIR_WEIGHT_MATRIX
#define V WEIR_WEIGHT_VECTOR
#define T WEIR_WEIGHT_TABLE

enum { /* tensors of every case; the number is the width, or the shape */
       X64,
       Y64,
       Z32,
       K16,
       V16,
       OUT64,
       LOGITS4,
       W64X64,
       W64X32,
       TABLE64,
       VEC64,
       VEC16,
       KEYS,
       VALUES,
       GATE,
       UP,
       DOWN,
       LORA_A,
       LORA_B,
       OTHER_VALUES,
       N_TENSORS
};

static struct weir_tensor tensors[N_TENSORS];
static struct weir_buffer buffers[N_TENSORS];

static void temp(int i, uint64_t width, uint32_t rows)
{
	tensors[i] = (struct weir_tensor){ .kind = WEIR_TENSOR_TEMP, .rows = rows, .width = width };
}

static void weight(int i, uint32_t use, uint64_t n_in, uint64_t n_out)
{
	buffers[i].view = (struct weir_device_view){ .use = use, .n_in = n_in, .n_out = n_out };
	tensors[i] = (struct weir_tensor){ .kind = WEIR_TENSOR_WEIGHT, .buffer = &buffers[i] };
}

static void cache(int i, uint32_t heads, uint32_t size)
{
	buffers[i].view = (struct weir_device_view){
		.n_blocks = 4, .block_tokens = 8, .n_heads = heads, .head_size = size
	};
	tensors[i] = (struct weir_tensor){ .kind = WEIR_TENSOR_KV, .buffer = &buffers[i] };
}

static void set_up(void)
{
	temp(X64, 64, WEIR_ROWS_TOKENS);
	temp(Y64, 64, WEIR_ROWS_TOKENS);
	temp(Z32, 32, WEIR_ROWS_TOKENS);
	temp(K16, 16, WEIR_ROWS_TOKENS);
	temp(V16, 16, WEIR_ROWS_TOKENS);
	temp(OUT64, 64, WEIR_ROWS_OUT);
	temp(LOGITS4, 4, WEIR_ROWS_TOKENS);
	weight(W64X64, M, 64, 64);
	weight(W64X32, M, 64, 32);
	weight(TABLE64, T, 64, 50);
	weight(VEC64, V, 64, 1);
	weight(VEC16, V, 16, 1);
	cache(KEYS, 1, 16);
	cache(VALUES, 1, 16);
	cache(OTHER_VALUES, 2, 16);
	weight(GATE, M, 64, 4 * 32);
	weight(UP, M, 64, 4 * 32);
	weight(DOWN, M, 32, 4 * 64);
	weight(LORA_A, M, 64, 8);
	weight(LORA_B, M, 8, 64);
}

#define NO WEIR_NO_TENSOR

/* Four heads of 16 over one. */
static const struct weir_op good[] = {
	{ WEIR_OP_EMBED,
	  0,
	  { X64, NO, NO },
	  { TABLE64, NO, NO, NO, NO, NO, NO, NO },
	  { 1 },
	  { 0 },
	  0 },
	{ WEIR_OP_NORM,
	  0,
	  { Y64, NO, NO },
	  { X64, VEC64, NO, NO, NO, NO, NO, NO },
	  { 1e-5f },
	  { 0 },
	  0 },
	{ WEIR_OP_LINEAR,
	  WEIR_ACT_SILU,
	  { Y64, Z32, NO },
	  { X64, W64X64, W64X32, NO, VEC64, NO, NO, NO },
	  { 1 },
	  { 2 },
	  0 },
	{ WEIR_OP_ROPE_KV,
	  0,
	  { NO, NO, NO },
	  { X64, K16, V16, KEYS, VALUES, VEC16, NO, NO },
	  { 10000, 1, 0, 1 },
	  { 4, 1, 16, 16, WEIR_ROPE_NEOX, 0 },
	  0 },
	{ WEIR_OP_ATTENTION,
	  0,
	  { Y64, NO, NO },
	  { X64, KEYS, VALUES, NO, NO, NO, NO, NO },
	  { 0.25f },
	  { 4, 1, 16, 0 },
	  0 },
	{ WEIR_OP_GATHER,
	  0,
	  { OUT64, NO, NO },
	  { X64, NO, NO, NO, NO, NO, NO, NO },
	  { 0 },
	  { 0 },
	  0 },
	{ WEIR_OP_ATTENTION_PACKED,
	  0,
	  { Y64, NO, NO },
	  { X64, K16, V16, NO, NO, NO, NO, NO },
	  { 0.25f },
	  { 4, 1, 16, 0, 1 },
	  0 },
	{ WEIR_OP_MOE,
	  WEIR_ACT_SILU | WEIR_MOE_NORM,
	  { Y64, NO, NO },
	  { X64, LOGITS4, GATE, UP, DOWN, NO, NO, NO },
	  { 1 },
	  { 4, 2, 32 },
	  0 },
	{ WEIR_OP_LORA,
	  0,
	  { Y64, NO, NO },
	  { X64, LORA_A, LORA_B, NO, NO, NO, NO, NO },
	  { 1 },
	  { 1 },
	  0 },
	{ WEIR_OP_GLU,
	  WEIR_ACT_RELU,
	  { Y64, NO, NO },
	  { X64, Y64, NO, NO, NO, NO, NO, NO },
	  { 0 },
	  { 0 },
	  0 },
};

enum field { DST, SRC, FLOAT, INT, FLAGS };

static const struct change {
	uint32_t code;
	enum field field;
	int at;
	double to;
} changes[] = {
	{ WEIR_OP_EMBED, DST, 0, Z32 },
	{ WEIR_OP_EMBED, DST, 0, OUT64 },
	{ WEIR_OP_EMBED, SRC, 0, W64X64 },
	{ WEIR_OP_EMBED, SRC, 0, NO },
	{ WEIR_OP_EMBED, FLAGS, 0, WEIR_EMBED_POSITION | WEIR_EMBED_FIXED },
	{ WEIR_OP_EMBED, FLAGS, 0, WEIR_LINEAR_GLU },
	{ WEIR_OP_NORM, DST, 0, OUT64 },
	{ WEIR_OP_NORM, SRC, 1, NO },
	{ WEIR_OP_NORM, SRC, 1, VEC16 },
	{ WEIR_OP_NORM, SRC, 2, W64X64 },
	{ WEIR_OP_NORM, INT, 0, 48 },
	{ WEIR_OP_NORM, INT, 0, -1 },
	{ WEIR_OP_NORM, FLAGS, 0, WEIR_ACT_SILU },
	{ WEIR_OP_LINEAR, INT, 0, 0 },
	{ WEIR_OP_LINEAR, INT, 0, 4 },
	{ WEIR_OP_LINEAR, SRC, 1, TABLE64 },
	{ WEIR_OP_LINEAR, SRC, 5, VEC64 },
	{ WEIR_OP_LINEAR, DST, 1, Y64 },
	{ WEIR_OP_LINEAR, DST, 0, X64 },
	{ WEIR_OP_LINEAR, DST, 0, OUT64 },
	{ WEIR_OP_LINEAR, FLOAT, 0, 0 },
	{ WEIR_OP_LINEAR, FLOAT, 0, INFINITY },
	{ WEIR_OP_LINEAR, FLOAT, 1, -1 },
	{ WEIR_OP_LINEAR, FLAGS, 0, WEIR_ACT_SILU | WEIR_ACT_RELU },
	{ WEIR_OP_LINEAR, FLAGS, 0, WEIR_LINEAR_GLU }, /* matrices of two sizes */
	{ WEIR_OP_ROPE_KV, INT, 0, 3 },
	{ WEIR_OP_ROPE_KV, INT, 1, 0 },
	{ WEIR_OP_ROPE_KV, INT, 2, 32 },
	{ WEIR_OP_ROPE_KV, INT, 3, 15 },
	{ WEIR_OP_ROPE_KV, INT, 3, 18 },
	{ WEIR_OP_ROPE_KV, INT, 4, 7 },
	{ WEIR_OP_ROPE_KV, SRC, 1, Z32 },
	{ WEIR_OP_ROPE_KV, SRC, 4, NO },
	{ WEIR_OP_ROPE_KV, SRC, 4, OTHER_VALUES },
	{ WEIR_OP_ROPE_KV, SRC, 6, VEC64 },
	{ WEIR_OP_ROPE_KV, SRC, 7, VEC16 }, /* half of the rope's size is right */
	{ WEIR_OP_ROPE_KV, FLOAT, 0, 1 },
	{ WEIR_OP_ROPE_KV, FLOAT, 2, 1 }, /* yarn without its context */
	{ WEIR_OP_ROPE_KV, FLOAT, 3, 0 },
	{ WEIR_OP_ATTENTION, DST, 0, X64 },
	{ WEIR_OP_ATTENTION, SRC, 1, W64X64 },
	{ WEIR_OP_ATTENTION, SRC, 2, OTHER_VALUES },
	{ WEIR_OP_ATTENTION, INT, 3, -1 },
	{ WEIR_OP_ATTENTION, FLOAT, 1, NAN },
	{ WEIR_OP_GATHER, DST, 0, Y64 },
	{ WEIR_OP_GATHER, SRC, 0, OUT64 },
	{ WEIR_OP_ATTENTION_PACKED, DST, 0, K16 },
	{ WEIR_OP_ATTENTION_PACKED, SRC, 2, X64 },
	{ WEIR_OP_ATTENTION_PACKED, INT, 4, 2 },
	{ WEIR_OP_MOE, INT, 0, 8 },
	{ WEIR_OP_MOE, INT, 1, 5 },
	{ WEIR_OP_MOE, INT, 1, 0 },
	{ WEIR_OP_MOE, INT, 2, 16 },
	{ WEIR_OP_MOE, SRC, 4, UP },
	{ WEIR_OP_MOE, DST, 0, X64 },
	{ WEIR_OP_MOE, FLOAT, 0, NAN },
	{ WEIR_OP_LORA, INT, 0, 0 },
	{ WEIR_OP_LORA, SRC, 1, LORA_B },
	{ WEIR_OP_LORA, DST, 0, OUT64 },
	{ WEIR_OP_LORA, FLAGS, 0, 1 },
	{ WEIR_OP_GLU, SRC, 1, Z32 },
	{ WEIR_OP_GLU, DST, 0, OUT64 },
	{ WEIR_OP_GLU, FLAGS, 0, WEIR_MOE_NORM },
};

static const struct weir_op *find(uint32_t code)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		if (good[i].code == code)
			return &good[i];
	g_assert_not_reached();
}

static void test_good(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		struct weir_error err = { 0 };

		weir_device_check(&checker, &good[i], tensors, &err);
		g_assert_cmpstr(err.text, ==, "");
	}
}

static void test_changes(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
		const struct change *c = &changes[i];
		struct weir_op op = *find(c->code);
		struct weir_error err = { 0 };
		weir_status status;

		switch (c->field) {
		case DST:
			op.dst[c->at] = (uint32_t)c->to;
			break;
		case SRC:
			op.src[c->at] = (uint32_t)c->to;
			break;
		case FLOAT:
			op.f[c->at] = (float)c->to;
			break;
		case INT:
			op.i[c->at] = (int32_t)c->to;
			break;
		case FLAGS:
			op.flags = (uint32_t)c->to;
			break;
		}
		status = weir_device_check(&checker, &op, tensors, &err);
		if (status == WEIR_OK)
			g_test_message("change %zu of operation %u was taken", i, c->code);
		g_assert_cmpint(status, <, 0);
		g_assert_cmpint(err.code, ==, status);
		g_assert_cmpstr(err.text, !=, "");
		g_assert_cmpint(weir_device_check(&checker, &op, tensors, NULL), ==, status);
	}
}

static void test_unknown(void)
{
	static const uint32_t codes[] = { 0, 11, 99, UINT32_MAX };

	for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
		struct weir_op op = { .code = codes[i] };
		struct weir_error err = { 0 };

		g_assert_cmpint(weir_device_check(&checker, &op, tensors, &err), ==,
				WEIR_E_UNSUPPORTED);
		g_assert_nonnull(strstr(err.text, "a test has no operation"));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	set_up();
	g_test_add_func("/device-check/good", test_good);
	g_test_add_func("/device-check/changes", test_changes);
	g_test_add_func("/device-check/unknown", test_unknown);
	return g_test_run();
}
