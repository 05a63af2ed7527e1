//! The root certificates that are trusted: where they come from. `net` reads them.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The trusted root certificates: a set of public roots, and added ones. Default: the [bundled](Self::bundled) set.
///
/// hoga reads files only when an engine or a source of markets is created. Verification cannot be turned off.
#[derive(Clone, PartialEq, Eq)]
pub struct Roots {
    pub(crate) base: BaseRoots,
    /// Added PEM texts.
    pub(crate) pem: Vec<Vec<u8>>,
    /// Added PEM files.
    pub(crate) files: Vec<PathBuf>,
}

/// The set to which roots are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BaseRoots {
    /// The bundled roots.
    Bundled,
    /// The operating system's roots.
    #[cfg(feature = "system-roots")]
    System,
    /// What environment variables name, instead of another set.
    Env {
        /// `SSL_CERT_FILE`: a PEM file.
        file: Option<PathBuf>,
        /// `SSL_CERT_DIR`: directories with PEM files.
        directories: Vec<PathBuf>,
    },
}

impl Default for Roots {
    fn default() -> Self {
        Self::bundled()
    }
}

impl Roots {
    /// The roots that are compiled into hoga: Mozilla's, from the crate `webpki-roots`. They do not depend on the
    /// machine, and change only with a new build.
    pub fn bundled() -> Self {
        Self::of(BaseRoots::Bundled)
    }

    /// The operating system's roots, which an administrator can change. If `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, it
    /// replaces them, as for other programs of the system; [`NetworkStatus`](crate::status::NetworkStatus) then names
    /// the variable.
    #[cfg(feature = "system-roots")]
    pub fn system() -> Self {
        match Self::from_env() {
            Self { base: BaseRoots::Bundled, .. } => Self::of(BaseRoots::System),
            set => set,
        }
    }

    /// The roots in the file `SSL_CERT_FILE` and in the files of the directories `SSL_CERT_DIR` (separated by colons),
    /// or the bundled roots if neither variable is set. As with OpenSSL, the variables replace the public roots. hoga
    /// reads these variables only in this call and in `Roots::system`.
    pub fn from_env() -> Self {
        let set = |variable| env::var_os(variable).filter(|value: &OsString| !value.is_empty());
        let file = set("SSL_CERT_FILE").map(PathBuf::from);
        let directories: Vec<_> =
            set("SSL_CERT_DIR").iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty()).collect();
        if file.is_none() && directories.is_empty() {
            return Self::bundled();
        }
        Self::of(BaseRoots::Env { file, directories })
    }

    /// Adds the root certificates in this PEM text.
    #[must_use]
    pub fn and_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.pem.push(pem.into());
        self
    }

    /// Adds the root certificates in this PEM file.
    #[must_use]
    pub fn and_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push(path.as_ref().to_owned());
        self
    }

    fn of(base: BaseRoots) -> Self {
        Self { base, pem: Vec::new(), files: Vec::new() }
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, pem, files } = self;
        f.debug_struct("Roots").field("base", base).field("pem", &pem.len()).field("files", files).finish()
    }
}
