"""The mirror: one process a study that copies what is stored into MLflow, and nothing back."""
