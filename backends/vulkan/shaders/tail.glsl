/* tail.glsl - what comes after a LINEAR (or MOE's down) of few rows and needs whole rows of it: done
 * by the workgroup that is last with a group of columns, instead of by a dispatch of its own.
 *
 * No workgroup waits for another. A route has its place in w[2]; a second matrix is another mixture's
 * router with one expert, whose place is y[2]. A NORM of y[0] goes to y[1] or, in Q8 form, to y_q8;
 * its weights are w[2], its bias and the bits of its epsilon bias[NORM_AT] and n_out[NORM_AT].
 */
#define ROUTE_LOGITS Passed
#include "route.glsl"
#define NORM_SOURCE Passed
#include "norm.glsl"

const uint TAIL_ROUTE = 1u, TAIL_NORM = 2u;
const uint TAIL_LAYER = 1u, TAIL_BIAS = 32u;     /* of TAIL_FLAGS, for a NORM: as norm.comp's */
const uint NORM_AT = MIXTURE != 0u ? 1u : 2u; /* what neither gate and up nor experts take */

shared bool last_of_all;

/* Has every workgroup of these columns stored its results? The counter is zero between dispatches. */
bool is_last_of(uint x)
{
	memoryBarrierBuffer();
	barrier();
	if (lane() == 0u) {
		memoryBarrierBuffer(); /* the others' stores before the count, too */
		last_of_all = atomicAdd(batch.counters.at[x], 1u) == gl_NumWorkGroups.y - 1u;
		if (last_of_all)
			atomicExchange(batch.counters.at[x], 0u);
	}
	barrier();
	memoryBarrierBuffer();
	return last_of_all;
}

float normed(float v, vec2 m, uint i)
{
	float r = scaled(v, m, Floats(w[2]).at[i]);

	return (TAIL_FLAGS & TAIL_BIAS) != 0u ? r + bias[NORM_AT].at[i] : r;
}

void norm_row(uint row)
{
	Passed v = Passed(y[0]);
	uint n = n_out[0], at = row * n;
	vec2 m = moments(v, at, n, uintBitsToFloat(n_out[NORM_AT]), (TAIL_FLAGS & TAIL_LAYER) != 0u);

	if ((TAIL_FLAGS & FLAG_EMIT_Q8) != 0u) {
		for (uint k = lane(); k < n / 32u; k += WIDTH) {
			float q[32];

			[[unroll]] for (uint i = 0u; i < 32u; i++) {
				q[i] = normed(v.at[at + k * 32u + i], m, k * 32u + i);
				if ((TAIL_FLAGS & FLAG_EMIT_F32) != 0u)
					y[1].at[at + k * 32u + i] = q[i];
			}
			put_q8(y_q8, y_meta, at / 32u + k, q);
		}
		return;
	}
	for (uint i = lane(); i < n; i += WIDTH)
		y[1].at[at + i] = normed(v.at[at + i], m, i);
}

void tail(uint col0, uint end)
{
	for (uint c = col0; c < end; c++) {
		if (TAIL == TAIL_NORM) {
			norm_row(c);
			continue;
		}
		if (lane() != 0u)
			continue;
		route(Passed(y[0]), c, n_out[0], TAIL_FLAGS, Words(w[2]));
		if (N_MATS > 1u) {
			Words(y[2]).at[2u * c] = 0u;
			Words(y[2]).at[2u * c + 1u] = floatBitsToUint(sigmoid(Passed(y[1]).at[c]));
		}
	}
}
