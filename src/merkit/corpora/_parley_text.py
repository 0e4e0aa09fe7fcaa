"""Parley's sentences: household and call-centre talk whose wording shows one of the four emotions.

A conversation is about one matter (a parcel, a boiler). Sentences are templates filled with the matter, a person and a
time, none of which depends on the emotion.
"""

import numpy as np

MATTERS = (
    ("parcel", "at the depot"), ("boiler", "in the basement"), ("invoice", "at the office"),
    ("train ticket", "at the station"),
    ("garden fence", "behind the house"), ("library card", "at the library"), ("school trip", "at school"),
    ("kitchen tap", "in the kitchen"), ("rental car", "at the airport"), ("phone contract", "in the shop"),
    ("birthday cake", "at the bakery"), ("piano lesson", "next door"), ("new sofa", "in the living room"),
    ("dentist appointment", "at the clinic"), ("football match", "in the park"), ("wedding speech", "at the hotel"),
    ("job interview", "in town"), ("washing machine", "in the hallway"), ("holiday flat", "by the sea"),
    ("exam result", "at the college"), ("bicycle", "in the shed"), ("concert", "at the town hall"),
    ("insurance form", "at the counter"), ("hotel room", "on the third floor"), ("choir rehearsal", "in the church"),
    ("laptop", "in the workshop"), ("allotment", "across the road"), ("moving van", "in the driveway"),
)  # fmt: skip
"""Thing (takes "the") and where it is."""

PEOPLE = (
    "Anna", "Tom", "Maria", "Peter", "Joan", "Samir", "Lena", "David", "my sister", "my brother", "the neighbour",
    "our daughter", "the manager", "the driver", "my aunt", "the landlord", "the lady on the phone", "your colleague",
)  # fmt: skip

TIMES = (
    "this morning", "yesterday", "on Monday", "last week", "this afternoon", "on Friday", "last night", "before lunch",
    "after work", "at noon", "on the weekend", "two days ago",
)  # fmt: skip

_CARRIERS = (
    "{Person} called about the {thing} {time} and it was {word}.",
    "I must say that I found the {thing} {word}.",
    "The {thing} {place} was {word} {time}.",
    "It was {word} what {person} told me about the {thing}.",
    "They say the {thing} is {word} and it is {place}.",
    "You know the {thing} was {word} when {person} came {time}.",
    "This {word} {thing} was {place} {time}.",
    "{Person} showed me the {word} {thing} {place}.",
    "I heard that it was {word} {place} {time}.",
    "Everybody called the {thing} {word} {time}.",
    "The news about the {thing} was {word} for {person}.",
    "What {person} wrote about the {thing} is {word}.",
)
"""Sentences of mode ``xor``: alike in length for all classes, so that prosody does not show which words were drawn."""

JUDGEMENTS: dict[str, tuple[str, ...]] = {
    "neutral": (
        "ordinary", "regular", "average", "typical", "customary", "technical", "procedural", "seasonal", "official",
        "conventional", "optional", "sequential", "residential", "electrical", "numerical", "provisional", "periodic",
        "rectangular", "habitual", "general",
    ),
    "happy": (
        "wonderful", "fantastic", "marvellous", "delightful", "beautiful", "terrific", "magnificent", "glorious",
        "incredible", "fabulous", "amazing", "enjoyable", "hilarious", "adorable", "excellent", "phenomenal",
        "sensational", "heavenly", "pleasurable", "spectacular",
    ),
    "angry": (
        "outrageous", "infuriating", "disgraceful", "ridiculous", "insulting", "unacceptable", "disgusting",
        "appalling", "despicable", "offensive", "intolerable", "maddening", "scandalous", "contemptible",
        "unforgivable", "idiotic", "obnoxious", "preposterous", "dishonest", "incompetent",
    ),
    "sad": (
        "heartbreaking", "miserable", "depressing", "sorrowful", "unbearable", "pitiful", "disheartening",
        "devastating", "melancholy", "regrettable", "upsetting", "distressing", "dispiriting", "lamentable", "desolate",
        "despairing", "unfortunate", "saddening", "agonizing", "disconsolate",
    ),
}  # fmt: skip
"""The one word of such a sentence that shows the class, of three to five syllables."""

