"""Ring 5: the space as Optuna sees it, samplers, pruners and the coordinator."""
