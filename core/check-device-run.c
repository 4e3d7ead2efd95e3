/*
 * core/check-device-run.c - plans on the device that is checked, see check-device.h: opened without
 * a model, made, run, and held against the reference.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check-device.h"

#define MAX_FAILURES 6
#define MAX_WITHOUT  400 /* bytes */

void weir_check_device_at(struct weir_check_device *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->check->trace, WEIR_CHECK_TRACE, format, args);
	va_end(args);
}

void weir_check_device_fail(struct weir_check_device *d, const char *what, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	if (d->n_failed++ < MAX_FAILURES)
		weir_check_fail(d->check, "%s: %s", what, text);
}

bool weir_check_device_tired(const struct weir_check_device *d)
{
	return d->n_failed >= MAX_FAILURES;
}

void weir_check_device_without(struct weir_check_device *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	if (!strstr(d->without->str, text))
		g_string_append_printf(d->without, "%s%s", d->without->len ? "; " : "", text);
}

struct weir_check_plan *weir_check_device_plan(struct weir_check_device *d, uint32_t max_rows)
{
	struct weir_check_plan *plan =
		weir_check_plan_new(d->check->seed + d->plans->len, max_rows);

	g_ptr_array_add(d->plans, plan);
	return plan;
}

/* Options with a path for each that is required and was not given. */
static GPtrArray *options_without_files(const struct weir_check *check)
{
	const struct weir_option *const *options = check->component->options;
	GPtrArray *all = g_ptr_array_new_with_free_func(g_free);

	for (unsigned i = 0; i < check->options->len; i++)
		g_ptr_array_add(all, g_strdup(g_ptr_array_index(check->options, i)));
	for (size_t i = 0; options && options[i]; i++) {
		g_autofree char *key = g_strdup_printf("%s=", options[i]->key);
		bool given = false;

		for (unsigned k = 0; k < all->len; k++)
			given |= g_str_has_prefix(g_ptr_array_index(all, k), key);
		if (!given && options[i]->type == WEIR_OPTION_PATH &&
		    options[i]->flags & WEIR_OPTION_REQUIRED)
			g_ptr_array_add(all, g_strconcat(key, "weir-check-needs-no-file", NULL));
	}
	return all;
}

static struct weir_part *create(struct weir_check *check)
{
	GPtrArray *all = options_without_files(check);
	const GPtrArray *given = check->options;

	check->options = all;
	struct weir_part *part = weir_check_create(check, NULL);
	check->options = given;
	g_ptr_array_unref(all);
	return part;
}

static bool is_whole(struct weir_check *check, const struct weir_device *api, bool loud)
{
	bool whole = true;

#define PRESENT(member) WEIR_HAS(struct weir_device, api, member)
	const struct {
		const char *name;
		bool there;
	} members[] = {
		{ "info", PRESENT(info) },
		{ "supports", PRESENT(supports) },
		{ "weight", PRESENT(weight) },
		{ "kv", PRESENT(kv) },
		{ "buffer_free", PRESENT(buffer_free) },
		{ "program_new", PRESENT(program_new) },
		{ "program_free", PRESENT(program_free) },
		{ "run", PRESENT(run) },
		{ "wait", PRESENT(wait) },
		{ "output", PRESENT(output) },
		{ "interrupt", PRESENT(interrupt) },
	};
#undef PRESENT
	for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
		whole &= members[i].there;
		if (!members[i].there && loud)
			weir_check_fail(check, "%s lacks %s()", WEIR_DEVICE, members[i].name);
	}
	return whole;
}

