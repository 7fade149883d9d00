"""The example plugin, used as a separate package: built, installed, found through its entry point."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the plugin's wheel installed in it."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", target, source], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    return target


def environment(target: Path | None = None) -> dict[str, str]:
    plain = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}
    return plain if target is None else {**plain, "PYTHONPATH": str(target)}


def run(target: Path, *command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env=environment(target),
        cwd=folder or target,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_its_entry_point(installed):
    assert {found.name for found in installed.iterdir() if found.name != "bin"} == {
        "lesa_lagrange",
        "lesa_lagrange-0.1.0.dist-info",
    }


def test_it_is_registered_through_its_entry_point(installed):
    printed = run(
        installed,
        "-c",
        "import json, lesa_framework\n"
        "from lesa_framework.plugin.manager import plugins\n"
        "catalogs = plugins().registry\n"
        "print(json.dumps([plugins().names(), catalogs.predictors.names(), catalogs.backbones.names()]))",
    )
    names, predictors, backbones = json.loads(printed)
    assert "lesa_lagrange" in names
    assert predictors["my_lagrange"] == "lesa_lagrange"
    assert backbones["class_dit"] == "lesa_lagrange"
    assert predictors["taylorseer"] == "lesa_taylorseer"


def test_the_command_line_lists_it(installed):
    assert "my_lagrange" in run(installed, "-m", "lesa_framework", "plugins", "--json")


def test_it_accelerates_its_own_model(installed):
    lines = run(installed, "-m", "lesa_lagrange").splitlines()
    errors = {line.split(":")[0]: float(line.split()[-1]) for line in lines if "relative error" in line}
    assert errors["my_lagrange"] < errors["reuse"]
    assert sum("50 steps, 12 computed" in line for line in lines) == 2
    assert sum("class_dit at pre_head" in line for line in lines) == 2


def test_its_least_squares_fit_is_as_close_as_the_guide_says(installed, tmp_path):
    guide = (EXAMPLE.parents[1] / "docs" / "how-to" / "extend" / "fit.md").read_text("utf-8")
    for name, text in re.findall(r'```yaml title="(\S+)"\n(.*?)```', guide, re.DOTALL):
        (tmp_path / name).write_text(text)
    train, evaluate = (shlex.split(line) for line in re.findall(r"^\$ lesa (.*)", guide, re.MULTILINE))
    lesa = ("-m", "lesa_framework")
    assert "wrote fitted/two-weights.safetensors" in run(installed, *lesa, *train, folder=tmp_path)
    run(installed, *lesa, *evaluate, "--out", "results.json", folder=tmp_path)
    rows = {row["name"]: row for row in json.loads((tmp_path / "results.json").read_text())["rows"]}
    told = {name: float(psnr) for name, psnr in re.findall(r"^\| `([\w-]+)`.*? \| ([\d.]+) \|", guide, re.MULTILINE)}
    assert told.keys() == rows.keys() - {"uncached"}
    assert {rows[name]["nfe"] for name in told} == {8}
    # Room for another machine's arithmetic, not for a broken fit.
    assert {name: rows[name]["psnr_db"] for name in told} == pytest.approx(told, abs=0.1)
    assert rows["two-weights"]["psnr_db"] > rows["reuse"]["psnr_db"] + 2


def test_its_own_tests_pass(installed, tmp_path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    printed = run(installed, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests", folder=tmp_path)
    assert "test_the_adapter_keeps_its_contract[output-detaching_leaves_no_trace] PASSED" in printed
    assert "test_the_predictor_keeps_its_contract[3] PASSED" in printed
    assert "failed" not in printed


def test_a_typo_in_its_kind_suggests_its_name(installed):
    printed = run(
        installed,
        "-c",
        "import lesa_framework as lesa\n"
        "try: lesa.load_config({'schedule': {'kind': 'always'}, 'predictor': {'kind': 'my_lagrang'}})\n"
        "except lesa.ConfigError as error: print(error)",
    )
    assert "'my_lagrange' (lesa_lagrange)" in printed
    assert "Did you mean 'my_lagrange'?" in printed
