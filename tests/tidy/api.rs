//! The public interface, read from the sources: the items that `lib.rs` exports, one line each, sorted.
//!
//! It has everything that users see, except trait implementations that a macro generates.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::LazyLock;

use syn::spanned::Spanned;
use syn::{Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

use super::source::{of_tests, top};

/// Returns the lines of the interface.
pub fn dump() -> &'static str {
    static DUMP: LazyLock<String> = LazyLock::new(read);
    &DUMP
}

fn read() -> String {
    let mut api = Api { lines: BTreeSet::new() };
    let root = Module::read("");
    for (path, name) in root.exports() {
        api.add("hoga", &root, &path, &name);
    }
    for module in root.items.iter().filter_map(public_module) {
        let inside = match &module.content {
            Some((_, items)) => Module { folder: String::new(), file: PathBuf::new(), items: items.clone().into() },
            None => Module::read(&module.ident.to_string()),
        };
        let path = format!("hoga::{}", module.ident);
        api.lines.insert(format!("mod {path}"));
        for (from, name) in inside.exports() {
            api.add(&path, &inside, &from, &name);
        }
    }
    api.lines.into_iter().map(|line| line + "\n").collect()
}

/// Returns the file of a module.
fn file_of(folder: &str) -> Option<PathBuf> {
    let files = if folder.is_empty() {
        vec!["src/lib.rs".to_owned()]
    } else {
        vec![format!("src/{folder}/mod.rs"), format!("src/{folder}.rs")]
    };
    files.iter().map(|file| top().join(file)).find(|file| file.is_file())
}

/// Returns the item as a module if users see it: public, and not behind the feature that opens the rooms.
fn public_module(item: &Item) -> Option<&syn::ItemMod> {
    let Item::Mod(module) = item else { return None };
    (is_public(&module.vis) && !is_hidden(&module.attrs)).then_some(module)
}

struct Api {
    lines: BTreeSet<String>,
}

/// A module with the items of its file, including those that the list of nouns generates.
struct Module {
    /// Path below `src`: empty for the crate, `plan` or `plan/target` for others.
    folder: String,
    /// The module's file.
    file: PathBuf,
    items: Rc<[Item]>,
}

impl Module {
    fn read(folder: &str) -> Self {
        let file = file_of(folder).unwrap_or_else(|| panic!("no file has the module `{folder}`"));
        Self { folder: folder.to_owned(), items: items(&file), file }
    }

    /// Returns the public names, each with the path of its module: empty for the module's own items.
    fn exports(&self) -> Vec<(Vec<String>, String)> {
        let mut names = Vec::new();
        for item in self.items.iter() {
            match item {
                Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    branches(Vec::new(), &item.tree, &mut names);
                }
                item => names.extend(public_name(item).map(|name| (Vec::new(), name))),
            }
        }
        names
    }

    /// Returns the module at `path`, relative to this module.
    fn at(&self, path: &[String]) -> Option<Self> {
        let (first, rest) = path.split_first()?;
        let from_root = first == "crate" || self.folder.is_empty();
        let rest = if first == "crate" { rest } else { path };
        let folder = rest.join("/");
        let folder = if from_root { folder } else { format!("{}/{folder}", self.folder) };
        file_of(&folder).map(|_| Self::read(&folder))
    }

    /// Returns the module that defines `name`, which this module defines or re-exports. `None` if another crate does.
    fn definer(self, name: &str) -> Option<Self> {
        if self.items.iter().any(|item| public_name(item).as_deref() == Some(name)) {
            return Some(self);
        }
        let exports = self.exports();
        let globs = exports.iter().filter(|(_, exported)| exported == "*");
        let named = exports.iter().find(|(_, exported)| exported == name);
        named.into_iter().chain(globs).find_map(|(path, _)| self.at(path)?.definer(name))
    }

    /// Returns the modules of the room that this module belongs to.
    fn room(&self) -> Vec<Self> {
        let room = self.folder.split('/').next().unwrap_or_default().to_owned();
        let mut files = Vec::new();
        super::source::rust_files(&top().join("src").join(&room), &mut files);
        let read = |file: PathBuf| Self { folder: room.clone(), items: items(&file), file };
        files.into_iter().map(read).collect()
    }
}

