"""Every command on every page: it runs on a bundled or a tiny model, or at least it exists, with these options."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml

from benchmarks.full_size import command as full_size
from lesa_framework.cli.app import app
from lesa_framework.config.loading import load_config
from lesa_framework.plugin.manager import plugins
from lesa_reference import prompts, train
from tests.cli.conftest import SMALL, Lesa, lesa, workplace  # noqa: F401 - fixtures
from tests.docs.pages import ROOT, Command, blocks, commands
from tests.plugins.lesa_kan.release import release_tensors, save_release

#: Commands of ours that are not run here -> why. They are parsed, and their presets, models and files are looked up.
ONLY_PARSED = {
    "lesa bench *": "minutes; tests/cli/test_bench.py runs it on a tiny pipeline",
    "lesa check damped_line": "the package has to be installed; tests/cli/test_new.py runs its kits",
    "lesa check my_predictor": "the same",
    "lesa eval *--model black-forest-labs/*": "a download and a GPU",
    "lesa eval fitted/*": "after a training; tests/cli/test_fitted_for.py",
    "lesa eval found/*": "after a search; tests/docs/test_your_model.py runs it on a tiny pipeline",
    "lesa eval trained/*": "after a training; tests/cli/test_train.py",
    "lesa generate *--model my-model *": "tests/docs/test_your_model.py runs it on a tiny pipeline",
    "lesa push * owner/*": "an upload; tests/hub/test_hub.py runs it on a hub that is a folder",
    "lesa push owner/*": "a download; the same",
    "lesa search *": "minutes; tests/cli/test_search.py and tests/docs/test_your_model.py run it on a tiny pipeline",
    "lesa train *": "minutes; tests/cli/test_train.py runs it on a tiny pipeline",
    "lesa ui*": "a server that does not end; it has a test in a browser",
    "lesa demo*": "10 to 20 s each; tests/cli/test_demo.py runs it with one prompt",
}
#: Programs that are not ours, and of which no page says more than how they are called.
FOREIGN = frozenset({"cd", "curl", "git", "hf", "mv", "sglang", "source", "twine", "vllm"})
COMMANDS = list(commands())
OURS = [c for c in COMMANDS if c.words[0].rpartition("/")[2] == "lesa" or "lesa_framework" in c.words]
#: What every page calls `my-cache.yaml`.
STRAIGHT = "schedule: {kind: even, compute: 10}\npredictor: {kind: taylorseer, order: 1}\n"


def arguments(command: Command) -> list[str]:
    """What follows `lesa`, however the page calls it."""
    start = command.words.index("lesa_framework") if "lesa_framework" in command.words else 0
    return list(command.words[start + 1 :])


def ours() -> list[list[str]]:
    """The arguments of every `lesa`."""
    return [arguments(c) for c in OURS]


def reason(words: list[str]) -> str | None:
    """Why a command is only parsed; None if it is run."""
    line = " ".join(["lesa", *words])
    return next((why for pattern, why in ONLY_PARSED.items() if fnmatch(line, pattern)), None)


def test_there_are_commands_on_the_pages() -> None:
    assert len(COMMANDS) > 80
    assert len({command.page for command in COMMANDS}) > 15


@pytest.mark.parametrize("command", OURS, ids=str)
def test_a_command_of_ours_exists_with_its_options(command: Command) -> None:
    words = arguments(command)
    group = typer.main.get_command(app)
    with group.make_context("lesa", [words[0]]) as outer:
        found = group.get_command(outer, words[0])  # type: ignore[attr-defined]
        assert found is not None, f"{command}: there is no such command"
        if not command.shown.startswith("error:"):
            with found.make_context(words[0], words[1:], parent=outer):
                pass
    known = plugins().registry
    for word in () if command.shown.startswith("error:") else words[1:]:
        if re.fullmatch(r"ref-[\w-]+", word):
            assert word in known.presets.names(), f"{command}: {word} is no preset"
        if re.fullmatch(r"reference:\w+", word):
            assert word in known.models.names(), f"{command}: {word} is no model"


def test_each_reason_is_of_a_command() -> None:
    lines = [" ".join(["lesa", *words]) for words in ours()]
    unused = [pattern for pattern in ONLY_PARSED if not any(fnmatch(line, pattern) for line in lines)]
    assert unused == []


def _make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert re.search(rf"^{name} *\?=" if is_variable else rf"^{name}:", text, re.MULTILINE), word


def _pip(words: list[str]) -> None:
    assert words[0] == "install", words
    for word in words[1:]:
        package = re.fullmatch(r"(lesa-framework[\w-]*)(?:\[(.*)\])?", word)
        if package:
            folder = ROOT / ("plugins/lesa_reference" if package[1].endswith("-reference") else ".")
            project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
            assert project["name"] == package[1]
            extras = set((package[2] or "").split(",")) - {""}
            assert extras <= set(project.get("optional-dependencies", {})), word


def _program(main: Callable[..., None]) -> typer.Typer:
    program = typer.Typer()
    program.command()(main)
    return program


#: What `python` runs, and has options of its own.
PROGRAMS = {
    "benchmarks.full_size": full_size.app,
    "lesa_reference.train": _program(train.main),
    "lesa_reference.prompts": _program(prompts.main),
}


def _python(words: list[str]) -> None:
    if words[0] == "-m" and words[1] == "pip":
        return _pip(words[2:])
    if words[0] == "-m" and words[1] == "pytest":
        return _pytest(words[2:])
    name, *given = words[words[0] == "-m" :]
    if name in PROGRAMS:
        with typer.main.get_command(PROGRAMS[name]).make_context(name, given):
            return None
    if words[0] == "-m":
        origin = ROOT / "examples" / "third_party_plugin" / words[1] / "__main__.py"
        if not origin.exists():
            spec = find_spec(words[1])
            assert spec is not None, words
            origin = Path(str(spec.origin))
    else:
        origin = ROOT / words[0]
    source = origin.read_text()
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"\b{option.strip('-').replace('-', '[-_]')}\b", source), (option, origin.name)
    return None


def _torchrun(words: list[str]) -> None:
    assert words[0] == "--nproc-per-node"
    assert int(words[1]) > 1
    _python(words[2:])


def _pytest(words: list[str]) -> None:
    for word in words:
        assert (ROOT / word).exists(), word


def _cp(words: list[str]) -> None:
    source = words[-2]
    assert (ROOT / source).exists(), source


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _make, "pip": _pip, "python": _python, "pytest": _pytest, "cp": _cp, "torchrun": _torchrun,
}  # fmt: skip


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in OURS], ids=str)
def test_another_command_finds_what_it_names(command: Command) -> None:
    program, *words = command.words
    program = program.rpartition("/")[2]
    if program not in FOREIGN:
        assert program in CHECKS, f"{command}: say in this file how to check it"
        CHECKS[program](words)


def shorter(words: list[str]) -> list[str]:
    """The same command with fewer samples: all that differs from the page."""
    changes = {"--count": "1", "--seeds": "1"}
    pairs = zip(["", *words], words, strict=False)
    return [changes.get(before, word) for before, word in pairs]


@pytest.fixture
def furnished(workplace: Path, flux_folder: Path, page: str) -> Path:  # noqa: F811
    """A folder with the files that pages take for granted; a configuration is the page's own where it shows one."""
    own = [block.text for block in blocks("yaml") if block.page == page and "schedule:" in block.text]
    (workplace / "my-cache.yaml").write_text(own[0] if own else STRAIGHT)
    for name in ("benchmarks", "examples"):
        (workplace / name).symlink_to(ROOT / name, target_is_directory=True)
    (workplace / "FLUX.1-dev").symlink_to(flux_folder, target_is_directory=True)
    (workplace / "prompts.txt").write_text("a red ring on blue\n")
    for name in ("reference.json", "results.json"):
        shutil.copy(ROOT / "benchmarks" / "results" / "full-size-flux-nvidia-h200.json", workplace / name)
    (workplace / "ratios.json").write_text(str([1.0] * 50))
    (workplace / "weight.txt").write_text(str([[float(i == j) for j in range(50)] for i in range(50)]))
    save_release(workplace / "checkpoint.pt", release_tensors(50))
    presets = ROOT / "plugins" / "lesa_reference" / "presets"
    shutil.copytree(presets, workplace / "trained")
    (workplace / "found").mkdir()
    shutil.copy(presets / "ref-flux-fitted-nfe10.yaml", workplace / "found" / "my-model-fitted-nfe10.yaml")
    shutil.copy(presets / "ref-flux-fitted-nfe10.safetensors", workplace / "found")
    return workplace


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/getting-started.md"])
def test_my_cache_is_the_same_on_every_page(page: str) -> None:
    (text,) = (block.text for block in blocks("yaml") if block.page == page and "schedule:" in block.text)
    assert load_config(yaml.safe_load(text)) == load_config(yaml.safe_load(STRAIGHT))


PAGES_THAT_RUN = sorted({c.page for c in OURS if reason(arguments(c)) is None and c.words[0].endswith("lesa")})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_the_commands_of_a_page_run(page: str, lesa: Lesa, furnished: Path) -> None:  # noqa: F811
    for command in (c for c in OURS if c.page == page and c.words[0].endswith("lesa")):
        words = arguments(command)
        if reason(words) is None:
            outcome = lesa(*shorter(words))
            failed = command.shown.startswith("error:")
            assert outcome.code == (2 if failed else 0), (command, outcome.err)
            if failed:
                assert outcome.err.split() == command.shown.split()
            elif command.page.endswith("cli.md") and words[0] == "plan" and "--model" not in words:
                assert outcome.out.split()[: len(command.shown.split())] == command.shown.split()
