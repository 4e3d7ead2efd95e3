/*
 * frontends/http/results.h - the whole results of tokenize and detokenize, from the backend's JSON
 * to the shapes that vLLM's clients know. Pure.
 */
#ifndef HTTP_RESULTS_H
#define HTTP_RESULTS_H

#include <stdbool.h>

#include "buf.h"

/* {"tokens":[..],"pieces":[..]?,"max_model_len":n?} ->
 * {"count","max_model_len","tokens","token_strs"}; a bare array of ids will do too. false: it is
 * neither. */
bool result_tokenize(struct buf *json, struct buf *out);
/* {"text":".."} or {"prompt":".."} or a bare string -> {"prompt"} */
bool result_detokenize(struct buf *json, struct buf *out);

#endif
