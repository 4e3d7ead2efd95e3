/* embed.comp - EMBED: rows of a table in any format, as floats. Workgroups: x tokens. */
#version 460
#include "common.glsl"
#include "codes.glsl"

layout(constant_id = 2) const uint FORMAT = 0; /* FLOATS + 0 F32, 1 F16, 2 BF16, or as codes.glsl */
layout(constant_id = 3) const uint ROW_FROM = 0; /* 0 token, 1 position + row, 2 row, 3 type */
layout(constant_id = 4) const uint ADD = 0;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Quads w;
	Floats y;
	uint n_in, n_out, row, y_stride; /* n_in: a row of floats is padded to whole runs of 8 */
	float scale;
};

void put(uint at, float v)
{
	v *= scale;
	if (ADD != 0u)
		v += y.at[at];
	y.at[at] = v;
}

void main()
{
	uint t = gl_WorkGroupID.x, r = row;

	if (t >= batch.n_tokens)
		return;
	if (ROW_FROM == 0u)
		r = batch.token.at[t];
	else if (ROW_FROM == 1u)
		r = batch.pos.at[t] + row;
	else if (ROW_FROM == 3u)
		r = batch.type.at[t];
	if (FORMAT >= 1u << 20) {
		uint f = FORMAT & 3u, stride = (n_in + 7u) & ~7u;

		for (uint i = lane(); i < n_in; i += WIDTH) {
			uint at = r * stride + i;

			if (f == 0u)
				put(t * y_stride + i, Floats(w).at[at]);
			else if (f == 1u)
				put(t * y_stride + i, half_at(Words(w).at[at / 2u], at));
			else
				put(t * y_stride + i, uintBitsToFloat(Words(w).at[at / 2u] >> 16 * (at & 1u) << 16));
		}
	} else {
		uint blocks = n_in / 32u;
		Planes p = planes_of(FORMAT, n_out * blocks);

		for (uint b = lane(); b < blocks; b += WIDTH) {
			Extras e = load_extras(FORMAT, w, p, r * blocks + b, 1u);
			Scales s = scales_of(FORMAT, e, 0u);
			uint q[8];

			load_codes(FORMAT, w, p, r * blocks + b, e, 0u, q);
			look_up_all(FORMAT, q);
			[[unroll]] for (int i = 0; i < 32; i++) {
				int code = bitfieldExtract(int(q[i / 4]), 8 * (i % 4), 8);
				int k = i < 16 ? s.i0 : s.i1, j = i < 16 ? s.j0 : s.j1;

				if (has_two(FORMAT)) {
					put(t * y_stride + b * 32u + uint(i), (i < 16 ? s.s : s.m) * float(code));
					continue;
				}
				put(t * y_stride + b * 32u + uint(i),
				    s.s * float(k) * float(code - int(fmt_offset(FORMAT))) + s.m * float(j));
			}
		}
	}
}
