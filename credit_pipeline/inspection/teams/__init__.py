"""Who inspects: inspectors drawn for each visit, and what stands in the way where that is impossible."""
