#!/usr/bin/env python3
"""The page at / in a real browser, against real servers: playground, dashboard, and what they must never do."""
import atexit
import gzip
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time

try:
    from playwright.sync_api import Error, expect, sync_playwright
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

import tap
from weir_server import Server, free_port

WORDS = " ".join(f"word{i}" for i in range(150))
HOSTILE = "\n".join([
    "<script>window.pwned = 1</script> <img src=x onerror=window.pwned=1> **bold** and `code`", "",
    "- one", "- two", "", "```js", "alert('<b>')", "```", "",
    "[click](javascript:window.pwned=1) [data](data:text/html,x) ![pic](https://elsewhere.invalid/x.png)", "",
    "| a | b |", "|---|---|", "| 1 | <i>2</i> |"])
browser = None
echo = None
demo = None
scratch = tempfile.TemporaryDirectory()


class Proxy:
    """TCP in between: connections can be cut, upgrades refused, the server behind it exchanged."""

    def __init__(self, target, websockets=True, port=0):
        self.target, self.websockets, self.pairs = target, websockets, []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        try:
            first = near.recv(65536)
            if not self.websockets and b"upgrade: websocket" in first.lower():
                near.close()
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((near, far, first))
            far.sendall(first)
        except OSError:
            near.close()
            return
        threading.Thread(target=self.pump, args=(near, far), daemon=True).start()
        self.pump(far, near)

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, only=b""):
        count = 0
        for near, far, first in self.pairs:
            if only in first.lower():
                count += 1
                for end in (near, far):
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
        self.pairs = [p for p in self.pairs if only not in p[2].lower()]
        return count

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which else keeps the port
        except OSError:
            pass
        self.listener.close()
        self.cut()


class Tab:
    """A page in a context of its own, which notes what it asked for and complained about."""

    def __init__(self, url, path="/", allow=(), **options):
        self.url, self.allow, self.requests, self.complaints = url, allow, [], []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("websocket", lambda s: self.requests.append(s.url.replace("ws:", "http:", 1)))
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.set_default_timeout(30000)
        self.page.goto(url + path)

    def __enter__(self):
        if not self.page.url.endswith("#live"):
            self.page.wait_for_selector("#params .field", state="attached")
        return self

    def __exit__(self, kind, value, trace):
        self.context.close()
        if kind is None:
            left = [c for c in self.complaints if not any(a in c for a in self.allow)]
            assert not left, left
            away = [r for r in self.requests if not r.startswith(self.url + "/")]
            assert not away, away

    def say(self, text):
        self.page.fill("#input", text)
        self.page.press("#input", "Enter")

    def answer(self, nth=-1):
        answers = self.page.locator(".message.assistant, .message.completion")
        return answers.last if nth == -1 else answers.nth(nth)

    def done(self):
        self.page.wait_for_selector(":is(.message.assistant, .message.completion):last-child[aria-busy=false]")
        return self.answer()


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.1)
    return value


def script(text):
    file = pathlib.Path(scratch.name) / f"script{len(list(pathlib.Path(scratch.name).iterdir()))}"
    file.write_text(text)
    return f"backend.echo.script={file}"


