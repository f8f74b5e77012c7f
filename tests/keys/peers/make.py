#!/usr/bin/env python3
"""Makes the certificates of the tests, TEST-ONLY, all of them anew: python3 make.py (needs the package `cryptography`).

One authority of the trust domain example.org signs a server and the clients; `forged` signs itself. Each NAME.pem is one
certificate and NAME.key.pem its PKCS #8 key, EC P-256. All are valid until 2126 but `expired`.
"""

import datetime as dt
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = pathlib.Path(__file__).parent
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
END = dt.datetime(2126, 1, 1, tzinfo=dt.timezone.utc)

RESEARCH = "spiffe://example.org/ns/research/sa/notebook"
HOSTS = ["api", "small", "big", "*"]

# name -> URI and DNS names
CLIENTS = {
    "research": ([RESEARCH], []),
    "batch": (["spiffe://example.org/ns/batch/sa/runner"], []),
    "ingress": (["spiffe://example.org/ns/istio-system/sa/ingress"], []),
    "foreign": (["spiffe://other.org/ns/research/sa/notebook"], []),
    "two-uris": ([RESEARCH, "spiffe://example.org/ns/batch/sa/runner"], []),
    "no-uri": ([], ["notebook.research.example.org"]),
    "expired": ([RESEARCH], []),
    "forged": ([RESEARCH], []),
}


def name(text):
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Postern TEST-ONLY"),
        x509.NameAttribute(NameOID.COMMON_NAME, text),
    ])


def usage(sign, certify):
    return x509.KeyUsage(
        digital_signature=sign, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=certify, crl_sign=certify, encipher_only=False, decipher_only=False)


def write(label, key, certificate):
    (HERE / f"{label}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (HERE / f"{label}.key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def builder(label, key, issuer, end=END):
    return (x509.CertificateBuilder().subject_name(name(label)).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(BEGIN).not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))


def main():
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = (builder("authority", authority_key, name("authority"))
                 .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                 .add_extension(usage(False, True), critical=True)
                 .add_extension(x509.SubjectAlternativeName(
                     [x509.UniformResourceIdentifier("spiffe://example.org")]), critical=False)
                 .sign(authority_key, hashes.SHA256()))
    (HERE / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    marked = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())

    def leaf(label, names, purpose, signed_by_itself=False):
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = name(label) if signed_by_itself else authority.subject
        end = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc) if label == "expired" else END
        made = (builder(label, key, issuer, end)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(usage(True, False), critical=True)
                .add_extension(x509.ExtendedKeyUsage(purpose), critical=False)
                .add_extension(x509.SubjectAlternativeName(names), critical=False))
        if not signed_by_itself:
            made = made.add_extension(marked, critical=False)
        write(label, key, made.sign(key if signed_by_itself else authority_key, hashes.SHA256()))

    leaf("server", [x509.DNSName(f"{host}.example.com") for host in HOSTS], [ExtendedKeyUsageOID.SERVER_AUTH])
    for label, (uris, hosts) in CLIENTS.items():
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName(host) for host in hosts]
        leaf(label, names, [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], label == "forged")


if __name__ == "__main__":
    main()
