"""No dependency of a user's installation is under a licence that does not go with Apache-2.0."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import distribution

import pytest

from tests.release.licences import READ_BY_HAND, brought, licences, refused


def test_all_that_a_user_installs_may_be_used() -> None:
    packages = brought()
    assert {"torch", "safetensors", "diffusers", "pykan", "certifi"} <= packages
    assert "lesa-framework" not in packages
    against = {name: refused(name, licences(name, distribution(name).metadata)) for name in packages}
    assert {name: why for name, why in against.items() if why} == {}


def test_what_was_read_by_hand_is_still_there_and_still_says_nothing() -> None:
    for name in READ_BY_HAND:
        metadata = distribution(name).metadata
        assert licences("", metadata) == [], f"{name} names its licence now"


@pytest.mark.parametrize(
    ("fields", "named", "against"),
    [
        ({"License-Expression": "MPL-2.0 AND (Apache-2.0 OR MIT)"}, ["MPL-2.0", "Apache-2.0", "MIT"], []),
        ({"License-Expression": "MIT OR GPL-3.0-or-later"}, ["MIT", "GPL-3.0-or-later"], ["GPL-3.0-or-later"]),
        ({"Classifier": "License :: OSI Approved :: BSD License", "License": "a long text"}, ["BSD-3-Clause"], []),
        ({"License": "Apache 2.0 License"}, ["Apache-2.0"], []),
        ({"License": "GPLv3"}, ["GPLv3"], ["GPLv3"]),
        ({}, [], ["no licence is named"]),
    ],
)
def test_what_metadata_say(fields: dict[str, str], named: list[str], against: list[str]) -> None:
    metadata = Message()
    for field, value in fields.items():
        metadata[field] = value
    assert licences("some", metadata) == named
    assert refused("some", named) == against
    assert refused("nvidia-some", named) == []
