/* attention.comp - ATTENTION over the paged cache, and ATTENTION_PACKED over a step's own rows: some heads of one KV head by some tokens of one
 * sequence ("columns", at most TILE) against all positions, CHUNK at a time.
 *
 * Workgroups: x slices of the KV heads, y pieces (see run.c), z chunks when SPLIT. A chunk's result
 * (largest score, sum of weights, weighted values) is merged into what came before in ascending
 * order: here, or with SPLIT in merge.comp, by the same arithmetic. Chunks begin at fixed positions.
 * So a token's result depends neither on its batch nor on SPLIT. Milakov & Gimelshein 2018; Dao et
 * al. 2023 ("Flash-Decoding").
 */
#version 460
#include "common.glsl"
#include "cache.glsl"
#include "quantize.glsl"

layout(constant_id = 7) const uint TILE = 4;
layout(constant_id = 8) const uint CHUNK = 64;
layout(constant_id = 9) const uint FLAGS = 0;

const uint FLAG_SOFTCAP = 1u, FLAG_SPLIT = 2u, FLAG_CAUSAL = 4u, FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u;
const uint GROUP = N_HEADS / N_KV;
const uint HEADS = GROUP < TILE ? GROUP : TILE;   /* of a slice */
const uint SLICES = (GROUP + HEADS - 1u) / HEADS; /* of a KV head */
#define NONE uintBitsToFloat(0xff800000u)

layout(push_constant, std430) uniform Push {
	Batch batch;
	Floats q;
	Quads keys, values;
	Floats y;
	Words q8;
	Floats partial; /* [token][head][chunk][2 + HEAD] */
	uint q_stride, y_stride, q8_meta, n_chunks;
	int window;
	float scale, softcap;
	uint k_stride, v_stride; /* KV_ROWS: floats between two tokens */
};

shared float q_room[TILE * PADDED], o_room[TILE * PADDED], weight[TILE * CHUNK];
shared uint slots[CHUNK];

uint n_cols, n_heads, head0, kv_head, token0, first_token;

uint token_of(uint c)
{
	return token0 + c / n_heads;
}

uint head_of(uint c)
{
	return head0 + c % n_heads;
}

/* Unit u of 16 bytes (8 dims; F32: the first and second half of them) of the key at slot. */
void load_key(uint slot, uint u, out float k[8])
{
	uint base = head_base(slot, kv_head) / 4u, token = slot % BLOCK;

	if (KV == KV_ROWS) {
		[[unroll]] for (uint i = 0u; i < 8u; i++)
			k[i] = u * 8u + i < HEAD
				       ? Floats(keys).at[slot * k_stride + kv_head * HEAD + u * 8u + i]
				       : 0.0;
	} else if (KV == KV_F32) {
		uvec4 a = load4(keys, base + 2u * u * BLOCK + token);
		uvec4 b = load4(keys, base + (2u * u + 1u) * BLOCK + token);

		[[unroll]] for (int i = 0; i < 4; i++) {
			k[i] = uintBitsToFloat(a[i]);
			k[4 + i] = uintBitsToFloat(b[i]);
		}
	} else if (KV == KV_Q8_0) {
		uint at = (base + u / 2u * BLOCK + token) * 4u + (u & 1u) * 2u;
		float d = Floats(keys).at[base * 4u + PADDED / 4u * BLOCK + u / 4u * BLOCK + token];
		int a = int(Words(keys).at[at]), b = int(Words(keys).at[at + 1u]);

		[[unroll]] for (int i = 0; i < 4; i++) {
			k[i] = d * float(bitfieldExtract(a, 8 * i, 8));
			k[4 + i] = d * float(bitfieldExtract(b, 8 * i, 8));
		}
	} else {
		uvec4 a = load4(keys, base + u * BLOCK + token);

		[[unroll]] for (int i = 0; i < 4; i++) {
			vec2 v = KV == KV_F16 ? unpackHalf2x16(a[i]) : vec2(bf16_low(a[i]), bf16_high(a[i]));

			k[2 * i] = v.x;
			k[2 * i + 1] = v.y;
		}
	}
}

