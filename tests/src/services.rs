//! The real service of `tests/services/shop`, its load generator and its databases.

use std::env;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Background};
use crate::repository;

const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const BUILD_LIMIT: Duration = Duration::from_secs(600);
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Whether Go and the databases are here; the latter are installed if need be. Where they cannot be had, this is said
/// on the terminal, past the test harness. In continuous integration it is a failure.
///
/// # Panics
/// Something is missing, and the environment variable `CI` is set.
pub fn available() -> bool {
    let Err(missing) = go().and_then(|()| databases()) else {
        return true;
    };
    assert!(env::var_os("CI").is_none(), "{missing}");
    // A terminal that is gone needs no message.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED, the real service cannot run here: {missing}"
    );
    false
}

fn go() -> Result<(), String> {
    let asked = Command::new("go").arg("version").output();
    asked.map(drop).map_err(|error| format!("go is missing: {error}"))
}

fn databases() -> Result<(), String> {
    let ended = process::run(services_script().arg("install"), INSTALL_LIMIT);
    if ended.code == Some(0) {
        Ok(())
    } else {
        Err(ended.stderr)
    }
}

fn services_script() -> Command {
    Command::new(repository::root().join("scripts/services/services.sh"))
}

/// A loopback port that was free a moment ago, for a program whose address others must know before it starts.
///
/// # Panics
/// There is none.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address")
}

/// PostgreSQL and Redis on free ports. Stopped when dropped.
#[derive(Debug)]
pub struct Databases {
    dir: PathBuf,
    /// Where they are, as environment variables for shop.
    environment: Vec<(String, String)>,
}

impl Databases {
    /// Starts both with their files in `dir`, which is new.
    ///
    /// # Panics
    /// One does not start.
    pub fn start(dir: &Path) -> Self {
        // Where tests run as root, PostgreSQL runs as another user, who must pass through the directory above.
        let parent = dir.parent().expect("the directory is below one of the test");
        let passable = fs::set_permissions(parent, fs::Permissions::from_mode(0o711));
        passable.unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
        let mut databases = Self {
            dir: dir.to_owned(),
            environment: Vec::new(),
        };
        let lines = process::run(services_script().arg("start").arg(dir), START_LIMIT).success();
        let variables = lines.lines().filter_map(|line| line.split_once('='));
        databases
            .environment
            .extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        databases
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        let ended = process::run(services_script().arg("stop").arg(&self.dir), STOP_LIMIT);
        if ended.code != Some(0) {
            eprintln!(
                "the databases in {} may still run: {}",
                self.dir.display(),
                ended.stderr
            );
        }
    }
}

/// The programs of the Go module, built.
#[derive(Debug)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Builds shop and load into `dir`.
    ///
    /// # Panics
    /// They do not compile.
    pub fn build(dir: &Path) -> Self {
        let mut go = Command::new("go");
        go.current_dir(repository::root().join("tests/services/shop"))
            .env("CGO_ENABLED", "0");
        // The slash makes it a directory.
        go.args([
            "build",
            "-trimpath",
            "-o",
            &format!("{}/", dir.display()),
            "./cmd/shop",
            "./cmd/load",
        ]);
        process::run(&mut go, BUILD_LIMIT).success();
        Self { dir: dir.to_owned() }
    }

    /// Starts an instance of shop that sends its telemetry to `otlp` and serves `/debug/pprof` at `debug`, and returns
    /// when it answers. `environment` is put on top of what it always gets.
    ///
    /// # Panics
    /// It does not come up; the message holds its log.
    pub fn start_shop(
        &self,
        instance: &str,
        databases: &Databases,
        otlp: SocketAddr,
        debug: SocketAddr,
        environment: &[(&str, &str)],
    ) -> Shop {
        let mut command = Command::new(self.dir.join("shop"));
        command
            .args(["-listen", "127.0.0.1:0", "-debug", &debug.to_string()])
            .envs(databases.environment.iter().map(|(name, value)| (name, value)))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{otlp}"))
            .env("OTEL_SERVICE_NAME", "shop")
            .env("OTEL_RESOURCE_ATTRIBUTES", format!("service.instance.id={instance}"))
            .envs(environment.iter().copied());
        let mut process = Background::start(instance, &mut command, &self.dir.join(format!("{instance}.log")));
        let http = process.wait_for("its address", START_LIMIT, |log| {
            let addresses = log.lines().find_map(|line| line.strip_prefix("shop ready http="))?;
            addresses.split(' ').next()?.parse().ok()
        });
        Shop { process, http }
    }

    /// Starts to send the whole schedule of requests, or only the ordinary ones, stretched over `seconds`.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start_load(&self, name: &str, target: &Shop, seconds: u64, options: &[&str]) -> Background {
        let mut command = Command::new(self.dir.join("load"));
        command.args([
            "-target",
            &format!("http://{}", target.http),
            "-duration",
            &format!("{seconds}s"),
        ]);
        Background::start(name, command.args(options), &self.dir.join(format!("{name}.log")))
    }
}

/// A running instance of shop. Killed when dropped.
#[derive(Debug)]
pub struct Shop {
    process: Background,
    /// Where it takes requests.
    pub http: SocketAddr,
}

impl Shop {
    /// Stops it with SIGTERM, and returns its log; it sends the rest of its telemetry first.
    ///
    /// # Panics
    /// It does not end in time, or not with success; the message holds its log.
    pub fn stop(mut self) -> String {
        let status = self.process.terminate(STOP_LIMIT);
        assert!(status.success(), "shop ended with {status}\n{}", self.process.log());
        self.process.log()
    }
}
