/*
 * scheduler-metrics.c - the engine's series, named and bucketed as vLLM's are, so that dashboards
 * made for those fit; and what only Weir has. Counters are named without "_total".
 */
#include "scheduler-inside.h"

#include <stdio.h>

#include "log.h"

static const double ttft_bounds[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
				      1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560 };
static const double token_bounds[] = { .01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
				       .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80 };
static const double request_bounds[] = { .3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
					 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680 };
static const double iteration_bounds[] = { 1,   8,    16,   32,   64,   128,  256,
					   512, 1024, 2048, 4096, 8192, 16384 };
static const double choice_bounds[] = { 1, 2, 5, 10, 20 };

struct maker {
	struct weir_metric_set *set;
	const char *labels;
};

static weir_metric *counter(struct maker *m, const char *name, const char *help)
{
	return weir_metric_counter(m->set, name, m->labels, help);
}

static weir_metric *gauge(struct maker *m, const char *name, const char *help)
{
	return weir_metric_gauge(m->set, name, m->labels, help);
}

static weir_metric *histogram(struct maker *m, const char *name, const double *bounds, size_t n,
			      const char *help)
{
	return weir_metric_histogram(m->set, name, m->labels, help, bounds, n);
}

/* 1, 2, 5, 10, 20, 50 ... up to the longest sequence. */
static size_t length_bounds(uint32_t longest, double *bounds, size_t cap)
{
	static const double steps[] = { 1, 2, 5 };
	double power = 1;
	size_t n = 0;

	for (;;) {
		for (int i = 0; i < 3; i++) {
			if (n == cap || steps[i] * power > longest)
				return n;
			bounds[n++] = steps[i] * power;
		}
		power *= 10;
	}
}

static void make_request_series(struct weir_engine_metrics *e, struct maker *m, uint32_t longest)
{
	double bounds[32];
	size_t n = length_bounds(longest, bounds, G_N_ELEMENTS(bounds));

	e->ttft = histogram(m, "vllm:time_to_first_token_seconds", ttft_bounds,
			    G_N_ELEMENTS(ttft_bounds), "Time from arrival to the first token.");
	e->inter_token = histogram(m, "vllm:inter_token_latency_seconds", token_bounds,
				   G_N_ELEMENTS(token_bounds), "Time between two tokens.");
	e->per_output_token = histogram(m, "vllm:request_time_per_output_token_seconds",
					token_bounds, G_N_ELEMENTS(token_bounds),
					"A request's mean time for a token after the first.");
#define SECONDS(member, name, help)                                                                \
	e->member = histogram(m, name, request_bounds, G_N_ELEMENTS(request_bounds), help)
	SECONDS(e2e, "vllm:e2e_request_latency_seconds", "Time from arrival to the end.");
	SECONDS(queue, "vllm:request_queue_time_seconds", "Time from arrival to admission.");
	SECONDS(inference, "vllm:request_inference_time_seconds",
		"Time from admission to the end.");
	SECONDS(prefill, "vllm:request_prefill_time_seconds",
		"Time from admission to the first token.");
	SECONDS(decode, "vllm:request_decode_time_seconds",
		"Time from the first token to the last.");
#undef SECONDS
	e->request_prompt = histogram(m, "vllm:request_prompt_tokens", bounds, n,
				      "Prompt tokens of a request.");
	e->request_generation = histogram(m, "vllm:request_generation_tokens", bounds, n,
					  "Generated tokens of a request.");
	e->request_max_generation = histogram(m, "vllm:request_max_num_generation_tokens", bounds,
					      n, "Tokens of a request's longest choice.");
	e->params_max_tokens = histogram(m, "vllm:request_params_max_tokens", bounds, n,
					 "max_tokens of a request.");
	e->request_computed = histogram(m, "vllm:request_prefill_kv_computed_tokens", bounds, n,
					"Prompt tokens that the cache did not have.");
	e->params_n = histogram(m, "vllm:request_params_n", choice_bounds,
				G_N_ELEMENTS(choice_bounds), "n of a request.");
	e->iteration = histogram(m, "vllm:iteration_tokens_total", iteration_bounds,
				 G_N_ELEMENTS(iteration_bounds), "Tokens of a step.");
}

