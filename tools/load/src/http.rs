//! A keep-alive connection that sends prepared requests: no more of HTTP/1.1 than that takes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// As long as wrk waits in the scripts that this follows.
const LIMIT: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 64;
/// Room for a list of 20 tasks, so that most answers take one read.
const CHUNK: usize = 32 * 1024;

pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            received: Vec::with_capacity(CHUNK),
            body: Vec::with_capacity(CHUNK),
        }
    }

    /// Sends a request and reads its answer. After an error the next request gets a new connection.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        stream.write_all(request)?;
        self.received.clear();
        self.body.clear();
        let head = loop {
            if receive(&mut stream, &mut self.received)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = Head::parse(&self.received)? {
                break head;
            }
        };
        let mut at = head.length;
        match head.body {
            Body::Length(length) => {
                while self.received.len() < at + length {
                    if receive(&mut stream, &mut self.received)? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                self.body
                    .extend_from_slice(self.received.get(at..at + length).unwrap_or_default());
            }
            Body::Chunked => loop {
                let rest = self.received.get(at..).unwrap_or_default();
                match chunk(rest)? {
                    Some(Chunk { data, length: 0 }) if data.is_empty() => break,
                    Some(Chunk { data, length }) => {
                        self.body
                            .extend_from_slice(rest.get(data).unwrap_or_default());
                        at += length;
                    }
                    None => {
                        if receive(&mut stream, &mut self.received)? == 0 {
                            return Err(ErrorKind::UnexpectedEof.into());
                        }
                    }
                }
            },
        }
        if head.keep_alive {
            self.stream = Some(stream);
        }
        Ok((head.status, &self.body))
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn receive(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    let filled = into.len();
    into.resize(filled + CHUNK, 0);
    let read = stream.read(into.get_mut(filled..).unwrap_or_default());
    into.truncate(filled + read.as_ref().map_or(0, |read| *read));
    read
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: usize,
    body: Body,
    keep_alive: bool,
}

impl Head {
    /// `None`: it is not yet whole.
    fn parse(received: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let invalid = |reason: &str| io::Error::new(ErrorKind::InvalidData, reason.to_owned());
        let length = match response.parse(received) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(invalid(&error.to_string())),
        };
        let status = response.code.unwrap_or_default();
        let mut body = None;
        let mut keep_alive = response.version == Some(1);
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(header.value).ok();
                let length = length.and_then(|length| length.trim().parse().ok());
                body = Some(Body::Length(
                    length.ok_or_else(|| invalid("content-length"))?,
                ));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                body = Some(Body::Chunked);
            } else if header.name.eq_ignore_ascii_case("connection") {
                keep_alive &= !header.value.eq_ignore_ascii_case(b"close");
            }
        }
        let body = match (status, body) {
            (204 | 304, _) => Body::Length(0),
            (_, Some(body)) => body,
            (_, None) => return Err(invalid("an answer that tells no length")),
        };
        Ok(Some(Self {
            status,
            length,
            body,
            keep_alive,
        }))
    }
}

/// A chunk of a body: where its data is, and how long it is with its frame. The last one has neither.
struct Chunk {
    data: std::ops::Range<usize>,
    length: usize,
}

/// `None`: it is not yet whole.
fn chunk(bytes: &[u8]) -> io::Result<Option<Chunk>> {
    match httparse::parse_chunk_size(bytes) {
        // Trailers are not asked for, so the last chunk ends with an empty line.
        Ok(httparse::Status::Complete((start, 0))) => {
            Ok((bytes.len() >= start + 2).then_some(Chunk {
                data: 0..0,
                length: 0,
            }))
        }
        Ok(httparse::Status::Complete((start, size))) => {
            let end = start + usize::try_from(size).unwrap_or(usize::MAX / 2);
            Ok((bytes.len() >= end + 2).then_some(Chunk {
                data: start..end,
                length: end + 2,
            }))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(io::Error::new(ErrorKind::InvalidData, "a broken chunk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers each request on one connection with the next of these, in pieces.
    fn server(answers: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("an option");
            for answer in answers {
                let mut request = [0; 64];
                assert_ne!(stream.read(&mut request).expect("a request"), 0);
                for piece in *answer {
                    stream.write_all(piece.as_bytes()).expect("an answer");
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        address
    }

    #[test]
    fn answers_of_every_framing_are_read_from_one_connection() {
        let address = server(&[
            &[
                "HTTP/1.1 201 Created\r\nContent-Le",
                "ngth: 5\r\n\r\nhel",
                "lo",
            ],
            &[
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
                "c\r\n2\r\nde\r\n",
                "0\r\n",
                "\r\n",
            ],
            &["HTTP/1.1 204 No Content\r\n\r\n"],
            &["HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"],
        ]);
        let mut connection = Connection::to(address);
        for (status, body) in [(201, "hello"), (200, "abcde"), (204, ""), (503, "")] {
            let answer = connection
                .exchange(b"GET / HTTP/1.1\r\n\r\n")
                .expect("an answer");
            assert_eq!(answer, (status, body.as_bytes()));
        }
        assert!(connection.exchange(b"GET / HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn a_connection_that_the_server_closes_is_not_used_again() {
        let head =
            Head::parse(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert!(!head.expect("a head").expect("whole").keep_alive);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
