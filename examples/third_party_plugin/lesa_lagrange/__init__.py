"""An example plugin: a predictor, and a backbone adapter for a model that LESA Framework has never heard of."""
