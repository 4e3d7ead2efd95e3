/* SPDX-License-Identifier: MIT */
/*
 * record-experts.c - records MOE for many rows: pairs of a row and a choice are sorted by expert on
 * the device (sort.comp), tiles take them in groups of one expert, and a row's results are added up
 * in the order of its choices (mix.comp). Called by record-linear.c, on its thread.
 *
 * Nothing of it depends on the choices: there are as many groups as the worst needs, and those that
 * have no pairs return at once. A row's result has the same bits as by the matrix-vector shaders.
 */
#include "coop.h"
#include "layout.h"
#include "recorder.h"

static uint32_t pairs_of(const struct weir_vk_recorder *r, const struct weir_op *op)
{
	return n_rows(r, op->dst[0]) * (uint32_t)op->i[1];
}

static bool has_floats(const struct weir_vk_recorder *r, const struct weir_op *op, bool up)
{
	return buffer(r, op->src[up ? 2 : 4])->format >= WEIR_VK_FORMAT_FLOATS;
}

/* Are gate and up, or down, multiplied by cooperative matrices? */
static bool in_coop(const struct weir_vk_recorder *r, const struct weir_op *op, bool up)
{
	return r->vk->coop.cols && !has_floats(r, op, up);
}

/* Columns of a tile, which are the pairs of a group: those that an expert has, if all are chosen
 * alike. */
static uint32_t cols_of(const struct weir_vk_recorder *r, const struct weir_op *op, bool up)
{
	uint32_t n = (uint32_t)op->i[0];

	return in_coop(r, op, up) ? weir_vk_coop_cols(r->vk, (pairs_of(r, op) + n - 1) / n)
				  : r->vk->tile_cols;
}

/* As sort.comp lays them: no two experts share one. */
static uint32_t n_groups(const struct weir_vk_recorder *r, const struct weir_op *op, bool up)
{
	return pairs_of(r, op) / cols_of(r, op, up) + (uint32_t)op->i[0];
}

/* Where a tile of an expert is half full, if all are chosen alike: one that is less full costs more
 * than its pairs one by one. */
bool weir_vk_in_groups(const struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;

	return s->sorted != WEIR_NO_TENSOR && n_rows(r, op->dst[0]) > WEIR_VK_MATVEC_ROWS &&
	       2 * (uint64_t)pairs_of(r, op) >= (uint64_t)op->i[0] * cols_of(r, op, true);
}

static VkDeviceAddress order_of(const struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	return temp(r, s->sorted)->f32;
}

static VkDeviceAddress groups_of(const struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const weir_program *p = r->p;
	uint64_t rows = temp(r, s->sorted)->rows == WEIR_ROWS_OUT ? p->max_out : p->max_tokens;

	return order_of(r, s) + rows * (uint64_t)s->op.i[1] * 4;
}

static weir_status record_sort(struct weir_vk_recorder *r, const struct weir_vk_step *s, bool up)
{
	const struct weir_op *op = &s->op;
	uint32_t spec[] = { r->vk->width, r->vk->lanes, row_flags(r, op->dst[0], false, false),
			    (uint32_t)op->i[1], cols_of(r, op, up) };
	struct {
		VkDeviceAddress batch, choices, order, groups;
		uint32_t n_groups, reserved;
	} push = { r->p->batch.address, temp(r, s->choice)->f32, order_of(r, s),
		   groups_of(r, s),     n_groups(r, op, up),     0 };
	struct touches t = { .n_read = 0 };

	reads(&t, s->choice);
	writes(&t, s->sorted);
	return DISPATCH(r, WEIR_VK_SHADER_SORT, spec, push, &t, (uint32_t)op->i[0], 1, 1);
}

