/* glu.comp - GLU: act(x) * u, or act(x) alone. Workgroups: x rows. */
#version 460
#include "common.glsl"
#include "quantize.glsl"

layout(constant_id = 2) const uint FLAGS = 0;
layout(constant_id = 3) const uint ACT = 0;

const uint FLAG_UP = 1u, FLAG_OUT_ROWS = 4u, FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u;

#include "activate.glsl"

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats x, u, y;
	Words q8;
	uint width, q8_meta;
};

float value(uint at)
{
	float v = activate(x.at[at]);

	return (FLAGS & FLAG_UP) != 0u ? v * u.at[at] : v;
}

void main()
{
	uint r = gl_WorkGroupID.x;

	if (r >= ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens))
		return;
	if ((FLAGS & FLAG_EMIT_Q8) != 0u) {
		for (uint b = lane(); b < width / 32u; b += WIDTH) {
			float v[32];

			[[unroll]] for (uint i = 0u; i < 32u; i++) {
				v[i] = value(r * width + b * 32u + i);
				if ((FLAGS & FLAG_EMIT_F32) != 0u)
					y.at[r * width + b * 32u + i] = v[i];
			}
			put_q8(q8, q8_meta, r * (width / 32u) + b, v);
		}
		return;
	}
	for (uint i = lane(); i < width; i += WIDTH)
		y.at[r * width + i] = value(r * width + i);
}
