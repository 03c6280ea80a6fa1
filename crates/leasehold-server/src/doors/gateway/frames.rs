//! Reads the texts in the bytes of a WebSocket as they pass.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longer messages pass unread.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The texts of one direction of a WebSocket whose messages are not compressed.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Bytes of a frame that is not complete.
    pending: Vec<u8>,
    /// How many bytes of a frame are still to come that are not read.
    to_skip: usize,
    /// The message so far, if it is a text.
    message: Option<Vec<u8>>,
    /// The bytes are no frames of a WebSocket.
    is_lost: bool,
}

impl Texts {
    /// Adds bytes that have passed.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.is_lost {
            return;
        }
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        self.pending.extend_from_slice(&bytes[skipped..]);
    }

    /// The next text that is complete.
    pub(super) fn next_text(&mut self) -> Option<String> {
        while !self.is_lost {
            let mut cursor = Cursor::new(&self.pending[..]);
            let (header, length) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => return None,
                Err(_) => {
                    self.is_lost = true;
                    self.pending = Vec::new();
                    return None;
                }
            };
            let start = usize::try_from(cursor.position()).ok()?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let end = start.saturating_add(length);
            let is_control = matches!(header.opcode, OpCode::Control(_));
            let so_far = self.message.as_ref().map_or(0, Vec::len);
            if !is_control && so_far.saturating_add(length) > MESSAGE_BYTES_MAX {
                let there = end.min(self.pending.len());
                self.to_skip = end - there;
                self.pending.drain(..there);
                self.message = None;
                continue;
            }
            if self.pending.len() < end {
                return None;
            }
            let payload = self.pending.drain(..end).skip(start);
            let mask = header.mask.unwrap_or_default();
            let payload = payload.zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
            match header.opcode {
                OpCode::Data(Data::Text) if !header.rsv1 => self.message = Some(payload.collect()),
                OpCode::Data(Data::Continue) => {
                    if let Some(message) = &mut self.message {
                        message.extend(payload);
                    }
                }
                OpCode::Data(_) => self.message = None,
                OpCode::Control(_) => continue,
            }
            if header.is_final
                && let Some(message) = self.message.take()
                && let Ok(text) = String::from_utf8(message)
            {
                return Some(text);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

    use super::*;

    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mask = Some([7, 1, 200, 9]);
        let header = FrameHeader { is_final, opcode, mask, ..FrameHeader::default() };
        let frame = Frame::from_payload(header, payload.to_vec().into());
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    fn texts(parts: &[&[u8]]) -> Vec<String> {
        let mut texts = Texts::default();
        let mut read = Vec::new();
        for part in parts {
            texts.feed(part);
            read.extend(std::iter::from_fn(|| texts.next_text()));
        }
        read
    }

    #[test]
    fn texts_are_read_wherever_the_bytes_are_cut() {
        let (text, rest) = (OpCode::Data(Data::Text), OpCode::Data(Data::Continue));
        let bytes = [
            frame(text, true, "grüße".as_bytes()),
            frame(OpCode::Data(Data::Binary), true, b"no text"),
            frame(text, false, b"in "),
            frame(OpCode::Control(Control::Ping), true, b"!"),
            frame(rest, true, b"parts"),
            frame(text, true, b""),
        ]
        .concat();
        for size in 1..bytes.len() {
            let parts: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(texts(&parts), ["grüße", "in parts", ""], "{size}");
        }
    }

    #[test]
    fn a_long_message_passes_unread_and_the_next_one_is_read() {
        let text = OpCode::Data(Data::Text);
        let long = frame(text, true, &vec![b'x'; MESSAGE_BYTES_MAX + 1]);
        let bytes = [long, frame(text, true, b"short")].concat();
        let parts: Vec<_> = bytes.chunks(8_192).collect();
        assert_eq!(texts(&parts), ["short"]);
    }

    #[test]
    fn bytes_that_are_no_frames_are_given_up() {
        assert_eq!(texts(&[&[0x83, 0x80, 0, 0, 0, 0], b"xyz"]), [] as [&str; 0]);
    }
}
