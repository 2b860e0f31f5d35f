"""Can the eras of a timeline be told apart by their values? The evidence, and a page of it."""

from .evidence import KEPT, RELIABLE, SIGNAL, Validation
from .page import write_validation_page
from .validate import Extras, measure_perplexity, validate

__all__ = [
    "KEPT",
    "RELIABLE",
    "SIGNAL",
    "Extras",
    "Validation",
    "measure_perplexity",
    "validate",
    "write_validation_page",
]
