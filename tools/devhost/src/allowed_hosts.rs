//! `allowed_outbound_hosts`: which addresses a component may call.
//!
//! Scheme, host text and port must each match one entry. `localhost` and `127.0.0.1` are different hosts.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use url::Host;

use crate::variables::Variables;

/// The domain under which components reach each other in process.
const CHAINING_DOMAIN: &str = "spin.internal";

/// The component addressed by a host such as `calendar.spin.internal`.
pub fn chained_component(host: &str) -> Option<&str> {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.split_once('.')
        .filter(|(_, domain)| *domain == CHAINING_DOMAIN)
        .map(|(component, _)| component)
}

/// The entries of one component, templates filled.
#[derive(Debug)]
pub struct AllowedHosts(Vec<AllowedHost>);

#[derive(Debug)]
struct AllowedHost {
    /// `None` is any scheme.
    scheme: Option<String>,
    host: HostPattern,
    /// Empty is no port, the whole range any.
    ports: Range<u32>,
}

#[derive(Debug)]
enum HostPattern {
    Any,
    /// `*.example.com`, held with its leading dot.
    Subdomains(String),
    /// The application itself.
    Itself,
    One(Host),
    Network(ip_network::IpNetwork),
}

impl AllowedHosts {
    /// Reads a component's entries. `component_ids` are what `*.spin.internal` stands for.
    pub fn parse(
        entries: &[String],
        variables: &Variables,
        component_ids: &[String],
    ) -> Result<Self> {
        let mut hosts = Vec::new();
        for entry in entries {
            let host = variables
                .fill(entry)
                .and_then(|filled| AllowedHost::parse(&filled))
                .with_context(|| format!("allowed_outbound_hosts entry {entry:?}"))?;
            if matches!(&host.host, HostPattern::Subdomains(suffix) if suffix[1..] == *CHAINING_DOMAIN)
            {
                hosts.extend(component_ids.iter().map(|id| AllowedHost {
                    scheme: host.scheme.clone(),
                    host: HostPattern::One(Host::Domain(format!("{id}.{CHAINING_DOMAIN}"))),
                    ports: host.ports.clone(),
                }));
            } else {
                hosts.push(host);
            }
        }
        Ok(Self(hosts))
    }

    /// Checks a component's entries as Spin does when it loads a manifest: those whose variables all have defaults must be
    /// valid with them, whatever values are given.
    pub fn check(entries: &[String], defaults: &Variables) -> Result<()> {
        for entry in entries {
            let checked = defaults.have_all_of(entry).and_then(|has_all| {
                if has_all {
                    AllowedHost::parse(&defaults.fill(entry)?)
                        .context("it is not valid with the variables' default values")?;
                }
                Ok(())
            });
            checked.with_context(|| format!("allowed_outbound_hosts entry {entry:?}"))?;
        }
        Ok(())
    }

    /// Whether `url` may be called. `scheme` is assumed where the address has none (`127.0.0.1:5432`).
    pub fn allows(&self, url: &str, scheme: &str) -> bool {
        let parsed = url::Url::parse(url)
            .ok()
            .filter(url::Url::has_host)
            .or_else(|| url::Url::parse(&format!("{scheme}://{url}")).ok());
        let Some((parsed, Some(host))) = parsed.as_ref().map(|url| (url, url.host_str())) else {
            return false;
        };
        // Hosts of schemes that the URL standard does not know are opaque until read again.
        let Ok(host) = Host::parse(host) else {
            return false;
        };
        let Some(port) = parsed.port().or_else(|| well_known_port(parsed.scheme())) else {
            return self
                .0
                .iter()
                .any(|entry| entry.any_port() && entry.matches(parsed.scheme(), &host));
        };
        self.0.iter().any(|entry| {
            entry.ports.contains(&u32::from(port)) && entry.matches(parsed.scheme(), &host)
        })
    }

    /// Whether the application may call itself over HTTP.
    pub fn allows_itself(&self) -> bool {
        self.0.iter().any(|entry| {
            matches!(entry.host, HostPattern::Any | HostPattern::Itself)
                && ["http", "https"]
                    .iter()
                    .any(|scheme| entry.allows_scheme(scheme))
        })
    }
}

impl AllowedHost {
    fn parse(entry: &str) -> Result<Self> {
        let (scheme, rest) = entry
            .trim()
            .split_once("://")
            .context("the scheme is missing (scheme://host:port)")?;
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let (port, path) = port.split_once('/').unwrap_or((port, ""));
        ensure!(path.is_empty(), "a path is not allowed here");
        ensure!(
            scheme == "*" || scheme.chars().all(char::is_alphabetic),
            "the scheme must be a word or *"
        );
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: HostPattern::parse(host.trim())?,
            ports: parse_ports(port, scheme)?,
        })
    }

    fn any_port(&self) -> bool {
        self.ports == ANY_PORT
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
    }

    fn matches(&self, scheme: &str, host: &Host) -> bool {
        self.allows_scheme(scheme)
            && match (&self.host, host) {
                (HostPattern::Any, _) => true,
                (HostPattern::Subdomains(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
                (HostPattern::One(own), host) => own == host,
                (HostPattern::Network(network), Host::Ipv4(ip)) => network.contains(*ip),
                (HostPattern::Network(network), Host::Ipv6(ip)) => network.contains(*ip),
                _ => false,
            }
    }
}

impl HostPattern {
    fn parse(host: &str) -> Result<Self> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if matches!(host, "self" | "self.alt") {
            return Ok(Self::Itself);
        }
        if let Ok(network) = ip_network::IpNetwork::from_str_truncate(host) {
            return Ok(Self::Network(network));
        }
        let host = host.trim_end_matches('/');
        ensure!(!host.contains('/'), "a path is not allowed here");
        if let Some(domain) = host
            .strip_prefix("*.")
            .filter(|domain| !domain.contains('*'))
        {
            return Ok(Self::Subdomains(format!(".{domain}")));
        }
        if host.contains('*') {
            bail!("* stands for a whole host or for all subdomains (*.example.com)");
        }
        Ok(Self::One(Host::parse(host)?))
    }
}

