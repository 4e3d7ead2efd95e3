/* norm.comp - NORM of a row, or of each group of a row; NORM_ADD, and the NORM that reads its sum.
 *
 * Workgroups: x groups of a row, y rows. With CHAIN the sum (y) is normed once more, to z: the end of
 * a layer with post norms and the begin of what follows. Zhang & Sennrich 2019 (RMS), Ba et al. 2016.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"

layout(constant_id = 2) const uint FLAGS = 0;

const uint FLAG_LAYER = 1u, FLAG_ADD = 2u, FLAG_OUT_ROWS = 4u, FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u,
	   FLAG_BIAS = 32u, FLAG_CHAIN = 64u, FLAG_CHAIN_BIAS = 128u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats x, w, b, y; /* y: the result, or with CHAIN the sum */
	Floats w2, b2, z;
	Words q8;
	uint group, w_stride, x_stride, y_stride, z_stride, q8_width, q8_meta;
	float eps, eps2;
};

#define NORM_SOURCE Floats
#include "norm.glsl"

float normed(Floats v, uint at, vec2 m, Floats scale, Floats bias, bool has_bias, uint i)
{
	float r = scaled(v.at[at + i], m, scale.at[w_stride * gl_WorkGroupID.x + i]);

	return has_bias ? r + bias.at[w_stride * gl_WorkGroupID.x + i] : r;
}

/* The result, with the moments m of src: to dst or, in Q8 form, to q8. */
void emit(uint t, Floats src, uint at, vec2 m, Floats scale, Floats bias, bool has_bias, Floats dst, uint to)
{
	if ((FLAGS & FLAG_EMIT_Q8) != 0u) {
		for (uint k = lane(); k < group / 32u; k += WIDTH) {
			float v[32];

			[[unroll]] for (uint i = 0u; i < 32u; i++) {
				v[i] = normed(src, at, m, scale, bias, has_bias, k * 32u + i);
				if ((FLAGS & FLAG_EMIT_F32) != 0u)
					dst.at[to + k * 32u + i] = v[i];
			}
			put_q8(q8, q8_meta, (t * q8_width + gl_WorkGroupID.x * group) / 32u + k, v);
		}
		return;
	}
	for (uint i = lane(); i < group; i += WIDTH) {
		float v = normed(src, at, m, scale, bias, has_bias, i);

		if ((FLAGS & (FLAG_ADD | FLAG_CHAIN)) == FLAG_ADD)
			v += dst.at[to + i];
		dst.at[to + i] = v;
	}
}

void main()
{
	uint t = gl_WorkGroupID.y, from = gl_WorkGroupID.x * group;
	uint n = (FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens;
	uint at = t * x_stride + from, to = t * y_stride + from;
	bool has_bias = (FLAGS & FLAG_BIAS) != 0u, layer = (FLAGS & FLAG_LAYER) != 0u;
	vec2 m;

	if (t >= n)
		return;
	m = moments(x, at, group, eps, layer);
	if ((FLAGS & FLAG_CHAIN) == 0u) {
		emit(t, x, at, m, w, b, has_bias, y, to);
		return;
	}
	for (uint i = lane(); i < group; i += WIDTH)
		y.at[to + i] += normed(x, at, m, w, b, has_bias, i);
	memoryBarrierBuffer();
	barrier();
	m = moments(y, to, group, eps2, layer);
	emit(t, y, to, m, w2, b2, (FLAGS & FLAG_CHAIN_BIAS) != 0u, z, t * z_stride + from);
}
