//! A channel voucher as a proof: its text, its signer, and the payment id of its grant.

use std::fmt;

use alloy_primitives::{Address, B256, hex};

use crate::channel::Descriptor;
use crate::edition::{ChannelEdition, VoucherTerms, first_voucher_digest};
use crate::payment::PaymentId;
use crate::recovery;
use crate::values::asset::Asset;
use crate::values::id::hash_id;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::values::request::parse_hash;

/// The prefix of a voucher's text.
pub(crate) const PREFIX: &str = "voucher:";

/// "The payee may claim up to this total from this channel": `voucher:0x<channel>:<ceiling>:0x<signature>`.
///
/// Whoever sees a voucher can present it first, for another request. So it must only travel over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Voucher {
    /// The channel's id in its contract.
    pub channel: B256,
    /// The most that may ever be claimed from the channel, in base units.
    pub ceiling: Amount,
    /// r, s and v of the signature.
    pub signature: [u8; 65],
}

impl Voucher {
    /// What is signed, given the channel's payee and asset, which the voucher's text does not have.
    pub fn terms(&self, payee: Address, asset: Asset) -> VoucherTerms {
        VoucherTerms { channel: self.channel, payee, asset, ceiling: self.ceiling }
    }

    /// The account that signed, if the channel has this payee and this asset. `None` if the contract refuses the
    /// signature from any signer: a high s, a v other than 27 or 28, or no valid signature.
    pub fn signer(&self, payee: Address, asset: Asset, chain: ChainId, contract: Address) -> Option<Address> {
        self.signer_of(self.terms(payee, asset).digest(chain, contract))
    }

    /// The same for a contract of the first edition, where neither payee nor asset is signed.
    pub fn signer_in_first(&self, chain: ChainId, contract: Address) -> Option<Address> {
        self.signer_of(first_voucher_digest(self.channel, self.ceiling, chain, contract))
    }

    /// The same for a channel of a contract of whichever edition.
    pub fn signer_for(
        &self,
        channel: &Descriptor,
        edition: ChannelEdition,
        chain: ChainId,
        contract: Address,
    ) -> Option<Address> {
        match edition {
            ChannelEdition::First => self.signer_in_first(chain, contract),
            ChannelEdition::Second { .. } => self.signer(channel.payee, channel.asset, chain, contract),
        }
    }

    fn signer_of(&self, digest: B256) -> Option<Address> {
        let is_odd = match self.signature[64] {
            27 => false,
            28 => true,
            _ => return None,
        };
        recovery::signer(digest, self.signature.first_chunk()?, is_odd).ok()
    }

    /// The payment id of the grant:
    ///
    /// ```text
    /// keccak256( "salt402-voucher-v1" ‖ chain id (8 bytes) ‖ contract (20) ‖ channel (32) ‖ ceiling (32) )
    /// ```
    ///
    /// The signature is not part of it: two signatures over the same ceiling are the same voucher.
    pub fn payment_id(&self, chain: ChainId, contract: Address) -> PaymentId {
        let ceiling = self.ceiling.0.to_be_bytes::<32>();
        PaymentId(hash_id("salt402-voucher-v1", chain, contract, &[self.channel.as_slice(), &ceiling]))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split(':');
        let channel = parse_hash(parts.next()?)?;
        let ceiling = Amount::from_base_units(parts.next()?).ok()?;
        let digits = parts.next()?.strip_prefix("0x").filter(|digits| digits.len() == 130)?;
        let mut signature = [0; 65];
        hex::decode_to_slice(digits, &mut signature).ok()?;
        parts.next().is_none().then_some(Self { channel, ceiling, signature })
    }
}

/// The channel's totals in a refusal, in base units. As text: `highest=… spent=… price=… next=…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherFigures {
    /// The highest accepted ceiling.
    pub highest: Amount,
    /// The total cost of the requests so far.
    pub spent: Amount,
    /// The cost of this request.
    pub price: Amount,
    /// The lowest ceiling that this request needs. `None` if it exceeds 2²⁵⁶ − 1.
    pub next: Option<Amount>,
}

impl VoucherFigures {
    /// The totals, and the ceiling to sign for a price.
    pub fn new(highest: Amount, spent: Amount, price: Amount) -> Self {
        let next = spent.checked_add(price).zip(highest.checked_add(Amount::ONE));
        Self { highest, spent, price, next: next.map(|(least, above)| least.max(above)) }
    }

    /// Parses the figures at the end of a refusal's text.
    pub fn at_end_of(text: &str) -> Option<Self> {
        let mut words = text.rsplitn(5, ' ');
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let (next, price, spent, highest) =
            (value("next")?, value("price")?, value("spent")?, value("highest")?);
        let amount = |text: &str| Amount::from_base_units(text).ok();
        Some(Self {
            highest: amount(highest)?,
            spent: amount(spent)?,
            price: amount(price)?,
            next: if next == "none" { None } else { Some(amount(next)?) },
        })
    }
}

