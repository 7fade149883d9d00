"""What README.md and docs/reference/fitted.md claim, read from the pages themselves, and whether it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.recompute.gates import is_gate
from benchmarks.recompute.methods import ROOT, is_known

#: Model -> its name on the pages, its computed steps, the paper's schedule for them, the even one.
SYSTEMS = {
    "flux": ("FLUX", 10, "n7", "even10"),
    "qwen_image": ("Qwen-Image", 8, "n10", "even8"),
    "hunyuan_video": ("HunyuanVideo", 10, "n7", "even10"),
}
_NUMBER = r"([+−-]\d+\.\d+)"
#: A difference with its interval, as all pages write it.
_DIFFERENCE = rf"{_NUMBER} \({_NUMBER} to {_NUMBER}\), (ahead|behind|level)"
#: Lines of README.md's table that are rows of ours: how the row is named for a model.
_LINES = {
    "fitted, searched steps": "ref-{model}-fitted-nfe{nfe}",
    "LESA, our recipe, even steps": "ref-{model}-lesa-{even}",
    "LESA, our recipe, the paper's steps": "ref-{model}-lesa-{paper}",
    "LESA, the paper's recipe and steps": "ref-{model}-lesa-paper-{paper}",
    "TaylorSeer, even steps": "taylorseer{order}-{even}",
    "TaylorSeer, the paper's steps": "taylorseer{order}-{paper}",
    "fewer steps with UniPC, no cache": "unipc{order}_{nfe}",
    "fewer steps, no cache": "fewer_steps_{nfe}",
}
_TOLD = "another library's cache, told its steps"
_PLAIN = "fewer steps, no cache"
_UNIPC = "fewer steps with UniPC, no cache"
#: What README.md may claim: the first line of the table minus the second one.
_CLAIMS = {
    "fitted minus TaylorSeer on even steps": ("fitted, searched steps", "TaylorSeer, even steps"),
    "fitted minus our LESA on even steps": ("fitted, searched steps", "LESA, our recipe, even steps"),
    "fitted minus the best cache of another library": ("fitted, searched steps", _TOLD),
    "our LESA minus TaylorSeer, both on even steps": ("LESA, our recipe, even steps", "TaylorSeer, even steps"),
    "our LESA minus the best cache of another library": ("LESA, our recipe, even steps", _TOLD),
    "our LESA minus the paper's recipe, both on the paper's steps": (
        "LESA, our recipe, the paper's steps",
        "LESA, the paper's recipe and steps",
    ),
    "the paper's recipe minus TaylorSeer, both on the paper's steps": (
        "LESA, the paper's recipe and steps",
        "TaylorSeer, the paper's steps",
    ),
    "the paper's recipe minus fewer steps": ("LESA, the paper's recipe and steps", _PLAIN),
    "fitted minus fewer steps with UniPC": ("fitted, searched steps", _UNIPC),
    "our LESA minus fewer steps with UniPC": ("LESA, our recipe, even steps", _UNIPC),
}


@dataclass(frozen=True)
class Claim:
    """Of two rows, which is ahead.

    Attributes:
        page: Where it says so.
        text: What it says.
        model: `flux`, `qwen_image` or `hunyuan_video`.
        ours: The first row.
        theirs: The second one.
        published: Mean of the first minus the second in dB and both ends of the interval; of a table, the mean alone.
        verdict: `ahead`, `behind` or `level`.
    """

    page: str
    text: str
    model: str
    ours: str
    theirs: str
    published: tuple[float, ...]
    verdict: str

    @property
    def rows(self) -> tuple[str, str]:
        """Both."""
        return self.ours, self.theirs

    @property
    def is_recomputed(self) -> bool:
        """Whether both rows can be measured here."""
        return all(map(is_measured, self.rows))


def is_measured(name: str) -> bool:
    """Whether there is code for a row here."""
    return is_known(name) or is_gate(name)


def read_claims() -> list[Claim]:
    """Every claim, in the order of the pages.

    Raises:
        ValueError: A page no longer says what is looked for.
    """
    return [
        *_readme((ROOT / "README.md").read_text("utf-8")),
        *_fitted((ROOT / "docs" / "reference" / "fitted.md").read_text("utf-8")),
    ]


def _readme(text: str) -> list[Claim]:
    table = {label: _cells(text, label) for label in (*_LINES, _TOLD) if f"| {label} | " in text}
    names = {
        model: {label: _row_of(label, table[label][n] if label in table else "", model) for label in (*_LINES, _TOLD)}
        for n, model in enumerate(SYSTEMS)
    }
    found = []
    for claim in re.findall(r"^- (.+?): FLUX [+−]", text, re.MULTILINE):
        if claim not in _CLAIMS:
            raise ValueError(f"README.md has a new claim, '{claim}'. Say in claims.py which rows it is of.")
        ours, theirs = _CLAIMS[claim]
        line = _line(text, f"- {claim}: ")
        for model, (title, *_) in SYSTEMS.items():
            numbers, verdict = _difference(line, rf"{title} {_DIFFERENCE}")
            found.append(Claim("README.md", claim, model, names[model][ours], names[model][theirs], numbers, verdict))
    for label in [each for each in table if each not in (_PLAIN, _UNIPC, _TOLD)]:
        claim = f"{label}, minus fewer steps (of the table)"
        for n, model in enumerate(SYSTEMS):
            ahead = round(_decibels(table[label][n]) - _decibels(table[_PLAIN][n]), 1)
            verdict = "ahead" if ahead > 0 else "behind"
            found.append(Claim("README.md", claim, model, names[model][label], names[model][_PLAIN], (ahead,), verdict))
    return found


def _fitted(text: str) -> list[Claim]:
    """The leads of the measured table in docs/reference/fitted.md."""
    text = text.partition("<!-- leads:start -->")[2]
    found = []
    for model, (title, *_) in SYSTEMS.items():
        for nfe in (10, 8):
            cells = _line(text, f"| {title}, {nfe} of 50 | ").split(" | ")
            ours = f"ref-{model}-fitted-nfe{nfe}"
            rivals = "the best forecast without a fit", "the best LESA", "fewer steps with UniPC", "fewer steps"
            for n, rival in enumerate(rivals, start=2):
                if cells[n].startswith("–"):
                    continue
                named = re.match(r"`([^`]+)`", cells[n])
                theirs = named[1] if named else f"fewer_steps_{nfe}"
                numbers, verdict = _difference(cells[n], _DIFFERENCE)
                claim = f"fitted minus {rival}, {nfe} of 50"
                found.append(Claim("docs/reference/fitted.md", claim, model, ours, theirs, numbers, verdict))
    return found


def _line(text: str, start: str) -> str:
    for line in text.splitlines():
        if line.startswith(start):
            return line
    raise ValueError(f"no line begins with '{start}'. Was the page's form changed? Then change claims.py too.")


def _cells(text: str, label: str) -> list[str]:
    return _line(text, f"| {label} | ").strip("| ").split(" | ")[1:]


def _difference(text: str, pattern: str) -> tuple[tuple[float, ...], str]:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(
            f"'{text}' has nothing like '{pattern}'. Was the page's form changed? Then change claims.py too."
        )
    *numbers, verdict = match.groups()
    return tuple(float(number.replace("−", "-")) for number in numbers), verdict


def _decibels(cell: str) -> float:
    return float(re.search(r"\d+\.\d+", cell)[0])


def _row_of(label: str, cell: str, model: str) -> str:
    """The row that a cell of README.md's table is of."""
    _, nfe, paper, even = SYSTEMS[model]
    order = re.search(r"order (\d)", cell)
    if label in _LINES:
        return _LINES[label].format(model=model, nfe=nfe, paper=paper, even=even, order=order[1] if order else "")
    # A cell names the library's cache and not its schedule: that is the one that has this score.
    family, shown = re.search(r"`([^`]+)`", cell)[1], _decibels(cell)
    scores = published_scores(model, "reference")
    (found,) = [
        name for name, score in scores.items() if name.startswith(f"{family}-") and f"{score:.1f}" == f"{shown:.1f}"
    ]
    return found


