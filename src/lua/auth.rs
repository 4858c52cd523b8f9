//! Requests of the Auth service that take other fields than their messages have: one name for a user and one for a
//! role throughout, and permissions in the words of ranges.

use std::mem;

use zeroize::Zeroizing;

use super::failure::Invalid;
use super::fields::{Decode, Fields};
use super::messages::key_range;
use crate::etcd::pb::authpb::{Permission, UserAddOptions};
use crate::etcd::pb::{
    AuthRoleGrantPermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserRevokeRoleRequest,
};

/// What a role may do, by its number.
const PERMISSIONS: [&str; 3] = ["READ", "WRITE", "READWRITE"];

/// Either a password or none at all: a user whose password was forgotten here would have an empty one.
impl Decode for AuthUserAddRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let name = fields.optional_text("name")?.unwrap_or_default();
        let without = fields.flag("nopassword")?;
        let mut password = password(fields)?;
        match (&password, without) {
            (Some(_), true) => return Err(fields.field("nopassword", "excludes 'password'")),
            (None, true) => fields.spare("password"),
            _ => {}
        }
        Ok(Self {
            name,
            password: password.as_deref_mut().map(mem::take).unwrap_or_default(),
            options: without.then_some(UserAddOptions { no_password: true }),
            hashed_password: String::new(),
        })
    }
}

impl Decode for AuthUserChangePasswordRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let name = fields.optional_text("name")?.unwrap_or_default();
        let mut password = password(fields)?;
        Ok(Self {
            name,
            password: password.as_deref_mut().map(mem::take).unwrap_or_default(),
            hashed_password: String::new(),
        })
    }
}

/// An empty password would let everybody in.
fn password(fields: &mut Fields<'_>) -> Result<Option<Zeroizing<String>>, Invalid> {
    match fields.secret("password")? {
        Some(password) if password.is_empty() => Err(fields.field("password", "must not be empty")),
        password => Ok(password),
    }
}

impl Decode for AuthUserRevokeRoleRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            name: either(fields, "user", "name")?,
            role: fields.optional_text("role")?.unwrap_or_default(),
        })
    }
}

impl Decode for AuthRoleGrantPermissionRequest {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Invalid> {
        let role = either(fields, "role", "name")?;
        let permission = fields.required_choice("permission", &PERMISSIONS)?;
        let (key, range_end) = key_range(fields)?;
        Ok(Self {
            name: role,
            perm: Some(Permission {
                perm_type: permission.unwrap_or_default(),
                key,
                range_end,
            }),
        })
    }
}

/// A text under its name or, as etcd's message has it, another.
fn either(fields: &mut Fields<'_>, name: &'static str, other: &'static str) -> Result<String, Invalid> {
    let (text, same) = (fields.optional_text(name)?, fields.optional_text(other)?);
    match (text, same) {
        (Some(_), Some(_)) => Err(fields.field(other, &format!("is the same as '{name}'"))),
        (None, Some(text)) => {
            fields.spare(name);
            Ok(text)
        }
        (text, None) => Ok(text.unwrap_or_default()),
    }
}
