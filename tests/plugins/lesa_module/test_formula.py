from __future__ import annotations

import pytest
import torch

from lesa_module.formula import Formula


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        ("timestep", "timestep", 0.25, 0.25),
        ("timestep/1000", "timestep", 250, 0.25),
        (" 1 - t ", "t", 0.75, 0.25),
        ("(t + 1) / 1000", "t", 249, 0.25),
        ("-t + 1", "t", 0.75, 0.25),
        ("0.5 * +t", "t", 0.5, 0.25),
        ("sigma / (3 + sigma)", "sigma", 1.0, 0.25),  # the name may come twice
        ("1e-3*t", "t", 250.0, 0.25),
    ],
)
def test_numbers_and_tensors(text, name, value, expected):
    formula = Formula(text)
    assert formula.name == name
    assert formula(value) == pytest.approx(expected)
    result = formula(torch.tensor([value, value]))
    assert torch.allclose(result, torch.tensor([expected, expected]))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16, torch.float16, torch.float64])
def test_a_tensor_is_worked_out_in_float32(dtype):
    result = Formula("1 - t/1000")(torch.tensor([999], dtype=dtype))
    assert result.dtype == torch.float32
    # bfloat16 holds 1000 for 999: what came in cannot be mended, but nothing is lost on top.
    assert float(result) == pytest.approx(1 - float(torch.tensor(999.0).to(dtype)) / 1000, abs=1e-6)


def test_a_formula_may_be_infinite_where_there_is_no_noise_level():
    assert Formula("0.25 / (1.5 - t)")(0.5) == pytest.approx(0.25)
    assert Formula("0.25 / (t + 0.5)")(0.5) == pytest.approx(0.25)


def test_the_longest_formula():
    text = "t" + " " * 199
    assert Formula(text)(0.25) == 0.25
    with pytest.raises(ValueError, match="longer than 200 characters"):
        Formula(text + " ")


def test_a_tensor_stays_on_its_device():
    assert Formula("t/1000")(torch.ones(2, device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it cannot be parsed"),
        ("t /", "it cannot be parsed"),
        ("t\0", "it cannot be parsed"),
        ("(" * 300 + "t", "it is longer than 200 characters"),
        ("(" * 150 + "t", "it cannot be parsed"),
        ("0.5", "names none"),
        ("t/T", "names T, t"),
        ("t**2", "'t ** 2' is not allowed: only + - * / on numbers and one name are"),
        ("9**9**9**t", "is not allowed"),
        ("t**2 + 1", "'t ** 2' is not allowed"),
        ("1 + t**2", "'t ** 2' is not allowed"),
        ("-(t**2)", "'t ** 2' is not allowed"),
        ("t % 2", "is not allowed"),
        ("t if t else 1", "is not allowed"),
        ("t.item()", "'t.item()' is not allowed"),
        ("__import__('os').system('true')", "is not allowed"),
        ("t[0]", "is not allowed"),
        ("lambda t: t", "is not allowed"),
        ("[t for t in t]", "is not allowed"),
        ("t * True", "'True' is not allowed"),
        ("t * 1j", "is not allowed"),
        ("t * 'a'", "is not allowed"),
        ("(x := t)", "is not allowed"),
        ("t/0", "it divides by zero or overflows"),
        ("t/(1 - 1)", "it divides by zero or overflows"),
        ("t * 1e999", "it divides by zero or overflows"),
        ("t * 1e308 * 1e308", "it divides by zero or overflows"),
    ],
)
def test_anything_else_is_refused_with_examples(text, complaint):
    with pytest.raises(ValueError, match="Valid examples: timestep, timestep/1000, 1 - t") as caught:
        Formula(text)
    assert complaint in str(caught.value)
