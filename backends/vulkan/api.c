/* SPDX-License-Identifier: MIT */
/*
 * api.c - opens Vulkan's loader and looks its functions up; errors. See api.h.
 */
#include "api.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

weir_status weir_vk_fail(struct weir_error *err, weir_status code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	memset(err, 0, sizeof(*err));
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

weir_status weir_vk_check(VkResult result, const char *what, struct weir_error *err)
{
	if (result >= 0)
		return WEIR_OK;
	switch (result) {
	case VK_ERROR_OUT_OF_HOST_MEMORY:
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "%s: the driver is out of memory", what);
	case VK_ERROR_OUT_OF_DEVICE_MEMORY:
	case VK_ERROR_TOO_MANY_OBJECTS:
	case VK_ERROR_INVALID_EXTERNAL_HANDLE:
		return weir_vk_fail(err, WEIR_E_EXHAUSTED,
				    "%s: the device is out of memory; use a smaller model, or set "
				    "context, kv_memory or max_batch_tokens lower",
				    what);
	case VK_ERROR_DEVICE_LOST:
		return weir_vk_fail(err, WEIR_E_UNAVAILABLE,
				    "%s: the driver lost the device (reset, removed or hung); the "
				    "model must be loaded again",
				    what);
	case VK_ERROR_INITIALIZATION_FAILED:
		return weir_vk_fail(err, WEIR_E_UNAVAILABLE, "%s: the driver could not start",
				    what);
	case VK_ERROR_INCOMPATIBLE_DRIVER:
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "%s: no compatible driver", what);
	default:
		return weir_vk_fail(err, WEIR_E_INTERNAL, "%s: the driver answers %d", what,
				    (int)result);
	}
}

weir_status weir_vk_api_open(struct weir_vk_api *ret, struct weir_error *err)
{
	struct weir_vk_api api = { 0 };
	uint32_t version = VK_API_VERSION_1_0;
	void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "Vulkan's loader is not installed (%s)", dlerror());
	*(void **)&api.GetInstanceProcAddr = dlsym(library, "vkGetInstanceProcAddr");
	if (!api.GetInstanceProcAddr)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "libvulkan.so.1 has no vkGetInstanceProcAddr");
	*(PFN_vkVoidFunction *)&api.EnumerateInstanceVersion =
		api.GetInstanceProcAddr(NULL, "vkEnumerateInstanceVersion");
	if (api.EnumerateInstanceVersion)
		api.EnumerateInstanceVersion(&version);
	if (version < VK_API_VERSION_1_2)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "Vulkan's loader is version %u.%u, 1.2 is needed",
				    VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
#define X(name)                                                                                    \
	*(PFN_vkVoidFunction *)&api.name = api.GetInstanceProcAddr(NULL, "vk" #name);              \
	if (!api.name)                                                                             \
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "libvulkan.so.1 has no vk%s", #name);
	WEIR_VK_GLOBAL_FUNCTIONS(X)
#undef X
	*ret = api;
	return WEIR_OK;
}

weir_status weir_vk_api_instance(struct weir_vk_api *api, VkInstance instance,
				 struct weir_error *err)
{
#define X(name)                                                                                    \
	*(PFN_vkVoidFunction *)&api->name = api->GetInstanceProcAddr(instance, "vk" #name);        \
	if (!api->name)                                                                            \
		return weir_vk_fail(err, WEIR_E_INTERNAL, "Vulkan's driver has no vk%s", #name);
	WEIR_VK_INSTANCE_FUNCTIONS(X)
#undef X
	*(PFN_vkVoidFunction *)&api->CreateDebugUtilsMessengerEXT =
		api->GetInstanceProcAddr(instance, "vkCreateDebugUtilsMessengerEXT");
	*(PFN_vkVoidFunction *)&api->DestroyDebugUtilsMessengerEXT =
		api->GetInstanceProcAddr(instance, "vkDestroyDebugUtilsMessengerEXT");
	return WEIR_OK;
}

weir_status weir_vk_api_device(struct weir_vk_api *api, VkDevice device, struct weir_error *err)
{
#define X(name)                                                                                    \
	*(PFN_vkVoidFunction *)&api->name = api->GetDeviceProcAddr(device, "vk" #name);            \
	if (!api->name)                                                                            \
		return weir_vk_fail(err, WEIR_E_INTERNAL, "Vulkan's driver has no vk%s", #name);
	WEIR_VK_DEVICE_FUNCTIONS(X)
#undef X
	*(PFN_vkVoidFunction *)&api->GetMemoryHostPointerPropertiesEXT =
		api->GetDeviceProcAddr(device, "vkGetMemoryHostPointerPropertiesEXT");
	return WEIR_OK;
}
