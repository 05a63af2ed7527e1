//! Reads the trusted root certificates, and says which they are.

use std::fs;
use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{BaseRoots, Roots};

/// The largest root certificate file that is read, in bytes. The bundles of systems have a quarter of it.
const FILE_MAX: u64 = 1 << 20;

/// The trusted roots, as they are read, and every problem.
pub(super) struct Loaded {
    pub store: RootCertStore,
    /// The sources, for people.
    pub sources: String,
    pub problems: Vec<String>,
}

impl Loaded {
    /// Reads all roots. Goes on after a problem, so that all are found.
    pub fn read(roots: &Roots) -> Self {
        let mut loaded = Self { store: RootCertStore::empty(), sources: String::new(), problems: Vec::new() };
        loaded.read_base(&roots.base);
        for pem in &roots.pem {
            let added = certificates(pem).and_then(|found| loaded.add(found));
            loaded.note(added, "a PEM text", "root certificates");
        }
        for path in &roots.files {
            loaded.read_file(path, "");
        }
        loaded
    }

    fn read_base(&mut self, base: &BaseRoots) {
        match base {
            BaseRoots::Bundled => {
                self.store.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
                self.sources = format!("the {} bundled roots", self.store.len());
            }
            #[cfg(feature = "system-roots")]
            BaseRoots::System => self.read_system(),
            BaseRoots::Env { file, directories } => {
                if let Some(path) = file {
                    self.read_file(path, " (SSL_CERT_FILE)");
                }
                for path in directories {
                    self.read_directory(path);
                }
            }
        }
    }

    /// The system's sets contain certificates that rustls cannot use; these are skipped, as other programs do.
    #[cfg(feature = "system-roots")]
    fn read_system(&mut self) {
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = self.store.add_parsable_certificates(found.certs);
        self.sources = format!("the {usable} roots of the operating system");
        if usable == 0 {
            let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            self.problems.push(format!(
                "root certificates: the operating system has none{why}; install its package ca-certificates, or use the \
                 bundled ones"
            ));
        }
    }

    fn read_file(&mut self, path: &Path, variable: &str) {
        let added = read(path).and_then(|pem| certificates(&pem)).and_then(|found| self.add(found));
        let source = format!("{}{variable}", path.display());
        self.note(added, &source, &format!("root certificates {source}"));
    }

    /// Reads the PEM files in a directory. Other files are allowed, because such directories contain them, too.
    fn read_directory(&mut self, path: &Path) {
        let source = format!("{} (SSL_CERT_DIR)", path.display());
        let added = fs::read_dir(path).map_err(|error| error.to_string()).and_then(|entries| {
            let files = entries.flatten().filter_map(|entry| read(&entry.path()).ok());
            let found: Vec<_> = files.filter_map(|pem| certificates(&pem).ok()).flatten().collect();
            match self.store.add_parsable_certificates(found).0 {
                0 => Err("contains no file with a root certificate".to_owned()),
                usable => Ok(usable),
            }
        });
        self.note(added, &source, &format!("root certificates {source}"));
    }

    fn add(&mut self, found: Vec<CertificateDer<'static>>) -> Result<usize, String> {
        let count = found.len();
        for certificate in found {
            self.store.add(certificate).map_err(|error| format!("a root certificate is unusable: {error}"))?;
        }
        Ok(count)
    }

    /// Notes the roots that were added from a source, or why none were.
    fn note(&mut self, added: Result<usize, String>, source: &str, subject: &str) {
        match added {
            Ok(count) => {
                let and = if self.sources.is_empty() { "" } else { ", and " };
                self.sources.push_str(&format!("{and}{count} from {source}"));
            }
            Err(why) => self.problems.push(format!("{subject}: {why}")),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    // A device or a pipe may never end and does not report its size.
    if !fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("this is not a file".to_owned());
    }
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_MAX + 1).read_to_end(&mut pem).map_err(|error| error.to_string())?;
    if pem.len() as u64 > FILE_MAX {
        return Err(format!("larger than {FILE_MAX} bytes, which is too large for a certificate file"));
    }
    Ok(pem)
}

