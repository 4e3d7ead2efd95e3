/* norm.glsl - the two halves of NORM, for norm.comp and for the last workgroup of a LINEAR
 * (tail.glsl), which come to the same bits where their workgroups are of the same width.
 *
 * Before it: NORM_SOURCE, the buffer reference that values are read by.
 */
/* Mean (0 but for LAYER) and 1 / deviation of n floats. */
vec2 moments(NORM_SOURCE v, uint at, uint n, float e, bool layer)
{
	float mean = 0.0, sum = 0.0;

	if (layer) {
		for (uint i = lane(); i < n; i += WIDTH)
			mean += v.at[at + i];
		mean = group_sum(mean) / float(n);
	}
	for (uint i = lane(); i < n; i += WIDTH) {
		float d = v.at[at + i] - mean;

		sum = fma(d, d, sum);
	}
	return vec2(mean, 1.0 / sqrt(group_sum(sum) / float(n) + e));
}

float scaled(float v, vec2 m, float scale)
{
	return (v - m.x) * m.y * scale;
}