TEMPLATES: dict[str, tuple[str, ...]] = {
    "neutral": (
        "{Person} called about the {thing} {time}.",
        "The {thing} is listed under number {number}.",
        "You can find the details of the {thing} on page {number}.",
        "I am calling to ask about the {thing}.",
        "{Person} wrote down the address for the {thing}.",
        "The {thing} is usually checked once a month.",
        "Please spell the name for the {thing} again.",
        "I think {person} was {place} {time}.",
        "There are {number} people on the list for the {thing}.",
        "The form for the {thing} has two parts.",
        "We can talk about the {thing} with {person}.",
        "It takes about {number} minutes to get there.",
        "{Person} will send a note about the {thing}.",
        "The {thing} was entered in the system {time}.",
        "The opening hours are the same as before.",
        "Could you tell me which {thing} you mean?",
        "I have put {number} copies {place}.",
        "{Person} asked for the date of the {thing}.",
        "The second entry is about the {thing}.",
        "So that is the {thing}, and it is {place}.",
        "{Person} has the papers for the {thing}.",
        "The number for the {thing} starts with a {number}.",
        "As far as I know it was moved {place} {time}.",
        "You need to fill in the line below the {thing}.",
        "{Person} usually goes there {time}, I believe.",
        "The {thing} is the one on the left.",
        "I will read out the reference for the {thing}.",
        "They keep a record of the {thing} {place}.",
    ),
    "happy": (
        "I am so happy about the {thing}!",
        "The {thing} turned out wonderful, thank you so much!",
        "What a lovely surprise, {person} brought the {thing}!",
        "{Person} and I laughed so much {time}!",
        "That is fantastic news about the {thing}!",
        "I love the {thing}, it is simply perfect!",
        "We are delighted with how the {thing} went {time}!",
        "Hooray, the {thing} is finally ours!",
        "I could dance for joy, {person} sorted the {thing}!",
        "It makes me smile just to think of the {thing}.",
        "This is the best day, the {thing} is great!",
        "{Person} was so kind, and I am thrilled!",
        "I am really looking forward to the {thing}!",
        "Brilliant, everything with the {thing} worked beautifully!",
        "We had such a wonderful time {place} {time}!",
        "You made my day with the {thing}!",
        "I am so glad that {person} loved the {thing}!",
        "How marvellous, we are celebrating the {thing}!",
        "I cannot stop smiling since {person} told me!",
        "The {thing} is a dream come true!",
        "Wonderful, {person} and the {thing}, what great fun!",
        "I feel on top of the world {place}!",
        "We cheered when {person} showed us the {thing}!",
        "Oh, how exciting, the {thing} is amazing!",
        "I am proud and happy, the {thing} is a success!",
        "That was the nicest thing {person} did {time}!",
        "Yes, we won, the {thing} was a triumph!",
        "I really enjoyed the {thing}, it was delightful!",
    ),
    "angry": (
        "I am furious about the {thing}!",
        "This is outrageous, {person} ruined the {thing}!",
        "How dare {person} touch the {thing}!",
        "I have had enough of your excuses about the {thing}!",
        "Stop lying to me about the {thing}!",
        "It is a disgrace how you handled the {thing}!",
        "I demand to speak to whoever broke the {thing}!",
        "You people are incompetent, the {thing} is a scandal!",
        "{Person} makes me so mad with the {thing}!",
        "I will not put up with this nonsense {place}!",
        "That is absolutely unacceptable, and {person} knows it!",
        "Give me my money back for the {thing}, right now!",
        "I hate the way {person} shouted at me {time}!",
        "Shut up about the {thing}, I am sick of it!",
        "You cheated me with the {thing}, you crook!",
        "I am going to sue you over the {thing}!",
        "What an insult, {person} just hung up on me!",
        "Get out, and take the {thing} with you!",
        "It makes my blood boil that {person} did this!",
        "Don't you dare blame me for the {thing}!",
        "This is the worst service ever, I am livid!",
        "{Person} had no right to take the {thing}!",
        "How many times must I complain about the {thing}!",
        "I am fed up with {person} and this stupid {thing}!",
        "Who was the idiot that wrecked the {thing}!",
        "You have wasted my whole day {place}, damn it!",
        "I am outraged, {person} lied about the {thing} {time}!",
        "Enough, I will report {person} for the {thing}!",
    ),
    "sad": (
        "I was crying about the {thing} {time}.",
        "I feel so lonely without {person}.",
        "It breaks my heart that the {thing} is gone.",
        "{Person} passed away {time}, and I miss them terribly.",
        "I am so sad that we lost the {thing}.",
        "Nothing feels worth doing since the {thing}.",
        "I wish {person} were still here with me.",
        "I have lost all hope for the {thing}.",
        "We said goodbye {place}, and I wept.",
        "It hurts so much to remember the {thing}.",
        "I feel empty, and I miss {person} every day.",
        "The {thing} was all I had left of {person}.",
        "I am heartbroken, the {thing} will never come back.",
        "I could not stop my tears {time}.",
        "{Person} left me, and the house is so quiet.",
        "I am sorry, I am just too sad to talk about the {thing}.",
        "I sat alone {place} and cried {time}.",
        "It is hopeless, I gave up on the {thing}.",
        "Poor {person}, we are all grieving.",
        "I feel miserable and so alone {place}.",
        "All that is left of the {thing} is memories.",
        "I regret it deeply, I let {person} down.",
        "My heart sank when I heard about the {thing}.",
        "I am mourning, the funeral was {time}.",
        "Life has been so bleak since {person} went away.",
        "I am depressed, and the {thing} makes me weep.",
        "It is such a loss, I miss the {thing} so much.",
        "I feel broken, {person} is not coming home.",
    ),
}
"""By the class of words; "{Person}" is the person with a capital letter."""

