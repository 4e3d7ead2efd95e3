/* SPDX-License-Identifier: MIT */
/*
 * record-linear.c - records LINEAR, LORA and MOE: dispatches of the linear and tiled shaders, and
 * of route. Called by record.c, on its thread.
 */
#include <string.h>

#include "coop.h"
#include "layout.h"
#include "recorder.h"

/* As in the shaders. */
enum {
	TAIL_ROUTE = 1,
	TAIL_NORM = 2,
	TAIL_LAYER = 1, /* of its flags */
	TAIL_BIAS = 32,
};

uint32_t weir_vk_activation(uint32_t flags)
{
	static const uint32_t acts[] = { WEIR_ACT_SILU,     WEIR_ACT_GELU_TANH, WEIR_ACT_RELU2,
					 WEIR_ACT_GELU_ERF, WEIR_ACT_RELU,      WEIR_ACT_TANH };

	for (uint32_t i = 0; i < 6; i++)
		if (flags & acts[i])
			return i + 1;
	return 0;
}

/* One dispatch of a linear shader: up to three matrices of one family. */
struct product {
	uint32_t x, n, w[3], dst[3], bias[3]; /* tensors */
	uint32_t flags;                       /* of LINEAR */
	uint32_t adapter, mixture, choices, choice, n_experts;
	float scale, softcap;
	bool f32, q8;
	const uint32_t *tail; /* two steps; NULL */
};

/* What consecutive blocks share is loaded once, where that leaves no lane idle for long. It decides
 * the order of additions. */
uint32_t weir_vk_run_of(const struct weir_vk *vk, uint64_t n_in)
{
	uint64_t blocks = n_in / 32, each = (uint64_t)vk->run * vk->lanes;
	uint64_t alone = (blocks + vk->lanes - 1) / vk->lanes;
	uint64_t together = (blocks + each - 1) / each * vk->run;

	return blocks % vk->run == 0 && 3 * together <= 4 * alone ? vk->run : 1;
}

bool weir_vk_does_tail(const struct weir_vk_recorder *r, const struct weir_vk_step *tail)
{
	/* One workgroup norms the rows one after the other: a dispatch would take them at once. */
	return n_rows(r, tail->op.dst[0]) <=
	       (tail->code == WEIR_OP_NORM ? r->vk->tail_norms : WEIR_VK_MATVEC_ROWS);
}

/* The step's tail, where it has one and rows are few; NULL. */
static const uint32_t *tail_of(const struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	return s->tail[0] && weir_vk_does_tail(r, &r->p->steps[s->tail[0]]) ? s->tail : NULL;
}

static uint32_t route_flags(const struct weir_op *op)
{
	return (op->flags & WEIR_MOE_NORM ? 1u : 0u) | (op->flags & WEIR_MOE_SIGMOID ? 2u : 0u);
}

/* What tail.glsl wants in the constants from the first on, and in what the push has left over. */
static void add_tail(struct weir_vk_recorder *r, const uint32_t tail[2], bool mixture,
		     struct linear_push *push, uint32_t *spec, struct touches *t)
{
	const struct weir_vk_step *s = &r->p->steps[tail[0]];
	const struct weir_vk_temp *y;
	int at = mixture ? 1 : 2;

	writes(t, counters(r));
	if (s->code == WEIR_OP_NORM) {
		y = temp(r, s->op.dst[0]);
		push->w[2] = vector(r, s->op.src[1]);
		push->y[1] = y->f32;
		push->y_q8 = y->q8;
		push->y_meta = y->q8_meta;
		push->bias[at] = vector(r, s->op.src[2]);
		memcpy(&push->n_out[at], &s->op.f[0], sizeof(push->n_out[at]));
		spec[0] = TAIL_NORM;
		spec[1] = row_flags(r, s->op.dst[0], s->f32[0], s->q8[0]) |
			  (s->op.flags & WEIR_NORM_LAYER ? TAIL_LAYER : 0u) |
			  (push->bias[at] ? TAIL_BIAS : 0u);
		writes(t, s->op.dst[0]);
		return;
	}
	push->w[2] = temp(r, s->choice)->f32;
	spec[0] = TAIL_ROUTE;
	spec[1] = route_flags(&s->op);
	spec[2] = (uint32_t)s->op.i[1];
	writes(t, s->choice);
	if (tail[1]) {
		push->y[2] = temp(r, r->p->steps[tail[1]].choice)->f32;
		writes(t, r->p->steps[tail[1]].choice);
	}
}

