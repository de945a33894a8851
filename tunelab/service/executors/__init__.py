"""What runs the workers of a study: this machine, workers elsewhere, or a Dask cluster."""
