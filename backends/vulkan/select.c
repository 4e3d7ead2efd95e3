/* SPDX-License-Identifier: MIT */
/*
 * select.c - which devices are here, what they can do, and which one to take. All on main.
 */
#include "coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEVICES = 16, SOFTWARE_SCORE = 5 };

#define VALIDATION "VK_LAYER_KHRONOS_validation"

static bool has_layer(const struct weir_vk_api *api, const char *name)
{
	VkLayerProperties layers[64];
	uint32_t n = 64;

	if (api->EnumerateInstanceLayerProperties(&n, layers) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(layers[i].layerName, name))
			return true;
	return false;
}

/* The loader's words for drivers that are not there, or not whole, tell nobody what to do. */
static weir_status refuse_instance(VkResult result, struct weir_error *err)
{
	if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "Vulkan's loader found no driver (ICD) that works; install the "
				    "device's, or set VK_LOADER_DEBUG=error to see what it tried");
	if (result == VK_ERROR_OUT_OF_HOST_MEMORY)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED,
				    "vkCreateInstance: no memory, or a driver's .json file is "
				    "damaged; VK_LOADER_DEBUG=error shows which");
	return weir_vk_check(result, "vkCreateInstance", err);
}

weir_status weir_vk_instance_new(struct weir_vk_api *api, bool validate, VkInstance *ret,
				 struct weir_error *err)
{
	static const char *const layers[] = { VALIDATION };
	static const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
	VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
				  .pApplicationName = "weir",
				  .apiVersion = VK_API_VERSION_1_3 };
	VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
				      .pApplicationInfo = &app };
	VkInstance instance;
	weir_status status;
	VkResult result;

	if (validate) {
		if (!has_layer(api, VALIDATION))
			return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
					    "validate is on, but " VALIDATION
					    " is not installed (vulkan-validationlayers)");
		info.enabledLayerCount = info.enabledExtensionCount = 1;
		info.ppEnabledLayerNames = layers;
		info.ppEnabledExtensionNames = extensions;
	}
	result = api->CreateInstance(&info, NULL, &instance);
	if (result < 0)
		return refuse_instance(result, err);
	*(PFN_vkVoidFunction *)&api->DestroyInstance =
		api->GetInstanceProcAddr(instance, "vkDestroyInstance");
	status = weir_vk_api_instance(api, instance, err);
	if (status) {
		if (api->DestroyInstance)
			api->DestroyInstance(instance, NULL);
		return status;
	}
	*ret = instance;
	return WEIR_OK;
}

struct extensions {
	VkExtensionProperties list[512];
	uint32_t n;
};

static bool has_extension(const struct extensions *e, const char *name)
{
	for (uint32_t i = 0; i < e->n; i++)
		if (!strcmp(e->list[i].extensionName, name))
			return true;
	return false;
}

static bool find_queue(const struct weir_vk_api *api, struct weir_vk_caps *c)
{
	VkQueueFamilyProperties families[32] = { 0 };
	uint32_t n = 0;

	/* SwiftShader fills in as many as it is given room for, so their number is asked for. */
	api->GetPhysicalDeviceQueueFamilyProperties(c->physical, &n, NULL);
	if (n > 32)
		n = 32;
	api->GetPhysicalDeviceQueueFamilyProperties(c->physical, &n, families);
	for (uint32_t i = 0; i < n; i++)
		if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT && families[i].queueCount) {
			c->queue_family = i;
			/* one without graphics does not compete with a desktop */
			if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
				break;
		}
	return n > 0 && families[c->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT;
}