impl Api {
    /// Adds the item that `module` exports as `name` from the module `from`, under `path`.
    fn add(&mut self, path: &str, module: &Module, from: &[String], name: &str) {
        let full = format!("{path}::{name}");
        if from == ["crate"] {
            self.lines.insert(format!("use {full}"));
            return;
        }
        let itself =
            || Module { folder: module.folder.clone(), file: module.file.clone(), items: module.items.clone() };
        let start = if from.is_empty() { Some(itself()) } else { module.at(from) };
        let Some(definer) = start.and_then(|module| module.definer(name)) else {
            self.lines.insert(format!("use {full} = {}::{name}", from.join("::")));
            return;
        };
        let item = definer.items.iter().find(|item| public_name(item).as_deref() == Some(name));
        self.item(&full, item.expect("its module defines it"));
        for file in definer.room() {
            let other = |item| public_name(item).as_deref() == Some(name);
            if file.file == definer.file || !file.items.iter().any(other) {
                self.implementations(&full, name, &file.items);
            }
        }
    }

    fn item(&mut self, path: &str, item: &Item) {
        match item {
            Item::Struct(item) => {
                self.of_type("struct", path, &item.attrs, &item.generics);
                for (number, field) in item.fields.iter().enumerate().filter(|(_, field)| is_public(&field.vis)) {
                    let name = field.ident.as_ref().map_or(number.to_string(), ToString::to_string);
                    self.line(format!("field {path}::{name}: {}", text(&field.ty)));
                }
            }
            Item::Enum(item) => {
                self.of_type("enum", path, &item.attrs, &item.generics);
                for variant in &item.variants {
                    self.line(format!("variant {path}::{}{}", variant.ident, fields(&variant.fields)));
                }
            }
            Item::Trait(item) => {
                let bounds: Vec<_> = item.supertraits.iter().map(text).collect();
                let bounds = if bounds.is_empty() { String::new() } else { format!(": {}", bounds.join(" + ")) };
                self.line(format!("trait {path}{}{bounds}", text(&item.generics)));
                item.items.iter().for_each(|item| self.of_trait(path, item));
            }
            Item::Type(item) => self.line(format!("type {path}{} = {}", text(&item.generics), text(&item.ty))),
            Item::Const(item) => self.line(format!("const {path}: {}", text(&item.ty))),
            Item::Fn(item) => self.line(format!("fn {path} = {}", text(&item.sig))),
            _ => unreachable!("it has a public name"),
        }
    }

