//! `#[cfg]` attributes of items.

use std::collections::BTreeSet;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Lit, Meta, Token};

/// Options that hold where the list is made: all features on x86-64. Every other option, such as `test`, does not hold.
const OPTIONS: [&str; 3] = ["conformance", "nvdimm", "x86_64"];

/// The [`OPTIONS`] without which an item is absent; `None` if it is absent even with all of them.
pub fn needs(attributes: &[Attribute]) -> Option<BTreeSet<&'static str>> {
    let all: Vec<Meta> =
        attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).flat_map(nested).collect();
    let holds = |without: &str| all.iter().all(|predicate| evaluate(predicate, without));
    holds("").then(|| OPTIONS.into_iter().filter(|option| !holds(option)).collect())
}

/// True for `#[doc(hidden)]`.
pub fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("doc") && list.tokens.to_string() == "hidden")
    })
}

fn nested(attribute: &Attribute) -> Punctuated<Meta, Token![,]> {
    attribute.parse_args_with(Punctuated::parse_terminated).unwrap()
}

/// Value of a predicate with all [`OPTIONS`] except `without`.
fn evaluate(predicate: &Meta, without: &str) -> bool {
    match predicate {
        Meta::Path(_) => false,
        Meta::NameValue(option) => {
            let Expr::Lit(value) = &option.value else { return false };
            matches!(&value.lit, Lit::Str(name) if OPTIONS.contains(&&*name.value()) && name.value() != without)
        }
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap();
            let mut values = parts.iter().map(|part| evaluate(part, without));
            match () {
                () if list.path.is_ident("all") => values.all(|value| value),
                () if list.path.is_ident("any") => values.any(|value| value),
                () => !values.next().unwrap(),
            }
        }
    }
}
