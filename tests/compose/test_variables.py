"""Variables in compose files, and files of them."""

import pytest

from simian.compose.variables import Variables, variables_in

VALUES = {"A": "a", "EMPTY": "", "B": "b"}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("plain", "plain"),
        ("$A", "a"),
        ("${A}", "a"),
        ("x${A}y$B.", "xayb."),
        ("$$A and $$$A", "$A and $a"),
        ("${NONE:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NONE-d}", "d"),
        ("${A:-d}", "a"),
        ("${NONE:-${B}}", "b"),
        ("${NONE:-${NONE:-${A}}}", "a"),
        ("${NONE:-a:b-c?d}", "a:b-c?d"),
        ("${A:+yes}", "yes"),
        ("${EMPTY:+yes}${EMPTY+set}", "set"),
        ("${A:?must}", "a"),
        ("${NONE}-${NONE}", "-"),
        ("{$A}", "{a}"),
    ],
)
def test_variables_are_replaced_as_compose_does(text: str, right: str) -> None:
    assert Variables(VALUES).replaced(text) == right


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${A", "never closed"),
        ("${}", "is no variable"),
        ("${1A}", "is no variable"),
        ("costs 5 $", "is no variable; right would be ${NAME}, or $$ for $"),
        ("$1", "is no variable"),
        ("${A!b}", "is no variable"),
        ("${NONE:?give it}", "the variable NONE must be set: give it"),
        ("${EMPTY:?}", "the variable EMPTY must be set: it has no value"),
        ("${N:-" * 12 + "x" + "}" * 12, "nested deeper"),
    ],
)
def test_what_is_no_variable_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError) as error:
        Variables(VALUES).replaced(text)
    assert why in str(error.value)


def test_names_that_are_not_set_are_told_once() -> None:
    variables = Variables(VALUES)
    variables.replaced("$ONE ${TWO} $ONE ${THREE:-3} $A")
    assert list(variables.unset) == ["ONE", "TWO"]


ENV = """\
# a comment

PLAIN=value   # said behind it
export EXPORTED=yes
SPACED = around
HASH=a#b
SINGLE='$A # kept'
DOUBLE="a \\"word\\" $A\\nline"
LINES="one
two"
USED=${PLAIN}-${A}-${NONE:-n}
EMPTY=
ONLY_NAMED
YAML: style
"""


def test_a_file_of_variables_is_read_line_by_line() -> None:
    made, problems = variables_in(ENV, ".env", VALUES)
    assert not problems
    assert made == {
        "PLAIN": "value", "EXPORTED": "yes", "SPACED": "around", "HASH": "a#b", "SINGLE": "$A # kept",
        "DOUBLE": 'a "word" a\nline', "LINES": "one\ntwo", "USED": "value-a-n", "EMPTY": "", "ONLY_NAMED": None,
        "YAML": "style",
    }  # fmt: skip


def test_what_is_wrong_in_such_a_file_is_told_with_its_line() -> None:
    made, problems = variables_in("A=1\n!!\nB=${\nC=2\n", ".env", {})
    assert made == {"A": "1", "C": "2"}
    assert [problem[:7] for problem in problems] == [".env:2:", ".env:3:"]


def test_windows_line_ends_are_no_part_of_a_value() -> None:
    assert variables_in("A=1\r\nB='2'\r\n", ".env", {})[0] == {"A": "1", "B": "2"}
