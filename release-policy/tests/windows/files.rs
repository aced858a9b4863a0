//! Windows as people write them, in YAML, TOML and JSON.

use release_policy::window::{ActionClass, Query, WindowRules, Windows};

use super::support::{ann, at, place};

const YAML: &str = r#"
windows:
  - id: weekend
    kind: freeze
    when: { type: rrule, start: 2024-01-05T22:00, rule: FREQ=WEEKLY;BYDAY=FR, lasts: 56h, except: [2026-03-13] }
    zone: Europe/Berlin
    scope: { environments: [production] }
    owner: sre
    reason: nobody is there
  - id: office
    kind: deployment
    when: { type: cron, schedule: "0 9 * * MON-FRI", lasts: 8h }
    zone: Europe/Berlin
    actions: [deploy]
    invokers: { kinds: [service] }
    on_start: finish
    except_holidays: [de]
    owner: sre
    reason: machines deploy by day
calendars:
  - id: de
    holidays:
      - { name: Labour Day, on: 2000-05-01, rule: FREQ=YEARLY, categories: [public] }
waivers:
  - id: hotfix
    window: weekend
    principals: [ann]
    from: 2026-03-07T10:00:00Z
    until: 2026-03-07T12:00:00Z
    granted_by: eve
    reason: INC-7
classes: { db/migrate: migrate }
straddle: never
"#;

#[test]
fn yaml_json_and_toml_say_the_same() {
    let read: Windows = serde_saphyr::from_str(YAML).unwrap();
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Windows>(&json).unwrap(), read);
    let toml = toml::to_string(read.rules()).unwrap();
    assert_eq!(toml::from_str::<Windows>(&toml).unwrap(), read);
    let (ann, production) = (ann(), place("production", None));
    let open =
        |text| read.is_open(&Query::new(ActionClass::Deploy, &ann, at(text)).place(&production));
    assert!(!open("2026-03-07T09:00"));
    assert!(open("2026-03-07T11:00"), "waived");
    assert!(open("2026-03-14T11:00"), "excepted");
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_the_window() {
    for (good, bad, want) in [
        ("lasts: 56h", "lasts: 56 parsecs", "window `weekend`: `lasts`: `56 parsecs`"),
        (
            "Europe/Berlin",
            "Europe/Atlantis",
            "window `weekend`: `Europe/Atlantis` is not a time zone",
        ),
        (
            "FREQ=WEEKLY;BYDAY=FR",
            "FREQ=WEEKLY;BYDAY=XX",
            "window `weekend`: `FREQ=WEEKLY;BYDAY=XX`",
        ),
        ("0 9 * * MON-FRI", "0 25 * * MON-FRI", "window `office`: `0 25 * * MON-FRI`"),
        ("id: office", "id: weekend", "window `weekend`: another window has the same name"),
        ("granted_by: eve", "granted_by: ann", "waiver `hotfix`: ann gave it to themselves"),
        ("rule: FREQ=YEARLY", "rule: YEARLY", "calendar `de`, holiday `Labour Day`"),
        ("owner: sre", "owner: sre\n    colour: red", "colour"),
        ("type: cron,", "type: moon,", "moon"),
        ("[deploy]", "[]", "it concerns no action"),
        (
            "except_holidays: [de]",
            "except_holidays: [fr]",
            "window `office`: there is no calendar `fr`",
        ),
    ] {
        let text = YAML.replacen(good, bad, 1);
        assert_ne!(text, YAML, "{good}");
        let error = serde_saphyr::from_str::<Windows>(&text).unwrap_err().to_string();
        assert!(error.contains(want), "{bad}: {error}");
    }
    assert_eq!(serde_json::from_str::<WindowRules>("{}").unwrap(), WindowRules::default());
}
