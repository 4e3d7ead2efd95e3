/*
 * backends/tensor/backend.h - turns a level-C device into a level-B backend.
 *
 * Called by the cpu, cuda and vulkan plugins. The plugin's create() makes its device and then a
 * tensor backend on top of it; instance->data must point to a struct whose FIRST member is the
 * `struct weir_tensor_backend *`, since the extensions returned here find it that way.
 */
#ifndef WEIR_TENSOR_BACKEND_H
#define WEIR_TENSOR_BACKEND_H

#include <weir/backend.h>
#include <weir/draft/device.h>
#include <weir/tokenizer.h>

struct weir_tensor_backend;

/* The options that every tensor backend shares, for the plugin's own list: model (PATH, required),
 * context, max_sequences, max_batch_tokens, kv_type, kv_memory, block_tokens. NULL-terminated. */
extern const struct weir_option *const weir_tensor_options[];

/* conf: the instance's configuration; keys that are not in weir_tensor_options are ignored. Neither
 * the file nor the device is touched before load(). [main] */
weir_status weir_tensor_backend_new(const struct weir_host *host, struct weir_instance *instance,
				    const struct weir_device *device, const struct weir_kv *conf,
				    size_t n_conf, struct weir_tensor_backend **ret,
				    struct weir_error *err);

/* Frees weights, caches and programs through the device; before the device itself. NULL: nothing.
 */
void weir_tensor_backend_free(struct weir_tensor_backend *);

/* WEIR_BACKEND_STEP, WEIR_TOKENIZER, WEIR_ADAPTERS, WEIR_EMBEDDER; NULL for any other id. [any] */
const void *weir_tensor_backend_ext(struct weir_tensor_backend *, const char *id);

#endif
