//! Statistics: counters by name, as the gateway shows them.

use wasmtime::{Linker, Result};

use super::{In, MODULE, broken, count, read, write};
use crate::host::state::Host;
use crate::host::wire::{Code, Status};

/// `MetricType::Counter`; the module defines no other.
const COUNTER: i32 = 0;

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_define_metric",
        |mut caller: In<'_>, kind: i32, name: i32, size: i32, at: i32| {
            count(&mut caller, "proxy_define_metric");
            let Some(name) = read(&mut caller, name, size) else {
                return broken(&mut caller, "proxy_define_metric");
            };
            let Ok(name) = String::from_utf8(name) else {
                return Status::BadArgument.into();
            };
            if kind != COUNTER {
                return Status::BadArgument.into();
            }
            let counters = &mut caller.data_mut().counters;
            let place = counters.iter().position(|(known, _)| *known == name);
            let place = place.unwrap_or_else(|| {
                counters.push((name, 0));
                counters.len() - 1
            });
            let number = u32::try_from(place).unwrap_or(u32::MAX);
            match write(&mut caller, at, &number.to_le_bytes()) {
                Some(()) => Code::from(Status::Ok),
                None => broken(&mut caller, "proxy_define_metric"),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_increment_metric",
        |mut caller: In<'_>, metric: i32, by: i64| {
            count(&mut caller, "proxy_increment_metric");
            let place = usize::try_from(metric).unwrap_or(usize::MAX);
            match caller.data_mut().counters.get_mut(place) {
                // A counter only rises.
                Some((_, value)) if by >= 0 => {
                    *value += by.unsigned_abs();
                    Code::from(Status::Ok)
                }
                Some(_) => Status::BadArgument.into(),
                None => Status::NotFound.into(),
            }
        },
    )?;
    Ok(())
}
