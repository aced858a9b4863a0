//! The client by which web services are called, over TLS and without. Where it is sent on to, it does not follow.

use std::path::Path;
use std::sync::Arc;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::{ErrorKind, ProviderError};

/// What calls are made with. A clone is the same.
pub(crate) type Caller = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client for what is at `places`. TLS is spoken where they say `https`, by the certificates that the system trusts and
/// those of `authorities`.
///
/// # Errors
/// Of `operation`: `Invalid` for certificates that cannot be read, `Unavailable` where the system has none.
pub(crate) fn caller<'a>(
    places: impl IntoIterator<Item = &'a Uri>,
    authorities: Option<&Path>,
    operation: &'static str,
) -> Result<Caller, ProviderError> {
    let tls = places.into_iter().any(|place| place.scheme_str() == Some("https"));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(trusting(tls, authorities, operation)?)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// What is trusted over TLS: the system's authorities, where they are `needed`, and those of a file.
fn trusting(
    needed: bool,
    authorities: Option<&Path>,
    operation: &'static str,
) -> Result<ClientConfig, ProviderError> {
    let mut roots = RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 && authorities.is_none() {
            let text = "this system trusts no certificate authority; install them (ca-certificates), or name a file in `authorities`";
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        }
    }
    if let Some(path) = authorities {
        let bad = |why: String| {
            let text = format!("`authorities` cannot be read: {why}; mend the file");
            ProviderError::new(ErrorKind::Invalid, operation, text)
        };
        let found = CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))?;
        let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))?;
        if found.is_empty() || roots.add_parsable_certificates(found).0 == 0 {
            return Err(bad("it has no certificate".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ProviderError::new(ErrorKind::Internal, operation, e.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A URL that can be called. One that cannot is not repeated: it may hold credentials.
///
/// # Errors
/// What is wrong with it, and what would do.
pub(crate) fn callable(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "the url is none; write one")?;
    let spoken = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri
        .authority()
        .filter(|_| spoken)
        .ok_or("the url is not of the form `https://host/path`; write the whole of it")?;
    if authority.as_str().contains('@') {
        return Err("the url holds credentials; give a `token` by reference");
    }
    // What a server makes of these is not what was compared.
    let odd = ["..", "//", "%2e", "%2f", "%5c", "\\"];
    let path = uri.path().to_ascii_lowercase();
    if odd.iter().any(|odd| path.contains(odd)) {
        return Err("the url's path has `..`, `//` or such signs escaped; write it plainly");
    }
    Ok(uri)
}

/// An error with all that caused it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
