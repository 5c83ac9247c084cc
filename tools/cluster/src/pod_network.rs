//! Connections from inside a pod, as its containers make them; and a host that is no pod.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::POD_ADDRESSES;
use crate::isolation::run;
use crate::kubectl::Kubectl;

/// How long an answer may take. What a policy forbids is not answered at all, and a packet is sent again after a second.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Where pods ask for names.
const NAMES: &str = "10.96.0.10:53";

/// Addresses that are no pod's: one of the internet, and one of a company's own network.
pub const PUBLIC: &str = "203.0.113.10";
pub const PRIVATE: &str = "172.31.255.10";

/// What became of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Connected,
    /// Packets pass, and nobody listens.
    Refused,
    /// No answer.
    Dropped,
}

/// A network of its own: a pod's, or one that stands for the world outside.
#[derive(Clone, Debug)]
pub struct Network {
    namespace: PathBuf,
}

impl Network {
    /// The network of a running pod.
    pub fn of_pod(kubectl: &Kubectl, namespace: &str, name: &str) -> Result<Self> {
        let uid = kubectl.read(&[
            "get",
            "pod",
            "-n",
            namespace,
            name,
            "-o",
            "jsonpath={.metadata.uid}",
        ])?;
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            // Not a process, or one that has just ended.
            let Ok(groups) = fs::read_to_string(process.join("cgroup")) else {
                continue;
            };
            if groups.contains(&format!("/pod{uid}/")) {
                return Ok(Self {
                    namespace: process.join("ns/net"),
                });
            }
        }
        bail!("the pod {name} of {namespace} has no process")
    }

    /// The node's own network.
    pub fn of_node() -> Self {
        Self::at("/proc/self/ns/net")
    }

    /// A network by its file.
    pub fn at(namespace: impl Into<PathBuf>) -> Self {
        Self {
            namespace: namespace.into(),
        }
    }

    /// Does `work` in this network, in a thread of its own.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(&self.namespace)
            .with_context(|| format!("cannot open {}", self.namespace.display()))?;
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            worker
                .join()
                .map_err(|_| anyhow!("what ran in a network panicked"))?
        })
    }

    /// Tries to connect.
    pub fn connect(&self, to: SocketAddr) -> Result<Outcome> {
        self.within(|| match TcpStream::connect_timeout(&to, PATIENCE) {
            Ok(_) => Ok(Outcome::Connected),
            Err(error) => match error.kind() {
                ErrorKind::TimedOut => Ok(Outcome::Dropped),
                ErrorKind::ConnectionRefused => Ok(Outcome::Refused),
                _ => Err(error).with_context(|| format!("connecting to {to}")),
            },
        })
    }

    /// The address of a name, asked of the cluster's DNS; nothing when there is no answer.
    pub fn resolve(&self, name: &str) -> Result<Option<IpAddr>> {
        let query = query(name);
        self.within(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(NAMES)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send(&query)?;
            let mut answer = [0; 512];
            let length = match socket.recv(&mut answer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context("no answer of the DNS"),
            };
            Ok(address(&answer[..length]))
        })
    }
}

/// A question for an address (RFC 1035, section 4).
fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap_or_default());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

/// The address at the end of an answer that has one record.
fn address(answer: &[u8]) -> Option<IpAddr> {
    let has_one = answer.get(3)? & 0x0f == 0 && answer.get(6..8)? == [0, 1];
    let address: [u8; 4] = answer.last_chunk().copied()?;
    has_one.then(|| IpAddr::V4(Ipv4Addr::from(address)))
}

/// A host beyond the node, by a cable.
pub struct Outside {
    pub network: Network,
}

impl Outside {
    const NAME: &'static str = "outside";

    /// Makes it, until it is dropped.
    pub fn make() -> Result<Self> {
        let name = Self::NAME;
        run("ip", &["netns", "add", name])?;
        let made = Self {
            network: Network::at(format!("/run/netns/{name}")),
        };
        let end = ["peer", "name", "eth0", "netns", name];
        run(
            "ip",
            &[&["link", "add", name, "type", "veth"], &end[..]].concat(),
        )?;
        run("ip", &["link", "set", name, "up"])?;
        run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        for (gateway, host) in [("203.0.113.1/24", PUBLIC), ("172.31.255.1/24", PRIVATE)] {
            run("ip", &["address", "add", gateway, "dev", name])?;
            let host = format!("{host}/24");
            run("ip", &["-n", name, "address", "add", &host, "dev", "eth0"])?;
        }
        let back = ["route", "add", POD_ADDRESSES, "via", "203.0.113.1"];
        run("ip", &[&["-n", name], &back[..]].concat())?;
        Ok(made)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // The cable goes with the network that it leads to.
        let _ = run("ip", &["netns", "delete", Self::NAME]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_question_has_an_address() {
        let mut answer = query("todo.example");
        assert_eq!(&answer[12..], b"\x04todo\x07example\0\0\x01\0\x01");
        assert_eq!(address(&answer), None, "a question has no address");
        // The header says that there is an answer, of one record: a pointer to the name, its type, class, age and length.
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 88, 0, 7]);
        assert_eq!(address(&answer), Some(IpAddr::from([10, 88, 0, 7])));
        answer[3] = 0x83;
        assert_eq!(address(&answer), None, "there is no such name");
    }
}
