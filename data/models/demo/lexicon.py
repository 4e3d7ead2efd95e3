"""Word lists and the small grammar that the corpus is written in.

Used by every module that generates text. Everything is drawn from the random.Random that the
caller passes, so one seed always gives one corpus.

The grammar: "[a|b|c]" picks one branch and may nest, an empty branch is allowed, "{slot}" is
filled after the brackets are resolved, so a filled-in word is never read as grammar.
"""

import re

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(rng, pattern, **slots):
    """Resolve the brackets of one pattern, innermost first, then fill its slots."""
    while True:
        found = _CHOICE.search(pattern)
        if not found:
            break
        branch = rng.choice(found.group(1).split("|"))
        pattern = pattern[: found.start()] + branch + pattern[found.end() :]
    for key, value in slots.items():
        pattern = pattern.replace("{" + key + "}", value)
    return pattern


def capital(text):
    """The text with its first letter in upper case, the rest untouched."""
    return text[:1].upper() + text[1:]


def article(noun):
    """The noun with its indefinite article."""
    vowel = noun[:1].lower() in "aeiou" and not noun.startswith("uni")
    return ("an " if vowel or noun.startswith("honest") else "a ") + noun


NAMES = """Ada Alan Alba Alice Amir Anna Anton Aria Ben Bella Bob Boris Bruno Carla Carlos Chen
Chloe Clara Cleo Dana Daniel David Diego Dora Elena Eli Ella Emil Emma Erik Eva Felix Fatima Fiona
Finn Frida Gina Grace Greta Gus Hana Hannah Hans Hugo Ida Igor Ines Iris Ivan Jack Jade James Jana
Jin John Jonas Jules Julia Kai Karim Karl Kate Kenji Kira Lara Laura Lea Leo Lena Lila Lin Lisa Liam
Lucas Lucy Luna Maja Malik Marco Maria Mark Marta Max Maya Mei Mia Mila Milo Mira Nadia Nina Nils
Noah Nora Olga Oliver Oscar Otto Pablo Paul Pedro Petra Pia Pip Quinn Rana Ravi Remy Rita Robin Rosa
Ruby Sam Samir Sara Sofia Sven Tara Theo Tim Tom Tove Uma Vera Viktor Wanda Will Yara Yuki Zara Zoe""".split()

# Kept out of the training corpus: the held-out text and the evaluation use these.
HELD_OUT_NAMES = """Agnes Balthazar Bjorn Cosima Dmitri Edda Fergus Gwen Hester Imre Jorunn Kasper
Linnea Magnus Nuria Odette Piotr Rufus Sigrid Tobias Ursula Wilma Xenia Yorick Zelda""".split()

KINDS = """fox cat dog mouse rabbit owl bear wolf lion tiger whale dolphin turtle frog hedgehog
squirrel crow raven sparrow goose duck swan horse pony donkey goat sheep cow pig elephant giraffe
penguin seal otter beaver badger deer moose bat bee ant beetle butterfly snail spider dragon unicorn
robot ghost giant wizard witch knight pirate sailor baker gardener painter teacher doctor farmer
princess prince king queen girl boy monkey parrot camel crab lizard kitten puppy fish octopus""".split()

HELD_OUT_KINDS = "hamster lynx stork puffin clockmaker kangaroo shepherd gnome".split()

THINGS = """lighthouse teapot lantern train boat kite clock bridge tower castle garden tree river
mountain star moon cloud bicycle balloon book key mirror violin drum piano button umbrella letter
shoe hat chair kettle candle feather pebble shell stone bell map window computer server""".split()

PLACES = """a quiet village|a green valley|a small town by the sea|an old forest|a tall mountain
|a busy city|a little house on a hill|a harbour full of boats|a garden behind a wall|a wide desert
|an island far away|a snowy land in the north|a castle with seven towers|a farm near the river
|a library full of books|a cave behind a waterfall|a ship on the wide sea|a windmill in the fields
|an old clock tower|a street of little shops""".replace("\n", "").split("|")

OBJECTS = """golden key|silver bell|small blue stone|paper map|old lantern|red kite|music box|letter
without a name|bag of seeds|wooden flute|glass marble|broken watch|warm scarf|feather that glowed
|jar of honey|tiny boat|brass compass|book with no words|piece of bread|round mirror""".replace(
    "\n", " "
).replace(" |", "|").split("|")

COLOURS = "red blue green yellow orange purple white black brown pink grey silver gold".split()

TRAITS = """brave kind clever shy curious patient gentle cheerful lonely stubborn quiet careful
proud sleepy hungry honest lazy bold tiny old young funny wise""".split()

FOODS = "bread soup honey apples cheese cake pears rice berries pancakes noodles tea".split()

POEM_TOPICS = """the sea|the rain|the moon|the river|the wind|the sun|the snow|the night|the stars
|the forest|the city|the mountains|the sky|winter|spring|summer|autumn|love|friendship|home|time
|music|silence|my cat|my dog|coffee|tea|bread|a tree|a bird|a rose|flowers|the ocean|a garden
|the desert|the dawn|the evening|clouds|a train|the road|a candle|a computer|a robot|code|dreams
|hope|water|fire|a lighthouse|the morning|butterflies|the harbour|a mountain|a small boat|the moon
|fog|thunder|a lantern|books|the garden|my mother|a friend|the beach|the lake""".replace(
    "\n", ""
).split("|")

_ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk sl st t th tr v w y z".split()
_VOWELS = "a e i o u a e i o ai ea ee ou oa".split()
_CODAS = ["", "", "", "", "n", "r", "l", "s", "t", "m", "k", "nd", "rt", "x", "ck", "sh"]


def pseudo_word(rng, least=1, most=3):
    """A made-up word that can be spoken, lower case."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if rng.random() < 0.6 else "")
        for _ in range(rng.randint(least, most))
    )


def person(rng, names=NAMES):
    """A name: listed, or made up so that the model must copy rather than remember."""
    if names is NAMES and rng.random() < 0.5:
        return capital(pseudo_word(rng, 1, 3))
    return rng.choice(names)


def kind(rng, kinds=KINDS):
    """What a story's hero is: an animal, a person's trade, a thing, rarely a made-up noun."""
    roll = rng.random()
    if kinds is not KINDS or roll < 0.6:
        return rng.choice(kinds)
    if roll < 0.8:
        return rng.choice(THINGS)
    return pseudo_word(rng, 1, 3)


def topic(rng):
    """What a poem or an essay is about, with its article where it has one."""
    roll = rng.random()
    if roll < 0.6:
        return rng.choice(POEM_TOPICS)
    if roll < 0.85:
        return rng.choice(["the ", "a ", "my ", ""]) + rng.choice(THINGS + KINDS)
    return rng.choice(["the ", "", ""]) + pseudo_word(rng, 1, 3)
