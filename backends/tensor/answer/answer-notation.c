/*
 * answer-notation.c - the table of notations; see answer-notation.h. The first row whose probes are
 * in the template is taken, so the more particular ones come first.
 */
#include "answer-notation.h"

#include <string.h>

static const struct weir_call_notation calls[] = {
	/* gpt-oss: OpenAI's "harmony" response format */
	{ .probe = { "<|channel|>", "functions." },
	  .style = WEIR_CALL_HARMONY,
	  .open = "<|channel|>",
	  .separator = "<|message|>" },
	/* Qwen3-Coder */
	{ .probe = { "<function=", "<parameter=" },
	  .style = WEIR_CALL_FUNCTION,
	  .open = "<function=",
	  .close = "</function>",
	  .drop = { "<tool_call>", "</tool_call>" } },
	/* GLM 4.5 */
	{ .probe = { "<arg_key>", "<tool_call>" },
	  .style = WEIR_CALL_KEYS,
	  .open = "<tool_call>",
	  .close = "</tool_call>" },
	/* Hermes 2 Pro, Qwen 2.5, Qwen 3 and many fine-tunes */
	{ .probe = { "<tool_call>", NULL },
	  .style = WEIR_CALL_OBJECTS,
	  .open = "<tool_call>",
	  .close = "</tool_call>",
	  .arguments = "arguments" },
	/* Mistral from the v11 tokenizer on: [TOOL_CALLS]f[ARGS]{...} */
	{ .probe = { "[TOOL_CALLS]", "[ARGS]" },
	  .style = WEIR_CALL_HEADER,
	  .open = "[TOOL_CALLS]",
	  .separator = "[ARGS]" },
	/* Mistral before: [TOOL_CALLS][{...}] */
	{ .probe = { "[TOOL_CALLS]", NULL },
	  .style = WEIR_CALL_OBJECTS,
	  .open = "[TOOL_CALLS]",
	  .arguments = "arguments" },
	/* Kimi K2 */
	{ .probe = { "<|tool_call_begin|>", "<|tool_call_argument_begin|>" },
	  .style = WEIR_CALL_HEADER,
	  .open = "<|tool_call_begin|>",
	  .close = "<|tool_call_end|>",
	  .separator = "<|tool_call_argument_begin|>",
	  .drop = { "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>" } },
	/* DeepSeek V3, R1 and V3.1 */
	{ .probe = { "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>" },
	  .style = WEIR_CALL_HEADER,
	  .open = "<｜tool▁call▁begin｜>",
	  .close = "<｜tool▁call▁end｜>",
	  .separator = "<｜tool▁sep｜>",
	  .drop = { "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>" } },
	/* Command R7B and later */
	{ .probe = { "<|START_ACTION|>", NULL },
	  .style = WEIR_CALL_OBJECTS,
	  .open = "<|START_ACTION|>",
	  .close = "<|END_ACTION|>",
	  .drop = { "<|START_RESPONSE|>", "<|END_RESPONSE|>" },
	  .arguments = "parameters" },
	/* Granite 3, Phi 4 mini */
	{ .probe = { "<|tool_call|>", "<|/tool_call|>" },
	  .style = WEIR_CALL_OBJECTS,
	  .open = "<|tool_call|>",
	  .close = "<|/tool_call|>",
	  .arguments = "arguments" },
	{ .probe = { "<|tool_call|>", NULL },
	  .style = WEIR_CALL_OBJECTS,
	  .open = "<|tool_call|>",
	  .arguments = "arguments" },
	/* Llama 3.1 to 3.3: the answer is the object */
	{ .probe = { "\"parameters\": dictionary", NULL },
	  .style = WEIR_CALL_OBJECTS,
	  .drop = { "<|python_tag|>" },
	  .arguments = "parameters" },
};

static const struct weir_thought_notation thoughts[] = {
	{ "<think>", "</think>" },
	{ "[THINK]", "[/THINK]" },
	{ "<|START_THINKING|>", "<|END_THINKING|>" },
	{ "<seed:think>", "</seed:think>" },
};

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static bool contains(struct weir_str text, const char *part)
{
	return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

void weir_answer_notation_of(struct weir_str t, struct weir_answer_notation *ret)
{
	*ret = (struct weir_answer_notation){ 0 };
	for (size_t i = 0; i < LEN(calls) && !ret->calls; i++)
		if (contains(t, calls[i].probe[0]) &&
		    (!calls[i].probe[1] || contains(t, calls[i].probe[1])))
			ret->calls = &calls[i];
	for (size_t i = 0; i < LEN(thoughts) && !ret->thoughts; i++)
		if (contains(t, thoughts[i].open) || contains(t, thoughts[i].close))
			ret->thoughts = &thoughts[i];
}

static bool same(struct weir_str text, const char *marker)
{
	return marker && strlen(marker) == text.len && memcmp(marker, text.data, text.len) == 0;
}

bool weir_answer_notation_has(const struct weir_answer_notation *n, struct weir_str text)
{
	static const char *const harmony[] = { "<|start|>", "<|end|>", "<|constrain|>", "<|call|>",
					       "<|return|>" };
	const struct weir_call_notation *c = n->calls;
	bool found =
		n->thoughts && (same(text, n->thoughts->open) || same(text, n->thoughts->close));

	if (!c)
		return found;
	found |= same(text, c->open) || same(text, c->close) || same(text, c->separator);
	for (size_t i = 0; i < WEIR_MAX_MARKERS; i++)
		found |= same(text, c->drop[i]);
	for (size_t i = 0; c->style == WEIR_CALL_HARMONY && i < LEN(harmony); i++)
		found |= same(text, harmony[i]);
	return found;
}
