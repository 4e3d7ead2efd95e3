#!/usr/bin/env python3
"""RFC 6455 and 7692 against the real server, in the order of Autobahn's test suite.

1 framing, 2 pings, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 closing, 9 limits, 12 and 13
compression; then what an attacker does. An echo is a ping message: its answer holds what was sent.
"""
import json
import os
import socket
import struct
import sys
import time

import tap
from weir_server import SOURCE, Server
from ws_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Socket, ports

server = port = None
DEFLATE = "permessage-deflate; client_max_window_bits"


def text(value):
    return json.dumps({"type": "ping", "echo": value}, ensure_ascii=False).encode()


def answered(ws, value):
    assert ws.hear() == {"type": "pong", "echo": value}


def fails(code, *frames, **kw):
    ws = Socket(port)
    for frame in frames:
        ws.raw(frame, kw.get("step"))
    got = ws.closed()
    assert got == code, (got, code, frames)


def test_1_framing():
    for n in (0, 125, 126, 127, 128, 65535, 65536, 65536 * 3):
        ws = Socket(port)
        ws.echo("*" * n)
        ws.say(text("*" * n)[:-2] + b"\"}")
        answered(ws, "*" * n)
        ws.close()
    ws = Socket(port)
    ws.frame(TEXT, text("in small steps" * 300), step=97)
    answered(ws, "in small steps" * 300)
    ws.frame(TEXT, text("by single bytes"), step=1)
    answered(ws, "by single bytes")
    ws.close()
    fails(1003, Socket.pack(BINARY, b"\0\1"))


def test_2_pings():
    ws = Socket(port)
    for payload in (b"", b"Hello", b"\0\xff\xfe", b"x" * 125):
        ws.frame(PING, payload, step=len(payload) // 2 + 1)
        assert ws.receive() == (PONG, payload)
    ws.frame(PONG, b"unasked")
    ws.frame(PING, b"after it")
    assert ws.receive() == (PONG, b"after it")
    ws.raw(b"".join(Socket.pack(PING, b"%d" % i) for i in range(500)))
    for i in range(500):
        assert ws.receive() == (PONG, b"%d" % i)
    ws.close()
    fails(1002, Socket.pack(PING, b"x" * 126))


def test_3_reserved_bits():
    for rsv in range(1, 8):
        fails(1002, Socket.pack(TEXT, text("x"), rsv=rsv))
        fails(1002, Socket.pack(PING, b"x", rsv=rsv), step=1)
    ws = Socket(port, DEFLATE)
    ws.frame(TEXT, text("x"), rsv=2)
    assert ws.closed() == 1002


def test_4_opcodes():
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        ws = Socket(port)
        ws.echo("before")
        ws.raw(Socket.pack(opcode, b"x") + Socket.pack(PING))
        assert ws.closed() == 1002


def test_5_fragmentation():
    whole = text("fragments")
    ws = Socket(port)
    for cut in (0, 1, len(whole) - 1, len(whole)):
        ws.frame(TEXT, whole[:cut], fin=False)
        ws.frame(PING, b"between")
        assert ws.receive() == (PONG, b"between")
        ws.frame(CONTINUATION, whole[cut:])
        answered(ws, "fragments")
    for i in range(len(whole) - 1):
        ws.frame(TEXT if i == 0 else CONTINUATION, whole[i:i + 1], fin=False)
    ws.frame(CONTINUATION, whole[-1:])
    answered(ws, "fragments")
    ws.close()
    fails(1002, Socket.pack(CONTINUATION, b"x"))
    fails(1002, Socket.pack(CONTINUATION, b"x", fin=False), Socket.pack(TEXT, b"{}"))
    fails(1002, Socket.pack(TEXT, b"{", fin=False), Socket.pack(TEXT, b"}"))
    fails(1002, Socket.pack(TEXT, b"{", fin=False), Socket.pack(BINARY, b"}"), step=1)
    fails(1002, Socket.pack(PING, b"x", fin=False), Socket.pack(CONTINUATION, b"x"))
    fails(1002, Socket.pack(CLOSE, b"", fin=False))


VALID = ["Hello-µ@ßöäüàá-UTF-8!!", "\u03ba\u1f79\u03c3\u03bc\u03b5", "\U0001f600", "\U0010ffff", "\ufffe\uffff",
         "\ue000\ud7ff", "\x7f\x80\u07ff\u0800\uffff\U00010000"]
INVALID = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xce", b"\xe1\xbd", b"\xf0\x9f\x98",
           b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf4\x90\x80\x80", b"\x80",
           b"\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
           b"\xed\xad\xbf", b"\xed\xae\x80\xed\xb0\x80", b"\xfe", b"\xff", b"\xc3("]


