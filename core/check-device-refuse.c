/*
 * core/check-device-refuse.c - section device of `weir check`: what a device must say no to, with a
 * reason, and go on as if nothing had been asked. See check-device.h.
 */
#include <string.h>

#include "check-device.h"

enum { ROWS = 9, WIDTH = 64 };

/* Tensors that operations may be given, right ones and wrong ones. */
struct things {
	uint32_t x, y, z;      /* WIDTH of tokens; z: an output of ROWS_OUT */
	uint32_t narrow, wide; /* WIDTH / 2 and 2 WIDTH of tokens */
	uint32_t matrix, table, vector, k, v;
};

static void add_things(struct weir_check_plan *plan, struct things *t)
{
	t->x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, WIDTH);
	t->y = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, WIDTH);
	t->narrow = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, WIDTH / 2);
	t->wide = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 2 * WIDTH);
	t->z = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, WIDTH);
	t->matrix = weir_check_plan_weight(plan, WEIR_DTYPE_F32, WIDTH, WIDTH, WEIR_WEIGHT_MATRIX);
	t->table = weir_check_plan_weight(plan, WEIR_DTYPE_F32, WIDTH, ROWS, WEIR_WEIGHT_TABLE);
	t->vector = weir_check_plan_vector(plan, WIDTH);
	t->k = weir_check_plan_kv(plan, WEIR_DTYPE_F32, 2, 1, 32);
	t->v = weir_check_plan_kv(plan, WEIR_DTYPE_F32, 2, 1, 32);
}

#define NONE WEIR_NO_TENSOR

struct wrong {
	const char *what;
	struct weir_op op;
};

static void refuse_op(struct weir_check_device *d, struct weir_check_made *made,
		      const struct wrong *wrong)
{
	struct weir_check_plan *plan = made->plan;
	struct weir_tensor tensors[WEIR_CHECK_PARTS];
	weir_program *program = NULL;
	struct weir_error err;
	weir_status s;
	bool says;

	for (uint32_t i = 0; i < plan->n_parts; i++) {
		tensors[i] = plan->parts[i].tensor;
		tensors[i].buffer = made->buffers[i];
	}
	*weir_check_plan_op(plan, 0) = wrong->op;
	weir_check_device_at(d, "supports() of %s", wrong->what);
	says = d->api->supports(d->instance, &wrong->op, tensors);
	weir_check_device_at(d, "program_new() with %s", wrong->what);
	s = weir_check_made_program(made, &program, &err);
	plan->n_ops--;
	if (says)
		weir_check_device_fail(d, wrong->what, "supports() says yes");
	if (s >= 0)
		weir_check_device_fail(d, wrong->what, "program_new() takes it");
	else if (!err.text[0])
		weir_check_device_fail(d, wrong->what, "program_new() refuses without a reason");
	if (s >= 0 && program)
		d->api->program_free(d->instance, program);
}

/* An index that no tensor has: for program_new() alone, which knows how many there are. */
static void refuse_index(struct weir_check_device *d, struct weir_check_made *made,
			 const struct weir_op *right)
{
	weir_program *program = NULL;
	struct weir_error err;
	struct weir_op *op = weir_check_plan_op(made->plan, 0);
	weir_status s;

	*op = *right;
	op->src[0] = made->plan->n_parts + 5;
	weir_check_device_at(d, "program_new() with a tensor that is not there");
	s = weir_check_made_program(made, &program, &err);
	made->plan->n_ops--;
	if (s >= 0)
		weir_check_device_fail(d, "a tensor beyond the list", "program_new() takes it");
}

