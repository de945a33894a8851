"""The lecture's pictures: optimizers on surfaces, and schedules, as this engine computes them."""
