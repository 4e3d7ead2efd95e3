/*
 * chart.js - a line chart of some minutes as SVG: axes with units, gaps where nothing is known, a
 * cursor that all charts share. The legend has the values: at the cursor, else the latest.
 */
import { copyText, announce, formatSeconds, h, svg } from "./dom.js";

const HEIGHT = 150;
const LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 20;
const charts = new Set();

const plain = (v) => (Math.abs(v) >= 10000 ? `${Number((v / 1000).toPrecision(3))}k`
	: String(Number(v.toPrecision(3))));
export const UNITS = {
	count: plain,
	rate: (v) => `${plain(v)}/s`,
	seconds: formatSeconds,
	share: (v) => `${Number((100 * v).toPrecision(3))} %`,
};

/* The least of 1, 2, 5 times a power of ten that is not below v. */
function niceStep(v) {
	const power = 10 ** Math.floor(Math.log10(v));
	return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= v * 0.999);
}

export function clock(ms) {
	return new Date(ms).toLocaleTimeString("en-GB");
}

export class Chart {
	/* lines: [{name, key}]; at most four. max: of the axis, if it is known. */
	constructor({ title, unit, lines, query, max = null, whole = false }) {
		Object.assign(this, { title, lines, max, whole });
		this.format = UNITS[unit];
		this.samples = [];
		this.span = 300000;
		this.cursor = null;
		this.values = lines.map(() => h("span.value", {}, "–"));
		this.time = h("span.time");
		this.svg = svg("svg", { class: "plot", height: HEIGHT, role: "img", tabindex: "0" });
		const copy = query && h("button.quiet.query", {
			type: "button", title: query, onclick: async () => {
				await copyText(query).then(() => announce("The query is copied"), () => {});
				copy.textContent = "copied";
				setTimeout(() => { copy.textContent = "PromQL"; }, 1500);
			}, "aria-label": `Copy the Prometheus query of ${title}`,
		}, "PromQL");
		this.root = h("section.chart", { "aria-label": title },
			h("header", {}, h("h3", {}, title), this.time, copy),
			h("ul.legend", {}, lines.map((line, i) => h("li", { data: { line: i } },
				h("span.swatch", {}), h("span", {}, line.name), this.values[i]))),
			this.svg);
		this.svg.addEventListener("pointermove", (event) => this.#point(event.clientX));
		this.svg.addEventListener("pointerleave", () => setCursor(null));
		this.svg.addEventListener("blur", () => setCursor(null));
		this.svg.addEventListener("keydown", (event) => this.#key(event));
		new ResizeObserver(() => this.draw()).observe(this.svg);
		charts.add(this);
	}

	#point(x) {
		const box = this.svg.getBoundingClientRect();
		const part = (x - box.left - LEFT) / (box.width - LEFT - RIGHT);
		setCursor(this.end - this.span * (1 - Math.min(1, Math.max(0, part))));
	}

	#key(event) {
		const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!step || !this.samples.length)
			return;
		event.preventDefault();
		const at = this.#nearest(this.cursor ?? this.end) + (this.cursor === null ? 0 : step);
		const sample = this.samples[Math.max(0, Math.min(this.samples.length - 1, at))];
		setCursor(sample.time);
		announce(`${clock(sample.time)}: ${this.lines.map((l) => `${l.name} ${this.#text(sample[l.key])}`).join(", ")}`);
	}

	#nearest(time) {
		let best = 0;
		this.samples.forEach((s, i) => {
			if (Math.abs(s.time - time) < Math.abs(this.samples[best].time - time))
				best = i;
		});
		return best;
	}

	#text(value) {
		return value === null || value === undefined ? "–" : this.format(value);
	}

	set(samples, span, end) {
		this.samples = samples.filter((s) => s.time >= end - span);
		this.span = span;
		this.end = end;
		this.draw();
	}

	#legend() {
		const sample = this.cursor === null ? this.samples.at(-1) : this.samples[this.#nearest(this.cursor)];
		const texts = this.lines.map((line) => this.#text(sample?.[line.key]));
		texts.forEach((text, i) => { this.values[i].textContent = text; });
		this.time.textContent = this.cursor !== null && sample ? clock(sample.time) : "";
		this.svg.setAttribute("aria-label", `${this.title}: ${this.lines.map((l, i) => `${l.name} ${texts[i]}`).join(", ")}`);
	}

	draw() {
		const width = this.svg.clientWidth;
		this.#legend();
		if (!width || !this.end)
			return;
		const highest = Math.max(0, ...this.samples.flatMap((s) => this.lines.map((l) => s[l.key] ?? 0)));
		const least = this.whole ? 1 : 0;
		const step = this.max ? this.max / 4 : Math.max(least, niceStep((highest || (this.whole ? 4 : 1)) / 4));
		const top = this.max ?? Math.max(step, Math.ceil(highest / step - 1e-9) * step);
		const x = (time) => LEFT + (width - LEFT - RIGHT) * (1 - (this.end - time) / this.span);
		const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * Math.min(1, value / top);
		const parts = [];
		for (let v = 0; v <= top * 1.001; v += step)
			parts.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }),
				svg("text", { class: "tick", x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, this.format(v)));
		const minutes = this.span / 60000;
		const labels = minutes <= 2 ? [0, 1, 2] : minutes > 5 ? [0, 5, 10, 15] : width < 440 ? [0, 2, 4] : [0, 1, 2, 3, 4, 5];
		for (const ago of labels)
			parts.push(svg("text", { class: "tick", x: x(this.end - ago * 60000), y: HEIGHT - 5,
				"text-anchor": ago === 0 ? "end" : ago === minutes ? "start" : "middle" }, ago ? `−${ago} min` : "now"));
		this.lines.forEach((line, i) => parts.push(...this.#line(line.key, i, x, y)));
		if (this.cursor !== null && this.samples.length) {
			const at = x(this.samples[this.#nearest(this.cursor)].time);
			parts.push(svg("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }));
		}
		this.svg.replaceChildren(...parts);
	}

	/* One path with a gap at each null; a value alone between gaps is a dot. */
	#line(key, index, x, y) {
		let path = "", run = 0;
		const dots = [];
		this.samples.forEach((sample, i) => {
			const value = sample[key];
			if (value === null || value === undefined) {
				run = 0;
				return;
			}
			const at = `${x(sample.time).toFixed(1)} ${y(value).toFixed(1)}`;
			path += `${run++ ? "L" : "M"}${at}`;
			if (run === 1 && (this.samples[i + 1]?.[key] ?? null) === null)
				dots.push(svg("circle", { class: `dot line-${index}`, cx: x(sample.time), cy: y(value), r: 2 }));
		});
		return path ? [svg("path", { class: `line line-${index}`, d: path }), ...dots] : dots;
	}
}

/* null: the latest values. */
export function setCursor(time) {
	for (const chart of charts) {
		chart.cursor = time;
		chart.draw();
	}
}
