#!/usr/bin/env python3
"""读取本单位数据包：先核验，再打开。Opens a unit's extract: proves it first.

    python read_extract.py [FOLDER] --identity MY.agekey                 列出各表
    python read_extract.py [FOLDER] --identity MY.agekey --sql "select * from enterprises limit 5"
    python read_extract.py [FOLDER] --identity MY.agekey --csv DIR [--encoding gb18030]
    python read_extract.py [FOLDER] --identity MY.agekey --excel-password
    python read_extract.py [FOLDER] --identity MY.agekey --receipt RECEIPT.csv
    python read_extract.py --new-identity MY.agekey                      生成本单位密钥，只需一次

FOLDER 省略时为本文件所在文件夹。只需 Python 3.9 以上和 duckdb（pip install duckdb==1.5.5）。
In a program:  from read_extract import open_extract;  connection = open_extract(folder, identity)

What it does, in this order, and stops at the first thing that is not so: the manifest is signed by the credit office;
it is for this unit; it is not older than what was seen before (kept in IDENTITY.seen.json); every file has the size and
SHA-256 that were signed; the key unwraps with the identity; then, and only then, the file is attached, read only.
The format is docs/extracts.md. Sections: 1 refusing, 2 signatures, 3 age, 4 the release, 5 opening, 6 the command.
"""
# Untyped: it must run on Python 3.9 and stay short (its exceptions from the linter are in pyproject.toml).
# mypy: ignore-errors

import argparse
import base64
import csv
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import struct
import sys
from datetime import date

FORMAT = "credit-pipeline-extract/2"
FIELDS = {"format", "unit_id", "as_of_date", "release_seq", "files", "companions", "content_digest",
          "prev_manifest_sha256", "checkpoint", "key_id", "recipients", "key_mode", "contract_version", "purpose",
          "valid_until", "watermark", "tables", "signed_by", "signature"}  # fmt: skip
MANIFEST, SIGNING_KEYS = "manifest.json", "signing_keys.json"
MAX_SMALL_FILE = 4_000_000
HASH = "[0-9a-f]{64}"


# === 1 Refusing ===============================================================================================


class Refused(Exception):
    """Something is not as it must be; nothing was opened."""

    def __init__(self, chinese, english):
        super().__init__("%s\n%s" % (chinese, english))


def need(condition, chinese, english):
    if not condition:
        raise Refused(chinese, english)


# === 2 Signatures: Ed25519 by RFC 8032, section 5.1 ===========================================================

P = 2**255 - 19  # the field
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, P - 2, P) % P  # the curve: -x^2 + y^2 = 1 + D x^2 y^2


def point_add(a, b):
    """Sum of two points (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z."""
    u, v = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = v - u, d - c, d + c, v + u
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_multiply(number, point):
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = point_add(total, point)
        point = point_add(point, point)
        number >>= 1
    return total


