"""A door into SGLang-Diffusion: what it loads is accelerated as two environment variables say."""
