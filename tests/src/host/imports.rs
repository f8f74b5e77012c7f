//! The host functions of the proxy-wasm ABI 0.2.1, as the gateway answers them.
//!
//! A function that the module imports and that stands neither here nor in `wasi` does not link, and the module does not
//! load: that is the test of the import list from this side.

mod metrics;
mod stored;

use wasmtime::{Caller, ExternType, Linker, Module, Result};

use super::state::{Host, Iteration, Later, LogLine, ROOT, Reply};
use super::wire::{BufferKind, Code, MapKind, Status, bytes_to_pairs, pairs_to_bytes};
use super::{calls, wasi};

pub(super) const MODULE: &str = "env";
type In<'a> = Caller<'a, Host>;

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    wasi::link(linker)?;
    logs_and_time(linker)?;
    buffers(linker)?;
    header_maps(linker)?;
    header_values(linker)?;
    streams(linker)?;
    metrics::link(linker)?;
    stored::link(linker)?;
    calls::link(linker)?;
    Ok(())
}

fn logs_and_time(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_log",
        |mut caller: In<'_>, level: i32, at: i32, length: i32| {
            count(&mut caller, "proxy_log");
            let Some(text) = read(&mut caller, at, length) else {
                return broken(&mut caller, "proxy_log");
            };
            if !(0..=5).contains(&level) {
                return Status::BadArgument.into();
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            caller.data_mut().log.push(LogLine { level, text });
            Status::Ok.into()
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_log_level",
        |mut caller: In<'_>, at: i32| {
            count(&mut caller, "proxy_get_log_level");
            written(write_u32(&mut caller, at, 2))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_current_time_nanoseconds",
        |mut caller: In<'_>, at: i32| {
            count(&mut caller, "proxy_get_current_time_nanoseconds");
            let now = caller.data().now_ns.to_le_bytes();
            written(write(&mut caller, at, &now))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_tick_period_milliseconds",
        |mut caller: In<'_>, period: i32| {
            count(&mut caller, "proxy_set_tick_period_milliseconds");
            caller.data_mut().tick_ms = u32::try_from(period).unwrap_or_default();
            Code::from(Status::Ok)
        },
    )?;
    Ok(())
}

fn buffers(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_buffer_bytes",
        |mut caller: In<'_>, kind: i32, start: i32, length: i32, at: i32, size_at: i32| {
            count(&mut caller, "proxy_get_buffer_bytes");
            let (Some(kind), Ok(start), length) = (
                BufferKind::parse(kind),
                usize::try_from(start),
                usize::try_from(length.cast_unsigned()).unwrap_or(0),
            ) else {
                return Status::BadArgument.into();
            };
            let Some(buffer) = caller.data_mut().buffer(kind) else {
                return Status::NotFound.into();
            };
            let from = start.min(buffer.len());
            let bytes = buffer[from..from.saturating_add(length).min(buffer.len())].to_vec();
            give(&mut caller, &bytes, at, size_at)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_buffer_bytes",
        |mut caller: In<'_>, kind: i32, start: i32, length: i32, at: i32, size: i32| {
            count(&mut caller, "proxy_set_buffer_bytes");
            let Some(bytes) = read(&mut caller, at, size) else {
                return broken(&mut caller, "proxy_set_buffer_bytes");
            };
            let (Some(kind), Ok(start), length) = (
                BufferKind::parse(kind),
                usize::try_from(start),
                usize::try_from(length.cast_unsigned()).unwrap_or(0),
            ) else {
                return Status::BadArgument.into();
            };
            if kind == BufferKind::CallBody {
                return Status::BadArgument.into();
            }
            let Some(buffer) = caller.data_mut().buffer(kind) else {
                return Status::NotFound.into();
            };
            let from = start.min(buffer.len());
            let to = from.saturating_add(length).min(buffer.len());
            buffer.splice(from..to, bytes);
            Status::Ok.into()
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_buffer_status",
        |mut caller: In<'_>, kind: i32, length_at: i32, flags_at: i32| {
            let Some(kind) = BufferKind::parse(kind) else {
                return Status::BadArgument.into();
            };
            let Some(length) = caller.data_mut().buffer(kind).map(|buffer| buffer.len()) else {
                return Status::NotFound.into();
            };
            written(
                write_u32(&mut caller, length_at, length)
                    .and_then(|()| write_u32(&mut caller, flags_at, 0)),
            )
        },
    )?;
    Ok(())
}

