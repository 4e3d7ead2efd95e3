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
	return f >> 15 & 7u;
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
			   : fmt_scale(f) == 7u ? 4u
						: 0u;

	p.high = n * fmt_low(f);
	p.high = (p.high + 3u) & ~3u;
	p.scale = p.high + ((n * fmt_high(f) + 3u) & ~3u);
	p.super = p.scale + (((n * scale_bytes + 15u) & ~15u) >> 2);
	return p;
}

/* IQ4_NL's value for byte i of a word of codes. */
int look_up_one(uint codes, int i)
{
	uint low = (~codes & 0x03030303u) << 3; /* of each byte: how far its value is from the top */
	bool third = int(codes << (29 - 8 * i)) < 0, fourth = int(codes << (28 - 8 * i)) < 0;
	uint t = fourth ? (third ? 0x71594535u : 0x26190d01u) : (third ? 0xf6eaddcfu : 0xbfad9881u);

	return int(t << (low >> (8 * i) & 31u)) >> 24;
}

/* Tables of 16 signed bytes: 1 IQ4_NL; the others (enum weir_vk_table) are four at once, by the bits a,
 * b, c of the codes' sizes and their signs; IQ2 and IQ1 have two bits and the sign. */
uint look_up(uint table, uint codes)
{
	uint a = codes & 0x01010101u, b = codes >> 1 & 0x01010101u, c = codes >> 2 & 0x01010101u;
	bool three_bits = table == 3u || table == 6u; /* the third is the sign */
	uint sign = three_bits ? c : codes >> 3 & 0x01010101u, size, r = 0u;

	if (table == 1u) {
		[[unroll]] for (int i = 0; i < 4; i++) r |= (uint(look_up_one(codes, i)) & 0xffu) << (8 * i);
		return r;
	}
	if (table == 6u) /* -7, 1, 9; then two less */
		return (0x79797979u + ((a | b << 1) << 3) - (sign << 1)) ^ 0x80808080u;
	if (table == 2u) { /* 0 to 4, 6, 8, 12 */
		uint n = c & ~b, m = b & ~c, both = b & c;

		size = (a & ~c) | (m | (a & n)) << 1 | (n | (a & both)) << 2 | both << 3;
	} else if (table == 3u) { /* 8, 25, 43 */
		size = 0x08080808u + a * 17u + b * 35u;
	} else if (table == 4u) { /* 4, 12 ... 52, 62 */
		size = 0x04040404u + ((codes & 0x07070707u) << 3) + ((a & b & c) << 1);
	} else { /* 1, 3 ... 15 */
		size = 0x01010101u + ((codes & 0x07070707u) << 1);
	}
	/* 128 + value has no borrows */
	return (0x80808080u + size - ((size & sign * 255u) << 1)) ^ 0x80808080u;
}

/* What values of a table are too large by. */
float table_unit(uint table)
{
	return table == 3u || table == 6u ? 0.125 : table == 4u ? 0.25 : 1.0;
}

/* What `run` (1 or 4) consecutive blocks have beside their low bits: loaded at once where there are
 * four, since a software renderer pays for the load, not for the bytes. `block` is a multiple of run. */
struct Extras {
	uvec4 scale, high;
	uint super;
};

Extras load_extras(uint f, Quads w, Planes p, uint block, uint run)
{
	uint kind = fmt_scale(f);
	Words words = Words(w);
	Extras e;

	e.scale = e.high = uvec4(0u);
	e.super = 0u;
	if (kind == 1u || kind == 7u) { /* two halves */
		if (run == 4u)
			e.scale = load4(w, (p.scale + block) / 4u);
		else
			e.scale.x = words.at[p.scale + block];
	} else if (kind <= 4u) { /* two bytes */
		if (run == 4u)
			e.scale.xy = load2(Pairs(w), (p.scale + block / 2u) / 2u);
		else
			e.scale.x = words.at[p.scale + block / 2u] >> (16u * (block & 1u));
	} else if (kind == 6u) { /* a byte */
		e.scale.x = words.at[p.scale + block / 4u] >> (8u * (block & 3u));
	}
	if (kind >= 2u && kind <= 4u)
		e.super = words.at[p.super + block / 8u];
	else if (kind == 5u)
		e.super = words.at[p.super + block / 16u] >> (16u * (block / 8u & 1u));
	if (fmt_high(f) == 1u) {
		if (run == 4u)
			e.high = load4(w, (p.high + block) / 4u);
		else
			e.high.x = words.at[p.high + block];
	}
	return e;
}

