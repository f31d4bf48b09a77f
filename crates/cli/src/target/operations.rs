//! Operations, read from a store or from a server, the same both ways.

use worker_runtime_core::{
    OperationId,
    operation::{OperationList, OperationsRequest},
    view::OperationView,
};

use super::{About, Server, Target, reads::PAGE_MAX};
use crate::error::CliError;

impl Target {
    /// Who changed what, from either end.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub(crate) fn operations(
        &self,
        request: &OperationsRequest,
    ) -> Result<OperationList, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.operations(request)),
            Self::Server(server) => server.operations(request),
        }
    }

    /// One operation.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn operation(&self, operation_id: OperationId) -> Result<OperationView, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.operation(operation_id)?),
            Self::Server(server) => {
                let about = About::RUNTIME.of(&["op", "show"]);
                server.ask(about, server.remote.client.operation(operation_id))
            }
        }
    }
}

impl Server {
    /// As many as were asked for, page after page.
    fn operations(&self, request: &OperationsRequest) -> Result<OperationList, CliError> {
        let about = About::RUNTIME.of(&["op", "log"]);
        let mut found = Vec::new();
        let mut after = request.after;
        loop {
            let left = request.count_max.saturating_sub(found.len());
            let page = OperationsRequest {
                after,
                count_max: left.min(PAGE_MAX),
                ..request.clone()
            };
            let mut page = self.ask(about, self.remote.client.operations(&page))?;
            page.operations.truncate(left);
            found.append(&mut page.operations);
            after = page.next;
            if after.is_none() || found.len() >= request.count_max {
                let last = found.last().map(|last| last.operation_id);
                return Ok(OperationList {
                    next: last.filter(|_| page.next.is_some()),
                    operations: found,
                    ..page
                });
            }
        }
    }
}
