//! All accounts are walked over in pages.

use std::collections::BTreeMap;

use ledger::{AccountId, Version};
use store::Head;

use crate::support::build::{create, deposit, new_account_id};
use crate::support::database::Database;
use crate::support::outcomes::{process, writer};
use crate::support::random::Random;

#[tokio::test]
async fn paging_over_the_heads_meets_every_account_once() {
    let store = Database::fresh("heads").await.store();
    assert_eq!(store.heads(None, 10).await.unwrap(), []);

    let mut expected = BTreeMap::new();
    let mut commands = Vec::new();
    let mut random = Random::new(1);
    for name in ["a", "B", "-", "_", "0", "zz", "Z9"]
        .iter()
        .cycle()
        .take(150)
    {
        let account_id = new_account_id(name);
        let versions = 1 + random.below(4);
        commands.push(create(&account_id, "0"));
        commands.extend((1..versions).map(|_| deposit(&account_id, "1")));
        expected.insert(account_id, Version::new(u64::try_from(versions).unwrap()));
    }
    process(&mut writer(&store), &commands).await;

    for limit in [1_u32, 7, 16, 100, 150, 1_000] {
        let mut found: Vec<Head> = Vec::new();
        loop {
            let after: Option<AccountId> = found.last().map(|head| head.account_id.clone());
            let page = store.heads(after.as_ref(), limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= usize::try_from(limit).unwrap());
            found.extend(page);
        }
        assert_eq!(found.len(), expected.len(), "in pages of {limit}");
        let found: BTreeMap<AccountId, Version> = found
            .into_iter()
            .map(|head| (head.account_id, head.version))
            .collect();
        assert_eq!(found, expected, "in pages of {limit}");
    }
}
