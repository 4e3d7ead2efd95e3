/* SPDX-License-Identifier: MIT */
/*
 * vk.h - what the files of the Vulkan device share: the device, its memory, buffers, pipelines.
 *
 * One VkDevice, one queue and one timeline semaphore an instance. Nothing here is called by two
 * threads at once (load, then steps, then the end), but for interrupt() and the thread that
 * compiles pipelines (pipeline.c). Shaders get memory by address; nothing has a descriptor.
 */
#ifndef WEIR_VULKAN_VK_H
#define WEIR_VULKAN_VK_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/draft/device.h>

#include "api.h"
#include "team.h"

/* What is left unused though the device has it: for drivers with faults, and for tests. */
enum weir_vk_without {
	WEIR_VK_WITHOUT_SUBGROUPS = 1u << 0, /* subgroup arithmetic, chosen subgroup sizes */
	WEIR_VK_WITHOUT_MAPPED = 1u << 1,    /* device memory that the host sees: stage instead */
	WEIR_VK_WITHOUT_WIDE = 1u << 2,      /* 64-bit loads */
	WEIR_VK_WITHOUT_DOT = 1u << 3,       /* integer dot product */
	WEIR_VK_WITH_DOT = 1u << 4,          /* the latter even where it is not fast */
	WEIR_VK_WITHOUT_IMPORT = 1u << 5,    /* host memory as device memory */
	WEIR_VK_WITHOUT_AHEAD = 1u << 6,     /* pipelines compiled while a model loads */
	WEIR_VK_WITHOUT_COOP = 1u << 7,      /* cooperative matrices */
	WEIR_VK_WITH_COOP = 1u << 8,         /* the latter even on a software renderer */
	WEIR_VK_WITHOUT_UNROLL = 1u << 9,    /* hints to unroll loops */
};

struct weir_vk_config {
	const char *device; /* index, UUID or part of a name; NULL or "": the best */
	bool validate;      /* load VK_LAYER_KHRONOS_validation; its messages go to log() */
	uint32_t without;   /* weir_vk_without */
	uint32_t threads;   /* of the host, for its work in a step; 0: as many as are good */
	void (*log)(void *data, uint32_t level, const char *text); /* WEIR_LOG_*; NULL: none */
	void *log_data;
};

/* Cooperative matrices: (m x k) (k x n). */
struct weir_vk_shape {
	uint32_t m, n, k;
};

/* A physical device, as far as it matters here. */
struct weir_vk_caps {
	VkPhysicalDevice physical;
	VkPhysicalDeviceType type;
	uint32_t index, api_version, driver_id, driver_version, vendor, queue_family;
	char name[256], driver[256];
	uint8_t uuid[VK_UUID_SIZE], cache_uuid[VK_UUID_SIZE];
	uint32_t subgroup, subgroup_min, subgroup_max; /* sizes */
	bool subgroup_arithmetic, subgroup_shuffle;
	bool subgroup_fixed; /* can each pipeline choose a size? */
	bool full_subgroups, dot, dot_fast, int64, half, storage8, storage16;
	bool memory_model, int8, cooperative_matrix, host_import, memory_budget;
	struct weir_vk_shape coop; /* of signed bytes; k 0: none that is of use */
	uint32_t max_workgroup, shared_bytes;
	uint64_t import_alignment, max_allocation, memory_total;
	int32_t score; /* probe()'s; 0: cannot be used, reason says why */
	char reason[240];
};

/* One allocation with one buffer over it. */
struct weir_vk_memory {
	VkBuffer buffer;
	VkDeviceMemory memory;
	VkDeviceAddress address;
	uint64_t bytes;
	void *mapped;  /* NULL: not visible to the host */
	void *host;    /* the host's memory that it is, freed with it; NULL: none, or another's */
	bool imported; /* from the host */
};

enum weir_vk_place {
	WEIR_VK_PLACE_DEVICE = 0,   /* the device's; mapped where that costs nothing */
	WEIR_VK_PLACE_BATCH = 1,    /* written by the host, read by the device; mapped */
	WEIR_VK_PLACE_READBACK = 2, /* written by the device, read by the host; mapped, cached */
	WEIR_VK_N_PLACES = 3,
};

