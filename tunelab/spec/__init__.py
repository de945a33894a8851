"""Ring 2: study files and hyperparameters, and what makes them valid."""