static weir_status record_product(struct weir_vk_recorder *r, const struct product *o)
{
	const weir_buffer *first = buffer(r, o->w[0]);
	bool glu = o->flags & WEIR_LINEAR_GLU, floats = first->format >= WEIR_VK_FORMAT_FLOATS;
	struct weir_vk_temp *x = temp(r, o->x), *y = temp(r, o->dst[0]);
	struct linear_push push = { .batch = r->p->batch.address,
				    .x = floats ? x->f32 : x->q8,
				    .y_q8 = y->q8,
				    .n_in = (uint32_t)x->width,
				    .x_meta = floats ? x->stride : x->q8_meta,
				    .y_meta = y->q8_meta,
				    .scale = o->scale,
				    .softcap = o->softcap };
	uint32_t rows = n_rows(r, o->dst[0]) * (o->mixture == 1 ? o->choices : 1), groups = 0;
	bool tiled = !o->mixture && rows > WEIR_VK_MATVEC_ROWS;
	bool coop = tiled && !floats && r->vk->coop.cols;
	uint32_t cols = o->mixture || rows < 2 ? 1 : rows < 3 ? 2 : rows < 5 ? 4 : 8;
	uint32_t group = coop    ? weir_vk_coop_rows(r->vk)
			 : tiled ? r->vk->tile_width * r->vk->tile_rows
				 : 32;
	uint32_t flags = row_flags(r, o->dst[0], o->f32, o->q8), format_b = first->format;
	uint32_t which = 0;
	struct touches t = { .n_read = 0 };

	flags |= o->flags & WEIR_LINEAR_ADD ? LINEAR_ADD : 0u;
	flags |= glu ? LINEAR_GLU : 0u;
	flags |= o->softcap > 0 ? LINEAR_SOFTCAP : 0u;
	flags |= weir_vk_activation(o->flags) << 16;
	reads(&t, o->x);
	for (uint32_t k = 0; k < o->n; k++) {
		const weir_buffer *w = buffer(r, o->w[k]);

		push.w[k] = w->address;
		push.n_out[k] = (uint32_t)(o->mixture ? w->n_out / o->n_experts : w->n_out);
		push.bias[k] = vector(r, o->bias[k]);
		if (push.bias[k])
			flags |= (uint32_t)LINEAR_BIAS << k;
		if (w->format != first->format) {
			format_b = w->format;
			which |= 1u << k;
		}
		if (!glu || k == 0) {
			/* Results lie at multiples of the matrix's rows. */
			push.y[k] = temp(r, o->dst[k])->f32;
			groups += (push.n_out[k] + group - 1) / group;
			writes(&t, o->dst[k]);
		}
	}
	if (o->mixture) {
		push.bias[2] = temp(r, o->choice)->f32;
		push.n_out[2] = o->n_experts;
		reads(&t, o->choice);
	}
	/* A subgroup adds up no more columns than it has lanes. */
	cols = tiled ? r->vk->tile_cols : cols < r->vk->lanes ? cols : r->vk->lanes;
	uint32_t spec[WEIR_VK_MAX_SPEC] = { tiled ? r->vk->tile_width : r->vk->lanes * r->vk->subs,
					    r->vk->lanes,
					    r->vk->subs,
					    tiled                              ? r->vk->tile_rows
					    : cols > 1 && r->vk->rows_each > 4 ? 4
									       : r->vk->rows_each,
					    cols,
					    flags,
					    first->format & ~WEIR_VK_FORMAT_FLOATS,
					    format_b & ~WEIR_VK_FORMAT_FLOATS,
					    which,
					    o->n,
					    o->adapter,
					    o->mixture,
					    o->mixture ? o->choices : 1,
					    floats ? 1 : weir_vk_run_of(r->vk, push.n_in),
					    0,
					    0,
					    1 };
	if (o->tail)
		add_tail(r, o->tail, o->mixture != 0, &push, &spec[14], &t);
	/* The tiled shaders have no tail. */
	uint32_t n_spec = tiled ? 14 : 17;
	enum weir_vk_shader shader =
		floats ? (tiled ? WEIR_VK_SHADER_TILE_F : WEIR_VK_SHADER_LINEAR_F)
		       : (tiled ? WEIR_VK_SHADER_TILE_Q : WEIR_VK_SHADER_LINEAR_Q);
	if (coop) {
		shader = WEIR_VK_SHADER_TILE_C;
		n_spec = WEIR_VK_MAX_SPEC;
		cols = weir_vk_coop_cols(r->vk, rows);
		weir_vk_coop_spec(r->vk, cols, spec);
	}
	return weir_vk_dispatch(r, shader, spec, n_spec, &push, sizeof(push), &t,
				(rows + cols - 1) / cols, groups, 1);
}

