/*
 * frontends/api/param-table.c - the table of params.h. Schemas are JSON Schema 2020-12.
 */
#include "params.h"

#define AT(field) offsetof(struct api_params, field)
#define MAX_N     128

#define ALL_KINDS                                                                                  \
	(PARAM_KIND_GENERATE | PARAM_KIND_TOKENIZE | PARAM_KIND_DETOKENIZE | PARAM_KIND_EMBED |    \
	 PARAM_KIND_RERANK | PARAM_KIND_RESPONSES | PARAM_KIND_MESSAGES | PARAM_KIND_COUNT |       \
	 PARAM_KIND_TEMPLATE | PARAM_KIND_INFILL)
#define ANTHROPIC (PARAM_KIND_MESSAGES | PARAM_KIND_COUNT)

#define STRING "{\"type\":\"string\"}"
#define IDS                                                                                        \
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"integer\",\"minimum\":0,"        \
	"\"maximum\":2147483647}}"
#define MESSAGES                                                                                   \
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/components/schemas/"           \
	"Message\"}}"
#define PROMPT                                                                                     \
	"{\"anyOf\":[" STRING                                                                      \
	",{\"type\":\"array\",\"minItems\":1,\"maxItems\":128,\"items\":" STRING "}," IDS          \
	",{\"type\":\"array\",\"minItems\":1,\"maxItems\":128,\"items\":" IDS "}]}"
#define INPUT                                                                                      \
	"{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},{\"type\":\"array\",\"minItems\":1,"    \
	"\"maxItems\":2048,\"items\":{\"type\":\"string\",\"minLength\":1}}," IDS                  \
	",{\"type\":\"array\",\"minItems\":1,\"maxItems\":2048,\"items\":" IDS "}]}"
#define DOCUMENTS                                                                                  \
	"{\"type\":\"array\",\"minItems\":1,\"maxItems\":2048,\"items\":{\"anyOf\":[" STRING       \
	",{\"type\":\"object\",\"required\":[\"text\"],\"properties\":{\"text\":" STRING "}}]}}"
#define STREAM_OPTIONS                                                                             \
	"{\"type\":\"object\",\"properties\":{\"include_usage\":{\"type\":\"boolean\"},"           \
	"\"continuous_usage_stats\":{\"type\":\"boolean\"},\"resume\":{\"type\":\"boolean\"},"     \
	"\"batch_tokens\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":64},"                    \
	"\"batch_timeout_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000}}}"
#define STOP                                                                                       \
	"{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},{\"type\":\"array\",\"maxItems\":16,"   \
	"\"items\":{\"type\":\"string\",\"minLength\":1}}]}"
#define LOGIT_BIAS                                                                                 \
	"{\"type\":\"object\",\"maxProperties\":1024,\"propertyNames\":{\"pattern\":\"^[0-9]{1,9}" \
	"$\"},"                                                                                    \
	"\"additionalProperties\":{\"type\":\"number\",\"minimum\":-100,\"maximum\":100}}"
#define RESPONSE_FORMAT "{\"$ref\":\"#/components/schemas/ResponseFormat\"}"
#define CHOICE                                                                                     \
	"{\"type\":\"array\",\"minItems\":1,\"maxItems\":1024,\"items\":{\"type\":\"string\","     \
	"\"minLength\":1}}"
#define STRUCTURED                                                                                 \
	"{\"type\":\"object\",\"minProperties\":1,\"properties\":{\"json\":{\"type\":[\"object\"," \
	"\"string\"]},\"regex\":" STRING ",\"choice\":" CHOICE ",\"grammar\":" STRING              \
	",\"json_object\":{\"const\":true}}}"
#define TOOLS                                                                                      \
	"{\"type\":\"array\",\"maxItems\":128,\"items\":{\"$ref\":\"#/components/schemas/Tool\"}}"
#define BLOCKS                                                                                     \
	"{\"anyOf\":[" STRING ",{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[" \
	"\"type\",\"text\"],\"properties\":{\"type\":{\"const\":\"text\"},\"text\":" STRING        \
	"}}}]}"
