"""A page to play with: one prompt, uncached beside cached. The only room that imports gradio."""
