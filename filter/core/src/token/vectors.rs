//! Published vectors against everything that checks a signature: Project Wycheproof, tests/vectors/wycheproof.
//!
//! Decided here: how a file is read, and what must come of it. Each test asks RustCrypto, the gateway where it has earned the algorithm,
//! and the way that the product takes; they must agree. Where the verdict differs from the vector's, [`DIFFERENCES`] says why: we are
//! stricter, never laxer ([`NOT_FORGED`] are slips of the suite). A row that no longer differs is a fault too.
//! No part of the product: built for the tests of this crate, and with the feature `vectors` for those inside of a real gateway.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

use jsonwebtoken::DecodingKey;
use serde::Serialize;
use serde_json::{Value, json};

use super::compact::{Compact, decode};
use super::crypto::Opinions;
use super::header::JoseHeader;
use super::key::KeySet;
use super::{Alg, Crypto, Secret};
use crate::json::Json;

/// A file of vectors.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    text: &'static str,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// Keys, and below each the tests that it is for, as `trim.py` leaves them.
    Primitive,
    /// Groups of whole JWS, each with its keys.
    Jose,
}

/// What came of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The name of the file.
    pub file: &'static str,
    /// Good signatures that hold.
    pub taken: usize,
    /// Forged ones that do not.
    pub refused: usize,
    /// Good ones that do not hold, by number.
    pub stricter: Vec<u64>,
    /// Forged ones that hold, by number.
    pub laxer: Vec<u64>,
    /// How many the gateway was asked about.
    pub by_gateway: usize,
    /// Where the gateway, RustCrypto and the product are not of one opinion, or the gateway does not answer, by number.
    pub disagreements: Vec<u64>,
}

/// File, first and last test, and why what the vector takes (`valid` or `acceptable`) is refused by us.
const DIFFERENCES: &[(&str, u64, u64, &str)] = &[
    (JWS, 259, 259, EMPTY),
    (JWS, 264, 264, EMPTY),
    (JWS, 268, 268, EMPTY),
    (JWS, 272, 272, EMPTY),
    (JWS, 320, 320, EMPTY),
    (JWS, 325, 325, EMPTY),
    (JWS, 346, 346, "the key is for PS256, the token says PS384"),
    (JWS, 347, 347, "the key is for ES521, which does not exist"),
    (JWS, 350, 350, "as 346"),
    (JWS, 351, 351, "as 347"),
    (JWS, 372, 373, "`?` is no character of base64url"),
    ("hmac_sha256_test.json", 82, 108, TRUNCATED),
    ("hmac_sha256_test.json", 163, 168, TRUNCATED),
    ("hmac_sha256_test.json", 172, 174, TRUNCATED),
    ("hmac_sha384_test.json", 82, 108, TRUNCATED),
    ("hmac_sha384_test.json", 163, 168, TRUNCATED),
    ("hmac_sha384_test.json", 172, 174, TRUNCATED),
    ("hmac_sha512_test.json", 82, 108, TRUNCATED),
    ("hmac_sha512_test.json", 163, 168, TRUNCATED),
    ("hmac_sha512_test.json", 172, 174, TRUNCATED),
    (NO_SALT, 1, 61, SALT),
    ("rsa_pss_2048_sha256_mgf1sha1_20_test.json", 1, 61, SALT),
    ("rsa_pss_2048_sha256_mgf1sha1_20_test.json", 73, 74, SALT),
    ("rsa_pss_4096_sha512_mgf1_32_test.json", 1, 130, SALT),
    ("rsa_pss_4096_sha512_mgf1_32_test.json", 142, 143, SALT),
    ("rsa_signature_2048_sha256_test.json", 8, 8, NO_NULL),
    ("rsa_signature_2048_sha384_test.json", 8, 8, NO_NULL),
    ("rsa_signature_2048_sha512_test.json", 8, 8, NO_NULL),
    ("rsa_signature_3072_sha384_test.json", 8, 8, NO_NULL),
    ("rsa_signature_4096_sha512_test.json", 8, 8, NO_NULL),
    ("rsa_signature_8192_sha256_test.json", 8, 8, NO_NULL),
];

/// File, test, and why what the vector calls `invalid` is none the less a good one.
const NOT_FORGED: &[(&str, u64, &str)] = &[
    (JWS, 367, "the text of 357, which is valid"),
    (JWS, 370, "the text of 357, which is valid"),
    (
        NO_SALT,
        69,
        "a salt of 32 bytes is wrong for the file, and right for PS256",
    ),
];

const JWS: &str = "json_web_signature_test.json";
const NO_SALT: &str = "rsa_pss_2048_sha256_mgf1_0_test.json";
const EMPTY: &str = "an empty payload is no token";
const TRUNCATED: &str = "a MAC cut to a half";
const SALT: &str = "another salt or hash of MGF1 than RFC 7518 section 3.5 names";
const NO_NULL: &str = "without the NULL of RFC 8017 appendix B.1 (acceptable, not valid)";

