//! Messages of Protocol Buffers, as far as etcd's locks need them: numbers, bytes, and nested
//! messages.

use anyhow::{Context, bail};

const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn number(mut self, field: u64, number: u64) -> Self {
        self.write(field << 3 | NUMBER);
        self.write(number);
        self
    }

    pub(super) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.write(field << 3 | BYTES);
        self.write(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seven bits per byte, the lowest first. The eighth bit says that more bytes follow.
    fn write(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// The number in a field of a message. A message may leave out a 0.
pub(super) fn number(mut message: &[u8], wanted: u64) -> anyhow::Result<Option<u64>> {
    while !message.is_empty() {
        let tag = read(&mut message)?;
        let skipped = match tag & 7 {
            NUMBER => {
                let number = read(&mut message)?;
                if tag >> 3 == wanted {
                    return Ok(Some(number));
                }
                0
            }
            FIXED_64 => 8,
            BYTES => usize::try_from(read(&mut message)?)?,
            FIXED_32 => 4,
            kind => bail!("a message has a field of the unknown kind {kind}"),
        };
        message = message.get(skipped..).context("a message is cut off")?;
    }
    Ok(None)
}

fn read(message: &mut &[u8]) -> anyhow::Result<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = message.split_first().context("a message is cut off")?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    bail!("a message has a number of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_match_the_examples_of_the_encoding() {
        // The examples in the encoding's documentation.
        assert_eq!(Message::default().number(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        let testing = Message::default().bytes(2, b"testing");
        assert_eq!(testing.as_bytes(), b"\x12\x07testing");
        let inner = Message::default().number(1, 150);
        assert_eq!(Message::default().message(3, &inner).as_bytes(), [0x1a, 3, 8, 0x96, 1]);
    }

    #[test]
    fn a_number_is_found_after_other_fields() {
        let message = Message::default().bytes(1, b"header").number(2, u64::MAX).number(3, 7);
        assert_eq!(number(message.as_bytes(), 2).unwrap(), Some(u64::MAX));
        assert_eq!(number(message.as_bytes(), 3).unwrap(), Some(7));
        assert_eq!(number(message.as_bytes(), 4).unwrap(), None);
    }

    #[test]
    fn a_truncated_message_is_refused() {
        let message = Message::default().bytes(1, b"header");
        let error = number(&message.as_bytes()[..4], 2).unwrap_err().to_string();
        assert_eq!(error, "a message is cut off");
        assert!(number(&[0xff; 11], 2).is_err());
        assert!(number(&[0x0b], 2).is_err());
    }
}
