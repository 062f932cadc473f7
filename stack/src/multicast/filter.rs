//! Which sources of a group are wanted: by a socket, and by an interface, which wants what any of its sockets wants (RFC 3376
//! section 3, RFC 3810 section 4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::error::Error;

/// Sources of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Only these (`MCAST_INCLUDE`).
    Include(BTreeSet<IpAddr>),
    /// All but these (`MCAST_EXCLUDE`).
    Exclude(BTreeSet<IpAddr>),
}

impl Filter {
    /// That of a group which nobody is a member of.
    pub(crate) const NOTHING: Self = Self::Include(BTreeSet::new());
    /// That of a plain member.
    pub(crate) const EVERYTHING: Self = Self::Exclude(BTreeSet::new());

    /// What those who want `filters` want together (RFC 3376 section 3.2, RFC 3810 section 4.2).
    pub(crate) fn merge<'a>(filters: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut included = BTreeSet::new();
        let mut excluded: Option<BTreeSet<IpAddr>> = None;
        for filter in filters {
            match filter {
                Self::Include(sources) => included.extend(sources),
                Self::Exclude(sources) => {
                    excluded = Some(match excluded {
                        None => sources.clone(),
                        Some(known) => known.intersection(sources).copied().collect(),
                    });
                }
            }
        }
        match excluded {
            None => Self::Include(included),
            Some(excluded) => Self::Exclude(excluded.difference(&included).copied().collect()),
        }
    }

    /// Whether datagrams from `source` are wanted.
    pub(crate) fn admits(&self, source: IpAddr) -> bool {
        match self {
            Self::Include(sources) => sources.contains(&source),
            Self::Exclude(sources) => !sources.contains(&source),
        }
    }

    /// Whether nobody is wanted.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Include(sources) if sources.is_empty())
    }

    pub(crate) const fn is_exclude(&self) -> bool {
        matches!(self, Self::Exclude(_))
    }

    pub(crate) const fn sources(&self) -> &BTreeSet<IpAddr> {
        match self {
            Self::Include(sources) | Self::Exclude(sources) => sources,
        }
    }

    const fn sources_mut(&mut self) -> &mut BTreeSet<IpAddr> {
        match self {
            Self::Include(sources) | Self::Exclude(sources) => sources,
        }
    }
}

/// What a socket says about one source of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// It is wanted: `IP_ADD_SOURCE_MEMBERSHIP`, `MCAST_JOIN_SOURCE_GROUP`.
    Join,
    /// It is not any more: `IP_DROP_SOURCE_MEMBERSHIP`, `MCAST_LEAVE_SOURCE_GROUP`.
    Leave,
    /// All others are wanted: `IP_BLOCK_SOURCE`, `MCAST_BLOCK_SOURCE`.
    Block,
    /// It is, too: `IP_UNBLOCK_SOURCE`, `MCAST_UNBLOCK_SOURCE`.
    Unblock,
}

/// The filter of one socket, which is changed source by source as Linux does it (`ip_mc_source`, `ip6_mc_source`).
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    filter: Filter,
    /// Whether a source was ever named: then the mode stays.
    settled: bool,
}

impl Wish {
    /// All sources.
    pub(crate) const fn everything() -> Self {
        Self { filter: Filter::EVERYTHING, settled: false }
    }

    /// None yet.
    pub(crate) const fn nothing() -> Self {
        Self { filter: Filter::NOTHING, settled: false }
    }

    /// What was said as a whole: then the mode stays.
    pub(crate) const fn exactly(filter: Filter) -> Self {
        Self { filter, settled: true }
    }

    /// Changes what is wanted of one source, of which there are `most` at most. Says whether the group is left, by nothing
    /// being wanted of it.
    pub(crate) fn change(
        &mut self,
        change: SourceChange,
        source: IpAddr,
        most: usize,
    ) -> Result<bool, Error> {
        let exclude = matches!(change, SourceChange::Block | SourceChange::Unblock);
        if self.filter.is_exclude() != exclude {
            if self.settled {
                return Err(Error::Invalid);
            }
            self.filter = if exclude { Filter::EVERYTHING } else { Filter::NOTHING };
        }
        let sources = self.filter.sources_mut();
        match change {
            SourceChange::Join | SourceChange::Block => {
                if sources.len() >= most {
                    return Err(Error::NoBuffers);
                }
                self.settled = true;
                if !sources.insert(source) {
                    return Err(Error::AddressNotAvailable);
                }
                Ok(false)
            }
            SourceChange::Leave if sources.len() == 1 && sources.contains(&source) => Ok(true),
            SourceChange::Leave | SourceChange::Unblock => {
                if !sources.remove(&source) {
                    return Err(Error::AddressNotAvailable);
                }
                Ok(false)
            }
        }
    }

    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(last: &[u8]) -> BTreeSet<IpAddr> {
        last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect()
    }

    fn include(last: &[u8]) -> Filter {
        Filter::Include(sources(last))
    }

    fn exclude(last: &[u8]) -> Filter {
        Filter::Exclude(sources(last))
    }

    #[test]
    fn an_interface_wants_what_any_socket_wants_rfc_3376_3_2() {
        let merge = |filters: &[Filter]| Filter::merge(filters);
        assert_eq!(merge(&[]), Filter::NOTHING);
        assert_eq!(merge(&[include(&[1, 2]), include(&[2, 3])]), include(&[1, 2, 3]));
        assert_eq!(merge(&[include(&[1]), Filter::EVERYTHING]), Filter::EVERYTHING);
        // The example of the RFC: exclude {a, b, c, d}, exclude {b, c, d, e}, include {d, e, f} is exclude {b, c}.
        let filters = [exclude(&[1, 2, 3, 4]), exclude(&[2, 3, 4, 5]), include(&[4, 5, 6])];
        assert_eq!(merge(&filters), exclude(&[2, 3]));
    }

    #[test]
    fn a_filter_says_who_is_heard() {
        let heard = |filter: &Filter| [1, 2].map(|last| filter.admits([10, 0, 0, last].into()));
        assert_eq!(heard(&include(&[1])), [true, false]);
        assert_eq!(heard(&exclude(&[1])), [false, true]);
        assert_eq!(heard(&Filter::NOTHING), [false; 2]);
        assert_eq!(heard(&Filter::EVERYTHING), [true; 2]);
    }

    #[test]
    fn the_mode_of_a_wish_stays_once_a_source_was_named() {
        let [one, two]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let mut wish = Wish::everything();
        assert_eq!(wish.change(SourceChange::Unblock, one, 2), Err(Error::AddressNotAvailable));
        assert_eq!(wish.change(SourceChange::Join, one, 2), Ok(false));
        assert_eq!(wish.filter(), &include(&[1]));
        assert_eq!(wish.change(SourceChange::Join, one, 2), Err(Error::AddressNotAvailable));
        assert_eq!(wish.change(SourceChange::Block, one, 2), Err(Error::Invalid));
        assert_eq!(wish.change(SourceChange::Join, two, 2), Ok(false));
        assert_eq!(wish.change(SourceChange::Join, [10, 0, 0, 3].into(), 2), Err(Error::NoBuffers));
        assert_eq!(wish.change(SourceChange::Leave, one, 2), Ok(false));
        assert_eq!(wish.change(SourceChange::Leave, two, 2), Ok(true));
    }
}
