"""Haiku and short rhymed poems about a topic that the prompt names."""

import re

from .lexicon import capital, expand

# Couplets whose two lines rhyme; {x} is the topic as the prompt wrote it.
ANY = """I think of {x} when day is done,/and of the slow and sinking sun.
When I am tired, when I am low,/to {x} my quiet thoughts will go.
Oh tell me, {x}, what have you seen?/The roads so grey, the hills so green.
A little song for {x} I sing,/it costs me almost not a thing.
I wrote of {x} upon a page,/and let it out as from a cage.
For {x} is more than words can say,/it starts and ends a perfect day.
And if you ask me what is true,/I speak of {x} and then of you.
Of all the things I ever knew,/{x} is a gift, and old, and new.
So here is {x}, so here am I,/beneath one wide and patient sky.
I looked for {x} both near and far,/by candle light and evening star.
No king has more than I can hold:/for {x} is worth a crown of gold.
Some dream of ships, some dream of fame,/I dream of {x} and speak its name.
The world is loud, the world is fast,/but {x} brings me peace at last.
Let others run, let others race,/with {x} I find a slower pace.""".split("\n")

THEMES = {
    "water": """The waves come in, the waves go out,/they carry shells and sand about.
The water sings its silver song/and rocks the little boats along.
Blue is the morning, white the foam,/and every wave is going home.
The gulls cry out, the tide runs deep,/and sings the harbour half asleep.
Salt on my lips and wind in my hair,/the smell of the water is everywhere.
A drop, a stream, a river wide,/all go together with the tide.""",
    "sky": """The sky is wide, the light is thin,/a quiet night is coming in.
A silver light on roof and lane,/on sleeping fields and window pane.
The stars come out, each one a spark,/small golden lanterns in the dark.
High over hills and over town/the evening lays its colours down.
The clouds drift slowly, soft and white,/and wave a blanket to the night.""",
    "season": """The leaves are turning, gold and red,/a wind is singing overhead.
The days grow long, the days grow small,/the year has room to hold them all.
A bird returns, a bud is born,/a golden light is on the corn.
The snow lies white on wood and hill,/and all the sleeping world is still.
The fields are warm, the air is sweet,/the grass is soft beneath my feet.""",
    "green": """The roots go deep, the leaves reach high,/and write their letters on the sky.
A little seed, a little rain,/and everything is green again.
The flowers open, one by one,/and turn their faces to the sun.
The wind walks softly through the trees/and hums its tune among the leaves.""",
    "heart": """A hand to hold, a heart to share,/a voice that tells me you are there.
We walked together, side by side,/with nothing left for us to hide.
A door, a light, a cup of tea,/a chair that always waits for me.
Though years go by and seasons turn,/a little flame will always burn.""",
    "machine": """It hums and blinks the whole night long/and turns my letters into song.
A thousand wheels, a spark, a wire,/it counts and counts and does not tire.
One and zero, zero and one,/it works until the work is done.
Token by token, line by line,/the stream is clear, the stream is fine.""",
    "animal": """On quiet feet it comes to me,/as soft as any friend can be.
It runs and jumps, it stops to play,/and falls asleep at close of day.
Two bright eyes shine, a tail goes round,/it makes a small and happy sound.
It asks for nothing, gives me all,/it comes to me each time I call.""",
}
THEMES = {key: value.split("\n") for key, value in THEMES.items()}

_WORDS = {
    "water": "sea ocean river rain lake water boat beach harbour tide waves ship whale fish lighthouse",
    "sky": "moon stars star sky night sun clouds cloud dawn evening morning wind fog thunder",
    "season": "winter spring summer autumn snow year mountains mountain desert road",
    "green": "forest tree garden flowers rose butterflies leaf grass bee flower",
    "heart": "love friendship home mother friend hope dreams time music silence coffee tea bread books",
    "machine": "computer robot code server train clock machine weir",
    "animal": "cat dog fox bird owl kitten puppy rabbit mouse horse bear wolf",
}
_THEME_OF = {word: theme for theme, words in _WORDS.items() for word in words.split()}


def theme_of(topic):
    """The theme of a topic by its last word, or None."""
    return _THEME_OF.get(topic.split()[-1].lower())


def poem(rng, topic, couplets=None):
    """A poem of two to five rhymed couplets about the topic."""
    count = couplets or rng.choice([2, 2, 3, 4])
    theme = theme_of(topic)
    own = list(THEMES[theme]) if theme else []
    rng.shuffle(own)
    general = rng.sample(ANY, len(ANY))
    lines = []
    for index in range(count):
        use_own = own and index != 0 and (index != count - 1 or rng.random() < 0.5)
        pair = own.pop() if use_own else general.pop()
        lines += [capital(line) for line in pair.replace("{x}", topic).split("/")]
        if index % 2 == 1 and index != count - 1:
            lines.append("")
    title = capital(topic) + "\n\n" if rng.random() < 0.2 else ""
    return title + "\n".join(lines)


def syllables(text):
    """A rough count of the syllables: groups of vowels, without a final mute e."""
    total = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        groups = len(re.findall(r"[aeiouy]+", word))
        if word.endswith("e") and not word.endswith("le") and groups > 1:
            groups -= 1
        total += max(groups, 1)
    return total


# First lines by the syllables that they have besides the topic; together they make five.
_FIRST = {
    1: ["{x} sleeps", "{x} sings", "{x}, now", "Still {x}"],
    2: ["{x} again", "Good {x} today", "{x} at dawn", "Quiet {x}", "{x} at night", "Only {x}"],
    3: ["{x} in the dawn", "{x} in the rain", "Suddenly {x}", "{x} all alone", "I dream of {x}"],
    4: ["{x} in the morning", "I listen: {x}", "{x} and nothing else", "The old, old {x} waits"],
}
_SECOND = """[a cold|a warm|a slow|a soft|the first|the last] [wind|light|song] moves over the [field|hill|town|lake]
[white|dark|soft|slow] clouds are drifting to the [north|south|east|west]
the [old|small|black|white] bird sings its evening song
[one|a|the] [leaf|feather] falls on silent water
[someone|nobody] opens the old [door|gate] now
the whole [world|town|wood] holds its breath a while
[light|rain|snow] is falling on the empty [road|street|bench]
[a child|a cat|the moon] looks [out|in] through the [cold|dark|wet] window""".split("\n")
_THIRD = """[silence|morning|evening] comes [home|back|down]
[nothing|no one] else [is here|remains|answers]
and I am [still|here|home] too
[spring|snow|night|rain] is on its way
the [moon|sun|wind|rain] says good night
the [long|short|cold|warm] day is gone
I stay [and listen|a little more]
[far|soft] bells in the [fog|dark|rain]""".split("\n")


def haiku(rng, topic):
    """Three short lines about the topic, five, seven and five syllables where the topic allows."""
    bare = topic if len(topic.split()) == 1 else topic.split(" ", 1)[1]
    first = rng.choice(_FIRST[min(max(5 - syllables(bare), 1), 4)]).replace("{x}", bare)
    return "\n".join(
        capital(line) for line in (first, expand(rng, rng.choice(_SECOND)), expand(rng, rng.choice(_THIRD)) + ".")
    )