/* Both steps of LORA: down to the temporary between, and up to the result. */
weir_status weir_vk_record_lora(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	bool down = s->code == WEIR_VK_STEP_LORA_DOWN;
	struct product o = { .x = down ? op->src[0] : s->between,
			     .n = 1,
			     .w = { op->src[down ? 1 : 2] },
			     .dst = { down ? s->between : op->dst[0] },
			     .bias = { WEIR_NO_TENSOR },
			     .flags = down ? 0u : (uint32_t)WEIR_LINEAR_ADD,
			     .adapter = (uint32_t)op->i[0],
			     .scale = down ? 1 : op->f[0],
			     .f32 = down ? s->f32[0] : true,
			     .q8 = down && s->q8[0] };

	return record_product(r, &o);
}

/* MOE after its choice: gate and up for each pair of a row and an expert; down for each row. Many
 * rows are record-experts.c's. */
weir_status weir_vk_record_experts(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const uint32_t choice_flags = WEIR_MOE_NORM | WEIR_MOE_SIGMOID;
	const struct weir_op *op = &s->op;
	bool up = s->code == WEIR_VK_STEP_EXPERTS;

	if (weir_vk_in_groups(r, s))
		return weir_vk_record_groups(r, s);
	struct product o = { .x = up ? op->src[0] : s->between,
			     .n = up ? 2 : 1,
			     .w = { op->src[up ? 2 : 4], op->src[3] },
			     .dst = { up ? s->between : op->dst[0] },
			     .bias = { WEIR_NO_TENSOR, WEIR_NO_TENSOR },
			     .mixture = up ? 1 : 2,
			     .choices = (uint32_t)op->i[1],
			     .choice = s->choice,
			     .n_experts = (uint32_t)op->i[0],
			     .scale = up ? 1 : op->f[0],
			     .f32 = up ? s->f32[0] : true,
			     .q8 = up && s->q8[0],
			     .tail = tail_of(r, s) };

	o.flags = up ? (op->flags & ~choice_flags) | WEIR_LINEAR_GLU : WEIR_LINEAR_ADD;
	return record_product(r, &o);
}

weir_status weir_vk_record_route(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	uint32_t spec[] = { r->vk->lanes, r->vk->lanes,
			    route_flags(op) | row_flags(r, op->src[1], false, false),
			    (uint32_t)op->i[1] };
	struct {
		VkDeviceAddress batch, logits, to;
		uint32_t n_experts, reserved;
	} push = { r->p->batch.address, temp(r, op->src[1])->f32, temp(r, s->choice)->f32,
		   (uint32_t)op->i[0], 0 };
	struct touches t = { .n_read = 0 };

	reads(&t, op->src[1]);
	writes(&t, s->choice);
	return DISPATCH(r, WEIR_VK_SHADER_ROUTE, spec, push, &t, n_rows(r, op->src[1]), 1, 1);
}

/* As many matrices at a time as have two formats of one family, and the same wishes. */
weir_status weir_vk_record_linear(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	int n = op->i[0], first = 0;

	while (first < n) {
		uint32_t a = buffer(r, op->src[1 + first])->format, b = a;
		struct product o = { .x = op->src[0],
				     .flags = op->flags,
				     .scale = op->f[0],
				     .softcap = op->f[1],
				     .f32 = s->f32[first],
				     .q8 = s->q8[first],
				     .tail = tail_of(r, s) };
		int k = first + 1;
		weir_status status;

		for (; k < n; k++) {
			uint32_t f = buffer(r, op->src[1 + k])->format;

			if ((f >= WEIR_VK_FORMAT_FLOATS) != (a >= WEIR_VK_FORMAT_FLOATS))
				break;
			if (f != a && b != a && f != b)
				break;
			if (!(op->flags & WEIR_LINEAR_GLU) &&
			    (s->q8[k] || s->q8[first] || s->f32[k] != s->f32[first]))
				break;
			if (f != a)
				b = f;
		}
		o.n = (uint32_t)(k - first);
		for (int m = first; m < k; m++) {
			o.w[m - first] = op->src[1 + m];
			o.bias[m - first] = op->src[4 + m];
			o.dst[m - first] = op->dst[m];
		}
		status = record_product(r, &o);
		if (status)
			return status;
		first = k;
	}
	return WEIR_OK;
}
