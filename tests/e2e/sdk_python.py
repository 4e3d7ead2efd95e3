#!/usr/bin/env python3
"""The official OpenAI Python SDK, unmodified, against the demo model (003-09, 001-02, 001-03, 001-13..17)."""
import sys

try:
    import openai
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import Server

server = None
client = None
POEM = [{"role": "user", "content": "Write a short poem about the sea"}]


def raises(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), f"{text!r} not in {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def test_chat_has_content_and_usage():
    answer = client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=128)
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_streaming_has_more_than_one_chunk():
    chunks = list(client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=128, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(texts) > 1
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert all(c.usage is None for c in chunks)
    assert len({c.id for c in chunks}) == 1


def test_streaming_usage_when_asked():
    chunks = list(client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=16, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens <= 16
    assert chunks[-1].usage.total_tokens > chunks[-1].usage.completion_tokens > 0


def test_stream_equals_answer():
    ask = dict(model="weir-demo", messages=POEM, max_tokens=100, temperature=0.7, seed=11)
    whole = client.chat.completions.create(**ask).choices[0].message.content
    parts = client.chat.completions.create(**ask, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in parts if c.choices) == whole


def test_models():
    models = client.models.list().data
    assert models and any(m.id == "weir-demo" for m in models)
    assert client.models.retrieve("weir-demo").object == "model"


def test_embeddings():
    """More of it in embeddings.py."""
    answer = client.embeddings.create(model="weir-demo", input=["hello", "world"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) == len(answer.data[1].embedding) > 32
    assert answer.usage.total_tokens > 0


def test_echo_with_logprobs():
    """As evaluation harnesses ask for it: the prompt is scored, one token or none is written."""
    prompt = "The sea is blu\u00e9 and"
    answer = client.completions.create(model="weir-demo", prompt=[prompt, "Once"], echo=True, logprobs=3, max_tokens=1,
                                       temperature=0, n=2)
    assert [c.text[:4] for c in answer.choices] == ["The ", "The ", "Once", "Once"]
    lp = answer.choices[0].logprobs
    assert answer.choices[1].logprobs == lp and answer.choices[0].text.startswith(prompt)
    assert lp.token_logprobs[0] is None and lp.top_logprobs[0] is None
    assert len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset) == \
        answer.usage.prompt_tokens - len(answer.choices[2].logprobs.tokens) + 2
    assert "bytes:\\xc3" in lp.tokens and lp.text_offset == sorted(lp.text_offset)
    for token, offset, logprob, top in list(zip(lp.tokens, lp.text_offset, lp.token_logprobs, lp.top_logprobs))[1:]:
        if not token.startswith("bytes:"):
            assert answer.choices[0].text[offset:].startswith(token), (token, offset)
        assert top[token] == logprob <= max(top.values()) <= 0 and 3 <= len(top) <= 4
    none = client.completions.create(model="weir-demo", prompt=prompt, echo=True, logprobs=3, max_tokens=0)
    assert none.choices[0].text == prompt and none.usage.completion_tokens == 0
    assert none.choices[0].logprobs.token_logprobs == lp.token_logprobs[:-1]
    assert none.choices[0].finish_reason == "length"


def test_offsets_behind_broken_runes():
    """Bytes that no rune follows become U+FFFD with the next token, which begins behind it."""
    answer = client.completions.create(model="weir-demo", prompt="\u4e2d\u6587", seed=3, n=16, max_tokens=40,
                                       temperature=2, logprobs=0, extra_body={"ignore_eos": True})
    assert any("\ufffd" in c.text for c in answer.choices)
    for choice in answer.choices:
        for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset):
            assert token.startswith("bytes:") or choice.text[offset:].startswith(token), (token, offset, choice.text)


def test_echo_of_tokens_and_streams():
    ids = server.post("/tokenize", {"model": "weir-demo", "prompt": "The sea is"})[1]["tokens"]
    ask = dict(model="weir-demo", temperature=0, echo=True, max_tokens=3)
    whole = client.completions.create(**ask, prompt="The sea is", logprobs=1).choices[0]
    tokens = client.completions.create(**ask, prompt=ids, logprobs=1).choices[0]
    assert tokens.text == whole.text and tokens.logprobs == whole.logprobs
    assert client.completions.create(**ask, prompt=ids).choices[0].text == whole.text
    parts = [c.choices[0] for c in client.completions.create(**ask, prompt="The sea is", logprobs=1, stream=True)]
    assert "".join(p.text for p in parts) == whole.text and parts[-1].finish_reason == "length"
    assert [x for p in parts if p.logprobs for x in p.logprobs.token_logprobs] == whole.logprobs.token_logprobs
    assert [x for p in parts if p.logprobs for x in p.logprobs.text_offset] == whole.logprobs.text_offset


def test_best_of_with_echo():
    answer = client.completions.create(model="weir-demo", prompt="The sea", best_of=3, n=1, echo=True, max_tokens=4,
                                       seed=3, logprobs=1)
    assert len(answer.choices) == 1 and answer.choices[0].text.startswith("The sea")
    assert len(answer.choices[0].logprobs.tokens) == 2 + 4 and answer.usage.completion_tokens == 12


def test_prompt_logprobs():
    """vLLM's extension; a long prompt goes in slices, and the prefix cache changes nothing."""
    ask = dict(model="weir-demo", messages=[{"role": "user", "content": "the sea " * 150}], max_tokens=1, temperature=0)
    client.chat.completions.create(**ask)
    first = client.chat.completions.create(**ask, extra_body={"prompt_logprobs": 2})
    listed = first.model_extra["prompt_logprobs"]
    assert len(listed) == first.usage.prompt_tokens > 300 and listed[0] is None
    assert all(2 <= len(entry) <= 3 and min(v["rank"] for v in entry.values()) == 1 for entry in listed[1:])
    again = client.completions.create(model="weir-demo", prompt="the sea " * 60, max_tokens=1, logprobs=0, echo=True,
                                      extra_body={"prompt_logprobs": 0}).choices[0]
    flat = [None if e is None else next(iter(e.values()))["logprob"] for e in again.model_extra["prompt_logprobs"]]
    assert flat == again.logprobs.token_logprobs[:-1]
    raises(openai.BadRequestError, "not available when stream", lambda: client.chat.completions.create(
        **ask, stream=True, extra_body={"prompt_logprobs": 1}))


def test_max_tokens_zero():
    raises(openai.BadRequestError, "max_tokens must be between 1 and", lambda: client.completions.create(
        model="weir-demo", prompt="x", max_tokens=0))
    assert client.completions.create(model="weir-demo", prompt="xyz", max_tokens=0, echo=True).choices[0].text == "xyz"


def test_suffix_needs_a_model_for_it():
    """Fill in the middle: tests/unit/test-infill.c has models that can."""
    error = raises(openai.BadRequestError, "was not trained to fill a hole", lambda: client.completions.create(
        model="weir-demo", prompt="def f(", suffix="return x"))
    assert error.body["param"] == "suffix", error.body
    raises(openai.BadRequestError, "cannot be combined with echo", lambda: client.completions.create(
        model="weir-demo", prompt="def f(", suffix="return x", echo=True))
    assert client.completions.create(model="weir-demo", prompt="The sea", suffix="", max_tokens=1).choices[0].text


def test_tokens_as_llama_server_has_them():
    ids = server.post("/tokenize", {"content": "The sea <|im_end|>"})[1]["tokens"]
    assert ids == server.post("/tokenize", {"prompt": "The sea <|im_end|>", "add_special_tokens": False,
                                            "parse_special_tokens": True})[1]["tokens"]
    plain = server.post("/tokenize", {"content": "The sea <|im_end|>", "parse_special": False})[1]["tokens"]
    assert len(plain) > len(ids)
    assert server.post("/detokenize", {"tokens": plain})[1]["content"] == "The sea <|im_end|>"


def test_what_others_have():
    """Members without a meaning here are taken; a form that cannot be written is refused."""
    ask = dict(model="weir-demo", messages=POEM, max_tokens=1)
    answer = client.chat.completions.create(
        **ask, user="u", store=False, metadata={"a": "b"}, service_tier="auto", verbosity="low", safety_identifier="s",
        prompt_cache_key="k", modalities=["text"], reasoning_effort="low", parallel_tool_calls=True,
        prediction={"type": "content", "content": "x"})
    assert answer.choices[0].finish_reason == "length"
    list(client.chat.completions.create(**ask, stream=True, stream_options={"include_obfuscation": False}))
    raises(openai.BadRequestError, "modalities can be text only", lambda: client.chat.completions.create(
        **ask, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}))


