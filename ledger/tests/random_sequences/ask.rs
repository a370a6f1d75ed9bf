//! What the sequences ask for, in plain numbers: accounts, holds, owners, reasons and notes are small ones, amounts are
//! digits with a scale, instants are microseconds.

/// How many names for holds there are; each account can use each of them once.
pub(crate) const HOLDS: usize = 5;
/// The largest number of minor units that the ledger keeps.
pub(crate) const LARGEST: i128 = 10_i128.pow(27) - 1;

/// `digits` × 10^-`scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) digits: i128,
    pub(crate) scale: u32,
}

/// Two amounts are the same when they are the same number.
impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        let without_zeros = |amount: &Self| {
            let (mut digits, mut scale) = (amount.digits, amount.scale);
            while scale > 0 && digits % 10 == 0 {
                digits /= 10;
                scale -= 1;
            }
            (digits, scale)
        };
        without_zeros(self) == without_zeros(other)
    }
}

/// Which movements are forbidden, or allowed again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reach {
    pub(crate) debits: bool,
    pub(crate) credits: bool,
}

/// The rules that an account is to have.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Limits {
    pub(crate) minimum: Option<Amount>,
    pub(crate) maximum: Option<Amount>,
    pub(crate) daily_amount: Option<Amount>,
    pub(crate) daily_count: Option<u32>,
    pub(crate) allowed: Option<Allowed>,
}

/// At most four accounts, in order, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed([Option<usize>; 4]);

impl Allowed {
    pub(crate) fn these(accounts: impl IntoIterator<Item = usize>) -> Self {
        let mut accounts: Vec<usize> = accounts.into_iter().collect();
        accounts.sort_unstable();
        accounts.dedup();
        Self(std::array::from_fn(|place| accounts.get(place).copied()))
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flatten()
    }
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    Open {
        account: usize,
        currency: &'static str,
        initial: Amount,
        overdraft: Amount,
    },
    Deposit {
        account: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
    Withdraw {
        account: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
    Transfer {
        from: usize,
        to: usize,
        amount: Amount,
        currency: Option<&'static str>,
    },
    Freeze {
        account: usize,
        reach: Reach,
        reason: u8,
    },
    Unfreeze {
        account: usize,
        reach: Reach,
        reason: Option<u8>,
    },
    Close {
        account: usize,
        sweep_to: Option<usize>,
    },
    Limit {
        account: usize,
        overdraft: Amount,
    },
    Update {
        account: usize,
        owner: Option<u8>,
        notes: Option<u8>,
    },
    Hold {
        account: usize,
        hold: usize,
        amount: Amount,
        currency: Option<&'static str>,
        expires_at: Option<i64>,
    },
    Capture {
        account: usize,
        hold: usize,
        amount: Option<Amount>,
        is_final: bool,
        to: Option<usize>,
    },
    Release {
        account: usize,
        hold: usize,
        amount: Option<Amount>,
    },
    Expire {
        account: usize,
        hold: usize,
    },
    /// The command with that number.
    Reverse {
        account: usize,
        command: u64,
        amount: Option<Amount>,
        reason: u8,
    },
    /// At least one entry.
    Post {
        entries: Vec<Entry>,
    },
    /// At least one, and no batch.
    Batch {
        parts: Vec<Part>,
    },
    Rules {
        account: usize,
        limits: Limits,
    },
    /// Through an account that takes the one currency and one that gives the other.
    Exchange {
        from: usize,
        to: usize,
        taker: usize,
        giver: usize,
        amount: Amount,
        price: Price,
    },
}

/// How much of another currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Price {
    ToAmount(Amount),
    Rate(Amount),
}

/// One entry of a posting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) account: usize,
    pub(crate) is_debit: bool,
    pub(crate) amount: Amount,
    pub(crate) currency: Option<&'static str>,
}

/// One command of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) ask: Ask,
    pub(crate) terms: Terms,
}

/// What must hold when the command is decided.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Terms {
    pub(crate) expected_version: Option<u64>,
    pub(crate) balance_at_least: Option<Amount>,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    /// The business date; only what [can have one](Ask::can_be_dated).
    pub(crate) effective_at: Option<i64>,
}

