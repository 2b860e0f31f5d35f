"""Training: thin layers over TRL and transformers."""
