/*
 * live.js - the dashboard: asks /metrics every two seconds while it is shown (and every ten while it
 * is not, so that its history has no hole), /health every fifth time, and keeps fifteen minutes.
 */
import { getJson, headers, postJson } from "./api.js";
import { Chart, UNITS } from "./chart.js";
import { formatCount, formatSeconds, h } from "./dom.js";
import { Profile } from "./profile.js";
import { labelValues, parseMetrics, quantiles, rate, share, sum } from "./series.js";
import { settings } from "./store.js";

const EVERY = 2000, HIDDEN_EVERY = 10000;
const KEEP = 15 * 60000;
const WINDOW = 10000; // ms over which rates and percentiles are taken
const NOT_WORK = new Set(["metrics", "health", "pages", "ping"]);
const QS = [0.5, 0.95, 0.99];

const quantileQuery = (name) => `histogram_quantile(0.95, sum by (le) (rate(${name}_bucket[1m])))`;
const threes = (prefix) => [["p50", 50], ["p95", 95], ["p99", 99]].map(([name, n]) => ({ name, key: `${prefix}${n}` }));

const CHARTS = [
	{ title: "Requests", unit: "count", whole: true, query: "sum(vllm:num_requests_running)",
		lines: [{ name: "running", key: "running" }, { name: "waiting", key: "waiting" }, { name: "queue", key: "queue" }] },
	{ title: "Tokens", unit: "rate", query: "sum(rate(vllm:generation_tokens_total[1m]))",
		lines: [{ name: "out", key: "out" }, { name: "in", key: "in" }] },
	{ title: "Time to first token", unit: "seconds", query: quantileQuery("vllm:time_to_first_token_seconds"), lines: threes("ttft") },
	{ title: "Between tokens", unit: "seconds", query: quantileQuery("vllm:inter_token_latency_seconds"), lines: threes("itl") },
	{ title: "KV memory, prefixes, guesses", unit: "share", max: 1, query: "vllm:kv_cache_usage_perc",
		lines: [{ name: "in use", key: "kv" }, { name: "prefix hits", key: "hits" }, { name: "guesses accepted", key: "accepted" }] },
	{ title: "Connections", unit: "count", whole: true, query: "http_connections",
		lines: [{ name: "HTTP", key: "connections" }, { name: "WebSocket", key: "websockets" },
			{ name: "streams", key: "streams" }, { name: "stalled", key: "stalled" }] },
	{ title: "HTTP answers by status", unit: "rate", query: "sum by (status) (rate(http_requests_total[1m]))",
		lines: [{ name: "2xx", key: "status2" }, { name: "4xx", key: "status4" }, { name: "5xx", key: "status5" }] },
	{ title: "Whole answers", unit: "seconds", query: quantileQuery("vllm:e2e_request_latency_seconds"), lines: threes("e2e") },
];

const TILES = [
	["Running", "running", "count"], ["Waiting", "waiting", "count"], ["Tokens out", "out", "rate"],
	["Tokens in", "in", "rate"], ["First token, p50", "ttft50", "seconds"], ["Next token, p50", "itl50", "seconds"],
	["KV memory", "kv", "share"], ["Prefix hits", "hits", "share"],
];

/* One moment, from the scrapes of now and of WINDOW ago. */
export function derive(before, now, seconds) {
	const gauge = (name) => sum(now, name);
	const sample = {
		running: gauge("vllm:num_requests_running"), waiting: gauge("vllm:num_requests_waiting"),
		queue: gauge("queue_depth"), kv: highest(now, "vllm:kv_cache_usage_perc"),
		connections: gauge("http_connections"), websockets: gauge("websocket_connections"),
		streams: gauge("http_streams"), stalled: gauge("weir:streams_stalled"),
		out: rate(before, now, seconds, "vllm:generation_tokens_total"),
		in: rate(before, now, seconds, "vllm:prompt_tokens_total"),
		hits: share(before, now, "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"),
		accepted: share(before, now, "vllm:spec_decode_num_accepted_tokens_total", "vllm:spec_decode_num_draft_tokens_total"),
	};
	for (const [prefix, name] of [["ttft", "vllm:time_to_first_token_seconds"], ["itl", "vllm:inter_token_latency_seconds"],
		["e2e", "vllm:e2e_request_latency_seconds"]])
		quantiles(before, now, name, QS).forEach((value, i) => { sample[`${prefix}${QS[i] * 100}`] = before ? value : null; });
	for (const digit of "245")
		sample[`status${digit}`] = rate(before, now, seconds, "http_requests_total",
			(l) => l.status?.startsWith(digit) && !NOT_WORK.has(l.handler)) ?? (before && now.has("http_requests_total") ? 0 : null);
	return sample;
}

