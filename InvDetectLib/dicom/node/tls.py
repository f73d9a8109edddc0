"""TLS from certificate files: both sides show a certificate, and both are held against the same authority."""

from __future__ import annotations

import ssl
from pathlib import Path

from ...common import InvDetectError, shown


def tls_contexts(certificate: Path, key: Path, authority: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(for receiving, for sending) from PEM files: our own certificate, its key, and the authority that signs those of the others.

    Raises InvDetectError for a file that is missing or holds something else, and for a key that does not belong to the certificate.
    """
    for path, what in ((certificate, "certificate (--tls-cert)"), (key, "key (--tls-key)"), (authority, "authority (--tls-ca)")):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise InvDetectError(f"The {what} {path} cannot be read: {error.strerror}. Give a PEM file.") from error
    contexts = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    for context in contexts:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(authority)
        except OSError as error:
            raise InvDetectError(f"{authority} holds no certificate of an authority ({shown(error)}). Give its PEM file.") from error
        try:
            context.load_cert_chain(certificate, key, password="")  # never asks at a terminal
        except OSError as error:
            raise InvDetectError(
                f"The certificate {certificate} and the key {key} do not fit ({shown(error)}). Give PEM files that belong together, the "
                "key without a password."
            ) from error
    return contexts