static bool device_open(struct weir_check_device *d, struct weir_check *check, bool loud)
{
	struct weir_error err;

	memset(d, 0, sizeof(*d));
	memset(&err, 0, sizeof(err));
	d->check = check;
	if (check->component->role != WEIR_ROLE_BACKEND) {
		weir_check_absent(check);
		return false;
	}
	weir_check_device_at(d, "creating the instance");
	d->part = create(check);
	if (!d->part)
		return false;
	if (!weir_part_ext(d->part, WEIR_DEVICE)) {
		weir_check_absent(check);
		return false;
	}
	if (weir_part_start(d->part, &err) != WEIR_OK) {
		weir_check_skip(check, "start() says: %s", err.text);
		return false;
	}
	d->instance = d->part->instance;
	d->api = weir_part_ext(d->part, WEIR_DEVICE);
	d->without = g_string_new(NULL);
	d->believed = g_string_new(NULL);
	d->plans = g_ptr_array_new_with_free_func(weir_check_plan_free);
	return is_whole(check, d->api, loud);
}

bool weir_check_device_open(struct weir_check_device *d, struct weir_check *check)
{
	return device_open(d, check, true);
}

bool weir_check_device_open_quietly(struct weir_check_device *d, struct weir_check *check)
{
	if (device_open(d, check, false))
		return true;
	if (check->verdict != WEIR_CHECK_FAILED)
		weir_check_absent(check);
	return false;
}

void weir_check_device_close(struct weir_check_device *d)
{
	struct weir_check *check = d->check;

	weir_check_device_at(d, "ending the instance");
	weir_part_destroy(d->part);
	g_ptr_array_unref(d->plans);
	if (d->n_compared > 0)
		g_string_append_printf(check->text, "%s%u results compared",
				       check->text->len ? "\n" : "", d->n_compared);
	if (d->believed->len > 0)
		g_string_append_printf(check->text,
				       "%snot compared with a decoder of their own, but with what "
				       "EMBED reads from them: %s",
				       check->text->len ? "\n" : "", d->believed->str);
	if (d->without->len > 0) {
		g_string_append_printf(check->text, "%snot supported: %.*s%s",
				       check->text->len ? "\n" : "", MAX_WITHOUT, d->without->str,
				       d->without->len > MAX_WITHOUT ? "..." : "");
	}
	if (weir_check_going(check) && d->n_compared == 0 && d->without->len > 0)
		check->verdict = WEIR_CHECK_SKIPPED;
	g_string_free(d->without, true);
	g_string_free(d->believed, true);
}

/* False: no such buffer here, or a failure was recorded. */
static bool make_buffer(struct weir_check_made *made, uint32_t i)
{
	const struct weir_check_part *part = &made->plan->parts[i];
	struct weir_check_device *d = made->device;
	bool weight = part->tensor.kind == WEIR_TENSOR_WEIGHT;
	struct weir_error err;
	weir_status s;

	if (!weight && part->tensor.kind != WEIR_TENSOR_KV)
		return true;
	memset(&err, 0, sizeof(err));
	s = weight ? d->api->weight(d->instance, part->type, part->n_in, part->n_out, part->use,
				    part->bytes, &made->buffers[i], &err)
		   : d->api->kv(d->instance, part->type, part->n_blocks, part->block_tokens,
				part->n_heads, part->head_size, &made->buffers[i], &err);
	if (s >= 0 && !made->buffers[i])
		weir_check_device_fail(d, made->what, "%s() returned OK and no buffer",
				       weight ? "weight" : "kv");
	else if (s < 0 && !err.text[0])
		weir_check_device_fail(d, made->what, "%s() failed with %d and without a reason",
				       weight ? "weight" : "kv", s);
	else if (s == WEIR_E_UNSUPPORTED)
		weir_check_device_without(d, "%s%s", weir_check_type(part->type)->name,
					  weight ? " weights" : " caches");
	else if (s < 0)
		weir_check_device_fail(d, made->what, "%s() failed with %d: %s",
				       weight ? "weight" : "kv", s, err.text);
	else
		return true;
	return false;
}

