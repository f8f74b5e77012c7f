//! Reading a JSON tree field by field, so that every problem is found in one go and not only the first.
//!
//! A reader takes a place in the tree ([`At`]) and gives `Some`, or notes a problem and gives `None`. A `None` never
//! becomes a default: what restricts and cannot be read makes the whole policy unreadable.

use postern_core::json::Json;
use std::fmt;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    /// Where: the path in the policy, as `rules[3].models`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What, and what was expected.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All problems of a policy, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Problem {
            path: path.to_owned(),
            message: message.into(),
        });
    }
}

/// A place in the tree.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    json: &'a Json,
    path: String,
}

impl<'a> At<'a> {
    pub(crate) fn root(json: &'a Json) -> Self {
        Self {
            json,
            path: String::new(),
        }
    }

    pub(crate) fn json(&self) -> &'a Json {
        self.json
    }

    /// The path, to speak of the place later.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Notes a problem here.
    pub(crate) fn refuse<T>(
        &self,
        problems: &mut Problems,
        message: impl Into<String>,
    ) -> Option<T> {
        problems.add(
            if self.path.is_empty() {
                "policy"
            } else {
                &self.path
            },
            message,
        );
        None
    }

    pub(crate) fn object(&self, problems: &mut Problems) -> Option<Object<'a>> {
        match self.json {
            Json::Object(members) => Some(Object {
                members,
                path: self.path.clone(),
                read: Vec::new(),
            }),
            other => self.refuse(problems, format!("must be an object, not {}", other.kind())),
        }
    }

    /// Reads every entry; all problems of all entries are noted.
    pub(crate) fn list<T>(
        &self,
        problems: &mut Problems,
        mut reader: impl FnMut(&At<'a>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Json::List(entries) = self.json else {
            return self.refuse(
                problems,
                format!("must be a list, not {}", self.json.kind()),
            );
        };
        let mut whole = Some(Vec::with_capacity(entries.len()));
        for (index, json) in entries.iter().enumerate() {
            let entry = reader(
                &At {
                    json,
                    path: format!("{}[{index}]", self.path),
                },
                problems,
            );
            whole = match (whole, entry) {
                (Some(mut list), Some(entry)) => {
                    list.push(entry);
                    Some(list)
                }
                (_, _) => None,
            };
        }
        whole
    }

    /// Reads every member of an object whose names are the policy's own; all problems are noted.
    pub(crate) fn map<T>(
        &self,
        problems: &mut Problems,
        mut reader: impl FnMut(&'a str, &At<'a>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Json::Object(members) = self.json else {
            return self.refuse(
                problems,
                format!("must be an object, not {}", self.json.kind()),
            );
        };
        let mut whole = Some(Vec::with_capacity(members.len()));
        for (name, json) in members {
            let at = At {
                json,
                path: format!("{}.{name}", self.path),
            };
            let entry = reader(name, &at, problems);
            whole = whole.zip(entry).map(|(mut list, entry)| {
                list.push(entry);
                list
            });
        }
        whole
    }

    /// As [`At::list`], with at least one entry.
    pub(crate) fn some<T>(
        &self,
        problems: &mut Problems,
        reader: impl FnMut(&At<'a>, &mut Problems) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.list(problems, reader)?;
        if list.is_empty() {
            return self.refuse(problems, "must have at least one entry");
        }
        Some(list)
    }
}

/// An object of which fields are read by name.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: &'a [(String, Json)],
    path: String,
    read: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// The path of a field of this object.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The place of a field, if the object has it.
    pub(crate) fn field(&mut self, name: &'static str) -> Option<At<'a>> {
        if !self.read.contains(&name) {
            self.read.push(name);
        }
        let (_, json) = self.members.iter().find(|(member, _)| member == name)?;
        Some(At {
            json,
            path: self.path_of(name),
        })
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        reader: impl FnOnce(&At<'a>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        match self.field(name) {
            Some(at) => reader(&at, problems),
            None => {
                problems.add(&self.path_of(name), "is required");
                None
            }
        }
    }

    /// Reads a field, or gives the default when the object does not have it.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        default: Option<T>,
        reader: impl FnOnce(&At<'a>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        match self.field(name) {
            Some(at) => reader(&at, problems),
            None => default,
        }
    }

    /// Refuses fields of the language that this version does not read.
    pub(crate) fn refuse_later(&mut self, names: &'static [&'static str], problems: &mut Problems) {
        for name in names {
            if self.field(name).is_some() {
                problems.add(&self.path_of(name), "is not supported by this version");
            }
        }
    }

    /// Refuses what nobody read.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for (member, _) in self.members {
            if self.read.contains(&member.as_str()) {
                continue;
            }
            let nearest = self
                .read
                .iter()
                .min_by_key(|name| strsim::damerau_levenshtein(name, member));
            let hint = match nearest {
                Some(name) if strsim::damerau_levenshtein(name, member) <= 3 => {
                    format!("; did you mean `{name}`?")
                }
                _ => format!("; known are {}", self.read.join(", ")),
            };
            problems.add(&self.path_of(member), format!("is unknown{hint}"));
        }
    }
}

