/* route.glsl - MOE: a row's experts, in ascending order, and their shares. By one invocation, so that
 * route.comp and the last workgroup of a router's LINEAR (tail.glsl) come to the same bits.
 *
 * Before it: ROUTE_LOGITS, the buffer reference that logits are read by; ROUTE_CHOICES, a constant.
 * to: [row][ROUTE_CHOICES] of two words, the expert and its share (a float).
 */
const uint ROUTE_NORM = 1u, ROUTE_SIGMOID = 2u;

float sigmoid(float z)
{
	return 1.0 / (1.0 + exp(-z));
}

void route(ROUTE_LOGITS logits, uint row, uint n_experts, uint flags, Words to)
{
	uint at = row * n_experts, n = 0u;
	uint expert[ROUTE_CHOICES];
	float top, sum = 0.0, total = 0.0;

	/* An insertion into the best so far: an equal one stays behind the earlier. */
	for (uint e = 0u; e < n_experts; e++) {
		uint k = n;

		while (k > 0u && logits.at[at + e] > logits.at[at + expert[k - 1u]])
			k--;
		if (k == ROUTE_CHOICES)
			continue;
		n += n < ROUTE_CHOICES ? 1u : 0u;
		for (uint i = n - 1u; i > k; i--)
			expert[i] = expert[i - 1u];
		expert[k] = e;
	}
	top = logits.at[at + expert[0]];
	if ((flags & ROUTE_SIGMOID) == 0u)
		for (uint e = 0u; e < n_experts; e++)
			sum += exp(logits.at[at + e] - top);
	for (uint i = 1u; i < ROUTE_CHOICES; i++) {
		uint e = expert[i], k = i;

		for (; k > 0u && expert[k - 1u] > e; k--)
			expert[k] = expert[k - 1u];
		expert[k] = e;
	}
	for (uint i = 0u; i < ROUTE_CHOICES; i++) {
		float z = logits.at[at + expert[i]];

		total += (flags & ROUTE_SIGMOID) != 0u ? sigmoid(z) : exp(z - top) / sum;
	}
	for (uint i = 0u; i < ROUTE_CHOICES; i++) {
		float z = logits.at[at + expert[i]];
		float share = (flags & ROUTE_SIGMOID) != 0u ? sigmoid(z) : exp(z - top) / sum;

		to.at[2u * (row * ROUTE_CHOICES + i)] = expert[i];
		to.at[2u * (row * ROUTE_CHOICES + i) + 1u] =
			floatBitsToUint((flags & ROUTE_NORM) != 0u ? share / total : share);
	}
}