impl File {
    /// The file of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static File> {
        FILES.iter().find(|file| file.name == name)
    }

    /// Runs every test of the file.
    ///
    /// # Panics
    /// When the file is not what it was when this was written.
    #[must_use]
    pub fn run(&self, crypto: Crypto) -> Tally {
        let mut tally = Tally {
            file: self.name,
            ..Tally::default()
        };
        match self.form {
            Form::Primitive => primitive(self.text, crypto, &mut tally),
            Form::Jose => jose(self.text, crypto, &mut tally),
        }
        tally
    }
}

impl Tally {
    /// How many tests the file has.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.taken + self.refused + self.stricter.len() + self.laxer.len()
    }

    /// The row of the table in the vectors' README.md.
    #[must_use]
    pub fn row(&self) -> String {
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            self.file,
            self.tests(),
            self.taken,
            self.refused,
            self.stricter.len(),
            self.laxer.len(),
            self.by_gateway,
        )
    }

    /// What is not as the tables here and the table of README.md say.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let file = self.file;
        let mut faults = Vec::new();
        for id in &self.disagreements {
            faults.push(format!("{file} {id}: the checks disagree"));
        }
        for id in &self.laxer {
            if !NOT_FORGED.iter().any(|row| (row.0, row.1) == (file, *id)) {
                faults.push(format!("{file} {id}: a forged one is taken"));
            }
        }
        for (_, id, why) in NOT_FORGED.iter().filter(|row| row.0 == file) {
            if !self.laxer.contains(id) {
                faults.push(format!("{file} {id}: no longer taken: {why}"));
            }
        }
        let rows: Vec<_> = DIFFERENCES.iter().filter(|row| row.0 == file).collect();
        for id in &self.stricter {
            if !rows.iter().any(|row| (row.1..=row.2).contains(id)) {
                faults.push(format!("{file} {id}: refused, and no row says why"));
            }
        }
        for (_, first, last, why) in rows {
            for end in [first, last] {
                if !self.stricter.contains(end) {
                    faults.push(format!("{file} {end}: no longer refused for: {why}"));
                }
            }
        }
        if !README.lines().any(|line| line == self.row()) {
            faults.push(format!("README.md does not say: {}", self.row()));
        }
        faults
    }

    /// Takes down one test; without opinions the token or its key was refused before its signature.
    fn note(&mut self, id: u64, expected: &str, opinions: Option<Opinions>) {
        let holds = opinions.is_some_and(|opinions| opinions.product);
        if let Some(opinions) = opinions {
            self.by_gateway += usize::from(opinions.asked);
            if !opinions.agree() {
                self.disagreements.push(id);
            }
        }
        match (expected, holds) {
            ("valid" | "acceptable", true) => self.taken += 1,
            ("invalid", false) => self.refused += 1,
            ("valid" | "acceptable", false) => self.stricter.push(id),
            ("invalid", true) => self.laxer.push(id),
            (other, _) => panic!("test {id}: a result that is not known: {other}"),
        }
    }
}

fn primitive(text: &str, crypto: Crypto, tally: &mut Tally) {
    let lines: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut key: Option<(Alg, Option<KeySet>)> = None;
    for line in &lines {
        if let Some(alg) = line["alg"].as_str() {
            let set = key_set(&json!([line["key"]]));
            key = Some((Alg::parse(alg).unwrap(), set));
            continue;
        }
        let (alg, set) = key.as_ref().unwrap();
        let key = set.as_ref().and_then(|set| set.select(None, *alg).ok());
        let bytes = |at: usize| from_hex(line[at].as_str().unwrap());
        let opinions = key.map(|key| crypto.opinions(*alg, key.material(), &bytes(2), &bytes(3)));
        tally.note(
            line[0].as_u64().unwrap(),
            line[4].as_str().unwrap(),
            opinions,
        );
    }
}

fn jose(text: &str, crypto: Crypto, tally: &mut Tally) {
    let all: Value = serde_json::from_str(text).unwrap();
    for group in all["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = match key.get("keys") {
            Some(keys) => key_set(keys),
            None => key_set(&json!([key])),
        };
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"].as_str().unwrap();
            let opinions = set.as_ref().and_then(|set| {
                let (alg, key, signed, signature) = before_signature(set, jws)?;
                Some(crypto.opinions(alg, key, signed, &signature))
            });
            let id = test["tcId"].as_u64().unwrap();
            tally.note(id, test["result"].as_str().unwrap(), opinions);
        }
    }
}

/// A token up to its signature; what it claims is another question.
fn before_signature<'a>(
    set: &'a KeySet,
    jws: &'a str,
) -> Option<(Alg, &'a DecodingKey, &'a [u8], Vec<u8>)> {
    let parts = Compact::parse(Secret::new(jws.as_bytes())).ok()?;
    let header = JoseHeader::parse(&parts.header).ok()?;
    let key = set.select(header.key_id.as_deref(), header.alg).ok()?;
    let signature = decode(parts.signature).unwrap();
    Some((header.alg, key.material(), parts.signed, signature))
}

fn key_set(keys: &Value) -> Option<KeySet> {
    let set = Json::parse(json!({ "keys": keys }).to_string().as_bytes(), 8).unwrap();
    match keys[0]["kty"].as_str() {
        Some("oct") => KeySet::parse_secrets(&set).ok(),
        _ => KeySet::parse(&set).ok(),
    }
}

