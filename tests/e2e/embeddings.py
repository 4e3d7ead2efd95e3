#!/usr/bin/env python3
"""Embeddings and reranking by the demo model, a decoder: the OpenAI SDK and LangChain, unmodified, plain
HTTP, and the line protocol; all see the same vectors (001-04)."""
import base64
import http.client
import json
import math
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

try:
    import openai
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import SOURCE, WEIR, Server

TEXTS = ["The sea is blue", "A cat sat on the mat", "Write a short poem about the sea", "x", "naïve 日本 🚀"]
server = client = None


def vectors(texts, **more):
    answer = client.embeddings.create(model="weir-demo", input=texts, encoding_format="float", **more)
    assert answer.object == "list" and [d.index for d in answer.data] == list(range(len(answer.data)))
    return [d.embedding for d in answer.data]


def post(path, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    got = answer.status, json.loads(answer.read())
    connection.close()
    return got


def as_floats(rows):
    """JSON's numbers as the 32-bit floats that they are of."""
    return [[struct.unpack("<f", struct.pack("<f", x))[0] for x in row] for row in rows]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def refused(text, call):
    try:
        call()
    except openai.BadRequestError as error:
        assert text in str(error), f"{text!r} not in {error}"
        return
    raise AssertionError("it was accepted")


def test_one_text():
    answer = client.embeddings.create(model="weir-demo", input="hello")
    vector = answer.data[0].embedding
    assert len(answer.data) == 1 and answer.model == "weir-demo" and len(vector) > 32
    assert abs(sum(x * x for x in vector) - 1) < 1e-5
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_list_equals_single():
    """The same bits alone and in company, in any order."""
    together = vectors(TEXTS)
    assert together == [vectors(t)[0] for t in TEXTS]
    assert together == vectors(TEXTS[::-1])[::-1]
    assert len({json.dumps(v) for v in together}) == len(TEXTS)


def test_large_batch():
    texts = [f"text number {i}" for i in range(700)]
    got = vectors(texts)
    assert len(got) == 700 and got[0] == vectors(texts[0])[0] and got[699] == vectors(texts[699])[0]


def test_token_arrays():
    status, answer = post("/tokenize", {"model": "weir-demo", "prompt": TEXTS[0]})
    assert status == 200, answer
    assert vectors([answer["tokens"]]) == vectors(answer["tokens"]) == vectors(TEXTS[0])
    assert vectors([answer["tokens"], [5, 6, 7]])[1] == vectors([5, 6, 7])[0]


def test_base64():
    """The SDK asks for base64 by itself; it holds the floats' very bits."""
    by_sdk = client.embeddings.create(model="weir-demo", input=TEXTS[0]).data[0].embedding
    status, answer = post("/v1/embeddings", {"model": "weir-demo", "input": TEXTS[0], "encoding_format": "base64"})
    assert status == 200, answer
    data = base64.b64decode(answer["data"][0]["embedding"])
    whole = as_floats(vectors(TEXTS[0]))[0]
    assert list(struct.unpack(f"<{len(data) // 4}f", data)) == whole
    assert [float(x) for x in by_sdk] == whole


def test_dimensions():
    whole = vectors(TEXTS[0])[0]
    part = vectors(TEXTS[0], dimensions=16)[0]
    assert len(part) == 16 and abs(sum(x * x for x in part) - 1) < 1e-5 and cosine(part, whole[:16]) > 0.999999
    assert vectors(TEXTS[0], dimensions=len(whole))[0] == whole
    refused("dimensions", lambda: vectors(TEXTS[0], dimensions=len(whole) + 1))


def test_usage_counts_all():
    one = [client.embeddings.create(model="weir-demo", input=t).usage.prompt_tokens for t in TEXTS]
    assert client.embeddings.create(model="weir-demo", input=TEXTS).usage.total_tokens == sum(one)


def test_refusals():
    refused("input", lambda: vectors(""))
    refused("input", lambda: vectors([]))
    refused("token", lambda: vectors([[99999999]]))
    refused("at most", lambda: vectors("word " * 20000))
    assert len(vectors(TEXTS[0])) == 1


def test_long_text():
    """Longer than a step; the others' bits stay."""
    before = vectors(TEXTS[0])[0]
    long = vectors(["word " * 600, TEXTS[0]])
    assert long[1] == before and abs(sum(x * x for x in long[0]) - 1) < 1e-5


def test_beside_generations():
    """Texts and generations share the model; neither changes the other."""
    ask = dict(model="weir-demo", messages=[{"role": "user", "content": "Write a short poem about the sea"}],
               max_tokens=60, temperature=0)
    poem, want = client.chat.completions.create(**ask).choices[0].message.content, vectors(TEXTS)
    answers, wrong = [], []

    def chat():
        try:
            answers.append(client.chat.completions.create(**ask).choices[0].message.content)
        except openai.APIError as error:
            wrong.append(error)

    threads = [threading.Thread(target=chat) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(5):
        assert vectors(TEXTS) == want
    for t in threads:
        t.join()
    assert not wrong and answers == [poem] * 4, (wrong, answers)


def test_langchain():
    try:
        from langchain_openai import OpenAIEmbeddings
    except ImportError as error:
        raise tap.Skip(str(error))
    model = OpenAIEmbeddings(model="weir-demo", base_url=server.url + "/v1", api_key="none", max_retries=0,
                             check_embedding_ctx_length=False)
    assert model.embed_query(TEXTS[0]) == as_floats(vectors(TEXTS[0]))[0]
    assert model.embed_documents(TEXTS) == as_floats(vectors(TEXTS))


def test_rerank():
    documents = TEXTS[1:] + [TEXTS[0]]
    ask = {"model": "weir-demo", "query": TEXTS[0], "documents": documents}
    want = [cosine(a, b) for a, b in zip([vectors(TEXTS[0])[0]] * 5, vectors(documents))]
    for path in ("/v1/rerank", "/rerank"):
        status, answer = post(path, ask)
        assert status == 200, answer
        results = answer["results"]
        assert sorted(r["index"] for r in results) == list(range(5))
        assert all(abs(r["relevance_score"] - want[r["index"]]) < 1e-6 for r in results)
        scores = [r["relevance_score"] for r in results]
        assert scores == sorted(scores, reverse=True) and results[0]["index"] == 4 and scores[0] > 0.99999
    status, answer = post("/v1/rerank", {**ask, "top_n": 2})
    assert status == 200 and [r["index"] for r in answer["results"]] == [r["index"] for r in results[:2]]


class Line:
    """The demo model behind the line frontend."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        path, profile = pathlib.Path(self.folder.name, "line.sock"), pathlib.Path(self.folder.name, "test.ini")
        profile.write_text(f"[frontend.line]\nplugin = line\nlisten = unix:{path}\n[backend.main]\nplugin = cpu\n"
                           f"model = {SOURCE}/data/models/weir-demo.gguf\nserves = weir-demo\n")
        self.process = subprocess.Popen([str(WEIR), "serve", str(profile)], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(str(path))
                self.file = self.socket.makefile("rw", encoding="utf-8")
                if self.ask("health")["result"]["status"] == "ready":
                    return self
            except OSError:
                pass
            assert time.monotonic() < end and self.process.poll() is None, "the line server is not ready"
            time.sleep(0.05)

    def ask(self, method, **params):
        self.file.write(json.dumps({"id": 1, "method": method, **({"params": params} if params else {})}) + "\n")
        self.file.flush()
        return json.loads(self.file.readline())

    def __exit__(self, *error):
        self.socket.close()
        self.process.terminate()
        status = self.process.wait(60)
        self.folder.cleanup()
        assert status == 0, f"the line server ended with {status}"


def test_line():
    with Line() as line:
        def embed(**params):  # the answer is the endpoint's
            result = line.ask("embed", **params)["result"]
            return result, [d["embedding"] for d in result["data"]]

        one, got = embed(input=TEXTS[0], model="weir-demo")
        assert got == vectors(TEXTS[0]) and one["model"] == "weir-demo" and one["object"] == "list"
        assert one["usage"]["prompt_tokens"] == one["usage"]["total_tokens"] > 0
        assert embed(input=TEXTS)[1] == vectors(TEXTS)
        assert embed(input=[5, 6, 7])[1] == vectors([5, 6, 7])
        assert embed(input=[[5, 6, 7], TEXTS[3]])[1] == vectors([[5, 6, 7]]) + vectors(TEXTS[3])
        wrong = line.ask("embed", input=[[99999999]])["error"]
        assert wrong["data"]["status"] == "INVALID" and "no token id below" in wrong["message"], wrong
        large = line.ask("embed", input=["x"] * 3000)["error"]
        assert "2048" in large["message"], large


if __name__ == "__main__":
    with Server("default") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        sys.exit(tap.run(sys.modules[__name__], "embeddings"))
