"""Is the feature captured where it can be put back?"""

from __future__ import annotations

import torch

from lesa_framework.testing.conformance.backbone.trial import SIGMAS, Trial, blocks, counted
from lesa_framework.testing.conformance.probes import Oracle
from lesa_framework.types import Decision


def finds_every_step(trial: Trial) -> None:
    """Each noise level is taken for its step of the grid."""
    found = [record.index for record in trial.computed[1].records]
    assert found == list(range(len(SIGMAS) - 1)), (
        f"noise levels {SIGMAS[:-1]} were taken for the steps {found}; see timestep_argument and timestep_scale"
    )


def always_changes_nothing(trial: Trial) -> None:
    """With every step computed, the output is the bare model's, bit for bit."""
    bare = trial.sample(trial.make_model())
    trial.require(trial.computed[0], bare, "computing every step must change nothing")


def replay_is_exact(trial: Trial) -> None:
    """A captured feature that is put back gives the same output, bit for bit."""
    outputs, recorder = trial.computed
    model = trial.make_model()
    with trial.attach(model, [0], Oracle(recorder.features)):
        replayed = trial.sample(model)
    trial.require(
        replayed,
        outputs,
        "a captured feature that is put back must give the same output, bit for bit; see head, and what the tail "
        "of the model's forward reads from the blocks",
    )


def uses_the_feature(trial: Trial) -> None:
    """A changed feature changes the output."""
    outputs, recorder = trial.computed
    model = trial.make_model()
    with trial.attach(model, [0], Oracle(recorder.features, change=0.5)):
        changed = trial.sample(model, steps=2)
    assert not torch.equal(changed[1], outputs[1]), (
        "a changed feature gave the same output, so what is put back is not used; see head"
    )


def skips_the_blocks(trial: Trial) -> None:
    """On a predicted step no block of any list is called; on a computed step all are."""
    model, recorder = trial.make_model(), trial.computed[1]
    with counted(blocks(model, trial.adapter)) as bare:
        trial.sample(model, steps=1)
    with trial.attach(model, [0], Oracle(recorder.features)) as session, counted(blocks(model, trial.adapter)) as calls:
        trial.sample(model)
        decisions = [record.decision for record in session.report.records]
    wanted = [Decision.COMPUTE] + [Decision.PREDICT] * (len(decisions) - 1)
    assert decisions == wanted, f"only the first step was to be computed, but the decisions were {decisions}"
    assert calls == bare, (
        f"blocks: blocks were called on predicted steps too ({calls} calls in a run with one computed step, "
        f"which needs {bare})"
    )
