"""Damaged artifacts, at random from a seed.

`python -m tests.artifacts.mutants 5000` uses as many and counts what happens.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from lesa_framework import EntryInfo, LesaError, LesaWarning, StepContext, Tap
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact
from lesa_framework.cli.inspection import describe, show
from lesa_framework.model_info import describe_model
from lesa_framework.testing import TinyDiT
from lesa_kan.experts import ExpertShape
from lesa_kan.predictor import LesaPredictorConfig
from lesa_kan.trainable_lesa import TrainableLesa

SIGMAS = (*(1 - step / 6 for step in range(6)), 0.0)
#: What takes the place of a value in the metadata.
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 7, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "NaN", "[/b]", "\x00", "ü" * 50, "9" * 5000, [], [[]], [0], [1, 2, 3], [-1] * 9, ["a"], [None], {}),
    *({"a": 1}, {"": []}, {"schema_version": 1}, [10**12], [10**12, 1, 1], [1e308, -1e308], [float("nan"), 1.0]),
)
DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "F8_E8M0",
    "F4",
    "I64",
    "I8",
    "U8",
    "U32",
    "BOOL",
    "C64",
    "X",
)


def whole() -> Artifact:
    """An artifact with nothing wrong."""
    shape = ExpertShape(num_steps=6, stage_history=(2, 3), hidden=(3,), grid=2, order=2, branches=2)
    made = TrainableLesa(shape, seed=0)
    metadata = ArtifactMetadata(
        kind="lesa",
        settings=made.settings(),
        sigmas=SIGMAS,
        backbone="tiny",
        tap=Tap.PRE_HEAD,
        models=(describe_model(TinyDiT(), ("transformer_blocks",)),),
        latent_shape=(6, 4),
        guidance=3.5,
        config={"schedule": {"kind": "always"}},
        training={"drift_db": 20.0, "prompts": 4},
    )
    return Artifact(metadata, made.tensors(SIGMAS))


def mutant(random_: random.Random, artifact: Artifact) -> tuple[str, bytes]:
    """One damaged file: how it was damaged, and its content."""
    name = random_.choice(sorted(DAMAGES))
    return name, DAMAGES[name](random_, artifact)


def use(path: Path, *, retabulate: bool) -> str:
    """Do with a file whatever is done with weights; `accepted`, or the class of the error that refused it.

    Raises:
        Exception: Anything but an error of ours is a bug.
        AssertionError: It was accepted with numbers that are not finite.
    """
    try:
        artifact = load_artifact(path)
        with redirect_stdout(StringIO()):
            show(path, artifact)
        json.dumps(describe(artifact), allow_nan=False)
        predictor = LesaPredictorConfig(weights=path, retabulate=retabulate).build()
        run = replace(whole_run, sigmas=tuple(sigma**1.5 for sigma in SIGMAS)) if retabulate else whole_run
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LesaWarning)
            predictor.check(run)
    except LesaError as error:
        return type(error).__name__ if len(str(error)) < 2000 else "BUG a message of more than 2000 characters"
    assert all(bool(tensor.isfinite().all()) for tensor in artifact.tensors.values()), "weights that are not finite"
    entries = tuple(EntryInfo(step, True) for step in range(predictor.depth))
    for stage in range(predictor.num_stages or 1):
        for step in range(len(run.sigmas) - 1):
            filter_ = predictor.filter(entries, StepContext(step, run.sigmas, stage=stage, entries=entries))
            assert torch.tensor([*filter_.weights, filter_.bias]).isfinite().all(), "a filter that is not finite"
    return "accepted"


def fuzz(count: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """Use `count` mutants; counts pairs of damage and outcome. Of bugs, the outcome begins with `BUG`."""
    random_, artifact, outcomes = random.Random(seed), whole(), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        for number in range(count):
            damage, content = mutant(random_, artifact)
            path.write_bytes(content)
            try:
                outcome = use(path, retabulate=number % 10 == 0)
            except Exception as error:
                outcome = f"BUG {type(error).__name__}: {' '.join(str(error).split())[:200]} (seed {seed}, {number})"
            outcomes[damage, outcome] += 1
    return outcomes


# -------------------------------------------------------------------------------------------------- the damages
def _bytes(random_: random.Random, artifact: Artifact) -> bytes:
    content = bytearray(_file(artifact.metadata.model_dump(mode="json"), artifact.tensors))
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(random_.choice([1, 1, 1, 2, 8, 64])):
        end = random_.choice([8, header, len(content)])
        start = random_.randrange(min(end, max(len(content), 1)))
        length = random_.choice([1, 1, 1, 4, 40])
        change = random_.randrange(4)
        if change == 0:
            content[start : start + length] = random_.randbytes(length)
        elif change == 1:
            del content[start : start + length]
        elif change == 2:
            content[start:start] = random_.randbytes(length)
        else:
            content = content[: start + 1]
        if not content:
            break
    return bytes(content)


def _header(random_: random.Random, artifact: Artifact) -> bytes:
    content = _file(artifact.metadata.model_dump(mode="json"), artifact.tensors)
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = random_.choice(sorted(header))
    entry = header[name]
    change = random_.randrange(6)
    if change == 0:
        del header[name]
    elif change == 1:
        header[random_.choice(["", "a", "taps", "gains", "kan.9.9.coef", "[/b]", "\n"])] = header.pop(name)
    elif change == 2:
        header[name] = random_.choice(ODD)
    elif "dtype" in entry and change == 3:
        entry["dtype"] = random_.choice(DTYPES)
    elif "shape" in entry and change == 4:
        entry["shape"] = random_.choice([[], [0], [1, *entry["shape"]], entry["shape"][::-1], [2**63], [-1], ["a"]])
    else:
        _mutate(random_, header)
    return _framed(header, data)


def _metadata(random_: random.Random, artifact: Artifact) -> bytes:
    metadata = artifact.metadata.model_dump(mode="json")
    for _ in range(random_.choice([1, 1, 1, 2, 5])):
        _mutate(random_, metadata)
    return _file(metadata, artifact.tensors)


def _settings(random_: random.Random, artifact: Artifact) -> bytes:
    metadata = artifact.metadata.model_dump(mode="json")
    _mutate(random_, metadata["settings"])
    return _file(metadata, artifact.tensors)


def _json(random_: random.Random, artifact: Artifact) -> bytes:
    text = artifact.metadata.model_dump_json()
    start = random_.randrange(len(text))
    piece = random_.choice(
        ["", "NaN", "1e999", "[" * 9999, '{"a":' * 9999, '"', "\\ud800", "-", "9" * 9999, "null", "}"]
    )
    return _file(text[:start] + piece + text[start + random_.choice([0, 1, 5]) :], artifact.tensors)


def _shapes(random_: random.Random, artifact: Artifact) -> bytes:
    tensors = dict(artifact.tensors)
    name = _name(random_, tensors)
    old = tensors[name]
    change: dict[int, Callable[[], Tensor]] = {
        0: lambda: old[:0],
        1: lambda: old.reshape(-1),
        2: lambda: old.unsqueeze(0),
        3: lambda: old.transpose(0, -1).contiguous(),
        4: lambda: old[..., :-1],
        5: lambda: torch.cat([old, old]),
        6: lambda: old.flatten()[0],
        7: lambda: old.to(random_.choice([torch.int64, torch.bool, torch.uint8, torch.complex64])),
        8: lambda: old.to(random_.choice([torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float16])),
    }
    number = random_.randrange(10)
    if number in change:
        tensors[name] = change[number]()
    else:
        del tensors[name]
    return _file(artifact.metadata.model_dump(mode="json"), tensors)


def _numbers(random_: random.Random, artifact: Artifact) -> bytes:
    tensors = {name: tensor.clone() for name, tensor in artifact.tensors.items()}
    flat = tensors[_name(random_, tensors)].view(-1)
    for _ in range(random_.choice([1, 1, 3])):
        flat[random_.randrange(len(flat))] = random_.choice([torch.nan, torch.inf, -torch.inf])
    return _file(artifact.metadata.model_dump(mode="json"), tensors)


def _large(random_: random.Random, artifact: Artifact) -> bytes:
    tensors = {name: tensor.clone() for name, tensor in artifact.tensors.items()}
    for name in random_.sample(["gains", "taps", "bias", _name(random_, tensors)], 2):
        tensors[name].view(-1)[random_.randrange(tensors[name].numel())] = random_.choice([1e38, -3e38, 1e30, 1e-45])
    return _file(artifact.metadata.model_dump(mode="json"), tensors)


def _file_of_nothing(random_: random.Random, artifact: Artifact) -> bytes:
    return random_.choice([b"", b"{}", random_.randbytes(random_.randrange(200)), _framed({}, b""), save({})])


DAMAGES: dict[str, Callable[[random.Random, Artifact], bytes]] = {
    "bytes": _bytes,
    "header": _header,
    "metadata": _metadata,
    "settings": _settings,
    "json": _json,
    "shapes": _shapes,
    "numbers": _numbers,
    "large numbers": _large,
    "nothing": _file_of_nothing,
}


def _mutate(random_: random.Random, node: Any) -> None:
    """Change one value somewhere in a JSON tree."""
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = random_.choice(keys) if keys else None
        if key is not None and isinstance(node[key], dict | list) and node[key] and random_.random() < 0.6:
            node = node[key]
            continue
        break
    change = random_.randrange(5)
    if key is not None and change == 0:
        del node[key]
    elif isinstance(node, dict) and (change == 1 or key is None):
        node[random_.choice(["", "extra", "schema_version", "weights"])] = deepcopy(random_.choice(ODD))
    elif isinstance(node, list) and (change == 1 or key is None):
        node.append(deepcopy(random_.choice(ODD)))
    else:
        node[key] = deepcopy(random_.choice(ODD))


def _name(random_: random.Random, tensors: dict[str, Tensor]) -> str:
    return random_.choice(["gains", "taps", "bias", random_.choice(sorted(tensors))])


def _file(metadata: Any, tensors: dict[str, Tensor]) -> bytes:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={"lesa": text})


def _framed(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


whole_run = whole().metadata.run

if __name__ == "__main__":
    started, wanted = time.time(), int(sys.argv[1])
    found = fuzz(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for (damage, outcome), times in sorted(found.items()):
        print(f"{times:6d}  {damage:14s}  {outcome}")
    bugs = sum(times for (_, outcome), times in found.items() if outcome.startswith("BUG"))
    print(f"{wanted} mutants, {bugs} bugs, {time.time() - started:.0f} s")
    sys.exit(bool(bugs))
