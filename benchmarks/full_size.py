"""Times every method on FLUX.1-dev, Qwen-Image and HunyuanVideo at their real size, with random weights.

python benchmarks/full_size.py flux                # a GPU with 40 GB; under ten minutes
python benchmarks/full_size.py                     # all three; Qwen-Image needs 60 GB
python benchmarks/full_size.py --tiny              # the same code on a CPU, in seconds
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # the package of the same name is next to this file

    from benchmarks.full_size.command import app

    app()
