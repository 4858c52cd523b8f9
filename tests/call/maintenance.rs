//! What is done to one member after the other, and fails on the way: the error says to which it was done.

use silly_etcd::etcd::pb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentResponse, Member, MemberListResponse,
    ResponseHeader, StatusResponse,
};
use silly_etcd::etcd::{Applied, Code};

use super::support::clock::{run, until};
use super::support::{Call, Cluster, ONCE};

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader {
        member_id: 1,
        ..ResponseHeader::default()
    })
}

#[test]
fn a_member_that_was_defragmented_and_does_not_serve_again_is_named() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            match call.method.as_str() {
                "MemberList" => call.reply(&MemberListResponse {
                    members: vec![Member {
                        id: 1,
                        name: "one".to_owned(),
                        ..Member::default()
                    }],
                    ..MemberListResponse::default()
                }),
                "Status" => call.reply(&StatusResponse {
                    header: header(),
                    ..StatusResponse::default()
                }),
                "Defragment" => call.reply(&DefragmentResponse::default()),
                _ => call.finish("14", "no leader"),
            }
        })
        .await;
        let maintenance = etcd.client(ONCE).maintenance();
        let error = until(maintenance.defragment_all(&ONCE)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::Unavailable, Applied::Maybe));
        assert_eq!(error.message, format!("no leader; done before: {}", etcd.addresses[0]));
    });
}

#[test]
fn alarms_that_were_ended_before_one_that_could_not_be_are_named() {
    run(async {
        let etcd = Cluster::start(1, |mut call: Call| async move {
            let request = call.request::<AlarmRequest>().await.unwrap();
            match request.alarm() {
                AlarmType::Corrupt => call.finish("7", "no"),
                _ => call.reply(&AlarmResponse {
                    header: header(),
                    alarms: [AlarmType::Nospace, AlarmType::Corrupt]
                        .map(|alarm| AlarmMember {
                            member_id: 0xabc,
                            alarm: alarm.into(),
                        })
                        .into(),
                }),
            }
        })
        .await;
        let maintenance = etcd.client(ONCE).maintenance();
        let error = until(maintenance.disarm(0, AlarmType::None, &ONCE)).await.unwrap_err();
        assert_eq!((error.code, error.applied), (Code::PermissionDenied, Applied::Maybe));
        assert_eq!(error.message, "no; done before: NOSPACE of abc");
    });
}
