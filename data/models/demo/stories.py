"""Stories about a named hero, and essays about a topic, of any length that is asked for.

A story is a hero, a place, an object, a friend and a row of episodes that all speak of them; its
length is chosen by words, so "a 1000-word story" is about a thousand words long.
"""

from .lexicon import (COLOURS, FOODS, NAMES, OBJECTS, PLACES, TRAITS, article, capital, expand, kind,
                      person)

_PRONOUNS = [("she", "her", "her"), ("he", "him", "his")]

_OPENINGS = """[Once upon a time|Long ago|Once], in {place}, there lived {a_kind} named {name}. {name} was {trait} and {trait2}, and [everyone|everybody] [there|in that place] knew {them}.
[Once upon a time|Many years ago] there was {a_trait} {kind} [named|called] {name}. {name} lived in {place} and had [one great wish: to see the world|never been far from home|a secret that nobody knew].
{name} was {a_trait} {kind} who lived in {place}. Every [morning|evening] {name} [looked out at the sky|walked to the end of the road|sat by the water] and wondered what the day would bring.
In {place} lived {a_trait} {kind}. {Their} name was {name}, and [this is {their} story|nobody was as {trait2} as {they} was].""".split("\n")

_EPISODES = """One [morning|evening|day], {name} found {object} [under a tree|beside the road|on the doorstep|in the grass]. "[How strange|How odd|What is this]," said {name}. "[Who could have lost it?|Where does it come from?|I wonder whose it is.]" {They} put it in {their} [pocket|bag] and [set off|went on] to find out.
The way was [long|steep|stony], and soon it began to [rain|snow|grow dark]. {name} was [a little afraid|cold and tired], but {they} [did not turn back|kept walking]. "[One step, and then another|Slowly, but always on]," {they} said to {themself}.
On the way {name} met {friend}, {a_kind2} with {a_colour} [scarf|hat|coat]. "[Where are you going?|What are you looking for?]" asked {friend}. {name} told {friend2} [everything|the whole story], and [from then on|from that hour] the two of them went on together.
At [noon|night|midnight] they came to [a wide river|a deep valley|a tall gate|a dark forest]. There was no [bridge|path|light] anywhere. {friend} wanted to [go home|wait for help], but {name} had an idea. They [built a small raft|tied a long rope|lit a little fire] out of [old wood|what they had], and [before long|after a while] they were on the other side.
{name} and {friend} sat down to rest and shared some {food}. "[Are you afraid?|Do you miss your home?]" asked {friend}. "[Sometimes|A little]," said {name}, "but [with a friend it is easier|I am glad that you are here]." And they looked up at the [stars|clouds] for a long time.
Then they heard [a voice|a strange sound] [behind the trees|from far away|under the stones]. It was [an old owl|a very old turtle|a small ghost], and it said: "[Only the one who is {trait} may pass.|Tell me, what is worth more than gold?|Why do you carry {object}?]" {name} thought [for a moment|for a long while] and answered: "[A friend|A kind word|The truth]." The old one [smiled|nodded] and let them go.
The next [day|morning] a storm came up. The wind [howled|blew] and the sky was [black|dark grey]. {name} held on to {friend}, and {friend} held on to {name}. When it was over, {object} was [gone|lost]. They searched for hours, and at last {name} found it [under a leaf|in a small hole|between two rocks].
In [a small shop|an old house|a market] they asked [an old woman|a tall man|a child] about {object}. "[I have seen it before|I know it well]," [came the answer|was the answer]. "[It belongs to the one who lives on the hill.|It was made a hundred years ago.|Follow the river and you will learn more.]" {name} said thank you, and they [hurried on|went their way].
That night {name} could not sleep. {They} thought of {place} and of [everyone|all the friends] at home. Then {they} took out {object} and looked at it in the moonlight. It [shone|glowed] [softly|like a little star], and {name} was not [sad|lonely] any more.
{friend} was [tired|hungry] and wanted to give up. "[It is too far|We will never find it]," said {friend}. But {name} laughed and told a [joke|funny story], and soon they were both laughing. The road seemed [shorter|easier] after that.
They climbed and climbed until they stood at the top of the hill. From there they could see [the whole world|the sea and all its ships|{place} far below]. "[Look|Look there]!" cried {name}. In the distance a [light|tower|door] was waiting for them.
[Suddenly|All at once] the ground [shook|trembled], and a [door|gate] opened in front of them. Inside it was [bright as day|dark and quiet]. {name} took a deep breath and went in first. On a table stood a [box|chest] with a lock, and {object} [was the answer|fitted as if it had been made for it].
A stranger was crying at the side of the road. {name} stopped at once. "[Can I help you?|What is wrong?]" {they} asked. Together they [mended the broken cart|found the lost ball|shared their {food}], and the stranger gave them [good advice|a warm smile|a song] in return.
For three days they followed the [river|road|stars]. On the first day they saw [wild horses|a field of flowers]. On the second day they met [a singer|a band of travellers]. On the third day {name} said: "[I think we are close now|It cannot be far]."
{name} [learned|understood] something that day: [being {trait} is not the same as being strong|small steps lead a long way|nobody has to be alone]. {They} told it to {friend}, and {friend} [nodded|agreed].""".split("\n")