static void refuse_buffers(struct weir_check_device *d)
{
	static const struct {
		const char *what;
		uint32_t type;
		uint64_t n_in, n_out;
		bool kv;
	} wrong[] = {
		{ "weights of type 9999", 9999, 64, 4, false },
		{ "Q8_0 weights in rows of 33", WEIR_DTYPE_Q8_0, 33, 4, false },
		{ "Q4_K weights in rows of 128", WEIR_DTYPE_Q4_K, 128, 4, false },
		{ "weights of no columns", WEIR_DTYPE_F32, 0, 4, false },
		{ "weights of no rows", WEIR_DTYPE_F32, 64, 0, false },
		{ "a cache of type 9999", 9999, 1, 32, true },
		{ "a cache of I32", WEIR_DTYPE_I32, 1, 32, true },
		{ "a Q8_0 cache of heads of 48", WEIR_DTYPE_Q8_0, 1, 48, true },
		{ "a cache of no heads", WEIR_DTYPE_F32, 0, 32, true },
	};
	g_autofree uint8_t *bytes = g_malloc0(1 << 16);

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		weir_buffer *buffer = NULL;
		struct weir_error err;
		weir_status s;

		memset(&err, 0, sizeof(err));
		weir_check_device_at(d, "%s", wrong[i].what);
		s = wrong[i].kv ? d->api->kv(d->instance, wrong[i].type, 2, WEIR_CHECK_BLOCK,
					     (uint32_t)wrong[i].n_in, (uint32_t)wrong[i].n_out,
					     &buffer, &err)
				: d->api->weight(d->instance, wrong[i].type, wrong[i].n_in,
						 wrong[i].n_out, WEIR_WEIGHT_MATRIX, bytes, &buffer,
						 &err);
		if (s >= 0)
			weir_check_device_fail(d, wrong[i].what, "%s() takes them",
					       wrong[i].kv ? "kv" : "weight");
		else if (!err.text[0])
			weir_check_device_fail(d, wrong[i].what, "refused without a reason");
		if (s >= 0 && buffer)
			d->api->buffer_free(d->instance, buffer);
	}
}

