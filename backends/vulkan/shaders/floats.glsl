/* floats.glsl - runs of 8 elements of a matrix of F32, F16 or BF16, and of float activations. */
void load_weights(uint f, Quads m, uint run, out float q[8])
{
	if (f == 0u) {
		uvec4 a = load4(m, 2u * run), b = load4(m, 2u * run + 1u);

		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = uintBitsToFloat(a[k]);
			q[4 + k] = uintBitsToFloat(b[k]);
		}
	} else {
		uvec4 a = load4(m, run);

		[[unroll]] for (int k = 0; k < 4; k++) {
			if (f == 1u) {
				vec2 v = unpackHalf2x16(a[k]);
				q[2 * k] = v.x;
				q[2 * k + 1] = v.y;
			} else {
				q[2 * k] = bf16_low(a[k]);
				q[2 * k + 1] = bf16_high(a[k]);
			}
		}
	}
}

/* x_meta: floats between two rows of x; a multiple of 4 lets whole quads be loaded. */
void load_run(uint col, uint run, bool whole, out float v[8])
{
	uint at = col * x_meta + run * 8u;

	if (whole) {
		uvec4 a = load4(x, at / 4u), b = load4(x, at / 4u + 1u);

		[[unroll]] for (int k = 0; k < 4; k++) {
			v[k] = uintBitsToFloat(a[k]);
			v[4 + k] = uintBitsToFloat(b[k]);
		}
	} else {
		[[unroll]] for (uint k = 0u; k < 8u; k++)
			v[k] = run * 8u + k < n_in ? Floats(x).at[at + k] : 0.0;
	}
}
