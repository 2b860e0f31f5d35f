"""Models: the base, its adapters, and policies that are read and trained."""

from .backbone import AdapterShape, Backbone, Weights
from .load import base_policy, era_policy, load_backbone, load_model
from .policy import Policy

__all__ = [
    "AdapterShape",
    "Backbone",
    "Policy",
    "Weights",
    "base_policy",
    "era_policy",
    "load_backbone",
    "load_model",
]
