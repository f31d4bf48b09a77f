//! When an observation is over that would go on: the server ends, or its access token is good no more.

use crate::{
    server::{app::App, auth::Access},
    wire::EndReason,
};

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Over {
    Draining,
    Token,
}

impl Over {
    pub(super) const fn reason(self) -> EndReason {
        match self {
            Self::Draining => EndReason::Draining,
            Self::Token => EndReason::Token,
        }
    }
}

/// Resolves when an observation with this token is over.
pub(in crate::server) async fn over(app: &App, access: &Access) -> Over {
    let mut draining = app.0.draining.clone();
    let mut revoked = app.0.tokens.changes();
    let now = app.0.clock.now();
    let left = access.expires_at().map(|at| at.since(now));
    let expired = async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(expired);
    // It may have been revoked between the look at it and the first look at changes.
    while access.is_good(app) {
        tokio::select! {
            () = &mut expired => return Over::Token,
            ended = draining.wait_for(|draining| *draining) => {
                let _ = ended;
                return Over::Draining;
            }
            changed = revoked.changed() => {
                if changed.is_err() {
                    return Over::Draining;
                }
            }
        }
    }
    Over::Token
}