impl fmt::Display for VoucherFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { highest, spent, price, next } = self;
        write!(f, "highest={highest} spent={spent} price={price} next=")?;
        match next {
            Some(next) => next.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (channel, signature) = (hex::encode_prefixed(self.channel), hex::encode_prefixed(self.signature));
        write!(f, "{PREFIX}{channel}:{}:{signature}", self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    /// Signed by `cast wallet sign --data` with anvil's first key.
    const SIGNED: &str = "voucher:0x2222222222222222222222222222222222222222222222222222222222222222:250:\
        0xae7071e5e638a500e95593b5ceedfb442c5991f9ebd937ca5ec4174860f5826c4da9e658bb6499c12bfab97262979e798b348cff352ce64e\
        16d7df7052375d111b";
    const CONTRACT: Address = Address::repeat_byte(0x11);
    const PAYEE: Address = Address::repeat_byte(0x33);

    fn signed() -> Voucher {
        Voucher::parse(SIGNED).unwrap()
    }

    #[test]
    fn what_another_program_signed_is_of_its_key() {
        let anvil = alloy_primitives::address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(signed().signer(PAYEE, Asset::Native, ChainId::CITRATE, CONTRACT), Some(anvil));
        let elsewhere = [
            signed().signer(PAYEE, Asset::Native, ChainId::new(8453).unwrap(), CONTRACT),
            signed().signer(PAYEE, Asset::Native, ChainId::CITRATE, Address::repeat_byte(0x12)),
            signed().signer(CONTRACT, Asset::Native, ChainId::CITRATE, CONTRACT),
            signed().signer(PAYEE, Asset::Token(PAYEE), ChainId::CITRATE, CONTRACT),
            signed().signer_in_first(ChainId::CITRATE, CONTRACT),
            Voucher { ceiling: Amount(U256::from(251)), ..signed() }.signer(
                PAYEE,
                Asset::Native,
                ChainId::CITRATE,
                CONTRACT,
            ),
            Voucher { channel: B256::repeat_byte(0x23), ..signed() }.signer(
                PAYEE,
                Asset::Native,
                ChainId::CITRATE,
                CONTRACT,
            ),
        ];
        assert!(!elsewhere.contains(&Some(anvil)), "{elsewhere:?}");
    }

    /// Signed by the same key, for the first edition.
    #[test]
    fn what_was_signed_for_the_first_edition_is_of_its_key_there_alone() {
        let signature = alloy_primitives::hex!(
            "f82546822d6c1c6eaee449751b02169667b72e19d7d362f1654ee3a07e1f7f9770d906f710a406a7c6a5bc582a99f659f44e4ed87f07126c65e4180c942f97e41b"
        );
        let (old, anvil) = (
            Voucher { signature, ..signed() },
            alloy_primitives::address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        );
        assert_eq!(old.signer_in_first(ChainId::CITRATE, CONTRACT), Some(anvil));
        assert_ne!(old.signer(PAYEE, Asset::Native, ChainId::CITRATE, CONTRACT), Some(anvil));
    }

    #[test]
    fn what_the_contract_refuses_is_nobodys() {
        let with = |change: &dyn Fn(&mut [u8; 65])| {
            let mut voucher = signed();
            change(&mut voucher.signature);
            voucher.signer(PAYEE, Asset::Native, ChainId::CITRATE, CONTRACT)
        };
        for v in [0, 1, 2, 26, 29, 255] {
            assert_eq!(with(&|signature| signature[64] = v), None, "{v}");
        }
        // The same signature with the other s. It recovers to the same key.
        let order = U256::from_be_bytes(alloy_primitives::hex!(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        ));
        let high = with(&|signature| {
            let s = order - U256::from_be_slice(&signature[32..64]);
            signature[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            signature[64] = 55 - signature[64];
        });
        assert_eq!(high, None);
        assert_eq!(with(&|signature| signature[..32].fill(0)), None, "r is zero");
        assert_eq!(with(&|signature| signature[32..64].fill(0)), None, "s is zero");
        assert_eq!(with(&|signature| signature[..32].fill(0xff)), None, "r is above the order");
    }

    #[test]
    fn figures_are_read_as_they_are_written_and_from_nothing_else() {
        let amount = |value: u64| Amount(U256::from(value));
        let figures = VoucherFigures::new(amount(30), amount(10), amount(7));
        assert_eq!(figures.next, Some(amount(31)), "above the last one");
        assert_eq!(VoucherFigures::new(amount(30), amount(30), amount(7)).next, Some(amount(37)));
        let most = VoucherFigures::new(Amount(U256::MAX), amount(1), amount(1));
        for figures in [figures, most] {
            let text = format!("the voucher was used for another request; {figures}");
            assert_eq!(VoucherFigures::at_end_of(&text), Some(figures), "{text}");
        }
        for other in [
            "",
            "next=5",
            "highest=1 spent=2 price=3 next=",
            "highest=1 spent=2 price=x next=4",
            "no figures here at all",
        ] {
            assert_eq!(VoucherFigures::at_end_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_grant_is_named_by_its_ceiling_and_not_by_its_signature() {
        let name = |voucher: Voucher| voucher.payment_id(ChainId::CITRATE, CONTRACT);
        assert_eq!(name(Voucher { signature: [0; 65], ..signed() }), name(signed()));
        assert_ne!(name(Voucher { ceiling: Amount(U256::from(251)), ..signed() }), name(signed()));
        assert_ne!(name(signed()), signed().payment_id(ChainId::CITRATE, Address::repeat_byte(0x12)));
    }
}
