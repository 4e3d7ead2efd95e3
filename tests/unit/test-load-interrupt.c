/*
 * test-load-interrupt.c - interrupt() while a model loads: on a device that knows nothing of it
 * (between tensors), and on the CPU's, which heeds it within a matrix, too.
 */
#include "cpu-fixture.h"
#include "device-scalar.h"
#include "model-writer.h"

#include <weir/services.h>

#include <glib/gstdio.h>
#include <string.h>

/* A host that hears of progress, and interrupts at one of the times. */
struct watch {
	struct weir_host host; /* first */
	const struct weir_backend_step *step;
	struct weir_instance *instance;
	unsigned at, n; /* at 0: never */
};

static void log_write(const struct weir_host *host, uint32_t level, const char *topic,
		      const char *text)
{
}

static void log_progress(const struct weir_host *host, const char *what, uint64_t done,
			 uint64_t total)
{
	struct watch *w = (struct watch *)host;

	if (++w->n == w->at)
		w->step->interrupt(w->instance);
}

static const void *host_ext(const struct weir_host *host, const char *id)
{
	static const struct weir_log log = { .size = sizeof(log),
					     .write = log_write,
					     .progress = log_progress };

	return strcmp(id, WEIR_HOST_LOG) == 0 ? &log : NULL;
}

static char *small_model(void)
{
	struct model_spec spec = model_small;
	struct model *m = model_new(&spec);
	char *path = model_write(m);

	model_free(m);
	return path;
}

/* Loads, with an interruption at the n-th progress (0: none; -1: before the load). Returns how many
 * there were. */
static unsigned load(struct weir_instance *instance, const struct weir_device *device,
		     const char *path, int at, weir_status want)
{
	struct weir_kv conf[] = { { "model", path }, { "kv_type", "f32" }, { "context", "64" } };
	struct watch w = { .host = { .size = sizeof(w.host), .get_ext = host_ext },
			   .instance = instance,
			   .at = at > 0 ? (unsigned)at : 0 };
	struct weir_model model = { .size = sizeof(model) };
	struct weir_tensor_backend *b = NULL;
	struct weir_error err = { 0 };

	g_assert_cmpint(weir_tensor_backend_new(&w.host, instance, device, conf, G_N_ELEMENTS(conf),
						&b, &err),
			==, WEIR_OK);
	*(struct weir_tensor_backend **)instance->data = b;
	w.step = weir_tensor_backend_ext(b, WEIR_BACKEND_STEP);
	if (at < 0)
		w.step->interrupt(instance);
	g_assert_cmpint(w.step->load(instance, &model, &err), ==, want);
	if (want == WEIR_E_CANCELLED)
		g_assert_nonnull(strstr(err.text, "interrupted"));
	else
		g_assert_cmpstr(err.text, ==, "");
	weir_tensor_backend_free(b);
	return w.n;
}

static void test_between(void)
{
	g_autofree char *path = small_model();
	struct device_scalar d;
	unsigned all, n_weights;

	device_scalar_init(&d);
	all = load(&d.instance, &device_scalar, path, 0, WEIR_OK);
	n_weights = d.n_weights;
	g_assert_cmpuint(all, >, 10);
	for (int at = -1; at < (int)all; at++) {
		if (at == 0)
			continue;
		device_scalar_init(&d);
		/* Nothing more is told, or loaded. */
		g_assert_cmpuint(load(&d.instance, &device_scalar, path, at, WEIR_E_CANCELLED), ==,
				 at < 0 ? 0 : at);
		g_assert_cmpuint(d.n_weights, <, n_weights);
		g_assert_cmpint(d.n_buffers, ==, 0);
		g_assert_cmpint(d.n_programs, ==, 0);
	}
	/* The last progress comes after the weights: no program is made. */
	device_scalar_init(&d);
	load(&d.instance, &device_scalar, path, (int)all, WEIR_E_CANCELLED);
	g_assert_cmpuint(d.n_weights, ==, n_weights);
	g_assert_cmpint(d.n_buffers, ==, 0);
	g_unlink(path);
}

static void test_cpu(void)
{
	g_autofree char *path = small_model();
	static const int at[] = { -1, 1, 5, 0 };

	for (size_t i = 0; i < G_N_ELEMENTS(at); i++) {
		struct fixture f;

		g_assert_true(fixture_init(&f, "scalar", 2));
		load(&f.instance, f.device, path, at[i], at[i] ? WEIR_E_CANCELLED : WEIR_OK);
		fixture_clear(&f);
	}
	g_unlink(path);
}

/* Within one matrix. */
static void test_matrix(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	g_autofree uint8_t *w = random_weights(rand, WEIR_DTYPE_Q8_0, 64, 64);
	struct weir_error err = { 0 };
	weir_buffer *b = NULL;
	struct fixture f;

	g_assert_true(fixture_init(&f, "scalar", 2));
	f.device->interrupt(&f.instance);
	g_assert_cmpint(f.device->weight(&f.instance, WEIR_DTYPE_Q8_0, 64, 64, WEIR_WEIGHT_MATRIX,
					 w, &b, &err),
			==, WEIR_E_CANCELLED);
	g_assert_null(b);
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/load-interrupt/between", test_between);
	g_test_add_func("/load-interrupt/cpu", test_cpu);
	g_test_add_func("/load-interrupt/matrix", test_matrix);
	return g_test_run();
}
