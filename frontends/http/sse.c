/*
 * frontends/http/sse.c - the parts of server-sent events that chat and completions share. See
 * call.h. A frame is "data: <JSON>" and a blank line; JSON has no raw line ends, so one data line
 * always does (WHATWG HTML 9.2.6).
 */
#include "call.h"
#include "json-write.h"

const char *finish_reason(uint32_t finish)
{
	switch (finish) {
	case WEIR_FINISH_STOP:
		return "\"stop\"";
	case WEIR_FINISH_LENGTH:
		return "\"length\"";
	case WEIR_FINISH_TOOL:
		return "\"tool_calls\"";
	case WEIR_FINISH_FILTER:
		return "\"content_filter\"";
	default:
		return "null";
	}
}

void sse_begin(struct call *k, const struct choice *c, struct buf *out)
{
	buf_append(out, k->prefix.data, k->prefix.len);
	json_put_uint(out, c->index);
}

void sse_finish(struct call *k, uint32_t finish, struct buf *out)
{
	buf_puts(out, ",\"finish_reason\":");
	buf_puts(out, finish_reason(finish));
	buf_puts(out, k->include_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

void put_usage(const struct call *k, struct buf *out)
{
	uint64_t prompt = 0, cached = 0, output = 0;
	for (uint32_t i = 0; i < k->n_streams; i++) {
		prompt += k->streams[i].n_prompt;
		cached += k->streams[i].n_cached;
		output += k->streams[i].n_output;
	}
	buf_puts(out, "{\"prompt_tokens\":");
	json_put_uint(out, prompt);
	buf_puts(out, ",\"completion_tokens\":");
	json_put_uint(out, output);
	buf_puts(out, ",\"total_tokens\":");
	json_put_uint(out, prompt + output);
	buf_puts(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
	json_put_uint(out, cached);
	buf_puts(out, "}}");
}

void sse_usage(struct call *k, struct buf *out)
{
	static const char choices[] = "\"choices\":[{\"index\":";
	buf_append(out, k->prefix.data, k->prefix.len - (sizeof(choices) - 1));
	buf_puts(out, "\"choices\":[],\"usage\":");
	put_usage(k, out);
	buf_puts(out, "}\n\n");
}

void sse_error(struct buf *out, const struct http_error *e)
{
	buf_puts(out, "data: {\"error\":");
	http_error_object(out, e);
	buf_puts(out, "}\n\n");
}

void sse_done(struct buf *out)
{
	buf_puts(out, "data: [DONE]\n\n");
}
