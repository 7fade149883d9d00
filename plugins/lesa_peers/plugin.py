"""Registers the caches of other libraries; each library is imported when its cache is attached."""

from __future__ import annotations

from lesa_framework import PeerFamily, Registrar, hookimpl
from lesa_peers.cache_dit_dbcache import CALIBRATORS, DBCache
from lesa_peers.diffusers_first_block import DiffusersFirstBlock
from lesa_peers.diffusers_magcache import DiffusersMagCache
from lesa_peers.diffusers_taylorseer import DiffusersTaylorSeer

#: All families of this plugin.
FAMILIES: tuple[PeerFamily, ...] = (
    DiffusersTaylorSeer(),
    DiffusersTaylorSeer(lite=True),
    DiffusersFirstBlock(),
    DiffusersMagCache(),
    *(DBCache(calibrator) for calibrator in CALIBRATORS),
)


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the families."""
    for family in FAMILIES:
        registrar.add_peer(family)
