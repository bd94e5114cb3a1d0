"""Trained models: by name, in files, for others."""

# Of the models that ship, the one that is used where none is named.
DEFAULT_MODEL = "best,steady"
