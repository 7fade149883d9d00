"""The file that says what a benchmark runs: methods x schedules x models x seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lesa_framework.config.reading import listed, read_section, read_yaml
from lesa_framework.errors import ConfigError, shown
from lesa_framework.interfaces.paths import ConfigPath
from lesa_framework.limits import MAX_PAIRS, MAX_PROMPTS, MAX_STEPS

#: A seed, with room to count up from the largest.
_Seed = Annotated[int, Field(ge=0, le=2**62)]
_Steps = Annotated[int, Field(ge=2, le=MAX_STEPS)]

#: UniPC (arXiv 2302.04867) of an order, as diffusers has it.
SamplerName: TypeAlias = Literal["unipc1", "unipc2", "unipc3"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Prompts(_Section):
    """Where prompts come from: exactly one of `draw`, `file` and `texts`."""

    draw: Annotated[int, Field(ge=1, le=MAX_PROMPTS)] | None = None
    """Draw this many held-out prompts; only for registered models such as `reference:flux`."""
    seed: _Seed = 0
    """Seed of the drawn prompts."""
    file: ConfigPath | None = None
    """A text file with a prompt on each line."""
    texts: list[str] | None = Field(None, min_length=1)
    """The prompts themselves."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.draw, self.file, self.texts)) != 1:
            raise ValueError("give exactly one of 'draw', 'file' and 'texts'")
        return self


class ModelEntry(_Section):
    """One model, and its own settings."""

    configs: list[str] = Field(default_factory=list)
    """Whole configurations, as YAML files or presets: for example those with weights trained for this model."""
    schedules: list[str] | None = None
    """Names of the schedules to run the methods with; all by default."""
    backbone: dict[str, Any] = Field(default_factory=dict)
    """The `backbone` section of the methods on this model, for example `{tap: output}`."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the pipeline, such as height and width; by default those of its `configs`."""


class Selection(_Section):
    """Other pairs, on which to choose orders, schedules and presets: what is published was not looked at before."""

    prompts: Prompts
    """The source of these prompts; none of them may be among the benchmark's."""
    seeds: list[_Seed] = Field(default_factory=lambda: [0], min_length=1)
    """Seeds; every prompt is run with each of them."""


class BenchSpec(_Section):
    """A benchmark."""

    title: str = ""
    """The report's heading."""
    models: dict[str, ModelEntry] = Field(min_length=1)
    """Registered models, local diffusers folders or hub ids, each with its own settings."""
    schedules: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> a `schedule` section. Every method runs with every schedule, but for those that a method names itself."""
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> a configuration without its schedule: `predictor` and, if needed, `router` and `engine`. Under
    `schedules`, a method names schedules that it runs with besides, and others only where a model lists them."""
    peers: list[str] = Field(default_factory=list)
    """Caches of other libraries by name (`lesa plugins --section peer`), each matched to the work of every NFE."""
    peers_by_steps: list[str] = Field(default_factory=list)
    """The same, matched to that many whole steps and ranked by them. What they compute in the other steps, the first
    blocks by which they decide, is not counted against them."""
    told_peers: list[str] = Field(default_factory=list)
    """Caches of other libraries that can be told which steps to compute (`lesa plugins --section told_peer`). Each is
    told the steps of every schedule that the caches of a model compute, and is ranked by them."""
    samplers: list[SamplerName] = Field(default_factory=list)
    """Other samplers for plain runs: UniPC of order 1, 2 or 3, at every NFE beside the pipeline's own. They take the
    place of `FlowMatchEulerDiscreteScheduler`."""
    nfe: list[Annotated[int, Field(ge=1)]] | None = None
    """Numbers of computed steps at which peers and plain runs compete; by default those of the caches."""
    metrics: list[str] = Field(default_factory=list)
    """Further metrics by name (`lesa plugins --section metric`); those that cannot be loaded are skipped, and noted."""
    prompts: Prompts = Prompts(draw=8)
    """The source of the prompts."""
    seeds: list[_Seed] = Field(default_factory=lambda: [0], min_length=1)
    """Seeds; every prompt is run with each of them."""
    selection: Selection | None = None
    """Other prompts and seeds to choose methods on: `lesa bench --selection` measures caches and plain runs there."""
    steps: _Steps = 50
    """Steps of the sampler in the uncached and the cached runs; by default what the model's `configs` say, or 50."""
    batch: Annotated[int, Field(ge=1, le=MAX_PAIRS)] = 8
    """Samples in each call of the pipeline. Methods take turns on each batch."""
    images: Annotated[int, Field(ge=0, le=MAX_PAIRS)] = 4
    """Number of prompts, from the first, whose images are in the results."""

    @property
    def shared_schedules(self) -> list[str]:
        """Names of the schedules that no method names as its own."""
        own = {schedule for sections in self.methods.values() for schedule in sections.get("schedules", ())}
        return [name for name in self.schedules if name not in own]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named: dict[str, Any] = {f"models.{name}": entry.schedules or () for name, entry in self.models.items()}
        named |= {f"methods.{name}": sections.get("schedules", ()) for name, sections in self.methods.items()}
        for where, names in named.items():
            if not isinstance(names, list | tuple):
                raise ValueError(f"{where}.schedules: expected a list of names, found {shown(names)}")
            unknown = [str(one) for one in names if not isinstance(one, str) or one not in self.schedules]
            if unknown:
                known = ", ".join(self.schedules) or "none"
                raise ValueError(f"{where}.schedules: {', '.join(unknown)}: unknown. Known: {known}")
        if self.methods and not self.schedules:
            raise ValueError("methods run with each of `schedules`, but there are none; add one")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        for where, seeds in {
            "seeds": self.seeds,
            "selection.seeds": self.selection.seeds if self.selection else [],
        }.items():
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{where}: a seed is given twice; give each only once")
        return self


