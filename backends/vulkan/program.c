/* SPDX-License-Identifier: MIT */
/*
 * program.c - compiles a list of operations: checks it, decides in which forms activations are
 * kept, and gives everything its place, so that a run allocates nothing but for longer sequences.
 *
 * Called while a model loads. An activation that quantised matrices read is quantised once, by the
 * shader that writes it where that holds whole blocks of it, else by a step of its own.
 */
#include "program.h"
#include "layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	OWN_TEMPS = 4,      /* of an operation, at most */
	MAX_EACH = 1 << 26, /* values: 256 MiB */
	MAX_TOKENS = 65535, /* a workgroup for each */
};

static unsigned op_n_dst(const struct weir_op *op)
{
	if (op->code == WEIR_OP_ROPE_KV)
		return 0;
	return op->code == WEIR_OP_LINEAR && !(op->flags & WEIR_LINEAR_GLU) ? (unsigned)op->i[0]
									    : 1;
}

/* Does the op write tensor t? k of dst[k], 3 for q or k of ROPE_KV; -1: no. */
static int op_writes(const struct weir_op *op, uint32_t t)
{
	for (unsigned k = 0; k < op_n_dst(op); k++)
		if (op->dst[k] == t)
			return (int)k;
	if (op->code == WEIR_OP_ROPE_KV &&
	    (op->src[0] == t || (op->src[1] == t && op->src[3] == WEIR_NO_TENSOR)))
		return 3;
	return -1;
}

static bool op_adds(const struct weir_op *op)
{
	return (op->code == WEIR_OP_LINEAR && op->flags & WEIR_LINEAR_ADD) ||
	       (op->code == WEIR_OP_NORM && op->flags & WEIR_NORM_ADD) ||
	       (op->code == WEIR_OP_EMBED && op->flags & WEIR_EMBED_ADD) ||
	       op->code == WEIR_OP_MOE || op->code == WEIR_OP_LORA;
}

/* Can the op's shader quantise what it writes? */
static bool op_quantises(const struct weir_op *op, const struct weir_tensor *tensors)
{
	switch (op->code) {
	case WEIR_OP_LINEAR:
	case WEIR_OP_GATHER:
	case WEIR_OP_GLU:
		return tensors[op->dst[0]].width % 32 == 0;
	case WEIR_OP_NORM:
		return !(op->flags & WEIR_NORM_ADD) &&
		       (op->i[0] ? (uint64_t)op->i[0] : tensors[op->dst[0]].width) % 32 == 0;
	case WEIR_OP_ATTENTION:
	case WEIR_OP_ATTENTION_PACKED:
		return op->i[2] % 32 == 0;
	default:
		return false;
	}
}

struct wish {
	bool f32[4], q8[4]; /* per dst; 3: ROPE_KV's in place */
};

static weir_status wish_for(const struct weir_program_desc *desc, struct wish *wishes, uint32_t i,
			    uint32_t t, bool q8, struct weir_error *err)
{
	for (uint32_t j = i; j > 0; j--) {
		int k = op_writes(&desc->ops[j - 1], t);

		if (k < 0)
			continue;
		*(q8 ? &wishes[j - 1].q8[k] : &wishes[j - 1].f32[k]) = true;
		return WEIR_OK;
	}
	return weir_vk_fail(err, WEIR_E_INVALID,
			    "program: operation %u reads tensor %u before any writes it", i, t);
}

static bool is_quantised(const struct weir_program_desc *desc, uint32_t t)
{
	return weir_vk_type(desc->tensors[t].buffer->type)->split;
}

/* For each op, in which forms later ones want what it writes. */
static weir_status find_wishes(const struct weir_program_desc *desc, struct wish *wishes,
			       struct weir_error *err)
{
	weir_status s = WEIR_OK;

