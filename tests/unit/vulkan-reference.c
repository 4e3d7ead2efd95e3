/*
 * vulkan-reference.c - see vulkan-reference.h.
 */
#include "vulkan-reference.h"
#include "cpu-fixture.h"

const uint32_t *const reference_types = fixture_types;

void reference_open(struct weir_instance *ret, const struct weir_device **ret_device)
{
	struct fixture *f = g_new0(struct fixture, 1);

	g_assert_true(fixture_init(f, "scalar", 2));
	*ret = (struct weir_instance){ .size = sizeof(*ret), .data = &f->data };
	*ret_device = f->device;
}

void reference_close(struct weir_instance *instance)
{
	struct fixture *f =
		(struct fixture *)((char *)instance->data - offsetof(struct fixture, data));

	fixture_clear(f);
	g_free(f);
}

uint8_t *reference_weights(GRand *rand, uint32_t type, size_t n_in, size_t n_out)
{
	return random_weights(rand, type, n_in, n_out);
}

void reference_random(GRand *rand, float *x, size_t n)
{
	fill_random(rand, x, n);
}

size_t reference_row_bytes(uint32_t type, size_t n_in)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);

	return n_in / t->block * t->bytes;
}

size_t reference_n_types(void)
{
	return fixture_n_types;
}

const char *reference_type_name(uint32_t type)
{
	return weir_cpu_type(type)->name;
}