static void read_properties(const struct weir_vk_api *api, struct weir_vk_caps *c,
			    const struct extensions *e)
{
	VkPhysicalDeviceCooperativeMatrixPropertiesKHR coop = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR
	};
	VkPhysicalDeviceExternalMemoryHostPropertiesEXT import = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT
	};
	VkPhysicalDeviceShaderIntegerDotProductProperties dot = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES
	};
	VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES
	};
	VkPhysicalDeviceVulkan11Properties v11 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES
	};
	VkPhysicalDeviceVulkan12Properties v12 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, .pNext = &v11
	};
	VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
					  .pNext = &v12 };
	const VkPhysicalDeviceProperties *base = &p.properties;

	if (c->api_version >= VK_API_VERSION_1_3 ||
	    has_extension(e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
		sizes.pNext = p.pNext;
		p.pNext = &sizes;
	}
	if (c->api_version >= VK_API_VERSION_1_3 ||
	    has_extension(e, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
		dot.pNext = p.pNext;
		p.pNext = &dot;
	}
	if (has_extension(e, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)) {
		import.pNext = p.pNext;
		p.pNext = &import;
	}
	if (has_extension(e, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) {
		coop.pNext = p.pNext;
		p.pNext = &coop;
	}
	api->GetPhysicalDeviceProperties2(c->physical, &p);
	c->cooperative_matrix = coop.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
	c->subgroup = v11.subgroupSize ? v11.subgroupSize : 1;
	c->subgroup_min = sizes.minSubgroupSize ? sizes.minSubgroupSize : c->subgroup;
	c->subgroup_max = sizes.maxSubgroupSize ? sizes.maxSubgroupSize : c->subgroup;
	c->subgroup_arithmetic =
		v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT &&
		v11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
	c->subgroup_shuffle = v11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
	c->subgroup_fixed = sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
	c->dot_fast = dot.integerDotProduct4x8BitPackedSignedAccelerated;
	c->import_alignment = import.minImportedHostPointerAlignment;
	c->host_import = c->import_alignment != 0;
	memcpy(c->uuid, v11.deviceUUID, sizeof(c->uuid));
	memcpy(c->cache_uuid, base->pipelineCacheUUID, sizeof(c->cache_uuid));
	snprintf(c->driver, sizeof(c->driver), "%s", v12.driverName);
	c->driver_id = v12.driverID;
	c->driver_version = base->driverVersion;
	c->vendor = base->vendorID;
	c->max_allocation = v11.maxMemoryAllocationSize;
	c->max_workgroup = base->limits.maxComputeWorkGroupInvocations;
	if (base->limits.maxComputeWorkGroupSize[0] < c->max_workgroup)
		c->max_workgroup = base->limits.maxComputeWorkGroupSize[0];
	c->shared_bytes = base->limits.maxComputeSharedMemorySize;
}

/* What is missing, or NULL. */
static const char *read_features(const struct weir_vk_api *api, struct weir_vk_caps *c,
				 const struct extensions *e)
{
	VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR
	};
	VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES
	};
	VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES
	};
	VkPhysicalDeviceVulkan11Features v11 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES
	};
	VkPhysicalDeviceVulkan12Features v12 = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v11
	};
	VkPhysicalDeviceFeatures2 f = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
					.pNext = &v12 };

	if (c->api_version >= VK_API_VERSION_1_3) {
		v11.pNext = &sizes;
		sizes.pNext = &dot;
	}
	if (c->cooperative_matrix) {
		coop.pNext = f.pNext;
		f.pNext = &coop;
	}
	api->GetPhysicalDeviceFeatures2(c->physical, &f);
	c->subgroup_fixed = c->subgroup_fixed && sizes.subgroupSizeControl;
	c->full_subgroups = sizes.computeFullSubgroups;
	c->dot = dot.shaderIntegerDotProduct;
	c->int64 = f.features.shaderInt64;
	c->half = v12.shaderFloat16;
	c->storage8 = v12.storageBuffer8BitAccess;
	c->storage16 = v11.storageBuffer16BitAccess;
	c->int8 = v12.shaderInt8;
	c->memory_model = v12.vulkanMemoryModel && v12.vulkanMemoryModelDeviceScope;
	c->cooperative_matrix = coop.cooperativeMatrix;
	c->memory_budget = has_extension(e, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
	if (!v12.bufferDeviceAddress)
		return "bufferDeviceAddress";
	if (!v12.timelineSemaphore)
		return "timelineSemaphore";
	return NULL;
}

