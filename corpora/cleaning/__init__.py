"""From a downloaded book to its author's own text, and how good that text is."""

from .quality import language, quality
from .steps import RECIPES, STEPS, Cleaned, clean

__all__ = ["RECIPES", "STEPS", "Cleaned", "clean", "language", "quality"]
