//! `RTM_GETRULE`: the rules that every namespace of Linux begins with. A stack has these and no others.

use super::codec::Writer;
use super::constants::{
    FR_ACT_TO_TBL, FRA_PRIORITY, FRA_PROTOCOL, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, RT_TABLE_DEFAULT,
    RT_TABLE_LOCAL, RT_TABLE_MAIN, RTM_NEWRULE, RTPROT_KERNEL, V4, V6,
};
use super::request::Work;

/// All rules of a family.
pub(super) fn dump(work: &Work<'_>) -> Vec<Vec<u8>> {
    let rules = [(V4, 0, RT_TABLE_LOCAL), (V4, 32766, RT_TABLE_MAIN), (V4, 32767, RT_TABLE_DEFAULT)];
    let rules = rules.into_iter().chain([(V6, 0, RT_TABLE_LOCAL), (V6, 32766, RT_TABLE_MAIN)]);
    let wanted = rules.filter(|(family, ..)| work.family() == 0 || work.family() == *family);
    wanted
        .map(|(family, priority, table)| {
            let mut writer = Writer::new(RTM_NEWRULE, 0, work.to);
            // struct fib_rule_hdr.
            writer.put(&[family, 0, 0, 0, table, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]);
            writer.integer(FRA_TABLE, table.into());
            writer.integer(FRA_SUPPRESS_PREFIXLEN, u32::MAX);
            writer.attribute(FRA_PROTOCOL, &[RTPROT_KERNEL]);
            if priority != 0 {
                writer.integer(FRA_PRIORITY, priority);
            }
            writer.finish()
        })
        .collect()
}
