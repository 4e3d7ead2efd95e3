#!/usr/bin/env python3
"""Clients above the official SDKs, unmodified: LangChain's OpenAI client, and Vercel's AI SDK (clients.mjs),
streaming and with tools. The echo backend plays what a model would say."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap
from weir_server import Server

here = pathlib.Path(__file__).resolve().parent
node = shutil.which("node", path=f"{pathlib.Path(sys.executable).parent}:{__import__('os').environ['PATH']}")
plain = tools = None

SCRIPT = r"""reasoning Let me see.
tool {"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}
tool {"index":0,"function":{"arguments":"{\\"city\\":"}}
tool {"index":0,"function":{"arguments":"\\"Oslo\\"}"}}
finish tool
"""


def model(server):
    try:
        from langchain_openai import ChatOpenAI
    except ImportError as error:
        raise tap.Skip(str(error))
    return ChatOpenAI(model="echo", base_url=server.url + "/v1", api_key="none", max_retries=0)


def test_langchain_invoke_and_stream():
    chat = model(plain)
    answer = chat.invoke("one two three")
    assert answer.content == "one two three"
    assert answer.usage_metadata["total_tokens"] > 0
    parts = list(chat.stream("one two three"))
    assert "".join(p.content for p in parts) == "one two three"
    assert len([p for p in parts if p.content]) > 1


def test_langchain_batch():
    answers = model(plain).batch(["a b", "c d", "e f"])
    assert [a.content for a in answers] == ["a b", "c d", "e f"]


def test_langchain_tools():
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    chat = model(tools).bind_tools([weather], tool_choice="weather", parallel_tool_calls=False)
    call = chat.invoke("Weather in Oslo?").tool_calls[0]
    assert (call["name"], call["args"], call["id"]) == ("weather", {"city": "Oslo"}, "call_1")
    whole = None
    for part in chat.stream("Weather in Oslo?"):
        whole = part if whole is None else whole + part
    assert whole.tool_calls[0]["args"] == {"city": "Oslo"}


def test_langchain_errors():
    chat = model(plain)
    chat.model_name = "no-such-model"
    try:
        chat.invoke("x")
    except Exception as error:
        assert "model not found" in str(error), error
        return
    raise AssertionError("an unknown model was accepted")


def test_vercel_ai_sdk():
    if not node or not (here / "node_modules" / "ai").is_dir():
        raise tap.Skip("Node.js or the package ai is not installed: ./dev test installs both")
    done = subprocess.run([node, here / "clients.mjs", plain.url, tools.url], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        script.write(SCRIPT)
        script.flush()
        with Server("echo") as plain, Server("echo", f"backend.echo.script={script.name}") as tools:
            sys.exit(tap.run(sys.modules[__name__], "clients"))
