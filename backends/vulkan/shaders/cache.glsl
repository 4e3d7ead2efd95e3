/* cache.glsl - the KV cache: [block][head][a head's tokens], keys and values in buffers of their own.
 *
 * Keys of a head and block lie in units of 16 bytes (4 F32, 8 F16 or BF16 dims), [unit][token], so
 * that neighbours read neighbouring keys; values as [token][dims]. Dims are padded to 8. Q8_0: bytes
 * in units of 16, [unit][token], or [token][dims], and after them a float for each token and 32 dims,
 * [32 dims][token].
 */
const uint KV_F32 = 0u, KV_F16 = 1u, KV_BF16 = 2u, KV_Q8_0 = 3u, KV_ROWS = 4u;

layout(constant_id = 2) const uint KV = 1;
layout(constant_id = 3) const uint HEAD = 64;   /* head size */
layout(constant_id = 4) const uint BLOCK = 32;  /* tokens in a block */
layout(constant_id = 5) const uint N_KV = 1;    /* KV heads */
layout(constant_id = 6) const uint N_HEADS = 1;

const uint PADDED = KV == KV_Q8_0 ? (HEAD + 31u) & ~31u : (HEAD + 7u) & ~7u;
const uint HEAD_WORDS = KV == KV_F32	? PADDED * BLOCK
			: KV == KV_Q8_0 ? (PADDED / 4u + PADDED / 32u) * BLOCK
					: PADDED / 2u * BLOCK;

/* Word where a head of the block that holds slot begins. */
uint head_base(uint slot, uint head)
{
	return (slot / BLOCK * N_KV + head) * HEAD_WORDS;
}
