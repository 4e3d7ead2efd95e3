/* SPDX-License-Identifier: MIT */
/*
 * libvulkan.c - stands before Vulkan's loader, for recovery.py: while the file that WEIR_TEST_LOSE
 * names exists, a vkQueueSubmit takes it away and answers VK_ERROR_DEVICE_LOST. Everything else is
 * the loader's own (WEIR_TEST_LOADER names it).
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vulkan/vulkan_core.h>

static PFN_vkGetInstanceProcAddr instance_proc;
static PFN_vkGetDeviceProcAddr device_proc;
static PFN_vkQueueSubmit queue_submit;

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
							       const char *name);

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo *info,
					     VkFence fence)
{
	const char *file = getenv("WEIR_TEST_LOSE");

	if (file && unlink(file) == 0)
		return VK_ERROR_DEVICE_LOST;
	return queue_submit(queue, n, info, fence);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name)
{
	PFN_vkVoidFunction found = device_proc(device, name);

	if (strcmp(name, "vkQueueSubmit") != 0)
		return found;
	queue_submit = (PFN_vkQueueSubmit)found;
	return (PFN_vkVoidFunction)submit;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
							       const char *name)
{
	PFN_vkVoidFunction found;
	const char *path = getenv("WEIR_TEST_LOADER");
	void *library;

	if (!instance_proc) {
		library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
		if (!library)
			return NULL;
		*(void **)&instance_proc = dlsym(library, "vkGetInstanceProcAddr");
	}
	found = instance_proc(instance, name);
	if (found && strcmp(name, "vkGetDeviceProcAddr") == 0) {
		device_proc = (PFN_vkGetDeviceProcAddr)found;
		return (PFN_vkVoidFunction)get_device_proc;
	}
	if (found && strcmp(name, "vkQueueSubmit") == 0) {
		queue_submit = (PFN_vkQueueSubmit)found;
		return (PFN_vkVoidFunction)submit;
	}
	return found;
}
