//! Where in the code a goroutine stood: one frame of its stack that its author would point at.

use serde::Serialize;

/// Packages of Go's standard library, by the first element of their paths.
const STANDARD: [&str; 50] = [
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// Packages in which every wait ends: frames there say nothing that the state does not say.
const MACHINERY: [&str; 5] = ["runtime", "internal", "sync", "syscall", "time"];

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Frame {
    /// With the path of its package.
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: i64,
}

/// Of the frames of a stack, innermost first, the innermost one of the program itself; without any, the innermost one that
/// is not of the runtime or what is built right on it; else the innermost of all.
pub(super) fn telling(frames: &[Frame]) -> Option<&Frame> {
    let own = frames.iter().find(|frame| frame.is_of_program());
    let library = || frames.iter().find(|frame| !MACHINERY.contains(&frame.first_element()));
    own.or_else(library).or_else(|| frames.first())
}

impl Frame {
    /// Whether it is neither of the standard library nor of a module that the program depends on. Files of the latter have
    /// the version in their path (`module@v1.2.3`), or lie in `vendor`.
    fn is_of_program(&self) -> bool {
        let is_dependency = self.file.contains("@v") || self.file.contains("/vendor/") || self.file.starts_with('<');
        !is_dependency && !STANDARD.contains(&self.first_element())
    }

    /// The first element of the path of the package: `database` of `database/sql.(*DB).conn`, `main` of `main.run`.
    fn first_element(&self) -> &str {
        let path = self.function.split('/').next().unwrap_or_default();
        match path.len() == self.function.len() {
            true => path.split('.').next().unwrap_or_default(),
            false => path,
        }
    }

    /// `stock.(*Inventory).Reserve inventory.go:41`.
    pub(super) fn shown(&self) -> String {
        let file = self.file.rsplit('/').next().unwrap_or_default();
        format!("{} {file}:{}", short_name(&self.function), self.line)
    }
}

/// The name of a function with the last element of its package's path only.
pub(super) fn short_name(function: &str) -> &str {
    let path_end = function.find('[').unwrap_or(function.len());
    let start = function[..path_end].rfind('/').map_or(0, |slash| slash + 1);
    &function[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        Frame {
            function: function.into(),
            file: file.into(),
            line: 41,
        }
    }

    fn told(frames: &[(&str, &str)]) -> String {
        let frames: Vec<Frame> = frames.iter().map(|(function, file)| frame(function, file)).collect();
        telling(&frames).map(Frame::shown).unwrap_or_default()
    }

    #[test]
    fn the_innermost_frame_of_the_program_is_told() {
        let stack = [
            ("sync.(*Mutex).Lock", "sync/mutex.go"),
            (
                "github.com/jackc/pgx/v5.(*Conn).Query",
                "/home/me/go/pkg/mod/github.com/jackc/pgx/v5@v5.12.0/conn.go",
            ),
            (
                "example.com/shop/stock.(*Inventory).Reserve",
                "example.com/shop/stock/inventory.go",
            ),
            ("main.main", "/src/shop/main.go"),
        ];
        assert_eq!(told(&stack), "stock.(*Inventory).Reserve inventory.go:41");
        assert_eq!(told(&stack[3..]), "main.main main.go:41");
        let short_module = [("shop/web.serve", "/src/shop/web/serve.go")];
        assert_eq!(told(&short_module), "web.serve serve.go:41");
    }

    #[test]
    fn a_library_is_told_where_the_program_is_not() {
        let stack = [
            ("runtime.selectgo", "/usr/local/go/src/runtime/select.go"),
            ("internal/poll.(*FD).Read", "/usr/local/go/src/internal/poll/fd_unix.go"),
            ("database/sql.(*DB).conn", "/usr/local/go/src/database/sql/sql.go"),
        ];
        assert_eq!(told(&stack), "sql.(*DB).conn sql.go:41");
        assert_eq!(told(&stack[..2]), "runtime.selectgo select.go:41");
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn slashes_in_type_arguments_end_no_path() {
        let generic = frame("example.com/shop/pool.(*Pool[example.com/shop/db.Conn]).Get", "pool.go");
        assert_eq!(generic.shown(), "pool.(*Pool[example.com/shop/db.Conn]).Get pool.go:41");
    }
}
