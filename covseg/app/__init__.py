"""A page on which films get masks: `python -m covseg app`."""
