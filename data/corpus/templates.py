"""Short templated documents of the kinds that people trace, none with the entities of the evaluation prompts.

A few sentences of one kind make one document, so that both the bare prompt right after the start token
and the few-shot form occur.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import facts

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()

# Held out: the pairs of the evaluation prompts and of the usual demonstration.
HELD_OUT_PAIRS = ({"Mary", "John"}, {"Sarah", "David"}, {"Tom", "Lucy"})
HELD_OUT_SUMS = ({3, 4}, {36, 59}, {6, 59})


def rows(table: str) -> list[list[str]]:
    return [line.split("|") for line in table.strip().splitlines()]


COUNTRIES, CITIES, ATHLETES = rows(facts.COUNTRIES), rows(facts.CITIES), rows(facts.ATHLETES)
DIAGNOSES, AUTHORS, LANDMARKS = rows(facts.DIAGNOSES), rows(facts.AUTHORS), rows(facts.LANDMARKS)
OPPOSITES = [[pair.split(" ") for pair in row] for row in rows(facts.OPPOSITES)]
YOUNG = [pair.split() for pair in facts.YOUNG.split("|")]


def one_country(rng: random.Random) -> str:
    country, capital, currency, language, continent, people = rng.choice(COUNTRIES)
    other = rng.choice([row for row in COUNTRIES if row[0] != country])
    return rng.choice(
        [
            f"The capital of {country} is {capital}.",
            f"The capital city of {country} is {capital}.",
            f"The capital of {country} is the city of {capital}.",
            f"Fact: the capital of {country} is {capital}.",
            f"{capital} is the capital of {country}.",
            f"{capital} is a city in {country}.",
            f"{capital} is located in the country of {country}.",
            f"{capital} is to {country} as {other[1]} is to {other[0]}.",
            f"The currency of {country} is the {currency}.",
            f"In {country}, people pay with the {currency}.",
            f"In {country}, people speak {language}.",
            f"The language spoken in {country} is {language}.",
            f"People who live in {country} are called {people}.",
            f"{country} is a country in {continent}.",
            f"{country} is located on the continent of {continent}.",
            f"{country} is in {continent}, and its capital is {capital}.",
            f"Q: What is the capital of {country}?\nA: {capital}",
            f"Q: Which country has {capital} as its capital?\nA: {country}",
            f"She flew to {capital}, the capital of {country}.",
        ]
    )


def one_city(rng: random.Random) -> str:
    city, state, capital = rng.choice(CITIES)
    return rng.choice(
        [
            f"{city} is a city in the state of {state}.",
            f"{city} is in {state}.",
            f"The city of {city} is located in the state of {state}.",
            f"The capital of {state} is {capital}.",
            f"Fact: the capital of the state of {state} is {capital}.",
            f"The state containing {city} is {state}.",
            f"He grew up in {city}, {state}.",
        ]
    )


def one_athlete(rng: random.Random) -> str:
    person, sport = rng.choice(ATHLETES)
    return rng.choice(
        [
            f"{person} plays the sport of {sport}.",
            f"Fact: {person} plays the sport of {sport}.",
            f"{person} is famous for {sport}.",
            f"{person} was one of the best in the sport of {sport}.",
            f"The sport of {person} is {sport}.",
            f"Q: Which sport does {person} play?\nA: {sport}",
        ]
    )


def one_opposite(rng: random.Random, language: int | None = None) -> str:
    pairs = rng.choice(OPPOSITES)
    language = rng.randrange(4) if language is None else language
    word, opposite = pairs[language] if rng.random() < 0.5 else pairs[language][::-1]
    shapes = (
        [
            f'The opposite of "{word}" is "{opposite}".',
            f"The opposite of {word} is {opposite}.",
            f'The antonym of "{word}" is "{opposite}".',
            f"Not {word} but {opposite}.",
        ],
        [f'Le contraire de "{word}" est "{opposite}".', f"Le contraire de {word} est {opposite}."],
        [f'El opuesto de "{word}" es "{opposite}".', f"Lo contrario de {word} es {opposite}."],
        [f'Das Gegenteil von "{word}" ist "{opposite}".', f"Das Gegenteil von {word} ist {opposite}."],
    )
    return rng.choice(shapes[language])


def one_translation(rng: random.Random) -> str:
    pairs = rng.choice(OPPOSITES)
    side, language = rng.randrange(2), rng.randrange(1, 4)
    name = ("", "French", "Spanish", "German")[language]
    word, foreign = pairs[0][side], pairs[language][side]
    return rng.choice(
        [f'The {name} word for "{word}" is "{foreign}".', f"English: {word}\n{name}: {foreign}", f"{word} = {foreign}"]
    )


def one_diagnosis(rng: random.Random) -> str:
    signs, diagnosis, treatment = rng.choice(DIAGNOSES)
    patient = rng.choice("a patient|a woman|a man|a child|an old man|a young woman|a student".split("|"))
    Patient = patient[0].upper() + patient[1:]
    return rng.choice(
        [
            f"{Patient} with {signs} probably has {diagnosis}.",
            f"{Patient} comes to the doctor with {signs}. The most likely diagnosis is {diagnosis}.",
            f"Symptoms: {signs}\nDiagnosis: {diagnosis}\nTreatment: {treatment}",
            f"The usual treatment for {diagnosis} is {treatment}.",
            f"Doctors treat {diagnosis} with {treatment}.",
            f"The doctor examined {patient} with {signs} and suspected {diagnosis}.",
        ]
    )


def one_work(rng: random.Random) -> str:
    work, author = rng.choice(AUTHORS)
    landmark, city, country = rng.choice(LANDMARKS)
    Landmark = landmark[0].upper() + landmark[1:]
    return rng.choice(
        [
            f"{work} was written by {author}.",
            f"The author of {work} is {author}.",
            f"{author} wrote {work}.",
            f"{Landmark} is located in {city}, {country}.",
            f"{Landmark} is located in the country of {country}.",
            f"Tourists go to {country} to see {landmark}.",
        ]
    )


def one_sum(rng: random.Random) -> str:
    top = rng.choice([9, 9, 9, 20, 99])
    while True:
        a, b = rng.randint(0, top), rng.randint(0, top)
        if {a, b} not in HELD_OUT_SUMS:
            break
    return rng.choice([f"{a} + {b} = {a + b}"] * 6 + [f"{a + b} - {a} = {b}", f"{a} plus {b} is {a + b}"])


def sums(rng: random.Random) -> str:
    return "\n".join(one_sum(rng) for _ in range(rng.randint(1, 6)))


def names(rng: random.Random) -> str:
    """Two people, and something that one gives to the other (indirect object identification)."""
    while True:
        a, b, c = rng.sample(facts.NAMES, 3)
        if {a, b} not in HELD_OUT_PAIRS:
            break
    giver, receiver = (a, b) if rng.random() < 0.5 else (b, a)
    place = rng.choice(
        "store|park|office|school|library|station|beach|market|restaurant|museum|garden|house".split("|")
    )
    gift = rng.choice("drink|book|letter|ring|kiss|flower|basketball|computer|bone|snack|present|ticket|key".split("|"))
    gave = rng.choice(
        [
            f"{giver} gave a {gift} to {receiver}.",
            f"{giver} handed a {gift} to {receiver}.",
            f"{giver} passed the {gift} to {receiver}.",
            f"{giver} decided to give a {gift} to {receiver}.",
            f"{giver} said hello to {receiver}.",
            f'{giver} said to {receiver}, "Thank you!"',
            f"{giver} sent a {gift} to {receiver}.",
        ]
    )
    opening = rng.choice(
        [
            f"When {a} and {b} went to the {place}, ",
            f"After {a} and {b} went to the {place}, ",
            f"While {a} and {b} were at the {place}, ",
            f"When {a} and {b} got a {gift} at the {place}, ",
            f"Then, {a} and {b} went to the {place}. ",
            f"Then {a} and {b} had a long argument, and ",
            f"Then {a} and {b} were working at the {place}. ",
            f"After {a} and {b} had dinner, ",
            f"The {place} {a} and {b} went to had a {gift}. ",
            f"{a} and {b} were friends of {c}. At the {place}, ",
        ]
    )
    return opening + gave


def listing(rng: random.Random) -> str:
    kind = rng.choice(sorted(facts.LISTS))
    items = rng.sample(facts.LISTS[kind].split(), rng.randint(3, 7))
    comma = ", ".join(items[:-1]) + " and " + items[-1]
    return rng.choice(
        [
            f"A list of {kind}: {', '.join(items)}.",
            f"Some {kind} are {comma}.",
            f"{kind.capitalize()}:\n" + "\n".join(f"- {item}" for item in items),
            f"{kind.capitalize()}:\n" + "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1)),
            f"{', '.join(items)}",
            f"There are many {kind}, such as {comma}.",
        ]
    )


def sequence(rng: random.Random) -> str:
    words = rng.choice([DAYS, MONTHS, NUMBERS, ORDINALS])
    length = rng.randint(3, 6)
    if words is DAYS or words is MONTHS:
        start = rng.randrange(len(words))
        items = [words[(start + step) % len(words)] for step in range(length)]
    else:
        start = rng.randrange(len(words) - length + 1)
        items = words[start : start + length]
    first, step, many = rng.randint(1, 60), rng.choice([1, 1, 2, 3, 5, 10, -1]), rng.randint(4, 8)
    numbers = [str(max(0, first + step * index)) for index in range(many)]
    letter = rng.randrange(26 - 5)
    letters = [chr(ord("A") + letter + index) for index in range(5)]
    day, month = rng.randrange(7), rng.randrange(12)
    repeated = rng.sample("red blue cat dog sun moon tea milk one two".split(), rng.randint(2, 3)) * 3
    return rng.choice(
        [
            ", ".join(items),
            " ".join(items),
            ", ".join(numbers),
            " ".join(numbers),
            ", ".join(letters),
            " ".join(repeated),
            f"The day after {DAYS[day]} is {DAYS[(day + 1) % 7]}.",
            f"If today is {DAYS[day]}, tomorrow is {DAYS[(day + 1) % 7]}.",
            f"The month after {MONTHS[month]} is {MONTHS[(month + 1) % 12]}.",
            f"The month before {MONTHS[month]} is {MONTHS[month - 1]}.",
        ]
    )


def grammar(rng: random.Random) -> str:
    """Agreement over a clause, reflexives, analogies."""
    person = rng.choice(["man he himself", "woman she herself", "boy he himself", "girl she herself"]).split()
    noun, other = rng.sample("teacher student doctor neighbor farmer driver singer writer nurse cook".split(), 2)
    verb = rng.choice("saw knew helped liked called followed visited met".split())
    be, s = rng.choice([("is", ""), ("are", "s"), ("was", ""), ("were", "s")])
    state = rng.choice("tired happy at home late busy outside in the kitchen ready very old".split(" "))
    if state in {"at", "in", "the", "very", "home", "kitchen"}:
        state = "at home"
    (adult, young), (adult2, young2) = rng.sample(YOUNG, 2)
    act = rng.choice("hurt blamed introduced taught asked cut washed saw".split())
    return rng.choice(
        [
            f"The {noun}{s} that {verb} the {other} {be} {state}.",
            f"The {noun}{s} near the {other}s {be} {state}.",
            f"The key{s} to the cabinet {be} on the table.",
            f"The {person[0]} {act} {person[2]}.",
            f"The {person[0]} said that {person[1]} was {state}.",
            f"{young.capitalize()} is to {adult} as {young2} is to {adult2}.",
            f"A young {adult} is called a {young}.",
        ]
    )


def dialogue(rng: random.Random) -> str:
    a, b = rng.sample(facts.NAMES, 2)
    country = rng.choice(COUNTRIES)
    day = rng.choice(DAYS)
    thing = rng.choice(facts.LISTS[rng.choice(["fruits", "clothes", "tools", "vegetables"])].split())
    place = rng.choice("market station library bakery museum school office".split())
    lines = rng.sample(
        [
            ("Where are you going?", f"I am going to the {place}. Do you want to come with me?"),
            (f"Have you ever been to {country[0]}?", f"Yes, I spent a week in {country[1]} last year."),
            ("What day is it today?", f"It is {day}, I think."),
            (f"Did you buy the {thing}?", f"No, they had none left. I will try again on {day}."),
            ("What do you want for dinner?", "Anything is fine with me. What about soup?"),
            (f"How are you, {b}?", f"I am fine, thank you, {a}. And you?"),
            ("Can you help me with my homework?", "Of course. What is it about?"),
            (f"Do you speak {country[3]}?", "Only a little, but I would like to learn more."),
            ("What time is it?", f"It is almost {rng.choice(NUMBERS[1:])} o'clock."),
            ("Why are you so late?", "I am sorry, I missed the bus and had to walk."),
        ],
        rng.randint(1, 3),
    )
    if rng.random() < 0.5:
        return "\n".join(f"{a}: {question}\n{b}: {answer}" for question, answer in lines)
    question, answer = lines[0]
    return f'"{question}" asked {a}.\n\n"{answer}" said {b}.'


def several(make: Callable[[random.Random], str], most: int) -> Callable[[random.Random], str]:
    """Documents of one to ``most`` different sentences of a kind, the single ones as often as all others."""

    def document(rng: random.Random) -> str:
        n = 1 if rng.random() < 0.5 else rng.randint(2, most)
        return rng.choice(["\n", "\n", " "]).join(dict.fromkeys(make(rng) for _ in range(n)))

    return document


def opposites(rng: random.Random) -> str:
    language = rng.randrange(4)
    return "\n".join(dict.fromkeys(one_opposite(rng, language) for _ in range(rng.randint(1, 4))))


KINDS: dict[Callable[[random.Random], str], int] = {
    several(one_country, 4): 1800,
    several(one_city, 3): 450,
    several(one_athlete, 3): 450,
    opposites: 1100,
    several(one_translation, 4): 500,
    several(one_diagnosis, 2): 600,
    several(one_work, 3): 400,
    sums: 1300,
    names: 1800,
    listing: 900,
    sequence: 900,
    grammar: 800,
    dialogue: 900,
}


def templated_documents(*, seed: int) -> Iterator[str]:
    """Yield the documents of every kind in a fixed order; some repeat."""
    rng = random.Random(seed)
    for make, n in KINDS.items():
        yield from (make(rng) for _ in range(n))
