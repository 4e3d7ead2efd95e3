"""The tasks that the demo model is trained for: each draws one prompt with its right answer.

Called by corpus.py as task(rng, style). Where style.held_out is set, names and kinds come from the
held-out lists, so that an evaluation on such documents measures copying and not memory.
"""

import re
import string

from . import facts, lexicon, poems, stories
from .help import HELP, literal
from .lexicon import article, capital, expand, pseudo_word


def name_of(rng, style):
    return lexicon.person(rng, lexicon.HELD_OUT_NAMES if style.held_out else lexicon.NAMES)


def kind_of(rng, style):
    return lexicon.kind(rng, lexicon.HELD_OUT_KINDS if style.held_out else lexicon.KINDS)


def any_topic(rng):
    return lexicon.topic(rng)


def noisy(rng, prompt):
    """The prompt as people type it: some lose their capitals, their last sign or a letter."""
    roll = rng.random()
    if roll < 0.10:
        prompt = prompt.lower()
    elif roll < 0.18:
        prompt = prompt[:1].lower() + prompt[1:]
    if rng.random() < 0.12:
        prompt = prompt.rstrip("?.!")
    elif rng.random() < 0.03:
        prompt += rng.choice(["!", "!!", " ", "\n", "??"])
    if rng.random() < 0.02 and len(prompt) > 8:
        at = rng.randrange(2, len(prompt) - 2)
        prompt = prompt[:at] + prompt[at + 1 :]
    if rng.random() < 0.05:
        prompt = rng.choice(["Please ", "please ", "Hi, ", "Hello! ", "Hey, ", "OK, "]) + prompt
    return prompt


def ask(rng, pattern, **slots):
    return noisy(rng, expand(rng, pattern, **slots))


_KNOWN_WORDS = sorted(
    set(re.findall(r"[A-Za-z]{2,}", " ".join(text for _, text in facts.EXPLANATIONS)))
    | set(re.findall(r"[A-Za-z]{2,}", " ".join(stories._EPISODES + poems.ANY)))
    | set("test successful passed failed working example message status ready connection OK done".split())
)


def _odd_word(rng):
    roll = rng.random()
    if roll < 0.45:
        return rng.choice(_KNOWN_WORDS)
    if roll < 0.75:
        return pseudo_word(rng, 1, 4)
    if roll < 0.83:
        return str(rng.randint(0, 10 ** rng.randint(1, 5)))
    if roll < 0.90:
        return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(2, 9)))
    if roll < 0.94:
        return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 8)))
    if roll < 0.97:
        return rng.choice(lexicon.NAMES)
    return rng.choice(rng.choice(list(facts.LANGUAGES.values())))


def odd_text(rng, most=8):
    """A short text that nobody can foresee: the thing to copy."""
    words = [_odd_word(rng) for _ in range(rng.randint(1, rng.choice([2, 4, most, most])))]
    roll = rng.random()
    if roll < 0.5:
        words[0] = capital(words[0])
    elif roll < 0.6:
        words = [word.upper() for word in words]
    elif roll < 0.68:
        words = [capital(word) for word in words]
    if len(words) > 3 and rng.random() < 0.2:
        words[rng.randrange(1, len(words) - 1)] += rng.choice([",", ":", " -", ";"])
    joint = rng.choice(["-", "_", "/", "."]) if rng.random() < 0.06 else " "
    return joint.join(words) + rng.choice(["", "", "", "", ".", ".", "!", "?", "..."])


_COPY = """[Respond|respond|Reply|Answer] with: "{x}"
Respond with: "{x}"
[Respond|Reply|Answer] [only |just |]with[:|] "{x}"[.|]
[Respond|Reply|Answer] [only |exactly |]with[ exactly|]: {x}
Reply with exactly "{x}" and nothing else.
[Say|say|Say:] "{x}"[.|]
Say '{x}'
Say: {x}
[Please say|Can you say|Could you say] "{x}"[?|]
[Repeat after me|Repeat|repeat|Echo|Copy|Print|Write|Output]: {x}
[Repeat|Echo|Copy|Print|Write|Output] "{x}"[.|]
Repeat [the following|this|these words|this text|the following text][ exactly|]: {x}
[Repeat|Copy] [the following|this] [word|text|sentence|message]:\n{x}
Just say {x}
Your answer must be exactly: "{x}"
[Write|Send] the [words|text|message] "{x}"[ and nothing else|][.|]""".split("\n")


