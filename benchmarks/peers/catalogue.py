"""All families of peers."""

from __future__ import annotations

from benchmarks.peers.cache_dit_dbcache import CALIBRATORS, DBCache
from benchmarks.peers.diffusers_first_block import DiffusersFirstBlock
from benchmarks.peers.diffusers_magcache import DiffusersMagCache
from benchmarks.peers.diffusers_taylorseer import DiffusersTaylorSeer
from benchmarks.peers.peer import Family

_ALL: tuple[Family, ...] = (
    DiffusersTaylorSeer(),
    DiffusersTaylorSeer(lite=True),
    DiffusersFirstBlock(),
    DiffusersMagCache(),
    *(DBCache(calibrator) for calibrator in CALIBRATORS),
)
#: Name -> family.
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
