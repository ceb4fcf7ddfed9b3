/// A setting that cannot be used. The text names it, what is wrong with its value, and what to give instead; it repeats no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}; {remedy}")]
pub struct Error {
    /// Which one, as its user calls it.
    pub setting: String,
    /// What is wrong with its value.
    pub problem: String,
    /// What to give instead.
    pub remedy: String,
}

impl Error {
    pub(crate) fn setting(setting: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error {
            setting: setting.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}
