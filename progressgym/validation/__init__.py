"""Can the eras of a timeline be told apart by their values? The evidence, and a page of it."""

from .evidence import KEPT, RELIABLE, SIGNAL, Perplexity, Validation
from .page import write_validation_page
from .validate import Extras, validate

__all__ = [
    "KEPT",
    "RELIABLE",
    "SIGNAL",
    "Extras",
    "Perplexity",
    "Validation",
    "validate",
    "write_validation_page",
]
