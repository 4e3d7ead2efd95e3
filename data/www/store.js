/*
 * store.js - what the browser remembers: conversations and settings in localStorage, the API key in
 * sessionStorage. A full or forbidden storage costs memory of the next visit, never the page.
 */

function read(storage, key, fallback) {
	try {
		const text = globalThis[storage].getItem(key);
		return text === null ? fallback : JSON.parse(text);
	} catch {
		return fallback;
	}
}

function write(storage, key, value) {
	try {
		if (value === null || value === "")
			globalThis[storage].removeItem(key);
		else
			globalThis[storage].setItem(key, JSON.stringify(value));
		return true;
	} catch {
		return false;
	}
}

export const settings = {
	get: (name, fallback = null) => read("localStorage", `weir.set.${name}`, fallback),
	set: (name, value) => write("localStorage", `weir.set.${name}`, value),
};

export const apiKey = {
	get: () => read("sessionStorage", "weir.key", ""),
	set: (key) => write("sessionStorage", "weir.key", key),
};

const isObject = (value) => value !== null && typeof value === "object";

/* Only what can be drawn: another program, or an older one, may have written there. */
function usable(c) {
	return isObject(c) && typeof c.id === "string" && Array.isArray(c.messages) &&
		c.messages.every((m) => isObject(m) && typeof m.role === "string" && typeof m.content === "string");
}

/* An answer that grew when its page went ends where it was, like one that was stopped. */
function settle(conversation) {
	const last = conversation.messages.at(-1);
	if (["assistant", "completion"].includes(last?.role) && !last.finish && !last.error)
		last.stopped = true;
	return conversation;
}

/* Log-probabilities are many times the text: they stay in memory. */
function slim(conversation) {
	return {
		...conversation,
		messages: conversation.messages.map(({ tokens, ...rest }) => rest),
	};
}

export class Conversations {
	constructor() {
		const stored = read("localStorage", "weir.conversations", []);
		this.list = Array.isArray(stored) ? stored.filter(usable).map(settle) : [];
		this.current = this.list[0] ?? this.create();
	}

	create(mode = "chat") {
		const empty = this.list.find((c) => c.messages.length === 0 && c.mode === mode);
		const conversation = empty ?? {
			id: Date.now().toString(36) + Math.random().toString(36).slice(2, 8),
			mode, title: "", system: "", messages: [], updated: Date.now(),
		};
		if (!empty)
			this.list.unshift(conversation);
		this.current = conversation;
		return conversation;
	}

	remove(conversation) {
		this.list = this.list.filter((c) => c !== conversation);
		if (this.current === conversation)
			this.current = this.list[0] ?? this.create(conversation.mode);
		this.save();
	}

	touch(conversation) {
		const first = conversation.messages.find((m) => m.role === "user" || m.role === "prompt");
		conversation.title = (first?.content ?? "").trim().split("\n")[0].slice(0, 60);
		conversation.updated = Date.now();
		this.list = [conversation, ...this.list.filter((c) => c !== conversation)];
		this.save();
	}

	/* The oldest go when there is no room for all. */
	save() {
		const kept = this.list.filter((c) => c.messages.length || c.system).slice(0, 200).map(slim);
		while (!write("localStorage", "weir.conversations", kept) && kept.length > 1)
			kept.pop();
	}
}
