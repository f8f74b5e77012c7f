//! The part of WASI preview 1 that the gateway gives a module: clocks, randomness, environment, standard output to the
//! log. Everything else that can be imported is answered with "not supported" and written down as trouble.

use wasmtime::{Caller, Linker, Result};

use super::imports::{count, read, write, write_u32};
use super::state::{Host, LogLine};
use super::wire::Code;

const MODULE: &str = "wasi_snapshot_preview1";
const SUCCESS: Code = 0;
const BADF: Code = 8;
const FAULT: Code = 21;
const INVAL: Code = 28;
/// The gateway's bound on one draw.
const MOST_RANDOM: i32 = 64 * 1024;

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, Host>, _id: i32, _precision: i64, at: i32| {
            count(&mut caller, "clock_time_get");
            let now = caller.data().now_ns.to_le_bytes();
            done(write(&mut caller, at, &now))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "clock_res_get",
        |mut caller: Caller<'_, Host>, _id: i32, at: i32| {
            done(write(&mut caller, at, &1u64.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "random_get",
        |mut caller: Caller<'_, Host>, at: i32, length: i32| {
            count(&mut caller, "random_get");
            if !(0..=MOST_RANDOM).contains(&length) {
                return INVAL;
            }
            let mut bytes = Vec::new();
            for _ in 0..length {
                let state = &mut caller.data_mut().random;
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                bytes.push(state.to_le_bytes()[7]);
            }
            done(write(&mut caller, at, &bytes))
        },
    )?;
    environment(linker)?;
    files(linker)?;
    linker.func_wrap(MODULE, "sched_yield", |_: Caller<'_, Host>| SUCCESS)?;
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |mut caller: Caller<'_, Host>, code: i32| -> Result<()> {
            caller
                .data_mut()
                .trouble(format!("the module called proc_exit({code})"));
            Err(wasmtime::Error::msg(format!("proc_exit({code})")))
        },
    )?;
    Ok(())
}

fn environment(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Caller<'_, Host>, count_at: i32, size_at: i32| {
            let entries = &caller.data().environment;
            let (many, size) = (
                entries.len(),
                entries.iter().map(|entry| entry.len() + 1).sum(),
            );
            done(
                write_u32(&mut caller, count_at, many)
                    .and_then(|()| write_u32(&mut caller, size_at, size)),
            )
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_get",
        |mut caller: Caller<'_, Host>, list: i32, texts: i32| {
            let entries = caller.data().environment.clone();
            let (mut list, mut texts) = (list, texts);
            for entry in entries {
                let mut bytes = entry.into_bytes();
                bytes.push(0);
                let place = usize::try_from(texts).unwrap_or(usize::MAX);
                if write_u32(&mut caller, list, place)
                    .and_then(|()| write(&mut caller, texts, &bytes))
                    .is_none()
                {
                    return FAULT;
                }
                list += 4;
                texts += i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            }
            SUCCESS
        },
    )?;
    linker.func_wrap(
        MODULE,
        "args_sizes_get",
        |mut caller: Caller<'_, Host>, count_at: i32, size_at: i32| {
            done(
                write_u32(&mut caller, count_at, 0)
                    .and_then(|()| write_u32(&mut caller, size_at, 0)),
            )
        },
    )?;
    linker.func_wrap(
        MODULE,
        "args_get",
        |_: Caller<'_, Host>, _list: i32, _texts: i32| SUCCESS,
    )?;
    Ok(())
}

fn files(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, Host>, fd: i32, vectors: i32, many: i32, written_at: i32| {
            if fd != 1 && fd != 2 {
                return BADF;
            }
            let mut text = Vec::new();
            for row in 0..many {
                let Some(pair) = read(&mut caller, vectors + row * 8, 8) else {
                    return FAULT;
                };
                let number = |at: usize| {
                    i32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]])
                };
                let Some(bytes) = read(&mut caller, number(0), number(4)) else {
                    return FAULT;
                };
                text.extend_from_slice(&bytes);
            }
            let line = LogLine {
                level: if fd == 1 { 2 } else { 4 },
                text: String::from_utf8_lossy(&text).into_owned(),
            };
            caller.data_mut().log.push(line);
            done(write_u32(&mut caller, written_at, text.len()))
        },
    )?;
    linker.func_wrap(MODULE, "fd_close", |_: Caller<'_, Host>, _fd: i32| BADF)?;
    linker.func_wrap(
        MODULE,
        "fd_fdstat_get",
        |_: Caller<'_, Host>, _fd: i32, _at: i32| BADF,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_seek",
        |_: Caller<'_, Host>, _fd: i32, _by: i64, _from: i32, _at: i32| BADF,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_prestat_get",
        |_: Caller<'_, Host>, _fd: i32, _at: i32| BADF,
    )?;
    linker.func_wrap(
        MODULE,
        "fd_prestat_dir_name",
        |_: Caller<'_, Host>, _fd: i32, _at: i32, _len: i32| BADF,
    )?;
    Ok(())
}

fn done(wrote: Option<()>) -> Code {
    if wrote.is_some() { SUCCESS } else { FAULT }
}
