/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - shaders and pipelines: embedded SPIR-V, made into pipelines for the specialisation
 * constants that programs need, and kept.
 *
 * While a model loads its pipelines are asked for, and a thread of ours compiles them; a step that
 * needs one before its turn compiles it itself. Only this file knows of the thread.
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

/* A module of the shader; without the hints to unroll its loops where the driver must not see them.
 * A word's low 16 bits are an instruction's code, its high ones how many words it has. */
static weir_status make_module(struct weir_vk *vk, const struct weir_vk_spirv *code,
			       VkShaderModule *ret, struct weir_error *err)
{
	enum { HEADER = 5, LOOP_MERGE = 246, UNROLL = 1 };
	uint32_t n = (uint32_t)(code->bytes / 4);
	VkShaderModuleCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
					  .codeSize = code->bytes,
					  .pCode = code->words };
	uint32_t *words = NULL;
	weir_status s;

	if (!vk->unroll) {
		words = malloc(code->bytes);
		if (!words)
			return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a shader");
		memcpy(words, code->words, code->bytes);
		for (uint32_t i = HEADER; i + 3 < n && words[i] >> 16; i += words[i] >> 16)
			if ((words[i] & 0xffff) == LOOP_MERGE)
				words[i + 3] &= ~(uint32_t)UNROLL;
		info.pCode = words;
	}
	s = weir_vk_result(vk, vk->api.CreateShaderModule(vk->device, &info, NULL, ret),
			   "vkCreateShaderModule", err);
	free(words);
	return s;
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

		if (i == WEIR_VK_SHADER_TILE_C && !vk->coop.cols)
			continue;
		h = hash(h, code->words, code->bytes);
		s = make_module(vk, code, &vk->modules[i], err);
	}
	if (!s)
		weir_vk_cache_load(vk, h);
	return s;
}

void weir_vk_pipelines_close(struct weir_vk *vk)
{
	struct weir_vk_pipeline *p;

	if (vk->compiler_runs) {
		pthread_mutex_lock(&vk->pipeline_lock);
		vk->compiler_ends = true;
		pthread_cond_broadcast(&vk->pipeline_changed);
		pthread_mutex_unlock(&vk->pipeline_lock);
		pthread_join(vk->compiler, NULL);
		vk->compiler_runs = false;
	}
	if (vk->cache && !vk->lost)
		weir_vk_cache_save(vk);
	while ((p = vk->pipelines)) {
		vk->pipelines = p->next;
		if (p->pipeline)
			vk->api.DestroyPipeline(vk->device, p->pipeline, NULL);
		free(p);
	}
	for (int i = 0; i < WEIR_VK_N_SHADERS; i++)
		if (vk->modules[i])
			vk->api.DestroyShaderModule(vk->device, vk->modules[i], NULL);
	if (vk->layout)
		vk->api.DestroyPipelineLayout(vk->device, vk->layout, NULL);
	if (vk->cache)
		vk->api.DestroyPipelineCache(vk->device, vk->cache, NULL);
}

static VkResult make(struct weir_vk *vk, const struct weir_vk_pipeline *p, VkPipeline *ret)
{
	VkSpecializationMapEntry entries[WEIR_VK_MAX_SPEC];
	VkSpecializationInfo special = { p->n_spec, entries, p->n_spec * sizeof(p->spec[0]),
					 p->spec };
	VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
		.requiredSubgroupSize = vk->lanes
	};
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
			   .module = vk->modules[p->shader],
			   .pName = "main",
			   .pSpecializationInfo = &special },
		.layout = vk->layout
	};

	for (uint32_t i = 0; i < p->n_spec; i++)
		entries[i] = (VkSpecializationMapEntry){ i, i * 4, 4 };
	if (vk->subgroups && vk->caps.subgroup_fixed) {
		info.stage.pNext = &size;
		if (vk->caps.full_subgroups)
			info.stage.flags =
				VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
	}
	return vk->api.CreateComputePipelines(vk->device, vk->cache, 1, &info, NULL, ret);
}

static bool is_like(const struct weir_vk_pipeline *p, uint32_t shader, const uint32_t *spec,
		    uint32_t n_spec)
{
	return p->shader == shader && p->n_spec == n_spec &&
	       !memcmp(p->spec, spec, n_spec * sizeof(*spec));
}

/* The entry, made where there is none; NULL: no memory. Locked. */
static struct weir_vk_pipeline *entry(struct weir_vk *vk, uint32_t shader, const uint32_t *spec,
				      uint32_t n_spec)
{
	struct weir_vk_pipeline **p = &vk->pipelines;

	while (*p && !is_like(*p, shader, spec, n_spec))
		p = &(*p)->next;
	if (!*p && (*p = calloc(1, sizeof(**p)))) {
		(*p)->shader = shader;
		(*p)->n_spec = n_spec;
		memcpy((*p)->spec, spec, n_spec * sizeof(*spec));
	}
	return *p;
}

