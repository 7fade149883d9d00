"""The command that a fit ends with: how to see what its result is worth, and on which prompts that is."""

from __future__ import annotations

import shlex
from pathlib import Path

from lesa_framework.cli.options import prompts_of_fit
from lesa_framework.config.loading import load_config
from lesa_framework.errors import ConfigError
from lesa_framework.pipelines import find_model


def try_it(path: Path) -> list[str]:
    """Lines to print.

    Args:
        path: The configuration that the fit has written.
    """
    config = load_config(path)
    lines = [f"try it: {shlex.join(['lesa', 'eval', str(path)])}"]
    if config.training.model is None:
        return lines
    try:
        source = find_model(config.training.model)
    except ConfigError:  # the fit is done, whatever has become of its model
        return lines
    if prompts_of_fit(source, [config]) is not None:
        lines.append("It runs on the prompts of the fit. Others show better what it is worth: add --prompts FILE.")
    elif config.training.prompts_file is None:
        lines.append("It draws prompts that the fit did not have.")
    return lines
