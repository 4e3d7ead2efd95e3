/* SPDX-License-Identifier: MIT */
/*
 * cache-file.c - the pipeline cache on disk; see vk.h. On main.
 *
 * A file of its own for each driver, device and build of the shaders, so nothing ever mixes. It
 * begins with our own header, whose sum is checked before the driver sees a byte of it, and is
 * written beside its place and moved there. Drivers run what is in it: it must be a plain file that
 * this user owns and nobody else may write.
 */
#include "vk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (UINT64_C(64) << 20)

struct header {
	char magic[8];
	uint64_t bytes, sum;
};

static const char magic[8] = "weirvkc";

static uint64_t sum_of(const uint8_t *p, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* A folder and those that it is in. */
static bool make_folders(char *path)
{
	for (char *p = path + 1; *p; p++) {
		int made;

		if (*p != '/')
			continue;
		*p = '\0';
		made = mkdir(path, 0700);
		*p = '/';
		if (made != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return false;
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* $XDG_CACHE_HOME/weir, or ~/.cache/weir, made if it is not there. */
static bool find_folder(char *ret, size_t len)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (base && *base == '/')
		n = snprintf(ret, len, "%s/weir", base);
	else if (home && *home == '/')
		n = snprintf(ret, len, "%s/.cache/weir", home);
	else
		return false;
	return n > 0 && (size_t)n < len && make_folders(ret);
}

static char *path_for(const struct weir_vk *vk, uint64_t shader_hash)
{
	char folder[3072], uuid[2 * VK_UUID_SIZE + 1];
	size_t len = sizeof(folder) + 160;
	char *path;

	if (!find_folder(folder, sizeof(folder)))
		return NULL;
	for (unsigned i = 0; i < VK_UUID_SIZE; i++)
		snprintf(uuid + 2 * (size_t)i, 3, "%02x", vk->caps.cache_uuid[i]);
	path = malloc(len);
	if (path)
		snprintf(path, len, "%s/vulkan-%04x-%s-%08x-%016llx.cache", folder, vk->caps.vendor,
			 uuid, vk->caps.driver_version, (unsigned long long)shader_hash);
	return path;
}

/* NULL also for what is not ours. What lies there may be a pipe: the opening must not wait. */
static FILE *open_own(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	FILE *f = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		f = fdopen(fd, "rb");
	if (!f)
		close(fd);
	return f;
}

/* The driver's data, or NULL. */
static uint8_t *read_file(const char *path, size_t *ret_bytes)
{
	struct header h;
	uint8_t *data = NULL;
	FILE *f = open_own(path);

	if (!f)
		return NULL;
	if (fread(&h, sizeof(h), 1, f) != 1 || memcmp(h.magic, magic, sizeof(magic)) != 0 ||
	    h.bytes == 0 || h.bytes > MAX_BYTES)
		goto out;
	data = malloc(h.bytes);
	if (data && (fread(data, 1, h.bytes, f) != h.bytes || fgetc(f) != EOF ||
		     sum_of(data, h.bytes) != h.sum)) {
		free(data);
		data = NULL;
	}
	*ret_bytes = h.bytes;
out:
	fclose(f);
	return data;
}

void weir_vk_cache_load(struct weir_vk *vk, uint64_t shader_hash)
{
	VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO };
	uint8_t *data = NULL;

	vk->cache_path = path_for(vk, shader_hash);
	if (vk->cache_path)
		data = read_file(vk->cache_path, &info.initialDataSize);
	info.pInitialData = data;
	vk->cache_bytes = data ? info.initialDataSize : 0;
	if (!data)
		info.initialDataSize = 0;
	if (vk->api.CreatePipelineCache(vk->device, &info, NULL, &vk->cache) < 0)
		vk->cache = VK_NULL_HANDLE;
	free(data);
}

void weir_vk_cache_save(struct weir_vk *vk)
{
	struct header h = { { 0 }, 0, 0 };
	size_t bytes = 0;
	uint8_t *data = NULL;
	char *draft = NULL;
	FILE *f = NULL;
	bool written;
	int fd = -1;

	if (!vk->cache_path ||
	    vk->api.GetPipelineCacheData(vk->device, vk->cache, &bytes, NULL) < 0 || !bytes ||
	    bytes > MAX_BYTES || bytes == vk->cache_bytes)
		return;
	data = malloc(bytes);
	draft = malloc(strlen(vk->cache_path) + 8);
	if (!data || !draft ||
	    vk->api.GetPipelineCacheData(vk->device, vk->cache, &bytes, data) != VK_SUCCESS)
		goto out;
	memcpy(h.magic, magic, sizeof(magic));
	h.bytes = bytes;
	h.sum = sum_of(data, bytes);
	sprintf(draft, "%s.XXXXXX", vk->cache_path);
	fd = mkstemp(draft);
	f = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (!f) {
		if (fd >= 0)
			close(fd);
		goto out;
	}
	written = fwrite(&h, sizeof(h), 1, f) == 1 && fwrite(data, 1, bytes, f) == bytes;
	if (fclose(f) != 0 || !written || rename(draft, vk->cache_path) != 0)
		unlink(draft);
out:
	free(data);
	free(draft);
}