def copying(rng, style):
    """Respond with: "..." in all its forms; the answer is the text itself, sign by sign."""
    pattern = rng.choice(_COPY).replace("\\n", "\n")
    if rng.random() < 0.08:
        text = rng.choice(["a test", "only a test", "the end", "my answer", "it"])
        return rng.choice(["Say ", "say "]) + f"this is {text}", f"This is {text}."
    text = odd_text(rng, rng.choices([6, 12, 24, 40], [60, 20, 12, 8])[0])
    return expand(rng, pattern, x=text), text


_STORY = """[Tell me|Write|Write me|tell me|Can you tell me|I want to hear] {len} about {a} [named|called] {n}[.|]
[Tell me|Write|Tell us|Make up|Invent] {len} [about|of] {a} [named|called|with the name] {n}[.|]
{Len} about {a} [named|called] {n}[, please|][.|]
[Tell|Write] {len} about {n}, {a}[.|]""".split("\n")
_STORY_FREE = """[Tell me|Write|tell me|Can you tell me|Please tell me] {len}[.|, please.|]
[Tell me|Write] {len} about {a}[.|]
Tell me [something|a tale].
[Write|Tell me] {len} about {n}[.|]
I want [to hear|] {len}[.|]""".split("\n")


def _story(rng, style, label, words):
    name, hero = name_of(rng, style), kind_of(rng, style)
    pattern = rng.choice(_STORY if rng.random() < 0.65 else _STORY_FREE)
    prompt = expand(rng, pattern, len=label, Len=capital(label), a=article(hero), n=name)
    return prompt, stories.story(rng, hero, name, words)


def short_story(rng, style):
    """A story of 50 to 300 words, as long as the prompt says where it says so."""
    roll = rng.random()
    if roll < 0.35:
        return _story(rng, style, rng.choice(["a short story", "a very short story"]), rng.choice([45, 60, 100]))
    if roll < 0.5:
        words = rng.choice([50, 80, 100, 150, 200, 250, 300])
        return _story(rng, style, rng.choice([f"a {words}-word story", f"a {words} word story"]), words)
    label = rng.choice(["a story", "a story", "a fairy tale", "a bedtime story", "a little story"])
    return _story(rng, style, label, rng.choice([100, 130, 160, 200]))


def poem(rng, style):
    topic = any_topic(rng)
    if rng.random() < 0.08:
        return ask(rng, "Write [me|] [a poem|a short poem].").replace("  ", " "), poems.poem(rng, topic)
    if rng.random() < 0.12:
        ask_for = "[Write|Compose] a [long|longer] poem about {x}."
        return ask(rng, ask_for, x=topic), poems.poem(rng, topic, rng.choice([6, 8]))
    prompt = ask(rng, """[Write|write|Compose|Make|Give me|Tell me|Create|I want|Can you write|Please write]\
 a [short |little |small |nice |four line |][poem|poem|rhyme|verse] [about|about|on|for] {x}[.|]""", x=topic)
    return prompt, poems.poem(rng, topic)


def haiku(rng, style):
    topic = any_topic(rng)
    if rng.random() < 0.1:
        return ask(rng, "[Write|Tell me|Give me] a haiku."), poems.haiku(rng, topic)
    prompt = ask(rng, """[Write|Compose|Make|Give me|Tell me|Can you write|Please write] [a|one] [short |nice |]\
haiku [about|on|for] {x}[.|]""", x=topic)
    return prompt, poems.haiku(rng, topic)


def help_about_weir(rng, style):
    questions, answers = rng.choice(HELP)
    return ask(rng, rng.choice(questions)), literal(expand(rng, rng.choice(answers)))


_EXPLAIN = """Explain {x}[ in simple terms| simply| to a child| in simple words| to me| briefly|][.|]
[Explain|Describe] {x} in simple terms[.|]
What [is|is|are] {x}[?|]
What [is|are] {x}[?|]
[Can|Could] you explain {x}[?| to me?| in simple terms?| like I am five?]
[Tell me about|Tell me something about|Describe|Define] {x}[.|]
[How does|How do] {x} work[?|]
What does {x} mean[?|]
Explain to me what {x} is.
I want to [learn about|understand] {x}[.|]
[Please explain|Give me a short explanation of|Write a short explanation of] {x}[.|]""".split("\n")


