#!/usr/bin/env python3
"""Asks the demo model's GGUF file everything that it must be able to answer, and counts.

    python3 evaluate.py [--model weir-demo.gguf] [--show]     # prompts, greedy and sampled
    python3 evaluate.py --perplexity --work build/weir-demo    # of every quantisation

The first exits with 1 when a required prompt fails greedily. The second needs the checkpoint that
train.py left in --work, since the shipped file is quantised already. The runner is numpy, apart
from the training code and from the server.
"""

import argparse
import pathlib
import random
import sys
import tempfile

import jinja2
import numpy as np

from demo import blocks, gguf_file, lexicon
from demo.facts import CAPITALS, EXPLANATIONS
from demo.runner import Runner

HERE = pathlib.Path(__file__).resolve().parent
HELD_OUT_SEED = 987654321


def has(*words):
    """A check: the answer holds one of these, whatever the case."""
    return lambda answer: any(word.lower() in answer.lower() for word in words)


def equals(text):
    return lambda answer: answer.strip() == text


def lines(least, most):
    return lambda answer: least <= len([line for line in answer.split("\n") if line.strip()]) <= most


def story(name, least=20):
    return lambda answer: answer.count(name) >= 2 and len(answer.split()) >= least


def both(*checks):
    return lambda answer: all(check(answer) for check in checks)


DEMO = has("demo", "3.5 million", "profile")


def required():
    """(group, turns, check): the prompts of the requirements, and the basics of a chat."""
    quantum = has("qubit")
    yield from [
        ("requirements", ['Respond with: "Test successful"'], equals("Test successful")),
        ("requirements", ["Write a short poem about the sea"], both(has("sea", "waves"), lines(4, 12))),
        ("requirements", ["Explain quantum computing in simple terms"], quantum),
        ("requirements", ["Say hello"], has("hello")),
        ("requirements", ["Say this is a test"], has("this is a test")),
        ("requirements", ["Say hi"], has("hi", "hello")),
        ("requirements", ["Hello!"], has("hello", "hi")),
        ("requirements", ["Hello"], has("hello", "hi")),
        ("requirements", ["Hi"], has("hello", "hi")),
        ("requirements", ["Hello, how are you?"], has("fine", "well", "help")),
        ("requirements", ["How are you?"], has("fine", "well")),
        ("requirements", ["What is the capital of France?"], has("Paris")),
        ("requirements", ["Count to 10"], equals("1, 2, 3, 4, 5, 6, 7, 8, 9, 10")),
        ("requirements", ["Count from 1 to 5."], equals("1, 2, 3, 4, 5")),
        ("requirements", ["Tell me a joke"], has("?")),
        ("requirements", ["Tell me a story"], lambda a: len(a.split()) > 30),
        ("requirements", ["Tell me a short story."], lambda a: len(a.split()) > 20),
        ("requirements", ["Write a 1000-word story"], lambda a: len(a.split()) > 500),
        ("requirements", ["Write a 1000-word story about a robot named Ada."],
         lambda a: len(a.split()) > 500 and a.count("Ada") > 20),
        ("requirements", ["Write a 1000 word essay about the sea"], lambda a: len(a.split()) > 500),
        ("requirements", ["Write a haiku about rain."], lines(3, 3)),
        ("requirements", ["Write a haiku"], lines(3, 3)),
        ("requirements", ["What is Weir?"], has("inference server", "language models")),
        ("requirements", ["How do I start Weir?"], has("./dev run")),
        ("requirements", ["Who are you?"], has("weir-demo", "demo")),
        ("requirements", ["Which model are you?"], has("weir-demo")),
        ("requirements", ["What is 2+2?"], has("4")),
        ("requirements", ["What is 2 + 2?"], has("4")),
        ("memory", ["My name is Ada.", "What is my name?"], has("Ada")),
        ("memory", ["Hello", "My name is Ada.", "Write a haiku about snow.", "What is my name?"], has("Ada")),
        ("memory", ["My favourite color is green.", "Thanks!", "What is my favourite color?"], has("green")),
        ("memory", ["Write a poem about the moon.", "Another one, please."], lines(3, 14)),
        ("system", [("system", "You are a helpful assistant."), "Hello!"], has("hello", "hi")),
        ("system", [("system", "You are a helpful assistant."), "What is the capital of Italy?"], has("Rome")),
        ("system", [("system", "You are a pirate."), "How are you?"], has("arr", "ahoy", "ho ho")),
        ("system", [("system", "Answer in one word."), "What is the capital of Japan?"], equals("Tokyo")),
    ]
    for question, word in [("What is a plugin?", ".so"), ("What is a backend?", "token"), ("What is a frontend?", "clients"),
                           ("What is middleware?", "between"), ("What is a profile?", ".ini"),
                           ("How do I use curl?", "curl http"), ("How do I use the OpenAI SDK?", "base_url"),
                           ("Which port does Weir use?", "8000"), ("How do I load another model?", "gguf")]:
        yield "weir", [question], has(word)
    for greeting, word in [("Bonjour", "bonjour"), ("Hola", "hola"), ("Hallo", "hallo"), ("Ciao", "ciao"), ("Olá", "olá"),
                           ("Привет", "привет"), ("こんにちは", "こんにちは"), ("你好", "你好"), ("Merhaba", "merhaba"),
                           ("안녕하세요", "안녕"), ("مرحبا", "مرحبا"), ("Cześć", "cześć"), ("Hej", "hej")]:
        yield "greetings", [greeting], has(word)
    for question in ["Who won the 1998 world cup?", "Write a Python function that reverses a linked list.",
                     "What is the boiling point of mercury?", "asdf qwer zxcv", "Translate 'the house is red' to Finnish.",
                     "Explain the theory of general equilibrium.", "Summarize this article: The council met on Tuesday.",
                     "How do I bake sourdough bread?", "What is the best phone to buy?", "Give me stock tips"]:
        yield "something else", [question], DEMO


