/* SPDX-License-Identifier: MIT */
/*
 * device.c - Vulkan as a level-C device: life cycle, the queue and its timeline, the vtable.
 */
#include "coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/services.h>

enum { MAX_DEVICES = 16 };

weir_status weir_vk_alive(const struct weir_vk *vk, struct weir_error *err)
{
	if (!vk->lost)
		return WEIR_OK;
	return weir_vk_fail(err, WEIR_E_UNAVAILABLE,
			    "%.60s was lost (reset, removed or hung); the model must be loaded "
			    "again",
			    vk->caps.name);
}

weir_status weir_vk_result(struct weir_vk *vk, VkResult result, const char *what,
			   struct weir_error *err)
{
	if (result == VK_ERROR_DEVICE_LOST)
		vk->lost = true;
	return weir_vk_check(result, what, err);
}

weir_status weir_vk_submit(struct weir_vk *vk, const VkCommandBuffer *commands, uint32_t n,
			   struct weir_error *err)
{
	uint64_t value = vk->submitted + 1;
	VkTimelineSemaphoreSubmitInfo timeline = {
		.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
		.signalSemaphoreValueCount = 1,
		.pSignalSemaphoreValues = &value
	};
	VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
			      .pNext = &timeline,
			      .commandBufferCount = n,
			      .pCommandBuffers = commands,
			      .signalSemaphoreCount = 1,
			      .pSignalSemaphores = &vk->timeline };
	weir_status status = weir_vk_alive(vk, err);

	if (!status)
		status =
			weir_vk_result(vk, vk->api.QueueSubmit(vk->queue, 1, &info, VK_NULL_HANDLE),
				       "vkQueueSubmit", err);
	if (!status)
		vk->submitted = value;
	return status;
}

weir_status weir_vk_reach(struct weir_vk *vk, uint64_t value, struct weir_error *err)
{
	VkSemaphoreWaitInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
				     .semaphoreCount = 1,
				     .pSemaphores = &vk->timeline,
				     .pValues = &value };
	weir_status status = weir_vk_alive(vk, err);

	if (status)
		return status;
	return weir_vk_result(vk, vk->api.WaitSemaphores(vk->device, &info, UINT64_MAX),
			      "vkWaitSemaphores", err);
}

weir_status weir_vk_drain(struct weir_vk *vk, struct weir_error *err)
{
	return weir_vk_reach(vk, vk->submitted, err);
}

bool weir_vk_is_shared(const struct weir_vk *vk)
{
	return vk->caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU ||
	       vk->caps.type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
}

static VkBool32 VKAPI_PTR on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
				     VkDebugUtilsMessageTypeFlagsEXT types,
				     const VkDebugUtilsMessengerCallbackDataEXT *message,
				     void *data)
{
	struct weir_vk *vk = data;

	/* Messages of the loader about files that it found are not about us. */
	if (types == VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT)
		return VK_FALSE;
	atomic_fetch_add(&vk->n_messages, 1);
	if (vk->config.log)
		vk->config.log(vk->config.log_data,
			       severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT
				       ? WEIR_LOG_ERROR
				       : WEIR_LOG_WARNING,
			       message->pMessage);
	return VK_FALSE;
}

static weir_status listen(struct weir_vk *vk, struct weir_error *err)
{
	VkDebugUtilsMessengerCreateInfoEXT info = {
		.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
		.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
				   VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
		.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
			       VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
			       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
		.pfnUserCallback = on_message,
		.pUserData = vk
	};

	if (!vk->config.validate || !vk->api.CreateDebugUtilsMessengerEXT)
		return WEIR_OK;
	return weir_vk_check(
		vk->api.CreateDebugUtilsMessengerEXT(vk->instance, &info, NULL, &vk->messenger),
		"vkCreateDebugUtilsMessengerEXT", err);
}

/* The first memory type that has all of `must`; of these, one with most of `like`. */
static int32_t find_memory(const struct weir_vk *vk, VkMemoryPropertyFlags must,
			   VkMemoryPropertyFlags like, uint64_t min_heap)
{
	int32_t best = -1, best_n = -1;

	for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++) {
		VkMemoryPropertyFlags flags = vk->memory.memoryTypes[i].propertyFlags;
		int32_t n = __builtin_popcount(flags & like);

		if ((flags & must) != must ||
		    vk->memory.memoryHeaps[vk->memory.memoryTypes[i].heapIndex].size < min_heap)
			continue;
		if (n > best_n) {
			best = (int32_t)i;
			best_n = n;
		}
	}
	return best;
}

