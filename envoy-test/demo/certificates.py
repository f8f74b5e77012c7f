"""Certificate authorities for one run: one for the servers, one for the workloads of a SPIFFE trust domain.

The keys live as long as the run's folder; main.py removes them from it at the end.
"""

import base64
import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files; `thumbprint` is what a token bound to it says (`x5t#S256`, RFC 8705 section 3.1)."""

    certificate: Path
    key: Path
    thumbprint: str


class Authority:
    """A certificate authority. `spiffe` is the trust domain for which it signs workloads, as a URI (X509-SVID section 3.1)."""

    def __init__(self, name, *, spiffe=None):
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key.public_key())
        if spiffe:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe)]), critical=False)
        self._certificate = (
            builder
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write(self, path):
        """Writes the authority's certificate, for those who trust it."""
        path.write_bytes(self._certificate.public_bytes(PEM))
        return path

    def server(self, folder, name, hosts, addresses=()):
        """A server's certificate for these hosts and addresses, in `folder` as NAME.pem and NAME-key.pem."""
        names = [x509.DNSName(host) for host in hosts]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(folder, name, names, [ExtendedKeyUsageOID.SERVER_AUTH])

    def workload(self, folder, name, spiffe_id):
        """A workload's certificate (an X509-SVID): its one URI is its SPIFFE ID."""
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(folder, name, [x509.UniformResourceIdentifier(spiffe_id)], both)

    def _issue(self, folder, name, names, usages):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem", thumbprint)
        pair.certificate.write_bytes(certificate.public_bytes(PEM))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return pair

    def _builder(self, subject, public_key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(self._name).public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )


def _usage(**on):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})
