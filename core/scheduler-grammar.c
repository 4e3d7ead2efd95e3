/*
 * scheduler-grammar.c - output in a language that the request names: the backend's weir.grammar/1
 * compiles and keeps each choice's place, here is when it is asked. Compiling runs on the worker
 * that brings the request, the rest on the scheduler's thread.
 *
 * A place belongs to the tokens of a choice, not to KV memory: a sequence that lost its blocks goes
 * on where it was.
 */
#include "scheduler-inside.h"

#include <string.h>

#include <weir/grammar.h>

#include "log.h"
#include "request.h"

struct weir_scheduler_grammars {
	const struct weir_grammar_api *api;
	uint32_t n_words;
	uint32_t *masks;           /* of each row; made when the first grammar comes */
	struct weir_error *failed; /* of each row: code 0, or why it has no mask */
};

weir_status weir_scheduler_grammars_new(struct weir_scheduler *s, struct weir_error *err)
{
	const struct weir_instance *instance = s->options.instance;
	const struct weir_grammar_api *api = NULL;

	if (WEIR_HAS(struct weir_instance, instance, get_ext))
		api = instance->get_ext(s->options.instance, WEIR_GRAMMAR);
	if (!api)
		return WEIR_OK;
	if (!WEIR_HAS(struct weir_grammar_api, api, compile) ||
	    !WEIR_HAS(struct weir_grammar_api, api, unref) ||
	    !WEIR_HAS(struct weir_grammar_api, api, state_new) ||
	    !WEIR_HAS(struct weir_grammar_api, api, state_free) ||
	    !WEIR_HAS(struct weir_grammar_api, api, mask) ||
	    !WEIR_HAS(struct weir_grammar_api, api, accept) ||
	    !WEIR_HAS(struct weir_grammar_api, api, finished))
		return weir_fail(err, WEIR_E_INTERNAL, "its %s lacks a function", WEIR_GRAMMAR);
	s->grammars = g_new0(struct weir_scheduler_grammars, 1);
	s->grammars->api = api;
	s->grammars->n_words = (s->model.n_vocab + 31) / 32;
	return WEIR_OK;
}

void weir_scheduler_grammars_free(struct weir_scheduler_grammars *e)
{
	if (!e)
		return;
	g_free(e->masks);
	g_free(e->failed);
	g_free(e);
}

weir_status weir_scheduler_prepare_grammar(struct weir_scheduler *s, struct weir_job *job,
					   struct weir_error *err)
{
	struct weir_str spec = weir_request_field(job->request, "grammar");
	const struct weir_grammar_api *api = s->grammars ? s->grammars->api : NULL;
	weir_grammar *grammar = NULL;
	weir_status status = WEIR_OK;

	/* What tool_choice demands is narrower than a response format. */
	if (job->grammar)
		spec = (struct weir_str){ job->grammar, strlen(job->grammar) };
	if (spec.len == 0)
		return WEIR_OK;
	if (!api)
		status = weir_fail(err, WEIR_E_UNSUPPORTED,
				   "this model cannot hold its output to a grammar or a schema");
	else
		status = api->compile(s->options.instance, spec, &grammar, err);
	if (status == WEIR_E_EXHAUSTED)
		status = WEIR_E_INVALID; /* a grammar beyond its bounds is the request's fault */
	if (status >= 0)
		job->grammar_api = api;
	for (uint32_t i = 0; status >= 0 && i < job->n; i++)
		status = api->state_new(grammar, &job->seqs[i].place, err);
	if (grammar)
		api->unref(grammar); /* the places keep it */
	if (status >= 0)
		return WEIR_OK;
	err->code = status;
	err->text[sizeof(err->text) - 1] = err->param[sizeof(err->param) - 1] = '\0';
	if (!err->text[0])
		weir_fail(err, status, "the grammar was refused without a reason");
	if (!err->param[0])
		g_strlcpy(err->param, "grammar", sizeof(err->param));
	return status;
}

void weir_scheduler_mask(struct weir_scheduler *s, const struct weir_batch *batch)
{
	struct weir_scheduler_grammars *e = s->grammars;

	for (uint32_t i = 0; e && i < batch->n_rows; i++) {
		struct weir_sequence *seq = s->batcher->row_of[i];
		uint32_t *mask;

		if (e->failed)
			e->failed[i].code = WEIR_OK;
		if (!seq->place || !batch->rows[i].sampling)
			continue;
		if (!e->masks) {
			e->masks = g_new(uint32_t, (size_t)s->model.max_rows * e->n_words);
			e->failed = g_new0(struct weir_error, s->model.max_rows);
		}
		mask = e->masks + (size_t)i * e->n_words;
		memset(&e->failed[i], 0, sizeof(e->failed[i]));
		if (e->api->mask(seq->place, mask, &e->failed[i]) < 0) {
			if (e->failed[i].code >= 0)
				e->failed[i].code = WEIR_E_INTERNAL;
			continue; /* what is drawn is not used */
		}
		s->batcher->rows[i].mask = mask;
	}
}

void weir_scheduler_unmask(struct weir_scheduler *s, const struct weir_batch *batch)
{
	const struct weir_scheduler_grammars *e = s->grammars;

	for (uint32_t i = 0; e && e->failed && i < batch->n_rows; i++) {
		if (e->failed[i].code == WEIR_OK)
			continue;
		s->step.token[i] = -1;
		s->step.error[i] = e->failed[i];
	}
}

weir_status weir_scheduler_accept(struct weir_sequence *seq, int32_t token, struct weir_error *err)
{
	weir_status status;

	if (!seq->place)
		return WEIR_OK;
	memset(err, 0, sizeof(*err));
	status = seq->job->grammar_api->accept(seq->place, token, err);
	if (status < 0 && status != WEIR_E_EXHAUSTED)
		err->code = WEIR_E_INTERNAL; /* the mask was not heeded */
	return status;
}

bool weir_scheduler_grammar_over(const struct weir_sequence *seq)
{
	return seq->place && seq->job->grammar_api->finished(seq->place);
}
