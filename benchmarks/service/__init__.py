"""What the service carries: workers, commits, trials a second."""
