"""The contract of routers, as a check."""

from __future__ import annotations

from lesa_framework.interfaces.router import RouterConfig


def check_router(config: RouterConfig) -> None:
    """Check a router.

    Checked: every noise level in [0, 1] has a stage in `0 .. num_stages - 1`; the answer depends on nothing but
    the noise level; its configuration survives being written and read.

    Args:
        config: The configuration of the router under test.

    Raises:
        AssertionError: The router breaks the contract; the message says where.
    """
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config, f"{config.kind}: writing and reading the configuration gives another one: {again!r}"
    router, other = config.build(), config.build()
    assert router.num_stages >= 1, f"{config.kind}: num_stages is {router.num_stages}; a router has at least one stage"
    levels = [level / 1000 for level in range(1001)]
    stages = {sigma: router.stage(sigma) for sigma in levels}
    for sigma, stage in stages.items():
        assert isinstance(stage, int), f"{config.kind}, sigma {sigma}: returned {stage!r}, which is not an int"
        assert 0 <= stage < router.num_stages, (
            f"{config.kind}, sigma {sigma}: returned stage {stage}, valid are 0 to {router.num_stages - 1}"
        )
    for sigma in reversed(levels):
        assert router.stage(sigma) == other.stage(sigma) == stages[sigma], (
            f"{config.kind}, sigma {sigma}: the answer depends on more than the noise level"
        )
