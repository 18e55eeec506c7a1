"""What came of the draw: progress, the clock of publication, estimated rates."""
