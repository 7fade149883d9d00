"""A door into vLLM-Omni: `cache_backend="lesa"`."""