pub(super) fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

const README: &str = include_str!("../../../../tests/vectors/wycheproof/README.md");

/// All files; and for this crate one test for each, so that they run beside each other and each is named.
macro_rules! files {
    ($($name:ident: $form:ident($file:literal),)*) => {
        /// All files of vectors.
        pub const FILES: &[File] = &[
            $(File {
                name: $file,
                text: include_str!(concat!("../../../../tests/vectors/wycheproof/", $file)),
                form: Form::$form,
            },)*
        ];

        #[cfg(test)]
        mod each {
            #[cfg(target_family = "wasm")]
            use wasm_bindgen_test::wasm_bindgen_test as test;

            $(
                #[test]
                fn $name() {
                    super::tests::holds($file);
                }
            )*
        }
    };
}

files! {
    jws: Jose("json_web_signature_test.json"),
    jwk: Jose("json_web_key_test.json"),
    es256: Primitive("ecdsa_secp256r1_sha256_p1363_test.json"),
    es384: Primitive("ecdsa_secp384r1_sha384_p1363_test.json"),
    es512: Primitive("ecdsa_secp521r1_sha512_p1363_test.json"),
    eddsa: Primitive("ed25519_test.json"),
    hs256: Primitive("hmac_sha256_test.json"),
    hs384: Primitive("hmac_sha384_test.json"),
    hs512: Primitive("hmac_sha512_test.json"),
    ps256_2048: Primitive("rsa_pss_2048_sha256_mgf1_32_test.json"),
    ps256_3072: Primitive("rsa_pss_3072_sha256_mgf1_32_test.json"),
    ps384_2048: Primitive("rsa_pss_2048_sha384_mgf1_48_test.json"),
    ps512_4096: Primitive("rsa_pss_4096_sha512_mgf1_64_test.json"),
    ps256_without_salt: Primitive("rsa_pss_2048_sha256_mgf1_0_test.json"),
    ps256_with_sha1: Primitive("rsa_pss_2048_sha256_mgf1sha1_20_test.json"),
    ps512_with_a_short_salt: Primitive("rsa_pss_4096_sha512_mgf1_32_test.json"),
    rs256_2048: Primitive("rsa_signature_2048_sha256_test.json"),
    rs384_2048: Primitive("rsa_signature_2048_sha384_test.json"),
    rs512_2048: Primitive("rsa_signature_2048_sha512_test.json"),
    rs384_3072: Primitive("rsa_signature_3072_sha384_test.json"),
    rs512_4096: Primitive("rsa_signature_4096_sha512_test.json"),
    rs256_8192: Primitive("rsa_signature_8192_sha256_test.json"),
}

#[cfg(test)]
mod tests {
    use super::super::crypto::tests::helped;
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The file with a model of the gateway.
    pub(super) fn holds(name: &str) {
        let tally = File::named(name).unwrap().run(helped());
        println!("{}", tally.row());
        assert_eq!(tally.faults(), [] as [String; 0]);
    }

    #[test]
    fn the_two_slips_are_the_valid_text() {
        let all: Value = serde_json::from_str(File::named(JWS).unwrap().text).unwrap();
        let groups = all["testGroups"].as_array().unwrap();
        let tests = groups.iter().flat_map(|g| g["tests"].as_array().unwrap());
        let of = |id: u64| tests.clone().find(|test| test["tcId"] == id).unwrap();
        assert_eq!(of(357)["result"], "valid");
        for id in [367, 370] {
            assert_eq!(of(id)["jws"], of(357)["jws"], "{id}");
        }
    }

    #[test]
    fn every_row_of_the_tables_is_of_a_file() {
        for (file, _, why) in NOT_FORGED {
            assert!(File::named(file).is_some() && !why.is_empty(), "{file}");
        }
        for (file, first, last, why) in DIFFERENCES {
            let is_row = first <= last && !why.is_empty();
            assert!(File::named(file).is_some() && is_row, "{file}");
        }
    }

    #[test]
    fn what_is_not_as_told_is_a_fault() {
        let good = File::named(EDDSA).unwrap().run(helped());
        assert_eq!(good.faults(), [] as [String; 0]);
        type Change = fn(&mut Tally);
        let rows: [(&str, Change); 4] = [
            ("a forged one is taken", |tally| tally.laxer.push(1)),
            ("no row says why", |tally| tally.stricter.push(1)),
            ("the checks disagree", |tally| tally.disagreements.push(1)),
            ("README.md does not say", |tally| tally.taken -= 1),
        ];
        for (fault, change) in rows {
            let mut tally = good.clone();
            change(&mut tally);
            let faults = tally.faults();
            assert!(faults.iter().any(|told| told.contains(fault)), "{faults:?}");
        }
        let nothing = Tally {
            file: JWS,
            ..Tally::default()
        };
        let faults = nothing.faults().join("\n");
        assert!(faults.contains("no longer taken"), "{faults}");
        assert!(faults.contains("no longer refused"), "{faults}");
    }

    const EDDSA: &str = "ed25519_test.json";
}
