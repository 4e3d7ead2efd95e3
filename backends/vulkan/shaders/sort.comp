/* sort.comp - MOE of many rows: the pairs of a row and a choice, by expert, in groups for tiles.
 *
 * Workgroups: x experts. Each looks at all pairs, an invocation at a run of them: how many have a
 * lesser expert, and which have its own. An expert's pairs stand in `order` in ascending order, behind
 * those of lesser ones. Its groups of COLS pairs begin at group first / COLS + expert: no two experts'
 * overlap whatever the choices, and none has to know where the others end.
 *
 * groups: three words each, the expert, its first place in `order`, and how many (0: an idle one). Those
 * behind the last expert's are idle, too.
 */
#version 460
#include "common.glsl"

layout(constant_id = 2) const uint FLAGS = 0;
layout(constant_id = 3) const uint CHOICES = 2;
layout(constant_id = 4) const uint COLS = 8;

const uint FLAG_OUT_ROWS = 4u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Words choices, order, groups;
	uint n_groups;
};

shared uint n_less[WIDTH], n_own[WIDTH];

void main()
{
	uint expert = gl_WorkGroupID.x;
	uint n = ((FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens) * CHOICES;
	uint each = (n + WIDTH - 1u) / WIDTH, from = min(lane() * each, n), to = min(from + each, n);
	uint less = 0u, own = 0u, first = 0u, mine = 0u, count = 0u, group, end;

	for (uint i = from; i < to; i++) {
		uint e = choices.at[2u * i];

		less += e < expert ? 1u : 0u;
		own += e == expert ? 1u : 0u;
	}
	n_less[lane()] = less;
	n_own[lane()] = own;
	barrier();
	for (uint i = 0u; i < WIDTH; i++) {
		first += n_less[i];
		mine += i < lane() ? n_own[i] : 0u;
		count += n_own[i];
	}
	mine += first;
	for (uint i = from; i < to; i++)
		if (choices.at[2u * i] == expert)
			order.at[mine++] = i;
	group = first / COLS + expert;
	end = expert + 1u == gl_NumWorkGroups.x ? n_groups : (first + count) / COLS + expert + 1u;
	for (uint g = group + lane(); g < end; g += WIDTH) {
		uint at = (g - group) * COLS;

		groups.at[3u * g] = expert;
		groups.at[3u * g + 1u] = first + at;
		groups.at[3u * g + 2u] = min(COLS, count - min(count, at));
	}
}
