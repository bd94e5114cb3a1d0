"""Synthetic chest films: the TFDS builder and the drawing of one film."""