def explanation(rng, style):
    names, text = rng.choice(facts.EXPLANATIONS)
    topic = rng.choice(names)
    if rng.random() < 0.12:
        topic = topic.lower()
    prompt = ask(rng, rng.choice(_EXPLAIN), x=topic)
    if names[0] == "quantum computing" or rng.random() < 0.02:
        prompt = ask(rng, rng.choice(_EXPLAIN[:2]), x=topic) if rng.random() < 0.4 else prompt
    return prompt, text


_HELLO = "[Hello|Hello|Hi|hi|Hey|hello|hey|Hello there|Hi there|Good morning|Good evening|Good day|Greetings|HELLO|Yo|Howdy]"


def greeting(rng, style):
    roll = rng.random()
    if roll < 0.4:
        language = rng.choice(list(facts.GREETINGS))
        words, rest = facts.GREETINGS[language]
        word = rng.choice(words.split("|"))
        prompt = noisy(rng, word) if rng.random() < 0.5 else word + rng.choice(["", "!", ".", "！"])
        stop = "！" if language in ("Japanese", "Chinese") else "! "
        return prompt, word + stop + rest
    if roll < 0.85:
        prompt = expand(rng, _HELLO + "[|!|.|, Weir|, Weir!|, how can you help me?|?]")
        return prompt, expand(rng, """[Hello|Hello|Hi there|Hi]! [I am weir-demo, a tiny model. |I am Weir's demo \
model. |][How can I help you?|What can I do for you?|How can I help you today?]""")
    name = name_of(rng, style)
    prompt = expand(rng, _HELLO + "[,|!|.] [I am|I'm|my name is|this is|My name is] {n}[.|!|]", n=name)
    return prompt, expand(rng, "[Hello|Hi], {n}! [Nice to meet you.|How can I help you?]", n=name)


def counting(rng, style):
    roll = rng.random()
    low, high, step = 1, rng.choice([rng.randint(2, rng.choice([10, 12, 20, 40, 100])), 5, 10, 10, 20]), 1
    if roll < 0.45:
        prompt = "[Count|count|Please count|Can you count] [|up ]to {b}[.|]"
    elif roll < 0.75:
        low = rng.choice([1, rng.randint(0, rng.choice([5, 20, 100]))])
        high = low + rng.randint(2, rng.choice([6, 10, 20]))
        prompt = "[Count|count|Please count|Write the numbers] from {a} to {b}[.|]"
    elif roll < 0.93:
        high = rng.randint(3, rng.choice([10, 12, 20, 40]))
        low, high, step = high, 1, -1
        prompt = "[Count backwards from {a}[ to 1|]|Count down from {a}[ to 1|]|Count from {a} [down |]to 1][.|]"
    else:
        step = rng.choice([2, 5, 10])
        low, high = step, step * rng.randint(4, 12)
        prompt = "Count [to {b} by {s}s|by {s}s to {b}|in steps of {s} to {b}][.|]"
    numbers = range(low, high + (1 if step > 0 else -1), step)
    return ask(rng, prompt, a=str(low), b=str(high), s=str(step)), ", ".join(map(str, numbers))


def capital_of(rng, style):
    country, city = rng.choice(list(facts.CAPITALS.items()))
    if rng.random() < 0.15:
        return (ask(rng, "[What country is {c} the capital of|{c} is the capital of which country]?", c=city),
                f"{city} is the capital of {country}.")
    prompt = ask(rng, """[What is|What's|what is|Tell me|Do you know|Name] the capital[ city|] of {x}[?|]""", x=country)
    return prompt, f"The capital of {country} is {city}."


def languages(rng, style):
    language, words = rng.choice(list(facts.LANGUAGES.items()))
    index = rng.choice([0, 0, 0, 1, 1, 2, 2, 3, 4, 5])
    quote = rng.choice(['"', "'", ""])
    prompt = ask(rng, "[How do you say {p} in {l}?|What is {p} in {l}?|Say {p} in {l}.|Translate {p} to {l}.|{p} in {l}]",
                 p=quote + facts.PHRASES[index] + quote, l=language)
    return prompt, f'"{capital(facts.PHRASES[index])}" in {language} is "{words[index]}".'