/* Compiles a wanted one; the lock is open meanwhile. */
static void compile(struct weir_vk *vk, struct weir_vk_pipeline *p)
{
	VkPipeline made = VK_NULL_HANDLE;
	VkResult result;

	p->state = WEIR_VK_PIPELINE_BUSY;
	pthread_mutex_unlock(&vk->pipeline_lock);
	result = make(vk, p, &made);
	pthread_mutex_lock(&vk->pipeline_lock);
	p->pipeline = made;
	p->result = result;
	p->state = result == VK_SUCCESS ? WEIR_VK_PIPELINE_DONE : WEIR_VK_PIPELINE_FAILED;
	pthread_cond_broadcast(&vk->pipeline_changed);
}

static struct weir_vk_pipeline *find_state(struct weir_vk *vk, uint32_t state)
{
	struct weir_vk_pipeline *p = vk->pipelines;

	while (p && p->state != state)
		p = p->next;
	return p;
}

/* A failure is found, and told, by settle() or by the step that needs the pipeline. */
static void *compile_all(void *data)
{
	struct weir_vk *vk = data;
	struct weir_vk_pipeline *p;

	pthread_mutex_lock(&vk->pipeline_lock);
	while (!vk->compiler_ends) {
		p = find_state(vk, WEIR_VK_PIPELINE_WANTED);
		if (p)
			compile(vk, p);
		else
			pthread_cond_wait(&vk->pipeline_changed, &vk->pipeline_lock);
	}
	pthread_mutex_unlock(&vk->pipeline_lock);
	return NULL;
}

weir_status weir_vk_pipeline_want(struct weir_vk *vk, enum weir_vk_shader shader,
				  const uint32_t *spec, uint32_t n_spec, struct weir_error *err)
{
	bool found;

	pthread_mutex_lock(&vk->pipeline_lock);
	found = entry(vk, shader, spec, n_spec) != NULL;
	/* Without the thread, settle() and the steps compile. */
	if (found && !vk->compiler_runs)
		vk->compiler_runs = !pthread_create(&vk->compiler, NULL, compile_all, vk);
	pthread_cond_broadcast(&vk->pipeline_changed);
	pthread_mutex_unlock(&vk->pipeline_lock);
	if (!found)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a pipeline");
	return WEIR_OK;
}

/* A failed one is forgotten when it is told, and may be tried again. */
static weir_status tell(struct weir_vk *vk, struct weir_vk_pipeline *p, struct weir_error *err)
{
	VkResult result = p->result;

	if (p == vk->pipelines) {
		vk->pipelines = p->next;
	} else {
		struct weir_vk_pipeline *before = vk->pipelines;

		while (before->next != p)
			before = before->next;
		before->next = p->next;
	}
	free(p);
	return weir_vk_result(vk, result, "vkCreateComputePipelines", err);
}

weir_status weir_vk_pipelines_settle(struct weir_vk *vk, struct weir_error *err)
{
	struct weir_vk_pipeline *p;
	weir_status s = WEIR_OK;

	pthread_mutex_lock(&vk->pipeline_lock);
	while (!(s = weir_vk_go_on(vk, err))) {
		if ((p = find_state(vk, WEIR_VK_PIPELINE_FAILED))) {
			s = tell(vk, p, err);
			break;
		}
		if ((p = find_state(vk, WEIR_VK_PIPELINE_WANTED)))
			compile(vk, p);
		else if (find_state(vk, WEIR_VK_PIPELINE_BUSY))
			pthread_cond_wait(&vk->pipeline_changed, &vk->pipeline_lock);
		else
			break;
	}
	pthread_mutex_unlock(&vk->pipeline_lock);
	return s;
}

weir_status weir_vk_pipeline_get(struct weir_vk *vk, enum weir_vk_shader shader,
				 const uint32_t *spec, uint32_t n_spec, VkPipeline *ret,
				 struct weir_error *err)
{
	struct weir_vk_pipeline *p;
	weir_status s = WEIR_OK;

	pthread_mutex_lock(&vk->pipeline_lock);
	p = entry(vk, shader, spec, n_spec);
	if (!p) {
		s = weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a pipeline");
	} else {
		if (p->state == WEIR_VK_PIPELINE_WANTED)
			compile(vk, p);
		while (p->state == WEIR_VK_PIPELINE_BUSY)
			pthread_cond_wait(&vk->pipeline_changed, &vk->pipeline_lock);
		if (p->state == WEIR_VK_PIPELINE_FAILED)
			s = tell(vk, p, err);
		else
			*ret = p->pipeline;
	}
	pthread_mutex_unlock(&vk->pipeline_lock);
	return s;
}
