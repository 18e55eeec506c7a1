"""The keys of the pipeline: what the office holds itself, whom releases are encrypted to, who signs for whom.

Here: `files` (private files), `store` (the office's own secrets), `handover` (one signing key after another),
`age` (release keys wrapped for recipients), `recipients` (the units' public keys). Not here: what is signed or
encrypted with them (`extracts`, `audit.checkpoints`, `inspection.draws`).
"""

from credit_pipeline.keys.files import UnsafeKeyFile
from credit_pipeline.keys.store import KeyStore, public_key_from_hex, public_key_id

__all__ = ["KeyStore", "UnsafeKeyFile", "public_key_from_hex", "public_key_id"]