function highest(series, name) {
	const values = (series.get(name) ?? []).map((s) => s.value);
	return values.length ? Math.max(...values) : null;
}

export class Live {
	#scrapes = []; // {time, series}, of the last WINDOW
	#samples = [];
	#timer = 0;
	#round = 0;
	#visible = false;
	#pending = false;
	#began = 0; // when the server began, by its own account
	away = false;

	constructor(root) {
		this.span = settings.get("span", 5);
		this.charts = CHARTS.map((options) => new Chart(options));
		this.tiles = TILES.map(([name, key, unit]) => ({ key, format: UNITS[unit], value: h("dd", { data: { tile: key } }, "–"), name }));
		this.banner = h("p.error.notice", { role: "alert", hidden: true });
		this.facts = h("p.facts", {}, "Asking the server…");
		this.backends = h("div.table", { tabindex: "0" });
		this.extra = h("div.tables");
		this.profile = new Profile();
		this.spans = h("div.modes", { role: "group", "aria-label": "Time shown" }, [2, 5, 15].map((minutes) =>
			h("button", { type: "button", data: { minutes }, onclick: () => this.setSpan(minutes) }, `${minutes} min`)));
		root.append(h("header.live-head", {}, h("div", {}, h("h1", {}, "Dashboard"), this.facts), this.profile.root, this.spans), this.banner,
			h("dl.tiles", {}, this.tiles.map((t) => h("div", {}, h("dt", {}, t.name), t.value))),
			h("div.charts", {}, this.charts.map((c) => c.root)),
			h("section", { "aria-label": "Backends" }, h("h2", {}, "Backends"), this.backends), this.extra);
		this.setSpan(this.span);
		this.#offer();
		document.addEventListener("visibilitychange", () => this.setVisible(this.#visible));
	}

	setSpan(minutes) {
		this.span = minutes;
		settings.set("span", minutes);
		for (const button of this.spans.children)
			button.setAttribute("aria-pressed", String(Number(button.dataset.minutes) === minutes));
		this.draw();
	}

	setVisible(visible) {
		this.#visible = visible;
		this.refresh();
	}

	refresh() {
		clearTimeout(this.#timer);
		this.#tick();
	}

	async #tick() {
		const seen = this.#visible && !document.hidden;
		if (!this.#pending) {
			this.#pending = true;
			await this.#scrape();
			this.#pending = false;
			if (seen)
				this.draw();
		}
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#tick(), seen ? EVERY : HIDDEN_EVERY);
	}

	async #get(path, accept) {
		const response = await fetch(path, { headers: headers({ Accept: accept }), cache: "no-store", signal: AbortSignal.timeout(8000) });
		const usable = response.ok || (path === "/health" && response.status === 503);
		if (!usable) {
			const error = new Error(`${path} answers ${response.status}${response.status === 401 ? ": it wants an API key" : ""}`);
			error.answered = true;
			throw error;
		}
		return response;
	}

	async #scrape() {
		try {
			const text = await (await this.#get("/metrics", "text/plain")).text();
			const series = parseMetrics(text);
			const silent = !series.has("vllm:num_requests_running"); // backends that count nothing
			if (this.away || silent || this.#round++ % 5 === 0)
				await this.#health();
			this.#add(Date.now(), series);
			if (silent)
				Object.assign(this.#samples.at(-1), this.work);
			this.away = false;
		} catch (error) {
			this.away = true;
			this.#scrapes = [];
			this.#samples.push({ time: Date.now() });
			this.facts.textContent = this.#began ? `${this.about.replace(" is ", " was ")} when it last answered` : "";
			this.banner.textContent = error.answered ? error.message
				: "The server is away. This page asks again every two seconds.";
		}
		this.banner.hidden = !this.away;
		const old = Date.now() - KEEP;
		this.#samples = this.#samples.filter((s) => s.time >= old);
	}

	async #health() {
		const health = await (await this.#get("/health", "application/json")).json();
		const began = Date.now() - 1000 * (health.uptime ?? 0);
		if (this.#began && began - this.#began > 5000) {
			this.#scrapes = []; // another process: its counters began anew
			this.#offer();
		}
		this.#began = began;
		this.#drawHealth(health);
	}

	/* What this server lets the page do. */
	async #offer() {
		try {
			const { endpoints } = await getJson("/props");
			this.profile.offer(endpoints);
			this.admin = endpoints.includes("/admin/reload");
		} catch {
			this.admin = false; // the server is away, or wants a key: asked again when it is back
		}
	}

	/* Loads or unloads a backend by a name that it serves. */
	async #change(name, what, button) {
		button.disabled = true;
		try {
			await postJson(`/v1/models/${encodeURIComponent(name)}/${what}`);
			await this.#health();
		} catch (error) {
			button.disabled = false;
			button.after(h("p.field-error", { role: "alert" }, error.message));
		}
	}

	#changeButton(backend) {
		const name = backend.models?.[0];
		const what = backend.state === "unloaded" || backend.state === "failed" ? "load" : "unload";
		if (!this.admin || !name || backend.state === "loading")
			return null;
		const button = h("button.quiet", { type: "button", onclick: () => this.#change(name, what, button) },
			what === "load" ? "Load" : "Unload");
		button.setAttribute("aria-label", `${button.textContent} ${name}`);
		return button;
	}

	#add(time, series) {
		while (this.#scrapes.length > 1 && this.#scrapes[1].time <= time - WINDOW)
			this.#scrapes.shift();
		const before = this.#scrapes[0];
		this.#scrapes.push({ time, series });
		this.#samples.push({ time, ...derive(before?.series ?? null, series, before ? (time - before.time) / 1000 : 0) });
		this.#drawKeys(series, before);
	}

	draw() {
		const now = Date.now();
		for (const chart of this.charts)
			chart.set(this.#samples, this.span * 60000, now);
		const last = this.#samples.at(-1) ?? {};
		for (const { key, format, value } of this.tiles)
			value.textContent = last[key] === null || last[key] === undefined ? "–" : format(last[key]);
		if (this.#began && !this.away)
			this.facts.textContent = `${this.about}, up ${uptime((now - this.#began) / 1000)}`;
	}

	#drawHealth(health) {
		this.work = { running: health.queue?.active ?? null, waiting: health.queue?.waiting ?? null };
		this.about = `Weir ${health.version ?? ""} is ${health.status === "failed" ? "without a model" : health.status}`;
		const rows = (health.backends ?? []).map((b) => h("tr", {},
			h("td", {}, h("span.health", { data: { state: b.state } }), b.state, this.#changeButton(b), b.error ? h("p.field-error", {}, String(b.error.message ?? b.error)) : null),
			h("td", {}, b.name, h("p.hint", {}, b.component)),
			h("td", {}, (b.models ?? []).join(", "), h("p.hint", {}, b.model?.summary ?? "")),
			h("td.figure", {}, `${b.queue?.active ?? 0} / ${b.queue?.max_concurrent || "∞"}`),
			h("td.figure", {}, formatCount(b.queue?.waiting)),
			h("td.figure", {}, b.kv ? `${formatCount(b.kv.used)} / ${formatCount(b.kv.blocks)}` : "–",
				b.kv ? h("p.hint", {}, `${formatCount(b.kv.cached)} kept`) : null),
			h("td.figure", {}, b.model?.context ? formatCount(b.model.context) : "–")));
		this.backends.replaceChildren(rows.length ? h("table", {},
			h("thead", {}, h("tr", {}, ["State", "Backend", "Models", "Running", "Waiting", "KV blocks", "Context"].map((t, i) =>
				h(i > 2 ? "th.figure" : "th", { scope: "col" }, t)))), h("tbody", {}, rows))
			: h("p.hint", {}, "This server has no backends."));
	}

	/* Use by key, where a server counts it: any counter with one of these labels. */
	#drawKeys(series, before) {
		const tables = [];
		for (const [name, list] of series) {
			const label = ["api_key", "key", "key_id", "tenant"].find((l) => list[0]?.labels[l] !== undefined);
			if (!label || !name.endsWith("_total"))
				continue;
			const rows = labelValues(series, name, label).map((value) => {
				const own = (l) => l[label] === value;
				const grown = before && rate(before.series, series, (Date.now() - before.time) / 1000, name, own);
				return h("tr", {}, h("td", {}, value), h("td.figure", {}, formatCount(sum(series, name, own))),
					h("td.figure", {}, grown === null || grown === undefined ? "–" : UNITS.rate(grown)));
			});
			tables.push(h("section", {}, h("h2", {}, name), h("div.table", { tabindex: "0" }, h("table", {},
				h("thead", {}, h("tr", {}, [label, "all", "now"].map((t, i) => h(i ? "th.figure" : "th", { scope: "col" }, t)))),
				h("tbody", {}, rows)))));
		}
		this.extra.replaceChildren(...tables);
	}
}

function uptime(seconds) {
	if (seconds < 120)
		return formatSeconds(Math.round(seconds));
	const minutes = Math.floor(seconds / 60);
	return minutes < 120 ? `${minutes} min` : minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
}
