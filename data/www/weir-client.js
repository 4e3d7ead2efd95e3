/*
 * weir-client.js - Weir over WebSocket, for browsers and for Node 22 and later. No dependencies.
 *
 *   import { WeirClient } from "./weir-client.js";
 *   const weir = new WeirClient();                       // in a page of the server; or a ws:// URL
 *   const answer = weir.chat({ model: "default", messages: [{ role: "user", content: "Hello!" }] });
 *   for await (const chunk of answer) show(chunk.choices[0]?.delta.content ?? "");
 *   answer.cancel();                                     // at any time
 *
 * Many answers share one socket. Events come only as fast as they are consumed: the client grants
 * credit as the loop takes them. When the socket is lost, the client connects again and every answer
 * goes on where it was: no token is lost or comes twice. The protocol is in
 * docs/websocket-protocol.md.
 */

const WINDOW = 64; // events that may be on their way, or wait here, for each answer

export class WeirError extends Error {
	constructor(error, status) {
		super(error?.message ?? "request failed");
		this.name = "WeirError";
		this.status = status ?? 0;
		this.type = error?.type ?? null;
		this.param = error?.param ?? null;
		this.code = error?.code ?? null;
	}
}

/* One answer: an async iterable of what the server sends for it. */
export class WeirAnswer {
	#client;
	#queue = [];
	#waiting = null; // {resolve, reject} of a next() that found nothing
	#ended = false;
	#error = null;
	#taken = 0; // events since credit was last given

	constructor(client, id, message) {
		this.#client = client;
		this.id = id;
		this.message = message; // what created it
		this.seq = -1; // of the last event that came
		this.token = null; // to resume with
		this.accepted = false;
		this.requestId = null; // the server's name of it
		this.usage = null;
		this.cancelled = false;
		this.resumes = 0;
	}

	get ended() {
		return this.#ended;
	}

