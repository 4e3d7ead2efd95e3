#!/usr/bin/env python3
"""Structured output and tools that must be called, by the official OpenAI SDK on the demo model
(issue B, structured output): schemas, expressions, choices and grammars hold whatever the model would
rather say; several at once; beside requests without one, whose text stays the same."""
import concurrent.futures
import json
import re
import sys
import typing

try:
    import jsonschema
    import openai
    import pydantic
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import Server

server = None
client = None
FEW_BLOCKS = ("backend.main.context=384", "backend.main.kv_memory=1310720")
ASK = [{"role": "user", "content": "Tell me about a person"}]
PLAIN = dict(model="weir-demo", messages=ASK, max_tokens=300)


class Person(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.Field(max_length=12)]
    age: typing.Annotated[int, pydantic.Field(ge=0, le=130)]
    mood: typing.Literal["calm", "angry"]
    pets: typing.Annotated[list[typing.Literal["cat", "dog"]], pydantic.Field(max_length=2)]


TOOLS = [{"type": "function", "function": {
    "name": name, "description": "Tells it", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 10},
                                         "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"], "additionalProperties": False}}} for name in ("get_weather", "get_time")]
SCHEMA = Person.model_json_schema()
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}


def content(**fields):
    answer = client.chat.completions.create(**{**PLAIN, **fields}).choices[0]
    assert answer.finish_reason == "stop", answer
    return answer.message.content


def refused(text, where, **fields):
    """A 400 that has the text, and names the member that the client wrote."""
    try:
        client.chat.completions.create(**{**PLAIN, **fields})
    except openai.BadRequestError as error:
        assert text in str(error) and error.param == where, f"{text!r}, {where} not in {error}"
        return
    raise AssertionError("not refused")


def test_parse_pydantic():
    for seed in range(4):
        person = client.chat.completions.parse(**PLAIN, response_format=Person, seed=seed, temperature=1.5).choices[0]
        assert isinstance(person.message.parsed, Person) and person.finish_reason == "stop", person


def test_streaming():
    for seed in range(3):
        chunks = client.chat.completions.create(**PLAIN, response_format=FORMAT, seed=seed, temperature=1, stream=True)
        texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        jsonschema.validate(json.loads("".join(texts)), SCHEMA)
        assert sum(1 for t in texts if t) > 1
    with client.chat.completions.stream(**PLAIN, response_format=Person, seed=5) as stream:
        kinds = {event.type for event in stream}
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)
    assert "content.delta" in kinds and "content.done" in kinds, kinds


def test_json_object():
    done = 0
    for seed in range(6):
        answer = client.chat.completions.create(**PLAIN, response_format={"type": "json_object"}, seed=seed).choices[0]
        assert answer.message.content.startswith("{"), answer
        if answer.finish_reason == "stop":
            assert isinstance(json.loads(answer.message.content), dict)
            done += 1
    # One that is cut is the beginning of an object, and says so.
    short = client.chat.completions.create(**{**PLAIN, "max_tokens": 3}, response_format=FORMAT).choices[0]
    assert short.finish_reason == "length" and short.message.content.startswith("{"), short


def test_dialects():
    for seed in range(3):
        ask = lambda **body: content(seed=seed, temperature=1.2, extra_body=body)
        assert re.fullmatch(r"[A-C]{2,4}-\d{3}", ask(guided_regex=r"[A-C]{2,4}-\d{3}"))
        assert ask(guided_choice=["red", "green", "blue"]) in ("red", "green", "blue")
        assert re.fullmatch(r"(yes|no)!{1,3}", ask(guided_grammar='root ::= ("yes" | "no") "!"{1,3}'))
        jsonschema.validate(json.loads(ask(guided_json=SCHEMA)), SCHEMA)
        assert ask(structured_outputs={"choice": ["one", "two"]}) in ("one", "two")
        assert re.fullmatch(r"\d{2}", ask(structured_outputs={"regex": r"\d{2}"}))


def test_refusals():
    schema = lambda s: {"type": "json_schema", "json_schema": {"name": "x", "schema": s}}
    refused("uniqueItems", "response_format", response_format=schema({"type": "array", "uniqueItems": True}))
    refused("#/properties/a/not", "response_format", response_format=schema({"properties": {"a": {"not": {}}}}))
    refused("no such type: null, boolean", "response_format", response_format=schema({"type": "objct"}))
    refused("lookaround", "guided_regex", extra_body={"guided_regex": "a(?=b)"})
    refused("line 1", "guided_grammar", extra_body={"guided_grammar": "root ::= missing"})


