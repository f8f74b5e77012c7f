//! Known answers, one for each algorithm that a gateway may check.
//!
//! Those of RFC 7515 (RS256, ES256) and RFC 6979 (ES384, ES512). RS384 and RS512 are made with the private key of RFC 7515 appendix A.2
//! over the message of RFC 6979 (`sample`): RSASSA-PKCS1-v1_5 has one signature for a message, so anyone can make them again.

use jsonwebtoken::DecodingKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;

use super::{Alg, Curve, Scheme};
use crate::token::compact::decode;
use crate::token::key::info;

/// A signature that holds, and a key for which it does not.
pub(super) struct Answer {
    pub(super) key: DecodingKey,
    pub(super) other_key: DecodingKey,
    pub(super) signed: &'static str,
    pub(super) signature: Vec<u8>,
}

/// The known answer for an algorithm; `None` for those that no gateway checks.
pub(super) fn of(alg: Alg) -> Option<Answer> {
    let (signed, signature) = match alg {
        Alg::Rs256 => (RS256_SIGNED, RS256_SIGNATURE),
        Alg::Rs384 => (SAMPLE, RS384_SIGNATURE),
        Alg::Rs512 => (SAMPLE, RS512_SIGNATURE),
        Alg::Es256 => (ES256_SIGNED, ES256_SIGNATURE),
        Alg::Es384 => (SAMPLE, ES384_SIGNATURE),
        Alg::Es512 => (SAMPLE, ES512_SIGNATURE),
        Alg::Ps256
        | Alg::Ps384
        | Alg::Ps512
        | Alg::EdDsa
        | Alg::Hs256
        | Alg::Hs384
        | Alg::Hs512 => return None,
    };
    let (key, other_key) = match alg.scheme() {
        Scheme::Rsa(..) => rsa_keys()?,
        Scheme::Ecdsa(curve) => ec_keys(curve)?,
        Scheme::Ed25519 | Scheme::Hmac(_) => return None,
    };
    Some(Answer {
        key,
        other_key,
        signed,
        signature: decode(signature)?,
    })
}

/// The known modulus, and one that differs in one byte.
fn rsa_keys() -> Option<(DecodingKey, DecodingKey)> {
    let modulus = decode(RSA_MODULUS)?;
    let mut other = modulus.clone();
    *other.get_mut(100)? ^= 1;
    let key = |n: &[u8]| Some(DecodingKey::from_rsa_der(&info::of_rsa(n, &[1, 0, 1])?));
    Some((key(&modulus)?, key(&other)?))
}

/// The known point, and the generator of the curve.
fn ec_keys(curve: Curve) -> Option<(DecodingKey, DecodingKey)> {
    let (x, y) = match curve {
        Curve::P256 => (P256_X, P256_Y),
        Curve::P384 => (P384_X, P384_Y),
        Curve::P521 => (P521_X, P521_Y),
    };
    let mut point = vec![0x04];
    point.extend(decode(x)?);
    point.extend(decode(y)?);
    let uncompressed = false;
    let other = match curve {
        Curve::P256 => generator(&p256::AffinePoint::GENERATOR.to_encoded_point(uncompressed)),
        Curve::P384 => generator(&p384::AffinePoint::GENERATOR.to_encoded_point(uncompressed)),
        Curve::P521 => generator(&p521::AffinePoint::GENERATOR.to_encoded_point(uncompressed)),
    };
    let key = |point: &[u8]| Some(DecodingKey::from_ec_der(&info::of_ec(curve, point)?));
    Some((key(&point)?, key(&other)?))
}

fn generator(point: &impl AsRef<[u8]>) -> Vec<u8> {
    point.as_ref().to_vec()
}

/// RFC 6979 appendix A.2: the message.
const SAMPLE: &str = "sample";

/// RFC 7515 appendix A.2: what is signed.
const RS256_SIGNED: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx",
    "lLmNvbS9pc19yb290Ijp0cnVlfQ",
);