static weir_status choose_memory(struct weir_vk *vk, struct weir_error *err)
{
	const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
				    visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
					      VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
				    cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
	VkPhysicalDeviceMemoryProperties2 m = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2
	};
	uint64_t largest = 0;

	vk->api.GetPhysicalDeviceMemoryProperties2(vk->caps.physical, &m);
	vk->memory = m.memoryProperties;
	for (uint32_t i = 0; i < vk->memory.memoryHeapCount; i++)
		if (vk->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
		    vk->memory.memoryHeaps[i].size > largest)
			largest = vk->memory.memoryHeaps[i].size;
	/* Local memory that the host sees in whole (shared memory, a resizable BAR) spares the
	 * staging; a small window of it does not. */
	vk->memory_type[WEIR_VK_PLACE_DEVICE] = find_memory(vk, local, visible, largest);
	vk->memory_type[WEIR_VK_PLACE_BATCH] = find_memory(vk, visible, local, 0);
	vk->memory_type[WEIR_VK_PLACE_READBACK] = find_memory(vk, visible, cached, 0);
	vk->import = weir_vk_is_shared(vk) && vk->caps.host_import &&
		     vk->api.GetMemoryHostPointerPropertiesEXT &&
		     !(vk->config.without & (WEIR_VK_WITHOUT_IMPORT | WEIR_VK_WITHOUT_MAPPED));
	for (int i = 0; i < WEIR_VK_N_PLACES; i++)
		if (vk->memory_type[i] < 0)
			return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
					    "%.60s has no memory of the kinds that are needed",
					    vk->caps.name);
	return WEIR_OK;
}

static weir_status make_device(struct weir_vk *vk, struct weir_error *err)
{
	float priority = 1;
	VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
					  .queueFamilyIndex = vk->caps.queue_family,
					  .queueCount = 1,
					  .pQueuePriorities = &priority };
	VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
		.shaderIntegerDotProduct = VK_TRUE
	};
	VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
		.subgroupSizeControl = vk->caps.subgroup_fixed,
		.computeFullSubgroups = vk->caps.full_subgroups
	};
	VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
		.cooperativeMatrix = VK_TRUE
	};
	VkPhysicalDeviceVulkan12Features v12 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
		.shaderInt8 = vk->coop.cols != 0,
		.vulkanMemoryModel = vk->coop.cols != 0,
		/* Once there is that model, the other shaders' atomics need: */
		.vulkanMemoryModelDeviceScope = vk->coop.cols != 0,
		.bufferDeviceAddress = VK_TRUE,
		.timelineSemaphore = VK_TRUE
	};
	VkPhysicalDeviceFeatures2 features = { .sType =
						       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
					       .pNext = &v12,
					       .features.shaderInt64 = vk->wide };
	VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
				    .pNext = &features,
				    .queueCreateInfoCount = 1,
				    .pQueueCreateInfos = &queue };
	const char *extensions[5];
	weir_status status;

	if (vk->caps.subgroup_fixed && vk->subgroups)
		v12.pNext = &sizes;
	if (vk->dot) {
		dot.pNext = v12.pNext;
		v12.pNext = &dot;
	}
	if (vk->coop.cols) {
		coop.pNext = v12.pNext;
		v12.pNext = &coop;
		extensions[info.enabledExtensionCount++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
	}
	if (vk->caps.memory_budget)
		extensions[info.enabledExtensionCount++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
	if (vk->caps.host_import)
		extensions[info.enabledExtensionCount++] =
			VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
	info.ppEnabledExtensionNames = extensions;
	status = weir_vk_check(vk->api.CreateDevice(vk->caps.physical, &info, NULL, &vk->device),
			       vk->caps.name, err);
	if (status)
		return status;
	/* To be able to undo it whatever else the driver lacks. */
	*(PFN_vkVoidFunction *)&vk->api.DestroyDevice =
		vk->api.GetDeviceProcAddr(vk->device, "vkDestroyDevice");
	return weir_vk_api_device(&vk->api, vk->device, err);
}

static weir_status make_queue(struct weir_vk *vk, struct weir_error *err)
{
	VkSemaphoreTypeCreateInfo type = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
					   .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE };
	VkSemaphoreCreateInfo semaphore = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
					    .pNext = &type };
	VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
					 .queueFamilyIndex = vk->caps.queue_family };
	weir_status status;

	vk->api.GetDeviceQueue(vk->device, vk->caps.queue_family, 0, &vk->queue);
	status = weir_vk_result(
		vk, vk->api.CreateSemaphore(vk->device, &semaphore, NULL, &vk->timeline),
		"vkCreateSemaphore", err);
	if (status)
		return status;
	return weir_vk_result(vk, vk->api.CreateCommandPool(vk->device, &pool, NULL, &vk->pool),
			      "vkCreateCommandPool", err);
}

