from __future__ import annotations

import pytest
import torch

from lesa_framework import AffinePredictor, Batch, ConfigError, Filter, Fit, PredictorConfig, Progress


class Newest(AffinePredictor):
    def filter(self, entries, ctx):
        return Filter((1.0,))


class Least(Fit):
    """A fit that defines what it must, and no more."""

    def __init__(self) -> None:
        self.predictor = Newest()

    def run(self):
        yield Progress("all", 1, 1)

    def tensors(self):
        return {"numbers": torch.ones(1)}


class NewestConfig(PredictorConfig):
    kind: str = "newest"

    def build(self):
        return Newest()


class FittedConfig(NewestConfig):
    def fit(self, task):
        return Least()


def test_each_prompt_of_a_batch_has_a_seed():
    assert Batch(("a", "b"), (1, 2)).seeds == (1, 2)
    with pytest.raises(ValueError, match="2 prompts but 1 seeds"):
        Batch(("a", "b"), (1,))


def test_a_fit_need_not_have_settings_a_state_or_a_log():
    fit = Least()
    assert (fit.settings(), fit.state_dict(), tuple(fit.log), fit.drift_db) == ({}, {}, (), None)
    fit.load_state_dict(fit.state_dict())
    assert [progress.done for progress in fit.run()] == [1]


def test_progress_is_of_the_first_epoch_without_numbers_unless_it_says_so():
    (progress,) = Least().run()
    assert (progress.epoch, progress.loss, progress.drift_db, progress.save) == (0, None, None, False)


def test_a_predictor_without_a_fit_says_so():
    assert not NewestConfig.has_fit()
    with pytest.raises(ConfigError, match="'newest' has nothing to fit; use it as it is"):
        NewestConfig().fit(None)
    assert FittedConfig.has_fit()
    assert isinstance(FittedConfig().fit(None), Least)


def test_a_predictor_keeps_one_feature_for_all_stages_and_runs_unless_it_says_otherwise():
    newest = Newest()
    assert (newest.depth, newest.records, newest.min_history(0), newest.min_history(2)) == (1, "computed", 1, 1)
    assert (newest.num_stages, newest.trained_for, newest.reads_latents) == (None, None, False)
