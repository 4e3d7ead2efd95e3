/*
 * test-model-changes.c - a model file that is cut off, written over or replaced while it is read
 * and while its model serves: nobody gets a signal, who reads gets an error that says so, who has
 * read goes on with the same numbers, and a whole file loads again. On the CPU's device, which
 * reads pieces on its own threads, on that device without this, and on one that knows nothing of
 * it.
 */
#include "cpu-fixture.h"
#include "device-scalar.h"
#include "model-writer.h"

#include <weir/services.h>

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VOCAB = 50 };

enum change {
	CHANGE_NONE,
	CHANGE_EMPTY, /* cut off at 0 */
	CHANGE_HALF,
	CHANGE_OVER,   /* other bytes, the same length */
	CHANGE_LONGER, /* bytes behind the last */
	CHANGE_RENAME, /* another file takes its place, as it should be done */
	CHANGE_REMOVE,
	CHANGE_N
};

static const char *const change_names[] = { "none",   "empty",  "half",  "over",
					    "longer", "rename", "remove" };

/* A file, what is in it, and a host that hears of progress and changes the file at one time. */
struct watch {
	struct weir_host host; /* first */
	char *path;
	GByteArray *bytes;
	enum change change;
	unsigned at, n; /* at 0: never */
};

static void restore(const struct watch *w)
{
	/* Long ago, so that any change since shows, however coarse the clock of files is. */
	const struct timespec times[2] = { { 1000000, 0 }, { 1000000, 0 } };
	/* no g_file_set_contents(), which waits for the disk */
	int fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, w->bytes->data, w->bytes->len), ==, w->bytes->len);
	close(fd);
	g_assert_cmpint(utimensat(AT_FDCWD, w->path, times, 0), ==, 0);
}

static void write_at(const char *path, goffset at, gsize n)
{
	g_autofree char *junk = g_malloc(n);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(junk, 0x7f, n);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(pwrite(fd, junk, n, at), ==, n);
	close(fd);
}

static void change(const struct watch *w, enum change change)
{
	g_autofree char *other = g_strconcat(w->path, ".new", NULL);
	gsize len = w->bytes->len;

	switch (change) {
	case CHANGE_EMPTY:
		g_assert_cmpint(truncate(w->path, 0), ==, 0);
		break;
	case CHANGE_HALF:
		g_assert_cmpint(truncate(w->path, (off_t)len / 2), ==, 0);
		break;
	case CHANGE_OVER:
		write_at(w->path, 0, len);
		break;
	case CHANGE_LONGER:
		write_at(w->path, (goffset)len, 100);
		break;
	case CHANGE_RENAME:
		close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		g_assert_cmpint(g_rename(other, w->path), ==, 0);
		break;
	case CHANGE_REMOVE:
		g_assert_cmpint(g_unlink(w->path), ==, 0);
		break;
	default:
		break;
	}
}

static void log_write(const struct weir_host *host, uint32_t level, const char *topic,
		      const char *text)
{
}

static void log_progress(const struct weir_host *host, const char *what, uint64_t done,
			 uint64_t total)
{
	struct watch *w = (struct watch *)host;

	if (++w->n == w->at)
		change(w, w->change);
}

static const void *host_ext(const struct weir_host *host, const char *id)
{
	static const struct weir_log log = { .size = sizeof(log),
					     .write = log_write,
					     .progress = log_progress };

	return strcmp(id, WEIR_HOST_LOG) == 0 ? &log : NULL;
}

static void watch_init(struct watch *w)
{
	struct model_spec spec = model_small;
	struct model *m;

	spec.tied = TRUE; /* the table's rows are read out of the matrix */
	spec.n_ctx = 64;
	m = model_new(&spec);
	*w = (struct watch){ .host = { .size = sizeof(w->host), .get_ext = host_ext },
			     .path = model_write(m),
			     .bytes = model_bytes(m, NULL) };
	model_free(m);
}

