/*
 * tokens.js - an answer as its tokens, each tinted by its probability. The tooltip lists what else
 * the model had in mind; it follows the pointer and the arrow keys (one tab stop for all tokens).
 *
 * A token is {text, logprob, top: [{text, logprob}]}; tokensOf() makes them from a chunk's choice.
 */
import { $, h } from "./dom.js";

const percent = (logprob) => {
	const p = 100 * Math.exp(logprob);
	return p >= 10 ? `${p.toFixed(1)} %` : p >= 0.01 ? `${p.toFixed(2)} %` : "< 0.01 %";
};

/* Half a character cannot be shown as text. */
function readable({ token, bytes }) {
	if (token.includes("\uFFFD") && bytes)
		return bytes.map((b) => `\\x${b.toString(16).padStart(2, "0")}`).join("");
	return token;
}

export function tokensOf(choice) {
	const { logprobs } = choice;
	if (logprobs?.content)
		return logprobs.content.map((entry) => ({
			text: readable(entry), logprob: entry.logprob,
			top: (entry.top_logprobs ?? []).map((t) => ({ text: readable(t), logprob: t.logprob })),
		}));
	if (logprobs?.tokens)
		return logprobs.tokens.map((text, i) => ({
			text, logprob: logprobs.token_logprobs[i] ?? 0,
			top: Object.entries(logprobs.top_logprobs?.[i] ?? {}).map(([t, logprob]) => ({ text: t, logprob })),
		}));
	return [];
}

export const visible = (text) =>
	text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "␣") || "(nothing)";

/* Nine tints: 0 is certain, 8 was a surprise. */
export function tint(logprob) {
	return Math.max(0, Math.min(8, Math.round(-logprob * 2)));
}

function tooltipFor(token) {
	const known = token.top.some((t) => t.text === token.text) ? token.top : [token, ...token.top];
	const rows = [...known].sort((a, b) => b.logprob - a.logprob);
	return [
		h("p", {}, h("code", {}, visible(token.text)), ` ${percent(token.logprob)}`,
			h("span.muted", {}, ` log ${token.logprob.toFixed(3)}`)),
		h("table", {}, h("tbody", {}, rows.map((t) => h(t.text === token.text ? "tr.chosen" : "tr", {},
			h("td", {}, h("code", {}, visible(t.text))),
			h("td", {}, h("meter", { min: 0, max: 1, value: Math.exp(t.logprob), "aria-hidden": "true" })),
			h("td.figure", {}, percent(t.logprob)))))),
	];
}

function show(span, token) {
	const tip = $("tooltip");
	tip.replaceChildren(...tooltipFor(token));
	tip.hidden = false;
	const at = span.getClientRects()[0] ?? span.getBoundingClientRect();
	const box = tip.getBoundingClientRect();
	const left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8));
	const below = at.bottom + 6 + box.height < innerHeight;
	tip.style.left = `${left}px`;
	tip.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - box.height - 6)}px`;
	span.setAttribute("aria-describedby", "tooltip");
}

export function hideTooltip() {
	$("tooltip").hidden = true;
}

/* Adds what is new; the spans there stay. */
export function renderTokens(element, tokens) {
	if (element.childElementCount > tokens.length)
		element.replaceChildren();
	for (let i = element.childElementCount; i < tokens.length; i++) {
		const token = tokens[i];
		const span = h("span.token", {
			tabindex: i === 0 ? "0" : "-1", data: { tint: tint(token.logprob), ...(token.text.trim() ? {} : { blank: visible(token.text) }) },
			onpointerenter: () => show(span, token), onpointerleave: hideTooltip,
			onfocus: () => show(span, token), onblur: hideTooltip,
		}, token.text);
		element.append(span);
	}
	if (element.dataset.keys)
		return;
	element.dataset.keys = "on";
	element.addEventListener("keydown", (event) => {
		const from = event.target;
		const to = { ArrowRight: from.nextElementSibling, ArrowLeft: from.previousElementSibling,
			Home: element.firstElementChild, End: element.lastElementChild }[event.key];
		if (event.key === "Escape")
			hideTooltip();
		if (!to || !from.classList.contains("token"))
			return;
		event.preventDefault();
		from.tabIndex = -1;
		to.tabIndex = 0;
		to.focus();
	});
}
