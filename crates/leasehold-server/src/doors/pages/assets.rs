//! The style and the scripts of the pages. They are part of the program; their names carry a digest
//! of their content, so that a browser keeps them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::access::gate::PAGES;
use crate::doors::routes::Routes;

/// One file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
}

const ALL: [Asset; 3] = [
    Asset {
        name: "page.css",
        media_type: "text/css; charset=utf-8",
        content: include_str!("assets/page.css"),
    },
    // Idiomorph 0.8.0, 0BSD, as the npm package has it in dist/. SHA-256:
    // 4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96
    Asset {
        name: "idiomorph.min.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/idiomorph.min.js"),
    },
    Asset {
        name: "page.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/page.js"),
    },
];

/// The paths of the style and of the scripts, in the order in which a page names them.
static PATHS: LazyLock<[String; 3]> = LazyLock::new(|| {
    ALL.map(|asset| format!("{PAGES}/assets/{}/{}", digest(asset.content), asset.name))
});

pub(super) fn add(routes: Routes) -> Routes {
    routes.add_page(&format!("{PAGES}/assets/{{digest}}/{{name}}"), get(asset))
}

/// The style.
pub(super) fn style() -> &'static str {
    &PATHS[0]
}

/// The scripts.
pub(super) fn scripts() -> &'static [String] {
    &PATHS[1..]
}

/// Open without the password: a sign-in page needs its style.
async fn asset(Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let digest = digest(asset.content);
    let tag = format!("\"{digest}\"");
    let caching = if asked == digest { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kept = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag);
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::ETAG, HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if kept {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.content).into_response()
}

fn digest(content: &str) -> String {
    Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendored_script_is_the_one_that_was_reviewed() {
        let known = "4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96";
        let digest: String =
            Sha256::digest(ALL[1].content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, known);
    }

    #[test]
    fn style_and_scripts_are_small_and_load_nothing() {
        let bytes: usize = ALL.iter().map(|asset| asset.content.len()).sum();
        assert!(bytes < 60_000, "{bytes}");
        for asset in &ALL {
            // The name of a namespace, at which nothing is fetched.
            let content = asset.content.replace("\"http://www.w3.org/1999/xhtml\"", "");
            for foreign in ["http://", "https://", "@import"] {
                assert!(!content.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
    }
}
