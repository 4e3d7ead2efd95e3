/*
 * frontends/api/plain.c - answers that the host makes as one JSON object: tokenize, detokenize.
 * They go out as they are, if they are an object at all. See format.h.
 */
#include "format.h"
#include "json-check.h"

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	buf_append(&c->text, e->text.data, e->text.len);
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	struct buf *text = &k->choices[0].text;
	struct json_fault fault;
	if (!text->len || text->data[0] != '{' || !json_check(text->data, text->len, &fault)) {
		struct weir_str none = { NULL, 0 };
		api_error_from_status(ret_error, k->loop->api->config.profile, WEIR_E_INTERNAL,
				      none, none, 0);
		return false;
	}
	*out = *text;
	*text = (struct buf){ NULL, 0, 0 };
	return true;
}

const struct api_format api_format_plain = {
	.id_prefix = "tok-",
	.events = API_EVENT(JSON),
	.gather = gather,
	.whole = whole,
};
