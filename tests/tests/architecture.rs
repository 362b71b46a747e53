//! Who may know whom: the edges between workspace crates, the purity of the pure ones, one copy of each big dependency.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use spandrel_tests::repository;
use toml::{Table, Value};

/// Who may depend on whom, development dependencies included. A new edge is a change of the architecture: record its
/// reason in `docs/decisions`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("spandrel-model", &[]),
    ("gotrace", &[]),
    ("spandrel-profiles", &["spandrel-model", "gotrace"]),
    ("spandrel-viewers", &["spandrel-model", "gotrace", "spandrel-profiles"]),
    // Not gotrace: attribution must serve other runtimes' traces too.
    ("spandrel-attribution", &["spandrel-model"]),
    ("spandrel-config", &[]),
    ("spandrel-pipeline", &["spandrel-model", "spandrel-config"]),
    (
        "spandrel-processors",
        &[
            "spandrel-model",
            "spandrel-config",
            "spandrel-pipeline",
            "spandrel-profiles",
            "spandrel-attribution",
        ],
    ),
    ("spandrel-store", &["spandrel-model"]),
    // The attribution, because it knows what a sketch is.
    (
        "spandrel-query",
        &["spandrel-model", "spandrel-attribution", "spandrel-store"],
    ),
    (
        "spandrel-exporters",
        &[
            "spandrel-model",
            "spandrel-config",
            "spandrel-pipeline",
            "spandrel-store",
        ],
    ),
    (
        "spandrel",
        &[
            "spandrel-model",
            "gotrace",
            "spandrel-profiles",
            "spandrel-viewers",
            "spandrel-attribution",
            "spandrel-config",
            "spandrel-pipeline",
            "spandrel-processors",
            "spandrel-store",
            "spandrel-query",
            "spandrel-exporters",
        ],
    ),
    // The model, because the tables page is generated from it.
    ("spandrel-tests", &["spandrel-model", "spandrel"]),
    ("spandrel-bench", &["spandrel-model", "gotrace", "spandrel-profiles"]),
];

/// Crates whose tests run in seconds because no runtime, server or query engine is compiled for them.
const PURE: [&str; 5] = [
    "spandrel-model",
    "gotrace",
    "spandrel-profiles",
    "spandrel-viewers",
    "spandrel-attribution",
];

/// What a pure crate must not reach, not even through another crate.
const IMPURE: [&str; 4] = ["tokio", "tonic", "datafusion", "deltalake"];

/// Crates whose types cross our rooms: two copies of one are two incompatible types. `deny.toml` has the same list.
const SINGLE: [&str; 11] = [
    "arrow",
    "arrow-array",
    "arrow-schema",
    "datafusion",
    "deltalake",
    "deltalake-core",
    "object_store",
    "opentelemetry-proto",
    "parquet",
    "prost",
    "tonic",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn crates_depend_only_on_those_they_may_know() {
    let members = members();
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for member in &members {
        let may_know = allowed
            .get(member.name.as_str())
            .unwrap_or_else(|| panic!("{} has no row in ALLOWED", member.name));
        for dependency in member.dependencies() {
            let ours = members.iter().any(|other| other.name == dependency);
            assert!(
                !ours || may_know.contains(&dependency.as_str()),
                "{} must not depend on {dependency}: see docs/architecture.md",
                member.name
            );
        }
    }
    for (name, _) in ALLOWED {
        assert!(
            members.iter().any(|member| member.name == *name),
            "{name} is in ALLOWED and not in the workspace"
        );
    }
}

#[test]
fn allowed_edges_only_point_down_the_table() {
    let known_before: Vec<BTreeSet<&str>> = (0..ALLOWED.len())
        .map(|row| ALLOWED[..row].iter().map(|(name, _)| *name).collect())
        .collect();
    for ((name, may_know), above) in ALLOWED.iter().zip(known_before) {
        for other in *may_know {
            assert!(
                above.contains(other),
                "{other} must stand above {name}: else a cycle is possible"
            );
        }
    }
}

#[test]
fn pure_crates_reach_no_runtime_server_or_query_engine() {
    let lock = Lock::read();
    for name in PURE {
        let reached = lock.closure_of(name);
        for impure in IMPURE {
            assert!(!reached.contains(impure), "{name} reaches {impure}");
        }
    }
    let binary = lock.closure_of("spandrel");
    assert!(
        IMPURE.iter().all(|impure| binary.contains(*impure)),
        "IMPURE names crates that nothing uses"
    );
}

#[test]
fn big_dependencies_are_locked_once() {
    let lock = Lock::read();
    for name in SINGLE {
        let versions: Vec<_> = lock
            .packages
            .iter()
            .filter(|package| package.name == name)
            .map(|package| &package.version)
            .collect();
        assert_eq!(versions.len(), 1, "{name} is locked in {versions:?}");
    }
}

#[test]
fn dependencies_come_from_the_public_registry() {
    for package in Lock::read().packages {
        if let Some(source) = package.source {
            assert_eq!(source, REGISTRY, "source of {} in Cargo.lock", package.name);
        }
    }
}

#[test]
fn every_crate_inherits_the_workspace_lints_and_says_what_it_is() {
    for member in members() {
        let lints = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints, Some(&Value::Boolean(true)), "{}: lints.workspace", member.name);
        let description = member.manifest["package"].get("description").and_then(Value::as_str);
        assert!(
            description.is_some_and(|text| !text.is_empty()),
            "{}: package.description",
            member.name
        );
        let library = repository::read(&member.folder.join("src/lib.rs"));
        assert!(
            library.starts_with("//! "),
            "{}/src/lib.rs must begin with its documentation",
            member.folder.display()
        );
    }
}

