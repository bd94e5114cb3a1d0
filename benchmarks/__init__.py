"""Side-by-side measurements against other systems, run by hand; nothing of the project needs them."""