#define INCLUDE                                                                                    \
	"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":["                            \
	"\"message.output_text.logprobs\",\"reasoning.encrypted_content\","                        \
	"\"file_search_call.results\",\"web_search_call.results\","                                \
	"\"web_search_call.action.sources\",\"message.input_image.image_url\","                    \
	"\"computer_call_output.output.image_url\",\"code_interpreter_call.outputs\"]}}"
#define TOOL_CHOICE "{\"$ref\":\"#/components/schemas/ToolChoice\"}"

static const struct param_rule table[] = {
	{ "model", PARAM_TYPE_OTHER, ALL_KINDS, 0, 0, false, false, 0, "which model",
	  "{\"type\":\"string\",\"minLength\":1,\"maxLength\":256}",
	  ALL_KINDS & ~PARAM_KIND_NAMELESS },
	{ "messages", PARAM_TYPE_OTHER, PARAM_KIND_CHAT | PARAM_KIND_TEMPLATE, 0, 0, false, false,
	  0, "the conversation, oldest first", MESSAGES, PARAM_KIND_CHAT | PARAM_KIND_TEMPLATE },
	{ "messages", PARAM_TYPE_OTHER, ANTHROPIC, 0, 0, false, false, 0,
	  "the conversation, oldest first; blocks of text, tool_use and tool_result",
	  "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/components/schemas/"
	  "AnthropicMessage\"}}",
	  ANTHROPIC },
	{ "system", PARAM_TYPE_OTHER, ANTHROPIC, 0, 0, false, false, 0, "what comes before it",
	  BLOCKS, 0 },
	{ "max_tokens", PARAM_TYPE_UINT, PARAM_KIND_MESSAGES, 1, 0, false, true,
	  AT(limits.max_tokens), "longest output", NULL, PARAM_KIND_MESSAGES },
	{ "stop_sequences", PARAM_TYPE_OTHER, PARAM_KIND_MESSAGES, 0, 0, false, false, 0,
	  "the output ends before any of these",
	  "{\"type\":\"array\",\"maxItems\":16,\"items\":{\"type\":\"string\",\"minLength\":1}}",
	  0 },
	{ "tools", PARAM_TYPE_OTHER, ANTHROPIC, 0, 0, false, false, 0,
	  "functions that the model may call",
	  "{\"type\":\"array\",\"maxItems\":128,\"items\":{\"$ref\":\"#/components/schemas/"
	  "AnthropicTool\"}}",
	  0 },
	{ "tool_choice", PARAM_TYPE_OTHER, ANTHROPIC, 0, 0, false, false, 0,
	  "auto, any, tool or none",
	  "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"enum\":["
	  "\"auto\",\"any\",\"tool\",\"none\"]},\"name\":" STRING
	  ",\"disable_parallel_tool_use\":{\"type\":\"boolean\"}}}",
	  0 },
	{ "thinking", PARAM_TYPE_OTHER, ANTHROPIC, 0, 0, false, false, 0,
	  "enabled or adaptive: the model thinks, and its thoughts are sent",
	  "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"enum\":["
	  "\"enabled\",\"disabled\",\"adaptive\"]},\"budget_tokens\":{\"type\":\"integer\","
	  "\"minimum\":1}}}",
	  0 },
	{ "metadata", PARAM_TYPE_OTHER, PARAM_KIND_MESSAGES, 0, 0, false, false, 0,
	  "taken and not used", "{\"type\":\"object\"}", 0 },
	{ "input", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "text, or items: messages, function_call, function_call_output, reasoning",
	  "{\"anyOf\":[" STRING ",{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":"
	  "\"#/components/schemas/ResponseItem\"}}]}",
	  PARAM_KIND_RESPONSES },
	{ "instructions", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "a system message, for this response only", STRING, 0 },
	{ "previous_response_id", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "the stored response that this one goes on from", STRING, 0 },
	{ "max_output_tokens", PARAM_TYPE_UINT, PARAM_KIND_RESPONSES, 1, 0, false, true,
	  AT(limits.max_tokens), "longest output", NULL, 0 },
	{ "text", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "format: text, json_object or json_schema",
	  "{\"type\":\"object\",\"properties\":{\"format\":{\"$ref\":\"#/components/schemas/"
	  "ResponseTextFormat\"}}}",
	  0 },
	{ "reasoning", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "effort: how much the model thinks, where its template knows",
	  "{\"type\":\"object\",\"properties\":{\"effort\":{\"enum\":[\"none\",\"minimal\","
	  "\"low\",\"medium\",\"high\",\"xhigh\",null]}}}",
	  0 },
	{ "tools", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "functions that the model may call",
	  "{\"type\":\"array\",\"maxItems\":128,\"items\":{\"$ref\":\"#/components/schemas/"
	  "ResponseTool\"}}",
	  0 },
	{ "tool_choice", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "none, auto, required, or the function that must be called",
	  "{\"anyOf\":[{\"enum\":[\"none\",\"auto\",\"required\"]},{\"type\":\"object\","
	  "\"required\":[\"type\",\"name\"],\"properties\":{\"type\":{\"const\":\"function\"},"
	  "\"name\":" STRING "}}]}",
	  0 },
	{ "metadata", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "repeated in the response",
	  "{\"type\":\"object\",\"maxProperties\":16,\"propertyNames\":{\"maxLength\":64},"
	  "\"additionalProperties\":{\"type\":\"string\",\"maxLength\":512}}",
	  0 },
	{ "truncation", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "nothing is cut: too long an input is an error",
	  "{\"type\":\"string\",\"enum\":[\"disabled\",\"auto\"]}", 0 },
	{ "store", PARAM_TYPE_BOOL, PARAM_KIND_RESPONSES, 0, 0, false, false, AT(store),
	  "keep it for GET /v1/responses/{id} and previous_response_id", NULL, 0 },
	{ "background", PARAM_TYPE_BOOL, PARAM_KIND_RESPONSES, 0, 0, false, false, AT(background),
	  "answer at once with a response that is queued; needs store", NULL, 0 },
	{ "prompt", PARAM_TYPE_OTHER, PARAM_KIND_COMPLETION, 0, 0, false, false, 0,
	  "text, or token ids; several give several choices", PROMPT, PARAM_KIND_COMPLETION },
	{ "prompt", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE, 0, 0, false, false, 0,
	  "the text; this, content or messages", STRING, 0 },
	{ "content", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE, 0, 0, false, false, 0,
	  "the text, as llama-server has it: with its defaults for the specials", STRING, 0 },
	{ "messages", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE, 0, 0, false, false, 0,
	  "a conversation, through the model's template", MESSAGES, 0 },
	{ "add_generation_prompt", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE | PARAM_KIND_TEMPLATE, 0,
	  0, false, false, 0, "with messages: the model is to speak next; true when absent",
	  "{\"type\":\"boolean\"}", 0 },
	{ "add_special", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE, 0, 0, false, false, 0,
	  "llama-server's add_special_tokens; with content false when absent",
	  "{\"type\":\"boolean\"}", 0 },
	{ "parse_special", PARAM_TYPE_OTHER, PARAM_KIND_TOKENIZE, 0, 0, false, false, 0,
	  "llama-server's parse_special_tokens; with content true when absent",
	  "{\"type\":\"boolean\"}", 0 },
	{ "with_pieces", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(token_objects), "tokens are {id, piece}; a piece that is no text is its bytes", NULL,
	  0 },
	{ "input_prefix", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the text before the hole", STRING, PARAM_KIND_INFILL },
	{ "input_suffix", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the text behind it", STRING, PARAM_KIND_INFILL },
	{ "input_extra", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "other files, most important last; what does not fit into the context is left out",
	  "{\"type\":\"array\",\"maxItems\":1024,\"items\":{\"type\":\"object\",\"required\":["
	  "\"text\"],\"properties\":{\"filename\":{\"type\":[\"string\",\"null\"]},\"text\":" STRING
	  "}}}",
	  0 },
	{ "prompt", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "goes on from input_prefix: the line so far", STRING, 0 },
	{ "n_predict", PARAM_TYPE_UINT, PARAM_KIND_INFILL, -1, 0, false, true,
	  AT(limits.max_tokens), "longest output; 0: only read the prompt; -1: the context's end",
	  NULL, 0 },
	{ "response_fields", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "only these members of the answer; a/b: member b of a, under that name",
	  "{\"type\":\"array\",\"maxItems\":64,\"items\":" STRING "}", 0 },
	{ "samplers", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the others are not used; their order is this server's",
	  "{\"type\":\"array\",\"items\":{\"enum\":[\"top_k\",\"top_p\",\"min_p\",\"typ_p\","
	  "\"temperature\",\"penalties\",\"dry\",\"xtc\",\"top_n_sigma\",\"infill\"]}}",
	  0 },
	{ "n_indent", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "a line that is indented by less ends the text; 0: none does",
	  "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000}", 0 },
	{ "t_max_predict_ms", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the text ends so long after its first token, once it has a line; 0, -1: it does not",
	  "{\"type\":\"integer\",\"minimum\":-1,\"maximum\":86400000}", 0 },
	{ "n_probs", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "completion_probabilities: each token's log-probability, and so many alternatives",
	  "{\"type\":\"integer\",\"minimum\":0,\"maximum\":20}", 0 },
	{ "return_tokens", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the ids of the text's tokens too", "{\"type\":\"boolean\"}", 0 },
	{ "cache_prompt", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "taken: the cache is always used, and changes no text", "{\"type\":\"boolean\"}", 0 },
	{ "mirostat", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "0 only",
	  "{\"const\":0}", 0 },
	{ "dry_multiplier", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "0 only",
	  "{\"const\":0}", 0 },
	{ "xtc_probability", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "0 only",
	  "{\"const\":0}", 0 },
	{ "dynatemp_range", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "0 only",
	  "{\"const\":0}", 0 },
	{ "top_n_sigma", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "0 or less only", "{\"type\":\"number\",\"maximum\":0}", 0 },
	{ "tfs_z", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "1 only",
	  "{\"const\":1}", 0 },
	{ "id_slot", PARAM_TYPE_OTHER, PARAM_KIND_INFILL, 0, 0, false, false, 0, "-1 only",
	  "{\"const\":-1}", 0 },
	{ "tokens", PARAM_TYPE_OTHER, PARAM_KIND_DETOKENIZE, 0, 0, false, false, 0, "token ids",
	  "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":"
	  "2147483647}}",
	  PARAM_KIND_DETOKENIZE },
	{ "input", PARAM_TYPE_OTHER, PARAM_KIND_EMBED, 0, 0, false, false, 0, "texts, or token ids",
	  INPUT, PARAM_KIND_EMBED },
	{ "query", PARAM_TYPE_OTHER, PARAM_KIND_RERANK, 0, 0, false, false, 0,
	  "what the documents are ranked by", "{\"type\":\"string\",\"minLength\":1}",
	  PARAM_KIND_RERANK },
	{ "documents", PARAM_TYPE_OTHER, PARAM_KIND_RERANK, 0, 0, false, false, 0, "what is ranked",
	  DOCUMENTS, PARAM_KIND_RERANK },
	{ "temperature", PARAM_TYPE_FLOAT, PARAM_KIND_MESSAGES, 0, 1, false, false,
	  AT(sampling.temperature), "0 is greedy", NULL, 0 },
	{ "temperature", PARAM_TYPE_FLOAT,
	  PARAM_KIND_GENERATE | PARAM_KIND_RESPONSES | PARAM_KIND_INFILL, 0, 2, false, false,
	  AT(sampling.temperature), "0 is greedy", NULL, 0 },
	{ "top_p", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, 0, 1, false, false, AT(sampling.top_p),
	  "nucleus sampling; 1 is off", NULL, 0 },
	{ "top_k", PARAM_TYPE_UINT, PARAM_KIND_SAMPLED, -1, 1000, false, false, AT(sampling.top_k),
	  "most likely tokens only; 0 and -1 are off", NULL, 0 },
	{ "min_p", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, 0, 1, false, false, AT(sampling.min_p),
	  "least share of the most likely token's probability; 0 is off", NULL, 0 },
	{ "typical_p", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, 0, 1, true, false,
	  AT(sampling.typical_p), "locally typical sampling; 1 is off", NULL, 0 },
	{ "repetition_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, 0, 2, true, false,
	  AT(sampling.repetition_penalty), "1 is off", NULL, 0 },
	{ "repeat_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_INFILL, 0, 2, true, false,
	  AT(sampling.repetition_penalty), "the same as repetition_penalty", NULL, 0 },
	{ "presence_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, -2, 2, false, false,
	  AT(sampling.presence_penalty), "0 is off", NULL, 0 },
	{ "frequency_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_SAMPLED, -2, 2, false, false,
	  AT(sampling.frequency_penalty), "0 is off", NULL, 0 },
	{ "repeat_last_n", PARAM_TYPE_INT, PARAM_KIND_SAMPLED, -1, 2000000, false, false,
	  AT(sampling.repeat_last_n), "window of the penalties; -1: everything", NULL, 0 },
	{ "max_tokens", PARAM_TYPE_UINT, PARAM_KIND_CHAT, 1, 0, false, true, AT(limits.max_tokens),
	  "longest output", NULL, 0 },
	{ "max_tokens", PARAM_TYPE_UINT, PARAM_KIND_COMPLETION, 0, 0, false, true,
	  AT(limits.max_tokens), "longest output; 0 with echo or prompt_logprobs only", NULL, 0 },
	{ "max_completion_tokens", PARAM_TYPE_UINT, PARAM_KIND_CHAT, 1, 0, false, true,
	  AT(limits.max_tokens), "the same as max_tokens", NULL, 0 },
	{ "min_tokens", PARAM_TYPE_UINT, PARAM_KIND_SAMPLED, 0, 2000000, false, false,
	  AT(limits.min_tokens), "no end before", NULL, 0 },
	{ "ignore_eos", PARAM_TYPE_FLAG, PARAM_KIND_SAMPLED, 0, 0, false, false,
	  AT(limits.ignore_end), "go on past end tokens", NULL, 0 },
	{ "priority", PARAM_TYPE_INT, PARAM_KIND_SAMPLED, -1000000, 1000000, false, false,
	  AT(limits.priority), "higher goes first", NULL, 0 },
	{ "n", PARAM_TYPE_UINT, PARAM_KIND_GENERATE, 1, MAX_N, false, false, AT(limits.n),
	  "choices", NULL, 0 },
	{ "best_of", PARAM_TYPE_UINT, PARAM_KIND_COMPLETION, 1, MAX_N, false, false, AT(best_of),
	  "candidates of which the n most likely are returned", NULL, 0 },
	{ "seed", PARAM_TYPE_SEED, PARAM_KIND_SAMPLED, 0, 0, false, false, AT(sampling.seed),
	  "same seed, same output", NULL, 0 },
	{ "logprobs", PARAM_TYPE_FLAG, PARAM_KIND_CHAT, 0, 0, false, false, AT(sampling.logprobs),
	  "report log-probabilities", NULL, 0 },
	{ "top_logprobs", PARAM_TYPE_UINT, PARAM_KIND_CHAT, 0, 20, false, false,
	  AT(sampling.top_logprobs), "alternatives to each token; needs logprobs", NULL, 0 },
	{ "top_logprobs", PARAM_TYPE_UINT, PARAM_KIND_RESPONSES, 0, 20, false, false,
	  AT(sampling.top_logprobs), "alternatives to each token of texts; asks for these", NULL,
	  0 },
	{ "include", PARAM_TYPE_OTHER, PARAM_KIND_RESPONSES, 0, 0, false, false, 0,
	  "message.output_text.logprobs: log-probabilities of texts; other names of OpenAI's are "
	  "taken, there is nothing of theirs",
	  INCLUDE, 0 },
	{ "logprobs", PARAM_TYPE_COUNT, PARAM_KIND_COMPLETION, 0, 20, false, false,
	  AT(sampling.top_logprobs), "alternatives to each token, with echo to the prompt's too",
	  NULL, 0 },
	{ "prompt_logprobs", PARAM_TYPE_PROMPT, PARAM_KIND_GENERATE, 0, 20, false, false,
	  AT(prompt_top),
	  "vLLM's: log-probabilities of the prompt's tokens, and so many alternatives", NULL, 0 },
	{ "stream", PARAM_TYPE_BOOL, PARAM_KIND_SAMPLED, 0, 0, false, false, AT(stream),
	  "server-sent events", NULL, 0 },
	{ "stream_options", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE | PARAM_KIND_RESPONSES, 0, 0,
	  false, false, 0, "with stream only", STREAM_OPTIONS, 0 },
	{ "suffix", PARAM_TYPE_OTHER, PARAM_KIND_COMPLETION, 0, 0, false, false, 0,
	  "the text behind what is to be written, of models that fill in the middle", STRING, 0 },
	{ "echo", PARAM_TYPE_BOOL, PARAM_KIND_COMPLETION, 0, 0, false, false, AT(echo),
	  "the prompt before the completion", NULL, 0 },
	{ "stop", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE | PARAM_KIND_INFILL, 0, 0, false, false, 0,
	  "the output ends before any of these", STOP, 0 },
	{ "logit_bias", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE | PARAM_KIND_INFILL, 0, 0, false,
	  false, 0, "token id to what is added to its logit; -100 bans, 100 forces", LOGIT_BIAS,
	  0 },
	{ "response_format", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "the output is JSON, of a schema if there is one", RESPONSE_FORMAT, 0 },
	{ "structured_outputs", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "vLLM's way to demand JSON, a regular expression, a choice, a grammar", STRUCTURED, 0 },
	{ "guided_json", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "a JSON Schema that the output follows", "{\"type\":[\"object\",\"string\"]}", 0 },
	{ "guided_regex", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "a regular expression that the whole output matches",
	  "{\"type\":\"string\",\"minLength\":1}", 0 },
	{ "guided_choice", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "the output is one of these", CHOICE, 0 },
	{ "guided_grammar", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE, 0, 0, false, false, 0,
	  "a grammar in GBNF", "{\"type\":\"string\",\"minLength\":1}", 0 },
	{ "grammar", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE | PARAM_KIND_INFILL, 0, 0, false, false,
	  0, "a grammar in GBNF", "{\"type\":\"string\",\"minLength\":1}", 0 },
	{ "json_schema", PARAM_TYPE_OTHER, PARAM_KIND_GENERATE | PARAM_KIND_INFILL, 0, 0, false,
	  false, 0, "a JSON Schema that the output follows", "{\"type\":\"object\"}", 0 },
	{ "tools", PARAM_TYPE_OTHER, PARAM_KIND_CHAT | PARAM_KIND_TOKENIZE | PARAM_KIND_TEMPLATE, 0,
	  0, false, false, 0, "functions that the model may call", TOOLS, 0 },
	{ "tool_choice", PARAM_TYPE_OTHER, PARAM_KIND_CHAT, 0, 0, false, false, 0,
	  "none, auto, required, or the function that must be called", TOOL_CHOICE, 0 },
	{ "parallel_tool_calls", PARAM_TYPE_NOT, PARAM_KIND_CHAT | PARAM_KIND_RESPONSES, 0, 0,
	  false, false, AT(no_parallel_calls), "false: at most one call", NULL, 0 },
	{ "reasoning_effort", PARAM_TYPE_OTHER, PARAM_KIND_CHAT, 0, 0, false, false, 0,
	  "how much the model thinks, where its template knows; none: not at all",
	  "{\"type\":\"string\",\"enum\":[\"none\",\"minimal\",\"low\",\"medium\",\"high\","
	  "\"xhigh\"]}",
	  0 },
	{ "reasoning_format", PARAM_TYPE_OTHER, PARAM_KIND_CHAT, 0, 0, false, false, 0,
	  "none: thoughts stay in the content",
	  "{\"type\":\"string\",\"enum\":[\"none\",\"auto\",\"deepseek\"]}", 0 },
	{ "include_reasoning", PARAM_TYPE_NOT, PARAM_KIND_CHAT, 0, 0, false, false,
	  AT(no_reasoning), "false: thoughts are not sent", NULL, 0 },
	{ "chat_template_kwargs", PARAM_TYPE_OTHER,
	  PARAM_KIND_CHAT | PARAM_KIND_RESPONSES | ANTHROPIC | PARAM_KIND_TOKENIZE |
		  PARAM_KIND_TEMPLATE,
	  0, 0, false, false, 0, "variables of the chat template", "{\"type\":\"object\"}", 0 },
	{ "lora", PARAM_TYPE_OTHER, PARAM_KIND_SAMPLED, 0, 0, false, false, 0,
	  "name of a LoRA adapter", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":256}", 0 },
	{ "add_special_tokens", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(add_special), "begin-of-text token and the like", NULL, 0 },
	{ "parse_special_tokens", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(parse_special), "special tokens in the text count as such", NULL, 0 },
	{ "return_token_strs", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(with_pieces), "the text of each token too", NULL, 0 },
	{ "encoding_format", PARAM_TYPE_OTHER, PARAM_KIND_EMBED, 0, 0, false, false, 0,
	  "base64: little-endian float32", "{\"type\":\"string\",\"enum\":[\"float\",\"base64\"]}",
	  0 },
	{ "dimensions", PARAM_TYPE_UINT, PARAM_KIND_EMBED, 1, 65536, false, false, AT(dimensions),
	  "shorter vectors: cut and made unit length again", NULL, 0 },
	{ "top_n", PARAM_TYPE_UINT, PARAM_KIND_RERANK, 1, 1000000, false, false, AT(top_n),
	  "only the best", NULL, 0 },
	{ "return_documents", PARAM_TYPE_BOOL, PARAM_KIND_RERANK, 0, 0, false, false,
	  AT(return_documents), "the texts too", NULL, 0 },
	{ NULL, PARAM_TYPE_BOOL, 0, 0, 0, false, false, 0, NULL, NULL, 0 },
};

const struct param_rule *params_table(void)
{
	return table;
}
