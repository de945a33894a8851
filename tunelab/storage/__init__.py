"""Ring 4: the study database, the only truth about studies, trials and epochs."""
