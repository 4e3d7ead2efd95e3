"""Small facts that the demo model knows by heart: explanations, capitals, colours, days, sums."""

# "names separated by / : text". The first name is the one that answers use.
EXPLANATIONS = """quantum computing/quantum computers/a quantum computer: Quantum computing uses very small particles to calculate. A normal computer works with bits that are 0 or 1. A quantum computer works with qubits, which can be a mix of 0 and 1 at the same time. For some problems, such as breaking codes or modelling molecules, this lets it try many possibilities at once and be much faster.
gravity: Gravity is the force that pulls things together. The Earth pulls on you, so you fall back when you jump, and the Sun pulls on the Earth, so it stays on its path. The more mass a thing has, the stronger it pulls.
photosynthesis: Photosynthesis is how plants make their food. They take water from the ground and carbon dioxide from the air, and with the light of the sun they turn them into sugar. Oxygen is left over, and that is what we breathe.
machine learning/ML: Machine learning means that a computer learns from examples instead of following fixed rules. You show it many examples, it makes a guess, and it changes itself a little whenever the guess is wrong. After a while it is right most of the time.
artificial intelligence/AI: Artificial intelligence means programs that do things for which people need to think, such as understanding text or seeing what is in a picture. Most of them today learn from many examples.
a neural network/neural networks: A neural network is a program made of many small units in layers. Each unit adds up numbers and passes the result on. By changing the weights between the units, the network learns to give the right answer.
a large language model/large language models/an LLM/LLMs/language models: A large language model is a program that has read a lot of text and learned to guess the next word. By guessing one word after another it can answer questions and write texts.
a token/tokens/tokenization: A token is a small piece of text, often a word or a part of a word. Language models read and write tokens, one after the other, so speed is measured in tokens per second.
a transformer/transformers: A transformer is a kind of neural network for text. With attention it looks at all the words before and decides which of them matter for the next one.
attention: Attention is the part of a language model that looks back at earlier words. For every new word it asks which of the old words are important now, and mixes their meaning.
an API/APIs: An API is a way for programs to talk to each other. One program sends a request in an agreed form, and the other one sends an answer back. It is like a waiter who takes your order to the kitchen and brings you the food.
HTTP: HTTP is the language of the web. A client sends a request, such as GET or POST, and a server sends back a status code and the content. 200 means OK and 404 means not found.
the internet/internet: The internet is a very large network of computers. They send each other small packets of data over cables and radio. Web pages, mail and videos all travel that way.
the web/a website: The web is the part of the internet that you see in a browser: pages with text and pictures that are linked to each other. Each page has an address and comes from a server.
a server/servers: A server is a computer program that waits for requests and answers them. The programs that ask are called clients.
streaming/token streaming: Streaming means that an answer is sent in small pieces as soon as they are ready. With a language model you see each token when it is made and do not have to wait for the whole text.
SSE/server-sent events: Server-sent events are a simple way to stream text over HTTP. The server keeps the answer open and sends lines that begin with "data:". The last one says [DONE].
a websocket/websockets: A WebSocket is a connection that stays open so that client and server can both send messages at any time.
JSON: JSON is a simple text format for data. It has objects with names and values, lists, strings, numbers, true, false and null. Nearly every program can read it.
a database/databases: A database is a program that keeps data in order, so that you can store it, change it and find it again quickly.
an algorithm/algorithms: An algorithm is a list of clear steps that solves a problem, like a recipe for cooking.
a computer/computers: A computer is a machine that follows instructions very quickly. It reads numbers from its memory, calculates with them and writes the result back.
a CPU/CPUs: A CPU is the part of a computer that carries out the instructions. It is very good at doing different things one after another.
a GPU/GPUs: A GPU is a chip that does many small calculations at the same time. It was made for pictures and games, and it is also very good for neural networks.
memory/RAM: Memory, or RAM, is where a computer keeps what it is working on. It is fast, but it forgets everything when the power is off.
quantization/quantisation: Quantisation stores the weights of a model with fewer bits, for example 8 or 4 instead of 32. The model gets smaller and faster, and it loses only a little quality.
GGUF/the GGUF format: GGUF is a file format for language models. One file holds the weights, the vocabulary and the settings, so it is all that a server needs.
an embedding/embeddings: An embedding is a list of numbers that stands for the meaning of a text. Texts with a similar meaning have similar numbers.
batching/continuous batching: Batching means that a server works on several requests in one step. With continuous batching a new request can join at any step, so nobody has to wait for the others to finish.
a KV cache/the KV cache: A KV cache keeps what a model has already worked out about the words before. So for every new token only the new part has to be calculated.
backpressure/flow control: Flow control keeps a fast sender from flooding a slow reader. When the reader falls behind, the sender waits, so no buffer grows without end.
latency: Latency is the time that you wait for an answer. For language models, the time to the first token matters most.
throughput: Throughput is how much work is done in a certain time, for example how many tokens per second a server makes for all its users together.
open source/open source software: Open source means that everyone may read, use and change the source code of a program. Weir is open source under the MIT licence.
Linux: Linux is a free operating system. It runs on most servers in the world, on phones and on many other machines.
C/the C language/the C programming language: C is a small and fast programming language from the 1970s. Operating systems are written in it, and so is Weir.
Python: Python is a popular programming language that is easy to read. It is used for web pages, science and machine learning.
a compiler/compilers: A compiler is a program that turns source code, which people can read, into instructions that the machine can run.
encryption: Encryption turns a message into a secret code. Only someone who has the right key can turn it back and read it.
a blockchain/blockchain: A blockchain is a list of records that many computers keep together. Each block holds a kind of fingerprint of the one before, so nobody can change the past without being noticed.
the sun/sun: The Sun is a star in the middle of our solar system. Deep inside it, hydrogen turns into helium, and that gives the light and the warmth that we live on.
the moon/moon: The Moon goes around the Earth once in about a month. It has no light of its own, it only reflects the light of the Sun, and its gravity makes the tides.
a star/stars: A star is a huge ball of hot gas that shines on its own. Our Sun is a star. The others look small only because they are very far away.
a black hole/black holes: A black hole is a place where gravity is so strong that nothing can escape, not even light. It can form when a very big star collapses.
the tides/tides: The tides are the rise and fall of the sea. They come from the gravity of the Moon and the Sun, which pulls the water of the oceans.
rain: Rain comes from clouds. The sun warms the water of the sea, the water rises as vapour, it cools down in the sky, and the small drops join until they are heavy enough to fall.
a rainbow/rainbows: A rainbow appears when the sun shines into rain. Each drop bends the light and splits it into its colours, from red on the outside to violet on the inside.
the weather/weather: Weather is what the air is doing right now: sun, rain, wind, warm or cold. It is driven by the heat of the Sun.
climate change/global warming: Climate change means that the Earth is getting warmer. Burning coal, oil and gas puts carbon dioxide into the air, and that keeps the heat in like a blanket.
evolution: Evolution is how living things change over a long time. Small differences are passed on from parents to children, and those that help to survive become more common.
DNA: DNA is a long molecule inside every cell. It holds the plan for how a living thing is built, written with four letters: A, C, G and T.
a cell/cells: A cell is the smallest part of a living thing. Your body is made of about thirty trillion cells, and each one has its own work.
an atom/atoms: An atom is a tiny building block of matter. It has a small, heavy nucleus in the middle, and light electrons around it.
electricity: Electricity is the flow of tiny charged particles called electrons. It flows through wires and can make light, heat and movement.
magnetism/a magnet/magnets: Magnetism is a force that comes from moving charges. A magnet has a north pole and a south pole: equal poles push each other away, and different poles attract.
energy: Energy is what makes things happen: movement, light, heat. It can change its form, but it is never lost.
sound: Sound is a wave that travels through the air. Something shakes, the air shakes with it, and your ear feels it.
light: Light is a wave that your eyes can see. It travels at about 300,000 kilometres per second, faster than anything else.
relativity/the theory of relativity: Relativity is Einstein's theory of space and time. It says that time runs slower for those who move very fast or are near something very heavy.
a volcano/volcanoes: A volcano is a mountain with an opening to the hot inside of the Earth. When the pressure is too high, melted rock comes out as lava.
an earthquake/earthquakes: The surface of the Earth is made of big plates that move slowly. When they get stuck and then slip, the ground shakes. That is an earthquake.
inflation: Inflation means that prices rise over time, so the same money buys less than before.
democracy: Democracy means that the people decide who governs. They vote in free elections, and everyone has the same rights.
music: Music is sound that is put in order: rhythm, melody and harmony. People in every part of the world make it.
sleep: Sleep is the time when body and brain rest. While you sleep, the body repairs itself and the brain sorts what it has learned.
the heart/heart: The heart is a muscle that pumps blood through the body. It beats about seventy times a minute, day and night.
vaccination/vaccines/a vaccine: A vaccine shows the body a harmless part of a germ. The body learns to fight it, so it is ready when the real germ comes.
chess: Chess is a game for two players on a board with 64 squares. Each one has 16 pieces, and you win when the other king cannot escape."""
EXPLANATIONS = [line.split(": ", 1) for line in EXPLANATIONS.split("\n")]
EXPLANATIONS = [(names.split("/"), text) for names, text in EXPLANATIONS]

