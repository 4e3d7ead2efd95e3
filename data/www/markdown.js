/*
 * markdown.js - the markdown that models write, as elements. Own nodes only: HTML in the text stays
 * text, links lead to http, https and mailto, images are shown as links (no other host is asked).
 *
 * renderMarkdown(element, text) may be called again as the text grows: blocks that are the same keep
 * their elements.
 */
import { copyButton, h } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const MAX_DEPTH = 8;

/* The text as blocks: {kind, lines, …}. */
function blocksOf(lines) {
	const blocks = [];
	let at = 0;
	while (at < lines.length) {
		const line = lines[at], start = at;
		const fence = FENCE.exec(line);
		if (!line.trim()) {
			at++;
			continue;
		}
		if (fence) {
			const end = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}\\s*$`);
			for (at++; at < lines.length && !end.test(lines[at]); at++);
			blocks.push({ kind: "code", language: fence[2], lines: lines.slice(start + 1, at),
				raw: lines.slice(start, at + 1).join("\n") });
			at++;
			continue;
		}
		let kind = "text";
		if (HEADING.test(line) || RULE.test(line)) {
			kind = HEADING.test(line) ? "heading" : "rule";
			at++;
		} else if (QUOTE.test(line)) {
			kind = "quote";
			for (; at < lines.length && lines[at].trim() && !FENCE.test(lines[at]); at++);
		} else if (ITEM.test(line)) {
			kind = "list";
			at = endOfList(lines, at);
		} else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
			kind = "table";
			for (at += 2; at < lines.length && lines[at].includes("|"); at++);
		} else {
			for (at++; at < lines.length && lines[at].trim() && !startsBlock(lines[at]); at++);
		}
		const own = lines.slice(start, at);
		blocks.push({ kind, lines: own, raw: own.join("\n") });
	}
	return blocks;
}

function startsBlock(line) {
	return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/* A list goes on through single empty lines, as long as items or indented lines follow. */
function endOfList(lines, at) {
	for (at++; at < lines.length; at++) {
		if (!lines[at].trim()) {
			const next = lines[at + 1] ?? "";
			if (!ITEM.test(next) && !/^\s{2,}\S/.test(next))
				break;
		} else if (!ITEM.test(lines[at]) && !/^\s/.test(lines[at]) && startsBlock(lines[at])) {
			break;
		}
	}
	return at;
}

function codeBlock(block) {
	const code = block.lines.join("\n");
	return h("figure.code", {},
		h("figcaption", {}, h("span", {}, block.language || "text"), copyButton("Copy this code", code)),
		h("pre", { tabindex: "0" }, h("code", {}, code)));
}

function list(lines, depth) {
	const first = ITEM.exec(lines[0]);
	const indent = first[1].length;
	const ordered = /\d/.test(first[2]);
	const items = [];
	for (const line of lines) {
		const item = ITEM.exec(line);
		if (item && item[1].length <= indent + 1)
			items.push([item[3]]);
		else
			items.at(-1).push(line.replace(new RegExp(`^\\s{0,${indent + 4}}`), (space) =>
				space.slice(Math.min(space.length, indent + 2))));
	}
	const start = ordered ? parseInt(first[2], 10) : 1;
	return h(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null },
		items.map((own) => {
			const blocks = blocksOf(own);
			const tight = blocks[0]?.kind === "text";
			return h("li", {}, tight ? inline(blocks[0].lines.join("\n")) : null,
				blocks.slice(tight ? 1 : 0).map((b) => blockElement(b, depth + 1)));
		}));
}

function cells(line) {
	return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function table(lines) {
	return h("div.table", { tabindex: "0" }, h("table", {},
		h("thead", {}, h("tr", {}, cells(lines[0]).map((c) => h("th", {}, inline(c))))),
		h("tbody", {}, lines.slice(2).map((l) => h("tr", {}, cells(l).map((c) => h("td", {}, inline(c))))))));
}

function blockElement(block, depth) {
	if (block.kind === "code")
		return codeBlock(block);
	if (block.kind === "rule")
		return h("hr");
	if (block.kind === "heading") {
		const [, marks, text] = HEADING.exec(block.lines[0]);
		return h(`h${Math.min(marks.length + 2, 6)}`, {}, inline(text));
	}
	if (block.kind === "table")
		return table(block.lines);
	if (depth < MAX_DEPTH && block.kind === "quote") {
		const inner = block.lines.map((line) => QUOTE.exec(line)?.[1] ?? line);
		return h("blockquote", {}, blocksOf(inner).map((b) => blockElement(b, depth + 1)));
	}
	if (depth < MAX_DEPTH && block.kind === "list")
		return list(block.lines, depth);
	return h("p", {}, inline(block.lines.join("\n")));
}

/* Only these leave the page, and only when somebody clicks. */
function safeLink(url) {
	return /^(https?:\/\/|mailto:)[^\s]+$/i.test(url) ? url : null;
}

const INLINE = new RegExp([
	"\\\\([\\\\`*_{}\\[\\]()#+\\-.!|~<>])", // 1: escaped
	"(`+)(.+?)\\2(?!`)", // 2, 3: code
	"!?\\[([^\\[\\]]{0,500})\\]\\(([^()\\s]{1,2000})(?:\\s+\"[^\"]{0,500}\")?\\)", // 4, 5: link
	"\\*\\*(?=\\S)([^]{1,2000}?\\S)\\*\\*", // 6: bold
	"__(?=\\S)([^]{1,2000}?\\S)__(?!\\w)", // 7: bold
	"\\*(?=[^\\s*])([^*]{0,2000}?[^\\s*])\\*", // 8: italic
	"(?<!\\w)_(?=[^\\s_])([^_]{0,2000}?[^\\s_])_(?!\\w)", // 9: italic
	"~~(?=\\S)([^~]{1,2000}?)~~", // 10: struck
	"(https?:\\/\\/[^\\s<>\"'`)\\]]{1,2000}[^\\s<>\"'`)\\].,;:!?])", // 11: bare link
	"( {2,}|\\\\)?\\n", // 12: line break
].join("|"), "g");