	for (uint32_t i = 0; i < desc->n_ops && !s; i++) {
		const struct weir_op *op = &desc->ops[i];

		for (unsigned k = 0; op_adds(op) && k < op_n_dst(op) && !s; k++)
			s = wish_for(desc, wishes, i, op->dst[k], false, err);
		switch (op->code) {
		case WEIR_OP_LINEAR:
			for (int m = 0; m < op->i[0] && !s; m++)
				s = wish_for(desc, wishes, i, op->src[0],
					     is_quantised(desc, op->src[1 + m]), err);
			break;
		case WEIR_OP_ROPE_KV:
			for (int k = 0; k < (op->src[3] == WEIR_NO_TENSOR ? 2 : 3) && !s; k++)
				s = wish_for(desc, wishes, i, op->src[k], false, err);
			break;
		case WEIR_OP_NORM:
		case WEIR_OP_ATTENTION:
		case WEIR_OP_GATHER:
			s = wish_for(desc, wishes, i, op->src[0], false, err);
			break;
		case WEIR_OP_GLU:
		case WEIR_OP_ATTENTION_PACKED:
			for (int k = 0; k < 3 && !s; k++)
				if (op->src[k] != WEIR_NO_TENSOR)
					s = wish_for(desc, wishes, i, op->src[k], false, err);
			break;
		case WEIR_OP_LORA:
			s = wish_for(desc, wishes, i, op->src[0], is_quantised(desc, op->src[1]),
				     err);
			break;
		case WEIR_OP_MOE:
			s = wish_for(desc, wishes, i, op->src[0], is_quantised(desc, op->src[2]),
				     err);
			if (!s)
				s = wish_for(desc, wishes, i, op->src[1], false, err);
			break;
		}
	}
	for (uint32_t i = 0; i < desc->n_ops; i++)
		for (unsigned k = 0; k < op_n_dst(&desc->ops[i]); k++) {
			struct wish *w = &wishes[i];

			if (desc->tensors[desc->ops[i].dst[k]].kind == WEIR_TENSOR_OUTPUT)
				w->f32[k] = true;
			/* Nobody reads it: as floats, which every shader can write. */
			if (!w->q8[k] || !op_quantises(&desc->ops[i], desc->tensors))
				w->f32[k] = true;
		}
	return s;
}

static void fill_frequencies(struct weir_vk_angles *a)
{
	const struct weir_op *op = &a->op;
	double dims = op->i[3], base = (double)op->f[0], low = 0, high = 0;

	if (op->f[2] != 0) {
		const double tau = 6.283185307179586, n = op->i[5];

		low = floor(dims * log(n / ((double)op->f[4] * tau)) / (2 * log(base)));
		high = ceil(dims * log(n / ((double)op->f[5] * tau)) / (2 * log(base)));
		low = fmax(low, 0);
		high = fmin(high, dims - 1);
	}
	for (uint32_t i = 0; i < a->half; i++) {
		double plain = pow(base, -2.0 * i / dims), mix;

		if (a->factors)
			plain /= (double)a->factors->values[i];
		mix = fmin(fmax((i - low) / fmax(high - low, 0.001), 0), 1);
		mix = (1 - mix) * (double)op->f[2];
		a->frequency[i] = (float)(plain * (double)op->f[1] * (1 - mix) + plain * mix);
	}
}

static weir_status find_angles(weir_program *p, const struct weir_op *op,
			       const struct weir_tensor *tensors, uint32_t *ret,
			       struct weir_error *err)
{
	weir_buffer *factors = op->src[7] == WEIR_NO_TENSOR ? NULL : tensors[op->src[7]].buffer;
	struct weir_vk_angles *a;

	for (uint32_t i = 0; i < p->n_angles; i++) {
		a = &p->angles[i];
		if (!memcmp(a->op.f, op->f, 6 * sizeof(float)) && a->op.i[3] == op->i[3] &&
		    a->op.i[5] == op->i[5] && a->factors == factors) {
			*ret = i;
			return WEIR_OK;
		}
	}
	if (p->n_angles == WEIR_VK_MAX_ANGLES)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "program: more than %d kinds of rotary embedding",
				    WEIR_VK_MAX_ANGLES);
	a = &p->angles[p->n_angles];
	*a = (struct weir_vk_angles){ .op = *op,
				      .factors = factors,
				      .half = (uint32_t)op->i[3] / 2 };
	a->frequency = calloc(a->half, sizeof(float));
	if (!a->frequency)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a program");
	fill_frequencies(a);
	*ret = p->n_angles++;
	return WEIR_OK;
}

/* May the last workgroup of the product do what comes after it? All matrices in one dispatch, and
 * nobody else wants what it writes in another form. */