/// Returns the certificates in a PEM text. At least one is required.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("it is not valid PEM: {error}"))?;
    if found.is_empty() { Err(without_certificate(pem)) } else { Ok(found) }
}

/// Says what a file without a PEM certificate contains instead.
fn without_certificate(pem: &[u8]) -> String {
    let contains = |text: &str| pem.windows(text.len()).any(|part| part == text.as_bytes());
    let what = if pem.trim_ascii().is_empty() {
        "it is empty"
    } else if contains("PRIVATE KEY-----") {
        "it contains a private key and no certificate; pass the file with the CA's certificate, and keep the key secret"
    } else if contains("CERTIFICATE REQUEST-----") {
        "it contains a certificate request and no certificate; pass the certificate of the CA"
    } else if pem.starts_with(&[0x30]) {
        "it seems to be DER; convert it with: openssl x509 -inform der -in FILE -out ca.pem"
    } else {
        "it contains no PEM certificate, which begins with -----BEGIN CERTIFICATE-----"
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(pem: &[u8]) -> String {
        Loaded::read(&Roots::bundled().and_pem(pem)).problems.join("; ")
    }

    #[test]
    fn a_text_without_a_certificate_is_refused_with_what_it_is() {
        let key = rcgen::KeyPair::generate().unwrap();
        assert!(problem(b"").contains("is empty") && problem(b" \n").contains("is empty"));
        assert!(problem(b"not PEM").contains("-----BEGIN CERTIFICATE-----"));
        assert!(problem(key.serialize_pem().as_bytes()).contains("private key"));
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        assert!(problem(request.as_bytes()).contains("certificate request"));
        let certificate = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert;
        assert!(problem(certificate.der()).contains("openssl x509"));
        assert!(problem(&certificate.pem().as_bytes()[..200]).contains("PEM"));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(problem(garbage.as_bytes()).contains("unusable"));
        assert_eq!(problem(certificate.pem().as_bytes()), "");
    }

    #[test]
    fn the_sources_say_what_is_trusted_and_every_problem_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let pem = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem();
        fs::write(path("a.pem"), &pem).unwrap();
        fs::write(path("README"), "no certificate").unwrap();
        let bundled = webpki_roots::TLS_SERVER_ROOTS.len();
        let loaded = Loaded::read(&Roots::bundled().and_pem(pem.as_str()).and_file(path("a.pem")));
        let expected =
            format!("the {bundled} bundled roots, and 1 from a PEM text, and 1 from {}", path("a.pem").display());
        assert_eq!((loaded.sources, loaded.store.len(), loaded.problems), (expected, bundled + 2, vec![]));

        let base = BaseRoots::Env { file: Some(path("a.pem")), directories: vec![directory.path().to_owned()] };
        let loaded = Loaded::read(&Roots { base, ..Roots::bundled() });
        assert_eq!((loaded.store.len(), loaded.problems.len()), (2, 0), "the bundled roots are replaced");
        assert!(loaded.sources.contains("(SSL_CERT_FILE)") && loaded.sources.contains("(SSL_CERT_DIR)"));

        let base = BaseRoots::Env { file: Some(path("none")), directories: vec![path("none")] };
        let loaded =
            Loaded::read(&Roots { base, ..Roots::bundled() }.and_file(directory.path()).and_file(path("README")));
        assert_eq!((loaded.store.len(), loaded.problems.len()), (0, 4), "{:?}", loaded.problems);
    }

    #[cfg(feature = "system-roots")]
    #[test]
    fn the_systems_roots_replace_the_bundled_ones() {
        let loaded = Loaded::read(&Roots { base: BaseRoots::System, ..Roots::bundled() });
        // A machine without them is an error that says so.
        assert_eq!(loaded.store.is_empty(), !loaded.problems.is_empty(), "{:?}", loaded.problems);
        assert!(loaded.sources.contains("operating system"), "{}", loaded.sources);
    }
}
