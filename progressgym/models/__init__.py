"""Models: the base, its adapters, and policies that are read and trained."""

from .backbone import AdapterShape, Backbone, Weights
from .backend import Backend, open_backend
from .language import LanguageModel
from .load import base_policy, era_policy, load_backbone, load_model
from .policy import Policy

__all__ = [
    "AdapterShape",
    "Backbone",
    "Backend",
    "LanguageModel",
    "Policy",
    "Weights",
    "base_policy",
    "era_policy",
    "load_backbone",
    "load_model",
    "open_backend",
]
