"""Stage 6: what happened, who can prove it. The hash-chained log and its signed checkpoints."""
