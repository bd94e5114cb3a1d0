"""Devices, compilation, the command line."""
