//! Who the process runs as: `name`, `uid`, `name:group` or `uid:gid`, by the host's own user database.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, setgid, setgroups, setuid};

/// A user looked up before the process starts, so that a wrong name is refused in words.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    pub(super) home: String,
}

impl Identity {
    /// An empty `user` is root.
    pub(super) fn find(user: &str) -> Result<Identity, String> {
        let (name, group) = user.split_once(':').map_or((user, None), |(u, g)| (u, Some(g)));
        let known = known_user(if name.is_empty() { "0" } else { name })?;
        let uid = match (&known, name.parse::<u32>()) {
            (Some(user), _) => user.uid,
            (None, Ok(uid)) => Uid::from_raw(uid),
            (None, Err(_)) => return Err(format!("user {name}: no such user on this host")),
        };
        let gid = match group {
            Some(group) => find_group(group)?,
            None => known.as_ref().map_or(Gid::from_raw(0), |u| u.gid),
        };
        let groups = known.as_ref().and_then(|u| groups_of(u, gid)).unwrap_or_else(|| vec![gid]);
        let home = known.map_or_else(|| "/".into(), |u| u.dir.to_string_lossy().into_owned());
        Ok(Identity { uid, gid, groups, home })
    }

    /// Turns the calling process into that user, for good.
    pub(super) fn assume(&self) -> std::io::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.gid)?;
        setuid(self.uid)?;
        Ok(())
    }
}

fn known_user(name: &str) -> Result<Option<User>, String> {
    let found = match name.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    found.map_err(|e| format!("look up user {name}: {}", e.desc()))
}

fn find_group(name: &str) -> Result<Gid, String> {
    if let Ok(gid) = name.parse::<u32>() {
        return Ok(Gid::from_raw(gid));
    }
    let found = Group::from_name(name).map_err(|e| format!("look up group {name}: {}", e.desc()))?;
    found.map(|g| g.gid).ok_or_else(|| format!("group {name}: no such group on this host"))
}

fn groups_of(user: &User, gid: Gid) -> Option<Vec<Gid>> {
    getgrouplist(&CString::new(user.name.as_str()).ok()?, gid).ok()
}
