"""TLS contexts for both sides. Knows files and nothing of connections."""

import ssl

from swayam_proxy.live.settings import BackendTls, TlsFiles


def client_side_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what clients are met with: the given certificate, TLS 1.2 or later, HTTP/1.1 only.

    Raises:
        OSError: a file cannot be read; `ssl.SSLError` among them when it is no certificate or the key does
        not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.private_key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def backend_context(settings: BackendTls) -> ssl.SSLContext:
    """Return how backends are met: their certificate and name are verified, always."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