#[test]
fn architecture_page_names_every_crate_and_no_other() {
    let page = repository::read(Path::new("docs/architecture.md"));
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let members = members();
    for member in &members {
        assert!(
            named.contains(member.name.as_str()),
            "docs/architecture.md does not name `{}`",
            member.name
        );
    }
    for word in named.into_iter().filter(|word| is_crate_name(word)) {
        assert!(
            members.iter().any(|member| member.name == word),
            "docs/architecture.md names `{word}`, which is no crate"
        );
    }
}

fn is_crate_name(word: &str) -> bool {
    word.strip_prefix("spandrel-")
        .is_some_and(|rest| rest != "data" && rest.chars().all(|c| c.is_ascii_lowercase()))
}

struct Member {
    name: String,
    folder: PathBuf,
    manifest: Table,
}

impl Member {
    /// Names of all dependencies: normal, build and development, those for one platform included.
    fn dependencies(&self) -> BTreeSet<String> {
        let platforms = self.manifest.get("target").and_then(Value::as_table);
        let platforms = platforms
            .into_iter()
            .flat_map(|targets| targets.values())
            .filter_map(Value::as_table);
        std::iter::once(&self.manifest)
            .chain(platforms)
            .flat_map(|table| ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| table.get(kind)))
            .flatten()
            .filter_map(Value::as_table)
            .flatten()
            .map(|(name, value)| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned())
            .collect()
    }
}

fn members() -> Vec<Member> {
    let workspace = parse(Path::new("Cargo.toml"));
    let folders = workspace["workspace"]["members"].as_array().expect("members is a list");
    folders
        .iter()
        .map(|folder| {
            let folder = PathBuf::from(folder.as_str().expect("a member is a path"));
            let manifest = parse(&folder.join("Cargo.toml"));
            let name = manifest["package"]["name"]
                .as_str()
                .expect("a package has a name")
                .to_owned();
            Member { name, folder, manifest }
        })
        .collect()
}

fn parse(file: &Path) -> Table {
    repository::read(file)
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

struct Package {
    name: String,
    version: String,
    source: Option<String>,
    dependencies: Vec<String>,
}

/// `Cargo.lock`: what any crate of the workspace may use, with all features that any other asks for.
struct Lock {
    packages: Vec<Package>,
}

impl Lock {
    fn read() -> Self {
        let lock = parse(Path::new("Cargo.lock"));
        let text = |value: &Value| value.as_str().expect("a lock file holds strings").to_owned();
        let packages = lock["package"].as_array().expect("package is a list").iter();
        let packages = packages
            .map(|package| Package {
                name: text(&package["name"]),
                version: text(&package["version"]),
                source: package.get("source").map(text),
                dependencies: package
                    .get("dependencies")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect(),
            })
            .collect();
        Self { packages }
    }

    /// Names of all that a package depends on, directly or not. An edge reads `name`, or `name version` where a name
    /// is locked in several versions.
    fn closure_of(&self, name: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![self.package(name)];
        let mut seen = BTreeSet::new();
        while let Some(package) = open.pop() {
            for edge in &package.dependencies {
                if seen.insert(edge) {
                    let next = self.package(edge);
                    reached.insert(next.name.clone());
                    open.push(next);
                }
            }
        }
        reached
    }

    fn package(&self, edge: &str) -> &Package {
        let mut words = edge.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        self.packages
            .iter()
            .find(|package| package.name == name && version.is_none_or(|version| package.version == version))
            .unwrap_or_else(|| panic!("{edge} is not in Cargo.lock"))
    }
}
