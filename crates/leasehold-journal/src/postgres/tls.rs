//! TLS as `libpq`'s `sslmode` has it, by rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How TLS is spoken with a server.
#[derive(Clone)]
pub(super) struct Tls(ClientConfig);

/// What a server's certificate has to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the connection is encrypted, and may be to somebody else.
    Anyone,
    /// That an authority signed it.
    Authority,
    /// That an authority signed it for this host.
    Host,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file has no certificate or no key.
    #[error("the file {} cannot be used for TLS: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no authority to trust.
    #[error("no certificate authority is known; name a file of certificates with sslrootcert")]
    NoRoots,
    /// They do not go together.
    #[error("the certificates cannot be used: {0}")]
    Unusable(String),
}

impl Tls {
    /// For connections that are never encrypted.
    pub(super) fn none() -> Result<Self, TlsError> {
        Self::new(Trust::Anyone, None, None, None)
    }

    /// With the authorities in the file `roots` (`system` for the system's; without one, those in
    /// `~/.postgresql/root.crt`, else the system's), and the files of a certificate and a key.
    pub(super) fn new(
        trust: Trust,
        roots: Option<&str>,
        home: Option<&Path>,
        identity: Option<(String, String)>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let builder = match trust {
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoName { chain: None, provider })),
            Trust::Authority => {
                let roots = Arc::new(root_store(roots, home)?);
                let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
                let chain = chain.build().map_err(|error| TlsError::Unusable(error.to_string()))?;
                let verifier = NoName { chain: Some(chain), provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Host => builder.with_root_certificates(root_store(roots, home)?),
        };
        let Some((certificate, key)) = identity else {
            return Ok(Self(builder.with_no_client_auth()));
        };
        let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, &error))?;
        let config = builder.with_client_auth_cert(certificates(&certificate)?, key);
        Ok(Self(config.map_err(|error| TlsError::Unusable(error.to_string()))?))
    }

    pub(super) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(self.0.clone())
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn unusable(path: &str, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.into(), reason: reason.to_string() }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| unusable(path, &error))?;
    if read.is_empty() { Err(unusable(path, &"it has no certificate")) } else { Ok(read) }
}

fn root_store(file: Option<&str>, home: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let in_home = || {
        let path = home?.join(".postgresql/root.crt");
        path.is_file().then(|| path.display().to_string())
    };
    let file = file.map(ToOwned::to_owned).or_else(in_home).filter(|file| file != "system");
    let found = match &file {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// Checks a certificate except for the name in it. Without a chain to check, accepts all.
#[derive(Debug)]
struct NoName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
