//! What must hold between the parts of a configuration, once every part could be read.

pub(crate) mod addresses;
pub(crate) mod applications;
pub(crate) mod disjoint;
pub(crate) mod keys;
pub(crate) mod links;
pub(crate) mod local;
pub(crate) mod names;
pub(crate) mod nodes;
pub(crate) mod paths;
pub(crate) mod prefixes;
pub(crate) mod risks;
pub(crate) mod services;
