/*
 * params.js - the panel of parameters. Types, ranges, defaults and explanations are those of
 * /openapi.json: a field that this server does not know is not drawn. What is left empty is not
 * sent. A value out of range is sent: the server says what is wrong, and it is shown at the field.
 */
import { h } from "./dom.js";
import { settings } from "./store.js";

const NUMBERS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
	"frequency_penalty", "max_tokens", "seed"];
const LABELS = {
	temperature: "Temperature", top_p: "Top-p", top_k: "Top-k", min_p: "Min-p",
	repetition_penalty: "Repetition penalty", presence_penalty: "Presence penalty",
	frequency_penalty: "Frequency penalty", max_tokens: "Max. tokens", seed: "Seed",
	stop: "Stop texts", response_format: "Output format", tools: "Tools",
	tool_choice: "Tool choice", reasoning_effort: "Reasoning effort",
};
const SCHEMA_HINT = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}';
const TOOLS_HINT = '[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]';

export class ParamError extends Error {
	constructor(param, message) {
		super(message);
		this.param = param;
	}
}

function rangeText(schema) {
	const low = schema.minimum ?? schema.exclusiveMinimum;
	const parts = [];
	if (low !== undefined && schema.maximum !== undefined && schema.maximum <= 100000)
		parts.push(`${schema.exclusiveMinimum !== undefined ? "above " : ""}${low} to ${schema.maximum}`);
	if (schema.default !== undefined && schema.default !== null)
		parts.push(`default ${schema.default}`);
	return parts.join(", ");
}

function parse(name, text) {
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new ParamError(name, `This is not JSON: ${error.message}`);
	}
}

export class Params {
	constructor(root, fields) {
		this.root = root;
		this.fields = fields;
		this.values = settings.get("params", {}) ?? {};
		this.errors = new Map();
		this.draw("chat");
	}

