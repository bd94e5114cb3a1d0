"""One file, one experiment; default.py holds every field."""
