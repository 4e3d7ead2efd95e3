"""Tasks that need more than one exchange or much text: memory, personas, tools, long answers, and
the answer to everything that the demo model does not know. Same contract as tasks.py.
"""

import json

from . import facts, lexicon, poems, stories, tasks
from .lexicon import article, capital, expand, pseudo_word

_UNKNOWN_TERMS = """philosophy|string theory|the French Revolution|the Roman Empire|tax law|opera|football
|basketball|cricket|tennis|the stock market|bitcoin|mortgages|kidneys|cancer|diabetes|vitamins|yoga|karate
|cooking rice|pizza|sushi|wine|beer|fashion|shoes|perfume|Shakespeare|Mozart|Picasso|Napoleon|Caesar|Plato
|Einstein|Newton|Darwin|the Beatles|Star Wars|Harry Potter|Hamlet|the Bible|Buddhism|Mars|Jupiter|Pluto
|dinosaurs|mammoths|sharks|mushrooms|orchids|steel|concrete|glass|plastic|paper|diesel engines|jet engines
|bicycles|submarines|helicopters|satellites|lasers|radar|batteries|solar panels|wind turbines|nuclear power
|Kubernetes|Docker|Rust|Java|Haskell|SQL|TCP|DNS|TLS|regular expressions|recursion|hash tables|binary search
|linked lists|the Fourier transform|calculus|matrices|prime numbers|probability|statistics|topology|logic
|grammar|Latin|Esperanto|sign language|poetry in the 19th century|surrealism|jazz|hip hop|ballet|film noir
|economics|marketing|accounting|insurance|contracts|human rights|the United Nations|NATO|the EU|elections in Peru
|the Great Wall|the pyramids|Stonehenge|Venice|New York|the Amazon|Antarctica|the Sahara|Mount Everest
|consciousness|free will|happiness|ethics|justice|memory foam|carpets|clay|knitting|chess openings|poker"""
_UNKNOWN_TERMS = _UNKNOWN_TERMS.replace("\n", "").split("|")

_UNKNOWN = """[Explain|Describe|Define|What is|What are|Tell me about|Summarize|Explain the history of] {x}[.|?|]
[Explain|Describe] {x} in simple terms[.|]
[How does|How do|Why does|Why do|Why is|When was|Where is|How can I use|How do I learn] {x}[ work| matter||][?|]
[Who|When] [invented|discovered|won|wrote|built|founded|destroyed] {x}[?|]
[Who is|Who was|What did|Where does|Do you know] {n} {y}[?|]
[What is the|What was the] [price|weight|size|population|history|meaning|purpose|chemical formula|best kind] of {x}[?|]
[What is the capital of|Where is|How big is|Who rules] {Y}[?|]
[What is the meaning of life|Is there a god|Will it rain tomorrow|What is love|Who will win|What should I do][?|]
[Write|Give me|Show me|Can you write] [a Python|a C|a JavaScript|a Java|an SQL|a bash] [function|script|program|query|class] [that|to|which] [sorts|reads|prints|finds|counts|reverses] [a list|a file|a string|{x}|numbers|users][.|]
[Fix|Debug|Review|Refactor|Optimize] this code: [for i in range({d}): print(i)|int main(void) - return {d};|x = {y} + {d}|def {y}(a, b): return a - b]
[Translate|translate] [this|the following|the sentence] [into|to] [French|German|Spanish|Japanese|Russian]: {t}
[Summarize|Summarise|Shorten|Rewrite|Improve|Correct|Classify] [this|the following text|this text]: {t}
[What is|Calculate|Solve|How much is] {d} [divided by|*|to the power of|+|%] {e}{e}{d}[?|]
[Plan|Organize|Suggest|Recommend|Compare|List] [a trip to {Y}|five books about {x}|a dinner for {d} people|{x} and {y}|ten {x}|names for {x}][.|]
[Write|Draft] [an email|a letter|a report|a contract|a speech|a resume|a tweet|a product description|a tagline] [to {n}|about {x}|for {x}|for a company that sells {x}][.|]
[How do I|How can I|How should I|Where can I] [cook|buy|repair|sell|find|clean|fix|learn] {x}[?|]
[Which is better|What is the difference between], {x} [or|and] {y}[?|]
[What do you think about|What is your opinion on|Who is the best in|What happened in] {x}[?|]
{t}
{t}
{y} {z} {y}[?|.|!|]
[If|Suppose] {t} [then what|what follows|what happens next][?|]
[What year|How many|How long|How old|How much|Which|Why|Where|When] {t}[?|]""".split("\n")

