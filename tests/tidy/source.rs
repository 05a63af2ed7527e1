//! Parsed Rust files for the rules: paths, functions and lines of code outside tests.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A file without its tests.
pub struct File {
    /// From the top of the repository, with forward slashes.
    pub path: String,
    tree: syn::File,
    /// Number of lines without test modules.
    lines: usize,
}

/// A path such as `crate::model::Market`.
pub struct PathUse {
    pub name: String,
    pub line: usize,
}

/// A function.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Returns the files of the library.
pub fn library() -> Vec<File> {
    read(&["src"])
}

/// Returns the files of the library and of all tools.
pub fn workspace() -> Vec<File> {
    let tools = fs::read_dir(top().join("tools")).unwrap().map(|entry| entry.unwrap().path());
    let tools: Vec<_> = tools.filter(|path| path.join("src").is_dir()).collect();
    let folders = tools.iter().map(|path| format!("tools/{}/src", path.file_name().unwrap().to_string_lossy()));
    let folders: Vec<_> = ["src".to_owned()].into_iter().chain(folders).collect();
    read(&folders.iter().map(String::as_str).collect::<Vec<_>>())
}

fn read(folders: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    for folder in folders {
        rust_files(&top().join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 100, "the source tree was not found");
    let mut files: Vec<_> = paths.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect();
    let tests: Vec<_> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    files.retain(|(path, _)| !tests.iter().any(|test| path.starts_with(test.as_str())));
    files.iter().map(|(path, text)| File::parse(path, text)).collect()
}

pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(top()).unwrap().to_string_lossy().replace('\\', "/")
}

pub fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the files and folders of the modules that `#[cfg(test)] mod name;` declares.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = match path.strip_suffix("/mod.rs").or(path.strip_suffix("/lib.rs")).or(path.strip_suffix("/main.rs")) {
        Some(folder) => folder.to_owned(),
        None => path.trim_end_matches(".rs").to_owned(),
    };
    let tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let is_test = |item: &syn::Item| matches!(item, syn::Item::Mod(module) if module.content.is_none() && of_tests(&module.attrs));
    let name = |item: &syn::Item| if let syn::Item::Mod(module) = item { Some(module.ident.to_string()) } else { None };
    tree.items
        .iter()
        .filter(|item| is_test(item))
        .filter_map(name)
        .flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")])
        .collect()
}

/// Returns whether an item is compiled only for tests.
pub fn of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        attribute.path().is_ident("cfg")
            && (condition == "test" || condition.starts_with("all (test") || condition.starts_with("all(test"))
    })
}

impl File {
    pub fn parse(path: &str, text: &str) -> Self {
        let mut tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (tests, items): (Vec<_>, Vec<_>) = tree.items.drain(..).partition(|item| of_tests(attributes(item)));
        tree.items = items;
        let tests: usize = tests.iter().map(lines_of).sum();
        Self { path: path.to_owned(), tree, lines: text.lines().count() - tests }
    }

    /// Returns the room of the library that the file belongs to.
    pub fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then_some(room)
    }

    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Returns every path in the file, including the branches of `use` trees.
    pub fn paths(&self) -> Vec<PathUse> {
        let mut paths = Paths(Vec::new());
        paths.visit_file(&self.tree);
        paths.0
    }

    /// Returns the top-level modules to which paths from `crate` or `super` lead.
    pub fn imports(&self) -> Vec<PathUse> {
        let depth = self.path.matches('/').count() - usize::from(self.path.ends_with("/mod.rs"));
        let top_level = |path: PathUse| {
            let mut parts = path.name.split("::");
            let supers = path.name.split("::").take_while(|part| *part == "super").count();
            let name = match parts.next()? {
                "crate" => parts.next()?,
                "super" if supers == depth => path.name.split("::").nth(supers)?,
                _ => return None,
            };
            Some(PathUse { name: name.to_owned(), line: path.line })
        };
        self.paths().into_iter().filter_map(top_level).collect()
    }

    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Functions(Vec::new());
        functions.visit_file(&self.tree);
        functions.0
    }
}

fn lines_of(node: &impl Spanned) -> usize {
    node.span().end().line - node.span().start().line + 1
}

pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

struct Paths(Vec<PathUse>);

impl Paths {
    fn branch(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |name: &syn::Ident| if before.is_empty() { name.to_string() } else { format!("{before}::{name}") };
        match tree {
            syn::UseTree::Path(path) => self.branch(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(join(&name.ident), name),
            syn::UseTree::Rename(rename) => self.add(join(&rename.ident), rename),
            syn::UseTree::Glob(glob) => self.add(before.to_owned(), glob),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.branch(before, tree)),
        }
    }

    fn add(&mut self, name: String, node: &impl Spanned) {
        self.0.push(PathUse { name, line: node.span().start().line });
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.branch("", &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let name = path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::");
        self.add(name, path);
        visit::visit_path(self, path);
    }
}

struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        self.0.push(Function { name: signature.ident.to_string(), line: first, lines: last - first + 1 });
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.add(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}