/* How shaders are built and sized. A software renderer runs a workgroup's invocations one subgroup
 * after the other: one subgroup is best there. */
static void choose_sizes(struct weir_vk *vk)
{
	const struct weir_vk_caps *c = &vk->caps;
	uint32_t without = vk->config.without;
	bool software = c->type == VK_PHYSICAL_DEVICE_TYPE_CPU;
	bool known = c->subgroup_fixed || c->subgroup_min == c->subgroup_max;

	vk->dot = c->dot && !(without & WEIR_VK_WITHOUT_DOT) &&
		  (c->dot_fast || without & WEIR_VK_WITH_DOT);
	vk->subgroups = c->subgroup_arithmetic && known && c->subgroup >= 4 && c->subgroup <= 64 &&
			!(without & WEIR_VK_WITHOUT_SUBGROUPS);
	/* Wide shaders pass values around their subgroup. */
	vk->wide = software && c->int64 && (!vk->subgroups || c->subgroup_shuffle) &&
		   !(without & WEIR_VK_WITHOUT_WIDE);
	/* SwiftShader's optimiser ends the process, or does not end, on loops that it is told to
	 * unroll. */
	vk->unroll = c->driver_id != VK_DRIVER_ID_GOOGLE_SWIFTSHADER &&
		     !(without & WEIR_VK_WITHOUT_UNROLL);
	vk->lanes = vk->subgroups ? c->subgroup : 32;
	vk->rows_each = software ? 8 : 4;
	vk->run = software ? 4 : 1;
	vk->subs = 1;
	vk->width = vk->lanes;
	vk->busy = software ? 1 : 64;
	vk->tail_norms = software ? 8 : 2;
	vk->segment_work = UINT64_C(1) << (software ? 30 : 36);
	if (vk->subgroups && !software) {
		vk->subs = 8;
		while (vk->subs * vk->lanes > c->max_workgroup)
			vk->subs /= 2;
		vk->width = 128 > vk->lanes ? 128 : vk->lanes;
	}
	vk->tile_width = software ? 32 : 128;
	vk->tile_rows = software ? 1 : 2;
	vk->tile_cols = software ? 4 : 16;
	if (vk->wide && vk->subgroups) {
		vk->tile_width = vk->lanes;
		vk->tile_rows = vk->lanes > 32 ? 1 : 32 / vk->lanes;
		vk->tile_cols = 8;
	}
	while (vk->tile_width > c->max_workgroup)
		vk->tile_width /= 2;
	weir_vk_coop_size(vk);
}

weir_status weir_vk_new(const struct weir_vk_config *config, struct weir_vk **ret,
			struct weir_error *err)
{
	struct weir_vk *vk = calloc(1, sizeof(*vk));
	struct weir_vk_caps caps[MAX_DEVICES];
	uint32_t n = 0, index = 0;
	char shape[64] = "";
	weir_status status;

