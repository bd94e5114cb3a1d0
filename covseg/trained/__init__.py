"""Trained models: by name, in files, for others."""
