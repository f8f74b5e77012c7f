//! A proxy-wasm host in this process, with the rules of the gateway: what it does with a request that a module holds,
//! releases, refuses or forgets.
//!
//! Decided here: the order of callbacks, what is visible in each of them, and where bytes go. Not decided here: whether
//! an outcome is right (`scenario`). The same scenarios run through the real gateway; a difference means that this host
//! is wrong. It is stricter than the gateway in one thing only: what the gateway merely survives (a resume in the middle
//! of a body, a local reply after the answer began, a pointer out of bounds, a header with a line break) is written down
//! as trouble, and a case with trouble fails.

mod calls;
mod crypto;
mod drive;
mod flow;
mod imports;
mod properties;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod vm;
mod wasi;
mod wire;

pub use calls::{Behaviour, Call, Clusters, Response};
pub use drive::run;
pub use flow::Settings;
pub use shared::SharedData;
pub use state::{Finished, LogLine, StreamId};
pub use vm::{Compiled, HostFault, Setup, Vm};