weir_status weir_check_made_program(struct weir_check_made *made, weir_program **ret,
				    struct weir_error *err)
{
	const struct weir_check_plan *plan = made->plan;
	struct weir_tensor tensors[WEIR_CHECK_PARTS];
	struct weir_check_device *d = made->device;
	const struct weir_program_desc desc = {
		.size = sizeof(desc),
		.n_tensors = plan->n_parts,
		.n_ops = plan->n_ops,
		.max_tokens = plan->max_rows,
		.max_rows = plan->max_rows,
		.max_out = plan->max_rows,
		.tensors = tensors,
		.ops = plan->ops,
	};

	memset(err, 0, sizeof(*err));
	for (uint32_t i = 0; i < plan->n_parts; i++) {
		tensors[i] = plan->parts[i].tensor;
		tensors[i].buffer = made->buffers[i];
	}
	return d->api->program_new(d->instance, &desc, ret, err);
}

/* The first operation that the device does not have, or n_ops. */
static uint32_t first_without(struct weir_check_made *made)
{
	struct weir_tensor tensors[WEIR_CHECK_PARTS];
	uint32_t i;

	for (i = 0; i < made->plan->n_parts; i++) {
		tensors[i] = made->plan->parts[i].tensor;
		tensors[i].buffer = made->buffers[i];
	}
	for (i = 0; i < made->plan->n_ops; i++)
		if (!made->device->api->supports(made->device->instance, &made->plan->ops[i],
						 tensors))
			break;
	return i;
}

bool weir_check_make(struct weir_check_made *made, struct weir_check_device *d,
		     struct weir_check_plan *plan, const char *what)
{
	struct weir_error err;
	uint32_t without;
	weir_status s;

	memset(made, 0, sizeof(*made));
	made->device = d;
	made->plan = plan;
	g_strlcpy(made->what, what, sizeof(made->what));
	weir_check_device_at(d, "%s, making the program", what);
	for (uint32_t i = 0; i < plan->n_parts; i++)
		if (!make_buffer(made, i))
			goto fail;
	without = first_without(made);
	s = weir_check_made_program(made, &made->program, &err);
	if (without < plan->n_ops) {
		weir_check_device_without(d, "%s", what);
		if (s >= 0)
			weir_check_device_fail(d, what,
					       "supports() says no and program_new() takes it");
		else if (!err.text[0])
			weir_check_device_fail(d, what, "program_new() refuses without a reason");
		goto fail;
	}
	if (s < 0) {
		weir_check_device_fail(d, what,
				       "supports() says yes and program_new() fails with %d: %s", s,
				       err.text);
		goto fail;
	}
	if (made->program)
		return true;
	weir_check_device_fail(d, what, "program_new() returned OK and no program");
fail:
	weir_check_made_free(made);
	return false;
}

void weir_check_made_free(struct weir_check_made *made)
{
	const struct weir_device *api = made->device->api;

	if (made->program)
		api->program_free(made->device->instance, made->program);
	for (uint32_t i = 0; i < WEIR_CHECK_PARTS; i++)
		if (made->buffers[i])
			api->buffer_free(made->device->instance, made->buffers[i]);
	made->program = NULL;
	memset(made->buffers, 0, sizeof(made->buffers));
}

bool weir_check_made_step(struct weir_check_made *made, const struct weir_device_batch *batch)
{
	struct weir_check_device *d = made->device;
	struct weir_error err;
	weir_status s;

	weir_check_device_at(d, "%s, %u tokens of %u sequences", made->what, batch->n_tokens,
			     batch->n_rows);
	memset(&err, 0, sizeof(err));
	s = d->api->run(d->instance, made->program, batch, &err);
	if (s < 0) {
		weir_check_device_fail(d, made->what, "run() fails with %d: %s", s, err.text);
		return false;
	}
	s = d->api->wait(d->instance, made->program, &err);
	if (s < 0)
		weir_check_device_fail(d, made->what, "wait() fails with %d: %s", s, err.text);
	return s >= 0;
}