static const char *type_name(VkPhysicalDeviceType type)
{
	switch (type) {
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		return "discrete GPU";
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		return "integrated GPU";
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		return "virtual GPU";
	case VK_PHYSICAL_DEVICE_TYPE_CPU:
		return "software renderer";
	default:
		return "device";
	}
}

static void score_device(struct weir_vk_caps *c, const char *missing)
{
	char shape[64] = "";

	if (missing) {
		snprintf(c->reason, sizeof(c->reason), "%.80s has no %s", c->name, missing);
		return;
	}
	switch (c->type) {
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		c->score = 60;
		break;
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		c->score = 50;
		break;
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		c->score = 30;
		break;
	default:
		c->score = SOFTWARE_SCORE;
	}
	if (c->coop.k)
		snprintf(shape, sizeof(shape), ", cooperative matrices of %ux%ux%u", c->coop.m,
			 c->coop.n, c->coop.k);
	snprintf(c->reason, sizeof(c->reason), "%.80s (%s, Vulkan %u.%u, subgroups of %u%s%s%s)",
		 c->name, type_name(c->type), VK_API_VERSION_MAJOR(c->api_version),
		 VK_API_VERSION_MINOR(c->api_version), c->subgroup,
		 c->subgroup_arithmetic ? "" : " without arithmetic",
		 c->dot ? c->dot_fast ? ", integer dot product" : ", slow integer dot product" : "",
		 shape);
}

static void read_device(const struct weir_vk_api *api, VkInstance instance, struct weir_vk_caps *c,
			struct extensions *e)
{
	VkPhysicalDeviceProperties2 p = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2 };
	VkPhysicalDeviceMemoryProperties2 m = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2
	};
	const char *missing;

	api->GetPhysicalDeviceProperties2(c->physical, &p);
	c->type = p.properties.deviceType;
	c->api_version = p.properties.apiVersion;
	snprintf(c->name, sizeof(c->name), "%s", p.properties.deviceName);
	if (c->api_version < VK_API_VERSION_1_2) {
		score_device(c, "Vulkan 1.2");
		return;
	}
	e->n = 512;
	if (api->EnumerateDeviceExtensionProperties(c->physical, NULL, &e->n, e->list) < 0)
		e->n = 0;
	api->GetPhysicalDeviceMemoryProperties2(c->physical, &m);
	for (uint32_t i = 0; i < m.memoryProperties.memoryHeapCount; i++)
		if (m.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
			c->memory_total += m.memoryProperties.memoryHeaps[i].size;
	read_properties(api, c, e);
	missing = read_features(api, c, e);
	if (c->cooperative_matrix && c->memory_model && c->int8)
		weir_vk_coop_find(api, instance, c);
	score_device(c, find_queue(api, c) ? missing : "queue for computing");
}

weir_status weir_vk_list(const struct weir_vk_api *api, VkInstance instance,
			 struct weir_vk_caps *ret, uint32_t max, uint32_t *ret_n,
			 struct weir_error *err)
{
	VkPhysicalDevice devices[MAX_DEVICES];
	struct extensions *e;
	uint32_t n = max < MAX_DEVICES ? max : MAX_DEVICES;
	weir_status status = weir_vk_check(api->EnumeratePhysicalDevices(instance, &n, devices),
					   "vkEnumeratePhysicalDevices", err);

	if (status)
		return status;
	e = malloc(sizeof(*e));
	if (!e)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a list of extensions");
	for (uint32_t i = 0; i < n; i++) {
		ret[i] = (struct weir_vk_caps){ .physical = devices[i], .index = i };
		read_device(api, instance, &ret[i], e);
	}
	free(e);
	*ret_n = n;
	return WEIR_OK;
}

