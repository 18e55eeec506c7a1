"""Stage 1: files of the authorities become accepted Parquet in the lake, quarantine, repairs and a ledger."""
