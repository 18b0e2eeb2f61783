//! Suggestions for refused requests. Only requests that were tried and would succeed are suggested.

/// Maximum number of suggestions for one refusal.
const MAX_SUGGESTIONS: usize = 2;

/// A request that might succeed instead of the refused one.
pub(super) struct Candidate<R> {
    /// The command-line arguments that differ from the refused request.
    pub(super) arguments: String,
    pub(super) request: R,
}

impl<R> Candidate<R> {
    pub(super) fn new(arguments: impl Into<String>, request: R) -> Self {
        Self { arguments: arguments.into(), request }
    }
}

/// Arguments of the first candidates that work, at most [`MAX_SUGGESTIONS`] of them.
pub(super) fn working<R>(
    candidates: impl IntoIterator<Item = Candidate<R>>,
    works: impl Fn(&R) -> bool,
) -> Vec<String> {
    let mut suggestions: Vec<String> = Vec::new();
    for candidate in candidates {
        if suggestions.len() < MAX_SUGGESTIONS
            && !suggestions.contains(&candidate.arguments)
            && works(&candidate.request)
        {
            suggestions.push(candidate.arguments);
        }
    }
    suggestions
}