/* Dims 2i and 2i + 1 of the value at slot. */
vec2 load_value(uint slot, uint i)
{
	uint base = head_base(slot, kv_head), token = slot % BLOCK;

	if (KV == KV_ROWS) {
		uint at = slot * v_stride + kv_head * HEAD + 2u * i;

		return vec2(2u * i < HEAD ? Floats(values).at[at] : 0.0,
			    2u * i + 1u < HEAD ? Floats(values).at[at + 1u] : 0.0);
	}
	if (KV == KV_F32) {
		uvec2 v = load2(Pairs(values), (base + token * PADDED) / 2u + i);

		return vec2(uintBitsToFloat(v.x), uintBitsToFloat(v.y));
	}
	if (KV == KV_Q8_0) {
		int w = int(Words(values).at[base + token * (PADDED / 4u) + i / 2u]) >> int(16u * (i & 1u));
		float d = Floats(values).at[base + PADDED / 4u * BLOCK + i / 16u * BLOCK + token];

		return d * vec2(float(bitfieldExtract(w, 0, 8)), float(bitfieldExtract(w, 8, 8)));
	}
	uint w = Words(values).at[base + token * (PADDED / 2u) + i];
	return KV == KV_F16 ? unpackHalf2x16(w) : vec2(bf16_low(w), bf16_high(w));
}

/* Without a cache, positions count from the sequence's first token of the step. */
int position_of(uint t)
{
	return KV == KV_ROWS ? int(t - first_token) : int(batch.pos.at[t]);
}

bool visible(uint c, int position)
{
	int last = position_of(token_of(c));

	if (KV == KV_ROWS && (FLAGS & FLAG_CAUSAL) == 0u)
		return window == 0 || abs(position - last) <= window / 2;
	return position <= last && (window == 0 || position > last - window);
}

/* Scores of the keys from .. to (exclusive) of a chunk, to weight[c][key]; slots[] is filled. */
void score(uint chunk, int from, int to)
{
	for (uint j = lane(); j < CHUNK; j += WIDTH) {
		int position = int(chunk * CHUNK + j);
		float s[TILE];

		if (position < from || position >= to) {
			[[unroll]] for (uint c = 0u; c < TILE; c++) weight[c * CHUNK + j] = NONE;
			continue;
		}
		[[unroll]] for (uint c = 0u; c < TILE; c++) s[c] = 0.0;
		for (uint u = 0u; u < PADDED / 8u; u++) {
			float k[8];

			load_key(slots[j], u, k);
			[[unroll]] for (uint c = 0u; c < TILE; c++)
				if (c < n_cols)
					[[unroll]] for (uint i = 0u; i < 8u; i++)
						s[c] = fma(q_room[c * PADDED + u * 8u + i], k[i], s[c]);
		}
		[[unroll]] for (uint c = 0u; c < TILE; c++) {
			float v = s[c] * scale;

			if ((FLAGS & FLAG_SOFTCAP) != 0u) {
				float e = exp(-2.0 * abs(v / softcap));
				v = sign(v) * softcap * (1.0 - e) / (1.0 + e);
			}
			weight[c * CHUNK + j] = c < n_cols && visible(c, position) ? v : NONE;
		}
	}
	barrier();
}

float m_run[TILE], l_run[TILE];

/* Weights of column c in place of its scores; (largest, sum). */
vec2 soften(uint c)
{
	float top = NONE, sum = 0.0;

	for (uint j = lane(); j < CHUNK; j += WIDTH)
		top = max(top, weight[c * CHUNK + j]);
	top = group_max(top);
	for (uint j = lane(); j < CHUNK; j += WIDTH) {
		float s = weight[c * CHUNK + j], p = s == NONE ? 0.0 : exp(s - top);

		weight[c * CHUNK + j] = p;
		sum += p;
	}
	return vec2(top, group_sum(sum));
}

void attend_chunk(uint chunk, int from, int to, uint sequence)
{
	float a[TILE], b[TILE];

	for (uint j = lane(); j < CHUNK; j += WIDTH) {
		int position = int(chunk * CHUNK + j);

		if (KV == KV_ROWS)
			slots[j] = first_token + uint(position);
		else if (position >= from && position < to)
			slots[j] = batch.blocks.at[sequence * batch.block_stride + uint(position) / BLOCK] *
					   BLOCK + uint(position) % BLOCK;
	}
	barrier();
	score(chunk, from, to);
	[[unroll]] for (uint c = 0u; c < TILE; c++) {
		vec2 ml;
		float top;

		a[c] = 1.0;
		b[c] = 0.0;
		if (c >= n_cols)
			continue;
		ml = soften(c);
		if (ml.x == NONE)
			continue;
		top = max(m_run[c], ml.x);
		a[c] = m_run[c] == NONE ? 0.0 : exp(m_run[c] - top);
		b[c] = exp(ml.x - top);
		l_run[c] = fma(l_run[c], a[c], ml.y * b[c]);
		m_run[c] = top;
	}
	barrier();
	for (uint i = lane(); i < PADDED / 2u; i += WIDTH) {
		vec2 o[TILE];

		[[unroll]] for (uint c = 0u; c < TILE; c++) o[c] = vec2(0.0);
		for (int p = from; p < to; p++) {
			uint j = uint(p) - chunk * CHUNK;
			vec2 v = load_value(slots[j], i);

			[[unroll]] for (uint c = 0u; c < TILE; c++)
				if (c < n_cols)
					o[c] = fma(vec2(weight[c * CHUNK + j]), v, o[c]);
		}
		[[unroll]] for (uint c = 0u; c < TILE; c++)
			if (c < n_cols) {
				uint at = c * PADDED + 2u * i;

				o_room[at] = fma(o_room[at], a[c], o[c].x * b[c]);
				o_room[at + 1u] = fma(o_room[at + 1u], a[c], o[c].y * b[c]);
			}
	}
	barrier();
}

