//! The modules of a crate, and what a path in them names.

use crate::cfg;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Attribute, Expr, Ident, Item, ItemUse, Lit, Meta, UseTree, Visibility};

/// Path of a module from the crate's root, e.g. `["nvdimm", "label"]`.
pub type ModulePath = Vec<String>;

/// The items of every module that exists outside tests.
pub struct Crate {
    pub modules: BTreeMap<ModulePath, Vec<Item>>,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    Module(ModulePath),
    Item(ModulePath, String),
    /// An item of another crate.
    External,
}

/// One name that a `use` brings in: its path, and the name; `*` if it is a glob.
pub struct Import {
    pub path: Vec<String>,
    pub name: String,
}

impl Crate {
    pub fn load(root: &Path) -> Self {
        let mut modules = BTreeMap::new();
        load_file(root, root.parent().unwrap(), Vec::new(), &mut modules);
        Self { modules }
    }

    /// The item that a path names in a module.
    pub fn resolve(&self, module: &ModulePath, path: &[String]) -> Named {
        let (first, rest) = path.split_first().expect("a path has a segment");
        let start = match first.as_str() {
            "crate" => Named::Module(Vec::new()),
            "self" => Named::Module(module.clone()),
            "super" => Named::Module(module[..module.len() - 1].to_vec()),
            name => self.lookup(module, name),
        };
        rest.iter().fold(start, |named, name| match named {
            Named::Module(module) => self.lookup(&module, name),
            Named::Item(..) | Named::External => Named::External,
        })
    }

    /// What a name means in a module: one of its items or modules, or what it imports by that name.
    fn lookup(&self, module: &ModulePath, name: &str) -> Named {
        let child: ModulePath = module.iter().map(String::as_str).chain([name]).map(String::from).collect();
        if self.modules.contains_key(&child) {
            return Named::Module(child);
        }
        let Some(items) = self.modules.get(module) else { return Named::External };
        if items.iter().any(|item| name_of(item).is_some_and(|(ident, ..)| ident == name)) {
            return Named::Item(module.clone(), name.to_owned());
        }
        let uses = items.iter().filter_map(|item| if let Item::Use(import) = item { Some(import) } else { None });
        let imports: Vec<Import> = uses.flat_map(imports).collect();
        // A path that begins with the name that is looked up names another crate.
        let by_name = imports.iter().find(|import| import.name == name && import.path[0] != name);
        if let Some(import) = by_name {
            return self.resolve(module, &import.path);
        }
        let globs = imports.iter().filter(|import| import.name == "*" && import.path[0] != name);
        let found = globs.filter_map(|import| match self.resolve(module, &import.path) {
            Named::Module(target) if target != *module => Some(self.lookup(&target, name)),
            _ => None,
        });
        found.into_iter().find(|named| *named != Named::External).unwrap_or(Named::External)
    }
}

/// Name, visibility and attributes of an item that has a name and is no module.
pub fn name_of(item: &Item) -> Option<(&Ident, &Visibility, &[Attribute])> {
    Some(match item {
        Item::Const(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Fn(item) => (&item.sig.ident, &item.vis, &item.attrs),
        Item::Static(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Trait(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Type(item) => (&item.ident, &item.vis, &item.attrs),
        Item::Union(item) => (&item.ident, &item.vis, &item.attrs),
        _ => return None,
    })
}

/// The names that a `use` brings in.
pub fn imports(item: &ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    collect(&item.tree, &mut Vec::new(), &mut found);
    found
}

fn collect(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Import>) {
    let import = |path: &[String], last: &Ident, name: &Ident| {
        let last = Some(last.to_string()).filter(|last| last != "self");
        Import { path: path.iter().cloned().chain(last).collect(), name: name.to_string() }
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            collect(&tree.tree, path, found);
            path.pop();
        }
        UseTree::Name(tree) => found.push(import(path, &tree.ident, &tree.ident)),
        UseTree::Rename(tree) => found.push(import(path, &tree.ident, &tree.rename)),
        UseTree::Glob(_) => found.push(Import { path: path.clone(), name: "*".to_owned() }),
        UseTree::Group(tree) => tree.items.iter().for_each(|tree| collect(tree, path, found)),
    }
}

/// Reads a file and the modules below it. `folder` is where the files of its modules are.
fn load_file(file: &Path, folder: &Path, path: ModulePath, modules: &mut BTreeMap<ModulePath, Vec<Item>>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
    load_items(items, folder, path, modules);
}

fn load_items(mut items: Vec<Item>, folder: &Path, path: ModulePath, modules: &mut BTreeMap<ModulePath, Vec<Item>>) {
    for item in &mut items {
        let Item::Mod(module) = item else { continue };
        if cfg::needs(&module.attrs).is_none() {
            continue;
        }
        let name = module.ident.to_string();
        let below = path.iter().chain([&name]).cloned().collect();
        if let Some((_, items)) = module.content.take() {
            load_items(items, &folder.join(&name), below, modules);
        } else {
            let file = attribute_path(&module.attrs)
                .map(|relative| folder.parent().unwrap().join(relative))
                .into_iter()
                .chain([folder.join(&name).with_extension("rs"), folder.join(&name).join("mod.rs")])
                .find(|file| file.is_file())
                .unwrap_or_else(|| panic!("no file for module {name} in {}", folder.display()));
            load_file(&file, &folder.join(&name), below, modules);
        }
    }
    modules.insert(path, items);
}

/// The file that a `#[path]` attribute names, relative to the folder of the file that has it.
fn attribute_path(attributes: &[Attribute]) -> Option<PathBuf> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(path) => Some(path.value().into()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}
