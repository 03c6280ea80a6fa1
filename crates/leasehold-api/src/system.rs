//! What clients ask about the server itself.

use crate::body::body;
use crate::rule::TEXT;

body! {
    /// Who asks for a token that allows writes.
    pub struct CsrfTokenFor: Parameters {
        /// The id that the client has chosen for itself.
        pub client: String = required("client", TEXT);
    }
}