@dataclass(frozen=True)
class BenchFile:
    """A benchmark's file: what it holds, for the record, and the same validated."""

    path: Path
    raw: dict[str, Any]
    spec: BenchSpec

    def for_selection(self) -> BenchFile:
        """The same benchmark on the pairs that methods are chosen on: without peers, further metrics and images.

        Raises:
            ConfigError: The file names no such pairs.
        """
        chosen = self.spec.selection
        if chosen is None:
            raise ConfigError(
                f"{self.path}: --selection needs the pairs to choose on. Add them, for example "
                "`selection: {prompts: {draw: 8, seed: 1}, seeds: [0, 1]}`."
            )
        fewer = {"peers": [], "peers_by_steps": [], "told_peers": [], "metrics": [], "images": 0}
        return replace(
            self, spec=self.spec.model_copy(update={"prompts": chosen.prompts, "seeds": chosen.seeds, **fewer})
        )

    @property
    def folder(self) -> Path:
        """Where relative paths in it count from."""
        return self.path.resolve().parent


def load_spec(path: Path) -> BenchFile:
    """Read a benchmark's file.

    Raises:
        ConfigError: Something is not valid; the message lists all that was found.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: expected a benchmark such as `models: {{reference:flux: {{configs: [ref-flux-lesa-n7]}}}}`, "
            f"found {type(raw).__name__}."
        )
    if "fewer_steps" in raw:
        raise ConfigError(
            f"{path}: fewer_steps: plain runs with fewer steps are always measured, at each number of computed steps "
            "of the caches. Remove the key, or choose these numbers with `nfe`."
        )
    folder, problems = path.resolve().parent, list[str]()
    # Inner sections are checked separately, so that a message lists the keys that are valid there.
    models = raw.get("models")
    for name, entry in models.items() if isinstance(models, dict) else ():
        read_section(ModelEntry, f"models.{name}", entry, folder, problems)
    if "prompts" in raw:
        read_section(Prompts, "prompts", raw["prompts"], folder, problems)
    spec = None if problems else read_section(BenchSpec, "", raw, folder, problems)
    if spec is None:
        raise ConfigError(listed([f"{path}: {problem}" for problem in problems]))
    return BenchFile(path, raw, spec)
