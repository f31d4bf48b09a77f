//! Whether two scopes meet, tried path by path: nothing of the Runtime's own algebra (I6).

use worker_runtime_core::{Permission, ScopeRule};

/// Whether there is a path that both may write, tried one by one.
pub(super) fn may_both_write(a: &[ScopeRule], b: &[ScopeRule]) -> bool {
    let paths: Vec<&str> = a.iter().chain(b).map(|rule| rule.path.as_str()).collect();
    let near = paths.iter().flat_map(|path| {
        let child = format!("{path}/~");
        let deeper = format!("{path}/~/~");
        [(*path).to_owned(), child, deeper]
    });
    let may_write = |rules: &[ScopeRule], path: &str| {
        rules.iter().any(|rule| {
            let below = path.strip_prefix(rule.path.as_str());
            let below = below.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let is_covered =
                below.is_some_and(|rest| rule.recursive || rest.matches('/').count() < 2);
            rule.permission == Permission::Write && is_covered
        })
    };
    let mut near = near;
    near.any(|path| may_write(a, &path) && may_write(b, &path))
}
