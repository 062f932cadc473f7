//! The switches of a program, by name.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{DEFAULT_MTU, Switch};

/// Switches by name. It keeps none of them alive: a switch goes with its last port, and the next to ask
/// for its name gets a new one.
#[derive(Debug, Default)]
pub struct Switches {
    by_name: Mutex<HashMap<String, Weak<Switch>>>,
}

impl Switches {
    /// The switch of that name, made with the default MTU if there is none.
    #[must_use]
    pub fn get_or_create(&self, name: &str) -> Arc<Switch> {
        self.get_or_create_with_mtu(name, DEFAULT_MTU)
    }

    /// The switch of that name, made with the given MTU if there is none. One that exists keeps its own
    /// [`mtu`](Switch::mtu), which the caller may want to compare.
    #[must_use]
    pub fn get_or_create_with_mtu(&self, name: &str, mtu: u16) -> Arc<Switch> {
        let mut by_name = self.by_name.lock();
        if let Some(switch) = by_name.get(name).and_then(Weak::upgrade) {
            return switch;
        }
        by_name.retain(|_, switch| switch.strong_count() > 0);
        let switch = Switch::with_mtu(name, mtu);
        by_name.insert(name.into(), Arc::downgrade(&switch));
        switch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_switch_while_somebody_holds_it() {
        let switches = Switches::default();
        let lan = switches.get_or_create("lan");
        assert!(Arc::ptr_eq(&lan, &switches.get_or_create("lan")));
        assert!(!Arc::ptr_eq(&lan, &switches.get_or_create("other")));
        assert_eq!(switches.get_or_create_with_mtu("lan", 9000).mtu(), DEFAULT_MTU);
        drop(lan);
        assert_eq!(switches.get_or_create_with_mtu("lan", 9000).mtu(), 9000);
        assert_eq!(switches.by_name.lock().len(), 1, "the dead are swept");
    }
}
