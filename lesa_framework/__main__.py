"""`python -m lesa_framework` is `lesa`."""

from lesa_framework.cli import main

main()
