"""credit_pipeline: graded supervision of a city's enterprises by credit, from feeds to confidential extracts."""