	if (!vk)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for the vulkan device");
	pthread_mutex_init(&vk->pipeline_lock, NULL);
	pthread_cond_init(&vk->pipeline_changed, NULL);
	vk->config = *config;
	vk->config.device = NULL; /* lent */
	if ((status = weir_vk_api_open(&vk->api, err)) ||
	    (status = weir_vk_instance_new(&vk->api, config->validate, &vk->instance, err)) ||
	    (status = listen(vk, err)) ||
	    (status = weir_vk_list(&vk->api, vk->instance, caps, MAX_DEVICES, &n, err)) ||
	    (status = weir_vk_choose(caps, n, config->device, &index, err)))
		goto fail;
	vk->caps = caps[index];
	choose_sizes(vk);
	vk->team = weir_vk_team_new(config->threads);
	if (!vk->team) {
		status = weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for the vulkan device");
		goto fail;
	}
	if ((status = make_device(vk, err)) || (status = make_queue(vk, err)) ||
	    (status = choose_memory(vk, err)) || (status = weir_vk_pipelines_open(vk, err)))
		goto fail;
	if (vk->coop.cols)
		snprintf(shape, sizeof(shape), ", cooperative matrices of %ux%ux%u",
			 vk->caps.coop.m, vk->caps.coop.n, vk->caps.coop.k);
	snprintf(vk->title, sizeof(vk->title), "%.50s, %.20s, subgroups of %u%s%s%s%s",
		 vk->caps.name, vk->caps.driver, vk->lanes, vk->subgroups ? "" : " (not used)",
		 vk->dot ? ", integer dot product" : "", shape,
		 vk->import ? ", weights in host memory" : "");
	*ret = vk;
	return WEIR_OK;
fail:
	weir_vk_free(vk);
	return status;
}

void weir_vk_free(struct weir_vk *vk)
{
	if (!vk)
		return;
	weir_vk_team_free(vk->team);
	if (vk->device && vk->api.DestroyDevice) {
		if (vk->api.DeviceWaitIdle)
			vk->api.DeviceWaitIdle(vk->device);
		weir_vk_pipelines_close(vk);
		weir_vk_memory_free(vk, &vk->staging);
		while (vk->slabs) {
			vk->slabs->n_buffers = 1;
			weir_vk_slab_give(vk, vk->slabs);
		}
		if (vk->pool)
			vk->api.DestroyCommandPool(vk->device, vk->pool, NULL);
		if (vk->timeline)
			vk->api.DestroySemaphore(vk->device, vk->timeline, NULL);
		vk->api.DestroyDevice(vk->device, NULL);
	}
	if (vk->messenger)
		vk->api.DestroyDebugUtilsMessengerEXT(vk->instance, vk->messenger, NULL);
	if (vk->instance)
		vk->api.DestroyInstance(vk->instance, NULL);
	pthread_cond_destroy(&vk->pipeline_changed);
	pthread_mutex_destroy(&vk->pipeline_lock);
	free(vk->cache_path);
	free(vk);
}

static void device_info(struct weir_instance *instance, struct weir_device_info *ret)
{
	struct weir_vk *vk = weir_vk_of(instance);
	struct weir_device_info info = { .size = sizeof(info) };
	uint32_t size = ret->size < sizeof(info) ? ret->size : (uint32_t)sizeof(info);

	info.n_threads = weir_vk_team_size(vk->team); /* of the host's */
	info.memory_total = vk->caps.memory_total;
	info.memory_free = weir_vk_memory_left(vk);
	snprintf(info.name, sizeof(info.name), "%.127s", vk->title);
	info.size = size;
	memcpy(ret, &info, size);
}

weir_status weir_vk_go_on(struct weir_vk *vk, struct weir_error *err)
{
	if (vk->has_run || !atomic_load(&vk->interrupted))
		return WEIR_OK;
	return weir_vk_fail(err, WEIR_E_CANCELLED, "the load was interrupted");
}

static void device_interrupt(struct weir_instance *instance)
{
	atomic_store(&weir_vk_of(instance)->interrupted, 1);
}

static void device_parallel(struct weir_instance *instance, uint32_t n,
			    void (*fn)(void *data, uint32_t i), void *data)
{
	weir_vk_team_each(weir_vk_of(instance)->team, n, fn, data);
}

static const struct weir_device device = {
	.size = sizeof(device),
	.info = device_info,
	.supports = weir_vk_supports,
	.weight = weir_vk_weight,
	.kv = weir_vk_kv,
	.buffer_free = weir_vk_buffer_free,
	.program_new = weir_vk_program_new,
	.program_free = weir_vk_program_free,
	.run = weir_vk_run,
	.wait = weir_vk_wait,
	.output = weir_vk_output,
	.interrupt = device_interrupt,
	.parallel = device_parallel,
};

const struct weir_device *weir_vk_device(void)
{
	return &device;
}