def test_forced_tools():
    for seed in range(3):
        common = dict(**PLAIN, tools=TOOLS, seed=seed, temperature=1)
        named = client.chat.completions.create(
            **common, tool_choice={"type": "function", "function": {"name": "get_time"}}).choices[0]
        assert named.message.tool_calls[0].function.name == "get_time", named
        jsonschema.validate(json.loads(named.message.tool_calls[0].function.arguments), TOOLS[0]["function"]["parameters"])
        needed = client.chat.completions.create(**common, tool_choice="required").choices[0]
        call = needed.message.tool_calls[0]
        assert call.function.name in ("get_weather", "get_time") and needed.finish_reason == "tool_calls", needed
        jsonschema.validate(json.loads(call.function.arguments), TOOLS[0]["function"]["parameters"])
        with client.chat.completions.stream(**common, tool_choice="required") as stream:
            for _ in stream:
                pass
            streamed = stream.get_final_completion().choices[0]
        assert streamed.message.tool_calls[0].function.arguments == call.function.arguments, (streamed, call)
        assert streamed.message.tool_calls[0].function.name == call.function.name
    # auto may answer in words; it is a whole answer either way.
    auto = client.chat.completions.create(**common, tool_choice="auto").choices[0]
    assert auto.message.content or auto.message.tool_calls, auto
    none = client.chat.completions.create(**common, tool_choice="none").choices[0]
    assert not none.message.tool_calls, none


def test_together_with_others():
    """Choices of one request, many requests, logprobs, bias and stop strings; plain ones as alone."""
    plain = [dict(model="weir-demo", prompt=f"Once upon {k}", max_tokens=60, temperature=0.8, seed=k) for k in range(6)]
    alone = [client.completions.create(**p).choices[0].text for p in plain]
    shaped = [dict(**PLAIN, response_format=FORMAT, seed=k, temperature=1.3, n=1 + k % 3, logprobs=k % 2 == 0,
                   top_logprobs=4 if k % 2 == 0 else None) for k in range(8)]
    with concurrent.futures.ThreadPoolExecutor(14) as pool:
        a = [pool.submit(client.completions.create, **p) for p in plain]
        b = [pool.submit(client.chat.completions.create, **{k: v for k, v in p.items() if v is not None}) for p in shaped]
        assert [x.result().choices[0].text for x in a] == alone
        for ask, answer in zip(shaped, b):
            assert len(answer.result().choices) == ask["n"]
            for choice in answer.result().choices:
                jsonschema.validate(json.loads(choice.message.content), SCHEMA)
                if ask["logprobs"]:
                    # A token may hold a part of a rune: the bytes are what counts.
                    assert all(t.logprob <= 0 for t in choice.logprobs.content)
    cut = client.chat.completions.create(**PLAIN, response_format=FORMAT, stop=['"age"'], seed=1).choices[0]
    assert cut.finish_reason == "stop" and '"age"' not in cut.message.content and cut.message.content.startswith('{'), cut


def test_other_controls():
    """A bias, a least number of tokens and the end's ban do not lead out of the language."""
    for extra in (dict(logit_bias={str(t): -100 for t in range(3, 40)}), dict(extra_body={"min_tokens": 60}),
                  dict(extra_body={"ignore_eos": True}), dict(top_p=0.2, temperature=2), dict(temperature=0),
                  dict(presence_penalty=2, frequency_penalty=2), dict(extra_body={"min_p": 0.9, "top_k": 2})):
        for seed in (280, 284, 298):  # where the bias bans all that the language has, once
            jsonschema.validate(json.loads(content(response_format=FORMAT, seed=seed, **extra)), SCHEMA)
    choice = content(extra_body={"guided_choice": ["ab", "abc"], "ignore_eos": True, "min_tokens": 30})
    assert choice in ("ab", "abc"), choice


def test_places_survive_preemption():
    """Sequences that lose their blocks to others go on in their grammar where they were."""
    ask = lambda k: dict(model="weir-demo", prompt=f"Say {k}: ", max_tokens=330, seed=k, temperature=1,
                         extra_body={"guided_regex": "([a-z]{3} ){70}[0-9]{2}"})
    with Server("default", *FEW_BLOCKS) as few:
        other = openai.OpenAI(base_url=few.url + "/v1", api_key="none", max_retries=0)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            texts = [c.result().choices[0].text for c in
                     [pool.submit(other.completions.create, **ask(k)) for k in range(8)]]
        assert few.metric("vllm:num_preemptions_total") > 0
    for k, text in enumerate(texts):
        assert re.fullmatch("([a-z]{3} ){70}[0-9]{2}", text), text
        assert client.completions.create(**ask(k)).choices[0].text == text, k


def test_streams_that_are_left():
    for _ in range(20):
        stream = client.chat.completions.create(**PLAIN, response_format=FORMAT, stream=True)
        next(iter(stream))
        stream.close()
    assert content(extra_body={"guided_choice": ["still here"]}) == "still here"


if __name__ == "__main__":
    with Server("default") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        status = tap.run(sys.modules[__name__], "structured")
    sys.exit(status)
