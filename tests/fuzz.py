"""Mutates files that are valid, and reads them: nothing but our own errors may come out, and none may take long.

`python -m tests.fuzz` tries 4,000 configurations, 600 prompt files, 1,000 bench files and 1,000 results files, and
prints how many were accepted, refused and bad. `tests/test_fuzz.py` tries a few of each.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from lesa_framework import LesaError, build_strategy, load_config
from lesa_framework.artifacts import shifted_grid
from lesa_framework.cli.planned_step import planned_steps
from lesa_framework.files import read_prompts
from lesa_framework.measure import read_results, write_page
from lesa_framework.measure.lineup import check_length
from lesa_framework.measure.spec import load_spec
from lesa_framework.measure.tasks import benchmark_of

ROOT = Path(__file__).parents[1]
#: The longest that one file may take, in seconds.
LIMIT = 15

#: What breaks readers of YAML: put anywhere in a file.
_TOKENS = [
    b"&a ", b"*a", b"*b", b"<<: *a", b"!!python/object:os.system {}", b"!!binary \"a\"", b"!!set {a, b}",
    b"!!omap [a: 1]", b"!!int x", b"!!float ''", b"!!bool maybe", b"!!null 7", b"!!timestamp 5", b"!!str 5",
    b"!odd 5", b"2023-13-45", b"2024-02-30 25:61:61", b"0x" + b"f" * 5000, b"9" * 5000, b"1" + b"0" * 400,
    b"9223372036854775808", b"-1", b"0", b"1e999", b".inf", b"-.inf", b".nan", b"1:99:99", b"0b12", b"08", b"~",
    b"yes", b"on", b"[", b"]", b"{", b"}", b"[" * 200, b"{a: " * 100, b"- " * 100, b"? ", b"? [a]: b", b": ", b"\n",
    b"\t", b"\r", b"\x00", b"\x07", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xa8",
    b"\xc2\x85", b"'", b'"', b'"\\ud800"', b'"\\U00110000"', b"|", b">", b"%YAML 9.9\n", b"---\n", b"...\n",
    b"#", b"@", b"`", b"x" * 3000, b"../" * 50, b"\\", b"a: &x [x, x]\nb: &y [*x, *x, *x, *x]\n", b"{<<: 5}",
    b"{<<: [*a]}", b"{[1]: 2}", b"{{}: 2}", b"{1: 2}", b"{null: 2}",
]  # fmt: skip
#: What breaks readers of JSON: put in any value's place.
_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308, 5e-324,
    "", "x", "\x00", "\ud800", "<b>", "x" * 5000, "data:,", "data:image/webp;base64,AAAA", "FPFP", "1e5",
    [], {}, [[]], [None], ["x"], [1e308], {"": None}, {"x": {}}, {"x": [1]},
]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A text with one to four accidents: bytes changed, lost, doubled or moved, and tokens put in."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice((1, 1, 3, 20, 200)))
        before, part, after = content[:at], content[at:end], content[end:]
        content = rng.choice([
            before + rng.choice(_TOKENS) + part + after,
            before + rng.choice(_TOKENS) + after,
            before + after,
            before + part + part + after,
            before + bytes([rng.randrange(256)]) + part[1:] + after,
            before,
        ])  # fmt: skip
    return content


def with_another_value(content: Any, rng: random.Random) -> Any:
    """JSON with one value replaced, removed, or under another key."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = rng.choice(list(content))
        chance = rng.random()
        if chance < 0.05:
            return {name: value for name, value in content.items() if name != key}
        if chance < 0.1:
            return {(rng.choice(["", "x", "\x00"]) if name == key else name): value for name, value in content.items()}
        return {**content, key: with_another_value(content[key], rng)}
    if isinstance(content, list) and content and rng.random() < 0.9:
        at = rng.randrange(len(content))
        return [*content[:at], with_another_value(content[at], rng), *content[at + 1 :]]
    alike = [value for value in _VALUES if type(value) is type(content)]
    return rng.choice(alike if alike and rng.random() < 0.85 else _VALUES)


def values(content: bytes, rng: random.Random) -> bytes:
    """A file of YAML or JSON with one or two other values, or the accidents of any text."""
    if rng.random() < 0.4:
        return mutated(content, rng)
    found = yaml.safe_load(content) if content[:1] != b"{" else json.loads(content)
    for _ in range(rng.choice((1, 1, 2))):
        found = with_another_value(found, rng)
    return json.dumps(found).encode()


