/*
 * play.js - the playground: conversations, the thread, the composer. What is said is plain data in
 * store.js; generate.js lets answers grow; message.js draws them.
 */
import { connection, getJson, loadFields } from "./api.js";
import { $, announce, formatCount, h, icon, iconButton } from "./dom.js";
import { generate, requestBody } from "./generate.js";
import { MessageView } from "./message.js";
import { Params } from "./params.js";
import { Conversations, settings } from "./store.js";
import { hideTooltip } from "./tokens.js";

const DRAW_EVERY = 40; // ms
const ASK_EVERY = 2000; // while a model loads
const EXAMPLES = {
	chat: ["Write a short poem about the sea", "Explain how a weir works", "What is the capital of France?"],
	text: ["Once upon a time", "The weather today is"],
};

export class Play {
	#store = new Conversations();
	#views = [];
	#handle = null; // of the answer under way
	#params = null;
	#models = [];
	#asking = 0; // the timer of the next look at the models

	constructor() {
		this.#drawHeads();
		this.#drawComposer();
		this.#drawSystem();
		this.#open(this.#store.current);
		connection.addEventListener("state", () => this.#drawState());
		addEventListener("resize", hideTooltip);
		addEventListener("pagehide", () => this.busy && this.#store.save());
		requestAnimationFrame(() => this.#toEnd(true)); // before it there are no heights
		$("thread").addEventListener("scroll", hideTooltip);
		this.load();
	}

	/* Models and ranges; again after the key has changed or the server has come back. */
	async load() {
		try {
			const [models, fields] = await Promise.all([getJson("/v1/models"), loadFields()]);
			this.#models = models.data;
			this.#params = new Params($("params"), fields);
			this.#params.draw(this.conversation.mode);
			this.#drawModels();
			this.#follow();
			this.notice.hidden = true;
		} catch (error) {
			this.notice.replaceChildren(h("strong", {}, error.status ? `Error ${error.status}` : "The server is away"),
				` ${error.message} `,
				h("button.quiet", { type: "button", onclick: () => this.load() }, "Try again"));
			this.notice.hidden = false;
		}
	}

	get conversation() {
		return this.#store.current;
	}

	get busy() {
		return this.#handle !== null;
	}

	/* --- what stands around the thread --- */

	#drawHeads() {
		const drawer = (name) => () => this.#drawer(name);
		$("side-head").append(h("button.new", { type: "button", title: "New conversation (Alt+N)", onclick: () => this.create() },
			icon("plus"), "New"), iconButton("close", "Close the list", drawer(null), { class: "icon-button only-narrow" }));
		this.mode = h("div.modes", { role: "group", "aria-label": "Mode" }, ["chat", "text"].map((mode) =>
			h("button", { type: "button", data: { mode }, onclick: () => this.#setMode(mode) },
				mode === "chat" ? "Chat" : "Raw text")));
		this.model = h("select.model", { id: "model", "aria-label": "Model", onchange: () => settings.set("model", this.model.value) });
		this.state = h("span.state", { role: "status" });
		$("talk-head").append(
			iconButton("menu", "Conversations", drawer("side"), { class: "icon-button only-narrow" }),
			this.model, this.mode, this.state,
			iconButton("sliders", "Parameters", drawer("panel"), { class: "icon-button only-medium" }));
		this.notice = h("div.error.notice", { role: "alert", hidden: true });
		$("talk-head").after(this.notice);
		$("panel-head").append(h("h2", {}, "Parameters"),
			iconButton("close", "Close the parameters", drawer(null), { class: "icon-button only-medium" }));
	}

	#drawer(name) {
		const before = $("play").dataset.drawer;
		if (name)
			$("play").dataset.drawer = name;
		else
			delete $("play").dataset.drawer;
		if (name)
			$(name).querySelector("button, input, select, textarea")?.focus();
		else if (before)
			$("talk-head").querySelector(before === "side" ? ".only-narrow" : ".only-medium")?.focus();
	}

	closeDrawer() {
		const open = Boolean($("play").dataset.drawer);
		if (open)
			this.#drawer(null);
		return open;
	}

	#drawModels() {
		const wanted = settings.get("model");
		const first = this.#models.find((m) => m.state === "ready") ?? this.#models[0];
		this.model.replaceChildren(...this.#models.map((m) => h("option", { value: m.id },
			m.state && m.state !== "ready" ? `${m.id} (${m.state})` : m.id)));
		this.model.value = this.#models.some((m) => m.id === wanted) ? wanted : first?.id ?? "";
		const chosen = this.#models.find((m) => m.id === this.model.value);
		this.model.title = chosen?.max_model_len ? `context of ${formatCount(chosen.max_model_len)} tokens` : "";
	}

	/* Looks at the models again while one of them comes or goes. */
	#follow() {
		clearTimeout(this.#asking);
		if (this.#models.some((m) => m.state === "loading" || m.state === "unloading"))
			this.#asking = setTimeout(() => this.#renew(), ASK_EVERY);
	}

	async #renew() {
		const about = (models) => models.map((m) => `${m.id} ${m.state}`).join("\n");
		try {
			const { data } = await getJson("/v1/models");
			const changed = about(data) !== about(this.#models);
			this.#models = data;
			if (changed)
				this.#drawModels();
		} catch {
			return; // whoever asks for something next is told
		}
		this.#follow();
	}

	#drawState() {
		const text = { lost: "Connecting again…", sse: "Without WebSocket" }[connection.state] ?? "";
		this.state.textContent = connection.state === "lost" && !this.busy ? "" : text;
	}

	#drawSystem() {
		this.system = h("textarea", {
			id: "system-prompt", rows: 3, placeholder: "How the model should behave",
			oninput: () => {
				this.conversation.system = this.system.value;
				this.#store.save();
			},
		});
		$("system").append(h("div.field", {}, h("label", { for: "system-prompt" }, "System prompt"), this.system));
		const logprobs = h("input", {
			type: "checkbox", role: "switch", id: "logprobs", checked: settings.get("logprobs", false),
			onchange: () => settings.set("logprobs", logprobs.checked),
		});
		$("system").append(h("div.field.switch", {}, logprobs, h("label", { for: "logprobs" }, "Token probabilities"),
			h("p.hint", {}, "Tints each token by how likely it was; point at one, or use the arrow keys, for the others.")));
		this.logprobs = logprobs;
	}

	#drawComposer() {
		this.input = h("textarea", {
			id: "input", rows: 1, "aria-label": "Message", enterkeyhint: "send",
			oninput: () => this.#fit(),
			onkeydown: (event) => {
				if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
					event.preventDefault();
					this.#submit();
				} else if (event.key === "ArrowUp" && !this.input.value) {
					this.#editLast(event);
				}
			},
		});
		this.send = h("button.send", { type: "submit", id: "send" });
		$("composer").append(h("div.box", {}, this.input, this.send));
		$("composer").addEventListener("submit", (event) => {
			event.preventDefault();
			if (this.busy)
				this.stop();
			else
				this.#submit();
		});
		this.#drawSend();
	}

	#drawSend() {
		const label = this.busy ? "Stop (Escape)" : "Send (Enter)";
		this.send.replaceChildren(icon(this.busy ? "stop" : "send"));
		this.send.title = label;
		this.send.setAttribute("aria-label", label);
		this.send.classList.toggle("stops", this.busy);
	}

	#fit() {
		this.input.style.height = "auto";
		this.input.style.height = `${Math.min(this.input.scrollHeight, innerHeight * 0.4)}px`;
	}

	#editLast(event) {
		const view = this.#views.findLast((v) => v.actions.edit);
		if (!view || this.busy)
			return;
		event.preventDefault();
		view.edit();
	}

	/* --- conversations --- */

	create(mode = this.conversation.mode) {
		this.#open(this.#store.create(mode));
		this.#drawer(null);
		this.input.focus();
	}

	#setMode(mode) {
		if (mode === this.conversation.mode)
			return;
		if (this.conversation.messages.length === 0 && !this.busy) {
			this.conversation.mode = mode;
			this.#open(this.conversation);
		} else {
			this.create(mode);
		}
	}

	#open(conversation) {
		if (conversation !== this.conversation || this.#views.length)
			this.stop();
		this.#store.current = conversation;
		this.system.value = conversation.system ?? "";
		$("system").firstElementChild.hidden = conversation.mode === "text";
		for (const button of this.mode.children)
			button.setAttribute("aria-pressed", String(button.dataset.mode === conversation.mode));
		this.input.placeholder = conversation.mode === "text" ? "Text that the model goes on with" : "Message";
		if (this.#params && this.#params.mode !== conversation.mode)
			this.#params.draw(conversation.mode);
		this.#drawThread();
		this.#drawList();
	}

	#drawList() {
		const shown = this.#store.list.filter((c) => c.messages.length);
		$("conversations").replaceChildren(...shown.map((c) => h("li", {},
			h("button.pick", {
				type: "button", "aria-current": c === this.conversation ? "true" : null,
				onclick: () => {
					this.#open(c);
					this.#drawer(null);
				},
			}, c.title || "Untitled"),
			iconButton("trash", `Delete ${c.title || "this conversation"}`, () => this.#remove(c)))));
		if (!shown.length)
			$("conversations").append(h("li.hint", {}, "Conversations stay in this browser."));
	}

	#remove(conversation) {
		if (conversation === this.conversation)
			this.stop();
		this.#store.remove(conversation);
		this.#open(this.conversation);
		announce("Deleted");
	}

	/* --- the thread --- */

	#drawThread() {
		const { messages, mode } = this.conversation;
		hideTooltip();
		this.#views = messages.map((message, i) => this.#view(message, i));
		$("thread").replaceChildren(...this.#views.map((v) => v.root));
		if (!messages.length)
			$("thread").append(h("div.empty", {},
				h("img", { src: "/ui/icon.svg", alt: "", width: 48, height: 48 }),
				h("h1", {}, mode === "chat" ? "What shall we talk about?" : "Begin a text"),
				h("p", {}, mode === "chat" ? "Answers are streamed from this server, token by token."
					: "The model goes on where your text ends, without a chat template."),
				h("div.examples", {}, EXAMPLES[mode].map((text) =>
					h("button", { type: "button", onclick: () => this.#say(text) }, text)))));
		this.#toEnd(true);
	}

	#view(message, index) {
		const mine = message.role === "user" || message.role === "prompt";
		const last = index === this.conversation.messages.length - 1;
		const from = (text) => {
			if (this.busy || !text.trim())
				return;
			this.conversation.messages.length = index;
			this.#say(text);
		};
		const pending = message.toolCalls?.some((c) => !message.answered?.includes(c.id));
		return new MessageView(message, {
			edit: mine ? from : null,
			regenerate: !mine && last && message.role !== "tool" ? () => this.#again(index) : null,
			answerTool: pending ? (call, text) => this.#answerTool(message, call, text) : null,
			useText: message.role === "completion" && last ? () => this.#continue(index) : null,
		});
	}

	#again(index) {
		if (this.busy)
			return;
		this.conversation.messages.length = index;
		this.#answer();
	}

	#continue(index) {
		this.input.value = this.conversation.messages[index - 1].content + this.conversation.messages[index].content;
		this.#fit();
		this.input.focus();
	}

	/* The answer goes on when all calls of the message have their results. */
	#answerTool(message, call, text) {
		if (this.busy)
			return;
		message.answered = [...(message.answered ?? []), call.id];
		this.conversation.messages.push({ role: "tool", callId: call.id, content: text });
		if (message.toolCalls.every((c) => message.answered.includes(c.id)))
			this.#answer();
		else
			this.#drawThread();
	}

	#submit() {
		const text = this.input.value;
		if (this.busy || !text.trim())
			return;
		this.input.value = "";
		this.#fit();
		this.#say(text);
	}

	#say(text) {
		this.conversation.messages.push({ role: this.conversation.mode === "text" ? "prompt" : "user", content: text });
		this.#answer();
	}

	stop() {
		const handle = this.#handle;
		if (!handle)
			return false;
		handle.cancelled = true; // also if nothing has begun
		handle.cancel?.();
		return true;
	}

	async #answer() {
		const conversation = this.conversation;
		const { mode } = conversation;
		let params = {};
		this.#params?.clearErrors();
		const message = { role: mode === "text" ? "completion" : "assistant", content: "", reasoning: "" };
		try {
			params = this.#params?.body() ?? {};
		} catch (error) {
			message.error = { message: error.message, param: error.param };
		}
		conversation.messages.push(message);
		const index = conversation.messages.length - 1;
		const body = requestBody(conversation, index, { model: this.model.value || "default", params, logprobs: this.logprobs.checked });
		const handle = {};
		this.#handle = message.error ? null : handle;
		this.#store.touch(conversation);
		this.#drawThread();
		this.#drawList();
		this.#drawSend();
		if (!message.error)
			await this.#grow(mode, body, message, handle);
		this.#ended(conversation, message, handle);
	}

	async #grow(mode, body, message, handle) {
		let timer = 0;
		const draw = () => {
			timer = 0;
			const view = this.#views.findLast((v) => v.message === message);
			view?.draw(this.#handle === handle);
			if (view)
				this.#toEnd(false);
		};
		draw();
		await generate(mode, body, message, handle, () => {
			timer ||= setTimeout(draw, DRAW_EVERY);
		});
		clearTimeout(timer);
	}

	#ended(conversation, message, handle) {
		if (this.#handle === handle || message.error)
			this.#handle = null;
		this.#store.touch(conversation);
		this.#drawSend();
		this.#drawState();
		this.#drawList();
		if (this.conversation !== conversation)
			return;
		const view = this.#views.findLast((v) => v.message === message);
		if (view && message.toolCalls?.length) {
			this.#drawThread(); // the cards may be answered now
		} else {
			view?.draw(false);
			this.#toEnd(false);
		}
		const used = this.#models.find((m) => m.id === this.model.value);
		if (message.error || (used?.state && used.state !== "ready"))
			this.#renew(); // it was loaded or unloaded meanwhile
		if (message.error) {
			this.#params?.showError(message.error.param, message.error.message);
			announce(`Error: ${message.error.message}`);
		} else {
			announce(message.stopped ? "Stopped" : "The answer is complete");
		}
	}

	/* Stays at the end, unless somebody has scrolled up to read. */
	#toEnd(always) {
		const thread = $("thread");
		if (always || thread.scrollHeight - thread.scrollTop - thread.clientHeight < 120)
			thread.scrollTop = thread.scrollHeight;
	}
}
