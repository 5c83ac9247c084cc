//! Requests that HTTP clients refuse to send, as bytes on a TCP connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use stack::endpoints::Endpoints;

use crate::answer::Answer;
use crate::openapi;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the service for one request.
pub struct Connection {
    stream: TcpStream,
    /// The method and the target, where they were sent as such and are text.
    request: Option<(String, String)>,
}

impl Connection {
    /// Connects to a stack's app.
    pub fn to(stack: &Endpoints) -> Self {
        let authority = stack.api_url.trim_start_matches("http://");
        let stream = TcpStream::connect(authority).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => Self {
                stream,
                request: None,
            },
            Err(error) => panic!("cannot connect to {authority}: {error}"),
        }
    }

    /// Sends the request line and header fields, and asks for the connection to be closed after the answer.
    pub fn head(mut self, method: &str, target: &[u8], headers: &[(&str, &str)]) -> Self {
        let text = std::str::from_utf8(target).ok();
        self.request = text.map(|target| (method.to_owned(), target.to_owned()));
        let mut head = Vec::new();
        head.extend(format!("{method} ").bytes());
        head.extend(target);
        head.extend(" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".bytes());
        for (name, value) in headers {
            head.extend(format!("{name}: {value}\r\n").bytes());
        }
        head.extend(b"\r\n");
        self.bytes(&head)
    }

    /// Sends bytes. It is no error if the service has closed the connection meanwhile: its answer says why.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) => {}
            Err(error) => panic!("cannot send: {error}"),
        }
        self
    }

    /// Sends one chunk of a body with `transfer-encoding: chunked`.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend(bytes);
        chunk.extend(b"\r\n");
        self.bytes(&chunk)
    }

    /// Says that nothing more will be sent, whatever was announced.
    pub fn end(self) -> Self {
        // The service may have closed it already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self
    }

    /// Reads the answer, or nothing when the service closed the connection without one.
    ///
    /// # Panics
    ///
    /// When the answer is not as the API is described.
    pub fn try_answer(self) -> Option<Answer> {
        let request = self.request.clone();
        let answer = self.received()?;
        if let Some((method, target)) = request {
            openapi::require(&method, &target, &answer);
        }
        Some(answer)
    }

    /// Reads the status, whoever answered, or nothing when the connection was closed without an answer.
    pub fn status(self) -> Option<u16> {
        self.received().map(|answer| answer.status)
    }

    fn received(mut self) -> Option<Answer> {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => received.extend(&buffer[..count]),
                // What came before the reset is an answer all the same.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("no answer: {error}"),
            }
            if let Some(answer) = complete(&received) {
                return Some(answer);
            }
        }
        parse(&received)
    }

    /// Reads the answer.
    pub fn answer(self) -> Answer {
        match self.try_answer() {
            Some(answer) => answer,
            None => panic!("the connection was closed without an answer"),
        }
    }
}

/// The answer if it has arrived up to its announced end.
pub(crate) fn complete(received: &[u8]) -> Option<Answer> {
    let answer = parse(received)?;
    let length = answer.header("content-length")?.parse::<usize>().ok()?;
    (answer.body.len() >= length).then_some(answer)
}

fn parse(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: received[end + 4..].to_vec(),
        trace: String::new(),
    })
}