fn header_maps(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_header_map_pairs",
        |mut caller: In<'_>, kind: i32, at: i32, size_at: i32| {
            count(&mut caller, "proxy_get_header_map_pairs");
            let Some(kind) = MapKind::parse(kind) else {
                return Status::BadArgument.into();
            };
            // A map that is not there has no pairs; only single values of it are a bad argument.
            let map = caller.data_mut().map(kind);
            let bytes = map.map_or(Vec::new(), |map| pairs_to_bytes(&map.pairs));
            give(&mut caller, &bytes, at, size_at)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_header_map_pairs",
        |mut caller: In<'_>, kind: i32, at: i32, size: i32| {
            count(&mut caller, "proxy_set_header_map_pairs");
            let Some(bytes) = read(&mut caller, at, size) else {
                return broken(&mut caller, "proxy_set_header_map_pairs");
            };
            let Some(pairs) = bytes_to_pairs(&bytes) else {
                return Status::BadArgument.into();
            };
            writable(&mut caller, kind, |map| map.pairs = pairs)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_header_map_size",
        |mut caller: In<'_>, kind: i32, at: i32| {
            let Some(map) = MapKind::parse(kind).and_then(|kind| caller.data_mut().map(kind))
            else {
                return Status::BadArgument.into();
            };
            let size = map
                .pairs
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum();
            written(write_u32(&mut caller, at, size))
        },
    )?;
    Ok(())
}

fn header_values(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_header_map_value",
        |mut caller: In<'_>, kind: i32, name: i32, name_size: i32, at: i32, size_at: i32| {
            count(&mut caller, "proxy_get_header_map_value");
            let Some(name) = read(&mut caller, name, name_size) else {
                return broken(&mut caller, "proxy_get_header_map_value");
            };
            let Some(map) = MapKind::parse(kind).and_then(|kind| caller.data_mut().map(kind))
            else {
                return Status::BadArgument.into();
            };
            let lower = name.to_ascii_lowercase();
            match map
                .pairs
                .iter()
                .find(|(seen, _)| *seen == lower)
                .map(|(_, value)| value.clone())
            {
                Some(value) => give(&mut caller, &value, at, size_at),
                None => Status::NotFound.into(),
            }
        },
    )?;
    for (function, append) in [
        ("proxy_add_header_map_value", true),
        ("proxy_replace_header_map_value", false),
    ] {
        linker.func_wrap(
            MODULE,
            function,
            move |mut caller: In<'_>,
                  kind: i32,
                  name: i32,
                  name_size: i32,
                  value: i32,
                  value_size: i32| {
                count(&mut caller, function);
                let (Some(name), Some(value)) = (
                    read(&mut caller, name, name_size),
                    read(&mut caller, value, value_size),
                ) else {
                    return broken(&mut caller, function);
                };
                sound(&mut caller, &name, &value);
                let lower = name.to_ascii_lowercase();
                writable(&mut caller, kind, |map| {
                    if append {
                        map.pairs.push((lower, value));
                    } else {
                        map.replace(&lower, &value);
                    }
                })
            },
        )?;
    }
    linker.func_wrap(
        MODULE,
        "proxy_remove_header_map_value",
        |mut caller: In<'_>, kind: i32, name: i32, name_size: i32| {
            count(&mut caller, "proxy_remove_header_map_value");
            let Some(name) = read(&mut caller, name, name_size) else {
                return broken(&mut caller, "proxy_remove_header_map_value");
            };
            let lower = name.to_ascii_lowercase();
            writable(&mut caller, kind, |map| map.remove(&lower))
        },
    )?;
    Ok(())
}

