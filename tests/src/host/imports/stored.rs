//! What a module keeps with the host or asks of it by name: properties, shared data, foreign functions.

use wasmtime::{Linker, Result};

use super::{In, MODULE, broken, count, give, read, write};
use crate::host::state::Host;
use crate::host::wire::{Code, Status};
use crate::host::{crypto, properties};

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "proxy_get_property",
        |mut caller: In<'_>, path: i32, path_size: i32, at: i32, size_at: i32| {
            count(&mut caller, "proxy_get_property");
            let Some(path) = read(&mut caller, path, path_size) else {
                return broken(&mut caller, "proxy_get_property");
            };
            let Ok(path) = String::from_utf8(path) else {
                return Status::BadArgument.into();
            };
            let segments: Vec<&str> = path.split('\0').collect();
            match properties::read(caller.data_mut(), &segments) {
                Some(value) => give(&mut caller, &value, at, size_at),
                None => Status::NotFound.into(),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_property",
        |mut caller: In<'_>, path: i32, path_size: i32, value: i32, value_size: i32| {
            count(&mut caller, "proxy_set_property");
            let (Some(path), Some(value)) = (
                read(&mut caller, path, path_size),
                read(&mut caller, value, value_size),
            ) else {
                return broken(&mut caller, "proxy_set_property");
            };
            let Ok(path) = String::from_utf8(path) else {
                return Status::BadArgument.into();
            };
            let wrote = properties::write(caller.data_mut(), &path, &value);
            Code::from(if wrote { Status::Ok } else { Status::NotFound })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_get_shared_data",
        |mut caller: In<'_>, key: i32, key_size: i32, at: i32, size_at: i32, cas_at: i32| {
            count(&mut caller, "proxy_get_shared_data");
            let Some(key) = read(&mut caller, key, key_size) else {
                return broken(&mut caller, "proxy_get_shared_data");
            };
            let Some((value, cas)) = caller.data().shared.read(&key) else {
                return Status::NotFound.into();
            };
            if write(&mut caller, cas_at, &cas.to_le_bytes()).is_none() {
                return broken(&mut caller, "proxy_get_shared_data");
            }
            give(&mut caller, &value, at, size_at)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_set_shared_data",
        |mut caller: In<'_>, key: i32, key_size: i32, value: i32, value_size: i32, cas: i32| {
            count(&mut caller, "proxy_set_shared_data");
            let (Some(key), Some(value)) = (
                read(&mut caller, key, key_size),
                read(&mut caller, value, value_size),
            ) else {
                return broken(&mut caller, "proxy_set_shared_data");
            };
            let wrote = caller
                .data()
                .shared
                .write(&key, &value, cas.cast_unsigned());
            Code::from(if wrote {
                Status::Ok
            } else {
                Status::CasMismatch
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "proxy_call_foreign_function",
        |mut caller: In<'_>,
         name: i32,
         name_size: i32,
         arguments: i32,
         size: i32,
         at: i32,
         size_at: i32| {
            count(&mut caller, "proxy_call_foreign_function");
            let (Some(name), Some(arguments)) = (
                read(&mut caller, name, name_size),
                read(&mut caller, arguments, size),
            ) else {
                return broken(&mut caller, "proxy_call_foreign_function");
            };
            if name != b"verify_signature" || !caller.data().host_crypto {
                return Status::NotFound.into();
            }
            match crypto::verify_signature(&arguments) {
                Some(answer) => give(&mut caller, &answer, at, size_at),
                None => Status::BadArgument.into(),
            }
        },
    )?;
    Ok(())
}
