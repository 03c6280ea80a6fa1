//! What is trusted: the certificates of the system (on Linux also `SSL_CERT_FILE`), and those of
//! the settings.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::source::SettingsError;

/// `is_used` is false for `http://`: then no certificates are loaded, which takes milliseconds.
pub(crate) fn config(is_used: bool, ca_file: Option<&Path>) -> Result<ClientConfig, SettingsError> {
    let failed = |error: &dyn std::fmt::Display| SettingsError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    if !is_used {
        let none = RootCertStore::empty();
        return Ok(builder.with_root_certificates(none).with_no_client_auth());
    }
    let extra = ca_file.map(read).transpose()?.unwrap_or_default();
    let verifier =
        Verifier::new_with_extra_roots(extra, provider).map_err(|error| failed(&error))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let wrong = |why: String| SettingsError::File { path: path.to_owned(), why };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates =
        read.map_err(|error| wrong(format!("failed to read certificates: {error}")))?;
    if certificates.is_empty() {
        Err(wrong("holds no certificate in PEM".to_owned()))
    } else {
        Ok(certificates)
    }
}
