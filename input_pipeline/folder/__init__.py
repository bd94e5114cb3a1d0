"""TFDS dataset of a folder of films and masks."""
