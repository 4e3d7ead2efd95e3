// The official OpenAI Node SDK, unmodified, against a running Weir: sdk_node.py starts it and passes the URL.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello!" }];
const model = "weir-demo";

const tests = {
  async "chat has content and usage"() {
    const answer = await client.chat.completions.create({ model, messages, max_tokens: 60 });
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.ok(answer.usage.total_tokens > 0);
    assert.equal(answer.choices[0].message.refusal, null);
  },
  async "streaming has more than one chunk"() {
    let chunks = 0;
    const stream = await client.chat.completions.create({
      model, messages, max_tokens: 60, stream: true, stream_options: { include_usage: true },
    });
    let usage = null;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content) chunks++;
      usage = chunk.usage ?? usage;
    }
    assert.ok(chunks > 1);
    assert.ok(usage.total_tokens > 0);
  },
  async "stream helper collects the message"() {
    const final = await client.chat.completions.stream({ model, messages, max_tokens: 60 }).finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
  },
  async "abort ends the stream"() {
    const stream = await client.chat.completions.create({
      model, messages: [{ role: "user", content: "Tell me a long story about a fox named Mira." }],
      max_tokens: 1000, stream: true,
    });
    let chunks = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content && ++chunks === 3) stream.controller.abort();
    }
    assert.ok(chunks >= 3);
  },
  async "models"() {
    const list = await client.models.list();
    assert.ok(list.data.some((entry) => entry.id === model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async "completions"() {
    const answer = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 16 });
    assert.ok(answer.choices[0].text.length > 0);
  },
  async "responses, whole and stored"() {
    const first = await client.responses.create({ model, input: "My name is Ada.", temperature: 0 });
    assert.equal(first.status, "completed");
    assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
    const second = await client.responses.create({
      model, input: "What is my name?", previous_response_id: first.id, temperature: 0, max_output_tokens: 60,
    });
    assert.match(second.output_text, /Ada/);
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id, { limit: 1 })) items.push(item);
    assert.equal(items.length, 3); // three pages
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  },
  async "responses, streamed"() {
    const stream = client.responses.stream({ model, input: "Write a short poem", max_output_tokens: 40 });
    let text = "", next = 0;
    for await (const event of stream) {
      assert.equal(event.sequence_number, next++);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const final = await stream.finalResponse();
    assert.equal(final.output_text, text);
    assert.ok(text.length > 0);
  },
  async "responses, in the background"() {
    const { id } = await client.responses.create({
      model, input: "Tell me a long story about a fox named Mira.", background: true, max_output_tokens: 1000,
    });
    assert.ok(["cancelled", "completed", "incomplete"].includes((await client.responses.cancel(id)).status));
  },
  async "errors have OpenAI's classes"() {
    await assert.rejects(client.chat.completions.create({ model, messages, temperature: 3 }), (error) =>
      error instanceof OpenAI.BadRequestError && error.status === 400 && error.param === "temperature");
    await assert.rejects(client.chat.completions.create({ model: "nope", messages }), (error) =>
      error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
  },
};

const names = Object.keys(tests);
console.log(`1..${names.length}`);
let failures = 0;
for (const [index, name] of names.entries()) {
  try {
    await tests[name]();
    console.log(`ok ${index + 1} sdk-node/${name}`);
  } catch (error) {
    failures++;
    console.log(`not ok ${index + 1} sdk-node/${name}`);
    for (const line of String(error.stack).split("\n")) console.log(`# ${line}`);
  }
}
process.exit(failures ? 1 : 0);
