/* rows.comp - GATHER (rows of tokens to rows of output), and activations to their Q8 form.
 *
 * Workgroups: x rows. Copies floats where EMIT_F32 asks for it, quantises where EMIT_Q8 does.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"

layout(constant_id = 2) const uint FLAGS = 0;

const uint FLAG_GATHER = 1u, FLAG_OUT_ROWS = 4u, FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats x, y;
	Words q8;
	uint width, x_stride, y_stride, q8_meta;
};

void main()
{
	uint r = gl_WorkGroupID.x, from = r;

	if (r >= ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens))
		return;
	if ((FLAGS & FLAG_GATHER) != 0u)
		from = batch.out_row.at[r];
	if ((FLAGS & FLAG_EMIT_F32) != 0u)
		for (uint i = lane(); i < width; i += WIDTH)
			y.at[r * y_stride + i] = x.at[from * x_stride + i];
	if ((FLAGS & FLAG_EMIT_Q8) != 0u)
		for (uint b = lane(); b < width / 32u; b += WIDTH) {
			float v[32];

			[[unroll]] for (uint i = 0u; i < 32u; i++) v[i] = x.at[from * x_stride + b * 32u + i];
			put_q8(q8, q8_meta, r * (width / 32u) + b, v);
		}
}