KINDS = (
    (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "noon", "midnight", "tomorrow",
        "yesterday", "tonight", "today", "January", "February", "April", "June", "July", "August", "September",
        "October", "November", "December", "morning",
    ),
    (
        "Anna", "Tom", "Maria", "Peter", "Lena", "Joan", "David", "Alice", "Helen", "Martin", "Robert", "Susan",
        "George", "Emma", "Daniel", "Sarah", "Simon", "Laura", "Henry", "Lucy", "Paul", "Nina", "Oscar", "Clara",
    ),
    (
        "keys", "forms", "boxes", "tickets", "papers", "tools", "books", "shoes", "chairs", "bottles", "letters",
        "glasses", "cameras", "flowers", "candles", "blankets", "curtains", "cards", "maps", "cups", "plates",
        "lamps", "boots", "coats",
    ),
    (
        "town", "school", "work", "station", "office", "kitchen", "garden", "church", "park", "bank", "hotel",
        "library", "hospital", "market", "airport", "harbor", "museum", "factory", "theater", "bridge", "cellar",
        "garage", "basement", "castle",
    ),
)  # fmt: skip
"""Of mode ``word_prosody``: times, people, things and places. They do not depend on the emotion."""

_OPENINGS = ("My note says", "You told me", "I wrote down", "Let me repeat", "The list says", "I have here")


def draw_sentence(words_class: str, matter: int, rng: np.random.Generator) -> str:
    """Draw a sentence whose wording shows ``words_class``."""
    template = TEMPLATES[words_class][rng.integers(len(TEMPLATES[words_class]))]
    return template.format(**_circumstances(matter, rng), number=rng.integers(3, 60))


def draw_judgement(words_class: str, matter: int, rng: np.random.Generator) -> str:
    """Draw a sentence of mode ``xor``: one word shows the class, all others do not depend on it."""
    words = JUDGEMENTS[words_class]
    carrier = _CARRIERS[rng.integers(len(_CARRIERS))]
    return carrier.format(**_circumstances(matter, rng), word=words[rng.integers(len(words))])


def _circumstances(matter: int, rng: np.random.Generator) -> dict[str, str]:
    """Return the fillers of a template; draws a person and a time."""
    thing, place = MATTERS[matter]
    person = PEOPLE[rng.integers(len(PEOPLE))]
    time = TIMES[rng.integers(len(TIMES))]
    capital = person[0].upper() + person[1:]
    return {"thing": thing, "place": place, "person": person, "Person": capital, "time": time}


def draw_list(order: tuple[int, ...], stressed_position: int, rng: np.random.Generator) -> tuple[str, int]:
    """Draw a sentence of mode ``word_prosody``: words of the given kinds in that order, none of them twice.

    Returns:
        The sentence, and the index of the word to be stressed: that in ``stressed_position``.
    """
    opening = _OPENINGS[rng.integers(len(_OPENINGS))].split()
    shuffled = [iter(rng.permutation(words).tolist()) for words in KINDS]
    return " ".join([*opening, *(next(shuffled[kind]) for kind in order)]) + ".", len(opening) + stressed_position