def published_scores(model: str, *files: str) -> dict[str, float]:
    """Mean PSNR of each row of a model in the results files; of the first that has it."""
    found: dict[str, float] = {}
    for name in files:
        rows = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))["rows"]
        of_model = {row["name"]: row["psnr_db"] for row in rows if row["model"] == f"reference:{model}"}
        found = of_model | found
    return found


def interval(gains: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """Mean and 95 % interval by Student's t, each prompt counted once with the mean over its seeds."""
    means = np.array([np.mean(each) for each in gains.values()])
    half = student.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return float(means.mean()), float(means.mean() - half), float(means.mean() + half)


def judged(claim: Claim, rows: Mapping[str, Sequence[float]], prompts: Sequence[str]) -> dict[str, Any]:
    """A claim with what was measured, as JSON.

    Args:
        claim: What is claimed.
        rows: PSNR of each pair, by row.
        prompts: Of each pair.
    """
    gains: dict[str, list[float]] = {}
    for prompt, ours, theirs in zip(prompts, rows[claim.ours], rows[claim.theirs], strict=True):
        gains.setdefault(prompt, []).append(ours - theirs)
    mean, low, high = (round(each, 4) for each in interval(gains))
    return {**asdict(claim), "recomputed": [mean, low, high], "outcome": outcome(claim.verdict, mean, low, high)}


def outcome(claimed: str, mean: float, low: float, high: float) -> str:
    """`holds`: the interval says the same. `sign holds`: the mean does. Otherwise what is found instead."""
    found = "ahead" if low > 0 else "behind" if high < 0 else "level"
    if found == claimed:
        return "holds"
    if claimed == "level":
        return f"not level: {found}"
    return "sign holds" if (mean > 0) == (claimed == "ahead") else "SIGN DIFFERS"
