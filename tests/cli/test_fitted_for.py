"""What `lesa train` prints as the next command runs as printed, because the configuration says how it was fitted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lesa_framework import ConfigError, NamedModel, load_config
from lesa_framework.cli.try_it import try_it
from lesa_framework.config import fitted_for
from lesa_framework.errors import shown
from lesa_framework.pipelines import ModelSource
from tests.cli.conftest import SMALL, Lesa, Outcome

_CALL = {"height": 16, "width": 16, "true_cfg_scale": 3.0, "negative_prompt": "", "max_sequence_length": 8}


@pytest.fixture
def trained(lesa: Lesa, workplace: Path, model: Path) -> Outcome:
    """A training of eight steps on a folder, which has neither prompts nor arguments of its own."""
    (workplace / "some prompts.txt").write_text("a red ring\na blue square\n")
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: steps, compute: [0, 2, 5]}\npredictor: {kind: fitted}\n"
        "training: {num_steps: 8, batch: 2, fit: greedy}\n"
    )
    command = ("train", "--config", "mine.yaml", "--prompts", "some prompts.txt", "--model", model, "--out", "my fits")
    outcome = lesa(*command, *SMALL)
    assert outcome.code == 0, outcome.err
    return outcome


def printed(outcome: Outcome) -> list[str]:
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("try it: "))
    name, *arguments = shlex.split(line.removeprefix("try it: "))
    assert name == "lesa"
    return arguments


def test_what_training_prints_as_try_it_runs_as_printed(
    lesa: Lesa, trained: Outcome, model: Path, workplace: Path
) -> None:
    training = load_config("my fits/mine.yaml").training
    assert (training.model, training.num_steps, training.call) == (str(model), 8, _CALL)
    assert training.prompts_file.resolve() == (workplace / "some prompts.txt").resolve()
    assert "prompts_file: ../some prompts.txt" in (workplace / "my fits" / "mine.yaml").read_text()
    assert trained.out.endswith(
        "\nIt runs on the prompts of the fit. Others show better what it is worth: add --prompts FILE.\n"
    )
    outcome = lesa(*printed(trained), "--out", "results.json")
    assert outcome.code == 0, outcome.err
    assert "the prompts are those of the fit" in outcome.err
    (measured,) = json.loads((workplace / "results.json").read_text())["models"]
    assert (measured["num_steps"], measured["call"]) == (8, _CALL)
    assert [pair["prompt"] for pair in measured["pairs"]] == ["a red ring", "a blue square"]


def test_a_folder_of_a_model_is_found_from_the_configuration_s_own_place(
    lesa: Lesa, workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "my-model").symlink_to(model, target_is_directory=True)
    (workplace / "prompts.txt").write_text("a red ring\na blue square\n")
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: steps, compute: [0, 2, 5]}\npredictor: {kind: fitted}\n"
        "training: {num_steps: 8, batch: 2, fit: greedy}\n"
    )
    command = ("train", "--config", "mine.yaml", "--prompts", "prompts.txt", "--model", "my-model", "--out", "fits/a")
    outcome = lesa(*command, *SMALL)
    assert outcome.code == 0, outcome.err
    assert "model: ../../my-model\n" in (workplace / "fits" / "a" / "mine.yaml").read_text()
    assert load_config("fits/a/mine.yaml").training.model == "./my-model"
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    outcome = lesa(*printed(lesa("train", "--config", "../fits/a/mine.yaml", "--out", "again", *SMALL)))
    assert outcome.code == 0, outcome.err


def test_one_folder_may_be_spelt_in_two_ways(workplace: Path, model: Path) -> None:
    (workplace / "my-model").symlink_to(model, target_is_directory=True)
    text = "schedule: {kind: always}\npredictor: {kind: reuse}\ntraining: {model: '%s'}\n"
    (workplace / "a.yaml").write_text(text % "./my-model")
    (workplace / "b.yaml").write_text(text % "my-model")
    (workplace / "c.yaml").write_text(text % "reference:flux")
    configs = [load_config(name) for name in ("a.yaml", "b.yaml")]
    assert fitted_for.model_of(configs) == "./my-model"
    with pytest.raises(ConfigError, match=r"'a' was fitted with '\./my-model', 'c' with 'reference:flux'"):
        fitted_for.model_of([*configs, load_config("c.yaml")])


def test_a_folder_that_is_not_beside_the_configuration_counts_from_the_current_one(workplace: Path) -> None:
    (workplace / "fits").mkdir()
    (workplace / "fits" / "a.yaml").write_text(
        "schedule: {kind: always}\npredictor: {kind: reuse}\ntraining: {model: ./my-model}\n"
    )
    assert load_config("fits/a.yaml").training.model == "./my-model"


def test_a_name_that_no_file_system_takes_is_no_folder(workplace: Path) -> None:
    name = "." + "x" * 300
    (workplace / "a.yaml").write_text(
        f"schedule: {{kind: always}}\npredictor: {{kind: reuse}}\ntraining: {{model: {name}}}\n"
    )
    assert load_config("a.yaml").training.model == name


def test_a_fit_on_drawn_prompts_says_that_others_are_drawn(workplace: Path) -> None:
    fitted = "schedule: {kind: always}\npredictor: {kind: reuse}\ntraining: {model: 'reference:flux'%s}\n"
    Path("mine.yaml").write_text(fitted % "")
    assert try_it(Path("mine.yaml")) == ["try it: lesa eval mine.yaml", "It draws prompts that the fit did not have."]
    Path("mine.yaml").write_text(fitted % ", prompts_file: prompts.txt")  # a user's own, which may be like the drawn
    assert try_it(Path("mine.yaml")) == ["try it: lesa eval mine.yaml"]


def test_images_are_made_as_in_the_fit(lesa: Lesa, trained: Outcome) -> None:
    outcome = lesa("generate", "--config", "my fits/mine.yaml", "--out", "a.png")
    assert outcome.code == 0, outcome.err
    assert "3/8 steps computed" in outcome.out
    assert "a red ring" in outcome.out
    assert "note" not in outcome.err


@pytest.mark.filterwarnings("default::lesa_framework.LesaWarning")
@pytest.mark.parametrize("command", [("eval", "my fits/mine.yaml", "--height", "32"), ("bench", "bench.yaml")])
def test_another_size_than_that_of_the_fit_is_told(
    lesa: Lesa, trained: Outcome, model: Path, workplace: Path, command: tuple[str, ...]
) -> None:
    entry = f"{{'{model}': {{configs: ['my fits/mine.yaml'], call: {{height: 32}}}}}}"
    (workplace / "bench.yaml").write_text(f"models: {entry}\nprompts: {{texts: [a ring]}}\nimages: 0\n")
    outcome = lesa(*command)
    assert outcome.code == 0, outcome.err
    assert "another resolution or length (the fit had height 16, width 16)" in outcome.err
    assert "LesaWarning" not in outcome.err


def test_training_again_from_the_written_file_needs_no_option(lesa: Lesa, trained: Outcome) -> None:
    again = lesa("train", "--config", "my fits/mine.yaml", "--out", "again")
    assert again.code == 0, again.err
    assert Path("again/mine.yaml").read_text() == Path("my fits/mine.yaml").read_text()


def test_a_benchmark_takes_what_its_file_leaves_open(
    lesa: Lesa, trained: Outcome, model: Path, workplace: Path
) -> None:
    entry = f"models: {{'{model}': {{configs: ['my fits/mine.yaml']}}}}\nprompts: {{texts: [a ring]}}\nimages: 0\n"
    (workplace / "bench.yaml").write_text(entry)
    outcome = lesa("bench", "bench.yaml", "--json")
    assert outcome.code == 0, outcome.err
    (measured,) = json.loads(outcome.out)["models"]
    assert (measured["num_steps"], measured["call"]) == (8, _CALL)


def test_configurations_that_disagree_are_refused(lesa: Lesa, workplace: Path) -> None:
    for name, height, steps in (("a", 16, 8), ("b", 32, 8), ("c", 16, 9)):
        (workplace / f"{name}.yaml").write_text(
            "schedule: {kind: always}\npredictor: {kind: reuse}\n"
            f"training: {{model: reference:flux, num_steps: {steps}, call: {{height: {height}}}}}\n"
        )
    outcome = lesa("eval", "a.yaml", "b.yaml")
    assert outcome.code == 2
    assert "training.call.height: 'a' was fitted with 16, 'b' with 32. Say which to use." in outcome.err
    outcome = lesa("eval", "a.yaml", "c.yaml")
    assert outcome.code == 2
    assert "training.num_steps: 'a' was fitted with 8, 'c' with 9. Say how many to run." in outcome.err


def test_fits_on_different_prompts_are_compared_on_none_of_both(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "deeper").mkdir()
    (workplace / "other.txt").symlink_to("one.txt")
    for name, prompts in (("a", "one.txt"), ("b", "two.txt"), ("deeper/c", "../other.txt")):
        (workplace / f"{name}.yaml").write_text(
            "schedule: {kind: even, compute: 2}\npredictor: {kind: reuse}\n"
            f"training: {{num_steps: 4, prompts_file: {prompts}}}\n"
        )
    (workplace / "one.txt").write_text("a red ring\n")
    (workplace / "two.txt").write_text("a blue square\n")
    one, two = (shown(str((workplace / name).resolve())) for name in ("one.txt", "two.txt"))
    options = ("--model", model, *SMALL)
    outcome = lesa("eval", "a.yaml", "b.yaml", *options)
    assert (outcome.code, outcome.out) == (2, "")
    message = f"training.prompts_file: 'a' was fitted with {one}, 'b' with {two}. Give a file with --prompts."
    assert message in outcome.err
    assert lesa("eval", "a.yaml", "b.yaml", "--prompts", "two.txt", *options).code == 0
    assert lesa("eval", "a.yaml", "deeper/c.yaml", *options).code == 0


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("command", [("train",), ("search", "--nfe", 3, "--tries", 2)], ids=["train", "search"])
def test_a_fit_takes_the_prompts_that_the_configuration_names(
    lesa: Lesa, workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...], draws: bool
) -> None:
    def draw(*_: object, **__: object) -> list[str]:
        pytest.fail("prompts were drawn")

    source = ModelSource("mine", str(model), NamedModel(model, prompts=draw if draws else None))
    monkeypatch.setattr(f"lesa_framework.cli.{command[0]}.find_model", lambda _: source)
    (workplace / "prompts.txt").write_text("a red ring\na blue square\na star\na dot\n")
    (workplace / "fit.yaml").write_text(
        "schedule: {kind: steps, compute: [0, 2, 5]}\npredictor: {kind: fitted}\n"
        "training: {num_steps: 8, batch: 2, prompts_file: prompts.txt}\n"
    )
    outcome = lesa(*command, "--config", "fit.yaml", "--model", "mine", "--out", "fits", *SMALL)
    assert outcome.code == 0, outcome.err
    (written,) = (workplace / "fits").glob("*.yaml")
    assert "prompts_file: ../prompts.txt\n" in written.read_text()
    (workplace / "prompts.txt").unlink()
    missing = lesa(*command, "--config", "fit.yaml", "--model", "mine", "--out", "fits", *SMALL)
    assert missing.code == 2
    assert missing.err.startswith("error: training.prompts_file ")
