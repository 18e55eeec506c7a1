"""A ZIP archive that asks for a password: WinZip's AES-256 (AE-2), which 7-Zip, WinRAR, Bandizip and macOS tools open.

Python's own zipfile cannot write one. Format: https://www.winzip.com/en/support/aes-encryption/ and APPNOTE 4.5; per file
a salt of its own, keys by PBKDF2-HMAC-SHA1 (1000 rounds: enough for passwords of 100 random bits, and only for such),
AES in counter mode with a little-endian counter from 1, HMAC-SHA1 over the ciphertext, cut to 80 bits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_ENCRYPTED_UTF8 = 0x0801
_METHOD_AES, _DEFLATE = 99, 8
_EXTRA = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, _DEFLATE)
_DATE = (2020 - 1980) << 9 | 1 << 5 | 1
_VERSION = 51
_ROUNDS = 1000


def locked_zip(files: Mapping[str, bytes], password: str) -> bytes:
    """An archive of the files, each encrypted. The same files give other bytes each time: salts are random."""
    body, directory = bytearray(), bytearray()
    for name, content in files.items():
        sealed = _sealed(_deflated(content), password)
        encoded = name.encode()
        sizes = struct.pack(
            "<HHHHHIIIHH", _VERSION, _ENCRYPTED_UTF8, _METHOD_AES, 0, _DATE, 0, len(sealed), len(content), len(encoded), len(_EXTRA)
        )  # fmt: skip
        directory += b"PK\x01\x02" + struct.pack("<H", 3 << 8 | _VERSION) + sizes
        directory += struct.pack("<HHHII", 0, 0, 0, 0o600 << 16, len(body)) + encoded + _EXTRA
        body += b"PK\x03\x04" + sizes + encoded + _EXTRA + sealed
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory) + b"PK\x05\x06" + end


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _sealed(packed: bytes, password: str) -> bytes:
    """Salt, two bytes that tell a wrong password, ciphertext, its authentication."""
    salt = secrets.token_bytes(16)
    keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, _ROUNDS, 66)
    encrypted = _counted(packed, keys[:32])
    proof = hmac.digest(keys[32:64], encrypted, "sha1")[:10]
    return salt + keys[64:] + encrypted + proof


def _counted(content: bytes, key: bytes) -> bytes:
    """AES in counter mode, the counter little-endian as only this format has it."""
    blocks = -(-len(content) // 16)
    counters = np.zeros((blocks, 2), dtype="<u8")
    counters[:, 0] = np.arange(1, blocks + 1)
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - of counters, each used once
    stream = np.frombuffer(cipher.update(counters.tobytes()) + cipher.finalize(), dtype=np.uint8)
    return (np.frombuffer(content, dtype=np.uint8) ^ stream[: len(content)]).tobytes()
