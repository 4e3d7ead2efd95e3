/*
 * frontends/api/body-private.h - what the readers of bodies share: body.c, guided.c, inputs.c,
 * tool-choice.c.
 */
#ifndef API_BODY_PRIVATE_H
#define API_BODY_PRIVATE_H

#include "body.h"

JsonNode *body_member(JsonObject *, const char *name); /* NULL: absent, or null */
bool body_is_string(JsonNode *);
const char *body_string(JsonObject *, const char *name); /* NULL: absent, or no string */
/* A node as JSON text, to be g_free()d. */
char *body_json(JsonNode *);
bool body_ids_only(JsonArray *);     /* at least one token id, and no other */
char *body_ids_text(JsonArray *);    /* of such: JSON, to be g_free()d */
bool body_strings_only(JsonArray *); /* none is empty */

/* guided.c: every way to demand a form of the output becomes the request field `grammar`; more than
 * one is an error. NULL: none, or an error was added. To be g_free()d. */
char *body_read_grammar(JsonObject *, struct api_error_list *errors, const char **ret_from);

/* template-kwargs.c: chat_template_kwargs with what reasoning_effort means to templates. */
char *body_read_template_kwargs(JsonObject *, struct api_error_list *errors);

/* What all have that generate: stop, logit_bias, stream_options, a grammar, an adapter. */
void body_read_generate(struct api_body *, JsonObject *, struct api_error_list *errors);

/* tokens.c */
void body_read_tokenize(struct api_body *, JsonObject *, const struct api_config *,
			struct api_error_list *errors);
void body_read_detokenize(struct api_body *, JsonObject *, const struct api_config *,
			  struct api_error_list *errors);
void body_read_template(struct api_body *, JsonObject *, const struct api_config *,
			struct api_error_list *errors);

/* infill-input.c */
/* infill-options.c: llama-server's own; after params_read(). */
void body_read_infill_options(struct api_body *, JsonObject *, struct api_error_list *errors);
void body_read_infill(struct api_body *, JsonObject *, const struct api_config *,
		      struct api_error_list *errors);

/* inputs.c */
void body_read_embed(struct api_body *, JsonObject *, const struct api_config *,
		     struct api_error_list *errors);
void body_read_rerank(struct api_body *, JsonObject *, const struct api_config *,
		      struct api_error_list *errors);

#endif