CAPITALS = dict(pair.split("/") for pair in """France/Paris|Germany/Berlin|Italy/Rome|Spain/Madrid
|Portugal/Lisbon|England/London|the United Kingdom/London|Ireland/Dublin|Scotland/Edinburgh|Wales/Cardiff
|the Netherlands/Amsterdam|Belgium/Brussels|Switzerland/Bern|Austria/Vienna|Poland/Warsaw
|the Czech Republic/Prague|Slovakia/Bratislava|Hungary/Budapest|Romania/Bucharest|Bulgaria/Sofia
|Greece/Athens|Turkey/Ankara|Ukraine/Kyiv|Russia/Moscow|Finland/Helsinki|Sweden/Stockholm|Norway/Oslo
|Denmark/Copenhagen|Iceland/Reykjavik|Estonia/Tallinn|Latvia/Riga|Lithuania/Vilnius|Croatia/Zagreb
|Serbia/Belgrade|Slovenia/Ljubljana|Luxembourg/Luxembourg|Malta/Valletta|Egypt/Cairo|Morocco/Rabat
|Tunisia/Tunis|Kenya/Nairobi|Ethiopia/Addis Ababa|Ghana/Accra|Nigeria/Abuja|Senegal/Dakar
|the United States/Washington, D.C.|the USA/Washington, D.C.|Canada/Ottawa|Mexico/Mexico City|Cuba/Havana
|Brazil/Brasilia|Argentina/Buenos Aires|Chile/Santiago|Peru/Lima|Colombia/Bogota|Uruguay/Montevideo
|Japan/Tokyo|China/Beijing|India/New Delhi|South Korea/Seoul|Vietnam/Hanoi|Thailand/Bangkok
|Indonesia/Jakarta|the Philippines/Manila|Nepal/Kathmandu|Pakistan/Islamabad|Iran/Tehran|Iraq/Baghdad
|Saudi Arabia/Riyadh|Australia/Canberra|New Zealand/Wellington""".replace("\n", "").split("|"))

