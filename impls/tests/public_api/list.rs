//! The list of public items: what can be reached from the crate's root through `pub` modules and `pub use`.

use crate::cfg;
use crate::sources::{Crate, ModulePath, Named, imports, name_of};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Safety, Signature, TraitItem, Type, Visibility};

type Needs = BTreeSet<&'static str>;

/// Module and name of an item, whatever paths lead to it.
type Definition = (ModulePath, String);

/// A public path of an item, and what it needs.
type Place = (Vec<String>, Needs);

/// Every public item as a line, e.g. `fn vmem::Vmem::reserve`.
pub fn public_items(sources: &Crate) -> BTreeSet<String> {
    let mut list = List { sources, lines: BTreeSet::new(), found: BTreeMap::new() };
    list.module(&Vec::new(), &Vec::new(), &Needs::new());
    list.exported_macros();
    for (definition, mut places) in std::mem::take(&mut list.found) {
        // Members are listed under the shortest path, any other path is an alias.
        places.sort_by_key(|(path, _)| (path.len(), path.clone()));
        let (path, needs) = &places[0];
        list.definition(&definition, path, needs);
        for (alias, needs) in &places[1..] {
            list.line("use", &format!("{} = {}", alias.join("::"), path.join("::")), needs);
        }
    }
    list.lines
}

struct List<'a> {
    sources: &'a Crate,
    lines: BTreeSet<String>,
    found: BTreeMap<Definition, Vec<Place>>,
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// What an item needs, with what its surroundings need; `None` if it is absent or hidden.
fn with_attributes(needs: &Needs, attributes: &[Attribute]) -> Option<Needs> {
    let own = cfg::needs(attributes).filter(|_| !cfg::is_hidden(attributes))?;
    Some(needs.union(&own).copied().collect())
}

fn below(path: &[String], name: impl ToString) -> Vec<String> {
    path.iter().cloned().chain([name.to_string()]).collect()
}

fn kind(signature: &Signature) -> &'static str {
    if matches!(signature.safety, Safety::Unsafe(_)) { "unsafe fn" } else { "fn" }
}

impl List<'_> {
    fn line(&mut self, kind: &str, path: &str, needs: &Needs) {
        let needs: Vec<&str> = needs.iter().copied().collect();
        let needs = if needs.is_empty() { String::new() } else { format!(" [{}]", needs.join(", ")) };
        self.lines.insert(format!("{kind} {path}{needs}"));
    }

    fn member(&mut self, kind: &str, path: &[String], name: impl ToString, needs: &Needs) {
        self.line(kind, &below(path, name).join("::"), needs);
    }

    /// The public items of a module that is reached by `path`.
    fn module(&mut self, module: &ModulePath, path: &Vec<String>, needs: &Needs) {
        let sources = self.sources;
        for item in &sources.modules[module] {
            if let Item::Mod(inner) = item {
                if let Some(needs) = with_attributes(needs, &inner.attrs).filter(|_| is_public(&inner.vis)) {
                    self.member("mod", path, &inner.ident, &needs);
                    self.module(&below(module, &inner.ident), &below(path, &inner.ident), &needs);
                }
            } else if let Item::Use(item) = item {
                if let Some(needs) = with_attributes(needs, &item.attrs).filter(|_| is_public(&item.vis)) {
                    for import in imports(item) {
                        match sources.resolve(module, &import.path) {
                            Named::Module(target) if import.name == "*" => self.module(&target, path, &needs),
                            Named::Module(target) => self.module(&target, &below(path, &import.name), &needs),
                            Named::Item(target, name) => {
                                self.place((target, name), below(path, &import.name), needs.clone())
                            }
                            Named::External => self.member("use", path, &import.name, &needs),
                        }
                    }
                }
            } else if let Some((name, visibility, attributes)) = name_of(item)
                && is_public(visibility)
                && let Some(needs) = with_attributes(needs, attributes)
            {
                self.place((module.clone(), name.to_string()), below(path, name), needs);
            }
        }
    }

    fn place(&mut self, definition: Definition, path: Vec<String>, needs: Needs) {
        self.found.entry(definition).or_default().push((path, needs));
    }

    /// `#[macro_export]` puts a macro into the root.
    fn exported_macros(&mut self) {
        for item in self.sources.modules.values().flatten() {
            let Item::Macro(item) = item else { continue };
            let exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
            let needs = with_attributes(&Needs::new(), &item.attrs).filter(|_| exported);
            if let (Some(needs), Some(name)) = (needs, &item.ident) {
                self.line("macro", &format!("{name}!"), &needs);
            }
        }
    }

    /// An item and its members.
    fn definition(&mut self, (module, name): &Definition, path: &[String], needs: &Needs) {
        let sources = self.sources;
        let is_it = |item: &&Item| name_of(item).is_some_and(|(ident, ..)| ident == name);
        let item = sources.modules[module].iter().find(is_it).expect("it was found there");
        let kind = match item {
            Item::Const(_) => "const",
            Item::Enum(_) => "enum",
            Item::Fn(item) => kind(&item.sig),
            Item::Static(_) => "static",
            Item::Struct(_) => "struct",
            Item::Trait(item) if item.unsafety.is_some() => "unsafe trait",
            Item::Trait(_) => "trait",
            Item::Type(_) => "type",
            _ => "union",
        };
        self.line(kind, &path.join("::"), needs);
        match item {
            Item::Struct(item) => self.fields(&item.fields, path, needs, false),
            Item::Enum(item) => {
                for variant in &item.variants {
                    self.member("variant", path, &variant.ident, needs);
                    self.fields(&variant.fields, &below(path, &variant.ident), needs, true);
                }
            }
            Item::Trait(item) => {
                for item in &item.items {
                    self.trait_item(item, path, needs);
                }
            }
            _ => {}
        }
        for (from, items) in &sources.modules {
            for item in items {
                let Item::Impl(item) = item else { continue };
                if item.trait_.is_none() && self.is_for(item, from, module, name) {
                    self.inherent(item, path, needs);
                }
            }
        }
    }

    fn fields(&mut self, fields: &Fields, path: &[String], needs: &Needs, all: bool) {
        for (index, field) in fields.iter().enumerate() {
            if all || is_public(&field.vis) {
                let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
                self.member("field", path, name, needs);
            }
        }
    }

    fn trait_item(&mut self, item: &TraitItem, path: &[String], needs: &Needs) {
        match item {
            TraitItem::Const(item) => self.member("const", path, &item.ident, needs),
            TraitItem::Fn(item) => self.member(kind(&item.sig), path, &item.sig.ident, needs),
            TraitItem::Type(item) => self.member("type", path, &item.ident, needs),
            _ => {}
        }
    }

    fn is_for(&self, item: &ItemImpl, from: &ModulePath, module: &ModulePath, name: &str) -> bool {
        let Type::Path(target) = &*item.self_ty else { return false };
        let segments: Vec<String> = target.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.sources.resolve(from, &segments) == Named::Item(module.clone(), name.to_owned())
    }

    fn inherent(&mut self, item: &ItemImpl, path: &[String], needs: &Needs) {
        let Some(needs) = with_attributes(needs, &item.attrs) else { return };
        for item in &item.items {
            let (kind, name, visibility, attributes) = match item {
                ImplItem::Const(item) => ("const", &item.ident, &item.vis, &item.attrs),
                ImplItem::Fn(item) => (kind(&item.sig), &item.sig.ident, &item.vis, &item.attrs),
                _ => continue,
            };
            if let Some(needs) = with_attributes(&needs, attributes).filter(|_| is_public(visibility)) {
                self.member(kind, path, name, &needs);
            }
        }
    }
}
