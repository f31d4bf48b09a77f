//! A place, as it is typed: a path of the file system, or a path below a place that has a name
//! (`MOUNT:PATH`).

use std::path::{Component, Path, PathBuf};

use worker_runtime_core::{Code, Mounts, view::Place, worker::MountRef};

use crate::{error::CliError, here::Here};

/// The place that a text means, typed to this command. Whether there is one is for the core to say.
///
/// # Errors
/// When the directory of this process is gone, or a path is no text.
pub(crate) fn place(text: &str, command: &[&str]) -> Result<Place, CliError> {
    // A mount has no slash in its name, so a file whose name has a colon is typed with one.
    if let Some((mount, path)) = text.split_once(':')
        && !mount.is_empty()
        && !mount.contains('/')
    {
        return Ok(Place {
            mount: Some(mount.to_owned()),
            path: path.to_owned(),
        });
    }
    if text.is_empty() {
        return Err(CliError::usage("the path is empty", command));
    }
    let whole = match Path::new(text).is_absolute() {
        true => PathBuf::from(text),
        false => Here::current()?.path().join(text),
    };
    match whole.to_str() {
        Some(path) => Ok(Place {
            mount: None,
            path: path.to_owned(),
        }),
        None => Err(CliError::new(
            Code::ScopeInvalid,
            format!("{} has a name that is no UTF-8", whole.display()),
        )),
    }
}

/// An absolute path as one below a mount: the operator's closest one above it, else one that is named
/// after its directory and that `is_known` knows. `None` when it is below none.
pub(crate) fn below_mount(
    path: &str,
    operators: &Mounts,
    is_known: impl Fn(&str) -> bool,
) -> Option<MountRef> {
    let path = physical(Path::new(path));
    let mut above = path.ancestors();
    above.find_map(|top| {
        let below = path.strip_prefix(top).ok()?.to_str()?;
        let is_it = |(_, place): &(&str, &Path)| physical(place) == top;
        let operators = operators.iter().find(is_it);
        let mount = match operators {
            Some((mount, _)) => mount.to_owned(),
            None => Some(Here::of(top.to_owned()).mount().to_owned()).filter(|it| is_known(it))?,
        };
        Some(MountRef {
            mount,
            path: below.to_owned(),
        })
    })
}

/// Where a path leads as far as there is something, and from there as it is named.
fn physical(path: &Path) -> PathBuf {
    let mut here = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                here.push(name);
                here = std::fs::canonicalize(&here).unwrap_or(here);
            }
            Component::ParentDir => drop(here.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    here
}

#[cfg(test)]
mod tests;
