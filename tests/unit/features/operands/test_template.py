"""Where the parts of an arithmetic prompt stand, for tokenizers that split numbers and for those that do not."""

from __future__ import annotations

import pytest
from helpers import tiny_model

from workbench.errors import ConfigError, ModelError, PromptError
from workbench.features.operands import Template
from workbench.models import LoadedModel


@pytest.mark.parametrize(
    ("role", "positions"),
    [
        # <s> 7 + 1 2 =    and    <s> 3 6 + 5 =
        ("a_first", [1, 1]),
        ("a_last", [1, 2]),
        ("+", [2, 3]),
        ("b_first", [3, 4]),
        ("b_last", [4, 4]),
        ("=", [5, 5]),
        ("last", [5, 5]),
    ],
)
def test_roles_are_found_in_each_prompt_by_itself(digits: LoadedModel, role: str, positions: list[int]) -> None:
    template = Template.parse("{a} + {b} =")
    found = [template.prompts(digits, [a], [b], role).positions[0] for a, b in [(7, 12), (36, 5)]]
    assert found == positions


def test_an_operand_of_one_token_is_its_own_first_and_last() -> None:
    model = tiny_model("llama")
    template = Template.parse("w{a} w{b} w5")
    prompts = template.prompts(model, [12], [34], "a_last")
    assert prompts.rows == [(0, 12, 34, 5)]
    assert prompts.positions == template.prompts(model, [12], [34], "a_first").positions == [1]


def test_pairs_run_with_b_fastest_and_begin_with_the_start_token(digits: LoadedModel) -> None:
    rows = Template.parse("{a} + {b}").prompts(digits, [1, 2], [3, 14], "last").rows
    assert rows == [(0, 3, 12, 5), (0, 3, 12, 3, 6), (0, 4, 12, 5), (0, 4, 12, 3, 6)]


def test_braces_padding_and_the_other_order_are_written_as_in_python() -> None:
    assert Template.parse("{{{b:02d}}} - {a}").fill(7, 3) == "{03} - 7"


def test_a_literal_among_examples_is_named_by_enough_of_it() -> None:
    template = Template.parse("1 + 2 = 3; {a} + {b} = ")
    with pytest.raises(ConfigError, match=r"'=' stands 2 times .* give more of it"):
        template.character("=", 1, 2)
    assert template.character(" = 3", 1, 2) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a} + ", r"holds \{b\} 0 times"),
        ("3 + {b} = ", r"holds \{a\} 0 times"),
        ("a + b", r"holds \{a\} 0 times"),
        ("{a} + {a} + {b}", r"holds \{a\} 2 times"),
        ("{a} + {c}", r"holds \{c\}: its operands are"),
        ("{} + {b}", r"holds \{\}: its operands are"),
        ("{a!r} + {b}", r"holds \{a\}"),
        ("{a + {b}", "cannot be read"),
        ("{a:z} + {b}", "cannot be read"),
        ("", r"holds \{a\} 0 times"),
    ],
)
def test_a_template_without_its_operands_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Template.parse(text)


@pytest.mark.parametrize("role", ["c_last", "a_middle", "*", "", "12"])
def test_a_role_that_the_template_does_not_have_is_told_with_those_it_has(role: str) -> None:
    with pytest.raises(ConfigError, match=r"has no role .* give one of a_first, .* \('\+', '='\)"):
        Template.parse("{a} + {b} = ").character(role, 12, 12)


def test_a_prompt_that_is_too_long_is_told_before_the_run(digits: LoadedModel) -> None:
    with pytest.raises(PromptError, match="the limit is 64"):
        Template.parse("w20 " * 60 + "{a} + {b}").prompts(digits, [1], [2], "last")


def test_a_tokenizer_that_drops_the_end_of_the_prompt_is_told(digits: LoadedModel) -> None:
    """This one drops spaces, so that no token ends where the prompt does."""
    with pytest.raises(PromptError, match="let the template end in something else"):
        Template.parse("{a} + {b} ").prompts(digits, [1], [2], "last")


def test_a_tokenizer_without_offsets_is_told(digits: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(digits.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="need a model with a fast tokenizer"):
        Template.parse("{a} + {b}").prompts(digits, [1], [2], "last")
