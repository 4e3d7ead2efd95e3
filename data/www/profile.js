/*
 * profile.js - a button of the dashboard that records where the time goes (docs/profiling.md) and
 * saves the recording. It is there when the server lets this page administer it.
 */
import { getJson, postJson } from "./api.js";
import { announce, h } from "./dom.js";

const SECONDS = 60;
const LOOK_EVERY = 1000; // ms, while one is under way

export class Profile {
	#timer = 0;

	constructor() {
		this.button = h("button", { type: "button", id: "profile", onclick: () => this.#press() });
		this.save = h("a", { href: "/v1/profile/trace", download: "weir-trace.json", title: "For ui.perfetto.dev or chrome://tracing" }, "Save the profile");
		this.error = h("p.field-error", { role: "alert", hidden: true });
		this.root = h("div.profile", { hidden: true }, this.save, this.button, this.error);
		this.#draw({ state: "off" });
	}

	/* endpoints: those of /props. */
	offer(endpoints) {
		this.root.hidden = !endpoints.includes("/v1/profile");
		if (!this.root.hidden)
			this.#ask(() => getJson("/v1/profile"));
	}

	#draw(now) {
		this.recording = now.state === "recording";
		this.button.textContent = this.recording
			? `Stop recording (${Math.max(0, Math.round(now.seconds - now.elapsed))} s left)` : "Record a profile";
		this.button.title = this.recording ? `${now.events} spans so far` : `For ${SECONDS} seconds, or until you stop it`;
		this.save.hidden = now.state !== "stopped";
		clearTimeout(this.#timer);
		if (this.recording)
			this.#timer = setTimeout(() => this.#ask(() => getJson("/v1/profile")), LOOK_EVERY);
	}

	async #ask(what) {
		try {
			this.#draw(await what());
			this.error.hidden = true;
			return true;
		} catch (error) {
			this.error.textContent = error.message;
			this.error.hidden = false;
			return false;
		}
	}

	async #press() {
		if (!this.recording) {
			if (await this.#ask(() => postJson("/v1/profile/start", { seconds: SECONDS })))
				announce("Recording");
		} else if (await this.#ask(() => postJson("/v1/profile/stop"))) {
			announce("Recorded");
			this.save.click();
		}
	}
}
