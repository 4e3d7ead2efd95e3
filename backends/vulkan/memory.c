/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the device's memory: allocations, slabs of weights, uploads. See vk.h.
 */
#include "vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/services.h>

enum { ALIGNMENT = 256 };

#define SLAB_BYTES    (UINT64_C(64) << 20)
#define STAGING_BYTES (UINT64_C(8) << 20)
#define ROOM_BYTES    (UINT64_C(1) << 20)  /* less is not worth a look at what is left */
#define PIECE_BYTES   (UINT64_C(16) << 20) /* written before the next look at interrupt() */

/* Which memory type an allocation may have, or -1: the place's own, or, for the host's memory, one
 * that the driver takes it for. */
static int32_t choose_type(struct weir_vk *vk, enum weir_vk_place place, void *host,
			   uint32_t allowed)
{
	VkMemoryHostPointerPropertiesEXT properties = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT
	};
	int32_t type = vk->memory_type[place];

	if (!host)
		return allowed >> type & 1 ? type : -1;
	if (vk->api.GetMemoryHostPointerPropertiesEXT(
		    vk->device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, host,
		    &properties) < 0)
		return -1;
	allowed &= properties.memoryTypeBits;
	if (allowed >> type & 1)
		return type;
	return allowed ? __builtin_ctz(allowed) : -1;
}

static weir_status fill_zero(struct weir_vk *vk, const struct weir_vk_memory *m,
			     struct weir_error *err)
{
	VkCommandBuffer commands;
	weir_status status;

	if (m->mapped) {
		memset(m->mapped, 0, m->bytes);
		return WEIR_OK;
	}
	status = weir_vk_once_begin(vk, &commands, err);
	if (status)
		return status;
	vk->api.CmdFillBuffer(commands, m->buffer, 0, VK_WHOLE_SIZE, 0);
	return weir_vk_once_end(vk, commands, err);
}

/* One allocation and its buffer; host: the memory to import, or NULL. */
static weir_status make_memory(struct weir_vk *vk, uint64_t bytes, enum weir_vk_place place,
			       void *host, const char *what, struct weir_vk_memory *ret,
			       struct weir_error *err)
{
	const VkExternalMemoryHandleTypeFlags handle =
		VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
	VkMemoryAllocateFlagsInfo flags = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
					    .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT };
	VkImportMemoryHostPointerInfoEXT import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = handle,
		.pHostPointer = host
	};
	VkExternalMemoryBufferCreateInfo external = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .handleTypes = handle
	};
	VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
				    .pNext = host ? &external : NULL,
				    .size = bytes,
				    .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
					     VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
					     VK_BUFFER_USAGE_TRANSFER_DST_BIT |
					     VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT };
	VkMemoryAllocateInfo allocate = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
					  .pNext = &flags };
	VkBufferDeviceAddressInfo address = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO
	};
	const struct weir_vk_api *api = &vk->api;
	struct weir_vk_memory m = { .bytes = bytes, .imported = host != NULL };
	VkMemoryRequirements need;
	weir_status status;
	int32_t type;
	VkResult r;

	if (vk->caps.max_allocation && bytes > vk->caps.max_allocation)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED,
				    "%s of %llu bytes is more than the device gives at once (%llu)",
				    what, (unsigned long long)bytes,
				    (unsigned long long)vk->caps.max_allocation);
	r = api->CreateBuffer(vk->device, &info, NULL, &m.buffer);
	if (r < 0)
		goto fail;
	api->GetBufferMemoryRequirements(vk->device, m.buffer, &need);
	type = choose_type(vk, place, host, need.memoryTypeBits);
	if (type < 0 || (host && need.size != bytes)) {
		r = VK_ERROR_FEATURE_NOT_PRESENT;
		goto fail;
	}
	if (host)
		flags.pNext = &import;
	allocate.allocationSize = need.size;
	allocate.memoryTypeIndex = (uint32_t)type;
	r = api->AllocateMemory(vk->device, &allocate, NULL, &m.memory);
	if (r < 0)
		goto fail;
	r = api->BindBufferMemory(vk->device, m.buffer, m.memory, 0);
	if (r < 0)
		goto fail;
	address.buffer = m.buffer;
	m.address = api->GetBufferDeviceAddress(vk->device, &address);
	if (host) {
		m.mapped = host;
	} else if (vk->memory.memoryTypes[type].propertyFlags &
			   VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT &&
		   !(place == WEIR_VK_PLACE_DEVICE &&
		     vk->config.without & WEIR_VK_WITHOUT_MAPPED)) {
		r = api->MapMemory(vk->device, m.memory, 0, VK_WHOLE_SIZE, 0, &m.mapped);
		if (r < 0)
			goto fail;
	}
	*ret = m;
	return WEIR_OK;
