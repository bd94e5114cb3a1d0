"""Predictions to files."""
