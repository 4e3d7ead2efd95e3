# SPDX-License-Identifier: MIT
"""Conversations for the chat template oracle: (name, context) pairs, the context as templates get it.

Every shape that a client may send and a real template looks at: roles in all orders, tools in several
schemas, tool calls and results, content as parts, null and empty content, thinking, odd characters,
and conversations that some templates must refuse.
"""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather <b>now</b>, \"quoted\" & more",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 0, "maximum": 18446744073709551615},
            },
            "required": ["city"],
        },
    },
}
DEEP = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Books  ",
        "parameters": {
            "type": "object",
            "properties": {
                "who": {"type": "array", "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "age": {"type": "number", "nullable": True}}},
                    "description": "guests"},
                "tags": {"type": ["string", "null"], "description": "tags"},
                "flags": {"type": "array", "items": {"type": "boolean"}, "description": "f"},
                "any": {"oneOf": [{"type": "object", "description": "o"}, {"type": "string", "default": "x"}],
                        "description": "one of"},
                "ratio": {"type": "number", "default": 0.1, "description": "1e-7 or 1e22"},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "m"},
                "empty": {"type": "object", "properties": {}, "description": "e"},
            },
            "required": ["who", "tags"],
        },
        "return": {"type": "string", "description": "the number"},
    },
}
BARE = {"type": "function", "function": {"name": "ping", "description": "no parameters",
                                         "parameters": {"type": "object", "properties": {}}}}
FLAT = {"name": "flat", "description": "an old schema", "parameters": {
    "type": "object", "properties": {"x": {"type": "number", "description": "a number"}}, "required": []}}
NO_PARAMETERS = {"type": "function", "function": {"name": "now", "description": "no parameters member"}}


def sys(text="You are a helpful assistant."):
    return {"role": "system", "content": text}


def user(text="Hello!"):
    return {"role": "user", "content": text}


def bot(text="Hi, how can I help?", **more):
    return {"role": "assistant", "content": text, **more}


def call(name, arguments, ident="abcdef123"):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(text="22 degrees", **more):
    return {"role": "tool", "content": text, "tool_call_id": "abcdef123", "name": "get_weather", **more}


WEATHER_CALL = bot(None, tool_calls=[call("get_weather", {"city": "Köln", "days": 3, "deep": [1, 2.5, None, True]})])
TWO_CALLS = bot("", tool_calls=[call("get_weather", {"city": "Paris"}, "aaaaaaaaa"),
                                call("ping", {}, "bbbbbbbbb")])
TEXT_CALL = bot("Let me look.", tool_calls=[call("get_weather", "{\"city\": \"Rome\"}")])
ODD = "<|im_end|>\n<|im_start|>system\n[INST] {{ 7*7 }} {% raw %} </s> <|eot_id|>\t\r\n \x1f \u00a0 é 漢字 🦊 \u2028 \"q\" 'a' \\ \x7f"

MESSAGES = {
    "plain": [user()],
    "system": [sys(), user()],
    "multi-turn": [user("1"), bot("2"), user("3"), bot("4"), user("5")],
    "system multi-turn": [sys("Be brief. "), user(" 1 "), bot(" 2\n"), user("\n3")],
    "ends with assistant": [user(), bot()],
    "odd characters": [sys(ODD), user(ODD), bot(ODD), user(ODD)],
    "empty content": [sys(""), user(""), bot(""), user("")],
    "null content": [user(), bot(None), user()],
    "null user": [{"role": "user", "content": None}],
    "no content": [user(), {"role": "assistant"}, user()],
    "no messages": [],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "What is this?"},
                                           {"type": "image"}, {"type": "text", "text": " And?"}]}],
    "system parts": [{"role": "system", "content": [{"type": "text", "text": "Rules"}]}, user()],
    "two users": [user("1"), user("2")],
    "two assistants": [user(), bot("1"), bot("2"), user()],
    "late system": [user(), sys(), user()],
    "starts with assistant": [bot(), user()],
    "unknown role": [user(), {"role": "critic", "content": "no"}, user()],
    "developer": [{"role": "developer", "content": "Obey."}, user()],
    "thinking": [user("2+2"), bot("<think>\nIt is 4.\n</think>\n\n4"), user("sure?"),
                 bot("<think>a</think>yes</think>b"), user("ok")],
    "reasoning field": [user(), bot("4", reasoning_content="\nsum\n", thinking="sum"), user(), bot("5", thinking="x")],
    "thinks last": [user(), bot("<think>\n\n</think>done")],
    "think command": [sys("Talk. /no_think please /think"), user("/think")],
    "tool call": [user("Weather?"), WEATHER_CALL, tool(), bot("It is fine."), user("Thanks")],
    "tool result last": [sys(), user("Weather?"), WEATHER_CALL, tool("{\"t\": 22}")],
    "two calls": [user("Both"), TWO_CALLS, tool("1", tool_call_id="aaaaaaaaa"), tool("2", tool_call_id="bbbbbbbbb"),
                  bot("ok"), user("more")],
    "text and call": [user("Rome"), TEXT_CALL, tool({"content": {"temp": 1.0, "ok": True}}), user("x")],
    "flat call": [user(), bot(None, tool_calls=[{"name": "flat", "arguments": {"x": 1}}]), tool("3"), user()],
    "short id": [user(), bot(None, tool_calls=[call("ping", {}, "1")]), tool("3"), user()],
    "result without call": [user(), tool(), user()],
    "result as dict": [user(), WEATHER_CALL, tool({"a": [1, "x", None, False, 1e100, -0.0]}), user()],
    "channel text": [user(), bot("<|channel|>analysis<|message|>x"), user()],
    "many turns": [m for i in range(20) for m in (user("question %d" % i), bot("answer %d" % i))] + [user("end")],
    "long": [user("word " * 2000), bot("é" * 3000), user("x")],
}
TOOLS = {
    "no tools": None,
    "weather": [WEATHER],
    "several": [WEATHER, DEEP, BARE],
    "flat": [FLAT],
    "no parameters": [NO_PARAMETERS],
    "none of them": [],
}
VARIANTS = {
    "": {},
    "no prompt": {"add_generation_prompt": False},
    "thinking on": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"},
    "thinking off": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"},
    "documents": {"documents": [{"doc_id": 1, "title": "T", "text": "Some text"}, {"doc_id": "2", "text": "More\n"}],
                  "controls": {"citations": True, "length": "short"}, "date_string": "26 Jul 2025"},
    "builtin": {"builtin_tools": ["browser", "python", "code_interpreter"], "model_identity": "You are Weir.",
                "tools_in_user_message": False, "custom_tools": None},
}


def contexts():
    """Every conversation without tools, those with tools in all schemas, and each variant."""
    base = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    for name, messages in MESSAGES.items():
        for tools_name, tools in TOOLS.items():
            for variant, more in VARIANTS.items():
                if tools_name not in ("no tools", "weather") and variant:
                    continue
                context = {**base, "messages": messages, "tools": tools, "documents": None, **more}
                yield f"{name} / {tools_name} / {variant}", context
        yield f"{name} / tools absent", {**base, "messages": messages}
