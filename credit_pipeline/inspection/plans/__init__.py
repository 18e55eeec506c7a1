"""Before the draw: what a plan costs and what other ratios would give."""
