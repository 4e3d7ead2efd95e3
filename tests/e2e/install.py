#!/usr/bin/env python3
"""What `meson install` leaves, staged into a folder of its own: the server finds its parts there, and a plugin's
author needs nothing but the headers, pkg-config's file and the examples."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import tap
import weir_server

STAGE = tempfile.TemporaryDirectory()
for name in ("WEIR_DATA_DIR", "WEIR_PLUGIN_PATH"):
    os.environ.pop(name, None)
prefix = None


def call(*command, status=0, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, cwd="/", **more)
    assert done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def pkg_config(*what):
    (folder,) = prefix.glob("lib/**/pkgconfig")
    return call("pkg-config", f"--define-variable=prefix={prefix}", *what, "weir-sdk",
                env={**os.environ, "PKG_CONFIG_PATH": str(folder)}).split()


def compiled(source):
    """An example's line from its own first comment, less the paths."""
    target = pathlib.Path(STAGE.name) / f"weir-{source.stem.split('-')[1]}.so"
    call("cc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-shared", "-fPIC", "-fvisibility=hidden",
         *pkg_config("--cflags"), source, "-o", target, "-pthread")
    return target


def test_staged():
    global prefix
    call("meson", "install", "-C", weir_server.BUILD, "--no-rebuild", "--quiet", "--destdir", STAGE.name)
    (program,) = pathlib.Path(STAGE.name).glob("**/bin/weir")
    prefix = program.parent.parent
    weir_server.WEIR = program


def test_finds_its_own_plugins():
    found = json.loads(call(weir_server.WEIR, "inspect", "--json"))
    ids = {c["id"] for c in found["components"]}
    assert {"http", "websocket", "line", "cpu", "echo", "chat", "model"} <= ids, ids
    assert not found["refused"] and all(f.startswith(str(prefix)) for f in found["searched"]), found


def test_profiles_can_be_used():
    names = sorted(file.stem for file in (prefix / "share" / "weir" / "profiles").glob("*.ini"))
    assert {"default", "echo", "line", "vulkan", "websocket"} <= set(names), names
    for name in names:
        assert "can be used" in call(weir_server.WEIR, "serve", name, "--check")


def test_a_line_is_piped_into_the_profile_line():
    port = weir_server.free_port()
    server = subprocess.Popen([weir_server.WEIR, "serve", "line", "--set", f"frontend.line.listen=127.0.0.1:{port}"],
                              stderr=subprocess.PIPE, text=True)
    try:
        while "ready after" not in (line := server.stderr.readline()):
            assert line, "it has ended"
        said = call("nc", "-N", "127.0.0.1", port, input=json.dumps({
            "id": 1, "method": "complete", "params": {"prompt": "Once", "max_tokens": 3, "stream": False}}) + "\n")
        assert json.loads(said)["result"]["choices"][0]["text"], said
    finally:
        server.terminate()
        server.stderr.read()
        server.wait()


def test_serves():
    with weir_server.Server() as server:
        answer = server.post("/v1/chat/completions", {
            "model": "weir-demo", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]})
        assert answer[0] == 200 and answer[1]["choices"][0]["message"]["content"], answer
        status, page, _ = server.get("/")
        assert status == 200 and b"<title>" in page, page[:200]
        assert server.get("/openapi.json")[0] == 200 and server.get("/docs")[0] == 200


def test_headers_alone():
    folder = prefix / "include" / "weir"
    for header in sorted(folder.rglob("*.h")):
        line = f"#include <weir/{header.relative_to(folder)}>\n"
        for command in (("cc", "-std=c11", "-x", "c"), ("g++", "-std=c++17", "-x", "c++")):
            call(*command, "-Wall", "-Wextra", "-Werror", *pkg_config("--cflags"), "-fsyntax-only", "-", input=line)


def test_examples():
    (folder,) = pkg_config("--variable=examplesdir")
    options = {"backend-null": ["text=hello"], "frontend-ask": ["question=Hello"]}
    sources = sorted(pathlib.Path(folder).glob("*.c"))
    assert len(sources) == 3, sources
    for source in sources:
        said = call(weir_server.WEIR, "check", compiled(source), "--effort", "1",
                    *[word for o in options.get(source.stem, []) for word in ("--option", o)])
        assert " 0 not ok, " in said, said


def test_one_question():
    """The three examples in one server: a frontend asks, a backend answers, a middleware shouts."""
    file = pathlib.Path(STAGE.name) / "ask.ini"
    file.write_text("[frontend.ask]\nquestion = say \"hi\"\n[chain]\norder = upcase\n"
                    "[backend.null]\ntext = well met\nserves = default\n")
    assert call(weir_server.WEIR, "serve", file, "--plugin-path", STAGE.name) == "WELL MET\n"


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules["__main__"], "install"))
