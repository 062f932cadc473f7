//! `scripts/net`: every topology carries what it should, and nothing is left of it.

use anyhow::Result;
use ioth_tests::netns::{Net, Test, need};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        net_script_pair,
        net_script_lan,
        net_script_routed,
        net_script_nat,
        net_script_keeps_networks_apart,
        net_script_says_what_is_wrong,
    ]
}

fn net_script_pair(net: &Net) -> Result<()> {
    up_use_down(net, "pair", "$net exec lab -- ping -c1 10.0.0.1; $net exec lab -- ping -c1 fd00::1")
}

fn net_script_lan(net: &Net) -> Result<()> {
    up_use_down(
        net,
        "lan 3 --mtu 9000",
        "$net exec lab -- ping -c1 fd00::1
         $net exec lab -- ip link show t3 | grep 'mtu 9000.*master lan'
         $net show lab | grep 'tap://t3 .*ip=10.0.0.13/24,gw=10.0.0.1'",
    )
}

fn net_script_routed(net: &Net) -> Result<()> {
    up_use_down(
        net,
        "routed",
        "$net exec lab/host1 -- ping -c1 10.0.2.2; $net exec lab/host2 -- ping -c1 fd00:1::2
         $net exec lab/host1 -- ping -c1 -t1 10.0.2.2 && exit 1 || true # one hop is not enough",
    )
}

fn net_script_nat(net: &Net) -> Result<()> {
    need("nft", "nftables")?;
    up_use_down(
        net,
        "nat",
        "$net exec lab -- ping -c1 192.0.2.1; $net exec lab -- ping -c1 2001:db8::1
         $net exec lab/outside -- ping -c1 10.0.0.2 && exit 1 || true # no way in",
    )
}

fn net_script_keeps_networks_apart(net: &Net) -> Result<()> {
    script(
        net,
        "$net up lab pair; $net up lab-2 routed
         $net down lab
         $net list | grep '^lab-2 '; $net exec lab-2/router -- true
         $net down lab-2",
    )
}

fn net_script_says_what_is_wrong(net: &Net) -> Result<()> {
    script(
        net,
        "says() { wanted=$1; shift; if said=$($net \"$@\" 2>&1); then exit 1; fi; echo \"$said\" | grep -e \"$wanted\"; }
         says 'pair, lan N, routed, nat' up lab ring
         says 'number of its TAPs' up lab lan
         says 'number of its TAPs' up lab lan 0
         says 'a name of a-z' up 'a b' pair
         says 'from 1280' up lab pair --mtu 576
         says 'net up lab' show lab
         $net up lab pair
         says 'up as: pair' up lab lan 2
         $net down lab",
    )
}

fn up_use_down(net: &Net, topology: &str, commands: &str) -> Result<()> {
    need("ping", "iputils-ping")?;
    script(
        net,
        &format!(
            "$net up lab {topology}
             $net up lab {topology} | grep already
             $net show lab | grep tap://t1
             {commands}
             $net down lab; $net down lab"
        ),
    )
}

/// Runs `commands` with an empty `/run/netns` of their own, which must be empty again at the end.
fn script(net: &Net, commands: &str) -> Result<()> {
    need("bash", "bash")?;
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/net");
    // Where /run/netns is not there yet, an unprivileged caller cannot make it: /run is covered whole.
    let inner = format!(
        "set -ex; if test -d /run/netns; then place=/run/netns; else place=/run; fi
         mount -t tmpfs tmpfs $place
         net='{program}'
         {commands}
         test -z \"$(ls /run/netns)\""
    );
    net.run(&format!("unshare --mount sh -c '{}'", inner.replace('\'', r"'\''"))).map(drop)
}