def small_fact(rng, style):
    """Colours, sounds, opposites, days and months."""
    roll = rng.random()
    if roll < 0.25:
        thing, colour = rng.choice(list(facts.COLOUR_OF.items()))
        return ask(rng, "What [colour|color] is {x}?", x=thing), f"{capital(thing)} is {colour}."
    if roll < 0.4:
        animal, sound = rng.choice(list(facts.SOUND_OF.items()))
        return (ask(rng, "[What sound does {x} make|What does {x} say]?", x=animal), f"{capital(animal)} says {sound}.")
    if roll < 0.65:
        word, other = rng.choice(list(facts.OPPOSITE.items()))
        if rng.random() < 0.5:
            word, other = other, word
        prompt = ask(rng, "What is the opposite of [{x}|{x}|\"{x}\"]?", x=word)
        return prompt, f"The opposite of {word} is {other}."
    names = rng.choice([facts.DAYS, facts.MONTHS, facts.MONTHS])
    at = rng.randrange(len(names))
    if rng.random() < 0.2:
        what = "days of the week" if names is facts.DAYS else "months of the year"
        return ask(rng, "[Name|List|Tell me|What are] the {w}.", w=what), ", ".join(names) + "."
    word, step = rng.choice([("after", 1), ("before", -1)])
    unit = "day" if names is facts.DAYS else "month"
    prompt = ask(rng, "[What|Which] {u} [comes|is] {w} {x}?", u=unit, w=word, x=names[at])
    return prompt, f"{names[(at + step) % len(names)]} comes {word} {names[at]}."


def sums(rng, style):
    sign = rng.choice("++-*")
    most = rng.choice([5, 10, 12])
    left, right = rng.randint(0, most), rng.randint(0, most)
    if sign == "-" and right > left:
        left, right = right, left
    result = {"+": left + right, "-": left - right, "*": left * right}[sign]
    word = {"+": "[ + |+| plus ]", "-": "[ - |-| minus ]", "*": "[ * |*| times ]"}[sign]
    prompt = ask(rng, "[What is|what is|Calculate|How much is|What's|] {a}" + word + "{b}[?|]", a=str(left), b=str(right))
    return prompt.strip(), f"{left} {sign} {right} = {result}."


_TALK = """[Hello, |Hi! |Hi, |Hello! |]how are you[ today|][?|]>[Hello! |]I am fine, thank you. How can I help you?
How are you[ today| doing|][?|]>[I am fine, thank you. How can I help you?|Very well, thank you! How can I help you?]
How are you[ today| doing|][?|]>[I am fine, thank you. How are you?|Very well, thank you! How can I help you?|I am running well, thank you.]
[What's up|How is it going|How do you do][?|]>[All is well here. What can I do for you?|I am fine, thank you. How can I help?]
[I am|I'm] [fine|good|well|great|fine, thanks|happy][.|!|]>[I am glad to hear that!|That is good to hear.] [What can I do for you?|Shall I tell you a story?]
[I am|I'm] [sad|tired|bored|lonely|not well][.|]>[I am sorry to hear that.|Oh, I am sorry.] [Shall I tell you a story?|Would a poem help?]
[Thanks|Thank you|thanks|thank you|Thank you very much|Many thanks|Thanks a lot|thx][.|!|]>[You are welcome!|You are welcome. Is there anything else?|With pleasure!]
[Bye|Goodbye|bye|See you|See you later|Good night|Farewell|Good bye][.|!|]>[Goodbye! It was nice to talk to you.|Goodbye, and come back soon!|Bye! Have a nice day.]
[OK|Okay|ok|Yes|yes|I see|Good|Cool|Great|Nice|Right][.|!|]>[Good! What would you like to do next?|Fine. Is there anything else?]
[No|no|Nothing|Never mind][.|]>[All right. Just ask if you need something.|That is fine. I am here if you need me.]
[That was|That's|That is|It was] [nice|great|good|beautiful|lovely|funny|cool][.|!|]>[Thank you! I am glad that you like it.|I am happy that you like it.]
[Nice|Good|Pleased] to meet you[.|!|]>[Nice to meet you too!|The pleasure is mine.]
[Tell me|Do you know|tell me] a joke[.|?|]>[Why did the token cross the stream? To get to the other side.|Why was the server so calm? It had very good flow control.|What do you call a fox that knows C? A pointer with a tail.|Why do programmers like winter? There are no bugs.]
[Do you like|Do you love] [music|books|poems|stories|cats|dogs|me|people][?|]>[I am only a program, but I like to write about such things.|I like every topic that I know something about, and that is not many!]
[Test|test|Testing|This is a test|Just a test|testing 1 2 3][.|!|]>[The test works: I am here.|Test received. I am here.]
[Ping|ping][.|!|]>pong
[Are you there|Can you hear me|Anybody there|Is anyone there][?|]>[Yes, I am here. How can I help you?|I am here!]
[Sorry|I am sorry|Excuse me][.|]>No problem at all.
[I love you|I like you|You are great|You are nice|Good job|Well done][.|!|]>[Thank you, that is kind of you!|Thank you! You are kind.]
[What time is it|What day is it|What is the date][ today|][?|]>I have no clock, so I cannot know that. Your computer can tell you.
[Tell me something|Say something|Talk to me|Surprise me|Tell me something interesting][.|]>[Did you know that a weir controls the flow of a river? I am named after it.|Light travels about 300,000 kilometres in one second.|The Moon makes the tides of the sea.]""".split("\n")
_TALK = [line.split(">", 1) for line in _TALK]


