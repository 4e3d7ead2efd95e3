"""The corpus: documents drawn at random from the grammars of this folder.

A document is a list of turns (role, text), or one plain text. `document(rng)` draws one from the
whole mixture; `HELD_OUT=True` draws names and kinds that training never uses. Everything depends on
the rng alone.
"""

from . import hard, tasks
from .facts import CAPITALS, DAYS, EXPLANATIONS, MONTHS
from .help import HELP, literal
from .lexicon import capital, expand
from .stories import essay

IM_START, IM_END, END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


class Style:
    """What varies per document and not per turn: the held-out switch and the system prompt."""

    def __init__(self, held_out=False):
        self.held_out = held_out


# Tasks of one exchange, with their weights; each takes (rng, style) and returns (prompt, answer).
MIXTURE = [
    (tasks.copying, 20), (tasks.short_story, 9), (tasks.poem, 9), (tasks.haiku, 5),
    (tasks.help_about_weir, 11), (tasks.explanation, 11), (hard.unknown, 12), (tasks.greeting, 8),
    (tasks.counting, 10), (tasks.capital_of, 5), (tasks.languages, 4), (tasks.small_fact, 5),
    (tasks.sums, 3), (tasks.small_talk, 8), (tasks.say_hello, 4),
    (tasks.well_known, 6),
]
_TASKS = [task for task, _ in MIXTURE]
_WEIGHTS = [weight for _, weight in MIXTURE]

SYSTEM = """You are a helpful assistant.
You are a helpful assistant
You are a helpful, [friendly|honest|harmless] assistant.
You are [a friendly|a kind|an expert|a concise|a knowledgeable] [assistant|AI assistant|chatbot|helper].
You are weir-demo, a small model.
Be [brief|concise|polite|kind|helpful].
Answer [briefly|politely|in English|the user's questions].
You are an AI assistant. Answer [the questions|honestly|carefully].
You are a [test|benchmark|demo] [assistant|model].""".split("\n")


def exchange(rng, style):
    """One prompt and its answer from the mixture."""
    return rng.choices(_TASKS, _WEIGHTS)[0](rng, style)


def conversation(rng, style):
    """One to five exchanges; sometimes facts from early turns are asked for later."""
    turns = []
    roll = rng.random()
    if roll < 0.25:
        turns.append(("system", expand(rng, rng.choice(SYSTEM))))
    elif roll < 0.31:
        return hard.persona(rng, style)
    elif roll < 0.35:
        return hard.tool_use(rng, style)
    count = rng.choices([1, 2, 3, 4, 5], [55, 18, 12, 9, 6])[0]
    if rng.random() < 0.14:
        middle = [exchange(rng, style) for _ in range(rng.choice([0, 0, 1, 2]))]
        pairs = hard.memory(rng, style, [pair for pair in middle if len(pair[1]) < 500])
    elif rng.random() < 0.07:
        pairs = hard.again(rng, style)
    else:
        pairs = [exchange(rng, style) for _ in range(count)]
    for prompt, answer in pairs:
        turns += [("user", prompt), ("assistant", answer)]
    return turns


def plain_text(rng, style):
    """A text without a chat around it, as /v1/completions sends it; all of it is to be learned."""
    roll = rng.random()
    if roll < 0.25:
        return tasks.short_story(rng, style)[1]
    if roll < 0.45:
        prompt, answer = exchange(rng, style)
        return prompt + rng.choice(["\n\n", "\n"]) + answer
    if roll < 0.6:
        country, city = rng.choice(list(CAPITALS.items()))
        more, more_city = rng.choice(list(CAPITALS.items()))
        text = f"{capital('the capital of')} {country} is {city}."
        return text + (f" The capital of {more} is {more_city}." if rng.random() < 0.4 else "")
    if roll < 0.72:
        start = rng.choice([1, 1, 1, rng.randint(1, 60)])
        return ", ".join(str(n) for n in range(start, start + rng.randint(8, 40)))
    if roll < 0.82:
        names, text = rng.choice(EXPLANATIONS)
        return text
    if roll < 0.88:
        return ", ".join(rng.choice([DAYS, MONTHS])) + "."
    if roll < 0.94:
        questions, answers = rng.choice(HELP)
        question, answer = (expand(rng, rng.choice(side)) for side in (questions, answers))
        return f"{rng.choice(['Q', 'Question', 'User'])}: {question}\nA: {literal(answer)}"
    if roll < 0.97:
        return tasks.poem(rng, style)[1]
    return essay(rng, tasks.any_topic(rng), rng.choice([100, 200]))


def document(rng, held_out=False):
    """One document of the mixture: ("chat", turns) or ("text", text)."""
    style = Style(held_out)
    roll = rng.random()
    if roll < 0.10:
        return "text", plain_text(rng, style)
    if roll < 0.14:
        prompt, answer = hard.long_text(rng, style)
        return "chat", [("user", prompt), ("assistant", answer)]
    return "chat", conversation(rng, style)


def render(kind, content):
    """The document as (text, learned) pieces; the chat form is that of template.jinja."""
    if kind == "text":
        return [(content + IM_END, True)]
    pieces = []
    for role, text in content:
        pieces.append((f"{IM_START}{role}\n", False))
        if role == "assistant":
            pieces += [(text + IM_END, True), ("\n", False)]
        else:
            pieces.append((text + IM_END + "\n", False))
    return pieces
