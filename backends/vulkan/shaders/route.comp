/* route.comp - MOE: each row's experts and their shares (route.glsl). Workgroups: x rows. */
#version 460
#include "common.glsl"

layout(constant_id = 2) const uint FLAGS = 0;
layout(constant_id = 3) const uint ROUTE_CHOICES = 2;

#define ROUTE_LOGITS Floats
#include "route.glsl"

const uint FLAG_OUT_ROWS = 4u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats logits;
	Words to;
	uint n_experts;
};

void main()
{
	uint r = gl_WorkGroupID.x;

	if (r < ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens) && lane() == 0u)
		route(logits, r, n_experts, FLAGS, to);
}
