/* codes.glsl - blocks of 32 weights as eight words of signed bytes and their scales.
 *
 * A quantised matrix is up to four planes, one after the other, each [row][block]: the low bits of
 * the codes (2, 4 or 8 a weight), the high ones (0, 1, 2), the scales, and factors for 256 weights;
 * see layout.h, which also has the bits of a format. Byte i of word k is weight 4k + i.
 */
uint fmt_low(uint f)
{
	return f & 15u;
}

uint fmt_high(uint f)
{
	return f >> 4 & 3u;
}

uint fmt_scale(uint f)
{
	return f >> 6 & 7u;
}

uint fmt_offset(uint f)
{
	return f >> 9 & 63u;
}

uint fmt_table(uint f)
{
	return f >> 15 & 3u;
}

/* Where the planes of a matrix of n blocks begin, in words; each begins at 16 bytes. */
struct Planes {
	uint high, scale, super;
};

Planes planes_of(uint f, uint n)
{
	Planes p;
	uint scale_bytes = fmt_scale(f) == 0u   ? 2u
			   : fmt_scale(f) == 1u ? 4u
			   : fmt_scale(f) <= 4u ? 2u
			   : fmt_scale(f) == 6u ? 1u
						: 0u;

	p.high = n * fmt_low(f);
	p.high = (p.high + 3u) & ~3u;
	p.scale = p.high + ((n * fmt_high(f) + 3u) & ~3u);
	p.super = p.scale + (((n * scale_bytes + 15u) & ~15u) >> 2);
	return p;
}

/* Tables of 16 signed bytes: 1 IQ4_NL, 2 MXFP4 (in halves). */
uint look_up(uint table, uint codes)
{
	uint r = 0u;

	[[unroll]] for (int i = 0; i < 4; i++) {
		uint c = codes >> (8 * i) & 15u, t;

		if (table == 1u)
			t = (c & 8u) != 0u ? ((c & 4u) != 0u ? 0x71594535u : 0x26190d01u)
					   : ((c & 4u) != 0u ? 0xf6eaddcfu : 0xbfad9881u);
		else
			t = (c & 8u) != 0u ? ((c & 4u) != 0u ? 0xf4f8fafcu : 0xfdfeff00u)
					   : ((c & 4u) != 0u ? 0x0c080604u : 0x03020100u);
		r |= (t >> (8u * (c & 3u)) & 0xffu) << (8 * i);
	}
	return r;
}

void load_codes(uint f, Quads w, Planes p, uint block, out uint q[8])
{
	if (fmt_low(f) == 8u) {
		uvec4 a = load4(w, 2u * block), b = load4(w, 2u * block + 1u);
		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = a[k];
			q[4 + k] = b[k];
		}
	} else if (fmt_low(f) == 4u) {
		uvec4 a = load4(w, block);
		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = a[k] & 0x0f0f0f0fu;
			q[4 + k] = a[k] >> 4 & 0x0f0f0f0fu;
		}
	} else {
		uvec2 a = load2(Pairs(w), block);
		[[unroll]] for (int k = 0; k < 8; k++) q[k] = a[k & 1] >> (2 * (k >> 1)) & 0x03030303u;
	}
	if (fmt_high(f) == 1u) {
		uint h = Words(w).at[p.high + block];
		[[unroll]] for (int k = 0; k < 8; k++) q[k] |= (h >> k & 0x01010101u) << fmt_low(f);
	} else if (fmt_high(f) == 2u) {
		uvec2 h = load2(Pairs(w), p.high / 2u + block);
		[[unroll]] for (int k = 0; k < 8; k++)
			q[k] |= (h[k & 1] >> (2 * (k >> 1)) & 0x03030303u) << fmt_low(f);
	}
	if (fmt_table(f) != 0u) {
		[[unroll]] for (int k = 0; k < 8; k++) q[k] = look_up(fmt_table(f), q[k]);
	}
}

/* weight = s * (i0 or i1, for each half) * (code - offset) + m * j0 or j1 */
struct Scales {
	float s, m;
	int i0, i1, j0, j1;
};

Scales load_scales(uint f, Words w, Planes p, uint block)
{
	Scales r;
	uint kind = fmt_scale(f), x;

	r.m = 0.0;
	r.i0 = r.i1 = r.j0 = r.j1 = 1;
	if (kind == 0u) { /* half for a block */
		r.s = half_at(w.at[p.scale + block / 2u], block);
	} else if (kind == 1u) { /* halves: scale, minimum */
		vec2 v = unpackHalf2x16(w.at[p.scale + block]);
		r.s = v.x;
		r.m = v.y;
	} else if (kind <= 4u) { /* integers for a block, two halves for eight blocks */
		vec2 v = unpackHalf2x16(w.at[p.super + block / 8u]);
		x = w.at[p.scale + block / 2u] >> (16u * (block & 1u)) & 0xffffu;
		r.s = v.x;
		if (kind == 2u) { /* scale, minimum */
			r.m = -v.y;
			r.i0 = r.i1 = int(x & 0xffu);
			r.j0 = r.j1 = int(x >> 8);
		} else if (kind == 3u) { /* signed scales of the halves */
			r.i0 = bitfieldExtract(int(x), 0, 8);
			r.i1 = bitfieldExtract(int(x), 8, 8);
		} else { /* scale, minimum of each half */
			r.m = -v.y;
			r.i0 = int(x & 15u);
			r.j0 = int(x >> 4 & 15u);
			r.i1 = int(x >> 8 & 15u);
			r.j1 = int(x >> 12 & 15u);
		}
	} else if (kind == 5u) { /* half for eight blocks */
		r.s = half_at(w.at[p.super + block / 16u], block / 8u);
	} else { /* E8M0, of values in halves */
		x = w.at[p.scale + block / 4u] >> (8u * (block & 3u)) & 0xffu;
		r.s = uintBitsToFloat(x >= 2u ? (x - 1u) << 23 : 0x00200000u << x);
	}
	return r;
}

bool has_minimum(uint f)
{
	return fmt_scale(f) == 1u || fmt_scale(f) == 2u || fmt_scale(f) == 4u;
}