def test_stop_reason():
    """vLLM's member: which of the stop strings it was."""
    ask = dict(model="weir-demo", messages=POEM, max_tokens=200, temperature=0)
    assert client.chat.completions.create(**ask, stop=["zzzz", "e"]).choices[0].stop_reason == "e"
    parts = list(client.chat.completions.create(**ask, stop=["e"], stream=True))
    assert parts[-1].choices[0].stop_reason == "e" and parts[-1].choices[0].finish_reason == "stop"
    cut = client.chat.completions.create(**{**ask, "max_tokens": 1})
    assert cut.choices[0].stop_reason is None and cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens_details.reasoning_tokens == 0


def test_output_forms_are_checked():
    ask = dict(model="weir-demo", messages=POEM, max_tokens=8)
    raises(openai.BadRequestError, "response_format 'xml' is not supported", lambda: client.chat.completions.create(
        **ask, response_format={"type": "xml"}))
    raises(openai.BadRequestError, "cannot be combined", lambda: client.chat.completions.create(
        **ask, response_format={"type": "json_object"}, extra_body={"guided_regex": "a"}))
    raises(openai.BadRequestError, "which is not among the tools", lambda: client.chat.completions.create(
        **ask, tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice={"type": "function", "function": {"name": "g"}}))


def test_any_model_name_on_a_single_model_server():
    with Server("default", "server.single_model=true") as single:
        other = openai.OpenAI(base_url=single.url + "/v1", api_key="none", max_retries=0)
        answer = other.chat.completions.create(model="gpt-4o", messages=POEM, max_tokens=8)
        assert answer.choices[0].message.content