static bool takes_tail(const weir_program *p, const struct weir_vk_step *s, uint32_t dst_rows)
{
	const struct weir_op *op = &s->op;
	bool split; /* not the field itself, which may be more than one */

	if (s->tail[0] || p->temps[op->dst[0]].rows != dst_rows || s->q8[0])
		return false;
	if (s->code == WEIR_OP_MOE)
		return true;
	if (s->code != WEIR_OP_LINEAR || op->i[0] > 2)
		return false;
	split = weir_vk_type(p->temps[op->src[1]].buffer->type)->split;
	for (int k = 1; k < op->i[0]; k++)
		if (!weir_vk_type(p->temps[op->src[1 + k]].buffer->type)->split == split ||
		    s->q8[k] || (!(op->flags & WEIR_LINEAR_GLU) && s->f32[k] != s->f32[0]))
			return false;
	return true;
}

/* The NORM right after a LINEAR or MOE that writes its source: the stream's next one, or BitNet's
 * within the feed-forward. */
static void tail_norm(weir_program *p, const struct weir_vk_step *last)
{
	struct weir_vk_step *norm = &p->steps[p->n_steps - 1], *linear = norm - 1;
	const struct weir_op *op = &norm->op;

	if (norm != last || p->n_steps < 2 || norm->code != WEIR_OP_NORM || op->i[0] ||
	    op->flags & WEIR_NORM_ADD || linear->op.dst[0] != op->src[0] ||
	    !takes_tail(p, linear, p->temps[op->dst[0]].rows) ||
	    (linear->code == WEIR_OP_LINEAR && linear->op.i[0] > 1 &&
	     !(linear->op.flags & WEIR_LINEAR_GLU)))
		return;
	linear->tail[0] = p->n_steps - 1;
	norm->tailed = true;
}

/* The choice of a mixture, by its router's last workgroup: that LINEAR is the step before, or wrote
 * the logits of the mixture before this one, too. */
static void tail_route(weir_program *p, struct weir_vk_step *route)
{
	uint32_t i = (uint32_t)(route - p->steps);
	const struct weir_op *op = &route->op;
	struct weir_vk_step *linear = i ? route - 1 : NULL;

	if (linear && linear->code == WEIR_OP_LINEAR && linear->op.dst[0] == op->src[1] &&
	    !(linear->op.flags & (WEIR_LINEAR_GLU | WEIR_LINEAR_ADD)) &&
	    takes_tail(p, linear, p->temps[op->dst[0]].rows)) {
		linear->tail[0] = i;
		route->tailed = true;
		return;
	}
	/* ... LINEAR, ROUTE, EXPERTS, MOE, and this. The second has one expert. */
	linear = i >= 4 ? route - 4 : NULL;
	if (!linear || linear->code != WEIR_OP_LINEAR || linear->tail[0] != i - 3 ||
	    linear->op.i[0] != 2 || linear->op.dst[1] != op->src[1] || op->i[0] != 1 ||
	    !(op->flags & WEIR_MOE_SIGMOID) || op->flags & WEIR_MOE_NORM ||
	    route->choice == linear[1].choice)
		return;
	linear->tail[1] = i;
	route->tailed = true;
}

/* x += norm(...), and the norm of x right after it: one step. The last result may take the place of
 * the first source, whose row has been read by then. */
static bool chains(const struct weir_program_desc *desc, uint32_t i)
{
	const struct weir_op *a = &desc->ops[i], *b = a + 1;

	return i + 1 < desc->n_ops && a->code == WEIR_OP_NORM && b->code == WEIR_OP_NORM &&
	       a->flags & WEIR_NORM_ADD && !(b->flags & WEIR_NORM_ADD) && !a->i[0] && !b->i[0] &&
	       (a->flags & WEIR_NORM_LAYER) == (b->flags & WEIR_NORM_LAYER) &&
	       b->src[0] == a->dst[0] && b->dst[0] != a->dst[0];
}

static void add_table_limits(weir_program *p, const struct weir_op *op,
			     const struct weir_tensor *tensors)
{
	uint64_t n = tensors[op->src[0]].buffer->n_out;
	uint32_t rows = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;

	if (op->flags & WEIR_EMBED_FIXED)
		return;
	if (op->flags & WEIR_EMBED_TYPE) {
		if (!p->n_types || rows < p->n_types)
			p->n_types = rows;
		return;
	}
	if (op->flags & WEIR_EMBED_POSITION) {
		rows = rows > (uint32_t)op->i[0] ? rows - (uint32_t)op->i[0] : 0;
		if (!p->n_positions || rows < p->n_positions)
			p->n_positions = rows;
	} else if (!p->n_vocab || rows < p->n_vocab) {
		p->n_vocab = rows;
	}
}