static weir_status record_mix(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	const struct weir_vk_temp *y = temp(r, op->dst[0]);
	uint32_t spec[] = { r->vk->width, r->vk->lanes, row_flags(r, op->dst[0], false, false),
			    (uint32_t)op->i[1] };
	struct {
		VkDeviceAddress batch, choices, each, y;
		uint32_t width;
		float scale;
	} push = { r->p->batch.address,   temp(r, s->choice)->f32,
		   temp(r, s->each)->f32, y->f32,
		   (uint32_t)y->width,    op->f[0] };
	struct touches t = { .n_read = 0 };

	reads(&t, s->choice);
	reads(&t, s->each);
	writes(&t, op->dst[0]);
	return DISPATCH(r, WEIR_VK_SHADER_MIX, spec, push, &t, n_rows(r, op->dst[0]), 1, 1);
}

/* Gate and up to `between`, or down to `each`: a row for each pair. */
static weir_status record_tiles(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	const struct weir_vk *vk = r->vk;
	bool up = s->code == WEIR_VK_STEP_EXPERTS;
	const weir_buffer *w = buffer(r, op->src[up ? 2 : 4]), *w1 = buffer(r, op->src[3]);
	bool floats = has_floats(r, op, up), coop = in_coop(r, op, up);
	const struct weir_vk_temp *x = temp(r, up ? op->src[0] : s->between);
	uint32_t group = coop ? weir_vk_coop_rows(vk) : vk->tile_width * vk->tile_rows;
	uint32_t to = up ? s->between : s->each, cols = cols_of(r, op, up), n_spec = 14;
	const struct weir_vk_temp *y = temp(r, to);
	uint32_t n_out = (uint32_t)(w->n_out / (uint64_t)op->i[0]);
	struct linear_push push = { .batch = r->p->batch.address,
				    .x = floats ? x->f32 : x->q8,
				    .w = { w->address, up ? w1->address : 0 },
				    .y = { y->f32 },
				    .bias = { 0, groups_of(r, s), order_of(r, s) },
				    .y_q8 = y->q8,
				    .n_in = (uint32_t)x->width,
				    .x_meta = floats ? x->stride : x->q8_meta,
				    .y_meta = y->q8_meta,
				    .n_out = { n_out, n_out, (uint32_t)op->i[0] },
				    .scale = 1 };
	uint32_t flags = row_flags(r, to, up ? s->f32[0] : true, up && s->q8[0]);
	uint32_t format_b = up ? w1->format : w->format;
	struct touches t = { .n_read = 0 };

	if (up)
		flags |= LINEAR_GLU | weir_vk_activation(op->flags) << 16;
	uint32_t spec[WEIR_VK_MAX_SPEC] = { vk->tile_width,
					    vk->lanes,
					    vk->subs,
					    vk->tile_rows,
					    cols,
					    flags,
					    w->format & ~WEIR_VK_FORMAT_FLOATS,
					    format_b & ~WEIR_VK_FORMAT_FLOATS,
					    format_b != w->format ? 2 : 0,
					    up ? 2 : 1,
					    0,
					    up ? 1 : 2,
					    (uint32_t)op->i[1],
					    floats ? 1 : weir_vk_run_of(vk, x->width) };

	if (coop) {
		n_spec = WEIR_VK_MAX_SPEC;
		weir_vk_coop_spec(vk, cols, spec);
	}
	reads(&t, up ? op->src[0] : s->between);
	reads(&t, s->sorted);
	writes(&t, to);
	return weir_vk_dispatch(r,
				coop     ? WEIR_VK_SHADER_TILE_C
				: floats ? WEIR_VK_SHADER_TILE_F
					 : WEIR_VK_SHADER_TILE_Q,
				spec, n_spec, &push, sizeof(push), &t, n_groups(r, op, up),
				(n_out + group - 1) / group, 1);
}

weir_status weir_vk_record_groups(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	bool up = s->code == WEIR_VK_STEP_EXPERTS;
	weir_status status = WEIR_OK;

	/* Again for down where its tiles have another width: floats do, beside cooperative
	 * matrices. */
	if (up || cols_of(r, &s->op, true) != cols_of(r, &s->op, false))
		status = record_sort(r, s, up);
	if (!status)
		status = record_tiles(r, s);
	if (!status && !up)
		status = record_mix(r, s);
	return status;
}