/* Weights lie in slabs, since a device has a limited number of allocations. */
struct weir_vk_slab {
	struct weir_vk_slab *next;
	struct weir_vk_memory memory;
	uint64_t used;
	uint32_t n_buffers;
};

enum weir_vk_shader {
	WEIR_VK_SHADER_EMBED,
	WEIR_VK_SHADER_NORM,
	WEIR_VK_SHADER_LINEAR_Q,
	WEIR_VK_SHADER_LINEAR_F,
	WEIR_VK_SHADER_ROPE_KV,
	WEIR_VK_SHADER_ATTENTION,
	WEIR_VK_SHADER_MERGE,
	WEIR_VK_SHADER_ROWS,
	WEIR_VK_SHADER_GLU,
	WEIR_VK_SHADER_ROUTE,
	WEIR_VK_SHADER_SORT,
	WEIR_VK_SHADER_MIX,
	WEIR_VK_SHADER_TILE_Q,
	WEIR_VK_SHADER_TILE_F,
	WEIR_VK_SHADER_TILE_C, /* only where vk->coop.cols */
	WEIR_VK_N_SHADERS,
};

enum { WEIR_VK_MAX_SPEC = 21, WEIR_VK_MAX_PUSH = 128 };

enum weir_vk_pipeline_state {
	WEIR_VK_PIPELINE_WANTED,
	WEIR_VK_PIPELINE_BUSY, /* some thread compiles it */
	WEIR_VK_PIPELINE_DONE,
	WEIR_VK_PIPELINE_FAILED,
};

/* A pipeline is found by its shader and specialisation constants. */
struct weir_vk_pipeline {
	struct weir_vk_pipeline *next;
	uint32_t shader, n_spec, state; /* weir_vk_pipeline_state */
	uint32_t spec[WEIR_VK_MAX_SPEC];
	VkPipeline pipeline;
	VkResult result;
};

/* How tile-c.comp is sized. */
struct weir_vk_coop {
	uint32_t subs, tiles; /* subgroups; tiles of each, one below the other */
	uint32_t cols;        /* of a group, at most; 0: it is not used */
	uint32_t halves;      /* of the workgroup's memory, at most; 0: see tile-c.comp */
};

struct weir_vk {
	struct weir_vk_api api;
	struct weir_vk_caps caps;
	struct weir_vk_config config;
	VkInstance instance;
	VkDebugUtilsMessengerEXT messenger;
	VkDevice device;
	VkQueue queue;
	VkSemaphore timeline;
	uint64_t submitted; /* the timeline's value when all is done */
	VkCommandPool pool;
	VkPipelineLayout layout;
	VkPipelineCache cache;
	char *cache_path;
	size_t cache_bytes; /* as loaded */
	VkShaderModule modules[WEIR_VK_N_SHADERS];
	struct weir_vk_pipeline *pipelines; /* under pipeline_lock, as the four below */
	pthread_mutex_t pipeline_lock;
	pthread_cond_t pipeline_changed;
	pthread_t compiler;
	bool compiler_runs, compiler_ends;
	VkPhysicalDeviceMemoryProperties memory;
	int32_t memory_type[WEIR_VK_N_PLACES];
	struct weir_vk_slab *slabs;
	struct weir_vk_team *team;
	struct weir_vk_memory staging; /* where weights cannot be written in place */
	uint64_t bytes_allocated;      /* from the device's heaps */
	uint64_t bytes_imported;       /* host memory taken for weights */
	bool import;                   /* weights in host memory */
	atomic_uint n_messages;        /* of the validation layers */
	atomic_int interrupted;
	bool has_run; /* no load is interrupted any more */
	bool lost;
	/* How shaders are built and sized here. */
	bool subgroups, wide, dot;
	bool unroll;                            /* hints to unroll loops are left in the shaders */
	uint32_t lanes, rows_each, subs, width; /* subgroup; of LINEAR; workgroups of the others */
	uint32_t tile_width, tile_rows;         /* of LINEAR's tiles: lanes, rows of each */
	uint32_t tile_cols;                     /* and columns */
	struct weir_vk_coop coop;
	uint32_t run; /* consecutive blocks of a lane in LINEAR, where rows have enough: 1, 4 */
	uint64_t segment_work; /* multiplications of a submit, about */
	uint32_t tail_norms;   /* most rows that a product's last workgroup norms */
	uint32_t busy;         /* so many sequences' attention needs no split to fill the device */
	uint32_t last_dispatches; /* of the last step: for tests */
	char title[240];
};