static void add_quantise(weir_program *p, uint32_t t)
{
	struct weir_vk_step *step = &p->steps[p->n_steps++];

	*step = (struct weir_vk_step){ .code = WEIR_VK_STEP_QUANTIZE };
	step->op.dst[0] = t;
	p->temps[t].want_f32 = p->temps[t].want_q8 = true;
}

/* A temporary of the device's own, shared by all operations that need one like it. */
static uint32_t own_temp(weir_program *p, enum weir_vk_own own, uint32_t rows, uint64_t width,
			 uint32_t multiple, uint64_t more, bool q8)
{
	struct weir_vk_temp *t;
	uint32_t i;

	for (i = p->max_temps - p->n_ops * OWN_TEMPS; i < p->n_temps; i++) {
		t = &p->temps[i];
		if (t->own == own && t->rows == rows && t->width == width &&
		    t->multiple == multiple && t->more == more && t->want_q8 == q8)
			return i;
	}
	p->temps[p->n_temps] = (struct weir_vk_temp){ .kind = WEIR_TENSOR_TEMP,
						      .rows = rows,
						      .width = width,
						      .more = more,
						      .own = own,
						      .multiple = multiple,
						      .want_f32 = !q8,
						      .want_q8 = q8 };
	return p->n_temps++;
}

/* May experts multiply many rows in tiles? Each pair of a row and a choice has a result of its own
 * then; and at most as many groups of pairs as a dispatch may surely have. */
static bool is_tiled(const weir_program *p, const struct weir_op *op)
{
	const struct weir_vk_temp *y = &p->temps[op->dst[0]];
	uint64_t pairs =
		(uint64_t)op->i[1] * (y->rows == WEIR_ROWS_OUT ? p->max_out : p->max_tokens);
	/* Tiles of cooperative matrices have eight columns at least. */
	uint32_t cols = p->vk->tile_cols < 8 ? p->vk->tile_cols : 8;

	return pairs * y->width <= MAX_EACH && pairs / cols + (uint64_t)op->i[0] < 65536;
}

/* LORA and MOE as the steps that they take; *step is the last. */
static struct weir_vk_step *split_op(weir_program *p, const struct weir_op *op,
				     struct weir_vk_step *step)
{
	uint32_t rows = p->temps[op->dst[0]].rows, n, between, choice = 0;
	uint32_t sorted = WEIR_NO_TENSOR, each = WEIR_NO_TENSOR;
	bool q8;

	if (op->code == WEIR_OP_LORA) {
		n = (uint32_t)p->temps[op->src[1]].buffer->n_out;
		q8 = weir_vk_type(p->temps[op->src[2]].buffer->type)->split;
		between = own_temp(p, WEIR_VK_OWN_BETWEEN, rows, n, 1, 0, q8);
		step->code = WEIR_VK_STEP_LORA_DOWN;
	} else {
		q8 = weir_vk_type(p->temps[op->src[4]].buffer->type)->split;
		n = (uint32_t)op->i[1];
		between = own_temp(p, WEIR_VK_OWN_BETWEEN, rows, (uint64_t)op->i[2], n, 0, q8);
		choice = own_temp(p, WEIR_VK_OWN_CHOICE, rows, 2, n, 0, false);
		if (is_tiled(p, op)) {
			sorted = own_temp(p, WEIR_VK_OWN_SORTED, rows, 2, n, 3 * (uint64_t)op->i[0],
					  false);
			each = own_temp(p, WEIR_VK_OWN_EACH, rows, p->temps[op->dst[0]].width, n, 0,
					false);
		}
		step->code = WEIR_VK_STEP_ROUTE;
		step->choice = choice;
		tail_route(p, step);
		step = &p->steps[p->n_steps++];
		*step = (struct weir_vk_step){ .code = WEIR_VK_STEP_EXPERTS, .op = *op };
		step->choice = choice;
		step->sorted = sorted;
		step->each = each;
	}
	step->between = between;
	step->q8[0] = q8;
	step->f32[0] = !q8;
	step = &p->steps[p->n_steps++];
	*step = (struct weir_vk_step){ .code = op->code, .op = *op };
	step->between = between;
	step->choice = choice;
	step->sorted = sorted;
	step->each = each;
	return step;
}

