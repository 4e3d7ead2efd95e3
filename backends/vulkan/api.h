/* SPDX-License-Identifier: MIT */
/*
 * api.h - Vulkan's functions, found at run time: libvulkan.so.1 is opened when it is first asked
 * for, so that the plugin loads on machines that have none.
 */
#ifndef WEIR_VULKAN_API_H
#define WEIR_VULKAN_API_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include <weir/base.h>

#define WEIR_VK_GLOBAL_FUNCTIONS(X)                                                                \
	X(CreateInstance)                                                                          \
	X(EnumerateInstanceLayerProperties)                                                        \
	X(EnumerateInstanceExtensionProperties)

#define WEIR_VK_INSTANCE_FUNCTIONS(X)                                                              \
	X(DestroyInstance)                                                                         \
	X(EnumeratePhysicalDevices)                                                                \
	X(EnumerateDeviceExtensionProperties)                                                      \
	X(GetPhysicalDeviceProperties2)                                                            \
	X(GetPhysicalDeviceFeatures2)                                                              \
	X(GetPhysicalDeviceMemoryProperties2)                                                      \
	X(GetPhysicalDeviceQueueFamilyProperties)                                                  \
	X(CreateDevice)                                                                            \
	X(GetDeviceProcAddr)

#define WEIR_VK_DEVICE_FUNCTIONS(X)                                                                \
	X(DestroyDevice)                                                                           \
	X(GetDeviceQueue)                                                                          \
	X(CreateBuffer)                                                                            \
	X(DestroyBuffer)                                                                           \
	X(GetBufferMemoryRequirements)                                                             \
	X(AllocateMemory)                                                                          \
	X(FreeMemory)                                                                              \
	X(BindBufferMemory)                                                                        \
	X(MapMemory)                                                                               \
	X(GetBufferDeviceAddress)                                                                  \
	X(CreateShaderModule)                                                                      \
	X(DestroyShaderModule)                                                                     \
	X(CreatePipelineLayout)                                                                    \
	X(DestroyPipelineLayout)                                                                   \
	X(CreatePipelineCache)                                                                     \
	X(DestroyPipelineCache)                                                                    \
	X(GetPipelineCacheData)                                                                    \
	X(CreateComputePipelines)                                                                  \
	X(DestroyPipeline)                                                                         \
	X(CreateCommandPool)                                                                       \
	X(DestroyCommandPool)                                                                      \
	X(AllocateCommandBuffers)                                                                  \
	X(FreeCommandBuffers)                                                                      \
	X(BeginCommandBuffer)                                                                      \
	X(EndCommandBuffer)                                                                        \
	X(CmdBindPipeline)                                                                         \
	X(CmdPushConstants)                                                                        \
	X(CmdDispatch)                                                                             \
	X(CmdPipelineBarrier)                                                                      \
	X(CmdCopyBuffer)                                                                           \
	X(CmdFillBuffer)                                                                           \
	X(QueueSubmit)                                                                             \
	X(CreateSemaphore)                                                                         \
	X(DestroySemaphore)                                                                        \
	X(WaitSemaphores)                                                                          \
	X(DeviceWaitIdle)

struct weir_vk_api {
	PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
	PFN_vkEnumerateInstanceVersion EnumerateInstanceVersion;
#define X(name) PFN_vk##name name;
	WEIR_VK_GLOBAL_FUNCTIONS(X)
	WEIR_VK_INSTANCE_FUNCTIONS(X)
	WEIR_VK_DEVICE_FUNCTIONS(X)
#undef X
	/* Extensions; NULL where the device lacks them. */
	PFN_vkGetMemoryHostPointerPropertiesEXT GetMemoryHostPointerPropertiesEXT;
	PFN_vkCreateDebugUtilsMessengerEXT CreateDebugUtilsMessengerEXT;
	PFN_vkDestroyDebugUtilsMessengerEXT DestroyDebugUtilsMessengerEXT;
};

/* Opens the loader and fills the global functions. UNSUPPORTED: no loader, or one that is older
 * than Vulkan 1.2; the library stays open. [main] */
weir_status weir_vk_api_open(struct weir_vk_api *ret, struct weir_error *err);

/* The functions of an instance, of a device. INTERNAL: the driver lacks one. */
weir_status weir_vk_api_instance(struct weir_vk_api *api, VkInstance instance,
				 struct weir_error *err);
weir_status weir_vk_api_device(struct weir_vk_api *api, VkDevice device, struct weir_error *err);

/* Fills err and returns code. */
weir_status weir_vk_fail(struct weir_error *err, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A result of Vulkan as a status: EXHAUSTED for memory, UNAVAILABLE for a lost device, INTERNAL
 * otherwise; the text says `what` and the result's name. VK_SUCCESS gives OK. */
weir_status weir_vk_check(VkResult result, const char *what, struct weir_error *err);

#endif
