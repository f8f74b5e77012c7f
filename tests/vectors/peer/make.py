"""Writes the certificates of this folder anew. Needs Python's `cryptography`; the keys are thrown away.

Some certificates are such as no library makes: an extension is put in under a number of its own, and the number is then
changed in the bytes. Their signatures are wrong, which no test looks at: the gateway checks them, not the module.
"""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

HERE = pathlib.Path(__file__).parent
NOTEBOOK = "spiffe://example.org/ns/research/sa/notebook"
CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST-ONLY example.org CA")])
STAND_IN = ObjectIdentifier("2.5.29.99")  # as long as those that it stands for
SAN, BASIC, USAGE, EXTENDED = (bytes([0x55, 0x1D, arc]) for arc in (17, 19, 15, 37))


def uri(text):
    return x509.UniformResourceIdentifier(text)


def san(*names):
    return x509.SubjectAlternativeName(list(names))


def raw_san(*names):
    """Names as (tag, bytes), whatever the bytes are."""
    body = b"".join(bytes([0x80 | tag, len(value)]) + value for tag, value in names)
    return b"\x30" + bytes([len(body)]) + body


def usage(**on):
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def write(name, *extensions, key=None, stand_in=None, patch=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "TEST-ONLY"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .issuer_name(CA_NAME)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2100, 1, 1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if stand_in is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(STAND_IN, stand_in), False)
    pem = builder.sign(CA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    if patch is not None:
        der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
        assert der.count(b"\x06\x03\x55\x1d\x63") == 1
        der = der.replace(b"\x06\x03\x55\x1d\x63", b"\x06\x03" + patch)
        pem = pem_of(der)
    (HERE / f"{name}.pem").write_bytes(pem)


def pem_of(der):
    import base64

    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


LEAF = (x509.BasicConstraints(ca=False, path_length=None), True)
SIGNS = (usage(digital_signature=True), True)
TLS = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
SVID = (LEAF, SIGNS, TLS)


def named(name, *names, **more):
    write(name, *SVID, (san(*names), False), **more)


# Workloads.
named("workload", uri(NOTEBOOK))
named("other", uri("spiffe://example.org/ns/research/sa/other"))
named("proxy", uri("spiffe://example.org/ns/istio-system/sa/gateway"))
named("foreign", uri("spiffe://example.com/ns/research/sa/notebook"))
write("bare", (san(uri(NOTEBOOK)), True))
named("ed25519", uri(NOTEBOOK), key=ed25519.Ed25519PrivateKey.generate())
named(
    "full",
    x509.DNSName("notebook.example.org"),
    x509.DNSName("*.example.org"),
    uri(NOTEBOOK),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    x509.RFC822Name("ops@example.org"),
    x509.DirectoryName(CA_NAME),
    x509.RegisteredID(ObjectIdentifier("1.2.3.4")),
    x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01u"),
    key=rsa.generate_private_key(65537, 2048),
)

# No workload, or several.
write("no-san", *SVID)
named("no-uri", x509.DNSName("notebook.example.org"))
named("two-uris", uri(NOTEBOOK), uri("spiffe://example.org/ns/other/sa/second"))
named("uri-twice", uri(NOTEBOOK), uri(NOTEBOOK))
named("web-uri", uri("https://example.org/notebook"))
named("trust-domain", uri("spiffe://example.org"))
named("upper-case", uri("spiffe://Example.org/ns/research/sa/notebook"))
named("separators", uri('spiffe://example.org/a;b,c"d=e\\f'), x509.DNSName("od,d.example.org"))

# Names with bytes that no name has.
write("nul", *SVID, stand_in=raw_san((6, b"spiffe://example.org/ns/research\0/sa/x")), patch=SAN)
write("nul-dns", *SVID, stand_in=raw_san((6, NOTEBOOK.encode()), (2, b"a\0b.example.org")), patch=SAN)
write("space", *SVID, stand_in=raw_san((6, b"spiffe://example.org/a b")), patch=SAN)
write("not-ascii", *SVID, stand_in=raw_san((6, b"spiffe://example.org/\xc3\xa4")), patch=SAN)

# Extensions twice, and such as cannot be read.
write("san-twice", *SVID, (san(uri(NOTEBOOK)), False), stand_in=raw_san((6, b"spiffe://example.org/evil")), patch=SAN)
write("usage-twice", *SVID, (san(uri(NOTEBOOK)), False), stand_in=b"\x30\x00", patch=EXTENDED)
write("broken-san", *SVID, stand_in=b"\x30\x05\x86\x09abc", patch=SAN)
write("trailing-san", *SVID, stand_in=raw_san((6, NOTEBOOK.encode())) + b"\x00", patch=SAN)
write("broken-constraints", SIGNS, (san(uri(NOTEBOOK)), False), stand_in=b"\x01\x01\xff", patch=BASIC)
write("broken-usage", LEAF, (san(uri(NOTEBOOK)), False), stand_in=b"\x04\x01\x04", patch=USAGE)
write(
    "many-extensions",
    (san(uri(NOTEBOOK)), False),
    *((x509.UnrecognizedExtension(ObjectIdentifier(f"1.3.9999.{n}"), b"\x05\x00"), False) for n in range(32)),
)

# Authorities.
write("authority", (x509.BasicConstraints(ca=True, path_length=0), True), SIGNS, (san(uri(NOTEBOOK)), False))
write("signs-certificates", LEAF, (usage(digital_signature=True, key_cert_sign=True), True), (san(uri(NOTEBOOK)), False))
write("signs-lists", LEAF, (usage(digital_signature=True, crl_sign=True), True), (san(uri(NOTEBOOK)), False))
