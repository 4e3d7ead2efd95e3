/*
 * sequence.c - see sequence.h. block_tokens is the blocks' own affair except here, where positions
 * become blocks.
 */
#include "sequence.h"

#include <stdlib.h>
#include <string.h>

#include "request.h"

/* splitmix64 (Steele, Lea and Flood 2014): the seeds of further choices. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

struct weir_job *weir_job_new(struct weir_channel *channel, weir_request *request)
{
	const struct weir_limits *limits = weir_request_limits(request);
	uint32_t n = MAX(1u, limits->n);
	struct weir_job *job = g_malloc0(sizeof(*job) + n * sizeof(job->seqs[0]));

	job->channel = weir_channel_ref(channel);
	job->out = weir_channel_producer(channel);
	job->request = weir_request_ref(request);
	job->limits = limits;
	job->sampling = weir_request_sampling(request);
	job->waiter.priority = limits->priority;
	job->n = job->n_live = n;
	job->arrived_ns = weir_clock_ns();
	return job;
}

void weir_sequence_give_prompt(struct weir_sequence *s)
{
	const struct weir_job *job = s->job;

	s->cap_tokens = job->n_prompt + MIN(job->max_output, 256u) + 1;
	s->tokens = g_new(int32_t, s->cap_tokens);
	memcpy(s->tokens, job->prompt, job->n_prompt * sizeof(*s->tokens));
	s->n_tokens = job->n_prompt;
}

void weir_job_give_seeds(struct weir_job *job, uint64_t seed)
{
	job->seed = seed;
	for (uint32_t i = 0; i < job->n; i++)
		job->seqs[i].seed = i == 0 ? seed : mix(seed + i);
}

uint32_t weir_job_size(const struct weir_job *job)
{
	return job->seqs[job->lead].n_tokens;
}

void weir_job_prepare(struct weir_job *job)
{
	weir_job_give_seeds(job, job->sampling->seed);
	for (uint32_t i = 0; i < job->n; i++) {
		struct weir_sequence *s = &job->seqs[i];

		s->job = job;
		s->index = i;
		s->copy_from = s->copy_to = WEIR_NO_BLOCK;
		s->key = job->root;
		s->cutter = weir_cutter_new(job->stops);
	}
	weir_sequence_give_prompt(&job->seqs[0]); /* the others get theirs when they begin */
	job->forked = job->n == 1;
}

void weir_job_free(struct weir_job *job)
{
	if (!job)
		return;
	for (uint32_t i = 0; i < job->n; i++) {
		g_free(job->seqs[i].tokens);
		g_free(job->seqs[i].blocks);
		weir_guesser_free(job->seqs[i].guesser);
		weir_cutter_free(job->seqs[i].cutter);
		if (job->seqs[i].place)
			job->grammar_api->state_free(job->seqs[i].place);
		if (job->seqs[i].answer)
			job->answers->free(job->seqs[i].answer);
	}
	if (job->pending)
		g_queue_free_full(job->pending, g_free);
	free(job->grammar);
	weir_cutter_free(job->echoed);
	weir_stops_free(job->stops);
	g_free(job->prompt);
	g_free(job->reply);
	weir_embed_work_free(job->embed);
	weir_request_unref(job->request);
	weir_channel_unref(job->channel);
	g_free(job);
}

uint32_t weir_sequence_pending(const struct weir_sequence *s, bool *ret_samples)
{
	const struct weir_job *job = s->job;

	*ret_samples = job->forked && !job->limits->no_output;
	if (job->limits->no_output)
		return weir_sequence_scores(s) ? job->n_prompt - 1 - s->n_kv : 0;
	if (job->forked)
		return s->n_tokens - s->n_kv;
	return s->index == job->lead ? job->n_prompt - 1 - s->n_kv : 0;
}

bool weir_sequence_scores(const struct weir_sequence *s)
{
	const struct weir_job *job = s->job;

	return job->scores && s->index == job->lead && job->n_scored + 1 < job->n_prompt;
}

int32_t *weir_sequence_tail(struct weir_sequence *s, uint32_t n)
{
	if (n > s->cap_tokens - s->n_tokens) {
		s->cap_tokens = MAX(s->cap_tokens * 2, s->n_tokens + n);
		s->tokens = g_renew(int32_t, s->tokens, s->cap_tokens);
	}
	return s->tokens + s->n_tokens;
}

void weir_sequence_append(struct weir_sequence *s, int32_t token)
{
	*weir_sequence_tail(s, 1) = token;
	s->n_tokens++;
	s->n_output++;
}

