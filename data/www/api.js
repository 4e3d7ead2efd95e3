/*
 * api.js - the page's way to the server: JSON by fetch, answers over one WebSocket (weir-client.js),
 * or over server-sent events where a proxy lets no WebSocket through.
 */
import { apiKey } from "./store.js";
import { WeirClient, WeirError } from "./weir-client.js";

const PATHS = { chat: "/v1/chat/completions", text: "/v1/completions" };
const TYPES = { chat: "chat.create", text: "completions.create" };
const TRIES = 2; // handshakes that may fail before SSE is used
const SSE_FOR = 60000; // and for how long it then is, in ms
const SSE_TRIES = 8; // connections in a row that may bring nothing before an answer is given up

export function headers(extra = {}) {
	const key = apiKey.get();
	return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

async function failure(response) {
	let error = null;
	try {
		const body = await response.json();
		error = body.error ?? (Array.isArray(body.detail)
			? { message: body.detail.map((d) => d.msg).join("; "), param: body.detail[0]?.loc?.at(-1) }
			: { message: String(body.detail ?? body.message) });
	} catch {
		error = { message: `the server answers ${response.status} ${response.statusText}` };
	}
	return new WeirError(error, response.status);
}

export async function getJson(path, options = {}) {
	const response = await fetch(path, { headers: headers({ Accept: "application/json" }), cache: "no-store", ...options });
	if (!response.ok)
		throw await failure(response);
	return response.json();
}

export const postJson = (path, body = {}) => getJson(path, {
	method: "POST", body: JSON.stringify(body), headers: headers({ "Content-Type": "application/json" }),
});

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/*
 * One answer over SSE, in the same shape as WeirAnswer: iterate, cancel(), usage, resumes. A connection
 * that is lost is taken up again behind the last event (X-Weir-Resume, docs/http-api.md).
 */
class SseAnswer {
	#stream = null; // where the server keeps the answer
	#last = null; // id of the last event that came
	#failed = 0; // connections in a row that brought nothing

	constructor(kind, body) {
		this.kind = kind;
		this.body = { ...body, stream: true, stream_options: { include_usage: true } };
		this.abort = new AbortController();
		this.usage = null;
		this.cancelled = false;
		this.resumes = 0;
	}

	/* Nobody comes back for what is cancelled: the server is told, or it would go on for a while. */
	cancel() {
		this.cancelled = true;
		this.abort.abort();
		if (this.#stream)
			fetch(this.#stream, { method: "DELETE", headers: headers(), keepalive: true }).catch(() => {});
	}

	async *[Symbol.asyncIterator]() {
		for (;;) {
			try {
				yield* this.#events((await this.#open()).body.pipeThrough(new TextDecoderStream()).getReader());
				return;
			} catch (error) {
				if (this.cancelled)
					return;
				if (error instanceof WeirError)
					throw error;
				if (!this.#stream || ++this.#failed > SSE_TRIES)
					throw new WeirError({ code: "connection_lost", message: this.#stream
						? "the connection was lost" : "the server cannot be reached" });
			}
			await pause(Math.min(100 * 2 ** this.#failed, 2000));
			if (this.cancelled)
				return;
		}
	}

	async #open() {
		const { signal } = this.abort;
		const again = this.#stream !== null;
		const response = again
			? await fetch(this.#stream, { signal, cache: "no-store",
				headers: headers(this.#last ? { "Last-Event-ID": this.#last } : {}) })
			: await fetch(PATHS[this.kind], { method: "POST", signal, body: JSON.stringify(this.body),
				headers: headers({ "Content-Type": "application/json", "X-Weir-Resume": "true" }) });
		if (!response.ok)
			throw await failure(response);
		const id = response.headers.get("X-Weir-Stream");
		if (!again && id)
			this.#stream = `/v1/stream/${encodeURIComponent(id)}`;
		this.resumes += again ? 1 : 0;
		return response;
	}

	/* Ends with the stream's own end; a body that ends before it is a lost connection. */
	async *#events(reader) {
		let rest = "";
		for (;;) {
			const { done, value } = await reader.read();
			if (done)
				throw new Error("cut off");
			rest += value;
			const events = rest.split(/\r?\n\r?\n/);
			rest = events.pop();
			for (const event of events) {
				const field = (name) => event.split(/\r?\n/).filter((l) => l.startsWith(`${name}:`))
					.map((l) => l.slice(name.length + 1).trimStart()).join("\n");
				const data = field("data");
				if (data === "[DONE]")
					return;
				if (!data)
					continue;
				this.#last = field("id") || this.#last;
				this.#failed = 0;
				const chunk = JSON.parse(data);
				if (chunk.error)
					throw new WeirError(chunk.error, chunk.error.status);
				this.usage = chunk.usage ?? this.usage;
				yield chunk;
			}
		}
	}
}

/* Events: "state" (detail: "idle" | "open" | "lost" | "sse"). */
export class Connection extends EventTarget {
	#client = null;
	#opened = false;
	#failed = 0;
	#sseUntil = 0;
	state = "idle";

	/* Another key: the next answer gets a new socket. */
	reset() {
		this.#client?.close();
		this.#client = null;
		this.#failed = 0;
		this.#sseUntil = 0;
		this.#set("idle");
	}

	#set(state) {
		if (this.state === state)
			return;
		this.state = state;
		this.dispatchEvent(new CustomEvent("state", { detail: state }));
	}

	#socket() {
		if (this.#client)
			return this.#client;
		const client = new WeirClient(undefined, { apiKey: apiKey.get() || undefined });
		this.#client = client;
		this.#opened = false;
		client.addEventListener("open", () => {
			this.#opened = true;
			this.#failed = 0;
			this.#set("open");
		});
		client.addEventListener("close", () => {
			if (this.#client !== client)
				return;
			this.#set(this.#opened ? "lost" : "idle");
			if (!this.#opened && ++this.#failed >= TRIES) {
				this.#sseUntil = Date.now() + SSE_FOR;
				this.#client = null;
				client.close();
			}
		});
		return client;
	}

	/*
	 * Chunks of one answer: for await (const chunk of connection.stream("chat", body, handle)).
	 * handle.cancel() is set while it runs; handle.usage and handle.cancelled at the end.
	 */
	async *stream(kind, body, handle) {
		if (Date.now() >= this.#sseUntil) {
			this.#failed = 0;
			let answer;
			try {
				answer = this.#socket().request(TYPES[kind], body);
			} catch {
				this.#sseUntil = Date.now() + SSE_FOR; // a key that a subprotocol cannot carry
			}
			try {
				if (answer) {
					yield* this.#follow(answer, handle);
					return;
				}
			} catch (error) {
				const refused = error.code === "closed" && Date.now() < this.#sseUntil;
				if (!refused || answer.accepted)
					throw error;
			}
		}
		if (handle.cancelled)
			return;
		try {
			for await (const chunk of this.#follow(new SseAnswer(kind, body), handle)) {
				this.#set("sse");
				yield chunk;
			}
		} catch (error) {
			if (error.code === "connection_lost")
				this.#sseUntil = 0; // the server itself is away: a WebSocket is tried again
			throw error;
		}
	}

	async *#follow(answer, handle) {
		handle.cancel = () => {
			handle.cancelled = true;
			answer.cancel();
		};
		for await (const chunk of answer)
			yield chunk;
		handle.usage = answer.usage;
		handle.resumes = answer.resumes;
	}
}

export const connection = new Connection();

/* The members of a request as the server's own document has them: name -> schema. */
export async function loadFields() {
	const document = await getJson("/openapi.json");
	const { ChatRequest, CompletionRequest } = document.components.schemas;
	return { chat: ChatRequest.properties, text: CompletionRequest.properties };
}
