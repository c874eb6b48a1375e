"""DSSE envelopes: https://github.com/secure-systems-lab/dsse, protocol and envelope 1.0.2.

An envelope without a signature is what a signer has yet to sign. It shows mistakes, such as code that changed since,
and no forgery; a verifier of DSSE rejects it. Signed, the file is a Sigstore bundle, which holds the envelope beside
the certificate and the entry of the transparency log.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_BYTES = 64 << 20
"""Size beyond which a file is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope as it was read."""

    body: bytes
    """The statement as the bytes that are signed."""
    signatures: int
    """Number of signatures; none of them is verified yet."""
    bundle: str = ""
    """The Sigstore bundle as JSON that it came in; empty if it was none."""


def encode_before_signing(payload_type: str, body: bytes) -> bytes:
    """Return the bytes that a signature is over: PAE(type, body) of the protocol."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def wrap(body: bytes) -> bytes:
    """Return an envelope without signatures, as JSON."""
    payload = base64.b64encode(body).decode()
    value = {"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": []}
    return f"{json.dumps(value, indent=2)}\n".encode()


def read_envelope(path: Path) -> Envelope:
    """Read an envelope, or a Sigstore bundle with one. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _refuse(path, "a file that can be read", error.strerror or str(error)) from None
    if len(data) > MOST_BYTES:
        raise _refuse(path, f"at most {MOST_BYTES:,} bytes", "more")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "JSON", str(error)) from None
    bundle = ""
    if isinstance(value, dict) and "dsseEnvelope" in value:
        bundle, value = data.decode(), value["dsseEnvelope"]
    if not isinstance(value, dict):
        raise _refuse(path, "an object", type(value).__name__)
    return _read(path, value, bundle)


def _read(path: Path, value: dict[str, Any], bundle: str) -> Envelope:
    kind, payload, signatures = (value.get(name) for name in ("payloadType", "payload", "signatures"))
    if kind != PAYLOAD_TYPE:
        raise _refuse(path, f"the payload type {PAYLOAD_TYPE}", "none" if kind is None else repr(kind))
    if not isinstance(payload, str):
        raise _refuse(path, "a payload as text", "none" if payload is None else type(payload).__name__)
    if not isinstance(signatures, list) or not all(isinstance(s, dict) and s.get("sig") for s in signatures):
        raise _refuse(path, "a list of signatures, each with `sig`", "something else")
    try:
        # both alphabets are allowed
        body = base64.b64decode(payload.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refuse(path, "a payload in base64", str(error)) from None
    return Envelope(body=body, signatures=len(signatures), bundle=bundle)


def _refuse(path: Path, expected: str, found: str) -> UsageError:
    return UsageError(
        "this is no DSSE envelope",
        where=str(path),
        expected=expected,
        found=found,
        next_step="write it again with `iree-substitute validate … --attest`",
    )
