//! What is called: the operation, from method and path. One row per method and path template of an API.
//!
//! Not decided here: which route a path belongs to (policy), and the model in a body (body).
//! Against: unknown paths that an upstream serves anyway (THREATS 8). What has no row is refused.

use crate::model::{Model, ModelFault};
use crate::refusal::{Code, Refusal};

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// An operation, by the name that policy, scopes, records and metrics share.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[$doc])* $variant,)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Operation] = &[$(Operation::$variant,)*];

            /// Its name in the policy.
            pub fn name(self) -> &'static str {
                match self { $(Operation::$variant => $name,)* }
            }
        }
    };
}

operations! {
    /// Chat completions.
    Chat = "chat";
    /// Legacy text completions.
    Completions = "completions";
    /// The Responses API.
    Responses = "responses";
    /// Embeddings.
    Embeddings = "embeddings";
    /// Image generation and edits.
    Images = "images";
    /// Speech and transcription.
    Audio = "audio";
    /// Moderations.
    Moderations = "moderations";
    /// Reranking.
    Rerank = "rerank";
    /// Batches.
    Batches = "batches";
    /// Files.
    Files = "files";
    /// Fine-tuning.
    FineTuning = "fineTuning";
    /// The list of models, or one of it.
    Models = "models";
    /// Counting tokens.
    CountTokens = "countTokens";
    /// Classical prediction.
    Predict = "predict";
    /// Open Inference Protocol inference.
    Infer = "infer";
    /// Model and server metadata.
    Metadata = "metadata";
    /// Realtime sessions.
    Realtime = "realtime";
}

impl Operation {
    /// The operation of this name, exactly as written in the policy.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
    }
}

/// An API that a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The OpenAI API; paths follow the route's prefix as they follow `/v1/` at the provider.
    OpenAi,
}

/// Where the model of a call is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// In the JSON body.
    Body,
    /// In the path.
    Path(Model),
    /// The operation concerns no single model.
    None,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    operation: Operation,
    model: ModelSource,
}

impl Call {
    /// Reads method and the path after the route's prefix (no leading slash).
    ///
    /// # Errors
    /// An unknown path (404), a known path with another method (405), a model name outside of its alphabet (400).
    pub fn read(api: Api, method: &str, rest: &str) -> Result<Self, Refusal> {
        match api {
            Api::OpenAi => read_openai(method, rest),
        }
    }

    /// The operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Where its model is named.
    pub fn model(&self) -> &ModelSource {
        &self.model
    }
}

/// How a row finds the model.
#[derive(Clone, Copy)]
enum Template {
    /// Exactly this path; the model is in the body.
    Body(&'static str),
    /// Exactly this path; no model.
    Plain(&'static str),
    /// This prefix and then one model name up to the end.
    ModelAfter(&'static str),
}

/// The OpenAI API: <https://platform.openai.com/docs/api-reference>.
const OPENAI: &[(&str, Template, Operation)] = &[
    ("POST", Template::Body("chat/completions"), Operation::Chat),
    (
        "POST",
        Template::Body("completions"),
        Operation::Completions,
    ),
    ("POST", Template::Body("embeddings"), Operation::Embeddings),
    ("POST", Template::Body("responses"), Operation::Responses),
    ("GET", Template::Plain("models"), Operation::Models),
    ("GET", Template::ModelAfter("models/"), Operation::Models),
];

fn read_openai(method: &str, rest: &str) -> Result<Call, Refusal> {
    let found = OPENAI.iter().find_map(|(allowed, template, operation)| {
        let model = match template {
            Template::Body(path) => (rest == *path).then_some(Ok(ModelSource::Body)),
            Template::Plain(path) => (rest == *path).then_some(Ok(ModelSource::None)),
            Template::ModelAfter(prefix) => rest
                .strip_prefix(prefix)
                .map(|name| Model::parse(name).map(ModelSource::Path)),
        };
        model.map(|model| (*allowed, *operation, model))
    });
    let Some((allowed, operation, model)) = found else {
        return Err(Refusal::new(
            Code::OperationUnknown,
            "this path is not one of the API that this gateway serves here",
        ));
    };
    if method != allowed {
        return Err(Refusal::new(
            Code::MethodNotAllowed,
            format!("this path takes {allowed} only"),
        )
        .allow(allowed));
    }
    let model = model.map_err(ModelFault::refusal)?;
    Ok(Call { operation, model })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rows_of_the_openai_api() {
        let gpt = || ModelSource::Path(Model::parse("gpt-4o").unwrap());
        let rows = [
            (
                "POST",
                "chat/completions",
                Ok((Operation::Chat, ModelSource::Body)),
                "the main call",
            ),
            (
                "POST",
                "completions",
                Ok((Operation::Completions, ModelSource::Body)),
                "legacy",
            ),
            (
                "POST",
                "embeddings",
                Ok((Operation::Embeddings, ModelSource::Body)),
                "",
            ),
            (
                "POST",
                "responses",
                Ok((Operation::Responses, ModelSource::Body)),
                "",
            ),
            (
                "GET",
                "models",
                Ok((Operation::Models, ModelSource::None)),
                "a list has no model",
            ),
            (
                "GET",
                "models/gpt-4o",
                Ok((Operation::Models, gpt())),
                "one model, named in the path",
            ),
            ("GET", "models/", Err(Code::ModelInvalid), "an empty name"),
            (
                "GET",
                "chat/completions",
                Err(Code::MethodNotAllowed),
                "405, with allow",
            ),
            (
                "HEAD",
                "models",
                Err(Code::MethodNotAllowed),
                "HEAD is not GET",
            ),
            (
                "post",
                "chat/completions",
                Err(Code::MethodNotAllowed),
                "methods are case-sensitive (RFC 9110 section 9.1)",
            ),
            (
                "DELETE",
                "models/gpt-4o",
                Err(Code::MethodNotAllowed),
                "administration is not inference",
            ),
            (
                "POST",
                "Chat/Completions",
                Err(Code::OperationUnknown),
                "paths are case-sensitive",
            ),
            (
                "POST",
                "chat/completions/",
                Err(Code::OperationUnknown),
                "no trailing slash",
            ),
            (
                "POST",
                "chat/completions.",
                Err(Code::OperationUnknown),
                "no trailing dot",
            ),
            ("POST", "", Err(Code::OperationUnknown), "the bare prefix"),
            (
                "POST",
                "files",
                Err(Code::OperationUnknown),
                "not served yet, so refused",
            ),
        ];
        for (method, rest, expected, why) in rows {
            let seen = Call::read(Api::OpenAi, method, rest)
                .map(|call| (call.operation(), call.model().clone()))
                .map_err(|refusal| refusal.code());
            assert_eq!(seen, expected, "{method} {rest}: {why}");
        }
    }

    #[test]
    fn names_read_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::parse(operation.name()), Some(*operation));
        }
        assert_eq!(Operation::parse("Chat"), None, "names are exact");
    }
}