def test_respond_with():
    for text in ("Test successful", "Blue river", "It works!"):
        answer = client.chat.completions.create(
            model="weir-demo", messages=[{"role": "user", "content": f'Respond with: "{text}"'}],
            max_tokens=50, temperature=0)
        assert answer.choices[0].message.content.strip().strip('"') == text, answer.choices[0].message.content


def test_multi_turn():
    messages = [{"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "My name is Ada."}]
    first = client.chat.completions.create(model="weir-demo", messages=messages, max_tokens=60, temperature=0)
    messages += [{"role": "assistant", "content": first.choices[0].message.content},
                 {"role": "user", "content": "What is my name?"}]
    second = client.chat.completions.create(model="weir-demo", messages=messages, max_tokens=60, temperature=0)
    assert "Ada" in second.choices[0].message.content, second.choices[0].message.content


def test_seed_repeats_and_differs():
    def ask(seed):
        return client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=60, temperature=1.2,
                                              seed=seed).choices[0].message.content
    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(6)}) > 1


def test_max_tokens_and_stop():
    cut = client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=3)
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 3
    count = [{"role": "user", "content": "Count from 1 to 9."}]
    full = client.chat.completions.create(model="weir-demo", messages=count, max_tokens=80, temperature=0)
    assert "5" in full.choices[0].message.content, full.choices[0].message.content
    cut = client.chat.completions.create(model="weir-demo", messages=count, max_tokens=80, temperature=0, stop=["5"])
    assert cut.choices[0].finish_reason == "stop"
    assert full.choices[0].message.content.startswith(cut.choices[0].message.content)
    assert "5" not in cut.choices[0].message.content


def test_n_choices():
    answer = client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=20, n=3, temperature=1)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert all(c.message.content for c in answer.choices)


def test_logprobs():
    answer = client.chat.completions.create(model="weir-demo", messages=POEM, max_tokens=5, temperature=0,
                                            logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) == 5
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert abs(token.top_logprobs[0].logprob - token.logprob) < 1e-4
        assert bytes(token.bytes).decode(errors="replace") == token.token


def test_logit_bias_bans():
    ask = dict(model="weir-demo", messages=POEM, max_tokens=1, temperature=0)
    first = client.chat.completions.create(**ask, logprobs=True).choices[0].logprobs.content[0].token
    ids = server.post("/tokenize", {"model": "weir-demo", "prompt": first, "add_special_tokens": False})[1]["tokens"]
    assert len(ids) == 1, (first, ids)
    again = client.chat.completions.create(**ask, logprobs=True, logit_bias={str(ids[0]): -100})
    assert again.choices[0].logprobs.content[0].token != first


def test_completions():
    answer = client.completions.create(model="weir-demo", prompt="Once upon a time", max_tokens=24)
    assert answer.object == "text_completion" and answer.choices[0].text.strip()
    many = client.completions.create(model="weir-demo", prompt=["Once upon a time", "The capital of France is"],
                                     max_tokens=8)
    assert [c.index for c in many.choices] == [0, 1]
    chunks = list(client.completions.create(model="weir-demo", prompt="Once upon a time", max_tokens=8, stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices)


def test_validation_texts():
    def chat(**change):
        return client.chat.completions.create(**{"model": "weir-demo", "messages": POEM, **change})
    raises(openai.BadRequestError, "temperature must be between 0 and 2", lambda: chat(temperature=3.0))
    raises(openai.BadRequestError, "top_p must be between 0 and 1", lambda: chat(top_p=1.5))
    raises(openai.BadRequestError, "max_tokens must be between 1 and 2000000", lambda: chat(max_tokens=0))
    raises(openai.BadRequestError, "model is required", lambda: chat(model=""))
    error = raises(openai.NotFoundError, "model not found", lambda: chat(model="no-such-model"))
    assert error.code == "model_not_found" and error.type == "invalid_request_error"
    raises(openai.NotFoundError, "endpoint not found", lambda: client.get("/invalid", cast_to=object))


def test_context_length():
    text = "the sea and the ship " * 4000
    error = raises(openai.BadRequestError, "maximum context length",
                   lambda: client.chat.completions.create(model="weir-demo", messages=[{"role": "user", "content": text}]))
    assert error.code == "context_length_exceeded"


def main():
    global server, client
    with Server("default") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=60)
        status = tap.run(sys.modules[__name__], "sdk-python")
    if status == 0:
        print("# All OpenAI SDK compatibility tests PASSED")
    return status


if __name__ == "__main__":
    sys.exit(main())
