/* activate.glsl - the activations; ACT is a constant of the shader: 0 none, then as in record.c. */
float activate(float x)
{
	if (ACT == 1u)
		return x / (1.0 + exp(-x));
	if (ACT == 2u) {
		float u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
		return x / (1.0 + exp(-2.0 * u)); /* x (1 + tanh u) / 2 */
	}
	if (ACT == 3u)
		return x > 0.0 ? x * x : 0.0;
	if (ACT == 4u) { /* erf by Abramowitz and Stegun 7.1.26 is too coarse: 7.1.28 has 3e-7 */
		float a = abs(x) * 0.7071067811865476;
		float p = 1.0 + a * (0.0705230784 + a * (0.0422820123 + a * (0.0092705272 +
			  a * (0.0001520143 + a * (0.0002765672 + a * 0.0000430638)))));
		float e;

		p *= p;
		p *= p;
		p *= p;
		e = 1.0 / (p * p);
		return x > 0.0 ? x * (1.0 - 0.5 * e) : x * 0.5 * e;
	}
	if (ACT == 5u)
		return max(x, 0.0);
	if (ACT == 6u) {
		float e = exp(-2.0 * abs(x));
		return sign(x) * (1.0 - e) / (1.0 + e);
	}
	return x;
}
