"""Sweeps: studies that start by themselves, as a new generation each time."""
