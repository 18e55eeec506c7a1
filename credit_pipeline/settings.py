"""Every path and environment variable of the project, read once and typed.

Variables have the prefix `CREDIT_` and may stand in `.env`; options of the command override them. No other module
reads the environment. Secrets are `SecretStr`, so that neither a log nor an error can print them.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
POLICY_DIR = DBT_PROJECT_DIR / "seeds" / "policy"
TIME_ZONE = "Asia/Shanghai"


class Settings(BaseSettings):
    """Where the pipeline reads, writes and keeps its keys.

    All paths derive from four folders, so that a test or a second city sets four variables and nothing else.
    """

    model_config = SettingsConfigDict(env_prefix="CREDIT_", env_file=PROJECT_ROOT / ".env", extra="ignore")

    landing_dir: Path = Field(PROJECT_ROOT / "landing", description="Folder with one subfolder per feed.")
    lake_dir: Path = Field(
        PROJECT_ROOT / "data_lake", description="Parquet lake, warehouse, draws, extracts, audit log."
    )
    keys_dir: Path = Field(
        PROJECT_ROOT / ".keys", description="Signing, party and extract keys; never inside the lake."
    )
    policy_dir: Path = Field(POLICY_DIR, description="Policy seeds as CSV.")
    sources_file: Path = Field(
        PROJECT_ROOT / "sources.yaml",
        description="Databases and APIs that feeds come from; absent: files only.",
    )
    secrets_file: Path | None = Field(
        None, description="YAML of the sources' secrets, 0600; CREDIT_SECRET_<NAME> in the environment wins."
    )
    memory_limit: str = Field("8GB", description="DuckDB memory limit per process.")
    threads: int = Field(2, ge=1, description="DuckDB threads.")
    alert_webhook_url: SecretStr | None = Field(
        None, description="Receives a JSON POST when a run fails or a feed needs somebody."
    )
    lock_timeout_s: int = Field(
        7200, ge=0, description="How long a run waits for another run on the same lake."
    )

    @field_validator("landing_dir", "lake_dir", "keys_dir", "policy_dir", "sources_file", "secrets_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Dagster's processes and dbt work in other folders than the command: a relative path would mean another place."""
        return None if path is None else path.expanduser().absolute()

    @property
    def raw_dir(self) -> Path:
        return self.lake_dir / "raw"

    @property
    def quarantine_dir(self) -> Path:
        return self.lake_dir / "quarantine"

    @property
    def repairs_dir(self) -> Path:
        return self.lake_dir / "repairs"

    @property
    def duplicates_dir(self) -> Path:
        return self.lake_dir / "duplicates"

    @property
    def ledger_dir(self) -> Path:
        return self.lake_dir / "ledger"

    @property
    def models_dir(self) -> Path:
        return self.lake_dir / "models"

    @property
    def draws_dir(self) -> Path:
        return self.lake_dir / "draws"

    @property
    def grades_dir(self) -> Path:
        """What each day said: full states of the newest days, changes of all."""
        return self.lake_dir / "grades"

    @property
    def extracts_dir(self) -> Path:
        return self.lake_dir / "extracts"

    @property
    def extract_state_dir(self) -> Path:
        """What each day's extracts told, to tell the next day's what changed."""
        return self.lake_dir / "extract_state"

    @property
    def public_dir(self) -> Path:
        """What anybody may have: published results of inspections."""
        return self.lake_dir / "public"

    @property
    def audit_dir(self) -> Path:
        return self.lake_dir / "audit"

    @property
    def audit_log_path(self) -> Path:
        return self.audit_dir / "log.jsonl"

    @property
    def source_states_dir(self) -> Path:
        """Where each database or API was last read to."""
        return self.lake_dir / "sources"

    @property
    def warehouse_path(self) -> Path:
        return self.lake_dir / "warehouse.duckdb"

    @property
    def temp_dir(self) -> Path:
        """Spill of DuckDB; encrypted, see `warehouse.connect`."""
        return self.lake_dir / "tmp"

    def replay_path(self, as_of_date: date) -> Path:
        """Warehouse of a past day that is run again: what is current stays untouched."""
        return self.lake_dir / "replays" / f"{as_of_date.isoformat()}.duckdb"


def secret_variable(name: str) -> SecretStr | None:
    """The secret of that name from the environment variable `CREDIT_SECRET_<NAME>`; None when it is not set."""
    value = os.environ.get(f"CREDIT_SECRET_{name}")
    return SecretStr(value) if value else None