static weir_status copy_ops(weir_program *p, const struct weir_program_desc *desc,
			    const struct wish *wishes, struct weir_error *err)
{
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		struct weir_vk_step *step = &p->steps[p->n_steps++];
		const struct weir_op *op = &desc->ops[i];
		const struct wish *w = &wishes[i];
		weir_status s;

		*step = (struct weir_vk_step){ .code = op->code, .op = *op };
		if (op->code == WEIR_OP_EMBED)
			add_table_limits(p, op, desc->tensors);
		if (op->code == WEIR_OP_ROPE_KV && op->i[3] &&
		    (s = find_angles(p, op, desc->tensors, &step->angles, err)))
			return s;
		if (op->code == WEIR_OP_LORA || op->code == WEIR_OP_MOE)
			step = split_op(p, op, step);
		if (op->code == WEIR_OP_ATTENTION || op->code == WEIR_OP_ATTENTION_PACKED) {
			uint32_t tile = weir_vk_attention_tile(op);
			uint32_t group = (uint32_t)(op->i[0] / op->i[1]);
			uint32_t tokens = tile / (group < tile ? group : tile);
			uint64_t partial = (uint64_t)op->i[0] * ((uint32_t)op->i[2] + 2) * 4;

			if (tokens < p->piece_tokens)
				p->piece_tokens = tokens;
			if (partial > p->partial_bytes)
				p->partial_bytes = partial;
		}
		if (chains(desc, i) && !w->q8[0]) {
			step->code = WEIR_VK_STEP_NORM_CHAIN;
			step->next = desc->ops[++i];
			p->temps[op->dst[0]].want_f32 = true;
			op = &desc->ops[i];
			w = &wishes[i];
		}
		for (unsigned k = 0; k < op_n_dst(op); k++) {
			struct weir_vk_temp *t = &p->temps[op->dst[k]];

			step->f32[k] = w->f32[k];
			step->q8[k] = w->q8[k] && op_quantises(op, desc->tensors);
			t->want_f32 |= w->f32[k];
			t->want_q8 |= w->q8[k];
			if (w->q8[k] && !step->q8[k])
				add_quantise(p, op->dst[k]);
		}
		tail_norm(p, step);
		if (op->code == WEIR_OP_ROPE_KV && w->q8[3])
			add_quantise(p, op->src[0]);
	}
	return WEIR_OK;
}

static bool place(uint64_t *at, uint64_t bytes, uint64_t *ret)
{
	*ret = *at;
	return !__builtin_add_overflow(*at, (bytes + 255) & ~UINT64_C(255), at) && *at >= *ret;
}

/* Temporaries and outputs. */
static weir_status lay_out(weir_program *p, struct weir_error *err)
{
	const VkMemoryType *types = p->vk->memory.memoryTypes;
	uint64_t at = 0, out = 0, dummy;
	weir_status s;

	p->outputs_in_place = types[p->vk->memory_type[WEIR_VK_PLACE_READBACK]].propertyFlags &
				      VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT &&
			      !(p->vk->config.without & WEIR_VK_WITHOUT_MAPPED);
	for (uint32_t i = 0; i < p->n_temps; i++) {
		struct weir_vk_temp *t = &p->temps[i];
		uint64_t rows = (t->rows == WEIR_ROWS_OUT ? p->max_out : p->max_tokens) *
				(uint64_t)(t->multiple ? t->multiple : 1);
		bool is_output = t->kind == WEIR_TENSOR_OUTPUT;

		if (!t->want_f32 && !t->want_q8)
			continue;
		t->stride = (uint32_t)t->width;
		/* Shaders count words with 32 bits. */
		if (rows * t->stride > UINT32_MAX / 2)
			return weir_vk_fail(err, WEIR_E_EXHAUSTED,
					    "%llu rows of %llu values are too many for the vulkan "
					    "backend; set max_batch_tokens lower",
					    (unsigned long long)rows, (unsigned long long)t->width);
		if (is_output && !place(&out, rows * t->stride * 4 + 256, &t->output))
			goto too_large;
		if (t->want_f32 && !(is_output && p->outputs_in_place) &&
		    !place(&at, (rows * t->stride + t->more) * 4 + 256, &t->offset))
			goto too_large;
		t->f32 = t->offset; /* until the arena has an address */
		t->q8_meta = (uint32_t)(rows * t->width / 4);
		if (t->want_q8) {
			if (!place(&at, rows * t->width + rows * t->width / 4 + 256, &dummy))
				goto too_large;
			t->q8 = dummy;
		}
	}
	s = weir_vk_memory_new(p->vk, at ? at : 256, WEIR_VK_PLACE_DEVICE, "activations", &p->arena,
			       err);
	if (!s && out)
		s = weir_vk_memory_new(p->vk, out, WEIR_VK_PLACE_READBACK, "outputs", &p->outputs,
				       err);
	if (s)
		return s;
	for (uint32_t i = 0; i < p->n_temps; i++) {
		struct weir_vk_temp *t = &p->temps[i];

		t->q8 += p->arena.address;
		t->f32 += p->arena.address;
		if (t->kind == WEIR_TENSOR_OUTPUT && p->outputs_in_place)
			t->f32 = p->outputs.address + t->output;
	}
	return WEIR_OK;
too_large:
	return weir_vk_fail(err, WEIR_E_INVALID, "a program is too large");
}