fn streams(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_send_local_response",
        |mut caller: In<'_>,
         status: i32,
         details: i32,
         details_size: i32,
         body: i32,
         body_size: i32,
         headers: i32,
         headers_size: i32,
         _grpc: i32| {
            count(&mut caller, "proxy_send_local_response");
            let (Some(details), Some(body), Some(headers)) = (
                read(&mut caller, details, details_size),
                read(&mut caller, body, body_size),
                read(&mut caller, headers, headers_size),
            ) else {
                return broken(&mut caller, "proxy_send_local_response");
            };
            let Some(headers) = bytes_to_pairs(&headers) else {
                return Status::BadArgument.into();
            };
            for (name, value) in &headers {
                sound(&mut caller, name, value);
            }
            let host = caller.data_mut();
            let current = host.current;
            let Some(stream) = host.stream() else {
                return Status::BadArgument.into();
            };
            if stream.reply_asked || stream.logging {
                return Status::BadArgument.into();
            }
            stream.reply_asked = true;
            let reply = Reply {
                status: u16::try_from(status).unwrap_or(500),
                details: String::from_utf8_lossy(&details).replace(' ', "_"),
                headers,
                body,
            };
            host.later.push_back(Later::Reply(current, reply));
            host.stop = true;
            Status::Ok.into()
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_continue_stream",
        |mut caller: In<'_>, way: i32| {
            count(&mut caller, "proxy_continue_stream");
            let host = caller.data_mut();
            let current = host.current;
            let Some(stream) = host.stream() else {
                return Code::from(Status::BadArgument);
            };
            let later = match way {
                0 => {
                    let shown = stream.request.iteration == Iteration::Stopped;
                    if shown && stream.request.held.is_some() && !stream.request.ended {
                        // The chunk of this moment is lost on hosts before 1.40. What was never shown is not.
                        host.trouble("the module resumed a request in the middle of its body");
                    }
                    Later::ResumeRequest(current)
                }
                1 => Later::ResumeResponse(current),
                _ => return Status::BadArgument.into(),
            };
            // From the call on, and not only from the resume on, nothing of the request can be seen or changed.
            if let Some(stream) = host.stream() {
                stream.request.headers.visible = false;
                if let Some(trailers) = &mut stream.request.trailers {
                    trailers.visible = false;
                }
            }
            host.later.push_back(later);
            Status::Ok.into()
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_close_stream",
        |mut caller: In<'_>, _way: i32| {
            count(&mut caller, "proxy_close_stream");
            let host = caller.data_mut();
            let current = host.current;
            match host.stream() {
                Some(stream) => {
                    if stream.answer.is_none() {
                        host.trouble("the module reset a stream that it could have answered");
                    }
                    host.later.push_back(Later::Close(current));
                    Code::from(Status::Ok)
                }
                None => Status::BadArgument.into(),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_effective_context",
        |mut caller: In<'_>, context: i32| {
            count(&mut caller, "proxy_set_effective_context");
            let context = context.cast_unsigned();
            let host = caller.data_mut();
            if context != ROOT && !host.streams.contains_key(&context) {
                return Code::from(Status::BadArgument);
            }
            host.current = context;
            Status::Ok.into()
        },
    )?;
    linker.func_wrap(MODULE, "proxy_done", |_: In<'_>| Code::from(Status::Ok))?;
    Ok(())
}

/// What a module imports only because the SDK's trait objects carry it. Calling one is the end of the VM.
const CARRIED: &[&str] = &[
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
];

pub(super) fn link_carried(linker: &mut Linker<Host>, module: &Module) -> Result<()> {
    for import in module.imports() {
        let (name, ty) = (import.name().to_owned(), import.ty());
        if let (MODULE, true, ExternType::Func(ty)) =
            (import.module(), CARRIED.contains(&name.as_str()), ty)
        {
            linker.func_new(MODULE, &name.clone(), ty, move |_, _, _| {
                Err(wasmtime::Error::msg(format!(
                    "the module called {name}, which it only carries"
                )))
            })?;
        }
    }
    Ok(())
}

/// Counts a call, for the tests that look at what the module asks for.
pub(super) fn count(caller: &mut In<'_>, name: &'static str) {
    *caller.data_mut().calls.entry(name).or_default() += 1;
}

/// Bytes of the guest; `None` out of bounds.
pub(super) fn read(caller: &mut In<'_>, at: i32, length: i32) -> Option<Vec<u8>> {
    let memory = caller.data().memory?;
    let at = usize::try_from(at.cast_unsigned()).ok()?;
    let end = at.checked_add(usize::try_from(length.cast_unsigned()).ok()?)?;
    memory.data(&*caller).get(at..end).map(<[u8]>::to_vec)
}

/// Puts bytes into the guest; `None` out of bounds.
pub(super) fn write(caller: &mut In<'_>, at: i32, bytes: &[u8]) -> Option<()> {
    let memory = caller.data().memory?;
    memory
        .write(
            &mut *caller,
            usize::try_from(at.cast_unsigned()).ok()?,
            bytes,
        )
        .ok()
}

/// A number as the guest's `usize`.
pub(super) fn write_u32(caller: &mut In<'_>, at: i32, number: usize) -> Option<()> {
    write(caller, at, &u32::try_from(number).ok()?.to_le_bytes())
}

/// Hands bytes over in memory that the guest allocates; the guest owns them.
fn give(caller: &mut In<'_>, bytes: &[u8], at: i32, size_at: i32) -> Code {
    let mut place = 0;
    if !bytes.is_empty() {
        let Some(allocate) = caller.data().allocate.clone() else {
            return Status::InternalFailure.into();
        };
        let Ok(size) = i32::try_from(bytes.len()) else {
            return Status::SerializationFailure.into();
        };
        match allocate.call(&mut *caller, size) {
            Ok(given) if given != 0 => place = given,
            Ok(_) | Err(_) => {
                caller.data_mut().trouble("the module gave no memory");
                return Status::InvalidMemoryAccess.into();
            }
        }
    }
    written(
        write(caller, place, bytes)
            .and_then(|()| write(caller, at, &place.to_le_bytes()))
            .and_then(|()| write_u32(caller, size_at, bytes.len())),
    )
}

fn written(wrote: Option<()>) -> Code {
    Code::from(if wrote.is_some() {
        Status::Ok
    } else {
        Status::InvalidMemoryAccess
    })
}

/// A pointer that a sound module does not give.
pub(super) fn broken(caller: &mut In<'_>, function: &str) -> Code {
    caller
        .data_mut()
        .trouble(format!("{function}: a pointer out of bounds"));
    Status::InvalidMemoryAccess.into()
}

/// Changes a map that is visible and not only logged.
fn writable(caller: &mut In<'_>, kind: i32, change: impl FnOnce(&mut super::state::Map)) -> Code {
    let Some(kind) = MapKind::parse(kind) else {
        return Status::BadArgument.into();
    };
    let host = caller.data_mut();
    match host.map(kind) {
        Some(map) if map.visible => {
            change(map);
            Status::Ok.into()
        }
        Some(_) | None => Status::BadArgument.into(),
    }
}

/// A header with a line break, a zero byte or an empty name would split or cut a message.
pub(super) fn sound(caller: &mut In<'_>, name: &[u8], value: &[u8]) {
    let split = |bytes: &[u8]| bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
    if name.is_empty() || split(name) || split(value) {
        caller.data_mut().trouble(format!(
            "header {:?} cannot be sent",
            String::from_utf8_lossy(name)
        ));
    }
}
