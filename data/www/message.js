/*
 * message.js - one message as elements, redrawn as it grows. The message itself is plain data, as
 * store.js keeps it:
 *   {role: "user" | "assistant" | "tool" | "prompt" | "completion", content, reasoning, toolCalls:
 *    [{id, name, arguments}], callId, tokens, usage, stats, finish, error, stopped}
 */
import { copyButton, formatCount, formatSeconds, h, icon, iconButton } from "./dom.js";
import { renderMarkdown } from "./markdown.js";
import { renderTokens } from "./tokens.js";

const NAMES = { user: "You", assistant: "Answer", tool: "Tool result", prompt: "Text", completion: "Continuation" };
const FINISHES = { length: "stopped at the longest length", content_filter: "filtered" };

function pretty(json) {
	try {
		return JSON.stringify(JSON.parse(json), null, 2);
	} catch {
		return json; // still under way, or no JSON
	}
}

export class MessageView {
	/* actions: {edit(text), regenerate(), remove(), answerTool(call, text), useText(text)} */
	constructor(message, actions) {
		this.message = message;
		this.actions = actions;
		this.tinted = true;
		this.parts = {};
		this.body = h("div.body");
		this.footer = h("footer.meta");
		this.root = h(`article.message.${message.role}`, { "aria-label": NAMES[message.role] ?? message.role },
			h("header.who", {}, NAMES[message.role] ?? message.role), this.body, this.footer);
		this.draw(false);
	}

	#part(name, make) {
		if (!this.parts[name]) {
			this.parts[name] = make();
			this.body.append(this.parts[name]);
		}
		return this.parts[name];
	}

	draw(busy) {
		const { message } = this;
		this.root.classList.toggle("busy", busy);
		this.root.setAttribute("aria-busy", String(busy));
		if (message.reasoning)
			this.#reasoning(busy);
		this.#content(busy);
		(message.toolCalls ?? []).forEach((call, i) => this.#call(call, i, busy));
		if (message.error)
			this.#error(message.error);
		this.#meta(busy);
	}

	#reasoning(busy) {
		const part = this.#part("reasoning", () => h("details.reasoning", {}, h("summary"), h("div.thoughts")));
		if (part !== this.body.firstChild)
			this.body.prepend(part);
		part.firstChild.textContent = busy && !this.message.content ? "Thinking…" : "Reasoning";
		part.lastChild.textContent = this.message.reasoning;
	}

	#content(busy) {
		const { message } = this;
		const tokens = this.tinted && message.tokens?.length ? message.tokens : null;
		const kind = tokens ? "tokens" : "content";
		const other = this.parts[tokens ? "content" : "tokens"];
		const plain = ["user", "tool", "prompt", "completion"].includes(message.role);
		if (!message.content && !tokens && !(busy && !message.reasoning)) {
			this.parts.content?.replaceChildren();
			return;
		}
		const part = this.#part(kind, () => h(`div.${tokens ? "tokens" : plain ? "plain" : "markdown"}`));
		if (other) {
			part.hidden = false;
			other.hidden = true;
		}
		if (tokens)
			renderTokens(part, tokens);
		else if (plain)
			part.textContent = message.content;
		else
			renderMarkdown(part, message.content);
	}

	#call(call, index, busy) {
		const part = this.#part(`call${index}`, () => h("section.tool-call", { "aria-label": "Tool call" },
			h("header", {}, icon("tool"), h("code")), h("pre", { tabindex: "0" }), h("form.tool-answer")));
		const [header, args, form] = part.children;
		header.lastChild.textContent = call.name || "…";
		args.textContent = pretty(call.arguments);
		form.hidden = busy || this.message.answered?.includes(call.id) || !this.actions.answerTool;
		if (form.hidden || form.childElementCount)
			return;
		const input = h("input", { type: "text", placeholder: "What the tool returns", "aria-label": `Result of ${call.name}` });
		form.append(input, h("button", { type: "submit" }, "Send result"));
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.actions.answerTool(call, input.value);
		});
	}

	#error(error) {
		const part = this.#part("error", () => h("div.error", { role: "alert" }));
		part.replaceChildren(h("span", {}, h("strong", {}, error.status ? `Error ${error.status}` : "Error"),
			` ${error.message}`, error.param && h("code", {}, error.param)));
	}

	#meta(busy) {
		if (busy === this.drawnBusy && busy)
			return;
		this.drawnBusy = busy;
		const { message, actions } = this;
		const { stats, usage } = message;
		const facts = [];
		if (message.stopped)
			facts.push("stopped");
		if (FINISHES[message.finish])
			facts.push(FINISHES[message.finish]);
		if (usage)
			facts.push(`${formatCount(usage.prompt_tokens)} in, ${formatCount(usage.completion_tokens)} out`);
		if (usage?.prompt_tokens_details?.cached_tokens)
			facts.push(`${formatCount(usage.prompt_tokens_details.cached_tokens)} from cache`);
		if (stats?.rate)
			facts.push(`${stats.rate >= 100 ? Math.round(stats.rate) : stats.rate.toFixed(1)} tokens/s`);
		if (stats?.first !== undefined)
			facts.push(`first after ${formatSeconds(stats.first)}`);
		if (stats?.resumes)
			facts.push(`resumed ${stats.resumes === 1 ? "once" : `${stats.resumes} times`}`);
		const buttons = busy ? [] : [
			message.content && copyButton("Copy this text", () => message.content),
			message.tokens?.length && iconButton("tokens", this.tinted ? "Show as text" : "Show token probabilities",
				() => this.toggle(), { "aria-pressed": String(this.tinted) }),
			actions.edit && iconButton("edit", "Edit and send again", () => this.edit()),
			actions.regenerate && iconButton("again", "Generate again", actions.regenerate),
			actions.useText && h("button.quiet", { type: "button", onclick: actions.useText }, "Continue from here"),
		];
		this.footer.replaceChildren(h("span.facts", {}, facts.join(" · ")),
			h("span.actions", {}, buttons.filter(Boolean)));
	}

	toggle() {
		this.tinted = !this.tinted;
		this.drawnBusy = undefined;
		this.draw(false);
		this.footer.querySelector("[aria-pressed]")?.focus();
	}

	edit() {
		const area = h("textarea", { value: this.message.content, rows: Math.min(12, this.message.content.split("\n").length + 1),
			"aria-label": "Edited text" });
		const restore = () => {
			this.body.hidden = this.footer.hidden = false;
			form.remove();
		};
		const form = h("form.edit", {}, area, h("div.row", {},
			h("button.primary", { type: "submit" }, "Send again"),
			h("button.quiet", { type: "button", onclick: restore }, "Leave as it was")));
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.actions.edit(area.value);
		});
		form.addEventListener("keydown", (event) => {
			if (event.key === "Escape") {
				event.stopPropagation();
				restore();
			} else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
				form.requestSubmit();
			}
		});
		this.body.hidden = this.footer.hidden = true;
		this.root.append(form);
		area.focus();
	}
}
