from __future__ import annotations

import time

import pytest
from pydantic import BaseModel, ConfigDict

from lesa_framework import ConfigError, load_config
from lesa_framework.config.reading import listed, parse_yaml, read_section, read_yaml

#: 439 bytes that stand for a billion values.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
#: YAML that is refused -> the reason, with line and column.
REFUSED = {
    "a: 1\nb: 2023-13-45": "'2023-13-45' is read as timestamp, which is of no use here; put quotes around it to make "
    "it text at line 2, column 4",
    "a: !!timestamp 5": "is read as timestamp",
    "a: !!binary aGk=": "is read as binary",
    "a: !!set {x}": "this mapping is read as set",
    "a: !!omap [x: 1]": "this sequence is read as omap",
    "a: !!python/object:os.system {}": "at line 1, column 4",
    "a: !odd 5": "could not determine a constructor for the tag '!odd' at line 1, column 4",
    "a: !!int x": "'x' is not a valid int at line 1, column 4",
    "a: !!float ''": "'' is not a valid float at line 1, column 4",
    "a: !!bool maybe": "'maybe' is not a valid bool at line 1, column 4",
    "? [1]\n: 2": "the key this sequence is no text; put quotes around it at line 1, column 3",
    "{{}: 2}": "the key this mapping is no text",
    "a: {1: 2}": "the key '1' is no text; put quotes around it at line 1, column 5",
    "yes: 2": "the key 'yes' is no text",
    "a: 9223372036854775808": "is beyond 9223372036854775807 at line 1, column 4",
    "a: " + "9" * 5000: "at line 1, column 4",
    "a: 0x" + "f" * 5000: "is beyond 9223372036854775807 at line 1, column 4",
    'a: "\\ud800"': "is half a character, which no file can hold at line 1, column 4",
    'a: "\\U00110000"': "at line 1, column",
    "a: \x00": "special characters are not allowed at line 1, column 4",
    "\n\na: \x07": "special characters are not allowed at line 3, column 4",
    "[" * 3000: "nested more than 50 levels deep at line 1, column 51",
    "- " * 3000: "nested more than 50 levels deep",
    "a: *b": "found undefined alias 'b' at line 1, column 4",
    "a: &a [*a]": "alias 'a' stands for something that contains it at line 1, column 8",
    "a: &a {b: {<<: *a}}": "alias 'a' stands for something that contains it",
    "a: 1\nb: 2\na: 3": "'a' is given twice; keep one of them at line 3, column 1",
    "%YAML 1.9999\n---\na: [": "at line 3, column",
    BOMB: "more than 100,000 values, aliases included at line 5, column",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:20]))
def test_what_is_no_plain_data_is_refused_with_line_and_column(text):
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "here")
    assert str(caught.value).startswith("here: ")
    assert REFUSED[text] in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.perf_counter() - started < 5, "a bomb takes minutes"


def test_the_bomb_is_as_small_as_it_is_said_to_be():
    assert len(BOMB) < 600


def test_aliases_and_merges_within_bounds_are_read():
    text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}"
    assert parse_yaml(text, "") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1}


def test_a_file_that_is_too_long_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"it has 2,000,000 characters; at most 1,048,576 are read"):
        parse_yaml("x" * 2_000_000, "here")


@pytest.mark.parametrize(
    "given",
    [10**5000, "x" * 10**6, [[[[[[[["x"]]]]]]]] * 1000, {str(n): "x" * 1000 for n in range(1000)}],
    ids=["number", "text", "list", "mapping"],
)
def test_values_are_quoted_in_few_words(given):
    with pytest.raises(ConfigError) as caught:
        load_config({"schedule": {"kind": "fixed_interval", "interval": given}, "predictor": given})
    assert len(str(caught.value)) < 2000


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")


def test_very_many_problems_are_listed_in_part_and_at_once(tmp_path):
    problems: list[str] = []
    started = time.perf_counter()
    assert read_section(Small, "small", {f"key{n}": 1 for n in range(10_000)}, tmp_path, problems) is None
    assert time.perf_counter() - started < 5
    assert len(problems) == 10_000
    lines = listed(problems).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 9980 more problems of this sort."