const ANY_PORT: Range<u32> = 0..65536;

fn parse_ports(port: &str, scheme: &str) -> Result<Range<u32>> {
    if port == "*" {
        return Ok(ANY_PORT);
    }
    let number = |text: &str| {
        text.parse::<u16>()
            .map(u32::from)
            .with_context(|| format!("{text:?} is not a port"))
    };
    if let Some((first, end)) = port.split_once("..") {
        return Ok(number(first)?..number(end)?);
    }
    let port = match port {
        "" => well_known_port(scheme)
            .map(u32::from)
            .with_context(|| format!("scheme {scheme:?} needs a port"))?,
        port => number(port)?,
    };
    Ok(port..port + 1)
}

fn well_known_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" => 80,
        "https" => 443,
        "mqtt" => 1883,
        "mysql" => 3306,
        "postgres" => 5432,
        "redis" => 6379,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entry: &str) -> AllowedHosts {
        let none = Variables::resolve(&indexmap::IndexMap::new(), &[]).unwrap();
        AllowedHosts::parse(
            &[entry.to_owned()],
            &none,
            &["api".to_owned(), "calendar".to_owned()],
        )
        .unwrap()
    }

    #[test]
    fn scheme_host_and_port_must_match() {
        for (entry, url, allows) in [
            (
                "http://127.0.0.1:3500",
                "http://127.0.0.1:3500/v1.0/publish",
                true,
            ),
            ("http://127.0.0.1:3500/", "http://127.0.0.1:3500/", true),
            ("http://127.0.0.1:3500", "http://localhost:3500/", false),
            ("http://127.0.0.1:3500", "https://127.0.0.1:3500/", false),
            ("http://127.0.0.1:3500", "http://127.0.0.1:3501/", false),
            ("http://example.com", "http://example.com/", true),
            ("http://example.com", "http://example.com:8080/", false),
            ("*://*:*", "http://anything:1/", true),
            ("https://*.example.com", "https://a.b.example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("http://10.0.0.0/8:80", "http://10.1.2.3/", true),
            ("http://10.0.0.0/8:80", "http://11.1.2.3/", false),
            (
                "http://example.com:8000..8002",
                "http://example.com:8001/",
                true,
            ),
            (
                "http://example.com:8000..8002",
                "http://example.com:8002/",
                false,
            ),
            (
                "http://*.spin.internal",
                "http://calendar.spin.internal/x",
                true,
            ),
            (
                "http://*.spin.internal",
                "http://other.spin.internal/x",
                false,
            ),
            ("http://self", "http://127.0.0.1/", false),
        ] {
            assert_eq!(allowed(entry).allows(url, "https"), allows, "{entry} {url}");
        }
    }

    #[test]
    fn postgres_addresses_have_a_default_port() {
        assert!(allowed("postgres://127.0.0.1:5432").allows("127.0.0.1:5432", "postgres"));
        assert!(allowed("postgres://127.0.0.1").allows("127.0.0.1:5432", "postgres"));
        assert!(allowed("postgres://db.local:6000").allows("db.local:6000", "postgres"));
        assert!(!allowed("postgres://db.local:6000").allows("db.local", "postgres"));
    }

    #[test]
    fn malformed_entries_are_refused() {
        for entry in [
            "",
            "*",
            "127.0.0.1:80",
            "http://h:80/path",
            "unknown://h",
            "h+p://h:1",
            "http://a*b:1",
        ] {
            let none = Variables::resolve(&indexmap::IndexMap::new(), &[]).unwrap();
            assert!(
                AllowedHosts::parse(&[entry.to_owned()], &none, &[]).is_err(),
                "{entry}"
            );
        }
    }

    #[test]
    fn entries_must_be_valid_with_the_defaults() {
        let declared: indexmap::IndexMap<String, crate::manifest::Variable> = toml::from_str(
            "needed = { required = true }
            empty = { default = '' }
            address = { default = '127.0.0.1:80' }
            url = { default = 'http://127.0.0.1:80' }",
        )
        .unwrap();
        let defaults = Variables::defaults(&declared);
        for (entry, valid) in [
            ("http://{{ address }}", true),
            ("{{ url }}", true),
            // Nobody can tell before the value is given.
            ("postgres://{{ needed }}", true),
            ("{{ empty }}{{ needed }}", true),
            ("{{ nobody }}", true),
            ("{{ empty }}", false),
            ("http://{{ empty }}", false),
            ("{{ address }}", false),
            ("http://{{ address }}/path", false),
            ("http://h:80/path", false),
            ("http://{{ address", false),
        ] {
            let checked = AllowedHosts::check(&[entry.to_owned()], &defaults);
            assert_eq!(checked.is_ok(), valid, "{entry}: {checked:?}");
        }
    }

    #[test]
    fn chaining_names_a_component() {
        assert_eq!(
            chained_component("calendar.spin.internal"),
            Some("calendar")
        );
        assert_eq!(
            chained_component("calendar.spin.internal:80"),
            Some("calendar")
        );
        assert_eq!(chained_component("a.calendar.spin.internal"), None);
        assert_eq!(chained_component("127.0.0.1:80"), None);
    }
}
