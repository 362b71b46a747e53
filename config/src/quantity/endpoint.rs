//! Network addresses to listen on and to call.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{InvalidQuantity, mismatch};

const EXPECTED_HOST_PORT: &str = "an address such as `localhost:4317`";
const EXPECTED_ENDPOINT: &str = "an endpoint such as `localhost:4317` or `https://host:4318`";

/// A host and a port, as a server listens on: `localhost:4317`, `0.0.0.0:4317`, `[::1]:4317`.
///
/// `:4317` means all interfaces, `0.0.0.0:4317`. `Display` prints what a socket can bind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    // Invariant: a name or IPv4 address of valid characters, or an IPv6 address without brackets.
    host: String,
    port: u16,
}

impl HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 lets the system choose.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let why = |why| mismatch(EXPECTED_HOST_PORT, text, why);
        if text.contains("://") {
            return Err(why("no scheme is wanted here"));
        }
        let authority = text
            .strip_prefix(':')
            .map_or_else(|| text.to_owned(), |port| format!("0.0.0.0:{port}"));
        match authority_parts(&authority).map_err(why)? {
            (host, Some(port)) => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            (_, None) => Err(why("the port is missing")),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(&self.host, f)?;
        write!(f, ":{}", self.port)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::deserialize(deserializer, EXPECTED_HOST_PORT, |_| None)
    }
}

/// How to talk to an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Something to call: `host:4317`, `http://host`, `https://host:4318/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    scheme: Option<Scheme>,
    host: String,
    port: Option<u16>,
    path: String,
}

impl Endpoint {
    /// The scheme, if one is written.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written. Always there without a scheme.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What follows the host and port, from its `/` on, query included; empty if nothing does.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Endpoint {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let why = |why| mismatch(EXPECTED_ENDPOINT, text, why);
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some(_) => return Err(why("the scheme must be http or https")),
            None => (None, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority_parts(authority).map_err(why)?;
        if scheme.is_none() && port.is_none() {
            return Err(why("the port is missing"));
        }
        if scheme.is_none() && !path.is_empty() {
            return Err(why("a path needs a scheme before the host"));
        }
        if path
            .chars()
            .any(|character| character.is_whitespace() || character.is_control())
        {
            return Err(why("the path holds blanks"));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }
}

/// Prints the endpoint as written, with the scheme in lowercase.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        write_host(&self.host, f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::deserialize(deserializer, EXPECTED_ENDPOINT, |_| None)
    }
}

/// Splits `host:port` or `[v6]:port`; the port may be missing.
fn authority_parts(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    if authority.contains('@') {
        return Err("user names and passwords do not belong here");
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a `]` is missing")?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| "not an IPv6 address between the brackets")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("expected `:` and a port after `]`"),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err("an IPv6 address needs brackets: `[::1]:4317`"),
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    let is_host_character = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    match host {
        "" => Err("the host is missing"),
        _ if host.chars().all(is_host_character) => Ok((host, port)),
        _ => Err("a host has letters, digits, `-`, `.` and `_` only"),
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| text.parse().ok())
        .flatten()
        .ok_or("the port must be a number from 0 to 65535")
}

fn write_host(host: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]")
    } else {
        f.write_str(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, printed) in [
            ("localhost:4317", "localhost:4317"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:4317", "[::1]:4317"),
            (":4317", "0.0.0.0:4317"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn an_address_to_listen_on_has_a_host_and_a_port_and_no_more() {
        for (text, why) in [
            ("", "the host is missing"),
            ("localhost", "the port is missing"),
            ("localhost:", "the port must be a number from 0 to 65535"),
            ("localhost:65536", "the port must be a number from 0 to 65535"),
            ("localhost:+1", "the port must be a number from 0 to 65535"),
            ("::1:4317", "an IPv6 address needs brackets: `[::1]:4317`"),
            ("[::1", "a `]` is missing"),
            ("[localhost]:1", "not an IPv6 address between the brackets"),
            ("[::1]4317", "expected `:` and a port after `]`"),
            ("http://localhost:4317", "no scheme is wanted here"),
            ("a b:1", "a host has letters, digits, `-`, `.` and `_` only"),
        ] {
            let error = text.parse::<HostPort>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("expected an address such as `localhost:4317`, found `{text}`: {why}")
            );
        }
    }

    #[test]
    fn endpoints_to_call() {
        let endpoint: Endpoint = "HTTPS://collector.example:4318/v1?x=1".parse().unwrap();
        assert_eq!(
            (endpoint.scheme(), endpoint.host(), endpoint.port(), endpoint.path()),
            (Some(Scheme::Https), "collector.example", Some(4318), "/v1?x=1")
        );
        for text in ["host:4317", "http://host", "http://[::1]:80/", "https://host:4318/path"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_endpoint_needs_a_scheme_or_a_port() {
        for (text, why) in [
            ("host", "the port is missing"),
            ("host:1/path", "a path needs a scheme before the host"),
            ("ftp://host", "the scheme must be http or https"),
            ("http://", "the host is missing"),
            ("http://me:secret@host", "user names and passwords do not belong here"),
            ("http://host/a b", "the path holds blanks"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.ends_with(&format!("found `{text}`: {why}")), "{error}");
        }
    }
}