static void watch_clear(struct watch *w)
{
	g_unlink(w->path);
	g_free(w->path);
	g_byte_array_unref(w->bytes);
}

static struct weir_tensor_backend *backend_new(struct watch *w, struct weir_instance *instance,
					       const struct weir_device *device)
{
	struct weir_kv conf[] = { { "model", w->path }, { "kv_type", "f32" }, { "context", "64" } };
	struct weir_tensor_backend *b = NULL;
	struct weir_error err = { 0 };

	g_assert_cmpint(weir_tensor_backend_new(&w->host, instance, device, conf,
						G_N_ELEMENTS(conf), &b, &err),
			==, WEIR_OK);
	*(struct weir_tensor_backend **)instance->data = b;
	return b;
}

/* The logits behind a few tokens. */
static void run(struct weir_tensor_backend *b, struct weir_instance *instance, float *ret_logits)
{
	static const uint32_t blocks[] = { 0, 1 };
	static const int32_t tokens[] = { 3, 49, 0, 17, 31, 8 };
	static const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	const struct weir_backend_step *step = weir_tensor_backend_ext(b, WEIR_BACKEND_STEP);
	struct weir_row row = { .count = G_N_ELEMENTS(tokens),
				.n_blocks = G_N_ELEMENTS(blocks),
				.blocks = blocks,
				.sampling = &greedy,
				.history = tokens,
				.n_history = G_N_ELEMENTS(tokens),
				.n_prompt = G_N_ELEMENTS(tokens) };
	struct weir_batch batch = { .size = sizeof(batch),
				    .row_size = sizeof(row),
				    .n_rows = 1,
				    .n_tokens = G_N_ELEMENTS(tokens),
				    .want_logits = 1,
				    .tokens = tokens,
				    .rows = &row };
	struct weir_error err = { 0 }, error;
	int32_t drawn;
	float logprob;
	struct weir_step ret = { .size = sizeof(ret),
				 .token = &drawn,
				 .logprob = &logprob,
				 .logits = ret_logits,
				 .error = &error };

	g_assert_cmpint(step->step(instance, &batch, &ret, &err), ==, WEIR_OK);
}

static weir_status load(struct watch *w, struct weir_tensor_backend *b,
			struct weir_instance *instance, struct weir_error *err)
{
	const struct weir_backend_step *step = weir_tensor_backend_ext(b, WEIR_BACKEND_STEP);
	struct weir_model model = { .size = sizeof(model) };

	w->n = 0;
	return step->load(instance, &model, err);
}

/* Every change at every time of a load; and after it, while the model serves. */
static void try_device(struct watch *w, struct weir_instance *instance,
		       const struct weir_device *device)
{
	float want[VOCAB], got[VOCAB];
	unsigned all;

	for (int c = CHANGE_NONE; c < CHANGE_N; c++) {
		struct weir_error err = { 0 };
		struct weir_tensor_backend *b;

		restore(w);
		w->at = 0;
		b = backend_new(w, instance, device);
		g_assert_cmpint(load(w, b, instance, &err), ==, WEIR_OK);
		all = w->n;
		change(w, c);
		run(b, instance, c == CHANGE_NONE ? want : got);
		if (c != CHANGE_NONE)
			g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
		weir_tensor_backend_free(b);
	}
	g_assert_cmpuint(all, >, 10);
	for (int c = CHANGE_EMPTY; c < CHANGE_N; c++) {
		for (unsigned at = 1; at <= all; at++) {
			/* The old file is there as long as it is open; after the last progress it
			 * is needed no longer. */
			bool fine = c == CHANGE_RENAME || c == CHANGE_REMOVE || at == all;
			struct weir_error err = { 0 };
			struct weir_tensor_backend *b;
			weir_status s;

			restore(w);
			w->change = c;
			w->at = at;
			b = backend_new(w, instance, device);
			s = load(w, b, instance, &err);
			if (s != (fine ? WEIR_OK : WEIR_E_UNAVAILABLE))
				g_error("%s at %u of %u: %d, %s", change_names[c], at, all, s,
					err.text);
			if (fine) {
				run(b, instance, got);
				g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
			} else {
				const char *name = strrchr(w->path, '/') + 1;

				g_assert_true(g_str_has_prefix(err.text, name));
				g_assert_nonnull(strstr(err.text, "was changed while it was read"));
				if (at == 1 && c == CHANGE_EMPTY)
					g_assert_nonnull(strstr(err.text, "ended at byte"));
			}
			weir_tensor_backend_free(b);
		}
	}
}

