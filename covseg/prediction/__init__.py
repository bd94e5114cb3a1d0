"""From films of any kind to masks, severity and files that others can read."""
