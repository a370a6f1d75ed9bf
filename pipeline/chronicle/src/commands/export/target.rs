//! Where an export goes: to stdout, or into a file that is there only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{exit, output};

const BUFFER_BYTES: usize = 1 << 16;

/// Where an export goes.
pub(super) struct Target {
    out: BufWriter<Box<dyn Write + Send>>,
    /// What is written to; nothing for stdout.
    path: Option<PathBuf>,
    unfinished: Option<Unfinished>,
}

/// A file that does not have its name yet. Removed when it is dropped before it is finished.
struct Unfinished {
    file: File,
    path: PathBuf,
    /// What it will be called.
    name: PathBuf,
    finished: bool,
}

impl Target {
    /// Begins to write.
    pub(super) fn open(name: Option<&Path>) -> anyhow::Result<Self> {
        let Some(name) = name.filter(|name| *name != Path::new("-")) else {
            return Ok(Self::of(io::stdout(), None, None));
        };
        // A pipe or a device is written to, not replaced.
        if fs::metadata(name).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let file = File::create(name).map_err(|error| cannot(name, &error))?;
            return Ok(Self::of(file, Some(name), None));
        }
        let mut path = name.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        if name.is_dir() || name.file_name().is_none() {
            return Err(exit::usage(format!(
                "{} is a folder; give the name of a file",
                name.display()
            )));
        }
        let file = File::create(&path).map_err(|error| cannot(&path, &error))?;
        let copy = file.try_clone().map_err(|error| cannot(&path, &error))?;
        let unfinished = Unfinished {
            file,
            path,
            name: name.to_owned(),
            finished: false,
        };
        Ok(Self::of(copy, Some(name), Some(unfinished)))
    }

    fn of(
        out: impl Write + Send + 'static,
        path: Option<&Path>,
        unfinished: Option<Unfinished>,
    ) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, Box::new(out)),
            path: path.map(Path::to_owned),
            unfinished,
        }
    }

    /// Something could not be written.
    pub(super) fn failed(&self, error: io::Error) -> anyhow::Result<()> {
        match &self.path {
            Some(path) => Err(cannot(path, &error)),
            None => output::closed_or(Err(error)),
        }
    }

    /// All of it is written, and stays.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().or_else(|error| self.failed(error))?;
        if let Some(mut unfinished) = self.unfinished.take() {
            unfinished
                .file
                .sync_all()
                .and_then(|()| fs::rename(&unfinished.path, &unfinished.name))
                .map_err(|error| cannot(&unfinished.name, &error))?;
            unfinished.finished = true;
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn cannot(path: &Path, error: &io::Error) -> anyhow::Error {
    exit::usage(format!("{} cannot be written: {error}", path.display()))
}
