/* SPDX-License-Identifier: MIT */
/*
 * coop.c - which cooperative matrices a device has, and how they are used: see coop.h.
 */
#include "coop.h"

#include <stdlib.h>

/* Can tile-c.comp work with this shape? */
static bool is_fit(const VkCooperativeMatrixPropertiesKHR *p, uint32_t lanes)
{
	uint32_t m = p->MSize, n = p->NSize, k = p->KSize;

	return p->scope == VK_SCOPE_SUBGROUP_KHR && p->AType == VK_COMPONENT_TYPE_SINT8_KHR &&
	       p->BType == VK_COMPONENT_TYPE_SINT8_KHR &&
	       p->CType == VK_COMPONENT_TYPE_SINT32_KHR &&
	       p->ResultType == VK_COMPONENT_TYPE_SINT32_KHR && !p->saturatingAccumulation &&
	       (m == 8 || m == 16 || m == 32) && (n == 8 || n == 16 || n == 32) &&
	       (k == 8 || k == 16 || k == 32) && (m % lanes == 0 || lanes % m == 0) &&
	       m * n % lanes == 0;
}

/* Deeper ones first, since each is a multiplication less; then those nearest to a square of 16, of
 * which few sums lie in a lane's registers. */
static uint32_t merit(const VkCooperativeMatrixPropertiesKHR *p)
{
	uint32_t area = p->MSize * p->NSize;

	return p->KSize * 1024 + (area <= 256 ? area : 65536 / area);
}

void weir_vk_coop_find(const struct weir_vk_api *api, VkInstance instance,
		       struct weir_vk_caps *caps)
{
	PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR list_shapes;
	VkCooperativeMatrixPropertiesKHR *list;
	uint32_t n = 0, best = 0;

	*(PFN_vkVoidFunction *)&list_shapes = api->GetInstanceProcAddr(
		instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
	if (!list_shapes || list_shapes(caps->physical, &n, NULL) < 0 || n == 0 || n > 65536)
		return;
	list = calloc(n, sizeof(*list));
	if (!list)
		return;
	for (uint32_t i = 0; i < n; i++)
		list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
	if (list_shapes(caps->physical, &n, list) < 0)
		n = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_fit(&list[i], caps->subgroup) || merit(&list[i]) <= best)
			continue;
		best = merit(&list[i]);
		caps->coop = (struct weir_vk_shape){ list[i].MSize, list[i].NSize, list[i].KSize };
	}
	free(list);
}

uint64_t weir_vk_coop_bytes(const struct weir_vk *vk, uint32_t cols, uint32_t halves)
{
	const struct weir_vk_shape *s = &vk->caps.coop;
	uint64_t a_units = s->k == 16 ? 2 : 4, b_units = s->k == 8 ? 4 : 2;
	/* a_room and scale_room, b_room and meta_room; with the halves of a block apart */
	uint64_t staged = (uint64_t)weir_vk_coop_rows(vk) * (16 * (a_units + 1) + 16) +
			  cols * (16 * (b_units + 1) + 8);

	/* sum_room, results, places, reduce_room */
	return halves * staged + (uint64_t)vk->coop.subs * 4 * s->m * s->n * 4 +
	       (uint64_t)cols * (32 * 4 + 4) + 64 * 4;
}

/* Four subgroups with 16 rows each and up to 64 columns fill a GPU's multiprocessor a few times,
 * and leave a lane about 32 sums and as many totals. A software renderer runs one subgroup after
 * the other. */
void weir_vk_coop_size(struct weir_vk *vk)
{
	const struct weir_vk_caps *c = &vk->caps;
	uint32_t without = vk->config.without;
	bool software = c->type == VK_PHYSICAL_DEVICE_TYPE_CPU;

	vk->coop = (struct weir_vk_coop){ .cols = 0 };
	if (!c->coop.k || !vk->subgroups || vk->lanes != c->subgroup ||
	    without & WEIR_VK_WITHOUT_COOP || (software && !(without & WEIR_VK_WITH_COOP)))
		return;
	vk->coop.halves = software ? 0 : 2;
	vk->coop.subs = software ? 1 : 4;
	while (vk->coop.subs * vk->lanes > c->max_workgroup && vk->coop.subs > 1)
		vk->coop.subs /= 2;
	vk->coop.tiles = (software ? 32 : 64) / (vk->coop.subs * c->coop.m);
	if (!vk->coop.tiles)
		vk->coop.tiles = 1;
	vk->coop.cols = software ? 8 : 64;
	while (vk->coop.cols > c->coop.n &&
	       (weir_vk_coop_bytes(vk, vk->coop.cols, 1) > c->shared_bytes ||
		(vk->coop.cols > 16 &&
		 vk->coop.tiles * c->coop.m * vk->coop.cols / vk->lanes > 32)))
		vk->coop.cols /= 2;
	if (weir_vk_coop_bytes(vk, vk->coop.cols, 1) > c->shared_bytes)
		vk->coop.cols = 0;
}

uint32_t weir_vk_coop_cols(const struct weir_vk *vk, uint32_t rows)
{
	uint32_t cols = vk->coop.cols;

	while (cols / 2 >= rows && cols / 2 >= 16 && cols / 2 >= vk->caps.coop.n)
		cols /= 2;
	return cols;
}

void weir_vk_coop_spec(const struct weir_vk *vk, uint32_t cols, uint32_t spec[WEIR_VK_MAX_SPEC])
{
	const struct weir_vk_coop *coop = &vk->coop;
	const struct weir_vk_shape *shape = &vk->caps.coop;
	bool two = coop->halves > 1 && weir_vk_coop_bytes(vk, cols, 2) <= vk->caps.shared_bytes;

	spec[0] = vk->lanes * coop->subs;
	spec[1] = vk->lanes;
	spec[2] = coop->subs;
	spec[3] = coop->tiles;
	spec[4] = cols;
	spec[14] = spec[15] = 0; /* it has no tail */
	spec[16] = 1;
	spec[17] = shape->m;
	spec[18] = shape->n;
	spec[19] = shape->k;
	spec[20] = two ? 2 : coop->halves < 2 ? coop->halves : 1;
}