def point_from_bytes(data):
    """The point of its 32 bytes, or None when no point has them."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def same_point(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


BASE = point_from_bytes((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signature_is_good(public_key, message, signature):
    """Whether `signature` (128 hex digits) of `message` (bytes) was made by the owner of `public_key` (64)."""
    if not re.fullmatch(HASH, public_key) or not re.fullmatch("[0-9a-f]{128}", signature):
        return False
    key_bytes, r_bytes = bytes.fromhex(public_key), bytes.fromhex(signature[:64])
    key, r = point_from_bytes(key_bytes), point_from_bytes(r_bytes)
    s = int.from_bytes(bytes.fromhex(signature[64:]), "little")
    if key is None or r is None or s >= L or same_point(point_multiply(8, key), (0, 1, 1, 0)):
        return False
    k = int.from_bytes(hashlib.sha512(r_bytes + key_bytes + message).digest(), "little") % L
    return same_point(point_multiply(s, BASE), point_add(r, point_multiply(k, key)))


def key_id(public_key):
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


# === 3 age (C2SP age v1): X25519, HKDF, ChaCha20-Poly1305, bech32 =============================================


def x25519(scalar, point):
    """RFC 7748, section 5: the Montgomery ladder over bytes."""
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    k &= 2**255 - 1
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u % P, 1, 0
    for place in reversed(range(255)):
        bit = k >> place & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


X25519_BASE = (9).to_bytes(32, "little")


def hkdf(secret, salt, info):
    """RFC 5869 with SHA-256, 32 bytes."""
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def chacha20_block(key, counter, nonce):
    """RFC 8439, section 2.3."""
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    s = start[:]
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
              (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip
    for a, b, c, d in rounds * 10:
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            mixed = s[z] ^ s[x]
            s[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(s, start)))


def poly1305(key, message):
    """RFC 8439, section 2.5."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def open_box(key, nonce, sealed):
    """RFC 8439, section 2.8, without associated data: the text, or None when it was changed or the key is another."""
    text, tag = sealed[:-16], sealed[-16:]
    padded = text + bytes(-len(text) % 16) + struct.pack("<QQ", 0, len(text))
    if len(tag) != 16 or not hmac.compare_digest(poly1305(chacha20_block(key, 0, nonce)[:32], padded), tag):
        return None
    stream = b"".join(chacha20_block(key, 1 + number, nonce) for number in range(-(-len(text) // 64)))
    return bytes(x ^ y for x, y in zip(text, stream))


BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32_checksum(values):
    total = 1
    for value in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            total ^= generator if top >> bit & 1 else 0
    return total


def bech32_expanded(prefix):
    return [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]


def bech32_decode(prefix, text):
    """The 32 bytes behind `prefix`, or None."""
    if text not in (text.lower(), text.upper()):
        return None
    text = text.lower()
    values = [BECH32.find(one) for one in text[len(prefix) + 1 :]]
    if not text.startswith(prefix + "1") or len(values) != 58 or -1 in values:
        return None
    number = 0
    for value in values[:52]:
        number = number << 5 | value
    if bech32_checksum(bech32_expanded(prefix) + values) != 1 or number & 15:
        return None
    return (number >> 4).to_bytes(32, "big")


def bech32_encode(prefix, data):
    number = int.from_bytes(data, "big") << 4
    values = [number >> 5 * place & 31 for place in reversed(range(52))]
    checksum = bech32_checksum(bech32_expanded(prefix) + values + [0] * 6) ^ 1
    return prefix + "1" + "".join(BECH32[one] for one in values + [checksum >> 5 * place & 31 for place in range(5, -1, -1)])  # fmt: skip


def unpadded(text):
    """Bytes of standard base64 without padding, or None when it is not the one way to write them."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode().rstrip("=") == text else None


def damaged_key():
    return Refused(
        "密钥文件已损坏，请重新复制整个文件夹。", "The wrapped key is damaged: copy the whole folder again."
    )


def age_header(data):
    """(stanzas, bytes under the MAC, MAC, payload); a stanza is (arguments, body)."""
    lines, stanzas, at = [], [], 0
    while True:
        end = data.find(b"\n", at)
        if end < 0 or len(lines) > 4000:
            raise damaged_key()
        line = data[at:end].decode("ascii", "replace")
        if line.startswith("--- "):
            break
        lines.append(line)
        at = end + 1
    if not lines or lines[0] != "age-encryption.org/v1":
        raise damaged_key()
    for one in lines[1:]:
        if one.startswith("-> "):
            stanzas.append((one[3:].split(" "), []))
        elif stanzas:
            stanzas[-1][1].append(one)
        else:
            raise damaged_key()
    return (
        [(arguments, "".join(body)) for arguments, body in stanzas],
        data[: at + 3],
        line[4:],
        data[end + 1 :],
    )


def file_key_of(stanzas, identity):
    """The file key that one of the X25519 stanzas holds for this identity; other kinds of stanza are passed over."""
    own = x25519(identity, X25519_BASE)
    for arguments, body in stanzas:
        if arguments[0] != "X25519" or len(arguments) != 2:
            continue
        share, sealed = unpadded(arguments[1]), unpadded(body)
        if share is None or sealed is None or len(share) != 32 or len(sealed) != 32:
            raise damaged_key()
        shared = x25519(identity, share)
        if shared == bytes(32):
            raise damaged_key()
        key = open_box(hkdf(shared, share + own, b"age-encryption.org/v1/X25519"), bytes(12), sealed)
        if key is not None:
            return key
    return None


def age_decrypt(data, identity):
    """What was encrypted to the identity (32 bytes), or None when it is no recipient."""
    stanzas, header, mac, payload = age_header(data)
    file_key = file_key_of(stanzas, identity)
    if file_key is None:
        return None
    expected = hmac.new(hkdf(file_key, b"", b"header"), header, hashlib.sha256).digest()
    if not hmac.compare_digest(expected, unpadded(mac) or b"") or len(payload) < 32:
        raise damaged_key()
    key, sealed, text = hkdf(file_key, payload[:16], b"payload"), payload[16:], b""
    chunks = [sealed[at : at + 65552] for at in range(0, len(sealed), 65552)]
    for number, chunk in enumerate(chunks):
        nonce = number.to_bytes(11, "big") + (b"\x01" if number == len(chunks) - 1 else b"\x00")
        opened = open_box(key, nonce, chunk)
        if opened is None:
            raise damaged_key()
        text += opened
    return text


def read_identity(path):
    """The 32 secret bytes of an identity file as age-keygen writes it."""
    need(os.path.isfile(path), "找不到密钥文件 %s。" % path, "%s: there is no such identity file." % path)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file.read(MAX_SMALL_FILE).splitlines()]
    found = [line for line in lines if line.startswith("AGE-SECRET-KEY-1")]
    secret = bech32_decode("age-secret-key-", found[0]) if found else None
    need(secret is not None, "%s 中没有完整的密钥（AGE-SECRET-KEY-1…），请从备份恢复。" % path,
         "%s: holds no whole age secret key; restore it from the backup." % path)  # fmt: skip
    return secret


def recipient_of(identity):
    return bech32_encode("age", x25519(identity, X25519_BASE))


def recipient_key_id(identity):
    return hashlib.sha256(b"AGEKEY1|" + recipient_of(identity).encode()).hexdigest()[:16]


def write_new_identity(path):
    """Makes the unit's own key, never over another file; gives what to send to the credit office."""
    secret = secrets.token_bytes(32)
    text = bech32_encode("age-secret-key-", secret).upper()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(
            "%s 已存在，不会覆盖。" % path, "%s exists: a key is never written over." % path
        ) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("# public key: %s\n%s\n" % (recipient_of(secret), text))
    return recipient_of(secret)


# === 4 The release ============================================================================================


def canonical(value):
    """The one byte string of a JSON value: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def open_plain(path):
    """The file, opened for reading; refuses links, folders, pipes and devices before it opens them."""
    name = os.path.basename(path)
    try:
        mode = os.lstat(path).st_mode
        need(stat.S_ISREG(mode), "%s 不是普通文件（或是链接）。" % name,
             "%s is %s: a release holds plain files." % (name, "a link" if stat.S_ISLNK(mode) else "no plain file"))  # fmt: skip
        return open(path, "rb")
    except OSError as error:
        raise Refused("缺少 %s，请复制整个文件夹。" % name, "%s is missing (%s): copy the whole folder." % (name, error.strerror)) from None  # fmt: skip


def read_json(path):
    """(JSON object, its bytes); only in the canonical form, so that there is one way to write a manifest."""
    name = os.path.basename(path)
    with open_plain(path) as file:
        data = file.read(MAX_SMALL_FILE)
    try:
        value = json.loads(data)
        good = isinstance(value, dict) and canonical(value) + b"\n" == data
    except (ValueError, RecursionError):
        good = False
    need(
        good,
        "%s 已被改动或不完整，请勿打开数据包。" % name,
        "%s was changed or cut: do not open the extract." % name,
    )
    return value, data


def trusted_signer(folder, manifest, pinned):
    """The public key that signed the manifest: the pinned one, or one it handed over to; at first use the folder's."""
    path = os.path.join(folder, SIGNING_KEYS)
    keys = read_json(path)[0] if os.path.lexists(path) else {"current": pinned, "handovers": []}
    try:
        handovers = list(keys["handovers"])
        known = [pinned] if pinned else [one["old_key"] for one in handovers] + [keys["current"]]
        for one in handovers if pinned else []:
            content = {name: value for name, value in one.items() if name != "signature"}
            if one["old_key"] == known[-1] and signature_is_good(known[-1], b"HANDOVER1|" + canonical(content), one["signature"]):  # fmt: skip
                known.append(one["new_key"])
        found = [key for key in known if isinstance(key, str) and re.fullmatch(HASH, key) and key_id(key) == manifest["signed_by"]]  # fmt: skip
    except (KeyError, TypeError, ValueError):
        found = []
    need(found, "清单的签名密钥（%s）不是信用办的密钥，请勿打开，并与信用办核对公钥。" % manifest["signed_by"],
         "The manifest was signed by key %s, which is not the credit office's: do not open; compare the public key on "
         "paper (--key)." % manifest["signed_by"])  # fmt: skip
    return found[-1]


def check_signature(manifest, public_key):
    content = {name: value for name, value in manifest.items() if name != "signature"}
    need(signature_is_good(public_key, b"MANIFEST2|" + canonical(content), str(manifest["signature"])),
         "清单在签名后被改动，请勿打开数据包。", "The manifest was changed after it was signed: do not open the extract.")  # fmt: skip


def check_number(manifest, sha256, seen):
    """Against what was seen before: not older, not another of the same number, a true successor."""
    number, last = manifest["release_seq"], seen.get("release_seq", 0)
    need(number >= last, "这是第 %d 期，本机已打开过第 %d 期：这是旧数据包，请索取最新一期。" % (number, last),
         "Release %d is older than release %d, which was seen before: ask for the newest one." % (number, last))  # fmt: skip
    if number == last:
        need(seen["manifest_sha256"] == sha256, "第 %d 期出现两份不同的清单，请告知审计人员。" % number,
             "Another manifest of release %d was seen before; two were signed: tell the auditor." % number)  # fmt: skip
    if last and number == last + 1:
        need(manifest["prev_manifest_sha256"] == seen["manifest_sha256"], "第 %d 期与上一期不衔接，请告知审计人员。" % number,
             "Release %d does not follow the one seen before: tell the auditor." % number)  # fmt: skip


def measured(path):
    """({size, sha256}, status) of a plain file."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        status = os.fstat(file.fileno())
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return {"size": status.st_size, "sha256": digest.hexdigest()}, status


def check_files(folder, manifest):
    """Every file of the release is the signed one and nothing else carries its number; gives the database's status."""
    release = "%s-%06d" % (manifest["unit_id"], manifest["release_seq"])
    files = manifest["files"]
    needed = {release + ".duckdb", release + ".key.age"}
    good = all(re.fullmatch("[0-9A-Za-z][0-9A-Za-z._-]{0,99}", name) and name.startswith(release + ".") for name in files)  # fmt: skip
    need(
        good and needed <= set(files),
        "清单所列文件名不符合约定。",
        "The manifest names files that are not of this release.",
    )
    for name in sorted(os.listdir(folder)):
        strange = name.startswith(release + ".") and name not in files and name != release + ".manifest.json"
        need(not strange, "%s 不属于本期数据包，是他人放入的，请勿打开。" % name,
             "%s carries the number of this release but is not of it: somebody put it there." % name)  # fmt: skip
    for name in sorted(files):
        found, status = measured(os.path.join(folder, name))
        need(found["size"] == files[name]["size"], "%s 大小不符，请重新复制。" % name,
             "%s: %d bytes, the manifest says %s: copy it again." % (name, found["size"], files[name]["size"]))  # fmt: skip
        need(found["sha256"] == files[name]["sha256"], "%s 内容与清单不符：已被改动或属于另一期。" % name,
             "%s: its SHA-256 is not the manifest's: it was changed or is of another release." % name)  # fmt: skip
        if name == release + ".duckdb":
            database = status
    return database


def check_companions(folder, manifest):
    """The reader and the guide, if they lie here: of this release, or of the one before while it is being replaced."""
    accepted = list(manifest["companions"])
    path = os.path.join(folder, "%s-%06d.manifest.json" % (manifest["unit_id"], manifest["release_seq"] - 1))
    if os.path.lexists(path):
        kept, data = read_json(path)
        if hashlib.sha256(data).hexdigest() == manifest["prev_manifest_sha256"]:
            accepted += kept.get("companions", [])
    for name in sorted({one["name"] for one in manifest["companions"]}):
        path = os.path.join(folder, os.path.basename(name))
        if os.path.lexists(path):
            need(dict(measured(path)[0], name=name) in accepted, "%s 已被改动，请重新复制整个文件夹。" % name,
                 "%s is not the one of this release: it was changed; copy the folder again." % name)  # fmt: skip


def strangers(folder, manifest):
    """Names in the folder that nothing vouches for."""
    own = {MANIFEST, SIGNING_KEYS, "__pycache__", *(one["name"] for one in manifest["companions"])}
    number = re.compile(r"%s-\d{6,}\..*|tmp-.*" % re.escape(manifest["unit_id"]))
    return sorted(name for name in os.listdir(folder) if name not in own and not number.fullmatch(name))


# === 5 Opening ================================================================================================


class Opened:
    """A proved release: `connection`, `manifest`, `notes` for the reader, and the key it was opened with."""

    def __init__(self, connection, manifest, sha256, key, notes):
        self.connection, self.manifest, self.sha256, self.notes = connection, manifest, sha256, notes
        self._key = key

    def excel_password(self):
        digest = hmac.new(bytes.fromhex(self._key), b"XLSX1", hashlib.sha256).digest()
        text = base64.b32encode(digest).decode()[:20]
        return "-".join(text[at : at + 4] for at in range(0, 20, 4))


def state_path(identity_path):
    return identity_path + ".seen.json"


def read_state(path):
    """What was seen with this identity: {"public_key": hex, "units": {unit: {release_seq, manifest_sha256}}}."""
    if not os.path.lexists(path):
        return {"public_key": None, "units": {}}
    try:
        with open(path, encoding="utf-8") as file:
            state = json.loads(file.read(MAX_SMALL_FILE))
        for seen in state["units"].values():
            seen["release_seq"] + 0, re.fullmatch(HASH, seen["manifest_sha256"]).group()
        re.fullmatch(HASH, state["public_key"]).group()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused("%s 已损坏：它记录已打开的期次，防止旧数据包冒充。请核对后删除。" % path,
                      "%s is damaged. It remembers what was opened, against old releases: find out why, then delete "
                      "it." % path) from None  # fmt: skip
    return state


def write_state(path, state):
    """Whole or not at all. Without it an old release could be passed off as new, so failing is refusing."""
    temporary = "%s.tmp-%d" % (path, os.getpid())
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(state, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise Refused("无法写入 %s（记录已打开的期次）：请把密钥文件放在可写的文件夹。" % path,
                      "%s cannot be written (%s): it remembers what was opened; keep the identity in a folder you can "
                      "write to." % (path, error.strerror)) from None  # fmt: skip


def expected_unit(state, unit, manifest):
    """The unit this identity has opened so far; one identity belongs to one unit unless `unit` says otherwise."""
    units = sorted(state["units"])
    expected = unit or (units[0] if len(units) == 1 else None)
    need(
        expected is not None or not units,
        "请用 --unit 指明单位。",
        "This identity opened several units: say which with --unit.",
    )
    need(expected in (None, manifest["unit_id"]), "这是 %s 的数据包，不是 %s 的。" % (manifest["unit_id"], expected),
         "This extract is for unit %s, not for %s." % (manifest["unit_id"], expected))  # fmt: skip


def prove_and_open(folder, identity_path, unit=None, key=None):
    """An `Opened` release; raises `Refused`."""
    import duckdb

    folder, identity_path = os.path.abspath(folder), os.path.abspath(identity_path)
    identity, state = read_identity(identity_path), read_state(state_path(identity_path))
    manifest, data = read_json(os.path.join(folder, MANIFEST))
    need(set(manifest) == FIELDS and manifest["format"] == FORMAT, "清单格式不是 %s，请索取对应的读取程序。" % FORMAT,
         "Not a manifest in the form %s: ask for the reader of its form." % FORMAT)  # fmt: skip
    signer = trusted_signer(folder, manifest, key or state["public_key"])
    check_signature(manifest, signer)
    expected_unit(state, unit, manifest)
    sha256 = hashlib.sha256(data).hexdigest()
    check_number(manifest, sha256, state["units"].get(manifest["unit_id"], {}))
    database_status = check_files(folder, manifest)
    check_companions(folder, manifest)
    release_key = unwrapped_key(folder, manifest, identity)
    path = os.path.join(folder, "%s-%06d.duckdb" % (manifest["unit_id"], manifest["release_seq"]))
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",
        },
    )
    try:
        connection.execute(
            "attach '%s' as extract (read_only, encryption_key ?)" % path.replace("'", "''"), [release_key]
        )
        connection.execute("use extract")
    except duckdb.Error as error:
        connection.close()
        raise Refused("数据文件无法打开：请安装 duckdb 1.5.5。", "The file cannot be opened (DuckDB %s): %s" % (duckdb.__version__, error)) from None  # fmt: skip
    now = os.lstat(path)
    unmoved = (now.st_ino, now.st_size, now.st_mtime_ns) == (database_status.st_ino, database_status.st_size, database_status.st_mtime_ns)  # fmt: skip
    if not unmoved or os.path.lexists(path + ".wal"):
        connection.close()
        raise Refused("核验期间文件被替换，请复制到只有本人可写的文件夹。", "The file was exchanged while it was proved: copy the folder where only you can write.")  # fmt: skip
    notes = notes_on(folder, identity_path, manifest, signer, first_use=not (key or state["public_key"]))
    state["public_key"] = signer
    state["units"][manifest["unit_id"]] = {"release_seq": manifest["release_seq"], "manifest_sha256": sha256}
    write_state(state_path(identity_path), state)
    return Opened(connection, manifest, sha256, release_key, notes)


def unwrapped_key(folder, manifest, identity):
    name = "%s-%06d.key.age" % (manifest["unit_id"], manifest["release_seq"])
    with open_plain(os.path.join(folder, name)) as file:
        text = age_decrypt(file.read(MAX_SMALL_FILE), identity)
    own = recipient_key_id(identity)
    need(text is not None, "本密钥（%s）不能打开这一期：它已被替换或吊销，或不属于本单位。请使用登记的新密钥或联系信用办。" % own,
         "This identity (key %s) is no recipient of release %d (%s): it was replaced or revoked, or is another unit's. Use the "
         "one that was registered in its place." % (own, manifest["release_seq"], ", ".join(manifest["recipients"])))  # fmt: skip
    key = text.decode("ascii", "replace")
    named = hashlib.sha256(("EXTRACTKEY1|" + key).encode()).hexdigest()[:16]
    need(re.fullmatch(HASH, key) and named == manifest["key_id"], "密钥文件不属于这一期，请重新复制整个文件夹。",
         "The wrapped key is not the key of release %d (%s)." % (manifest["release_seq"], manifest["key_id"]))  # fmt: skip
    return key


def notes_on(folder, identity_path, manifest, signer, first_use):
    """What the reader should know although nothing is wrong with the release."""
    notes = [
        "%s 不属于数据包，来源不明。%s is not of the release." % (name, name)
        for name in strangers(folder, manifest)
    ]
    if first_use:
        notes.append(
            "首次使用，请与信用办书面提供的公钥核对：Compare with the office's public key on paper: " + signer
        )
    if date.today().isoformat() > manifest["valid_until"]:
        notes.append(
            "本期有效期至 %s，请索取新一期。Expired: ask for a newer release." % manifest["valid_until"]
        )
    if manifest["key_mode"] == "office":
        notes.append(
            "本单位尚未登记自己的密钥，目前由信用办代为保管（--new-identity 生成后报送公钥）。The office holds this key."
        )
    if os.name == "posix" and os.stat(identity_path).st_mode & 0o077:
        notes.append("密钥文件可被他人读取，请执行 chmod 600。Others may read the identity file: chmod 600.")
    return notes


def open_extract(folder, identity, unit=None, key=None):
    """A DuckDB connection to the proved extract, read only, its tables in reach by name; close it when done.

    `folder` and `identity` are paths, `unit` and `key` (the office's public key, 64 hex digits) optional pins. Notes go
    to stderr. Raises `Refused`.
    """
    opened = prove_and_open(str(folder), str(identity), unit, key)
    for note in opened.notes:
        print("注意 NOTE: " + note, file=sys.stderr)
    return opened.connection


# === 6 The command ============================================================================================

TABLES = """
    select table_name as "表", estimated_size::varchar as "行数", coalesce(comment, '') as "说明"
    from duckdb_tables() where database_name = 'extract'
    union all
    select view_name, '视图', coalesce(comment, '') from duckdb_views() where database_name = 'extract' and not internal
    order by 1"""


def print_rows(connection, sql, limit=1000):
    """The answer as lines of text, separated by tabs; at most `limit` rows."""
    cursor = connection.execute(sql)
    print("\t".join(column[0] for column in cursor.description or []))
    rows = cursor.fetchmany(limit + 1)
    for row in rows[:limit]:
        print("\t".join("" if value is None else str(value) for value in row))
    if len(rows) > limit:
        print("……仅显示前 %d 行，全部请用 --csv。Only %d rows shown." % (limit, limit), file=sys.stderr)


def csv_cell(value):
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str) and re.match("[\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]", value):
        return "'" + value
    return "" if value is None else value


def write_csv(connection, folder, encoding):
    """One file per table and view; gives their names."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    names = [row[0] for row in connection.execute(TABLES).fetchall()]
    for name in names:
        cursor = connection.execute('select * from extract."%s"' % name.replace('"', '""'))
        with open(
            os.path.join(folder, name + ".csv"), "w", encoding=encoding, errors="replace", newline=""
        ) as file:
            writer = csv.writer(file)
            writer.writerow([column[0] for column in cursor.description])
            for rows in iter(lambda: cursor.fetchmany(10_000), []):  # noqa: B023
                writer.writerows([csv_cell(value) for value in row] for row in rows)
    return names


def write_receipt(opened, path):
    """The row that the unit sends back: with it, nobody can later shorten or rewrite the office's audit log unseen."""
    manifest, log = opened.manifest, opened.manifest["checkpoint"] or {}
    row = {"unit_id": manifest["unit_id"], "release_seq": manifest["release_seq"], "manifest_sha256": opened.sha256,
           "log_size": log.get("size", ""), "log_head": log.get("head", ""), "received_date": date.today().isoformat()}  # fmt: skip
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


def public_key_argument(text):
    if not re.fullmatch(HASH, text.strip()):
        raise argparse.ArgumentTypeError("公钥为 64 位十六进制数字 a public key is 64 hexadecimal digits")
    return text.strip()


def parsed(arguments):
    parser = argparse.ArgumentParser(description="核验并读取本单位数据包 Proves and opens a unit's extract.")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("folder", nargs="?", default=here, help="数据包文件夹，默认为本文件所在文件夹")
    parser.add_argument("--identity", help="本单位密钥文件 age identity of the unit")
    parser.add_argument(
        "--key", type=public_key_argument, help="信用办公钥（书面提供） the office's public key"
    )
    parser.add_argument("--unit", help="单位代码，默认与上次相同")
    parser.add_argument("--sql", help="查询语句")
    parser.add_argument("--csv", metavar="DIR", help="把全部表导出为 CSV")
    parser.add_argument("--encoding", default="utf-8-sig", choices=["utf-8-sig", "gb18030"], help="CSV 编码")
    parser.add_argument("--excel-password", action="store_true", help="显示 Excel 文件的密码")
    parser.add_argument("--receipt", metavar="FILE", help="写出回执")
    parser.add_argument("--new-identity", metavar="FILE", help="生成本单位密钥")
    options = parser.parse_args(arguments)
    if not options.identity and not options.new_identity:
        parser.error("请给出 --identity 密钥文件 (or --new-identity FILE)")
    return options


def run(options):
    if options.new_identity:
        print(write_new_identity(options.new_identity))
        print("请把上面一行（公钥）报送信用办；密钥文件由本单位保管和备份，不得外传。\nSend this line to the credit office; "
              "keep and back up the file, give it to nobody.", file=sys.stderr)  # fmt: skip
        return
    opened = prove_and_open(options.folder, options.identity, options.unit, options.key)
    manifest = opened.manifest
    print("核验通过：%s 第 %d 期，数据截至 %s，有效期至 %s。Verified." % (
        manifest["unit_id"], manifest["release_seq"], manifest["as_of_date"], manifest["valid_until"]), file=sys.stderr)  # fmt: skip
    for note in opened.notes:
        print("注意 NOTE: " + note, file=sys.stderr)
    with opened.connection as connection:
        if options.excel_password:
            print(opened.excel_password())
        if options.receipt:
            write_receipt(opened, options.receipt)
        if options.csv:
            for name in write_csv(connection, options.csv, options.encoding):
                print(os.path.join(options.csv, name + ".csv"))
        if options.sql or not (options.excel_password or options.receipt or options.csv):
            print_rows(connection, options.sql or TABLES)


def main(arguments):
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    options = parsed(arguments)
    try:
        import duckdb
    except ImportError:
        print("缺少 duckdb，请执行：pip install duckdb==1.5.5", file=sys.stderr)
        return 2
    try:
        run(options)
    except Refused as error:
        print("已拒绝 REFUSED: %s" % error, file=sys.stderr)
        return 1
    except duckdb.Error as error:
        print("查询有误 The query is wrong: %s" % error, file=sys.stderr)
        return 2
    except OSError as error:
        print("无法读写 Cannot be read or written: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
