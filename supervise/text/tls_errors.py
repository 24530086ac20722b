"""The errors of TLS in the words of a message."""

import errno


def plainly(error: OSError) -> OSError:
    """Return the error without the place in the library's source (`(_ssl.c:1006)`)."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return OSError(errno.EPROTO, f"certificate verify failed: {error.verify_message.rstrip('.')}")
    if isinstance(error, ssl.SSLError) and error.reason:
        # With TLS 1.3 a refusal of the server can come after the handshake.
        return OSError(errno.EPROTO, f"handshake of TLS failed: {error.reason.replace('_', ' ').lower()}")
    return error
