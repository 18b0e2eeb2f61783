//! Suggestions for requests that are refused. Only values that were tried successfully are
//! suggested.

/// Maximum number of suggestions.
const NAMED: usize = 2;

/// An alternative request.
pub(super) struct Tried<R> {
    /// The command-line arguments that differ.
    pub(super) arguments: String,
    pub(super) request: R,
}

impl<R> Tried<R> {
    pub(super) fn new(arguments: impl Into<String>, request: R) -> Self {
        Self { arguments: arguments.into(), request }
    }
}

/// Arguments of the first requests that work, at most [`NAMED`].
pub(super) fn tried<R>(requests: impl IntoIterator<Item = Tried<R>>, works: impl Fn(&R) -> bool) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for one in requests {
        if named.len() < NAMED && !named.contains(&one.arguments) && works(&one.request) {
            named.push(one.arguments);
        }
    }
    named
}
