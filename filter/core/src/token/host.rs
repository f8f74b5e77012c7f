//! The forms in which a gateway's BoringSSL takes keys and signatures, and known answers to try it with.
//!
//! Decided here: how a key becomes SubjectPublicKeyInfo (RFC 5280 section 4.1) and how an ES256 signature becomes DER
//! (RFC 3279 section 2.2.3). Not decided here: whether a key is good; a [`KeySet`](super::KeySet) holds only such.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use p256::ecdsa::Signature;
use rsa::pkcs1::der::Encode;
use rsa::pkcs1::der::asn1::{AnyRef, BitStringRef, UintRef};
use rsa::pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::algorithm::Alg;

/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// secp256r1 (RFC 5480 section 2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// A key as SubjectPublicKeyInfo in DER. `None` for algorithms that the gateway does not check.
pub fn public_key_info(alg: Alg, key: &DecodingKey) -> Option<Vec<u8>> {
    match (alg, key.kind()) {
        (Alg::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let key = rsa::pkcs1::RsaPublicKey {
                modulus: UintRef::new(n).ok()?,
                public_exponent: UintRef::new(e).ok()?,
            }
            .to_der()
            .ok()?;
            info(rsa::pkcs1::ALGORITHM_ID, &key)
        }
        (Alg::Es256, DecodingKeyKind::SecretOrDer(point)) => {
            let parameters = AnyRef::from(&P256);
            info(
                AlgorithmIdentifierRef {
                    oid: EC_PUBLIC_KEY,
                    parameters: Some(parameters),
                },
                point,
            )
        }
        (Alg::Rs256 | Alg::Es256 | Alg::EdDsa, _) => None,
    }
}

fn info(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let subject_public_key = BitStringRef::from_bytes(key).ok()?;
    SubjectPublicKeyInfoRef {
        algorithm,
        subject_public_key,
    }
    .to_der()
    .ok()
}

/// A JWS signature (RFC 7518 sections 3.3 and 3.4) as the gateway takes it. `None` when it cannot be a good one.
pub fn signature(alg: Alg, key: &DecodingKey, signature: &[u8]) -> Option<Vec<u8>> {
    match (alg, key.kind()) {
        (Alg::Rs256, DecodingKeyKind::RsaModulusExponent { n, .. }) => {
            (signature.len() == n.len()).then(|| signature.to_vec())
        }
        (Alg::Es256, _) => Some(
            Signature::from_slice(signature)
                .ok()?
                .to_der()
                .to_bytes()
                .to_vec(),
        ),
        (Alg::Rs256 | Alg::EdDsa, _) => None,
    }
}

/// Asks the host for one check: key and signature in the forms above, and the message that SHA-256 is taken of.
/// `None` when the host did not answer.
pub type Ask = fn(key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool>;

/// Whether the host checks signatures rightly: the examples of RFC 7515 hold, and do not hold for another message.
pub fn answers_rightly(ask: Ask) -> bool {
    let rsa = DecodingKey::from_rsa_components(RSA_MODULUS, "AQAB");
    let ec = DecodingKey::from_ec_components(EC_X, EC_Y);
    [
        (Alg::Rs256, rsa, RSA_SIGNED, RSA_SIGNATURE),
        (Alg::Es256, ec, EC_SIGNED, EC_SIGNATURE),
    ]
    .into_iter()
    .all(|(alg, key, signed, signature)| {
        let Ok(key) = key else { return false };
        let Ok(raw) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        let (Some(info), Some(given)) =
            (public_key_info(alg, &key), self::signature(alg, &key, &raw))
        else {
            return false;
        };
        let other = format!("{signed}.");
        ask(&info, &given, signed.as_bytes()) == Some(true)
            && ask(&info, &given, other.as_bytes()) == Some(false)
    })
}

/// RFC 7515 appendix A.2: what is signed.
const RSA_SIGNED: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx",
    "lLmNvbS9pc19yb290Ijp0cnVlfQ",
);

/// RFC 7515 appendix A.2: the signature.
const RSA_SIGNATURE: &str = concat!(
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W",
    "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS",
    "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv",
    "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);

/// RFC 7515 appendix A.2: the modulus; the exponent is 65537.
const RSA_MODULUS: &str = concat!(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt",
    "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX",
    "ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5",
    "IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
);

/// RFC 7515 appendix A.3: what is signed.
const EC_SIGNED: &str = concat!(
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx",
    "lLmNvbS9pc19yb290Ijp0cnVlfQ",
);

/// RFC 7515 appendix A.3: the signature.
const EC_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 7515 appendix A.3: the key.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";

/// RFC 7515 appendix A.3: the key.
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs8::DecodePublicKey;
    use rsa::signature::hazmat::PrehashVerifier;
    use sha2::{Digest, Sha256};
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A host that does it right, by parsers that are not ours.
    fn right(key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(key) {
            let signature = Signature::from_der(signature).ok()?;
            return Some(
                key.verify_prehash(&Sha256::digest(message), &signature)
                    .is_ok(),
            );
        }
        let key = rsa::RsaPublicKey::from_public_key_der(key).ok()?;
        let scheme = rsa::Pkcs1v15Sign::new::<Sha256>();
        Some(
            key.verify(scheme, &Sha256::digest(message), signature)
                .is_ok(),
        )
    }

    #[test]
    fn only_a_host_that_says_yes_and_no_rightly_is_asked() {
        let rows: [(Ask, bool, &str); 4] = [
            (
                right,
                true,
                "our DER is read by others, and the known answers hold",
            ),
            (
                |_, _, _| Some(true),
                false,
                "a host that says yes to everything",
            ),
            (
                |_, _, _| Some(false),
                false,
                "a host that says no to everything",
            ),
            (|_, _, _| None, false, "a host without the function"),
        ];
        for (ask, expected, why) in rows {
            assert_eq!(answers_rightly(ask), expected, "{why}");
        }
    }
}
