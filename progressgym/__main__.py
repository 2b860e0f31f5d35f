"""``python -m progressgym``."""

from .cli import main

main()