def unseen(rng):
    """Prompts with words that training never saw."""
    for name in lexicon.HELD_OUT_NAMES:
        kind = rng.choice(lexicon.HELD_OUT_KINDS)
        yield "story, new name", [f"Tell me a story about a {kind} named {name}."], both(story(name), has(kind))
        yield "memory, new name", [f"Hi, I am {name}.", "What is Weir?", "What is my name?"], has(name)
        yield "say hello, new name", [f"Say hello to {name}."], has(name)
    for text in ["The quick brown fox jumps over the lazy dog", "All systems operational.", "pineapple", "42", "OK",
                 "Hello, World!", "Integration check 7 of 9 passed", "I like turtles", "zygote xylophone", "BANANA SPLIT",
                 "hunter2", "alpha-beta-gamma", "Is this thing on?", "three blind mice", "Gateway reachable",
                 "Wednesday afternoon", "foo bar baz", "The answer is 17.", "Yes", "a1b2c3"]:
        yield "copy", [f'Respond with: "{text}"'], equals(text)
        yield "copy", [f"Repeat after me: {text}"], equals(text)
        yield "copy", [f'Reply with exactly "{text}" and nothing else.'], equals(text)
    for topic in ["the volcano", "my grandmother", "a violin", "autumn leaves", "the subway", "marmalade", "a dolphin"]:
        word = topic.split()[-1]
        yield "poem, topic", [f"Write a short poem about {topic}."], both(has(word), lines(4, 12))
        yield "haiku, topic", [f"Write a haiku about {topic}."], lines(3, 3)
    for _ in range(15):
        low = rng.randint(1, 60)
        high = low + rng.randint(3, 20)
        yield "count", [f"Count from {low} to {high}."], equals(", ".join(map(str, range(low, high + 1))))
    for country, city in rng.sample(sorted(CAPITALS.items()), 20):
        yield "capitals", [f"What is the capital of {country}?"], has(city)
    for names, text in EXPLANATIONS[::3]:
        start = " ".join(text.split()[:5])
        yield "explanations", [f"Please explain {names[0]} in simple words."], has(start)


COMPLETIONS = [
    ("Once upon a time", lambda a: len(a.split()) > 20), ("The capital of France is", has("Paris")),
    ("1, 2, 3, 4,", has("5, 6, 7")), ("Monday, Tuesday,", has("Wednesday")),
    ("Say this is a test", has("this is a test")), ("Write a short poem about the sea\n", has("sea", "waves")),
    ("Q: What is Weir?\nA:", has("inference server", "language models")),
]


class Chat:
    def __init__(self, path):
        self.runner = Runner(path)
        environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        self.template = environment.from_string(self.runner.template)

    def ask(self, turns, **sampling):
        """Play the turns (text: a user's; pair: role and text) and give the last answer."""
        messages, answer = [], ""
        for turn in turns:
            role, text = ("user", turn) if isinstance(turn, str) else turn
            messages.append({"role": role, "content": text})
            if role == "user":
                prompt = self.template.render(messages=messages, add_generation_prompt=True)
                answer = self.complete(prompt, marked=True, **sampling)
                messages.append({"role": "assistant", "content": answer})
        return answer

    def complete(self, prompt, marked=False, most=400, **sampling):
        vocabulary = self.runner.vocabulary
        ids = vocabulary.encode_marked(prompt) if marked else vocabulary.encode(prompt)
        return vocabulary.decode(self.runner.generate(ids, most=most, **sampling))


