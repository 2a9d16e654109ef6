//! Whom TLS trusts, as plain data: read while there are rights to read it, parsed later.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Certificates of authorities. None at all stands for Mozilla's list as of this build.
#[derive(Debug, Clone, Default)]
pub struct Roots(pub(super) Vec<CertificateDer<'static>>);

impl Roots {
    /// Those that this machine trusts: the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the
    /// distribution's. What cannot be read is left out.
    pub fn of_this_machine() -> Self {
        Self(rustls_native_certs::load_native_certs().certs)
    }

    /// Those certificates too, in PEM; what is none of them is left out.
    #[must_use]
    pub fn and(mut self, pem: &[u8]) -> Self {
        self.0.extend(CertificateDer::pem_slice_iter(pem).flatten());
        self
    }
}
