//! Every error that an operator can see has one code, the same on every surface, and one page
//! under `docs/errors/`. A domain error names its code; HTTP statuses and exit codes are matches
//! over it elsewhere.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $text:literal;)*) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each has a page of its own under docs/errors/")]
        pub enum Code { $($name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it is printed and sent: `WR-` and capital words.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code of this text; [`Code::Unknown`] when this version knows none.
            pub fn from_text(text: &str) -> Self {
                match text { $($text => Self::$name,)* _ => Self::Unknown }
            }

            /// Its page under `docs/errors/`, as Markdown: what happened, why, what to type next,
            /// and the exit code. Compiled in, so that it is there when nothing else is; a code
            /// without a page does not compile.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../docs/errors/", $text, ".md")),)*
                }
            }
        }
    };
}

codes! {
    WorkerUnknown = "WR-WORKER-UNKNOWN";
    WorkerAmbiguous = "WR-WORKER-AMBIGUOUS";
    WorkerExists = "WR-WORKER-EXISTS";
    WorkerDeleted = "WR-WORKER-DELETED";
    WorkerDamaged = "WR-WORKER-DAMAGED";
    WorkerChanged = "WR-WORKER-CHANGED";
    WorkerNotActive = "WR-WORKER-NOT-ACTIVE";
    WorkerNotEnded = "WR-WORKER-NOT-ENDED";
    WorkerLimit = "WR-WORKER-LIMIT";
    FieldInvalid = "WR-FIELD-INVALID";
    ObjectiveEmpty = "WR-OBJECTIVE-EMPTY";
    ProfileUnknown = "WR-PROFILE-UNKNOWN";
    BundleUnknown = "WR-BUNDLE-UNKNOWN";
    BackendUnknown = "WR-BACKEND-UNKNOWN";
    BackendConfig = "WR-BACKEND-CONFIG";
    ParentUnknown = "WR-PARENT-UNKNOWN";
    ScopeInvalid = "WR-SCOPE-INVALID";
    ScopeConflict = "WR-SCOPE-CONFLICT";
    ScopeUndelegated = "WR-SCOPE-UNDELEGATED";
    ScopeLent = "WR-SCOPE-LENT";
    ScopeInUse = "WR-SCOPE-IN-USE";
    ScopeNotHeld = "WR-SCOPE-NOT-HELD";
    ScopeDenied = "WR-SCOPE-DENIED";
    LeaseUnknown = "WR-LEASE-UNKNOWN";
    LeaseExists = "WR-LEASE-EXISTS";
    LeaseLimit = "WR-LEASE-LIMIT";
    FenceStale = "WR-FENCE-STALE";
    OperationUnknown = "WR-OPERATION-UNKNOWN";
    InputBusy = "WR-INPUT-BUSY";
    InputQueueFull = "WR-INPUT-QUEUE-FULL";
    InputTooLarge = "WR-INPUT-TOO-LARGE";
    InputEmpty = "WR-INPUT-EMPTY";
    InputIncapable = "WR-INPUT-INCAPABLE";
    InputQuota = "WR-INPUT-QUOTA";
    RunUnknown = "WR-RUN-UNKNOWN";
    RunStale = "WR-RUN-STALE";
    RunUnproven = "WR-RUN-UNPROVEN";
    RunStartFailed = "WR-RUN-START-FAILED";
    ConfinementUnavailable = "WR-CONFINEMENT-UNAVAILABLE";
    ActionUnknown = "WR-ACTION-UNKNOWN";
    ActionOption = "WR-ACTION-OPTION";
    RuntimeStopped = "WR-RUNTIME-STOPPED";
    RuntimeClosed = "WR-RUNTIME-CLOSED";
    OutcomeUnknown = "WR-OUTCOME-UNKNOWN";
    StorageFull = "WR-STORAGE-FULL";
    Bug = "WR-BUG";
    CursorMalformed = "WR-CURSOR-MALFORMED";
    CursorExpired = "WR-CURSOR-EXPIRED";
    CursorAhead = "WR-CURSOR-AHEAD";
    CursorForeign = "WR-CURSOR-FOREIGN";
    CursorForked = "WR-CURSOR-FORKED";
    EventDamaged = "WR-EVENT-DAMAGED";
    RecordDamaged = "WR-RECORD-DAMAGED";
    StateMissing = "WR-STATE-MISSING";
    StateLocked = "WR-STATE-LOCKED";
    StateDenied = "WR-STATE-DENIED";
    StateForeign = "WR-STATE-FOREIGN";
    StateNewer = "WR-STATE-NEWER";
    StateDamaged = "WR-STATE-DAMAGED";
    StateWentBack = "WR-STATE-WENT-BACK";
    CheckCopy = "WR-CHECK-COPY";
    CheckDerived = "WR-CHECK-DERIVED";
    CheckLeftover = "WR-CHECK-LEFTOVER";
    CheckHolding = "WR-CHECK-HOLDING";
    CheckStructure = "WR-CHECK-STRUCTURE";
    CheckUnfinished = "WR-CHECK-UNFINISHED";
    StateIo = "WR-STATE-IO";
    OutputIo = "WR-OUTPUT-IO";
    Usage = "WR-USAGE";
    TokenMissing = "WR-TOKEN-MISSING";
    TokenInvalid = "WR-TOKEN-INVALID";
    TokenScope = "WR-TOKEN-SCOPE";
    TokenUnknown = "WR-TOKEN-UNKNOWN";
    HostRefused = "WR-HOST-REFUSED";
    OriginRefused = "WR-ORIGIN-REFUSED";
    RouteUnknown = "WR-ROUTE-UNKNOWN";
    MethodRefused = "WR-METHOD-REFUSED";
    BodyTooLarge = "WR-BODY-TOO-LARGE";
    BodyInvalid = "WR-BODY-INVALID";
    MediaType = "WR-MEDIA-TYPE";
    UpgradeRequired = "WR-UPGRADE-REQUIRED";
    QueryInvalid = "WR-QUERY-INVALID";
    HeaderInvalid = "WR-HEADER-INVALID";
    HeadTooLarge = "WR-HEAD-TOO-LARGE";
    ServerBusy = "WR-SERVER-BUSY";
    ServerUnreachable = "WR-SERVER-UNREACHABLE";
    ServerBind = "WR-SERVER-BIND";
    ConfigInvalid = "WR-CONFIG-INVALID";
    Unknown = "WR-UNKNOWN";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_text(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests;
