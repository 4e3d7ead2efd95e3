/* common.glsl - what every shader shares: memory by address, the batch, packing, reductions.
 *
 * Built with SUBGROUP=1 (workgroups are made of whole subgroups of LANES, which add by themselves)
 * or 0 (shared memory only). All memory is read in whole words: no 8- or 16-bit storage is needed.
 */
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#if SUBGROUP
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#if SUBGROUP && WIDE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#if WIDE
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#if SDOT
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = [ "SPV_KHR_integer_dot_product" ], capabilities = [ 6019, 6018 ], id = 4450)
int packed_dot(uint a, uint b, spirv_literal int format);
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint WIDTH = 8; /* invocations in a workgroup */
layout(constant_id = 1) const uint LANES = 8; /* of them in a subgroup */

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float at[]; };
/* What one workgroup writes and another of the same dispatch reads. */
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer Passed { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Quads { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Pairs { uvec2 at[]; };
#if WIDE
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Longs { uint64_t at[]; };
#endif

/* A reference as one of another kind, by way of its two words: SwiftShader cannot cast references, and
 * cannot choose between two (`b ? x : y`, a variable set in a branch) either. */
#define Words(p) Words(uvec2(p))
#define Floats(p) Floats(uvec2(p))
#define Passed(p) Passed(uvec2(p))
#define Quads(p) Quads(uvec2(p))
#define Pairs(p) Pairs(uvec2(p))
#if WIDE
#define Longs(p) Longs(uvec2(p))
#endif

/* struct weir_vk_batch of vk.h */
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Batch {
	uint n_tokens, n_rows, n_out, n_pieces;
	uint block_stride, reserved0, reserved1, reserved2;
	Words token, pos, row, slot, first, kv_len, blocks, out_row, pieces, adapter, type, counters;
	Floats angles[6];
};

uint lane()
{
	return gl_LocalInvocationID.x;
}

/* Loads of 16 and 8 bytes. A software renderer fetches lane by lane and element by element: there,
 * elements of 64 bits halve the work. */
uvec4 load4(Quads p, uint i)
{
#if WIDE
	Longs q = Longs(p);
	uint64_t a = q.at[2 * i], b = q.at[2 * i + 1];
	return uvec4(unpackUint2x32(a), unpackUint2x32(b));
#else
	return p.at[i];
#endif
}

uvec2 load2(Pairs p, uint i)
{
#if WIDE
	return unpackUint2x32(Longs(p).at[i]);
#else
	return p.at[i];
#endif
}

/* Four signed bytes by four. */
int dot4(uint a, uint b)
{
#if SDOT
	return packed_dot(a, b, 0);
#else
	int x = int(a), y = int(b);
	return bitfieldExtract(x, 0, 8) * bitfieldExtract(y, 0, 8) +
	       bitfieldExtract(x, 8, 8) * bitfieldExtract(y, 8, 8) +
	       bitfieldExtract(x, 16, 8) * bitfieldExtract(y, 16, 8) + (x >> 24) * (y >> 24);
#endif
}

float bf16_low(uint w)
{
	return uintBitsToFloat(w << 16);
}

float bf16_high(uint w)
{
	return uintBitsToFloat(w & 0xffff0000u);
}

uint to_bf16(float x)
{
	uint b = floatBitsToUint(x);

	return (b & 0x7fffffffu) > 0x7f800000u ? b >> 16 | 0x40u : (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
}

/* The half in the low or high 16 bits of a word. */
float half_at(uint w, uint i)
{
	return unpackHalf2x16(w >> (16u * (i & 1u))).x;
}

shared float reduce_room[64];

/* Sums (largest) over the workgroup, the same in every invocation. WIDTH is a power of two up to
 * 64 * LANES with subgroups, up to 64 without. */
#if SUBGROUP
#define REDUCE(name, within, start, join)                                                              \
	float name(float x)                                                                            \
	{                                                                                              \
		x = within(x);                                                                         \
		if (WIDTH > LANES) {                                                                   \
			float y = start;                                                               \
			barrier();                                                                     \
			if (gl_LocalInvocationID.x % LANES == 0u)                                      \
				reduce_room[gl_LocalInvocationID.x / LANES] = x;                       \
			barrier();                                                                     \
			for (uint i = 0u; i < WIDTH / LANES; i++)                                      \
				y = join(y, reduce_room[i]);                                           \
			return y;                                                                      \
		}                                                                                      \
		return x;                                                                              \
	}
#else
#define REDUCE(name, within, start, join)                                                              \
	float name(float x)                                                                            \
	{                                                                                              \
		barrier();                                                                             \
		reduce_room[gl_LocalInvocationID.x] = x;                                               \
		for (uint n = WIDTH / 2u; n > 0u; n /= 2u) {                                           \
			barrier();                                                                     \
			if (gl_LocalInvocationID.x < n)                                                \
				reduce_room[gl_LocalInvocationID.x] =                                  \
					join(reduce_room[gl_LocalInvocationID.x],                      \
					     reduce_room[gl_LocalInvocationID.x + n]);                 \
		}                                                                                      \
		barrier();                                                                             \
		return reduce_room[0];                                                                 \
	}
#endif

float plus(float a, float b)
{
	return a + b;
}

REDUCE(group_sum, subgroupAdd, 0.0, plus)
REDUCE(group_max, subgroupMax, uintBitsToFloat(0xff800000u), max)