function anchor(url, content) {
	return h("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank" }, content);
}

/* Nodes of one run of text. */
export function inline(text, depth = 0) {
	const nodes = [];
	let end = 0;
	const deeper = (inner) => (depth < MAX_DEPTH ? inline(inner, depth + 1) : [inner]);
	for (const m of text.matchAll(INLINE)) {
		nodes.push(text.slice(end, m.index));
		end = m.index + m[0].length;
		if (m[1] !== undefined)
			nodes.push(m[1]);
		else if (m[3] !== undefined)
			nodes.push(h("code", {}, m[3].replace(/^ (.+) $/, "$1")));
		else if (m[5] !== undefined)
			nodes.push(safeLink(m[5]) ? anchor(m[5], m[4] ? deeper(m[4]) : m[5]) : m[0]);
		else if (m[6] ?? m[7])
			nodes.push(h("strong", {}, deeper(m[6] ?? m[7])));
		else if (m[8] ?? m[9])
			nodes.push(h("em", {}, deeper(m[8] ?? m[9])));
		else if (m[10] !== undefined)
			nodes.push(h("s", {}, deeper(m[10])));
		else if (m[11] !== undefined)
			nodes.push(anchor(m[11], m[11]));
		else
			nodes.push(h("br"));
	}
	nodes.push(text.slice(end));
	return nodes.filter((n) => n !== "");
}

const drawn = new WeakMap(); // element -> raw text of each block in it

export function renderMarkdown(element, text) {
	const blocks = blocksOf(text.replace(/\r\n?/g, "\n").split("\n"));
	const before = drawn.get(element) ?? [];
	let same = 0;
	while (same < blocks.length && same < before.length && blocks[same].raw === before[same])
		same++;
	while (element.children.length > same)
		element.lastElementChild.remove();
	element.append(...blocks.slice(same).map((b) => blockElement(b, 0)));
	drawn.set(element, blocks.map((b) => b.raw));
}
