"""Errors that a user can act on. Anything else that is raised is a defect of ours."""


class CreditPipelineError(Exception):
    """An expected failure: the message names what is wrong, where, and the remedy; the command exits 1."""


class BadInput(CreditPipelineError):
    """The caller's arguments or files cannot be used as given; the command exits 2."""


class IntegrityError(CreditPipelineError):
    """Something that must not change did: a hash, a signature, a chain or a frozen file does not match."""
