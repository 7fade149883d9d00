"""The published numbers once more, by other means: plain diffusers, numpy, and nothing of this project's own engine.

    python -m benchmarks.recompute

`formulas.py` has each method's formula, `plain.py` skips a model's blocks, and `libraries.py` calls the caches of other
libraries. `gates.py` has those that decide by what they see, and `work.py` counts what they compute. `methods.py`
reads the presets, `claims.py` what the pages claim, and `page.py` writes the rows. Nothing here imports
`lesa_framework` or a plugin, and a run ends with an error if one was loaded.
"""
