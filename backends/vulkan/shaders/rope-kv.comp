/* rope-kv.comp - ROPE_KV: norm and rotation of one head of q or k; k and v go to the cache.
 *
 * Workgroups: x heads, then KV heads; y tokens. Cosines and sines come with the batch: [token][pair]
 * of two floats, the attention factor in them. Su et al. 2021.
 */
#version 460
#include "common.glsl"
#include "cache.glsl"

layout(constant_id = 7) const uint ROPE = 64;  /* rope size */
layout(constant_id = 8) const uint FLAGS = 0;
layout(constant_id = 9) const uint ANGLES = 0; /* which table of the batch */

const uint FLAG_NEOX = 1u, FLAG_Q_NORM = 2u, FLAG_K_NORM = 4u, FLAG_CACHE = 8u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats q, k, v;
	Words keys, values;
	Floats q_norm, k_norm;
	uint q_stride, k_stride, v_stride;
	float eps;
};

shared float head[(HEAD + 31u) & ~31u];

/* The head in shared memory to dims in pairs, a word each: what word i of PADDED / 2 holds. */
uint pair_at(uint i)
{
	float a = head[2u * i], b = head[2u * i + 1u];

	if (KV == KV_F16)
		return packHalf2x16(vec2(a, b));
	return to_bf16(a) | to_bf16(b) << 16;
}

float block_scale(uint b)
{
	float top = 0.0;

	for (uint i = 0u; i < 32u; i++)
		top = max(top, abs(head[b * 32u + i]));
	return top / 127.0;
}

/* Four dims as signed bytes, d the scale of their block. */
uint bytes_at(uint i, float d)
{
	float inverse = d > 0.0 ? 1.0 / d : 0.0;
	uint r = 0u;

	for (uint j = 0u; j < 4u; j++)
		r |= (uint(int(roundEven(head[4u * i + j] * inverse))) & 0xffu) << (8u * j);
	return r;
}

void store_key(uint kv_head, uint slot)
{
	uint base = head_base(slot, kv_head), token = slot % BLOCK;

	if (KV == KV_F32) {
		for (uint i = lane(); i < PADDED; i += WIDTH)
			keys.at[base + (i / 4u * BLOCK + token) * 4u + i % 4u] = floatBitsToUint(head[i]);
	} else if (KV == KV_Q8_0) {
		for (uint i = lane(); i < PADDED / 4u; i += WIDTH)
			keys.at[base + (i / 4u * BLOCK + token) * 4u + i % 4u] =
				bytes_at(i, block_scale(i / 8u));
		for (uint b = lane(); b < PADDED / 32u; b += WIDTH)
			keys.at[base + PADDED / 4u * BLOCK + b * BLOCK + token] =
				floatBitsToUint(block_scale(b));
	} else {
		for (uint i = lane(); i < PADDED / 2u; i += WIDTH)
			keys.at[base + (i / 4u * BLOCK + token) * 4u + i % 4u] = pair_at(i);
	}
}

void store_value(uint kv_head, uint slot)
{
	uint base = head_base(slot, kv_head), token = slot % BLOCK;

	if (KV == KV_F32) {
		for (uint i = lane(); i < PADDED; i += WIDTH)
			values.at[base + token * PADDED + i] = floatBitsToUint(head[i]);
	} else if (KV == KV_Q8_0) {
		for (uint i = lane(); i < PADDED / 4u; i += WIDTH)
			values.at[base + token * (PADDED / 4u) + i] = bytes_at(i, block_scale(i / 8u));
		for (uint b = lane(); b < PADDED / 32u; b += WIDTH)
			values.at[base + PADDED / 4u * BLOCK + b * BLOCK + token] =
				floatBitsToUint(block_scale(b));
	} else {
		for (uint i = lane(); i < PADDED / 2u; i += WIDTH)
			values.at[base + token * (PADDED / 2u) + i] = pair_at(i);
	}
}

void load_head(Floats from, uint at)
{
	for (uint i = lane(); i < ((HEAD + 31u) & ~31u); i += WIDTH)
		head[i] = i < HEAD ? from.at[at + i] : 0.0;
	barrier();
}

void norm_head(Floats weight)
{
	float sum = 0.0, r;

	for (uint i = lane(); i < HEAD; i += WIDTH)
		sum = fma(head[i], head[i], sum);
	r = 1.0 / sqrt(group_sum(sum) / float(HEAD) + eps);
	for (uint i = lane(); i < HEAD; i += WIDTH)
		head[i] *= r * weight.at[i];
	barrier();
}

void turn_head(uint t)
{
	for (uint i = lane(); i < ROPE / 2u; i += WIDTH) {
		float c = batch.angles[ANGLES].at[(t * (ROPE / 2u) + i) * 2u];
		float s = batch.angles[ANGLES].at[(t * (ROPE / 2u) + i) * 2u + 1u];
		uint a = (FLAGS & FLAG_NEOX) != 0u ? i : 2u * i;
		uint b = (FLAGS & FLAG_NEOX) != 0u ? i + ROPE / 2u : 2u * i + 1u;
		float u = head[a], w = head[b];

		head[a] = u * c - w * s;
		head[b] = u * s + w * c;
	}
	barrier();
}

void main()
{
	uint t = gl_WorkGroupID.y, h = gl_WorkGroupID.x, at;
	bool is_q = h < N_HEADS;

	if (t >= batch.n_tokens)
		return;
	if (is_q) {
		at = t * q_stride + h * HEAD;
		load_head(q, at);
		if ((FLAGS & FLAG_Q_NORM) != 0u)
			norm_head(q_norm);
		turn_head(t);
		for (uint i = lane(); i < HEAD; i += WIDTH)
			q.at[at + i] = head[i];
		return;
	}
	h -= N_HEADS;
	at = t * k_stride + h * HEAD;
	load_head(k, at);
	if ((FLAGS & FLAG_K_NORM) != 0u)
		norm_head(k_norm);
	turn_head(t);
	if ((FLAGS & FLAG_CACHE) == 0u) {
		for (uint i = lane(); i < HEAD; i += WIDTH)
			k.at[at + i] = head[i];
		return;
	}
	store_key(h, batch.slot.at[t]);
	barrier();
	load_head(v, t * v_stride + h * HEAD);
	store_value(h, batch.slot.at[t]);
}
