//! Frontends and who serves them.

use std::collections::BTreeMap;

use super::Kernel;
use super::error::KernelError;
use crate::action::{Backend, Frontend, FrontendKey};

pub(crate) fn observed_backends(_kernel: &Kernel) -> Result<BTreeMap<u32, Backend>, KernelError> {
    Ok(BTreeMap::new())
}

pub(crate) fn observed_frontends(_kernel: &Kernel, _vni: u32) -> Result<BTreeMap<FrontendKey, Frontend>, KernelError> {
    Ok(BTreeMap::new())
}

pub(crate) fn put_backend(_kernel: &mut Kernel, _backend: &Backend) -> Result<(), KernelError> {
    Ok(())
}
pub(crate) fn remove_backend(_kernel: &mut Kernel, _id: u32) -> Result<(), KernelError> {
    Ok(())
}
pub(crate) fn put_frontend(_kernel: &mut Kernel, _frontend: &Frontend) -> Result<(), KernelError> {
    Ok(())
}
pub(crate) fn remove_frontend(_kernel: &mut Kernel, _key: FrontendKey) -> Result<(), KernelError> {
    Ok(())
}
