// Node clients of the WebSocket frontend: `ws` with its defaults (compression and all), and weir-client.js
// on Node's own WebSocket. Arguments: port of http with compression, file of weir-client.js. Output: TAP.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

import WebSocket from "ws";

const [port, clientFile] = process.argv.slice(2);
const { WeirClient, WeirError, textOf } = await import(pathToFileURL(clientFile));
const url = `ws://127.0.0.1:${port}/v1/ws`;
// Node has its own from 22 on.
const socket = globalThis.WebSocket ? {} : { WebSocket };
const chat = (text, more = {}) => ({ model: "echo", messages: [{ role: "user", content: text }], ...more });
const words = (n) => Array.from({ length: n }, (_, i) => `w${i}`).join(" ");

const tests = {
	async "ws-package"() {
		const ws = new WebSocket(url, ["weir.v1"]);
		const seen = [];
		const done = new Promise((resolve, reject) => {
			ws.on("error", reject);
			ws.on("message", (data) => {
				seen.push(JSON.parse(data));
				if (seen.at(-1).type === "done")
					resolve();
			});
		});
		await new Promise((resolve) => ws.on("open", resolve));
		assert.equal(ws.protocol, "weir.v1");
		assert.match(ws.extensions, /permessage-deflate/);
		ws.send(JSON.stringify({ type: "chat.create", id: "a", body: chat(words(500)) }));
		await done;
		assert.equal(seen[0].type, "session.created");
		assert.equal(seen[1].type, "accepted");
		const chunks = seen.filter((m) => m.type === "chunk");
		assert.deepEqual(chunks.map((m) => m.seq), chunks.map((_, i) => i));
		assert.equal(chunks.map((m) => textOf(m.data)).join(""), words(500));
		const closed = new Promise((resolve) => ws.on("close", (code) => resolve(code)));
		ws.close(1000, "bye");
		assert.equal(await closed, 1000);
	},

	async "client-chat"() {
		const weir = new WeirClient(url, socket);
		let limits = null;
		weir.addEventListener("session", (event) => (limits = event.detail));
		const answer = weir.chat(chat("one two three"));
		assert.equal(await answer.text(), "one two three");
		assert.equal(limits.protocol, "weir.v1");
		assert.ok(answer.ended && answer.usage.completion_tokens > 0 && answer.requestId.startsWith("chatcmpl-"));
		assert.equal((await weir.chat(chat("x y", { stream: false })).all())[0].choices[0].message.content, "x y");
		assert.equal(await weir.completion({ model: "echo", prompt: "p q" }).text(), "p q");
		weir.close();
	},

	async "client-response"() {
		const weir = new WeirClient(url, socket);
		const events = await weir.response({ model: "echo", input: "one two three" }).all();
		assert.equal(events[0].type, "response.created");
		assert.equal(events.map(textOf).join(""), "one two three");
		assert.equal(events.at(-1).type, "response.completed");
		assert.equal(events.at(-1).response.output[0].content[0].text, "one two three");
		assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
		weir.close();
	},

	async "client-many-at-once"() {
		const weir = new WeirClient(url, socket);
		const texts = await Promise.all(Array.from({ length: 100 }, (_, i) => weir.chat(chat(`${i} ${words(80)}`)).text()));
		texts.forEach((text, i) => assert.equal(text, `${i} ${words(80)}`));
		weir.close();
	},

	async "client-errors"() {
		const weir = new WeirClient(url, socket);
		await assert.rejects(weir.chat({ model: "echo" }).all(), (e) =>
			e instanceof WeirError && e.status === 400 && e.param === "messages");
		await assert.rejects(weir.chat(chat("x", { model: "none" })).all(), (e) => e.status === 404);
		weir.close();
		await assert.rejects(new WeirClient("ws://127.0.0.1:1/v1/ws", { retries: 1, ...socket }).chat(chat("x")).all(),
			(e) => e.code === "connection_lost");
	},

	async "client-cancel"() {
		const weir = new WeirClient(url, socket);
		const answer = weir.chat(chat(words(100000)));
		let n = 0;
		for await (const chunk of answer) {
			n += textOf(chunk) ? 1 : 0;
			if (n === 10)
				answer.cancel();
		}
		assert.ok(n >= 10 && n < 2000 && answer.usage, `${n} chunks`);
		const aborted = new AbortController();
		const other = weir.chat(chat(words(100000)), { signal: aborted.signal });
		setTimeout(() => aborted.abort(), 50);
		await other.all();
		// Leaving the loop cancels as well.
		for await (const _ of weir.chat(chat(words(100000))))
			break;
		assert.equal(await weir.chat(chat("still here")).text(), "still here");
		weir.close();
	},

	// What is not consumed does not come: the client's window and nothing more.
	async "client-flow"() {
		const weir = new WeirClient(url, socket);
		const answer = weir.chat(chat(words(5000)));
		const first = await answer[Symbol.asyncIterator]().next();
		assert.ok(!first.done);
		await new Promise((resolve) => setTimeout(resolve, 500));
		assert.ok(answer.seq >= 10 && answer.seq < 80, `${answer.seq} events came`);
		assert.equal(await weir.chat(chat("another")).text(), "another");
		assert.equal(await answer.text(), words(5000));
		weir.close();
	},

	async "client-resume"() {
		const weir = new WeirClient(url, socket);
		const answers = [0, 1, 2].map((i) => weir.chat(chat(`${i} ${words(2000)}`)));
		let closes = 0;
		weir.addEventListener("close", () => closes++);
		const texts = answers.map(() => "");
		const loops = answers.map(async (answer, i) => {
			for await (const chunk of answer)
				texts[i] += textOf(chunk);
		});
		for (let i = 0; i < 4; i++) {
			await new Promise((resolve) => setTimeout(resolve, 30));
			if (!answers.every((a) => a.ended))
				weir.reconnect();
		}
		await Promise.all(loops);
		texts.forEach((text, i) => assert.equal(text, `${i} ${words(2000)}`));
		assert.ok(closes >= 1 && answers.some((a) => a.resumes >= 1), "nothing was lost, so nothing was tested");
		weir.close();
	},
};

console.log(`1..${Object.keys(tests).length}`);
let n = 0, failures = 0;
for (const [name, run] of Object.entries(tests)) {
	n++;
	try {
		await Promise.race([run(), new Promise((_, reject) => setTimeout(() => reject(new Error("timeout")), 60000).unref())]);
		console.log(`ok ${n} ws-node/${name}`);
	} catch (error) {
		failures++;
		console.log(`not ok ${n} ws-node/${name}`);
		for (const line of String(error.stack).split("\n"))
			console.log(`# ${line}`);
	}
}
process.exit(failures ? 1 : 0);
