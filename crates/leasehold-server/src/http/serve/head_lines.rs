//! Checks the line ends of a request's head before the HTTP library reads them. RFC 9112 ends a
//! line with CR LF; the library also accepts a bare LF. A proxy that does not would pass on one
//! header where the library sees two. So a bare LF becomes a NUL, which the library refuses with
//! 400.

/// A byte that no head may contain.
const REFUSED: u8 = 0;

/// Follows the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct HeadLines {
    /// How many requests came before the current head.
    head: u32,
    /// A byte of the head itself has come: empty lines before it are skipped.
    has_begun: bool,
    is_over: bool,
    /// The last bytes so far.
    last: [u8; 3],
}

impl HeadLines {
    /// Checks new bytes. `awaited` is the number of requests so far, if a head may come now.
    pub(super) fn check(&mut self, awaited: Option<u32>, bytes: &mut [u8]) {
        if let Some(head) = awaited {
            if self.head != head {
                *self = Self { head, ..Self::default() };
            }
            if !self.is_over {
                self.check_head(bytes);
            }
        }
        for &byte in &bytes[bytes.len().saturating_sub(3)..] {
            self.last = [self.last[1], self.last[2], byte];
        }
    }

    fn check_head(&mut self, bytes: &mut [u8]) {
        let before = |bytes: &[u8], at: usize, back: usize| match at.checked_sub(back) {
            Some(at) => bytes[at],
            None => self.last[3 + at - back],
        };
        for at in 0..bytes.len() {
            if bytes[at] != b'\n' {
                self.has_begun |= bytes[at] != b'\r';
                continue;
            }
            if before(bytes, at, 1) != b'\r' {
                bytes[at] = REFUSED;
            } else if self.has_begun
                && before(bytes, at, 3) == b'\r'
                && before(bytes, at, 2) == b'\n'
            {
                // Behind the empty line is the body.
                self.is_over = true;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that the library reads of a request that comes in parts.
    fn passed(parts: &[&str]) -> String {
        let mut lines = HeadLines::default();
        let part = |part: &&str| {
            let mut bytes = part.as_bytes().to_vec();
            lines.check(Some(0), &mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        parts.iter().map(part).collect()
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_refused_wherever_it_stands() {
        assert_eq!(passed(&["GET / HTTP/1.1\nhost: x\r\n\r\n"]), "GET / HTTP/1.1\0host: x\r\n\r\n");
        assert_eq!(passed(&["GET / HTTP/1.1\r\na: b", "\nhost: x\r\n\n"]).matches('\0').count(), 2);
    }

    #[test]
    fn bytes_outside_a_head_are_passed_on_unchanged() {
        for parts in [
            &["POST / HTTP/1.1\r\nhost: x\r\n\r\n{\n}\n"][..],
            &["POST / HTTP/1.1\r\nhost: x\r", "\n\r", "\n{\n}\n", "\n"],
            &["\r\nGET / HTTP/1.1\r\n", "host: x\r\n", "\r\n"],
        ] {
            assert_eq!(passed(parts), parts.concat());
        }
        let (mut lines, mut bytes) = (HeadLines::default(), b"\n".to_vec());
        lines.check(None, &mut bytes);
        assert_eq!(bytes, b"\n");
    }

    #[test]
    fn the_head_of_the_next_request_is_checked_again() {
        let mut lines = HeadLines::default();
        let mut first = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        lines.check(Some(0), &mut first);
        for (head, empty_lines) in [(1, ""), (2, "\r\n"), (3, "\r\n\r\n")] {
            let mut next = format!("{empty_lines}GET / HTTP/1.1\n\n").into_bytes();
            lines.check(Some(head), &mut next);
            assert_eq!(next, format!("{empty_lines}GET / HTTP/1.1\0\0").into_bytes());
        }
    }
}
