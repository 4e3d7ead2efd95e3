/*
 * series.js - the Prometheus text of /metrics as numbers, and what two scrapes say together: rates
 * of counters, percentiles of histograms. No elements here.
 */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function number(text) {
	return text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text);
}

function labelsOf(text) {
	const labels = {};
	for (const [, name, value] of (text ?? "").matchAll(LABEL))
		labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
	return labels;
}

/* name -> [{labels, value}] */
export function parseMetrics(text) {
	const series = new Map();
	for (const line of text.split("\n")) {
		const m = line[0] === "#" ? null : LINE.exec(line);
		if (!m)
			continue;
		if (!series.has(m[1]))
			series.set(m[1], []);
		series.get(m[1]).push({ labels: labelsOf(m[2]), value: number(m[3]) });
	}
	return series;
}

/* Sum over the labels that `keep` accepts; null: there is no such series. */
export function sum(series, name, keep = () => true) {
	const found = (series?.get(name) ?? []).filter((s) => keep(s.labels));
	return found.length ? found.reduce((total, s) => total + s.value, 0) : null;
}

/* Cumulative buckets, summed over all other labels: Map le -> count. */
function buckets(series, name) {
	const total = new Map();
	for (const { labels, value } of series?.get(`${name}_bucket`) ?? []) {
		const le = number(labels.le);
		total.set(le, (total.get(le) ?? 0) + value);
	}
	return total;
}

/*
 * The quantiles of what came between two scrapes, by linear interpolation within a bucket, as
 * Prometheus's histogram_quantile has it. null where nothing came, or the server began anew.
 */
export function quantiles(before, now, name, qs) {
	const last = buckets(now, name), first = buckets(before, name);
	const bounds = [...last.keys()].sort((a, b) => a - b);
	const counts = bounds.map((le) => last.get(le) - (first.get(le) ?? 0));
	const total = counts.at(-1) ?? 0;
	if (!(total > 0) || counts.some((c) => c < 0))
		return qs.map(() => null);
	return qs.map((q) => {
		const rank = q * total;
		const i = counts.findIndex((c) => c >= rank);
		if (bounds[i] === Infinity)
			return bounds[i - 1] ?? null;
		const low = i ? bounds[i - 1] : 0, under = i ? counts[i - 1] : 0;
		return low + ((bounds[i] - low) * (rank - under)) / Math.max(counts[i] - under, 1e-9);
	});
}

/* By how much a counter grew per second; null: unknown, or the server began anew. */
export function rate(before, now, seconds, name, keep) {
	const a = sum(before, name, keep), b = sum(now, name, keep);
	return b === null || !before || b < (a ?? 0) || seconds <= 0 ? null : (b - (a ?? 0)) / seconds;
}

/* The share of one counter's growth in another's, 0 to 1; null where nothing grew. */
export function share(before, now, part, whole) {
	const parts = rate(before, now, 1, part), wholes = rate(before, now, 1, whole);
	return parts === null || !wholes ? null : Math.min(1, parts / wholes);
}

/* All values of a label, sorted. */
export function labelValues(series, name, label) {
	return [...new Set((series?.get(name) ?? []).map((s) => s.labels[label]).filter((v) => v !== undefined))].sort();
}
