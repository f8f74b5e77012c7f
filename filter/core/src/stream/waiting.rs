//! The proof of who calls, which may have to wait: for keys that are fetched, for the map of the workers.
//!
//! Decided here: what is asked next, and when waiting ends. While it lasts, head and body are held; what comes of the body is
//! scanned, so that nothing of it is kept here. Not decided here: whether a credential is good (`identity`).
//! Against THREATS 16 and 19: a wait ends by keys, by the end of the fetch or by its deadline, and then in a refusal.

use super::admission::{Admission, Early};
use super::story::Story;
use super::{Ground, Phase, misplaced};
use crate::identity::{Evidence, Identity, Proving};
use crate::refusal::{Code, Refusal};
use crate::store::{Ask, Cas, Told};
use crate::stream::event::{Effect, Step};
use crate::token;
use crate::token::dpop::{self, DpopFault, Mark, ReplayFault};

/// How often the mark of a proof is tried again when another worker was first.
const SWAP_TRIES: u8 = 8;

/// A request whose caller is still being proved.
#[derive(Debug)]
pub(super) struct Identifying {
    admission: Admission,
    evidence: Evidence,
    wait: Wait,
    early: Early,
    deadline: u64,
}

/// For what the proof waits.
#[derive(Debug)]
enum Wait {
    /// For keys that are being fetched.
    Keys,
    /// For what stands in the bucket of a proof's mark.
    Bucket(Freshness),
    /// For whether the mark stands there now.
    Marked(Freshness),
}

/// An identity that counts if its proof is new.
#[derive(Debug)]
struct Freshness {
    identity: Identity,
    mark: Mark,
    tries: u8,
}

impl Identifying {
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Takes a part of the body that the gateway holds. What is wrong with it is told when the caller is proved.
    pub(super) fn hold(mut self, chunk: &[u8], end: bool) -> Self {
        self.early = Early {
            scan: self.early.scan.and_then(|scan| scan.feed(chunk)),
            ended: self.early.ended || end,
        };
        self
    }
}