	#store(name, value) {
		if (value === "" || value === null)
			delete this.values[name];
		else
			this.values[name] = value;
		settings.set("params", this.values);
		this.showError(name, null);
	}

	draw(mode) {
		this.mode = mode;
		this.errors.clear();
		const known = this.fields[mode] ?? {};
		const has = (name) => known[name] !== undefined;
		this.root.replaceChildren(
			h("div.fields", {}, NUMBERS.filter(has).map((name) => this.#number(name, known[name]))),
			h("div.fields", {},
				has("reasoning_effort") && this.#select("reasoning_effort",
					[["", "as the model does"], ...enumOf(known.reasoning_effort).map((v) => [v, v])],
					known.reasoning_effort.description),
				has("stop") && this.#area("stop", "one on each line", known.stop.description),
				has("response_format") && this.#format(known.response_format.description),
				has("tools") && this.#area("tools", TOOLS_HINT, known.tools.description, true),
				has("tool_choice") && this.#select("tool_choice", [["", "auto"], ["required", "required"],
					["none", "none"]], known.tool_choice.description)),
			h("button.quiet", { type: "button", onclick: () => this.#reset() }, "Reset all parameters"));
	}

	#reset() {
		this.values = {};
		settings.set("params", this.values);
		this.draw(this.mode);
		this.root.querySelector("input")?.focus();
	}

	#row(name, control, hint, extra = []) {
		const id = `param-${name}`;
		const error = h("p.field-error", { id: `${id}-error`, role: "alert", hidden: true });
		control.id = id;
		control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
		this.errors.set(name, { error, control });
		return h("div.field", { data: { name } },
			h("label", { for: id }, LABELS[name] ?? name), extra, control,
			h("p.hint", { id: `${id}-hint` }, hint ?? ""), error);
	}

	#number(name, schema) {
		const types = [schema.type].flat();
		const low = schema.minimum ?? schema.exclusiveMinimum;
		const whole = types.includes("integer");
		const narrow = low !== undefined && schema.maximum !== undefined && schema.maximum - low <= 10;
		const input = h("input", {
			type: "number", inputmode: whole ? "numeric" : "decimal", step: whole ? 1 : "any", min: low,
			max: schema.maximum, value: this.values[name] ?? "",
			placeholder: schema.default === undefined || schema.default === null ? "" : String(schema.default),
			oninput: () => {
				this.#store(name, input.value === "" ? "" : Number(input.value));
				if (slider)
					slider.value = input.value === "" ? schema.default ?? low : input.value;
			},
		});
		const slider = narrow && h("input", {
			type: "range", min: low, max: schema.maximum, step: 0.01, tabindex: "-1", "aria-hidden": "true",
			value: this.values[name] ?? schema.default ?? low,
			oninput: () => {
				input.value = slider.value;
				this.#store(name, Number(slider.value));
			},
		});
		const row = this.#row(name, input, [schema.description, rangeText(schema)].filter(Boolean).join(" · "));
		row.classList.add("number");
		if (slider)
			row.insertBefore(slider, row.querySelector(".hint"));
		return row;
	}

	#area(name, placeholder, hint, code = false) {
		const area = h("textarea", {
			rows: 2, placeholder, value: this.values[name] ?? "", spellcheck: "false",
			oninput: () => this.#store(name, area.value),
		});
		if (code)
			area.classList.add("mono");
		return this.#row(name, area, hint);
	}

	#select(name, options, hint) {
		const select = h("select", { onchange: () => this.#store(name, select.value) },
			options.map(([value, text]) => h("option", { value }, text)));
		select.value = this.values[name] ?? "";
		return this.#row(name, select, hint);
	}

	#format(hint) {
		const schema = h("textarea.mono", {
			rows: 4, placeholder: SCHEMA_HINT, spellcheck: "false", "aria-label": "JSON Schema of the output",
			value: this.values.schema ?? "", oninput: () => {
				this.#store("schema", schema.value);
				this.showError("response_format", null);
			},
		});
		const select = h("select", {
			onchange: () => {
				this.#store("response_format", select.value);
				schema.hidden = select.value !== "json_schema";
			},
		}, [["", "text"], ["json_object", "JSON"], ["json_schema", "JSON of a schema"]].map(([value, text]) =>
			h("option", { value }, text)));
		select.value = this.values.response_format ?? "";
		schema.hidden = select.value !== "json_schema";
		const row = this.#row("response_format", select, hint);
		row.insertBefore(schema, row.querySelector(".hint"));
		return row;
	}

	/* true: there is such a field, and it says so. */
	showError(param, message) {
		const name = String(param ?? "").split(/[.[]/)[0];
		const field = this.errors.get(name === "max_completion_tokens" ? "max_tokens" : name);
		if (!field)
			return false;
		field.error.textContent = message ?? "";
		field.error.hidden = !message;
		field.control.setAttribute("aria-invalid", message ? "true" : "false");
		return true;
	}

	clearErrors() {
		for (const name of this.errors.keys())
			this.showError(name, null);
	}

	/* What goes into a request; throws ParamError for text that is not JSON. */
	body() {
		const known = this.fields[this.mode] ?? {};
		const v = this.values;
		const body = {};
		for (const name of [...NUMBERS, "reasoning_effort"])
			if (known[name] && v[name] !== undefined)
				body[name] = v[name];
		const stop = (v.stop ?? "").split("\n").filter((line) => line !== "");
		if (known.stop && stop.length)
			body.stop = stop;
		if (known.response_format && v.response_format === "json_object")
			body.response_format = { type: "json_object" };
		if (known.response_format && v.response_format === "json_schema")
			body.response_format = { type: "json_schema",
				json_schema: { name: "output", schema: parse("response_format", v.schema || SCHEMA_HINT) } };
		if (known.tools && v.tools?.trim()) {
			body.tools = parse("tools", v.tools);
			if (v.tool_choice)
				body.tool_choice = v.tool_choice;
		}
		return body;
	}
}

function enumOf(schema) {
	const found = schema.enum ?? schema.anyOf?.find((s) => s.enum)?.enum ?? [];
	return found.filter((v) => v !== null);
}
