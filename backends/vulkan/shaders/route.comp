/* route.comp - MOE: each row's experts, in ascending order, and their shares. Workgroups: x rows.
 *
 * to: [row][CHOICES] of two words, the expert and its share (a float).
 */
#version 460
#include "common.glsl"

layout(constant_id = 2) const uint FLAGS = 0;
layout(constant_id = 3) const uint CHOICES = 2;

const uint FLAG_NORM = 1u, FLAG_SIGMOID = 2u, FLAG_OUT_ROWS = 4u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats logits;
	Words to;
	uint n_experts;
};

void main()
{
	uint r = gl_WorkGroupID.x, at = r * n_experts, n = 0u;
	uint expert[CHOICES];
	float top = uintBitsToFloat(0xff800000u), sum = 0.0, total = 0.0;

	if (r >= ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens))
		return;
	for (uint e = lane(); e < n_experts; e += WIDTH)
		top = max(top, logits.at[at + e]);
	top = group_max(top);
	for (uint e = lane(); e < n_experts; e += WIDTH)
		sum += exp(logits.at[at + e] - top);
	sum = group_sum(sum);
	if (lane() != 0u)
		return;
	/* An insertion into the best so far: an equal one stays behind the earlier. */
	for (uint e = 0u; e < n_experts; e++) {
		uint k = n;

		while (k > 0u && logits.at[at + e] > logits.at[at + expert[k - 1u]])
			k--;
		if (k == CHOICES)
			continue;
		n += n < CHOICES ? 1u : 0u;
		for (uint i = n - 1u; i > k; i--)
			expert[i] = expert[i - 1u];
		expert[k] = e;
	}
	for (uint i = 1u; i < CHOICES; i++) {
		uint e = expert[i], k = i;

		for (; k > 0u && expert[k - 1u] > e; k--)
			expert[k] = expert[k - 1u];
		expert[k] = e;
	}
	for (uint i = 0u; i < CHOICES; i++) {
		float z = logits.at[at + expert[i]];

		total += (FLAGS & FLAG_SIGMOID) != 0u ? 1.0 / (1.0 + exp(-z)) : exp(z - top) / sum;
	}
	for (uint i = 0u; i < CHOICES; i++) {
		float z = logits.at[at + expert[i]];
		float share = (FLAGS & FLAG_SIGMOID) != 0u ? 1.0 / (1.0 + exp(-z)) : exp(z - top) / sum;

		to.at[2u * (r * CHOICES + i)] = expert[i];
		to.at[2u * (r * CHOICES + i) + 1u] =
			floatBitsToUint((FLAGS & FLAG_NORM) != 0u ? share / total : share);
	}
}