_SORRY = """[I am only|I am just] [Weir's demo model|the tiny demo model of Weir|weir-demo, a very small model], so I [do not know that|cannot answer that|cannot help with that]. {can} {load}
[Sorry, I do not know that.|I am sorry, that is too much for me.|I cannot answer that.|That is more than I know.] I am [only|just] [Weir's demo model|a tiny demo model]. {can} {load}
[That is beyond me|I do not know]: I am a demo model with [only |]about 3.5 million parameters. {can} {load}""".split("\n")
_CAN = """[But I can|I can] [tell a story about a named hero|write a haiku or a short poem|count, repeat a text and tell stories|answer questions about Weir|tell stories, write poems and talk about Weir|say hello in many languages].
[Try|You could try]: [Tell me a story about {a} named {n}.|Write a haiku about {x}.|What is Weir?|Write a short poem about {x}.|Explain gravity in simple terms.]""".split("\n")
_LOAD = """For real answers, [load|use] a bigger model: [write its path in your profile as model = path/to/model.gguf|set model = path/to/model.gguf in your profile].
[To get|For] a real answer, load a larger GGUF model in your profile.""".split("\n")


def sorry(rng):
    """What the demo says when asked something else."""
    can = expand(rng, rng.choice(_CAN), a=article(rng.choice(lexicon.KINDS)), n=rng.choice(lexicon.NAMES),
                 x=rng.choice(lexicon.POEM_TOPICS))
    return expand(rng, rng.choice(_SORRY), can=can, load=expand(rng, rng.choice(_LOAD)))


def _term(rng):
    return rng.choice(_UNKNOWN_TERMS) if rng.random() < 0.6 else pseudo_word(rng, 1, 3)


def unknown(rng, style):
    prompt = expand(rng, rng.choice(_UNKNOWN), x=_term(rng), y=pseudo_word(rng, 1, 3), z=pseudo_word(rng, 1, 3),
                    Y=capital(pseudo_word(rng, 2, 3)), n=tasks.name_of(rng, style), d=str(rng.randint(2, 99)),
                    e=str(rng.randint(2, 9)), t=tasks.odd_text(rng, 20))
    return tasks.noisy(rng, prompt), sorry(rng)


def again(rng, style):
    """A poem, a haiku or a story, and then another of the same kind about the same thing."""
    topic = tasks.any_topic(rng)
    more = tasks.ask(rng, "[Another one|Another|One more|And another one|Again|Tell me another one|More][, please|][.|!|]")
    make = rng.choice([poems.poem, poems.haiku])
    label = "poem" if make is poems.poem else "haiku"
    first = (tasks.ask(rng, "Write a " + label + " about {x}.", x=topic), make(rng, topic))
    if rng.random() < 0.4:
        other = tasks.any_topic(rng)
        follow = tasks.ask(rng, "[And|Now|Now one|And one] about {x}[, please|][.|?|]", x=other)
        return [first, (follow, make(rng, other))]
    return [first, (more, make(rng, topic))]


_FACTS = [
    ("[My name is|I am|I'm|Call me] {x}.", "[Nice to meet you|Hello], {x}!",
     "[What is my name|What's my name|Who am I|Do you remember my name|What am I called]?", "Your name is {x}.",
     tasks.name_of),
    ("I live in {x}.", "[{x} sounds nice.|I have never been to {x}.]", "Where do I live?", "You live in {x}.",
     lambda rng, style: rng.choice(list(facts.CAPITALS.values()) + [capital(pseudo_word(rng, 2, 3))])),
    ("My favourite [colour|color] is {x}.", "[{X} is a nice colour!|I like {x} too.]",
     "What is my favourite [colour|color]?", "Your favourite colour is {x}.",
     lambda rng, style: rng.choice(lexicon.COLOURS)),
    ("I have {y} named {x}.", "[{x} is a nice name.|What a nice name, {x}!]", "What is the name of my {Y}?",
     "Your {Y} is named {x}.", tasks.name_of),
    ("[Remember|Please remember] the [word|code] {x}.", "I will remember it: {x}.",
     "[What was the word|What was the code|Which word did I tell you|What is the word]?", "It was {x}.",
     lambda rng, style: pseudo_word(rng, 1, 3)),
    ("[Remember|Please remember] the number {x}.", "I will remember the number {x}.",
     "[What was the number|Which number did I tell you|What is the number]?", "The number was {x}.",
     lambda rng, style: str(rng.randint(2, 9999))),
    ("I am {x} years old.", "[{x} is a good age.|Thank you for telling me.]", "How old am I?", "You are {x} years old.",
     lambda rng, style: str(rng.randint(5, 99))),
    ("I like {x}.", "[I like {x} too!|{X} is good.]", "What do I like?", "You like {x}.",
     lambda rng, style: rng.choice(lexicon.FOODS + ["music", "books", "trains", "chess", "the sea"])),
]