	/* Stops the generation; the iteration ends with what has come. */
	cancel() {
		if (this.#ended)
			return;
		this.cancelled = true;
		if (!this.#client._send({ type: "cancel", id: this.id }) && !this.accepted)
			this._finish(null); // the server never heard of it
	}

	/* Everything at once: the last event of a request that is not streamed, or all of them. */
	async all() {
		const events = [];
		for await (const event of this)
			events.push(event);
		return events;
	}

	/* The text of choice 0, whole. */
	async text() {
		let text = "";
		for await (const event of this)
			text += textOf(event);
		return text;
	}

	[Symbol.asyncIterator]() {
		return {
			next: () => this.#next(),
			return: async () => {
				this.cancel();
				return { done: true, value: undefined };
			},
		};
	}

	#next() {
		if (this.#queue.length) {
			const value = this.#queue.shift();
			this.#grant();
			return Promise.resolve({ done: false, value });
		}
		if (this.#error)
			return Promise.reject(this.#error);
		if (this.#ended)
			return Promise.resolve({ done: true, value: undefined });
		return new Promise((resolve, reject) => {
			this.#waiting = { resolve, reject };
		});
	}

	#grant() {
		this.#taken++;
		if (this.#ended || this.#taken < WINDOW / 2)
			return;
		if (this.#client._send({ type: "credit", id: this.id, n: this.#taken }))
			this.#taken = 0;
	}

	/* From the client: an event of this answer. */
	_event(value) {
		if (this.#waiting) {
			const { resolve } = this.#waiting;
			this.#waiting = null;
			this.#grant();
			resolve({ done: false, value });
		} else {
			this.#queue.push(value);
		}
	}

	/* What may still come when a socket is new. */
	_window() {
		this.#taken = 0;
		return Math.max(WINDOW - this.#queue.length, 1);
	}

	_finish(error) {
		if (this.#ended)
			return;
		this.#ended = true;
		this.#error = error;
		if (!this.#waiting)
			return;
		const { resolve, reject } = this.#waiting;
		this.#waiting = null;
		if (error)
			reject(error);
		else
			resolve({ done: true, value: undefined });
	}
}

/* The text that one event adds, whatever endpoint it is from. */
export function textOf(event) {
	if (event.type === "response.output_text.delta")
		return event.delta;
	const choice = event.choices?.[0];
	return choice?.delta?.content ?? choice?.text ?? choice?.message?.content ?? "";
}

function defaultUrl() {
	if (typeof location === "undefined")
		throw new TypeError("WeirClient needs the URL of a server: ws://host:port/v1/ws");
	return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/ws`;
}

export class WeirClient extends EventTarget {
	#url;
	#protocols;
	#WebSocket;
	#socket = null;
	#state = "closed"; // closed | connecting | open | waiting
	#answers = new Map();
	#count = 0;
	#tries = 0;
	#timer = null;
	#alive = null;
	#heard = 0;
	#options;

	/*
	 * url: of /v1/ws; in a page of the server it may be left out.
	 * apiKey: sent with the handshake. retries: connections tried in a row before answers fail.
	 * keepAlive: milliseconds of silence after which the server is asked, and given up after as
	 * many again. WebSocket: another implementation.
	 * Events: "open", "close" (detail {code, reason}), "session" (detail: the server's limits).
	 */
	constructor(url = defaultUrl(), { apiKey, retries = 8, keepAlive = 20000, WebSocket } = {}) {
		super();
		this.#url = url;
		this.#protocols = ["weir.v1"];
		if (apiKey)
			this.#protocols.push(`openai-insecure-api-key.${apiKey}`);
		this.#options = { retries, keepAlive };
		this.#WebSocket = WebSocket ?? globalThis.WebSocket;
		if (!this.#WebSocket)
			throw new TypeError("no WebSocket here: use Node 22, or pass one as an option");
	}

	get state() {
		return this.#state;
	}

	chat(body, options) {
		return this.request("chat.create", body, options);
	}

	completion(body, options) {
		return this.request("completions.create", body, options);
	}

	response(body, options) {
		return this.request("response.create", body, options);
	}

	/* Resolves to the result. */
	async embeddings(body, options) {
		return (await this.request("embeddings.create", body, options).all()).at(-1);
	}

	/* Any endpoint. signal: an AbortSignal that cancels. */
	request(type, body, { signal, resume = true } = {}) {
		const id = `r${++this.#count}`;
		const answer = new WeirAnswer(this, id, { type, id, resume, body });
		this.#answers.set(id, answer);
		if (signal?.aborted)
			answer.cancel();
		signal?.addEventListener("abort", () => answer.cancel(), { once: true });
		if (answer.ended)
			this.#answers.delete(id);
		else if (this.#state === "open")
			this.#create(answer);
		else
			this.#connect();
		return answer;
	}

	/* Closes the socket; answers that have not ended fail. */
	close() {
		clearTimeout(this.#timer);
		this.#drop();
		this.#state = "closed";
		this.#fail(new WeirError({ message: "the client was closed", code: "closed" }));
	}

	/* For tests and for "reconnect" buttons: loses the socket without a word. */
	reconnect() {
		this.#lost({ code: 1006, reason: "reconnect" });
	}

	_send(message) {
		if (this.#state !== "open" || this.#socket.readyState !== 1)
			return false;
		this.#socket.send(JSON.stringify(message));
		return true;
	}

	#create(answer) {
		this._send({ ...answer.message, credit: answer._window() });
	}

	#resume(answer) {
		answer.resumes++;
		this._send({
			type: "resume", id: answer.id, token: answer.token, after: answer.seq,
			credit: answer._window(),
		});
		if (answer.cancelled)
			this._send({ type: "cancel", id: answer.id });
	}

	#connect() {
		if (this.#state === "connecting" || this.#state === "open")
			return;
		clearTimeout(this.#timer);
		this.#state = "connecting";
		const socket = new this.#WebSocket(this.#url, this.#protocols);
		this.#socket = socket;
		socket.onopen = () => socket === this.#socket && this.#opened();
		socket.onmessage = (event) => socket === this.#socket && this.#message(event.data);
		socket.onclose = (event) => socket === this.#socket && this.#lost(event);
		socket.onerror = () => {}; // a close follows
	}

	#opened() {
		this.#state = "open";
		this.#heard = Date.now();
		this.#alive = setInterval(() => this.#watch(), this.#options.keepAlive / 2);
		this.#alive.unref?.();
		// First what is resumed: a socket with requests of its own may be on another thread.
		for (const answer of this.#answers.values())
			if (answer.token && !answer.ended)
				this.#resume(answer);
		for (const answer of [...this.#answers.values()]) {
			if (answer.ended)
				this.#answers.delete(answer.id); // cancelled before it began
			else if (answer.token)
				continue;
			else if (!answer.accepted)
				this.#create(answer);
			else
				this.#end(answer, new WeirError({
					message: "the connection was lost", code: "connection_lost",
				}));
		}
		this.dispatchEvent(new Event("open"));
	}

	#watch() {
		const silence = Date.now() - this.#heard;
		if (silence > 2 * this.#options.keepAlive)
			this.#lost({ code: 1006, reason: "the server is silent" });
		else if (silence > this.#options.keepAlive)
			this._send({ type: "ping" });
	}

	#drop() {
		const socket = this.#socket;
		this.#socket = null;
		clearInterval(this.#alive);
		try {
			socket?.close();
		} catch {
			// it never opened
		}
	}

	#lost({ code, reason }) {
		this.#drop();
		this.#state = "closed";
		this.dispatchEvent(new CustomEvent("close", { detail: { code, reason } }));
		if (this.#answers.size === 0)
			return;
		if (this.#tries >= this.#options.retries) {
			this.#tries = 0;
			this.#fail(new WeirError({
				message: `the server cannot be reached at ${this.#url}`,
				code: "connection_lost",
			}));
			return;
		}
		this.#state = "waiting";
		const delay = Math.min(100 * 2 ** this.#tries++, 5000) * (0.5 + Math.random() / 2);
		this.#timer = setTimeout(() => this.#connect(), delay);
	}

	#fail(error) {
		for (const answer of [...this.#answers.values()])
			this.#end(answer, error);
	}

	#end(answer, error) {
		this.#answers.delete(answer.id);
		answer._finish(error);
	}

	#message(data) {
		const message = JSON.parse(data);
		this.#heard = Date.now();
		this.#tries = 0;
		if (message.type === "session.created")
			this.dispatchEvent(new CustomEvent("session", { detail: message.session }));
		const answer = this.#answers.get(message.id);
		if (!answer)
			return;
		if (message.seq !== undefined) {
			if (message.seq <= answer.seq)
				return; // came before
			answer.seq = message.seq;
		}
		this.#dispatch(answer, message);
	}

	#dispatch(answer, message) {
		const { type } = message;
		if (type === "accepted") {
			answer.accepted = true;
			answer.token = message.resume ?? null;
			answer.requestId = message.request;
		} else if (type === "chunk" || type === "result") {
			answer._event(message.data);
			if (type === "result")
				this.#end(answer, null);
		} else if (type === "done" || type === "cancelled") {
			answer.usage = message.usage ?? null;
			this.#end(answer, null);
		} else if (type === "moved") {
			this.#end(answer, new WeirError({
				message: "the answer goes on at another connection", code: "moved",
			}));
		} else if (type === "error") {
			// A cancel that came too late is no failure of the answer.
			if (message.seq === undefined && message.error?.code === "request_not_found")
				return;
			this.#end(answer, new WeirError(message.error, message.status));
		} else if (type.startsWith("response.")) {
			answer._event(message);
		}
	}
}