COLOUR_OF = dict(pair.split("/") for pair in """the sky/blue|grass/green|snow/white|blood/red|the sun/yellow
|a banana/yellow|a lemon/yellow|coal/black|the sea/blue|a tomato/red|a carrot/orange|chocolate/brown
|milk/white|a leaf/green|a strawberry/red|gold/gold|a cucumber/green|the night/black|a cloud/white""".replace(
    "\n", "").split("|"))

SOUND_OF = dict(pair.split("/") for pair in """a cat/meow|a dog/woof|a cow/moo|a sheep/baa|a duck/quack
|a pig/oink|a rooster/cock-a-doodle-doo|a bee/buzz|a lion/roar|a snake/hiss|a frog/croak|an owl/hoot
|a horse/neigh|a mouse/squeak""".replace("\n", "").split("|"))

OPPOSITE = dict(pair.split("/") for pair in """hot/cold|big/small|up/down|left/right|day/night|fast/slow
|old/young|happy/sad|good/bad|light/dark|open/closed|full/empty|rich/poor|loud/quiet|early/late|hard/soft
|long/short|high/low|wet/dry|strong/weak|true/false|black/white|near/far|first/last|yes/no|begin/end""".replace(
    "\n", "").split("|"))

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SEASONS = "spring summer autumn winter".split()