void store_columns()
{
	if ((FLAGS & FLAG_SPLIT) != 0u) {
		for (uint c = 0u; c < n_cols; c++) {
			uint at = ((token_of(c) * N_HEADS + head_of(c)) * n_chunks + gl_WorkGroupID.z) * (2u + HEAD);

			for (uint i = lane(); i < HEAD; i += WIDTH)
				partial.at[at + 2u + i] = o_room[c * PADDED + i];
		}
		if (lane() == 0u)
			[[unroll]] for (uint c = 0u; c < TILE; c++)
				if (c < n_cols) {
					uint at = ((token_of(c) * N_HEADS + head_of(c)) * n_chunks +
						   gl_WorkGroupID.z) * (2u + HEAD);

					partial.at[at] = m_run[c];
					partial.at[at + 1u] = l_run[c];
				}
		return;
	}
	[[unroll]] for (uint c = 0u; c < TILE; c++)
		if (c < n_cols)
			for (uint i = lane(); i < PADDED; i += WIDTH)
				o_room[c * PADDED + i] /= l_run[c];
	barrier();
	if ((FLAGS & FLAG_EMIT_F32) != 0u)
		for (uint c = 0u; c < n_cols; c++)
			for (uint i = lane(); i < HEAD; i += WIDTH)
				y.at[token_of(c) * y_stride + head_of(c) * HEAD + i] = o_room[c * PADDED + i];
	if ((FLAGS & FLAG_EMIT_Q8) != 0u)
		for (uint i = lane(); i < n_cols * (HEAD / 32u); i += WIDTH) {
			uint c = i / (HEAD / 32u), b = i % (HEAD / 32u);
			float v[32];

			for (uint k = 0u; k < 32u; k++)
				v[k] = o_room[c * PADDED + b * 32u + k];
			put_q8(q8, q8_meta, (token_of(c) * N_HEADS + head_of(c)) * (HEAD / 32u) + b, v);
		}
}

void main()
{
	uint piece = gl_WorkGroupID.y, slice, sequence, count;
	int low, high;

	if (piece >= batch.n_pieces)
		return;
	sequence = batch.pieces.at[3u * piece];
	token0 = batch.pieces.at[3u * piece + 1u];
	count = batch.pieces.at[3u * piece + 2u];
	kv_head = gl_WorkGroupID.x / SLICES;
	slice = gl_WorkGroupID.x % SLICES;
	head0 = kv_head * GROUP + slice * HEADS;
	n_heads = min(HEADS, GROUP - slice * HEADS);
	n_cols = n_heads * count;
	if (KV == KV_ROWS)
		first_token = batch.first.at[sequence];
	low = position_of(token0) - window + 1;
	high = position_of(token0 + count - 1u) + 1;
	if (KV == KV_ROWS && (FLAGS & FLAG_CAUSAL) == 0u) {
		int n = int(batch.first.at[sequence + 1u] - first_token);

		low = position_of(token0) - window / 2;
		high = window == 0 ? n : min(n, high + window / 2);
	}
	low = window == 0 || low < 0 ? 0 : low;
	if ((FLAGS & FLAG_SPLIT) != 0u) {
		low = max(low, int(gl_WorkGroupID.z * CHUNK));
		high = min(high, int((gl_WorkGroupID.z + 1u) * CHUNK));
		if (low >= high)
			return;
	}
	for (uint i = lane(); i < n_cols * PADDED; i += WIDTH) {
		uint c = i / PADDED, d = i % PADDED;

		q_room[i] = d < HEAD ? q.at[token_of(c) * q_stride + head_of(c) * HEAD + d] : 0.0;
		o_room[i] = 0.0;
	}
	[[unroll]] for (uint c = 0u; c < TILE; c++) {
		m_run[c] = NONE;
		l_run[c] = 0.0;
	}
	for (uint chunk = uint(low) / CHUNK; chunk * CHUNK < uint(high); chunk++)
		attend_chunk(chunk, max(low, int(chunk * CHUNK)), min(high, int((chunk + 1u) * CHUNK)), sequence);
	store_columns();
}
