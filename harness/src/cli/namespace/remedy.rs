//! What would be done instead of what is refused. No value is named that was not tried.

/// How many are named.
const NAMED: usize = 2;

/// Another request.
pub(super) struct Tried<R> {
    /// How it differs, as arguments.
    pub(super) arguments: String,
    pub(super) request: R,
}

impl<R> Tried<R> {
    pub(super) fn new(arguments: impl Into<String>, request: R) -> Self {
        Self { arguments: arguments.into(), request }
    }
}

/// The first of some requests that work, as arguments.
pub(super) fn tried<R>(requests: impl IntoIterator<Item = Tried<R>>, works: impl Fn(&R) -> bool) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for one in requests {
        if named.len() < NAMED && !named.contains(&one.arguments) && works(&one.request) {
            named.push(one.arguments);
        }
    }
    named
}