/* A weight or a KV cache. */
struct weir_buffer {
	uint32_t type, use; /* use 0: a KV cache */
	uint64_t n_in, n_out;
	uint32_t format; /* layout.h */
	VkDeviceAddress address;
	uint64_t bytes;
	VkDeviceAddress vector; /* VECTOR: n_in * n_out floats */
	struct weir_vk_slab *slab, *vector_slab;
	float *values;                /* VECTOR: the same on the host */
	struct weir_vk_memory memory; /* KV; a weight that is the file's */
	uint32_t n_blocks, block_tokens, n_heads, head_size;
	uint64_t block_bytes;
};

/* What backends/tensor calls `struct weir_instance *`: its data points to a struct that begins with
 * the tensor backend's pointer and goes on with the device. */
struct weir_vk_instance {
	void *tensor_backend;
	struct weir_vk *vk;
};

static inline struct weir_vk *weir_vk_of(struct weir_instance *instance)
{
	return ((struct weir_vk_instance *)instance->data)->vk;
}

/* select.c: every device here, best first; at most max. Creates and destroys a VkInstance when
 * `instance` is NULL. [main] */
weir_status weir_vk_instance_new(struct weir_vk_api *api, bool validate, VkInstance *ret,
				 struct weir_error *err);
weir_status weir_vk_list(const struct weir_vk_api *api, VkInstance instance,
			 struct weir_vk_caps *ret, uint32_t max, uint32_t *ret_n,
			 struct weir_error *err);
/* The device that `wanted` names (index, UUID, part of the name), or the best; NOT_FOUND. */
weir_status weir_vk_choose(const struct weir_vk_caps *caps, uint32_t n, const char *wanted,
			   uint32_t *ret, struct weir_error *err);
/* probe() of the component, for the device that WEIR_VULKAN_DEVICE names or the best. [main] */
int32_t weir_vk_probe(struct weir_error *why);

/* device.c: NOT_FOUND, UNSUPPORTED, UNAVAILABLE, EXHAUSTED. [main] */
weir_status weir_vk_new(const struct weir_vk_config *config, struct weir_vk **ret,
			struct weir_error *err);
void weir_vk_free(struct weir_vk *vk);
const struct weir_device *weir_vk_device(void);
/* As weir_vk_check(), and remembers a lost device. */
weir_status weir_vk_result(struct weir_vk *vk, VkResult result, const char *what,
			   struct weir_error *err);
/* CANCELLED after interrupt(), before the first run: a load asks. [worker, step] */
weir_status weir_vk_go_on(struct weir_vk *vk, struct weir_error *err);
/* UNAVAILABLE once the device is lost. */
weir_status weir_vk_alive(const struct weir_vk *vk, struct weir_error *err);
/* Submits n command buffers and moves the timeline on; waits for all that was submitted. */
weir_status weir_vk_submit(struct weir_vk *vk, const VkCommandBuffer *commands, uint32_t n,
			   struct weir_error *err);
weir_status weir_vk_drain(struct weir_vk *vk, struct weir_error *err);
/* Waits until the timeline has a value. */
weir_status weir_vk_reach(struct weir_vk *vk, uint64_t value, struct weir_error *err);
/* Is the device's memory the host's: a software renderer, an integrated GPU? */
bool weir_vk_is_shared(const struct weir_vk *vk);

/* memory.c. bytes > 0. Zeroed. EXHAUSTED with `what` in its text. */
weir_status weir_vk_memory_new(struct weir_vk *vk, uint64_t bytes, enum weir_vk_place place,
			       const char *what, struct weir_vk_memory *ret,
			       struct weir_error *err);
