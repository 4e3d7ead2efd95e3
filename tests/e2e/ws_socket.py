"""A WebSocket client of bare bytes, for what well-behaved clients never do.

    ws = Socket(port)                         # connected, handshake done
    ws.frame(TEXT, b"...", fin=False)         # any frame, also a wrong one
    ws.receive()                              # (opcode, payload) of the next message or control frame
    ws.closed()                               # the close code; the connection must end after it
"""
import base64
import hashlib
import json
import os
import re
import socket
import struct
import time
import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def ports(server, n=1):
    """Of the websocket frontends; they may begin to listen after http has."""
    end = time.monotonic() + 30
    while len(found := re.findall(r"ws://127\.0\.0\.1:(\d+)", server.text())) < n:
        assert time.monotonic() < end, server.text()
        time.sleep(0.02)
    return [int(port) for port in found]


class Socket:
    def __init__(self, port, extensions=None, subprotocol=None, headers="", receive_buffer=None, timeout=20):
        self.s = socket.socket()
        if receive_buffer:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.s.settimeout(timeout)
        self.s.connect(("127.0.0.1", port))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        key = base64.b64encode(os.urandom(16))
        head = (f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n{headers}")
        if extensions:
            head += f"Sec-WebSocket-Extensions: {extensions}\r\n"
        if subprotocol:
            head += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        self.s.sendall(head.encode() + b"\r\n")
        while b"\r\n\r\n" not in self.data:
            self._more()
        answer, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = answer.decode().split("\r\n")
        assert lines[0].startswith("HTTP/1.1 101 "), answer
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.headers["sec-websocket-accept"] == accept, self.headers
        self.deflated = self.headers.get("sec-websocket-extensions", "")
        params = dict((p.strip().split("=") + [""])[:2] for p in self.deflated.split(";")[1:])
        self.bits = int(params.get("client_max_window_bits") or 15)
        self.server_bits = int(params.get("server_max_window_bits") or 15)
        self.client_fresh = "client_no_context_takeover" in params
        self.server_fresh = "server_no_context_takeover" in params
        self.out = self.into = None

    def _more(self):
        part = self.s.recv(65536)
        if not part:
            raise EOFError(self.data[-200:])
        self.data += part

    def _take(self, n):
        while len(self.data) < n:
            self._more()
        part, self.data = self.data[:n], self.data[n:]
        return part

    # -- out --

    @staticmethod
    def pack(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
        n = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if masked else 0
        if n < 126:
            head += bytes([bit | n])
        elif n < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", n)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", n)
        if not masked:
            return head + payload
        mask = os.urandom(4)
        whole = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)], "big")
        return head + mask + whole.to_bytes(len(payload), "big")

    def raw(self, data, step=None):
        if step is None:
            self.s.sendall(data)
            return
        for at in range(0, len(data), step):
            self.s.sendall(data[at:at + step])

    def frame(self, opcode, payload=b"", step=None, **kw):
        self.raw(self.pack(opcode, payload, **kw), step)

    def compress(self, data):
        if self.out is None or self.client_fresh:
            self.out = zlib.compressobj(6, zlib.DEFLATED, -max(self.bits, 9))
        packed = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(b"\0\0\xff\xff")
        return packed[:-4]

    def say(self, message, compress=False):
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        if compress:
            self.frame(TEXT, self.compress(text), rsv=4)
        else:
            self.frame(TEXT, text)

    # -- in --

    def receive(self):
        """The next message, put together and inflated, or control frame between messages."""
        parts, first = [], None
        while True:
            head = self._take(2)
            fin, rsv, opcode, n = head[0] & 0x80, head[0] >> 4 & 7, head[0] & 15, head[1]
            assert not n & 0x80, "a server must not mask"
            n &= 0x7F
            if n == 126:
                n = struct.unpack(">H", self._take(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", self._take(8))[0]
            payload = self._take(n)
            if opcode & 8:
                return opcode, payload
            if first is None:
                first = opcode, rsv
            parts.append(payload)
            if fin:
                break
        data = b"".join(parts)
        if first[1]:
            assert first[1] == 4 and self.deflated, "a reserved bit without an extension"
            if self.into is None or self.server_fresh:
                self.into = zlib.decompressobj(-self.server_bits)
            data = self.into.decompress(data + b"\0\0\xff\xff")
        return first[0], data

    def hear(self):
        opcode, data = self.receive()
        assert opcode == TEXT, (opcode, data)
        return json.loads(data)

    def echo(self, value, compress=False):
        self.say({"type": "ping", "echo": value}, compress)
        answer = self.hear()
        assert answer == {"type": "pong", "echo": value}, str(answer)[:300]

    def closed(self):
        """The code of the server's close frame; nothing but the end of the connection follows."""
        while True:
            opcode, data = self.receive()
            if opcode == CLOSE:
                break
        try:
            rest = self.data + self.s.recv(65536)
        except ConnectionResetError:
            rest = b""
        assert rest == b"", rest
        self.s.close()
        return struct.unpack(">H", data[:2])[0] if data else 1005

    def close(self):
        self.s.close()
