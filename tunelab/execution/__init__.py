"""Ring 5: workers, and one trial from claim to outcome. Knows neither Optuna nor MLflow."""
