/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - shaders and pipelines: embedded SPIR-V, made into pipelines when a step first needs
 * one with its specialisation constants, and kept.
 */
#include "vk.h"

#include <stdlib.h>
#include <string.h>

#include "shaders.h"

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static unsigned variant(const struct weir_vk *vk)
{
	return (vk->subgroups ? 1u : 0u) | (vk->wide ? 2u : 0u) | (vk->dot ? 4u : 0u);
}

weir_status weir_vk_pipelines_open(struct weir_vk *vk, struct weir_error *err)
{
	VkPushConstantRange range = { VK_SHADER_STAGE_COMPUTE_BIT, 0, WEIR_VK_MAX_PUSH };
	VkPipelineLayoutCreateInfo layout = { .sType =
						      VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
					      .pushConstantRangeCount = 1,
					      .pPushConstantRanges = &range };
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	weir_status s;

	s = weir_vk_result(vk, vk->api.CreatePipelineLayout(vk->device, &layout, NULL, &vk->layout),
			   "vkCreatePipelineLayout", err);
	for (int i = 0; i < WEIR_VK_N_SHADERS && !s; i++) {
		const struct weir_vk_spirv *code = &weir_vk_spirv[variant(vk)][i];
		VkShaderModuleCreateInfo info = {
			.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
			.codeSize = code->bytes,
			.pCode = code->words
		};

		h = hash(h, code->words, code->bytes);
		s = weir_vk_result(
			vk, vk->api.CreateShaderModule(vk->device, &info, NULL, &vk->modules[i]),
			"vkCreateShaderModule", err);
	}
	if (!s)
		weir_vk_cache_load(vk, h);
	return s;
}

void weir_vk_pipelines_close(struct weir_vk *vk)
{
	if (vk->cache && !vk->lost)
		weir_vk_cache_save(vk);
	for (uint32_t i = 0; i < vk->n_pipelines; i++)
		vk->api.DestroyPipeline(vk->device, vk->pipelines[i].pipeline, NULL);
	free(vk->pipelines);
	vk->pipelines = NULL;
	vk->n_pipelines = 0;
	for (int i = 0; i < WEIR_VK_N_SHADERS; i++)
		if (vk->modules[i])
			vk->api.DestroyShaderModule(vk->device, vk->modules[i], NULL);
	if (vk->layout)
		vk->api.DestroyPipelineLayout(vk->device, vk->layout, NULL);
	if (vk->cache)
		vk->api.DestroyPipelineCache(vk->device, vk->cache, NULL);
}

static weir_status make(struct weir_vk *vk, enum weir_vk_shader shader, const uint32_t *spec,
			uint32_t n_spec, VkPipeline *ret, struct weir_error *err)
{
	VkSpecializationMapEntry entries[WEIR_VK_MAX_SPEC];
	VkSpecializationInfo special = { n_spec, entries, n_spec * sizeof(*spec), spec };
	VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
		.requiredSubgroupSize = vk->lanes
	};
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = vk->modules[shader],
			   .pName = "main",
			   .pSpecializationInfo = &special },
		.layout = vk->layout
	};

	for (uint32_t i = 0; i < n_spec; i++)
		entries[i] = (VkSpecializationMapEntry){ i, i * 4, 4 };
	if (vk->subgroups && vk->caps.subgroup_fixed) {
		info.stage.pNext = &size;
		if (vk->caps.full_subgroups)
			info.stage.flags =
				VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
	}
	return weir_vk_result(
		vk, vk->api.CreateComputePipelines(vk->device, vk->cache, 1, &info, NULL, ret),
		"vkCreateComputePipelines", err);
}

weir_status weir_vk_pipeline_get(struct weir_vk *vk, enum weir_vk_shader shader,
				 const uint32_t *spec, uint32_t n_spec, VkPipeline *ret,
				 struct weir_error *err)
{
	struct weir_vk_pipeline *p;
	weir_status s;

	for (uint32_t i = 0; i < vk->n_pipelines; i++) {
		p = &vk->pipelines[i];
		if (p->shader == shader && p->n_spec == n_spec &&
		    !memcmp(p->spec, spec, n_spec * sizeof(*spec))) {
			*ret = p->pipeline;
			return WEIR_OK;
		}
	}
	if (vk->n_pipelines == vk->max_pipelines) {
		uint32_t max = vk->max_pipelines ? 2 * vk->max_pipelines : 32;

		p = realloc(vk->pipelines, max * sizeof(*p));
		if (!p)
			return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a pipeline");
		vk->pipelines = p;
		vk->max_pipelines = max;
	}
	p = &vk->pipelines[vk->n_pipelines];
	*p = (struct weir_vk_pipeline){ .shader = shader, .n_spec = n_spec };
	memcpy(p->spec, spec, n_spec * sizeof(*spec));
	s = make(vk, shader, spec, n_spec, &p->pipeline, err);
	if (s)
		return s;
	vk->n_pipelines++;
	*ret = p->pipeline;
	return WEIR_OK;
}
