//! What the databases themselves see to: rights and primary keys.

use store::EventStore;

use super::report::{Invariant, Report, Violation};

/// Checks who may do what, and that the keys are there on which everything rests.
pub(super) async fn check(store: &EventStore, report: &mut Report) -> anyhow::Result<()> {
    check_rights(store, report).await?;
    check_key(
        store,
        "events",
        &["account_id", "version"],
        Invariant::GaplessVersions,
        report,
    )
    .await?;
    check_key(
        store,
        "commands",
        &["command_id"],
        Invariant::OneOutcome,
        report,
    )
    .await
}

async fn check_rights(store: &EventStore, report: &mut Report) -> anyhow::Result<()> {
    let invariant = Invariant::AppendOnly;
    let rights = store.rights().await?;
    let (user, role) = (&rights.user, rights.application_role);
    let mut excess: Vec<(String, String)> = rights
        .application_role_excess
        .iter()
        .map(|right| (role.to_owned(), right.clone()))
        .collect();
    if rights.owner {
        let note = format!(
            "connected as {user}, an owner, who may do everything, so the rights of {role} were checked instead"
        );
        report.note(invariant, note);
    } else if user != role {
        excess.extend(
            store
                .excess_privileges()
                .await?
                .into_iter()
                .map(|right| (user.clone(), right)),
        );
    }
    if rights.application_role_exists {
        report.checked(
            invariant,
            "roles",
            1 + u64::from(!rights.owner && user != role),
        );
    } else if rights.owner {
        report.not_checked(
            invariant,
            format!("there is no role {role}; `chronicle migrate` makes it"),
        );
    }
    for (role, right) in excess {
        let violation = Violation::new(format!(
            "the role {role} may do more than INSERT and SELECT"
        ))
        .values("no other right", right);
        report.violated(invariant, violation);
    }
    Ok(())
}

async fn check_key(
    store: &EventStore,
    table: &str,
    expected: &[&str],
    invariant: Invariant,
    report: &mut Report,
) -> anyhow::Result<()> {
    let found = store.primary_key(table).await?;
    if found != expected {
        let violation = Violation::new(format!(
            "the primary key of the table {table} is not the one that keeps writers apart"
        ))
        .values(
            format!("({})", expected.join(", ")),
            format!("({})", found.join(", ")),
        );
        report.violated(invariant, violation);
    }
    Ok(())
}
