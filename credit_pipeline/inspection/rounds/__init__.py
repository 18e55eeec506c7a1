"""A round on file: its record, its steps from the freeze to the end, its proof, and the daily run of all rounds."""
