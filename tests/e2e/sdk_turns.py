#!/usr/bin/env python3
"""OpenAI's Responses and Anthropic's Messages by their official Python clients, unmodified: whole, streamed,
tools, thoughts, stored, in the background, errors."""
import sys
import tempfile
import time

try:
    import anthropic
    import openai
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import Server

TURN = r"""reasoning let me see
tool {"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}
tool {"index":0,"function":{"arguments":"{\\"city\\":"}}
tool {"index":0,"function":{"arguments":" \\"Rome\\"}"}}
finish tool
"""
SLOW = "words one two\ndelay 60s\nwords three\n"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}
servers = {}


def openai_of(name):
    return openai.OpenAI(base_url=servers[name].url + "/v1", api_key="none", max_retries=0)


def anthropic_of(name):
    return anthropic.Anthropic(base_url=servers[name].url, api_key="none", max_retries=0)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


# ---- Responses ----

def test_response():
    r = openai_of("echo").responses.create(model="echo", input="one two", instructions="be brief",
                                           metadata={"k": "v"}, temperature=0.5, max_output_tokens=50)
    assert r.output_text == "one two" and r.status == "completed" and r.id.startswith("resp_")
    assert r.metadata == {"k": "v"} and r.temperature == 0.5 and r.instructions == "be brief"
    assert r.usage.total_tokens == r.usage.input_tokens + r.usage.output_tokens > 0
    assert r.usage.output_tokens_details.reasoning_tokens == 0


