"""Registers the caches of other libraries; each library is imported when its cache is attached."""

from __future__ import annotations

from lesa_framework import PeerFamily, Registrar, ToldPeerFamily, hookimpl
from lesa_peers.cache_dit_dbcache import CALIBRATORS, TOLD_CALIBRATORS, DBCache, DBCacheMask
from lesa_peers.diffusers_first_block import DiffusersFirstBlock
from lesa_peers.diffusers_magcache import DiffusersMagCache
from lesa_peers.diffusers_taylorseer import DiffusersTaylorSeer
from lesa_peers.hicache_plus_plus import BACKENDS, HiCache, HiCacheTold

#: The families whose setting is searched.
FAMILIES: tuple[PeerFamily, ...] = (
    DiffusersTaylorSeer(),
    DiffusersTaylorSeer(lite=True),
    DiffusersFirstBlock(),
    DiffusersMagCache(),
    *(DBCache(calibrator) for calibrator in CALIBRATORS),
    *(HiCache(backend) for backend in BACKENDS),
)
#: The families that are told which steps to compute.
TOLD_FAMILIES: tuple[ToldPeerFamily, ...] = (
    *(DBCacheMask(calibrator) for calibrator in TOLD_CALIBRATORS),
    *(HiCacheTold(backend) for backend in BACKENDS),
)


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the families."""
    for family in FAMILIES:
        registrar.add_peer(family)
    for told in TOLD_FAMILIES:
        registrar.add_told_peer(told)