/// A text that is not empty.
pub(crate) fn text<'a>(at: &At<'a>, problems: &mut Problems) -> Option<&'a str> {
    match at.json.as_str() {
        Some("") => at.refuse(problems, "must not be empty"),
        Some(text) => Some(text),
        None => at.refuse(problems, format!("must be a text, not {}", at.json.kind())),
    }
}

/// A text of its own.
pub(crate) fn owned(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    text(at, problems).map(str::to_owned)
}

/// A name that rules, records and metrics share: 1 to 64 letters, digits and `- _ .`.
pub(crate) fn name<'a>(at: &At<'a>, problems: &mut Problems) -> Option<&'a str> {
    let name = text(at, problems)?;
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !plain || name.len() > 64 {
        return at.refuse(
            problems,
            "must be a name of at most 64 letters, digits and `-` `_` `.`",
        );
    }
    Some(name)
}

/// One of a closed list.
pub(crate) fn one_of<T: Copy>(
    at: &At<'_>,
    problems: &mut Problems,
    known: &[(&'static str, T)],
) -> Option<T> {
    let named = text(at, problems)?;
    match known.iter().find(|(name, _)| *name == named) {
        Some((_, value)) => Some(*value),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            at.refuse(
                problems,
                format!("`{named}` is unknown; known are {}", names.join(", ")),
            )
        }
    }
}

/// Entries of a list that others refer to by name.
#[derive(Debug)]
pub(crate) struct Named<'a, T> {
    what: &'static str,
    /// The names that the entries give themselves, whatever else is wrong with them: so that a reference to a faulty
    /// entry is no second problem, and a reference to none is one.
    names: Vec<&'a str>,
    entries: Option<Vec<T>>,
}

impl<'a, T> Named<'a, T> {
    /// Reads a list whose entries name themselves in `field`; names must be unique. An absent list has no entries.
    pub(crate) fn read(
        what: &'static str,
        at: Option<At<'a>>,
        field: &str,
        problems: &mut Problems,
        reader: impl FnMut(&At<'a>, &mut Problems) -> Option<T>,
    ) -> Self {
        let Some(at) = at else {
            return Self {
                what,
                names: Vec::new(),
                entries: Some(Vec::new()),
            };
        };
        let entries = at.list(problems, reader);
        let listed = at.json.as_list().unwrap_or_default();
        let mut names: Vec<&str> = Vec::new();
        for (index, entry) in listed.iter().enumerate() {
            let Some(name) = entry.member(field).and_then(Json::as_str) else {
                continue;
            };
            if names.contains(&name) {
                problems.add(
                    &format!("{}[{index}].{field}", at.path),
                    format!("`{name}` stands twice"),
                );
            }
            names.push(name);
        }
        Self {
            what,
            names,
            entries,
        }
    }

    /// Whether there is no entry at all, readable or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.as_ref().is_some_and(Vec::is_empty)
    }

    /// The entries, unless one of them could not be read.
    pub(crate) fn entries(&self) -> Option<&[T]> {
        self.entries.as_deref()
    }

    /// The name that stands here, if an entry has it.
    pub(crate) fn refer<'b>(&self, at: &At<'b>, problems: &mut Problems) -> Option<&'b str> {
        let named = text(at, problems)?;
        if self.names.contains(&named) {
            Some(named)
        } else {
            at.refuse(problems, unknown(self.what, named, &self.names))
        }
    }
}

/// What to say of a name that is none of the known ones.
pub(crate) fn unknown(what: &str, named: &str, known: &[&str]) -> String {
    match nearest(named, known) {
        Some(name) => format!("no {what} is named `{named}`; did you mean `{name}`?"),
        None if known.is_empty() => format!("no {what} is named `{named}`; there is none"),
        None => format!(
            "no {what} is named `{named}`; known are {}",
            known.join(", ")
        ),
    }
}

/// The known name that is at most three typing mistakes away.
fn nearest<'k>(named: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, named), *name))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, name)| name)
}