/* The memory that a step's batch is written to. */
static weir_status lay_out_batch(weir_program *p, struct weir_error *err)
{
	struct {
		uint64_t bytes, offset;
		void **host;
		size_t address; /* in the header */
	} parts[10 + WEIR_VK_MAX_ANGLES];
	uint64_t at = 0, header, tokens = (uint64_t)p->max_tokens * 4;
	unsigned n = 0;
	weir_status s;

#define PART(name, size)                                                                           \
	parts[n].bytes = (size);                                                                   \
	parts[n].host = (void **)&p->name;                                                         \
	parts[n++].address = offsetof(struct weir_vk_batch, name)
	PART(token, tokens);
	PART(pos, tokens);
	PART(row, tokens);
	PART(slot, tokens);
	PART(first, tokens + 4);
	PART(kv_len, tokens);
	PART(out_row, (uint64_t)p->max_out * 4);
	PART(adapter, tokens);
	PART(type, tokens);
	PART(pieces, tokens * 3);
#undef PART
	for (uint32_t i = 0; i < p->n_angles; i++) {
		parts[n].bytes = tokens * 2 * p->angles[i].half;
		parts[n].host = (void **)&p->angles[i].table;
		parts[n++].address =
			offsetof(struct weir_vk_batch, angles) + i * sizeof(VkDeviceAddress);
	}
	if (!place(&at, sizeof(struct weir_vk_batch), &header))
		goto too_large;
	for (unsigned i = 0; i < n; i++)
		if (!place(&at, parts[i].bytes + 16, &parts[i].offset))
			goto too_large;
	s = weir_vk_memory_new(p->vk, at, WEIR_VK_PLACE_BATCH, "a batch", &p->batch, err);
	if (!s)
		s = weir_vk_memory_new(p->vk, WEIR_VK_MATVEC_ROWS * 4, WEIR_VK_PLACE_DEVICE,
				       "counters", &p->counters, err);
	if (s)
		return s;
	p->header = (struct weir_vk_batch *)p->batch.mapped;
	p->header->counters = p->counters.address;
	for (unsigned i = 0; i < n; i++) {
		VkDeviceAddress address = p->batch.address + parts[i].offset;

		*parts[i].host = (uint8_t *)p->batch.mapped + parts[i].offset;
		memcpy((uint8_t *)p->header + parts[i].address, &address, sizeof(address));
	}
	return WEIR_OK;
too_large:
	return weir_vk_fail(err, WEIR_E_INVALID, "a program is too large");
}

static weir_status find_caches(weir_program *p, const struct weir_program_desc *desc,
			       struct weir_error *err)
{
	for (uint32_t i = 0; i < desc->n_tensors; i++) {
		weir_buffer *b = desc->tensors[i].buffer;

		if (desc->tensors[i].kind != WEIR_TENSOR_KV || !b || b->use)
			continue;
		if (p->n_caches && (b->n_blocks != p->caches[0]->n_blocks ||
				    b->block_tokens != p->caches[0]->block_tokens))
			return weir_vk_fail(err, WEIR_E_INVALID,
					    "program: KV caches differ in their blocks");
		p->caches[p->n_caches++] = b;
	}
	return WEIR_OK;
}

