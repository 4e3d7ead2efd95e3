#!/usr/bin/env python3
"""Many requests on one WebSocket, with the Python package `websockets` (unchanged) and bare sockets, against the
echo backend: flow control, cancel, resume, readers that do not read, draining, reload."""
import asyncio
import json
import re
import signal
import sys
import tempfile
import time

import tap
from weir_server import BUILD, LEAN, Server
from ws_socket import Socket, ports

try:
    import websockets
except ImportError:
    print("1..0 # SKIP the Python package websockets is not installed: ./dev test installs it")
    sys.exit(0)

server = port = brief = None


def chat(text, **more):
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def words(n, first=""):
    return first + " ".join(f"w{i}" for i in range(n))


def delta(message):
    return message["data"]["choices"][0]["delta"].get("content", "") if message["type"] == "chunk" else ""


def create(id, body, **more):
    return {"type": "chat.create", "id": id, "body": body, **more}


def running():
    return server.get("/health")[1]["queue"]["active"]


def wait_for(what, limit=20):
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


async def answer(ws, id):
    text, seqs = "", []
    while True:
        message = json.loads(await asyncio.wait_for(ws.recv(), 30))
        if message.get("id") != id or "seq" not in message:
            continue
        seqs.append(message["seq"])
        text += delta(message)
        if message["type"] in ("done", "error", "cancelled", "result"):
            assert seqs == list(range(len(seqs))), seqs
            return message, text


def test_websockets_package():
    async def run():
        uri = f"ws://127.0.0.1:{server.port}/v1/ws"
        async with websockets.connect(uri, subprotocols=["weir.v1"]) as ws:
            assert ws.subprotocol == "weir.v1"
            assert json.loads(await ws.recv())["type"] == "session.created"
            await ws.send(json.dumps(create("a", chat(words(300)))))
            last, text = await answer(ws, "a")
            assert last["type"] == "done" and text == words(300), (last, text)
            assert last["usage"]["completion_tokens"] == 300, last
            await (await ws.ping())
            # A message in fragments, as the package sends an iterable.
            await ws.send([part for part in json.dumps(create("b", chat("x y"))).partition("chat")])
            assert (await answer(ws, "b"))[1] == "x y"
        assert ws.close_code == 1000
    asyncio.run(run())


def test_websockets_package_compressed():
    async def run():
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1/ws", compression="deflate") as ws:
            assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]
            for i in range(5):
                await ws.send(json.dumps(create(f"r{i}", chat(words(2000, f"{i} ")))))
                assert (await answer(ws, f"r{i}"))[1] == words(2000, f"{i} ")
    asyncio.run(run())


def test_200_requests_on_one_socket():
    async def run():
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1/ws", max_queue=None) as ws:
            want = {f"r{i}": words(i % 50 + 1, f"{i} ") for i in range(200)}
            for id, text in want.items():
                await ws.send(json.dumps(create(id, chat(text))))
            got, seqs, done = dict.fromkeys(want, ""), dict.fromkeys(want, -1), set()
            order = []
            while len(done) < 200:
                message = json.loads(await asyncio.wait_for(ws.recv(), 60))
                if "seq" not in message:
                    continue
                id = message["id"]
                assert message["seq"] == seqs[id] + 1 and id not in done, message
                seqs[id] += 1
                order.append(id)
                got[id] += delta(message)
                if message["type"] == "done":
                    done.add(id)
            assert got == want
            assert sum(a != b for a, b in zip(order, order[1:])) > 300, "answers should be interleaved"
    asyncio.run(run())


def test_too_many_requests():
    ws = Socket(port)
    for i in range(257):
        ws.say(create(f"r{i}", chat(words(20)), credit=0))
    refused = None
    while refused is None:
        message = ws.hear()
        refused = message if message["type"] == "error" else None
    assert refused["id"] == "r256" and refused["status"] == 429, refused
    ws.close()
    wait_for(lambda: running() == 0)


def test_credit_of_one():
    ws = Socket(port)
    ws.say(create("a", chat(words(40)), credit=1))
    ws.say({"type": "ping", "echo": 1})
    text, waited = "", 0
    while True:
        message = ws.hear()
        if message["type"] == "pong":
            waited += 1
            ws.say({"type": "credit", "id": "a"})
            ws.say({"type": "ping", "echo": waited})
        elif message["type"] == "chunk":
            text += delta(message)
        elif message["type"] == "done":
            break
    assert text == words(40) and waited >= 38, (text, waited)
    ws.close()