static void test_cpu(void)
{
	struct weir_device plain;
	struct fixture f;
	struct watch w;

	watch_init(&w);
	g_assert_true(fixture_init(&f, "scalar", 2));
	try_device(&w, &f.instance, f.device);
	plain = *f.device;
	plain.weight_from = NULL;
	try_device(&w, &f.instance, &plain);
	fixture_clear(&f);
	watch_clear(&w);
}

static void test_scalar(void)
{
	struct device_scalar d;
	struct watch w;

	watch_init(&w);
	device_scalar_init(&d);
	try_device(&w, &d.instance, &device_scalar);
	g_assert_cmpint(d.n_buffers, ==, 0);
	watch_clear(&w);
}

struct vandal {
	struct watch *w;
	guint32 seed;
	gint stop;
};

static gpointer vandalise(gpointer data)
{
	struct vandal *v = data;
	g_autoptr(GRand) rand = g_rand_new_with_seed(v->seed);
	int fd = open(v->w->path, O_RDWR | O_CLOEXEC);
	gint32 len = (gint32)v->w->bytes->len;

	g_assert_cmpint(fd, >=, 0);
	while (!g_atomic_int_get(&v->stop)) {
		gint32 at = g_rand_int_range(rand, 0, len);
		char byte = (char)g_rand_int(rand);

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			g_assert_cmpint(ftruncate(fd, at), ==, 0);
			break;
		case 1:
			g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
			break;
		default: /* whole again, so that loads get further than the header */
			g_assert_cmpint(pwrite(fd, v->w->bytes->data, (gsize)len, 0), ==, len);
			break;
		}
	}
	close(fd);
	return NULL;
}

/* Any change at any time, in the middle of a read too: an error, or a model that runs. */
static void test_vandal(void)
{
	struct fixture f;
	struct watch w;
	unsigned n_fine = 0, n_failed = 0;

	watch_init(&w);
	g_assert_true(fixture_init(&f, "scalar", 2));
	for (guint32 seed = 0; seed < 6; seed++) {
		struct vandal v = { .w = &w, .seed = seed };
		GThread *thread;

		restore(&w);
		thread = g_thread_new("vandal", vandalise, &v);
		for (int i = 0; i < 20; i++) {
			struct weir_tensor_backend *b = backend_new(&w, &f.instance, f.device);
			struct weir_error err = { 0 };
			float logits[VOCAB];
			weir_status s = load(&w, b, &f.instance, &err);

			n_fine += s >= 0;
			n_failed += s < 0;
			if (s >= 0)
				run(b, &f.instance, logits);
			else
				g_assert_cmpstr(err.text, !=, "");
			weir_tensor_backend_free(b);
		}
		g_atomic_int_set(&v.stop, 1);
		g_thread_join(thread);
	}
	g_test_message("%u loads, %u refusals", n_fine, n_failed);
	g_assert_cmpuint(n_failed, >, 0);
	restore(&w);
	try_device(&w, &f.instance, f.device);
	fixture_clear(&f);
	watch_clear(&w);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/model-changes/cpu", test_cpu);
	g_test_add_func("/model-changes/scalar", test_scalar);
	g_test_add_func("/model-changes/vandal", test_vandal);
	return g_test_run();
}