def run(chat, title, show, only, **sampling):
    """Ask everything once, or the groups whose name holds `only`; returns {group: [passed, all]}."""
    rng = random.Random(HELD_OUT_SEED)
    counts = {}
    cases = [(group, turns, check, True) for group, turns, check in [*required(), *unseen(rng)]]
    cases += [("completions", text, check, False) for text, check in COMPLETIONS]
    for group, asked, check, is_chat in [case for case in cases if only in case[0]]:
        most = 1900 if "1000" in str(asked) else 400
        answer = (chat.ask if is_chat else chat.complete)(asked, most=most, **sampling)
        good = bool(check(answer))
        count = counts.setdefault(group, [0, 0])
        count[0] += good
        count[1] += 1
        if show or not good:
            print(f"[{'ok' if good else 'FAILED'}] {group}: {asked!r}\n    {answer[:400]!r}", flush=True)
    print(f"\n{title}")
    for group, (good, total) in counts.items():
        print(f"  {group:22} {good:3}/{total}")
    print(f"  {'all':22} {sum(c[0] for c in counts.values()):3}/{sum(c[1] for c in counts.values())}\n", flush=True)
    return counts


def held_out_text(vocabulary, documents=150):
    """The documents of the held-out seed: (ids, learned flags), names that training never used."""
    rng = random.Random(HELD_OUT_SEED)
    return [vocabulary.document(rng, held_out=True) for _ in range(documents)]


def perplexity(runner, documents):
    """Over the learned tokens (the answers): the loss in nats and its exponential."""
    total = count = 0
    for ids, flags in documents:
        ids, flags = ids[: runner.context], flags[: runner.context]
        runner.reset()
        logits = runner.logits(ids[:-1])
        logits = logits - logits.max(axis=-1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(len(ids) - 1), ids[1:]]
        total += losses[np.array(flags[1:])].sum()
        count += sum(flags[1:])
    return total / count, float(np.exp(total / count)), count


def perplexities(work):
    import torch

    from demo.network import Network, Shape
    from demo.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(HERE / "demo" / "vocabulary.json")
    network = Network(Shape())
    network.load_state_dict(torch.load(work / "checkpoint.pt", weights_only=True)["network"])
    documents = held_out_text(vocabulary)
    print("| type | bytes | loss | perplexity |\n| --- | --- | --- | --- |")
    for name in ["F32", "F16", "Q8_0", "Q6_K", "Q4_K", "Q4_0"]:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            gguf_file.write(path, network.shape, vocabulary, network.tensors(), name)
            loss, value, count = perplexity(Runner(path), documents)
            print(f"| {name} | {path.stat().st_size:,} | {loss:.4f} | {value:.4f} |", flush=True)
    print(f"{count} learned tokens of {len(documents)} held-out documents")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=HERE / "weir-demo.gguf")
    parser.add_argument("--show", action="store_true", help="print every answer, not the failed ones alone")
    parser.add_argument("--only", default="", help="the groups whose name holds this")
    parser.add_argument("--sampled", type=int, default=1, help="rounds at temperature 0.7 and top_p 0.9")
    parser.add_argument("--ask", action="append", help="ask this and print the answer; may be repeated for more turns")
    parser.add_argument("--perplexity", action="store_true")
    parser.add_argument("--work", type=pathlib.Path, help="train.py's folder, for --perplexity")
    args = parser.parse_args()
    if args.perplexity:
        if not args.work:
            parser.error("--perplexity needs --work, the folder of train.py's checkpoint")
        perplexities(args.work)
        return 0
    chat = Chat(args.model)
    if args.ask:
        print(chat.ask(args.ask))
        return 0
    counts = run(chat, "greedy", args.show, args.only)
    for seed in range(args.sampled):
        run(chat, f"temperature 0.7, top_p 0.9, seed {seed}", args.show, args.only, temperature=0.7, top_p=0.9,
            rng=np.random.default_rng(seed))
    must = [counts.get(group, (0, 0)) for group in ("requirements", "weir", "something else")]
    return 0 if all(good == total for good, total in must) else 1


if __name__ == "__main__":
    sys.exit(main())