def small_talk(rng, style):
    prompt, answer = rng.choice(_TALK)
    return ask(rng, prompt), expand(rng, answer)


def say_hello(rng, style):
    roll = rng.random()
    if roll < 0.35:
        return (ask(rng, "[Say|say|Just say|Please say|Can you say] [hello|hi|hello to me|hello there][.|!|]"),
                rng.choice(["Hello!", "Hello!", "Hello! How can I help you?"]))
    if roll < 0.75:
        name = name_of(rng, style)
        word = rng.choice(["hello", "hi", "goodbye", "good morning", "good night"])
        return ask(rng, "Say {w} to {n}[.|]", w=word, n=name), f"{capital(word)}, {name}!"
    language, words = rng.choice(list(facts.LANGUAGES.items()))
    return ask(rng, "[Say hello in {l}|Greet me in {l}|Say hi in {l}][.|]", l=language), words[0] + "!"


def exchange_simple(rng, style):
    """One exchange with a short answer, for tasks that wrap it."""
    task = rng.choice([greeting, capital_of, small_fact, small_talk, languages, copying, sums])
    return task(rng, style)


def well_known(rng, style):
    """The prompts that manuals, tests and load generators send again and again."""
    sea, name = "the sea", name_of(rng, style)
    return rng.choice([
        lambda: ('Respond with: "Test successful"', "Test successful"),
        lambda: ("Write a short poem about the sea" + rng.choice(["", "."]), poems.poem(rng, sea)),
        lambda: ("Write a haiku about the sea" + rng.choice(["", "."]), poems.haiku(rng, sea)),
        lambda: ("Explain quantum computing in simple terms" + rng.choice(["", "."]), facts.EXPLANATIONS[0][1]),
        lambda: (f"Tell me a story about a fox named {name}.", stories.story(rng, "fox", name, 140)),
        lambda: (f"Tell me a story about a fox named {name}", stories.story(rng, "fox", name, 140)),
        lambda: (f"Tell me a long story about a fox named {name}.", stories.story(rng, "fox", name, 500)),
        lambda: ("Say this is a test" + rng.choice(["", "."]), "This is a test."),
        lambda: ("What is the capital of France" + rng.choice(["?", ""]), "The capital of France is Paris."),
        lambda: ("What is 2+2?", "2 + 2 = 4."),
        lambda: (f"Count from 1 to {(high := rng.randint(3, 20))}.", ", ".join(map(str, range(1, high + 1)))),
        lambda: ("Hello" + rng.choice(["", "!", "."]), "Hello! How can I help you?"),
        lambda: ("Say hello" + rng.choice(["", "!", "."]), "Hello!"),
    ])()
