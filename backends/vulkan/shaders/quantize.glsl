/* quantize.glsl - 32 floats to the Q8 form of activations.
 *
 * A tensor in Q8 form: a plane of signed bytes, [row][n / 4] words; then, 2 words for each block of
 * 32: the scale d (float), and the sums of the first and of the second 16 bytes (two int16).
 */
void put_q8(Words dst, uint meta, uint block, float x[32])
{
	float top = 0.0, d, inverse;
	int sum[2] = { 0, 0 };

	[[unroll]] for (int i = 0; i < 32; i++) top = max(top, abs(x[i]));
	d = top / 127.0;
	inverse = top > 0.0 ? 127.0 / top : 0.0;
	[[unroll]] for (int w = 0; w < 8; w++) {
		uint packed = 0u;
		[[unroll]] for (int i = 0; i < 4; i++) {
			int q = int(roundEven(x[4 * w + i] * inverse));
			sum[w / 4] += q;
			packed |= (uint(q) & 0xffu) << (8 * i);
		}
		dst.at[block * 8u + uint(w)] = packed;
	}
	dst.at[meta + 2u * block] = floatBitsToUint(d);
	dst.at[meta + 2u * block + 1u] = (uint(sum[0]) & 0xffffu) | uint(sum[1]) << 16;
}
