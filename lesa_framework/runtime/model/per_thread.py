"""State that each thread has for itself."""

from __future__ import annotations

import threading
from typing import Self


class PerThread(threading.local):
    """Attributes that each thread sets and reads for itself; class attributes are where a thread begins."""

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """A copy begins anew: copies of an attached model may be saved, with what they hold of a session."""
        return type(self), ()