impl Story {
    /// Asks who calls, for the first time.
    pub(super) fn identify(
        &mut self,
        admission: Admission,
        evidence: Evidence,
        early: Early,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<(Phase, Step), Refusal> {
        let (wait, asked) = match evidence.prove(admission.needs, now, ground)? {
            Proving::Proved(identity) => {
                return self.proved(admission, early, identity, now, ground.policy);
            }
            Proving::Fresh(identity, mark) => first_look(identity, mark),
            Proving::KeysAwaited(_) => (Wait::Keys, None),
            Proving::KeyNotFetched(shelf, refusal) => {
                if !ground.memory.library.is_filling(shelf, now) {
                    return Err(refusal);
                }
                (Wait::Keys, Some(Effect::Refill(shelf)))
            }
        };
        let identifying = Identifying {
            admission,
            evidence,
            wait,
            early,
            deadline: now.saturating_add(ground.policy.hold_timeout),
        };
        Ok(waiting(identifying, asked))
    }

    /// Time has passed, or something was fetched: asks again.
    pub(super) fn look_again(
        &mut self,
        identifying: Identifying,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> (Phase, Step) {
        self.retry(identifying, now, ground)
            .unwrap_or_else(|refusal| self.refuse(refusal))
    }

    fn retry(
        &mut self,
        identifying: Identifying,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<(Phase, Step), Refusal> {
        let late = now >= identifying.deadline;
        match &identifying.wait {
            Wait::Keys => {}
            Wait::Bucket(_) | Wait::Marked(_) if late => return Err(unremembered()),
            Wait::Bucket(_) | Wait::Marked(_) => return Ok(waiting(identifying, None)),
        }
        let needs = identifying.admission.needs;
        let (wait, asked) = match identifying.evidence.prove(needs, now, ground)? {
            Proving::Proved(identity) => {
                let Identifying {
                    admission, early, ..
                } = identifying;
                return self.proved(admission, early, identity, now, ground.policy);
            }
            Proving::Fresh(identity, mark) => first_look(identity, mark),
            Proving::KeysAwaited(refusal) if late => return Err(refusal),
            // WHY no second refill: a request asks once, however long it waits.
            Proving::KeyNotFetched(shelf, refusal)
                if late || !ground.memory.library.is_filling(shelf, now) =>
            {
                return Err(refusal);
            }
            Proving::KeysAwaited(_) | Proving::KeyNotFetched(..) => (Wait::Keys, None),
        };
        Ok(waiting(
            Identifying {
                wait,
                ..identifying
            },
            asked,
        ))
    }

    /// The map of the workers has answered.
    pub(super) fn told(
        &mut self,
        identifying: Identifying,
        told: Told,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> (Phase, Step) {
        self.hear(identifying, told, now, ground)
            .unwrap_or_else(|refusal| self.refuse(refusal))
    }

    fn hear(
        &mut self,
        identifying: Identifying,
        told: Told,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<(Phase, Step), Refusal> {
        let Identifying {
            admission,
            evidence,
            wait,
            early,
            deadline,
        } = identifying;
        let (wait, asked) = match (wait, told) {
            (Wait::Bucket(freshness), Told::Value(stored)) => mark(freshness, stored, now)?,
            (Wait::Marked(freshness), Told::Swapped) => {
                return self.proved(admission, early, freshness.identity, now, ground.policy);
            }
            (Wait::Marked(freshness), Told::Conflict) => look(freshness)?,
            (Wait::Bucket(_) | Wait::Marked(_), _) => return Err(unremembered()),
            (Wait::Keys, _) => return Err(misplaced()),
        };
        let identifying = Identifying {
            admission,
            evidence,
            wait,
            early,
            deadline,
        };
        Ok(waiting(identifying, asked))
    }
}

/// The stream as it waits, and what it asks.
fn waiting(identifying: Identifying, asked: Option<Effect>) -> (Phase, Step) {
    let step = Step::hold().after(asked.into_iter().collect());
    (Phase::Identifying(Box::new(identifying)), step)
}

fn first_look(identity: Identity, mark: Mark) -> (Wait, Option<Effect>) {
    let key = mark.key();
    let freshness = Freshness {
        identity,
        mark,
        tries: SWAP_TRIES,
    };
    (
        Wait::Bucket(freshness),
        Some(Effect::Ask(Ask::Read { key })),
    )
}

/// Looks again at the bucket that another worker changed meanwhile.
fn look(freshness: Freshness) -> Result<(Wait, Option<Effect>), Refusal> {
    let tries = freshness.tries.checked_sub(1).ok_or_else(unremembered)?;
    let key = freshness.mark.key();
    Ok((
        Wait::Bucket(Freshness { tries, ..freshness }),
        Some(Effect::Ask(Ask::Read { key })),
    ))
}

/// Puts the mark into its bucket, unless it stands there already.
fn mark(
    freshness: Freshness,
    stored: Option<(Vec<u8>, Cas)>,
    now: u64,
) -> Result<(Wait, Option<Effect>), Refusal> {
    let (bytes, cas) = match stored {
        Some((bytes, cas)) => (Some(bytes), cas),
        None => (None, Cas::ABSENT),
    };
    let value = dpop::remember(bytes.as_deref(), &freshness.mark, token::seconds(now)).map_err(
        |fault| match fault {
            ReplayFault::Seen => Refusal::new(
                Code::DpopReplayed,
                "The proof of possession was used before; make a new one for each request.",
            ),
            ReplayFault::Late => {
                Refusal::new(Code::DpopInvalid, DpopFault::from(fault).to_string())
            }
            ReplayFault::Full | ReplayFault::Corrupt => unremembered(),
        },
    )?;
    let key = freshness.mark.key();
    Ok((
        Wait::Marked(freshness),
        Some(Effect::Ask(Ask::Swap { key, value, cas })),
    ))
}

fn unremembered() -> Refusal {
    Refusal::new(
        Code::DpopUnavailable,
        "the gateway cannot tell now whether the proof of possession is new; try again",
    )
    .retry_after(1)
}
