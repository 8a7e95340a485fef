use std::collections::BTreeMap;

use alloy_sol_types::SolCall as _;
use salt402_chain::Profile;
use salt402_protocol::contracts::ISaltChannels;
use salt402_protocol::edition::{ChannelEdition, IFirstSaltChannels};
use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Descriptor, U256, Voucher};

use super::batch::{Act, ClaimBatch, Group, batches};
use super::values::{Claimable, refusal_reason};

const CONTRACT: Address = Address::repeat_byte(0xcc);
const SECOND: ChannelEdition = ChannelEdition::Second { domain: B256::repeat_byte(0xdd) };

fn row(salt: u16) -> Claimable {
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Asset::Native,
        signer: Some(Address::repeat_byte(3)),
        operator: None,
        exit_delay: 900,
        salt: B256::left_padding_from(&salt.to_be_bytes()),
    };
    let channel = SECOND.id(&descriptor, ChainId::CITRATE, CONTRACT).unwrap();
    let voucher = Voucher { channel, ceiling: Amount(U256::from(10)), signature: [5; 65] };
    Claimable {
        contract: CONTRACT,
        channel,
        descriptor,
        voucher: Some(voucher),
        spent: Amount(U256::from(7)),
    }
}

fn grouped(rows: Vec<Claimable>, edition: ChannelEdition, act: Act, gas: u64) -> Vec<ClaimBatch> {
    let mut groups: BTreeMap<Group, Vec<_>> = BTreeMap::new();
    for row in rows {
        groups.entry(Group::of(&row, edition, act)).or_default().push((row, Amount(U256::from(7))));
    }
    let profile = Profile { max_batch_gas: gas, ..Profile::named("citrate").unwrap() };
    batches(groups, act, &profile)
}

#[test]
fn transactions_are_few_within_their_gas_and_of_one_asset_each() {
    let token = Address::repeat_byte(0x70);
    let mut rows: Vec<_> = (0..300).map(row).collect();
    rows.extend((0..3).map(row).map(|mut row| {
        row.descriptor.asset = Asset::Token(token);
        row
    }));
    let made = grouped(rows.clone(), SECOND, Act::Claim, 8_000_000);
    let lengths: Vec<_> = made.iter().map(|batch| (batch.asset, batch.rows.len())).collect();
    assert_eq!(lengths, [(Asset::Native, 300), (Asset::Token(token), 3)]);
    assert_eq!(made[1].amount(), Amount(U256::from(21)));
    let made = grouped(rows.clone(), SECOND, Act::Claim, 1_000_000);
    for batch in &made {
        assert!(batch.call().gas_limit.unwrap() <= 1_000_000);
    }
    assert_eq!(made.iter().map(|batch| batch.rows.len()).sum::<usize>(), 303, "none is lost");
    assert_eq!(grouped(rows, SECOND, Act::Claim, 0).len(), 303, "one at a time where less gas is allowed");
}

/// Nodes take transactions of 128 KiB.
#[test]
fn transactions_are_within_their_bytes_whatever_gas_there_is() {
    let many = || (0..2000).map(row).collect::<Vec<_>>();
    for (edition, act) in [(SECOND, Act::Claim), (SECOND, Act::Close), (ChannelEdition::First, Act::Claim)] {
        let made = grouped(many(), edition, act, u64::MAX);
        assert!(made.len() > 1);
        for batch in &made {
            assert!(batch.call().data.len() < 120 * 1024, "{}", batch.call().data.len());
        }
    }
}

#[test]
fn rows_are_packed_as_the_contract_reads_them_and_by_operator() {
    let (plain, mut other) = (row(1), row(2));
    other.descriptor.operator = Some(Address::repeat_byte(9));
    let made = grouped(vec![plain.clone(), other], SECOND, Act::Claim, 8_000_000);
    assert_eq!(made.len(), 2, "the rows of one call name one operator");
    let call = ISaltChannels::claimRowsCall::abi_decode_validate(&made[0].call().data).unwrap();
    assert_eq!(
        (call.payee, call.asset, call.operator),
        (plain.descriptor.payee, Address::ZERO, Address::ZERO)
    );
    let expected = [
        &[1; 20][..],
        &[3; 20],
        &900u32.to_be_bytes(),
        plain.descriptor.salt.as_slice(),
        &[&[0; 12][..], &[10]].concat(),
        &[&[0; 12][..], &[7]].concat(),
        &[5; 65],
    ];
    assert_eq!(call.rows.to_vec(), expected.concat());
    assert_eq!(call.rows.len(), 167);
    let second = ISaltChannels::claimRowsCall::abi_decode_validate(&made[1].call().data).unwrap();
    assert_eq!(second.operator, Address::repeat_byte(9));
}

#[test]
fn what_does_not_pack_goes_by_claim_many_and_the_first_edition_by_its_own() {
    let mut large = row(1);
    large.voucher.as_mut().unwrap().ceiling = Amount(U256::ONE << 104);
    let made = grouped(vec![large, row(2)], SECOND, Act::Claim, 8_000_000);
    assert_eq!(made.len(), 2);
    let call = ISaltChannels::claimManyCall::abi_decode_validate(&made[1].call().data).unwrap();
    assert_eq!(call.claims[0].ceiling, U256::ONE << 104);
    let made = grouped(vec![row(1)], ChannelEdition::First, Act::Claim, 8_000_000);
    let call = IFirstSaltChannels::claimManyCall::abi_decode_validate(&made[0].call().data).unwrap();
    assert_eq!(call.claims[0].total, U256::from(7));
}

/// One refused row reverts the whole transaction.
#[test]
fn what_the_contract_would_refuse_is_in_no_transaction() {
    let why = |change: &dyn Fn(&mut Claimable)| {
        let mut row = row(1);
        change(&mut row);
        refusal_reason(&row, SECOND, ChainId::CITRATE).unwrap()
    };
    assert!(why(&|_| {}).contains("not signed by the channel's key"));
    assert!(
        why(&|row| row.spent = Amount(U256::from(11))).contains("the accepted amount exceeds the signed one")
    );
    assert!(why(&|row| row.descriptor.exit_delay = 901).contains("another channel"));
    assert!(why(&|row| row.descriptor.operator = Some(CONTRACT)).contains("another channel"));
    assert!(why(&|row| row.voucher = None).contains("no voucher is known"));
    let other = ChannelEdition::Second { domain: B256::ZERO };
    let reset = refusal_reason(&row(1), other, ChainId::CITRATE).unwrap();
    assert!(reset.contains("another channel"), "a channel of before a reset is none of this contract");
}
