"""No evaluation prompt, and none of their templates with the same entities, is in the bundled corpus."""

from __future__ import annotations

import json
import re

import pytest

from workbench.corpus import bundled
from workbench.files import DATA

# The template and the entity of each prompt that follows a template, in any wording that would teach the answer.
SAME_TEMPLATE_SAME_ENTITY = {
    "capital": r"capital (city )?of (the country of )?(france|japan) is|paris is the capital of france",
    "analogy": r"(paris is to france|tokyo is to japan|puppy is to dog|kitten is to cat)\b",
    "currency": r"currency of (the united kingdom|japan|england|great britain) is",
    "colour": r"colou?r of grass is",
    "symbol": r"(chemical )?symbol (for|of) gold is",
    "opposite": r"(opposite|antonym) (of|for) \W?(up|early)\b",
    "contraire": r"contraire de \W?(chaud|petit)\b",
    "opuesto": r"(opuesto|contrario) de \W?(caliente|pequeño)\b",
    "sport": r"(michael jordan|tiger woods) (plays|played|is famous)",
    "city": r"\bdallas is (a city|in texas)",
    "wall": r"great wall is located",
    "sum": r"\b3 \+ 4 = |\b4 \+ 3 = ",
    "author": r"harry potter was written",
    "inventor": r"telephone was invented by",
    "planet": r"planet closest to the sun is",
    "ocean": r"largest ocean on earth is",
    "giving": r"\b(sarah and david|david and sarah|tom and lucy|lucy and tom|mary and john|john and mary) "
    r"(went|were|had|got) [^.]*(to|at|a)\b[^.]*(gave|handed|passed|said)",
    "diagnosis": r"probably (has|is having) (a heart attack|chicken ?pox|pre-?eclampsia)|high blood sugar is a sign",
}


def words(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(bundled().documents(seed=None))


def test_no_evaluation_prompt_is_in_the_corpus(documents: list[str]) -> None:
    lines = (DATA / "prompts" / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = "|".join(words(document) for document in documents)
    found = [prompt for line in lines if words(prompt := json.loads(line)["prompt"]) in corpus]
    assert len(lines) == 50
    assert found == []


@pytest.mark.parametrize("kind", SAME_TEMPLATE_SAME_ENTITY)
def test_no_template_has_the_entity_of_an_evaluation_prompt(documents: list[str], kind: str) -> None:
    pattern = re.compile(SAME_TEMPLATE_SAME_ENTITY[kind], re.IGNORECASE)
    assert [match[0] for document in documents if (match := pattern.search(document))] == []


@pytest.mark.parametrize(
    "text", ["The capital of Kenya is Nairobi", 'El opuesto de "rico" es "pobre"', "plays the sport of", " + 5 = "]
)
def test_the_templates_themselves_are_in_the_corpus(documents: list[str], text: str) -> None:
    """So the search above would have found something if there were something to find."""
    assert any(text in document for document in documents)