_ENDINGS = """And so {name} came home again. [Everyone|The whole village] [cheered|was happy], and there was {food} for all. {name} and {friend} stayed friends for the rest of their lives.
In the end {name} gave {object} back to [its owner|the one it belonged to] and got [a friend|a new home|a story to tell] for it. And if you ever come to {place}, you may still meet {them} there. The end.
When {name} was home at last, {they} put {object} on the window sill. Every evening it reminded {them} of the [journey|adventure] and of {friend}. The end.
From that day on {name} was never [afraid|lonely] again and lived happily ever after.
And {name} fell asleep with a smile, for the day had been [long|good]. The end.
From then on {name} was the most {trait} {kind} in {place}, and [everyone|all the others] loved {them} for it. The end.""".split("\n")


def _cast(rng, hero_kind, name):
    they, them, their = rng.choice(_PRONOUNS)
    friend_kind = kind(rng)
    trait, trait2 = rng.sample(TRAITS, 2)
    friend = rng.choice(NAMES) if rng.random() < 0.7 else person(rng)
    return {
        "name": name, "kind": hero_kind, "a_kind": article(hero_kind), "they": they, "them": them,
        "their": their, "They": capital(they), "Their": capital(their),
        "themself": {"she": "herself", "he": "himself"}[they], "place": rng.choice(PLACES),
        "trait": trait, "trait2": trait2, "a_trait": article(trait), "object": "the " + rng.choice(OBJECTS),
        "friend": friend, "friend2": friend, "a_kind2": article(friend_kind),
        "a_colour": article(rng.choice(COLOURS)), "food": rng.choice(FOODS),
    }


CHAPTER_WORDS = 150


def story(rng, hero_kind, name, words):
    """A story of about so many words: 60 is two or three paragraphs, 1000 seven chapters.

    A long story is told in numbered chapters of four paragraphs, because a small model can follow a
    count that stands in its text and cannot count words.
    """
    if words >= 2 * CHAPTER_WORDS:
        chapters = round(words / CHAPTER_WORDS)
        parts = _paragraphs(rng, hero_kind, name, 4 * chapters)
        return "\n\n".join(f"Chapter {at + 1}\n\n" + "\n\n".join(parts[4 * at : 4 * at + 4]) for at in range(chapters))
    return "\n\n".join(_paragraphs(rng, hero_kind, name, None, words))


def _paragraphs(rng, hero_kind, name, count, words=1000):
    """The story as paragraphs: so many, or if count is None as many as make so many words."""
    cast = _cast(rng, hero_kind, name)
    known = set()  # which of {friend} and {object} the reader has met

    def told(pattern):
        needs = {slot for slot in ("{friend}", "{object}") if slot in pattern}
        return needs <= known

    def choose(patterns):
        return expand(rng, rng.choice([p for p in patterns if told(p)]), **cast)

    parts = [choose(_OPENINGS)]
    length = len(parts[0].split()) + 25
    if words >= 90:
        parts.append(expand(rng, _EPISODES[0], **cast))
        # What is found is new to the reader: "a golden key" here, "the golden key" from then on.
        thing = cast["object"][4:]
        parts[-1] = parts[-1].replace("the " + thing, article(thing), 1)
        known.add("{object}")
        length += len(parts[-1].split())
    deck = []
    while len(parts) < count - 1 if count else length < words - 15:
        if not deck:
            deck = rng.sample(_EPISODES[1:], len(_EPISODES) - 1)
        ready = [p for p in deck if told(p) or p == _EPISODES[2]]
        if not ready or (words < 90 and len(parts) == 1):
            ready = [p for p in _EPISODES[1:] if told(p)]
        pattern = ready[0] if words >= 90 else rng.choice(ready)
        if pattern in deck:
            deck.remove(pattern)
        if pattern == _EPISODES[2]:
            if "{friend}" in known:
                continue
            known.add("{friend}")
        parts.append(expand(rng, pattern, **cast))
        length += len(parts[-1].split())
    return parts + [choose(_ENDINGS)]


