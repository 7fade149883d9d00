"""The published numbers once more, by other means: plain diffusers, numpy, and nothing of this project's own engine.

    python -m benchmarks.recompute

`formulas.py` has each method's formula, `plain.py` skips a model's blocks, `methods.py` reads the presets, and
`claims.py` reads what the pages claim. Nothing here imports `lesa_framework` or a plugin, and a run ends with an
error if one was loaded.
"""
