//! Which layout's code runs in this thread, so that a panic can be attributed to a layout.

use std::cell::Cell;

thread_local! {
    static RUNNING: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Calls code of the layout with this id. If it panics, [`panicked`] returns the id.
pub fn of_layout<T>(id: &'static str, call: impl FnOnce() -> T) -> T {
    let caller = RUNNING.replace(Some(id));
    let result = call();
    // Not reached after a panic.
    RUNNING.set(caller);
    result
}

/// The layout in whose code this thread panicked; `None` if it was other code. Resets the thread.
pub fn panicked() -> Option<&'static str> {
    RUNNING.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_panic_is_attributed_to_the_layout_that_ran() {
        assert_eq!(of_layout("a", || of_layout("b", || 2)), 2);
        assert_eq!(panicked(), None);
        catch_unwind(|| of_layout("a", || of_layout("b", || panic!("of b")))).unwrap_err();
        assert_eq!((panicked(), panicked()), (Some("b"), None));
        catch_unwind(|| {
            of_layout("a", || of_layout("b", || 2));
            panic!("of neither")
        })
        .unwrap_err();
        assert_eq!(panicked(), None);
        let back_in_a = || {
            of_layout("a", || {
                of_layout("b", || 2);
                panic!("of a")
            })
        };
        catch_unwind(back_in_a).unwrap_err();
        assert_eq!(panicked(), Some("a"));
    }
}
