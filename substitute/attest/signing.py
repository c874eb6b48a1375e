"""Signatures through Sigstore: the optional extra `sigstore`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SubstituteError, UsageError, ValidationError
from .envelope import PAYLOAD_TYPE, Envelope

if TYPE_CHECKING:
    from .proof import Signer

PACKAGE = "sigstore"


def check_installed(option: str) -> None:
    """Raises `UsageError` where Sigstore is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            "signatures need the package sigstore",
            where=option,
            expected="the extra `sigstore`",
            found="an installation without it",
            next_step="pip install 'iree-substitute[sigstore]'",
        )


def find_identity() -> Any:
    """Return the identity to sign with: of the CI that this runs in, else by a browser at a terminal.

    Raises `UsageError`.
    """
    check_installed("--sign")
    from sigstore.oidc import IdentityError, IdentityToken, Issuer, detect_credential

    try:
        token = detect_credential()
        if token is not None:
            return IdentityToken(token)
        if sys.stdin.isatty():
            return Issuer(_trust(offline=False).signing_config.get_oidc_url()).identity_token()
    except IdentityError as error:
        raise _no_identity(str(error)) from None
    raise _no_identity("none, and no terminal to ask at")


def _no_identity(found: str) -> UsageError:
    return UsageError(
        "there is no identity to sign with",
        where="--sign",
        expected="a CI that gives OpenID tokens (`id-token: write` on GitHub), or a terminal and a browser",
        found=found,
        next_step="sign where there is one, or leave --sign out",
    )


def _trust(*, offline: bool) -> Any:
    from sigstore.models import ClientTrustConfig

    return ClientTrustConfig.production(offline=offline)


def sign(body: bytes, identity: Any) -> bytes:
    """Sign a statement; return the Sigstore bundle as JSON. Raises `SubstituteError`."""
    from sigstore.dsse import Statement
    from sigstore.sign import SigningContext

    try:
        with SigningContext.from_trust_config(_trust(offline=False)).signer(identity) as signer:
            return f"{signer.sign_dsse(Statement(body)).to_json()}\n".encode()
    except Exception as error:  # the services behind it fail in many ways
        raise SubstituteError(
            "the attestation could not be signed",
            where="--sign",
            expected="Sigstore's services",
            found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            next_step="try again, or leave --sign out",
        ) from None


def verify_bundle(file: Path, envelope: Envelope, signer: Signer) -> bytes:
    """Return the statement that was signed by this identity. Raises `ValidationError`, and `UsageError`."""
    check_installed("--signed-by")
    if not envelope.bundle or not envelope.signatures:
        raise _refuse(file, "no signature" if not envelope.signatures else "an envelope without its certificate")
    from sigstore.errors import Error
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    try:
        bundle = Bundle.from_json(envelope.bundle)
        policy = Identity(identity=signer.identity, issuer=signer.issuer or None)
        kind, body = Verifier.production(offline=True).verify_dsse(bundle, policy)
    except Error as error:
        raise _refuse(file, str(error).partition("\n")[0] or type(error).__name__) from None
    except ValueError as error:  # certificates and times that cannot be read
        raise _refuse(file, str(error).partition("\n")[0]) from None
    if kind != PAYLOAD_TYPE:
        raise _refuse(file, f"the payload type {kind}")
    return bytes(body)


def _refuse(file: Path, found: str) -> ValidationError:
    return ValidationError(
        "the signature is not accepted",
        where=str(file),
        expected="a Sigstore bundle that the identity of --signed-by has signed",
        found=found,
        next_step="ask its author for a signed one (`validate --attest … --sign`)",
    )
