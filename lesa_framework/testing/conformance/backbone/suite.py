"""The suite: every check, and the ways to run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from inspect import isfunction
from types import ModuleType
from typing import Literal, TypeAlias

from torch import Tensor, nn

from lesa_framework.errors import LesaError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.testing.conformance.backbone import branches, files, layout, moves, refusals, replay, runs
from lesa_framework.testing.conformance.backbone.trial import NotApplicableError, Trial
from lesa_framework.testing.sampling import ModelCall
from lesa_framework.types import Tap

Group: TypeAlias = Literal["layout", "replay", "branches", "runs", "moves", "files", "refusals"]
Outcome: TypeAlias = Literal["passed", "failed", "not applicable"]

#: Checks that do not depend on the tap; the first to fail is the first to mend.
_ONCE: tuple[tuple[Group, ModuleType], ...] = (("layout", layout),)
_EACH_TAP: tuple[tuple[Group, ModuleType], ...] = (
    ("replay", replay),
    ("branches", branches),
    ("runs", runs),
    ("moves", moves),
    ("files", files),
    ("refusals", refusals),
)


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: The check's name.
        group: What it belongs to.
        tap: The tap it ran at; None when it does not depend on one.
        outcome: `passed`, `failed`, or `not applicable` to this adapter or on this machine.
        detail: What to change when it failed, and why when it does not apply; else empty.
    """

    check: str
    group: Group
    tap: Tap | None
    outcome: Outcome
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; also when the check does not apply."""
        return self.outcome != "failed"


@dataclass(frozen=True)
class BackboneCheck:
    """One check of one adapter; call it as a test. As a string it is `tap-name`.

    Attributes:
        name: The check's name.
        group: What it belongs to.
        about: What it holds the adapter to, in a sentence.
        tap: The tap it runs at; None when it does not depend on one.
    """

    name: str
    group: Group
    about: str
    tap: Tap | None
    _check: Callable[[Trial], None] = field(repr=False)
    _trial: Trial = field(repr=False)

    def __call__(self) -> None:
        """Run the check.

        Raises:
            AssertionError: The adapter breaks the contract; the message says what to change.
        """
        try:
            self._check(self._trial)
        except NotApplicableError:
            return
        except (AssertionError, LesaError) as error:
            raise AssertionError(f"{self}: {error}") from error

    def run(self) -> CheckResult:
        """Run the check, whatever it meets on the way."""
        outcome: Outcome = "failed"
        try:
            self._check(self._trial)
            outcome, detail = "passed", ""
        except NotApplicableError as reason:
            outcome, detail = "not applicable", str(reason)
        except (AssertionError, LesaError) as error:
            detail = str(error)
        except Exception as error:  # one broken check must not hide the others
            detail = f"{type(error).__name__}: {error}"
        return CheckResult(self.name, self.group, self.tap, outcome, detail)

    def __str__(self) -> str:
        return self.name if self.tap is None else f"{self.tap}-{self.name}"


def backbone_checks(
    adapter: BackboneAdapter | type[BackboneAdapter],
    *,
    make_model: Callable[[], nn.Module],
    call: ModelCall,
    make_latent: Callable[[int], Tensor],
    refused: Sequence[ModelCall] = (),
) -> list[BackboneCheck]:
    """Every check of a backbone adapter, at every tap it declares, as a list of things to call.

    Nothing runs before it is called, so the list may be made while tests are collected.

    Args:
        adapter: The adapter's class, or an adapter.
        make_model: Makes a small model with random weights: the same each time, and none of them zero.
        call: Calls it: `call(model, latent, sigma, prompt)` returns the model's output in the latent's shape. `prompt`
            is a number that stands for a conditioning: another number, another conditioning. A model that takes
            timesteps, several tensors or a list is made to fit here.
        make_latent: `make_latent(size)` for sizes 1 and 2, which must differ in shape; the batch comes first.
        refused: Calls that work on the bare model and that the adapter's `refuse` is to name.

    Example:
        Each check a test of its own::

            @pytest.mark.parametrize("check", backbone_checks(MyAdapter, **how_to_try_it), ids=str)
            def test_my_adapter(check):
                check()
    """
    trial = Trial(adapter, make_model, call, make_latent, refused)
    taps = trial.new_adapter().taps
    trials = [replace(trial, tap=Tap(tap)) for tap in taps]  # a property may have named them
    checks = _checks(_ONCE, None, trials[0] if trials else trial)
    for each in trials:
        checks += _checks(_EACH_TAP, each.tap, each)
    return checks


def check_backbone(
    adapter: BackboneAdapter | type[BackboneAdapter],
    *,
    make_model: Callable[[], nn.Module],
    call: ModelCall,
    make_latent: Callable[[int], Tensor],
    refused: Sequence[ModelCall] = (),
) -> None:
    """Run every check of a backbone adapter, up to the first that fails.

    The arguments are those of [`backbone_checks`][lesa_framework.testing.backbone_checks].

    Raises:
        AssertionError: The adapter breaks the contract; the message says where, and what to change.

    Example:
        ::

            def call(model, latent, sigma, prompt):
                words = torch.full((latent.shape[0], 3, 4), float(prompt))
                return model(latent, sigma, words, return_dict=False)[0]

            check_backbone(
                TinyDiTAdapter, make_model=TinyDiT, call=call, make_latent=lambda size: torch.ones(1, 4 * size, 4)
            )
    """
    for check in backbone_checks(adapter, make_model=make_model, call=call, make_latent=make_latent, refused=refused):
        check()


def run_backbone(
    adapter: BackboneAdapter | type[BackboneAdapter],
    *,
    make_model: Callable[[], nn.Module],
    call: ModelCall,
    make_latent: Callable[[int], Tensor],
    refused: Sequence[ModelCall] = (),
) -> list[CheckResult]:
    """Run every check of a backbone adapter, whatever the others find: one result for each check and tap.

    The arguments are those of [`backbone_checks`][lesa_framework.testing.backbone_checks].
    """
    checks = backbone_checks(adapter, make_model=make_model, call=call, make_latent=make_latent, refused=refused)
    return [check.run() for check in checks]


def _checks(groups: Sequence[tuple[Group, ModuleType]], tap: Tap | None, trial: Trial) -> list[BackboneCheck]:
    """The public functions of the groups' modules, in their order."""
    return [
        BackboneCheck(name, group, (check.__doc__ or "").splitlines()[0], tap, check, trial)
        for group, module in groups
        for name, check in vars(module).items()
        if isfunction(check) and check.__module__ == module.__name__ and not name.startswith("_")
    ]