    fn of_type(&mut self, kind: &str, path: &str, attributes: &[syn::Attribute], generics: &syn::Generics) {
        let grows = attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
        let grows = if grows { " #[non_exhaustive]" } else { "" };
        self.line(format!("{kind} {path}{}{grows}", text(generics)));
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let derive = |meta: syn::meta::ParseNestedMeta| {
                self.line(format!("impl {path}: {}", text(&meta.path)));
                Ok(())
            };
            attribute.parse_nested_meta(derive).expect("a list of traits");
        }
    }

    fn of_trait(&mut self, path: &str, item: &TraitItem) {
        match item {
            TraitItem::Fn(item) if !is_hidden(&item.attrs) => {
                self.line(format!("fn {path}::{} = {}", item.sig.ident, text(&item.sig)));
            }
            TraitItem::Const(item) => self.line(format!("const {path}::{}: {}", item.ident, text(&item.ty))),
            TraitItem::Type(item) => {
                self.line(format!("associated-type {path}::{}: {}", item.ident, text(&item.bounds)));
            }
            _ => {}
        }
    }

    /// Adds the methods, constants and trait implementations of the type `name`.
    fn implementations(&mut self, path: &str, name: &str, items: &[Item]) {
        let implementations =
            items.iter().filter_map(|item| if let Item::Impl(item) = item { Some(item) } else { None });
        for item in implementations.filter(|item| self_name(item).as_deref() == Some(name) && !of_tests(&item.attrs)) {
            if let Some((_, of, _)) = &item.trait_ {
                let of = of.segments.last().map(text).unwrap_or_default();
                self.line(format!("impl {path}: {of}"));
                continue;
            }
            for item in &item.items {
                match item {
                    ImplItem::Fn(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                        self.line(format!("fn {path}::{} = {}", item.sig.ident, text(&item.sig)));
                    }
                    ImplItem::Const(item) if is_public(&item.vis) => {
                        self.line(format!("const {path}::{}: {}", item.ident, text(&item.ty)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn line(&mut self, line: String) {
        self.lines.insert(line);
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("doc") && text(&attribute.meta).contains("hidden"))
}

/// Returns the name of a public item that is not a module.
fn public_name(item: &Item) -> Option<String> {
    let (visibility, name) = match item {
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        Item::Type(item) => (&item.vis, &item.ident),
        Item::Const(item) => (&item.vis, &item.ident),
        Item::Fn(item) => (&item.vis, &item.sig.ident),
        _ => return None,
    };
    is_public(visibility).then(|| name.to_string())
}

fn self_name(item: &syn::ItemImpl) -> Option<String> {
    let syn::Type::Path(path) = &*item.self_ty else { return None };
    path.path.segments.last().map(|segment| segment.ident.to_string())
}

fn branches(before: Vec<String>, tree: &UseTree, names: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => branches([before, vec![path.ident.to_string()]].concat(), &path.tree, names),
        UseTree::Name(name) => names.push((before, name.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| branches(before.clone(), tree, names)),
        UseTree::Glob(_) => names.push((before, "*".to_owned())),
        UseTree::Rename(rename) => panic!("`{}` is exported under another name", rename.ident),
    }
}

fn fields(fields: &Fields) -> String {
    let named = |field: &syn::Field| match &field.ident {
        Some(name) => format!("{name}: {}", text(&field.ty)),
        None => text(&field.ty),
    };
    let list = fields.iter().map(named).collect::<Vec<_>>().join(", ");
    match fields {
        Fields::Named(_) => format!(" {{ {list} }}"),
        Fields::Unnamed(_) => format!("({list})"),
        Fields::Unit => String::new(),
    }
}

/// Returns the source text of a node on one line.
fn text(node: &impl Spanned) -> String {
    let source = node.span().source_text().unwrap_or_default();
    let line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace("( ", "(").replace(", )", ")").replace("< ", "<").replace(", >", ">")
}

/// Returns the items of a file without its tests. Each file is read once.
fn items(file: &Path) -> Rc<[Item]> {
    thread_local! {
        static FILES: RefCell<HashMap<PathBuf, Rc<[Item]>>> = RefCell::default();
    }
    let read = || parse(&fs::read_to_string(file).unwrap()).into();
    FILES.with_borrow_mut(|files| files.entry(file.to_owned()).or_insert_with(read).clone())
}

/// Returns the items of a text, including those that a macro generates from the list of nouns.
fn parse(source: &str) -> Vec<Item> {
    let file = syn::parse_file(source).expect("the compiler parses it");
    let mut items: Vec<_> = file.items.into_iter().filter(|item| !of_tests(super::source::attributes(item))).collect();
    let called = source.lines().filter_map(|line| line.strip_prefix("for_each_noun! { ")?.strip_suffix("! }"));
    for name in called {
        let body = macro_body(source, name).unwrap_or_else(|| panic!("`{name}` is called where it is defined"));
        items.extend(syn::parse_file(&expand(body)).expect("it generates items").items);
    }
    items
}

/// Returns the body of a macro with one arm.
fn macro_body<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let (_, definition) = source.split_once(&format!("macro_rules! {name} {{\n"))?;
    let (_, body) = definition.split_once(" => {\n")?;
    body.split_once("\n    };\n}\n").map(|(body, _)| body)
}

/// Repeats each `$( … )*` for all nouns.
fn expand(body: &str) -> String {
    let Some((before, rest)) = body.split_once("$(") else { return body.to_owned() };
    let mut depth = 1;
    let is_end = |(_, c): &(usize, char)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    };
    let (end, _) = rest.char_indices().find(is_end).expect("parentheses come in pairs");
    let (separator, after) = rest[end + 1..].split_once('*').expect("a repetition");
    let repeated =
        nouns().into_iter().map(|(noun, lower)| rest[..end].replace("$Noun", &noun).replace("$noun", &lower));
    format!("{before}{}{}", repeated.collect::<Vec<_>>().join(separator), expand(after))
}

/// Returns the types of messages and their names in lower case, from `model/nouns.rs`.
fn nouns() -> BTreeMap<String, String> {
    let source = fs::read_to_string(top().join("src/model/nouns.rs")).unwrap();
    let (_, list) = source.split_once("[$($with)*]\n").expect("the list of nouns");
    let list = list.lines().map_while(|line| line.trim().strip_suffix(',')?.split_once(' '));
    list.map(|(noun, lower)| (noun.to_owned(), lower.to_owned())).collect()
}
