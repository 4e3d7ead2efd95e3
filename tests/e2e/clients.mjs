// Vercel's AI SDK, unmodified, against two running Weirs (clients.py): one echoes, one calls a tool.
import assert from "node:assert/strict";
import { generateText, streamText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { z } from "zod";

const [plain, withTools] = process.argv.slice(2).map(
  url => createOpenAI({ baseURL: url + "/v1", apiKey: "none" }).chat("echo"));

{
  const { text, usage, finishReason } = await generateText({ model: plain, prompt: "one two three", maxRetries: 0 });
  assert.equal(text, "one two three");
  assert.equal(finishReason, "stop");
  assert.ok(usage.totalTokens > 0);
}
{
  const parts = [];
  const stream = streamText({ model: plain, prompt: "one two three", maxRetries: 0 });
  for await (const part of stream.textStream) parts.push(part);
  assert.equal(parts.join(""), "one two three");
  assert.ok(parts.length > 1);
}
const weather = tool({
  description: "The weather in a city",
  inputSchema: z.object({ city: z.string() }),
});
{
  const { toolCalls, finishReason } = await generateText({
    model: withTools, prompt: "Weather in Oslo?", tools: { weather }, toolChoice: "required", maxRetries: 0,
  });
  assert.equal(finishReason, "tool-calls");
  assert.equal(toolCalls[0].toolName, "weather");
  assert.deepEqual(toolCalls[0].input, { city: "Oslo" });
}
{
  const stream = streamText({ model: withTools, prompt: "Weather in Oslo?", tools: { weather }, maxRetries: 0 });
  const calls = [];
  for await (const part of stream.fullStream) {
    assert.notEqual(part.type, "error", JSON.stringify(part.error ?? null));
    if (part.type === "tool-call") calls.push(part);
  }
  assert.equal(calls.length, 1);
  assert.deepEqual(calls[0].input, { city: "Oslo" });
}