fail:
	status = weir_vk_result(vk, r, what, err);
	if (m.memory)
		api->FreeMemory(vk->device, m.memory, NULL);
	if (m.buffer)
		api->DestroyBuffer(vk->device, m.buffer, NULL);
	return status;
}

/* What the system could give without swapping, in bytes; UINT64_MAX: it does not tell. */
static uint64_t host_memory_left(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib;
	uint64_t ret = UINT64_MAX;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1 && kib < UINT64_MAX / 1024)
			ret = kib * 1024;
	if (file)
		fclose(file);
	return ret;
}

/* Where the device's memory is the system's, more than there is would be promised, and end the
 * process once it is written to. */
static weir_status check_room(const struct weir_vk *vk, uint64_t bytes, const char *what,
			      struct weir_error *err)
{
	uint64_t left;

	if (bytes < ROOM_BYTES || !weir_vk_is_shared(vk) || bytes <= (left = host_memory_left()))
		return WEIR_OK;
	return weir_vk_fail(err, WEIR_E_EXHAUSTED,
			    "%s of %llu MiB is more than the system has left (%llu MiB); use a "
			    "smaller model, or set context, kv_memory or max_batch_tokens lower",
			    what, (unsigned long long)(bytes >> 20),
			    (unsigned long long)(left >> 20));
}

weir_status weir_vk_memory_new(struct weir_vk *vk, uint64_t bytes, enum weir_vk_place place,
			       const char *what, struct weir_vk_memory *ret, struct weir_error *err)
{
	struct weir_vk_memory m;
	weir_status status = weir_vk_alive(vk, err);

	if (status)
		return status;
	if (bytes > UINT64_MAX - ALIGNMENT)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "%s is too large", what);
	bytes = (bytes + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
	status = check_room(vk, bytes, what, err);
	if (!status)
		status = make_memory(vk, bytes, place, NULL, what, &m, err);
	if (status)
		return status;
	vk->bytes_allocated += m.bytes;
	status = fill_zero(vk, &m, err);
	if (status) {
		weir_vk_memory_free(vk, &m);
		return status;
	}
	*ret = m;
	return WEIR_OK;
}

weir_status weir_vk_memory_import(struct weir_vk *vk, uint64_t bytes, const char *what,
				  struct weir_vk_memory *ret, struct weir_error *err)
{
	uint64_t grain = vk->caps.import_alignment;
	weir_status status = weir_vk_alive(vk, err);
	struct weir_vk_memory m;
	void *host;

	if (status)
		return status;
	if (bytes > SIZE_MAX - grain)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "%s is too large", what);
	bytes = (bytes + grain - 1) / grain * grain;
	status = check_room(vk, bytes, what, err);
	if (status)
		return status;
	if (posix_memalign(&host, grain, bytes))
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "%s: no %llu bytes of memory", what,
				    (unsigned long long)bytes);
	status = make_memory(vk, bytes, WEIR_VK_PLACE_DEVICE, host, what, &m, err);
	if (status) {
		free(host);
		return status;
	}
	m.host = host;
	vk->bytes_imported += m.bytes;
	*ret = m;
	return WEIR_OK;
}

void weir_vk_memory_free(struct weir_vk *vk, struct weir_vk_memory *m)
{
	if (!m->buffer)
		return;
	vk->api.DestroyBuffer(vk->device, m->buffer, NULL);
	vk->api.FreeMemory(vk->device, m->memory, NULL);
	if (!m->imported)
		vk->bytes_allocated -= m->bytes;
	else if (m->host)
		vk->bytes_imported -= m->bytes;
	free(m->host);
	*m = (struct weir_vk_memory){ 0 };
}

static void say_refused(struct weir_vk *vk, const struct weir_error *why)
{
	char text[160];

	if (!vk->config.log)
		return;
	snprintf(text, sizeof(text),
		 "host memory is not imported, weights go to the device's own: %.80s", why->text);
	vk->config.log(vk->config.log_data, WEIR_LOG_INFO, text);
}

