//! The names of the keys. Nothing else in this crate spells one.

/// The keys under one prefix, `t` for TaskTiger's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new("t")
    }
}

impl Keys {
    /// The keys under `prefix`, without the colon that follows it.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix, without its colon.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `PREFIX:lock:ID`, the old lock.
    #[must_use]
    pub fn old_lock(&self, id: &str) -> String {
        format!("{}:lock:{id}", self.prefix)
    }

    /// `PREFIX:lockv2:ID`, the token lock.
    #[must_use]
    pub fn token_lock(&self, id: &str) -> String {
        format!("{}:lockv2:{id}", self.prefix)
    }

    /// `PREFIX:qslock:QUEUE`, the semaphore.
    #[must_use]
    pub fn semaphore(&self, queue: &str) -> String {
        format!("{}:qslock:{queue}", self.prefix)
    }

    /// `PREFIX:leasehold:phase`: `<epoch> <phase> <changed at, ms> <operator>`.
    #[must_use]
    pub fn phase(&self) -> String {
        format!("{}:leasehold:phase", self.prefix)
    }

    /// `PREFIX:leasehold:processes`: a hash with one heartbeat per process.
    #[must_use]
    pub fn processes(&self) -> String {
        format!("{}:leasehold:processes", self.prefix)
    }

    /// TaskTiger's set of the queues that have active tasks.
    #[must_use]
    pub(crate) fn active_queues(&self) -> String {
        format!("{}:active", self.prefix)
    }

    /// TaskTiger's active tasks of one queue, by the time of their last heartbeat.
    #[must_use]
    pub(crate) fn active_tasks(&self, queue: &str) -> String {
        format!("{}:active:{queue}", self.prefix)
    }

    /// TaskTiger's description of a task.
    #[must_use]
    pub(crate) fn task(&self, id: &str) -> String {
        format!("{}:task:{id}", self.prefix)
    }

    /// The SCAN pattern of a family of keys (`lock`, `lockv2`, `qslock`), with the prefix taken
    /// literally.
    #[must_use]
    pub fn pattern(&self, family: &str) -> String {
        format!("{}:{family}:*", escape_glob(&self.prefix))
    }

    /// What follows `PREFIX:FAMILY:` in a key's name.
    pub(crate) fn id_of<'a>(&self, family: &str, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())?
            .strip_prefix(':')?
            .strip_prefix(family)?
            .strip_prefix(':')
    }
}

fn escape_glob(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_peers() {
        let keys = Keys::default();
        assert_eq!(keys.old_lock("a"), "t:lock:a");
        assert_eq!(keys.token_lock("a"), "t:lockv2:a");
        assert_eq!(keys.semaphore("default"), "t:qslock:default");
        assert_eq!(keys.id_of("lock", "t:lock:a:b"), Some("a:b"));
        assert_eq!(keys.id_of("lock", "t:lockv2:a"), None);
    }

    #[test]
    fn prefix_with_glob_characters_matches_only_itself() {
        assert_eq!(Keys::new("a*[b]").pattern("lock"), r"a\*\[b\]:lock:*");
    }
}