/* New memory of the host, aligned for the device and imported; not zeroed. Only where vk->import.
 */
weir_status weir_vk_memory_import(struct weir_vk *vk, uint64_t bytes, const char *what,
				  struct weir_vk_memory *ret, struct weir_error *err);
void weir_vk_memory_free(struct weir_vk *vk, struct weir_vk_memory *memory);
/* A piece of a slab for a weight, 256-byte aligned. */
weir_status weir_vk_slab_take(struct weir_vk *vk, uint64_t bytes, struct weir_vk_slab **ret_slab,
			      uint64_t *ret_offset, struct weir_error *err);
void weir_vk_slab_give(struct weir_vk *vk, struct weir_vk_slab *slab);
/* Writes bytes made by fill(data, at, n, dst): pieces in ascending order, each n bytes from byte
 * `at` on, n a multiple of `unit` but for the last. */
weir_status weir_vk_upload(struct weir_vk *vk, const struct weir_vk_memory *dst, uint64_t offset,
			   uint64_t bytes, uint64_t unit,
			   void (*fill)(void *data, uint64_t at, uint64_t n, uint8_t *dst),
			   void *data, struct weir_error *err);
/* Begins a command buffer for once; end runs it and waits. */
weir_status weir_vk_once_begin(struct weir_vk *vk, VkCommandBuffer *ret, struct weir_error *err);
weir_status weir_vk_once_end(struct weir_vk *vk, VkCommandBuffer commands, struct weir_error *err);
uint64_t weir_vk_memory_left(const struct weir_vk *vk);

/* pipeline.c */
weir_status weir_vk_pipelines_open(struct weir_vk *vk, struct weir_error *err);
void weir_vk_pipelines_close(struct weir_vk *vk);
/* Asks for a pipeline that will be needed: a thread of the device's own compiles what is wanted,
 * one after the other. settle() helps, and returns when all are done: the first error; CANCELLED
 * by weir_vk_go_on(). [worker] */
weir_status weir_vk_pipeline_want(struct weir_vk *vk, enum weir_vk_shader shader,
				  const uint32_t *spec, uint32_t n_spec, struct weir_error *err);
weir_status weir_vk_pipelines_settle(struct weir_vk *vk, struct weir_error *err);
/* The pipeline; one that is not done is compiled now, or waited for. [step]
 * spec[0] the workgroup's width, spec[1] the subgroup's; the rest as the shader says. */
weir_status weir_vk_pipeline_get(struct weir_vk *vk, enum weir_vk_shader shader,
				 const uint32_t *spec, uint32_t n_spec, VkPipeline *ret,
				 struct weir_error *err);
/* cache-file.c: Vulkan's pipeline cache as a file in the user's cache folder. A file that is cut
 * short, changed or another driver's is not used. Both fail silently: it is a cache. */
void weir_vk_cache_load(struct weir_vk *vk, uint64_t shader_hash);
void weir_vk_cache_save(struct weir_vk *vk);

/* buffer.c, check.c, program.c, run.c: the vtable's members of the same names. */
weir_status weir_vk_weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			   uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			   struct weir_error *err);
weir_status weir_vk_kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
		       uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
		       weir_buffer **ret, struct weir_error *err);
void weir_vk_buffer_free(struct weir_instance *instance, weir_buffer *buffer);
bool weir_vk_supports(struct weir_instance *instance, const struct weir_op *op,
		      const struct weir_tensor *tensors);
weir_status weir_vk_op_check(const struct weir_op *op, const struct weir_tensor *tensors,
			     struct weir_error *err);
weir_status weir_vk_program_new(struct weir_instance *instance,
				const struct weir_program_desc *desc, weir_program **ret,
				struct weir_error *err);
void weir_vk_program_free(struct weir_instance *instance, weir_program *program);
weir_status weir_vk_run(struct weir_instance *instance, weir_program *program,
			const struct weir_device_batch *batch, struct weir_error *err);
weir_status weir_vk_wait(struct weir_instance *instance, weir_program *program,
			 struct weir_error *err);
const float *weir_vk_output(struct weir_instance *instance, weir_program *program, uint32_t tensor);

#endif