def test_never_reads():
    """Fifty generations for a client that reads nothing: memory is bounded, nobody else waits."""
    before = server.rss()
    ws = Socket(port, receive_buffer=4096)
    for i in range(50):
        ws.say(create(f"r{i}", chat(words(50000)), resume=True))
    wait_for(lambda: running() == 50, 60)  # under a sanitizer on a busy machine it takes its time to read them all
    time.sleep(1)
    used = server.cpu_seconds()
    time.sleep(1)
    assert server.cpu_seconds() - used < 0.3, "a generation without credit must stand still"
    most = 400 << 20 if BUILD.name == "build-tsan" else 96 << 20  # it has shadows of all memory
    assert server.rss() - before < most, server.rss() - before
    assert running() == 50
    status, body, _ = server.post("/v1/chat/completions", chat("others are served"))
    assert status == 200 and body["choices"][0]["message"]["content"] == "others are served"
    other = Socket(port)
    other.say(create("a", chat("also here")))
    text = ""
    while (message := other.hear())["type"] != "done":
        text += delta(message)
    assert text == "also here"
    other.close()
    for i in range(50):  # they are resumable: a cancel ends them, not the lost socket
        ws.say({"type": "cancel", "id": f"r{i}"})
    wait_for(lambda: running() == 0)
    ws.close()


def test_gone_and_cancel():
    ws = Socket(port)
    ws.say(create("a", chat(words(100000)), credit=5))
    ws.say(create("b", chat(words(100000)), credit=5))
    wait_for(lambda: running() == 2)
    ws.say({"type": "cancel", "id": "a"})
    while (message := ws.hear())["type"] != "cancelled":
        assert message["type"] in ("accepted", "chunk"), message
    assert message["id"] == "a" and message["usage"]["completion_tokens"] < 20, message
    assert running() == 1
    ws.close()
    wait_for(lambda: running() == 0)


def token_and_some(ws, n):
    accepted = ws.hear()
    messages = [ws.hear() for _ in range(n)]
    assert [m["seq"] for m in messages] == list(range(n))
    return accepted["resume"], "".join(delta(m) for m in messages)


def resumed(token, after, n=None, **more):
    """On a new socket; (socket, text, ended)."""
    ws = Socket(port)
    ws.say({"type": "resume", "token": token, "after": after, **more})
    first = ws.hear()
    assert first["type"] == "resumed" and first["from"] == after + 1, first
    text, seq = "", after
    while n is None or seq < after + n:
        message = ws.hear()
        assert message["seq"] == seq + 1, message
        seq += 1
        text += delta(message)
        if message["type"] == "done":
            return ws, text, True
    return ws, text, False


def test_resume():
    """What was on its way when the socket went is never more than the credit, and that is kept."""
    whole = words(5000)
    ws = Socket(port)
    ws.say(create("a", chat(whole), resume=True, credit=300))
    token, text = token_and_some(ws, 100)
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    ws.s.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
    ws.close()
    at, ended = 99, False
    while not ended:
        ws, more, ended = resumed(token, at, 450, credit=700)
        text += more
        at += 450
        ws.close()
    assert text == whole
    ws, more, ended = resumed(token, 5000)
    assert ended and more == ""
    ws.close()


def test_resume_too_far_back():
    """Without credit the server runs ahead; what is gone is an error, never a gap."""
    ws = Socket(port)
    ws.say(create("a", chat(words(20000)), resume=True))
    token, _ = token_and_some(ws, 5000)
    ws.close()
    ws = Socket(port)
    ws.say({"type": "resume", "token": token, "after": 10})
    message = ws.hear()
    assert message["status"] == 410 and message["error"]["code"] == "events_lost", message
    ws.say({"type": "cancel", "token": token})  # nobody will come for it
    wait_for(lambda: running() == 0)
    ws.close()


def test_resume_elsewhere():
    ws = Socket(port)
    ws.say(create("a", chat(words(3000)), resume=True, credit=20))
    token, text = token_and_some(ws, 20)
    other = Socket(port)
    other.say({"type": "resume", "token": token, "after": 9, "credit": 1000000})
    assert other.hear()["from"] == 10
    assert ws.hear() == {"type": "moved", "id": "a"}
    text = words(9)
    while (message := other.hear())["type"] != "done":
        text += delta(message)
    assert text == words(3000)
    other.say({"type": "resume", "token": "f" * 32, "after": 0})
    assert other.hear()["error"]["code"] == "resume_not_found"
    ws.close()
    other.close()


