"""Pictures, and the style of figures."""