void weir_engine_metrics_init(struct weir_engine_metrics *e, struct weir_metric_set *set,
			      const char *model_name, const struct weir_model *model)
{
	static const char *const reasons[] = { "stop", "length", "abort", "error" };
	g_autofree char *escaped = g_strescape(model_name, NULL);
	g_autofree char *labels = g_strdup_printf("model_name=\"%s\",engine=\"0\"", escaped);
	struct maker m = { set, labels };

	e->running = gauge(&m, "vllm:num_requests_running", "Requests in the running batch.");
	e->waiting = gauge(&m, "vllm:num_requests_waiting", "Requests that wait to be admitted.");
	e->kv_usage = gauge(&m, "vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.");
	e->stalled = gauge(&m, "weir:streams_stalled", "Requests whose client does not read.");
	e->prompt_tokens = counter(&m, "vllm:prompt_tokens", "Prompt tokens processed.");
	e->prompt_cached =
		counter(&m, "vllm:prompt_tokens_cached", "Prompt tokens that the cache had.");
	e->prompt_recomputed = counter(&m, "vllm:prompt_tokens_recomputed",
				       "Tokens computed again after a preemption or a pause.");
	e->generation_tokens = counter(&m, "vllm:generation_tokens", "Tokens generated.");
	e->preemptions =
		counter(&m, "vllm:num_preemptions", "Sequences that lost their blocks to others.");
	e->prefix_queries =
		counter(&m, "vllm:prefix_cache_queries", "Tokens looked up in the prefix cache.");
	e->prefix_hits = counter(&m, "vllm:prefix_cache_hits", "Tokens found there.");
	e->orphaned = counter(&m, "weir:orphaned_tokens",
			      "Tokens computed for requests that had been cancelled.");
	for (int i = 0; i < 4; i++) {
		g_autofree char *more =
			g_strdup_printf("%s,finished_reason=\"%s\"", labels, reasons[i]);

		e->success[i] = weir_metric_counter(set, "vllm:request_success", more,
						    "Requests that ended, by reason.");
	}
	{
		g_autofree char *config =
			g_strdup_printf("%s,block_size=\"%u\",num_gpu_blocks=\"%u\"", labels,
					model->block_tokens, model->n_blocks);

		weir_metric_set_value(weir_metric_gauge(set, "vllm:cache_config_info", config,
							"Shape of the KV cache; always 1."),
				      1);
	}
	e->drafts = counter(&m, "vllm:spec_decode_num_drafts", "Rows that held guesses.");
	e->draft_tokens = counter(&m, "vllm:spec_decode_num_draft_tokens", "Guessed tokens.");
	e->accepted = counter(&m, "vllm:spec_decode_num_accepted_tokens",
			      "Guessed tokens that came true.");
	for (uint32_t i = 0; i < WEIR_MAX_DRAFT; i++) {
		g_autofree char *more = g_strdup_printf("%s,position=\"%u\"", labels, i);

		e->accepted_at[i] = weir_metric_counter(
			set, "vllm:spec_decode_num_accepted_tokens_per_pos", more,
			"Guessed tokens that came true, by their place in the draft.");
	}
	make_request_series(e, &m, model->n_ctx);
	e->queue_depth =
		weir_metric_gauge(set, "queue_depth", "", "Requests that wait for their turn.");
	e->queue_wait = weir_metric_counter(set, "queue_wait_seconds", "",
					    "Time that requests have spent waiting.");
}

static double seconds(int64_t ns)
{
	return (double)MAX(ns, 0) / 1e9;
}

void weir_engine_metrics_admitted(struct weir_engine_metrics *e, const struct weir_job *job)
{
	weir_metric_observe(e->queue, seconds(job->admitted_ns - job->arrived_ns));
	weir_metric_add(e->prompt_tokens, job->n_prompt);
	weir_metric_add(e->prompt_cached, job->n_cached);
	weir_metric_add(e->prefix_queries, job->n_prompt);
	weir_metric_add(e->prefix_hits, job->n_cached);
	weir_metric_observe(e->request_computed, job->n_prompt - job->n_cached);
}