uint pick(uvec4 v, uint j)
{
	return j < 2u ? (j == 0u ? v.x : v.y) : (j == 2u ? v.z : v.w);
}

/* A block's codes as they lie in memory, but for single high bits, which Extras have. */
struct Codes {
	uvec4 low0, low1;
	uvec2 high;
};

Codes fetch_codes(uint f, Quads w, Planes p, uint block)
{
	Codes c;

	c.low0 = c.low1 = uvec4(0u);
	c.high = uvec2(0u);
	if (fmt_low(f) == 8u) {
		c.low0 = load4(w, 2u * block);
		c.low1 = load4(w, 2u * block + 1u);
	} else if (fmt_low(f) == 4u) {
		c.low0 = load4(w, block);
	} else {
		c.low0.xy = load2(Pairs(w), block);
	}
	if (fmt_high(f) == 2u)
		c.high = load2(Pairs(w), p.high / 2u + block);
	return c;
}

/* high: the block's word of single high bits. */
void unpack_codes(uint f, Codes c, uint high, out uint q[8])
{
	if (fmt_low(f) == 8u) {
		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = c.low0[k];
			q[4 + k] = c.low1[k];
		}
	} else if (fmt_low(f) == 4u) {
		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = c.low0[k] & 0x0f0f0f0fu;
			q[4 + k] = c.low0[k] >> 4 & 0x0f0f0f0fu;
		}
	} else {
		[[unroll]] for (int k = 0; k < 8; k++) q[k] = c.low0[k & 1] >> (2 * (k >> 1)) & 0x03030303u;
	}
	if (fmt_high(f) == 1u) {
		[[unroll]] for (int k = 0; k < 8; k++) q[k] |= (high >> k & 0x01010101u) << fmt_low(f);
	} else if (fmt_high(f) == 2u) {
		[[unroll]] for (int k = 0; k < 8; k++)
			q[k] |= (c.high[k & 1] >> (2 * (k >> 1)) & 0x03030303u) << fmt_low(f);
	}
}

/* `at`: the block's place in its run. */
void load_codes(uint f, Quads w, Planes p, uint block, Extras e, uint at, out uint q[8])
{
	unpack_codes(f, fetch_codes(f, w, p, block), pick(e.high, at), q);
}

/* Codes as signed bytes. */
void look_up_all(uint f, inout uint q[8])
{
	if (fmt_table(f) != 0u) {
		[[unroll]] for (int k = 0; k < 8; k++) q[k] = look_up(fmt_table(f), q[k]);
	}
}

/* weight = s * (i0 or i1, for each half) * (code - offset) + m * j0 or j1; has_two(): s or m * code */
struct Scales {
	float s, m;
	int i0, i1, j0, j1;
};

Scales scales_of(uint f, Extras e, uint at)
{
	Scales r;
	uint kind = fmt_scale(f), x;

	r.m = 0.0;
	r.i0 = r.i1 = r.j0 = r.j1 = 1;
	if (kind == 1u || kind == 7u) { /* halves: scale, minimum; or scale of each half */
		vec2 v = unpackHalf2x16(pick(e.scale, at));
		r.s = v.x;
		r.m = v.y;
		return r;
	}
	x = (at < 2u ? e.scale.x : e.scale.y) >> (16u * (at & 1u)) & 0xffffu;
	if (kind == 0u) { /* half for a block */
		r.s = unpackHalf2x16(x).x;
	} else if (kind <= 4u) { /* integers for a block, two halves for eight blocks */
		vec2 v = unpackHalf2x16(e.super);
		r.s = v.x * table_unit(fmt_table(f));
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
		r.s = unpackHalf2x16(e.super & 0xffffu).x;
	} else { /* E8M0, of values in halves */
		x = e.scale.x >> (8u * at) & 0xffu;
		r.s = uintBitsToFloat(x >= 2u ? (x - 1u) << 23 : 0x00200000u << x);
	}
	return r;
}

/* Two scales that are no integers. */
bool has_two(uint f)
{
	return fmt_scale(f) == 7u;
}

bool has_minimum(uint f)
{
	return fmt_scale(f) == 1u || fmt_scale(f) == 2u || fmt_scale(f) == 4u;
}
