/*
 * dom.js - elements from code. Text becomes text nodes, never markup: nothing that a model or a
 * server says can be HTML here.
 */

/* h("button.quiet", { onclick, title }, "text", child, …): null and false children are left out. */
export function h(selector, props = {}, ...children) {
	const [tag, ...classes] = selector.split(".");
	const element = document.createElement(tag || "div");
	if (classes.length)
		element.className = classes.join(" ");
	for (const [name, value] of Object.entries(props ?? {})) {
		if (value === undefined || value === null || value === false)
			continue;
		if (name.startsWith("on"))
			element.addEventListener(name.slice(2), value);
		else if (name === "data")
			Object.assign(element.dataset, value);
		else if (["value", "checked", "disabled", "hidden"].includes(name))
			element[name] = value;
		else
			element.setAttribute(name, value === true ? "" : value);
	}
	element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
	return element;
}

export function svg(tag, props = {}, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(props))
		element.setAttribute(name, value);
	element.append(...children);
	return element;
}

export const $ = (id) => document.getElementById(id);

/* Icons: strokes on a grid of 20. */
const paths = {
	send: "M10 16V4M5 9l5-5 5 5",
	stop: "M6 6h8v8H6z",
	plus: "M10 4v12M4 10h12",
	copy: "M7 7h9v9H7zM13 7V4H4v9h3",
	check: "M4 10.5l4 4 8-9",
	edit: "M4 16h3l9-9-3-3-9 9zM11 6l3 3",
	again: "M16 10a6 6 0 1 1-2-4.5M16 3v4h-4",
	trash: "M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11",
	menu: "M3 5h14M3 10h14M3 15h14",
	sliders: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
	theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
	key: "M12.5 3.5a4 4 0 1 1-3.6 5.8L3.5 14.7V17H6v-2h2v-2l2-1.6M13.5 6.6v.1",
	close: "M5 5l10 10M15 5L5 15",
	tool: "M12 3a4 4 0 0 0-3.6 5.6L3 14l3 3 5.4-5.4A4 4 0 0 0 17 8l-2.5 1.5L12 8l-.5-2.500z",
	tokens: "M3 6h5v8H3zM10 6h3v8h-3zM15 6h2v8h-2z",
};

export function icon(name) {
	return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
		svg("path", { d: paths[name] }));
}

export function iconButton(name, label, onclick, props = {}) {
	return h("button.icon-button", { type: "button", title: label, "aria-label": label, onclick, ...props },
		icon(name));
}

/* Says something to those who listen to the page. */
export function announce(text) {
	const region = $("announcer");
	region.textContent = "";
	setTimeout(() => { region.textContent = text; }, 50);
}

export function copyButton(label, text) {
	const button = iconButton("copy", label, async () => {
		try {
			await copyText(typeof text === "function" ? text() : text);
			button.replaceChildren(icon("check"));
			announce("Copied");
		} catch {
			announce("The browser does not allow copying");
		}
		setTimeout(() => button.replaceChildren(icon("copy")), 1500);
	});
	return button;
}

/* navigator.clipboard is there for https and localhost only. */
export async function copyText(text) {
	if (navigator.clipboard)
		return navigator.clipboard.writeText(text);
	const area = h("textarea.visually-hidden", { value: text, "aria-hidden": "true" });
	document.body.append(area);
	area.select();
	const done = document.execCommand("copy");
	area.remove();
	if (!done)
		throw new Error("not copied");
}

export function formatCount(n) {
	return Number(n ?? 0).toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/* 0.00042 -> "420 µs" */
export function formatSeconds(s) {
	if (s === null || s === undefined || Number.isNaN(s))
		return "–";
	if (s === 0)
		return "0 s";
	if (s < 0.001)
		return `${Number((s * 1e6).toPrecision(3))} µs`;
	if (s < 1)
		return `${Number((s * 1e3).toPrecision(3))} ms`;
	return s < 120 ? `${Number(s.toPrecision(3))} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}
