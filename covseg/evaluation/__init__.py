"""Evaluation of networks, and of other systems' masks: protocols, statistics, figures, report."""
