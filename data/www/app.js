/*
 * app.js - the frame: which view is shown, theme, API key, keyboard shortcuts.
 */
import { connection } from "./api.js";
import { $, announce, h, iconButton } from "./dom.js";
import { Live } from "./live.js";
import { Play } from "./play.js";
import { apiKey } from "./store.js";

const SHORTCUTS = [
	["Enter", "send; Shift+Enter begins a line"],
	["Escape", "stop the answer; close what is open"],
	["↑", "in the empty message: edit the last one"],
	["/", "to the message"],
	["Alt+N", "new conversation"],
	["Alt+1, Alt+2", "playground, dashboard"],
	["Alt+T", "light, dark, or as the system has it"],
	["← →", "from token to token, along a chart"],
	["?", "this list"],
];
const THEMES = { auto: "as the system has it", light: "light", dark: "dark" };

const play = new Play();
const live = new Live($("live"));

function show() {
	const view = location.hash === "#live" ? "live" : "play";
	for (const name of ["play", "live"]) {
		$(name).hidden = name !== view;
		if (name === view)
			$(`tab-${name}`).setAttribute("aria-current", "page");
		else
			$(`tab-${name}`).removeAttribute("aria-current");
	}
	document.title = view === "live" ? "Weir dashboard" : "Weir playground";
	live.setVisible(view === "live");
	if (view === "play" && matchMedia("(pointer: fine)").matches)
		$("input").focus();
}

function setTheme(theme) {
	try {
		localStorage.setItem("weir.theme", theme);
	} catch {
		// it holds for this visit
	}
	if (theme === "auto")
		delete document.documentElement.dataset.theme;
	else
		document.documentElement.dataset.theme = theme;
	announce(`Theme: ${THEMES[theme]}`);
	themeButton.title = `Theme: ${THEMES[theme]}`;
}

function nextTheme() {
	const names = Object.keys(THEMES);
	const now = document.documentElement.dataset.theme ?? "auto";
	setTheme(names[(names.indexOf(now) + 1) % names.length]);
}

function dialog(title, ...content) {
	const box = h("dialog", { "aria-label": title },
		h("header", {}, h("h2", {}, title), iconButton("close", "Close", () => box.close())), content);
	box.addEventListener("close", () => box.remove());
	box.addEventListener("click", (event) => event.target === box && box.close());
	document.body.append(box);
	box.showModal();
	return box;
}

function help() {
	dialog("Keys", h("dl.keys", {}, SHORTCUTS.map(([key, what]) => [
		h("dt", {}, key.split(/(, )/).map((k) => (k === ", " ? k : h("kbd", {}, k)))), h("dd", {}, what)])));
}

function keyDialog() {
	const input = h("input", { type: "password", id: "api-key", autocomplete: "off", spellcheck: "false", value: apiKey.get() });
	const set = (key) => {
		apiKey.set(key);
		connection.reset();
		keyButton.classList.toggle("on", Boolean(key));
		box.close();
		play.load();
		live.refresh();
	};
	const form = h("form", {}, h("div.field", {}, h("label", { for: "api-key" }, "Key of this server"), input,
		h("p.hint", {}, "Only for servers that want one. It is forgotten when this tab is closed.")),
	h("div.row", {}, h("button.primary", { type: "submit" }, "Use this key"),
		h("button.quiet", { type: "button", onclick: () => set("") }, "Forget it")));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		set(input.value.trim());
	});
	const box = dialog("API key", form);
	input.focus();
}

const keyButton = iconButton("key", "API key", keyDialog);
const themeButton = iconButton("theme", "Theme", nextTheme);
keyButton.classList.toggle("on", Boolean(apiKey.get()));
$("bar-end").append(keyButton, themeButton,
	h("button.icon-button", { type: "button", title: "Keys (?)", "aria-label": "Keyboard shortcuts", onclick: help }, "?"));

addEventListener("keydown", (event) => {
	const typing = event.target.closest("input, textarea, select");
	if (event.altKey && !event.ctrlKey && !event.metaKey) {
		const action = { KeyN: () => { location.hash = "#play"; play.create(); }, KeyT: nextTheme,
			Digit1: () => { location.hash = "#play"; }, Digit2: () => { location.hash = "#live"; } }[event.code];
		if (action) {
			event.preventDefault();
			action();
		}
	} else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
		if (!play.closeDrawer())
			play.stop();
	} else if (!typing && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]")) {
		if (event.key === "?")
			help();
		else if (event.key === "/" && !$("play").hidden)
			$("input").focus();
		else
			return;
		event.preventDefault();
	}
});
addEventListener("hashchange", show);
show();
