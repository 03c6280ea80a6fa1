//! What a Prefect server serves and this one does not, by family, with the sentence of the answer.
//! `docs/what-is-served.md` shows this table; a test compares the two.

/// A family of paths that are not served.
pub(super) struct Family {
    /// Its name in the documentation.
    pub(super) name: &'static str,
    pub(super) paths: Paths,
    /// What is missing and where it belongs, for a person.
    pub(super) sentence: &'static str,
}

/// The paths of a family.
pub(super) enum Paths {
    /// All unserved paths below these, with any method.
    Below(&'static [&'static str]),
    /// These, with a method each. `{}` stands for one segment.
    These(&'static [(&'static str, &'static str)]),
}

use Paths::{Below, These};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "Deployments",
        paths: Below(&["/api/deployments"]),
        sentence: "Leasehold keeps no deployments: it serves limits and records runs. Call the \
                   flow from a program or a scheduler of your own, or deploy it on a Prefect server.",
    },
    Family {
        name: "Work pools and workers",
        paths: Below(&["/api/work_pools", "/api/work_queues"]),
        sentence: "Leasehold has no work pools, work queues and workers: it schedules and starts \
                   nothing. Workers belong to a Prefect server.",
    },
    BACKGROUND,
    Family {
        name: "Variables",
        paths: Below(&["/api/variables"]),
        sentence: "Leasehold keeps no variables: `Variable.get` finds none and answers its default. \
                   Keep values in the environment or in a file of the program.",
    },
    Family {
        name: "Blocks",
        paths: Below(&[
            "/api/block_capabilities",
            "/api/block_documents",
            "/api/block_schemas",
            "/api/block_types",
            "/api/collections",
        ]),
        sentence: "Leasehold keeps no blocks, and so no secrets: the local directory of results of \
                   clients of version 2 is the only one. Keep secrets in the environment or in a \
                   vault.",
    },
    Family {
        name: "Artifacts",
        paths: Below(&["/api/artifacts"]),
        sentence: "Leasehold keeps no artifacts. Write them where the results of your program are.",
    },
    Family {
        name: "Automations",
        paths: Below(&["/api/automations", "/api/templates"]),
        sentence: "Leasehold has no automations. Follow GET /api/leasehold/events, or subscribe to \
                   /api/events/out, and act on what is told there.",
    },
    Family {
        name: "Logs",
        paths: These(&[("POST", "/api/logs/filter"), ("GET", "/api/flow_runs/{}/logs/download")]),
        sentence: "Leasehold takes the logs of runs and does not keep them. Read them where the \
                   program writes them.",
    },
    Family {
        name: "Events, to look for",
        paths: These(&[
            ("POST", "/api/events"),
            ("POST", "/api/events/filter"),
            ("GET", "/api/events/filter/next"),
            ("POST", "/api/events/count-by/{}"),
        ]),
        sentence: "Leasehold takes events at the WebSocket /api/events/in. It tells them at \
                   GET /api/leasehold/events, in pages or as a stream, and at /api/events/out.",
    },
    Family {
        name: "Inputs of runs",
        paths: These(&[
            ("POST", "/api/flow_runs/{}/input"),
            ("POST", "/api/flow_runs/{}/input/filter"),
            ("GET", "/api/flow_runs/{}/input/{}"),
            ("DELETE", "/api/flow_runs/{}/input/{}"),
        ]),
        sentence: "Leasehold keeps no inputs of runs: pause a flow without `wait_for_input`, and \
                   send messages by a way of your own.",
    },
    Family {
        name: "Runs, changed and deleted",
        paths: These(&[
            ("PATCH", "/api/flows/{}"),
            ("DELETE", "/api/flows/{}"),
            ("POST", "/api/flows/bulk_delete"),
            ("POST", "/api/flow_runs/bulk_delete"),
            ("POST", "/api/flow_runs/bulk_set_state"),
            ("DELETE", "/api/task_runs/{}"),
        ]),
        sentence: "Leasehold records flows and task runs as their clients send them, and forgets \
                   them by age. Delete or stop flow runs one by one: DELETE /api/flow_runs/{id}, \
                   POST /api/flow_runs/{id}/set_state.",
    },
    Family {
        name: "Runs, for pages",
        paths: These(&[
            ("POST", "/api/flows/count"),
            ("POST", "/api/flows/paginate"),
            ("POST", "/api/flow_runs/history"),
            ("POST", "/api/flow_runs/lateness"),
            ("POST", "/api/flow_runs/paginate"),
            ("GET", "/api/flow_runs/{}/graph"),
            ("GET", "/api/flow_runs/{}/graph-v2"),
            ("GET", "/api/flow_run_states/{}"),
            ("POST", "/api/task_runs/history"),
            ("POST", "/api/task_runs/paginate"),
            ("GET", "/api/task_run_states/{}"),
        ]),
        sentence: "Leasehold has no statistics, pages and graphs of runs. List runs with \
                   POST /api/flow_runs/filter and POST /api/task_runs/filter.",
    },
    Family {
        name: "Prefect's own pages",
        paths: Below(&["/api/ui", "/ui-settings", "/api/ui-settings", "/api/saved_searches"]),
        sentence: "Leasehold does not serve Prefect's pages and what they alone ask for. Who holds \
                   what is at GET /api/leases; the API is shown at /docs.",
    },
    Family {
        name: "Settings",
        paths: These(&[
            ("GET", "/api/admin/settings"),
            ("PUT", "/api/admin/storage"),
            ("DELETE", "/api/admin/storage"),
        ]),
        sentence: "Leasehold's settings are flags, variables and a file of `leasehold server \
                   start`. Where results are stored is a setting of the client.",
    },
    Family {
        name: "Documentation of Prefect's API",
        paths: Below(&[
            "/api/docs",
            "/api/redoc",
            "/docs/oauth2-redirect",
            "/redoc",
            "/openapi.json",
        ]),
        sentence: "Leasehold's API is shown at /docs, and described at /api/openapi.json.",
    },
    Family {
        name: "Prefect Cloud",
        paths: Below(&["/api/accounts", "/accounts", "/api/me"]),
        sentence: "This is a path of Prefect Cloud. Leasehold has no accounts and workspaces: let \
                   PREFECT_API_URL end in /api, and set no account_id and workspace_id in Terraform.",
    },
];