/// RFC 7515 appendix A.2: the signature.
const RS256_SIGNATURE: &str = concat!(
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

/// The key of RFC 7515 appendix A.2 over [`SAMPLE`] with SHA-384.
const RS384_SIGNATURE: &str = concat!(
    "ARcPLlYIV_BLwZVO3SO1dFjV3BeBcCiH2BgrfRZlJJAMp_9kfoQa8yXv2WqF7xBo-dt2OcmwP8lhtsmcdA4Zq6jC",
    "3Ckw6QGz2CBek8Rc95Kui3FWZlQcuVReS7MyyESHRvdLkWYlxtnhwPtYK6hbQ4TaCrea8SKJabcAhhD4c2teRInZ",
    "pJTf1lFAUST5t_5wl_rP1IBewHK8CrV8mspnQcXTvjOptasJD7gwkcM2PLRYeJXD26ijeqB3VjIU_eHJTPObRx-d",
    "AzDtFNnsXU68UoQcOxjCy8rj5HsN7z3akQMY410XvblyPxWuVGoa8fpGyWxxCX9iwYX5ObpGoaAnyw",
);

/// The key of RFC 7515 appendix A.2 over [`SAMPLE`] with SHA-512.
const RS512_SIGNATURE: &str = concat!(
    "SvlqLVB5o7Pq_JAQYofvLZCFHM4zwjbzXAQA1T5TXdfhA2viXT0ezE_ZAgHSa2ZNdVMHd1kgOlh7mnUXpP0Oh3KE",
    "xJNRpzCEVmfHAUAuiTWRAzKMi5V6vOVlHIJ4tybiTdhsJOpCg3Kxpd0iKWGCNzejX4mZiVBxui06KIArKUvGzuAL",
    "3iW7p_spL_rB3t1_m-8JOZJ6H6sNmsqsNUN6f1saAlMGyGzmsZrKBThIpSpbcMgrD5hRdUR8X9WDifCk2vsHl88t",
    "SLIejnFTrvj0QUl2b5nC2Zxl-2bdXeIobVTA1alZq8A0M9O7GycJIwlRvFdvcGax4rDZgNG58FDQow",
);

/// RFC 7515 appendix A.3: what is signed.
const ES256_SIGNED: &str = concat!(
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx",
    "lLmNvbS9pc19yb290Ijp0cnVlfQ",
);

/// RFC 7515 appendix A.3: the signature.
const ES256_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 7515 appendix A.3: the key.
const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";

/// RFC 7515 appendix A.3: the key.
const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

/// RFC 6979 appendix A.2.6: the signature over [`SAMPLE`] with SHA-384.
const ES384_SIGNATURE: &str = concat!(
    "lO27kqXsuKrUc25WxpGRaz-IFAZmzp-nPWTE6pWtEzyBpkgVLkSs-W423R6A-r5Gme9K6xXxeM6h_kDbJgMTjxMO",
    "dAoZYkUmIDtjUdCjqU-jKcFFeG5nnnuCxxo4YorI",
);

/// RFC 6979 appendix A.2.6: the key.
const P384_X: &str = "7DpOQVtOGaRWhhgCn0J_pdqai8SukuAuBqrlKGswDGTe-PDqkFWGYGSiVFFUgLwT";

/// RFC 6979 appendix A.2.6: the key.
const P384_Y: &str = "gBXZty19VyROqO-awMYhiWcIpZNn-d-59UyoSz8cnbEoiyMcOuDU_nNE_SUzJkcg";

/// RFC 6979 appendix A.2.7: the signature over [`SAMPLE`] with SHA-512.
const ES512_SIGNATURE: &str = concat!(
    "AMMo-vy9ed13hQNwxGMl2YfLUlVp-2PF07xTlQ5tTF8XTiWh7pAXtdRQYGrdFStTSTHX1OhFXMkfmxW_Bew243f6",
    "AGF8znz1BkgGxGf2eNO0CA1vHMUK8myiCUFzCCgbaK8oJiPqpj5bXAcj2LjDf_B3exog-Myx3MxDmX8e4ORNpKZ6",
);

/// RFC 6979 appendix A.2.7: the key.
const P521_X: &str =
    "AYlFUNB4WTLgDqojtpTyE_jDEh-G3JegTlpxZ9tOW803ESPUbkXba11TcKfyD7YzFV04_6FtK9dh3KxHS5ovUCOk";

/// RFC 6979 appendix A.2.7: the key.
const P521_Y: &str =
    "AEkxAclizU0v3feCKF5kWEE5wvkbR_h_-CNU1mMPdGoooNsldBtbNKgoAIsirMI_kk-q-9TTP4HqZpVt_qor_fz1";
