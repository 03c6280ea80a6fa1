//! A WebSocket on which nothing happens by itself: it answers no good-bye before it is told to.

use std::io::{self, Read};

use serde_json::Value;

use crate::server::http::Client;
use crate::server::program::Server;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A connection that has been upgraded.
pub(crate) struct Socket(Client);

impl Socket {
    pub(crate) fn connect(server: &Server, path: &str) -> Self {
        Self::upgrade(server.client(), path)
    }

    /// Makes a WebSocket of a connection.
    pub(crate) fn upgrade(mut client: Client, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: \
             websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
             dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.write(request.as_bytes()).unwrap();
        assert_eq!(client.read_answer().unwrap().status, 101);
        Self(client)
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.write(TEXT, message.to_string().as_bytes());
    }

    /// Waits until the server says good-bye, and answers with which code. What it says before is
    /// thrown away.
    pub(crate) fn wait_for_goodbye(&mut self) -> u16 {
        loop {
            let (kind, payload) = self.read().unwrap();
            if kind == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// Answers a good-bye.
    pub(crate) fn say_goodbye(&mut self, code: u16) {
        self.write(CLOSE, &code.to_be_bytes());
    }

    /// Clients have to mask what they send; nothing is masked with a key of zeros.
    fn write(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(length @ 0..126), _) => frame.push(0x80 | length),
            (_, Ok(length)) => frame.extend([&[0x80 | 126], &length.to_be_bytes()[..]].concat()),
            _ => frame.extend([&[0x80 | 127], &(payload.len() as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write(&frame).unwrap();
    }

    fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let stream = self.0.stream();
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut length = [0, head[1]];
        if head[1] == 126 {
            stream.read_exact(&mut length)?;
        }
        let mut payload = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut payload)?;
        Ok((head[0] & 0x0f, payload))
    }
}