const float *weir_check_made_output(struct weir_check_made *made, uint32_t tensor)
{
	struct weir_check_device *d = made->device;
	const float *x = d->api->output(d->instance, made->program, tensor);

	if (!x)
		weir_check_device_fail(d, made->what, "output() of an OUTPUT gives nothing");
	return x;
}

/* The sum of (got - want)^2; infinite if anything is no number. */
static double distance(const float *got, const double *want, uint64_t n)
{
	double off = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (!isfinite(got[i]))
			return INFINITY;
		off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
	}
	return off;
}

static double square(const double *x, uint64_t n)
{
	double sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sum;
}

bool weir_check_made_compare(struct weir_check_made *made, const struct weir_device_batch *batch,
			     uint32_t tensor, double bound)
{
	const struct weir_check_part *part = &made->plan->parts[tensor];
	uint32_t n = part->tensor.rows == WEIR_ROWS_TOKENS ? batch->n_tokens : batch->n_out;
	const float *got = weir_check_made_output(made, tensor);
	uint64_t width = part->tensor.width;
	/* A row in which all happens to cancel is measured by what rows are like. */
	double usual = square(part->values, n * width) / n, most = -1;
	uint32_t worst = 0;

	if (!got)
		return false;
	for (uint32_t r = 0; r < n; r++) {
		const double *want = part->values + r * width;
		double off = distance(got + r * width, want, width);

		off = off == 0 ? 0 : off / MAX(square(want, width), usual);
		if (off > most) {
			most = off;
			worst = r;
		}
	}
	made->device->n_compared++;
	if (most <= bound)
		return true;
	weir_check_device_fail(made->device, made->what,
			       "row %u of %u is off by %.2g of its square; %.0e is allowed", worst,
			       n, most, bound);
	return false;
}

bool weir_check_made_both(struct weir_check_made *made, const struct weir_device_batch *batch,
			  uint32_t tensor, double bound)
{
	if (!weir_check_made_step(made, batch))
		return false;
	weir_check_reference(made->plan, batch);
	return weir_check_made_compare(made, batch, tensor, bound);
}

bool weir_check_device_values(struct weir_check_device *d, struct weir_check_plan *plan,
			      uint32_t weight)
{
	struct weir_check_part *part = &plan->parts[weight];
	const struct weir_check_type *type = weir_check_type(part->type);
	struct weir_check_plan *reader;
	struct weir_check_made made;
	uint32_t table, rows;
	struct weir_op *op;
	bool fine = true;

	if (type->decode)
		return true;
	reader = weir_check_device_plan(d, 1);
	table = weir_check_plan_weight(reader, part->type, part->n_in, part->n_out,
				       WEIR_WEIGHT_TABLE);
	memcpy(reader->parts[table].bytes, part->bytes,
	       part->n_in / type->n * part->n_out * type->bytes);
	rows = weir_check_plan_temp(reader, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, part->n_in);
	op = weir_check_plan_op(reader, WEIR_OP_EMBED);
	op->src[0] = table;
	op->dst[0] = rows;
	g_autofree char *what = g_strdup_printf("EMBED of %s", type->name);
	if (!weir_check_make(&made, d, reader, what))
		return false;
	if (!strstr(d->believed->str, type->name))
		g_string_append_printf(d->believed, "%s%s", d->believed->len ? ", " : "",
				       type->name);
	for (uint64_t r = 0; fine && r < part->n_out; r++) {
		struct weir_check_batch *batch = weir_check_batch_one(1, (int32_t)r);
		const float *x = NULL;

		fine = weir_check_made_step(&made, &batch->batch) &&
		       (x = weir_check_made_output(&made, rows));
		for (uint64_t i = 0; fine && i < part->n_in; i++)
			part->values[r * part->n_in + i] = (double)x[i];
		weir_check_batch_free(batch);
	}
	weir_check_made_free(&made);
	return fine;
}
