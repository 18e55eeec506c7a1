"""Stage 2: dbt turns the lake into enterprises, indicators, grades, frames and quotas."""
