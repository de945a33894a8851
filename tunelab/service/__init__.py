"""Ring 6: processes put together: local studies, the MLflow mirror, what a study looks like."""
