/* SPDX-License-Identifier: MIT */
/*
 * coop.h - cooperative matrices: what a device has of them, and how tile-c.comp is sized for it.
 *
 * Only those of signed bytes with sums of 32 bits are used: their products are exact, so that a
 * result is the same as the other shaders'. Called by select.c, device.c, record-linear.c and
 * record-experts.c.
 */
#ifndef WEIR_VULKAN_COOP_H
#define WEIR_VULKAN_COOP_H

#include "vk.h"

/* VK_KHR_cooperative_matrix, as the Vulkan specification has it: Debian 12's headers do not. */
#ifndef VK_KHR_cooperative_matrix
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR                          \
	((VkStructureType)1000506000)
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR ((VkStructureType)1000506001)
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR                        \
	((VkStructureType)1000506002)

typedef enum VkComponentTypeKHR {
	VK_COMPONENT_TYPE_SINT8_KHR = 3,
	VK_COMPONENT_TYPE_SINT32_KHR = 5,
	VK_COMPONENT_TYPE_MAX_ENUM_KHR = 0x7fffffff,
} VkComponentTypeKHR;

typedef enum VkScopeKHR {
	VK_SCOPE_SUBGROUP_KHR = 3,
	VK_SCOPE_MAX_ENUM_KHR = 0x7fffffff,
} VkScopeKHR;

typedef struct VkCooperativeMatrixPropertiesKHR {
	VkStructureType sType;
	void *pNext;
	uint32_t MSize, NSize, KSize;
	VkComponentTypeKHR AType, BType, CType, ResultType;
	VkBool32 saturatingAccumulation;
	VkScopeKHR scope;
} VkCooperativeMatrixPropertiesKHR;

typedef struct VkPhysicalDeviceCooperativeMatrixFeaturesKHR {
	VkStructureType sType;
	void *pNext;
	VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;

typedef struct VkPhysicalDeviceCooperativeMatrixPropertiesKHR {
	VkStructureType sType;
	void *pNext;
	VkShaderStageFlags cooperativeMatrixSupportedStages;
} VkPhysicalDeviceCooperativeMatrixPropertiesKHR;

typedef VkResult(VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(
	VkPhysicalDevice device, uint32_t *n, VkCooperativeMatrixPropertiesKHR *list);
#endif

/* Fills caps->coop with the shape that is best for tile-c.comp, for subgroups of caps->subgroup;
 * leaves it zero where there is none. The device has the extension. [main] */
void weir_vk_coop_find(const struct weir_vk_api *api, VkInstance instance,
		       struct weir_vk_caps *caps);

/* Decides vk->coop, once vk->lanes and vk->subgroups are known. */
void weir_vk_coop_size(struct weir_vk *vk);

/* Columns of a tile for so many rows of activations: 16, 32 or 64 where the device can. */
uint32_t weir_vk_coop_cols(const struct weir_vk *vk, uint32_t rows);

/* Bytes of the workgroup's memory that tile-c.comp takes with tiles of `cols` columns and so many
 * halves, at most. */
uint64_t weir_vk_coop_bytes(const struct weir_vk *vk, uint32_t cols, uint32_t halves);

/* Constants of a linear shader as tile-c.comp wants them, for tiles of `cols` columns: those of the
 * matrices and the results (5 to 13) stay as they are. */
void weir_vk_coop_spec(const struct weir_vk *vk, uint32_t cols, uint32_t spec[WEIR_VK_MAX_SPEC]);

/* Rows of a matrix that a workgroup of tile-c.comp takes. */
static inline uint32_t weir_vk_coop_rows(const struct weir_vk *vk)
{
	return vk->coop.subs * vk->coop.tiles * vk->caps.coop.m;
}

#endif