static void add_block(struct weir_sequence *s, uint32_t block)
{
	if (s->n_blocks == s->cap_blocks) {
		s->cap_blocks = MAX(8u, s->cap_blocks * 2);
		s->blocks = g_renew(uint32_t, s->blocks, s->cap_blocks);
	}
	s->blocks[s->n_blocks++] = block;
}

uint32_t weir_sequence_match(struct weir_sequence *s, struct weir_blocks *blocks)
{
	uint32_t size = weir_blocks_size(blocks), block;
	struct weir_prefix_key key;

	/* What is to be scored has to be computed. */
	while (s->n_kv + size < s->n_tokens &&
	       (!weir_sequence_scores(s) || s->n_kv + size <= s->job->n_scored) &&
	       weir_blocks_find(blocks, s->key, s->tokens + s->n_kv, &key, &block)) {
		add_block(s, block);
		s->key = key;
		s->n_keyed++;
		s->n_kv += size;
	}
	return s->n_kv;
}

uint32_t weir_sequence_room(const struct weir_sequence *s, const struct weir_blocks *blocks)
{
	uint64_t total = (uint64_t)s->n_blocks + weir_blocks_available(blocks);

	total *= weir_blocks_size(blocks);
	return (uint32_t)MIN(total - s->n_kv, UINT32_MAX);
}

bool weir_sequence_reserve(struct weir_sequence *s, struct weir_blocks *blocks, uint32_t count)
{
	uint32_t size = weir_blocks_size(blocks), block;
	uint32_t at = s->n_kv / size;

	if (s->n_kv % size != 0 && s->copy_from == WEIR_NO_BLOCK &&
	    weir_blocks_refs(blocks, s->blocks[at]) > 1) {
		if (!weir_blocks_take(blocks, &block))
			return false;
		/* The old block's reference is kept until the copy is done. */
		s->copy_from = s->blocks[at];
		s->copy_to = s->blocks[at] = block;
	}
	while ((uint64_t)s->n_blocks * size < (uint64_t)s->n_kv + count) {
		if (!weir_blocks_take(blocks, &block))
			return false;
		add_block(s, block);
	}
	return true;
}

void weir_sequence_advance(struct weir_sequence *s, struct weir_blocks *blocks)
{
	uint32_t size = weir_blocks_size(blocks);

	s->n_kv += s->take;
	for (; (uint64_t)(s->n_keyed + 1) * size <= s->n_kv; s->n_keyed++)
		s->key = weir_blocks_remember(blocks, s->blocks[s->n_keyed], s->key,
					      s->tokens + (size_t)s->n_keyed * size);
}

void weir_sequence_drop_copy(struct weir_sequence *s, struct weir_blocks *blocks)
{
	if (s->copy_from != WEIR_NO_BLOCK)
		weir_blocks_unref(blocks, s->copy_from);
	s->copy_from = s->copy_to = WEIR_NO_BLOCK;
}

void weir_sequence_drop_blocks(struct weir_sequence *s, struct weir_blocks *blocks)
{
	weir_sequence_drop_copy(s, blocks);
	while (s->n_blocks > 0)
		weir_blocks_unref(blocks, s->blocks[--s->n_blocks]);
	s->n_kv = s->n_keyed = 0;
	s->key = s->job->root;
}

void weir_job_fork(struct weir_job *job, struct weir_blocks *blocks)
{
	struct weir_sequence *first = &job->seqs[job->lead];
	uint32_t size = weir_blocks_size(blocks);
	/* Not what is reserved beyond: each choice writes there by itself. */
	uint32_t n_shared = (first->n_kv + size - 1) / size;

	/* Of a resumed one there is output already, behind the prompt. */
	first->n_tokens += first->n_output;
	for (uint32_t i = job->lead + 1; i < job->n; i++) {
		struct weir_sequence *s = &job->seqs[i];

		if (s->state == WEIR_SEQUENCE_DONE)
			continue;
		if (!s->tokens)
			weir_sequence_give_prompt(s);
		s->n_tokens += s->n_output;
		for (uint32_t k = 0; k < n_shared; k++) {
			weir_blocks_ref(blocks, first->blocks[k]);
			add_block(s, first->blocks[k]);
		}
		s->n_kv = first->n_kv;
		s->n_keyed = first->n_keyed;
		s->key = first->key;
		s->state = WEIR_SEQUENCE_RUNS;
	}
	job->forked = true;
}