def test_files_are_compressed_guarded_and_kept_by_etag():
    for path, kind in (("/", "text/html"), ("/ui/play.js", "text/javascript"), ("/ui/base.css", "text/css"),
                       ("/ui/icon.svg", "image/svg+xml"), ("/ui/weir-client.js", "text/javascript")):
        status, plain, head = echo.get(path)
        assert status == 200 and head["Content-Type"].startswith(kind), (path, status, head)
        policy = head["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self'" in policy
        packed_status, packed, packed_head = echo.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert packed_status == 200
        if len(plain) > 1000:
            assert packed_head["Content-Encoding"] == "gzip" and gzip.decompress(packed) == plain
            assert packed_head["ETag"] != head["ETag"] and packed_head["Vary"] == "Accept-Encoding"
        for own in (head, packed_head):
            assert echo.get(path, headers={"If-None-Match": own["ETag"], "Accept-Encoding": "gzip"})[0] == 304
        assert "Content-Encoding" not in echo.get(path, headers={"Accept-Encoding": "gzip;q=0"})[2]
    for path in ("/ui/../profiles/echo.ini", "/ui/%2e%2e/profiles/echo.ini", "/ui/none.js", "/ui//etc/passwd", "/ui/.git"):
        assert echo.get(path)[0] in (400, 404), path
    assert echo.post("/ui/play.js", {})[0] == 405
    with Server("echo", "frontend.http.ui=false") as bare:
        assert b"An LLM inference server" in bare.get("/")[1] and bare.get("/ui/play.js")[0] == 404


def test_chat_streams_over_one_websocket():
    with Tab(echo.url) as tab:
        tab.say(WORDS)
        lengths = set()
        while tab.answer().get_attribute("aria-busy") == "true":
            lengths.add(len(tab.answer().locator(".body").inner_text()))
        assert len(lengths) > 3, lengths
        assert tab.done().locator(".markdown").inner_text() == WORDS
        facts = tab.answer().locator(".facts").inner_text()
        assert "tokens/s" in facts and "first after" in facts and "150 out" in facts, facts
        tab.say("again")
        expect(tab.done().locator(".markdown")).to_have_text("again")
        assert len([r for r in tab.requests if r.endswith("/v1/ws")]) == 1
        tab.page.reload()
        expect(tab.page.locator(".message")).to_have_count(4)  # kept by this browser


def test_a_reload_keeps_what_has_come():
    """The answer ends there and says so; the thread is at its end, as it was."""
    with Server("echo", "backend.echo.rate=20") as server, Tab(server.url) as tab:
        tab.say("\n".join(f"line {i}" for i in range(400)))
        expect(tab.answer().locator(".body")).to_contain_text("line 9")
        tab.page.reload()
        expect(tab.answer().locator(".facts")).to_contain_text("stopped")
        text = tab.answer().locator(".body").inner_text()
        assert "line 9" in text and "line 399" not in text, text
        until(lambda: tab.page.evaluate("() => { const t = document.getElementById('thread');"
                                        " return t.scrollHeight - t.scrollTop - t.clientHeight < 2; }"))
        expect(tab.page.locator("button[aria-label='Generate again']")).to_be_visible()


def test_stop_edit_regenerate_and_conversations():
    with Tab(echo.url) as tab:
        page = tab.page
        tab.say(WORDS)
        expect(tab.answer().locator(".body")).to_contain_text("word3")
        page.click("#send")
        expect(tab.done().locator(".facts")).to_contain_text("stopped")
        text = tab.answer().locator(".markdown").inner_text()
        assert WORDS.startswith(text.strip()) and len(text) < len(WORDS)
        until(lambda: echo.get("/health")[1]["queue"]["active"] == 0)
        page.locator(".message.user").hover()
        page.click("button[aria-label='Edit and send again']")
        page.fill(".edit textarea", "edited")
        page.click(".edit .primary")
        expect(tab.done().locator(".markdown")).to_have_text("edited")
        page.click("button[aria-label='Generate again']")
        expect(tab.done().locator(".markdown")).to_have_text("edited")
        expect(page.locator(".message")).to_have_count(2)
        page.click(".new")
        expect(page.locator(".empty h1")).to_be_visible()
        tab.say("second")
        tab.done()
        expect(page.locator(".conversations .pick")).to_have_text(["second", "edited"])
        page.click(".pick >> text=edited")
        expect(page.locator(".message.user .body")).to_have_text(["edited"])
        page.locator(".conversations li").last.hover()
        page.click("button[aria-label='Delete edited']")
        expect(page.locator(".conversations .pick")).to_have_text(["second"])


def test_a_lost_socket_is_resumed_without_a_lost_or_repeated_token():
    proxy = Proxy(echo.port)
    try:
        with Tab(proxy.url, allow=("WebSocket connection",)) as tab:
            tab.say(WORDS)
            for mark in ("word10", "word60"):
                expect(tab.answer().locator(".body")).to_contain_text(mark)
                assert proxy.cut(b"upgrade: websocket") == 1
            assert tab.done().locator(".markdown").inner_text() == WORDS
            expect(tab.answer().locator(".facts")).to_contain_text("resumed 2 times")
    finally:
        proxy.close()


def test_where_websockets_are_cut_off_answers_come_by_events():
    proxy = Proxy(echo.port, websockets=False)
    try:
        with Tab(proxy.url, allow=("WebSocket connection",)) as tab:
            tab.say("by events")
            expect(tab.done().locator(".markdown")).to_have_text("by events")
            expect(tab.page.locator(".talk-head .state")).to_have_text("Without WebSocket")
            tab.say(WORDS)
            expect(tab.answer().locator(".body")).to_contain_text("word3")
            tab.page.keyboard.press("Escape")
            expect(tab.done().locator(".facts")).to_contain_text("stopped")
    finally:
        proxy.close()


def test_events_that_are_cut_off_are_resumed_without_a_lost_or_repeated_token():
    """Last-Event-ID takes an answer up again; a stop tells the server, which keeps it otherwise."""
    proxy = Proxy(echo.port, websockets=False)
    lost = ("WebSocket connection", "ERR_INCOMPLETE_CHUNKED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
    try:
        with Tab(proxy.url, allow=lost) as tab:
            tab.say("by events")
            expect(tab.done().locator(".markdown")).to_have_text("by events")
            tab.say(WORDS)
            for mark in ("word10", "word60"):
                expect(tab.answer().locator(".body")).to_contain_text(mark)
                assert proxy.cut() >= 1
            assert tab.done().locator(".markdown").inner_text() == WORDS
            expect(tab.answer().locator(".facts")).to_contain_text("resumed 2 times")
            tab.say(WORDS)
            expect(tab.answer().locator(".body")).to_contain_text("word3")
            assert echo.get("/health")[1]["queue"]["active"] == 1
            tab.page.keyboard.press("Escape")
            expect(tab.done().locator(".facts")).to_contain_text("stopped")
            until(lambda: echo.get("/health")[1]["queue"]["active"] == 0)
    finally:
        proxy.close()


def test_a_profile_is_recorded_and_saved():
    with Server("echo", "frontend.http.admin=true") as other, Tab(other.url, "/#live") as tab:
        button = tab.page.locator("#profile")
        expect(button).to_have_text("Record a profile")
        button.click()
        expect(button).to_contain_text("Stop recording")
        answer = other.post("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "x"}]})
        with tab.page.expect_download() as download:
            button.click()
        saved = json.loads(pathlib.Path(download.value.path()).read_text())
        assert [e["args"]["id"] for e in saved["traceEvents"] if e["ph"] == "X"] == [answer[1]["id"]]
        expect(tab.page.locator(".profile a")).to_be_visible()
        expect(button).to_have_text("Record a profile")
    with Tab(echo.url, "/#live") as tab:
        expect(tab.page.locator(".live .facts")).to_contain_text("is ready")
        expect(tab.page.locator("#profile")).not_to_be_visible()


def test_backends_are_unloaded_and_loaded():
    with Server("default", "frontend.http.admin=true") as other, Tab(other.url, "/#live") as tab:
        state = tab.page.locator(".live tbody td").first
        expect(state).to_contain_text("ready")
        tab.page.get_by_role("button", name="Unload weir-demo").click()
        expect(state).to_contain_text("unloaded")
        until(lambda: other.get("/v1/models/weir-demo")[1]["state"] == "unloaded")
        tab.page.get_by_role("button", name="Load weir-demo", exact=True).click()
        expect(state).to_contain_text("ready")
        until(lambda: other.get("/v1/models/weir-demo")[1]["state"] == "ready")
    with Tab(demo.url, "/#live") as tab:
        expect(tab.page.locator(".live tbody td").first).to_contain_text("ready")
        expect(tab.page.get_by_role("button", name="Unload")).to_have_count(0)


def test_the_playground_follows_its_model():
    with Server("default", "frontend.http.admin=true") as other, Tab(other.url, allow=("503",)) as tab:
        chosen = tab.page.locator("#model option:checked")
        expect(chosen).to_have_text("weir-demo")
        other.post("/v1/models/weir-demo/unload", {"wait": True})
        tab.say("one")
        expect(tab.page.locator("div.error").last).to_contain_text("This model is not loaded. The dashboard")
        expect(chosen).to_have_text("weir-demo (unloaded)")
        other.post("/v1/models/weir-demo/load", {"wait": True})
        tab.say("two")
        expect(chosen).to_have_text("weir-demo")


def test_what_a_model_says_is_inert():
    with Tab(echo.url) as tab:
        tab.say("first line")
        tab.done()
        with Server("echo", script("".join(f"text {line}\\n\n" for line in HOSTILE.split("\n")))) as hostile:
            with Tab(hostile.url) as other:
                other.say("go")
                body = other.done().locator(".markdown")
                page = other.page
                assert page.evaluate("window.pwned") is None
                assert body.locator("script, img, iframe, i").count() == 0
                assert "<script>window.pwned = 1</script>" in body.inner_text(), body.inner_text()
                expect(body.locator("strong")).to_have_text("bold")
                expect(body.locator("li")).to_have_text(["one", "two"])
                expect(body.locator("pre code")).to_have_text("alert('<b>')")
                expect(body.locator("td")).to_have_text(["1", "<i>2</i>"])
                hrefs = body.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
                assert hrefs == ["https://elsewhere.invalid/x.png"], hrefs


def test_markdown_survives_anything():
    with Tab(echo.url) as tab:
        bad = tab.page.evaluate("""async () => {
            const { renderMarkdown } = await import("/ui/markdown.js");
            const bits = ["*", "**", "_", "`", "```", "~~", "[", "](", ")", "\\n", "\\n\\n", "- ", "1. ", "> ", "| ", "|---|",
                "# ", "<b>", "a", " ", "\\\\", "http://x.yz", "    ", "é", "\\u0000", "!"];
            let seed = 7;
            const next = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
            for (let round = 0; round < 3000; round++) {
                let text = "";
                for (let i = next(40); i >= 0; i--) text += bits[next(bits.length)];
                const whole = document.createElement("div"), grown = document.createElement("div");
                renderMarkdown(whole, text);
                for (let i = 1; i <= text.length; i += 3) renderMarkdown(grown, text.slice(0, i));
                renderMarkdown(grown, text);
                if (whole.innerHTML !== grown.innerHTML || whole.querySelector("b, script, img")) return text;
            }
            const long = document.createElement("div"), began = performance.now();
            for (const part of ["*a ", "_", "[", "`", "> ", "- "]) renderMarkdown(long, part.repeat(20000));
            return performance.now() - began > 20000 ? "slow" : null;
        }""")
        assert bad is None, repr(bad)


def test_reasoning_is_folded_and_tool_calls_are_cards():
    lines = r"""reasoning let me think
tool {"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\\"city\\":"}}
tool {"index":0,"function":{"arguments":"\\"Ulm\\"}"}}
finish tool
"""
    with Server("echo", script(lines)) as server:
        with Tab(server.url) as tab:
            tab.say("what is the weather?")
            answer = tab.done()
            expect(answer.locator(".reasoning summary")).to_have_text("Reasoning")
            expect(answer.locator(".thoughts")).not_to_be_visible()
            answer.locator("summary").click()
            expect(answer.locator(".thoughts")).to_contain_text("let me think")
            expect(answer.locator(".tool-call header")).to_have_text("weather")
            expect(answer.locator(".tool-call pre")).to_have_text('{\n  "city": "Ulm"\n}')
            answer.locator(".tool-answer input").fill("sunny")
            answer.locator(".tool-answer button").click()
            expect(tab.page.locator(".message.assistant")).to_have_count(2)
            expect(tab.page.locator(".message.tool .body")).to_have_text("sunny")
            tab.done()


def test_log_probabilities_by_pointer_and_by_keys():
    with Tab(demo.url) as tab:
        page = tab.page
        page.check("#logprobs")
        page.fill("#param-temperature", "0")
        page.fill("#param-max_tokens", "12")
        tab.say("Write a short poem about the sea")
        tokens = tab.done().locator(".token")
        whole = demo.post("/v1/chat/completions", {"model": "default", "temperature": 0, "max_tokens": 12, "logprobs": True,
                          "messages": [{"role": "user", "content": "Write a short poem about the sea"}]})[1]["choices"][0]
        wanted = [t["token"] for t in whole["logprobs"]["content"]]
        assert tokens.evaluate_all("all => all.map(t => t.textContent)") == wanted
        tokens.nth(2).hover()
        expect(page.locator("#tooltip")).to_be_visible()
        expect(page.locator("#tooltip tr")).to_have_count(5)
        expect(page.locator("#tooltip .chosen")).to_have_count(1)
        page.mouse.move(1, 1)
        expect(page.locator("#tooltip")).not_to_be_visible()
        tokens.first.focus()
        page.keyboard.press("ArrowRight")
        expect(tokens.nth(1)).to_be_focused()
        expect(page.locator("#tooltip")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#tooltip")).not_to_be_visible()
        page.click("button[aria-label='Show as text']")
        expect(tab.answer().locator(".token").first).not_to_be_visible()
        page.click("[data-mode=text]")
        tab.say("Once upon a time")
        expect(tab.done().locator(".token")).to_have_count(12)
        page.click("text=Continue from here")
        assert page.input_value("#input").startswith("Once upon a time")


def test_parameters_have_the_servers_ranges_and_errors():
    with Tab(demo.url) as tab:
        page = tab.page
        schema = demo.get("/openapi.json")[1]["components"]["schemas"]["ChatRequest"]["properties"]
        for name in ("temperature", "top_p", "top_k", "presence_penalty"):
            field = page.locator(f"#param-{name}")
            assert float(field.get_attribute("min")) == schema[name]["minimum"], name
            assert float(field.get_attribute("max")) == schema[name]["maximum"], name
        page.fill("#param-temperature", "9")
        tab.say("Hello")
        said = demo.post("/v1/chat/completions", {"model": "default", "temperature": 9, "messages": [
            {"role": "user", "content": "Hello"}]})[1]["error"]["message"]
        expect(tab.done().locator(".error")).to_contain_text(said)
        expect(page.locator("#param-temperature-error")).to_have_text(said)
        page.fill("#param-temperature", "")
        page.fill("#param-tools", "[{")
        page.click("button[aria-label='Generate again']")
        expect(page.locator("#param-tools-error")).to_contain_text("not JSON")
        page.click("text=Reset all parameters")
        page.click("button[aria-label='Generate again']")
        assert tab.done().locator(".markdown").inner_text().strip()
        expect(page.locator(".message .error")).to_have_count(0)


def test_the_dashboard_moves_under_load_and_says_what_metrics_says():
    calm = threading.Event()

    def load():
        while not calm.is_set():
            demo.post("/v1/chat/completions", {"model": "default", "max_tokens": 900, "ignore_eos": True,
                      "messages": [{"role": "user", "content": "Tell me a long story"}]})

    with Tab(demo.url, "/#live") as tab:
        page = tab.page
        expect(page.locator(".live .facts")).to_contain_text("is ready")
        expect(page.locator(".live td").first).to_contain_text("ready")
        threads = [threading.Thread(target=load) for _ in range(3)]
        [t.start() for t in threads]
        try:
            expect(page.locator("[data-tile=running]")).to_have_text("3")
            until(lambda: page.inner_text("[data-tile=out]") not in ("–", "0/s"))
            for tile in ("ttft50", "itl50"):
                expect(page.locator(f"[data-tile={tile}]")).to_contain_text("s")
            until(lambda: page.locator(".plot path.line-0").count() >= 5)
        finally:
            calm.set()
            [t.join() for t in threads]
        expect(page.locator("[data-tile=running]")).to_have_text("0")
        mine = page.evaluate("""async () => {
            const s = await import("/ui/series.js");
            const text = await (await fetch("/metrics", { headers: { Accept: "text/plain" } })).text();
            return s.sum(s.parseMetrics(text), "vllm:generation_tokens_total");
        }""")
        assert mine == demo.metric("vllm:generation_tokens_total") >= 2700
        page.locator(".plot").first.focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".chart .time").first).to_contain_text(":")


def test_the_dashboard_counts_also_for_backends_without_series_of_their_own():
    with Tab(echo.url, "/#live") as tab:
        threads = [threading.Thread(target=echo.post, args=("/v1/chat/completions", {
            "model": "default", "messages": [{"role": "user", "content": WORDS * 2}]})) for _ in range(3)]
        [t.start() for t in threads]
        expect(tab.page.locator("[data-tile=running]")).to_have_text("3")
        [t.join() for t in threads]
        expect(tab.page.locator("[data-tile=running]")).to_have_text("0")


def test_percentiles_and_rates_of_known_series():
    with Tab(echo.url) as tab:
        got = tab.page.evaluate(r"""async () => {
            const s = await import("/ui/series.js");
            const text = (a, b, c) => `# HELP x y\nx_bucket{m="q\\"}",le="1"} ${a}\nx_bucket{m="q\\"}",le="2"} ${b}\nx_bucket{m="q\\"}",le="+Inf"} ${c}\nn_total{a="1"} ${a}\nn_total{a="2"} ${b}\n`;
            const before = s.parseMetrics(text(10, 10, 10)), now = s.parseMetrics(text(20, 30, 30));
            return [s.quantiles(before, now, "x", [0.25, 0.75, 1]), s.quantiles(now, before, "x", [0.5]),
                s.quantiles(now, now, "x", [0.5]), s.rate(before, now, 10, "n_total"), s.rate(now, before, 10, "n_total"),
                s.sum(now, "n_total", (l) => l.a === "2"), s.labelValues(now, "x_bucket", "m")];
        }""")
        assert got == [[0.5, 1.5, 2], [None], [None], 3, None, 30, ['q"}']], got


def test_the_dashboard_sees_a_server_go_and_come_back():
    proxy = Proxy(free_port())
    try:
        with Server("echo") as first:
            proxy.target = first.port
            tab = Tab(proxy.url, "/#live", allow=("Failed to load resource",))
            expect(tab.page.locator(".live .facts")).to_contain_text("is ready")
        proxy.cut()
        expect(tab.page.locator(".live .notice")).to_contain_text("away")
        with Server("echo") as second:
            proxy.target = second.port
            expect(tab.page.locator(".live .notice")).not_to_be_visible()
            tab.__exit__(None, None, None)
    finally:
        proxy.close()


def test_an_answer_says_when_the_server_is_away():
    proxy = Proxy(echo.port)
    try:
        with Tab(proxy.url, allow=("WebSocket connection", "Failed to load resource")) as tab:
            proxy.close()
            tab.say("anybody?")
            expect(tab.done().locator(".error")).to_have_text("Error the server cannot be reached")
            proxy = Proxy(echo.port, port=proxy.port)
            tab.page.click("button[aria-label='Generate again']")
            expect(tab.done().locator(".markdown")).to_have_text("anybody?")
            assert tab.page.locator(".talk-head .state").inner_text() == ""
    finally:
        proxy.close()


def test_a_key_goes_with_every_request_and_stays_in_the_tab():
    proxy = Proxy(echo.port)
    try:
        with Tab(proxy.url) as tab:
            page = tab.page
            page.click("button[aria-label='API key']")
            page.fill("#api-key", "sk-test")
            with page.expect_request("**/v1/models") as asked:
                page.click("text=Use this key")
            assert asked.value.headers["authorization"] == "Bearer sk-test"
            tab.say("with a key")
            expect(tab.done().locator(".markdown")).to_have_text("with a key")
            [shake] = [first for _, _, first in proxy.pairs if b"upgrade: websocket" in first.lower()]
            assert b"openai-insecure-api-key.sk-test" in shake and b"weir.v1" in shake, shake
            stored = page.evaluate("[JSON.stringify(localStorage), sessionStorage.getItem('weir.key')]")
            assert "sk-test" not in stored[0] and stored[1] == '"sk-test"', stored
            page.click("button[aria-label='API key']")
            page.click("text=Forget it")
            assert page.evaluate("sessionStorage.length") == 0
    finally:
        proxy.close()


def test_light_dark_and_the_switch():
    color = "getComputedStyle(document.body).backgroundColor"
    with Tab(echo.url, color_scheme="light") as light, Tab(echo.url, color_scheme="dark") as dark:
        white, black = light.page.evaluate(color), dark.page.evaluate(color)
        assert white != black
        dark.page.click("button[aria-label=Theme]")  # as the system has it -> light
        assert dark.page.evaluate(color) == white
        dark.page.reload()
        assert dark.page.evaluate(color) == white
        dark.page.keyboard.press("Alt+t")
        assert dark.page.evaluate(color) == black


def test_by_keyboard_only():
    with Tab(echo.url) as tab:
        page, keys = tab.page, tab.page.keyboard
        expect(page.locator("#input")).to_be_focused()
        keys.type("typed")
        keys.press("Shift+Enter")
        keys.type("twice")
        keys.press("Enter")
        expect(tab.done().locator(".markdown")).to_have_text("typedtwice")
        keys.press("ArrowUp")
        expect(page.locator(".edit textarea")).to_be_focused()
        keys.press("Escape")
        expect(page.locator(".edit")).to_have_count(0)
        keys.press("Tab")
        keys.press("?")
        expect(page.locator("dialog h2")).to_have_text("Keys")
        expect(page.locator("dialog dt").first).to_have_text("Enter")
        assert "[object" not in page.locator("dialog").inner_text()
        keys.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
        keys.press("/")
        expect(page.locator("#input")).to_be_focused()
        keys.press("Alt+2")
        expect(page.locator(".live h1")).to_be_visible()
        keys.press("Alt+1")
        keys.press("Alt+n")
        expect(page.locator(".empty h1")).to_be_visible()
        unnamed = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea, a")].filter((e) =>
            !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.getAttribute("aria-hidden")))
            .map((e) => e.outerHTML)""")
        assert not unnamed, unnamed


def test_phone_width_has_no_sideways_scroll():
    with Tab(demo.url, viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True) as tab:
        page = tab.page
        wide = "document.documentElement.scrollWidth > innerWidth"
        tab.say("Write a short poem about the sea " + "x" * 200)
        tab.done()
        assert not page.evaluate(wide)
        for button, panel in (("Parameters", "#panel"), ("Conversations", "#side")):
            page.click(f".talk-head button[aria-label={button}]")
            expect(page.locator(f"{panel} .icon-button >> visible=true").first).to_be_in_viewport()
            page.keyboard.press("Escape")
        page.click("#tab-live")
        expect(page.locator(".live .facts")).to_contain_text("is ready")
        assert not page.evaluate(wide)
        assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.live'))")
        for name in ("key", "Theme", "shortcuts"):
            expect(page.locator(f".bar-end button[aria-label*={name}]")).to_be_in_viewport(ratio=1)


def test_the_policy_holds():
    with Tab(echo.url, allow=("Content Security Policy", "Content-Security-Policy")) as tab:
        refused = tab.page.evaluate("""() => new Promise((resolve) => {
            const seen = new Set();
            document.addEventListener("securitypolicyviolation", (e) => {
                seen.add(e.effectiveDirective);
                if (seen.size === 3) resolve([...seen].sort());
            });
            const inline = document.createElement("script");
            inline.textContent = "window.pwned = 1";
            document.head.append(inline);
            document.body.setAttribute("style", "opacity: 0.5");
            fetch("https://elsewhere.invalid/").catch(() => {});
            setTimeout(() => resolve([...seen].sort()), 10000);
        })""")
        assert refused == ["connect-src", "script-src-elem", "style-src-attr"], refused
        assert tab.page.evaluate("window.pwned") is None
        tab.requests = [r for r in tab.requests if "elsewhere.invalid" not in r]


def launch(playwright):
    """Playwright's own browser, or the system's; None: there is none."""
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    try:
        return playwright.chromium.launch(args=arguments)
    except Error:
        pass
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return playwright.chromium.launch(executable_path=path, args=arguments)
    return None


if __name__ == "__main__":
    os.environ["TMPDIR"] = scratch.name  # the driver of a browser that is not there leaves folders
    with sync_playwright() as playwright:
        browser = launch(playwright)
        if not browser:
            print("1..0 # SKIP no Chromium: `playwright install chromium`, or the package chromium")
            sys.exit(0)
        expect.set_options(timeout=30000)
        atexit.register(scratch.cleanup)
        with Server("echo", "backend.echo.rate=40") as echo, Server("default") as demo:
            status = tap.run(sys.modules[__name__], "ui")
            browser.close()
    sys.exit(status)