/// Tasks that nothing would ever run. The server refuses to record them, too.
pub(super) const BACKGROUND: Family = Family {
    name: "Background tasks",
    paths: Below(&["/api/task_workers", "/api/task_runs/subscriptions"]),
    sentence: "Leasehold hands no tasks to task workers: what `task.delay()` defers would never \
               run. Call the task, `.submit()` it in a flow, or serve it from a Prefect server.",
};

/// `/api/v2`, where `/api/v2/concurrency_limits/..` arrives.
pub(super) const DOTS: Family = Family {
    name: "Limits named by dots",
    paths: Below(&[]),
    sentence: "This path names nothing. Clients shorten a path that ends in '..': reach a limit that \
               is named '.' or '..' by its id, or escape the dots (%2E%2E).",
};

/// Reads whose 404 Prefect's own commands take for "not created yet". They then hide the sentence:
/// `prefect deploy` advises to create a work pool in the UI, and `prefect worker start` exits with
/// success. So the answer is 410; that breaks nothing, because nothing can exist at these paths.
const TAKEN_FOR_NOT_MADE_YET: [&str; 3] =
    ["/api/work_pools/{}", "/api/deployments/{}", "/api/deployments/name/{}/{}"];

/// Whether Prefect's client prints the sentence only if the status is not 404.
pub(super) fn hides_the_sentence(method: &str, path: &str) -> bool {
    method == "GET" && TAKEN_FOR_NOT_MADE_YET.iter().any(|template| is_like(path, template))
}

impl Family {
    pub(super) fn has(&self, method: &str, path: &str) -> bool {
        match self.paths {
            Below(bases) => bases.iter().any(|base| {
                let rest = path.strip_prefix(base);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
            These(paths) => paths.iter().any(|(of, like)| *of == method && is_like(path, like)),
        }
    }
}

/// Whether a path has the segments of a template.
fn is_like(path: &str, template: &str) -> bool {
    let mut segments = path.trim_end_matches('/').split('/');
    let all = template.split('/').all(|expected| match segments.next() {
        Some(segment) => segment == expected || (expected == "{}" && is_name(segment)),
        None => false,
    });
    all && segments.next().is_none()
}

/// Whether a segment can be an id or a name. The paths of lists have other words in that place.
fn is_name(segment: &str) -> bool {
    !matches!(segment, "" | "filter" | "count")
}