static weir_status check_desc(const struct weir_program_desc *desc, struct weir_error *err)
{
	struct weir_error why = { 0 };
	weir_status status;

	if (desc->size < sizeof(*desc))
		return weir_vk_fail(err, WEIR_E_INVALID, "program: its description is too short");
	if (desc->max_tokens > MAX_TOKENS)
		return weir_vk_fail(err, WEIR_E_INVALID,
				    "the vulkan backend computes at most %d tokens in a step, not "
				    "%u; set max_batch_tokens lower",
				    MAX_TOKENS, desc->max_tokens);
	if (!desc->max_tokens || desc->max_out > desc->max_tokens || !desc->n_ops ||
	    desc->n_ops > 1u << 20 || desc->n_tensors > 1u << 20)
		return weir_vk_fail(
			err, WEIR_E_INVALID,
			"program: %u tokens, %u outputs, %u operations, %u tensors: out of range",
			desc->max_tokens, desc->max_out, desc->n_ops, desc->n_tensors);
	for (uint32_t i = 0; i < desc->n_ops; i++) {
		const struct weir_op *op = &desc->ops[i];

		for (int k = 0; k < 11; k++) {
			uint32_t t = k < 3 ? op->dst[k] : op->src[k - 3];

			if (t != WEIR_NO_TENSOR && t >= desc->n_tensors)
				return weir_vk_fail(err, WEIR_E_INVALID,
						    "program: operation %u names tensor %u of %u",
						    i, t, desc->n_tensors);
		}
		status = weir_vk_op_check(op, desc->tensors, &why);
		if (status)
			return weir_vk_fail(err, status, "program: operation %u: %s", i, why.text);
	}
	return WEIR_OK;
}

weir_status weir_vk_program_new(struct weir_instance *instance,
				const struct weir_program_desc *desc, weir_program **ret,
				struct weir_error *err)
{
	struct wish *wishes = NULL;
	weir_program *p = NULL;
	weir_status status;

	status = check_desc(desc, err);
	if (status)
		return status;
	wishes = calloc(desc->n_ops, sizeof(*wishes));
	p = calloc(1, sizeof(*p));
	if (!wishes || !p)
		goto no_memory;
	p->vk = weir_vk_of(instance);
	p->max_temps = desc->n_tensors + OWN_TEMPS * desc->n_ops;
	p->temps = calloc((size_t)p->max_temps + 1, sizeof(*p->temps));
	p->steps = calloc((size_t)desc->n_ops * 6, sizeof(*p->steps));
	p->caches = calloc(desc->n_tensors + 1, sizeof(*p->caches));
	if (!p->temps || !p->steps || !p->caches)
		goto no_memory;
	p->n_temps = desc->n_tensors;
	p->n_ops = desc->n_ops;
	p->max_tokens = desc->max_tokens;
	p->max_rows = desc->max_rows;
	p->max_out = desc->max_out;
	p->piece_tokens = UINT32_MAX;
	for (uint32_t i = 0; i < desc->n_tensors; i++)
		p->temps[i] = (struct weir_vk_temp){ .kind = desc->tensors[i].kind,
						     .rows = desc->tensors[i].rows,
						     .width = desc->tensors[i].width,
						     .buffer = desc->tensors[i].buffer };
	status = find_wishes(desc, wishes, err);
	if (!status)
		status = copy_ops(p, desc, wishes, err);
	if (!status)
		status = find_caches(p, desc, err);
	if (!status)
		status = lay_out(p, err);
	if (!status)
		status = lay_out_batch(p, err);
	if (!status && !(p->vk->config.without & WEIR_VK_WITHOUT_AHEAD))
		status = weir_vk_prepare(p, err);
	if (status)
		goto fail;
	free(wishes);
	*ret = p;
	return WEIR_OK;
no_memory:
	status = weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a program of %u operations",
			      desc->n_ops);
fail:
	free(wishes);
	weir_vk_program_free(instance, p);
	return status;
}

void weir_vk_program_free(struct weir_instance *instance, weir_program *p)
{
	if (!p)
		return;
	if (p->vk) {
		weir_vk_drain(p->vk, NULL);
		weir_vk_forget(p);
		weir_vk_memory_free(p->vk, &p->arena);
		weir_vk_memory_free(p->vk, &p->outputs);
		weir_vk_memory_free(p->vk, &p->batch);
		weir_vk_memory_free(p->vk, &p->blocks);
		weir_vk_memory_free(p->vk, &p->partial);
		weir_vk_memory_free(p->vk, &p->counters);
	}
	for (uint32_t i = 0; i < p->n_angles; i++)
		free(p->angles[i].frequency);
	free(p->temps);
	free(p->steps);
	free(p->caches);
	free(p);
}