def test_response_events():
    events = list(openai_of("turn").responses.create(model="echo", input="x", stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    types = [e.type for e in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    assert "response.reasoning_text.delta" in types and "response.function_call_arguments.done" in types
    assert all(type(e).__name__.startswith("Response") for e in events), [type(e) for e in events]


def test_response_stream_helper():
    with openai_of("turn").responses.stream(model="echo", input="x", tools=[TOOL]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    call = [i for i in final.output if i.type == "function_call"][0]
    assert (call.name, call.call_id, call.arguments) == ("weather", "call_1", '{"city": "Rome"}')


def test_response_tools_and_previous():
    client = openai_of("turn")
    first = client.responses.create(model="echo", input="weather?", tools=[TOOL], parallel_tool_calls=False)
    call = first.output[-1]
    assert call.type == "function_call"
    second = client.responses.create(model="echo", previous_response_id=first.id, tools=[TOOL], input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert second.previous_response_id == first.id
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [i.type for i in items] == ["message", "reasoning", "function_call", "function_call_output"], items
    again = openai_of("echo")
    a = again.responses.create(model="echo", input="first")
    b = again.responses.create(model="echo", input="second", previous_response_id=a.id)
    assert b.output_text == "second" and b.usage.input_tokens >= a.usage.input_tokens


def test_response_store():
    client = openai_of("echo")
    r = client.responses.create(model="echo", input="kept")
    assert client.responses.retrieve(r.id).output_text == "kept"
    client.responses.delete(r.id)
    assert raises(openai.NotFoundError, lambda: client.responses.retrieve(r.id)).status_code == 404
    no = client.responses.create(model="echo", input="x", store=False)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(no.id))


def test_response_background():
    client = openai_of("echo")
    r = client.responses.create(model="echo", input="one two", background=True)
    assert r.status in ("queued", "in_progress")
    end = time.monotonic() + 10
    while r.status in ("queued", "in_progress"):
        assert time.monotonic() < end
        time.sleep(0.02)
        r = client.responses.retrieve(r.id)
    assert r.status == "completed" and r.output_text == "one two"
    slow = openai_of("slow")
    r = slow.responses.create(model="echo", input="x", background=True)
    assert slow.responses.cancel(r.id).status == "cancelled"
    time.sleep(0.3)
    assert slow.responses.retrieve(r.id).status == "cancelled"
    sync = client.responses.create(model="echo", input="x")
    raises(openai.BadRequestError, lambda: client.responses.cancel(sync.id))


def test_response_background_stream():
    """Left after every event, and taken up again by starting_after."""
    client = openai_of("echo")
    whole = None
    for k in range(1, 12):
        stream = client.responses.create(model="echo", input="a b c d", background=True, stream=True)
        got = []
        for event in stream:
            got.append(event)
            if len(got) == k:
                break
        stream.close()
        if got[-1].type != "response.completed":
            rid = got[0].response.id
            got += list(client.responses.retrieve(rid, stream=True, starting_after=got[-1].sequence_number))
        text = "".join(e.delta for e in got if e.type == "response.output_text.delta")
        assert text == "a b c d" and [e.sequence_number for e in got] == list(range(len(got)))
        whole = whole or [e.type for e in got]
        assert [e.type for e in got] == whole


def test_response_errors():
    client = openai_of("echo")
    raises(openai.NotFoundError, lambda: client.responses.create(model="x", input="x"))
    error = raises(openai.BadRequestError, lambda: client.responses.create(
        model="echo", input="x", previous_response_id="resp_x"))
    assert error.code == "previous_response_not_found" and error.param == "previous_response_id"
    raises(openai.BadRequestError, lambda: client.responses.create(model="echo", input="x", temperature=3))


def test_response_logprobs():
    """As OpenAI's SDK types them: in the whole answer, in deltas, in what is done; of every token that is shown."""
    try:
        demo = Server("default")
    except RuntimeError as error:
        raise tap.Skip(str(error).splitlines()[0])
    with demo:
        client = openai.OpenAI(base_url=demo.url + "/v1", api_key="none", max_retries=0)
        ask = dict(model="weir-demo", input="My name is Ada.", temperature=0, max_output_tokens=12, top_logprobs=3,
                   include=["message.output_text.logprobs", "reasoning.encrypted_content"])
        r = client.responses.create(**ask)
        whole = r.output[0].content[0].logprobs
        assert r.top_logprobs == 3 and 0 < len(whole) <= 12
        assert b"".join(bytes(t.bytes) for t in whole).decode() == r.output_text
        for t in whole:
            assert t.logprob <= 0 and len(t.top_logprobs) == 3 and t.top_logprobs[0].token == t.token, t
        chat = client.chat.completions.create(model="weir-demo", temperature=0, max_tokens=12, logprobs=True,
                                              messages=[{"role": "user", "content": ask["input"]}])
        assert [t.logprob for t in chat.choices[0].logprobs.content][:len(whole)] == [t.logprob for t in whole]
        events = list(client.responses.create(**ask, stream=True))
        deltas = [t for e in events if e.type == "response.output_text.delta" for t in e.logprobs]
        done = [e for e in events if e.type == "response.output_text.done"][0].logprobs
        wanted = [(t.token, t.logprob) for t in whole]
        assert [(t.token, t.logprob) for t in deltas] == [(t.token, t.logprob) for t in done] == wanted
        assert events[-1].response.output[0].content[0].logprobs == whole
        plain = client.responses.create(**{**ask, "top_logprobs": None, "include": None})
        assert plain.output[0].content[0].logprobs == []
        raises(openai.BadRequestError, lambda: client.responses.create(**{**ask, "include": ["everything"]}))
        raises(openai.BadRequestError, lambda: client.responses.create(**{**ask, "top_logprobs": 21}))


# ---- Messages ----

ASK = dict(model="echo", max_tokens=100, messages=[{"role": "user", "content": "one two"}])
ANTHROPIC_TOOL = {"name": "weather", "description": "what it is like", "input_schema": PARAMETERS}


def test_message():
    m = anthropic_of("echo").messages.create(**ASK, system="be brief", stop_sequences=["zzz"],
                                             metadata={"user_id": "u"}, extra_body={"top_k": 5, "temperature": 0.5})
    assert m.type == "message" and m.role == "assistant" and m.id.startswith("msg_")
    assert m.content[0].text == "one two" and m.stop_reason == "end_turn"
    assert m.usage.input_tokens > 0 and m.usage.output_tokens > 0


def test_message_stream():
    with anthropic_of("echo").messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == "one two"
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0


def test_message_tools():
    client = anthropic_of("turn")
    ask = dict(ASK, tools=[ANTHROPIC_TOOL], tool_choice={"type": "any"},
               thinking={"type": "enabled", "budget_tokens": 1024})
    for m in (client.messages.create(**ask), client.messages.stream(**ask).__enter__().get_final_message()):
        assert [b.type for b in m.content] == ["thinking", "tool_use"] and m.stop_reason == "tool_use"
        assert m.content[0].thinking == "let me see"
        assert (m.content[1].name, m.content[1].id) == ("weather", "call_1") and m.content[1].input == {"city": "Rome"}
        back = client.messages.create(**dict(ask, messages=ask["messages"] + [
            {"role": "assistant", "content": m.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}]}]))
        assert back.type == "message"


def test_message_errors():
    client = anthropic_of("echo")
    error = raises(anthropic.NotFoundError, lambda: client.messages.create(**dict(ASK, model="x")))
    assert error.body["type"] == "error" and error.body["error"]["type"] == "not_found_error"
    error = raises(anthropic.BadRequestError, lambda: client.messages.create(**ASK, extra_body={"temperature": 2}))
    assert error.body["error"]["type"] == "invalid_request_error" and "temperature" in error.body["error"]["message"]
    assert error.request_id
    raises(anthropic.BadRequestError, lambda: client.messages.create(**dict(ASK, messages=[
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x/"}}]}])))


def test_message_error_in_stream():
    def read():
        for _ in anthropic_of("broken").messages.create(**ASK, stream=True):
            pass
    error = raises(anthropic.APIStatusError, read)
    assert "api_error" in str(error.body), error.body


def test_demo_model():
    """A real template, tokenizer and sampler behind both."""
    try:
        demo = Server("default")
    except RuntimeError as error:
        raise tap.Skip(str(error).splitlines()[0])
    with demo:
        client = anthropic.Anthropic(base_url=demo.url, api_key="none", max_retries=0)
        ask = [{"role": "user", "content": "My name is Ada."}]
        count = client.messages.count_tokens(model="weir-demo", messages=ask).input_tokens
        m = client.messages.create(model="weir-demo", max_tokens=20, messages=ask, extra_body={"temperature": 0})
        assert m.usage.input_tokens + m.usage.cache_read_input_tokens == count
        assert client.messages.count_tokens(model="weir-demo", messages=ask, system="x").input_tokens > count
        # A call that is demanded is begun in the prompt: it counts, there as here.
        tools = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
        for choice in {"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "f"}, {"type": "none"}:
            called = dict(model="weir-demo", messages=ask, tools=tools, tool_choice=choice)
            count = client.messages.count_tokens(**called).input_tokens
            m = client.messages.create(max_tokens=4, **called)
            assert m.usage.input_tokens + m.usage.cache_read_input_tokens == count, (choice, m.usage, count)
        stop = dict(model="weir-demo", max_tokens=100, messages=ask, extra_body={"temperature": 0},
                    stop_sequences=["zzz", "Ada"])
        m = client.messages.create(**stop)
        assert (m.stop_reason, m.stop_sequence) == ("stop_sequence", "Ada"), m
        with client.messages.stream(**stop) as stream:
            final = stream.get_final_message()
        assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "Ada"), final
        o = openai.OpenAI(base_url=demo.url + "/v1", api_key="none", max_retries=0)
        first = o.responses.create(model="weir-demo", input="My name is Ada.", temperature=0, max_output_tokens=60)
        second = o.responses.create(model="weir-demo", input="What is my name?", previous_response_id=first.id,
                                    temperature=0, max_output_tokens=60)
        assert "Ada" in second.output_text, second.output_text
        short = o.responses.create(model="weir-demo", input="Write a short poem about the sea", max_output_tokens=2)
        assert short.status == "incomplete" and short.incomplete_details.reason == "max_output_tokens"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {"turn": TURN, "slow": SLOW, "broken": "words one two\nerror INTERNAL it broke\n"}.items():
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        with Server("echo") as servers["echo"], Server("echo", f"backend.echo.script={folder}/turn") as servers["turn"], \
                Server("echo", f"backend.echo.script={folder}/slow") as servers["slow"], \
                Server("echo", f"backend.echo.script={folder}/broken") as servers["broken"]:
            sys.exit(tap.run(sys.modules[__name__], "sdk-turns"))