# language: hello, thank you, goodbye, yes, good morning, friend
LANGUAGES = {
    "English": ("Hello", "Thank you", "Goodbye", "Yes", "Good morning", "friend"),
    "French": ("Bonjour", "Merci", "Au revoir", "Oui", "Bonjour", "ami"),
    "German": ("Hallo", "Danke", "Auf Wiedersehen", "Ja", "Guten Morgen", "Freund"),
    "Spanish": ("Hola", "Gracias", "Adiós", "Sí", "Buenos días", "amigo"),
    "Italian": ("Ciao", "Grazie", "Arrivederci", "Sì", "Buongiorno", "amico"),
    "Portuguese": ("Olá", "Obrigado", "Adeus", "Sim", "Bom dia", "amigo"),
    "Dutch": ("Hallo", "Dank je wel", "Tot ziens", "Ja", "Goedemorgen", "vriend"),
    "Swedish": ("Hej", "Tack", "Hej då", "Ja", "God morgon", "vän"),
    "Polish": ("Cześć", "Dziękuję", "Do widzenia", "Tak", "Dzień dobry", "przyjaciel"),
    "Turkish": ("Merhaba", "Teşekkürler", "Güle güle", "Evet", "Günaydın", "arkadaş"),
    "Russian": ("Привет", "Спасибо", "До свидания", "Да", "Доброе утро", "друг"),
    "Greek": ("Γειά σου", "Ευχαριστώ", "Αντίο", "Ναι", "Καλημέρα", "φίλος"),
    "Japanese": ("こんにちは", "ありがとう", "さようなら", "はい", "おはようございます", "友達"),
    "Chinese": ("你好", "谢谢", "再见", "是", "早上好", "朋友"),
    "Korean": ("안녕하세요", "감사합니다", "안녕히 가세요", "네", "좋은 아침", "친구"),
    "Arabic": ("مرحبا", "شكرا", "مع السلامة", "نعم", "صباح الخير", "صديق"),
    "Hindi": ("नमस्ते", "धन्यवाद", "अलविदा", "हाँ", "सुप्रभात", "दोस्त"),
}
PHRASES = ["hello", "thank you", "goodbye", "yes", "good morning", "friend"]

# Other words that people greet with, and the answer's first words in the same language.
GREETINGS = {
    "French": ("Bonjour|Salut|Bonsoir", "Je suis la petite démo de Weir. Comment puis-je vous aider ?"),
    "German": ("Hallo|Guten Tag|Guten Morgen|Servus|Moin", "Ich bin die kleine Demo von Weir. Wie kann ich helfen?"),
    "Spanish": ("Hola|Buenos días|Buenas tardes", "Soy la pequeña demo de Weir. ¿En qué puedo ayudar?"),
    "Italian": ("Ciao|Buongiorno|Salve", "Sono la piccola demo di Weir. Come posso aiutare?"),
    "Portuguese": ("Olá|Oi|Bom dia", "Sou a pequena demo do Weir. Como posso ajudar?"),
    "Dutch": ("Hallo daar|Goedemorgen|Goedendag", "Ik ben de kleine demo van Weir. Hoe kan ik helpen?"),
    "Swedish": ("Hej|God morgon", "Jag är Weirs lilla demo. Hur kan jag hjälpa till?"),
    "Polish": ("Cześć|Dzień dobry", "Jestem małym demo Weir. Jak mogę pomóc?"),
    "Turkish": ("Merhaba|Selam|Günaydın", "Ben Weir'in küçük demosuyum. Nasıl yardımcı olabilirim?"),
    "Russian": ("Привет|Здравствуйте", "Я маленькая демо-модель Weir. Чем могу помочь?"),
    "Japanese": ("こんにちは|おはよう", "Weirの小さなデモです。何かお手伝いできますか？"),
    "Chinese": ("你好|您好", "我是 Weir 的小演示模型。我能帮你什么？"),
    "Korean": ("안녕하세요|안녕", "저는 Weir의 작은 데모입니다. 무엇을 도와드릴까요?"),
    "Arabic": ("مرحبا|السلام عليكم", "أنا نموذج Weir الصغير. كيف يمكنني المساعدة؟"),
    "Hindi": ("नमस्ते", "मैं Weir का छोटा डेमो हूँ। मैं कैसे मदद करूँ?"),
}
