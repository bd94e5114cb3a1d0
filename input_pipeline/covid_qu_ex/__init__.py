"""COVID-QU-Ex, Infection Segmentation Data: the TFDS builder and the reader of its archive."""