/* A slab of the host's memory where the device shares it, so that weights need no copy and no room
 * in the device's heap; the device's own where that is refused. */
static weir_status slab_memory(struct weir_vk *vk, uint64_t bytes, struct weir_vk_memory *ret,
			       struct weir_error *err)
{
	weir_status status;

	if (vk->import) {
		struct weir_error why = { 0 };

		status = weir_vk_memory_import(vk, bytes, "a weight", ret, &why);
		if (!status)
			return WEIR_OK;
		if (status != WEIR_E_EXHAUSTED && status != WEIR_E_UNAVAILABLE) {
			vk->import = false;
			say_refused(vk, &why);
		}
	}
	return weir_vk_memory_new(vk, bytes, WEIR_VK_PLACE_DEVICE, "a weight", ret, err);
}

weir_status weir_vk_slab_take(struct weir_vk *vk, uint64_t bytes, struct weir_vk_slab **ret_slab,
			      uint64_t *ret_offset, struct weir_error *err)
{
	struct weir_vk_slab *slab = vk->slabs;
	weir_status status;

	if (bytes > UINT64_MAX / 2)
		return weir_vk_fail(err, WEIR_E_INVALID, "a weight is too large");
	bytes = (bytes + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
	while (slab && slab->memory.bytes - slab->used < bytes)
		slab = slab->next;
	if (!slab) {
		slab = calloc(1, sizeof(*slab));
		if (!slab)
			return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a weight");
		status = slab_memory(vk, bytes > SLAB_BYTES ? bytes : SLAB_BYTES, &slab->memory,
				     err);
		/* Near the end of memory, no more than is needed. */
		if (status == WEIR_E_EXHAUSTED && bytes < SLAB_BYTES)
			status = slab_memory(vk, bytes, &slab->memory, err);
		if (status) {
			free(slab);
			return status;
		}
		slab->next = vk->slabs;
		vk->slabs = slab;
	}
	*ret_slab = slab;
	*ret_offset = slab->used;
	slab->used += bytes;
	slab->n_buffers++;
	return WEIR_OK;
}

void weir_vk_slab_give(struct weir_vk *vk, struct weir_vk_slab *slab)
{
	if (!slab || --slab->n_buffers)
		return;
	for (struct weir_vk_slab **p = &vk->slabs; *p; p = &(*p)->next)
		if (*p == slab) {
			*p = slab->next;
			break;
		}
	weir_vk_memory_free(vk, &slab->memory);
	free(slab);
}

weir_status weir_vk_once_begin(struct weir_vk *vk, VkCommandBuffer *ret, struct weir_error *err)
{
	VkCommandBufferAllocateInfo info = { .sType =
						     VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
					     .commandPool = vk->pool,
					     .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
					     .commandBufferCount = 1 };
	VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
					   .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
	weir_status status = weir_vk_alive(vk, err);
	VkCommandBuffer commands;

	if (status)
		return status;
	status = weir_vk_result(vk, vk->api.AllocateCommandBuffers(vk->device, &info, &commands),
				"vkAllocateCommandBuffers", err);
	if (status)
		return status;
	status = weir_vk_result(vk, vk->api.BeginCommandBuffer(commands, &begin),
				"vkBeginCommandBuffer", err);
	if (status) {
		vk->api.FreeCommandBuffers(vk->device, vk->pool, 1, &commands);
		return status;
	}
	*ret = commands;
	return WEIR_OK;
}

weir_status weir_vk_once_end(struct weir_vk *vk, VkCommandBuffer commands, struct weir_error *err)
{
	weir_status status =
		weir_vk_result(vk, vk->api.EndCommandBuffer(commands), "vkEndCommandBuffer", err);

	if (!status)
		status = weir_vk_submit(vk, &commands, 1, err);
	if (!status)
		status = weir_vk_drain(vk, err);
	vk->api.FreeCommandBuffers(vk->device, vk->pool, 1, &commands);
	return status;
}

/* Two halves of the staging buffer in turn: while the device copies one, the host fills the other.
 */
static weir_status stage(struct weir_vk *vk, const struct weir_vk_memory *dst, uint64_t offset,
			 uint64_t bytes, uint64_t unit,
			 void (*fill)(void *data, uint64_t at, uint64_t n, uint8_t *dst),
			 void *data, struct weir_error *err)
{
	uint64_t half = STAGING_BYTES / 2 > unit ? STAGING_BYTES / 2 / unit * unit : unit;
	VkCommandBuffer commands[2] = { NULL, NULL };
	uint64_t value[2] = { 0, 0 }; /* of the timeline when a half is copied */
	weir_status status = WEIR_OK;
	unsigned turn = 0;

	if (vk->staging.bytes < 2 * half) {
		weir_vk_memory_free(vk, &vk->staging);
		status = weir_vk_memory_new(vk, 2 * half, WEIR_VK_PLACE_BATCH, "a staging buffer",
					    &vk->staging, err);
	}
	for (uint64_t at = 0; at < bytes && !status; at += half, turn ^= 1) {
		uint64_t n = bytes - at < half ? bytes - at : half;
		VkBufferCopy copy = { turn * half, offset + at, n };

		if (commands[turn]) { /* while the other half's may go on */
			status = weir_vk_reach(vk, value[turn], err);
			vk->api.FreeCommandBuffers(vk->device, vk->pool, 1, &commands[turn]);
			commands[turn] = NULL;
			if (status)
				break;
		}
		fill(data, at, n, (uint8_t *)vk->staging.mapped + turn * half);
		status = weir_vk_go_on(vk, err);
		if (!status)
			status = weir_vk_once_begin(vk, &commands[turn], err);
		if (status)
			break;
		vk->api.CmdCopyBuffer(commands[turn], vk->staging.buffer, dst->buffer, 1, &copy);
		status = weir_vk_result(vk, vk->api.EndCommandBuffer(commands[turn]),
					"vkEndCommandBuffer", err);
		if (!status)
			status = weir_vk_submit(vk, &commands[turn], 1, err);
		value[turn] = vk->submitted;
	}
	if (!status)
		status = weir_vk_drain(vk, err);
	else
		weir_vk_drain(vk, NULL);
	for (int i = 0; i < 2; i++)
		if (commands[i])
			vk->api.FreeCommandBuffers(vk->device, vk->pool, 1, &commands[i]);
	return status;
}

weir_status weir_vk_upload(struct weir_vk *vk, const struct weir_vk_memory *dst, uint64_t offset,
			   uint64_t bytes, uint64_t unit,
			   void (*fill)(void *data, uint64_t at, uint64_t n, uint8_t *dst),
			   void *data, struct weir_error *err)
{
	uint64_t piece = PIECE_BYTES > unit ? PIECE_BYTES / unit * unit : unit;
	weir_status status = weir_vk_alive(vk, err);

	if (status)
		return status;
	if (!dst->mapped)
		return stage(vk, dst, offset, bytes, unit, fill, data, err);
	for (uint64_t at = 0; at < bytes && !status; at += piece) {
		fill(data, at, bytes - at < piece ? bytes - at : piece,
		     (uint8_t *)dst->mapped + offset + at);
		status = weir_vk_go_on(vk, err);
	}
	return status;
}

static uint64_t heap_left(const struct weir_vk *vk)
{
	VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT
	};
	VkPhysicalDeviceMemoryProperties2 m = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2
	};
	uint32_t heap;

	heap = vk->memory.memoryTypes[vk->memory_type[WEIR_VK_PLACE_DEVICE]].heapIndex;
	if (vk->caps.memory_budget) {
		m.pNext = &budget;
		vk->api.GetPhysicalDeviceMemoryProperties2(vk->caps.physical, &m);
		if (budget.heapBudget[heap] > budget.heapUsage[heap])
			return budget.heapBudget[heap] - budget.heapUsage[heap];
		return 0;
	}
	if (vk->memory.memoryHeaps[heap].size < vk->bytes_allocated)
		return 0;
	return vk->memory.memoryHeaps[heap].size - vk->bytes_allocated;
}

uint64_t weir_vk_memory_left(const struct weir_vk *vk)
{
	uint64_t left = heap_left(vk), host;

	/* What other processes and imported weights take from a shared memory, no heap tells. */
	if (weir_vk_is_shared(vk)) {
		host = host_memory_left();
		left = left < host ? left : host;
	}
	return left;
}
