"""Does each branch of a guided run keep to its own history?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing.conformance.backbone.trial import SIGMAS, NotApplicableError, Trial


def keeps_two_branches_apart(trial: Trial) -> None:
    """Two prompts in changing order give what each gives alone."""
    _keeps_apart(trial, (1, 2))


def keeps_three_branches_apart(trial: Trial) -> None:
    """Three prompts in changing order give what each gives alone."""
    _keeps_apart(trial, (1, 2, 3))


def _keeps_apart(trial: Trial, prompts: Sequence[int]) -> None:
    alone = trial.alone
    for prompt in prompts:
        if prompt not in alone:
            alone |= _run(trial, trial.reference, [prompt])[0]
    if trial.adapter.condition_argument is None and torch.equal(alone[1][0], alone[2][0]):
        raise NotApplicableError("the model has no conditioning, so a run has one branch")
    together, recorder = _run(trial, trial.make_model(), prompts)
    for prompt in prompts:
        trial.require(
            together[prompt],
            alone[prompt],
            f"branch {prompt} must give the same alone and among {len(prompts)}; see condition_argument",
        )
    found = len({record.branch for record in recorder.records})
    assert found == len(prompts), f"condition_argument: {len(prompts)} prompts, yet {found} branches"


def _run(trial: Trial, model: nn.Module, prompts: Sequence[int]) -> tuple[Mapping[int, list[Tensor]], Recorder]:
    """A run in which all prompts see the same latents, so that nothing but the cache can join them."""
    recorder = Recorder()
    start = trial.latent()
    outputs: dict[int, list[Tensor]] = {prompt: [] for prompt in prompts}
    with trial.attach(model, recorder=recorder), torch.no_grad():
        for step, sigma in enumerate(SIGMAS[:-1]):
            latent = start * (1 - 0.1 * step)
            # The order changes at every step: it is the conditioning that tells branches apart.
            turn = step % len(prompts)
            for prompt in (*prompts[turn:], *prompts[:turn]):
                outputs[prompt].append(trial.call(model, latent, sigma, prompt))
    return outputs, recorder
