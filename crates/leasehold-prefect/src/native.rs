//! The rules of the native API's requests.

use std::collections::BTreeMap;

use leasehold_api::events::FindEvents;
use leasehold_api::leases::{
    FindLeases, IfMissing, LeaseRenewal, LeaseRenewals, ListPage, Mode, NewHolder, NewLease,
    RevokeLease, WantedSlots,
};
use leasehold_api::migration::MoveLimits;

use crate::declaration::declare;
use crate::rule::{
    BOOLEAN, COUNT, Distinct, ID, Labels, ListOfAtMost, NAMED, Nested, OneOf, PRIORITY, REASON,
    SLOTS, TEXT, TtlSeconds, WAIT_SECONDS, WORD,
};

/// How many limits a request may name.
const LIMITS_MAX: usize = 100;
/// How many leases a request may renew.
const RENEWALS_MAX: usize = 1_000;
/// How many limits a request may move by name.
const MOVES_MAX: usize = 1_000;
/// How long a lease lasts if the request names no time.
const TTL_SECONDS: f64 = 60.0;

declare! {
    NewLease: Model {
        limits = required(Distinct {
        most: LIMITS_MAX,
        rule: Nested::RULE,
        name: |wanted: &WantedSlots| &wanted.name,
    });
        holder = optional(Nested::RULE);
        ttl_seconds = defaulted(TtlSeconds, |settings| {
        settings.lease_seconds_max.min(TTL_SECONDS)
    });
        wait_seconds = defaulted(WAIT_SECONDS, |_| 0.0);
        priority = defaulted(PRIORITY, |_| 0);
        mode = defaulted(OneOf::RULE, |_| Mode::Concurrency);
        idempotency_key = optional(WORD);
        if_missing = defaulted(OneOf::RULE, |_| IfMissing::Error);
    }
}

declare! {
    WantedSlots: Model {
        name = required(NAMED);
        slots = defaulted(SLOTS, |_| 1);
    }
}

declare! {
    NewHolder: Model {
        kind = required(WORD);
        id = required(WORD);
        labels = defaulted(Labels, |_| BTreeMap::new());
    }
}

declare! {
    LeaseRenewal: Model {
        ttl_seconds = required(TtlSeconds);
    }
}

declare! {
    LeaseRenewals: Model {
        leases = required(ListOfAtMost(RENEWALS_MAX, ID));
        ttl_seconds = required(TtlSeconds);
    }
}

declare! {
    RevokeLease: Model {
        reason = optional(REASON);
        by = optional(WORD);
    }
}

declare! {
    ListPage: Model {
        offset = defaulted(COUNT, |_| 0);
        limit = optional(COUNT);
    }
}

declare! {
    FindLeases: Model {
        limit_name = optional(TEXT);
        holder_kind = optional(TEXT);
        holder_id = optional(TEXT);
        offset = defaulted(COUNT, |_| 0);
        limit = optional(COUNT);
    }
}

declare! {
    FindEvents: Model {
        limit = optional(TEXT);
        holder = optional(TEXT);
        kind = optional(TEXT);
        lease = optional(ID);
        since = optional(TEXT);
        until = optional(TEXT);
        after = optional(COUNT);
        newest_first = optional(BOOLEAN);
        page_size = optional(COUNT);
    }
}

declare! {
    MoveLimits: Model {
        limits = optional(ListOfAtMost(MOVES_MAX, NAMED));
        alone = defaulted(BOOLEAN, |_| false);
        force = defaulted(BOOLEAN, |_| false);
        dry_run = defaulted(BOOLEAN, |_| false);
    }
}
