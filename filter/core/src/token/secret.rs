//! A credential on its way through: the type that keeps it out of logs and records (THREATS 20).

use std::fmt;

/// The bytes of a credential, borrowed from the request. `Debug` shows only how many they are; there is no `Display`.
#[derive(Clone, Copy)]
pub struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    /// Marks `bytes` as a credential.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Secret<'a> {
        Secret(bytes)
    }

    /// The bytes themselves. The name is long on purpose: each use is a place to look at in a review.
    #[must_use]
    pub fn expose_secret(self) -> &'a [u8] {
        self.0
    }

    /// How many bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is not a byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// The text of a credential, kept while it is looked at. `Debug` shows only its length.
#[derive(Clone)]
pub struct SecretText(String);

impl SecretText {
    /// Keeps a copy.
    #[must_use]
    pub fn new(text: &str) -> SecretText {
        SecretText(text.to_owned())
    }

    /// The text itself.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Secret::new(self.0.as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn debug_shows_only_the_length() {
        let secret = Secret::new(b"planted-secret");
        for shown in [
            format!("{secret:?}"),
            format!("{secret:#?}"),
            format!("{:?}", Some(secret)),
            format!("{:?}", SecretText::new("planted-secret")),
        ] {
            assert!(shown.contains("14 bytes"), "{shown}");
            assert!(!shown.contains("planted"), "{shown}");
        }
    }
}
