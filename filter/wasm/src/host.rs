//! The host's calls: bindings of our own over the raw ABI (proxy-wasm 0.2.1). Every call returns what the host said and
//! none can panic; the SDK's own calls do on any status that they do not expect, and on bytes that are not UTF-8.
//!
//! The only file with `unsafe`. Each block is one of two kinds: a call of a function that the host provides by the ABI,
//! or taking over memory that the host had us allocate through the SDK's `proxy_on_memory_allocate`.

#![expect(unsafe_code, reason = "the ABI is a set of foreign functions")]

use postern_core::fetch::Call;
use postern_core::store::{Ask, Cas, Told};
use proxy_wasm::types::{BufferType, LogLevel, MapType, Status, StreamType};
use std::time::Duration;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        most: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, bytes: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_continue_stream(kind: u32) -> u32;
    fn proxy_close_stream(kind: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// A call that the host did not carry out: its status (proxy-wasm `WasmResult`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u32);

fn done(status: u32) -> Result<(), Refused> {
    if status == 0 {
        Ok(())
    } else {
        Err(Refused(status))
    }
}

/// Calls `ask` with places for memory that the host fills, and takes that memory over.
fn take(ask: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Refused> {
    let mut bytes: *mut u8 = std::ptr::null_mut();
    let mut size: usize = 0;
    done(ask(&raw mut bytes, &raw mut size))?;
    if bytes.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: by the ABI the host got `bytes` from our `proxy_on_memory_allocate(size)`, which gives a boxed slice of
    // exactly `size` bytes from the global allocator, wrote all of it, and keeps no reference.
    Ok(unsafe { Vec::from_raw_parts(bytes, size, size) })
}

/// Writes a line to the gateway's log.
pub(crate) fn log(level: LogLevel, line: &str) {
    // SAFETY: the host reads `line.len()` bytes and keeps nothing. Nothing could be done about a refusal.
    let _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// The least level that the gateway's log still shows.
pub(crate) fn log_level() -> Result<u32, Refused> {
    let mut level = 0;
    // SAFETY: the host writes one `u32`.
    done(unsafe { proxy_get_log_level(&raw mut level) })?;
    Ok(level)
}

/// Milliseconds since 1970 (UTC).
pub(crate) fn now() -> Result<u64, Refused> {
    let mut nanoseconds = 0;
    // SAFETY: the host writes one `u64`.
    done(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
    Ok(u64::try_from(Duration::from_nanos(nanoseconds).as_millis()).unwrap_or(u64::MAX))
}

/// Asks for `on_tick` every so often.
pub(crate) fn tick_every(millis: u32) -> Result<(), Refused> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// Makes the following calls, up to the end of this callback, calls of another context.
pub(crate) fn act_for(context: u32) -> Result<(), Refused> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_set_effective_context(context) })
}

/// Exactly `length` bytes of a buffer from `start`.
pub(crate) fn buffer(kind: BufferType, start: usize, length: usize) -> Result<Vec<u8>, Refused> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let bytes = take(|bytes, size| {
        // SAFETY: the places are valid for writing one pointer and one size.
        unsafe { proxy_get_buffer_bytes(kind as u32, start, length, bytes, size) }
    })?;
    // The host may give less than it announced; half a chunk would make a wrong hash.
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(Refused(MISFIT))
    }
}

/// A status of our own: fewer bytes than announced, or a size that the host's number does not hold.
const MISFIT: u32 = u32::MAX;

/// A header map as the host serialized it.
#[derive(Debug)]
pub(crate) struct Headers(Vec<u8>);

impl Headers {
    /// All headers of a map, repeated ones too.
    pub(crate) fn read(map: MapType) -> Result<Self, Refused> {
        take(|bytes, size| {
            // SAFETY: the places are valid for writing one pointer and one size.
            unsafe { proxy_get_header_map_pairs(map as u32, bytes, size) }
        })
        .map(Self)
    }

    /// Names and values: a count, the pairs of sizes, then names and values, each with a NUL after it; numbers are
    /// 32 bit, little endian.
    pub(crate) fn pairs(&self) -> Option<Vec<(&[u8], &[u8])>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let (count, rest) = split_u32(&self.0)?;
        let (mut sizes, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (name_size, rest) = split_u32(sizes)?;
            let (value_size, rest) = split_u32(rest)?;
            sizes = rest;
            let (name, rest) = split_text(texts, name_size)?;
            let (value, rest) = split_text(rest, value_size)?;
            texts = rest;
            pairs.push((name, value));
        }
        Some(pairs)
    }
}

fn split_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn split_text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    let (_, rest) = rest.split_at_checked(1)?;
    Some((text, rest))
}

