//! Profiles: what a Worker is told to be. The resolved one is kept with the Worker, so that a
//! restart needs nobody.

use serde::{Deserialize, Serialize};

/// Which profile a creation asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProfileSelector {
    /// The one that the Runtime is configured with: the builtin `default`.
    #[default]
    RuntimeDefault,
    /// One that ships with the Runtime.
    Builtin {
        /// Its name.
        name: String,
    },
    /// One that the operator configured.
    Named {
        /// Its name.
        name: String,
    },
}

/// Where a profile came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProfileSource {
    /// It ships with the Runtime.
    Builtin,
    /// The operator configured it.
    Named,
}

/// A profile as a Worker keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResolvedProfile {
    /// Where it came from.
    pub source: ProfileSource,
    /// Its name.
    pub name: String,
    /// Its revision at that time.
    pub revision: u32,
    /// What it is for, in a line.
    pub description: String,
    /// What the Worker is told.
    pub instructions: String,
    /// The tools it brings; both builtin profiles bring none.
    pub tools: Vec<String>,
}

/// No profile has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {source_name} profile {name:?}; there are: {}", known.join(", "))]
pub struct ProfileUnknown {
    /// `builtin` or `configured`.
    pub source_name: &'static str,
    /// What was asked for.
    pub name: String,
    /// What there is, whatever its source.
    pub known: Vec<String>,
}

fn builtin(name: &str, description: &str, instructions: &str) -> ResolvedProfile {
    ResolvedProfile {
        source: ProfileSource::Builtin,
        name: name.to_owned(),
        revision: 1,
        description: description.to_owned(),
        instructions: instructions.trim_end().to_owned(),
        tools: Vec::new(),
    }
}

/// A profile by its name, and where it came from.
fn told(profile: &ResolvedProfile) -> String {
    match profile.source {
        ProfileSource::Builtin => profile.name.clone(),
        ProfileSource::Named => format!("{} (configured)", profile.name),
    }
}

/// Whether a profile of this name ships with the Runtime.
pub fn is_builtin(name: &str) -> bool {
    builtin_profiles()
        .iter()
        .any(|profile| profile.name == name)
}

/// The profiles that ship with the Runtime.
pub fn builtin_profiles() -> Vec<ResolvedProfile> {
    vec![
        builtin(
            "default",
            "takes input and answers, without tools",
            include_str!("profiles/default.md"),
        ),
        builtin(
            "companion",
            "keeps somebody company over a long time, without tools",
            include_str!("profiles/companion.md"),
        ),
    ]
}

/// Profiles that the operator configured, by name.
#[derive(Debug, Clone, Default)]
pub struct NamedProfiles(Vec<ResolvedProfile>);

impl NamedProfiles {
    /// Adds one, or replaces the one of the same name.
    pub fn set(&mut self, profile: ResolvedProfile) {
        self.0.retain(|other| other.name != profile.name);
        self.0.push(profile);
    }

    /// Finds what a selector asks for.
    ///
    /// # Errors
    /// [`ProfileUnknown`] with the names there are.
    pub fn resolve(&self, selector: &ProfileSelector) -> Result<ResolvedProfile, ProfileUnknown> {
        let builtin = builtin_profiles();
        let (from, source_name, name): (&[ResolvedProfile], _, &str) = match selector {
            ProfileSelector::RuntimeDefault => (&builtin, "builtin", "default"),
            ProfileSelector::Builtin { name } => (&builtin, "builtin", name),
            ProfileSelector::Named { name } => (&self.0, "configured", name),
        };
        from.iter()
            .find(|profile| profile.name == name)
            .cloned()
            .ok_or_else(|| ProfileUnknown {
                source_name,
                name: name.to_owned(),
                known: builtin.iter().chain(&self.0).map(told).collect(),
            })
    }
}
