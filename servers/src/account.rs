//! The user that PostgreSQL runs as. It refuses to run as root, so root lends it another account of the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::process;

/// An unprivileged user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) user_id: u32,
    pub(crate) group_id: u32,
}

impl Account {
    /// None when this process is an ordinary user: PostgreSQL then runs as the same user.
    pub(crate) fn for_postgres() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let path = Path::new("/etc/passwd");
        let users = fs::read_to_string(path).map_err(Error::io("read", path))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| parse(&users, name))
            .map(Some)
            .ok_or(Error::NoAccount)
    }

    /// Whether this user can enter `folder` and read in it.
    pub(crate) fn can_reach(&self, folder: &Path) -> bool {
        let mut probe = Command::new("/bin/sh");
        probe
            .args(["-c", "test -r \"$1\" && test -x \"$1\"", "sh"])
            .arg(folder);
        process::run(probe, Some(self), Duration::from_secs(10))
            .is_ok_and(|finished| finished.success)
    }

    /// Gives `path`, and all below it, to this user.
    pub(crate) fn take_over(&self, path: &Path) -> Result<(), Error> {
        let mut open: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(path) = open.pop() {
            let change = || -> io::Result<Vec<PathBuf>> {
                std::os::unix::fs::lchown(&path, Some(self.user_id), Some(self.group_id))?;
                if !fs::symlink_metadata(&path)?.is_dir() {
                    return Ok(Vec::new());
                }
                fs::read_dir(&path)?
                    .map(|entry| Ok(entry?.path()))
                    .collect()
            };
            open.extend(change().map_err(Error::io("change the owner of", &path))?);
        }
        Ok(())
    }
}

fn parse(users: &str, name: &str) -> Option<Account> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    // macOS writes nobody's id as -2.
    let mut id = || -> Option<u32> {
        let number: i64 = fields.next()?.parse().ok()?;
        u32::try_from(number)
            .or_else(|_| i32::try_from(number).map(i32::cast_unsigned))
            .ok()
    };
    let account = Account {
        name: name.to_owned(),
        user_id: id()?,
        group_id: id()?,
    };
    (account.user_id != 0).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_list_is_read() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\nnobody:*:-2:-2::/:/bin/false\n";
        let account = parse(users, "postgres").unwrap();
        assert_eq!((account.user_id, account.group_id), (101, 104));
        assert_eq!(parse(users, "nobody").unwrap().user_id, u32::MAX - 1);
        assert_eq!(parse(users, "post"), None);
        assert_eq!(parse(users, "root"), None);
    }
}