/// Sets a header, in place of all of its name.
pub(crate) fn set_header(map: MapType, name: &str, value: &str) -> Result<(), Refused> {
    // SAFETY: the host reads both texts and keeps nothing.
    done(unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes all headers of a name.
pub(crate) fn remove_header(map: MapType, name: &[u8]) -> Result<(), Refused> {
    // SAFETY: the host reads the name and keeps nothing.
    done(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property, by its path with NUL between the parts.
pub(crate) fn property(path: &str) -> Result<Vec<u8>, Refused> {
    take(|bytes, size| {
        // SAFETY: the host reads the path; the places are valid for writing one pointer and one size.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), bytes, size) }
    })
}

/// Sets a property, which becomes filter state `wasm.<path>`.
pub(crate) fn set_property(path: &str, value: &str) -> Result<(), Refused> {
    // SAFETY: the host reads both texts and keeps nothing.
    done(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// The status of a key, path or name that the host does not have.
const NOT_FOUND: u32 = 1;

/// The status of a swap that came too late.
const CAS_MISMATCH: u32 = 8;

/// Asks the map that all workers share.
pub(crate) fn ask(question: Ask) -> Told {
    match question {
        Ask::Read { key } => {
            let mut mark = 0;
            let value = take(|bytes, size| {
                // SAFETY: the host reads the key; the places are valid for writing one pointer, one size and one `u32`.
                unsafe {
                    proxy_get_shared_data(key.as_ptr(), key.len(), bytes, size, &raw mut mark)
                }
            });
            match (value, Cas::of(mark)) {
                (Ok(value), Some(cas)) => Told::Value(Some((value, cas))),
                (Err(Refused(NOT_FOUND)), _) => Told::Value(None),
                (Ok(_) | Err(_), _) => Told::Unavailable,
            }
        }
        Ask::Swap { key, value, cas } => {
            // SAFETY: the host reads key and value and keeps nothing.
            let status = unsafe {
                proxy_set_shared_data(
                    key.as_ptr(),
                    key.len(),
                    value.as_ptr(),
                    value.len(),
                    cas.mark(),
                )
            };
            match status {
                0 => Told::Swapped,
                CAS_MISMATCH => Told::Conflict,
                _ => Told::Unavailable,
            }
        }
    }
}

/// A counter of the gateway's own statistics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counter(u32);

impl Counter {
    /// Defines a counter; the same name is the same counter in every worker.
    pub(crate) fn define(name: &str) -> Result<Self, Refused> {
        let mut metric = 0;
        // SAFETY: the host reads the name; the place is valid for writing one `u32`.
        done(unsafe { proxy_define_metric(0, name.as_ptr(), name.len(), &raw mut metric) })?;
        Ok(Self(metric))
    }

    /// Adds to it.
    pub(crate) fn add(self, by: u64) -> Result<(), Refused> {
        let by = i64::try_from(by).map_err(|_| Refused(MISFIT))?;
        // SAFETY: no memory is passed.
        done(unsafe { proxy_increment_metric(self.0, by) })
    }
}

/// Calls a cluster of the gateway. The answer comes to `on_http_call_response` of the context that acts now, with the number
/// that is given here.
///
/// WHY the SDK's call: its dispatcher panics on an answer to a call that it did not make itself. The call gives an error
/// for what hosts say of a cluster that is not there or that cannot be called.
pub(crate) fn call(call: &Call) -> Result<u32, Status> {
    let headers = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", call.authority.as_str()),
        (":path", call.path.as_str()),
        ("accept", "application/json"),
        ("user-agent", USER_AGENT),
    ];
    let timeout = Duration::from_millis(call.timeout_ms);
    proxy_wasm::hostcalls::dispatch_http_call(&call.cluster, headers, None, Vec::new(), timeout)
}

/// Who calls, to an issuer.
const USER_AGENT: &str = concat!("postern/", env!("CARGO_PKG_VERSION"));

/// Lets go what is held of a request.
pub(crate) fn resume_request() -> Result<(), Refused> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_continue_stream(StreamType::HttpRequest as u32) })
}

/// Resets the stream.
pub(crate) fn close_stream(kind: StreamType) -> Result<(), Refused> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_close_stream(kind as u32) })
}

/// Answers in place of the upstream. The host does it after the callback has returned.
pub(crate) fn answer(
    status: u16,
    details: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(), Refused> {
    let headers = serialized(headers).ok_or(Refused(MISFIT))?;
    // SAFETY: the host reads the four texts and keeps nothing.
    done(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// The answer is no gRPC answer.
const NO_GRPC_STATUS: i32 = -1;

fn serialized(pairs: &[(&str, &str)]) -> Option<Vec<u8>> {
    let mut bytes = u32::try_from(pairs.len()).ok()?.to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend(u32::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}

/// Calls a function that the host offers by name.
pub(crate) fn foreign(name: &str, argument: &[u8]) -> Result<Vec<u8>, Refused> {
    take(|bytes, size| {
        // SAFETY: the host reads name and argument; the places are valid for writing one pointer and one size.
        unsafe {
            proxy_call_foreign_function(
                name.as_ptr(),
                name.len(),
                argument.as_ptr(),
                argument.len(),
                bytes,
                size,
            )
        }
    })
}
