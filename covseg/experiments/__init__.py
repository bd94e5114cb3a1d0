"""Lists of runs, and their comparison."""
