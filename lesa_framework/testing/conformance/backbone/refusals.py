"""Is a call that cannot be cached refused, without harm to the session?"""

from __future__ import annotations

import torch

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.testing.conformance.backbone.trial import SIGMAS, NotApplicableError, Trial


def refuses_what_it_cannot_do(trial: Trial) -> None:
    """A call that the adapter's `refuse` names gets an `UnsupportedBackboneError`; the next run is as a fresh one."""
    if not trial.refused:
        silent = type(trial.adapter).refuse is BackboneAdapter.refuse
        raise NotApplicableError(
            "the adapter refuses nothing" if silent else "refuse() was not tried: give an example, refused=[call, ...]"
        )
    for number, call in enumerate(trial.refused):
        model = trial.make_model()
        with torch.no_grad():
            call(model, trial.latent(), SIGMAS[1], 1)  # else there would be nothing to refuse
        with trial.attach(model):
            trial.sample(model, steps=1)
            try:
                with torch.no_grad():
                    call(model, trial.latent(), SIGMAS[1], 1)
            except UnsupportedBackboneError:
                pass
            else:
                raise AssertionError(f"refused[{number}]: the call was not refused; name it in the adapter's refuse()")
            outputs = trial.sample(model)
        trial.require(outputs, trial.fresh(), f"the run after refused[{number}] must be as a fresh one")