def test_resume_is_over_after_a_while():
    ws = Socket(brief)
    ws.say(create("a", chat(words(100000)), resume=True))
    token, _ = token_and_some(ws, 5)
    ws.close()
    wait_for(lambda: running() == 0)
    ws = Socket(brief)
    ws.say({"type": "resume", "token": token, "after": 4})
    assert ws.hear()["error"]["code"] == "resume_not_found"
    ws.close()


def test_drain():
    with Server("echo", "backend.echo.rate=200", "server.drain_timeout=20s") as own:
        busy, idle = Socket(own.port), Socket(own.port)
        busy.say(create("a", chat(words(100))))
        busy.hear(), busy.hear()
        own.process.send_signal(signal.SIGTERM)
        assert idle.closed() == 1001
        text = ""
        while (message := busy.hear())["type"] != "done":
            text += delta(message)
        assert text == words(100)
        assert busy.closed() == 1001
        assert own.process.wait(30) == 0


def test_reload():
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as profile:
        text = ("[frontend.http]\nplugin = http\nlisten = 127.0.0.1:8000\n"
                "[backend.echo]\nplugin = echo\nserves = echo\nrate = 200\n")
        profile.write(text)
        profile.flush()
        with Server(profile.name) as own:
            ws = Socket(own.port)
            ws.say(create("a", chat(words(150))))
            ws.hear(), ws.hear()
            profile.seek(0)
            profile.write(text.replace("listen", "idle_timeout = 50s\nlisten"))
            profile.flush()
            own.process.send_signal(signal.SIGHUP)
            got = ""
            while (message := ws.hear())["type"] != "done":
                got += delta(message)
            assert got == words(150), "an answer under way survives a reload"
            wait_for(lambda: own.get("/health")[0] == 200)
            new = Socket(own.port)
            new.echo("the new instance answers")
            new.close()
            ws.close()


def test_large_messages_in_order():
    """What is parsed elsewhere is answered in its turn; what follows it waits, and a client that goes is forgotten."""
    async def run():
        big = "x" * (1 << 20)
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1/ws", max_size=None, subprotocols=["weir.v1"]) as ws:
            await ws.recv()
            for i in range(4):
                text = f"{i} " + "y " * 50000
                body = {"model": "echo", "stream": False, "messages": [{"role": "user", "content": text}]}
                await ws.send(json.dumps(create(f"big{i}", body)))
                await ws.send(json.dumps({"type": "ping", "id": f"behind{i}"}))
                last = None
                for wanted in ("accepted", "pong"):
                    message = json.loads(await asyncio.wait_for(ws.recv(), 30))
                    while message["type"] == "result":
                        last, message = message, json.loads(await asyncio.wait_for(ws.recv(), 30))
                    assert message["type"] == wanted, message["type"]
                while not last:
                    last = json.loads(await asyncio.wait_for(ws.recv(), 30))
                assert last["id"] == f"big{i}" and last["data"]["choices"][0]["message"]["content"] == text
            for text, code in ((json.dumps(create("n", {"model": "echo", "messages": big})), "invalid_value"),
                               (json.dumps({"type": "nothing", "x": big}), "unknown_type"),
                               ('{"type": "ping", "echo": "' + big, "invalid_json"),
                               (json.dumps(create("m", big)), "invalid_value")):
                await ws.send(text)
                message = json.loads(await asyncio.wait_for(ws.recv(), 30))
                assert message["type"] == "error" and message["error"]["code"] == code, message
            await ws.send(json.dumps({"type": "ping", "echo": big}))
            assert json.loads(await asyncio.wait_for(ws.recv(), 30))["echo"] == big
    asyncio.run(run())
    before = running()
    for _ in range(6):
        ws = Socket(port)
        for i in range(2):
            ws.say(create(f"g{i}", chat("z" * (3 << 20))))
        ws.close()
    wait_for(lambda: running() <= before)


if __name__ == "__main__":
    with Server("echo", "frontend.ws.plugin=websocket", "frontend.ws.listen=127.0.0.1:0", "frontend.ws.compression=on",
                "frontend.brief.plugin=websocket", "frontend.brief.listen=127.0.0.1:0",
                "frontend.brief.resume_grace=500ms", env=LEAN) as server:
        port, brief = ports(server, 2)
        status = tap.run(sys.modules[__name__], "websocket")
    sys.exit(status)
