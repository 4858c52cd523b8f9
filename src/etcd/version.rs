//! Versions of etcd, as its members tell them and as a configuration asks for them.

use std::fmt;
use std::str::FromStr;

/// A version: `3.5`, or `3.5.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: Option<u32>,
}

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch: Some(patch),
        }
    }
}

impl FromStr for Version {
    type Err = ();

    /// What stands behind the numbers, `-rc.0` say, makes no difference.
    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(|number| number.parse().map_err(|_| ()));
        let version = Self {
            major: numbers.next().ok_or(())??,
            minor: numbers.next().ok_or(())??,
            patch: numbers.next().transpose()?,
        };
        match numbers.next() {
            None => Ok(version),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(f, ".{patch}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|()| panic!("{text}"))
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        for (older, newer) in [
            ("3.4.23", "3.5"),
            ("3.5", "3.5.0"),
            ("3.5.9", "3.5.10"),
            ("3.9", "3.10"),
            ("3.99", "4.0"),
        ] {
            assert!(version(older) < version(newer), "{older} {newer}");
        }
        assert_eq!(version("3.7.0-rc.1"), version("3.7.0"));
        assert_eq!(version("3.5.1").to_string(), "3.5.1");
    }

    #[test]
    fn what_is_no_version_is_told() {
        for text in [
            "",
            "3",
            "3.",
            "3.x",
            "3.5.1.2",
            "v3.5",
            "3.5.",
            " 3.5",
            "-3.5",
            "3.99999999999",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
