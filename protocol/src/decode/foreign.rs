//! Events and calls of third-party contracts. Tests compare them with the published signature hashes, because the
//! compiler cannot notice a misspelt one.

#![allow(missing_docs, reason = "the events and calls are documented where they are defined")]
#![allow(clippy::too_many_arguments, reason = "a call has as many arguments as it has")]

use alloy_primitives::{Address, address};
use alloy_sol_types::sol;

/// Multicall3. It has the same address on nearly every chain (<https://www.multicall3.com>).
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

sol! {
    /// ERC-20, its permits, and EIP-3009.
    interface IToken {
        function transfer(address to, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function permit(
            address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s
        ) external;
        function permit(address owner, address spender, uint256 value, uint256 deadline, bytes signature) external;

        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    }

    /// x402's own proxies. Their events have no fields.
    interface IX402Settled {
        event Settled();
        event SettledWithPermit();
    }

    /// Citrate's `X402Facilitator`. `value` is the amount received, after the fee.
    interface ICitrateFacilitator {
        event PaymentSettled(address indexed from, address indexed to, uint256 value, uint256 fee, bytes32 nonce);
    }

    /// Citrate's `X402Paywall`.
    interface ICitratePaywall {
        event AccessGranted(address indexed payer, bytes32 indexed resourceId, uint256 amount, uint256 expiresAt);
    }

    /// x402's `x402BatchSettlement`.
    interface IX402BatchSettlement {
        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }

        event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
        event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
        event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
        event Claimed(
            bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed
        );
        event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
        event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
        event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
        event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);
    }

    interface IMulticall3 {
        struct Call { address target; bytes callData; }
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }

        function aggregate(Call[] calls) external payable;
        function tryAggregate(bool requireSuccess, Call[] calls) external payable;
        function blockAndAggregate(Call[] calls) external payable;
        function tryBlockAndAggregate(bool requireSuccess, Call[] calls) external payable;
        function aggregate3(Call3[] calls) external payable;
        function aggregate3Value(Call3Value[] calls) external payable;
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, b256, hex};
    use alloy_sol_types::{SolCall as _, SolEvent as _};

    use super::*;
    use crate::contracts::{IX402ExactPermit2Proxy, IX402UptoPermit2Proxy};

    #[test]
    fn signatures_hash_to_what_is_published() {
        let published: [(B256, B256); 12] = [
            (
                IToken::Transfer::SIGNATURE_HASH,
                b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
            ),
            (
                IToken::AuthorizationUsed::SIGNATURE_HASH,
                b256!("0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"),
            ),
            (
                IX402Settled::Settled::SIGNATURE_HASH,
                b256!("0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6"),
            ),
            (
                IX402Settled::SettledWithPermit::SIGNATURE_HASH,
                b256!("0xde5b89d10fc800c459329c382fabfcad0be0ed7e5328e01fae04e507b09ef5d8"),
            ),
            (
                IX402BatchSettlement::ChannelCreated::SIGNATURE_HASH,
                b256!("0x69d8248d5566bdb2ebc4d218970710d8378a2ff9b709a999e052b71970f808fa"),
            ),
            (
                IX402BatchSettlement::ChannelClosed::SIGNATURE_HASH,
                b256!("0x8d5942f197f362dfd44dfdc1b0b7a9721c9151b67f55817c83349271d3c08d37"),
            ),
            (
                IX402BatchSettlement::Deposited::SIGNATURE_HASH,
                b256!("0x6c2a09353b5e75e70d0b9778b80a413809bb235d46c211811c474b3346791d89"),
            ),
            (
                IX402BatchSettlement::Claimed::SIGNATURE_HASH,
                b256!("0x36bd546bb573e8921fdbfd934bbed62d872796b01792cd240cce27f79dd3eddd"),
            ),
            (
                IX402BatchSettlement::Settled::SIGNATURE_HASH,
                b256!("0x7337b4386b690fdb8ba66905b92b9d45d33bc6626ee2620c905fb150ec0cc47d"),
            ),
            (
                IX402BatchSettlement::Refunded::SIGNATURE_HASH,
                b256!("0xa84286cf8ebc7903a663c77c8d99aa92b600d4c2fcca872a5d4a663db4eb394b"),
            ),
            (
                IX402BatchSettlement::WithdrawInitiated::SIGNATURE_HASH,
                b256!("0xe4280d0d903c7f258f62b07c62f262377cbaa23f7791d78126e6446e0f0e3c23"),
            ),
            (
                IX402BatchSettlement::WithdrawFinalized::SIGNATURE_HASH,
                b256!("0x546ce1e2242cd930c196bd08b894443562d709b4fffe4f028a75a6d233efc6e3"),
            ),
        ];
        for (ours, theirs) in published {
            assert_eq!(ours, theirs);
        }
        assert_eq!(IX402ExactPermit2Proxy::settleCall::SELECTOR, hex!("13cd3b53"));
        assert_eq!(IX402ExactPermit2Proxy::settleWithPermitCall::SELECTOR, hex!("fa340378"));
        assert_eq!(IX402UptoPermit2Proxy::settleCall::SELECTOR, hex!("ff11e7b4"));
        assert_eq!(IX402UptoPermit2Proxy::settleWithPermitCall::SELECTOR, hex!("016c1748"));
        assert_eq!(IMulticall3::aggregate3Call::SELECTOR, hex!("82ad56cb"));
        assert_eq!(IToken::transferFromCall::SELECTOR, hex!("23b872dd"));
        assert_eq!(
            [IToken::permit_0Call::SELECTOR, IToken::permit_1Call::SELECTOR],
            [hex!("d505accf"), hex!("9fd5a6cf")]
        );
    }
}
