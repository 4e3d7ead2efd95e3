/* merge.comp - what attention.comp left of its chunks, merged in ascending order by its arithmetic.
 *
 * Workgroups: x heads, y tokens.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"

layout(constant_id = 2) const uint HEAD = 64;
layout(constant_id = 3) const uint N_HEADS = 1;
layout(constant_id = 4) const uint CHUNK = 64;
layout(constant_id = 5) const uint FLAGS = 0;

const uint FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u;
#define NONE uintBitsToFloat(0xff800000u)

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats partial, y;
	Words q8;
	uint y_stride, q8_meta, n_chunks;
	int window;
};

shared float o_room[HEAD];

void main()
{
	uint t = gl_WorkGroupID.y, h = gl_WorkGroupID.x;
	float m = NONE, l = 0.0;
	int last, low;

	if (t >= batch.n_tokens)
		return;
	last = int(batch.pos.at[t]);
	low = window == 0 ? 0 : max(0, last - window + 1);
	for (uint i = lane(); i < HEAD; i += WIDTH)
		o_room[i] = 0.0;
	for (uint chunk = uint(low) / CHUNK; chunk <= uint(last) / CHUNK; chunk++) {
		uint at = ((t * N_HEADS + h) * n_chunks + chunk) * (2u + HEAD);
		float pm = partial.at[at], pl = partial.at[at + 1u], top, a, b;

		if (pm == NONE)
			continue;
		top = max(m, pm);
		a = m == NONE ? 0.0 : exp(m - top);
		b = exp(pm - top);
		l = fma(l, a, pl * b);
		m = top;
		for (uint i = lane(); i < HEAD; i += WIDTH)
			o_room[i] = fma(o_room[i], a, partial.at[at + 2u + i] * b);
	}
	for (uint i = lane(); i < HEAD; i += WIDTH) {
		o_room[i] /= l;
		if ((FLAGS & FLAG_EMIT_F32) != 0u)
			y.at[t * y_stride + h * HEAD + i] = o_room[i];
	}
	barrier();
	if ((FLAGS & FLAG_EMIT_Q8) != 0u)
		for (uint b = lane(); b < HEAD / 32u; b += WIDTH) {
			float v[32];

			for (uint k = 0u; k < 32u; k++)
				v[k] = o_room[b * 32u + k];
			put_q8(q8, q8_meta, (t * N_HEADS + h) * (HEAD / 32u) + b, v);
		}
}