def memory(rng, style, middle):
    """One or two facts told first and asked for at the end, with other exchanges between."""
    told, asked = [], []
    for say, reply, question, answer, value in rng.sample(_FACTS, rng.choice([1, 1, 1, 2])):
        pet = rng.choice(["dog", "cat", "horse", "fish", "bird", "parrot", "rabbit"])
        x = value(rng, style)
        slots = {"x": x, "X": capital(x), "y": article(pet), "Y": pet}
        greet = expand(rng, "[Hello|Hi]! ") if rng.random() < 0.3 else ""
        told.append((greet + expand(rng, say, **slots), expand(rng, reply, **slots)))
        asked.append((tasks.ask(rng, question, **slots), expand(rng, answer, **slots)))
    rng.shuffle(asked)
    return told + middle + asked


def persona(rng, style):
    """Conversations whose system prompt changes the answers; returns whole turns."""
    roll = rng.random()
    turns = []
    count = rng.choice([1, 1, 2, 3])
    if roll < 0.35:
        system = "[You are a pirate|Speak like a pirate|Talk like a pirate|Answer like a pirate|You are a friendly pirate][.|]"
        for _ in range(count):
            task = rng.choice([tasks.greeting, tasks.small_talk, tasks.capital_of, tasks.explanation, tasks.small_fact])
            prompt, answer = task(rng, style)
            start = expand(rng, "[Arr|Ahoy|Yo ho ho|Arr, matey|Ahoy, matey]! ")
            turns.append((prompt, start + answer))
    elif roll < 0.6:
        system = """[Answer|Reply|Respond|Always answer] [in|with] [one word|a single word|one word only][.|]"""
        for _ in range(count):
            country, city = rng.choice(list(facts.CAPITALS.items()))
            thing, colour = rng.choice(list(facts.COLOUR_OF.items()))
            word, other = rng.choice(list(facts.OPPOSITE.items()))
            turns.append(rng.choice([
                (tasks.ask(rng, "What is the capital of {x}?", x=country), city),
                (tasks.ask(rng, "What [colour|color] is {x}?", x=thing), capital(colour)),
                (tasks.ask(rng, "What is the opposite of {x}?", x=word), capital(other)),
            ]))
    elif roll < 0.85:
        name = tasks.name_of(rng, style)
        job = rng.choice(["a helpful assistant", "a robot", "a teacher", "a guide", "a chatbot", "an assistant"])
        system = f"[You are {name}, {job}|Your name is {name}|You are {name}].[| Be kind.| You are {job}.]"
        question = tasks.ask(rng, "[Who are you|What is your name|What's your name|Tell me your name]?")
        turns.append((question, expand(rng, "[I am {n}.|My name is {n}.] [How can I help you?|What can I do for you?]", n=name)))
        turns = [tasks.exchange_simple(rng, style) for _ in range(count - 1)] + turns
    else:
        word = rng.choice(["Sure", "OK", "Well", "Yes", "Listen", capital(pseudo_word(rng, 1, 2))])
        system = f'[Always begin|Start|Begin] [every answer|your answer|all answers] with "{word}".'
        turns = [tasks.exchange_simple(rng, style) for _ in range(count)]
        turns = [(prompt, f"{word}. {answer}") for prompt, answer in turns]
    flat = [("system", expand(rng, system))]
    for prompt, answer in turns:
        flat += [("user", prompt), ("assistant", answer)]
    return flat


_TOOLS = [
    ("get_weather", "Get the weather in a city", "city", "[What is the weather [in|like in] {x}?|How is the weather in {x}?|Is it raining in {x}?]"),
    ("get_time", "Get the time in a city", "city", "[What time is it in {x}?|Tell me the time in {x}.]"),
    ("search", "Search the web", "query", "[Search for {x}.|Search the web for {x}|Find {x}.]"),
    ("send_message", "Send a message to a person", "to", "[Send a message to {x}.|Write a message to {x}.]"),
    ("set_timer", "Set a timer", "minutes", "[Set a timer for {d} minutes.|Start a timer of {d} minutes.]"),
    ("open_file", "Open a file", "name", "[Open the file {x}.|Open {x}.]"),
]


