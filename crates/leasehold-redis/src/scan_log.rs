//! A line of the scan's log: name, type, TTL, new TTL, size. It can be read back, also as the
//! Python script wrote it.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::fault::Fault;

/// One key, and what was done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanLine {
    /// The key's name. Written as it is where it is printable text; other bytes and backslashes as
    /// `\xNN`.
    pub key: Vec<u8>,
    /// The type, as Redis names it.
    pub kind: String,
    /// The TTL before, in seconds; −1 for none, −2 for a key that had gone.
    pub ttl: i64,
    /// The TTL that it was given, −1 for taken away, `None` for left alone.
    pub new_ttl: Option<i64>,
    /// The length of a string, the number of members of anything else, −1 where Redis cannot say.
    pub size: i64,
}

/// A line that is no line of a scan's log.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no line of a scan's log; expected NAME TYPE TTL NEW_TTL SIZE")]
pub struct ScanLineError(String);

/// Why a scan, a cleanup or an undo ended early. Each can be started again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Redis cannot be asked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The log cannot be written. Redis is changed only after the change is in the log.
    #[error("failed to write the log: {0}")]
    Write(io::Error),
    /// The log cannot be read.
    #[error("failed to read the log: {0}")]
    Read(io::Error),
    /// A line of the log is none.
    #[error("line {number} of the log: {cause}")]
    Line {
        /// Which line, from 1.
        number: usize,
        /// What is wrong with it.
        cause: ScanLineError,
    },
}

impl fmt::Display for ScanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&self.key, f)?;
        write!(f, " {} {} ", self.kind, self.ttl)?;
        match self.new_ttl {
            Some(ttl) => write!(f, "{ttl}")?,
            None => f.write_str("None")?,
        }
        write!(f, " {}", self.size)
    }
}

fn write_name(key: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in key.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || character.is_control() {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    write!(f, "\\x{byte:02x}")?;
                }
            } else {
                write!(f, "{character}")?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

impl FromStr for ScanLine {
    type Err = ScanLineError;

    fn from_str(line: &str) -> Result<Self, ScanLineError> {
        let wrong = || ScanLineError(line.to_owned());
        let mut words = line.trim_end_matches(['\r', '\n']).rsplitn(5, ' ');
        let size = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let new_ttl = match words.next().ok_or_else(wrong)? {
            "None" => None,
            word => Some(word.parse().map_err(|_| wrong())?),
        };
        let ttl = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let kind = words.next().ok_or_else(wrong)?;
        let name = words.next().ok_or_else(wrong)?;
        let (name, kind) = match (python_bytes(name), python_bytes(kind)) {
            (Some(name), Some(kind)) => (name, kind),
            _ => (name, kind),
        };
        Ok(Self {
            key: read_name(name).ok_or_else(wrong)?,
            kind: kind.to_owned(),
            ttl,
            new_ttl,
            size,
        })
    }
}

/// The inside of `b'…'`, as the Python script printed keys on Python 3.
fn python_bytes(word: &str) -> Option<&str> {
    let inside = word.strip_prefix('b')?;
    inside
        .strip_prefix('\'')
        .and_then(|inside| inside.strip_suffix('\''))
        .or_else(|| inside.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')))
}

fn read_name(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut name = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            name.push(byte);
            continue;
        }
        name.push(match bytes.next()? {
            b'x' => {
                let [high, low] =
                    [bytes.next()?, bytes.next()?].map(|digit| char::from(digit).to_digit(16));
                u8::try_from(high? * 16 + low?).ok()?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            quoted @ (b'\\' | b'\'' | b'"') => quoted,
            _ => return None,
        });
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, key: &[u8], kind: &str, ttl: i64, new_ttl: Option<i64>, size: i64) {
        let line: ScanLine = text.parse().unwrap();
        assert_eq!(
            line,
            ScanLine { key: key.to_vec(), kind: kind.to_owned(), ttl, new_ttl, size },
            "{text}"
        );
    }

    #[test]
    fn lines_are_read_as_meant_and_as_the_python_script_wrote_them() {
        check("t:lock:a string -1 300 1", b"t:lock:a", "string", -1, Some(300), 1);
        check("t:lock:a b c string 12 None 5", b"t:lock:a b c", "string", 12, None, 5);
        check("b't:lock:a' b'string' -1 300 -1", b"t:lock:a", "string", -1, Some(300), -1);
        check(r"b't:\xff\'\n' b'hash' -1 None -1", b"t:\xff'\n", "hash", -1, None, -1);
        for text in ["", "a", "a string x 1 1", "a string 1 1", r"a\q string 1 1 1"] {
            assert!(text.parse::<ScanLine>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(key in proptest::collection::vec(any::<u8>(), 1..40), ttl in -2_i64..1000) {
            let line = ScanLine { key, kind: "string".to_owned(), ttl, new_ttl: Some(3), size: 9 };
            prop_assert!(!line.to_string().contains('\n'));
            prop_assert_eq!(line.to_string().parse::<ScanLine>().unwrap(), line);
        }
    }
}