def read_config(path: Path) -> None:
    strategy = build_strategy(load_config(path))
    grid = shifted_grid(50, 3.0)
    check_length(strategy, grid)
    planned_steps(strategy, grid)


def configs() -> list[bytes]:
    folder = ROOT / "plugins" / "lesa_reference" / "presets"
    presets = [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]
    everything = (
        "schedule: &s {kind: fixed_interval, interval: 7, warmup: 3}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor:\n  kind: taylorseer\n  order: 2\nbackbone: {kind: auto, tap: pre_head}\n"
        "engine: {check_finite: true, history: {device: cpu, dtype: float32}}\n"
        "training: {model: reference:flux, prompts: 8, num_steps: 50, batch: 4, seed: 1}\n"
    )
    return [everything.encode(), *(each.replace(b"weights: ", f"weights: {folder}/".encode()) for each in presets[:12])]


def bench_files() -> list[bytes]:
    small = (
        "models:\n  reference:flux: {configs: [ref-flux-reuse-n7], backbone: {tap: output}, call: {height: 64}}\n"
        "schedules: {a: {kind: steps, compute: [0, 3, 6]}}\nmethods: {t: {predictor: {kind: taylorseer}}}\n"
        "peers: [diffusers_taylorseer]\nnfe: [10]\nprompts: {draw: 4, seed: 1}\nseeds: [0, 1]\nsteps: 50\nbatch: 2\n"
    )
    return [small.encode(), (ROOT / "benchmarks" / "configs" / "reference.yaml").read_bytes()]


def results_files() -> list[bytes]:
    whole = json.loads((ROOT / "benchmarks" / "results" / "reference-selection.json").read_bytes())
    return [json.dumps(whole).encode()]


#: Sort -> (valid files, how they are mutated, how they are read).
SORTS: dict[
    str, tuple[Callable[[], list[bytes]], Callable[[bytes, random.Random], bytes], Callable[[Path], object]]
] = {
    "configs": (configs, values, read_config),
    "prompt files": (lambda: ["a ring\na box\n\nein großer Würfel\n".encode()], mutated, read_prompts),
    "bench files": (bench_files, values, lambda path: benchmark_of(load_spec(path))),
    "results files": (results_files, values, lambda path: write_page(read_results(path)).encode()),
}


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Ends what takes longer with an error."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path, read: Callable[[Path], object]) -> str:
    """`accepted`, `refused`, or what went wrong."""
    try:
        with at_most(LIMIT):
            read(path)
    except LesaError as error:
        return "refused" if 0 < len(str(error).encode()) <= 11_000 else f"a message of {len(str(error))} characters"
    except BaseException as error:  # even a SystemExit would be wrong
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {str(error)[:100]}"
    return "accepted"


def attempts(sort: str, count: int, folder: Path, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """The outcome of each of `count` mutated files, and the file."""
    files, mutate, read = SORTS[sort]
    valid, rng = files(), random.Random(f"{sort} {seed}")
    path = folder / "mutant"
    for number in range(count):
        content = mutate(valid[number % len(valid)], rng)
        path.write_bytes(content)
        yield outcome(path, partial(read)), content


def main(seed: int = 0, factor: float = 1.0) -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for sort, count in (("configs", 4000), ("prompt files", 600), ("bench files", 1000), ("results files", 1000)):
            started, found = time.perf_counter(), Counter[str]()
            for result, content in attempts(sort, int(count * factor), Path(folder), seed):
                found[result] += 1
                if result not in ("accepted", "refused") and found[result] == 1:
                    print(f"{sort}: {result}\n{content[:3000]!r}\n" if len(content) < 3000 else f"{sort}: {result}")
            wrong = {result: times for result, times in found.items() if result not in ("accepted", "refused")}
            bad += sum(wrong.values())
            print(
                f"{sort}: {sum(found.values())} tried, {found['accepted']} accepted, {found['refused']} refused, "
                f"{sum(wrong.values())} bad, {time.perf_counter() - started:.0f} s {wrong or ''}",
                flush=True,
            )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(*(float(text) if "." in text else int(text) for text in sys.argv[1:])))
