"""Groups of the `credit-pipeline` command, one module each with an `app`; `cli` puts them together."""
