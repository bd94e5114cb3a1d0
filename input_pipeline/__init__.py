"""From TFDS records to batches: dataset builders, splits in memory, and the order of training."""
