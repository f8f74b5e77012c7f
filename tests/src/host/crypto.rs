//! The foreign function `verify_signature`, as the gateway's crypto library answers it.
//!
//! Arguments and result are protobuf: {1 hash, 2 public key as SPKI DER, 3 signature, 4 text} in, {1 bool, 2 error} out.
//! A failed check is status Ok with `result` absent; only arguments that do not parse are BadArgument.

use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs8::DecodePublicKey as _;
use sha2::Sha256;

/// The answer's bytes, or `None` when the arguments do not parse.
pub(super) fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    let fields = fields(arguments)?;
    let field = |number: u64| {
        fields
            .iter()
            .rev()
            .find(|(n, _)| *n == number)
            .map_or(&[][..], |(_, bytes)| *bytes)
    };
    Some(match check(field(1), field(2), field(3), field(4)) {
        Ok(()) => vec![0x08, 0x01],
        Err(why) => {
            let mut out = vec![0x12, u8::try_from(why.len()).ok()?];
            out.extend_from_slice(why.as_bytes());
            out
        }
    })
}

fn check(hash: &[u8], key: &[u8], signature: &[u8], text: &[u8]) -> Result<(), &'static str> {
    if hash != b"sha256" {
        return Err("hash is not supported");
    }
    if let Ok(key) = rsa::RsaPublicKey::from_public_key_der(key) {
        let signature = rsa::pkcs1v15::Signature::try_from(signature)
            .map_err(|_| "Failed to verify digest.")?;
        return rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key)
            .verify(text, &signature)
            .map_err(|_| "Failed to verify digest.");
    }
    let key = p256_key(key).ok_or("Failed to initialize digest verify.")?;
    let signature =
        p256::ecdsa::Signature::from_der(signature).map_err(|_| "Failed to verify digest.")?;
    key.verify(text, &signature)
        .map_err(|_| "Failed to verify digest.")
}

/// SPKI of P-256 (RFC 5480): a fixed beginning, then the uncompressed point.
fn p256_key(spki: &[u8]) -> Option<p256::ecdsa::VerifyingKey> {
    const BEGINNING: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    p256::ecdsa::VerifyingKey::from_sec1_bytes(spki.strip_prefix(&BEGINNING)?).ok()
}

/// The length-delimited fields of a protobuf message; any other kind of field does not parse here.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        if tag & 7 != 2 {
            return None;
        }
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        fields.push((tag >> 3, bytes.get(..length)?));
        bytes = bytes.get(length..)?;
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
