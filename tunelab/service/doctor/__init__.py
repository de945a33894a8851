"""``tunelab doctor``: what is wrong with this installation and its databases."""
