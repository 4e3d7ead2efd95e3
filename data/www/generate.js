/*
 * generate.js - one answer, from a conversation to a message that grows: what is asked, how chunks
 * are added up, what is measured. No elements here.
 */
import { connection } from "./api.js";
import { tokensOf } from "./tokens.js";

/* The messages as the API wants them. */
function apiMessages(conversation, end) {
	const list = conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
	for (const m of conversation.messages.slice(0, end)) {
		if (m.role === "tool")
			list.push({ role: "tool", tool_call_id: m.callId, content: m.content });
		else if (m.role === "assistant" && m.toolCalls?.length)
			list.push({ role: "assistant", content: m.content || null, tool_calls: m.toolCalls.map((c) => ({
				id: c.id, type: "function", function: { name: c.name, arguments: c.arguments },
			})) });
		else if (m.role === "user" || (m.role === "assistant" && m.content))
			list.push({ role: m.role, content: m.content });
	}
	return list;
}

/* The request for the message at `index`, which is the one that will grow. */
export function requestBody(conversation, index, { model, params, logprobs }) {
	if (conversation.mode === "text")
		return { model, prompt: conversation.messages[index - 1].content, ...params, ...(logprobs ? { logprobs: 5 } : {}) };
	return { model, messages: apiMessages(conversation, index), ...params,
		...(logprobs ? { logprobs: true, top_logprobs: 5 } : {}) };
}

function addCalls(message, deltas) {
	message.toolCalls ??= [];
	for (const delta of deltas) {
		const call = (message.toolCalls[delta.index ?? 0] ??= { id: "", name: "", arguments: "" });
		call.id ||= delta.id ?? "";
		call.name += delta.function?.name ?? "";
		call.arguments += delta.function?.arguments ?? "";
	}
}

function addChunk(message, chunk) {
	const choice = chunk.choices?.[0];
	if (!choice)
		return false;
	const delta = choice.delta ?? {};
	const text = delta.content ?? choice.text ?? "";
	message.content += text;
	message.reasoning += delta.reasoning_content ?? "";
	if (delta.tool_calls)
		addCalls(message, delta.tool_calls);
	const tokens = tokensOf(choice);
	if (tokens.length)
		message.tokens = (message.tokens ?? []).concat(tokens);
	message.finish = choice.finish_reason ?? message.finish;
	return Boolean(text || delta.reasoning_content || delta.tool_calls || tokens.length);
}

/* What the server says to programs, for people; null: it is plain already. */
function plain(error) {
	if (error.code === "resume_not_found")
		return "The server was started anew, or was away for too long: the answer ends here.";
	if (/ is not loaded: POST /.test(error.message))
		return "This model is not loaded. The dashboard has a button for it if the profile says admin = true.";
	return null;
}

/*
 * Grows `message` until the answer ends; never throws: what went wrong is message.error.
 * handle.cancel() stops it. changed() is called after each chunk.
 */
export async function generate(kind, body, message, handle, changed) {
	const began = performance.now();
	let first = 0, last = 0, chunks = 0;
	try {
		for await (const chunk of connection.stream(kind, body, handle)) {
			if (addChunk(message, chunk)) {
				last = performance.now();
				first ||= last;
				chunks++;
			}
			changed();
		}
	} catch (error) {
		const text = plain(error);
		message.error = text ? { message: text, code: error.code }
			: { message: error.message, status: error.status, param: error.param, code: error.code };
	}
	message.toolCalls = message.toolCalls?.filter(Boolean);
	message.stopped = Boolean(handle.cancelled);
	message.usage = handle.usage ?? null;
	const count = handle.usage?.completion_tokens ?? chunks;
	if (first)
		message.stats = {
			first: (first - began) / 1000, resumes: handle.resumes ?? 0,
			/* A short answer comes in one piece: how fast that was says nothing of the model. */
			rate: count > 1 && last - first > 50 ? (1000 * (count - 1)) / (last - first) : null,
		};
}