/* "6d657361-3232-..." in either case, with or without the dashes. */
static bool is_uuid(const char *text, const uint8_t *uuid)
{
	for (unsigned i = 0; i < VK_UUID_SIZE; i++) {
		char want[3];

		while (*text == '-')
			text++;
		snprintf(want, sizeof(want), "%02x", uuid[i]);
		if (strncasecmp(text, want, 2) != 0)
			return false;
		text += 2;
	}
	return *text == '\0';
}

/* A UUID may have no letters, and a name may be known by its number ("4090"): digits are an index
 * only where there is a device of that index. */
static bool is_index(const struct weir_vk_caps *caps, uint32_t n, const char *wanted)
{
	size_t digits = strspn(wanted, "0123456789");

	if (!digits || wanted[digits] || digits > 9)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (caps[i].index == strtoul(wanted, NULL, 10))
			return true;
	return false;
}

static bool is_named(const struct weir_vk_caps *c, const char *wanted, bool by_index)
{
	if (by_index)
		return c->index == strtoul(wanted, NULL, 10);
	if (is_uuid(wanted, c->uuid))
		return true;
	for (const char *p = c->name; *p; p++)
		if (!strncasecmp(p, wanted, strlen(wanted)))
			return true;
	return false;
}

/* As is_uuid() reads it. */
static const char *uuid_text(const struct weir_vk_caps *c, char ret[37])
{
	char *to = ret;

	for (unsigned i = 0; i < VK_UUID_SIZE; i++)
		to += snprintf(to, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			       c->uuid[i]);
	return ret;
}

static void say_what_is_here(const struct weir_vk_caps *caps, uint32_t n, char *ret, size_t len)
{
	size_t at = 0;
	char uuid[37];

	*ret = '\0';
	for (uint32_t i = 0; i < n && at < len; i++)
		at += (size_t)snprintf(ret + at, len - at, "%s%u: %.60s (%s)", i ? "; " : "",
				       caps[i].index, caps[i].name, uuid_text(&caps[i], uuid));
}

weir_status weir_vk_choose(const struct weir_vk_caps *caps, uint32_t n, const char *wanted,
			   uint32_t *ret, struct weir_error *err)
{
	uint32_t best = n;
	bool named = wanted && *wanted, by_index = named && is_index(caps, n, wanted);
	char list[400];

	for (uint32_t i = 0; i < n; i++) {
		if (named && !is_named(&caps[i], wanted, by_index))
			continue;
		if (best == n || caps[i].score > caps[best].score)
			best = i;
	}
	say_what_is_here(caps, n, list, sizeof(list));
	if (!n)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "Vulkan has no device: no driver (ICD) is installed, or it "
				    "found none");
	if (best == n)
		return weir_vk_fail(err, WEIR_E_NOT_FOUND,
				    "no Vulkan device is '%.60s'; here are %s", wanted, list);
	if (!caps[best].score)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "%s, which is needed",
				    caps[best].reason);
	*ret = best;
	return WEIR_OK;
}

int32_t weir_vk_probe(struct weir_error *why)
{
	const char *wanted = getenv("WEIR_VULKAN_DEVICE");
	struct weir_vk_caps caps[MAX_DEVICES];
	struct weir_vk_api api;
	VkInstance instance;
	uint32_t n = 0, best = 0;
	int32_t score = 0;
	char list[400];

	if (weir_vk_api_open(&api, why) || weir_vk_instance_new(&api, false, &instance, why))
		return 0;
	if (!weir_vk_list(&api, instance, caps, MAX_DEVICES, &n, why) &&
	    !weir_vk_choose(caps, n, wanted, &best, why)) {
		score = caps[best].score;
		bool software = score == SOFTWARE_SCORE;

		if (software && wanted && *wanted) {
			score = 40; /* chosen by name */
			software = false;
		}
		say_what_is_here(caps, n, list, sizeof(list));
		weir_vk_fail(why, WEIR_OK, "%s%s%s; here are %s", software ? "only " : "",
			     caps[best].reason, software ? ", slower than the cpu plugin" : "",
			     list);
	}
	api.DestroyInstance(instance, NULL);
	return score;
}