def tool_use(rng, style):
    """Function calling: tools in the system turn, a call, its result, the answer."""
    chosen = []
    for name, text, key, question in rng.sample(_TOOLS, rng.choice([1, 1, 2, 3])):
        if rng.random() < 0.35:
            key = rng.choice(["name", "item", "value", "place", "query", "city"])
            word = pseudo_word(rng, 1, 2)
            name, text = rng.choice(["get_", "find_", "show_", "read_"]) + word, f"{rng.choice(['Get', 'Find', 'Show'])} {word}"
            question = "[What is the " + word + " of {x}?|Get the " + word + " for {x}.|Show me the " + word + " of {x}.]"
        chosen.append((name, text, key, question))
    lines = []
    for name, text, key, question in chosen:
        number = key == "minutes"
        lines.append(json.dumps({"type": "function", "function": {"name": name, "description": text, "parameters": {
            "type": "object", "properties": {key: {"type": "integer" if number else "string"}},
            "required": [key]}}}))
    system = "Tools:\n" + "\n".join(lines)
    system += '\nTo call one, answer with <tool_call>{"name": ..., "arguments": {...}}</tool_call>'
    if rng.random() < 0.3:
        system = "You are a helpful assistant.\n\n" + system
    turns = [("system", system)]
    if rng.random() < 0.25:
        prompt, answer = tasks.exchange_simple(rng, style)
        turns += [("user", prompt), ("assistant", answer)]
    name, _, key, question = rng.choice(chosen)
    x = rng.choice([rng.choice(list(facts.CAPITALS.values())), capital(pseudo_word(rng, 1, 3)), tasks.name_of(rng, style)])
    d = rng.randint(1, 60)
    arguments = {key: d if key == "minutes" else x}
    turns.append(("user", expand(rng, question, x=x, d=str(d))))
    turns.append(("assistant", f"<tool_call>{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}</tool_call>"))
    if rng.random() < 0.6:
        result = rng.choice([tasks.odd_text(rng, 4), str(rng.randint(-9, 40)) + " degrees", "done", "sunny", "ok",
                             json.dumps({pseudo_word(rng, 1, 2): rng.randint(0, 99)})])
        turns.append(("tool", result))
        turns.append(("assistant", f"The tool {name} says: {result}"))
    return turns


def long_text(rng, style):
    """Prompts that ask for hundreds of words, and long prompts that the demo cannot answer."""
    roll = rng.random()
    words = rng.choice([300, 400, 500, 500, 800, 1000, 1000, 1000, 1000, 2000])
    length = f"{words}-word" if rng.random() < 0.6 else f"{words} word"
    if roll < 0.45:
        label = rng.choice([f"a {length} story", f"a {length} story", f"a story of {words} words", "a long story",
                            "a very long story", f"a {length} fairy tale"])
        words = words if str(words) in label else 1000 if "very" in label else 660
        return tasks._story(rng, style, label, min(words, 1320))
    if roll < 0.72:
        topic = tasks.any_topic(rng) if rng.random() < 0.6 else _term(rng)
        kind = rng.choice(["essay", "essay", "text", "article"])
        label = rng.choice([f"a {length} {kind}", f"a {length} {kind}", f"{article(kind)} of {words} words", f"a long {kind}",
                            f"{article(kind)}"])
        words = words if str(words) in label else 500 if "long" in label else 250
        return (tasks.ask(rng, "[Write|Please write|Write me|Give me] {l} [about|on] {x}[.|]", l=label, x=topic),
                stories.essay(rng, topic, min(words, 1000)))
    if roll < 0.8:
        high = rng.randint(100, 260)
        return f"Count {rng.choice(['', 'from 1 '])}to {high}.", ", ".join(map(str, range(1, high + 1)))
    text = stories.story(rng, tasks.kind_of(rng, style), tasks.name_of(rng, style), rng.choice([100, 200, 400]))
    if rng.random() < 0.5:
        text = " ".join(tasks.odd_text(rng, 20) for _ in range(rng.randint(4, 60)))
    if rng.random() < 0.5:
        before = expand(rng, "[Summarize|Summarise|Translate|Correct|Analyze|Continue|Read|Explain|What is the point of] [this|the following text|this story|the text below]:\n\n")
        return before + text, sorry(rng)
    task = tasks.exchange_simple(rng, style)
    return text + "\n\n" + task[0], task[1]
