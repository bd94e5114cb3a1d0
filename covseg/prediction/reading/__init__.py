"""Files of films to pixels."""
