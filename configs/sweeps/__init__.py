"""One file, one list of runs for `python -m covseg sweep`."""
