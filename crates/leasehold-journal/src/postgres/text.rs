//! Texts with a NUL, which PostgreSQL has none of. They are stored behind a mark and escaped; all
//! others as they are, so that people can read them.

use std::borrow::Cow;

const MARK: char = '\u{1}';
const ESCAPE: char = '\\';

/// The text as it is stored.
pub(super) fn stored(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('\0') && !text.starts_with(MARK) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    escaped.push(MARK);
    for character in text.chars() {
        match character {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, ESCAPE]),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The text that was stored.
pub(super) fn read(stored: &str) -> Cow<'_, str> {
    let Some(escaped) = stored.strip_prefix(MARK) else { return Cow::Borrowed(stored) };
    let mut text = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => text.push(match characters.next() {
                Some('0') => '\0',
                Some(other) => other,
                None => ESCAPE,
            }),
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_most_are_stored_as_they_are() {
        for text in ["", "plain", "{\"a\":\"\\n\"}", "a\0b", "\0", "\u{1}x", "\\0\0\\", "☃\0\\\\"]
        {
            let stored = stored(text.into());
            assert!(!stored.contains('\0'));
            assert_eq!(read(&stored), text);
            assert_eq!(stored == text, !text.contains('\0') && !text.starts_with(MARK));
        }
    }
}