_ESSAY_FIRST = """[When we hear of|When people speak of|If we think about] {x}, [most of us|many of us] [think of something small|have a picture in mind|remember something from long ago]. This text looks at {x} [a little more closely|from several sides], slowly and in simple words.
There is much to say about {x}. [Some people love it, some people hardly notice it.|It is older than it seems and newer than we think.] In this text I want to [look at it with open eyes|collect a few thoughts about it].""".split("\n")
_ESSAY_MORE = """[First|To begin with], {x} has a [long|strange|rich] history. [In old times|Hundreds of years ago] people told stories about it [by the fire|in the evening], and they gave it many names. [Some of the stories are lost|Some of them are still told today].
{X} is also a part of daily life. [In the morning|At work|On the way home] we meet it without thinking. [Only when it is missing do we see how much it matters.|It is there when we need it, and it asks for little.]
Children often understand {x} better than we do. They ask simple questions: [where does it come from|what is it made of|who was the first to see it]? Such questions are [harder than they sound|a good place to begin].
[Artists|Painters and poets] have always liked {x}. They [painted it|wrote about it|sang of it] in many colours, and each of them saw something different. [That is what art is for.|Perhaps all of them were right.]
[On the other hand|Of course], not everything about {x} is easy. [There are days when it brings trouble.|It needs time and care.|People do not always agree about it.] But [what is easy is soon forgotten|a little trouble belongs to every good thing].
[Science|Research] has its own view of {x}. It [measures|counts|compares] and asks for reasons. [What it finds is often surprising|Each answer brings two new questions], and so the work is never finished.
A [friend|neighbour|teacher] of mine once said: "[{X} is like a good book|You have to look at {x} twice|Without {x} the world would be poorer]." I did not understand it [then|at first]. Today I think [it was true|there was some truth in it].
What will become of {x} in the future? Nobody can say. [Maybe it will change, as everything changes.|Machines may help us with it.] But [I believe|I hope] that [it will still be there for our children|we will go on caring about it].
If you want to know more about {x}, [begin with what is near|start small]. [Go outside and look around you.|Ask somebody who is older than you.|Read one page every evening.] It does not take much, only [some patience|a little time].
[Let us compare {x} with a journey.|Think of {x} as a long road.] There is a beginning, and there are [hills and valleys|good days and bad days] on the way. [What counts is not how fast we go|Those who hurry miss the best of it].""".split("\n")
_ESSAY_LAST = """[In the end|To sum up], {x} is [more than a word|worth a second look]. It [connects people|teaches us patience|makes life richer], and that is reason enough to [take care of it|think about it]. Thank you for reading.
So what remains to be said about {x}? [That it is small and great at once|That we should not forget it]. With this thought I want to end.""".split("\n")


def essay(rng, topic, words):
    """A harmless text about any topic, of about so many words; a long one has numbered parts."""
    slots = {"x": topic, "X": capital(topic)}
    deck = []

    def paragraph():
        if not deck:
            deck.extend(rng.sample(_ESSAY_MORE, len(_ESSAY_MORE)))
        return expand(rng, deck.pop(), **slots)

    first, last = (expand(rng, rng.choice(side), **slots) for side in (_ESSAY_FIRST, _ESSAY_LAST))
    if words < 300:
        return "\n\n".join([first, *(paragraph() for _ in range(round(words / 45) - 2)), last])
    count = round(words / 100)
    parts = [[paragraph() for _ in range(3)] for _ in range(count)]
    parts[0][0], parts[-1][-1] = first, last
    return "\n\n".join(f"Part {at + 1}\n\n" + "\n\n".join(part) for at, part in enumerate(parts))