static void law_refusals(struct weir_check *check)
{
	struct weir_check_device d;
	struct weir_check_made made;
	struct things t;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
	add_things(plan, &t);
	if (!weir_check_make(&made, &d, plan, "a plain program")) {
		weir_check_device_close(&d);
		return;
	}
	/* code, flags, dst, src, f, i, reserved */
	const struct wrong wrong[] = {
		{ "operation 9999", { 9999, 0, { t.y, NONE, NONE }, { t.x }, { 1 }, { 1 }, 0 } },
		{ "operation 0", { 0, 0, { t.y, NONE, NONE }, { t.x }, { 1 }, { 0 }, 0 } },
		{ "EMBED without a table",
		  { WEIR_OP_EMBED, 0, { t.y, NONE, NONE }, { NONE }, { 1 }, { 0 }, 0 } },
		{ "EMBED of a matrix's rows that are too narrow",
		  { WEIR_OP_EMBED, 0, { t.wide, NONE, NONE }, { t.table }, { 1 }, { 0 }, 0 } },
		{ "EMBED of row 9 of a table of 9",
		  { WEIR_OP_EMBED,
		    WEIR_EMBED_FIXED,
		    { t.y, NONE, NONE },
		    { t.table },
		    { 1 },
		    { ROWS },
		    0 } },
		{ "NORM to another width",
		  { WEIR_OP_NORM,
		    0,
		    { t.narrow, NONE, NONE },
		    { t.x, t.vector, NONE },
		    { 1e-5f },
		    { 0 },
		    0 } },
		{ "NORM of groups that do not fill a row",
		  { WEIR_OP_NORM,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.vector, NONE },
		    { 1e-5f },
		    { 24 },
		    0 } },
		{ "NORM without a weight",
		  { WEIR_OP_NORM,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, NONE, NONE },
		    { 1e-5f },
		    { 0 },
		    0 } },
		{ "LINEAR from rows that are too narrow",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.y, NONE, NONE },
		    { t.narrow, t.matrix, NONE, NONE, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 1 },
		    0 } },
		{ "LINEAR to rows that are too wide",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.wide, NONE, NONE },
		    { t.x, t.matrix, NONE, NONE, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 1 },
		    0 } },
		{ "LINEAR without a matrix",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, NONE, NONE, NONE, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 1 },
		    0 } },
		{ "LINEAR by four matrices",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.y, t.y, t.y },
		    { t.x, t.matrix, t.matrix, t.matrix, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 4 },
		    0 } },
		{ "LINEAR with a temporary for a matrix",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.wide, NONE, NONE, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 1 },
		    0 } },
		{ "LINEAR from rows of tokens to rows of outputs",
		  { WEIR_OP_LINEAR,
		    0,
		    { t.z, NONE, NONE },
		    { t.x, t.matrix, NONE, NONE, NONE, NONE, NONE, NONE },
		    { 1 },
		    { 1 },
		    0 } },
		{ "ROPE_KV of an odd size",
		  { WEIR_OP_ROPE_KV,
		    0,
		    { NONE, NONE, NONE },
		    { t.x, t.narrow, t.narrow, t.k, t.v, NONE, NONE, NONE },
		    { 10000, 1, 0, 1 },
		    { 2, 1, 32, 31, 0 },
		    0 } },
		{ "ROPE_KV into a cache of other heads",
		  { WEIR_OP_ROPE_KV,
		    0,
		    { NONE, NONE, NONE },
		    { t.x, t.x, t.x, t.k, t.v, NONE, NONE, NONE },
		    { 10000, 1, 0, 1 },
		    { 2, 2, 32, 32, 0 },
		    0 } },
		{ "ROPE_KV with one cache of two",
		  { WEIR_OP_ROPE_KV,
		    0,
		    { NONE, NONE, NONE },
		    { t.x, t.narrow, t.narrow, t.k, NONE, NONE, NONE, NONE },
		    { 10000, 1, 0, 1 },
		    { 2, 1, 32, 32, 0 },
		    0 } },
		{ "ATTENTION of 2 heads over 3",
		  { WEIR_OP_ATTENTION,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.k, t.v },
		    { 1 },
		    { 2, 3, 32, 0 },
		    0 } },
		{ "ATTENTION without a cache",
		  { WEIR_OP_ATTENTION,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, NONE, NONE },
		    { 1 },
		    { 2, 1, 32, 0 },
		    0 } },
		{ "ATTENTION_PACKED of values that are too wide",
		  { WEIR_OP_ATTENTION_PACKED,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.x, t.wide },
		    { 1 },
		    { 2, 2, 32, 0, 0 },
		    0 } },
		{ "GATHER to rows of tokens",
		  { WEIR_OP_GATHER, 0, { t.y, NONE, NONE }, { t.x }, { 1 }, { 0 }, 0 } },
		{ "MOE of 3 experts out of 2",
		  { WEIR_OP_MOE,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.narrow, t.matrix, t.matrix, t.matrix },
		    { 1 },
		    { 2, 3, 32 },
		    0 } },
		{ "LORA of adapter 0",
		  { WEIR_OP_LORA,
		    0,
		    { t.y, NONE, NONE },
		    { t.x, t.matrix, t.matrix },
		    { 1 },
		    { 0 },
		    0 } },
		{ "GLU of rows of two widths",
		  { WEIR_OP_GLU,
		    WEIR_ACT_SILU,
		    { t.y, NONE, NONE },
		    { t.x, t.narrow },
		    { 1 },
		    { 0 },
		    0 } },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		refuse_op(&d, &made, &wrong[i]);
	refuse_index(&d, &made, &plan->ops[0]);
	refuse_buffers(&d);
	g_strlcpy(made.what, "the plain program after all that", sizeof(made.what));
	struct weir_check_batch *batch = weir_check_batch_one(ROWS, 0);

	batch->batch.n_out = 0;
	weir_check_made_both(&made, &batch->batch, t.y, WEIR_CHECK_EXACT);
	weir_check_batch_free(batch);
	weir_check_made_free(&made);
	weir_check_device_close(&d);
}

