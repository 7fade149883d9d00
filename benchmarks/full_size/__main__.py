"""Times every method on FLUX.1-dev, Qwen-Image and HunyuanVideo at their real size, with random weights.

python -m benchmarks.full_size flux                # a GPU with 40 GB; under ten minutes
python -m benchmarks.full_size                     # all three; Qwen-Image needs 60 GB
python -m benchmarks.full_size --tiny              # the same code on a CPU, in seconds
"""

from benchmarks.full_size.command import app

app()
