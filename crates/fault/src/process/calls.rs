//! The system calls that are counted, which file one is about, and how one is made to fail.

use std::path::{Path, PathBuf};

use nix::{errno::Errno, libc, sys::ptrace, unistd::Pid};

use super::entries::Effect;

/// A system call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    number: i64,
    file: FileOf,
}

/// How a call names the file that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileOf {
    /// Its first argument is open there.
    Descriptor,
    /// Its first argument is a path.
    Path,
    /// Its first two arguments are a directory and a path in it.
    PathIn,
    /// The same, and only if the third one says that the file may be made.
    MadeIn,
}

/// Several kinds of calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kinds(&'static [Kind]);

/// What makes data durable.
pub(super) const SYNCS: Kinds = Kinds(&[
    kind("fsync", libc::SYS_fsync, FileOf::Descriptor),
    kind("fdatasync", libc::SYS_fdatasync, FileOf::Descriptor),
]);

/// What changes a file or a directory, and what makes it durable.
pub(super) const WRITES: Kinds = Kinds(&[
    kind("fsync", libc::SYS_fsync, FileOf::Descriptor),
    kind("fdatasync", libc::SYS_fdatasync, FileOf::Descriptor),
    kind("write", libc::SYS_write, FileOf::Descriptor),
    kind("pwrite64", libc::SYS_pwrite64, FileOf::Descriptor),
    kind("ftruncate", libc::SYS_ftruncate, FileOf::Descriptor),
    kind("fallocate", libc::SYS_fallocate, FileOf::Descriptor),
    kind("openat", libc::SYS_openat, FileOf::MadeIn),
    kind("mkdir", libc::SYS_mkdir, FileOf::Path),
    kind("mkdirat", libc::SYS_mkdirat, FileOf::PathIn),
    kind("rename", libc::SYS_rename, FileOf::Path),
    kind("renameat", libc::SYS_renameat, FileOf::PathIn),
    kind("renameat2", libc::SYS_renameat2, FileOf::PathIn),
    kind("unlink", libc::SYS_unlink, FileOf::Path),
    kind("unlinkat", libc::SYS_unlinkat, FileOf::PathIn),
]);

const fn kind(name: &'static str, number: i64, file: FileOf) -> Kind {
    Kind { name, number, file }
}

impl Kinds {
    pub(super) fn find(self, number: i64) -> Option<&'static Kind> {
        self.0.iter().find(|kind| kind.number == number)
    }

    pub(super) fn has(self, kind: &Kind) -> bool {
        self.find(kind.number).is_some()
    }
}

/// The file that a call is about which begins now; none if it could not be told.
pub(super) fn file_of(pid: Pid, kind: &Kind) -> Result<Option<PathBuf>, Errno> {
    let [first, second, third, _] = registers::arguments(pid)?;
    let open = |descriptor: u64| open_at(pid, descriptor);
    let made = i32::try_from(third & 0xffff_ffff).unwrap_or(0) & libc::O_CREAT != 0;
    Ok(match kind.file {
        FileOf::Descriptor => open(first),
        FileOf::Path => Some(text_at(pid, first)?),
        FileOf::MadeIn if !made => None,
        FileOf::PathIn | FileOf::MadeIn => {
            let path = text_at(pid, second)?;
            if path.is_absolute() {
                Some(path)
            } else {
                open(first).map(|directory| directory.join(path))
            }
        }
    })
}

/// What such a call does if it ends well.
pub(super) fn effect_of(pid: Pid, kind: &Kind, file: &Path) -> Result<Option<Effect>, Errno> {
    let file = file.to_owned();
    let [_, second, third, fourth] = registers::arguments(pid)?;
    Ok(match kind.name {
        "fsync" | "fdatasync" => Some(Effect::Synced(file)),
        "pwrite64" if fourth == 0 => Some(Effect::WroteFront(file)),
        "write" | "pwrite64" | "ftruncate" | "fallocate" => Some(Effect::Wrote(file)),
        "mkdir" | "mkdirat" => Some(Effect::Made(file)),
        "rename" => Some(Effect::Renamed {
            from: file,
            to: text_at(pid, second)?,
        }),
        "renameat" | "renameat2" => {
            let path = text_at(pid, fourth)?;
            let to = match path.is_absolute() {
                true => Some(path),
                false => open_at(pid, third).map(|directory| directory.join(path)),
            };
            to.map(|to| Effect::Renamed { from: file, to })
        }
        _ => None,
    })
}

/// What a thread has open under a number.
fn open_at(pid: Pid, descriptor: u64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()
}

/// A path in the memory of a stopped thread.
fn text_at(pid: Pid, address: u64) -> Result<PathBuf, Errno> {
    let mut bytes = Vec::new();
    let mut at = address;
    while bytes.len() < 4096 {
        let word = ptrace::read(pid, at as ptrace::AddressType)?.to_ne_bytes();
        let part = word.split(|byte| *byte == 0).next().unwrap_or_default();
        bytes.extend_from_slice(part);
        if part.len() < word.len() {
            break;
        }
        at += word.len() as u64;
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()))
}

pub(super) use registers::{has_succeeded, number_of, refuse, skip};

/// Where this processor has a call's number, arguments and result.
#[cfg(target_arch = "x86_64")]
mod registers {
    use nix::{errno::Errno, sys::ptrace, unistd::Pid};

    /// The number of the call that begins.
    pub(in crate::process) fn number_of(pid: Pid) -> Result<i64, Errno> {
        Ok(ptrace::getregs(pid)?.orig_rax.cast_signed())
    }

    pub(super) fn arguments(pid: Pid) -> Result<[u64; 4], Errno> {
        let registers = ptrace::getregs(pid)?;
        Ok([registers.rdi, registers.rsi, registers.rdx, registers.r10])
    }

    /// Whether the call that ends did what it was to do.
    pub(in crate::process) fn has_succeeded(pid: Pid) -> Result<bool, Errno> {
        Ok(ptrace::getregs(pid)?.rax.cast_signed() >= 0)
    }

    /// Has the call that begins do nothing.
    pub(in crate::process) fn skip(pid: Pid) -> Result<(), Errno> {
        let mut registers = ptrace::getregs(pid)?;
        registers.orig_rax = u64::MAX;
        ptrace::setregs(pid, registers)
    }

    /// Has the call that ends return an error.
    pub(in crate::process) fn refuse(pid: Pid, errno: Errno) -> Result<(), Errno> {
        let mut registers = ptrace::getregs(pid)?;
        registers.rax = (-i64::from(errno as i32)).cast_unsigned();
        ptrace::setregs(pid, registers)
    }
}

/// Not known for this processor: every part that strikes at calls says so.
#[cfg(not(target_arch = "x86_64"))]
mod registers {
    use nix::{errno::Errno, unistd::Pid};

    pub(in crate::process) fn number_of(_: Pid) -> Result<i64, Errno> {
        Err(Errno::ENOTSUP)
    }

    pub(super) fn arguments(_: Pid) -> Result<[u64; 4], Errno> {
        Err(Errno::ENOTSUP)
    }

    pub(in crate::process) fn has_succeeded(_: Pid) -> Result<bool, Errno> {
        Err(Errno::ENOTSUP)
    }

    pub(in crate::process) fn skip(_: Pid) -> Result<(), Errno> {
        Err(Errno::ENOTSUP)
    }

    pub(in crate::process) fn refuse(_: Pid, _: Errno) -> Result<(), Errno> {
        Err(Errno::ENOTSUP)
    }
}
