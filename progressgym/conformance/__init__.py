"""Does an algorithm or a challenge keep the rules? ``progressgym check`` says."""

from .findings import Finding
from .suite import check

__all__ = ["Finding", "check"]
