"""Description and audit of a dataset."""
