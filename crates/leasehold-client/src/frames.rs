//! Reads `text/event-stream` as the server writes it. Reads bytes; knows no network.

use std::collections::VecDeque;

/// Frames that have arrived, and the beginning of the next one.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    data: String,
    ready: VecDeque<String>,
}

impl Frames {
    /// Adds what has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']));
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            if !self.data.is_empty() {
                self.ready.push_back(std::mem::take(&mut self.data));
            }
        } else if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
    }

    /// The data of the next whole frame.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together_from_any_pieces() {
        let text =
            ":\n\nid: 1\nevent: a\ndata: {\"é\"\n\nid: 2\r\ndata:x\r\ndata: y\r\n\r\ndata: cut";
        for size in [1, 3, 1000] {
            let mut frames = Frames::default();
            let mut read = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                frames.push(piece);
                while let Some(data) = frames.next() {
                    read.push(data);
                }
            }
            assert_eq!(read, ["{\"é\"", "x\ny"]);
        }
    }
}
