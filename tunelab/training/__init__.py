"""Ring 1: layers, optimizers, schedules, the monitor, epochs. NumPy only; knows no trial."""