def test_6_utf8():
    ws = Socket(port)
    for value in VALID:
        ws.raw(Socket.pack(TEXT, text(value)))
        answered(ws, value)
        whole = text(value)
        ws.frame(TEXT, whole[:1], fin=False)
        for i in range(1, len(whole)):
            ws.frame(CONTINUATION, whole[i:i + 1], fin=i == len(whole) - 1)
        answered(ws, value)
    ws.close()
    for bad in INVALID:
        fails(1007, Socket.pack(TEXT, b'{"type":"ping","echo":"' + bad + b'"}'))
        fails(1007, Socket.pack(TEXT, bad[:1], fin=False), Socket.pack(CONTINUATION, bad[1:]))
    # 6.4: as soon as it is wrong, not when the message is complete.
    ws = Socket(port)
    ws.frame(TEXT, b"\xce\xba\xf4", fin=False)
    ws.frame(CONTINUATION, b"\x90", fin=False)
    assert ws.closed() == 1007
    ws = Socket(port)
    ws.raw(Socket.pack(TEXT, b"good \xed\xa0" + b"x" * 1000)[:30])
    assert ws.closed() == 1007


def close_frame(code, reason=b""):
    return Socket.pack(CLOSE, struct.pack(">H", code) + reason)


def test_7_closing():
    fails(1005, Socket.pack(CLOSE))
    fails(1005, Socket.pack(CLOSE), Socket.pack(PING), Socket.pack(TEXT, text("late")))
    fails(1005, Socket.pack(TEXT, b"{", fin=False), Socket.pack(CLOSE), Socket.pack(CONTINUATION, b"}"))
    fails(1000, close_frame(1000, b"x" * 123))
    fails(1002, Socket.pack(CLOSE, b"x"))
    fails(1002, Socket.pack(CLOSE, struct.pack(">H", 1000) + b"x" * 124))
    fails(1007, close_frame(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"))
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        fails(code, close_frame(code))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        fails(1002, close_frame(code))


def test_masks_and_lengths():
    fails(1002, Socket.pack(TEXT, text("x"), masked=False))
    fails(1002, b"\x81\xfe\x00\x05abcdHello")
    fails(1002, b"\x81\xff" + struct.pack(">Q", 65535))
    fails(1002, b"\x81\xff" + struct.pack(">Q", 1 << 63) + b"abcd")
    fails(1009, b"\x81\xff" + struct.pack(">Q", (1 << 63) - 1) + b"abcd")


def test_9_limits():
    ws = Socket(port)
    big = "x" * (1 << 20)
    for n in (1 << 16, 1 << 18, 1 << 20):
        ws.echo(big[:n])
    whole = text(big[:1 << 18])
    for size in (64, 1024, 65536):
        frames = [Socket.pack(TEXT if at == 0 else CONTINUATION, whole[at:at + size], fin=at + size >= len(whole))
                  for at in range(0, len(whole), size)]
        ws.raw(b"".join(frames))
        answered(ws, big[:1 << 18])
    for _ in range(300):
        ws.echo("small")
    ws.close()
    fails(1009, Socket.pack(TEXT, b"", length=11 << 20))
    fails(1008, *[Socket.pack(TEXT, b"", fin=False)] + [b"".join([Socket.pack(CONTINUATION, fin=False)] * 70000)])


def test_12_13_compression():
    offers = [("permessage-deflate", False), (DEFLATE, False), ("permessage-deflate; client_max_window_bits=9", False),
              ("permessage-deflate; server_max_window_bits=9; client_max_window_bits=10", False),
              ("permessage-deflate; server_no_context_takeover", False),
              ("permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits", True)]
    sample = (SOURCE / "docs" / "architecture.md").read_text(errors="replace")
    for offer, fresh in offers:
        ws = Socket(port, offer)
        assert ws.deflated.startswith("permessage-deflate"), (offer, ws.headers)
        assert ws.server_fresh == ("server_no" in offer) and ws.client_fresh == fresh
        for n in (0, 16, 64, 256, 1024, 4096, 8192):
            for at in range(20):
                ws.echo(sample[at * 100:at * 100 + n], compress=True)
        ws.echo("not compressed", compress=False)
        ws.echo(sample, compress=True)
        packed = ws.compress(text("in fragments"))
        ws.frame(TEXT, packed[:5], fin=False, rsv=4)
        ws.frame(PING, b"p")
        assert ws.receive() == (PONG, b"p")
        ws.frame(CONTINUATION, packed[5:])
        answered(ws, "in fragments")
        ws.close()
    for offer in ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; x", "permessage-bzip2"):
        ws = Socket(port, offer)
        assert not ws.deflated, ws.headers
        ws.frame(TEXT, text("x"), rsv=4)
        assert ws.closed() == 1002


def test_compressed_attacks():
    ws = Socket(port, DEFLATE)
    before = server.rss()
    ws.frame(TEXT, ws.compress(b"\0" * (300 << 20)), rsv=4)
    assert ws.closed() == 1009
    assert server.rss() - before < 64 << 20
    for payload in (b"\xff" * 20, b"\x07", os.urandom(64) + b"\xff"):
        ws = Socket(port, DEFLATE)
        ws.frame(TEXT, payload, rsv=4)
        assert ws.closed() in (1007, 1002)
    ws = Socket(port, DEFLATE)
    ws.frame(TEXT, ws.compress(b"\xed\xa0\x80"), rsv=4)
    assert ws.closed() == 1007
    ws = Socket(port, DEFLATE)
    ws.frame(TEXT, ws.compress(b"{")[:1], fin=False, rsv=4)
    ws.frame(CONTINUATION, b"x", rsv=4)
    assert ws.closed() == 1002


def test_pong_flood_unread():
    """Pings whose pongs are not read: the server stops reading, and keeps a bounded amount."""
    ws = Socket(port, receive_buffer=4096)
    before = server.rss()
    ws.s.settimeout(2)
    frame, sent = Socket.pack(PING, b"x" * 125) * 1000, 0
    try:
        while sent < 200 << 20:
            sent += ws.s.send(frame)
    except socket.timeout:
        pass
    assert sent < 100 << 20, sent
    assert server.rss() - before < 16 << 20
    ws.close()


def test_slow_loris():
    begins = [b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgr", Socket.pack(TEXT, text("x" * 100))]
    slow = Server("echo", "frontend.ws.plugin=websocket", "frontend.ws.listen=127.0.0.1:0",
                  "frontend.ws.header_timeout=1s", "frontend.ws.message_timeout=1s", "frontend.ws.ping_interval=1s",
                  "frontend.ws.ping_timeout=1s")
    with slow:
        own = ports(slow)[0]
        s = socket.create_connection(("127.0.0.1", own), 20)
        s.sendall(begins[0])
        assert s.recv(1000).startswith(b"HTTP/1.1 408"), "an unfinished handshake is not kept"
        s.close()
        ws = Socket(own)  # drips a byte now and then
        ended, data = time.monotonic() + 20, begins[1]
        for i in range(len(data)):
            assert time.monotonic() < ended
            try:
                ws.raw(data[i:i + 1])
            except OSError:
                break
            ws.s.settimeout(0.2)
            try:
                opcode, payload = ws.receive()
                if opcode == CLOSE:
                    break
            except (socket.timeout, EOFError):
                pass
        assert i < len(data) - 1, "a message may not take for ever"
        ws = Socket(own)  # says nothing
        assert ws.receive() == (PING, b"")
        assert ws.closed() == 1008
        ws = Socket(own)  # answers, and stays
        for _ in range(3):
            assert ws.receive() == (PING, b"")
            ws.frame(PONG)
        ws.echo("still here")
        ws.close()


if __name__ == "__main__":
    with Server("echo", "frontend.ws.plugin=websocket", "frontend.ws.listen=127.0.0.1:0",
                "frontend.ws.compression=on") as server:
        port = ports(server)[0]
        status = tap.run(sys.modules[__name__], "ws-raw")
    sys.exit(status)