void weir_engine_metrics_token(struct weir_engine_metrics *e, struct weir_sequence *s,
			       int64_t now_ns)
{
	struct weir_job *job = s->job;

	if (job->first_ns == 0) {
		job->first_ns = now_ns;
		weir_metric_observe(e->ttft, seconds(now_ns - job->arrived_ns));
	}
	if (s->last_token_ns > 0)
		weir_metric_observe(e->inter_token, seconds(now_ns - s->last_token_ns));
	s->last_token_ns = job->last_ns = now_ns;
	weir_metric_add(e->generation_tokens, 1);
}

void weir_engine_metrics_ended(struct weir_engine_metrics *e, const struct weir_job *job,
			       enum weir_finish_reason reason)
{
	int64_t now = weir_clock_ns();
	uint32_t n_output = 0, longest = 0;

	weir_metric_add(e->success[reason], 1);
	if (reason == WEIR_REASON_ABORT || reason == WEIR_REASON_ERROR)
		return;
	for (uint32_t i = 0; i < job->n; i++) {
		n_output += job->seqs[i].n_output;
		longest = MAX(longest, job->seqs[i].n_output);
	}
	weir_metric_observe(e->e2e, seconds(now - job->arrived_ns));
	weir_metric_observe(e->inference, seconds(now - job->admitted_ns));
	weir_metric_observe(e->prefill, seconds(job->first_ns - job->admitted_ns));
	weir_metric_observe(e->decode, seconds(job->last_ns - job->first_ns));
	if (longest > 1)
		weir_metric_observe(e->per_output_token,
				    seconds(job->last_ns - job->first_ns) / (longest - 1));
	weir_metric_observe(e->request_prompt, job->n_prompt);
	weir_metric_observe(e->request_generation, n_output);
	weir_metric_observe(e->request_max_generation, longest);
	weir_metric_observe(e->params_n, job->n);
	if (job->limits->max_tokens > 0)
		weir_metric_observe(e->params_max_tokens, job->limits->max_tokens);
}

static void count_up(weir_metric *metric, uint64_t now, uint64_t *seen)
{
	if (now != *seen)
		weir_metric_add(metric, (double)(now - *seen));
	*seen = now;
}

void weir_engine_metrics_turn(struct weir_scheduler *s)
{
	struct weir_engine_metrics *e = &s->metrics;
	const struct weir_batcher *b = s->batcher;
	uint32_t used = b->n_blocks - weir_blocks_available(b->blocks);
	size_t n_stalled = 0;

	for (guint i = 0; i < s->jobs->len; i++)
		n_stalled += ((struct weir_job *)s->jobs->pdata[i])->stalled;
	atomic_store(&s->n_active, s->jobs->len);
	atomic_store(&s->n_used, used);
	atomic_store(&s->n_cached, weir_blocks_remembered(b->blocks));
	weir_metric_set_value(e->running, (double)(s->jobs->len - n_stalled));
	weir_metric_set_value(e->stalled, (double)n_stalled);
	weir_metric_set_value(e->waiting, (double)atomic_load(&s->n_waiting));
	weir_metric_set_value(e->kv_usage, (double)used / b->n_blocks);
	count_up(e->preemptions, b->n_preempted, &s->seen_preempted);
	count_up(e->prompt_recomputed, b->n_recomputed, &s->seen_recomputed);
	count_up(e->drafts, b->n_drafts, &s->seen_drafts);
	count_up(e->draft_tokens, b->n_guesses, &s->seen_guesses);
	count_up(e->accepted, b->n_right, &s->seen_right);
	for (uint32_t i = 0; i < WEIR_MAX_DRAFT; i++)
		count_up(e->accepted_at[i], b->n_right_at[i], &s->seen_right_at[i]);
}
