/* mix.comp - MOE of many rows, after tiles: a row's experts are added up by their shares, in the order
 * and by the arithmetic of linear-q and linear-f (multiply.glsl), which take few rows.
 *
 * Workgroups: x rows. Nothing is contracted: those do it in steps.
 */
#version 460
#include "common.glsl"

layout(constant_id = 2) const uint FLAGS = 0;
layout(constant_id = 3) const uint CHOICES = 2;

const uint FLAG_OUT_ROWS = 4u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats choices, each, y; /* each: [row][CHOICES][width] */
	uint width;
	float scale;
};

void main()
{
	uint r = gl_WorkGroupID.x;

	if (r >= ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens))
		return;
	for (uint i = lane(); i < width; i += WIDTH) {
		float mixed = 0.0;
		precise float v, sum;

		for (uint k = 0u; k < CHOICES; k++) {
			uint pair = r * CHOICES + k;

			mixed = fma(choices.at[2u * pair + 1u], each.at[pair * width + i], mixed);
		}
		v = mixed * scale;
		sum = v + y.at[r * width + i];
		y.at[r * width + i] = sum;
	}
}