impl Ask {
    /// Whether it can have a business date.
    pub(crate) fn can_be_dated(&self) -> bool {
        match self {
            Self::Deposit { .. }
            | Self::Withdraw { .. }
            | Self::Transfer { .. }
            | Self::Capture { .. }
            | Self::Reverse { .. }
            | Self::Post { .. }
            | Self::Exchange { .. } => true,
            Self::Open { .. }
            | Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Close { .. }
            | Self::Limit { .. }
            | Self::Update { .. }
            | Self::Hold { .. }
            | Self::Release { .. }
            | Self::Expire { .. }
            | Self::Rules { .. }
            | Self::Batch { .. } => false,
        }
    }

    /// The account debited, or the only one; of a posting and of a batch, that of the first.
    pub(crate) fn account(&self) -> usize {
        match *self {
            Self::Post { ref entries } => entries[0].account,
            Self::Batch { ref parts } => parts[0].ask.account(),
            Self::Open { account, .. }
            | Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::Transfer { from: account, .. }
            | Self::Exchange { from: account, .. }
            | Self::Freeze { account, .. }
            | Self::Unfreeze { account, .. }
            | Self::Close { account, .. }
            | Self::Limit { account, .. }
            | Self::Update { account, .. }
            | Self::Hold { account, .. }
            | Self::Capture { account, .. }
            | Self::Release { account, .. }
            | Self::Expire { account, .. }
            | Self::Rules { account, .. }
            | Self::Reverse { account, .. } => account,
        }
    }

    /// The account credited by what leaves the first one.
    pub(crate) fn other(&self) -> Option<usize> {
        match *self {
            Self::Transfer { to, .. } => Some(to),
            Self::Close { sweep_to: to, .. } | Self::Capture { to, .. } => to,
            _ => None,
        }
    }

    /// The commands of a batch; none of any other.
    pub(crate) fn parts(&self) -> &[Part] {
        match self {
            Self::Batch { parts } => parts,
            _ => &[],
        }
    }

    /// Whether it does nothing but move money, and no money back.
    pub(crate) fn moves_money(&self) -> bool {
        match self {
            Self::Deposit { .. }
            | Self::Withdraw { .. }
            | Self::Transfer { .. }
            | Self::Capture { .. }
            | Self::Post { .. }
            | Self::Exchange { .. } => true,
            Self::Batch { parts } => parts.iter().all(|part| part.ask.moves_money()),
            _ => false,
        }
    }

    /// Whether what it moves is one amount, once.
    pub(crate) fn moves_once(&self) -> bool {
        match self {
            Self::Post { entries } => {
                entries.len() == 2 && entries[0].account != entries[1].account
            }
            Self::Batch { parts } => parts.len() == 1 && parts[0].ask.moves_once(),
            Self::Exchange { .. } => false,
            _ => self.moves_money(),
        }
    }

    /// The amounts that it names.
    pub(crate) fn amounts(&mut self) -> Vec<&mut Amount> {
        match self {
            Self::Open {
                initial, overdraft, ..
            } => vec![initial, overdraft],
            Self::Deposit { amount, .. }
            | Self::Withdraw { amount, .. }
            | Self::Transfer { amount, .. }
            | Self::Hold { amount, .. }
            | Self::Limit {
                overdraft: amount, ..
            } => vec![amount],
            Self::Capture { amount, .. }
            | Self::Release { amount, .. }
            | Self::Reverse { amount, .. } => amount.iter_mut().collect(),
            Self::Post { entries } => entries.iter_mut().map(|entry| &mut entry.amount).collect(),
            Self::Exchange { amount, price, .. } => match price {
                Price::ToAmount(other) | Price::Rate(other) => vec![amount, other],
            },
            Self::Rules { limits, .. } => [
                &mut limits.minimum,
                &mut limits.maximum,
                &mut limits.daily_amount,
            ]
            .into_iter()
            .flatten()
            .collect(),
            Self::Batch { parts } => {
                let parts = parts.iter_mut();
                parts.flat_map(|part| part.ask.amounts()).collect()
            }
            Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Close { .. }
            | Self::Update { .. }
            | Self::Expire { .. } => Vec::new(),
        }
    }
}

/// One command of a sequence. The same `id` twice is the same command sent again, or another that stole its id.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) id: u64,
    pub(crate) ask: Ask,
    pub(crate) terms: Terms,
    /// What the writer's clock shows, in microseconds; it can stand still and go backwards.
    pub(crate) now: i64,
}
