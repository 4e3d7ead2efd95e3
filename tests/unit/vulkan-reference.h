/*
 * vulkan-reference.h - the CPU device behind a door of its own, since its private headers have the
 * names of the Vulkan device's: what the latter is held against. For tests.
 */
#ifndef WEIR_TEST_VULKAN_REFERENCE_H
#define WEIR_TEST_VULKAN_REFERENCE_H

#include <glib.h>

#include <weir/draft/device.h>

/* The CPU device's portable level, on two threads. */
void reference_open(struct weir_instance *ret, const struct weir_device **ret_device);
void reference_close(struct weir_instance *instance);

/* As in cpu-fixture.h. */
uint8_t *reference_weights(GRand *rand, uint32_t type, size_t n_in, size_t n_out);
void reference_random(GRand *rand, float *x, size_t n);
size_t reference_row_bytes(uint32_t type, size_t n_in);
extern const uint32_t *const reference_types;
size_t reference_n_types(void);
const char *reference_type_name(uint32_t type);

#endif