/* One batch that is wrong in one number. */
static void refuse_batch(struct weir_check_made *made, struct weir_check_batch *batch,
			 const char *what)
{
	const struct weir_device *api = made->device->api;
	struct weir_error err;
	weir_status s;

	weir_check_device_at(made->device, "a batch with %s", what);
	memset(&err, 0, sizeof(err));
	s = api->run(made->device->instance, made->program, &batch->batch, &err);
	if (s >= 0)
		s = api->wait(made->device->instance, made->program, &err);
	if (s >= 0)
		weir_check_device_fail(made->device, what, "the run is OK");
	else if (s != WEIR_E_INVALID)
		weir_check_device_fail(made->device, what, "the run ends with %d, not with %d", s,
				       WEIR_E_INVALID);
	else if (!err.text[0])
		weir_check_device_fail(made->device, what, "the run ends without a reason");
	weir_check_batch_free(batch);
}

static struct weir_check_batch *right_batch(void)
{
	const struct weir_check_seq seq = { .count = ROWS };

	return weir_check_batch_new(&seq, 1, 2, 0);
}

static void law_batches(struct weir_check *check)
{
	struct weir_check_device d;
	struct weir_check_made made;
	struct weir_check_batch *b;
	struct weir_op *op;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
	uint32_t q = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, WIDTH);
	uint32_t k = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, WIDTH);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, WIDTH);

	op = weir_check_plan_op(plan, WEIR_OP_ROPE_KV);
	op->src[0] = q;
	op->src[1] = op->src[2] = k;
	op->src[3] = weir_check_plan_kv(plan, WEIR_DTYPE_F32, 2, 2, 32);
	op->src[4] = weir_check_plan_kv(plan, WEIR_DTYPE_F32, 2, 2, 32);
	op->i[0] = op->i[1] = 2;
	op->i[2] = 32;
	op = weir_check_plan_op(plan, WEIR_OP_ATTENTION);
	*op = plan->ops[plan->n_ops - 2];
	op->code = WEIR_OP_ATTENTION;
	op->src[1] = op->src[3];
	op->src[2] = op->src[4];
	for (int i = 3; i < 8; i++)
		op->src[i] = NONE;
	op->dst[0] = y;
	if (weir_check_make(&made, &d, plan, "a table and a cache")) {
		b = right_batch();
		b->token[4] = ROWS;
		refuse_batch(&made, b, "a token behind the table");
		b = right_batch();
		b->token[4] = -1;
		refuse_batch(&made, b, "a token of -1");
		b = right_batch();
		b->slot[8] = 2 * WEIR_CHECK_BLOCK;
		refuse_batch(&made, b, "a slot behind the cache");
		b = right_batch();
		b->blocks[0] = 2;
		refuse_batch(&made, b, "a block behind the cache");
		b = right_batch();
		b->out_row[0] = ROWS;
		refuse_batch(&made, b, "an output of a token that is not there");
		b = right_batch();
		b->copies[1] = 2;
		b->batch.n_copies = 1;
		refuse_batch(&made, b, "a copy to a block behind the cache");
		b = right_batch();
		b->batch.n_tokens = b->batch.n_out = 0;
		refuse_batch(&made, b, "no tokens");
		b = weir_check_batch_one(ROWS + 1, 0);
		b->token[ROWS] = 0;
		refuse_batch(&made, b, "more tokens than the program was made for");
		b = right_batch();
		g_strlcpy(made.what, "a right batch after wrong ones", sizeof(made.what));
		weir_check_made_both(&made, &b->batch, y, WEIR_CHECK_EXACT);
		weir_check_batch_free(b);
		weir_check_made_free(&made);
	}
	weir_check_device_close(&d);
}

const struct weir_check_case weir_check_device_refusals[] = {
	{ "device", "refusals",
	  "what the contract does not have is refused with a reason, and the device goes on",
	  law_refusals, 1 },
	{ "device", "batches",
	  "a batch that points outside of its buffers is INVALID, and the device goes on",
	  law_batches, 1 },
	{ NULL },
};
