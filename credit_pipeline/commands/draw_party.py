"""`credit-pipeline draw party`: what a party of a draw does by itself, on its own machine, with its own key.

It works on a folder with the public files of a round (`credit-pipeline draw show PLAN ROUND --out FOLDER`), never on the
lake: rule.json and freeze.json for a commitment, then also entropy.json and the commitments for a reveal.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from credit_pipeline.commands.shared import Json, command_settings
from credit_pipeline.errors import BadInput, IntegrityError

app = typer.Typer(no_args_is_help=True, help="A party's own part: keys, commitment, reveal, escrow.")

Folder = Annotated[
    Path,
    typer.Argument(
        help="Public files of the round, from `credit-pipeline draw show PLAN ROUND --out FOLDER`.",
        file_okay=False,
    ),
]
PartyName = Annotated[str, typer.Option("--party", help="Name of this party in draw_parties.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the files to hand over.", file_okay=False)]
_SIGNED_FOR = (
    "{signed_by} signs for {entropy}: compare it with the announcement before you hand the file over"
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; `BadInput` naming it otherwise."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror}; remedy: name the file as it was handed over"
        ) from None
    except ValueError:
        raise BadInput(f"{path}: not JSON; remedy: ask for the file again, it was damaged or cut") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path}: not one JSON object; remedy: ask for the file again")
    return content


def _party(name: str) -> Any:
    from credit_pipeline.inspection.draws.parties import Party
    from credit_pipeline.keys import KeyStore

    return Party(name, KeyStore(command_settings().keys_dir).party_key(name))


def _write(path: Path, content: bytes) -> None:
    from credit_pipeline.audit.log import write_durably

    if path.exists() and path.read_bytes() != content:
        raise BadInput(f"{path}: another file of that name is there; remedy: give an empty folder by --out")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, content)
    typer.echo(str(path))


@app.command()
def init(party: PartyName, as_json: Json = False) -> None:
    """Make this party's key, once, and print the public keys for its row in draw_parties."""
    public = _party(party).public()
    if as_json:
        typer.echo(json.dumps({"party": party, **vars(public)}))
    else:
        typer.echo(f"party {party}\nsigning_key {public.signing_key}\nage_recipient {public.age_recipient}")
        typer.echo(
            f"The secret key is {command_settings().keys_dir}/parties/{party}.key: keep it on this machine, back it up, "
            "give it to nobody."
        )


@app.command()
def commit(folder: Folder, party: PartyName, out: Out) -> None:
    """Look at what was frozen, choose the secret number and sign a commitment to it; with an escrow for the others."""
    from credit_pipeline.inspection.rounds.files import statement_bytes

    path = out / f"commitment-{party}.json"
    if path.exists():
        raise BadInput(
            f"{path}: this party has committed already; remedy: hand over that file and its escrow"
        )
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rule, freeze = read_json(folder / "rule.json"), read_json(folder / "freeze.json")
    statement, escrow = _party(party).commit(rule, freeze, time)
    if escrow is not None:
        _write(out / f"escrow-{party}.age", escrow)
    _write(path, statement_bytes(statement))


@app.command()
def reveal(folder: Folder, party: PartyName, out: Out) -> None:
    """Open this party's number and sign for the public entropy. Hand the file over on a confidential way."""
    from credit_pipeline.inspection.rounds.files import statement_bytes

    files = [
        read_json(folder / f"{name}.json") for name in ("rule", "freeze", f"commitment-{party}", "entropy")
    ]
    found = _party(party).reveal_file(*files)
    _write(out / f"reveal-{party}.json", statement_bytes(found))
    typer.echo(_SIGNED_FOR.format(**found))


@app.command("open-escrow")
def open_escrow(
    folder: Folder,
    party: PartyName,
    of: Annotated[str, typer.Option("--of", help="The party that does not reveal.")],
    out: Out,
) -> None:
    """Open the number of a party that does not give it, with this party's key."""
    from credit_pipeline.inspection.rounds.files import statement_bytes

    rule, freeze, commitment, entropy = (
        read_json(folder / f"{name}.json") for name in ("rule", "freeze", f"commitment-{of}", "entropy")
    )
    path = folder / f"escrow-{of}.age"
    if not path.is_file():
        raise IntegrityError(f"{path} is missing: without it nobody but {of} can open its number")
    found = _party(party).open_escrow(rule, freeze, commitment, path.read_bytes(), entropy)
    _write(out / f"reveal-{of}.json", statement_bytes(found))
    typer.echo(_SIGNED_FOR.format(**found))
